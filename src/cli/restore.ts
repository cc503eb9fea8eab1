/**
 * `holdfast restore`: a backup into a new redis beside everything that runs. Asks no agent and touches no group: it needs the configuration,
 * the key and a way to the store, on any machine. What is done is ../dump/restore.ts; here it is chosen, checked and told. Single keys into
 * a primary are restore-keys.ts.
 */
import { createServer } from 'node:net'
import { join, resolve } from 'node:path'
import type { Command } from '@commander-js/extra-typings'
import type { Backup, Catalog } from '../backup/catalog.ts'
import { readPassword, readUserRedisConf } from '../config/files.ts'
import { rdbFormatOf } from '../dump/reads.ts'
import { databasesNeeded, memoryNeeded, mib } from '../dump/needs.ts'
import { checkDir } from '../dump/restore-dir.ts'
import { restore, type Restored } from '../dump/restore.ts'
import type { Moment } from '../dump/moment.ts'
import { isoWords } from '../dump/moment-words.ts'
import { OperatorError } from '../model/error.ts'
import { availableBytes } from '../redis/throwaway.ts'
import { renderRestoredConf } from '../render/restored-conf.ts'
import { readVersion } from '../render/redis-directives.ts'
import { catalogIn, findBackup, keyFor, withVault, type Vault } from './backup-open.ts'
import { restoreKeys } from './restore-keys.ts'
import { checkTarget, keysWish, overWish } from './restore-options.ts'
import { overFrom, restoreOver } from './restore-over.ts'
import { usable, type Begun } from './restore-source.ts'
import { drawPlan, drawRestored, planJson, restoredJson, type Plan } from './restore-draw.ts'
import { progressLine, type Progress } from './backup-words.ts'
import { momentIn, streamBytes, wantedBy, type MomentOptions } from './restore-moment.ts'

export function register(program: Command): void {
  program
    .command('restore')
    .description('a backup, or a moment, into a new redis beside everything that runs; with --keys single keys into the running primary, with --over all of it')
    .argument('<group>')
    .option('--backup <id>', 'or the beginning of it, or latest: the youngest good one, never one that --over has kept')
    .option('--time <moment>', 'instead: what the group held at that time (2026-11-21T17:41:59Z), or latest; needs the stream')
    .option('--offset <n>', 'instead: up to this byte of the replication stream')
    .option('--before <command>', "instead: before the last such command: FLUSHALL, 'DEL user:*'; with --time before the last one until then")
    .option('--timeline <id>', 'with those: in which history (default: the one that is written now)')
    .option('--to <dir>', 'where its files go: new or empty (default: restored/GROUP-ID in the state directory)')
    .option('--port <n>', 'where it listens (default: a free one)')
    .option('--bind <address>', 'at which address', '127.0.0.1')
    .option('--no-start', 'only write dump.rdb and redis.conf')
    .option('--untested', 'latest may be one that was not tested yet; a named one may have failed its test')
    .option('--key-file <file>', 'the key, instead of the configured one')
    .option('--keys <pattern>', 'no new redis: the keys of this pattern, beside those of the primary; writes only when it is confirmed')
    .option('--over', 'no new redis: all of it into the running primary, over what is there; keeps a copy first, and asks for the name of the group')
    .option('--keep-others', 'with --over: leave what only the primary has')
    .option('--no-copy', 'with --over: keep no copy of what is there')
    .option('--max-keys-per-s <n>', 'with --over: write so many at the most (default: as fast as the replicas take them)')
    .option('--yes-i-mean <text>', 'with --over: what it asks to be typed')
    .option('--yes', 'with --keys: write them, without asking')
    .option('--undo <file>', 'with --keys, instead of --backup: what an earlier return of keys has overwritten')
    .option('--keep-in <file>', 'with --keys: where that is kept (default: a new file here)')
    .option('--limit <n>', 'with --keys: show so many of them', '20')
    .option('--dry-run', 'say what would be done, and what stands in its way')
    .option('--json', 'machine-readable')
    .action((group, options, command) =>
      withVault(
        command,
        group,
        async (vault) => {
          const { undo } = options
          checkTarget(options)
          if (options.keys !== undefined) {
            const from = undo === undefined ? { begun: await loadable(vault, await begun(vault, options)) } : { undo }
            await restoreKeys(vault, { ...keysWish(options), pattern: options.keys, from })
            return
          }
          if (options.over === true) {
            const from = await loadable(vault, await begun(vault, options))
            if (from.moment === null) usable(vault, from.backup, (words) => void process.stderr.write(words))
            await restoreOver(vault, { ...overWish(options), from: overFrom(vault, from) })
            return
          }
          if (undo !== undefined || options.yes === true) throw new OperatorError('HF812', '--undo and --yes are of --keys', `such as: --keys '*'`, 2)
          const plan = await planned(vault, await begun(vault, options), options)
          if (options.dryRun === true) process.stdout.write(options.json === true ? planJson(plan) : drawPlan(plan))
          else await carryOut(vault, plan, options.json === true)
        },
        options.keyFile,
      ),
    )
}

