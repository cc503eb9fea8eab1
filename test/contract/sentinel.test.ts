/**
 * Real Sentinels, as an agent hears them and speaks to them: votes, news, silence, failovers of their own. What the core believes of
 * votes (one per epoch, remembered, told without being given) is proved here.
 */
import { setTimeout as delay } from 'node:timers/promises'
import { afterEach, expect, test } from 'vitest'
import { askVotes, tellSentinels } from '../../src/act/sentinel.ts'
import type { SentinelProbe } from '../../src/model/sentinel.ts'
import type { SentinelPace } from '../../src/observe/sentinel-pace.ts'
import type { SentinelObserver } from '../../src/observe/sentinels.ts'
import { parseInfo } from '../../src/redis/info.ts'
import { openRedis } from '../../src/redis/link.ts'
import { attach } from '../../src/redis/psync.ts'
import { noRedis } from '../unit/real-redis.ts'
import { until } from '../unit/wire.ts'
import { group, hosts, openSentinels, type Host, type SentinelGroup } from './sentinels-real.ts'

let open: SentinelGroup | null = null

afterEach(async () => {
  await open?.close()
  open = null
})

async function sentinels(downAfterMs = 1000, more: Parameters<typeof openSentinels>[1] = {}): Promise<SentinelGroup> {
  open = await openSentinels(downAfterMs, more)
  return open
}

function all(observer: SentinelObserver, isSo: (probe: SentinelProbe) => boolean): Promise<void> {
  return until('all Sentinels', () => observer.probe().every(isSo))
}

async function heard(g: SentinelGroup, self: Host, wake?: () => void, pace?: () => SentinelPace): Promise<SentinelObserver> {
  const observer = g.observe(self, wake, {}, pace)
  await all(observer, ({ reach }) => reach === 'answers')
  return observer
}

const hands = (observer: SentinelObserver) => ({ sentinels: observer.links })
const votesOf = (observer: SentinelObserver) => observer.probe().map(({ vote }) => (vote === null ? null : { epoch: vote.epoch, to: vote.to }))
const probeOf = (observer: SentinelObserver, host: Host) => observer.probe().find((probe) => probe.host === host) as SentinelProbe

test.skipIf(noRedis)('what an agent hears in calm times', async () => {
  const g = await sentinels()
  const observer = await heard(g, 'b')
  for (const { host, reach, trouble, facts, ageMs, vote } of observer.probe()) {
    expect({ reach, trouble, vote }).toEqual({ reach: 'answers', trouble: null, vote: null })
    expect(ageMs).toBeLessThan(500)
    expect(facts).toEqual({
      id: g.sentinels[host as Host].id,
      ...{
        names: 'a',
        address: `127.0.0.1:${g.redis.a.port}`,
        configEpoch: 0,
        down: false,
        pendingPingMs: 0,
        failover: null,
        tilt: false,
        others: 2,
        replicas: 2,
      },
      settings: { quorum: 2, downAfterMs: 1000, failoverTimeoutMs: 3000, parallelSyncs: 1 },
    })
  }
})

