/**
 * The Sentinels of the model against real ones: every contract is told once and runs against both, as for redis. The bounds have room for the dice
 * that each Sentinel throws and for a machine that is busy; the order of events has none.
 */
import { afterAll, describe, expect, test } from 'vitest'
import { noRedis } from '../unit/real-redis.ts'
import { openSentinelsModel } from './sentinels-model.ts'
import { openSentinelsReal } from './sentinels-both-real.ts'
import { downAfterMs, failoverTimeoutMs, firstMs, hosts, names, toldSince, turnMs, type Host, type SentinelsUnderTest } from './sentinels-under-test.ts'

/** What a busy machine may add to a time. */
const slackMs = 250

const contracts: [string, (s: SentinelsUnderTest) => Promise<void>][] = []
const contract = (name: string, steps: (s: SentinelsUnderTest) => Promise<void>) => contracts.push([name, steps])
const others = (host: Host | undefined) => hosts.filter((h) => h !== host)

contract('crash: down, agreed, elected, selected, promoted, in this order and in time; then all name one, and the others follow it', async (s) => {
  const crashMs = s.nowMs()
  await s.crash('a')
  await s.until('all name another', async () => (await names(s)).every((n) => n !== 'a') && new Set(await names(s)).size === 1, 20_000)
  const steps = [/^\+sdown a/, /^\+odown a/, /^\+try-failover/, /^\+elected-leader/, /^\+selected-slave/, /^\+promoted-slave/, /^\+switch-master/]
  const times = steps.map((what) => firstMs(s, crashMs, what))
  // A Sentinel looks again at a connection that it has lost a second after it tried it last, at the latest.
  expect(times[0]).toBeGreaterThan(downAfterMs)
  expect(times[0]).toBeLessThan(downAfterMs + 1000 + turnMs + slackMs)
  expect(times.toSorted((x, y) => x - y)).toEqual(times)
  expect(times[5]).toBeLessThan(downAfterMs + 3 * 1000 + 6 * turnMs + slackMs)
  const [now] = await names(s)
  const [other] = others('a').filter((h) => h !== now)
  await s.until('the other follows', async () => (await s.role(other as Host)) === `replica of ${now}`)
  expect(await s.role(now as Host)).toBe('primary')
  await s.until('one epoch', async () => new Set(await Promise.all(hosts.map(async (h) => (await s.facts(h)).epoch))).size === 1)
})

contract('one of three finds it down for ever and promotes nobody; the second makes the majority', async (s) => {
  await s.kill('b')
  await s.kill('c')
  await s.pass(1500)
  const crashMs = s.nowMs()
  await s.crash('a')
  await s.pass(downAfterMs + 4000)
  expect(toldSince(s, crashMs, /^\+sdown a/).map((t) => t.by)).toEqual(['a'])
  expect(toldSince(s, crashMs, /^\+odown|^\+try-failover/)).toEqual([])
  await s.start('b')
  await s.until('promoted', async () => (await s.role('b')) === 'primary' || (await s.role('c')) === 'primary', 20_000)
})

contract('one vote in an epoch, for who comes first; told in epoch 0; the epoch outlives a restart, for whom does not', async (s) => {
  expect(await s.ask('a', 'a', 5, 'anna')).toEqual({ down: false, vote: 'anna 5' })
  for (const epoch of [5, 4, 0]) expect((await s.ask('a', 'a', epoch, 'berta')).vote).toBe('anna 5')
  expect((await s.ask('a', 'b', 9, 'berta')).vote, 'of an address that it does not name').toBe('*')
  expect((await s.ask('a', 'a', 6, 'berta')).vote).toBe('berta 6')
  await s.kill('a')
  await s.start('a')
  expect((await s.ask('a', 'a', 6, 'clara')).vote).toBe('*')
  expect((await s.ask('a', 'a', 7, 'clara')).vote).toBe('clara 7')
})

