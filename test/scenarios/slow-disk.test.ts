/**
 * What a member remembers before it acts takes as long as its disk does: 1 ms here, 30 ms beside other writers, 100 ms in a cloud at noon. In a group
 * without votes the others wait for its word meanwhile, and whoever kept them waiting for long hears first whether they went on without it.
 */
import { expect, test } from 'vitest'
import { rivalWaitMs } from '../../src/model/policy.ts'
import { createWorld, World } from './world.ts'

/** `a` serves, `b` is preferred to `c`. */
function star(): World {
  const w = createWorld({ host: 'a', priority: 100 }, { host: 'b', priority: 50 }, { host: 'c', priority: 10 }).begin()
  w.run(2000)
  w.writes(5)
  return w
}

test.each(['1', '1, 20', '1, 40', '30, 30', '70, 10', '100', '150, 40', '200, 20'])(
  'a star of three, the primary crashes, whatever the better replica needs to remember that, the other %s ms: one is promoted, and nobody beside it',
  (ofC) => {
    for (let ofB = 1; ofB <= 400; ofB += ofB < 100 ? 3 : 7) {
      const w = star()
      const sinceMs = w.nowMs
      w.agent('b').slowSavesMs = [ofB]
      w.agent('c').slowSavesMs = ofC.split(', ').map(Number)
      w.crash('a')
      w.untilWhole()
      expect(w.acts(['promote'], sinceMs), `b ${ofB} ms`).toHaveLength(1)
      for (const host of w.hosts) expect(w.lost(host), `${host}: b ${ofB} ms`).toEqual([])
    }
  },
)

test('a rival that never says what it has is not waited for for ever', () => {
  const w = star()
  const sinceMs = w.nowMs
  w.agent('b').slowSavesMs = [5000]
  w.crash('a')
  w.until('c serves', () => w.serving().includes('c'), rivalWaitMs + 60)
  w.run(6000)
  expect(w.untilWhole()).toBe('c')
  expect(w.acts(['promote'], sinceMs)).toEqual(['c promote'])
})

test('the former primary is back while a rival says nothing: no longer than that', () => {
  const w = star()
  w.redis('a').save()
  w.agent('c').slowSavesMs = [5000]
  w.crash('a')
  w.until('somebody serves', () => w.serving().some((host) => host !== 'c' && w.agent(host).state.epoch === 2), rivalWaitMs + 150)
})

test('with votes: the lease of a primary ends, and its disk is slow: its writes are held all the same, before another is elected', () => {
  const w = new World({ members: ['a', 'b'], witness: 'w' }).begin()
  w.run(2000)
  w.agent('a').slowSavesMs = [400]
  w.cut('a')
  w.until('b serves', () => w.serving().includes('b'), 1000)
  expect(w.redis('a').pausedUntilMs).toBeGreaterThan(w.nowMs)
})

test('one that cannot be promoted as it is costs no more than before', () => {
  const w = star()
  w.redis('b').transferMs = 5000
  w.crash('b')
  w.until('b is being filled', () => w.agent('c').view?.peers.some((p) => p.host === 'b' && p.statement?.fit === false) === true, 3000)
  w.crash('a')
  w.until('c serves', () => w.serving().includes('c'), 110)
})
