/** The standing rules around every decision: who may hold the address, who yields, what becomes of a request. */
import { describe, expect, test } from 'vitest'
import type { Action } from '../../src/model/action.ts'
import { decide } from '../../src/decide/decide.ts'
import { entry, facts, nowMs, peer, policy, primaryFacts, probe, silent, state, view, vrrp, word } from './builders.ts'

const serving = peer(word('a', { phase: 'primary', redis: primaryFacts() }))
const kinds = (actions: readonly Action[]) =>
  actions.map((a) => (a.kind === 'vip' ? `vip ${a.allowed}` : a.kind === 'vrrp-yield' ? `yield ${a.yields}` : a.kind))
const primaryState = state('a', { phase: 'primary', servingRunId: 'run-1', lineage: [entry(1, 'a', 0)] })
const primaryRedis = probe({ facts: primaryFacts() })

describe('the address', () => {
  test('a fit replica waits with open arms', () => {
    expect(kinds(decide(state('b'), view('b', [serving], { keepalived: vrrp({ allowed: false }) }), policy()).actions)).toEqual(['vip true'])
    expect(decide(state('b'), view('b', [serving]), policy()).actions).toEqual([])
  })

  test('one that is not fit does not', () => {
    expect(kinds(decide(state('b'), view('b', [serving], { redis: probe({ facts: facts({ syncing: true, linkUp: false }) }) }), policy()).actions)).toEqual([
      'vip false',
    ])
  })

  test('one that gave a stray address back waits a while', () => {
    const held = state('b', { vipHoldOffUntilMs: nowMs + 1 })
    expect(kinds(decide(held, view('b', [serving]), policy()).actions)).toEqual(['vip false'])
    expect(decide(held, view('b', [serving], { nowMs: nowMs + 1 }), policy()).actions).toEqual([])
  })

  test('it is unclear who serves: nothing is withdrawn, but who is fit stands for it (only then VRRP can tell it anything)', () => {
    const unclear = [silent('a', { redisReach: 'answers' })]
    expect(decide(state('b'), view('b', unclear), policy()).actions).toEqual([])
    expect(kinds(decide(state('b'), view('b', unclear, { keepalived: vrrp({ allowed: false }) }), policy()).actions)).toEqual(['vip true'])
    expect(kinds(decide(state('b', { vipHoldOffUntilMs: nowMs + 1 }), view('b', unclear, { keepalived: vrrp({ allowed: false }) }), policy()).actions)).toEqual(
      [],
    )
    expect(
      kinds(
        decide(
          state('b', { partial: true }),
          view('b', unclear, { keepalived: vrrp({ allowed: false }), redis: probe({ facts: facts({ linkUp: false, linkDownS: 0 }) }) }),
          policy(),
        ).actions,
      ),
    ).toEqual([])
  })

  test('a crash: the address is given up first of all', () => {
    const decision = decide(
      primaryState,
      view('a', [peer(word('b'))], { redis: probe({ process: false, facts: primaryFacts() }), keepalived: vrrp({ vipHere: true, vrrp: 'MASTER' }) }),
      policy(),
    )
    expect(kinds(decision.actions)).toEqual(['vip false'])
    expect(decision.next).toMatchObject({ phase: 'fenced', gone: { epoch: 1 } })
  })

  test('a crash in the middle of a save: what was forked has the sockets of the clients, and ends before the address goes', () => {
    const orphans = [{ pid: 7, startTicks: '1' }]
    const crashed = { redis: probe({ process: false, facts: primaryFacts(), orphans }), keepalived: vrrp({ vipHere: true, vrrp: 'MASTER' }) }
    expect(kinds(decide(primaryState, view('a', [peer(word('b'))], crashed), policy()).actions)).toEqual(['end-orphans', 'vip false'])
  })

  test('a hang: killed first, because a FIN can only leave from an address that is still here', () => {
    const decision = decide(
      primaryState,
      view('a', [peer(word('b'))], { redis: probe({ facts: primaryFacts(), factsAgeMs: 4000, unansweredMs: 3000 }) }),
      policy(),
    )
    expect(kinds(decision.actions)).toEqual(['kill-redis', 'vip false'])
  })

  test('a group without an address: never an action about one', () => {
    const rules = { ...policy(), hasVip: false }
    expect(decide(state('b'), view('b', [serving], { keepalived: null }), rules).actions).toEqual([])
  })
})

