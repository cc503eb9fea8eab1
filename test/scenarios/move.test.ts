/** A running redis is moved to the group: the calm way, and what dies, hangs or is cut off in the middle of it. */
import { describe, expect, test } from 'vitest'
import { before, finish, insist, isMoved, follow, moved, received, stageOf, writers, type Ground } from './move-steps.ts'
import type { World } from './world.ts'

const grounds: readonly (readonly [string, Ground])[] = [
  ['two members', {}],
  ['two members and a witness', { witness: 'w' }],
  ['three members, and Sentinels on their hosts', { members: ['a', 'b', 'c'], sentinels: ['a', 'b', 'c'] }],
  ['three members, a source from before 6.2', { members: ['a', 'b', 'c'], source: 'refuses' }],
]

/** The agent of `a` does this at the nth step of its loop after the question; whether it came so far. */
function atStep(w: World, nth: number, what: () => 'go on' | 'die'): () => boolean {
  let left = nth
  w.stepHook = (host) => {
    if (host !== 'a') return 'go on'
    left -= 1
    if (left > 0) return 'go on'
    w.stepHook = null
    return what()
  }
  return () => left <= 0
}

describe.each(grounds)('%s', (_, ground) => {
  test('a calm move: the source serves until the cut-over, the group after it, and back, and to its end', () => {
    const w = received(ground)
    expect(w.addressOn(), 'nobody has the address meanwhile').toEqual([])
    expect(writers(w)).toEqual(['s'])
    const asked = w.move('a', { verb: 'cutover', unverified: true })
    w.until('moved', () => isMoved(w), 2000)
    expect(w.results.get(asked)).toMatchObject({ ok: true })
    expect(w.lost('a')).toEqual([])
    w.writes(20)
    const back = w.move('a', { verb: 'rollback' })
    w.until('the source serves', () => stageOf(w) === 'sync' && follow(w), 2000)
    w.run(500)
    expect(w.results.get(back)).toMatchObject({ ok: true })
    expect([w.lost('s'), writers(w), w.addressOn()]).toEqual([[], ['s'], []])
    w.writes(5)
    expect(finish(w)).toBe('a')
  })

  test.each(['cutover', 'rollback'] as const)('the agent dies at every step of a %s and comes back', (verb) => {
    for (let nth = 1; ; nth += ground === grounds[0]?.[1] ? 1 : 3) {
      const w = verb === 'cutover' ? received(ground) : moved(ground)
      const came = atStep(w, nth, () => {
        w.after(nth % 2 === 0 ? 300 : 3500, () => w.startAgent('a'))
        return 'die'
      })
      w.move('a', verb === 'cutover' ? { verb, unverified: true } : { verb })
      w.run(200)
      w.writes(5)
      w.run(6000)
      if (!came()) {
        expect(nth).toBeGreaterThan(8)
        return
      }
      finish(w)
    }
  })
})

const faults: readonly (readonly [string, (w: World) => void, (w: World) => void])[] = [
  ['the agent stands still', (w) => w.stall('a', 700), () => {}],
  ['the host stands still', (w) => w.suspend('a', 1500), () => {}],
  ['the host is halted from outside', (w) => w.suspend('a', 5000, 'stops'), () => {}],
  ["the holder's redis dies", (w) => w.crash('a'), () => {}],
  ["the holder's redis hangs", (w) => w.freeze('a'), (w) => w.thaw('a')],
  ['the redis of the replica dies', (w) => w.crash('b'), () => {}],
  ['the agent of the replica dies', (w) => w.killAgent('b'), (w) => w.startAgent('b')],
  ['the source hangs', (w) => w.freeze('s'), (w) => w.thaw('s')],
  ['the holder and the source are cut from each other', (w) => w.isolate('a', 's'), (w) => w.heal()],
  ['what the source answers does not arrive', (w) => w.network.block('s', 'a', ['redis']), (w) => w.heal()],
  ['the way to the source is slow', (w) => w.slow('a', 's', 200), (w) => w.heal()],
  ['the holder is cut off', (w) => w.cut('a'), (w) => w.heal()],
  ["the holder's host loses its power", (w) => w.powerOff('a'), (w) => w.powerOn('a')],
]

