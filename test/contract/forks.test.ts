/** What real servers do with the connections of clients while a child of theirs runs, and what Holdfast makes of it. */
import { readFileSync, statSync } from 'node:fs'
import { connect } from 'node:net'
import { describe, expect, onTestFinished, test } from 'vitest'
import { endOrphans, killRedis, sendClientsAway } from '../../src/act/ending.ts'
import { isSaving, keepDataset } from '../../src/act/keep.ts'
import { poll } from '../../src/lab/run.ts'
import { childrenOf, isSameProcess, orphansOf } from '../../src/observe/process.ts'
import { noRedis, Redises, type RealRedis } from '../unit/real-redis.ts'
import { expectServers, others, since } from './servers.ts'

const programs = [{ name: 'the installed redis', redisServer: 'redis-server', redisSentinel: '', version: '7.0.0' }, ...others]
/** Two keys take it longer than any test. */
const keyUs = 60_000_000
const soonMs = 400

describe.skipIf(noRedis)('a redis that saves', () => {
  expectServers()

  async function started(program: string): Promise<{ readonly redis: RealRedis; readonly redises: Redises; readonly pid: number }> {
    const redises = new Redises('127.0.0.1', program)
    const redis = await redises.start({ detached: true })
    await redis.call('MSET', 'a', '1', 'b', '2')
    const { pid } = await redis.facts()
    onTestFinished(async () => {
      await redises.close()
      await endOrphans(orphansOf(pid))
    })
    return { redis, redises, pid }
  }

  async function saves(redis: RealRedis, pid: number): Promise<void> {
    await redis.call('CONFIG', 'SET', 'rdb-key-save-delay', String(keyUs))
    await redis.call('BGSAVE')
    expect((await redis.facts()).forked).toBeDefined()
    expect(childrenOf(pid)).toHaveLength(1)
  }

  /** Of a client that waits and says nothing: ms until it knows that its connection has ended. */
  async function client(redis: RealRedis): Promise<{ readonly endedMs: () => number | null }> {
    const socket = connect(redis.port, '127.0.0.1')
    let endedAt: number | null = null
    socket.on('error', () => undefined)
    for (const event of ['end', 'close'] as const) socket.on(event, () => (endedAt ??= performance.now()))
    onTestFinished(() => void socket.destroy())
    await new Promise((resolve) => socket.once('connect', resolve))
    socket.write('PING\r\n')
    await new Promise((resolve) => socket.once('data', resolve))
    return { endedMs: () => endedAt }
  }

  const knows = async (its: { readonly endedMs: () => number | null }): Promise<boolean> =>
    (await poll(async () => (its.endedMs() === null ? undefined : true), { withinMs: soonMs, everyMs: 5 })) === true

  describe.each(programs)('$name', (server) => {
    const closes = since(7, 2)(server)

    test(`CLIENT KILL ${closes ? 'reaches' : 'does not reach'} the client of a redis that saves, and INFO says so`, async () => {
      const { redis, pid } = await started(server.redisServer)
      const it = await client(redis)
      await saves(redis, pid)
      expect((await redis.facts()).forked).toEqual({ keepsClients: !closes })
      await redis.call('CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes')
      expect(await knows(it)).toBe(closes)
      await killRedis(pid)
      expect(await knows(it), 'its end ends what it has forked').toBe(true)
    })

    test('clients that are sent away know it; no save is counted as failed, and none is ended for nothing', async () => {
      const { redis, redises, pid } = await started(server.redisServer)
      const notes: string[] = []
      const hands = { ...redises.hands(redis, notes), pid: () => pid }
      await saves(redis, pid)
      expect([await sendClientsAway(hands), childrenOf(pid).length], 'nobody was sent away').toEqual([{ done: true }, 1])
      const it = await client(redis)
      // What is forked from now on has its connection.
      await redis.call('CONFIG', 'SET', 'rdb-key-save-delay', '0')
      for (const { pid: child } of childrenOf(pid)) process.kill(child, 'SIGUSR1')
      await expect.poll(() => childrenOf(pid)).toEqual([])
      await expect.poll(async () => (await redis.facts()).forked).toBeUndefined()
      await saves(redis, pid)
      expect(await sendClientsAway(hands)).toEqual({ done: true })
      expect(await knows(it)).toBe(true)
      expect([childrenOf(pid).length, notes.length]).toEqual(closes ? [1, 0] : [0, 1])
      if (closes) return
      await expect.poll(async () => (await redis.facts()).forked).toBeUndefined()
      expect(await redis.call('INFO', 'persistence')).toMatch(/rdb_last_bgsave_status:ok/)
      expect(await redis.call('SET', 'c', '3'), 'no write is refused for it').toBe('OK')
    })

    test('its sudden death leaves a child behind, which is found and ended', async () => {
      const { redis, pid } = await started(server.redisServer)
      const it = await client(redis)
      await saves(redis, pid)
      expect(orphansOf(pid)).toHaveLength(1)
      process.kill(pid, 'SIGKILL')
      await expect.poll(() => orphansOf(pid).filter(isSameProcess)).toHaveLength(1)
      expect(await knows(it), 'that is what it is about').toBe(false)
      expect(await endOrphans(orphansOf(pid))).toEqual({ done: true })
      expect([orphansOf(pid), await knows(it)]).toEqual([[], true])
    })
  })

  test('the save that is kept before data are given up is not ended, and one that was ended by others is not taken for it', async () => {
    const { redis, redises, pid } = await started('redis-server')
    const hands = { ...redises.hands(redis), pid: () => pid }
    const fork = { epoch: 1, replid: null, fromOffset: null, forkedAtWallMs: null }
    await redis.call('SAVE')
    const before = statSync(`${redises.dir}/${redis.port}/dump.rdb`).ino
    await redis.call('SET', 'late', '1')
    const it = await client(redis)
    await redis.call('CONFIG', 'SET', 'rdb-key-save-delay', String(keyUs))
    expect(await keepDataset(hands, 'kept', fork)).toMatchObject({ done: false, waiting: true })
    expect(await sendClientsAway(hands, () => isSaving(hands))).toEqual({ done: true })
    expect([childrenOf(pid).length, await knows(it)], 'it goes on').toEqual([1, false])
    await redis.call('CONFIG', 'SET', 'rdb-key-save-delay', '0')
    for (const { pid: child } of childrenOf(pid)) process.kill(child, 'SIGUSR1')
    await expect.poll(async () => (await redis.facts()).forked).toBeUndefined()
    expect(isSaving(hands), 'what was begun and has ended holds nothing up').toBe(false)
    expect(await keepDataset(hands, 'kept', fork), 'the file is of the save before').toMatchObject({ done: false, waiting: true })
    await expect.poll(() => keepDataset(hands, 'kept', fork), { timeout: 10_000, interval: 50 }).toEqual({ done: true })
    const kept = `${redises.dir}/state/sessions/kept/kept-offset-${(await redis.facts()).offset}.rdb`
    expect(statSync(kept).ino).not.toBe(before)
    expect(readFileSync(kept, 'latin1')).toContain('late')
  })
})
