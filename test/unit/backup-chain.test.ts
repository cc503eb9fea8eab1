/** From a backup to a position: which backup, and which bytes of which segments. Stories, and random histories against a search byte by byte. */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { chainTo, newestTimeline, pathTo, runsOn, type Base, type TimelineFact } from '../../src/backup/chain.ts'
import type { StoredSegment } from '../../src/backup/stream.ts'

const timeline = (replid: string, from: number, parent: string | null = null, epoch = 1): TimelineFact => ({
  ...{ replid, epoch, from, atWallMs: epoch * 1000 },
  parent: parent === null ? null : { replid: parent },
})
/** `A 1-100` */
const segment = (text: string): StoredSegment => {
  const [replid = '', span = ''] = text.split(' ')
  const [from = 0, to = 0] = span.split('-').map(Number)
  return { replid, from, to, lastWallMs: to, name: text, bytes: to - from + 1 }
}
/** `A@100`, `A@100 bad` */
const base = (text: string): Base => {
  const [at = '', state = 'good'] = text.split(' ')
  const [replid = '', offset = ''] = at.split('@')
  return { id: at, replid, offset: Number(offset), atWallMs: Number(offset), state: state as Base['state'] }
}

interface Story {
  readonly what: string
  readonly timelines: readonly TimelineFact[]
  readonly segments: readonly string[]
  readonly bases: readonly string[]
  readonly to: readonly [replid: string, offset: number]
  /** The backup, and the bytes of each segment; or why there is none. */
  readonly chain: string
}