describe('whatever fails at whatever step, no two accept writes, and the move comes to its end', () => {
  test.each(faults)('%s', (_, fail, mend) => {
    for (const verb of ['cutover', 'rollback'] as const)
      for (const ground of [{}, { witness: 'w' }])
        for (let nth = 1; nth < 40; nth += 7) {
          const w = verb === 'cutover' ? received(ground) : moved(ground)
          const came = atStep(w, nth, () => {
            fail(w)
            w.after(nth % 2 === 0 ? 300 : 4000, () => mend(w))
            return 'go on'
          })
          w.move('a', verb === 'cutover' ? { verb, unverified: true } : { verb })
          w.run(200)
          w.writes(5)
          w.run(9000)
          if (!came()) break
          finish(w)
        }
  })
})

describe('the source', () => {
  test('INV-1: it dies and comes back empty: what the group has received is not given up to it', () => {
    const w = received()
    w.crash('s')
    w.run(100)
    w.supervisorStarts('s', 'empty')
    w.run(3000)
    expect([w.lost('a'), w.lost('b')]).toEqual([[], []])
    expect(w.events.filter((e) => e.kind === 'alarm').map((e) => e.text)[0]).toContain('INV-1')
    // the operator has the group serve what it has
    w.crash('s')
    w.ask('a', 'failover')
    expect(w.untilWhole()).toBe('a')
    expect([w.lost('a'), w.lost('b')]).toEqual([[], []])
  })

  test('it is cut off, dies and comes back empty meanwhile: the same', () => {
    const w = received()
    w.cut('s')
    w.crash('s')
    w.supervisorStarts('s', 'empty')
    w.run(5000)
    w.heal()
    w.run(3000)
    expect([w.lost('a'), w.lost('b')]).toEqual([[], []])
  })

  test('it dies while it is told to step down: nobody is promoted before it was seen, and --force has the group serve', () => {
    const w = received()
    w.stepHook = (_, label) => {
      if (!label.endsWith('before:source-demote')) return 'go on'
      w.stepHook = null
      w.crash('s')
      return 'go on'
    }
    w.move('a', { verb: 'cutover', unverified: true })
    w.run(8000)
    expect(writers(w)).toEqual([])
    w.ask('a', 'failover')
    expect(w.untilWhole()).toBe('a')
    expect(w.lost('a')).toEqual([])
  })

  test('its writes are let through again where the cut-over is given up', () => {
    for (const source of ['pauses', 'refuses'] as const) {
      const w = received({ source })
      w.redis('a').lagging = true
      w.write()
      w.move('a', { verb: 'cutover', unverified: true })
      w.run(100)
      expect(writers(w)).toEqual([])
      w.until('it serves again', () => writers(w).join() === 's', 700)
      w.redis('a').lagging = false
      w.run(500)
      finish(w)
    }
  })
})

