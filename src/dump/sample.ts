/**
 * A few hundred keys of the redis that a backup was taken from, compared with what the backup came to. The source is written to all the
 * time, so most differences mean nothing. Only two conclusions are drawn, of a source that is in the same history and the same process:
 *
 * - Its stream says how many keys may have been changed since (../backup/counts.ts). More than those differ: the backup is wrong.
 * - A key that was last touched before the snapshot (OBJECT IDLETIME) was there then, so a backup without it is wrong. That does not hold
 *   where a key got its name or its life by RENAME, MOVE, SWAPDB, RESTORE or PERSIST, for those keep the old time, and redis notes no time
 *   at all while a child of it saves: when one of them was called since, nothing is concluded. Nor of keys with a time to live: one whose
 *   time is over is not there for a reader, and its time may have been prolonged at the source.
 *
 * Whether another value under a key is right or wrong cannot be said, beyond the first rule. Across versions scores are written
 * differently, so there only presence counts.
 */
import type { DatabaseCount, Manifest, Seen } from '../backup/manifest.ts'
import { mayHaveChanged } from '../backup/counts.ts'
import { RawError, type RawRedis, type RawReply, type Word } from '../redis/raw.ts'
import { sameValue } from '../redis/same-value.ts'

const keysWanted = 300
/** Of larger ones only type and size are compared: the source is at work, and answers nobody while it gives one away. */
const wholeBytes = 256 * 1024
/** Of idle times: redis counts them in seconds. And clocks differ. */
const marginMs = 60_000

export interface Sides {
  readonly source: RawRedis
  readonly loaded: RawRedis
  /** They write what they hold in the same way. */
  readonly sameVersion: boolean
  /** Fields of hashes have times to live of their own: a hash then changes without a word in the stream. */
  readonly fieldsExpire: boolean
}

export interface Sample {
  readonly equal: number
  readonly changed: number
  /** Not in the backup. */
  readonly missing: readonly Missing[]
  /** Judged by the first rule: `changed`, where it says something, and those of `missing` that have no time to live. */
  readonly differing: number
}

interface Missing {
  readonly database: number
  readonly key: Buffer
  /** null: redis does not tell (LFU). */
  readonly idleMs: number | null
  readonly hasTtl: boolean
}

type Compared = 'equal' | 'changed' | 'unlike' | 'gone' | Missing

/** `seen`: of the source, by database. */
export async function takeSample(sides: Sides, databases: readonly DatabaseCount[], signal: AbortSignal): Promise<Sample> {
  const all = databases.reduce((sum, { keys }) => sum + keys, 0)
  const compared: Compared[] = []
  for (const { database, keys } of databases) {
    for (const side of [sides.source, sides.loaded]) await side.call('SELECT', String(database))
    const draws = Math.max(1, Math.round((keysWanted * keys) / Math.max(1, all)))
    const drawn = await sides.source.pipeline(Array.from({ length: draws }, () => ['RANDOMKEY']))
    const names = new Map(drawn.flatMap((key) => (Buffer.isBuffer(key) ? [[key.toString('latin1'), key] as const] : [])))
    for (const key of names.values()) {
      signal.throwIfAborted()
      compared.push(await compare(sides, database, key))
    }
  }
  const missing = compared.filter((one) => typeof one === 'object')
  return {
    equal: compared.filter((one) => one === 'equal').length,
    changed: compared.filter((one) => one === 'changed' || one === 'unlike').length,
    missing,
    differing: compared.filter((one) => one === 'changed').length + missing.filter(({ hasTtl }) => !hasTtl).length,
  }
}

/** `unlike`: another value, or only another way to write it down. */
async function compare({ source, loaded, sameVersion, fieldsExpire }: Sides, database: number, key: Buffer): Promise<Compared> {
  // The idle time first: some of the others touch the key.
  const [idle, leftMs, type, bytes] = await source.pipeline([
    ['OBJECT', 'IDLETIME', key],
    ['PTTL', key],
    ['TYPE', key],
    ['MEMORY', 'USAGE', key],
  ])
  if (type === 'none') return 'gone'
  const mine = await loaded.call('TYPE', key)
  if (mine === 'none') return { database, key, idleMs: typeof idle === 'number' ? idle * 1000 : null, hasTtl: leftMs !== -1 }
  if (mine !== type) return 'changed'
  const sizer = sizers[String(type)]
  if (sizer === undefined) return 'equal'
  if (typeof bytes === 'number' && bytes <= wholeBytes && type !== 'stream')
    return (await sameValue(source, loaded, key)) ? 'equal' : sameVersion && !(type === 'hash' && fieldsExpire) ? 'changed' : 'unlike'
  const [a, b] = [await source.call(sizer, key), await loaded.call(sizer, key)]
  return same(a, b) ? 'equal' : 'changed'
}

const sizers: Readonly<Record<string, Word>> = { string: 'STRLEN', list: 'LLEN', hash: 'HLEN', set: 'SCARD', zset: 'ZCARD', stream: 'XLEN' }

function same(a: RawReply, b: RawReply): boolean {
  return a === b || a instanceof RawError || b instanceof RawError
}

export interface SampleVerdict {
  readonly wrong: boolean
  readonly words: string
}

/** `now`: of the source, after the sample. `uptimeMs`: of the source; `sinceMs`: since the snapshot. */
export function judgeSample(
  sample: Sample,
  { source, position, seen }: Pick<Manifest, 'source' | 'position' | 'seen'>,
  now: Seen | null,
  { uptimeMs, sinceMs }: { readonly uptimeMs: number; readonly sinceMs: number },
): SampleVerdict {
  const { equal, changed, missing, differing } = sample
  const first = seen.before
  const bound = mayHaveChanged(position, first, now, now)
  const of = `of ${equal + changed + missing.length} keys that ${source.host} has`
  if (bound !== null && differing > bound)
    return { wrong: true, words: `${of}, ${differing} are missing or other, and what was written since could have changed ${bound} at the most` }
  const sameKeys = first !== null && now !== null && first.runId === now.runId && first.moves === now.moves && first.sweeps === now.sweeps
  const lost = !sameKeys
    ? []
    : missing.filter(({ idleMs, hasTtl }) => !hasTtl && idleMs !== null && idleMs > Math.max(0, sinceMs) + marginMs && idleMs <= uptimeMs)
  const [one] = lost
  if (one !== undefined) return { wrong: true, words: `${of}, ${lost.length} are missing that nobody has touched since before it was taken: ${shown(one)}` }
  const words = [
    `${of}, ${equal} are equal`,
    ...(changed === 0 ? [] : [`${changed} have been written since`]),
    ...(missing.length === 0 ? [] : [`${missing.length} are not in it (made since, as far as can be told)`]),
  ]
  return { wrong: false, words: words.join(', ') }
}

function shown({ database, key }: Missing): string {
  return `${JSON.stringify(key.subarray(0, 80).toString('latin1'))} in database ${database}`
}
