/** The plan of a move, for the eye. Words only. */
import pc from 'picocolors'
import { sizeOf } from '../doctor/say.ts'
import type { Trap } from '../migrate/check.ts'
import type { Instance, Source, Target } from '../migrate/facts.ts'
import type { MigrationPlan, WayBack } from '../migrate/plan.ts'
import { writtenWords } from '../migrate/sizing.ts'
import { nameOf } from '../migrate/versions.ts'
import type { Level } from '../model/doctor.ts'
import { tookWords } from './backup-words.ts'

const paint: Readonly<Record<Level, (text: string) => string>> = { red: pc.red, yellow: pc.yellow, unseen: pc.yellow, green: pc.green }

const wayBackWords: Readonly<Record<WayBack, string>> = {
  replica: 'the old primary follows the new one until the move is committed',
  feed: 'the old primary is fed until the move is committed',
  'fenced copy': 'the old primary stays as it was, fenced, until the move is committed',
}

export function drawPlan(source: Source, target: Target, plan: MigrationPlan): string {
  const from = source.redis
  return [
    `from  ${from.at}  ${brief(from)}, ${from.clients} clients, ${writtenWords(from)}`,
    ...target.members.map(({ host, redis }) => `to    ${target.group} on ${host}  ${redis.ok ? brief(redis.value) : redis.why}`),
    '',
    ...plan.traps.flatMap(trapLines),
    '',
    ...settingLines(plan),
    `time        ${tookWords(plan.sizing.firstSyncS * 1000)} for the first member, ${tookWords(plan.sizing.allSyncedS * 1000)} for all, if nothing holds it up`,
    `cut-over    writes are held by ${plan.fence}`,
    `way back    ${wayBackWords[plan.wayBack]}: ${plan.wayBackWhy}`,
    '',
    last(plan),
    '',
  ].join('\n')
}

function brief({ version, role, keys, usedBytes }: Instance): string {
  return `${nameOf(version)}, ${role}, ${keys} keys, ${sizeOf(usedBytes)}`
}

function trapLines({ id, name, level, measured, why, fix, accepted }: Trap): readonly string[] {
  const word = accepted ? 'accepted' : level
  const head = `${paint[accepted ? 'green' : level](word.padEnd(9))} ${id.padEnd(4)}${name.padEnd(12)} ${measured}`
  if (level === 'green' || accepted) return [head]
  const margin = ' '.repeat(26)
  return [head, `${margin} ${pc.dim(why)}`, ...(fix === null ? [] : [`${margin} → ${fix}`])]
}

function settingLines({ settings }: MigrationPlan): readonly string[] {
  if (settings === null || settings.length === 0) return []
  const widths = (['name', 'source', 'target'] as const).map((key) => Math.max(key.length, ...settings.map((one) => one[key].length)))
  const row = (cells: readonly string[], why: string): string => `  ${cells.map((cell, i) => cell.padEnd(widths[i] ?? 0)).join('  ')}  ${why}`
  return [
    'settings that differ',
    pc.dim(row(['name', 'source', 'target'], '')),
    ...settings.map(({ name, source, target, why }) => row([name, source === '' ? '""' : source, target === '' ? '""' : target], pc.dim(why))),
    '',
  ]
}

function last({ traps, stops, needless }: MigrationPlan): string {
  const unused = needless.length === 0 ? '' : `; nothing was to be accepted of ${needless.join(', ')}`
  if (stops.length === 0) return `${pc.green('nothing stands against it')}${unused}`
  const accept = traps.filter(({ id, level }) => stops.includes(id) && level !== 'red').map(({ id }) => `--accept ${id}`)
  const reds = traps.filter(({ level }) => level === 'red').map(({ id }) => id)
  const parts = [
    ...(reds.length === 0 ? [] : [`red, to be mended: ${reds.join(', ')}`]),
    ...(accept.length === 0 ? [] : [`to be mended or accepted: ${accept.join(' ')}`]),
  ]
  return `${pc.red('it may not begin')}; ${parts.join('; ')}${unused}`
}
