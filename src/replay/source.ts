/** What is to be replayed, of either kind, as items: captured commands as they stand, a dataset as the keys that differ. */
import { createHash } from 'node:crypto'
import { OperatorError } from '../model/error.ts'
import type { Kept } from '../model/kept.ts'
import { RawError, type RawReply, type RawRedis, type Word } from '../redis/raw.ts'
import { itemsOf, type Item, type ItemKey, type Nature } from '../salvage/classify.ts'
import { streamParser } from '../salvage/stream.ts'
import type { Tap } from './tap.ts'
import { openThrowaway } from './throwaway.ts'

export interface SourceItem {
  /** In the journal: the same at every reading. */
  readonly id: string
  readonly keys: readonly ItemKey[]
  readonly nature: Nature
  /** What would be done, in words. */
  readonly does: readonly string[]
  /** The commands, with the database of each; of a dataset they are fetched when they are needed. */
  readonly commands: () => Promise<readonly { readonly database: number; readonly words: readonly Word[] }[]>
}

export interface Source {
  readonly items: readonly SourceItem[]
  readonly close: () => Promise<void>
}

export const bytesOf = (latin1: string): Buffer => Buffer.from(latin1, 'latin1')

const maxCommandsFileBytes = 1024 * 1024 * 1024
const scanCount = '500'

/** `pages` gives the file from the beginning, piece by piece. */
export async function commandSource(kept: Kept, pages: AsyncIterable<Buffer>): Promise<Source> {
  if (kept.bytes > maxCommandsFileBytes)
    throw new OperatorError('HF604', `${kept.id} is larger than can be replayed (${kept.bytes} bytes)`, 'replay it by hand from its file')
  const parser = streamParser(kept.fromOffset ?? 0, kept.startDatabase)
  const commands = []
  for await (const page of pages) commands.push(...parser.push(page.toString('latin1')))
  const whole = parser.broken() === null && parser.position() === (kept.toOffset ?? 0) + 1
  if (!whole)
    throw new OperatorError('HF604', `${kept.id} is damaged: ${parser.broken() ?? 'it ends early'}`, 'its manifest has the checksum of the file as it was kept')
  return { items: itemsOf(commands).map(fromCommands), close: () => Promise.resolve() }
}

function fromCommands(item: Item): SourceItem {
  return {
    id: String(item.number),
    keys: item.keys,
    nature: item.nature,
    does: item.commands.map((c) => shown([c.name, ...c.args])),
    commands: () => Promise.resolve(item.commands.map((c) => ({ database: c.database ?? 0, words: [c.name, ...c.args.map(bytesOf)] }))),
  }
}

/** Like redis-cli: quoted where it is no plain word, and cut where it is long. */
export function shown(words: readonly string[], limit = 300): string {
  const quoted = words.map((word) => {
    if (/^[\w:.{}@/+-]+$/.test(word) && word.length <= 100) return word
    const cut = word.length > 100 ? `${word.slice(0, 100)}… (${word.length} bytes)` : word
    return JSON.stringify(cut).replaceAll(/[\u0080-\u00ff]/g, (c) => `\\x${c.charCodeAt(0).toString(16)}`)
  })
  const text = quoted.join(' ')
  return text.length > limit ? `${text.slice(0, limit)}…` : text
}

/** Loads the RDB aside, and compares it with the primary key by key. */
export async function datasetSource(kept: Kept, redisServer: string, fill: (file: string) => Promise<void>, live: RawRedis, tap: Tap | null): Promise<Source> {
  const databases = Math.max(16, ...[...(kept.databases ?? []), ...(await usedDatabases(live))].map((d) => d + 1))
  const aside = await openThrowaway(redisServer, databases, fill)
  try {
    const items: SourceItem[] = []
    for (const database of await usedDatabases(aside.redis)) {
      for (const found of await differing(aside.redis, live, database)) items.push(fromKey(found, aside.redis))
    }
    // Only of a dataset that had all up to the fork can it be said that what is missing was there.
    const wholeToFork = kept.fromOffset !== null && (kept.toOffset ?? 0) >= kept.fromOffset - 1
    if (tap !== null && wholeToFork) {
      for (const database of await usedDatabases(live)) items.push(...(await deletedThere(aside.redis, live, database, tap)))
    }
    // SCAN may name a key twice.
    return { items: [...new Map(items.map((item) => [item.id, item])).values()], close: aside.close }
  } catch (error) {
    await aside.close()
    throw error
  }
}

interface Differing extends ItemKey {
  readonly inLive: boolean
}