test.skipIf(noRedis)('a vote is given once in an epoch, remembered, and told in epoch 0, which votes for nobody', async () => {
  const g = await sentinels()
  const [b, c] = [await heard(g, 'b'), await heard(g, 'c')]
  expect(votesOf(b)).toEqual([null, null, null])
  expect(await askVotes(hands(b), 5, 'b')).toEqual({ done: true })
  expect(votesOf(b)).toEqual(hosts.map(() => ({ epoch: 5, to: 'b' })))
  // In the same epoch, and in one that is past: it is told whose the votes are.
  for (const epoch of [5, 4]) {
    expect(await askVotes(hands(c), epoch, 'c')).toEqual({ done: true })
    expect(votesOf(c)).toEqual(hosts.map(() => ({ epoch: 5, to: 'b' })))
  }
  // In a higher one it gets them, and does not forget whose they were.
  expect(await askVotes(hands(c), 6, 'c')).toEqual({ done: true })
  expect(c.probe().map(({ vote }) => vote)).toMatchObject(hosts.map(() => ({ epoch: 6, to: 'c', before: { epoch: 5, to: 'b' } })))
  // The other hears of it by itself, from an event, long before its next poll is due.
  await all(b, ({ vote }) => vote?.to === 'c')
  // A Sentinel of them that stands is named by its host.
  for (const host of hosts) {
    const { id } = g.sentinels.a
    await g.sentinels[host].call('SENTINEL', 'IS-MASTER-DOWN-BY-ADDR', '127.0.0.1', String(g.redis.a.port), '7', id)
  }
  await all(b, ({ vote }) => vote?.epoch === 7 && vote.to === 'sentinel:a')
  // Restarted, it has forgotten for whom, and never the epoch; who heard it has forgotten nothing.
  await g.sentinels.a.kill()
  await until('it is gone', () => probeOf(b, 'a').reach === 'refused')
  await g.sentinels.a.start()
  await until('it is back', () => probeOf(b, 'a').reach === 'answers')
  expect(probeOf(b, 'a').vote).toMatchObject({ epoch: 7, to: 'sentinel:a' })
  const fresh = await heard(g, 'a')
  expect(probeOf(fresh, 'a').vote).toMatchObject({ epoch: 7, to: '?' })
  await askVotes(hands(fresh), 7, 'a')
  expect(probeOf(fresh, 'a').vote).toMatchObject({ epoch: 7, to: '?' })
})

test.skipIf(noRedis)('of two who stand at one time in one epoch, one at most has a majority', async () => {
  const g = await sentinels()
  const [b, c] = [await heard(g, 'b'), await heard(g, 'c')]
  const standings = [
    { observer: b, own: 'b' },
    { observer: c, own: 'c' },
  ]
  for (let epoch = 1; epoch <= 50; epoch += 1) {
    const majorities = await Promise.all(
      (epoch % 2 === 0 ? standings : standings.toReversed()).map(async ({ observer, own }) => {
        await askVotes(hands(observer), epoch, own)
        return votesOf(observer).filter((vote) => vote?.epoch === epoch && vote.to === own).length >= 2
      }),
    )
    expect(majorities.filter(Boolean).length).toBeLessThanOrEqual(1)
    // A disk that was slow makes an answer late: in the end each has voted, once, and both have heard the same.
    for (const observer of [b, c]) await all(observer, ({ vote }) => vote?.epoch === epoch)
    expect(votesOf(b)).toEqual(votesOf(c))
  }
})

test.skipIf(noRedis)('told who serves, all name it, and one that has heard of a later epoch does not go back', async () => {
  const g = await sentinels()
  const observer = await heard(g, 'b')
  await g.redis.b.call('REPLICAOF', 'NO', 'ONE')
  for (const host of ['a', 'c'] as const) await g.redis[host].call('REPLICAOF', '127.0.0.1', String(g.redis.b.port))
  expect(await tellSentinels(hands(observer), hosts, 'b', 3)).toEqual({ done: true })
  await all(observer, ({ facts }) => facts?.names === 'b' && facts.configEpoch === 3)
  for (const host of hosts) {
    expect(await g.sentinels[host].call('SENTINEL', 'GET-MASTER-ADDR-BY-NAME', group)).toEqual(['127.0.0.1', String(g.redis.b.port)])
    // It entered nobody new into its list of voters.
    expect(await g.sentinels[host].call('SENTINEL', 'SENTINELS', group)).toHaveLength(2)
  }
  expect(await tellSentinels(hands(observer), ['a'], 'c', 4)).toEqual({ done: true })
  expect(await tellSentinels(hands(observer), hosts, 'a', 3)).toEqual({ done: true })
  await Promise.all(observer.links.all().map((link) => link.poll()))
  expect(observer.probe().map(({ facts }) => [facts?.names, facts?.configEpoch])).toEqual([
    ['c', 4],
    ['b', 3],
    ['b', 3],
  ])
  expect(await tellSentinels(hands(observer), hosts, 'nobody', 5)).toMatchObject({ done: false })
})