describe('a primary that hears nobody', () => {
  const seen = (silentMs: number, yields: boolean) => view('a', [silent('b', { silentMs })], { redis: primaryRedis, keepalived: vrrp({ yields }) })

  test('yields in VRRP, keeps the address and goes on serving', () => {
    const decision = decide(primaryState, seen(500, false), policy())
    expect(kinds(decision.actions)).toEqual(['yield true'])
    expect(decision.next.phase).toBe('primary')
    expect(kinds(decide(primaryState, seen(499, false), policy()).actions)).toEqual([])
  })

  test('until it hears somebody again', () => {
    expect(kinds(decide(primaryState, seen(9000, true), policy()).actions)).toEqual([])
    expect(kinds(decide(primaryState, view('a', [peer(word('b'))], { redis: primaryRedis, keepalived: vrrp({ yields: true }) }), policy()).actions)).toEqual([
      'yield false',
    ])
  })

  test('a refusal is an answer: that host is there', () => {
    expect(kinds(decide(primaryState, view('a', [silent('b', { agent: 'refused' })], { redis: primaryRedis }), policy()).actions)).toEqual([])
  })
})

test('a claimed promotion is given up when a full sync has begun meanwhile, or another process answers (INV-4)', () => {
  const claimed = state('b', { phase: 'promoting', epoch: 2, holder: 'b', servingRunId: 'run-1', claim: { source: 'failover', why: 'x' } })
  const at = (redis: Parameters<typeof facts>[0]) =>
    decide(claimed, view('b', [silent('a')], { redis: probe({ facts: facts({ linkUp: false, linkDownS: 0, ...redis }) }) }), policy())
  expect(kinds(at({}).actions)).toEqual(['promote'])
  for (const redis of [{ syncing: true }, { runId: 'run-2' }]) {
    expect(at(redis).next.phase).toBe('fenced')
    expect(kinds(at(redis).actions)).not.toContain('promote')
  }
})

describe('requests', () => {
  const ask = (kind: 'pause' | 'resume' | 'switchover' | 'failover' | 'reinit', more = {}) => ({
    id: 'q',
    kind,
    to: null,
    by: 'anna',
    dryRun: false,
    ...more,
  })

  test('pause is later than what was known, even by a clock that is behind', () => {
    const known = state('b', { paused: { on: false, atWallMs: 1_900_000_000_000, by: 'bob' } })
    expect(decide(known, view('b', [serving], { request: ask('pause') }), policy()).next.paused).toEqual({ on: true, atWallMs: 1_900_000_000_001, by: 'anna' })
  })

  test('whatever is asked, it is answered', () => {
    for (const kind of ['pause', 'resume', 'switchover', 'failover', 'reinit'] as const) {
      for (const dryRun of [true, false]) {
        for (const [host, seen] of [
          [state('b'), view('b', [serving])],
          [primaryState, view('a', [peer(word('b'))], { redis: primaryRedis })],
          [state('b'), view('b', [silent('a')])],
        ] as const) {
          const { next } = decide(host, { ...seen, request: ask(kind, { dryRun }) }, policy())
          expect([kind, next.results.some((r) => r.id === 'q') || next.handover?.id === 'q']).toEqual([kind, true])
        }
      }
    }
  })

  test('a dry run changes nothing but the answer', () => {
    for (const kind of ['switchover', 'failover', 'reinit'] as const) {
      const { next, actions } = decide(state('b'), view('b', [serving], { request: ask(kind, { dryRun: true }) }), policy())
      expect([kind, { ...next, results: [] }, actions]).toEqual([kind, state('b'), []])
    }
  })

  test('force does not promote half a dataset', () => {
    const decision = decide(
      state('b', { partial: true, partialOf: { replid: 'id-1', offset: 1000, keys: -1 } }),
      view('b', [silent('a')], { redis: probe({ facts: facts({ linkUp: false, linkDownS: 1 }) }), request: ask('failover') }),
      policy(),
    )
    expect(decision.next.results).toMatchObject([{ ok: false, message: expect.stringContaining('part of a dataset') }])
    expect(kinds(decision.actions)).not.toContain('promote')
  })
})

test('the same state and view give the same decision, and neither is changed', () => {
  const given = [state('b', { gone: null }), view('b', [silent('a')], { keepalived: vrrp({ vrrp: 'MASTER', vipHere: true }) })] as const
  const before = JSON.stringify(given)
  const first = decide(...given, policy())
  expect(first.next.phase).toBe('promoting')
  expect(decide(...(JSON.parse(before) as typeof given), policy())).toEqual(first)
  expect(JSON.stringify(given)).toBe(before)
})
