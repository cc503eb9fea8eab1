/** INV-1 and INV-6: who never resyncs from whom, and what is kept before it is given up. */
import { describe, expect, test } from 'vitest'
import { countOf } from './model-log.ts'
import { nothing } from './model-redis.ts'
import { createWorld, World } from './world.ts'

function external(...members: readonly string[]): World {
  const w = new World({ members, external: true })
  for (const h of members) w.supervisorStarts(h, 'empty')
  w.run(20)
  return w.begin()
}

describe('a primary comes back empty', () => {
  test.each([1, 30, 500, 5000])('its supervisor restarts it empty after %i ms: nobody follows it, the replica takes over, nothing is lost', (afterMs) => {
    const w = external('a', 'b')
    w.writes(50)
    const wiped: number[] = []
    w.afterEach = () => {
      if (w.keys('b').length < 50) wiped.push(w.nowMs)
    }
    w.crash('a')
    w.after(afterMs, () => w.supervisorStarts('a', 'empty'))
    w.run(afterMs + 100)
    expect(w.untilWhole()).toBe('b')
    expect(wiped).toEqual([])
    expect(w.lost('b')).toEqual([])
    expect(w.lost('a')).toEqual([])
    expect(w.assertions).toEqual([])
  })

  test('the agent was down meanwhile: when it starts, it sees another process and does not take it for the primary', () => {
    const w = external('a', 'b')
    w.writes(20)
    w.killAgent('a')
    w.crash('a')
    // b cannot stop redis from following what answers at that address; it is the state of a that must not confirm it
    w.isolate('a', 'b', ['redis'])
    w.supervisorStarts('a', 'empty')
    w.run(10)
    w.startAgent('a')
    w.run(50)
    w.heal()
    expect(w.untilWhole()).toBe('b')
    expect(w.lost('b')).toEqual([])
  })

  test('its agent is dead; later its supervisor restarts it empty: the replica has let go before redis follows what comes back', () => {
    const w = external('a', 'b')
    w.writes(20)
    w.killAgent('a')
    w.run(1000)
    w.crash('a')
    w.run(50)
    w.supervisorStarts('a', 'empty')
    w.run(2000)
    expect(w.keys('b')).toHaveLength(20)
    w.startAgent('a')
    w.untilWhole()
    expect(w.serving()).toEqual(['b'])
    expect(w.lost('b')).toEqual([])
  })

  test.each([5, 50, 500])('it dies in the same moment as its agent, and comes back empty after %i ms: the replica has let go by then', (afterMs) => {
    const w = external('a', 'b')
    w.writes(20)
    w.killAgent('a')
    w.crash('a')
    w.run(afterMs)
    w.supervisorStarts('a', 'empty')
    w.run(2000)
    expect(w.keys('b')).toHaveLength(20)
    w.startAgent('a')
    w.untilWhole()
    expect(w.serving()).toEqual(['b'])
    expect(w.lost('b')).toEqual([])
  })

  test('direct: the disk is lost with the process; it is born fenced, and gets the data back (INV-2)', () => {
    const w = createWorld('a', 'b').begin()
    w.writes(20)
    w.redis('a').disk = nothing
    w.crash('a')
    expect(w.untilWhole()).toBe('b')
    expect(w.lost('a')).toEqual([])
  })
})

describe('a full sync is broken off', () => {
  test('while it is transferred: the replica still has all it had, and takes over', () => {
    const w = external('a', 'b')
    w.writes(20)
    w.crash('a')
    // it answers as an empty primary for a moment, before its agent has fenced it
    w.failures.set('a/soft-fence', 'no answer')
    w.failures.set('b/soft-fence', 'no answer')
    w.failures.set('b/promote', 'no answer')
    w.redis('b').transferMs = 300
    w.supervisorStarts('a', 'empty')
    w.until('b fetches the nothing that a has', () => w.redis('b').syncUntilMs !== null)
    w.failures.clear()
    expect(w.untilWhole()).toBe('b')
    expect(w.lost('b')).toEqual([])
  })

  test('its source dies right after the last byte: the replica has all, and takes over', () => {
    const w = createWorld('a', 'b').begin()
    w.writes(20)
    w.redis('b').disk = nothing
    w.redis('a').backlogFrom = 200
    w.crash('b')
    w.until('b loads', () => w.redis('b').loading(w.nowMs) && w.redis('b').syncUntilMs !== null)
    w.powerOff('a')
    w.until('b serves', () => w.serving().join() === 'b', 5000)
    expect(w.lost('b')).toEqual([])
  })
})

