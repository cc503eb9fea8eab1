/** What there is of an archived stream: spans, gaps, what lies aside, and what is told of it. */
import { describe, expect, test } from 'vitest'
import { coverageOf, reachOf, streamAlarms, type Coverage, type Stream } from '../../src/backup/coverage.ts'
import type { Base } from '../../src/backup/chain.ts'
import { at, base, dayMs, every, minuteMs, offsetAt, replidOf, segment, streamOf, timeline } from './stream-stories.ts'

const minutesOf = (wallMs: number | null): number | null => (wallMs === null ? null : (wallMs - at(0)) / minuteMs)
const spans = ({ spans: all }: Coverage): readonly string[] => all.map((one) => `${one.base}: ${minutesOf(one.fromWallMs)}-${minutesOf(one.toWallMs)}`)
const gaps = ({ gaps: all }: Coverage): readonly string[] =>
  all.map(
    (one) =>
      `${minutesOf(one.fromWallMs)}-${minutesOf(one.toWallMs)} ${one.bytes === null ? 'unknown' : one.bytes.to - one.bytes.from + 1}, again ${minutesOf(one.againWallMs)}`,
  )
const alarms = (stream: Stream, bases: readonly Base[], now: number, configured = true): readonly string[] =>
  streamAlarms(coverageOf(stream, bases), [], configured, at(now))

describe('which moments can be restored', () => {
  test('from the first good backup in it to its end', () => {
    const coverage = coverageOf(streamOf([timeline('a', 0)], every(10, 'a', 0, 100)), [
      base('a', 5, 'bad'),
      base('a', 15, 'untested'),
      base('a', 20),
      base('a', 60),
    ])
    expect(spans(coverage)).toEqual(['a@20: 20-100'])
    expect(coverage).toMatchObject({ segments: 10, bytes: 100, lastWallMs: at(100), endsRestorable: true, gaps: [], branches: [] })
    expect(coverage.spans[0]).toMatchObject({ from: offsetAt(20) - 1, to: offsetAt(100) - 1, replid: replidOf('a') })
  })

  test('a promotion is no gap; what the old primary wrote on lies aside', () => {
    const stream = streamOf([timeline('a', 0), timeline('b', 55, 'a')], every(10, 'a', 0, 80), every(10, 'b', 55, 100))
    const coverage = coverageOf(stream, [base('a', 0)])
    expect(spans(coverage)).toEqual(['a@0: 0-100'])
    expect(gaps(coverage)).toEqual([])
    expect(coverage.branches).toEqual([
      { replid: replidOf('a'), from: offsetAt(55), to: offsetAt(80) - 1, firstWallMs: at(60), lastWallMs: at(80), segments: 3, bytes: 30 },
    ])
  })

  test('a gap: what is missing, and from when on it goes on; the next one has no backup behind it', () => {
    const stream = streamOf([timeline('a', 0)], every(10, 'a', 0, 50), every(10, 'a', 60, 100), every(10, 'a', 120, 150))
    const coverage = coverageOf(stream, [base('a', 0), base('a', 75)])
    expect(spans(coverage)).toEqual(['a@0: 0-50', 'a@75: 75-100'])
    expect(gaps(coverage)).toEqual(['50-70 1000, again 75', '100-130 2000, again null'])
    expect(coverage.endsRestorable).toBe(false)
  })

  test('the history began anew, without a parent: the one before it still counts, and between them is a gap of nobody knows how much', () => {
    const stream = streamOf([timeline('a', 0), timeline('b', 90)], every(10, 'a', 0, 50), every(10, 'b', 90, 120))
    const coverage = coverageOf(stream, [base('a', 0), base('b', 95)])
    expect(spans(coverage)).toEqual(['a@0: 0-50', 'b@95: 95-120'])
    expect(gaps(coverage)).toEqual(['50-95 unknown, again 95'])
    expect(coverage.branches).toEqual([])
  })

  test('a history by itself that began while another one was the right one lies aside', () => {
    const coverage = coverageOf(streamOf([timeline('c', 0), timeline('b', 50)], every(10, 'c', 0, 100), every(10, 'b', 50, 80)), [base('c', 0), base('b', 50)])
    expect(spans(coverage)).toEqual(['c@0: 0-100'])
    expect(coverage.branches).toMatchObject([{ replid: replidOf('b'), from: offsetAt(50), segments: 3 }])
  })

  test('nothing at all', () => {
    expect(coverageOf({ timelines: [], segments: [] }, [base('a', 0)])).toEqual({
      ...{ spans: [], gaps: [], branches: [], segments: 0, bytes: 0, lastWallMs: null, endsRestorable: false },
    })
  })

  test('how far one can go on from a backup: over a fork, up to a gap, on a branch, nowhere', () => {
    const stream = streamOf([timeline('a', 0), timeline('b', 50, 'a')], every(10, 'a', 0, 70), every(10, 'b', 50, 90), every(10, 'b', 95, 100))
    const reach = (one: Base): unknown => {
      const found = reachOf(stream, one)
      return found === null ? null : [found.replid[0], minutesOf(found.toWallMs)]
    }
    expect(reach(base('a', 20))).toEqual(['b', 90])
    expect(reach(base('a', 60)), 'taken from the old primary after the fork').toEqual(['a', 70])
    expect(reach(base('b', 90)), 'the gap is right behind it').toBeNull()
    expect(reach(base('b', 100)), 'at the very end').toBeNull()
    expect(reach(base('x', 20))).toBeNull()
  })
})

