/** Before a member replicates from a primary: may what it has be given up, and is a copy to be kept? */
import { describe, expect, test } from 'vitest'
import { decide } from '../../src/decide/decide.ts'
import type { RedisFacts, Statement } from '../../src/model/view.ts'
import type { State } from '../../src/model/state.ts'
import { entry, facts, peer, policy, primaryFacts, probe, state, view, word } from './builders.ts'

const lineage = [entry(1, 'b', 0), entry(2, 'a', 1001)]
const holder = (more: Partial<Statement> = {}) =>
  peer(word('a', { epoch: 2, phase: 'primary', holder: 'a', lineage, redis: primaryFacts({ replid: 'id-2', offset: 1500 }), ...more }))

/** A detached redis with these data; what is done with it. */
function outcome(before: Partial<State>, redis: Partial<RedisFacts>, word = holder()): string {
  const decision = decide(
    state('b', { epoch: 2, holder: 'a', lineage, ...before }),
    view('b', [word], { redis: probe({ facts: facts({ upstream: { host: '127.0.0.1', port: 1 }, linkUp: false, linkDownS: 0, ...redis }) }) }),
    policy(),
  )
  const done = decision.actions.map((a) => a.kind).filter((k) => k === 'keep-dataset' || k === 'follow')
  return done.length > 0 ? done.join(', ') : decision.because.replace(/ .*/, '')
}

describe('mayGiveUp', () => {
  test.each<[string, Partial<State>, Partial<RedisFacts>, string]>([
    ['a former primary with nothing that the new one lacks', { phase: 'fenced' }, { replid: 'id-1', offset: 1000 }, 'follow'],
    ['a former primary with diverged writes keeps a copy first (INV-6)', { phase: 'fenced' }, { replid: 'id-1', offset: 1040 }, 'keep-dataset, follow'],
    ['a former primary whose id was lost keeps a copy', { phase: 'fenced' }, { replid: 'x' }, 'keep-dataset, follow'],
    ['an empty member', { phase: 'fresh' }, { replid: 'x', keys: 0 }, 'follow'],
    ['a stranger with keys refuses', { phase: 'fresh' }, { replid: 'x', keys: 3 }, 'this'],
    [
      'a replica that was made a primary by hand and written to keeps a copy',
      {},
      { replid: 'x', replid2: 'id-2', secondOffset: 1201, offset: 1300 },
      'keep-dataset, follow',
    ],
    ['and one that was not written to has nothing to keep', {}, { replid: 'x', replid2: 'id-2', secondOffset: 1301, offset: 1300 }, 'follow'],
    ['a replica behind follows', {}, { replid: 'id-2', offset: 1200 }, 'follow'],
  ])('%s', (_what, before, redis, done) => {
    expect(outcome(before, redis)).toBe(done)
  })

  test.each<[string, Partial<Statement>]>([
    ['has not been seen since its agent came back', { redis: null, answering: false }],
    ['owes an answer', { answering: false }],
    ['reads its disk', { redis: primaryFacts({ replid: 'id-2', offset: 1500, loading: true }) }],
  ])('INV-1: its redis %s: it may be another process by now, and is not followed before it is seen', (_, its) => {
    expect(outcome({}, { replid: 'id-2', offset: 1200 }, holder(its))).toBe('the')
    expect(outcome({ phase: 'fresh' }, { replid: 'x', keys: 0 }, holder(its)), 'an empty one has nothing to lose').toBe('follow')
  })

  test('the primary restarted from older data than these (INV-1): refused, the member is fenced', () => {
    const restarted = [entry(1, 'a', 0), entry(2, 'a', 1001, { source: 'restart' })]
    expect(outcome({ lineage: restarted }, { replid: 'id-1', offset: 1040 }, holder({ lineage: restarted }))).toBe('INV-1:')
    // the same by the operator's word: a copy, then it follows
    const forced = [entry(1, 'a', 0), entry(2, 'a', 1001, { source: 'forced' })]
    expect(outcome({ lineage: forced }, { replid: 'id-1', offset: 1040 }, holder({ lineage: forced }))).toBe('keep-dataset, follow')
  })

  test('what it read from an AOF: free only as a replica of this very epoch, else a copy is kept', () => {
    const read = (epoch: number, served: boolean) => ({
      replid: 'x',
      offset: 0,
      restored: { epoch, holder: epoch === 1 ? 'b' : 'a', served, about: 900, atLeast: 900 },
    })
    expect(outcome({}, read(2, false))).toBe('follow')
    expect(outcome({}, read(2, true))).toBe('keep-dataset, follow')
    expect(outcome({}, read(1, false))).toBe('keep-dataset, follow')
  })

  test('the primary went on from its AOF: what is surely there is free, what may be missing is kept, what is missing is not given up', () => {
    const anew = [entry(1, 'a', 0), entry(2, 'a', 1, { source: 'restart', continues: { epoch: 1, offset: 5000, atLeast: 4000 } })]
    const at = (offset: number) => outcome({ lineage: anew }, { replid: 'id-1', offset }, holder({ lineage: anew }))
    expect(at(4000)).toBe('follow')
    expect(at(5500)).toBe('keep-dataset, follow')
    expect(at(9000)).toBe('INV-1:')
  })

  test('the primary is empty and began from nothing (INV-1): refused', () => {
    const wiped = [entry(1, 'b', 0), entry(2, 'a', 1)]
    expect(
      outcome(
        { phase: 'fenced', lineage: wiped },
        { replid: 'id-1', offset: 1000 },
        holder({ lineage: wiped, redis: primaryFacts({ replid: 'id-2', offset: 0, keys: 0 }) }),
      ),
    ).toBe('INV-1:')
  })

  test('as long as the lineage is not known nothing is followed, and the member stays what it was', () => {
    for (const phase of ['fresh', 'fenced'] as const) {
      const decision = decide(
        state('b', { phase, epoch: 2, holder: 'a', lineage: [] }),
        view('b', [holder({ phase: 'promoting', lineage: [] })], {
          redis: probe({ facts: facts({ replid: 'x', upstream: null, role: 'primary', linkUp: false, linkDownS: null }) }),
        }),
        policy(),
      )
      expect(decision.actions.some((a) => a.kind === 'follow')).toBe(false)
      expect(decision.next.phase).toBe(phase)
    }
  })
})

