/** Groups whose voters are real Sentinels (ADR 0020): what a member makes of their words. */
import { describe, expect, test } from 'vitest'
import { decide } from '../../src/decide/decide.ts'
import { explainGroup } from '../../src/decide/explain.ts'
import { holdsLease } from '../../src/decide/lease.ts'
import { nextEpoch, standBeforeSentinels } from '../../src/decide/sentinels.ts'
import { situationOf } from '../../src/decide/situation.ts'
import type { SentinelProbe } from '../../src/model/sentinel.ts'
import { entry, facts, nowMs, peer, primaryFacts, probe, sentinel, silent, state, view, vrrp, word } from './builders.ts'
import { atA, atB, calm, finding, gone, kinds, may, policy, resigned, serving, vote, voted, third } from './sentinel-views.ts'

describe('the primary crashed, and its agent says so; b has the most data', () => {
  test('b remembers its candidacy, then asks the Sentinels, in an epoch above all that was told', () => {
    const d = decide(state('b', { gone }), atB([sentinel('a', {}, { vote: vote('sentinel:c', 4, 20_000) }), ...calm.slice(1)]), policy)
    expect(d.next.vote).toMatchObject({ epoch: 5, to: 'b' })
    expect(d.next.phase).toBe('replica')
    expect(d.actions).toContainEqual({ kind: 'ask-votes', epoch: 5, to: 'b' })
    expect(d.wakeAtMs).toBe(nowMs)
  })

  test('with two of three votes it is promoted in that epoch; with one it waits', () => {
    const mine = state('b', { gone, vote: { epoch: 5, to: 'b', atMs: nowMs - 3 } })
    const elected = decide(mine, atB(voted(vote('b', 5), null, vote('b', 5))), policy)
    expect(elected.next).toMatchObject({ phase: 'promoting', epoch: 5, holder: 'b' })
    expect(kinds(elected)).toContain('promote')
    const one = decide(mine, atB(voted(vote('b', 5), null, vote('b', 4))), policy)
    expect(one.next.phase).toBe('replica')
    expect(kinds(one)).not.toContain('promote')
    expect(one.because).toContain('the votes of 1 Sentinels in epoch 5 (2 are needed)')
  })

  test('a vote of a Sentinel that does not answer any more is none', () => {
    const probes = voted(vote('b', 5), vote('b', 5), null).map((s, i) => (i === 1 ? { ...s, reach: 'silent' as const } : s))
    const d = decide(state('b', { gone, vote: { epoch: 5, to: 'b', atMs: nowMs - 3 } }), atB(probes), policy)
    expect(d.next.phase).toBe('replica')
  })

  test('votes that are 151 ms old may have been given away since: it asks anew, in the next epoch', () => {
    const d = decide(
      state('b', { gone, vote: { epoch: 5, to: 'b', atMs: nowMs - 151 } }),
      atB(voted(vote('b', 5, 140), vote('b', 5, 140), vote('b', 5, 140))),
      policy,
    )
    expect(d.next.vote).toMatchObject({ epoch: 6, to: 'b' })
    expect(kinds(d)).toContain('ask-votes')
  })

  test('Sentinels have answered since they were asked and have not voted: they know of a later epoch, so it goes far ahead', () => {
    const mine = state('b', { gone, vote: { epoch: 5, to: 'b', atMs: nowMs - 501 } })
    expect(decide(mine, atB(voted(vote('b', 5), null, null)), policy).next.vote).toMatchObject({ epoch: 15, to: 'b' })
    const notSince = calm.map((s) => ({ ...s, ageMs: 600 }))
    expect(decide(mine, atB(notSince), policy).next.vote, 'not asked, perhaps').toMatchObject({ epoch: 6, to: 'b' })
    expect(nextEpoch(mine, atB([]))).toBe(6)
  })

  test('another agent had the votes a moment ago and has not been heard since: it may be promoting, so nobody else asks', () => {
    const lost = { ...atB(voted(vote('c', 5, 400), vote('c', 5, 400))), peers: [resigned, silent('c')] }
    const d = standBeforeSentinels(state('b', { gone }), lost, policy)
    expect(d).toMatchObject({ result: 'waiting', ask: false })
    expect(d.because).toContain('has voted for c in epoch 5')
    const later = { ...lost, sentinels: voted(vote('c', 5, 1001), vote('c', 5, 1001)) }
    expect(standBeforeSentinels(state('b', { gone }), later, policy)).toMatchObject({ ask: true })
  })

  test('in one line with its own vote, a Sentinel tells that it had just voted for another: the promotion is put off', () => {
    const mine = state('b', { gone, vote: { epoch: 6, to: 'b', atMs: nowMs - 3 } })
    const d = decide(mine, atB(voted(vote('b', 6, 1, { epoch: 5, to: 'c', ageMs: 1 }), vote('b', 6, 1))), policy)
    expect(kinds(d)).not.toContain('promote')
    expect(d.because).toContain('voted for c in epoch 5')
  })

  test('what was voted before is as old as when it was told first, however often has been voted since', () => {
    const mine = state('b', { gone, vote: { epoch: 7, to: 'b', atMs: nowMs - 3 } })
    const voter = (ageMs: number) => vote('b', 7, 1, { epoch: 5, to: 'c', ageMs })
    expect(kinds(decide(mine, atB(voted(voter(350), voter(350))), policy))).not.toContain('promote')
    expect(kinds(decide(mine, atB(voted(voter(370), voter(370))), policy))).toContain('promote')
  })

  test('a Sentinel that leads is waited for as long as its own timeout; one that leads nothing any more is not', () => {
    const led = (failover: { to: null } | null, ageMs: number) =>
      atB([sentinel('a', { failover }, { vote: vote('sentinel:a', 7, 100), ageMs }), sentinel('b', {}, { vote: vote('sentinel:a', 7, 100) }), sentinel('c')])
    expect(standBeforeSentinels(state('b', { gone }), led({ to: null }, 20), policy)).toMatchObject({ ask: false })
    expect(standBeforeSentinels(state('b', { gone }), led(null, 20), policy)).toMatchObject({ ask: true })
    expect(standBeforeSentinels(state('b', { gone }), led(null, 150), policy), 'it said so before the vote').toMatchObject({ ask: false })
  })

  test('its own Sentinel stood at the same moment: b goes one epoch further, has both votes that are left, and waits for nobody', () => {
    const dead = sentinel('a', { down: true }, { reach: 'silent', ageMs: 1200 })
    const lost = { ...atB([dead, sentinel('b', { down: true }), sentinel('c', { down: true })]), peers: [silent('a'), third] }
    const asked = decide(state('b', { gone }), lost, policy)
    expect(asked.next.vote, 'the next epoch is left to whoever stands by itself').toMatchObject({ epoch: 3, to: 'b' })
    const own = { epoch: 2, to: 'sentinel:b', ageMs: 5 }
    const both = (failover: { to: null } | null, ageMs: number) => [
      dead,
      sentinel('b', { down: true, failover }, { ageMs: 1, vote: finding(vote('b', 3, 2, { ...own, ageMs })) }),
      sentinel('c', { down: true }, { vote: finding(vote('b', 3, 1)) }),
    ]
    const next = (failover: { to: null } | null, ageMs: number) => kinds(decide(asked.next, { ...lost, sentinels: both(failover, ageMs) }, policy))
    expect(next(null, 5)).toContain('promote')
    expect(next({ to: null }, 5), 'it stands still, and the lost host may have voted for it').not.toContain('promote')
    expect(next({ to: null }, 301), 'it would have selected by now').toContain('promote')
  })

  test('c had voted for that Sentinel before: it may have been elected, and is given the time to select', () => {
    const dead = sentinel('a', { down: true }, { reach: 'silent', ageMs: 1200 })
    const led = (ageMs: number, to: string | null) => [
      dead,
      sentinel('b', { down: true, failover: { to } }, { ageMs: 1, vote: finding(vote('b', 3, 2, { epoch: 2, to: 'sentinel:b', ageMs })) }),
      sentinel('c', { down: true }, { vote: finding(vote('b', 3, 2, { epoch: 2, to: 'sentinel:b', ageMs })) }),
    ]
    const at = (sentinels: readonly SentinelProbe[]) => ({ ...atB(sentinels), peers: [silent('a'), third] })
    const mine = state('b', { gone, vote: { epoch: 3, to: 'b', atMs: nowMs - 3 } })
    expect(kinds(decide(mine, at(led(250, null)), policy))).not.toContain('promote')
    expect(kinds(decide(mine, at(led(301, null)), policy)), 'it was not').toContain('promote')
    expect(kinds(decide(mine, at(led(301, 'c')), policy)), 'it was').not.toContain('promote')
  })

  test('while the agents elect, Sentinels may give this redis no orders', () => {
    const waiting = decide(state('b', { gone, vote: { epoch: 5, to: 'b', atMs: nowMs - 3 } }), atB(calm), policy)
    expect(waiting.actions.filter((a) => a.kind === 'sentinel-orders')).toEqual([])
    const detached = facts({ linkUp: false, linkDownS: 0, upstream: { host: '127.0.0.1', port: 1 } })
    const settled = decide(
      state('b', { gone, vote: { epoch: 5, to: 'b', atMs: nowMs - 3 } }),
      atB(calm, { redis: probe({ facts: detached, ...may() }) }),
      policy,
    )
    expect(settled.actions).toContainEqual({ kind: 'sentinel-orders', allowed: false })
  })
})

