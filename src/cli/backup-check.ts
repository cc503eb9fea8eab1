/** `holdfast backup verify|test`: are the stored bytes as they were written, and does a redis load them? What comes of it is written beside them. */
import type { Command } from '@commander-js/extra-typings'
import pc from 'picocolors'
import type { Backup, Catalog } from '../backup/catalog.ts'
import type { Said, Tested } from '../backup/manifest.ts'
import { codeOf, fetchChecked, FetchFailed } from '../dump/fetch.ts'
import { recordTested, tryBackup } from '../dump/trial.ts'
import { OperatorError } from '../model/error.ts'
import { catalogIn, findBackup, keyFor, withVault, type Vault } from './backup-open.ts'
import { verifyStream } from './backup-stream-check.ts'
import { progressLine, tookWords, sizeWords } from './backup-words.ts'

interface Checked {
  readonly id: string
  /** `unknown`: it could not be looked at, and may be as good as ever. */
  readonly result: 'good' | 'bad' | 'unknown'
  readonly found: string
  readonly bytes: number
  readonly tookMs: number
  /** Why it is not known. */
  readonly error?: OperatorError
}

export function registerCheck(backup: Command): void {
  backup
    .command('verify')
    .description('read stored bytes to their end: checksums, seal, compression, and the checksum of the RDB')
    .argument('<group>')
    .argument('[id]', 'or the beginning of it, or latest')
    .option('--all', 'every one')
    .option('--stream', 'not backups: the archived stream, every segment')
    .option('--since <moment>', 'of the stream only what came since then: 2h, 7d, 2026-11-21T17:00Z')
    .option('--key-file <file>', 'the key, instead of the configured one')
    .option('--json', 'machine-readable')
    .action((group, id, options, command) =>
      withVault(
        command,
        group,
        async (vault) => {
          if (options.stream === true && (id !== undefined || options.all === true))
            throw new OperatorError('HF812', 'say which: backups, or --stream', `holdfast backup verify ${group} --stream`, 2)
          if (options.stream !== true && options.since !== undefined)
            throw new OperatorError('HF812', '--since is of --stream', `holdfast backup verify ${group} --stream`, 2)
          if (options.stream === true) return verifyStream(vault, options.since, options.json === true)
          const catalog = await catalogIn(vault)
          await checkAll(vault, chosen(catalog, id, { all: options.all === true }), options.json === true, verify, options.all === true ? catalog.others : [])
        },
        options.keyFile,
      ),
    )
  registerTest(backup)
}

function registerTest(backup: Command): void {
  backup
    .command('test')
    .description('have a redis-server of its own load it, here and now; what comes of it is written beside the backup')
    .argument('<group>')
    .argument('[id]', 'or the beginning of it, or latest')
    .option('--all', 'every one')
    .option('--untested', 'those that were not tested yet')
    .option('--key-file <file>', 'the key, instead of the configured one')
    .option('--json', 'machine-readable')
    .action((group, id, options, command) =>
      withVault(
        command,
        group,
        async (vault) => {
          const which = chosen(await catalogIn(vault), id, { all: options.all === true, untested: options.untested === true })
          await checkAll(vault, which, options.json === true, tryOne, [])
        },
        options.keyFile,
      ),
    )
}

interface Which {
  readonly all: boolean
  readonly untested?: boolean
}

function chosen(catalog: Catalog, id: string | undefined, { all, untested }: Which): readonly Backup[] {
  const ways = [id !== undefined, all, untested === true].filter(Boolean).length
  if (ways !== 1)
    throw new OperatorError(
      'HF812',
      `say which: an id, latest, --all${untested === undefined ? '' : ' or --untested'}`,
      `holdfast backup list ${catalog.group}`,
      2,
    )
  if (id !== undefined) return [findBackup(catalog, id)]
  return all ? catalog.backups : catalog.backups.filter(({ state }) => state === 'untested')
}

