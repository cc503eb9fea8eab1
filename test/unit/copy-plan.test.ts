/** Before a copy begins: by which way, what it does not promise, what stops it. While it goes on: when it is near, and how the end is proven. */
import { describe, expect, test } from 'vitest'
import { copyPlanOf, isCopyId, type CopyFacts, type CopyWish } from '../../src/migrate/copy-plan.ts'
import { isNear, proofFor } from '../../src/migrate/copy-rounds.ts'
import { patternsFor, tellsBy, touchedBy } from '../../src/migrate/events.ts'
import type { Target } from '../../src/migrate/facts.ts'
import { redis, source, target } from './migration-facts.ts'

const facts: CopyFacts = { dumps: true, tells: 'all', tellsWhy: '' }
const wish: CopyWish = { accepted: [], overwrite: null, way: null }
const all = ['L1', 'L2', 'L3', 'L4', 'L5', 'L6']

describe('the way', () => {
  const wayOf = (from: string, to: Target, more: Partial<CopyFacts> = {}, way: CopyWish['way'] = null): string => {
    const plan = copyPlanOf(source(from), to, { ...facts, ...more }, { ...wish, way })
    return `${plan.way}: ${plan.wayWhy}`
  }
  test('by DUMP where every member reads it; by elements where one does not, or DUMP is refused, or it is asked for', () => {
    expect(wayOf('7.0.15', target('7.2.4'))).toBe('dump: format 10 of the RDB, which every member reads')
    expect(wayOf('8.0.1', target('7.0.15'))).toMatch(/^logical: .*format 12 .*redis 7.0.15 of red-a does not read/)
    expect(wayOf('7.4.1', target('valkey 8.1.0'))).toMatch(/^logical: .*valkey 8.1.0/)
    expect(wayOf('valkey 8.1.0', target('7.2.4'))).toMatch(/^dump/)
    expect(wayOf('7.0.15', target('7.2.4'), { dumps: false })).toMatch(/refuses DUMP/)
    expect(wayOf('7.0.15', target('7.2.4'), {}, 'logical')).toMatch(/asked for/)
    expect(wayOf('7.0.15', target('7.2.4'), { dumps: false }, 'dump')).toMatch(/^logical/)
  })

  test('one replica that does not read it is enough: what the primary is written goes to it as it stands', () => {
    const mixed = target('7.2.4')
    const [first, second] = mixed.members
    if (first === undefined || second === undefined) throw new Error('two members')
    const to: Target = { ...mixed, members: [first, { host: 'red-b', redis: { ok: true, value: redis('6.2.1', { keys: 0, runId: '2'.repeat(40) }) } }] }
    expect(wayOf('7.0.15', to)).toMatch(/^logical: .*redis 6.2.1 of red-b/)
  })

  test('what the source itself writes counts before the table', () => {
    const from = source('7.0.15', { rdbFormat: { ok: true, value: 11 } })
    expect(copyPlanOf(from, target('7.0.15'), facts, wish).way).toBe('logical')
  })
})

