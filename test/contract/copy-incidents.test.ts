/** What goes wrong while a redis is copied: a flush, either end lost, a copy broken off, writers that cannot be held or are not. Nothing is lost of what the source has, and nothing is told that is not so. */
import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync } from 'node:fs'
import { afterEach, describe, expect, test } from 'vitest'
import { OperatorError } from '../../src/model/error.ts'
import { askSource } from '../../src/move/copy-ask.ts'
import { caughtUp, noRedis, Redises, type RealRedis } from '../unit/real-redis.ts'
import { freePort } from '../unit/wire.ts'
import { cloudUser, crossing, expectSame, fill, raw, write, type Crossing, type Door, type Writer } from './copy-ground.ts'

let redises = new Redises()
const closing: (() => Promise<void> | void)[] = []

afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close()
  await redises.close()
  redises = new Redises()
})

const begin = (...args: Parameters<typeof crossing>): Crossing => {
  const one = crossing(...args)
  closing.push(one.close)
  return one
}

const busy = (...args: Parameters<typeof write>): Writer => {
  const one = write(...args)
  closing.push(one.stop)
  return one
}

async function pair(setting = 'KA'): Promise<readonly [Door, Door]> {
  const [a, b] = [await redises.start('--notify-keyspace-events', setting), await redises.start()]
  await fill(a, 800)
  return [
    { redis: a, user: await cloudUser(a), modern: true },
    { redis: b, modern: true },
  ]
}

const call = async (door: Door, ...words: readonly string[]): Promise<unknown> => door.redis.call(...words)

describe.skipIf(noRedis)('what goes wrong', { timeout: 60_000 }, () => {
  test.each(['KA', ''])('FLUSHDB of one database, SWAPDB of two, in the middle of it (events %j): what is gone there is gone here', async (setting) => {
    const [from, to] = await pair(setting)
    const writer = busy(from.redis)
    let isFlushed = false
    const { copy, finish } = begin({
      ...{ from, to: () => to, setting },
      step: ({ phase, done }) => {
        if (isFlushed || phase !== 'copying' || done < 2000) return
        isFlushed = true
        void call(from, 'SWAPDB', '1', '0').then(() => call(from, 'FLUSHDB'))
      },
    })
    await copy.untilNear()
    expect(isFlushed).toBe(true)
    expect(await finish({ keepMs: 60_000 })).toMatchObject({ proof: 'all' })
    await expectSame(from, to)
    await call(from, 'CLIENT', 'UNPAUSE')
    await writer.stop()
  })

  test('broken off, and again: what is there is compared, and only what differs is written', async () => {
    const [from, to] = await pair()
    const first = begin({ from, to: () => to, step: ({ done }) => void (done > 3000 && first.broken.abort(new Error('broken off'))) })
    await expect(first.copy.untilNear()).rejects.toThrow('broken off')
    first.close()
    const there = Number(await call(to, 'DBSIZE'))
    expect(there).toBeGreaterThan(1500)
    await call(to, 'SET', 'of the target alone', '1')
    const { copy, finish } = begin({ from, to: () => to })
    await copy.untilNear()
    expect(copy.figures.copied).toBeLessThan(Number(await call(from, 'DBSIZE')) - there + 50)
    expect(await finish({ stopped: true })).toMatchObject({ held: 'stopped', proof: 'all', repaired: 0 })
    expect(await call(to, 'EXISTS', 'of the target alone')).toBe(0)
    await expectSame(from, to)
  })

  test('the primary of the group changes in the middle of it: whoever serves now gets the rest, and what the first had not passed on', async () => {
    const [from, old] = await pair()
    const now: Door = { redis: await redises.start(), modern: true }
    await now.redis.call('REPLICAOF', '127.0.0.1', String(old.redis.port))
    await caughtUp(old.redis, now.redis)
    const writer = busy(from.redis)
    let serves = old
    const { copy, finish } = begin({
      ...{ from, to: () => serves },
      step: ({ done }) => {
        if (done < 2500 || serves === now) return
        serves = now
        // What is written to the old one from here on nobody has.
        void now.redis.call('REPLICAOF', 'NO', 'ONE').then(() => old.redis.call('REPLICAOF', '127.0.0.1', String(now.redis.port)))
      },
    })
    await copy.untilNear()
    expect(copy.figures.lost).toBeGreaterThan(0)
    expect(await finish({ keepMs: 60_000 })).toMatchObject({ held: 'pause' })
    await expectSame(from, now)
    await call(from, 'CLIENT', 'UNPAUSE')
    await writer.stop()
  })

  test('the source is killed and comes back with its data: it goes on; without its data: nothing is removed, and it ends', async () => {
    const [to, port, dir] = [{ redis: await redises.start(), modern: true }, await freePort(), `${redises.dir}/source`]
    mkdirSync(dir)
    let source: ChildProcess | null = null
    const start = (...more: readonly string[]): void => {
      source = spawn('redis-server', ['--port', String(port), '--dir', dir, '--save', '', '--notify-keyspace-events', 'KA', ...more], { stdio: 'ignore' })
    }
    const kill = async (): Promise<void> => {
      source?.kill('SIGKILL')
      if (source !== null) await once(source, 'exit')
    }
    closing.push(kill)
    const asFound = { port, call: async (...words: readonly string[]) => (await raw({ redis: { port } as RealRedis })).call(...words) } as unknown as RealRedis
    start('--appendonly', 'yes', '--appendfsync', 'always')
    for (let i = 0; i < 100; i += 1) {
      if (
        await raw({ redis: asFound }).then(
          () => true,
          () => false,
        )
      )
        break
      await new Promise((resolve) => setTimeout(resolve, 20))
    }
    await fill(asFound, 800)
    const from: Door = { redis: asFound, modern: true }
    const writer = busy(asFound)
    let isKilled = false
    const { copy, finish } = begin({
      ...{ from, to: () => to },
      step: ({ done }) => {
        if (isKilled || done < 2500) return
        isKilled = true
        void kill()
          .then(() => new Promise((resolve) => setTimeout(resolve, 500)))
          .then(() => start('--appendonly', 'yes', '--appendfsync', 'always'))
      },
    })
    await copy.untilNear()
    expect(copy.figures.lost).toBeGreaterThan(0)
    expect(await finish({ keepMs: 60_000 })).toMatchObject({ held: 'pause' })
    await expectSame(from, to)
    await call(from, 'CLIENT', 'UNPAUSE')
    await writer.stop()
    const before = Number(await call(to, 'DBSIZE'))
    await kill()
    start('--appendonly', 'no')
    await expect(copy.round()).rejects.toMatchObject({ code: 'HF924' })
    expect(Number(await call(to, 'DBSIZE'))).toBeGreaterThan(before - 200)
  })

  test('a source that stays away: it ends after a while, and says what was copied', async () => {
    const [from, to] = await pair()
    const { copy } = begin({ from, to: () => to, awayMs: 700 })
    await copy.untilNear()
    await call(from, 'SHUTDOWN', 'NOSAVE').catch(() => undefined)
    await expect(copy.round()).rejects.toMatchObject({ code: 'HF923', message: expect.stringMatching(/ECONNREFUSED|hung up/) })
  })
})

