/** What of the archived stream goes: never a byte that a moment within `keep_days` needs. Stories, and random histories against a search offset by offset. */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { chainTo, pathTo, runsOn, type Base } from '../../src/backup/chain.ts'
import type { Stream } from '../../src/backup/coverage.ts'
import { prune } from '../../src/backup/retention.ts'
import { thin } from '../../src/backup/stream-retention.ts'
import type { StoredSegment } from '../../src/backup/stream.ts'
import { at, base, every, hourMs, offsetAt, segment, streamOf, timeline } from './stream-stories.ts'

/** `a 0-10` in minutes. */
const inWords = (segments: readonly StoredSegment[]): readonly string[] =>
  segments.map(({ replid, from, to }) => `${replid[0]} ${(from - 1) / 100}-${to / 100}`)
const thinned = (stream: Stream, bases: readonly Base[], keptFrom: number, now = 1000) => thin(stream, bases, at(keptFrom), at(now))
const goes = (...from: Parameters<typeof thinned>): readonly string[] => inWords(thinned(...from).go)

describe('what goes', () => {
  const one = streamOf([timeline('a', 0)], every(10, 'a', 0, 100))

  test('what lies before the youngest backup that is as old as what is kept; that one stays, and the next', () => {
    const { go, holds } = thinned(one, [base('a', 5), base('a', 25), base('a', 60), base('a', 80)], 50)
    expect(inWords(go)).toEqual(['a 0-10', 'a 10-20'])
    expect([...holds]).toEqual([
      ['a@25', 'the stream begins at it'],
      ['a@60', 'the stream begins at it next'],
    ])
  })

  test('a segment that ends with the very byte of that backup goes too', () => {
    expect(goes(one, [base('a', 20)], 50)).toEqual(['a 0-10', 'a 10-20'])
  })

  test('bad and untested backups begin nothing, and those from the future do not either', () => {
    expect(goes(one, [base('a', 5), base('a', 25, 'bad'), base('a', 35, 'untested')], 50)).toEqual([])
    expect(thinned(one, [{ ...base('a', 70), atWallMs: at(5000) }], 50).holds.size, 'a clock was wrong').toBe(0)
  })

  test('no backup is as old: only what is older than what is kept, and lies before the oldest good one', () => {
    const { go, holds } = thinned(one, [base('a', 65), base('a', 80)], 35)
    expect(inWords(go)).toEqual(['a 0-10', 'a 10-20', 'a 20-30'])
    expect([...holds.keys()]).toEqual(['a@65'])
  })

  test('a backup of a host whose clock was days behind is not old: it does not take with it what came before it', () => {
    const [right, behind] = [base('a', 25), { ...base('a', 95), atWallMs: at(-5000) }]
    expect(goes(one, [right, behind], 50)).toEqual(['a 0-10', 'a 10-20'])
    expect([...thinned(one, [right, behind], 50).holds.keys()]).toEqual(['a@25', 'a@95'])
    expect([...thinned(one, [behind], 50).holds.keys()]).toEqual(['a@95'])
    expect(goes(one, [behind], 50), 'alone, as one that is young').toEqual(['a 0-10', 'a 10-20', 'a 20-30', 'a 30-40'])
  })

  test('one that is not tested yet may become one to begin at: nothing goes', () => {
    expect(goes(one, [base('a', 5, 'untested')], 50)).toEqual([])
    expect(goes(one, [base('x', 5, 'untested')], 50)).toEqual(['a 0-10', 'a 10-20', 'a 20-30', 'a 30-40'])
  })

  test('each piece between gaps has its own beginning, and one that ended before goes whole', () => {
    const stream = streamOf([timeline('a', 0)], every(10, 'a', 0, 30), every(10, 'a', 40, 70), every(10, 'a', 80, 100))
    const { go, holds } = thinned(stream, [base('a', 5), base('a', 45), base('a', 85), base('a', 95)], 55)
    expect(inWords(go)).toEqual(['a 0-10', 'a 10-20', 'a 20-30'])
    expect([...holds.keys()]).toEqual(['a@45', 'a@85'])
  })

  test('over a fork: what the new history needs of the old one stays; what the old primary wrote on goes by its age', () => {
    const stream = streamOf([timeline('a', 0), timeline('b', 45, 'a')], every(10, 'a', 0, 60), every(10, 'b', 45, 100))
    const bases = [base('a', 15), base('b', 75)]
    expect(goes(stream, bases, 55), 'its last byte came at 60').toEqual(['a 0-10'])
    expect(goes(stream, bases, 65), 'from there to the fork it is on the way').toEqual(['a 0-10', 'a 50-60'])
    expect(goes(stream, bases, 80), 'a backup of the new history is as old').toEqual([
      'a 0-10',
      'a 10-20',
      'a 20-30',
      'a 30-40',
      'a 40-50',
      'b 45-55',
      'a 50-60',
      'b 55-65',
      'b 65-75',
    ])
  })

  test('nothing has come for longer than is kept: the last piece stays from its backup on', () => {
    expect(goes(one, [base('a', 25)], 900)).toEqual(['a 0-10', 'a 10-20'])
  })

  test('a clock that was years behind does not make the whole look old', () => {
    const stream = streamOf([timeline('a', 0), timeline('b', 200)], [...every(10, 'a', 0, 90), segment('a', 90, 100, 0)], every(10, 'b', 200, 300))
    expect(goes(stream, [base('a', 15), base('b', 205)], 85)).toEqual(['a 0-10'])
  })

  test('all that was put together again, an hour later; of two that are alike one; never what only overlaps', () => {
    const stream = streamOf([timeline('a', 0)], [segment('a', 0, 30), segment('a', 30, 60), segment('a', 25, 55)], every(10, 'a', 0, 30), [
      segment('a', 30, 60, at(61)),
    ])
    const bases = [base('a', 0)]
    const doubles = (now: number): readonly string[] =>
      thinned(stream, bases, 0, now).doubles.map(({ segment: small, within }) => `${inWords([small])} in ${inWords([within])}`)
    expect(doubles(300)).toEqual(['a 0-10 in a 0-30', 'a 10-20 in a 0-30', 'a 20-30 in a 0-30', 'a 30-60 in a 30-60'])
    expect(doubles(89)).toEqual([])
  })

  test('the paper of a history goes when nothing of it is left, nor of what came before it; never that of now', () => {
    const timelines = [timeline('a', 0), timeline('b', 100, 'a'), timeline('c', 100, 'b'), timeline('d', 500), timeline('e', 600)]
    const papers = (segments: readonly StoredSegment[], bases = [base('a', 0), base('c', 100)]): string =>
      thinned(streamOf(timelines, segments), bases, 400)
        .papers.map(([letter]) => letter)
        .join('')
    expect(papers(every(10, 'c', 100, 200)), 'the last piece of the newest is none of c').toBe('abc')
    expect(papers([...every(10, 'a', 0, 100), ...every(50, 'c', 100, 450)], [base('a', 0)]), 'b has nothing, and leads from a to c').toBe('')
    expect(papers(every(50, 'c', 100, 450))).toBe('ab')
    expect(thinned(streamOf(timelines), [], 900).papers.map(([letter]) => letter)).toEqual(['a', 'b', 'c', 'd'])
  })
})