async function begun(vault: Vault, options: MomentOptions): Promise<Begun> {
  const wanted = wantedBy(options)
  const catalog = await catalogIn(vault)
  if (wanted === null) return { backup: chosen(catalog, options.backup, options.untested === true), moment: null }
  const moment = await momentIn(vault, catalog, wanted, options)
  return { backup: moment.backup, moment }
}

async function loadable({ config }: Vault, from: Begun): Promise<Begun> {
  const { redisServer } = config.paths
  await checkLoads(from.backup, redisServer, await rdbFormatOf(redisServer))
  return from
}

/** Nothing that is not proven is restored without a word. */
function chosen(catalog: Catalog, wanted: string | undefined, untested: boolean): Backup {
  if (wanted === undefined)
    throw new OperatorError(
      'HF812',
      'say which: --backup ID, --backup latest, or a moment (--time, --offset, --before)',
      `holdfast backup list ${catalog.group}`,
      2,
    )
  const backup = findBackup(catalog, wanted, untested)
  if (backup.state === 'bad' && !untested)
    throw new OperatorError(
      'HF815',
      `${backup.manifest.id} is bad: ${backup.wrong ?? backup.tested?.found ?? ''}`,
      `use another one (holdfast backup list ${catalog.group}), or say --untested to take this one as it is`,
    )
  return backup
}

interface Wish {
  readonly to?: string | undefined
  readonly port?: string | undefined
  readonly bind: string
  readonly start: boolean
}

async function planned(vault: Vault, { backup, moment }: Begun, wish: Wish): Promise<Plan> {
  const { config, group } = vault
  const { manifest } = backup
  const key = keyFor(manifest, vault)
  const dir = wish.to === undefined ? join(config.paths.state, 'restored', `${group.name}-${nameOf(backup, moment)}`) : resolve(wish.to)
  await checkDir(dir, manifest.rdb.bytes + (moment === null ? 0 : streamBytes(moment)))
  const notes: string[] = []
  const password = await orNote(readPassword(group), notes, 'it has no password')
  // redis' own protection would answer nobody there, this command included; without it the data would be everybody's.
  if (password === undefined && wish.start && !/^(127\.|::1$|localhost$)/.test(wish.bind))
    throw new OperatorError(
      'HF825',
      `at ${wish.bind} it would be open to everybody: the group has no password`,
      'leave --bind out, or give the group a password_file first',
    )
  const userConf = await orNote(readUserRedisConf(group), notes, 'it has nothing of that file')
  const redisServer = config.paths.redisServer
  const reads = await rdbFormatOf(redisServer)
  if (wish.start || moment !== null) await checkLoads(backup, redisServer, reads)
  if (!wish.start) notes.push('it is not started: redis-server redis.conf in its directory does that')
  const { port, host } = await freeAddress(wish.bind, wish.port, group.port)
  const version = reads.ok ? reads.value.version : ''
  const conf = renderRestoredConf({
    group,
    userConf,
    password,
    bind: host,
    port,
    dir,
    serverVersion: readVersion(`v=${version}`) ?? { major: 7, minor: 0 },
    title: `${group.name} as of ${isoWords((moment ?? manifest).atWallMs)}: backup ${manifest.id}${moment === null ? '' : ` and the stream up to offset ${moment.to}`}`,
    databases: Math.max(databasesNeeded(manifest), moment?.databases ?? 0),
  })
  if (backup.state === 'untested') notes.push('this backup has not been tested: whether it loads is not known yet')
  if (backup.state === 'bad') notes.push(`this backup is bad: ${backup.wrong ?? backup.tested?.found ?? ''}`)
  return { backup, moment, key, dir, conf, redisServer, password, start: wish.start ? { redisServer, version, host, port, password } : null, notes }
}

function nameOf({ manifest }: Backup, moment: Moment | null): string {
  return moment === null ? manifest.id : `${isoWords(moment.atWallMs).replaceAll(/[-:]|\.\d+/g, '')}-${moment.to}`
}