describe("the primary's host is silent", () => {
  const lost = silent('a', { silentMs: 1100, redisReach: 'silent' })
  const find = (down: number) =>
    situationOf(
      state('b'),
      view('b', [lost, peer(word('c', { seesHolder: 'unclear' }))], { sentinels: ['a', 'b', 'c'].map((h, i) => sentinel(h, { down: i < down })) }),
      policy,
    )

  test('it is gone when a quorum of Sentinels finds it down, and unclear before', () => {
    expect(find(1)).toMatchObject({ holder: 'unclear', holderWhy: expect.stringContaining('1 of 3 Sentinels find it down, 2 are needed') as string })
    expect(find(2)).toMatchObject({ holder: 'gone' })
  })

  test('VRRP has no part in it: the address is not stood for', () => {
    const s = view('b', [lost, peer(word('c', { seesHolder: 'unclear' }))], {
      keepalived: vrrp({ vrrp: 'FAULT', allowed: false }),
      sentinels: calm.map((x) => sentinel(x.host, { down: true })),
    })
    expect(situationOf(state('b'), s, policy).holder).toBe('gone')
  })

  test('a redis that still answers from here is not gone, whatever they find', () => {
    const answers = silent('a', { silentMs: 1100, redisReach: 'primary' })
    const s = view('b', [answers, peer(word('c'))], { sentinels: calm.map((x) => sentinel(x.host, { down: true })) })
    expect(situationOf(state('b'), s, policy).holder).toBe('unclear')
  })
})