test('a month of hours, with failovers, gaps and no daily backups: seven days back can always be restored, and what is stored does not grow for ever', () => {
  const timelines = [timeline('a', 0), timeline('b', 9 * 24 * 60, 'a'), timeline('c', 20 * 24 * 60)]
  const lives = (hour: number): string => (hour < 9 * 24 ? 'a' : hour < 20 * 24 ? 'b' : 'c')
  let segments: readonly StoredSegment[] = []
  let bases: readonly Base[] = []
  const kept = 7 * 24
  let most = 0
  for (let hour = 0; hour < 32 * 24; hour += 1) {
    const letter = lives(hour)
    bases = [...bases, base(letter, hour * 60)]
    if (hour % 250 !== 77) segments = [...segments, segment(letter, hour * 60, (hour + 1) * 60)]
    if (hour % 4 !== 3) continue
    const nowMs = at((hour + 1) * 60)
    const stream = streamOf(
      timelines.filter(({ replid }) => segments.some((one) => one.replid === replid)),
      segments,
    )
    const before = restorable(stream, bases)
    const { go, holds } = thin(stream, bases, nowMs - kept * hourMs, nowMs)
    const held = bases.map((one) => ({ ...one, judgedAtWallMs: one.atWallMs, keys: null, held: holds.get(one.id) ?? null, isCopy: false }))
    const { verdicts } = prune(held, { hourly: 24, daily: 0, weekly: 0, monthly: 0 }, hourMs, nowMs)
    const stays = new Set(verdicts.flatMap(({ id, keep }) => (keep ? [id] : [])))
    bases = bases.filter(({ id }) => stays.has(id))
    segments = segments.filter((one) => !go.includes(one))
    const after = restorable({ ...stream, segments }, bases)
    const lost = [...before].filter((end) => !after.has(end) && timeOf(end) > nowMs - kept * hourMs)
    expect(lost, `hour ${hour}`).toEqual([])
    most = Math.max(most, segments.length)
  }
  expect(most).toBeLessThan(2 * kept + 24)
  expect(bases.length).toBeLessThan(32)
})

