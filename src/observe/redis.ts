/**
 * The local redis of one group: holds one open connection so that its death is known within a millisecond, asks INFO,
 * and keeps the last answer. Read-only: it never starts, stops or configures anything (that is act/redis.ts).
 */
import type { RedisFacts, RedisProbe } from '../model/view.ts'
import { factsFromFields, parseInfo } from '../redis/info.ts'
import { observeBirth } from './birth.ts'
import { ordersReader } from './orders.ts'
import type { RedisFiles } from './redis-files.ts'
import { settingsReader } from './settings.ts'
import { writeMeter } from './write-meter.ts'
import { openRedis, type RedisLink, type RedisTarget } from '../redis/link.ts'
import { hasThreads, isRedis, isSameProcess, orphansOf, readProcess, type ProcessId } from './process.ts'

/** An INFO that has not come back after this long no longer holds up the cycle that asked. */
const answerDeadlineMs = 40
const connectDeadlineMs = 1000
/** About 1 ms each: the kernel needs a moment to close a dying process' sockets, and longer where there are thousands. */
const dyingRechecks = 100
/** A stopped redis is not given up on: the question stays open, because how long it has waited IS the measure of a hang. */
const infoDeadlineMs = Number.POSITIVE_INFINITY

/** While a child of it has its sockets open as well, none of them tells that it has died. */
const forkedLookMs = 20

export interface RedisObserver {
  /** Looks now; waits at most about 40 ms. Never throws. */
  readonly probe: (nowMs: number) => Promise<Omit<RedisProbe, 'fence'>>
  /** The open connection, for act/. null when there is none. */
  readonly link: () => RedisLink | null
  /** act/ tells which process it started, before the first answer could. */
  readonly expectProcess: (pid: number) => void
  /** act/ has changed what INFO does not tell. */
  readonly settingsChanged: () => void
  /** Of an external redis that was born fenced; null: of none that is known. */
  readonly files: () => RedisFiles | null
  readonly close: () => void
}

/**
 * `configFile`: the one from which Holdfast starts this redis; a process of another one is not adopted. Absent: any is (external).
 * `sentinelKeys`: the group has Sentinels, and these are the hashes of the passwords with which they may come.
 */
export type ObservedTarget = RedisTarget & { readonly configFile?: string; readonly sentinelKeys?: readonly string[] | undefined }

