/**
 * Do two redises hold the same, values and times to live, in both directions, while the first is written to? Every key that is there all the while is read (what SCAN
 * promises); what differs in passing is settled (settle.ts), so what is told as different is, and what is told as equal was equal at one moment after this began.
 */
import { RawError, type RawRedis } from '../redis/raw.ts'
import type { Bucket } from './digest.ts'
import { sameEnd, settle, type Sides, type What } from './settle.ts'

const mostNamed = 10_000

export interface Difference {
  readonly database: number
  /** Bytes as latin1. */
  readonly key: string
  readonly what: What
}

export interface Verified {
  /** Of the target, each compared with the source; some more than once where SCAN named them so. */
  readonly keys: number
  readonly same: number
  readonly differ: number
  /** The first of them. */
  readonly differences: readonly Difference[]
  readonly unsettled: readonly Omit<Difference, 'what'>[]
  /** Of the source, each looked for at the target. */
  readonly asked: number
  readonly tookMs: number
}

export interface VerifyOptions {
  readonly sides: Sides
  /** Of one question, each time that one is asked: a server answers nobody else meanwhile. */
  readonly pageKeys: () => number
  /** How long the source took for one. */
  readonly took: (ms: number) => void
  /** Questions that the source may have before it, beside the one that it answers: for whom nobody else matters. */
  readonly ahead: number
  /** Before the source is asked for a page: to let others go first. */
  readonly pause: () => Promise<void>
  readonly progress: (keys: number, of: number) => void
}

type Tally = { -readonly [key in keyof Omit<Verified, 'differences' | 'unsettled' | 'tookMs'>]: number } & {
  readonly differences: Difference[]
  readonly unsettled: Omit<Difference, 'what'>[]
}

/** Throws what a connection throws, and the reason of `signal`. */
export async function verify(options: VerifyOptions): Promise<Verified> {
  const { sides, progress } = options
  const { source, target } = sides
  const beganMs = performance.now()
  const tally: Tally = { keys: 0, same: 0, differ: 0, asked: 0, differences: [], unsettled: [] }
  const databases = [...new Set([...(await used(source.redis)).keys(), ...(await used(target.redis)).keys()])].sort((a, b) => a - b)
  const of = [...(await used(target.redis)).values()].reduce((sum, { keys }) => sum + keys, 0)
  for (const database of databases) {
    for (const [whose, { redis }] of [
      ['source', source],
      ['target', target],
    ] as const)
      await select(redis, whose, database)
    const run: Run = { ...options, database, tally, told: new Set(), tell: () => progress(tally.keys, of) }
    const withEnds = await haveEnds(sides, database)
    const before = { ...tally }
    await compareAll(run, withEnds)
    // Since it began somebody has given one an end, here or there: all are looked at once more, and only that counts.
    if (!withEnds && (await haveEnds(sides, database))) {
      Object.assign(tally, { keys: before.keys, same: before.same })
      await compareAll(run, true)
    }
    await lookForAll(run)
  }
  return { ...tally, tookMs: performance.now() - beganMs }
}

interface Run extends VerifyOptions {
  readonly database: number
  readonly tally: Tally
  /** Keys of this database that were told as different, or as not settled. */
  readonly told: Set<string>
  readonly tell: () => void
}

/** Whatever the target has. It serves nobody yet, so it is the one that is asked what is there, and how large. */
async function compareAll(run: Run, withEnds: boolean): Promise<void> {
  const { sides, pause, pageKeys, took, ahead, tally, tell } = run
  const { source, target, signal } = sides
  const asked: { readonly keys: readonly Buffer[]; readonly theirs: Bucket; readonly mine: Promise<Bucket> }[] = []
  const finish = async (most: number): Promise<void> => {
    for (const { keys, theirs, mine } of asked.splice(0, Math.max(0, asked.length - most))) {
      const isSame = sameBucket(sides, await mine, theirs)
      tally.keys += keys.length
      if (isSame) tally.same += keys.length
      else await settleAll(run, await doubtful(sides, keys, tally))
      tell()
    }
  }
  let next = target.digests.page('0', pageKeys(), withEnds)
  // It may never be waited for, where it is broken off first.
  next.catch(() => undefined)
  for (;;) {
    signal.throwIfAborted()
    const { cursor, keys, bucket, strings } = await next
    await pause()
    // The target makes the next page while the source answers for this one.
    if (cursor !== '0') next = target.digests.page(cursor, pageKeys(), withEnds)
    next.catch(() => undefined)
    if (keys.length > 0) {
      const beganMs = performance.now()
      const mine = source.digests.bucket(keys, strings, withEnds)
      if (ahead === 0)
        void mine.then(
          () => took(performance.now() - beganMs),
          () => undefined,
        )
      // Told when it is waited for.
      mine.catch(() => undefined)
      asked.push({ keys, theirs: bucket, mine })
    }
    await finish(cursor === '0' ? 0 : ahead)
    if (cursor === '0') return
  }
}