/** `letter:hour` of the ends of all hours that can be restored. */
function restorable({ timelines, segments }: Stream, bases: readonly Base[]): ReadonlySet<string> {
  const found = new Set<string>()
  for (const { replid } of timelines) {
    const path = pathTo(timelines, replid)
    const runs = runsOn(path, segments)
    for (const run of runs) {
      const first = bases.filter((one) => one.offset >= run.from - 1 && !('why' in chainTo(path, runs, [one], one.offset))).map(({ offset }) => offset)
      const from = Math.min(...first)
      for (const piece of run.pieces) if (piece.to >= from && !('why' in chainTo(path, runs, bases, piece.to))) found.add(`${replid[0]}:${piece.to / 6000}`)
    }
  }
  return found
}
const timeOf = (end: string): number => at(Number(end.split(':')[1]) * 60)

const world = fc.record({
  forks: fc.array(fc.record({ at: fc.integer({ min: 1, max: 70 }), alone: fc.boolean() }), { minLength: 2, maxLength: 2 }),
  segments: fc.array(fc.record({ of: fc.nat(2), from: fc.nat(90), length: fc.integer({ min: 5, max: 30 }) }), { minLength: 6, maxLength: 16 }),
  bases: fc.array(fc.record({ of: fc.nat(2), at: fc.nat(100), state: fc.constantFrom('good', 'good', 'good', 'untested', 'bad') }), {
    minLength: 1,
    maxLength: 6,
  }),
  keptFrom: fc.integer({ min: 10, max: 90 }),
})

test('random histories: what could be restored of the time that is kept, still can, from what stays; and what goes is of no use for it', () => {
  let gone = 0
  fc.assert(
    fc.property(world, ({ forks, segments, bases: places, keptFrom }) => {
      const letters = ['a', 'b', 'c'] as const
      const timelines = [
        timeline('a', 0),
        ...forks.map(({ at: minute, alone }, n) => timeline(letters[n + 1] ?? 'b', minute, alone ? null : (letters[n] ?? 'a'))),
      ]
      const stream = streamOf(
        timelines,
        segments.map(({ of, from, length }) => segment(letters[of] ?? 'a', from, from + length)),
      )
      const bases = places.map(({ of, at: minute, state }) => base(letters[of] ?? 'a', minute, state as Base['state']))
      const good = bases.filter(({ state }) => state === 'good')
      const { go, holds } = thinned(stream, bases, keptFrom, 130)
      gone += go.length
      const left = stream.segments.filter((one) => !go.includes(one))
      const begins = good.filter(({ id }) => holds.has(id))
      for (const { replid } of timelines) {
        const path = pathTo(timelines, replid)
        const [before, after] = [runsOn(path, stream.segments), runsOn(path, left)]
        for (let minute = keptFrom + 1; minute <= 120; minute += 1) {
          const wanted = offsetAt(minute) - 1
          // What is archived there, by a clock that is right.
          if (!before.some((run) => run.from <= wanted && run.to >= wanted)) continue
          const [had, has] = [chainTo(path, before, good, wanted), chainTo(path, after, begins, wanted)]
          if (!('why' in had) && had.pieces.length > 0) expect(has, `${replid[0]} ${minute}`).not.toHaveProperty('why')
        }
      }
    }),
    { numRuns: 500, seed: 20261122 },
  )
  expect(gone).toBeGreaterThan(300)
})
