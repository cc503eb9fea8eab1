/** Real redis-servers: what one holds goes over a running primary with its replica, exactly, and in a stream like every other. */
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { openRaw, RawError, type RawRedis } from '../../src/redis/raw.ts'
import { nothingDone, survey, wouldTake, writeOver, type Done, type OverOrder } from '../../src/replay/over.ts'
import { paced } from '../../src/replay/pace.ts'
import { caughtUp, Redises, type RealRedis } from '../unit/real-redis.ts'
import { others } from './servers.ts'

const never = new AbortController().signal
const redises = new Redises()
const raws: RawRedis[] = []
let aside: RealRedis
let live: RealRedis
let replica: RealRedis

beforeAll(async () => {
  const [debug, digest] = ['--enable-debug-command', 'yes']
  ;[aside, live, replica] = await Promise.all([redises.start(debug, digest), redises.start(debug, digest), redises.start(debug, digest)])
  await replica.call('REPLICAOF', '127.0.0.1', String(live.port))
  await until(async () => (await replica.facts()).linkUp)
})
afterAll(() => redises.close())
afterEach(async () => {
  for (const raw of raws.splice(0)) raw.close()
  for (const redis of [aside, live])
    for (const words of [['FLUSHALL'], ['FUNCTION', 'FLUSH'], ['CONFIG', 'SET', 'min-replicas-to-write', '0']]) await redis.call(...words)
})

async function until(isSo: () => Promise<boolean>): Promise<void> {
  for (const endMs = performance.now() + 5000; !(await isSo()); await new Promise((resolve) => setTimeout(resolve, 10)))
    if (performance.now() > endMs) throw new Error('not within 5 s')
}

async function raw({ port }: RealRedis): Promise<RawRedis> {
  const opened = await openRaw({ host: '127.0.0.1', port }, 10_000)
  if (!opened.ok) throw new Error(opened.why)
  raws.push(opened.value)
  return opened.value
}

interface Run extends Partial<Pick<OverOrder, 'keepOthers' | 'signal' | 'tell' | 'live'>> {
  readonly from?: RealRedis
  readonly to?: RealRedis
  readonly waits?: (why: string | null) => void
  readonly stillPrimary?: () => Promise<void>
  readonly maxKeysPerS?: number
}

/** `ended`: how it ended; null: it did all. */
async function over({ from = aside, to = live, ...run }: Run = {}): Promise<{ readonly done: Done; readonly ended: string | null; readonly replicas: number }> {
  const [a, l, done, signal] = [await raw(from), run.live ?? (await raw(to)), nothingDone(), run.signal ?? never]
  const pace = paced({
    live: l,
    maxKeysPerS: run.maxKeysPerS ?? null,
    stillPrimary: run.stillPrimary ?? (() => Promise.resolve()),
    waits: run.waits ?? (() => undefined),
    signal,
  })
  try {
    await writeOver({ aside: a, live: l, keepOthers: run.keepOthers ?? false, pace, done, tell: run.tell ?? (() => undefined), signal })
    return { done, ended: null, replicas: await pace.settled() }
  } catch (error) {
    return { done, ended: (error as Error).message, replicas: 0 }
  }
}

async function surveyed(from = aside, to = live) {
  return survey({ aside: await raw(from), live: await raw(to), tell: () => undefined, signal: never }, 'checking')
}

