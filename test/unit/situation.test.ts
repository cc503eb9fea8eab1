/** What is no proof that the holder is gone, and what a member remembers only so long: guards that histories rarely meet. */
import { describe, expect, test } from 'vitest'
import { decide } from '../../src/decide/decide.ts'
import { elect } from '../../src/decide/election.ts'
import { isFresh } from '../../src/decide/fitness.ts'
import { learn } from '../../src/decide/learn.ts'
import { statementOf } from '../../src/decide/statement.ts'
import { needsMemory, withoutMemory } from '../../src/decide/memory.ts'
import { facts, peer, policy, primaryFacts, probe, silent, state, view, vrrp, word } from './builders.ts'

const abc = policy('a', 'b', 'c')
const taken = { keepalived: vrrp({ vrrp: 'MASTER' as const, vipHere: true }) }

test('a fenced member does not stand for the address while it waits in an election; a replica keeps what VRRP gave it', () => {
  const gone = { epoch: 1, fresh: false, atMs: 1 }
  const vip = (phase: 'fenced' | 'replica') =>
    decide(
      state('b', { phase, gone }),
      view('b', [silent('a', { redisReach: 'silent' })], { keepalived: vrrp({ vrrp: 'MASTER', vipHere: true, allowed: true }) }),
      policy(),
    )
  expect(vip('fenced').actions).toContainEqual({ kind: 'vip', allowed: false })
  expect(vip('replica').actions.map((a) => a.kind)).not.toContain('vip')
})

describe('the holder is not gone', () => {
  test('as long as its redis has not been asked', () => {
    expect(decide(state('b'), view('b', [silent('a', { redisReach: 'not asked' })], taken), policy()).diagnosis).toBe('holder-unclear')
  })

  test('when it speaks of an epoch before the one it was given', () => {
    const given = state('c', { epoch: 2, holder: 'b' })
    expect(decide(given, view('c', [silent('a'), peer(word('b', { epoch: 1 }))], taken), abc).diagnosis).toBe('holder-unclear')
  })

  test('between the giving of an epoch and its taking: only the giver may say that nothing came of it', () => {
    const given = state('b', { epoch: 2, holder: 'c' })
    const untaken = peer(word('c', { epoch: 2, holder: 'c' }))
    const giver = peer(word('a', { epoch: 2, holder: 'c', phase: 'handed' }))
    expect(decide(given, view('b', [giver, untaken], taken), abc).diagnosis).toBe('holder-unclear')
    expect(decide(given, view('b', [peer(word('a', { epoch: 2, holder: 'c', phase: 'fenced' })), untaken], taken), abc).diagnosis).toBe('holder-gone')
  })

  test('for an agent that has only just started: nobody had the time to speak to it, and what it remembers may be long outlived', () => {
    const lost = state('b', { gone: { epoch: 1, fresh: true, atMs: 1 } })
    for (const before of [state('b'), lost]) {
      const young = (agentUptimeMs: number) => decide(before, view('b', [silent('a')], { ...taken, agentUptimeMs }), policy()).diagnosis
      expect(young(499)).toBe('holder-unclear')
      expect(young(500)).toBe('holder-gone')
    }
  })

  test('when another hears it: what was remembered of a loss is forgotten', () => {
    const lost = state('b', { gone: { epoch: 1, fresh: true, atMs: 1 } })
    const decision = decide(lost, view('b', [silent('a'), peer(word('c', { seesHolder: 'serves' }))], taken), abc)
    expect(decision.diagnosis).toBe('holder-unclear')
    expect(decision.next.gone).toBeNull()
  })
})

describe('a link that was alive', () => {
  test('of a process that never had one redis says -1', () => {
    expect(isFresh(facts({ linkUp: false, linkDownS: -1 }))).toBe(false)
    expect(isFresh(facts({ linkUp: false, linkDownS: 1 }))).toBe(true)
  })

  test('was that of one process', () => {
    const lost = state('b', { gone: { epoch: 1, fresh: true, atMs: 1, runId: 'run-1' } })
    expect(learn(lost, view('b', [silent('a')])).gone?.fresh).toBe(true)
    expect(learn(lost, view('b', [silent('a')], { redis: probe({ facts: facts({ runId: 'run-2' }) }) })).gone?.fresh).toBe(false)
  })
})

