/**
 * Whether two redises differ in some keys while one of them is written to, proven: the keys are watched, read at the source, the target is waited for until it has
 * all that the source had sent by then, and read there; if nobody has touched them meanwhile (EXEC), what differs differs. No pause, no guess by time.
 */
import { setTimeout as delay } from 'node:timers/promises'
import { historyOf } from '../migrate/follows.ts'
import type { RedisFacts } from '../model/view.ts'
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
  /** Written to so often that no moment was found; or of a type that only its module reads. */
  readonly unsettled: readonly Buffer[]
}

/** `later`: an end is so near that the two clocks need not agree on it. */
type Answer = What | 'same' | 'unknown' | { readonly laterMs: number }

/** Of times to live that travel as durations: what a command takes on its way, and a replica that is a little behind. */
const toleranceMs = 1000
const tries = 20
const togetherMost = 64
const stuckMs = 10_000

/** Throws what a connection throws, and the reason of `signal`. */
export async function settle(sides: Sides, keys: readonly Buffer[]): Promise<Settled> {
  const found: { same: number; differ: Found[]; unsettled: Buffer[] } = { same: 0, differ: [], unsettled: [] }
  const take = (key: Buffer, answer: Answer | null): void => {
    if (answer === 'same') found.same += 1
    else if (answer === null || answer === 'unknown' || typeof answer === 'object') found.unsettled.push(key)
    else found.differ.push({ key, what: answer })
  }
  for (let at = 0; at < keys.length; at += togetherMost) {
    const some = keys.slice(at, at + togetherMost)
    const all = await attempt(sides, some)
    // Where one of them was written to: each by itself.
    for (const [i, key] of some.entries()) {
      const answer = all?.[i] ?? null
      take(key, answer === null || typeof answer === 'object' ? await settleOne(sides, key) : answer)
    }
  }
  return found
}

async function settleOne(sides: Sides, key: Buffer): Promise<Answer | null> {
  for (let round = 0; round < tries; round += 1) {
    const answer = (await attempt(sides, [key]))?.[0] ?? null
    if (answer !== null && typeof answer !== 'object') return answer
    await delay(answer === null ? 0 : answer.laterMs, undefined, { signal: sides.signal })
  }
  return null
}

/** null: somebody has written to one of them meanwhile. */
async function attempt(sides: Sides, keys: readonly Buffer[]): Promise<readonly Answer[] | null> {
  const { source, target, follows, signal } = sides
  signal.throwIfAborted()
  const watched = follows ? [source.redis] : [source.redis, target.redis]
  try {
    for (const redis of watched) good(await redis.call('WATCH', ...keys))
    const mine = await source.digests.each(keys)
    if (follows) await hasAllOf(source.redis, target.redis, signal)
    const theirs = await target.digests.each(keys)
    const answers: Answer[] = []
    for (const [i, key] of keys.entries()) answers.push(await compared(sides, key, mine[i], theirs[i]))
    for (const redis of watched) if (!(await untouched(redis))) return null
    return answers
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

async function compared(sides: Sides, key: Buffer, mine: Digested | undefined, theirs: Digested | undefined): Promise<Answer> {
  if (mine === undefined || theirs === undefined) throw new Error('a redis did not answer for each key')
  const [a, b] = [mine.digest, theirs.digest]
  if (a.kind === 'missing') return b.kind === 'missing' ? 'same' : nearEnd(sides, 'target', theirs.expiresMs, 'extra')
  // A replica hides by its own clock what has expired, and its primary by its own; before 6.0.9 an end in the window is not noticed either.
  if (b.kind === 'missing') return nearEnd(sides, 'source', mine.expiresMs, 'missing')
  const isEqual = a.kind === 'value' && b.kind === 'value' && a.sha1 === b.sha1
  if (!isEqual) {
    const inPieces = await sameInPieces(sides, key)
    if (inPieces !== 'same') return inPieces
  }
  return sameEnd(sides, mine.expiresMs, theirs.expiresMs) ? 'same' : 'time to live'
}

function nearEnd(sides: Sides, whose: 'source' | 'target', expiresMs: number, what: What): Answer {
  if (expiresMs < 0) return what
  const skewMs = Math.abs(sides.source.aheadMs - sides.target.aheadMs)
  const leftMs = expiresMs - (Date.now() + sides[whose].aheadMs)
  return leftMs <= skewMs + toleranceMs ? { laterMs: Math.max(1, leftMs + skewMs + 50) } : what
}

const readable = ['string', 'list', 'hash', 'set', 'zset']

/** The digests differ also where a value is large, or is sorted otherwise by the locale of a server. */
async function sameInPieces({ source, target }: Sides, key: Buffer): Promise<Answer> {
  const [a, b] = [source.redis, target.redis]
  const [type, other] = [String(await a.call('TYPE', key)), String(await b.call('TYPE', key))]
  if (type !== other) return 'value'
  if (type === 'stream') return (await sameStream(a, b, key, 'names')) ? 'same' : 'value'
  // What only a module reads may be packed in more than one way.
  if (!readable.includes(type)) return 'unknown'
  return (await sameValue(a, b, key)) ? 'same' : 'value'
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
  const wanted = await factsOf(source, 'source')
  let [endMs, bestOffset, waitMs] = [performance.now() + stuckMs, -1, 1]
  for (;;) {
    const has = await factsOf(target, 'target')
    if (has.replid !== '' && has.replid !== historyOf(wanted)) throw new Error('the target does not follow the source any more')
    if (!has.linkUp) throw new Error('the replication link of the target is down')
    if (has.offset >= wanted.offset) return wanted.offset
    // One that comes closer is waited for, however far it is behind.
    if (has.offset > bestOffset) [endMs, bestOffset] = [performance.now() + stuckMs, has.offset]
    if (performance.now() > endMs) throw new Error(`the target is ${wanted.offset - has.offset} bytes behind, and has not come closer for ${stuckMs / 1000} s`)
    await delay(waitMs, undefined, { signal })
    waitMs = Math.min(50, waitMs * 2)
  }
}

async function factsOf(redis: RawRedis, whose: string): Promise<RedisFacts> {
  const answer = await redis.call('INFO')
  const facts = factsFromInfo(answer instanceof RawError ? '' : String(answer))
  if (facts === null) throw new Error(`the ${whose} tells no offset: ${answer instanceof RawError ? answer.text : 'INFO is something else'}`)
  return facts
}

function good(reply: unknown): void {
  if (reply instanceof RawError) throw new Error(reply.text)
}
