/** How fast a source is read: by what its clients feel. And when two times to live are the same. */
import { describe, expect, test } from 'vitest'
import { follows } from '../../src/migrate/follows.ts'
import { addedMs, firstPace, nextPace, nextPageKeys, p99, type Pace } from '../../src/migrate/pace.ts'
import { governed } from '../../src/move/governor.ts'
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

  test('one whose clients wait for somebody else, whatever is read, is not left for ever: so seldom a question is none of theirs', () => {
    expect(played(40, () => 30).pace.gapMs).toBe(100)
  })

  test('one that hardly answers is nearly left alone, and read again when it does', () => {
    let pace = firstPace
    for (let i = 0; i < 20; i += 1) pace = nextPace(pace, 0.4, null)
    expect(pace.gapMs).toBe(1000)
    for (let i = 0; i < 60; i += 1) pace = nextPace(pace, 0.4, 0.4)
    expect(pace.gapMs).toBe(0)
  })

  test('a question that holds the source up is made smaller, down to one key; a gap alone would not shorten it', () => {
    let keys = 100
    for (let i = 0; i < 10; i += 1) keys = nextPageKeys(keys, keys * 0.4)
    expect(keys).toBeLessThanOrEqual(3)
    for (let i = 0; i < 40; i += 1) keys = nextPageKeys(keys, 0.1)
    expect(keys).toBe(100)
    expect(nextPageKeys(1, 50)).toBe(1)
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

describe('who follows whom', () => {
  const at = { host: '10.0.0.1', port: 6379 }
  const primary = { role: 'primary', replid: 'p', runId: 'run-a', upstream: null } as const
  const replica = { role: 'replica', replid: 'p', runId: 'run-b', upstream: at } as const
  test.each([
    ['by the history that both tell', replica, primary, true],
    ['of another history', { ...replica, replid: 'q' }, primary, false],
    ['of two replicas either may be ahead', replica, { ...primary, role: 'replica' } as const, false],
    ['one that was promoted', { ...replica, role: 'primary' } as const, primary, false],
    ['before 4.0 the history of a primary is its run id', { ...replica, replid: 'run-a' }, { ...primary, replid: '' }, true],
    ['both before 4.0: whom it follows', { ...replica, replid: '' }, { ...primary, replid: '' }, true],
    ['both before 4.0, and of somebody else', { ...replica, replid: '', upstream: { host: '10.0.0.9', port: 6379 } }, { ...primary, replid: '' }, false],
  ])('%s', (_what, target, source, expected) => {
    expect(follows(target, source, at)).toBe(expected)
  })
})

test('a source that is far away is not taken for one that is held up: the way there and back is left out', async () => {
  const far = { latenciesMs: () => [5.4, 5, 5.1], close: () => undefined }
  const from = await governed(1000, far, new AbortController().signal)
  const first = from.pageKeys()
  for (let i = 0; i < 10; i += 1) from.took(5.3)
  expect(from.pageKeys()).toBeGreaterThan(first)
  for (let i = 0; i < 10; i += 1) from.took(7)
  expect(from.pageKeys()).toBe(1)
})
