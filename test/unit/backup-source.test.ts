/** From whom a backup is taken: every agent comes to the same host, and in doubt to nobody. */
import { describe, expect, test } from 'vitest'
import { chooseSource, chooseThis, whyStop, type Words } from '../../src/backup/source.ts'
import type { PolicyMember } from '../../src/model/policy.ts'
import type { RedisFacts, Statement } from '../../src/model/view.ts'
import { facts, primaryFacts, word } from './builders.ts'

const member = (host: string, priority: number, more: Partial<PolicyMember> = {}): PolicyMember => ({
  host,
  ip: `ip-${host}`,
  port: 6379,
  priority,
  neverPrimary: false,
  replicateFrom: null,
  ...more,
})
const members = [member('a', 250), member('b', 240), member('c', 230)]
const follower = (host: string, offset = 1000, ackAgeS = 0, online = true) => ({ ip: `ip-${host}`, port: 6379, online, offset, ackAgeS })

const primary = (more: Partial<Statement> = {}, redis: Partial<RedisFacts> = {}): Statement =>
  word('a', { phase: 'primary', redis: primaryFacts({ followers: [follower('b'), follower('c')], ...redis }), ...more })
const replica = (host: string, more: Partial<Statement> = {}, redis: Partial<RedisFacts> = {}): Statement => word(host, { redis: facts(redis), ...more })

function words(...all: readonly Statement[]): Words {
  return new Map(all.map((one) => [one.host, one]))
}

const long = Number.POSITIVE_INFINITY
const choose = (...all: readonly Statement[]) => chooseSource(members, words(...all), long)

describe('whom', () => {
  test('a replica before the primary, the one that is promoted last before the others', () => {
    expect(choose(primary(), replica('b'), replica('c'))).toEqual({
      host: 'c',
      role: 'replica',
      epoch: 1,
      why: 'a replica, 0 bytes behind; the first of 2 that is fit',
    })
  })

  test('one that may never be primary before all others', () => {
    const never = [member('a', 250), member('b', 240, { neverPrimary: true }), member('c', 230)]
    expect(chooseSource(never, words(primary(), replica('b'), replica('c')), 0)).toMatchObject({
      host: 'b',
      why: expect.stringContaining('a replica that may never be primary'),
    })
  })

  test('the one with less lag, by the account of the primary; a megabyte is none', () => {
    const lagging = primary({}, { offset: 9_001_000, followers: [follower('b', 9_000_000), follower('c', 2_000_000)] })
    expect(choose(lagging, replica('b'), replica('c'))).toMatchObject({ host: 'b' })
    const alike = primary({}, { offset: 9_001_000, followers: [follower('b', 9_000_000), follower('c', 8_500_000)] })
    expect(choose(alike, replica('b'), replica('c'))).toMatchObject({ host: 'c' })
  })

  test('among equals the name decides, wherever it is computed', () => {
    const equal = [member('a', 250), member('c', 240), member('b', 240)]
    const one = chooseSource(equal, words(primary(), replica('b'), replica('c')), 0)
    const other = chooseSource(equal.toReversed(), words(replica('c'), replica('b'), primary()), 0)
    expect(one).toMatchObject({ host: 'b' })
    expect(other).toEqual(one)
  })

  test('a primary whose agent is dead is no reason not to: its replica streams, and finds that it serves', () => {
    expect(choose(replica('b'))).toMatchObject({ host: 'b', role: 'replica' })
    expect(choose(replica('b', { seesHolder: 'unclear' }))).toEqual({ host: null, why: 'no primary is heard' })
  })
})

describe('never from', () => {
  test.each<[string, Partial<Statement>, Partial<RedisFacts>, string]>([
    ['one that loads', {}, { loading: true }, 'it is loading its data'],
    ['one in a full sync', {}, { syncing: true }, 'it is in the middle of a full sync'],
    ['one of which half may be there', { partial: true }, {}, 'its data may be partial'],
    ['one that does not answer', { answering: false }, {}, 'its redis does not answer'],
    ['one whose link is down', {}, { linkUp: false }, 'its replication link is down'],
    ['one that refuses', { refuses: true }, {}, 'it refuses to follow'],
    ['one that differs', { trueCopy: false }, {}, 'its data are known to differ'],
    ['one of another history', {}, { replid: 'id-9' }, 'of another history'],
    ['one that is fenced', { phase: 'fenced' }, {}, 'it is fenced'],
    ['one of an older epoch', { epoch: 0 }, {}, 'it has not heard of the present primary'],
    ['one that follows another', { holder: 'c' }, {}, 'it has not heard of the present primary'],
    ['one before redis 4', {}, { replid: '', version: '3.2.0' }, 'has no replication ids'],
    ['one that fills another', {}, { followers: [follower('c', 0, 0, false)] }, 'it is giving c all data'],
  ])('%s', (_name, more, redis, why) => {
    const seen = words(primary(), replica('b', more, redis))

    const choice = chooseSource(members, seen, long)
    expect(choice).toMatchObject({ host: 'a', role: 'primary' })
    expect(choice.why).toContain(why)
    expect(chooseThis('b', members, seen)).toMatchObject({ host: null, why: expect.stringContaining(why) })
  })

  test('one that is far behind, or has not acknowledged for long', () => {
    const behind = primary({}, { offset: 100_000_000, followers: [follower('b', 1000)] })
    expect(choose(behind, replica('b')).why).toContain('b: it is 99999000 bytes behind')
    const mute = primary({}, { followers: [follower('b', 1000, 11)] })
    expect(choose(mute, replica('b')).why).toContain('b: it has acknowledged nothing for 11 s')
  })

  test('the one that a backup is being read from is not taken for one that fills a member', () => {
    const reading = replica('b', {}, { followers: [{ ip: 'ip-b', port: 0, online: false, offset: 0, ackAgeS: 0 }] })
    expect(choose(primary(), reading)).toMatchObject({ host: 'b' })
  })
})

