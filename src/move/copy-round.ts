/**
 * Once over all keys of both: what differs is copied anew at once, and what only the target has is removed there. Where the target has nothing yet, all is copied
 * without being compared. A round proves nothing while clients write: what it finds is what has to be done.
 */
import { RawError, type RawRedis } from '../redis/raw.ts'
import { sameStream, sameValue } from '../redis/same-value.ts'
import type { RoundFound } from '../migrate/copy-rounds.ts'
import type { Events } from './copy-events.ts'
import { copyKeys, packedIn, writePacked } from './copy-keys.ts'
import { inDatabase, type KeysOptions } from './copy-words.ts'
import type { Governor } from './governor.ts'
import { sameEnd, type Sides } from './settle.ts'
import { sameBucket, used } from './verify.ts'

export interface RoundOptions extends KeysOptions {
  /** Connections of their own, for comparing. */
  readonly sides: Sides
  readonly governor: Governor
  readonly events: Events
  readonly tell: (keys: number, of: number) => void
}

/** Between two times at which what was told is copied. */
const drainEveryMs = 100
const drainKeys = 500

interface Run extends RoundOptions {
  readonly tally: { keys: number; differ: number }
  readonly of: number
  drainedMs: number
}

export async function round(options: RoundOptions): Promise<RoundFound> {
  const beganMs = performance.now()
  const { source, target } = options.sides
  const [mine, theirs] = [await used(source.redis), await used(target.redis)]
  const of = [...mine.values()].reduce((sum, { keys }) => sum + keys, 0)
  const run: Run = { ...options, tally: { keys: 0, differ: 0 }, of, drainedMs: beganMs }
  for (const database of [...new Set([...mine.keys(), ...theirs.keys()])].sort((a, b) => a - b)) {
    await choose(run, database)
    if ((theirs.get(database)?.keys ?? 0) === 0) await fill(run, database)
    else {
      await compareAll(run, database)
      await removeAlone(run, database)
    }
  }
  await drain(run)
  return { ...run.tally, tookMs: performance.now() - beganMs }
}

async function choose({ sides: { source, target } }: Run, database: number): Promise<void> {
  for (const [whose, { redis }] of [['source', source] as const, ['target', target] as const]) {
    const answer = await redis.call('SELECT', String(database))
    if (answer instanceof RawError) throw new Error(`the ${whose} has no database ${database}: ${answer.text}`)
  }
}

/** Read ahead by one page: while the target writes, the source is read. */
async function fill(run: Run, database: number): Promise<void> {
  const { sides, governor, signal } = run
  let writing: Promise<void> = Promise.resolve()
  for await (const keys of scannedBy(sides.source.redis, governor)) {
    signal.throwIfAborted()
    await governor.pause()
    let beganMs = performance.now()
    for await (const packed of packedIn(run, database, keys)) {
      governor.took(performance.now() - beganMs)
      await writing
      writing = writePacked(run, database, packed)
      // Told when it is waited for.
      writing.catch(() => undefined)
      beganMs = performance.now()
    }
    told(run, keys.length)
    if (performance.now() - run.drainedMs < drainEveryMs) continue
    // What was read before is written before: else it would come over what is newer.
    await writing
    await drain(run, drainKeys)
  }
  await writing
}

async function compareAll(run: Run, database: number): Promise<void> {
  const { sides, governor, signal } = run
  const { source, target } = sides
  let next = source.digests.page('0', governor.pageKeys(), true)
  // It may never be waited for, where it is broken off first.
  next.catch(() => undefined)
  for (;;) {
    signal.throwIfAborted()
    const beganMs = performance.now()
    const { cursor, keys, bucket, strings } = await next
    governor.took(performance.now() - beganMs)
    await governor.pause()
    if (cursor !== '0') next = source.digests.page(cursor, governor.pageKeys(), true)
    next.catch(() => undefined)
    if (keys.length > 0 && !sameBucket(sides, bucket, await target.digests.bucket(keys, strings, true)))
      await repair(run, database, await differing(sides, keys))
    told(run, keys.length)
    if (performance.now() - run.drainedMs >= drainEveryMs) await drain(run, drainKeys)
    if (cursor === '0') return
  }
}