describe('the lease of a primary', () => {
  const old = (ageMs: number, pendingPingMs = 0) => calm.map((s) => sentinel(s.host, { pendingPingMs }, { ageMs }))

  test.each([
    ['three answers of 790 ms ago', old(790), true],
    ['three answers of 801 ms ago', old(801), false],
    ['a PING that was waiting for 300 ms, 510 ms ago', old(510, 300), false],
    ['two of three in touch', [calm[0], calm[1], sentinel('c', {}, { ageMs: 5000, reach: 'silent' })], true],
    ['one of three in touch', [calm[0], ...old(5000).slice(1)], false],
    ['two that find it down already', [calm[0], sentinel('b', { down: true }), sentinel('c', { down: true })], false],
    ['two that name another', [calm[0], sentinel('b', { names: 'c' }), sentinel('c', { names: 'c' })], false],
  ] as const)('%s: %s', (_what, sentinels, holds) => {
    expect(holdsLease(serving(), atA(sentinels as readonly SentinelProbe[], { agentUptimeMs: 60_000 }), policy)).toBe(holds)
  })

  test('over, its writes are held; its Sentinels back and behind it, they go on', () => {
    const d = decide(serving(), atA(old(900)), policy)
    expect(d.next.writesHeldSinceMs).toBe(nowMs)
    expect(kinds(d)).toContain('pause-writes')
    const again = decide({ ...serving(), writesHeldSinceMs: nowMs - 100 }, atA(calm), policy)
    expect(kinds(again)).toContain('resume-writes')
  })

  test('held for 500 ms, they are refused, and the address is given up', () => {
    const d = decide({ ...serving(), writesHeldSinceMs: nowMs - 501 }, atA(old(1400)), policy)
    expect(kinds(d)).toEqual(['fence-writes', 'resume-writes', 'kill-clients', 'vip'])
    const given = atA(old(1400), {
      keepalived: vrrp({ vrrp: 'FAULT', allowed: false }),
      redis: probe({ facts: primaryFacts(), fence: { runId: 'run-1', inForce: true }, ...may(false, null) }),
    })
    expect(kinds(decide({ ...serving(), writesHeldSinceMs: nowMs - 600 }, given, policy)), 'nor does it take the address again').toEqual([])
  })

  test('it has won its epoch by votes just now and the Sentinels do not name it yet: the votes are the first proof', () => {
    const won = serving({ epoch: 2, holder: 'a', vote: { epoch: 2, to: 'a', atMs: nowMs - 100 }, lineage: [entry(1, 'b', 0), entry(2, 'a', 900)] })
    const unaware = calm.map((s) => sentinel(s.host, { names: 'b' }))
    expect(holdsLease(won, atA(unaware), policy)).toBe(true)
    expect(holdsLease({ ...won, vote: { epoch: 2, to: 'a', atMs: nowMs - 801 } }, atA(unaware), policy)).toBe(false)
  })

  test('those that have voted for another in a later epoch stand behind that one, for as long as it may act on it; no vote deposes', () => {
    const two = (ageMs: number) => [
      calm[0] as SentinelProbe,
      sentinel('b', {}, { vote: vote('b', 2, ageMs) }),
      sentinel('c', {}, { vote: vote('b', 2, ageMs) }),
    ]
    const given = decide(serving(), atA(two(5)), policy)
    expect(given.next.phase).toBe('primary')
    expect(kinds(given)).toContain('pause-writes')
    expect(holdsLease(serving(), atA(two(1001)), policy), 'it has not').toBe(true)
    expect(holdsLease(serving(), atA(two(600), { agentUptimeMs: 650 }), policy), 'found when this agent began: an old one').toBe(true)
    const heardSince = peer(word('b', { seesHolder: 'serves' }), { statementAgeMs: 2 })
    expect(kinds(decide(serving(), { ...atA(two(5)), peers: [heardSince, peer(word('c'))] }, policy)), 'b has said since that this primary serves').toEqual([])
  })

  test('the votes for the target of its own switchover take nothing away', () => {
    const handing = serving({
      phase: 'handing',
      vote: { epoch: 2, to: 'b', atMs: nowMs },
      handover: { id: 'x', to: 'b', epoch: 2, stage: 'prepare', startedWallMs: 0, stageMs: nowMs, deadlineMs: nowMs + 500 },
    })
    const two = [sentinel('a', {}, { vote: vote('b', 2, 5) }), sentinel('b', {}, { vote: vote('b', 2, 5) }), sentinel('c', {}, { vote: vote('b', 2, 5) })]
    expect(holdsLease(handing, atA(two), policy)).toBe(true)
    const rolledBack = serving({ vote: { epoch: 2, to: 'b', atMs: nowMs } })
    expect(holdsLease(rolledBack, atA(two), policy), 'nor after it was rolled back').toBe(true)
    expect(holdsLease(serving(), atA(two), policy), 'asked for by somebody else they do').toBe(false)
  })
})

