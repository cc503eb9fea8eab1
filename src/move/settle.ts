/**
 * Whether two redises differ in some keys while one of them is written to, proven: the keys are watched, read at the source, the target is waited for until it has
 * all that the source had sent by then, and read there; if nobody has touched them meanwhile (EXEC), what differs differs. No pause, no guess by time.
 */
import { setTimeout as delay } from 'node:timers/promises'
import { factsFromInfo } from '../redis/info.ts'
import { RawError, type RawRedis } from '../redis/raw.ts'
import { sameStream, sameValue } from '../redis/same-value.ts'
import type { Digested, Digester } from './digest.ts'

export interface Side {
  readonly redis: RawRedis
  readonly digests: Digester
  /** Its clock minus ours. */
  readonly aheadMs: number
}

export interface Sides {
  readonly source: Side
  readonly target: Side
  /** Times to live are points in time on both: equal, or not. Else they may differ by what a command takes on its way. */
  readonly absolute: boolean
  /** The target follows the source. false: both are watched, for neither is told by the other what it has. */
  readonly follows: boolean
  readonly signal: AbortSignal
}

export type What = 'missing' | 'extra' | 'value' | 'time to live'

export interface Found {
  readonly key: Buffer
  readonly what: What
}

export interface Settled {
  readonly same: number
  readonly differ: readonly Found[]
  /** Written to so often that no moment was found. */
  readonly unsettled: readonly Buffer[]
}

/** Of times to live that travel as durations: what a command takes on its way, and a replica that is a little behind. */
const toleranceMs = 1000
const tries = 20
const togetherMost = 64
const catchUpMs = 10_000

/** Throws what a connection throws, and the reason of `signal`. */
export async function settle(sides: Sides, keys: readonly Buffer[]): Promise<Settled> {
  let same = 0
  const differ: Found[] = []
  const unsettled: Buffer[] = []
  for (let at = 0; at < keys.length; at += togetherMost) {
    const some = keys.slice(at, at + togetherMost)
    const all = await attempt(sides, some)
    if (all !== null) {
      same += some.length - all.length
      differ.push(...all)
      continue
    }
    // One of them was written to: each by itself.
    for (const key of some) {
      const one = await settleOne(sides, key)
      if (one === null) unsettled.push(key)
      else if (one.length === 0) same += 1
      else differ.push(...one)
    }
  }
  return { same, differ, unsettled }
}

async function settleOne(sides: Sides, key: Buffer): Promise<readonly Found[] | null> {
  for (let round = 0; round < tries; round += 1) {
    const found = await attempt(sides, [key])
    if (found !== null) return found
    sides.signal.throwIfAborted()
  }
  return null
}

/** null: somebody has written to one of them meanwhile. */
async function attempt(sides: Sides, keys: readonly Buffer[]): Promise<readonly Found[] | null> {
  const { source, target, follows, signal } = sides
  signal.throwIfAborted()
  const watched = follows ? [source.redis] : [source.redis, target.redis]
  try {
    for (const redis of watched) good(await redis.call('WATCH', ...keys))
    const mine = await source.digests.each(keys)
    if (follows) await hasAllOf(source.redis, target.redis, signal)
    const theirs = await target.digests.each(keys)
    const found: Found[] = []
    for (const [i, key] of keys.entries()) {
      const what = await difference(sides, key, mine[i], theirs[i])
      if (what !== null) found.push({ key, what })
    }
    for (const redis of watched) if (!(await untouched(redis))) return null
    return found
  } finally {
    // After EXEC nothing is watched; where it was not come to, what is watched would fail the next one.
    for (const redis of watched) await redis.call('UNWATCH').catch(() => null)
  }
}

async function untouched(redis: RawRedis): Promise<boolean> {
  const [, done] = await redis.pipeline([['MULTI'], ['EXEC']])
  if (done instanceof RawError) throw new Error(done.text)
  return Array.isArray(done)
}

async function difference(sides: Sides, key: Buffer, mine: Digested | undefined, theirs: Digested | undefined): Promise<What | null> {
  if (mine === undefined || theirs === undefined) throw new Error('a redis did not answer for each key')
  const [a, b] = [mine.digest, theirs.digest]
  if (a.kind === 'missing') return b.kind === 'missing' ? null : 'extra'
  if (b.kind === 'missing') return 'missing'
  const isEqual = a.kind === 'value' && b.kind === 'value' && a.sha1 === b.sha1
  if (!isEqual && !(await sameInPieces(sides, key))) return 'value'
  return sameEnd(sides, mine.expiresMs, theirs.expiresMs) ? null : 'time to live'
}

/** The digests differ also where a value is large, or is sorted otherwise by the locale of a server. */
async function sameInPieces({ source, target }: Sides, key: Buffer): Promise<boolean> {
  const [a, b] = [source.redis, target.redis]
  const type = String(await a.call('TYPE', key))
  if (type === 'stream') return String(await b.call('TYPE', key)) === 'stream' && (await sameStream(a, b, key))
  return sameValue(a, b, key)
}

export function sameEnd({ source, target, absolute }: Pick<Sides, 'source' | 'target' | 'absolute'>, a: number, b: number): boolean {
  if (a < 0 || b < 0) return a < 0 && b < 0
  if (absolute) return a === b
  // As a point in time from an RDB, or as a duration from the stream: then by the clock of whoever received it.
  const byClock = Math.abs(a - source.aheadMs - (b - target.aheadMs))
  return Math.min(Math.abs(a - b), byClock) <= toleranceMs
}

/** Until the target has read all that the source had sent when it was asked. */
export async function hasAllOf(source: RawRedis, target: RawRedis, signal: AbortSignal): Promise<number> {
  const wanted = await offsetOf(source, 'source')
  const endMs = performance.now() + catchUpMs
  for (;;) {
    const has = await offsetOf(target, 'target')
    if (has.replid !== wanted.replid) throw new Error('the target does not follow the source any more')
    if (has.offset >= wanted.offset) return wanted.offset
    if (performance.now() > endMs)
      throw new Error(`the target is ${wanted.offset - has.offset} bytes behind, and has not come closer for ${catchUpMs / 1000} s`)
    await delay(1, undefined, { signal })
  }
}

async function offsetOf(redis: RawRedis, whose: string): Promise<{ readonly replid: string; readonly offset: number }> {
  const answer = await redis.call('INFO')
  const facts = factsFromInfo(answer instanceof RawError ? '' : String(answer))
  if (facts === null) throw new Error(`the ${whose} tells no offset: ${answer instanceof RawError ? answer.text : 'INFO is something else'}`)
  if (whose === 'target' && !facts.linkUp) throw new Error('the replication link of the target is down')
  return facts
}

function good(reply: unknown): void {
  if (reply instanceof RawError) throw new Error(reply.text)
}
