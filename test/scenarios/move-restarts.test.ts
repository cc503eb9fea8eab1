/**
 * A move in which redis processes are started anew, at the source, at the holder, at both: what was received is given up to nothing that has less
 * without a copy (INV-1, INV-6), and the operator has a way out.
 */
import { describe, expect, test } from 'vitest'
import { nothing } from './model-redis.ts'
import { sourceHost } from './model-source.ts'
import { follow, moved, received, writers } from './move-steps.ts'
import type { World } from './world.ts'

const source = { host: `ip-${sourceHost}`, port: 6379 }

/** Its supervisor has it back without anything of what it had. */
function emptySource(w: World): void {
  w.crash('s')
  w.run(50)
  w.supervisorStarts('s', 'empty')
}

/** The host of the holder loses its power, and its disk. */
function emptyHolder(w: World): void {
  // Its agent first: it would start its redis again.
  w.killAgent('a')
  w.powerOff('a')
  w.redis('a').disk = nothing
  w.run(100)
  w.powerOn('a')
}

function alarms(w: World): string {
  return [...new Set(w.events.filter((e) => e.kind === 'alarm').map((e) => e.text))].join('\n')
}

describe('the source and the redis of the holder were both started anew', () => {
  /** Only b has what there was. */
  function onlyThere(): World {
    const w = received()
    emptySource(w)
    emptyHolder(w)
    w.run(6000)
    return w
  }

  test('INV-1: the copy of the other is not given up, and an alarm names it', () => {
    const w = onlyThere()
    expect([w.lost('b'), w.redis('a').linkUp, writers(w)]).toEqual([[], false, ['s']])
    expect(alarms(w)).toContain('failover sessions --to b --force')
    expect(w.state('a').move?.last).toContain('--overwrite')
  })

  test('the operator has the group serve what is left', () => {
    const w = onlyThere()
    w.powerOff('s')
    const asked = w.ask('b', 'failover')
    expect(w.untilWhole()).toBe('b')
    expect([w.results.get(asked)?.ok, w.lost('b'), w.lost('a')]).toEqual([true, [], []])
  })

  test('INV-6: the operator has it followed nevertheless: what is left is kept before', () => {
    const w = onlyThere()
    const before = w.keys('b')
    const asked = w.move('a', { verb: 'start', source, overwrite: w.redis('a').runId })
    w.until('all follow', () => follow(w), 5000)
    expect(w.results.get(asked)?.ok).toBe(true)
    expect(before.filter((key) => !w.kept.some((k) => k.host === 'b' && k.keys.includes(key)))).toEqual([])
    w.writes(3)
    w.run(100)
    expect(w.keys('b')).toEqual(w.keys('s'))
  })

  test('INV-6: the same where the holder has its copy still', () => {
    const w = received()
    emptySource(w)
    w.run(3000)
    const before = w.keys('b')
    w.move('a', { verb: 'start', source, overwrite: w.redis('a').runId })
    w.until('all follow', () => follow(w), 5000)
    for (const host of ['a', 'b']) expect(before.filter((key) => !w.kept.some((k) => k.host === host && k.keys.includes(key)))).toEqual([])
  })

  test('INV-1: the other is not heard: it is waited for, whatever it has', () => {
    const w = received()
    emptySource(w)
    w.isolate('a', 'b', ['agent'])
    emptyHolder(w)
    w.run(8000)
    expect([w.lost('b'), w.redis('a').linkUp]).toEqual([[], false])
    expect(alarms(w)).toContain('b may have received more than both, and does not tell')
    w.heal()
    w.run(3000)
    expect([w.lost('b'), w.redis('a').linkUp]).toEqual([[], false])
  })
})

describe('one of them was started anew', () => {
  test('the source with all that it had, and a member is away: what was linked to it goes on', () => {
    const w = received()
    w.powerOff('b')
    w.run(1000)
    w.redis('s').save()
    w.crash('s')
    w.run(50)
    w.supervisorStarts('s', 'old')
    w.until('a follows', () => w.redis('a').linkUp, 3000)
    expect(w.lost('a')).toEqual([])
  })

  test('INV-1: the source, unseen, while the redis of the holder was down: an old look is no proof', () => {
    for (let ms = 0; ms <= 900; ms += 60) {
      const w = received()
      w.run(ms)
      w.redis('a').readMs = 650
      w.crash('a')
      w.powerOff('s')
      w.run(600)
      w.redis('s').disk = nothing
      w.powerOn('s')
      w.run(5000)
      expect([w.redis('a').linkUp, w.lost('b')], `${ms}`).toEqual([false, []])
    }
  })

  const heard: readonly (readonly [string, (w: World) => void])[] = [
    ['at once', () => {}],
    ['late', (w) => w.slow('a', 'b', 150)],
    [
      'late, by an agent that was started anew as well',
      (w) => {
        w.slow('a', 'b', 150)
        w.killAgent('a')
      },
    ],
  ]
  test.each(heard)('INV-6: the holder, from an older disk, and words are heard %s: nobody begins anew with that while it catches up', (_, how) => {
    const w = received()
    w.redis('a').save()
    w.writes(5)
    w.run(1500)
    how(w)
    w.redis('a').lagging = true
    w.crash('a')
    w.startAgent('a')
    w.run(3000)
    expect(w.redis('a').linkUp).toBe(true)
    w.crash('s')
    w.run(3000)
    expect(w.lost('b')).toEqual([])
    w.heal()
    w.redis('a').lagging = false
    w.redis('s').disk = { replid: w.redis('s').replid, offset: w.redis('s').offset, log: w.redis('s').log }
    w.supervisorStarts('s', 'old')
    w.until('all follow', () => follow(w), 5000)
    expect([w.lost('a'), w.lost('b')]).toEqual([[], []])
  })

  test('INV-1: the source, after a way back whose end its file does not know: it is not made a primary with less than there was', () => {
    const w = moved()
    w.stepHook = (_, label) => {
      if (!label.endsWith('before:source-settle')) return 'go on'
      w.stepHook = null
      w.cut('s')
      w.crash('a')
      return 'go on'
    }
    w.redis('s').save()
    w.writes(5)
    w.run(50)
    w.move('a', { verb: 'rollback' })
    w.run(200)
    w.crash('s')
    w.run(600)
    w.supervisorStarts('s', 'old')
    w.heal()
    w.run(5000)
    expect([writers(w), w.lost('b')]).toEqual([[], []])
    expect(alarms(w)).toContain('was restarted with fewer keys')
    w.ask(w.state('a').move?.last.includes('--to b') === true ? 'b' : 'a', 'failover')
    w.until('one serves', () => writers(w).length === 1, 5000)
    expect(w.lost(writers(w)[0] ?? '')).toEqual([])
  })
})
