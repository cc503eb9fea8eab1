/**
 * Starting a redis: its configuration is written, it loads the file that was decided on, fenced (INV-2) and detached (INV-7). And what
 * belongs to it: the AOF is set as configured afterwards, a replica's files are given up. Decides nothing.
 */
import { execFile, spawn } from 'node:child_process'
import { closeSync, constants, fstatSync, openSync, readFileSync, readSync } from 'node:fs'
import { chmod, mkdir, readdir, rm, writeFile } from 'node:fs/promises'
import { promisify } from 'node:util'
import type { Config } from '../model/config.ts'
import { done, failed, type Outcome } from '../model/outcome.ts'
import { groupRunDir, redisConfFile, redisDataDir, redisLogFile } from '../model/paths.ts'
import type { Persistence } from '../model/persistence.ts'
import { readProcess } from '../observe/process.ts'
import { fatalWords, withoutSecrets } from '../redis/fatal-words.ts'
import { otherAofMark, renderRedisConf, safeLimits } from '../render/redis-conf.ts'
import { readVersion } from '../render/redis-directives.ts'
import { killRedis } from './ending.ts'
import { rememberStart } from './min-replicas.ts'
import { command, type RedisHands } from './redis.ts'

const versionDeadlineMs = 5000
/** Of redis' log, as much as one start can write before it ends. */
const maxWordsBytes = 65_536

interface StartRecord {
  startedAtMs: number
  failures: number
  child: number | null
  /** Where the words of this start begin in redis' log. */
  logFrom: number
}
const starts = new WeakMap<RedisHands, StartRecord>()

/** Starts redis detached, so that it outlives the agent (INV-7), as a replica of nobody (INV-2). */
export async function startRedis(hands: RedisHands, load?: 'aof' | 'rdb'): Promise<Outcome> {
  const record = starts.get(hands) ?? { startedAtMs: 0, failures: 0, child: null, logFrom: 0 }
  starts.set(hands, record)
  if (record.child !== null && readProcess(record.child) !== null) return done
  const backoffMs = Math.min(5000, 200 * 2 ** record.failures)
  const agoMs = performance.now() - record.startedAtMs
  if (record.failures > 0 && agoMs < backoffMs)
    return failed(`redis ended at once, tried again every ${backoffMs / 1000} s: ${whyItEnded(hands, record.logFrom).text}`)
  const prepared = await prepareStart(hands, load)
  if (!prepared.done) return prepared
  const logFile = redisLogFile(hands.config.paths, hands.group.name)
  try {
    const log = openSync(logFile, constants.O_CREAT | constants.O_APPEND | constants.O_WRONLY, 0o640)
    record.logFrom = fstatSync(log).size
    const child = spawn(hands.config.paths.redisServer, [redisConfFile(hands.config.paths, hands.group.name)], { detached: true, stdio: ['ignore', log, log] })
    closeSync(log)
    return await new Promise((resolve) => {
      child.once('error', (error) => resolve(failed(`cannot start ${hands.config.paths.redisServer}: ${error.message}`)))
      child.once('spawn', () => {
        record.startedAtMs = performance.now()
        record.child = child.pid ?? null
        if (child.pid !== undefined) hands.started(child.pid)
        resolve(done)
      })
      child.once('exit', (code, signal) => {
        const livedMs = performance.now() - record.startedAtMs
        const ended = signal === null ? whyItEnded(hands, record.logFrom, code) : noWords
        // Of a large dataset it may have read for minutes.
        record.failures = signal === null && (livedMs < 3000 || ended.asItLoaded) ? record.failures + 1 : 0
        record.child = null
        const words = record.failures > 0 ? ended : noWords
        hands.exited(
          `redis ended (${signal ?? `exit ${code ?? '?'}`}) after ${Math.round(livedMs)} ms${words.text === '' ? '' : `: ${words.text}`}`,
          record.failures,
          words.ofConf ? '' : words.text,
        )
      })
      child.unref()
    })
  } catch (error) {
    return failed(`cannot start redis: ${(error as Error).message}`)
  }
}

async function prepareStart(hands: RedisHands, load?: 'aof' | 'rdb'): Promise<Outcome> {
  const written = await writeRedisConf(hands, load)
  if (!written.done) return written
  try {
    await rememberStart(hands, safeLimits(hands.group, hands.userConf))
    return done
  } catch (error) {
    return failed(`cannot prepare redis: ${(error as Error).message}`)
  }
}