const ab = [timeline('A', 1), timeline('B', 501, 'A', 2)]
const stories: readonly Story[] = [
  {
    what: 'a backup, and the segments behind it: only the wanted bytes of the first and of the last one',
    ...{ timelines: [timeline('A', 1)], segments: ['A 1-100', 'A 101-200', 'A 201-300', 'A 301-400'], bases: ['A@50', 'A@150'], to: ['A', 260] },
    chain: 'A@150: A 101-200[151-200], A 201-300[201-260]',
  },
  {
    what: 'a backup at the very position: nothing to replay, also where nothing is archived there',
    ...{ timelines: [timeline('A', 1)], segments: ['A 1-100'], bases: ['A@50', 'A@260'], to: ['A', 260], chain: 'A@260:' },
  },
  {
    what: 'a promotion: from a backup of the old history over the fork',
    ...{ timelines: ab, segments: ['A 1-500', 'B 501-900'], bases: ['A@50'], to: ['B', 900], chain: 'A@50: A 1-500[51-500], B 501-900[501-900]' },
  },
  {
    what: 'the old primary wrote on beyond the fork, within a segment and after it: none of that is on the way of the new history',
    ...{ timelines: ab, segments: ['A 1-400', 'A 401-700', 'A 701-800', 'B 501-900'], bases: ['A@50'], to: ['B', 800] },
    chain: 'A@50: A 1-400[51-400], A 401-700[401-500], B 501-900[501-800]',
  },
  {
    what: 'and to the end of what it had written leads its own history',
    ...{ timelines: ab, segments: ['A 1-400', 'A 401-700', 'A 701-800', 'B 501-900'], bases: ['A@50', 'B@750'], to: ['A', 790] },
    chain: 'A@50: A 1-400[51-400], A 401-700[401-700], A 701-800[701-790]',
  },
  {
    what: 'a backup that the old primary gave after the fork is none to begin at',
    ...{ timelines: ab, segments: ['A 1-700', 'B 501-900'], bases: ['A@600', 'A@50'], to: ['B', 800], chain: 'A@50: A 1-700[51-500], B 501-900[501-800]' },
  },
  {
    what: 'a backup exactly at the fork is, of a history whose paper is lost too',
    ...{ timelines: [timeline('B', 501, 'A', 2)], segments: ['B 501-900'], bases: ['A@500'], to: ['B', 600], chain: 'A@500: B 501-900[501-600]' },
  },
  {
    what: 'the last bytes of the old history came under the name of the new one',
    ...{ timelines: ab, segments: ['A 1-400', 'B 401-900'], bases: ['A@50'], to: ['B', 800], chain: 'A@50: A 1-400[51-400], B 401-900[401-800]' },
  },
  {
    what: 'two promotions in a row, and the one between wrote nothing',
    timelines: [...ab, timeline('C', 501, 'B', 3)],
    ...{ segments: ['A 1-500', 'C 501-900'], bases: ['A@50', 'B@500'], to: ['C', 600], chain: 'B@500: C 501-900[501-600]' },
  },
  {
    what: 'the archive began after the fork: what is only in the parent leads nowhere',
    ...{ timelines: [timeline('A', 1), timeline('B', 501, 'A', 2)], segments: ['A 1-500', 'B 700-900'], bases: ['A@50'], to: ['B', 800] },
    chain: 'offsets 501 to 699 are missing behind A@50 (offset 50)',
  },
  {
    what: 'the archive was ahead of the fork: the new history goes on from before its end',
    ...{ timelines: [timeline('A', 1), timeline('B', 451, 'A', 2)], segments: ['A 1-600', 'B 451-900'], bases: ['A@50'], to: ['B', 460] },
    chain: 'A@50: A 1-600[51-450], B 451-900[451-460]',
  },
  {
    what: 'two archivers at once: as few segments as are needed',
    ...{ timelines: [timeline('A', 1)], segments: ['A 1-100', 'A 50-150', 'A 101-200', 'A 151-250', 'A 201-300'], bases: ['A@1'], to: ['A', 300] },
    chain: 'A@1: A 1-100[2-100], A 101-200[101-200], A 201-300[201-300]',
  },
  {
    what: 'the small ones that were put together again, all, some, or from the middle of one on',
    ...{ timelines: [timeline('A', 1)], segments: ['A 1-10', 'A 11-20', 'A 1-40', 'A 21-30', 'A 31-40', 'A 36-90'], bases: ['A@5'], to: ['A', 80] },
    chain: 'A@5: A 1-40[6-40], A 36-90[41-80]',
  },
  {
    what: 'a hole, and no backup behind it',
    ...{ timelines: [timeline('A', 1)], segments: ['A 1-100', 'A 102-200'], bases: ['A@50'], to: ['A', 150] },
    chain: 'offsets 101 to 101 are missing behind A@50 (offset 50)',
  },
  {
    what: 'a hole, and a backup behind it',
    ...{ timelines: [timeline('A', 1)], segments: ['A 1-100', 'A 120-200'], bases: ['A@50', 'A@119'], to: ['A', 150], chain: 'A@119: A 120-200[120-150]' },
  },
  {
    what: 'beyond the end; beyond the end of what lies before a gap',
    ...{ timelines: [timeline('A', 1)], segments: ['A 1-100', 'A 500-600'], bases: ['A@50'], to: ['A', 300] },
    chain: 'the archive ends at offset 100, and begins again behind a gap',
  },
  {
    what: 'no backup is as old',
    ...{ timelines: [timeline('A', 1)], segments: ['A 1-100'], bases: ['A@50'], to: ['A', 40], chain: 'no backup lies before offset 40 in this history' },
  },
  {
    what: 'nothing was archived behind it',
    ...{ timelines: [timeline('A', 1)], segments: ['A 1-10'], bases: ['A@50'], to: ['A', 80] },
    chain: 'nothing is archived between A@50 (offset 50) and offset 80',
  },
  {
    what: 'backups of other histories lead nowhere, whatever their offsets',
    ...{ timelines: [...ab, timeline('X', 1)], segments: ['A 1-500', 'B 501-900'], bases: ['X@50', 'Z@100'], to: ['B', 600] },
    chain: 'no backup lies before offset 600 in this history',
  },
  {
    what: 'a bad backup is no backup; an untested one only where no good one leads there',
    ...{ timelines: [timeline('A', 1)], segments: ['A 1-300'], bases: ['A@50', 'A@100 untested', 'A@150 bad'], to: ['A', 200], chain: 'A@50: A 1-300[51-200]' },
  },
  {
    what: 'only an untested one leads there',
    ...{ timelines: [timeline('A', 1)], segments: ['A 90-300'], bases: ['A@50', 'A@100 untested'], to: ['A', 200], chain: 'A@100: A 90-300[101-200]' },
  },
  {
    what: 'a history without a paper of its own still goes from its own backups to its own bytes',
    ...{ timelines: [timeline('B', 501, 'A', 2)], segments: ['A 1-500', 'B 501-900'], bases: ['A@50'], to: ['B', 600] },
    chain: 'A@50: A 1-500[51-500], B 501-900[501-600]',
  },
  {
    what: 'what lay before that one is not known then',
    ...{ timelines: [timeline('C', 701, 'B', 3), timeline('A', 1)], segments: ['A 1-500', 'B 501-700', 'C 701-900'], bases: ['A@50'], to: ['C', 800] },
    chain: 'no backup lies before offset 800 in this history',
  },
  {
    what: 'parents that go round in a circle',
    ...{ timelines: [timeline('A', 1, 'B'), timeline('B', 501, 'A', 2)], segments: ['A 1-500', 'B 501-900'], bases: ['A@50'], to: ['B', 600] },
    chain: 'A@50: A 1-500[51-500], B 501-900[501-600]',
  },
]