/** Whatever the source has, and the target may lack. */
async function lookForAll(run: Run): Promise<void> {
  const { sides, pause, pageKeys, tally } = run
  const { source, target, signal } = sides
  let next = scan(source.redis, '0', pageKeys())
  next.catch(() => undefined)
  for (;;) {
    signal.throwIfAborted()
    const { cursor, keys } = await next
    await pause()
    if (cursor !== '0') next = scan(source.redis, cursor, pageKeys())
    next.catch(() => undefined)
    tally.asked += keys.length
    const before = tally.same
    await settleAll(run, await notIn(target.redis, keys))
    // What is there by now was counted with the target's own, or came since.
    tally.same = before
    if (cursor === '0') return
  }
}

async function settleAll({ sides, database, tally, told }: Run, keys: readonly Buffer[]): Promise<void> {
  if (keys.length === 0) return
  const found = await settle(sides, keys)
  tally.same += found.same
  const isNew = (key: Buffer): boolean => {
    const name = key.toString('latin1')
    if (told.has(name)) return false
    told.add(name)
    return true
  }
  for (const { key, what } of found.differ) {
    if (!isNew(key)) continue
    tally.differ += 1
    if (tally.differences.length < mostNamed) tally.differences.push({ database, key: key.toString('latin1'), what })
  }
  for (const key of found.unsettled) if (isNew(key)) tally.unsettled.push({ database, key: key.toString('latin1') })
}

async function haveEnds({ source, target }: Sides, database: number): Promise<boolean> {
  const [mine, theirs] = [await used(source.redis), await used(target.redis)]
  return [mine, theirs].some((all) => (all.get(database)?.expires ?? 0) > 0)
}

export function sameBucket(sides: Sides, mine: Bucket, theirs: Bucket): boolean {
  if (mine.sha1 !== theirs.sha1 || mine.large > 0 || theirs.large > 0) return false
  return mine.expiresMs.every((end, i) => sameEnd(sides, end, theirs.expiresMs[i] ?? Number.NaN))
}

/** Of a page that is not equal as a whole: those keys that are not, by what can be seen in passing. */
async function doubtful(sides: Sides, keys: readonly Buffer[], tally: { same: number }): Promise<readonly Buffer[]> {
  const { source, target } = sides
  const [mine, theirs] = [await source.digests.each(keys), await target.digests.each(keys)]
  const left = keys.filter((_, i) => {
    const [a, b] = [mine[i], theirs[i]]
    if (a === undefined || b === undefined || a.digest.kind !== 'value' || b.digest.kind !== 'value') return true
    return a.digest.sha1 !== b.digest.sha1 || !sameEnd(sides, a.expiresMs, b.expiresMs)
  })
  tally.same += keys.length - left.length
  return left
}

async function notIn(redis: RawRedis, keys: readonly Buffer[]): Promise<readonly Buffer[]> {
  if (keys.length === 0) return []
  const all = await redis.call('EXISTS', ...keys)
  if (all === keys.length) return []
  // Before 3.0.3 it takes one key.
  const each = await redis.pipeline(keys.map((key) => ['EXISTS', key]))
  const refused = each.find((reply) => reply instanceof RawError)
  if (refused instanceof RawError) throw new Error(refused.text)
  return keys.filter((_, i) => each[i] === 0)
}

async function scan(redis: RawRedis, cursor: string, pageKeys: number): Promise<{ readonly cursor: string; readonly keys: readonly Buffer[] }> {
  const page = await redis.call('SCAN', cursor, 'COUNT', String(pageKeys))
  if (page instanceof RawError) throw new Error(page.text)
  const [next, keys] = page as readonly [Buffer, readonly Buffer[]]
  return { cursor: next.toString(), keys }
}

async function select(redis: RawRedis, whose: string, database: number): Promise<void> {
  const answer = await redis.call('SELECT', String(database))
  if (answer instanceof RawError && answer.text.startsWith('NOPERM')) throw new Error(answer.text)
  if (answer instanceof RawError) throw new Error(`the ${whose} has no database ${database} (${answer.text}): what is written there goes elsewhere (trap P2)`)
}

export async function used(redis: RawRedis): Promise<ReadonlyMap<number, { readonly keys: number; readonly expires: number }>> {
  const answer = await redis.call('INFO', 'keyspace')
  if (answer instanceof RawError) throw new Error(answer.text)
  const all = String(answer).matchAll(/^db(\d+):keys=(\d+),expires=(\d+)/gm)
  return new Map([...all].map(([, database, keys, expires]) => [Number(database), { keys: Number(keys), expires: Number(expires) }]))
}