test.skipIf(noRedis)('one that stands still is silent, one that is dead refuses, and both are heard again', async () => {
  const g = await sentinels()
  const observer = await heard(g, 'a')
  const { pid } = g.sentinels.b.process()
  process.kill(pid as number, 'SIGSTOP')
  await g.sentinels.c.kill()
  await until('one is silent and one dead', () => probeOf(observer, 'b').reach === 'silent' && probeOf(observer, 'c').reach === 'refused')
  expect(probeOf(observer, 'a').reach).toBe('answers')
  expect(probeOf(observer, 'b').ageMs).toBeGreaterThan(400)
  expect(probeOf(observer, 'b').facts?.names).toBe('a')
  const fromMs = performance.now()
  await askVotes(hands(observer), 2, 'a')
  // Whoever was silent before is not waited for.
  expect(performance.now() - fromMs).toBeLessThan(50)
  expect(votesOf(observer)).toEqual([{ epoch: 2, to: 'a' }, null, null])
  process.kill(pid as number, 'SIGCONT')
  await g.sentinels.c.start()
  await all(observer, ({ reach }) => reach === 'answers')
})

test.skipIf(noRedis)('with none that can be asked, votes cannot be asked for', async () => {
  const g = await sentinels()
  const observer = await heard(g, 'a')
  await Promise.all(hosts.map((host) => g.sentinels[host].kill()))
  await all(observer, ({ reach }) => reach === 'refused')
  expect(await askVotes(hands(observer), 1, 'a')).toMatchObject({ done: false })
  expect(await tellSentinels(hands(observer), hosts, 'a', 1)).toMatchObject({ done: false })
})

test.skipIf(noRedis)('one with another password, or that watches another group, says so in words', async () => {
  const g = await sentinels(1000, { a: ['requirepass right'], b: ['requirepass right'] })
  const observer = g.observe('c', undefined, { a: 'wrong', b: 'right' })
  await g.sentinels.c.call('SENTINEL', 'REMOVE', group)
  await until(
    'each is heard',
    () =>
      observer
        .probe()
        .map(({ reach }) => reach)
        .join() === 'trouble,answers,forgot',
  )
  expect(probeOf(observer, 'a').trouble).toMatch(/refuses the password: WRONGPASS/)
  expect(probeOf(observer, 'c').trouble).toBe('the Sentinel does not watch sessions')
  const without = g.observe('c')
  await until('it was refused', () => probeOf(without, 'a').reach === 'trouble')
  expect(probeOf(without, 'a').trouble).toMatch(/refuses the password: NOAUTH/)
})

test.skipIf(noRedis)('a failover of their own is seen before the redis is promoted, and the old primary never has the new epoch', async () => {
  const g = await sentinels()
  const told: string[] = []
  let selectedMs: number | null = null
  let observer: SentinelObserver | null = null
  observer = await heard(g, 'a', () => {
    const facts = observer === null ? null : probeOf(observer, 'b').facts
    if (facts === null) return
    if (facts.failover?.to != null) selectedMs ??= performance.now()
    told.push(`${facts.names} ${facts.configEpoch}`)
  })
  let promotedMs: number | null = null
  // With the order to become a primary, a Sentinel has the redis end its clients' connections.
  for (const host of ['b', 'c'] as const) {
    await openRedis({ host: '127.0.0.1', port: g.redis[host].port, password: undefined }, 500, () => (promotedMs ??= performance.now()))
  }
  await g.sentinels.b.call('SENTINEL', 'FAILOVER', group)
  await all(observer, ({ facts }) => facts !== null && facts.names !== 'a' && facts.failover === null)
  const [before, at] = [selectedMs, promotedMs] as unknown as [number, number]
  expect(at - before).toBeGreaterThan(5)
  const names = probeOf(observer, 'b').facts?.names
  expect(new Set(told.filter((words) => words !== 'a 0'))).toEqual(new Set([`${names} 1`]))
})