/** One after the other: they all come through the same wire. Those that are no backup are told of at the end. */
async function checkAll(
  vault: Vault,
  backups: readonly Backup[],
  json: boolean,
  check: (vault: Vault, backup: Backup) => Promise<Checked>,
  others: Catalog['others'],
): Promise<void> {
  const say = (text: string): void => void (json ? process.stderr : process.stdout).write(text)
  const checked: Checked[] = []
  for (const backup of backups) {
    if (vault.signal.aborted) break
    const one = await check(vault, backup)
    checked.push(one)
    const word = one.result === 'good' ? pc.green('good') : one.result === 'bad' ? pc.red('BAD') : pc.yellow('not known')
    say(`${one.id}  ${word}  ${one.found}\n`)
  }
  const broken = others.filter(({ kind }) => kind === 'broken')
  for (const { id, why } of broken) say(`${id}  ${pc.red('BAD')}  ${why}\n`)
  const count = (result: Checked['result']): number => checked.filter((one) => one.result === result).length
  const bad = count('bad') + broken.length
  const [bytes, tookMs] = [checked.reduce((sum, one) => sum + one.bytes, 0), checked.reduce((sum, one) => sum + one.tookMs, 0)]
  say(
    `${count('good')} good, ${bad} bad${count('unknown') > 0 ? `, ${count('unknown')} not known` : ''}${bytes === 0 ? '' : `; ${sizeWords(bytes)} at ${sizeWords((bytes / Math.max(1, tookMs)) * 1000)}/s`}\n`,
  )
  if (json)
    process.stdout.write(
      `${JSON.stringify({ group: vault.group.name, checked: checked.map(({ error: _, ...one }) => one), broken, interrupted: vault.signal.aborted }, null, 2)}\n`,
    )
  if (vault.signal.aborted) throw new OperatorError('HF814', `broken off: ${backups.length - checked.length} are left`, 'run it again for the rest')
  if (bad > 0) throw new OperatorError('HF816', `${bad} of ${backups.length + broken.length} bad`, `use another: holdfast backup list ${vault.group.name}`)
  const [first] = checked.flatMap(({ error }) => error ?? [])
  if (first !== undefined)
    throw new OperatorError(first.code, checked.length === 1 ? first.message : `${count('unknown')} could not be opened: ${first.message}`, first.hint)
  if (count('unknown') > 0)
    throw new OperatorError('HF814', `${count('unknown')} could not be looked at`, 'the reason stands beside each; mend that, and run it again')
}

async function verify(vault: Vault, { manifest, tested }: Backup): Promise<Checked> {
  const startedMs = performance.now()
  const line = progressLine(manifest.id, manifest.rdb.bytes)
  let bytes = 0
  const done = (result: Checked['result'], found: string): Checked => {
    line.end()
    return { id: manifest.id, result, found, bytes, tookMs: performance.now() - startedMs }
  }
  try {
    const key = keyFor(manifest, vault)
    for await (const chunk of fetchChecked(vault.store, manifest, key, vault.signal)) {
      bytes += chunk.length
      line.tell(bytes)
    }
    const rate = `${sizeWords(bytes)} in ${tookWords(performance.now() - startedMs)}`
    return done('good', tested?.fault === 'stored' ? `${rate}: its bytes are right again; holdfast backup test ${manifest.group} ${manifest.id}` : rate)
  } catch (error) {
    if (vault.signal.aborted) return done('unknown', 'broken off')
    if (error instanceof FetchFailed)
      return error.about === 'data' ? done('bad', await marked(vault, manifest, error.message)) : { ...done('unknown', error.message), ...coded(error) }
    if (error instanceof OperatorError) return { ...done('unknown', error.message), error }
    throw error
  }
}

/** Of another key, or another host, the whole command is told. */
function coded(error: FetchFailed): Pick<Checked, 'error'> {
  const { code, hint } = codeOf(error)
  return hint === null ? {} : { error: new OperatorError(code, error.message, hint) }
}

/** Has a redis load it, here; what comes of it is written beside the backup. */
export async function tryOne(vault: Vault, { manifest, tested }: Backup): Promise<Checked> {
  const line = progressLine(manifest.id, manifest.rdb.bytes)
  const startedMs = performance.now()
  let bytes = 0
  const done = (result: Checked['result'], found: string): Checked => {
    line.end()
    return { id: manifest.id, result, found, bytes, tookMs: performance.now() - startedMs }
  }
  const progress = (read: number): void => {
    bytes = read
    line.tell(read)
  }
  try {
    const key = keyFor(manifest, vault)
    const { store, signal, config } = vault
    const tried = await tryBackup({ store, manifest, key, redisServer: config.paths.redisServer, source: null, wallMs: Date.now, progress, signal })
    if (!tried.ok) return done('unknown', `it cannot be tested here, which says nothing about it: ${tried.why}`)
    const said = tried.value
    const words = said.ok ? `${said.keys} keys, restored in ${tookWords(said.loadMs)}; ${said.found}` : said.found
    const recorded = await recordTested(store, manifest, tested, said, key, signal)
    const more = recorded.ok
      ? recorded.value === tested
        ? '; an earlier test was good, and stays what counts'
        : ''
      : ` (and that could not be written down: ${recorded.why})`
    return done(said.ok ? 'good' : 'bad', `${words}${more}`)
  } catch (error) {
    if (vault.signal.aborted) return done('unknown', 'broken off')
    if (error instanceof OperatorError) return { ...done('unknown', error.message), error }
    throw error
  }
}

/** So that nothing counts on it any more: neither `latest`, nor what thins them out. */
async function marked(vault: Vault, manifest: Backup['manifest'], found: string): Promise<string> {
  const said: Said<Tested> = {
    format: 1,
    id: manifest.id,
    manifestSha256: manifest.sha256,
    atWallMs: Date.now(),
    ok: false,
    fault: 'stored',
    found,
    loadMs: 0,
    fetchMs: 0,
    keys: 0,
    serverVersion: '',
  }
  const put = await recordTested(vault.store, manifest, null, said, keyFor(manifest, vault), vault.signal)
  return put.ok ? found : `${found} (and that could not be written down: ${put.why})`
}