test('an offset that was measured before the primary went, or may still grow, is not told as final', () => {
  const lost = state('b', { gone: { epoch: 1, fresh: true, atMs: 99_900 } })
  const detached = facts({ upstream: { host: '127.0.0.1', port: 1 }, linkUp: false })
  const told = (peerOfB: ReturnType<typeof silent>, redis: ReturnType<typeof probe>) => statementOf(lost, view('b', [peerOfB], { redis }), policy()).gone
  expect(told(silent('a'), probe({ facts: detached }))).toBe(1)
  expect(told(silent('a'), probe({ facts: detached, factsAgeMs: 200 }))).toBe(0)
  expect(told(silent('a'), probe({ facts: facts({ linkUp: false }) })), 'it may be in touch again').toBe(0)
  const dead = peer(word('a', { phase: 'fenced', process: false, answering: false }))
  expect(told(dead, probe({ facts: facts({ linkUp: false }) })), 'nobody gives it any more').toBe(1)
  expect(told(dead, probe()), 'what it has received may not be read yet').toBe(0)
})

test('in an election one waits for the others from when one listens, not across a restart or a stall', () => {
  const lost = state('b', { gone: { epoch: 1, fresh: true, atMs: 1 } })
  const peers = [peer(word('a', { phase: 'fenced', gone: 1, fit: false, redis: null, answering: false })), silent('c')]
  expect(elect(lost, view('b', peers), abc).result).toBe('me')
  expect(elect(lost, view('b', peers, { agentUptimeMs: 20 }), abc)).toMatchObject({ result: 'wait', forHosts: ['c'] })
  expect(elect(lost, view('b', peers, { stalledMs: 500 }), abc)).toMatchObject({ result: 'wait', forHosts: ['c'] })
})

test('a redis that answers as a primary and is none by decision is fenced, also while it is unclear who serves', () => {
  const found = (replid: string) =>
    decide(state('b'), view('b', [silent('a', { redisReach: 'answers' })], { redis: probe({ facts: primaryFacts({ replid }) }) }), policy())
  expect(found('id-1').diagnosis).toBe('holder-unclear')
  expect(found('id-1').actions).toContainEqual({ kind: 'fence-writes', runId: 'run-1' })
  // of a history that is not the group's nobody may resync either
  expect(found('x').actions).toContainEqual({ kind: 'soft-fence' })
})

test('half a dataset is not promoted by force', () => {
  const request = { id: 'r', kind: 'failover' as const, to: null, by: 'anna', dryRun: false }
  const decision = decide(
    state('b', { partial: true, partialOf: null }),
    view('b', [silent('a')], { request, redis: probe({ facts: facts({ linkUp: false }) }) }),
    policy(),
  )
  expect(decision.next.results).toMatchObject([{ ok: false, message: expect.stringContaining('part of a dataset') as string }])
})

test('an empty member is not promoted by force over one that has data and may be promoted: that one is named', () => {
  const request = { id: 'r', kind: 'failover' as const, to: null, by: 'anna', dryRun: false }
  const empty = { request, redis: probe({ facts: facts({ replid: 'x', keys: 0, offset: 0 }) }) }
  const forced = (keys: number, rules = abc) => decide(state('b'), view('b', [silent('a'), peer(word('c', { redis: facts({ keys }) }))], empty), rules).next
  expect(forced(3).results).toMatchObject([{ ok: false, message: expect.stringMatching(/b is empty and c has data/) as string }])
  expect(forced(0)).toMatchObject({ phase: 'promoting', epoch: 2 })
  expect(forced(3, policy('a', 'b', { host: 'c', neverPrimary: true }))).toMatchObject({ phase: 'promoting', epoch: 2 })
})

test('without memory no epoch is claimed or given away; what makes safer is done', () => {
  expect(needsMemory(state('b'), state('b', { vote: { epoch: 2, to: 'c', atMs: 0 } })), 'a vote that was forgotten would be given twice').toBe(true)
  expect((['promoting', 'handing', 'handed'] as const).map((phase) => needsMemory(state('b'), state('b', { phase })))).toEqual([true, true, true])
  expect(needsMemory(state('b'), state('b', { phase: 'fenced' }))).toBe(false)
  const claim = [{ kind: 'promote' }, { kind: 'vip', allowed: true }, { kind: 'vip', allowed: false }] as const
  expect(withoutMemory(claim, 'primary')).toEqual([{ kind: 'vip', allowed: false }])
  // a replica that was to be promoted follows nobody meanwhile: its old primary may come back with other data
  expect(withoutMemory(claim, 'replica').map((a) => a.kind)).toEqual(['soft-fence', 'vip'])
  expect(withoutMemory([{ kind: 'soft-fence' }], 'replica')).toEqual([{ kind: 'soft-fence' }])
  // of a primary that would be demoted without anybody knowing to whom it gave its epoch
  expect(withoutMemory([{ kind: 'soft-fence' }], 'primary')).toEqual([])
})