describe('a way to a position', () => {
  test.each(stories)('$what', ({ timelines, segments, bases, to: [replid, to], chain }) => {
    const path = pathTo(timelines, replid)
    const found = chainTo(path, runsOn(path, segments.map(segment)), bases.map(base), to)
    const words =
      'why' in found ? found.why : `${found.base.id}: ${found.pieces.map(({ segment: { name }, from, to: last }) => `${name}[${from}-${last}]`).join(', ')}`
    expect(words.trim()).toBe(chain)
    if (!('why' in found)) expect(found.segments).toEqual(found.pieces.map((piece) => piece.segment))
  })

  test('the history of now is the youngest of the highest epoch, whatever the clocks said', () => {
    expect(newestTimeline([])).toBeNull()
    expect(newestTimeline([timeline('B', 501, 'A', 3), { ...timeline('A', 1), atWallMs: 9_999_999 }])?.replid).toBe('B')
    expect(newestTimeline([timeline('A', 1), { ...timeline('B', 1), atWallMs: 2000 }])?.replid).toBe('B')
    const hoursMs = 3_600_000
    const lost = [timeline('A', 1), timeline('B', 501, 'A', 7)]
    expect(newestTimeline([...lost, { ...timeline('C', 1), atWallMs: 5 * hoursMs }])?.replid, 'all was lost, and the group set up anew').toBe('C')
    expect(newestTimeline([...lost, { ...timeline('C', 1), atWallMs: hoursMs / 2 }])?.replid, 'by so much clocks may differ').toBe('B')
    const again = [...lost, { ...timeline('C', 1), atWallMs: 5 * hoursMs }, { ...timeline('D', 90, 'C', 2), atWallMs: 6 * hoursMs }]
    expect(newestTimeline(again)?.replid, 'and has gone on').toBe('D')
    expect(newestTimeline([...lost, { ...timeline('C', 600, 'B'), atWallMs: 5 * hoursMs }])?.replid, 'from a restored file').toBe('C')
    const late = { ...timeline('C', 600, 'A', 5), atWallMs: 5 * hoursMs }
    expect(newestTimeline([...lost, late])?.replid, 'a branch of what is known').toBe('B')
  })
})

/** Names of histories; each but the first may have any earlier one as its parent. */
const names = ['A', 'B', 'C', 'D'] as const

const world = fc.record({
  forks: fc.array(fc.record({ parent: fc.nat(2), orphan: fc.integer({ min: 0, max: 4 }), from: fc.integer({ min: 1, max: 40 }) }), {
    minLength: 3,
    maxLength: 3,
  }),
  segments: fc.array(fc.record({ of: fc.nat(3), from: fc.integer({ min: 1, max: 60 }), length: fc.integer({ min: 5, max: 40 }) }), {
    minLength: 6,
    maxLength: 14,
  }),
  bases: fc.array(fc.record({ of: fc.nat(3), offset: fc.integer({ min: 1, max: 50 }), state: fc.constantFrom('good', 'good', 'untested', 'bad') }), {
    minLength: 2,
    maxLength: 5,
  }),
  of: fc.nat(3),
  to: fc.integer({ min: 1, max: 60 }),
})

/** Which history wrote the byte that another one has at this offset. */
function writer(timelines: readonly TimelineFact[], replid: string, offset: number): string {
  const mine = timelines.find((one) => one.replid === replid)
  return mine?.parent != null && offset < mine.from ? writer(timelines, mine.parent.replid, offset) : replid
}

test('random histories with holes: never a chain that lacks a byte or has one of another history, and one wherever there is one', () => {
  let [found, none] = [0, 0]
  fc.assert(
    fc.property(world, ({ forks, segments: spans, bases: places, of, to }) => {
      const timelines = [
        timeline('A', 1),
        ...forks.map(({ parent, orphan, from }, n) => timeline(names[n + 1] ?? '', from, orphan === 0 ? null : (names[Math.min(parent, n)] ?? null), n + 2)),
      ]
      const target = names[of] ?? 'A'
      const path = pathTo(timelines, target)
      const isMine = (replid: string): boolean => path.some((leg) => leg.replid === replid)
      const segments = spans.map(({ of: n, from, length }) => segment(`${names[n]} ${from}-${from + length - 1}`))
      const bases = places.map(({ of: n, offset, state }) => base(`${names[n]}@${offset} ${state}`))
      const isHere = (replid: string, offset: number): boolean => isMine(replid) && writer(timelines, replid, offset) === writer(timelines, target, offset)
      const has = (offset: number): boolean => segments.some((one) => one.from <= offset && one.to >= offset && isHere(one.replid, offset))
      const usable = bases.filter((one) => one.state !== 'bad' && one.offset <= to && isHere(one.replid, one.offset))
      const range = (from: number): readonly number[] => Array.from({ length: Math.max(0, to - from + 1) }, (_, n) => from + n)
      const leading = usable.filter((one) => range(one.offset + 1).every(has))
      const chain = chainTo(path, runsOn(path, segments), bases, to)
      if ('why' in chain) {
        none += 1
        expect(leading, chain.why).toEqual([])
        return
      }
      if (chain.pieces.length > 0) found += 1
      const best = leading.filter((one) => one.state === 'good' || !leading.some(({ state }) => state === 'good')).map(({ offset }) => offset)
      expect(chain.base.offset).toBe(Math.max(...best))
      const bytes = chain.pieces.flatMap((piece) => Array.from({ length: piece.to - piece.from + 1 }, (_, n) => ({ ...piece, offset: piece.from + n })))
      expect(bytes.map(({ offset }) => offset)).toEqual(range(chain.base.offset + 1))
      for (const { segment: one, offset } of bytes) {
        expect(one.from <= offset && one.to >= offset, `${offset} of ${one.name}`).toBe(true)
        expect(writer(timelines, one.replid, offset)).toBe(writer(timelines, target, offset))
      }
    }),
    { numRuns: 3000, seed: 20261122 },
  )
  // It tells something only where both are met often.
  expect(Math.min(found, none)).toBeGreaterThan(300)
})
