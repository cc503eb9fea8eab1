/** What may happen to a feed: each time the old redis comes out with all of it, each write once, or is told nothing more; never emptied. */
import { afterEach, describe, expect, test } from 'vitest'
import { fedReplid, type FeedPoint } from '../../src/model/feed.ts'
import type { LineageEntry } from '../../src/model/state.ts'
import { noRedis, Redises, type RealRedis } from '../unit/real-redis.ts'
import { complaints, cutOver, openFeed, until, type Fed } from './feed-ground.ts'

let redises = new Redises()
const feeds: Fed[] = []

afterEach(async () => {
  for (const one of feeds.splice(0)) await one.close()
  await redises.close()
  redises = new Redises()
})

async function fed(old: RealRedis, now: RealRedis, anchors: readonly FeedPoint[], lineage?: readonly LineageEntry[]): Promise<Fed> {
  const one = await openFeed(old, now, anchors, lineage)
  feeds.push(one)
  return one
}

async function pair(): Promise<{ readonly old: RealRedis; readonly now: RealRedis; readonly log: string; readonly anchors: readonly FeedPoint[] }> {
  const log = `${redises.dir}/old.log`
  const old = await redises.start('--logfile', log)
  const now = await redises.start('--repl-backlog-size', '100mb')
  await old.call('SET', 'counter', '100')
  return { old, now, log, anchors: [await cutOver(old, now)] }
}

/** What would come out differently if a byte came twice, or not at all. */
function counting(redis: RealRedis): { readonly stop: () => Promise<void> } {
  let goesOn = true
  const loop = (async () => {
    for (let i = 0; goesOn; i += 1) {
      await redis.call('INCR', 'counter')
      await redis.call('RPUSH', 'log', String(i))
      await redis.call('SET', `k${i % 10}`, 'x'.repeat(i % 100), 'EX', '1000')
    }
  })()
  return {
    stop: async () => {
      goesOn = false
      await loop
    },
  }
}

async function same(a: RealRedis, b: RealRedis): Promise<void> {
  const all = async (redis: RealRedis) => [await redis.call('GET', 'counter'), await redis.call('LRANGE', 'log', '0', '-1'), await redis.call('DBSIZE')]
  expect(await all(b)).toEqual(await all(a))
}

const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms))

