/** What a move must not be talked into: giving what was received up to a redis that lost it, an hour that is none, words that send somebody the wrong way. */
import { describe, expect, test } from 'vitest'
import { parseOrder } from '../../src/api/move-routes.ts'
import { findAddress } from '../../src/decide/address.ts'
import { decide } from '../../src/decide/decide.ts'
import { explainGroup } from '../../src/decide/explain.ts'
import type { Move, MoveOrder } from '../../src/model/move.ts'
import type { Request, SourceProbe } from '../../src/model/view.ts'
import { facts, moveOf, peer, policy, primaryFacts, probe, state, view, vrrp, word } from './builders.ts'

const source = { host: '10.0.0.9', port: 6379 }
const received = facts({ upstream: source, replid: 'id-old', runId: 'run-a' })
const old = primaryFacts({ runId: 'run-old', replid: 'id-old' })

function move(more: Partial<Move> = {}): Move {
  return moveOf({ source, epoch: 1, rev: 1, ...more })
}

const receiving = (more: Partial<Move> = {}) => state('a', { phase: 'receiving', move: move(more) })

function request(order: MoveOrder): Request {
  return { id: 'request-2', kind: 'move', to: null, dryRun: false, by: 'somebody', move: order } as Request
}

function seen(its = old): SourceProbe {
  return { facts: its, factsAgeMs: 0, trouble: null, held: false, raised: false, goAhead: false }
}

const others = [peer(word('b', { redis: facts({ replid: 'id-old' }) }))]

function asked(order: MoveOrder, more: Partial<Move>, own = received) {
  return decide(receiving(more), view('a', others, { request: request(order), redis: probe({ facts: own }), source: seen() }), policy())
}

describe('a move that was called off is begun again', () => {
  const standing = { ...received, upstream: { host: '127.0.0.1', port: 1 }, linkUp: false }
  const again = (from: typeof old, overwrite: string | null = null) =>
    asked({ verb: 'start', source, seen: from, overwrite }, { stage: 'aborted' }, standing).next.results.at(-1)

  test('from the same redis, or one that goes on with its history: what was received is a copy of it', () => {
    expect(again({ ...old, offset: 2000 })).toMatchObject({ ok: true })
    expect(again({ ...old, runId: 'run-new', replid: 'id-new', replid2: 'id-old', secondOffset: 1001 })).toMatchObject({ ok: true })
  })

  test('from one that came back empty, or from an older disk: not without a word (INV-1)', () => {
    const refused = { ok: false, message: expect.stringContaining('--overwrite run-a') as unknown }
    expect(again({ ...old, runId: 'run-new', replid: 'id-new', keys: 0, offset: 0 })).toMatchObject(refused)
    expect(again({ ...old, runId: 'run-new', offset: 500 })).toMatchObject(refused)
    expect(again({ ...old, runId: 'run-new', replid: 'id-new', keys: 0 }, 'run-a')).toMatchObject({ ok: true })
  })
})

test('a source that came back empty: the way out is told in words that can be typed', () => {
  const empty = { ...old, runId: 'run-new', replid: 'id-new', keys: 0, offset: 0 }
  const { because } = decide(receiving(), view('a', others, { redis: probe({ facts: received }), source: seen(empty) }), policy())
  expect(because).toContain('holdfast failover sessions --to a --force')
})

test('what is final is what its file says: the role first, then the file', () => {
  const { actions } = decide(
    state('a', { phase: 'primary', move: move({ stage: 'moved' }) }),
    view('a', others, { request: request({ verb: 'commit' }), redis: probe({ facts: primaryFacts() }), source: seen() }),
    policy(),
  )
  const orders = actions.flatMap((a) => (a.kind === 'source' ? [a.order.do] : []))
  expect(orders).toEqual(['demote', 'settle'])
})

test('a source that is gone when the move is made final: nobody says that it refuses writes', () => {
  const { next, actions } = decide(
    state('a', { phase: 'primary', move: move({ stage: 'moved' }) }),
    view('a', others, {
      request: request({ verb: 'commit' }),
      redis: probe({ facts: primaryFacts() }),
      source: { ...seen(), trouble: 'connect ECONNREFUSED' },
    }),
    policy(),
  )
  expect(next.move).toMatchObject({ stage: 'done', last: expect.stringContaining('see to it that it does not come back as a primary') as unknown })
  expect(actions.filter((a) => a.kind === 'source')).toEqual([])
})

test.each<[Move['stage'], MoveOrder, RegExp]>([
  ['sync', { verb: 'commit' }, /the cut-over is still to come \(holdfast migrate cutover sessions\)/],
  ['aborted', { verb: 'cutover', unverified: true }, /called off; it is begun again by holdfast migrate start/],
  ['aborted', { verb: 'arm', armed: null, unverified: true }, /no cut-over to postpone: it was called off/],
  ['aborted', { verb: 'rollback', acceptLoss: false }, /called off/],
])('%s: another order is refused in words that lead on', (stage, order, words) => {
  const standing = { ...received, upstream: { host: '127.0.0.1', port: 1 }, linkUp: false }
  expect(asked(order, { stage }, stage === 'sync' ? received : standing).next.results.at(-1)).toMatchObject({
    ok: false,
    message: expect.stringMatching(words) as unknown,
  })
})

test('a go-ahead file that lies there before it is waited for is of another time', () => {
  const armed = { fromWallMs: null, onFile: true, untilWallMs: null }
  const { next } = decide(
    receiving(),
    view('a', others, {
      request: request({ verb: 'arm', armed, unverified: true }),
      redis: probe({ facts: received }),
      source: { ...seen(), goAhead: true, goAheadFile: '/run/cut-over' },
    }),
    policy(),
  )
  expect([next.move?.armed, next.results.at(-1)]).toMatchObject([null, { ok: false, message: expect.stringContaining('already (/run/cut-over)') as unknown }])
})

test('a time that no calendar has is no order: telling it would fail in every cycle from then on', () => {
  const at = (fromWallMs: number | null, untilWallMs: number | null) =>
    parseOrder({ verb: 'arm', armed: { fromWallMs, onFile: fromWallMs === null, untilWallMs }, unverified: true })
  expect(at(1_700_000_000_000, 1_800_000_000_000)).not.toBeNull()
  expect([at(null, 3.6e17), at(1e300, null)]).toEqual([null, null])
})

describe('while another redis serves', () => {
  test('nobody here would be promoted, and explain says so', () => {
    const told = explainGroup(receiving(), view('a', others, { redis: probe({ facts: received }), source: seen() }), policy())
    expect(told).toMatchObject({
      primary: null,
      successor: null,
      wouldHappen: expect.stringMatching(/^nothing: 10\.0\.0\.9:6379 serves the clients/) as unknown,
    })
    expect(told.loss?.oneHost).toContain('there is no primary')
  })

  test('its address is no stranger: nobody is told to take it off there', () => {
    const holder = peer(word('a', { phase: 'receiving', redis: received, vipMac: 'mac-a' }))
    const keepalived = vrrp({ mac: 'mac-b', answerers: [{ mac: 'mac-old', hosts: [] }] })
    expect(findAddress(state('b', { move: move() }), view('b', [holder], { keepalived }), policy())).toMatchObject({ word: 'unknown' })
  })
})