describe('a Sentinel acts by itself', () => {
  const selected = [sentinel('a', { failover: { to: 'b' } }, { vote: vote('sentinel:a', 6, 3) }), calm[1] as SentinelProbe, calm[2] as SentinelProbe]

  test('SENTINEL FAILOVER by hand: the primary holds its writes as soon as another is selected, before that one is promoted', () => {
    const d = decide(serving(), atA(selected), policy)
    expect(kinds(d)).toContain('pause-writes')
    expect(d.because).toContain('leads a failover to b')
    const aborted = decide({ ...serving(), writesHeldSinceMs: nowMs - 10 }, atA(calm), policy)
    expect(kinds(aborted)).toContain('resume-writes')
  })

  test('one that has selected nobody yet may never win: nothing is held', () => {
    expect(kinds(decide(serving(), atA([sentinel('a', { failover: { to: null } }), ...calm.slice(1)]), policy))).not.toContain('pause-writes')
  })

  test('the redis of b is a primary, and a Sentinel has promoted it: b takes the epoch up, and the address', () => {
    const here = view('b', [silent('a'), peer(word('c'))], {
      sentinels: selected,
      redis: probe({ facts: primaryFacts(), ...may() }),
      keepalived: vrrp({ allowed: false, vrrp: 'FAULT' }),
    })
    const d = decide(state('b'), here, policy)
    expect(d.next).toMatchObject({ phase: 'promoting', epoch: 6, holder: 'b' })
    expect(d.rule).toBe('Sentinel × promoted → adopt')
    expect(d.actions[0]).toEqual({ kind: 'vip', allowed: true })
    expect(kinds(d)).toContain('take-address')
    const done = decide(d.next, { ...here, nowMs: nowMs + 5 }, policy)
    expect(done.next.phase).toBe('primary')
    expect(done.actions).toContainEqual({ kind: 'tell-sentinels', sentinels: ['a', 'b', 'c'], holder: 'b', epoch: 6 })
  })

  test('a redis that somebody made a primary by hand is chosen by nobody: it is fenced', () => {
    const d = decide(
      state('b'),
      view('b', [peer(word('a', { phase: 'primary' })), peer(word('c'))], { sentinels: calm, redis: probe({ facts: primaryFacts(), ...may() }) }),
      policy,
    )
    expect(d.next.phase).toBe('fenced')
  })

  test('a primary that crashed is named still: what its supervisor restarted is not chosen by that', () => {
    const fenced = state('a', { phase: 'fenced' })
    const restarted = atA(calm, { redis: probe({ facts: primaryFacts({ runId: 'run-2', keys: 0, offset: 0 }), ...may() }) })
    expect(decide(fenced, restarted, policy).rule).not.toContain('adopt')
  })

  test('an election of Sentinels from before the epoch that is served is not taken up, whatever it has promoted', () => {
    const old = [sentinel('a', { failover: { to: 'b' } }, { vote: vote('sentinel:a', 6, 3) }), calm[1] as SentinelProbe, calm[2] as SentinelProbe]
    const here = view('b', [peer(word('c', { phase: 'primary', epoch: 7, holder: 'c' }))], {
      sentinels: old,
      redis: probe({ facts: primaryFacts(), ...may() }),
    })
    const served = state('b', { epoch: 7, holder: 'c', lineage: [entry(1, 'a', 0), entry(7, 'c', 900)] })
    expect(decide(served, here, policy).rule).not.toContain('adopt')
  })

  test('ordered by hand it has no majority behind it: no votes are its first proof, until the Sentinels name it', () => {
    const here = view('b', [silent('a'), peer(word('c'))], { sentinels: selected, redis: probe({ facts: primaryFacts(), ...may() }) })
    const adopted = decide(state('b'), here, policy).next
    expect(holdsLease(adopted, here, policy)).toBe(false)
    const elected = [selected[0] as SentinelProbe, sentinel('b', {}, { vote: vote('sentinel:a', 6, 3) }), calm[2] as SentinelProbe]
    expect(holdsLease(decide(state('b'), { ...here, sentinels: elected }, policy).next, here, policy)).toBe(true)
  })

  test('half a dataset is not taken up, whoever promoted it', () => {
    const partial = view('b', [silent('a'), peer(word('c'))], { sentinels: selected, redis: probe({ facts: primaryFacts(), ...may() }) })
    expect(decide(state('b', { partial: true }), partial, policy).rule).not.toContain('adopt')
  })

  test('a later epoch that names another ends this one, also where the other agent is dead', () => {
    const moved = [sentinel('a', { names: 'c', configEpoch: 9 }), calm[1] as SentinelProbe, calm[2] as SentinelProbe]
    const d = decide(serving(), { ...atA(moved), peers: [peer(word('b')), silent('c')] }, policy)
    expect(d.next).toMatchObject({ epoch: 9, holder: 'c', phase: 'fenced' })
  })
})

