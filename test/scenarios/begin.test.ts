/** How a group begins: nothing anywhere, a running replication that is adopted, data on one side, data on both, a stranger's data. */
import { describe, expect, test } from 'vitest'
import { createWorld, World } from './world.ts'
import { append, cutTo, type Log } from './model-log.ts'
import type { Dataset } from './model-redis.ts'

function data(replid: string, ...keys: string[]): Dataset {
  return { replid, offset: keys.length * 10, log: keys.reduce<Log>((log, key, i) => append(log, key, (i + 1) * 10), null) }
}

describe('a group that never was', () => {
  test('all empty: the highest priority becomes primary, the other follows, the address is there', () => {
    // given two hosts without any data; when their agents start
    const w = createWorld({ host: 'a', priority: 50 }, { host: 'b', priority: 60 }).begin()
    // then
    expect(w.story()).toEqual(['a following 1', 'b promoted 1', 'b started 1'])
    expect(w.addressOn()).toEqual(['b'])
    expect(w.write()).toBe('OK')
    expect(w.assertions).toEqual([])
  })

  test('a member that may never be primary is not, whatever its priority', () => {
    const w = createWorld({ host: 'a', neverPrimary: true, priority: 200 }, { host: 'b', priority: 60 }).begin()
    expect(w.serving()).toEqual(['b'])
  })

  test('one host is not heard: nobody is promoted, because it may have the data', () => {
    const w = createWorld('a', 'b')
    w.startAgent('a')
    w.run(20_000)
    expect(w.serving()).toEqual([])
    expect(w.acts(['promote'])).toEqual([])
    // when it comes, it goes on
    w.startAgent('b')
    expect(w.untilWhole()).toBe('a')
  })

  test('only the lower priority has data: it becomes primary', () => {
    const w = createWorld('a', 'b')
    w.redis('b').disk = data('old', 'x', 'y')
    w.begin()
    expect(w.serving()).toEqual(['b'])
    expect(w.keys('a')).toEqual(['x', 'y'])
  })

  test('both have data and neither is primary: nobody is promoted until the operator chooses; the other then refuses to lose its own', () => {
    const w = createWorld('a', 'b')
    w.redis('a').disk = data('one', 'x')
    w.redis('b').disk = data('two', 'y', 'z')
    for (const h of w.hosts) w.startAgent(h)
    w.run(5000)
    expect(w.acts(['promote'])).toEqual([])
    // when
    const id = w.ask('b', 'failover')
    w.run(3000)
    // then
    expect(w.results.get(id)?.ok).toBe(true)
    expect(w.serving()).toEqual(['b'])
    expect(w.keys('a')).toEqual(['x'])
    expect(w.acts(['follow'])).toEqual([])
    // and reinit gives a's up
    const reinit = w.ask('a', 'reinit')
    w.untilWhole()
    expect(w.results.get(reinit)?.ok).toBe(true)
    expect(w.keys('a')).toEqual(['y', 'z'])
  })
})

describe('a running replication is adopted', () => {
  function running(): World {
    const w = new World({ members: ['a', 'b'], external: true })
    w.supervisorStarts('b', data('live', 'x', 'y', 'z'))
    w.supervisorStarts('a', 'empty')
    w.run(20)
    w.redis('a').replicaOf({ host: 'ip-b', port: 6379 }, w.nowMs)
    w.run(100)
    return w
  }

  test('the primary stays, its process and replication id stay, the replica does not sync anew', () => {
    // given
    const w = running()
    const before = [w.redis('b').runId, w.redis('b').replid, w.redis('a').runId]
    expect(w.redis('a').linkUp).toBe(true)
    let syncs = 0
    w.afterEach = () => {
      if (w.redis('a').syncUntilMs !== null || !w.redis('a').linkUp) syncs += 1
    }
    // when
    w.begin()
    // then
    expect(w.serving()).toEqual(['b'])
    expect([w.redis('b').runId, w.redis('b').replid, w.redis('a').runId]).toEqual(before)
    expect(syncs).toBe(0)
    expect(w.acts(['start-redis', 'kill-redis', 'soft-fence', 'follow', 'kill-clients'])).toEqual([])
  })

  test('its agents stop and start again: nothing is touched (INV-7)', () => {
    const w = running().begin()
    const sinceMs = w.nowMs
    for (const h of w.hosts) w.killAgent(h)
    w.run(5000)
    expect(w.write()).toBe('OK')
    for (const h of w.hosts) w.startAgent(h)
    w.run(2000)
    expect(w.isWhole()).toBe(true)
    expect(w.done.filter((d) => d.atMs > sinceMs && d.kind !== 'vip').map((d) => `${d.host} ${d.kind}`)).toEqual([])
    expect(w.state('b').epoch).toBe(1)
  })

  test('a crash: the replica takes over; a redis that nobody restarts is never started by the agent', () => {
    const w = running().begin()
    w.writes(5)
    w.crash('b')
    w.run(5000)
    expect(w.serving()).toEqual(['a'])
    expect(w.lost('a')).toEqual([])
    expect(w.redis('b').running).toBe(false)
    // when its supervisor brings it back as a primary with what the disk has
    w.redis('b').disk = { replid: 'live', offset: 30, log: cutTo(w.redis('a').log, 3) }
    w.supervisorStarts('b', 'old')
    w.untilWhole()
    expect(w.lost('b')).toEqual([])
  })
})

describe('a stranger with data joins a running group', () => {
  test('it refuses to give them up, and says what to do', () => {
    const w = createWorld('a', 'b', 'c')
    w.redis('c').disk = data('', 'mine') // an append-only file keeps no replication id
    w.redis('a').disk = data('live', 'x', 'y')
    w.startAgent('a')
    w.startAgent('b')
    w.startAgent('c')
    w.run(200)
    w.ask('a', 'failover')
    w.until('a serves', () => w.serving().includes('a'))
    w.run(3000)
    expect(w.keys('c')).toEqual(['mine'])
    expect(w.story(0, ['alarm']).some((s) => s.startsWith('c alarm'))).toBe(true)
    expect(w.events.find((e) => e.host === 'c' && e.kind === 'alarm')?.text).toMatch(/reinit/)
    expect(w.state('c').phase).toBe('fresh')
    expect(w.addressOn()).toEqual(['a'])
  })
})
