/** The steps of a switchover one by one, on both sides; the scenarios have them together. */
import { describe, expect, test } from 'vitest'
import { decide } from '../../src/decide/decide.ts'
import type { Handover, State } from '../../src/model/state.ts'
import type { Statement, View } from '../../src/model/view.ts'
import { entry, facts, nowMs, peer, policy, primaryFacts, probe, silent, state, view, word } from './builders.ts'

const handover: Handover = { id: 'h1', to: 'b', epoch: 2, stage: 'pause', startedWallMs: 0, stageMs: nowMs - 20, deadlineMs: nowMs + 480 }
const handing = state('a', { phase: 'handing', servingRunId: 'run-1', lineage: [entry(1, 'a', 0)], handover })
const ready = (more: Partial<Statement> = {}) => peer(word('b', { preparedId: 'h1', ...more }))
const redis = probe({ facts: primaryFacts() })
const at = (before: State, b = ready(), more: Partial<View> = {}) => decide(before, view('a', [b], { redis, ...more }), policy())

describe('the old primary', () => {
  test('waits for the agreement, then stops new connections and writes', () => {
    const preparing = { ...handing, handover: { ...handover, stage: 'prepare' as const } }
    expect(at(preparing, ready({ preparedId: null })).next.handover?.stage).toBe('prepare')
    const paused = at(preparing)
    expect(paused.actions.map((a) => a.kind)).toEqual(['refuse-connections', 'pause-writes', 'poke'])
    expect(paused.next.handover).toMatchObject({ stage: 'pause', deadlineMs: nowMs + 500 })
  })

  test('equal offsets, measured after the pause: the epoch is given away and writes are refused', () => {
    const decision = at(handing)
    expect(decision.next).toMatchObject({ phase: 'handed', epoch: 2, holder: 'b' })
    expect(decision.actions.map((a) => a.kind)).toEqual(['soft-fence'])
  })

  test.each<[string, ReturnType<typeof ready>, Partial<View>]>([
    ['the target has less', ready({ redis: facts({ offset: 999 }) }), {}],
    ['the own offset was measured before the pause', ready(), { redis: probe({ facts: primaryFacts(), factsAgeMs: 25 }) }],
    ['the link of the target is down', ready({ redis: facts({ linkUp: false }) }), {}],
    ['the target is not fit any more', ready({ fit: false }), {}],
  ])('%s: it goes on waiting', (_what, b, more) => {
    expect(at(handing, b, more).next.phase).toBe('handing')
  })

  test('no quorum has heard it for the length of its lease: the epoch is not given away, for another may have been elected', () => {
    const voted = { ...policy('a', 'b'), witness: 'w', voters: 3, quorum: 2, leased: true }
    const given = (contactMs: number) => decide(handing, view('a', [{ ...ready(), contactMs }, silent('w')], { redis }), voted)
    expect(given(119).next).toMatchObject({ phase: 'handed', epoch: 2, holder: 'b' })
    const held = given(120)
    expect(held.next).toMatchObject({ phase: 'primary', epoch: 1, holder: 'a', handover: null, writesHeldSinceMs: nowMs })
    expect(held.actions.map((a) => a.kind)).toEqual(['pause-writes', 'accept-connections'])
  })

  test.each<[string, State, ReturnType<typeof ready>, Partial<View>, RegExp]>([
    ['over its deadline', { ...handing, handover: { ...handover, deadlineMs: nowMs - 1 } }, ready(), {}, /max_pause_ms/],
    ['its pause was not carried out', handing, ready(), { actedAll: false }, /could not be paused/],
    ['the target is another redis process by now', handing, ready({ preparedId: null }), {}, /was restarted/],
    ['the target is not heard', handing, ready(), { peers: [{ ...ready(), agent: 'silent' }] }, /not heard/],
    ['its own agent was restarted', handing, ready(), { agentUptimeMs: 10 }, /restarted in the middle/],
  ])('%s: taken back, writes go on', (_what, before, b, more, why) => {
    const decision = at(before, b, more)
    expect(decision.next).toMatchObject({ phase: 'primary', epoch: 1, handover: null, results: [{ id: 'h1', ok: false, message: expect.stringMatching(why) }] })
    expect(decision.actions.map((a) => a.kind)).toEqual(['resume-writes', 'accept-connections'])
  })
})