test('what is still attached to the old primary lets go before its data are judged: more may come, or that one joins the new lineage first', () => {
  const judged = (redis: Partial<RedisFacts>) =>
    decide(
      state('b', { epoch: 2, holder: 'a', lineage }),
      view('b', [holder()], { redis: probe({ facts: facts({ upstream: { host: 'ip-c', port: 6379 }, ...redis }) }) }),
      policy('a', 'b', 'c'),
    ).actions.map((a) => a.kind)
  expect(judged({ replid: 'id-1', offset: 1000 })).toEqual(['soft-fence'])
  // one that follows the new primary already, by way of another, is asked to follow it directly
  expect(judged({ replid: 'id-2', offset: 1200 })).toEqual(['follow'])
})

describe('whom to follow', () => {
  const abc = policy('a', 'b', { host: 'c', replicateFrom: 'b' })
  const upstream = (b: Statement | null) => {
    const decision = decide(
      state('c'),
      view('c', [peer(word('a', { phase: 'primary', redis: primaryFacts() })), ...(b === null ? [] : [peer(b)])], {
        redis: probe({ facts: facts({ upstream: null, role: 'primary', keys: 0, linkUp: false }) }),
      }),
      abc,
    )
    const follow = decide(
      decision.next.phase === 'fenced' ? { ...decision.next } : state('c'),
      view('c', [peer(word('a', { phase: 'primary', redis: primaryFacts() })), ...(b === null ? [] : [peer(b)])], {
        redis: probe({ facts: facts({ upstream: { host: '127.0.0.1', port: 1 }, linkUp: false, linkDownS: 0 }) }),
      }),
      abc,
    ).actions.find((x) => x.kind === 'follow')
    return follow?.kind === 'follow' ? follow.host : null
  }

  test.each<[string, Statement | null, string]>([
    ['replicate_from is in good order: it', word('b'), 'ip-b'],
    ['it is not heard: the primary', null, 'ip-a'],
    ['its link is down', word('b', { redis: facts({ linkUp: false }) }), 'ip-a'],
    ['it is in a full sync itself', word('b', { redis: facts({ syncing: true }) }), 'ip-a'],
    ['it does not answer', word('b', { answering: false }), 'ip-a'],
    ['it is of an older epoch', word('b', { epoch: 0, phase: 'fenced' }), 'ip-a'],
    ['it follows this member: no circle', word('b', { redis: facts({ upstream: { host: 'ip-c', port: 6379 } }) }), 'ip-a'],
  ])('%s', (_what, b, host) => {
    expect(upstream(b)).toBe(host)
  })
})
