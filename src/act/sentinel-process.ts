/**
 * The Sentinel of one group on this host, as a process: adopted if it runs, else started detached (INV-7). ITS FILE IS ITS MEMORY (votes,
 * epochs, id): written only where there is none, never by a start; a vote that was forgotten would be given twice.
 */
import { spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { closeSync, constants, fstatSync, openSync, readFileSync, readSync } from 'node:fs'
import { mkdir, rename } from 'node:fs/promises'
import { done, failed, waiting, type Outcome } from '../model/outcome.ts'
import { sentinelConfFile, sentinelDir, sentinelLogFile } from '../model/paths.ts'
import { isSameProcess, readProcess, type ProcessId } from '../observe/process.ts'
import type { Watched } from '../model/sentinel.ts'
import { parseInfo } from '../redis/info.ts'
import { openRedis, type RedisTarget } from '../redis/link.ts'
import { readSentinelConf, renderSentinelConf, settingsOf, withIdentity, type SentinelConfInput } from '../render/sentinel-conf.ts'
import { isInstalled } from '../trial/programs.ts'
import { writeDurably } from './durable.ts'
import { holdsWithin } from './ending.ts'

const askDeadlineMs = 1000
/** One that lived for so long was well. */
const wellAfterMs = 3000
const maxWordsBytes = 16_384
/** It writes its file before it goes. */
const stopDeadlineMs = 3000

export interface SentinelProcess {
  /** It runs, ours; if not, it is started. Idempotent. */
  readonly ensure: () => Promise<Outcome>
  readonly pid: () => number | null
  /** It was never started here. */
  readonly isNew: () => boolean
  /** Stopped, and started as itself: with the votes that it gave, and an id that nobody else has. */
  readonly renewId: () => Promise<Outcome>
}

export interface SentinelProcessOptions extends Omit<SentinelConfInput, 'watched'> {
  readonly watched: () => Watched
  readonly target: RedisTarget
  readonly note: (text: string) => void
  /** The process that was started here has ended. */
  readonly exited: () => void
}

export function sentinelProcess(options: SentinelProcessOptions): SentinelProcess {
  const { config, group, target } = options
  const file = sentinelConfFile(config.paths, group.name)
  const logFile = sentinelLogFile(config.paths, group.name)
  let known: ProcessId | null = null
  let failures = 0
  let startedMs = Number.NEGATIVE_INFINITY
  let logFrom = 0

  /** Only by its own word: a port can be anybody's. `absent`: nobody listens. */
  async function whoListens(): Promise<'absent' | Outcome> {
    const opened = await openRedis(target, askDeadlineMs, () => {})
    if (!opened.ok) {
      if (opened.why.includes('ECONNREFUSED')) return 'absent'
      return notASentinel(opened.why)
    }
    try {
      const answer = await opened.value.call(['INFO', 'server'], askDeadlineMs)
      if (!answer.ok) return notASentinel(answer.why)
      const info = parseInfo(String(answer.value))
      const from = info.get('config_file') ?? ''
      // Valkey has another name for it.
      const mode = info.get('redis_mode') ?? info.get('server_mode') ?? 'program'
      if (mode !== 'sentinel' || from !== file)
        return failed(
          `the ${mode} on port ${target.port} (pid ${info.get('process_id') ?? '?'}) was started from ${from === '' ? 'no file' : from}, not by Holdfast: it is left alone (HF204)`,
        )
      known = readProcess(Number(info.get('process_id')))
      return done
    } finally {
      opened.value.close()
    }
  }

  function notASentinel(why: string): Outcome {
    return /WRONGPASS|NOAUTH|without any password/.test(why)
      ? failed(`the Sentinel on port ${target.port} has another password than the one configured (HF401): ${why}`)
      : waiting(`what listens on port ${target.port} does not answer as a Sentinel: ${why}`)
  }

  async function ensure(): Promise<Outcome> {
    if (known !== null && isSameProcess(known)) return done
    known = null
    const listens = await whoListens()
    if (listens !== 'absent') return listens
    const backoffMs = Math.min(5000, 100 * 2 ** failures)
    if (failures > 0 && performance.now() - startedMs < backoffMs)
      return waiting(`the Sentinel ended at once, tried again every ${backoffMs / 1000} s: ${lastWords()}`)
    try {
      const prepared = await prepareFile()
      return prepared.done ? await start() : prepared
    } catch (error) {
      return failed(`cannot start the Sentinel: ${(error as Error).message}`)
    }
  }

  async function prepareFile(): Promise<Outcome> {
    // Closed to others: a Sentinel that writes its file anew makes it readable to all, and it holds passwords.
    await mkdir(sentinelDir(config.paths, group.name), { recursive: true, mode: 0o700 })
    const { port } = settingsOf(group)
    const text = readText(file)
    if (text !== null) {
      const memory = readSentinelConf(text, group.name)
      // It says so at its start, in what is its output before its log is open.
      const isRefused = /FATAL CONFIG FILE ERROR/.test(words())
      if (memory.kind === 'ours' && !isRefused && memory.port !== port)
        return failed(`${file} is of a Sentinel on port ${memory.port ?? '?'}, the configuration says ${port}: correct it there, for the file holds its votes`)
      if (memory.kind === 'ours' && !isRefused) return done
      // What no Sentinel has ever read holds no memory.
      if (memory.begun || memory.kind === 'other') {
        await rename(file, `${file}.${memory.kind === 'other' ? 'other' : 'unreadable'}`)
        const why = memory.kind === 'other' ? `is not of group ${group.name}` : 'cannot be read by a Sentinel'
        options.note(`${file} ${why}: it was put aside, and this Sentinel begins anew`)
      }
    }
    await writeDurably(file, renderSentinelConf({ ...options, watched: options.watched() }), 0o600)
    return done
  }

  async function start(): Promise<Outcome> {
    const log = openSync(logFile, constants.O_CREAT | constants.O_APPEND | constants.O_WRONLY, 0o640)
    logFrom = fstatSync(log).size
    const [program, args] = await sentinelCommand(config.paths, file)
    const child = spawn(program, args, { detached: true, stdio: ['ignore', log, log] })
    closeSync(log)
    startedMs = performance.now()
    return await new Promise((resolve) => {
      child.once('error', (error) => {
        failures += 1
        resolve(failed(`cannot start ${program}: ${error.message}`))
      })
      child.once('spawn', () => {
        known = child.pid === undefined ? null : readProcess(child.pid)
        resolve(done)
      })
      child.once('exit', () => {
        failures = performance.now() - startedMs < wellAfterMs ? failures + 1 : 0
        options.exited()
      })
      child.unref()
    })
  }

  /** Its file is changed only while it does not run: it would be written over. */
  async function renewId(): Promise<Outcome> {
    const ensured = await ensure()
    if (!ensured.done) return ensured
    const running = known
    const ip = config.hosts[options.host]?.ip
    if (running === null || ip === undefined) return failed('its process is not known')
    try {
      process.kill(running.pid, 'SIGTERM')
      if (!(await holdsWithin(stopDeadlineMs, () => !isSameProcess(running)))) return failed(`it does not end (pid ${running.pid})`)
      const text = readText(file)
      if (text !== null) await writeDurably(file, withIdentity(text, randomBytes(20).toString('hex'), ip), 0o600)
      failures = 0
      return await start()
    } catch (error) {
      return failed(`it cannot be given another id: ${(error as Error).message}`)
    }
  }

  /** What the last start has said. */
  function words(): string {
    if (startedMs === Number.NEGATIVE_INFINITY || failures === 0) return ''
    try {
      const log = openSync(logFile, 'r')
      try {
        const buffer = Buffer.alloc(maxWordsBytes)
        return buffer.toString('utf8', 0, readSync(log, buffer, 0, maxWordsBytes, logFrom)).trim()
      } finally {
        closeSync(log)
      }
    } catch {
      return ''
    }
  }

  function lastWords(): string {
    return words().split('\n').slice(-3).join(' ').slice(0, 300)
  }

  return { ensure, pid: () => (known !== null && isSameProcess(known) ? known.pid : null), isNew: () => known === null && readText(file) === null, renewId }
}

/** What the file says of how its Sentinel comes to redis; null: there is no such file. */
export function sentinelMemory(options: Pick<SentinelProcessOptions, 'config' | 'group'>): ReturnType<typeof readSentinelConf> | null {
  const text = readText(sentinelConfFile(options.config.paths, options.group.name))
  return text === null ? null : readSentinelConf(text, options.group.name)
}

function readText(file: string): string | null {
  try {
    return readFileSync(file, 'utf8')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null
    throw error
  }
}

type Paths = SentinelProcessOptions['config']['paths']

/** The same program under two names: Debian's package redis-sentinel brings the one, redis-server the other. */
async function sentinelCommand(paths: Paths, file: string): Promise<readonly [program: string, args: string[]]> {
  return (await isInstalled(paths.redisSentinel)) ? [paths.redisSentinel, [file]] : [paths.redisServer, [file, '--sentinel']]
}
