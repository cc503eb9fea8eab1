/** Where a dataset stands, which of two has more, and how lineages grow together. */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { LineageEntry } from '../../src/model/state.ts'
import { comparePositions, mergeLineage, positionOf, positionOfRdb, type Position } from '../../src/decide/position.ts'
import { compareCandidates } from '../../src/decide/fitness.ts'
import { entry, facts } from './builders.ts'

const lineage = [entry(1, 'a', 0), entry(2, 'b', 1001), entry(3, 'a', 2001)]

describe('positionOf', () => {
  test.each([
    ['in the present epoch', { replid: 'id-3', offset: 2500 }, { kind: 'known', epoch: 3, offset: 2500, divergedBytes: 0 }],
    ['an old epoch, up to where the next begins', { replid: 'id-1', offset: 1000 }, { kind: 'known', epoch: 1, offset: 1000, divergedBytes: 0 }],
    ['an old epoch, beyond it: diverged', { replid: 'id-1', offset: 1020 }, { kind: 'known', epoch: 1, offset: 1020, divergedBytes: 20 }],
    [
      'promoted out of sight, nothing written since',
      { replid: 'x', replid2: 'id-1', secondOffset: 901, offset: 900 },
      { kind: 'known', epoch: 1, offset: 900, divergedBytes: 0 },
    ],
    [
      'promoted out of sight, and written to',
      { replid: 'x', replid2: 'id-2', secondOffset: 1501, offset: 2100 },
      { kind: 'known', epoch: 2, offset: 2100, divergedBytes: 600 },
    ],
    ['the id of an epoch of which no byte has come', { replid: 'id-3', offset: 1500 }, { kind: 'known', epoch: 2, offset: 1500, divergedBytes: 0 }],
    [
      'the same, and promoted out of sight',
      { replid: 'x', replid2: 'id-3', secondOffset: 1501, offset: 1500 },
      { kind: 'known', epoch: 2, offset: 1500, divergedBytes: 0 },
    ],
    ['a stranger with keys', { replid: 'x', offset: 9999, keys: 3 }, { kind: 'foreign' }],
    ['a stranger without', { replid: 'x', offset: 0, keys: 0 }, { kind: 'empty' }],
    ['no id at all is not the id of an entry without one', { replid: '', keys: 3 }, { kind: 'foreign' }],
  ])('%s', (_what, redis, position) => {
    expect(positionOf(facts(redis), [...lineage, entry(4, 'c', 3001, { replid: '' })])).toEqual(position)
  })
})

test('an epoch that restarted from older data has dropped what the one before it still had: all of that is diverged', () => {
  const restarted = [entry(1, 'a', 0), entry(2, 'b', 1001), entry(3, 'c', 501, { source: 'restart' })]
  expect(positionOf(facts({ replid: 'id-1', offset: 1000 }), restarted)).toMatchObject({ epoch: 1, divergedBytes: 500 })
})

test('an epoch that an operator has left, without a byte of its own, is no more than the one that both lines went on with', () => {
  const left = [
    entry(1, 'c', 0),
    entry(2, 'a', 31, { source: 'forced' }),
    entry(3, 'c', 41, { source: 'forced', continues: { epoch: 1, offset: 40, atLeast: 40 } }),
  ]
  const inTwo = positionOf(facts({ replid: 'id-2', offset: 30 }), left)
  expect(inTwo).toEqual({ kind: 'known', epoch: 1, offset: 30, divergedBytes: 0 })
  expect(comparePositions(positionOf(facts({ replid: 'id-1', offset: 40 }), left), inTwo)).toBeGreaterThan(0)
  // what it wrote itself is its own
  expect(positionOf(facts({ replid: 'id-2', offset: 50 }), left)).toMatchObject({ epoch: 2, divergedBytes: 20 })
})

test('positionOfRdb: a disk that has the id of an epoch of which no byte had come', () => {
  expect(positionOfRdb('id-3', 1500, lineage)).toEqual({ kind: 'known', epoch: 2, offset: 1500, divergedBytes: 0 })
  expect(positionOfRdb('id-3', 2000, lineage)).toEqual({ kind: 'known', epoch: 3, offset: 2000, divergedBytes: 0 })
})

const position: fc.Arbitrary<Position> = fc.oneof(
  fc.constant<Position>({ kind: 'empty' }),
  fc.constant<Position>({ kind: 'foreign' }),
  fc.record({
    kind: fc.constant('known' as const),
    epoch: fc.integer({ min: 1, max: 4 }),
    offset: fc.integer({ min: 0, max: 5 }),
    divergedBytes: fc.constant(0),
  }),
  fc.record({
    kind: fc.constant('noted' as const),
    epoch: fc.integer({ min: 1, max: 4 }),
    offset: fc.integer({ min: 0, max: 5 }),
    divergedBytes: fc.constant(0),
    atLeast: fc.constant(0),
  }),
)
const candidate = fc.record({ host: fc.constantFrom('a', 'b', 'c', 'd'), priority: fc.integer({ min: 1, max: 3 }), position })

