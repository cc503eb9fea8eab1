import { describe, expect, test } from 'vitest'
import { planRound, promotedUnheard, type Fault, type FaultKind, type Shape } from '../soak/schedule.ts'

const threeSentinels: Shape = { members: 3, witness: false, external: false, sentinel: true }
const kindsOf = (shape: Shape, rounds: number): ReadonlySet<FaultKind> =>
  new Set(Array.from({ length: rounds }, (_, round) => planRound(7, round, shape).map(({ kind }) => kind)).flat())

describe('what a soak breaks', () => {
  test('the same seed, the same faults; a round of another seed is another', () => {
    expect(planRound(7, 3, threeSentinels)).toEqual(planRound(7, 3, threeSentinels))
    expect(planRound(8, 3, threeSentinels)).not.toEqual(planRound(7, 3, threeSentinels))
  })

  test('nothing is done to Sentinels where there are none, and everything is where there are', () => {
    const without = kindsOf({ ...threeSentinels, sentinel: false }, 500)
    const added = [...kindsOf(threeSentinels, 500)].filter((kind) => !without.has(kind))
    expect(added.sort()).toEqual([
      'config-rewrite',
      'late',
      'sentinel-failover',
      'sentinel-killed',
      'sentinel-misled',
      'sentinel-port-cut',
      'sentinel-reset',
      'sentinel-stopped',
      'sentinels-killed',
      'sentinels-stopped',
    ])
  })

  test('one writer is not promised where an order that asks nobody may go unheard, and only there', () => {
    const fault = (kind: FaultKind): Fault => ({ kind, who: 'primary', atMs: 0, forMs: 0, size: 0 })
    expect(promotedUnheard([fault('sentinel-failover')])).toBe(false)
    expect(promotedUnheard([fault('sentinel-failover'), fault('redis-killed')])).toBe(false)
    expect(promotedUnheard([fault('sentinel-failover'), fault('host-cut')])).toBe(true)
    expect(promotedUnheard([fault('sentinel-failover'), fault('sentinel-port-cut')])).toBe(true)
    expect(promotedUnheard([fault('host-cut')])).toBe(false)
  })
})