/** Of databases that were there before: keys that the source has not, or not any more. */
async function removeAlone(run: Run, database: number): Promise<void> {
  const { sides, governor, signal } = run
  for await (const keys of scannedBy(sides.target.redis, governor)) {
    signal.throwIfAborted()
    await governor.pause()
    const there = await inDatabase(
      run.ends.source,
      database,
      keys.map((key) => ['EXISTS', key]),
    )
    const refused = there.find((reply) => reply instanceof RawError)
    if (refused instanceof RawError) throw new Error(refused.text)
    await repair(
      run,
      database,
      keys.filter((_, i) => there[i] === 0),
    )
    if (performance.now() - run.drainedMs >= drainEveryMs) await drain(run, drainKeys)
  }
}

async function repair(run: Run, database: number, keys: readonly Buffer[]): Promise<void> {
  if (keys.length === 0) return
  run.tally.differ += keys.length
  run.figures.repaired += keys.length
  // The short proof looks at them once more.
  for (const key of keys) run.events.touch(database, key.toString('latin1'))
  await copyKeys(run, database, keys)
}

/** What was told by now; never what is told meanwhile, for that may be as much again. */
export async function drain(run: KeysOptions & { readonly events: Events; drainedMs?: number }, most = Number.POSITIVE_INFINITY): Promise<void> {
  for (let left = Math.min(most, run.events.waiting()); left > 0; ) {
    run.signal.throwIfAborted()
    const some = run.events.some(Math.min(left, drainKeys))
    if (some === null) break
    left -= some.keys.length
    run.figures.told += some.keys.length
    await copyKeys(run, some.database, some.keys)
  }
  run.drainedMs = performance.now()
}

function told(run: Run, keys: number): void {
  run.tally.keys += keys
  run.tell(run.tally.keys, Math.max(run.of, run.tally.keys))
}

/** As far as can be seen in passing: one that is written to differs, and is copied once more than it had to be. */
async function differing(sides: Sides, keys: readonly Buffer[]): Promise<readonly Buffer[]> {
  const { source, target, signal } = sides
  const [mine, theirs] = [await source.digests.each(keys), await target.digests.each(keys)]
  const found: Buffer[] = []
  for (const [i, key] of keys.entries()) {
    signal.throwIfAborted()
    const [a, b] = [mine[i], theirs[i]]
    if (a === undefined || b === undefined) throw new Error('a redis did not answer for each key')
    const isSame = a.digest.kind === 'value' && b.digest.kind === 'value' && a.digest.sha1 === b.digest.sha1
    const isLarge = a.digest.kind === 'large' && b.digest.kind === 'large'
    const isGone = a.digest.kind === 'missing' && b.digest.kind === 'missing'
    if (isGone || (sameEnd(sides, a.expiresMs, b.expiresMs) && (isSame || (isLarge && (await sameInPieces(source.redis, target.redis, key)))))) continue
    found.push(key)
  }
  return found
}

async function sameInPieces(a: RawRedis, b: RawRedis, key: Buffer): Promise<boolean> {
  return (await a.call('TYPE', key)) === 'stream' ? sameStream(a, b, key, 'names') : sameValue(a, b, key)
}

async function* scannedBy(redis: RawRedis, { pageKeys }: Governor): AsyncGenerator<readonly Buffer[]> {
  const ask = (cursor: string): Promise<unknown> => redis.call('SCAN', cursor, 'COUNT', String(pageKeys()))
  let next = ask('0')
  for (;;) {
    const page = await next
    if (page instanceof RawError) throw new Error(page.text)
    const [at, keys] = page as readonly [Buffer, readonly Buffer[]]
    const cursor = at.toString()
    if (cursor !== '0') next = ask(cursor)
    next.catch(() => undefined)
    if (keys.length > 0) yield keys
    if (cursor === '0') return
  }
}