describe.skipIf(noRedis)('a feed', () => {
  test('its connection is cut again and again, and it is started anew: each write comes once', { timeout: 30_000 }, async () => {
    const { old, now, log, anchors } = await pair()
    let one = await fed(old, now, anchors)
    const load = counting(now)
    for (let i = 0; i < 4; i += 1) {
      await pause(300)
      await old.call('CLIENT', 'KILL', 'TYPE', 'master')
      await now.call('CLIENT', 'KILL', 'TYPE', 'replica')
    }
    await pause(1500)
    const known = one.seen().anchor
    // Of the last anchor, and of the cut-over alone.
    for (const from of [known === null ? anchors : [...anchors, known], anchors]) {
      await one.close()
      one = await fed(old, now, from)
      await pause(400)
    }
    await load.stop()
    expect((await one.told()).untold.count).toBe(0)
    await same(now, old)
    expect(known?.fed).toBeGreaterThan(anchors[0]?.fed ?? 0)
    expect((await old.facts()).replid).toBe(fedReplid((await now.facts()).replid))
    expect(complaints(log)).toEqual([])
  })

  test('another member serves: the new feed goes on where the old redis stands', { timeout: 30_000 }, async () => {
    const { old, now, log, anchors } = await pair()
    const other = await redises.start()
    await other.call('REPLICAOF', '127.0.0.1', String(now.port))
    await until('it follows', async () => (await other.facts()).linkUp)
    const first = await fed(old, now, anchors)
    const load = counting(now)
    await pause(500)
    await load.stop()
    await first.told()
    await until('it has all', async () => (await other.facts()).offset === (await now.facts()).offset)
    await first.close()
    const before = (await now.facts()).replid
    await other.call('REPLICAOF', 'NO', 'ONE')
    const after = await other.facts()
    const again = counting(other)
    const second = await fed(old, other, anchors, lineageOf(anchors, before, after.replid, after.secondOffset))
    await pause(500)
    await again.stop()
    await second.told()
    await same(other, old)
    expect((await old.facts()).replid).toBe(fedReplid(after.replid))
    expect(complaints(log)).toEqual([])
  })

  test('another member serves that lacks what the old redis has: it is told nothing over it', { timeout: 30_000 }, async () => {
    const { old, now, log, anchors } = await pair()
    const other = await redises.start()
    await other.call('REPLICAOF', '127.0.0.1', String(now.port))
    await until('it follows', async () => (await other.facts()).linkUp)
    const first = await fed(old, now, anchors)
    await now.call('SET', 'both', '1')
    await first.told()
    await until('it has all', async () => (await other.facts()).offset === (await now.facts()).offset)
    const before = (await now.facts()).replid
    await other.call('REPLICAOF', 'NO', 'ONE')
    const after = await other.facts()
    await now.call('SET', 'only here', '1')
    await first.told()
    await first.close()
    // As many bytes, and others.
    await other.call('SET', 'only HERE', '1')
    await other.call('SET', 'more', '1')
    const second = await fed(old, other, anchors, lineageOf(anchors, before, after.replid, after.secondOffset))
    await until('it is said', async () => /writes that the group has lost/.test(second.seen().trouble ?? ''))
    expect([await old.call('GET', 'only here'), await old.call('GET', 'more'), await old.call('GET', 'counter')]).toEqual(['1', null, '100'])
    expect(complaints(log)).toEqual([])
  })

  test('the backlog is over, or the old redis lost its place: it keeps what it has', { timeout: 30_000 }, async () => {
    const { old, now, log, anchors } = await pair()
    await now.call('CONFIG', 'SET', 'repl-backlog-size', '16384')
    for (let i = 0; i < 100; i += 1) await now.call('SET', `big${i}`, 'x'.repeat(2000))
    const one = await fed(old, now, anchors)
    await until('it is said', async () => /backlog of the group does not reach back/.test(one.seen().trouble ?? ''))
    expect(await old.call('GET', 'counter')).toBe('100')
    await one.close()
    // As after a restart from an AOF: another history.
    await old.call('REPLICAOF', 'NO', 'ONE')
    await old.call('SET', 'own', '1')
    await old.call('REPLICAOF', '127.0.0.1', '1')
    const again = await fed(old, now, anchors)
    await until('it is said', async () => /without its place in the stream/.test(again.seen().trouble ?? ''))
    expect(await old.call('GET', 'counter')).toBe('100')
    expect(complaints(log)).toEqual([])
  })

  test('whoever does not know the password is given nothing', { timeout: 30_000 }, async () => {
    const { old, now, anchors } = await pair()
    const one = await openFeed(old, now, anchors, [], 'secret')
    feeds.push(one)
    await now.call('SET', 'since', '1')
    await pause(1500)
    expect([await old.call('GET', 'since'), one.seen().trouble]).toEqual([null, 'the old redis has not asked yet'])
    await old.call('CONFIG', 'SET', 'masterauth', 'secret')
    await one.told()
    expect(await old.call('GET', 'since')).toBe('1')
  })

  test('what the group counts as acknowledged is what the old redis has', { timeout: 30_000 }, async () => {
    const { old, now, anchors } = await pair()
    const one = await fed(old, now, anchors)
    const acked = async (): Promise<number> => Number(/^slave0:.*offset=(\d+)/m.exec(String(await now.call('INFO', 'replication')))?.[1])
    // Whoever acknowledges nothing is hung up on.
    await now.call('CONFIG', 'SET', 'repl-timeout', '2')
    const load = counting(now)
    await pause(4000)
    await load.stop()
    const { offset } = await one.told()
    await until('it is acknowledged', async () => (await acked()) >= offset)
    await same(now, old)
    expect(/sync_partial_ok:(\d+)/.exec(String(await now.call('INFO', 'stats')))?.[1]).toBe('1')
    const pid = Number(/process_id:(\d+)/.exec(String(await old.call('INFO', 'server')))?.[1])
    process.kill(pid, 'SIGSTOP')
    await now.call('SET', 'since', '1')
    const since = (await now.facts()).offset
    await pause(1500)
    expect(await acked()).toBeLessThan(since)
    process.kill(pid, 'SIGCONT')
    await until('it is acknowledged', async () => (await acked()) >= since)
  })
})

function lineageOf(anchors: readonly FeedPoint[], first: string, second: string, fork: number): readonly LineageEntry[] {
  const [cutOver] = anchors
  const entry = (epoch: number, replid: string, startOffset: number): LineageEntry => ({
    epoch,
    replid,
    startOffset,
    holder: 'a',
    source: 'migration',
    why: '',
    atWallMs: epoch,
    accepted: true,
  })
  return [entry(1, cutOver?.replid ?? '', 1), entry(2, first, (cutOver?.offset ?? 0) + 1), entry(3, second, fork)]
}
