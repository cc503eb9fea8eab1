/** Redis dies or hangs: who takes over, in which order, and what becomes of the old primary. */
import { describe, expect, test } from 'vitest'
import { createWorld, World } from './world.ts'

describe('redis crashes', () => {
  test('the replica takes over within milliseconds, nothing is lost, the old primary comes back as a replica', () => {
    // given
    const w = createWorld('a', 'b').begin()
    w.writes(50)
    const sinceMs = w.nowMs
    // when
    w.crash('a')
    w.until('b serves with the address', () => w.serving().includes('b') && w.addressOn()[0] === 'b', 50)
    w.writes(20)
    // then
    expect(w.untilWhole()).toBe('b')
    expect(w.story(sinceMs)).toEqual(['a detected 2', 'a fenced 2', 'b detected 2', 'b promoted 2', 'a rejoined 2'])
    expect(w.lost('b')).toEqual([])
    expect(w.lost('a')).toEqual([])
    expect(w.write()).toBe('OK')
    // fenced before another is promoted; a new redis is born fenced
    expect(w.acts(['vip', 'promote', 'start-redis', 'follow'], sinceMs).slice(0, 3).sort()).toEqual(['a start-redis', 'a vip no', 'b promote'])
    expect(w.acts(['vip', 'promote'], sinceMs).slice(0, 2)).toEqual(['a vip no', 'b promote'])
    expect(w.assertions).toEqual([])
  })

  test('twenty failovers in a row without a hand', () => {
    const w = createWorld('a', 'b').begin()
    for (let i = 0; i < 20; i += 1) {
      w.writes(5)
      w.crash(w.untilWhole())
    }
    w.untilWhole()
    expect(w.state('a').epoch).toBe(21)
    expect(w.lost('a')).toEqual([])
    expect(w.lost('b')).toEqual([])
    expect(w.state('a').lineage.map((e) => e.epoch)).toEqual(Array.from({ length: 21 }, (_, i) => i + 1))
    expect(w.assertions).toEqual([])
  })

  test('of two replicas the one with more data wins, against priority', () => {
    const w = createWorld({ host: 'a', priority: 100 }, { host: 'b', priority: 90 }, { host: 'c', priority: 10 }).begin()
    w.writes(10)
    w.redis('b').lagging = true
    w.writes(3)
    w.crash('a')
    w.until('c serves', () => w.serving().includes('c'), 500)
    w.redis('b').lagging = false
    expect(w.untilWhole()).toBe('c')
    expect(w.lost('c')).toEqual([])
    expect(w.lost('b')).toEqual([])
  })

  test('equal data: the higher priority wins', () => {
    const w = createWorld({ host: 'a', priority: 100 }, { host: 'b', priority: 10 }, { host: 'c', priority: 20 }).begin()
    w.writes(5)
    w.crash('a')
    expect(w.untilWhole()).toBe('c')
  })

  test('never_primary: it has more data and is not promoted all the same', () => {
    const w = createWorld({ host: 'a', priority: 100 }, { host: 'b', priority: 10 }, { host: 'c', neverPrimary: true }).begin()
    w.redis('b').lagging = true
    w.writes(3)
    w.crash('a')
    w.until('b serves', () => w.serving().includes('b'), 1000)
    expect(w.acts(['promote'])).not.toContain('c promote')
  })

  test('no fit replica: redis is started in place, fenced, and serves again from what its disk has', () => {
    const w = createWorld('a', { host: 'b', neverPrimary: true }).begin()
    w.writes(10)
    w.redis('a').save()
    const sinceMs = w.nowMs
    w.crash('a')
    expect(w.untilWhole()).toBe('a')
    expect(w.lost('a')).toEqual([])
    expect(w.acts(['start-redis', 'promote'], sinceMs)).toEqual(['a start-redis', 'a promote'])
    expect(w.state('a').lineage.at(-1)?.source).toBe('restart')
  })

  test('restarted in place from an older disk, the replica that may not serve keeps what it has and refuses (INV-1)', () => {
    const w = createWorld('a', { host: 'b', neverPrimary: true }).begin()
    w.writes(5)
    w.redis('a').save()
    w.writes(5)
    w.crash('a')
    w.run(5000)
    expect(w.keys('b')).toHaveLength(10)
    // the operator sees why; the data are there
    const refused = w.events.some((e) => e.host === 'b' && e.kind === 'alarm' && e.text.startsWith('INV-1'))
    expect(refused || w.serving().length === 0).toBe(true)
  })

  test('a claim that was outlived while its agent was dead is not carried out when it comes back', () => {
    const w = createWorld({ host: 'a', priority: 30 }, { host: 'b', priority: 20 }, { host: 'c', priority: 10 }).begin()
    w.writes(5)
    w.stepHook = (host, label) => (host === 'b' && label === 'promoting/saved' ? 'die' : 'go on')
    w.crash('a')
    w.until('c serves instead', () => w.serving().join() === 'c')
    // when
    w.stepHook = null
    w.startAgent('b')
    w.afterEach = () => expect(w.redis('b').role).toBe('replica')
    expect(w.untilWhole()).toBe('c')
    expect(w.lost('b')).toEqual([])
  })

  test('automatic failover is off: nobody is promoted, and the operator can', () => {
    const w = new World({ members: ['a', 'b'], auto: false }).begin()
    w.writes(5)
    w.crash('a')
    w.run(3000)
    expect(w.serving()).toEqual([])
    const id = w.ask('b', 'failover')
    w.until('b serves', () => w.serving().includes('b'))
    expect(w.results.get(id)?.ok).toBe(true)
    w.untilWhole()
    expect(w.lost('b')).toEqual([])
  })
})

