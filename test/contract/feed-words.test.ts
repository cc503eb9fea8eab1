/**
 * Every command that writes, said to a newer server, read from its replication stream as it writes it down, and told to an older one: both hold the same
 * afterwards, values and times to live, and the old one has refused none of it.
 */
import { afterEach, describe, expect, test } from 'vitest'
import { digester, waysOf } from '../../src/move/digester.ts'
import { verify } from '../../src/move/verify.ts'
import { openRaw, RawError, type RawRedis, type Word } from '../../src/redis/raw.ts'
import { Redises, type RealRedis } from '../unit/real-redis.ts'
import { commands, library, scripted, untellables } from './feed-commands.ts'
import { complaints, cutOver, openFeed, type Fed } from './feed-ground.ts'
import { expectServers, servers } from './servers.ts'

const pairs: readonly (readonly [newer: string, older: string])[] = [
  ['redis-7.0', 'redis-6.0'],
  ['redis-8.0', 'redis-6.0'],
  ['redis-8.0', 'redis-7.0'],
  ['valkey-8.1', 'redis-6.0'],
  ['valkey-8.1', 'redis-7.0'],
]
/** They write nothing of their own into the stream, or are said by servers and not by clients. */
const notSaid = new Set(['migrate', 'restore-asking', 'pfdebug', 'sflush', 'flushall', 'georadius_ro', 'restore', 'function', 'trimslots', 'psync'])

let redises = new Redises()
const opened: RawRedis[] = []
let fed: Fed | null = null

afterEach(async () => {
  await fed?.close()
  fed = null
  for (const raw of opened.splice(0)) raw.close()
  await redises.close()
  redises = new Redises()
})

async function raw({ port }: RealRedis): Promise<RawRedis> {
  const found = await openRaw({ host: '127.0.0.1', port }, 20_000)
  if (!found.ok) throw new Error(found.why)
  opened.push(found.value)
  return found.value
}

async function feeding(newer: string, older: string): Promise<{ readonly fed: Fed; readonly log: string }> {
  const program = (name: string) => ({ program: servers.find((one) => one.name === name)?.redisServer ?? '' })
  const log = `${redises.dir}/old.log`
  const old = await redises.start(program(older), '--logfile', log)
  const now = await redises.start(program(newer), '--repl-ping-replica-period', '1')
  await old.call('SET', 'before', '1')
  await old.call('RPUSH', 'list before', '1', '2')
  const anchors = [await cutOver(old, now)]
  fed = await openFeed(old, now, anchors)
  return { fed, log }
}

async function differing(one: RealRedis, other: RealRedis, absolute: boolean): Promise<readonly string[]> {
  const [a, b] = [await raw(one), await raw(other)]
  const ways = [await waysOf(a, { evalRo: absolute, memoryUsage: true }), await waysOf(b, { evalRo: absolute, memoryUsage: true })] as const
  const side = (redis: RawRedis, at: 0 | 1) => ({ redis, digests: digester(redis, ways[at].way, { absolute, hasMemoryUsage: true }), aheadMs: 0 })
  const sides = { source: side(a, 0), target: side(b, 1), absolute, follows: false, signal: new AbortController().signal }
  const found = await verify({ sides, pageKeys: () => 100, took: () => undefined, ahead: 1, pause: async () => {}, progress: () => {} })
  expect(found.unsettled).toEqual([])
  return found.differences.map(({ database, key, what }) => `${database} ${key} ${what}`).toSorted()
}

/** Words that were taken, in capital letters. */
async function say(redis: RawRedis, lines: readonly (readonly Word[])[]): Promise<ReadonlySet<string>> {
  const taken = new Set<string>()
  for (const line of lines) if (!((await redis.call(...line)) instanceof RawError)) taken.add(String(line[0]).toLowerCase())
  return taken
}

async function writingCommands(redis: RawRedis): Promise<readonly string[]> {
  const all = (await redis.call('COMMAND')) as readonly (readonly [Buffer, number, readonly unknown[]])[]
  return all.filter(([, , flags]) => flags.map(String).includes('write')).map(([name]) => String(name).toLowerCase())
}

describe.runIf(servers.length > 0)('what a newer redis writes down is told to an older one', () => {
  for (const [newer, older] of pairs.filter((pair) => pair.every((name) => servers.some((one) => one.name === name))))
    test(`${newer} to ${older}`, { timeout: 60_000 }, async () => {
      const { fed, log } = await feeding(newer, older)
      const now = await raw(fed.now)
      // Of 7.0 on; nothing that could be told to a 6.0, and a 7.0 understands it.
      const hasLibrary = !((await now.call('FUNCTION', 'LOAD', library)) instanceof RawError)
      const taken = await say(now, [...commands, ['EVAL', scripted, '0'], ['MULTI'], ['SET', 'm', '1'], ['SET', 'm', '2', 'EX', '1000'], ['EXEC']])
      const binary = Buffer.from([0, 13, 10, 255, 42])
      await say(now, [
        ['SET', binary, binary, 'EX', '1000'],
        ['HSET', Buffer.concat([binary, binary]), binary, binary],
        ['SET', 'short', 'x', 'PX', '30'],
        ['SET', 'long', Buffer.alloc(300_000, 7), 'PX', '9000000'],
      ])
      await new Promise((resolve) => setTimeout(resolve, 60))
      await now.call('GET', 'short')
      const point = await fed.told()
      expect(await differing(fed.now, fed.old, older !== 'redis-6.0'), point.untold.first.join('\n')).toEqual([])
      expect(point.untold.first).toEqual(hasLibrary && older === 'redis-6.0' ? [expect.stringMatching(/^FUNCTION LOAD: a function \(7\.0\)$/)] : [])
      // Nobody forgets a command that came with a new version.
      const also = await say(now, untellables)
      const known = new Set([...taken, ...also, ...notSaid])
      expect((await writingCommands(now)).filter((name) => !known.has(name))).toEqual([])
      const after = await fed.told()
      expect(await differing(fed.now, fed.old, older !== 'redis-6.0')).toEqual(also.has('vadd') ? ['0 newv missing'] : [])
      for (const what of after.untold.first.filter((one) => !one.startsWith('FUNCTION')))
        expect(what).toMatch(/^(H\w+ newh|V\w+ newv): (the end of a single field \(7\.4\)|it has no such command)$/)
      expect(complaints(log)).toEqual([])
      const errors = /unexpected_error_replies:(\d+)/.exec(String(await fed.old.call('INFO', 'all')))?.[1]
      expect(errors ?? '0').toBe('0')
    })
})

expectServers()
