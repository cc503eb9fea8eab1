/** Real redis-servers: single keys of a stored backup back into a primary that goes on serving, and what they overwrote back again. */
import { appendFile, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { backupId, type Manifest } from '../../src/backup/manifest.ts'
import { openBackup } from '../../src/dump/aside.ts'
import { take } from '../../src/dump/take.ts'
import { openRaw, type RawRedis } from '../../src/redis/raw.ts'
import { leastRedisBytes, openThrowaway } from '../../src/redis/throwaway.ts'
import { differences, type Differences } from '../../src/replay/diff.ts'
import { returnKeys, type Returned } from '../../src/replay/return.ts'
import { readUndo, undoFile } from '../../src/replay/undo.ts'
import { noRedis, Redises, type RealRedis } from './real-redis.ts'
import { memoryStore, type MemoryStore } from './stored-backups.ts'

let redises: Redises
let dir: string
let closing: (() => unknown)[]
beforeEach(async () => {
  redises = new Redises()
  dir = await mkdtemp(join(tmpdir(), 'holdfast-restore-keys-'))
  closing = []
})
afterEach(async () => {
  for (const close of closing.toReversed()) await close()
  await redises.close()
  await rm(dir, { recursive: true, force: true })
})

const signal = new AbortController().signal
const head = { format: 1, group: 'cache', backup: 'b', atWallMs: 1, by: 'anna' } as const

async function raw(r: RealRedis): Promise<RawRedis> {
  const opened = await openRaw({ host: '127.0.0.1', port: r.port }, 5000)
  if (!opened.ok) throw new Error(opened.why)
  closing.push(opened.value.close)
  return opened.value
}

async function backedUp(r: RealRedis, store: MemoryStore): Promise<Manifest> {
  const taken = await take({
    id: backupId(new Date().toISOString(), '00000000'),
    group: 'cache',
    reason: 'test',
    source: { host: 'redis-b', role: 'replica', why: '' },
    target: { host: '127.0.0.1', port: r.port, password: undefined },
    epoch: 1,
    store,
    compression: 'gzip',
    key: null,
    bytesPerS: null,
    wallMs: Date.now,
    progress: () => {},
    signal,
  })
  if (!taken.ok) throw new Error(taken.why)
  return taken.value
}

async function aside(store: MemoryStore, manifest: Manifest): Promise<RawRedis> {
  const opened = await openBackup({
    store,
    manifest,
    key: null,
    redisServer: 'redis-server',
    prefix: 'holdfast-restore-keys-',
    databases: 16,
    capBytes: 0,
    more: [],
    told: (chunks) => chunks,
    signal,
  })
  closing.push(opened.close)
  return opened.redis
}

async function asideOfUndo(path: string): Promise<RawRedis> {
  const undo = await readUndo(path)
  const opened = await openThrowaway({
    redisServer: 'redis-server',
    prefix: 'holdfast-restore-keys-',
    databases: 16,
    capBytes: leastRedisBytes,
    low: false,
    more: [],
    fill: ({ start }) => Promise.resolve(start()),
  })
  closing.push(opened.close)
  await undo.load(opened.redis, signal)
  return opened.redis
}

async function write(
  found: Differences,
  from: RawRedis,
  live: RawRedis,
  path: string,
  stop: AbortSignal = signal,
  progress: () => void = () => {},
): Promise<Returned> {
  const undo = undoFile(path, head)
  try {
    return await returnKeys(found.items, { live, aside: from, undo, progress, written: () => {}, signal: stop })
  } finally {
    await undo.close()
  }
}

const counts = ({ differ, missing, absent, equal, onlyLive }: Differences) => ({ differ, missing, absent, equal, onlyLive })
const users = Buffer.from('user:*')

describe.skipIf(noRedis)('keys of a backup', () => {
  test('after FLUSHALL: those of the pattern come back with their time to live, what is new stays, and it can be taken back', async () => {
    const r = await redises.start()
    const [live, store] = [await raw(r), memoryStore()]
    await r.call(
      'EVAL',
      "for i=1,120 do redis.call('SET','user:'..i,'value '..i) end redis.call('HSET','user:hash','a','1','b','2') redis.call('SET','other','x')",
      '0',
    )
    await r.call('SET', 'user:expires', 'later', 'EX', '1000')
    await r.call('SET', 'user:expired', 'soon', 'PX', '200')
    const overAt = Number(await r.call('PEXPIRETIME', 'user:expired'))
    const expiresAt = Number(await r.call('PEXPIRETIME', 'user:expires'))
    const manifest = await backedUp(r, store)
    await r.call('FLUSHALL')
    await r.call('SET', 'user:1', 'written since')
    await r.call('SET', 'user:new', 'stays')
    await r.call('SET', 'user:2', 'value 2')
    await delay(overAt - Date.now() + 1)
    const old = await aside(store, manifest)
    expect(String(await old.call('INFO', 'persistence'))).toContain('rdb_last_load_keys_expired:1')
    const found = await differences({ aside: old, live, pattern: users, absent: [], signal })
    expect(counts(found)).toEqual({ differ: 1, missing: 120, absent: 0, equal: 1, onlyLive: 1 })
    expect(Number(await r.call('DBSIZE')), 'looking writes nothing').toBe(3)

    const path = join(dir, 'undo.jsonl')
    const done = await write(found, old, live, path)
    expect([done.applied, done.removed, done.skipped, done.interrupted]).toEqual([121, 0, [], false])
    expect(await r.call('GET', 'user:1')).toBe('value 1')
    expect(await r.call('GET', 'user:new')).toBe('stays')
    expect(await r.call('EXISTS', 'other', 'user:expired')).toBe(0)
    expect(Math.abs(Number(await r.call('PEXPIRETIME', 'user:expires')) - expiresAt)).toBeLessThan(100)
    expect(counts(await differences({ aside: old, live, pattern: users, absent: [], signal }))).toEqual({
      differ: 0,
      missing: 0,
      absent: 0,
      equal: 122,
      onlyLive: 1,
    })

    const undo = await readUndo(path)
    const before = await asideOfUndo(path)
    const back = await differences({ aside: before, live, pattern: users, absent: undo.absent, signal })
    expect(counts(back)).toEqual({ differ: 1, missing: 0, absent: 120, equal: 0, onlyLive: 2 })
    expect(await write(back, before, live, join(dir, 'undo-2.jsonl'))).toMatchObject({ applied: 121, removed: 120 })
    expect(await r.call('GET', 'user:1')).toBe('written since')
    expect(Number(await r.call('DBSIZE'))).toBe(3)
    expect(counts(await differences({ aside: before, live, pattern: Buffer.from('*'), absent: undo.absent, signal }))).toMatchObject({
      differ: 0,
      missing: 0,
      absent: 0,
    })
  })

  test('a key that is written after it was shown is left alone', async () => {
    const r = await redises.start()
    const [live, store] = [await raw(r), memoryStore()]
    await r.call('MSET', 'user:1', 'old', 'user:2', 'old')
    const manifest = await backedUp(r, store)
    await r.call('MSET', 'user:1', 'new', 'user:2', 'new')
    const old = await aside(store, manifest)
    const found = await differences({ aside: old, live, pattern: users, absent: [], signal })
    await r.call('SET', 'user:1', 'newer')
    const done = await write(found, old, live, join(dir, 'undo.jsonl'))
    expect(done.skipped.map(({ key, why }) => [key.key, why])).toEqual([['user:1', 'it has been written since it was shown']])
    expect(await r.call('MGET', 'user:1', 'user:2')).toEqual(['newer', 'old'])
  })

  test('broken off between two batches: run again, it does what is left, and what was overwritten is in two files', async () => {
    const r = await redises.start()
    const [live, store] = [await raw(r), memoryStore()]
    await r.call('EVAL', "for i=1,120 do redis.call('SET','user:'..i,'value '..i) end", '0')
    const manifest = await backedUp(r, store)
    await r.call('FLUSHALL')
    const old = await aside(store, manifest)
    const stop = new AbortController()
    const first = await write(await differences({ aside: old, live, pattern: users, absent: [], signal }), old, live, join(dir, '1'), stop.signal, () =>
      stop.abort(),
    )
    expect([first.applied, first.interrupted]).toEqual([50, true])
    const again = await differences({ aside: old, live, pattern: users, absent: [], signal })
    expect(counts(again)).toMatchObject({ missing: 70, equal: 50 })
    expect((await write(again, old, live, join(dir, '2'))).applied).toBe(70)
    expect([(await readUndo(join(dir, '1'))).absent.length, (await readUndo(join(dir, '2'))).absent.length]).toEqual([50, 70])
  })

  test('a client writes keys after they were kept: they are left alone, and taking it back leaves them alone too', async () => {
    const r = await redises.start()
    const [live, store] = [await raw(r), memoryStore()]
    await r.call('MSET', 'user:1', 'old', 'user:2', 'old', 'user:3', 'old')
    const manifest = await backedUp(r, store)
    await r.call('DEL', 'user:1', 'user:3')
    await r.call('SET', 'user:2', 'new')
    const old = await aside(store, manifest)
    const found = await differences({ aside: old, live, pattern: users, absent: [], signal })
    const path = join(dir, 'undo')
    const undo = undoFile(path, head)
    const keep: typeof undo.keep = async (...given) => {
      await undo.keep(...given)
      await r.call('MSET', 'user:1', 'by a client', 'user:2', 'by a client')
    }
    const done = await returnKeys(found.items, { live, aside: old, undo: { ...undo, keep }, progress: () => {}, written: () => {}, signal })
    await undo.close()
    expect(done.skipped.map(({ key }) => key.key).toSorted()).toEqual(['user:1', 'user:2'])
    const { absent } = await readUndo(path)
    expect(absent).toEqual([{ database: 0, key: 'user:3' }])
    const before = await asideOfUndo(path)
    await write(await differences({ aside: before, live, pattern: users, absent, signal }), before, live, join(dir, 'undo-2'))
    expect(await r.call('MGET', 'user:1', 'user:2', 'user:3')).toEqual(['by a client', 'by a client', null])
  })

  test('the primary refuses writes in the middle: those that were not begun are not taken back', async () => {
    const r = await redises.start()
    const [live, store] = [await raw(r), memoryStore()]
    await r.call('MSET', 'user:1', 'old', 'user:2', 'old', 'user:3', 'old')
    const manifest = await backedUp(r, store)
    await r.call('FLUSHALL')
    const old = await aside(store, manifest)
    const found = await differences({ aside: old, live, pattern: users, absent: [], signal })
    const path = join(dir, 'undo')
    const undo = undoFile(path, head)
    const keep: typeof undo.keep = async (...given) => {
      await undo.keep(...given)
      await r.call('CONFIG', 'SET', 'min-replicas-to-write', '3')
    }
    await expect(returnKeys(found.items, { live, aside: old, undo: { ...undo, keep }, progress: () => {}, written: () => {}, signal })).rejects.toMatchObject({
      code: 'HF605',
    })
    await undo.close()
    expect((await readUndo(path)).absent.map(({ key }) => key)).toEqual([found.items[0]?.key])
  })

  test('large values are asked for a few at a time, and one of many bytes alone: the primary serves others in between', async () => {
    const r = await redises.start()
    const [live, store] = [await raw(r), memoryStore()]
    await r.call('EVAL', "for i=1,40 do redis.call('SET','user:'..i,string.rep('x',100000)) end redis.call('SET','user:large',string.rep('x',5000000))", '0')
    await r.call('EVAL', "for i=1,100 do redis.call('SET','user:small:'..i,i) end", '0')
    const old = await aside(store, await backedUp(r, store))
    await r.call('DEL', 'user:1')
    const asked: string[][] = []
    const pipeline: typeof live.pipeline = (commands) => {
      asked.push(commands.flatMap(([command, key]) => (command === 'DUMP' ? [String(key)] : [])))
      return live.pipeline(commands)
    }
    const found = await differences({ aside: old, live: { ...live, pipeline }, pattern: users, absent: [], signal })
    expect(counts(found)).toEqual({ differ: 0, missing: 1, absent: 0, equal: 140, onlyLive: 0 })
    const sizes = asked.map((keys) => keys.reduce((sum, key) => sum + (key === 'user:large' ? 5_000_000 : key.includes('small') ? 100 : 100_000), 0))
    expect(Math.max(...sizes.filter((size) => size < 5_000_000))).toBeLessThan(600_000)
    expect(asked.find((keys) => keys.includes('user:large'))).toEqual(['user:large'])
    expect(Math.max(...asked.map((keys) => keys.length)), 'small ones go together').toBeGreaterThan(10)
  })

  test.each(['SCAN', 'DUMP', 'EXISTS'])('Ctrl-C while it compares, at a %s: no more is asked', async (at) => {
    const r = await redises.start()
    const [live, store] = [await raw(r), memoryStore()]
    await r.call('EVAL', "for i=1,3000 do redis.call('SET','user:'..i,i) end", '0')
    const old = await aside(store, await backedUp(r, store))
    const stop = new AbortController()
    let since = 0
    const heard = (redis: RawRedis): RawRedis => {
      const see = (command: unknown): void => {
        if (stop.signal.aborted) since += 1
        if (command === at) stop.abort(new Error('Ctrl-C'))
      }
      return {
        ...redis,
        call: (...words) => {
          see(words[0])
          return redis.call(...words)
        },
        pipeline: (commands) => {
          see(commands[0]?.[0])
          return redis.pipeline(commands)
        },
      }
    }
    const looking = differences({ aside: heard(old), live: heard(live), pattern: users, absent: [], signal: stop.signal })
    await expect(looking).rejects.toThrow('Ctrl-C')
    expect(since, 'but for what belongs together').toBeLessThan(5)
  })

  test('Ctrl-C while what was overwritten is loaded, or its redis starts', async () => {
    const r = await redises.start()
    const live = await raw(r)
    await r.call('SET', 'a', '1')
    const path = join(dir, 'undo')
    const undo = undoFile(path, head)
    await undo.keep(live, [{ id: '1', keys: [{ database: 0, key: 'a' }], nature: 'idempotent', does: [], commands: () => Promise.resolve([]) }])
    await undo.close()
    const stop = AbortSignal.abort(new Error('Ctrl-C'))
    await expect((await readUndo(path)).load(live, stop)).rejects.toThrow('Ctrl-C')
    const order = { redisServer: 'redis-server', prefix: 'holdfast-restore-keys-', databases: 16, capBytes: leastRedisBytes, low: false, more: [] }
    await expect(openThrowaway({ ...order, fill: ({ start }) => Promise.resolve(start()), signal: stop })).rejects.toThrow('Ctrl-C')
  })

  test('what is there cannot be kept: nothing is overwritten, and no other file either', async () => {
    const r = await redises.start()
    const [live, store] = [await raw(r), memoryStore()]
    await r.call('SET', 'user:1', 'old')
    const manifest = await backedUp(r, store)
    await r.call('SET', 'user:1', 'new')
    const old = await aside(store, manifest)
    const found = await differences({ aside: old, live, pattern: users, absent: [], signal })
    await writeFile(join(dir, 'there'), 'what an earlier one has kept')
    await expect(write(found, old, live, join(dir, 'there'))).rejects.toThrow('it is there already')
    expect([await r.call('GET', 'user:1'), await readFile(join(dir, 'there'), 'utf8')]).toEqual(['new', 'what an earlier one has kept'])
  })

  test('a database that the primary has not: refused, and nothing goes into another one', async () => {
    const [r, small] = [await redises.start(), await redises.start('--databases', '2')]
    const [from, live, store] = [await raw(r), await raw(small), memoryStore()]
    await from.call('SELECT', '9')
    await from.call('SET', 'user:1', 'in the tenth')
    const manifest = await backedUp(r, store)
    await expect(differences({ aside: await aside(store, manifest), live, pattern: users, absent: [], signal })).rejects.toThrow('out of range')
  })

  test('a file of what was overwritten that ends in the middle of a line, is damaged, or is none', async () => {
    const r = await redises.start()
    const live = await raw(r)
    await r.call('SET', 'a', '1')
    const path = join(dir, 'undo')
    const undo = undoFile(path, head)
    const item = {
      id: '1',
      keys: [
        { database: 0, key: 'a' },
        { database: 0, key: 'b' },
      ],
      nature: 'idempotent',
      does: [],
      commands: () => Promise.resolve([]),
    } as const
    await undo.keep(live, [item])
    await undo.close()
    await appendFile(path, '{"database":0,"key":"YQ==","val')
    expect((await readUndo(path)).absent).toEqual([{ database: 0, key: 'b' }])
    await appendFile(path, '\n')
    await expect(readUndo(path)).rejects.toThrow('a line of it is damaged')
    await writeFile(path, '{}\n')
    await expect(readUndo(path)).rejects.toThrow('it is not what a return of keys has kept')
    await expect(readUndo(join(dir, 'nowhere'))).rejects.toMatchObject({ code: 'HF812', exitCode: 2, message: `there is no file ${join(dir, 'nowhere')}` })
  })
})