describe('what is told', () => {
  test('nothing, while all is well', () => {
    const stream = streamOf([timeline('a', 0)], every(10, 'a', 0, 100))
    expect(alarms(stream, [base('a', 0)], 101)).toEqual([])
  })

  test('nothing comes any more: after five minutes, and only where something should', () => {
    const stream = streamOf([timeline('a', 0)], every(10, 'a', 0, 100))
    expect(alarms(stream, [base('a', 0)], 107)).toEqual(['nothing of the stream has been archived for 7 min'])
    expect(alarms(stream, [base('a', 0)], 107, false)).toEqual([])
    expect(alarms({ timelines: [], segments: [] }, [], 0)).toEqual(['nothing of the stream is archived'])
    expect(alarms({ timelines: [], segments: [] }, [], 0, false)).toEqual([])
  })

  test('no good backup lies in it yet', () => {
    expect(alarms(streamOf([timeline('a', 0)], every(10, 'a', 0, 100)), [base('a', 50, 'untested')], 101)).toEqual([
      'what is archived of the stream cannot be restored: no good backup lies in it yet',
    ])
  })

  test('a gap of today, until it is a day old', () => {
    const stream = streamOf([timeline('a', 0)], every(10, 'a', 0, 50), every(10, 'a', 60, 5000))
    const bases = [base('a', 0), base('a', 75)]
    const told = (now: number): readonly string[] => streamAlarms(coverageOf(stream, bases), [], false, at(now))
    expect(told(190)).toEqual(['the stream has a gap of 20 min, 2 h ago: 1000 bytes are missing, it can be restored again from 5 min later on'])
    expect(told(70 + dayMs / minuteMs + 1)).toEqual([])
  })

  test('a backup lies at the very end of a gap: what came behind it can be restored, and the gap ends where the backup was made', () => {
    const stream = streamOf([timeline('a', 0)], every(10, 'a', 0, 50), every(10, 'a', 60, 5000))
    const coverage = coverageOf(stream, [base('a', 0), base('a', 60)])
    expect(gaps(coverage)).toEqual(['50-60 1000, again 60'])
    expect(streamAlarms(coverage, [], false, at(190))).toEqual([
      'the stream has a gap of 10 min, 2 h ago: 1000 bytes are missing, what came behind it can be restored',
    ])
  })

  test('an old gap that has no backup before the next one is told for as long as it is there', () => {
    const stream = streamOf([timeline('a', 0)], every(10, 'a', 0, 50), every(10, 'a', 60, 100), every(10, 'a', 110, 9000))
    const told = streamAlarms(coverageOf(stream, [base('a', 0), base('a', 200)]), [], true, at(9000))
    expect(told).toEqual(['the stream has a gap of 20 min, 6 days ago: 1000 bytes are missing, nothing up to the next one can be restored'])
  })

  test('histories that the configured key does not prove', () => {
    const coverage = coverageOf(streamOf([timeline('a', 0)], [segment('a', 0, 10)]), [base('a', 0)])
    expect(streamAlarms(coverage, [], true, at(10), 0)).toEqual([])
    expect(streamAlarms(coverage, [], true, at(10), 1)).toEqual([
      'a key is configured, and 1 of the histories of the stream not proven by it: whoever can write to the store could have made it',
    ])
  })

  test('names that do not count, the first three', () => {
    const broken = ['a', 'b', 'c', 'd'].map((name) => ({ name, why: 'it was changed' }))
    const coverage = coverageOf(streamOf([timeline('a', 0)], [segment('a', 0, 10)]), [base('a', 0)])
    expect(streamAlarms(coverage, broken, true, at(10))).toEqual([
      'a does not count: it was changed',
      'b does not count: it was changed',
      'c does not count: it was changed',
      '1 more names of the stream do not count',
    ])
  })
})