contract('with its vote it says whether it finds the primary down itself; the vote it gives in any case', async (s) => {
  // Who has just voted does not stand itself.
  for (const host of hosts) expect(await s.ask(host, 'a', 5, 'anna')).toEqual({ down: false, vote: 'anna 5' })
  const crashMs = s.nowMs()
  await s.crash('a')
  await s.until('all find it down', () => new Set(toldSince(s, crashMs, /^\+sdown a/).map((t) => t.by)).size === 3)
  for (const host of hosts) expect(await s.ask(host, 'a', 60, 'berta')).toEqual({ down: true, vote: 'berta 60' })
  await s.restart('a')
  await s.until('they hear it again', () => new Set(toldSince(s, crashMs, /^-sdown a/).map((t) => t.by)).size === 3)
  for (const host of hosts) expect(await s.ask(host, 'a', 61, 'clara')).toEqual({ down: false, vote: 'clara 61' })
})

contract('who has voted for somebody waits twice the failover-timeout before it stands itself', async (s) => {
  const askedMs = s.nowMs()
  for (const host of hosts) await s.ask(host, 'a', 7, 'somebody who then says nothing')
  await s.crash('a')
  await s.until('one stands', () => toldSince(s, askedMs, /^\+try-failover/).length > 0, 12_000)
  expect(firstMs(s, askedMs, /^\+odown/)).toBeLessThan(4000)
  expect(firstMs(s, askedMs, /^\+try-failover/)).toBeGreaterThan(2 * failoverTimeoutMs)
  expect(firstMs(s, askedMs, /^\+try-failover/)).toBeLessThan(2 * failoverTimeoutMs + 1000 + 2 * turnMs + slackMs)
})

contract('a primary that is back at once, empty: not down, not failed over', async (s) => {
  const crashMs = s.nowMs()
  await s.crash('a')
  await s.restart('a')
  await s.pass(12_000)
  expect(toldSince(s, crashMs, /^\+reboot a/).length).toBeGreaterThan(0)
  expect(toldSince(s, crashMs, /down a|try-failover/)).toEqual([])
  expect(await names(s)).toEqual(['a', 'a', 'a'])
})

contract('a replica that calls itself a primary is converted, not before it has for 8 s', async (s) => {
  const fromMs = s.nowMs()
  await s.follow('b', null)
  await s.until('converted', async () => (await s.role('b')) === 'replica of a', 35_000)
  expect(firstMs(s, fromMs, /^\+convert-to-slave b/)).toBeGreaterThan(8000)
  expect(firstMs(s, fromMs, /^\+convert-to-slave b/)).toBeLessThan(8000 + 20_000 + slackMs)
})

contract('a replica of nobody is told to follow the primary, not before it has been for the failover-timeout', async (s) => {
  const fromMs = s.nowMs()
  await s.follow('b', 'nobody')
  await s.until('it follows', async () => (await s.role('b')) === 'replica of a', 25_000)
  expect(firstMs(s, fromMs, /^\+fix-slave-config b/)).toBeGreaterThan(failoverTimeoutMs)
})

contract('behind a closed valve the promotion is not taken; it is given up after the failover-timeout, and all name the old one', async (s) => {
  for (const host of others('a')) await s.valve(host, false)
  const crashMs = s.nowMs()
  await s.crash('a')
  await s.until('given up', () => toldSince(s, crashMs, /abort-slave-timeout/).length > 0)
  expect(firstMs(s, crashMs, /abort-slave-timeout/)).toBeGreaterThan(downAfterMs + failoverTimeoutMs)
  for (const host of others('a')) expect(await s.role(host)).toBe('replica of a')
  expect(await names(s)).toEqual(['a', 'a', 'a'])
})

contract('priority 0 is not selected', async (s) => {
  await s.pace(1000, 1000)
  await s.priority('b', 0)
  await s.pass(2500)
  await s.crash('a')
  await s.until('c', async () => (await names(s)).every((n) => n === 'c'), 20_000)
  expect(toldSince(s, 0, /^\+selected-slave b/)).toEqual([])
})