/** Of every type and every way in which redis keeps it. */
const everyType = `
for i = 1, 50 do redis.call('SET', 'text:'..i, string.rep('v', i)) redis.call('SET', 'number:'..i, i) end
for i = 1, 5 do redis.call('RPUSH', 'list', i) redis.call('HSET', 'hash', i, i) redis.call('SADD', 'numbers', i) redis.call('ZADD', 'zset', i / 3, i) end
for i = 1, 2000 do redis.call('HSET', 'hash:wide', 'f'..i, i) redis.call('SADD', 'set:wide', 'm'..i) redis.call('ZADD', 'zset:wide', i / 7, 'm'..i) redis.call('RPUSH', 'list:wide', i) end
for i = 1, 40000 do redis.call('HSET', 'hash:large', 'field:'..i, i) end
redis.call('SETRANGE', 'text:large', 3 * 1024 * 1024, 'end')
redis.call('SET', 'odd\\r\\n$5\\r\\n\\0\\255', '\\0\\r\\n')
redis.call('XADD', 'stream', '5-1', 'a', 'b') redis.call('XGROUP', 'CREATE', 'stream', 'group', '0') redis.call('XREADGROUP', 'GROUP', 'group', 'me', 'STREAMS', 'stream', '>')
redis.call('SET', 'soon', 'x', 'PX', 3600000) redis.call('HSET', 'hash:soon', 'a', 'b') redis.call('PEXPIREAT', 'hash:soon', 4102444800123)
redis.call('SELECT', 3) redis.call('SET', 'text:1', 'of another database')`

async function digest(redis: RealRedis): Promise<unknown> {
  return redis.call('DEBUG', 'DIGEST')
}

describe('over a running primary', () => {
  test('afterwards it and its replica have what the backup has, and nothing else; once more there is nothing to do', async () => {
    await aside.call('EVAL', everyType, '0')
    await aside.call('FUNCTION', 'LOAD', "#!lua name=wanted\nredis.register_function('wanted', function() return 1 end)")
    await live.call('FUNCTION', 'LOAD', "#!lua name=other\nredis.register_function('other', function() return 1 end)")
    // The same key equal, with another value, of another type, with another time to live, and without.
    await live.call('MSET', 'text:1', 'v', 'text:2', 'another', 'hash', 'no hash', 'number:1', '1', 'alone', 'x')
    await live.call('HSET', 'hash:soon', 'a', 'b')
    await live.call('SET', 'text:3', 'vvv', 'EX', '100')
    await live.call('EVAL', "for i = 1, 1200 do redis.call('SET', 'alone:'..i, i) end redis.call('SELECT', 5) redis.call('SET', 'alone', 1)", '0')
    expect(await surveyed()).toEqual({ same: 2, differs: 4, missing: 109, alone: 1202, expired: 0 })
    const fulls = (await live.facts()).supply?.fullSyncs

    const { done, ended, replicas } = await over()
    expect([ended, replicas, done]).toEqual([null, 1, expect.objectContaining({ written: 113, same: 2, removed: 1202, functions: 'differ', refused: 0 })])
    expect([await digest(live), await digest(replica)]).toEqual([await digest(aside), await digest(aside)])
    for (const key of ['soon', 'hash:soon', 'text:3']) expect(await live.call('PEXPIRETIME', key), key).toBe(await aside.call('PEXPIRETIME', key))
    expect(await replica.call('FUNCTION', 'LIST', 'LIBRARYNAME', '*')).toEqual(await aside.call('FUNCTION', 'LIST'))
    expect((await live.facts()).supply?.fullSyncs, 'nothing was resynced in full').toBe(fulls)

    expect(await surveyed()).toEqual({ same: 115, differs: 0, missing: 0, alone: 0, expired: 0 })
    expect((await over()).done).toMatchObject({ written: 0, removed: 0, same: 115, functions: 'same' })
  })

  test('a large value that differs in one place is found, whatever its type', async () => {
    await aside.call('EVAL', everyType, '0')
    await over()
    await live.call('SETRANGE', 'text:large', String(2 * 1024 * 1024), 'x')
    await live.call('HSET', 'hash:large', 'field:39999', 'x')
    await live.call('ZADD', 'zset:wide', '1', 'm1999')
    await live.call('LSET', 'list:wide', '1999', 'x')
    await live.call('XACK', 'stream', 'group', '5-1')
    await live.call('EVAL', "redis.call('SREM', 'set:wide', 'm7') redis.call('SADD', 'set:wide', 'm0')", '0')
    expect(await surveyed()).toMatchObject({ differs: 6, missing: 0, same: 109 })
    expect((await over()).done).toMatchObject({ written: 6 })
    expect(await digest(live)).toBe(await digest(aside))
  })

  test('what only the primary has may stay', async () => {
    await aside.call('MSET', 'a', '1', 'b', '2')
    await live.call('MSET', 'a', 'x', 'alone', 'x')
    expect((await over({ keepOthers: true })).done).toMatchObject({ written: 2, removed: 0 })
    expect(await live.call('MGET', 'a', 'b', 'alone')).toEqual(['1', '2', 'x'])
  })

  test('no faster than asked for', async () => {
    await aside.call('EVAL', "for i = 1, 2000 do redis.call('SET', 'key:'..i, i) end", '0')
    const beganMs = performance.now()
    expect((await over({ maxKeysPerS: 4000 })).done.written).toBe(2000)
    expect(performance.now() - beganMs).toBeGreaterThan(480)
  })

  test('a key whose time was over before it was looked at is left out, and is not there afterwards', async () => {
    await aside.call('SET', 'gone', 'x', 'PX', '1')
    await aside.call('SET', 'stays', 'x')
    await live.call('SET', 'gone', 'of today')
    await until(async () => (await aside.call('EXISTS', 'gone')) === 0)
    expect((await over()).done).toMatchObject({ written: 1, removed: 1 })
    expect(await live.call('EXISTS', 'gone')).toBe(0)
  })
})

