/**
 * Keys of a redis that was loaded aside, compared with those of a primary, and as items that bring them back. What stands in the primary
 * alone is not touched. Must not know where the one aside has its data from.
 */
import { createHash } from 'node:crypto'
import { OperatorError } from '../model/error.ts'
import { RawError, type RawReply, type RawRedis } from '../redis/raw.ts'
import { sameValue } from '../redis/same-value.ts'
import { shown } from '../redis/words.ts'
import type { ItemKey } from '../salvage/classify.ts'
import { fingerprintOf } from './apply.ts'
import { bytesOf, type SourceItem } from './items.ts'

const scanCount = '500'

export interface ComparedKey extends ItemKey {
  readonly same: boolean
  readonly inLive: boolean
  /** Of what the primary has, as apply.ts takes it. */
  readonly liveFingerprint: string
  /** Of what the primary has, as DUMP gives it. */
  readonly liveBytes: number
}

export async function usedDatabases(redis: RawRedis): Promise<readonly number[]> {
  return [...String(await redis.call('INFO', 'keyspace')).matchAll(/^db(\d+):/gm)].map(([, number]) => Number(number))
}

/** In the database that its connection has chosen. */
export async function* scanned(redis: RawRedis, match?: Buffer, signal?: AbortSignal): AsyncGenerator<readonly Buffer[]> {
  let cursor = '0'
  do {
    signal?.throwIfAborted()
    const page = good(await redis.call('SCAN', cursor, ...(match === undefined ? [] : ['MATCH', match]), 'COUNT', scanCount)) as readonly [
      Buffer,
      readonly Buffer[],
    ]
    cursor = page[0].toString()
    yield page[1]
  } while (cursor !== '0')
}

/** Each key that is aside. SCAN may name one twice. */
export async function* compared(aside: RawRedis, live: RawRedis, database: number, match?: Buffer, signal?: AbortSignal): AsyncGenerator<ComparedKey> {
  await select([aside, live], database)
  for await (const keys of inBatches(scanned(aside, match, signal), [aside, live])) {
    const dumps = keys.map((key) => ['DUMP', key])
    const [mine, theirs] = [await aside.pipeline(dumps), await live.pipeline(dumps)]
    for (const [index, key] of keys.entries()) {
      signal?.throwIfAborted()
      const [a, b] = [mine[index], theirs[index]]
      if (!Buffer.isBuffer(a)) continue
      const inLive = Buffer.isBuffer(b)
      const same = inLive && (a.equals(b) || (await sameValue(aside, live, key)))
      yield { database, key: key.toString('latin1'), same, inLive, liveFingerprint: fingerprintOf([b ?? null]), liveBytes: inLive ? b.length : 0 }
    }
  }
}

/** The primary answers nobody while it gives values away: few bytes at a time, and what is larger alone. */
const batchBytes = 512 * 1024

async function* inBatches(pages: AsyncIterable<readonly Buffer[]>, redises: readonly RawRedis[]): AsyncGenerator<readonly Buffer[]> {
  for await (const keys of pages) {
    const usages: (readonly RawReply[])[] = []
    for (const redis of redises) usages.push(await redis.pipeline(keys.map((key) => ['MEMORY', 'USAGE', key])))
    let [batch, sum]: [Buffer[], number] = [[], 0]
    for (const [index, key] of keys.entries()) {
      const bytes = Math.max(0, ...usages.map((replies) => replies[index]).filter((reply) => typeof reply === 'number'))
      if (batch.length > 0 && sum + bytes > batchBytes) {
        yield batch
        ;[batch, sum] = [[], 0]
      }
      batch.push(key)
      sum += bytes
    }
    if (batch.length > 0) yield batch
  }
}

/** A database that one of them has not: its keys would go into the one that was chosen before. */
export async function select(redises: readonly RawRedis[], database: number): Promise<void> {
  for (const redis of redises) good(await redis.call('SELECT', String(database)))
}

export function itemOf({ database, key, inLive }: Pick<ComparedKey, 'database' | 'key' | 'inLive'>, aside: RawRedis): SourceItem {
  return {
    id: createHash('sha256').update(`${database}:${key}`, 'latin1').digest('hex').slice(0, 16),
    keys: [{ database, key }],
    nature: 'idempotent',
    does: [`RESTORE ${shown([key])} (${inLive ? 'its value differs' : 'it is not there'})`],
    commands: async () => {
      const [, value, leftMs] = await aside.pipeline([
        ['SELECT', String(database)],
        ['DUMP', bytesOf(key)],
        ['PTTL', bytesOf(key)],
      ])
      // Expired since it was kept, or between the two: there is nothing left to restore, and without its time it would live for ever.
      if (!Buffer.isBuffer(value) || typeof leftMs !== 'number' || leftMs === -2) return []
      const ttl = leftMs >= 0 ? ['ABSTTL'] : []
      const at = leftMs >= 0 ? String(Date.now() + leftMs) : '0'
      return [{ database, words: ['RESTORE', bytesOf(key), at, value, 'REPLACE', ...ttl] }]
    },
  }
}

export function deletionOf({ database, key }: ItemKey, why: string): SourceItem {
  return {
    id: createHash('sha256').update(`del:${database}:${key}`, 'latin1').digest('hex').slice(0, 16),
    keys: [{ database, key }],
    nature: 'deletion',
    does: [`DEL ${shown([key])} (${why})`],
    commands: () => Promise.resolve([{ database, words: ['DEL', bytesOf(key)] }]),
  }
}

export function good(reply: RawReply): RawReply {
  if (reply instanceof RawError) throw new OperatorError('HF605', `redis refuses: ${reply.text}`, 'nothing more was done; run the same command again to go on')
  return reply
}