function fromKey({ database, key, inLive }: Differing, aside: RawRedis): SourceItem {
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
      // Expired since it was kept: there is nothing left to restore.
      if (!Buffer.isBuffer(value)) return []
      const ttl = typeof leftMs === 'number' && leftMs > 0 ? ['ABSTTL'] : []
      const at = typeof leftMs === 'number' && leftMs > 0 ? String(Date.now() + leftMs) : '0'
      return [{ database, words: ['RESTORE', bytesOf(key), at, value, 'REPLACE', ...ttl] }]
    },
  }
}

async function usedDatabases(redis: RawRedis): Promise<readonly number[]> {
  return [...String(await redis.call('INFO', 'keyspace')).matchAll(/^db(\d+):/gm)].map(([, number]) => Number(number))
}

/** Keys that only the primary has, and that its own history has not written since the fork: so they were there, and are gone on the kept side. */
async function deletedThere(aside: RawRedis, live: RawRedis, database: number, tap: Tap): Promise<readonly SourceItem[]> {
  for (const redis of [aside, live]) good(await redis.call('SELECT', String(database)))
  const items: SourceItem[] = []
  for await (const keys of scanned(live)) {
    const there = await aside.pipeline(keys.map((key) => ['EXISTS', key]))
    for (const [index, name] of keys.entries()) {
      const key = name.toString('latin1')
      if (there[index] !== 0 || tap.touched(key)) continue
      items.push({
        id: createHash('sha256').update(`del:${database}:${key}`, 'latin1').digest('hex').slice(0, 16),
        keys: [{ database, key }],
        nature: 'deletion',
        does: [`DEL ${shown([key])} (it is not there any more)`],
        commands: () => Promise.resolve([{ database, words: ['DEL', name] }]),
      })
    }
  }
  return items
}

async function* scanned(redis: RawRedis): AsyncGenerator<readonly Buffer[]> {
  let cursor = '0'
  do {
    const page = good(await redis.call('SCAN', cursor, 'COUNT', scanCount)) as readonly [Buffer, readonly Buffer[]]
    cursor = page[0].toString()
    yield page[1]
  } while (cursor !== '0')
}

async function differing(aside: RawRedis, live: RawRedis, database: number): Promise<readonly Differing[]> {
  for (const redis of [aside, live]) good(await redis.call('SELECT', String(database)))
  const found: Differing[] = []
  for await (const keys of scanned(aside)) {
    const dumps = keys.map((key) => ['DUMP', key])
    const [mine, theirs] = [await aside.pipeline(dumps), await live.pipeline(dumps)]
    for (const [index, key] of keys.entries()) {
      const [a, b] = [mine[index], theirs[index]]
      if (!Buffer.isBuffer(a) || (Buffer.isBuffer(b) && a.equals(b))) continue
      const inLive = Buffer.isBuffer(b)
      if (inLive && (await sameValue(aside, live, key))) continue
      found.push({ database, key: key.toString('latin1'), inLive })
    }
  }
  return found
}

/** Hashes and sets are dumped in the order of their tables, which differs between processes, and DUMP differs between versions. */
async function sameValue(a: RawRedis, b: RawRedis, key: Buffer): Promise<boolean> {
  const type = String(await a.call('TYPE', key))
  if (type !== String(await b.call('TYPE', key))) return false
  const reads: Readonly<Record<string, readonly Word[]>> = {
    string: ['GET', key],
    list: ['LRANGE', key, '0', '-1'],
    hash: ['HGETALL', key],
    set: ['SMEMBERS', key],
    zset: ['ZRANGE', key, '0', '-1', 'WITHSCORES'],
  }
  const read = reads[type]
  if (read === undefined) return false
  const canonical = (reply: RawReply): string => {
    if (!Array.isArray(reply)) return Buffer.isBuffer(reply) ? reply.toString('latin1') : String(reply)
    const words = reply.map((x) => (Buffer.isBuffer(x) ? x.toString('latin1') : String(x)))
    if (type === 'list') return JSON.stringify(words)
    const pairs = type === 'set' ? words : words.flatMap((w, i) => (i % 2 === 0 ? [`${w.length}:${w}${words[i + 1] ?? ''}`] : []))
    return JSON.stringify(pairs.sort())
  }
  return canonical(await a.call(...read)) === canonical(await b.call(...read))
}

function good(reply: RawReply): RawReply {
  if (reply instanceof RawError) throw new OperatorError('HF605', `redis refuses: ${reply.text}`, 'nothing more was done; run the same command again to go on')
  return reply
}
