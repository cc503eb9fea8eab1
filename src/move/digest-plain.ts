/**
 * Digests where no script may run: the values travel, some keys at a time, and are put into one form here. DUMP is asked only for what nobody else can read: two
 * versions pack one value in two ways, and a cloud may refuse it. Slower by far than digest-script.ts, and as true.
 */
import { createHash, type Hash } from 'node:crypto'
import { payloadOf } from '../redis/dump-footer.ts'
import { RawError, type RawRedis, type RawReply, type Word } from '../redis/raw.ts'
import {
  largeBytes,
  largeElements,
  largeUsageBytes,
  listOf,
  textOf,
  type Bucket,
  type Digest,
  type Digested,
  type Digester,
  type DigesterOptions,
} from './digest.ts'

const sizers: Readonly<Record<string, string>> = { string: 'STRLEN', list: 'LLEN', hash: 'HLEN', set: 'SCARD', zset: 'ZCARD', stream: 'XLEN' }

const wholes: Readonly<Record<string, (key: Buffer) => readonly Word[]>> = {
  string: (key) => ['GET', key],
  list: (key) => ['LRANGE', key, '0', '-1'],
  hash: (key) => ['HGETALL', key],
  set: (key) => ['SMEMBERS', key],
  zset: (key) => ['ZRANGE', key, '0', '-1', 'WITHSCORES'],
  stream: (key) => ['XRANGE', key, '-', '+'],
}

export function plainDigester(redis: RawRedis, { absolute, hasMemoryUsage, noDump }: DigesterOptions): Digester {
  /** Of those keys alone for which there is a question, in their places. */
  const ask = async (keys: readonly Buffer[], command: (key: Buffer, i: number) => readonly Word[] | null): Promise<readonly (RawReply | undefined)[]> => {
    const asked = keys.flatMap((key, i) => {
      const words = command(key, i)
      return words === null ? [] : [{ i, words }]
    })
    const replies = await redis.pipeline(asked.map(({ words }) => words))
    // Another type by now than a moment ago: then it is read in pieces. XINFO says so of what is gone.
    const refused = replies.find((reply) => reply instanceof RawError && !/^WRONGTYPE|no such key/.test(reply.text))
    if (refused instanceof RawError) throw new Error(refused.text)
    const found: (RawReply | undefined)[] = keys.map(() => undefined)
    for (const [n, { i }] of asked.entries()) found[i] = replies[n]
    return found
  }

  async function each(keys: readonly Buffer[]): Promise<readonly Digested[]> {
    const nowMs = absolute ? 0 : timeIn(await redis.call('TIME'))
    const types = (await ask(keys, (key) => ['TYPE', key])).map((type) => String(type))
    const isOther = (i: number): boolean => types[i] !== 'none' && wholes[types[i] ?? ''] === undefined
    const sizes = await ask(keys, (key, i) => {
      const sizer = sizers[types[i] ?? '']
      return sizer === undefined ? null : [sizer, key]
    })
    const usages = hasMemoryUsage
      ? await ask(keys, (key, i) => (['string', 'none'].includes(types[i] ?? '') ? null : ['MEMORY', 'USAGE', key, 'SAMPLES', '0']))
      : []
    const isSmall = (i: number): boolean => {
      const [size, usage] = [sizes[i], usages[i]]
      if (types[i] === 'string') return typeof size === 'number' && size <= largeBytes
      const isLight = hasMemoryUsage ? typeof usage === 'number' && usage <= largeUsageBytes : true
      return isLight && (isOther(i) || (typeof size === 'number' && size <= largeElements))
    }
    const values = await ask(keys, (key, i) => {
      if (!isSmall(i) || types[i] === 'none') return null
      return wholes[types[i] ?? '']?.(key) ?? (noDump ? null : ['DUMP', key])
    })
    const groups = await ask(keys, (key, i) => (types[i] === 'stream' && isSmall(i) ? ['XINFO', 'GROUPS', key] : null))
    const ends = await ask(keys, (key) => [absolute ? 'PEXPIRETIME' : 'PTTL', key])
    return keys.map((_, i) => {
      const end = Number(ends[i])
      return { digest: digestOf(types[i] ?? '', values[i], groups[i]), expiresMs: end >= 0 ? nowMs + end : end }
    })
  }

  async function bucket(keys: readonly Buffer[], _strings: string, withEnds: boolean): Promise<Bucket> {
    const found = await each(keys)
    const hash = createHash('sha1')
    for (const { digest } of found) hash.update(digest.kind === 'value' ? digest.sha1 : digest.kind)
    const large = found.filter(({ digest }) => digest.kind === 'large').length
    return { sha1: hash.digest('hex'), large, expiresMs: withEnds ? found.map(({ expiresMs }) => expiresMs) : [] }
  }

  return {
    way: 'plain',
    each,
    bucket,
    page: async (cursor, count, withEnds) => {
      const answer = await redis.call('SCAN', cursor, 'COUNT', String(count))
      if (answer instanceof RawError) throw new Error(answer.text)
      const [next, names] = listOf(answer)
      const keys = listOf(names) as readonly Buffer[]
      return { cursor: textOf(next), keys, bucket: await bucket(keys, '', withEnds), strings: '' }
    },
  }
}