describe('redis hangs', () => {
  test('with a successor: killed after unresponsive_ms, before anybody is promoted, before the address goes', () => {
    const w = createWorld('a', 'b').begin()
    w.writes(10)
    const sinceMs = w.nowMs
    w.freeze('a')
    w.run(2900)
    expect(w.acts(['kill-redis', 'promote'], sinceMs)).toEqual([])
    w.until('b serves', () => w.serving().includes('b'), 500)
    expect(w.acts(['kill-redis', 'promote', 'vip'], sinceMs).slice(0, 3)).toEqual(['a kill-redis', 'a vip no', 'b promote'])
    expect(w.untilWhole()).toBe('b')
    expect(w.lost('b')).toEqual([])
  })

  test('it answers again in time: nothing happens', () => {
    const w = createWorld('a', 'b').begin()
    const sinceMs = w.nowMs
    w.freeze('a')
    w.run(2500)
    w.thaw('a')
    w.run(5000)
    expect(w.story(sinceMs)).toEqual([])
    expect(w.serving()).toEqual(['a'])
  })

  test('without a successor it is not killed: a slow answer is better than none', () => {
    const w = createWorld('a', { host: 'b', neverPrimary: true }).begin()
    w.freeze('a')
    w.run(10_000)
    expect(w.acts(['kill-redis'])).toEqual([])
    w.thaw('a')
    expect(w.untilWhole()).toBe('a')
  })

  test('a replica hangs: the primary does not care, the replica is left alone', () => {
    const w = createWorld('a', 'b').begin()
    w.freeze('b')
    w.run(5000)
    expect(w.serving()).toEqual(['a'])
    expect(w.acts(['kill-redis'])).toEqual([])
    w.thaw('b')
    w.untilWhole()
  })
})

describe('cascade', () => {
  test('replicate_from is honoured, the middle dies: its replica goes to the primary, and back', () => {
    const w = createWorld('a', 'b', { host: 'c', neverPrimary: true, replicateFrom: 'b' }).begin()
    w.until('c follows b', () => w.redis('c').upstream?.host === 'ip-b' && w.redis('c').linkUp)
    w.writes(5)
    expect(w.keys('c')).toHaveLength(5)
    w.crash('b')
    w.until('c follows a', () => w.redis('c').upstream?.host === 'ip-a', 1000)
    w.until('c follows b again', () => w.redis('c').upstream?.host === 'ip-b' && w.redis('c').linkUp)
    expect(w.keys('c')).toHaveLength(5)
  })

  test('the middle becomes primary: its replica stays with it', () => {
    const w = createWorld('a', 'b', { host: 'c', neverPrimary: true, replicateFrom: 'b' }).begin()
    w.writes(5)
    w.crash('a')
    expect(w.untilWhole()).toBe('b')
    expect(w.redis('c').upstream?.host).toBe('ip-b')
  })
})
