/** Who archives the stream, what it has to begin at, and what is wrong with it, in words. */
import { describe, expect, test } from 'vitest'
import { firstMoment, archiverAlarms, whoArchives, whyNoBase, type ArchiverFacts } from '../../src/backup/archiver.ts'
import type { Base } from '../../src/backup/chain.ts'
import type { Archived, ArchivedRun } from '../../src/backup/job.ts'
import type { Words } from '../../src/backup/source.ts'
import type { RedisFacts, Statement } from '../../src/model/view.ts'
import { facts, policy, primaryFacts, word } from './builders.ts'

const { members } = policy('a', 'b', 'c')
const primary = (more: Partial<Statement> = {}): Statement => word('a', { phase: 'primary', redis: primaryFacts(), ...more })
const replica = (host: string, more: Partial<Statement> = {}, redis: Partial<RedisFacts> = {}): Statement => word(host, { redis: facts(redis), ...more })
const archiving = { archives: true } as const

function words(...all: readonly Statement[]): Words {
  return new Map(all.map((one) => [one.host, one]))
}

const long = Number.POSITIVE_INFINITY

describe('who', () => {
  test.each<[string, readonly Statement[], string | null]>([
    ['whoever would give a backup', [primary(), replica('b'), replica('c')], 'c'],
    ['whoever does already, though another would be chosen', [primary(), replica('b', archiving), replica('c')], 'b'],
    ['of two who do, the one that would be chosen: the other ends', [primary(), replica('b', archiving), replica('c', archiving)], 'c'],
    ['another, where it has lost its primary', [primary(), replica('b', archiving, { linkUp: false }), replica('c')], 'c'],
    ['another, where it gives somebody all data', [primary(), replica('b', archiving, filling()), replica('c')], 'c'],
    ['another, where its redis does not answer', [primary(), replica('b', { ...archiving, answering: false }), replica('c')], 'c'],
    ['a replica again, where the primary had to', [primary(archiving), replica('b'), replica('c', {}, { loading: true })], 'b'],
    ['nobody while a failover is under way', [primary(), replica('b', { phase: 'promoting', epoch: 2 }), replica('c', archiving)], null],
    ['nobody while a switchover is', [primary({ phase: 'handing' }), replica('b', archiving), replica('c')], null],
  ])('%s', (_name, all, host) => {
    expect(whoArchives(members, words(...all), long, 'available').host).toBe(host)
    expect(whoArchives(members, words(...all), long, 'safe').host).toBe(host)
  })

  function filling(): Partial<RedisFacts> {
    const c = members.find(({ host }) => host === 'c')
    return { followers: [{ ip: c?.ip ?? '', port: c?.port ?? 0, online: false, offset: 0, ackAgeS: 0 }] }
  }

  test('the primary only where no replica has been fit for a while, and never where it counts those that acknowledge', () => {
    const alone = words(primary(), replica('b', {}, { loading: true }))
    expect(whoArchives(members, alone, 9_000, 'available').host).toBeNull()
    expect(whoArchives(members, alone, long, 'available')).toMatchObject({ host: 'a', role: 'primary' })
    expect(whoArchives(members, alone, long, 'safe')).toEqual({
      host: null,
      why: 'no replica is fit, and with durability: safe nobody but a replica may be attached to a, the primary',
    })
  })

  test('the reason says that it goes on', () => {
    expect(whoArchives(members, words(primary(), replica('b', archiving), replica('c')), 0, 'safe')).toMatchObject({
      why: 'a replica, 0 bytes behind; it archives already',
    })
  })
})

const [old, now] = ['a'.repeat(40), 'b'.repeat(40)]
/** Begun at 100, and since 200 another one's: a promotion. */
const run: ArchivedRun = {
  from: 100,
  fromWallMs: 0,
  legs: [
    { replid: old, from: 100, to: 199 },
    { replid: now, from: 200, to: null },
  ],
}
const base = (offset: number, more: Partial<Base> = {}): Base => ({ id: `at-${offset}`, replid: now, offset, atWallMs: offset * 10, state: 'good', ...more })

describe('something to begin at', () => {
  test.each<[string, Base | null, string | null]>([
    ['a backup in the middle', base(250), null],
    ['one of before the promotion', base(150, { replid: old }), null],
    ['one that ends where the first byte begins', base(99, { replid: old }), null],
    ['one that does not reach that far', base(98, { replid: old }), 'what is archived without a gap begins at offset 100, behind at-98 (offset 98)'],
    [
      'what the old primary had beyond the fork',
      base(200, { replid: old }),
      'what is archived without a gap begins at offset 100, and at-200 is of another history',
    ],
    ['of somebody else', base(250, { replid: 'c'.repeat(40) }), 'what is archived without a gap begins at offset 100, and at-250 is of another history'],
    ['none', null, 'what is archived without a gap begins at offset 100, and there is no backup'],
  ])('%s', (_name, newest, why) => {
    expect(whyNoBase(run, newest)).toBe(why)
  })

  test('any moment since the first of them that is not bad', () => {
    const bases = [base(300), base(250), base(150, { replid: old, state: 'untested' }), base(120, { replid: old, state: 'bad' }), base(98, { replid: old })]
    expect(firstMoment(run, bases)).toBe(1500)
    expect(firstMoment(run, [base(98, { replid: old })])).toBeNull()
  })
})

describe('alarms', () => {
  const nowMs = 1_000_000
  const well: Archived = { isAttached: true, came: 10, stored: 10, storedWallMs: nowMs - 400, run, trouble: null }
  const texts = (facts: Partial<ArchiverFacts>): readonly string[] =>
    archiverAlarms({ archived: well, nothingForMs: null, why: 'its redis hangs up', noBase: null, ...facts }, nowMs).map(
      ({ text, grave }) => `${grave ? 'grave: ' : ''}${text}`,
    )

  test('none while it is half a second behind, is being begun, or a failover lasts', () => {
    expect(texts({})).toEqual([])
    expect(texts({ archived: null, nothingForMs: 29_000 })).toEqual([])
  })

  test.each<[string, Partial<ArchiverFacts>, readonly string[]]>([
    ['nobody for long', { archived: null, nothingForMs: 45_000 }, ['grave: nothing has been archived for 45 s: its redis hangs up']],
    ['behind', { archived: { ...well, storedWallMs: nowMs - 12_000 } }, ['grave: it is 12 s behind']],
    ['the store refused just now', { archived: { ...well, trouble: 'the disk is full' } }, ['the disk is full']],
    ['the store refuses', { archived: { ...well, storedWallMs: nowMs - 60_000, trouble: 'the disk is full' } }, ['grave: it is 60 s behind: the disk is full']],
    [
      'a gap',
      { noBase: 'what is archived without a gap begins at offset 100, and there is no backup' },
      ['no moment of it can be restored before the next backup: what is archived without a gap begins at offset 100, and there is no backup'],
    ],
    [
      'not attached for long: once is enough',
      { archived: { ...well, isAttached: false, storedWallMs: nowMs - 45_000 }, nothingForMs: 45_000 },
      ['grave: nothing has been archived for 45 s: its redis hangs up'],
    ],
  ])('%s', (_name, facts, expected) => {
    expect(texts(facts)).toEqual(expected)
  })
})
