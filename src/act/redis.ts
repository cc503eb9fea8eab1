/**
 * Everything that changes a redis: roles, pauses, fences, starting, killing, wiping. One idempotent executor each.
 * Decides nothing, and never waits long: what is not finished says so and is asked for again by the next cycle.
 */
import { execFile, spawn } from 'node:child_process'
import { constants, openSync, closeSync, readFileSync } from 'node:fs'
import { chmod, mkdir, readdir, rm, writeFile } from 'node:fs/promises'
import { promisify } from 'node:util'
import type { Config, GroupConfig, MemberConfig } from '../model/config.ts'
import { done, failed, type Outcome } from '../model/outcome.ts'
import { redisConfFile, redisDataDir, redisLogFile, groupRunDir } from '../model/paths.ts'
import { hasThreads, readProcess } from '../observe/process.ts'
import { versionOf } from '../redis/info.ts'
import type { RedisLink } from '../redis/link.ts'
import { renderRedisConf } from '../render/redis-conf.ts'

const commandDeadlineMs = 1000
const versionDeadlineMs = 5000
/** A large process takes its time to give its memory back before its sockets are closed. */
const killDeadlineMs = 5000

export interface RedisHands {
  readonly config: Config
  readonly group: GroupConfig
  readonly member: MemberConfig
  readonly password: string | undefined
  readonly userConf: string | undefined
  readonly link: () => RedisLink | null
  readonly started: (pid: number) => void
  /** The process that the agent started has ended. */
  readonly exited: (text: string) => void
  readonly note: (text: string, kind?: 'started' | 'kept') => void
}

/** All that a plain command needs. */
export type Linked = Pick<RedisHands, 'link'>

export async function command(hands: Linked, ...args: string[]): Promise<Outcome> {
  const link = hands.link()
  if (link === null) return failed('no connection to redis')
  const answer = await link.call(args, commandDeadlineMs)
  return answer.ok ? done : failed(`${args[0] ?? ''}: ${answer.why}`)
}

async function replicaOf(hands: Linked, host: string, port: string): Promise<Outcome> {
  const outcome = await command(hands, 'REPLICAOF', host, port)
  // Before redis 5.0 the command has its old name.
  return outcome.done || !/unknown command/i.test(outcome.why) ? outcome : command(hands, 'SLAVEOF', host, port)
}

export async function promote(hands: RedisHands): Promise<Outcome> {
  // Without replicas for an hour redis would drop its backlog and take a new id: every replica would then full-sync.
  const link = hands.link()
  const ttl = link?.call(['CONFIG', 'SET', 'repl-backlog-ttl', '0'], commandDeadlineMs)
  const outcome = await replicaOf(hands, 'NO', 'ONE')
  await ttl
  return outcome
}

export async function follow(hands: RedisHands, host: string, port: number): Promise<Outcome> {
  if (hands.password !== undefined) {
    const auth = await command(hands, 'CONFIG', 'SET', 'masterauth', hands.password)
    if (!auth.done) return auth
  }
  return replicaOf(hands, host, String(port))
}

export function softFence(hands: Linked): Promise<Outcome> {
  return replicaOf(hands, '127.0.0.1', '1')
}

export function pauseWrites(hands: RedisHands, forMs: number): Promise<Outcome> {
  return command(hands, 'CLIENT', 'PAUSE', String(forMs), 'WRITE')
}

export async function resumeWrites(hands: RedisHands): Promise<Outcome> {
  const outcome = await command(hands, 'CLIENT', 'UNPAUSE')
  // A redis before 6.2 knows neither the pause for writes nor its end.
  return outcome.done || !/unknown (sub)?command|Unknown subcommand|syntax error/i.test(outcome.why) ? outcome : done
}

export async function killClients(hands: Linked): Promise<Outcome> {
  const normal = await command(hands, 'CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes')
  const pubsub = await command(hands, 'CLIENT', 'KILL', 'TYPE', 'pubsub', 'SKIPME', 'yes')
  return normal.done ? pubsub : normal
}

