/** A primary with `check_ips`: what renews its lease, when it holds writes and when it refuses them. */
import { describe, expect, test } from 'vitest'
import { decide } from '../../src/decide/decide.ts'
import { explainGroup, writesRefused } from '../../src/decide/explain.ts'
import { holdsLease, isCutOff } from '../../src/decide/lease.ts'
import type { State } from '../../src/model/state.ts'
import type { ChecksProbe } from '../../src/model/view.ts'
import { nowMs, peer, policy, primaryFacts, probe, silent, state, view, vrrp, word } from './builders.ts'

const rules = { ...policy('a', 'b'), checks: true, leased: true, refuseAfterMs: 37.5 }
const serving = (more: Partial<State> = {}): State => state('a', { phase: 'primary', holder: 'a', servingRunId: 'run-1', ...more })
const answers = (ageMs: number, forMs = 60_000): ChecksProbe => ({ reach: 'answers', ageMs, forMs })
const mute: ChecksProbe = { reach: 'silent', ageMs: 45, forMs: 5 }
const unasked: ChecksProbe = { reach: 'not asked', ageMs: 1e12, forMs: 60_000 }
const alone = (checks: ChecksProbe, more = {}) =>
  view('a', [silent('b')], {
    redis: probe({ facts: primaryFacts() }),
    keepalived: vrrp({ vipHere: true, vrrp: 'MASTER' as const, yields: true }),
    checks,
    ...more,
  })
const kinds = (s: State, checks: ChecksProbe, more = {}) => decide(s, alone(checks, more), rules).actions.map((a) => a.kind)

describe('the lease', () => {
  test.each([
    ['a member has echoed a beat of less than 120 ms ago', [peer(word('b'), { contactMs: 119 })], mute, true],
    ['none has, and no address answers', [peer(word('b'), { contactMs: 120 })], mute, false],
    ["a member's kernel refuses: no agent there promotes anybody", [silent('b', { agent: 'refused', contactMs: 0 })], mute, true],
    ['an address answers', [silent('b')], answers(119), true],
    ['an address answered, once', [silent('b')], answers(120), false],
    ['nobody was asked yet', [silent('b')], unasked, false],
  ])('%s', (_what, peers, checks, holds) => {
    expect(holdsLease(serving(), view('a', peers, { checks }), rules)).toBe(holds)
  })

  test('who had stopped counts its gateway only when that has answered for as long as members need to speak', () => {
    const held = serving({ writesHeldSinceMs: nowMs - 9000 })
    expect(holdsLease(held, alone(answers(5, 1999)), rules)).toBe(false)
    expect(holdsLease(held, alone(answers(5, 2000)), rules)).toBe(true)
    expect(holdsLease(held, view('a', [peer(word('b'), { contactMs: 5 })], { checks: mute }), rules)).toBe(true)
  })

  test('long alone: its gateway is asked less often, and an answer counts for longer, but not for as long as the other side must wait', () => {
    const long = (ageMs: number) => view('a', [silent('b', { silentMs: 5000 })], { checks: answers(ageMs) })
    expect(holdsLease(serving(), long(999), rules)).toBe(true)
    expect(holdsLease(serving(), long(1000), rules)).toBe(false)
    expect(holdsLease(serving(), view('a', [silent('b', { silentMs: 4999 })], { checks: answers(120) }), rules)).toBe(false)
  })

  test('the next question is asked before the answer is too old', () => {
    expect(decide(serving(), alone(answers(20)), rules).wakeAtMs).toBeLessThanOrEqual(nowMs + 50)
  })
})

describe('cut off', () => {
  test('held at once; refused when the gateway is known to be silent, well before the other side may be promoted', () => {
    expect(kinds(serving(), mute)).toEqual(['pause-writes'])
    expect(kinds(serving({ writesHeldSinceMs: nowMs - 37 }), mute)).toEqual(['pause-writes'])
    expect(kinds(serving({ writesHeldSinceMs: nowMs - 38 }), mute)).toEqual(['fence-writes', 'resume-writes', 'kill-clients', 'vip'])
    expect(rules.leaseMs + rules.refuseAfterMs).toBeLessThan(rules.voteSilenceMs)
  })

  test('the question is still open: held, never refused', () => {
    expect(kinds(serving(), unasked)).toEqual(['pause-writes'])
    expect(kinds(serving({ writesHeldSinceMs: nowMs - 400 }), unasked)).toEqual(['pause-writes'])
  })

  test('whoever hears a member, or a refusal, is not cut off', () => {
    expect(isCutOff(alone(mute), rules)).toBe(true)
    expect(isCutOff(alone(answers(5, 1999)), rules)).toBe(true)
    expect(isCutOff(alone(answers(5)), rules)).toBe(false)
    const refuses = (contactMs: number) => view('a', [silent('b', { agent: 'refused', contactMs })], { checks: mute })
    expect(isCutOff(refuses(0), rules)).toBe(false)
    expect(isCutOff(refuses(1e12), rules), 'it refused before it was cut off').toBe(true)
    expect(isCutOff(alone(mute), policy('a', 'b'))).toBe(false)
  })
})

describe('a primary that takes no writes says so', () => {
  const safe = { ...policy('a', 'b'), safe: true, quorum: 2 }
  const counting = (goodFollowers: number | null) => view('a', [peer(word('b'))], { redis: probe({ facts: primaryFacts({ goodFollowers }) }) })

  test('safe, and no replica acknowledges: for whom it waits', () => {
    expect(writesRefused(serving(), counting(0), safe)).toMatch(/durability is safe.* waits for b$/)
    expect(writesRefused(serving(), counting(1), safe)).toBeNull()
    expect(writesRefused(serving(), counting(0), policy('a', 'b')), 'a limit of the user').toBeNull()
  })

  test('cut off: from whom', () => {
    expect(writesRefused(serving({ writesHeldSinceMs: 1 }), alone(mute), rules)).toMatch(/cut off from a member or one of check_ips/)
  })

  test('a gateway that never answers is told before the day it counts; and what would happen', () => {
    const calm = view('a', [peer(word('b'))], { redis: probe({ facts: primaryFacts() }), checks: mute })
    expect(explainGroup(serving(), calm, rules).warnings.join()).toMatch(/none of check_ips answers/)
    expect(explainGroup(serving(), counting(1), safe).wouldHappen).toMatch(/if its host were lost, nobody, before it is back or an operator says/)
  })
})