/** On a machine that has only the configuration, files that it names may be missing. */
async function orNote(reading: Promise<string | undefined>, notes: string[], without: string): Promise<string | undefined> {
  try {
    return await reading
  } catch (error) {
    if (!(error instanceof OperatorError)) throw error
    notes.push(`${error.message}: ${without}`)
    return undefined
  }
}

async function checkLoads({ manifest }: Backup, redisServer: string, reads: Awaited<ReturnType<typeof rdbFormatOf>>): Promise<void> {
  if (!reads.ok)
    throw new OperatorError(
      'HF823',
      `${redisServer} does not start: ${reads.why}`,
      'install redis, or name it as paths.redis_server; --no-start only writes the files',
    )
  if (reads.value.format < manifest.server.rdbFormat)
    throw new OperatorError(
      'HF823',
      `${manifest.id} was written by redis ${manifest.server.version} (RDB ${manifest.server.rdbFormat}), this redis-server ${reads.value.version} reads up to ${reads.value.format}`,
      'install a redis-server at least as new, or name it as paths.redis_server; --no-start only writes the files',
    )
  const [needs, has] = [memoryNeeded(manifest), await availableBytes()]
  if (has < needs)
    throw new OperatorError(
      'HF822',
      `${manifest.id} needs about ${mib(needs)} of memory, and ${mib(has)} are available here`,
      'restore it on a larger machine, or say --no-start to only write the files',
    )
}

const portsAbove = 10_000
const portsTried = 100

async function freeAddress(host: string, wanted: string | undefined, groupPort: number): Promise<{ readonly host: string; readonly port: number }> {
  if (wanted !== undefined) {
    const port = Number(wanted)
    if (!Number.isInteger(port) || port < 1 || port > 65_535) throw new OperatorError('HF825', `--port takes a number from 1 to 65535, not ${wanted}`, '', 2)
    const why = await taken(host, port)
    if (why !== null) throw new OperatorError('HF825', `${host}:${port} cannot be used: ${why}`, 'name another with --port or --bind')
    return { host, port }
  }
  // Far from the group's own, so that nobody takes one for the other.
  const first = groupPort + portsAbove <= 65_535 - portsTried ? groupPort + portsAbove : portsAbove
  let why: string | null = null
  for (let port = first; port < first + portsTried; port += 1) {
    why = await taken(host, port)
    if (why === null) return { host, port }
  }
  throw new OperatorError('HF825', `${host}:${first} and the ports after it cannot be used: ${why}`, 'name another with --port or --bind')
}

/** null: it is free. */
async function taken(host: string, port: number): Promise<string | null> {
  const server = createServer()
  const why = await new Promise<string | null>((done) => {
    server.once('error', (error: NodeJS.ErrnoException) => done(error.code === 'EADDRINUSE' ? 'it is in use' : error.message))
    server.listen({ host, port, exclusive: true }, () => done(null))
  })
  if (why === null) await new Promise((closed) => server.close(closed))
  return why
}

async function carryOut(vault: Vault, plan: Plan, json: boolean): Promise<void> {
  const { moment, redisServer, password } = plan
  const { manifest, tested } = plan.backup
  const line = progressLine(`restoring ${manifest.id}`, manifest.rdb.bytes)
  let replaying: Progress | null = null
  const progress = (bytes: number): void => {
    replaying ??= progressLine('replaying the stream', moment === null ? 0 : streamBytes(moment))
    replaying.tell(bytes)
  }
  let restored: Restored
  try {
    restored = await restore({
      store: vault.store,
      manifest,
      key: plan.key,
      dir: plan.dir,
      conf: plan.conf,
      start: plan.start,
      replay: moment === null ? null : { moment, redisServer, password, progress },
      progress: line.tell,
      signal: vault.signal,
    })
  } catch (error) {
    if (vault.signal.aborted) throw new OperatorError('HF824', 'broken off: nothing is left of it', 'run the same command again')
    throw error
  } finally {
    line.end()
  }
  process.stdout.write(json ? restoredJson(plan, restored) : drawRestored(plan, restored))
  const { served } = restored
  if (served === null) return
  const other = moment === null && tested?.ok === true && tested.keys !== served.keys ? `it has ${served.keys} keys, and its test counted ${tested.keys}` : null
  if (other !== null || served.counts.found === 'wrong')
    throw new OperatorError('HF826', other ?? served.counts.words, `it runs, for a look into it; use another one: holdfast backup list ${manifest.group}`)
}
