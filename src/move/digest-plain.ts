/**
 * Digests where no script may run: the values travel, some keys at a time. Of what is no string the form in which the server packs it: two of one version often pack
 * alike, and where they do not, it is read in pieces (settle.ts). Slower by far than digest.ts, and as true.
 */
import { createHash } from 'node:crypto'
import { payloadOf } from '../redis/dump-footer.ts'
import { RawError, type RawRedis, type RawReply, type Word } from '../redis/raw.ts'
import { largeBytes, largeUsageBytes, listOf, textOf, type Bucket, type Digest, type Digested, type Digester, type DigesterOptions } from './digest.ts'

export function plainDigester(redis: RawRedis, { absolute, hasMemoryUsage }: DigesterOptions): Digester {
  /** Of those keys alone for which it is wanted, in their places. */
  const ask = async (
    keys: readonly Buffer[],
    wanted: (i: number) => boolean,
    command: (key: Buffer) => readonly Word[],
  ): Promise<readonly (RawReply | undefined)[]> => {
    const places = keys.flatMap((_, i) => (wanted(i) ? [i] : []))
    const replies = await redis.pipeline(places.map((i) => command(keys[i] ?? Buffer.alloc(0))))
    // Another type by now than a moment ago: then it is read in pieces.
    const refused = replies.find((reply) => reply instanceof RawError && !reply.text.startsWith('WRONGTYPE'))
    if (refused instanceof RawError) throw new Error(refused.text)
    const found: (RawReply | undefined)[] = keys.map(() => undefined)
    for (const [n, i] of places.entries()) found[i] = replies[n]
    return found
  }
  const all = (): boolean => true

  async function each(keys: readonly Buffer[]): Promise<readonly Digested[]> {
    const nowMs = absolute ? 0 : timeIn(await redis.call('TIME'))
    const types = await ask(keys, all, (key) => ['TYPE', key])
    const isString = (i: number): boolean => types[i] === 'string'
    const isOther = (i: number): boolean => !isString(i) && types[i] !== 'none'
    const lengths = await ask(keys, isString, (key) => ['STRLEN', key])
    const usages = hasMemoryUsage ? await ask(keys, isOther, (key) => ['MEMORY', 'USAGE', key, 'SAMPLES', '0']) : []
    const isSmall = (i: number): boolean => {
      const bytes = isString(i) ? lengths[i] : usages[i]
      return typeof bytes === 'number' && bytes <= (isString(i) ? largeBytes : largeUsageBytes)
    }
    const values = await ask(
      keys,
      (i) => isString(i) && isSmall(i),
      (key) => ['GET', key],
    )
    const dumps = await ask(
      keys,
      (i) => isOther(i) && isSmall(i),
      (key) => ['DUMP', key],
    )
    const ends = await ask(keys, all, (key) => [absolute ? 'PEXPIRETIME' : 'PTTL', key])
    return keys.map((_, i) => {
      const end = Number(ends[i])
      return { digest: digestOf(types[i], values[i], dumps[i]), expiresMs: end >= 0 ? nowMs + end : end }
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

/** It may be deleted between two of the questions. */
function digestOf(type: RawReply | undefined, value: RawReply | undefined, dump: RawReply | undefined): Digest {
  if (type === 'none' || value === null || dump === null) return { kind: 'missing' }
  if (Buffer.isBuffer(value)) return { kind: 'value', sha1: createHash('sha1').update('s').update(value).digest('hex') }
  if (!Buffer.isBuffer(dump)) return { kind: 'large' }
  return {
    kind: 'value',
    sha1: createHash('sha1').update(String(type)).update(payloadOf(dump)).digest('hex'),
  }
}

function timeIn(reply: RawReply): number {
  const [seconds, micros] = listOf(reply).map((one) => Number(textOf(one)))
  return (seconds ?? 0) * 1000 + Math.floor((micros ?? 0) / 1000)
}
