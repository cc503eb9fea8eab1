/** The way back of a source that is fed: what is known of it in one cycle, and what must not come of it. */
import { describe, expect, test } from 'vitest'
import { decide } from '../../src/decide/decide.ts'
import type { Decision } from '../../src/model/decision.ts'
import { fedReplid, nothingUntold, type FeedPoint, type FeedSeen } from '../../src/model/feed.ts'
import type { Move, MoveOrder } from '../../src/model/move.ts'
import type { RedisFacts, SourceProbe } from '../../src/model/view.ts'
import { entry, facts, moveOf, nowMs, peer, policy, primaryFacts, probe, state, view, vrrp, word } from './builders.ts'

const source = { host: '10.0.0.9', port: 6379 }
const nobody = { host: '127.0.0.1', port: 1 }
const cutOver: FeedPoint = { replid: 'id-old', offset: 900, fed: 900, database: null, untold: nothingUntold }
const point: FeedPoint = { ...cutOver, replid: 'id-now', offset: 1000, fed: 5000 }
const feed: FeedSeen = { port: 40_001, point, anchor: point, trouble: null }
const move = moveOf({
  source,
  epoch: 3,
  stage: 'moved',
  stageMs: nowMs - 20,
  heldFromMs: nowMs - 30,
  equalOffset: 1000,
  wayBack: 'feed',
  feed: { version: '6.0.16', anchors: [cutOver], atWallMs: 0, errors: 7 },
})
const lineage = [
  entry(2, 'a', 0, { replid: 'id-old', source: 'migration', accepted: true, continues: { epoch: 0, offset: 0, atLeast: 0 } }),
  entry(3, 'a', 901, { replid: 'id-now', source: 'migration' }),
]
const serving = primaryFacts({ runId: 'run-a', replid: 'id-now' })
const mine = facts({ runId: 'run-a', replid: 'id-now', upstream: nobody, linkUp: false })
const old = facts({ runId: 'run-old', replid: fedReplid('id-now'), offset: 5000, upstream: { host: 'ip-a', port: 40_001 }, unexpectedErrors: 7 })

interface Seen {
  readonly own?: RedisFacts
  readonly old?: Partial<RedisFacts>
  readonly feed?: Partial<FeedSeen> | null
  readonly move?: Partial<Move>
  readonly order?: MoveOrder
}

function at(stage: Move['stage'], seen: Seen = {}): Decision {
  const its: Move = { ...move, stage, ...seen.move }
  const isBack = stage === 'back-hold' || stage === 'moved'
  const before = state('a', { phase: isBack ? 'primary' : 'receiving', epoch: 3, lineage, move: its, servingRunId: 'run-a' })
  const fed = seen.feed === null ? {} : { feed: { ...feed, ...seen.feed } }
  const sourceProbe: SourceProbe = { facts: { ...old, ...seen.old }, factsAgeMs: 1, trouble: null, held: false, raised: false, goAhead: false, ...fed }
  const others = [peer(word('b', { epoch: 3, redis: facts({ replid: 'id-now' }), move: its }))]
  const request = seen.order === undefined ? {} : { request: { id: 'request-9', by: 'test', kind: 'move' as const, to: null, dryRun: false, move: seen.order } }
  const given = { redis: probe({ facts: seen.own ?? (isBack ? serving : mine), factsAgeMs: 1 }), source: sourceProbe, keepalived: vrrp(), ...request }
  return decide(before, view('a', others, given), policy())
}

const orders = ({ actions }: Decision): readonly unknown[] => actions.flatMap((a) => (a.kind === 'source' ? [a.order] : []))
const lossy = { point: { ...point, untold: { count: 2, first: ['VADD v: it has no such command'] } } }

test('it is led to its feed, wherever that listens by now, and to nobody while there is none', () => {
  expect(orders(at('moved'))).toEqual([])
  expect(orders(at('moved', { feed: { port: 40_002 } }))).toEqual([{ do: 'follow', host: 'ip-a', port: 40_002 }])
  expect(orders(at('moved', { feed: { port: null } }))).toEqual([])
  expect(orders(at('moved', { feed: null, old: { upstream: nobody } }))).toEqual([])
})