describe('comparing', () => {
  test('more epoch beats more offset, what is known an equal estimate, either a stranger, a stranger beats nothing', () => {
    const order: Position[] = [
      { kind: 'empty' },
      { kind: 'foreign' },
      { kind: 'known', epoch: 1, offset: 99, divergedBytes: 0 },
      { kind: 'known', epoch: 2, offset: 5, divergedBytes: 0 },
      { kind: 'noted', epoch: 2, offset: 6, divergedBytes: 0, atLeast: 0 },
      { kind: 'known', epoch: 2, offset: 6, divergedBytes: 0 },
    ]
    for (let i = 1; i < order.length; i += 1) expect(comparePositions(order[i - 1] as Position, order[i] as Position)).toBeLessThan(0)
  })

  test('positions are totally preordered', () => {
    fc.assert(
      fc.property(position, position, position, (a, b, c) => {
        expect(Math.sign(comparePositions(a, b)) + Math.sign(comparePositions(b, a))).toBe(0)
        if (comparePositions(a, b) <= 0 && comparePositions(b, c) <= 0) expect(comparePositions(a, c)).toBeLessThanOrEqual(0)
      }),
    )
  })

  test('candidates are totally ordered: all members compute the same successor from any order of the same words', () => {
    fc.assert(
      fc.property(
        fc.uniqueArray(candidate, { selector: (c) => c.host, minLength: 2 }),
        fc.array(fc.nat(), { minLength: 4, maxLength: 4 }),
        (candidates, swaps) => {
          const shuffled = candidates
            .map((c, i) => [swaps[i] ?? 0, c] as const)
            .toSorted((x, y) => x[0] - y[0])
            .map(([, c]) => c)
          expect(shuffled.toSorted(compareCandidates).at(-1)).toEqual(candidates.toSorted(compareCandidates).at(-1))
          for (const a of candidates)
            for (const b of candidates) if (a !== b) expect(Math.sign(compareCandidates(a, b))).toBe(-Math.sign(compareCandidates(b, a)))
        },
      ),
    )
  })

  test('equal data: priority, then the lower name', () => {
    const known: Position = { kind: 'known', epoch: 1, offset: 5, divergedBytes: 0 }
    expect(compareCandidates({ host: 'b', priority: 2, position: known }, { host: 'a', priority: 1, position: known })).toBeGreaterThan(0)
    expect(compareCandidates({ host: 'b', priority: 1, position: known }, { host: 'a', priority: 1, position: known })).toBeLessThan(0)
  })
})

const anyEntry: fc.Arbitrary<LineageEntry> = fc
  .record({ epoch: fc.integer({ min: 1, max: 5 }), holder: fc.constantFrom('a', 'b', 'c'), startOffset: fc.integer({ min: 0, max: 3 }) })
  .map((e) => entry(e.epoch, e.holder, e.startOffset, { replid: `${e.holder}${e.epoch}` }))
/** A holder claims an epoch once, with one start. */
const world = fc.uniqueArray(anyEntry, { selector: (e) => `${e.epoch}${e.holder}`, maxLength: 12 })
const partOf = (all: readonly LineageEntry[], mask: number) => {
  const byEpoch = new Map<number, LineageEntry>()
  all.forEach((e, i) => ((mask >> i) & 1) === 1 && byEpoch.set(e.epoch, e))
  return [...byEpoch.values()].toSorted((x, y) => x.epoch - y.epoch)
}

describe('mergeLineage', () => {
  test('in whatever order the words come, all end with the same history', () => {
    fc.assert(
      fc.property(world, fc.nat(4095), fc.nat(4095), (all, m1, m2) => {
        const [x, y] = [partOf(all, m1), partOf(all, m2)]
        expect(mergeLineage(x, y, 'y', 64)).toEqual(mergeLineage(y, x, 'x', 64))
        expect(mergeLineage(x, x, 'y', 64)).toEqual(x)
        const merged = mergeLineage(x, y, 'y', 64)
        expect(merged.map((e) => e.epoch)).toEqual([...new Set([...x, ...y].map((e) => e.epoch))].toSorted((p, q) => p - q))
      }),
    )
  })

  test('two claimed one epoch: more data at its start wins, then the lower name', () => {
    expect(mergeLineage([entry(2, 'a', 100)], [entry(2, 'b', 200)], 'b', 64)).toEqual([entry(2, 'b', 200)])
    expect(mergeLineage([entry(2, 'b', 100)], [entry(2, 'a', 100)], 'a', 64)).toEqual([entry(2, 'a', 100)])
  })

  test('a new replication id of an epoch counts only from its own holder', () => {
    const renamed = entry(2, 'b', 200, { replid: 'new' })
    expect(mergeLineage([entry(2, 'b', 200)], [renamed], 'b', 64)).toEqual([renamed])
    expect(mergeLineage([renamed], [entry(2, 'b', 200)], 'a', 64)).toEqual([renamed])
  })

  test('the newest are kept', () => {
    const long = Array.from({ length: 80 }, (_, i) => entry(i + 1, 'a', i))
    expect(mergeLineage(long, [], 'a', 64).map((e) => e.epoch)).toEqual(long.slice(16).map((e) => e.epoch))
  })
})
