/** A way back that a member does not hear of, or in which the redis of the holder dies: how long nobody accepts writes, and who does then. */
import { describe, expect, test } from 'vitest'
import { follow, insist, moved, stageOf, writers } from './move-steps.ts'
import type { World } from './world.ts'

describe('a way back', () => {
  const waits: readonly (readonly [string, (w: World) => void])[] = [
    ['before it was asked for', (w) => w.stall('b', 10_000)],
    [
      'when writes are refused already',
      (w) => {
        w.stepHook = (_, label) => {
          if (label !== 'receiving/saved') return 'go on'
          w.stepHook = null
          w.stall('b', 10_000)
          return 'go on'
        }
      },
    ],
  ]
  test.each(waits)('the agent of a member stands still %s: nobody waits for longer than max_pause_ms, and it can be asked for again', (_, stand) => {
    for (const members of [
      ['a', 'b'],
      ['a', 'b', 'c'],
    ]) {
      const w = moved({ members })
      const { afterEach } = w
      let [lastMs, heldMs] = [w.nowMs, 0]
      w.afterEach = () => {
        afterEach()
        if (writers(w).length > 0) lastMs = w.nowMs
        heldMs = Math.max(heldMs, w.nowMs - lastMs)
      }
      stand(w)
      const asked = w.move('a', { verb: 'rollback' })
      w.run(3000)
      expect([writers(w), stageOf(w), w.results.get(asked)?.ok]).toEqual([['a'], 'moved', false])
      expect(heldMs).toBeLessThan(w.policy.maxPauseMs + 30)
      w.run(9000)
      insist(w, 'rollback', () => stageOf(w) === 'sync' && follow(w))
      expect([writers(w), w.lost('s')]).toEqual([['s'], []])
    }
  })

  test('the redis of the holder dies while writes are held: who asked is told, and the next one begins anew', () => {
    const w = moved()
    w.stepHook = (_, label) => {
      if (!label.endsWith('after:pause-writes')) return 'go on'
      w.stepHook = null
      w.crash('a')
      return 'go on'
    }
    const asked = w.move('a', { verb: 'rollback' })
    w.run(100)
    expect([w.results.get(asked)?.ok, stageOf(w)]).toEqual([false, 'moved'])
  })

  test('INV-5: a member that was elected beside it, and whose agent ends then, is not passed over', () => {
    const w = moved()
    w.isolate('a', 'b')
    w.move('a', { verb: 'rollback' })
    w.until('b serves', () => w.serving().includes('b'), 1000)
    w.writeAt('b')
    w.killAgent('b')
    w.heal()
    w.run(1500)
    expect(w.redis('s').role).toBe('replica')
    w.startAgent('b')
    w.until('b serves alone', () => writers(w).join() === 'b', 8000)
  })

  test.each(['its clock goes on', 'its clock stops'] as const)(
    'INV-5: the agent of the holder stood still for seconds, %s: what it did not hear meanwhile does not mean that a member is gone',
    (clock) => {
      const w = moved()
      w.stepHook = (_, label) => {
        if (label !== 'receiving/saved') return 'go on'
        w.stepHook = null
        w.isolate('a', 'b')
        if (clock === 'its clock stops') w.agent('a').halt(6000)
        else w.stall('a', 6000)
        return 'go on'
      }
      w.move('a', { verb: 'rollback' })
      w.until('b serves', () => w.serving().includes('b'), 2000)
      w.writeAt('b')
      w.run(3500)
      w.heal()
      w.run(3000)
      expect(w.redis('s').role).toBe('replica')
      w.until('b serves alone', () => writers(w).join() === 'b', 8000)
      expect(w.lost('b')).toEqual([])
    },
  )

  test('the source is silent and the redis here is down: the address that this agent has put up goes at once', () => {
    const w = moved()
    const keepalived = w.vrrp.hosts.get('a')
    if (keepalived !== undefined) Object.assign(keepalived, { vrrp: 'BACKUP', vipSinceMs: null, strayFromMs: w.nowMs, heardMs: w.nowMs })
    w.stepHook = (_, label) => {
      if (label !== 'receiving/before:kill-clients') return 'go on'
      w.stepHook = null
      w.crash('a')
      w.cut('s')
      return 'go on'
    }
    w.move('a', { verb: 'rollback' })
    w.run(100)
    expect([stageOf(w), w.addressOn()]).toEqual(['sync', []])
  })
})