/** How many of its answers there were within that time. */
async function answersWithin(observer: SentinelObserver, host: Host, ms: number): Promise<number> {
  const sentMs = (): number => performance.now() - probeOf(observer, host).ageMs
  let [last, count] = [sentMs(), 0]
  for (const endMs = performance.now() + ms; performance.now() < endMs; await delay(5)) {
    const nowMs = sentMs()
    if (nowMs > last + 5) count += 1
    last = nowMs
  }
  return count
}

/** One question a second. Sentinels that have just been started have things to tell. */
async function untilCalm(observer: SentinelObserver): Promise<void> {
  for (let tries = 0; tries < 5; tries += 1) if ((await answersWithin(observer, 'a', 2500)) <= 3) return
  throw new Error('it is not calm')
}

test.skipIf(noRedis)('in calm times it is asked little; what happens is known at once, and then all are watched closely', { timeout: 30_000 }, async () => {
  const g = await sentinels()
  let pace: SentinelPace = 'calm'
  const changes: number[] = []
  const observer = await heard(
    g,
    'b',
    () => changes.push(performance.now()),
    () => pace,
  )
  await untilCalm(observer)
  pace = 'lease'
  const leased = await answersWithin(observer, 'a', 2000)
  expect(leased).toBeGreaterThanOrEqual(5)
  expect(leased).toBeLessThanOrEqual(8)
  // Nothing of that was worth a cycle of the agent.
  expect(changes.filter((ms) => ms > performance.now() - 4000)).toEqual([])
  pace = 'calm'
  await delay(1200)

  // A vote for somebody is no word of theirs, only an event.
  const votedMs = performance.now()
  await g.sentinels.c.call('SENTINEL', 'IS-MASTER-DOWN-BY-ADDR', '127.0.0.1', String(g.redis.a.port), '5', g.sentinels.a.id)
  await until('the vote is known', () => probeOf(observer, 'c').vote?.epoch === 5)
  console.info(`the vote was known ${((changes.at(-1) ?? Number.NaN) - votedMs).toFixed(1)} ms after it was asked for`)
  expect((changes.at(-1) ?? Number.NaN) - votedMs).toBeLessThan(100)
  expect(await answersWithin(observer, 'a', 1000), 'another one').toBeGreaterThanOrEqual(4)

  // One that stands still says nothing: it is missed at its next question, and then the others are asked again and again.
  await untilCalm(observer)
  const { pid } = g.sentinels.b.process()
  process.kill(pid as number, 'SIGSTOP')
  await until('one is missed', () => probeOf(observer, 'b').reach === 'silent')
  expect(await answersWithin(observer, 'a', 1000)).toBeGreaterThanOrEqual(4)
  process.kill(pid as number, 'SIGCONT')
})

test.skipIf(noRedis)('who only reads the stream is no replica to a Sentinel that looks meanwhile', async () => {
  const g = await sentinels()
  const { a } = g.redis
  for (const host of hosts) await g.sentinels[host].call('SENTINEL', 'DEBUG', 'INFO-PERIOD', '100')
  const info = parseInfo(String(await a.call('INFO', 'replication')))
  const reader = await attach(
    { host: '127.0.0.1', port: a.port, password: undefined },
    info.get('master_replid') ?? '',
    Number(info.get('master_repl_offset')) + 1,
    2000,
  )
  expect(reader.ok).toBe(true)
  expect(String(await a.call('INFO', 'replication'))).toContain('connected_slaves:3')
  await delay(1500)
  for (const host of hosts) expect(await g.sentinels[host].call('SENTINEL', 'REPLICAS', group), `on the list of ${host}`).toHaveLength(2)
  if (reader.ok) reader.value.socket.destroy()
})