export function observeRedis(target: ObservedTarget, clock: () => number, wake: () => void): RedisObserver {
  let link: RedisLink | null = null
  let opening: Promise<void> | null = null
  let asking: Promise<void> | null = null
  /** Since when a live redis owes an answer. Survives reconnecting: a hung redis still accepts connections. */
  let waitingSinceMs: number | null = null
  let facts: RedisFacts | null = null
  let factsAtMs = Number.NEGATIVE_INFINITY
  let askedAtMs = Number.NEGATIVE_INFINITY
  let trouble: string | null = null
  let busy = false
  const meter = writeMeter()
  const settings = settingsReader()
  const orders = target.sentinelKeys === undefined ? null : ordersReader(target.sentinelKeys)
  let stranger = false
  let known: ProcessId | null = null
  let refused = false
  let closed = false
  let orphans: readonly ProcessId[] = []
  let watching: NodeJS.Timeout | null = null
  const birth = target.configFile === undefined ? observeBirth() : null

  function remember(pid: number): void {
    if (known?.pid !== pid && isRedis(pid)) known = readProcess(pid)
  }

  async function open(): Promise<void> {
    const opened = await openRedis(target, connectDeadlineMs, () => {
      forget()
      wake()
    })
    if (closed) {
      if (opened.ok) opened.value.close()
      return
    }
    if (opened.ok) {
      link = opened.value
      refused = false
      trouble = null
      return
    }
    refused = opened.why.includes('ECONNREFUSED')
    stranger = false
    // A refusal of any kind is an answer. Only silence may be taken for a hang, and lead to a kill.
    if (!/no answer within|ETIMEDOUT/.test(opened.why)) waitingSinceMs = null
    trouble = refused ? null : troubleOf(opened.why, target.port)
  }

  async function ask(current: RedisLink): Promise<void> {
    orders?.look(current, clock())
    const askingMs = clock()
    const answer = await current.call(['INFO'], infoDeadlineMs)
    if (!answer.ok) {
      busy = answer.why.startsWith('BUSY')
      // The client library knows that its socket is gone a moment before it says so.
      if (current.isOpen() && !/isn't writeable/.test(answer.why)) trouble = answer.why
      // -BUSY is not an answer: nobody is served while the script runs.
      if (!busy) waitingSinceMs = null
      return
    }
    const fields = parseInfo(typeof answer.value === 'string' ? answer.value : '')
    const parsed = factsFromFields(fields)
    busy = false
    waitingSinceMs = null
    stranger = parsed !== null && target.configFile !== undefined && parsed.configFile !== target.configFile
    trouble = parsed === null ? notRedis(target.port) : stranger ? strangerAt(parsed) : null
    if (parsed === null || stranger) return
    // Before anything is decided by it: what it has read from disk may be known (disk-sense.ts).
    if (birth !== null) await within(birth.saw(parsed, current), answerDeadlineMs)
    facts = parsed
    factsAtMs = clock()
    askedAtMs = askingMs
    meter.saw(parsed, fields, factsAtMs)
    settings.look(current, parsed, factsAtMs)
    remember(parsed.pid)
    watchFork(parsed.forked !== undefined)
  }

  function watchFork(forked: boolean): void {
    if (forked === (watching !== null)) return
    if (watching !== null) clearInterval(watching)
    watching = forked ? setInterval(() => isGone() && wake(), forkedLookMs).unref() : null
  }

  function isGone(): boolean {
    return known !== null && !isSameProcess(known) && !hasThreads(known.pid)
  }

  /** The connection has ended, or its process. What that one said is history; the next one on this port may be another. */
  function forget(): void {
    link = null
    factsAtMs = Number.NEGATIVE_INFINITY
    askedAtMs = Number.NEGATIVE_INFINITY
    waitingSinceMs = null
    watchFork(false)
  }

  /** Adopted unseen, another's redis would be made primary without a password, or be emptied by a full sync. */
  function strangerAt(found: RedisFacts): string {
    const whose = found.configFile === '' ? 'was started without a configuration file' : `was started from ${found.configFile}`
    return `the redis on port ${target.port} (pid ${found.pid}) ${whose}, not by Holdfast: it is left alone (HF204)`
  }

  async function processFact(): Promise<RedisProbe['process']> {
    // Whoever has the port now: ours does not run, and its address must not lead to another's data.
    if (stranger) return known !== null && isSameProcess(known)
    if (link !== null) return true
    if (known === null) return refused ? false : 'unknown'
    for (let i = 0; i < dyingRechecks; i += 1) {
      if (isGone()) return false
      // A process that lives but lost one connection is open again by now, or answers to nobody yet.
      if (!refused) return true
      await new Promise((resolve) => setTimeout(resolve, 1))
    }
    return isSameProcess(known)
  }

  return {
    async probe(nowMs) {
      // A child of it keeps the connection open.
      if (link !== null && isGone()) {
        link.close()
        forget()
      }
      if (link === null && opening === null) {
        waitingSinceMs ??= nowMs
        opening = open().finally(() => {
          opening = null
        })
      }
      if (opening !== null) await within(opening, answerDeadlineMs)
      if (link !== null && asking === null) {
        waitingSinceMs ??= clock()
        asking = ask(link).finally(() => {
          asking = null
        })
      }
      if (asking !== null) await within(asking, answerDeadlineMs)
      const process = await processFact()
      if (process === false && known !== null) orphans = orphansOf(known.pid)
      if (process === false) known = null
      orphans = orphans.filter(isSameProcess)
      const readMs = clock()
      return {
        process,
        pid: known?.pid ?? null,
        ...(orphans.length === 0 ? {} : { orphans }),
        facts,
        unansweredMs: waitingSinceMs === null || process === false ? 0 : Math.max(0, readMs - waitingSinceMs),
        factsAgeMs: Number.isFinite(factsAtMs) ? readMs - factsAtMs : Number.MAX_SAFE_INTEGER,
        askedAgeMs: Number.isFinite(askedAtMs) ? readMs - askedAtMs : Number.MAX_SAFE_INTEGER,
        trouble,
        busy,
        backlog: meter.backlog(),
        settings: settings.of(facts?.runId),
        ...(birth === null ? {} : { bornFenced: birth.fenced() }),
        ...(orders === null ? {} : { sentinelMay: orders.now() }),
      }
    },
    settingsChanged: () => {
      settings.forget()
      orders?.forget()
    },
    files: () => birth?.files() ?? null,
    link: () => (stranger ? null : link),
    expectProcess: (pid) => {
      known = readProcess(pid)
      facts = null
    },
    close: () => {
      closed = true
      watchFork(false)
      link?.close()
      link = null
    },
  }
}

function troubleOf(why: string, port: number): string {
  if (/WRONGPASS|NOAUTH|invalid.*password/i.test(why)) return `the password is refused (HF401): ${why}`
  // The client library's own words for an answer that is no RESP.
  return /RESP type|protocol error/i.test(why) ? notRedis(port) : why
}

function notRedis(port: number): string {
  return `what answers on port ${port} is not redis: another program has the port (HF204)`
}

function within(promise: Promise<void>, deadlineMs: number): Promise<void> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, deadlineMs)
    promise.finally(() => clearTimeout(timer)).then(resolve, reject)
  })
}