describe('it ends in the middle', () => {
  const many = (redis: RealRedis, bytes = 8): Promise<unknown> =>
    redis.call('EVAL', `for i = 1, 20000 do redis.call('SET', 'key:'..i, string.rep(tostring(i % 10), ${bytes})..i) end`, '0')

  test('interrupted: what is written is written, and the same again writes the rest, and only that', async () => {
    await many(aside)
    const interrupt = new AbortController()
    const first = await over({ signal: interrupt.signal, tell: ({ what, done }) => what === 'writing' && done >= 7000 && interrupt.abort(new Error('Ctrl-C')) })
    expect(first.ended).toBe('Ctrl-C')
    expect(first.done.written).toBeGreaterThanOrEqual(6500)
    expect(first.done.written).toBeLessThan(9000)
    expect(await live.call('DBSIZE')).toBe(first.done.written)
    const second = await over()
    expect([second.ended, second.done.written]).toEqual([null, 20_000 - first.done.written])
    expect(await digest(live)).toBe(await digest(aside))
  })

  test('the primary takes no more writes: it ends with its words, and goes on when it does again', async () => {
    await many(aside)
    let isHeld = false
    const hold = async (): Promise<void> => {
      isHeld = true
      await live.call('CONFIG', 'SET', 'min-replicas-to-write', '9')
    }
    const first = await over({ tell: ({ what, done }) => void (what === 'writing' && done >= 5000 && !isHeld && void hold()) })
    expect(first.ended).toMatch(/^the primary refuses writes: NOREPLICAS/)
    expect(first.done.written).toBe(await live.call('DBSIZE'))
    expect(first.done.written).toBeLessThan(20_000)
    await live.call('CONFIG', 'SET', 'min-replicas-to-write', '0')
    expect((await over()).done.written).toBe(20_000 - first.done.written)
  })

  test('one value is refused: it is named, and the others are written', async () => {
    await aside.call('MSET', 'a', '1', 'bad', '2', 'c', '3')
    const to = await raw(live)
    const picky: RawRedis = {
      ...to,
      pipeline: async (commands) =>
        (await to.pipeline(commands)).map((reply, at) =>
          commands[at]?.[0] === 'RESTORE' && String(commands[at][1]) === 'bad' ? new RawError('ERR Bad data format') : reply,
        ),
    }
    const { done, ended } = await over({ live: picky })
    expect([ended, done.written, done.refused, done.examples]).toEqual([null, 2, 1, [{ key: { database: 0, key: 'bad' }, why: 'ERR Bad data format' }]])
  })

  test('a replica that stands still is waited for, and never left behind by more than it may be', { timeout: 20_000 }, async () => {
    await many(aside, 1000)
    await aside.call('CONFIG', 'SET', 'rdbcompression', 'no')
    await caughtUp(live, replica)
    const [{ pid, offset: from }, before] = [await replica.facts(), await live.facts()]
    const waited: string[] = []
    let offset = 0
    process.kill(pid, 'SIGSTOP')
    const running = over({ waits: (why) => void (why !== null && waited.push(why)) })
    try {
      await until(async () => waited.length > 0)
      await new Promise((resolve) => setTimeout(resolve, 1200))
      offset = (await live.facts()).offset
    } finally {
      process.kill(pid, 'SIGCONT')
    }
    const { ended, replicas, done } = await running
    await aside.call('CONFIG', 'SET', 'rdbcompression', 'yes')
    expect([ended, replicas, done.written, waited[0]]).toEqual([null, 1, 20_000, 'a replica is behind'])
    expect(offset - from, 'while it stood').toBeLessThan(11 * 1024 * 1024)
    expect(await digest(replica)).toBe(await digest(aside))
    expect((await live.facts()).supply?.fullSyncs).toBe(before.supply?.fullSyncs)
  })
})

