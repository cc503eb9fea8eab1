/** The assertions over a finished decision: each is tripped once, by a decision that nobody should ever make. */
import { describe, expect, test } from 'vitest'
import { AssertionError } from '../../src/model/assert.ts'
import type { Action } from '../../src/model/action.ts'
import type { Decision } from '../../src/model/decision.ts'
import type { State } from '../../src/model/state.ts'
import type { View } from '../../src/model/view.ts'
import { checkInvariants } from '../../src/decide/invariants.ts'
import { entry, facts, peer, policy, primaryFacts, probe, silent, state, view, word } from './builders.ts'

function decision(next: State, ...actions: readonly Action[]): Decision {
  return { next, actions, events: [], diagnosis: 'holder-gone', rule: 'a rule', because: 'a reason', wakeAtMs: 0 }
}

function check(before: State, seen: View, made: Decision, rules = policy()): () => void {
  return () => checkInvariants(before, seen, rules, made)
}

const b = state('b')
const alone = view('b', [silent('a')])
const claim: State = { ...b, phase: 'promoting', epoch: 2, holder: 'b' }
const promote: Action = { kind: 'promote' }

test('a sound promotion passes', () => {
  expect(check(b, alone, decision(claim, promote))).not.toThrow()
})

test('a former primary that is off was empty when it spoke last: whom one follows now is another', () => {
  const third = state('b', { epoch: 3, holder: 'c', lineage: [entry(1, 'a', 0), entry(3, 'c', 1)] })
  const lost = silent('a', { statement: word('a', { phase: 'primary', redis: primaryFacts({ keys: 0 }) }) })
  const serving = peer(word('c', { phase: 'primary', epoch: 3, holder: 'c', redis: primaryFacts({ keys: 1 }) }))
  const follow: Action = { kind: 'follow', host: 'ip-c', port: 6379 }
  const keep: Action = { kind: 'keep-dataset', name: 'epoch-1-from-b', fork: { epoch: 1, replid: 'id-1', fromOffset: 1, forkedAtWallMs: null } }
  expect(check(third, view('b', [lost, serving]), decision(third, keep, follow), policy('a', 'b', 'c'))).not.toThrow()
})

describe('tripped', () => {
  test.each<[string, () => void, RegExp]>([
    ['an epoch falls', check({ ...b, epoch: 3 }, alone, decision(b)), /epochs only rise/],
    ['a promotion without a claim', check(b, alone, decision({ ...claim, phase: 'primary' }, promote)), /claimed before/],
    ['a decision without a reason', check(b, alone, { ...decision(b), because: '' }), /INV-9/],
    ["an epoch that is somebody else's", check(b, alone, decision({ ...claim, epoch: 1 }, promote)), /INV-3/],
    ['while loading', check(b, view('b', [silent('a')], { redis: probe({ facts: facts({ loading: true }) }) }), decision(claim, promote)), /INV-4/],
    ['in a full sync', check(b, view('b', [silent('a')], { redis: probe({ facts: facts({ syncing: true }) }) }), decision(claim, promote)), /INV-4/],
    ['with half a dataset', check(b, alone, decision({ ...claim, partial: true }, promote)), /INV-4/],
    ['beside a primary that says it serves', check(b, view('b', [peer(word('a', { phase: 'primary' }))]), decision(claim, promote)), /INV-3/],
    ['an external redis is started', check(b, alone, decision(b, { kind: 'start-redis' }), { ...policy(), external: true }), /external/],
    ['a wipe that nobody asked for', check(b, alone, decision(b, { kind: 'wipe-redis' })), /operator/],
    ['a serving redis is killed', check(b, alone, decision({ ...b, phase: 'primary' }, { kind: 'kill-redis', pid: 100 })), /INV-7/],
    [
      'data given up to an empty primary',
      check(
        state('b', { epoch: 2, lineage: [entry(1, 'b', 0), entry(2, 'a', 1)] }),
        view('b', [peer(word('a', { phase: 'primary', epoch: 2, redis: primaryFacts({ keys: 0 }) }))]),
        decision(state('b', { epoch: 2, lineage: [entry(1, 'b', 0), entry(2, 'a', 1)] }), { kind: 'follow', host: 'ip-a', port: 6379 }),
      ),
      /INV-1/,
    ],
    [
      'diverged writes given up without a copy',
      check(
        state('b', { epoch: 2, lineage: [entry(1, 'b', 0), entry(2, 'a', 900)] }),
        view('b', [peer(word('a', { phase: 'primary', epoch: 2, redis: primaryFacts() }))]),
        decision(state('b', { epoch: 2, lineage: [entry(1, 'b', 0), entry(2, 'a', 900)] }), { kind: 'follow', host: 'ip-a', port: 6379 }),
      ),
      /INV-6/,
    ],
    [
      'an epoch given away at unequal offsets',
      check(
        state('a', { phase: 'handing' }),
        view('a', [peer(word('b', { redis: facts({ offset: 999 }) }))], { redis: probe({ facts: primaryFacts() }) }),
        decision(state('a', { phase: 'handed', epoch: 2, holder: 'b' }), { kind: 'soft-fence' }),
      ),
      /INV-5/,
    ],
  ])('%s', (_what, made, message) => {
    expect(made).toThrow(AssertionError)
    expect(made).toThrow(message)
  })
})