describe('what is told before', () => {
  test('each limit that there is, and no other; accepted one by one', () => {
    const none = copyPlanOf(source('7.0.15'), target('7.2.4'), facts, wish)
    expect(none.limits.map(({ id }) => id)).toEqual(all)
    expect(none.open).toEqual(all)
    const blind = { ...facts, dumps: false, tells: 'unknown', tellsWhy: 'it may not be asked' } as const
    const plan = copyPlanOf(source('6.0.2'), target('7.2.4'), blind, { ...wish, accepted: ['l1', ...all.slice(1)] })
    expect(plan.open).toEqual(['L7', 'L8'])
    expect(plan.limits.find(({ id }) => id === 'L7')?.words).toMatch(/^it may not be asked/)
    expect(plan.limits.find(({ id }) => id === 'L2')?.words).toMatch(/before 7.0/)
  })

  test('modules: told where there are some or they may not be asked for', () => {
    const withOne = copyPlanOf(source('7.0.15', { modules: { ok: true, value: ['ReJSON'] } }), target('7.2.4'), facts, wish)
    expect(withOne.limits.at(-1)).toMatchObject({ id: 'L9', words: expect.stringContaining('ReJSON') })
    const unasked = copyPlanOf(source('7.0.15', { modules: { ok: false, why: 'NOPERM' } }), target('7.2.4'), facts, wish)
    expect(unasked.limits.at(-1)).toMatchObject({ id: 'L9', words: expect.stringContaining('NOPERM') })
    // A source that tells nothing of PSYNC, forks and buffers is no matter of a copy.
    expect(withOne.traps.map(({ id }) => id)).toEqual(['P2', 'P3', 'P11', 'P12', 'P17'])
  })

  test('red is not accepted: a target with data, fewer databases, a replica, a cluster', () => {
    const red = (from: ReturnType<typeof source>, to: Target): readonly string[] =>
      copyPlanOf(from, to, facts, { ...wish, accepted: ['P2', 'P3'] }).red.map(({ id }) => id)
    expect(red(source('7.0.15'), target('7.2.4', { keys: 3 }))).toEqual(['P17'])
    expect(red(source('7.0.15'), { ...target('7.2.4'), externalSentinels: true }), 'it follows nobody').toEqual([])
    expect(red(source('7.0.15', { highestDb: 20 }), target('7.2.4'))).toEqual(['P2'])
    expect(red(source('7.0.15', { role: 'replica', upstream: { host: 'x', port: 1 } }), target('7.2.4'))).toEqual(['P11'])
    expect(red(source('7.0.15', { isCluster: true }), target('7.2.4'))).toEqual(['P11'])
    const runId = '1'.repeat(40)
    expect(copyPlanOf(source('7.0.15'), target('7.2.4', { keys: 3 }), facts, { ...wish, overwrite: runId }).red).toEqual([])
  })

  test('what is accepted and is not there is told; what no copy knows is no id', () => {
    expect(copyPlanOf(source('7.0.15'), target('7.2.4'), facts, { ...wish, accepted: ['L7', 'L9', 'P3'] }).needless).toEqual(['L7', 'P3'])
    expect(['L1', 'l9', 'P2', 'P17', 'P11', 'P6', 'L10', ''].map(isCopyId)).toEqual([true, true, true, false, false, false, false, false])
  })
})

describe('what a source tells of its writes', () => {
  test.each([
    [null, 'unknown'],
    ['', 'nothing'],
    ['A', 'nothing'],
    ['KA', 'all'],
    ['AE', 'all'],
    ['Kg$lshzxet', 'all'],
    ['Kg$', 'some'],
    ['Em', 'nothing'],
  ] as const)('%j: %s', (setting, tells) => expect(tellsBy(setting)).toBe(tells))

  test('one of the two ways is listened to, both where nothing is known; a key may be any bytes', () => {
    expect([patternsFor('KEA'), patternsFor('EA'), patternsFor(null), patternsFor('')]).toEqual([
      ['__keyspace@*__:*'],
      ['__keyevent@*__:*'],
      ['__keyspace@*__:*', '__keyevent@*__:*'],
      [],
    ])
    expect(touchedBy('__keyspace@11__:a:\xff__:b', 'set')).toEqual({ database: 11, key: 'a:\xff__:b' })
    expect(touchedBy('__keyevent@0__:set', 'a')).toEqual({ database: 0, key: 'a' })
    expect(touchedBy('other', 'a')).toBeNull()
  })
})

describe('rounds', () => {
  const rounds = (...differ: readonly number[]) => differ.map((one) => ({ keys: 100_000, differ: one, tookMs: 1000 }))
  test('near is few, or as many as the last time: that is what is written in the time of a round', () => {
    expect(isNear([])).toBe(false)
    expect(isNear(rounds(100))).toBe(true)
    expect(isNear(rounds(9000))).toBe(false)
    expect(isNear(rounds(9000, 3000))).toBe(false)
    expect(isNear(rounds(9000, 3000, 2900))).toBe(true)
    expect(isNear(rounds(...Array.from({ length: 12 }, (_, i) => 100_000 * 0.7 ** i)))).toBe(true)
  })

  test('all keys, where they fit into the pause; what was touched, where all of that was told; else neither', () => {
    expect(proofFor(1e9, null, null, false)).toBe('all')
    expect(proofFor(100_000, null, 10_000, true)).toBe('all')
    expect(proofFor(1_000_000, null, 10_000, true)).toBe('touched')
    expect(proofFor(1_000_000, null, 10_000, false)).toBe('neither')
    expect(proofFor(350_000, null, 10_000, false)).toBe('all')
    expect(proofFor(1_000_000, 200_000, 10_000, false)).toBe('all')
  })
})
