/** What an operator asks for: pause and resume, a forced failover, reinit, things that do not fit. */
import { describe, expect, test } from 'vitest'
import { nothing } from './model-redis.ts'
import { createWorld, World } from './world.ts'

describe('pause', () => {
  test('asked of one member, it spreads to all; a crash then promotes nobody; resume does', () => {
    const w = createWorld('a', 'b', 'c').begin()
    w.ask('b', 'pause')
    w.run(1500)
    expect(w.hosts.map((h) => w.state(h).paused.on)).toEqual([true, true, true])
    expect(w.serving()).toEqual(['a'])
    w.writes(5)
    const sinceMs = w.nowMs
    w.crash('a')
    w.run(5000)
    expect(w.acts(['promote'], sinceMs)).toEqual([])
    w.ask('c', 'resume')
    expect(['b', 'c']).toContain(w.untilWhole())
    expect(w.lost('b')).toEqual([])
    expect(w.hosts.map((h) => w.state(h).paused.on)).toEqual([false, false, false])
  })

  test('while it is paused, redis that crashed and restarted accepts no writes', () => {
    const w = createWorld('a', 'b').begin()
    w.writes(5)
    w.ask('a', 'pause')
    w.run(1500)
    w.crash('a')
    w.run(3000)
    expect(w.serving()).toEqual([])
    expect(w.hosts.map((h) => w.redis(h).role)).toEqual(['replica', 'replica'])
  })

  test('two words that cross: the later one wins everywhere', () => {
    const w = createWorld('a', 'b').begin()
    w.isolate('a', 'b', ['agent'])
    w.ask('a', 'pause')
    w.run(50)
    w.ask('b', 'resume')
    w.run(50)
    w.heal()
    w.run(2000)
    expect(w.hosts.map((h) => [w.state(h).paused.on, w.state(h).paused.by])).toEqual([
      [false, 'anna'],
      [false, 'anna'],
    ])
  })

  test('a switchover still works: it is the operator who chooses', () => {
    const w = createWorld('a', 'b').begin()
    w.ask('a', 'pause')
    w.run(1500)
    const id = w.ask('a', 'switchover')
    w.until('b serves', () => w.serving().join() === 'b')
    w.untilWhole()
    w.run(100)
    expect(w.results.get(id)?.ok).toBe(true)
  })
})

describe('failover --force', () => {
  test('the primary is out of reach and nothing proves it dead: the operator decides', () => {
    const w = createWorld('a', 'b').begin()
    w.writes(5)
    w.isolate('a', 'b', ['agent', 'redis'])
    w.run(3000)
    expect(w.serving()).toEqual(['a'])
    const id = w.ask('b', 'failover')
    w.until('b serves', () => w.serving().includes('b'))
    expect(w.results.get(id)?.ok).toBe(true)
    w.heal()
    expect(w.untilWhole()).toBe('b')
    expect(w.state('b').lineage.at(-1)?.source).toBe('forced')
    expect(w.assertions).toEqual([])
  })

  test('of the primary itself: it is primary already', () => {
    const w = createWorld('a', 'b').begin()
    const id = w.ask('a', 'failover')
    w.run(300)
    expect(w.results.get(id)).toMatchObject({ ok: false, message: 'a is the primary already' })
    expect(w.state('a').epoch).toBe(1)
  })

  test('half a dataset is not promoted, not even by force', () => {
    const w = createWorld('a', 'b').begin()
    w.writes(5)
    w.redis('b').disk = nothing
    w.crash('b')
    w.redis('b').loadMs = 400
    w.redis('b').transferMs = 200
    w.until('b loads what a sent, and its agent has seen it', () => w.state('b').partialOf?.keys === -1)
    const id = w.ask('b', 'failover')
    w.run(5)
    expect(w.results.get(id)?.ok).toBe(false)
    expect(w.results.get(id)?.message).toMatch(/part of a dataset|is loading/)
    expect(w.untilWhole()).toBe('a')
  })
})

describe('reinit', () => {
  test('a replica gives its data up and gets them anew', () => {
    const w = createWorld('a', 'b').begin()
    w.writes(5)
    const before = w.redis('b').runId
    const id = w.ask('b', 'reinit')
    w.run(300)
    w.untilWhole()
    expect(w.results.get(id)?.ok).toBe(true)
    expect(w.redis('b').runId).not.toBe(before)
    expect(w.keys('b')).toHaveLength(5)
    // and it is ready to take over
    w.crash('a')
    w.until('b serves', () => w.serving().includes('b'), 500)
  })

  test.each([
    { whom: 'a', world: () => createWorld('a', 'b').begin(), why: /a is the primary: its data are the group's/ },
    {
      whom: 'b',
      world: () => {
        const w = createWorld('a', 'b').begin()
        w.ask('a', 'pause')
        w.run(1200)
        w.crash('a')
        w.run(500)
        return w
      },
      why: /another member must be serving/,
    },
  ])('of $whom, while nobody else serves: refused', ({ whom, world, why }) => {
    const w = world()
    const id = w.ask(whom, 'reinit')
    w.run(300)
    expect(w.results.get(id)?.message).toMatch(why)
    expect(w.acts(['wipe-redis'])).toEqual([])
  })

  test.each([
    { own: '7.0.15', primary: '8.0.2', refused: /redis 7.0.15 here cannot read a full copy from redis 8.0.2 .*upgrade redis on b first/ },
    { own: '6.2.16', primary: '7.2.4', refused: /cannot read/ },
    { own: '7.2.4', primary: '8.0.2', refused: /cannot read/ },
    { own: '8.0.2', primary: '7.2.4', refused: null },
    { own: '6.0.16', primary: '6.2.16', refused: null },
  ])('of redis $own under a primary of $primary', ({ own, primary, refused }) => {
    const w = createWorld('a', 'b').begin()
    w.writes(5)
    w.redis('b').version = own
    w.redis('a').version = primary
    w.run(1200)
    const id = w.ask('b', 'reinit')
    w.run(300)
    expect(w.results.get(id)?.ok).toBe(refused === null)
    if (refused === null) return
    expect(w.results.get(id)?.message).toMatch(refused)
    expect(w.acts(['wipe-redis'])).toEqual([])
    // and whoever looks is told before there is any need for a copy
    expect(w.events.find((e) => e.host === 'b' && e.kind === 'alarm')?.text).toMatch(/lives by the stream alone; upgrade redis on b/)
    // it is as good a successor as ever
    w.crash('a')
    w.until('b serves', () => w.serving().includes('b'), 500)
  })

  test('of an external redis: it belongs to somebody else', () => {
    const w = new World({ members: ['a', 'b'], external: true })
    for (const h of w.hosts) w.supervisorStarts(h, 'empty')
    w.run(20)
    w.begin()
    const id = w.ask('b', 'reinit')
    w.run(300)
    expect(w.results.get(id)?.message).toMatch(/process: direct/)
    expect(w.acts(['wipe-redis'])).toEqual([])
  })
})