describe('who serves tells the Sentinels', () => {
  test('those whose epoch is older, and nobody else', () => {
    const later = serving({ epoch: 3, lineage: [entry(1, 'a', 0), entry(3, 'a', 900)] })
    const d = decide(later, atA([sentinel('a', { configEpoch: 3 }), sentinel('b'), sentinel('c', {}, { reach: 'silent' })]), policy)
    expect(d.actions).toEqual([{ kind: 'tell-sentinels', sentinels: ['b'], holder: 'a', epoch: 3 }])
  })
})

describe('the address', () => {
  test('a replica does not stand for it: VRRP would give it away before a Sentinel has chosen', () => {
    const here = view('b', [peer(word('a', { phase: 'primary' })), peer(word('c'))], {
      sentinels: calm,
      redis: probe(may()),
      keepalived: vrrp({ allowed: true }),
    })
    expect(decide(state('b'), here, policy).actions).toContainEqual({ kind: 'vip', allowed: false })
  })
})

describe('a switchover', () => {
  const handing = serving({
    phase: 'handing',
    vote: { epoch: 2, to: 'b', atMs: nowMs },
    handover: { id: 'x', to: 'b', epoch: 2, stage: 'prepare', startedWallMs: 0, stageMs: nowMs - 5, deadlineMs: nowMs + 500 },
  })
  const agreed = (sentinels: readonly SentinelProbe[]) =>
    view('a', [peer(word('b', { preparedId: 'x' })), peer(word('c'))], {
      sentinels,
      redis: probe({ facts: primaryFacts(), ...may(false, null) }),
      keepalived: vrrp({ vrrp: 'MASTER', vipHere: true }),
    })

  test('asks for the votes of the target before a write is held', () => {
    expect(decide(handing, agreed(calm), policy).actions).toEqual([{ kind: 'ask-votes', epoch: 2, to: 'b' }])
    const reserved = decide(handing, agreed(voted(vote('b', 2), vote('b', 2))), policy)
    expect(reserved.next.handover?.stage).toBe('pause')
    expect(kinds(reserved)).toContain('pause-writes')
  })

  test('is rolled back where a Sentinel has voted for another in that epoch', () => {
    const d = decide(handing, agreed(voted(vote('sentinel:c', 2), null, null)), policy)
    expect(d.next).toMatchObject({ phase: 'primary', handover: null })
    expect(d.because).toContain('has voted for sentinel:c meanwhile')
  })
})

test('nobody is foretold where too few Sentinels watch the group to elect anybody', () => {
  const forgot = (host: string): SentinelProbe => sentinel(host, {}, { reach: 'forgot', trouble: 'the Sentinel does not watch sessions' })
  const two = explainGroup(serving(), atA([...calm.slice(0, 2), forgot('c')]), policy)
  expect(two.wouldHappen).toContain('b would be promoted within milliseconds, with the votes of 2 of 3 Sentinels')
  const one = explainGroup(serving(), atA([...calm.slice(0, 1), forgot('b'), forgot('c')]), policy)
  expect(one.wouldHappen).toBe('nobody could be promoted: 1 of 3 Sentinels watch the group and answer here, and 2 must vote')
})