contract('told of a later epoch that names another, it switches at once; of an earlier one it does not', async (s) => {
  await s.follow('b', null)
  await s.hello('a', 'b', 'b', 4)
  expect(await s.facts('a')).toMatchObject({ names: 'b', epoch: 4, others: 2 })
  await s.hello('a', 'c', 'c', 3)
  expect((await s.facts('a')).names).toBe('b')
})

contract('SENTINEL FAILOVER asks nobody, and no one need be down', async (s) => {
  await s.kill('a')
  await s.kill('c')
  const fromMs = s.nowMs()
  await s.failover('b')
  await s.until('promoted', async () => (await s.role('b')) === 'primary' || (await s.role('c')) === 'primary', 5000)
  expect(s.nowMs() - fromMs).toBeLessThan(4 * turnMs + slackMs)
  expect(await s.role('a')).toBe('primary')
})

contract('told in the middle of its own failover that the old one serves in a later epoch, it ends with whom it promoted, in that epoch', async (s) => {
  await s.follow('c', 'nobody')
  await s.failover('b')
  await s.until('it has promoted', () => toldSince(s, 0, /^\+promoted-slave/).length > 0, 5000)
  const { names: promoted } = await s.facts('b')
  await s.hello('b', 'a', 'a', 9)
  expect(await s.facts('b')).toMatchObject({ names: promoted, epoch: 9 })
  await s.until('it has ended', () => toldSince(s, 0, /^\+switch-master/).some((t) => t.by === 'b'), 10_000)
  expect(promoted).not.toBe('a')
  expect(await s.facts('b')).toMatchObject({ names: promoted, epoch: 9 })
  // An equal epoch convinces nobody.
  await s.hello('b', 'a', 'a', 9)
  expect((await s.facts('b')).names).toBe(promoted)
})

contract('SENTINEL RESET: it finds the others and the replicas again', async (s) => {
  await s.reset('c')
  expect(await s.facts('c')).toMatchObject({ others: 0, replicas: 0 })
  await s.until('found', async () => {
    const { others: known, replicas } = await s.facts('c')
    return known === 2 && replicas === 2
  })
})

contract('who stood still for 2 s finds nobody down afterwards', async (s) => {
  await s.freeze('c')
  await s.pass(2500)
  await s.crash('a')
  const fromMs = s.nowMs()
  await s.thaw('c')
  await s.until('the others have switched', async () => (await s.facts('a')).names !== 'a', 20_000)
  expect(toldSince(s, fromMs, /down a/).filter((t) => t.by === 'c')).toEqual([])
})

contract('a primary that holds writes back holds back hellos and every PING behind them: it is found down', async (s) => {
  const fromMs = s.nowMs()
  await s.pause('a', 6000)
  await s.until('found down', () => firstMs(s, fromMs, /^\+sdown a/) < 6000, 6000)
  expect(firstMs(s, fromMs, /^\+sdown a/)).toBeGreaterThan(downAfterMs)
})

contract('at a quarter of the usual pace a failover of theirs still finds its replicas fit', async (s) => {
  await s.pace(250, 1000)
  await s.pass(1500)
  const crashMs = s.nowMs()
  await s.crash('a')
  await s.until('promoted', () => toldSince(s, crashMs, /^\+promoted-slave|no-good-slave/).length > 0, 10_000)
  expect(toldSince(s, crashMs, /no-good-slave/)).toEqual([])
})

describe('the model', () => {
  // One world at a time: they share the counter of their names.
  for (const [name, steps] of contracts) test(name, async () => steps(await openSentinelsModel()))
})

describe.concurrent('redis-sentinel', () => {
  if (noRedis) console.warn('skipped: redis-server is not installed')
  const groups: SentinelsUnderTest[] = []
  afterAll(() => Promise.all(groups.map((group) => group.close())))
  for (const [name, steps] of contracts) {
    test.skipIf(noRedis)(name, async () => {
      const group = await openSentinelsReal()
      groups.push(group)
      await steps(group)
    })
  }
})