describe('a second replica', () => {
  test('while it is filled nothing is written; when it is gone in the middle, the agents are asked whether this is still the primary', async () => {
    await aside.call('EVAL', "for i = 1, 12000 do redis.call('SETRANGE', 'key:'..i, 1000, tostring(i)) end", '0')
    await aside.call('CONFIG', 'SET', 'rdbcompression', 'no')
    await live.call('CONFIG', 'SET', 'repl-diskless-sync-delay', '1')
    const second = await redises.start()
    await second.call('REPLICAOF', '127.0.0.1', String(live.port))
    await until(async () => (await live.facts()).followers.length === 2)
    const [waited, sizes]: [string[], Promise<unknown>[]] = [[], []]
    const ended = await over({
      waits: (why) => {
        if (why !== null) waited.push(why)
        if (why === 'a replica is being filled') sizes.push(live.call('DBSIZE'))
      },
      tell: ({ what, done }) => void (what === 'writing' && done >= 500 && done < 1100 && void second.call('REPLICAOF', 'NO', 'ONE')),
      stillPrimary: () => Promise.reject(new Error('another is the primary')),
    })
    await aside.call('CONFIG', 'SET', 'rdbcompression', 'yes')
    expect(waited[0]).toBe('a replica is being filled')
    expect(new Set(await Promise.all(sizes))).toEqual(new Set([0]))
    expect([ended.ended, ended.done.written > 6000, ended.done.written < 12_000]).toEqual(['another is the primary', true, true])
  })
})

describe.skipIf(others.length === 0)('between versions', () => {
  for (const { name, redisServer, version } of others)
    test(`${name} and the one that is installed: equal values are equal, and what an older one cannot read is told before anything is written`, async () => {
      const other = await redises.start({ program: redisServer })
      const major = Number(version.split('.')[0])
      const script = everyType.replace("redis.call('SELECT', 3)", "redis.call('SELECT', 4)")
      const [older, newer] = major < 7 ? [other, live] : [live, other]
      await older.call('EVAL', script, '0')
      const { ended, done } = await over({ from: older, to: newer })
      expect([ended, done.refused, done.written]).toEqual([null, 0, 115])
      expect(await surveyed(older, newer)).toEqual({ same: 115, differs: 0, missing: 0, alone: 0, expired: 0 })
      await expect(wouldTake(await raw(newer), await raw(older))).rejects.toMatchObject({ code: 'HF839' })
      expect(await older.call('DBSIZE')).toBe(114)
    })
})