/** `persistence`: of the redis that runs; absent: a start. */
export async function writeRedisConf(hands: RedisHands, load?: 'aof' | 'rdb', persistence?: Persistence): Promise<Outcome> {
  const { paths } = hands.config
  try {
    const { stdout } = await promisify(execFile)(paths.redisServer, ['--version'], { timeout: versionDeadlineMs })
    const serverVersion = readVersion(stdout)
    if (serverVersion === null) return failed(`${paths.redisServer} --version tells no version: ${stdout.slice(0, 80)}`)
    if (serverVersion.major < 4)
      return failed(`HF402: redis ${serverVersion.major}.${serverVersion.minor} has no replication ids (4.0 has); a group needs them to compare data`)
    if (hands.sentinelKeys !== undefined && (serverVersion.major < 6 || (serverVersion.major === 6 && serverVersion.minor < 2)))
      return failed(`HF402: redis ${serverVersion.major}.${serverVersion.minor} cannot limit what a Sentinel may do (6.2 can); mode: sentinel needs that`)
    await mkdir(redisDataDir(paths, hands.group.name), { recursive: true, mode: 0o750 })
    await mkdir(groupRunDir(paths, hands.group.name), { recursive: true, mode: 0o750 })
    const rendered = renderRedisConf({
      config: hands.config,
      group: hands.group,
      member: hands.member,
      password: hands.password,
      otherPassword: hands.otherPassword,
      serverVersion,
      ...(hands.userConf === undefined ? {} : { userConf: hands.userConf }),
      ...(load === undefined ? {} : { load }),
      ...(persistence === undefined ? {} : { persistence }),
      sentinelKeys: hands.sentinelKeys,
    })
    for (const note of rendered.notes) hands.note(note)
    const file = redisConfFile(paths, hands.group.name)
    await writeFile(file, rendered.text, { mode: 0o600 })
    await chmod(file, 0o600)
    return done
  } catch (error) {
    return failed(`cannot prepare redis: ${(error as Error).message}`)
  }
}

interface EndWords {
  readonly text: string
  /** A directive is the reason: said to those who judge its files, `aof-use-rdb-preamble` would be a damaged AOF. */
  readonly ofConf: boolean
  /** It never came to serve what it read. */
  readonly asItLoaded: boolean
}
const noWords: EndWords = { text: '', ofConf: false, asItLoaded: false }

/** redis' own word of why it ended. After a file that it cannot read, a report of that file follows, whose end says nothing. */
function whyItEnded(hands: RedisHands, logFrom: number, code: number | null = 1): EndWords {
  try {
    const log = openSync(redisLogFile(hands.config.paths, hands.group.name), 'r')
    try {
      const buffer = Buffer.alloc(maxWordsBytes)
      const said = buffer.toString('utf8', 0, readSync(log, buffer, 0, maxWordsBytes, logFrom)).trimEnd()
      const refused = fatalWords(said).map(withoutSecrets)
      if (refused.length > 0)
        return { text: `HF403 it refuses its redis.conf: ${refused.map(({ text, why }) => `${text}: ${why}`).join('; ')}`, ofConf: true, asItLoaded: false }
      const lines = said.split('\n')
      const telling = lines.findLast(
        (line) => / # /.test(line) && /error|bad file|short read|wrong signature|can't|cannot|could not|fatal|unexpected/i.test(line),
      )
      const first = lines.find(
        (line) => / # /.test(line) && /bad file|short read|wrong signature|can't handle|unknown|missing|wrong RDB checksum|unexpected end of file/i.test(line),
      )
      const text = (first ?? telling ?? lines.at(-1) ?? '').replace(/^.*? # /, '').slice(0, 300)
      // With a loglevel above notice neither is told: then only how long it lived says anything.
      const asItLoaded = code !== 0 && / \* /.test(said) && !/Ready to accept connections/.test(said)
      return { text, ofConf: false, asItLoaded }
    } finally {
      closeSync(log)
    }
  } catch {
    return { ...noWords, text: 'it left no log' }
  }
}

/** CONFIG SET, and the file of the next start says the same. */
export async function settleAof(hands: RedisHands, to: 'yes' | 'no'): Promise<Outcome> {
  const set = await command(hands, 'CONFIG', 'SET', 'appendonly', to)
  if (!set.done) return set
  const written = await writeRedisConf(hands)
  if (written.done) {
    hands.note(`AOF is turned ${to === 'yes' ? 'on' : 'off'}, as configured, now that the data are loaded`)
    hands.diskChanged()
  }
  return written
}

/** What the file of the next start says of the AOF; null: it is not there. */
export function appendonlyInFile(paths: Config['paths'], group: string): 'yes' | 'no' | null {
  try {
    const last = /.*^appendonly (yes|no)$/ms.exec(readFileSync(redisConfFile(paths, group), 'utf8'))?.[1]
    return last === 'yes' || last === 'no' ? last : null
  } catch {
    return null
  }
}

/** The redis that runs was started with another `appendonly` than the one configured. */
export function isStartedOtherwise(paths: Config['paths'], group: string): boolean {
  try {
    return readFileSync(redisConfFile(paths, group), 'utf8').includes(otherAofMark)
  } catch {
    return false
  }
}

/** Gives a replica's dataset up: only `reinit` asks for it. */
export async function wipeRedis(hands: RedisHands, pid: number | null): Promise<Outcome> {
  const dir = redisDataDir(hands.config.paths, hands.group.name)
  try {
    if (pid !== null) {
      const killed = await killRedis(pid)
      if (!killed.done) return killed
    }
    for (const name of await readdir(dir)) await rm(`${dir}/${name}`, { recursive: true, force: true })
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') return failed(`cannot empty ${dir}: ${(error as Error).message}`)
  }
  const record = starts.get(hands)
  if (record !== undefined) record.child = null
  return startRedis(hands)
}
