import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { prune, type Held } from '../../src/backup/retention.ts'
import type { Keep } from '../../src/model/config.ts'

const hourMs = 3_600_000
const keep: Keep = { hourly: 24, daily: 30, weekly: 0, monthly: 0 }
const at = (iso: string): number => new Date(iso).getTime()
const held = (iso: string, more: Partial<Held> = {}): Held => ({
  id: iso,
  atWallMs: at(iso),
  judgedAtWallMs: at(iso),
  state: 'good',
  keys: null,
  held: null,
  isCopy: false,
  ...more,
})
const kept = (backups: readonly Held[], wanted: Keep, now: string): readonly string[] =>
  prune(backups, wanted, hourMs, at(now)).verdicts.flatMap(({ id, keep: stays }) => (stays ? [id] : []))

function everyHour(from: string, hours: number): readonly Held[] {
  return Array.from({ length: hours }, (_, hour) => held(new Date(at(from) + hour * hourMs).toISOString()))
}

describe('which backups go', () => {
  test('hourly for 90 days: a day of hours and a month of days are left, the youngest of each', () => {
    const backups = everyHour('2026-01-01T00:10:00.000Z', 90 * 24)
    const left = kept(backups, keep, '2026-03-31T23:30:00.000Z')
    expect(left.slice(0, 24)).toEqual(
      backups
        .slice(-24)
        .reverse()
        .map(({ id }) => id),
    )
    expect(left).toHaveLength(24 + 29)
    expect(left.slice(24).every((id) => id.includes('T23:10'))).toBe(true)
    expect(left.at(-1)).toBe('2026-03-02T23:10:00.000Z')
  })

  test('weeks begin on Monday, months on the first, in UTC', () => {
    const backups = ['2026-02-28T23:59:59Z', '2026-03-01T00:00:00Z', '2026-03-01T23:59:59Z', '2026-03-02T00:00:00Z'].map((iso) => held(iso))
    expect(kept(backups, { hourly: 0, daily: 0, weekly: 2, monthly: 0 }, '2026-03-02T00:30:00Z')).toEqual(['2026-03-02T00:00:00Z', '2026-03-01T23:59:59Z'])
    expect(kept(backups, { hourly: 0, daily: 0, weekly: 0, monthly: 2 }, '2026-03-02T00:30:00Z')).toEqual(['2026-03-02T00:00:00Z', '2026-02-28T23:59:59Z'])
  })

  test('a month is what the calendar says, for four hundred years', () => {
    fc.assert(
      fc.property(fc.integer({ min: at('1970-01-01T00:00:00Z'), max: at('2370-01-01T00:00:00Z') }), fc.integer({ min: 0, max: 62 * 24 }), (first, hours) => {
        const [a, b] = [new Date(first), new Date(first + hours * hourMs)]
        const same = a.getUTCFullYear() === b.getUTCFullYear() && a.getUTCMonth() === b.getUTCMonth()
        const backups = [held(a.toISOString(), { id: 'a' }), held(b.toISOString(), { id: 'b' })]
        const { verdicts } = prune(backups, { hourly: 0, daily: 0, weekly: 0, monthly: 2 }, hourMs, b.getTime())
        return hours === 0 || verdicts.find(({ id }) => id === 'a')?.keep === !same
      }),
    )
  })

  test('the last good one stays, also where the policy asks for none', () => {
    const none: Keep = { hourly: 0, daily: 0, weekly: 0, monthly: 0 }
    expect(kept([held('2026-03-01T10:00:00Z'), held('2026-03-01T11:00:00Z')], none, '2026-03-01T11:30:00Z')).toEqual(['2026-03-01T11:00:00Z'])
  })

  test('backups have failed since yesterday: those that are left are not thinned out', () => {
    const good = everyHour('2026-03-01T00:00:00.000Z', 48)
    const bad = everyHour('2026-03-03T00:00:00.000Z', 24).map((backup) => ({ ...backup, state: 'bad' as const }))
    const { verdicts, alarm } = prune([...good, ...bad], { ...keep, hourly: 1, daily: 1 }, hourMs, at('2026-03-03T23:30:00Z'))
    expect(verdicts.every(({ keep: stays }) => stays)).toBe(true)
    expect(alarm).toBe('the last good backup is 24 hours old: nothing is removed until there is a younger one')
  })

  test('no backup was ever restored in a test: nothing is removed', () => {
    const { verdicts, alarm } = prune([held('2026-01-01T00:00:00Z', { state: 'untested' })], keep, hourMs, at('2026-03-01T00:00:00Z'))
    expect(verdicts).toEqual([{ id: '2026-01-01T00:00:00Z', keep: true, why: alarm }])
    expect(prune([], keep, hourMs, 0)).toEqual({ verdicts: [], alarm: null, last: null })
  })

  test('a clock was a year ahead when one was taken: it is kept, takes no place, and the others are thinned out as ever', () => {
    const backups = [held('2027-03-01T00:00:00Z'), held('2026-03-01T00:30:00Z'), held('2026-02-28T23:00:00Z'), held('2026-02-28T22:00:00Z')]
    const { alarm, verdicts } = prune(backups, { hourly: 2, daily: 0, weekly: 0, monthly: 0 }, hourMs, at('2026-03-01T01:00:00Z'))
    expect(alarm).toBe('2027-03-01T00:00:00Z is from the future: a clock was wrong when it was taken, and it does not count')
    expect(verdicts.map(({ keep: stays, why }) => [stays, why])).toEqual([
      [true, 'from the future: a clock was wrong'],
      [true, 'the last good one'],
      [true, 'hourly'],
      [false, 'no period asks for it any more'],
    ])
  })

  test('the clock here is a year behind: nothing is removed', () => {
    const { alarm, verdicts } = prune([held('2027-03-01T00:00:00Z'), held('2027-02-01T00:00:00Z')], keep, hourMs, at('2026-03-01T01:00:00Z'))
    expect(alarm).toContain('a clock is wrong')
    expect(verdicts.every(({ keep: stays }) => stays)).toBe(true)
  })

  test('what a segment of the stream needs stays; one that failed stays a week; one that nobody tested goes when younger ones are good', () => {
    const backups = [
      held('2026-01-01T00:00:00Z', { held: 'the stream from 12:00 begins on it' }),
      held('2026-02-20T00:00:00Z', { state: 'bad' }),
      held('2026-02-27T00:00:00Z', { state: 'bad' }),
      held('2026-02-26T00:00:00Z', { state: 'untested' }),
      held('2026-02-28T23:00:00Z'),
      held('2026-02-28T23:30:00Z', { state: 'untested' }),
    ]
    expect(kept(backups, { hourly: 1, daily: 0, weekly: 0, monthly: 0 }, '2026-03-01T00:00:00Z')).toEqual([
      '2026-02-28T23:30:00Z',
      '2026-02-28T23:00:00Z',
      '2026-02-27T00:00:00Z',
      '2026-01-01T00:00:00Z',
    ])
  })

  test('one that nobody tested is not said to wait for a test: the group may make none', () => {
    const last = held('2026-02-28T23:00:00Z')
    const backups = [last, held('2026-02-28T23:30:00Z', { state: 'untested' }), held('2026-02-28T22:30:00Z', { state: 'untested' })]
    const { verdicts } = prune(backups, { hourly: 0, daily: 0, weekly: 0, monthly: 0 }, hourMs, at('2026-03-01T00:00:00Z'))
    expect(verdicts.filter(({ id }) => id !== last.id)).toEqual([
      expect.objectContaining({ keep: true, why: 'not tested, and younger than the last good one' }),
      expect.objectContaining({ keep: true, why: 'not tested, and young: it may still be' }),
    ])
  })

  test('an old one that was good failed its test today: it stays a week from today', () => {
    const backups = [held('2026-02-28T23:00:00Z'), held('2026-01-20T00:00:00Z', { state: 'bad', judgedAtWallMs: at('2026-02-28T12:00:00Z') })]
    const one: Keep = { hourly: 1, daily: 0, weekly: 0, monthly: 0 }
    expect(kept(backups, one, '2026-03-01T00:00:00Z')).toEqual(['2026-02-28T23:00:00Z', '2026-01-20T00:00:00Z'])
    expect(kept([...backups, held('2026-03-07T23:00:00Z')], one, '2026-03-08T00:00:00Z')).toEqual(['2026-03-07T23:00:00Z'])
  })

  test('no schedule, so nothing is ever late: the last good one may be a year old', () => {
    const backups = [held('2025-03-01T00:00:00Z'), held('2025-02-01T00:00:00Z'), held('2025-01-01T00:00:00Z', { state: 'untested' })]
    const { verdicts, alarm } = prune(backups, { hourly: 1, daily: 0, weekly: 0, monthly: 0 }, Number.POSITIVE_INFINITY, at('2026-03-01T00:00:00Z'))
    expect(alarm).toBeNull()
    expect(verdicts.map(({ keep: stays }) => stays)).toEqual([true, false, true])
  })

  test('no test could be made for three days: the youngest of each of those days stays, and takes no place of a good one', () => {
    const good = everyHour('2026-03-01T00:00:00.000Z', 48)
    const untested = everyHour('2026-03-03T00:00:00.000Z', 72).map((backup) => ({ ...backup, state: 'untested' as const }))
    const left = kept([...good, ...untested, held('2026-03-06T00:00:00.000Z')], { hourly: 1, daily: 2, weekly: 0, monthly: 0 }, '2026-03-06T02:30:00Z')
    expect(left).toEqual(['2026-03-06T00:00:00.000Z', '2026-03-05T23:00:00.000Z', '2026-03-04T23:00:00.000Z', '2026-03-02T23:00:00.000Z'])
  })

  test('whatever there is: the last good one that is no copy stays, and another run right after removes nothing more', () => {
    const backup = fc
      .record({
        id: fc.uuid(),
        atWallMs: fc.integer({ min: 0, max: 400 * 24 * hourMs }),
        state: fc.constantFrom('good' as const, 'bad' as const, 'untested' as const),
        held: fc.option(fc.constant('needed')),
        isCopy: fc.boolean(),
      })
      .map((one) => ({ ...one, judgedAtWallMs: one.atWallMs, keys: null }))
    const wanted = fc.record({ hourly: fc.nat(30), daily: fc.nat(40), weekly: fc.nat(10), monthly: fc.nat(15) })
    fc.assert(
      fc.property(fc.uniqueArray(backup, { selector: ({ id }) => id, maxLength: 60 }), wanted, (backups, policy) => {
        const now = 400 * 24 * hourMs
        const first = prune(backups, policy, 500 * 24 * hourMs, now)
        const stays = new Set(first.verdicts.filter((verdict) => verdict.keep).map(({ id }) => id))
        const youngest = backups.filter(({ state, isCopy }) => state === 'good' && !isCopy).sort((a, b) => b.atWallMs - a.atWallMs)[0]
        const again = prune(
          backups.filter(({ id }) => stays.has(id)),
          policy,
          500 * 24 * hourMs,
          now,
        )
        return (
          (youngest === undefined ? stays.size === backups.length : backups.some(({ id, atWallMs }) => stays.has(id) && atWallMs === youngest.atWallMs)) &&
          backups.every(({ id, held: why }) => why === null || stays.has(id)) &&
          again.verdicts.every((verdict) => verdict.keep)
        )
      }),
    )
  })

  test('FLUSHALL, and a backup of nothing an hour later: the one before it stays a month, whatever is backed up since', () => {
    const full = held('2026-03-01T10:10:00Z', { keys: 150_002 })
    const empty = held('2026-03-01T10:20:00Z', { keys: 0 })
    const since = held('2026-03-01T10:30:00Z', { keys: 150_000 })
    const verdictOf = (nowIso: string, last: Held) =>
      prune([last, since, empty, full], { ...keep, hourly: 1, daily: 0 }, hourMs, at(nowIso)).verdicts.find(({ id }) => id === full.id)
    expect(verdictOf('2026-03-01T11:00:00Z', held('2026-03-01T10:40:00Z', { keys: 150_000 }))).toMatchObject({
      keep: true,
      why: expect.stringContaining('150002 keys became 0') as string,
    })
    expect(verdictOf('2026-03-31T11:00:00Z', held('2026-03-31T10:40:00Z', { keys: 150_000 }))).toMatchObject({ keep: false })
  })

  describe('copies that a restore over the group has kept', () => {
    const hourly: Keep = { hourly: 2, daily: 0, weekly: 0, monthly: 0 }
    const copy = (iso: string, more: Partial<Held> = {}): Held => held(iso, { isCopy: true, ...more })
    const said = (backups: readonly Held[], now: string) => prune(backups, hourly, hourMs, at(now))

    test('they take no hour of the backup that was restored, are not the last good one, and shrink nothing', () => {
      const restored = held('2026-03-01T10:10:00Z', { keys: 60_001 })
      const spoiled = copy('2026-03-01T10:40:00Z', { keys: 1, held: 'held by anna' })
      const { last, verdicts } = said([spoiled, restored, held('2026-03-01T11:10:00Z', { keys: 60_000 })], '2026-03-01T11:30:00Z')
      expect(last).toBe('2026-03-01T11:10:00Z')
      expect(verdicts.map(({ keep: stays, why }) => [stays, why])).toEqual([
        [true, 'the last good one'],
        [true, 'held by anna'],
        [true, 'hourly'],
      ])
    })

    test('released they go, but not on the day on which they were taken: one that is not held yet is just being tested', () => {
      const backups = [held('2026-03-02T10:10:00Z'), copy('2026-03-01T10:40:00Z'), copy('2026-03-01T10:35:00Z', { state: 'untested' })]
      expect(said(backups, '2026-03-02T10:30:00Z').verdicts.map(({ keep: stays }) => stays)).toEqual([true, true, true])
      expect(said(backups, '2026-03-02T11:00:00Z').verdicts.slice(1)).toEqual(
        backups.slice(1).map(({ id }) => ({ id, keep: false, why: 'a copy that restore --over has kept, and nobody holds' })),
      )
    })

    test('only they are good, or young: nothing is removed', () => {
      const old = [held('2026-03-01T09:00:00Z', { state: 'bad', judgedAtWallMs: 0 }), copy('2026-03-01T10:40:00Z')]
      expect(said(old, '2026-03-08T10:00:00Z')).toMatchObject({
        last: null,
        alarm: 'the only good ones are copies that restore --over has kept: nothing is removed',
      })
      const { alarm, verdicts } = said([copy('2026-03-01T10:40:00Z'), held('2026-03-01T01:00:00Z'), held('2026-02-01T01:00:00Z')], '2026-03-01T11:00:00Z')
      expect([alarm, verdicts.every(({ keep: stays }) => stays)]).toEqual([expect.stringContaining('the last good backup is 10 hours old'), true])
    })

    test('whatever there is: what becomes of the others is as if they were not there', () => {
      const backup = fc
        .record({
          id: fc.uuid(),
          atWallMs: fc.integer({ min: 0, max: 100 * hourMs }),
          state: fc.constantFrom('good' as const, 'bad' as const, 'untested' as const),
          keys: fc.constantFrom(null, 1, 1000),
          isCopy: fc.boolean(),
        })
        .map((one) => ({ ...one, judgedAtWallMs: one.atWallMs, held: null }))
      fc.assert(
        fc.property(fc.uniqueArray(backup, { selector: ({ id }) => id, maxLength: 40 }), (backups) => {
          const stay = (of: readonly Held[]): readonly string[] =>
            prune(of, hourly, 10 * hourMs, 100 * hourMs).verdicts.flatMap(({ id, keep: stays }) => (stays ? [id] : []))
          const own = backups.filter(({ isCopy }) => !isCopy)
          expect(stay(backups).filter((id) => own.some((one) => one.id === id))).toEqual(stay(own))
        }),
      )
    })
  })
})