/**
 * Waits until the process is gone: the kernel then has told every client (FIN or RST), from an address that must still
 * be here. With the VIP given up first, clients of a hung redis waited for their own timeout: 5 s instead of 20 ms.
 */
export async function killRedis(pid: number): Promise<Outcome> {
  try {
    if (readProcess(pid) !== null) process.kill(pid, 'SIGKILL')
  } catch (error) {
    return failed(`kill ${pid}: ${(error as Error).message}`)
  }
  const deadlineMs = performance.now() + killDeadlineMs
  while (readProcess(pid) !== null || hasThreads(pid)) {
    if (performance.now() > deadlineMs) return failed(`redis (pid ${pid}) did not end within ${killDeadlineMs} ms of SIGKILL`)
    await new Promise((resolve) => setTimeout(resolve, 1))
  }
  return done
}

interface StartRecord {
  startedAtMs: number
  failures: number
  child: number | null
}
const starts = new WeakMap<RedisHands, StartRecord>()

/** Starts redis detached, so that it outlives the agent (INV-7), as a replica of nobody (INV-2). */
export async function startRedis(hands: RedisHands): Promise<Outcome> {
  const record = starts.get(hands) ?? { startedAtMs: 0, failures: 0, child: null }
  starts.set(hands, record)
  if (record.child !== null && readProcess(record.child) !== null) return done
  const backoffMs = Math.min(5000, 200 * 2 ** record.failures)
  const agoMs = performance.now() - record.startedAtMs
  if (record.failures > 0 && agoMs < backoffMs) return failed(`redis ended at once, tried again every ${backoffMs / 1000} s: ${lastLogLine(hands)}`)
  const prepared = await writeRedisConf(hands)
  if (!prepared.done) return prepared
  const logFile = redisLogFile(hands.config.paths, hands.group.name)
  try {
    const log = openSync(logFile, constants.O_CREAT | constants.O_APPEND | constants.O_WRONLY, 0o640)
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
        record.failures = livedMs < 3000 && signal === null ? record.failures + 1 : 0
        record.child = null
        hands.exited(`redis ended (${signal ?? `exit ${code ?? '?'}`}) after ${Math.round(livedMs)} ms${record.failures > 0 ? `: ${lastLogLine(hands)}` : ''}`)
      })
      child.unref()
    })
  } catch (error) {
    return failed(`cannot start redis: ${(error as Error).message}`)
  }
}

async function writeRedisConf(hands: RedisHands): Promise<Outcome> {
  const { paths } = hands.config
  try {
    const { stdout } = await promisify(execFile)(paths.redisServer, ['--version'], { timeout: versionDeadlineMs })
    const serverVersion = versionOf(/v=(\S+)/.exec(stdout)?.[1] ?? stdout)
    if (serverVersion.major < 4)
      return failed(`HF402: redis ${serverVersion.major}.${serverVersion.minor} has no replication ids (4.0 has); a group needs them to compare data`)
    await mkdir(redisDataDir(paths, hands.group.name), { recursive: true, mode: 0o750 })
    await mkdir(groupRunDir(paths, hands.group.name), { recursive: true, mode: 0o750 })
    const rendered = renderRedisConf({
      config: hands.config,
      group: hands.group,
      member: hands.member,
      password: hands.password,
      serverVersion,
      ...(hands.userConf === undefined ? {} : { userConf: hands.userConf }),
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

/** The end of redis' own log, where it says why it ended. */
function lastLogLine(hands: RedisHands): string {
  try {
    const lines = readFileSync(redisLogFile(hands.config.paths, hands.group.name), 'utf8').trimEnd().split('\n')
    return lines.at(-1)?.slice(0, 300) ?? ''
  } catch {
    return 'it left no log'
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
