/** Backups for the eye: a table of all, and all of one in words. Draws; judges nothing. */
import Table from 'cli-table3'
import pc from 'picocolors'
import type { Backup, Catalog } from '../backup/catalog.ts'
import { isCopy } from '../backup/over-copy.ts'
import type { Verdict } from '../backup/retention.ts'
import { momentWords, tookWords, sizeWords, spanWords } from './backup-words.ts'

const plain = { style: { head: [], border: [] } }

export function drawList(
  { group, backups, others }: Catalog,
  where: string,
  verdicts: readonly Verdict[],
  stream: string,
  alarms: readonly string[],
  nowWallMs: number,
): string {
  const why = new Map(verdicts.map((verdict) => [verdict.id, verdict]))
  const table = new Table({ ...plain, head: ['id', 'age', 'source', 'stored', 'RDB', 'keys', 'state', 'restore', 'kept because'] })
  for (const backup of backups) {
    const { manifest, tested } = backup
    table.push([
      manifest.id,
      ageWords(manifest.atWallMs, nowWallMs),
      `${manifest.source.host} (${manifest.source.role})`,
      sizeWords(manifest.stored.bytes),
      sizeWords(manifest.rdb.bytes),
      tested?.ok === true ? String(tested.keys) : '',
      stateWord(backup),
      tested?.ok === true ? tookWords(tested.loadMs) : '',
      keptWords(backup, why.get(manifest.id)),
    ])
  }
  for (const { id, kind, bytes, why: reason } of others) table.push([id, '', '', sizeWords(bytes), '', '', pc.yellow(kind), '', reason])
  const stored = [...backups, ...others].reduce((sum, { bytes }) => sum + bytes, 0)
  const good = backups.filter(({ state }) => state === 'good').length
  const copies = backups.filter(({ manifest }) => isCopy(manifest)).length
  const ofThese = copies === 0 ? '' : `, ${copies} of them kept by restore --over`
  const sums = `${backups.length} ${backups.length === 1 ? 'backup' : 'backups'} of ${group}, ${good} good${ofThese}, ${sizeWords(stored)} in ${where}\n`
  return `${backups.length + others.length === 0 ? '' : `${table.toString()}\n`}${sums}${stream}${drawAlarms(alarms)}`
}

export function drawAlarms(alarms: readonly string[]): string {
  return alarms.map((alarm) => `${pc.yellow('!')} ${alarm}\n`).join('')
}

function ageWords(atWallMs: number, nowWallMs: number): string {
  return atWallMs > nowWallMs + 60_000 ? pc.red(`in ${spanWords(atWallMs - nowWallMs)}`) : spanWords(nowWallMs - atWallMs)
}

function stateWord({ state, condemned }: Backup): string {
  const word = state === 'good' ? pc.green(state) : state === 'bad' ? pc.red(state) : state
  return condemned === null ? word : `${word}, ${pc.yellow('condemned')}`
}

function keptWords({ condemned, wrong, tested, state }: Backup, verdict: Verdict | undefined): string {
  const wound = wrong ?? (state === 'bad' ? (tested?.found ?? '') : '')
  const kept = verdict === undefined || verdict.keep ? (verdict?.why ?? '') : condemned === null ? `goes: ${verdict.why}` : `goes: ${condemned.why}`
  return wound === '' ? kept : `${wound}; ${kept}`
}

/** `reach`: how far one can go on from it; null: nothing is archived. */
export function drawShow(backup: Backup, where: string, reach: string | null, nowWallMs: number): string {
  const { manifest: m, tested, condemned, held } = backup
  const ratio = m.rdb.bytes === 0 ? '' : `, ${Math.round((m.stored.bytes / m.rdb.bytes) * 100)} % of the RDB`
  const rows: readonly (readonly [string, string])[] = [
    ['group', m.group],
    ['moment', `${momentWords(m.atWallMs)} (${ageWords(m.atWallMs, nowWallMs)} ago); written in ${tookWords(m.endedAtWallMs - m.atWallMs)}`],
    ['reason', m.reason],
    ['source', `${m.source.host} (${m.source.role}): ${m.source.why}`],
    ['server', `redis ${m.server.version}, RDB format ${m.server.rdbFormat}`],
    ['position', `epoch ${m.position.epoch}, ${m.position.replid} offset ${m.position.offset}`],
    ...(reach === null ? [] : [['stream', reach] as const]),
    ['RDB', `${sizeWords(m.rdb.bytes)} (${m.rdb.bytes} bytes), SHA-256 ${m.rdb.sha256}`],
    [
      'stored',
      `${sizeWords(m.stored.bytes)} (${m.stored.bytes} bytes${ratio}), ${m.compression === 'none' ? 'not compressed' : m.compression}, SHA-256 ${m.stored.sha256}`,
    ],
    ['lies in', `${where}, ${m.stored.name}`],
    [
      'encrypted',
      m.encryption === null
        ? 'no: whoever can read the store can read it, whoever can write there can change it'
        : `${m.encryption.cipher}, key ${m.encryption.keyId}`,
    ],
    [
      'manifest',
      backup.byKey ? 'proven with the key' : m.encryption === null ? 'its checksum is right' : 'its checksum is right; the key to prove it is not here',
    ],
    ['state', `${stateWord(backup)}${backup.wrong === null ? '' : `: ${backup.wrong}`}`],
    ['tested', tested === null ? (backup.unclear ?? 'not yet') : testWords(tested)],
    ...(held === null ? [] : [['held', `by ${held.by} since ${momentWords(held.atWallMs)}: ${held.reason}`] as const]),
    ...(condemned === null ? [] : [['condemned', `${momentWords(condemned.atWallMs)}: ${condemned.why}`] as const]),
  ]
  return `${pc.bold(m.id)}\n${rows.map(([name, text]) => `  ${name.padEnd(10)} ${text}\n`).join('')}`
}

function testWords(tested: NonNullable<Backup['tested']>): string {
  const took = `restored in ${tookWords(tested.loadMs)} (fetched after ${tookWords(tested.fetchMs)}) by redis ${tested.serverVersion}`
  return `${momentWords(tested.atWallMs)}: ${tested.ok ? `${tested.keys} keys, ${took}; ${tested.found}` : pc.red(tested.found)}`
}
