/** How often the Sentinels are asked: as rarely as can be, never so rarely that a primary's lease hangs on one answer. */
import { describe, expect, test } from 'vitest'
import { pacesOf, roundsOf, settleMs, type SentinelPace } from '../../src/observe/sentinel-pace.ts'
import { policyOf } from '../../src/model/policy.ts'
import { groupConfig } from './builders.ts'

/** As often as the agent is awake. */
const tickMs = 50

/** When a round began, of an agent that is awake every 50 ms. */
function roundsAt(downAfterMs: number, forMs: number, paceAt: (nowMs: number) => SentinelPace): readonly number[] {
  const rounds = roundsOf(pacesOf(downAfterMs))
  const at: number[] = []
  for (let nowMs = 0; nowMs < forMs; nowMs += tickMs) if (rounds.isDue(nowMs, paceAt(nowMs))) at.push(nowMs)
  return at
}

const gaps = (at: readonly number[]): readonly number[] => at.slice(1).map((ms, i) => ms - (at[i] ?? 0))

test('a replica in calm times asks once a second', () => {
  const at = roundsAt(1000, 60_000, () => 'calm')
  expect(at).toHaveLength(60)
  expect(Math.max(...gaps(at))).toBe(1000)
})

describe('a primary', () => {
  test('with down-after 1 s asks three times a second', () => {
    expect(new Set(gaps(roundsAt(1000, 60_000, () => 'lease')))).toEqual(new Set([300]))
  })

  test.each([200, 300, 500, 1000, 2000, 5000, 30_000, 600_000])('with down-after %i ms it may miss one answer, and its lease goes on', (downAfterMs) => {
    const sentinel = { hosts: ['a', 'b', 'c'], port: 26_379, quorum: 2, downAfterMs, failoverTimeoutMs: 10_000, parallelSyncs: 1, process: 'direct' } as const
    const { leaseMs } = policyOf(groupConfig(['a', 'b', 'c'], { mode: 'sentinel', sentinel }), () => '')
    const longest = Math.max(...gaps(roundsAt(downAfterMs, 60_000, () => 'lease')))
    // What is known when the next answer but one comes, after a round trip that has to be short.
    expect(leaseMs - 2 * longest).toBeGreaterThanOrEqual(downAfterMs * 0.1)
    expect(longest).toBeLessThanOrEqual(1000)
  })
})

describe('something is not as it should be', () => {
  const suspicion = (nowMs: number): SentinelPace => (nowMs === 10_350 ? 'alert' : 'calm')

  test('a replica that asked once a second asks at its next wake-up, and goes on at the fast pace until two seconds after the last sign', () => {
    const at = roundsAt(1000, 20_000, suspicion)
    expect(at.filter((ms) => ms > 9500 && ms < 11_000)).toEqual([10_000, 10_350, 10_550, 10_750, 10_950])
    const fast = at.filter((ms) => ms >= 10_350 && ms < 10_350 + settleMs)
    expect(new Set(gaps(fast))).toEqual(new Set([200]))
    expect(at.filter((ms) => ms > 10_350 + settleMs + 1000)).toHaveLength(Math.floor((20_000 - 10_350 - settleMs - 1000) / 1000))
  })

  test('with down-after 200 ms at every wake-up', () => {
    expect(gaps(roundsAt(200, 2000, () => 'alert'))).toEqual(Array.from({ length: 39 }, () => 50))
  })

  test('and a primary whose lease is asked for more slowly too', () => {
    const at = roundsAt(5000, 20_000, (nowMs) => (nowMs === 10_100 ? 'alert' : 'lease'))
    expect(at.filter((ms) => ms >= 10_000 && ms < 11_000)).toEqual([10_000, 10_400, 10_800])
  })
})
