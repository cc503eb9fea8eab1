/** A link that is up is no copy: stuck streams, data that differ, settings that will make them differ. */
import { describe, expect, test } from 'vitest'
import { decide } from '../../src/decide/decide.ts'
import { elect } from '../../src/decide/election.ts'
import { ownFitness, wasFresh } from '../../src/decide/fitness.ts'
import { learn } from '../../src/decide/learn.ts'
import { alarmsOf } from '../../src/decide/stream.ts'
import { watch } from '../../src/decide/watch.ts'
import { cycleAgainMs, stuckMs } from '../../src/model/policy.ts'
import type { RedisFacts, RedisSettings, View } from '../../src/model/view.ts'
import { freshWatch, type Watch } from '../../src/model/watch.ts'
import { facts, nowMs, peer, policy, primaryFacts, probe, silent, state, view, word } from './builders.ts'

const primaryAt = (offset: number, more: Partial<RedisFacts> = {}) => peer(word('a', { phase: 'primary', redis: primaryFacts({ offset, ...more }) }))

/** Looks at these moments: [ms, own offset, offset that the primary told]. */
function looks(steps: readonly (readonly [ms: number, own: number, told: number])[], more: Partial<View> = {}, own: Partial<RedisFacts> = {}): Watch {
  let known = freshWatch
  for (const [ms, offset, told] of steps) {
    const seen = view('b', [primaryAt(told)], { nowMs: nowMs + ms, redis: probe({ facts: facts({ offset, ...own }) }), ...more })
    known = watch(known, state('b'), seen, policy())
  }
  return known
}

const stuck: Watch = { ...freshWatch, stream: { runId: 'run-1', offset: 1000, aheadSinceMs: nowMs - stuckMs, stuckSinceMs: nowMs, lagsSinceMs: null } }

describe('does the stream follow?', () => {
  test('it stands while the primary is ahead, for as long as it takes: stuck', () => {
    expect(
      looks([
        [0, 1000, 1000],
        [400, 1000, 1200],
        [400 + stuckMs - 1, 1000, 1300],
      ]).stream.stuckSinceMs,
    ).toBeNull()
    expect(
      looks([
        [0, 1000, 1000],
        [400, 1000, 1200],
        [400 + stuckMs, 1000, 1300],
      ]).stream.stuckSinceMs,
    ).toBe(nowMs + 400 + stuckMs)
  })

  test('it stood for an hour because nobody wrote, then somebody did: that is no hour of silence', () => {
    expect(
      looks([
        [0, 1000, 1000],
        [3_600_000, 1000, 1100],
      ]).stream.stuckSinceMs,
    ).toBeNull()
  })

  test('it moves a little in every look and never gets there: behind, not stuck', () => {
    const steps = Array.from({ length: 40 }, (_, i) => [i * 400, 1000 + i, 50_000 + i * 1000] as const)
    expect(looks(steps).stream.stuckSinceMs).toBeNull()
  })

  test('once stuck, one packet is no recovery: only having all that the primary was known to have is', () => {
    const begin = [
      [0, 1000, 1200],
      [stuckMs, 1000, 1300],
    ] as const
    expect(looks([...begin, [stuckMs + 400, 1001, 1400]]).stream.stuckSinceMs).toBe(nowMs + stuckMs)
    expect(looks([...begin, [stuckMs + 400, 1400, 1400]]).stream.stuckSinceMs).toBeNull()
  })

  test.each<[string, Partial<View>, Partial<RedisFacts>]>([
    ['in a full sync', {}, { syncing: true, linkUp: false }],
    ['while it loads', {}, { loading: true }],
    ['of another history than the primary', {}, { replid: 'id-9' }],
    ['when this agent stood still itself', { stalledMs: 6000 }, {}],
    ['when redis did not answer meanwhile', { redis: probe({ facts: facts({ offset: 1000 }), factsAgeMs: 5000 }) }, {}],
  ])('%s nothing is concluded', (_, more, own) => {
    const steps = [
      [0, 1000, 1200],
      [stuckMs, 1000, 1300],
    ] as const
    expect(looks(steps, more, own).stream.stuckSinceMs).toBeNull()
  })
})

describe('a stuck replica', () => {
  const seen = view('b', [primaryAt(5000)], { watch: stuck })

  test('is not fit, not fresh, and its link is begun anew, once', () => {
    expect(ownFitness(state('b'), seen, policy())).toMatchObject({ fit: false, why: expect.stringContaining('does not follow') })
    expect(wasFresh(state('b'), seen)).toBe(false)
    const first = decide(state('b'), { ...seen, keepalived: null }, policy())
    expect(first.actions).toEqual([{ kind: 'cycle-link' }])
    expect(decide(first.next, { ...seen, keepalived: null }, policy()).actions).toEqual([])
  })

  test('it moves again and has not all yet: still not fit, and left alone', () => {
    const moving = { ...seen, watch: { ...stuck, stream: { ...stuck.stream, aheadSinceMs: nowMs - 100 } }, keepalived: null }
    expect(ownFitness(state('b'), moving, policy()).fit).toBe(false)
    expect(decide(state('b'), moving, policy()).actions).toEqual([])
  })

  test('it stands again a minute later: no second cure, for one may cost a full sync; after a while or of another process it is tried again', () => {
    const cycled = (agoMs: number, runId = 'run-1') => ({ ...state('b'), linkCycled: { runId, atMs: nowMs - agoMs } })
    const kinds = [cycled(60_000), cycled(cycleAgainMs), cycled(60_000, 'run-0')].map((s) =>
      decide(s, { ...seen, keepalived: null }, policy()).actions.map((a) => a.kind),
    )
    expect(kinds).toEqual([[], ['cycle-link'], ['cycle-link']])
  })

  test('that a new link did not help is an alarm', () => {
    const later = { ...seen, nowMs: nowMs + stuckMs, keepalived: null }
    const again = decide({ ...state('b'), linkCycled: { runId: 'run-1', atMs: nowMs } }, later, policy())
    expect(again.events).toMatchObject([{ kind: 'alarm', text: expect.stringContaining('a new link did not help') }])
  })

  test('does not succeed as one whose link was alive: others may have more', () => {
    const lost = view('b', [silent('a')], { watch: stuck })
    const fresh = wasFresh(state('b'), lost)
    expect(elect(state('b', { gone: { epoch: 1, fresh, atMs: nowMs } }), lost, policy())).toMatchObject({ result: 'wait', forHosts: ['a'] })
  })
})