/** It may be deleted between two of the questions, or be of another type by then. */
function digestOf(type: string, value: RawReply | undefined, groups: RawReply | undefined): Digest {
  if (type === 'none' || value === null) return { kind: 'missing' }
  if (value === undefined || value instanceof RawError || groups instanceof RawError) return { kind: 'large' }
  const hash = createHash('sha1').update(type)
  if (Buffer.isBuffer(value)) take(hash, type === 'string' ? value : payloadOf(value))
  // No value of these types is empty but a stream: it was deleted meanwhile.
  else if (listOf(value).length === 0 && type !== 'stream') return { kind: 'missing' }
  else takeAll(hash, orderedAs(type, listOf(value)))
  if (groups !== undefined)
    takeAll(
      hash,
      listOf(groups)
        .map((group) => listOf(group)[1] ?? null)
        .sort(byBytes),
    )
  return { kind: 'value', sha1: hash.digest('hex') }
}

/** What has no order of its own is sorted; versions write one score in more than one way. */
function orderedAs(type: string, value: readonly RawReply[]): readonly RawReply[] {
  if (type === 'set') return [...value].sort(byBytes)
  if (type !== 'hash' && type !== 'zset') return value
  const pairs = value.flatMap((name, i) => (i % 2 === 0 ? [[name, type === 'zset' ? scoreOf(value[i + 1]) : (value[i + 1] ?? null)] as const] : []))
  return pairs.sort(([a], [b]) => byBytes(a, b)).flat()
}

/** `inf` is no number here. */
function scoreOf(reply: RawReply | undefined): string {
  const text = textOf(reply)
  return Number.isNaN(Number(text)) ? text.toLowerCase() : String(Number(text))
}

function byBytes(a: RawReply, b: RawReply): number {
  return Buffer.isBuffer(a) && Buffer.isBuffer(b) ? Buffer.compare(a, b) : 0
}

function takeAll(hash: Hash, all: readonly RawReply[]): void {
  hash.update(`[${all.length}]`)
  for (const one of all)
    if (Array.isArray(one)) takeAll(hash, listOf(one))
    else take(hash, Buffer.isBuffer(one) ? one : Buffer.from(String(one)))
}

function take(hash: Hash, bytes: Buffer): void {
  hash.update(`${bytes.length}:`).update(bytes)
}

function timeIn(reply: RawReply): number {
  const [seconds, micros] = listOf(reply).map((one) => Number(textOf(one)))
  return (seconds ?? 0) * 1000 + Math.floor((micros ?? 0) / 1000)
}