describe('the group', () => {
  test('the host of the holder is lost for good: the other is promoted by --force only', () => {
    for (const witness of [undefined, 'w']) {
      const w = received(witness === undefined ? {} : { witness })
      w.powerOff('a')
      w.run(10_000)
      expect([writers(w), w.addressOn()]).toEqual([['s'], []])
      w.crash('s')
      w.run(10_000)
      expect(writers(w)).toEqual([])
      w.ask('b', 'failover')
      w.until('b serves', () => w.serving().join() === 'b' && w.addressOn().join() === 'b', 10_000)
      expect(w.lost('b')).toEqual([])
    }
  })

  test('INV-3: without an address no VRRP stands in the way, and nobody is promoted beside the source either', () => {
    const w = received({ bare: true })
    w.powerOff('a')
    w.run(10_000)
    expect(writers(w)).toEqual(['s'])
    expect(w.agent('b').lastBecause).toContain('nobody is promoted')
  })

  test.each([{}, { witness: 'w' }])('a failover after the cut-over: the new primary sees to the source, and the way back works from there %j', (ground) => {
    const w = moved(ground)
    w.powerOff('a')
    w.until('b serves', () => w.serving().includes('b'), 5000)
    w.writes(5)
    w.powerOn('a')
    w.until('the source follows b', () => isMoved(w) && w.redis('s').upstream?.host === 'ip-b', 10_000)
    insist(w, 'rollback', () => stageOf(w, 'b') === 'sync' && follow(w))
    expect([writers(w), w.lost('s')]).toEqual([['s'], []])
    w.writes(5)
    expect(finish(w)).toBe('b')
  })

  test('the address of a group that receives is not called missing, and after the cut-over no replica has it first', () => {
    const w = before()
    w.tells = true
    const had = new Set<string>()
    const { afterEach } = w
    w.afterEach = () => {
      afterEach()
      for (const host of w.addressOn()) had.add(host)
    }
    w.move('a', { verb: 'start', source: { host: 'ip-s', port: 6379 }, overwrite: null })
    w.run(5000)
    w.move('a', { verb: 'cutover', unverified: true })
    w.run(3000)
    expect([...had]).toEqual(['a'])
    expect(w.story(0, ['vip-wrong', 'vip-returned'])).toEqual([])
  })
})

describe('a cut-over and a way back that were interrupted', () => {
  test("INV-1: the holder's redis dies in the middle of a way back, its disk is older: the copy of the others is not given up to that", () => {
    const w = moved()
    w.stepHook = (_, label) => {
      if (label !== 'receiving/saved') return 'go on'
      w.stepHook = null
      w.crash('a')
      return 'go on'
    }
    w.move('a', { verb: 'rollback' })
    w.until('one serves', () => writers(w).length === 1, 5000)
    expect(w.lost(writers(w)[0] ?? '')).toEqual([])
  })

  test('INV-3: a way back is not gone through with while a member that has not heard of it may be elected', () => {
    const w = moved({ witness: 'w' })
    w.stepHook = (_, label) => {
      if (label !== 'receiving/saved') return 'go on'
      w.stepHook = null
      w.cut('a')
      w.network.way('a', 's').redis = true
      w.network.way('s', 'a').redis = true
      w.slow('a', 's', 250)
      w.after(6000, () => w.heal())
      return 'go on'
    }
    w.move('a', { verb: 'rollback' })
    w.until('b serves', () => w.serving().includes('b'), 5000)
    w.run(10_000)
    expect(writers(w)).toEqual(['b'])
  })

  test('writes are held before the offsets of a way back are compared', () => {
    const w = moved()
    w.tells = true
    const sinceMs = w.nowMs
    w.move('a', { verb: 'rollback' })
    w.until('the source serves', () => writers(w).join() === 's', 2000)
    expect(w.acts(['pause-writes', 'soft-fence'], sinceMs).slice(0, 2)).toEqual(['a pause-writes', 'a soft-fence'])
  })

  test('INV-3: a promotion that was claimed and not done is not done later beside a source that was started anew', () => {
    const w = received()
    w.stepHook = (_, label) => (label === 'promoting/saved' ? 'die' : 'go on')
    w.move('a', { verb: 'cutover', unverified: true })
    w.until('claimed', () => !w.agent('a').up, 2000)
    w.stepHook = null
    w.crash('s')
    w.redis('s').disk = { replid: w.redis('s').replid, offset: w.redis('s').offset, log: w.redis('s').log }
    w.supervisorStarts('s', 'old')
    w.run(50)
    w.writes(5)
    expect(w.lost('s')).toEqual([])
    w.startAgent('a')
    w.run(5000)
    expect(writers(w)).toEqual(['s'])
    finish(w)
  })
})
