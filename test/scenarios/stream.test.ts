/** Replicas that look well and are not, and full syncs that come one after the other. */
import { describe, expect, test } from 'vitest'
import { nothing } from './model-redis.ts'
import { createWorld, type World } from './world.ts'

/** A client that goes on: without writes nobody can tell a stream that stands from one that has nothing to bring. */
function writeFor(w: World, ms: number): void {
  for (let t = 0; t < ms; t += 100) {
    w.write()
    w.run(100)
  }
}

describe('one direction of the network swallows the stream', () => {
  test('only that connection: the link is begun anew, once, and the replica has all again', () => {
    const w = createWorld('a', 'b').begin()
    w.redis('b').swallowed = true
    writeFor(w, 7000)
    expect(w.acts(['cycle-link'])).toEqual(['b cycle-link'])
    expect(w.untilWhole()).toBe('a')
    expect(w.lost('b')).toEqual([])
    w.crash('a')
    expect(w.untilWhole()).toBe('b')
  })

  test('and the new one too: not fit, and at the death of the primary the one that has more is waited for', () => {
    const w = createWorld('a', 'b').begin()
    w.redis('b').lagging = true
    writeFor(w, 12_000)
    expect(w.acts(['cycle-link'])).toEqual(['b cycle-link'])
    expect(w.events.some((e) => e.host === 'b' && e.kind === 'alarm' && e.text.includes('a new link did not help'))).toBe(true)
    w.redis('a').save()
    w.crash('a')
    w.run(1000)
    expect(w.serving()).toEqual(['a'])
    expect(w.lost('a')).toEqual([])
  })

  test('three members: the one that follows takes over, whatever the priorities are', () => {
    const w = createWorld('a', 'b', 'c').begin()
    w.redis('b').lagging = true
    writeFor(w, 6000)
    w.crash('a')
    w.until('c serves', () => w.serving().join() === 'c', 3000)
    expect(w.lost('c')).toEqual([])
  })
})

describe('a replica that answered its primary with an error', () => {
  test('is passed over; filled anew it is one of them again', () => {
    const w = createWorld('a', 'b', 'c').begin()
    w.writes(10)
    w.redis('b').streamErrors = 1
    w.run(1000)
    expect(w.state('b').differs).not.toBeNull()
    w.crash('a')
    expect(w.untilWhole()).toBe('c')
    w.ask('b', 'reinit')
    w.run(500)
    w.untilWhole()
    expect(w.state('b').differs).toBeNull()
    w.crash('c')
    w.until('another serves', () => w.serving().length === 1 && w.serving()[0] !== 'c', 3000)
    expect(w.assertions).toEqual([])
  })

  test('it is all that is left: nobody is promoted, and the operator can', () => {
    const w = createWorld('a', 'b').begin()
    w.writes(10)
    w.redis('b').streamErrors = 1
    w.run(1000)
    w.powerOff('a')
    w.run(5000)
    expect(w.serving()).toEqual([])
    w.ask('b', 'failover')
    w.until('b serves', () => w.serving().join() === 'b', 2000)
    w.run(500)
    expect(w.state('b').differs).toBeNull()
    expect(w.assertions).toEqual([])
  })
})

describe('two lose their disks at once', () => {
  function atOnce(w: World): readonly string[] {
    return w.hosts.filter((h) => w.redis(h).syncUntilMs !== null)
  }

  function emptied(): { w: World; most: () => number } {
    const w = createWorld('a', 'b', 'c').begin()
    w.writes(20)
    let most = 0
    w.afterEach = () => {
      most = Math.max(most, atOnce(w).length)
    }
    for (const h of ['b', 'c']) {
      w.redis(h).transferMs = 3000
      w.redis(h).disk = nothing
      w.crash(h)
    }
    return { w, most: () => most }
  }

  test('they are filled one after the other, the higher priority first', () => {
    const { w, most } = emptied()
    w.until('b is being filled', () => atOnce(w).join() === 'b', 3000)
    w.run(1000)
    expect(w.agent('c').lastBecause).toContain('waits for the full sync of b')
    w.until('then c is', () => atOnce(w).join() === 'c', 5000)
    expect(w.untilWhole()).toBe('a')
    expect(most()).toBe(1)
    expect([w.lost('b'), w.lost('c')]).toEqual([[], []])
  })

  test('the first one dies in the middle: the second does not wait for it', () => {
    const { w } = emptied()
    w.until('b is being filled', () => atOnce(w).join() === 'b', 3000)
    w.powerOff('b')
    w.until('c is', () => atOnce(w).join() === 'c', 4000)
  })

  test('a small dataset waits for nobody', () => {
    const { w, most } = emptied()
    w.redis('a').usedBytes = 1_000_000
    expect(w.untilWhole()).toBe('a')
    expect(most()).toBe(2)
  })
})