describe('who has handed over', () => {
  const handed = state('a', { phase: 'handed', epoch: 2, holder: 'b', handover: { ...handover, stage: 'handed' } })
  const own = { redis: probe({ facts: facts({ upstream: { host: '127.0.0.1', port: 1 }, linkUp: false, linkDownS: 0 }) }) }
  const idle = peer(word('b', { epoch: 2, holder: 'b' }))
  const phaseAfter = (sinceMs: number, b = idle, more: Partial<View> = {}) =>
    decide({ ...handed, handover: { ...handover, stage: 'handed', stageMs: nowMs - sinceMs } }, view('a', [b], { ...own, ...more }), policy()).next.phase

  test('waits a second for the target to serve, then takes it back from one that says it does not', () => {
    expect(phaseAfter(999)).toBe('handed')
    expect(phaseAfter(1000)).toBe('fenced')
  })

  test('never from one that is not heard, however long', () => {
    expect(phaseAfter(50_000, { ...idle, agent: 'silent', redisReach: 'answers' })).toBe('handed')
  })

  test('after a restart of its host the clock begins anew: it waits its second, and no longer', () => {
    expect(phaseAfter(-5_000_000, idle, { agentUptimeMs: 999 })).toBe('handed')
    expect(phaseAfter(-5_000_000, idle, { agentUptimeMs: 1000 })).toBe('fenced')
    expect(phaseAfter(9_000_000, idle, { agentUptimeMs: 999 })).toBe('handed')
  })
})

describe('the target', () => {
  const offer = (stage: 'prepare' | 'pause') => peer(word('a', { phase: 'handing', redis: primaryFacts(), handover: { id: 'h1', to: 'b', epoch: 2, stage } }))
  const given = (more: Partial<Statement> = {}) =>
    peer(word('a', { epoch: 2, holder: 'b', phase: 'handed', redis: facts(), handover: { id: 'h1', to: 'b', epoch: 2, stage: 'handed' }, ...more }))
  const agreed = state('b', { prepared: { id: 'h1', from: 'a', epoch: 2, runId: 'run-1' } })
  const sees = (before: State, a: ReturnType<typeof offer>, more: Partial<View> = {}) => decide(before, view('b', [a], more), policy())

  test('agrees, durably and with the process that it has; forgets it when the offer is gone', () => {
    expect(sees(state('b'), offer('prepare')).next.prepared).toEqual({ id: 'h1', from: 'a', epoch: 2, runId: 'run-1' })
    expect(sees(agreed, peer(word('a', { phase: 'primary', redis: primaryFacts() }))).next.prepared).toBeNull()
  })

  test('an offer to another is none', () => {
    expect(sees(state('b'), peer(word('a', { phase: 'handing', handover: { id: 'h1', to: 'c', epoch: 2, stage: 'prepare' } }))).next.prepared).toBeNull()
  })

  test('serves when the old primary is seen to refuse writes, or to be dead', () => {
    for (const a of [given(), given({ process: false, answering: false })]) {
      expect(sees(agreed, a).next).toMatchObject({ phase: 'promoting', epoch: 2, holder: 'b', claim: { source: 'switchover' } })
    }
  })

  test.each<[string, State, ReturnType<typeof given>, Partial<View>]>([
    ['the old primary is not fenced yet', agreed, given({ redis: primaryFacts() }), {}],
    ['the old primary does not answer', agreed, given({ answering: false }), {}],
    ['its own redis is another process than the one that was measured', agreed, given(), { redis: probe({ facts: facts({ runId: 'run-2' }) }) }],
    ['its own redis began a full sync', agreed, given(), { redis: probe({ facts: facts({ syncing: true, linkUp: false }) }) }],
    ['it never agreed', state('b'), given(), {}],
  ])('%s: it does not promote on the strength of the switchover', (_what, before, a, more) => {
    expect(sees(before, a, more).next.claim?.source ?? null).not.toBe('switchover')
  })
})