describe('nobody', () => {
  test.each<[string, readonly Statement[], string]>([
    ['hears nothing', [], 'the group has not begun to serve'],
    ['hears no primary', [replica('b', { seesHolder: 'unclear' }), replica('c', { seesHolder: 'unclear' })], 'no primary is heard'],
    [
      'sees a switchover',
      [primary({ phase: 'handing', handover: { id: 'x', to: 'b', epoch: 2, stage: 'prepare' } }), replica('b'), replica('c')],
      'a switchover is under way (a)',
    ],
    ['sees a candidate', [primary(), replica('b', { phase: 'promoting', epoch: 2 }), replica('c')], 'a failover is under way (b)'],
    ['hears that the primary is gone', [primary(), replica('b', { gone: 1 }), replica('c')], 'b finds its primary gone'],
    ['hears that one does not see it any more', [primary(), replica('b'), replica('c', { seesHolder: 'gone' })], 'c finds its primary gone'],
    ['hears two primaries', [primary(), word('b', { phase: 'primary', redis: primaryFacts() }), replica('c')], 'a and b both call themselves primary'],
    ['hears a primary whose redis is down', [primary({ answering: false }), replica('b'), replica('c')], 'the redis of a, the primary, does not answer'],
  ])('%s', (_name, all, why) => {
    expect(choose(...all)).toEqual({ host: null, why })
  })
})

describe('the primary', () => {
  const alone = words(primary())

  test('only after a while: an agent that is started anew costs no fork', () => {
    expect(chooseSource(members, alone, 9_000)).toEqual({ host: null, why: 'no replica is fit yet: b: its agent is not heard; c: its agent is not heard' })
    expect(chooseSource(members, alone, 11_000)).toEqual({
      host: 'a',
      role: 'primary',
      epoch: 1,
      why: 'the primary itself, for no replica is fit: b: its agent is not heard; c: its agent is not heard',
    })
  })

  test('later still while a replica is being filled', () => {
    const filling = words(primary(), replica('b', {}, { syncing: true }))
    expect(chooseSource(members, filling, 60_000)).toMatchObject({ host: null })
    expect(chooseSource(members, filling, 16 * 60_000)).toMatchObject({ host: 'a', role: 'primary' })
  })

  test('at once when an operator names it, or is in no mood to wait', () => {
    expect(chooseThis('a', members, words(primary(), replica('b')))).toEqual({ host: 'a', role: 'primary', epoch: 1, why: 'it was asked for' })
    expect(chooseSource(members, alone, long)).toMatchObject({ host: 'a' })
    expect(chooseThis('x', members, alone)).toEqual({ host: null, why: 'x is no member' })
  })
})

describe('one that was begun', () => {
  test.each<[string, readonly Statement[], string | null]>([
    ['goes on', [primary(), replica('b')], null],
    ['goes on while another agent is started anew', [replica('b', { seesHolder: 'unclear' })], null],
    ['ends when it is promoted', [word('b', { epoch: 2, phase: 'primary', holder: 'b', redis: primaryFacts() })], 'b has become primary'],
    ['ends when it is about to be', [replica('b', { phase: 'promoting', epoch: 2 })], 'a failover is under way (b)'],
    ['ends when it sees its primary gone', [primary(), replica('b', { gone: 1 })], 'b finds its primary gone'],
    ['ends at a switchover', [primary({ handover: { id: 'x', to: 'c', epoch: 2, stage: 'pause' } }), replica('b')], 'a switchover is under way (a)'],
    ['ends when its link is lost', [primary(), replica('b', {}, { linkUp: false })], 'its replication link is down'],
    ['ends when another epoch is served', [primary({ epoch: 2 }), replica('b')], 'epoch 2 is served elsewhere'],
    ['ends with its redis', [primary(), replica('b', { answering: false })], 'its redis does not answer'],
  ])('%s', (_name, all, why) => {
    expect(whyStop('b', 'replica', words(...all))).toBe(why)
  })

  test('from a primary ends when it is none any more', () => {
    expect(whyStop('a', 'primary', words(primary()))).toBeNull()
    expect(whyStop('a', 'primary', words(primary({ phase: 'fenced' })))).toBe('a is primary no more')
  })
})