describe('errors in the stream', () => {
  const errors = (count: number, more: Partial<RedisFacts> = {}) =>
    view('b', [primaryAt(1000)], { redis: probe({ facts: facts({ unexpectedErrors: count, ...more }) }) })

  test('one is enough: not fit, with what to do; also after a restart of redis, which forgets the count', () => {
    const known = learn(state('b'), errors(1))
    expect(ownFitness(known, errors(1), policy())).toMatchObject({ fit: false, why: expect.stringContaining('data differ') })
    expect(alarmsOf(known, errors(1), policy())).toEqual([expect.stringContaining('holdfast reinit sessions b')])
    expect(alarmsOf(known, errors(1), { ...policy(), external: true })).toEqual([expect.stringContaining('empty directory')])
    expect(learn(known, errors(0, { runId: 'run-2' })).differs).toEqual(known.differs)
  })

  test('a full sync that was seen to end makes them the same again, and the old count is of no meaning', () => {
    const known = learn(state('b'), errors(3))
    const during = learn(known, errors(3, { syncing: true, linkUp: false }))
    const after = learn(during, errors(3, { offset: 9000 }))
    expect(after).toMatchObject({ differs: null, streamErrors: { runId: 'run-1', seen: 3 } })
    expect(learn(after, errors(3)).differs).toBeNull()
    expect(learn(after, errors(4)).differs).not.toBeNull()
  })

  test('what a process counted while it was a primary is not about its data', () => {
    const primary = state('b', { phase: 'primary', holder: 'b' })
    const demoted = {
      ...learn(primary, view('b', [], { redis: probe({ facts: primaryFacts({ unexpectedErrors: 7 }) }) })),
      phase: 'replica' as const,
      holder: 'a',
    }
    const following = learn(demoted, errors(7))
    expect(following.differs).toBeNull()
    expect(learn(following, errors(8)).differs).not.toBeNull()
  })

  test('an operator promotes it: its data are the group’s, and nothing differs any more', () => {
    const known = learn(state('b'), errors(2))
    const forced = decide(known, { ...errors(2), request: { id: 'x', kind: 'failover', to: 'b', by: 'anna', dryRun: false } }, policy())
    expect(forced.actions).toContainEqual({ kind: 'promote' })
    const serving = { ...forced.next, phase: 'primary' as const }
    expect(learn(serving, view('b', [], { redis: probe({ facts: primaryFacts({ unexpectedErrors: 2 }) }) })).differs).toBeNull()
  })

  test('nobody is elected over its data unseen: the operator chooses', () => {
    const known = { ...learn(state('b'), errors(2)), gone: { epoch: 1, fresh: true, atMs: nowMs } }
    const crashed = { ...errors(2), peers: [peer(word('a', { phase: 'fenced', fit: false, unfitWhy: 'empty', redis: facts({ keys: 0, replid: 'x' }) }))] }
    expect(elect(known, crashed, policy()).result).not.toBe('me')
  })
})

describe('settings that differ', () => {
  const settings = (more: Partial<RedisSettings> = {}): RedisSettings => ({
    runId: 'run-1',
    databases: 16,
    readOnly: true,
    missing: [],
    replicaBuffer: null,
    ...more,
  })
  const pair = (own: Partial<RedisSettings>, theirs: Partial<RedisSettings>, highestDb = 0) =>
    view('b', [peer(word('a', { phase: 'primary', redis: primaryFacts({ highestDb }), settings: settings(theirs) }))], {
      redis: probe({ settings: settings(own) }),
    })

  test('equal: no word', () => {
    expect(alarmsOf(state('b'), pair({ missing: ['flushall'] }, { missing: ['flushall'] }), policy())).toEqual([])
  })

  test('fewer databases: an alarm; and not fit as soon as the primary uses one of the others', () => {
    const unused = pair({ databases: 16 }, { databases: 32 }, 3)
    expect(alarmsOf(state('b'), unused, policy())).toEqual([expect.stringContaining('16 databases')])
    expect(ownFitness(state('b'), unused, policy()).fit).toBe(true)
    const used = pair({ databases: 16 }, { databases: 32 }, 16)
    expect(ownFitness(state('b'), used, policy())).toMatchObject({ fit: false, why: expect.stringContaining('database 16') })
  })

  test('a command that only the primary knows, and a replica that clients may write to: alarms', () => {
    expect(alarmsOf(state('b'), pair({ missing: ['flushall'] }, {}), policy())).toEqual([expect.stringContaining('flushall')])
    expect(alarmsOf(state('b'), pair({ readOnly: false }, {}), policy())).toEqual([expect.stringContaining('replica-read-only')])
  })

  test('a primary of an older agent says nothing of it: no alarm is made up', () => {
    const old = view('b', [primaryAt(1000)], { redis: probe({ settings: settings({ databases: 1, missing: ['set'] }) }) })
    expect(alarmsOf(state('b'), old, policy())).toEqual([])
  })
})