describe.skipIf(noRedis)('what a source lets be done is asked, and nothing of it is believed', { timeout: 60_000 }, () => {
  test('events are on and may not be heard; CONFIG and DUMP are refused; all is allowed', async () => {
    const redis = await redises.start('--notify-keyspace-events', 'KA')
    const asked = async (...rules: readonly string[]) => {
      const user = await cloudUser(redis, ...rules)
      const connection = await raw({ redis, user })
      closing.push(connection.close)
      return askSource(connection, { host: '127.0.0.1', port: redis.port, user, password: 'pw' })
    }
    expect(await asked()).toMatchObject({ dumps: true, setting: 'AK', tells: 'all' })
    expect(await asked('-config', '-dump')).toMatchObject({ dumps: false, setting: null, tells: 'unknown', tellsWhy: expect.stringContaining('NOPERM') })
    expect(await asked('-psubscribe', '+config')).toMatchObject({ tells: 'nothing', tellsWhy: expect.stringContaining('NOPERM') })
  })
})

describe.skipIf(noRedis)('the end', { timeout: 60_000 }, () => {
  test('neither CLIENT PAUSE nor CONFIG is allowed: it says so, and nobody was held', async () => {
    const [{ redis }, to] = await pair()
    const from = { redis, user: await cloudUser(redis, '-client', '-config'), modern: true }
    const { copy, finish } = begin({ from, to: () => to, setting: null })
    await copy.untilNear()
    await expect(finish()).rejects.toMatchObject({ code: 'HF925', message: expect.stringMatching(/CLIENT PAUSE: NOPERM.*CONFIG: NOPERM/) })
    expect(await finish({ stopped: true })).toMatchObject({ held: 'stopped' })
  })

  test('CLIENT PAUSE is refused and CONFIG is allowed: writes are refused; put back where it fails', async () => {
    const [{ redis }, to] = await pair()
    await redis.call('CONFIG', 'SET', 'min-replicas-to-write', '0')
    const from = { redis, user: await cloudUser(redis, '-client'), modern: true }
    const { copy, finish } = begin({ from, to: () => to })
    await copy.untilNear()
    await expect(finish({ maxPauseMs: 301 })).rejects.toMatchObject({ code: 'HF926' })
    expect(await redis.call('CONFIG', 'GET', 'min-replicas-to-write')).toEqual(['min-replicas-to-write', '0'])
    expect(await redis.call('SET', 'free', '1')).toBe('OK')
    expect(await finish()).toMatchObject({ held: 'min-replicas', keptMs: null, undo: 'CONFIG SET min-replicas-to-write 0' })
    await expect(redis.call('SET', 'held', '1')).rejects.toThrow(/NOREPLICAS/)
  })

  test('where a script would wait for the end of the pause (6.2): values travel, and what differs is mended', async () => {
    const [modern, to] = await pair()
    // By EVAL, as before 7.0: it waits where writes do.
    const from = { ...modern, modern: false }
    const { copy, finish } = begin({ from, to: () => to })
    await copy.untilNear()
    for (const words of [
      ['SET', 's:5', 'other'],
      ['HSET', 'huge:h', 'f', 'other'],
      ['DEL', 'l:7'],
    ])
      await call(to, ...words)
    expect(await finish({ pauses: true, scriptsWait: true, maxPauseMs: 6000 })).toMatchObject({ held: 'pause', repaired: 3, attempts: 2 })
    await call(from, 'CLIENT', 'UNPAUSE')
    await expectSame(from, to)
  })

  test('a user who may not even list the keys: it says so at once', async () => {
    const [{ redis }, to] = await pair()
    const { copy } = begin({ from: { redis, user: await cloudUser(redis, '-scan', '-@scripting'), modern: true }, to: () => to })
    await expect(copy.untilNear()).rejects.toMatchObject({ code: 'HF922' })
  })

  test('the writers are said to be stopped, and are not: it is not proven', async () => {
    const [from, to] = await pair()
    const { copy, finish } = begin({ from, to: () => to })
    await copy.untilNear()
    busy(from.redis)
    await expect(finish({ stopped: true })).rejects.toMatchObject({ code: 'HF926', message: expect.stringMatching(/somebody still writes/) })
  })

  test('a write under a name that is equal again by the next look: the source counts it, and it is compared once more', async () => {
    const [from, to] = await pair()
    let times = 0
    const { copy, finish } = begin({
      ...{ from, to: () => to },
      step: ({ phase }) => {
        if (phase === 'proving' && times++ === 0) void call(from, 'SET', 'empty', '')
      },
    })
    await copy.untilNear()
    expect(await finish({ stopped: true })).toMatchObject({ attempts: 2 })
  })

  test('not clean in time: the writers go on', async () => {
    const [from, to] = await pair()
    const writer = busy(from.redis)
    const { copy, finish } = begin({ from, to: () => to })
    await copy.untilNear()
    const error: unknown = await finish({ maxPauseMs: 305, tellsAll: false }).catch((one: unknown) => one)
    expect(error).toBeInstanceOf(OperatorError)
    expect(error).toMatchObject({ code: 'HF926', message: expect.stringMatching(/go on|nobody was held up/) })
    const before = writer.done()
    await new Promise((resolve) => setTimeout(resolve, 500))
    expect(writer.done()).toBeGreaterThan(before + 200)
  })

  test('broken off while writers are held: they go on at once', async () => {
    const [from, to] = await pair()
    const { copy, finish, broken } = begin({ from, to: () => to, step: ({ phase }) => void (phase === 'proving' && broken.abort(new Error('broken off'))) })
    await copy.untilNear()
    await expect(finish()).rejects.toThrow('broken off')
    const beganMs = performance.now()
    expect(await call(from, 'SET', 'free', '1')).toBe('OK')
    expect(performance.now() - beganMs).toBeLessThan(1000)
  })

  test('more keys than fit into the pause: what was told since the last round is compared; after a flush that is not enough', async () => {
    const [from, to] = await pair()
    const writer = busy(from.redis)
    const { copy, finish } = begin({ from, to: () => to })
    await copy.untilNear()
    const keys = copy.rounds.at(-1)?.keys ?? 0
    const found = await finish({ keepMs: 60_000, proofs: 'touched' })
    expect(found).toMatchObject({ proof: 'touched', held: 'pause' })
    expect(found.keys).toBeLessThan(keys)
    expect(found.unproven[0]).toMatch(/nobody touched/)
    await expectSame(from, to)
    await call(from, 'CLIENT', 'UNPAUSE')
    await writer.stop()
    await copy.round()
    await call(from, 'FLUSHDB')
    await expect(finish({ proofs: 'touched', maxPauseMs: 3000 })).rejects.toMatchObject({
      code: 'HF926',
      message: expect.stringMatching(/flushed, or swapped/),
    })
  })
})