test('its file is written while it is a replica of nobody: another may listen at that port when it is started anew', () => {
  const settling = at('moved', { move: { settled: false } })
  expect(orders(settling)).toEqual([{ do: 'kill-clients' }, { do: 'demote' }, { do: 'settle' }, { do: 'follow', host: 'ip-a', port: 40_001 }])
})

test('where it stands is remembered by all, now and then', () => {
  const remembered = at('moved', { move: { feed: { version: '6.0.16', anchors: [cutOver], atWallMs: -10_000, errors: 7 } } })
  expect(remembered.next.move?.feed?.anchors).toEqual([cutOver, point])
  expect(remembered.next.move?.rev).toBe(6)
})

test('that it is not fed is told when it lasts', () => {
  const told = (troubleMs: number) => at('moved', { feed: { trouble: 'the backlog is over', troubleMs } }).events.filter(({ kind }) => kind === 'alarm')
  expect(told(9000)).toEqual([])
  expect(told(11_000)).toMatchObject([{ text: expect.stringMatching(/is not fed.*no way back that loses nothing: the backlog is over/) as unknown }])
})

describe('rollback', () => {
  const rollback = (seen: Seen, acceptLoss?: boolean) =>
    at('moved', { ...seen, order: { verb: 'rollback', ...(acceptLoss === undefined ? {} : { acceptLoss }) } })

  test('writes are held where it has nearly all', () => {
    expect(rollback({ old: { offset: 4990 } }).next.move?.stage).toBe('back-hold')
  })

  test.each<[string, Seen, RegExp]>([
    ['the feed has not begun', { feed: null }, /is not fed yet/],
    ['it cannot go on', { feed: { trouble: 'the backlog is over' } }, /keeps what it has: the backlog is over/],
    [
      'some of it could not be told',
      { feed: lossy },
      /2 writes could not be told to the old redis \(VADD v: it has no such command; …\), and are lost.*--accept-loss/,
    ],
    ['it refused some of it', { old: { unexpectedErrors: 9 } }, /2 commands were refused by it/],
    ['it is far behind', { old: { offset: -2_000_000 } }, /bytes behind/],
    ['its link is down', { old: { linkUp: false } }, /link .* is not up/],
  ])('%s: not taken up', (_why, seen, words) => {
    const decision = rollback(seen)
    expect([decision.next.move?.stage, decision.next.results.at(-1)]).toEqual([
      'moved',
      expect.objectContaining({ ok: false, message: expect.stringMatching(words) as unknown }),
    ])
  })

  test('what could not be told is given up by whoever says so', () => {
    expect(rollback({ feed: lossy }, true).next.move?.stage).toBe('back-hold')
  })
})

describe('writes are held', () => {
  test('it has all, to the byte: this redis refuses writes', () => {
    const decision = at('back-hold')
    expect([decision.next.move?.stage, decision.next.move?.equalOffset]).toEqual(['back-fence', 1000])
  })

  test.each<[string, Seen]>([
    ['the same number, of its own bytes', { old: { offset: 1000 } }],
    ['it is a byte behind', { old: { offset: 4999 } }],
    ['the feed has not come so far', { feed: { point: { ...point, offset: 990, fed: 5000 } } }],
    ['what was made of another history', { old: { replid: fedReplid('id-other') } }],
    ['nothing is known', { feed: null }],
  ])('%s: waited for', (_why, seen) => {
    expect(at('back-hold', seen).next.move?.stage).toBe('back-hold')
  })

  test('keys are counted where nothing was lost', () => {
    expect(at('back-hold', { old: { keys: 11 } }).next.move?.stage).toBe('moved')
    expect(at('back-hold', { old: { keys: 11 }, feed: lossy }).next.move?.stage).toBe('back-fence')
  })
})

test('the feed has ended with this redis as a primary: what it told is still true, and the source is told to serve', () => {
  expect(orders(at('back-fence', { feed: { port: null, trouble: 'this host is receiving' }, old: { linkUp: false } }))).toEqual([{ do: 'promote' }])
  expect(orders(at('back-fence', { feed: null }))).toEqual([])
  expect(orders(at('back-fence', { old: { offset: 4999 } }))).toEqual([])
})