describe('a primary comes back with old data', () => {
  test('external, at once: the replica has more and takes over; the old one follows', () => {
    const w = external('a', 'b')
    w.writes(10)
    w.redis('a').save()
    w.writes(10)
    w.crash('a')
    w.after(1, () => w.supervisorStarts('a', 'old'))
    w.run(50)
    expect(w.untilWhole()).toBe('b')
    expect(w.lost('b')).toEqual([])
  })

  test('it is made primary all the same, by hand: the replica that has more refuses to follow and says so', () => {
    const w = createWorld('a', { host: 'b', neverPrimary: true }).begin()
    w.writes(10)
    w.redis('a').save()
    w.writes(10)
    w.crash('a')
    w.run(300)
    w.ask('a', 'failover')
    w.until('a serves its old data', () => w.serving().includes('a'))
    w.run(3000)
    expect(w.keys('a')).toHaveLength(10)
    // forced is the operator's word: then b follows, after a copy of what only b has; unforced it would refuse
    const source = w.state('a').lineage.at(-1)?.source
    if (source === 'restart') expect(w.keys('b')).toHaveLength(20)
    else expect(w.kept.some((k) => k.host === 'b' && countOf(k.log) === 20) || w.keys('b').length === 20).toBe(true)
  })
})

describe('a whole group without power', () => {
  test('all come back: the one with the most data serves, whoever it was before', () => {
    const w = createWorld('a', 'b', 'c').begin()
    w.writes(10)
    for (const h of w.hosts) w.redis(h).save()
    w.writes(10)
    w.redis('c').save()
    for (const h of w.hosts) w.powerOff(h)
    w.run(1000)
    for (const h of w.hosts) w.powerOn(h)
    expect(w.untilWhole()).toBe('c')
    for (const h of w.hosts) expect(w.lost(h)).toEqual([])
  })

  test('only the replica comes back: it does not know whether it has all, and waits for the former primary', () => {
    const w = createWorld('a', 'b').begin()
    w.writes(10)
    for (const h of w.hosts) w.redis(h).save()
    w.writes(5)
    w.redis('a').save()
    for (const h of w.hosts) w.powerOff(h)
    w.run(1000)
    w.powerOn('b')
    w.run(10_000)
    expect(w.serving()).toEqual([])
    expect(w.agent('b').lastBecause).toMatch(/waits for a/)
    w.powerOn('a')
    expect(w.untilWhole()).toBe('a')
    expect(w.lost('a')).toEqual([])
    expect(w.lost('b')).toEqual([])
  })
})

describe('two members claim one epoch', () => {
  test('three hosts, none hears another, two promote themselves to epoch 2: all agree on one of them after the heal', () => {
    const w = createWorld('a', 'b', 'c').begin()
    w.writes(20)
    w.redis('b').lagging = true
    w.writes(5)
    w.powerOff('a')
    w.isolate('b', 'c')
    w.until('both serve epoch 2', () => w.serving().join() === 'b,c', 5000)
    expect([w.state('b').epoch, w.state('c').epoch]).toEqual([2, 2])
    // c had more when it was promoted
    w.heal()
    w.redis('b').lagging = false
    w.until('c serves alone', () => w.serving().join() === 'c', 3000)
    w.powerOn('a')
    expect(w.untilWhole()).toBe('c')
    expect(w.lost('c')).toEqual([])
    for (const h of w.hosts) expect(w.state(h).lineage.find((e) => e.epoch === 2)?.holder).toBe('c')
    expect(w.assertions).toEqual([])
  })
})
