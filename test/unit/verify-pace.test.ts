/** How fast a source is read: by what its clients feel. And when two times to live are the same. */
import { describe, expect, test } from 'vitest'
import { addedMs, firstPace, nextPace, p99, type Pace } from '../../src/migrate/pace.ts'
import type { Side } from '../../src/move/settle.ts'
import { sameEnd } from '../../src/move/settle.ts'

/** A source that takes so long for each page, beside clients who feel it: more pages, longer answers. */
function played(rounds: number, feltMs: (pagesPerS: number) => number): { readonly pace: Pace; readonly overMs: readonly number[] } {
  let pace = firstPace
  const overMs: number[] = []
  for (let round = 0; round < rounds; round += 1) {
    const felt = feltMs(1000 / (pace.gapMs + 1))
    overMs.push(felt)
    pace = nextPace(pace, 0.4, 0.4 + felt)
  }
  return { pace, overMs: overMs.slice(10) }
}

describe('the pace', () => {
  test('a source that feels nothing is read without a gap', () => {
    expect(played(40, () => 0.1).pace.gapMs).toBe(0)
  })

  test('one that feels it is read as fast as it can bear, and mostly not faster', () => {
    const { pace, overMs } = played(200, (pagesPerS) => pagesPerS / 100)
    expect(pace.gapMs).toBeGreaterThan(5)
    expect(pace.gapMs).toBeLessThan(60)
    expect(overMs.filter((ms) => ms > addedMs).length).toBeLessThan(overMs.length / 4)
  })

  test('one that hardly answers is nearly left alone, and read again when it does', () => {
    let pace = firstPace
    for (let i = 0; i < 20; i += 1) pace = nextPace(pace, 0.4, null)
    expect(pace.gapMs).toBe(1000)
    for (let i = 0; i < 60; i += 1) pace = nextPace(pace, 0.4, 0.4)
    expect(pace.gapMs).toBe(0)
  })

  test('p99 is one that was measured', () => {
    expect(p99([])).toBeNull()
    expect(p99([3])).toBe(3)
    expect(p99(Array.from({ length: 200 }, (_, i) => i + 1))).toBe(198)
  })
})

describe('times to live', () => {
  const side = (aheadMs: number): Side => ({ redis: {} as Side['redis'], digests: {} as Side['digests'], aheadMs })
  const of = (absolute: boolean, ahead = 0) => ({ source: side(0), target: side(ahead), absolute })

  test('points in time are equal or not', () => {
    expect(sameEnd(of(true), 1_000_000, 1_000_000)).toBe(true)
    expect(sameEnd(of(true), 1_000_000, 1_000_001)).toBe(false)
    expect(sameEnd(of(true), -1, -1)).toBe(true)
    expect(sameEnd(of(true), -1, 1_000_000)).toBe(false)
  })

  test('durations: as an RDB brought them, or by the clock of whoever received them; what is further off is another', () => {
    expect(sameEnd(of(false, 5000), 1_000_000, 1_000_000), 'from the RDB').toBe(true)
    expect(sameEnd(of(false, 5000), 1_000_000, 1_005_200), 'from the stream, 200 ms on its way').toBe(true)
    expect(sameEnd(of(false, 5000), 1_000_000, 1_002_500)).toBe(false)
    expect(sameEnd(of(false, 0), 1_000_000, 1_060_000)).toBe(false)
    expect(sameEnd(of(false), -1, 1_000_000)).toBe(false)
  })
})
