/** Groups with a witness: who votes for whom, what a candidate counts, and until when a primary may acknowledge writes (INV-3). */
import { describe, expect, test } from 'vitest'
import { decide } from '../../src/decide/decide.ts'
import { holdsLease } from '../../src/decide/lease.ts'
import { standForElection } from '../../src/decide/voting.ts'
import { statementOf } from '../../src/decide/statement.ts'
import { decideAsWitness } from '../../src/decide/witness.ts'
import { freshState, type State } from '../../src/model/state.ts'
import type { PeerProbe, Statement } from '../../src/model/view.ts'
import { entry, facts, nowMs, peer, policy, primaryFacts, probe, silent, state, view, vrrp, word } from './builders.ts'

const abw = { ...policy('a', 'b'), witness: 'w', voters: 3, quorum: 2, leased: true }
const gone = { epoch: 1, fresh: true, atMs: nowMs }
const resigned = peer(word('a', { phase: 'fenced', fit: false, answering: false, process: false }))
const watching = (more: Partial<Statement> = {}): PeerProbe =>
  peer(word('w', { phase: 'fresh', redis: null, answering: false, process: false, fit: false, ...more }))
const asks = (epoch: number, more: Partial<Statement> = {}): PeerProbe => peer(word('b', { gone: 1, seesHolder: 'gone', vote: { epoch, to: 'b' }, ...more }))
const witness = (more: Partial<State> = {}): State => ({ ...freshState('sessions', 'w'), epoch: 1, holder: 'a', lineage: [entry(1, 'a', 0)], ...more })
const longSilent = silent('a', { silentMs: 190, redisReach: 'silent' })
/** The process at the other end is dead, and its stream has been read to its end. */
const ended = { redis: probe({ facts: facts({ linkUp: false, linkDownS: 0 }) }) }
const blind = { redis: probe({ process: false, facts: null }), keepalived: null }

describe('the witness', () => {
  test('votes for the one that asks, once the primary is found gone here too', () => {
    const { next } = decideAsWitness(witness(), view('w', [longSilent, asks(2)], blind), abw)
    expect(next.vote).toEqual({ epoch: 2, to: 'b', atMs: nowMs })
  })

  test.each([
    ['it hears the primary serve', [peer(word('a', { phase: 'primary' })), asks(2)]],
    ["the primary's lease may last", [silent('a', { silentMs: 187, redisReach: 'silent' }), asks(2)]],
    ["the primary's redis answers", [silent('a', { redisReach: 'answers' }), asks(2)]],
    ['nobody asks', [longSilent, peer(word('b', { gone: 1, seesHolder: 'gone' }))]],
    ['another member hears the primary', [longSilent, asks(2, { seesHolder: 'serves' })]],
    ['the epoch is over', [longSilent, asks(1)]],
    ['who asks is not heard', [longSilent, { ...asks(2), agent: 'silent' as const }]],
    ['somebody speaks for another', [longSilent, peer(word('b', { seesHolder: 'gone', vote: { epoch: 2, to: 'c' } }))]],
  ])('does not vote while %s', (_why, peers) => {
    expect(decideAsWitness(witness(), view('w', peers, blind), abw).next.vote).toBeNull()
  })

  test('has one vote per epoch, also after it forgot why; the next epoch is another matter', () => {
    const voted = witness({ vote: { epoch: 2, to: 'c', atMs: 0 } })
    expect(decideAsWitness(voted, view('w', [longSilent, asks(2)], blind), abw).next.vote?.to).toBe('c')
    expect(decideAsWitness(voted, view('w', [longSilent, asks(3)], blind), abw).next.vote).toMatchObject({ epoch: 3, to: 'b' })
  })

  test('restored from an old snapshot, it is told what it voted, and does not vote twice in that epoch', () => {
    const recalled = peer(word('c', { phase: 'replica', seesHolder: 'gone', votesHeard: [{ from: 'w', epoch: 2, to: 'c' }] }))
    const { next } = decideAsWitness(witness(), view('w', [longSilent, asks(2), recalled], blind), { ...policy('a', 'b', 'c'), witness: 'w', quorum: 3 })
    expect(next.vote).toMatchObject({ epoch: 2, to: 'c' })
    const moved = peer(word('c', { phase: 'replica', seesHolder: 'gone', vote: { epoch: 3, to: 'b' } }))
    const later = decideAsWitness(next, view('w', [longSilent, asks(3), moved], blind), abw).next.vote
    expect(later, 'the next epoch asks anew').toMatchObject({ epoch: 3, to: 'b' })
    expect(
      decideAsWitness(witness({ vote: { epoch: 4, to: 'b', atMs: 1 } }), view('w', [recalled], blind), abw).next.vote?.epoch,
      'what it knows better stays',
    ).toBe(4)
  })

  test('what others vote is remembered, and told; a voter that forgets does not make it forgotten', () => {
    const heardIt = decideAsWitness(witness(), view('w', [asks(5)], blind), abw).next
    expect(heardIt.votesHeard).toEqual([{ from: 'b', epoch: 5, to: 'b' }])
    expect(decideAsWitness(heardIt, view('w', [peer(word('b'))], blind), abw).next.votesHeard).toEqual(heardIt.votesHeard)
    expect(statementOf(heardIt, view('w', [], blind), abw).votesHeard).toEqual(heardIt.votesHeard)
  })

  test('just started, it may have an old disk and hear only one side: it votes when the longest lease that it can have given is over', () => {
    const slow = { ...abw, leaseMs: 4000, voteSilenceMs: 6250 }
    const cut = [silent('a', { silentMs: 9000, redisReach: 'silent' as const }), asks(2)]
    expect(decideAsWitness(witness(), view('w', cut, { ...blind, agentUptimeMs: 6200 }), slow)).toMatchObject({
      next: { vote: null },
      because: expect.stringContaining('just started') as string,
    })
    expect(decideAsWitness(witness(), view('w', cut, { ...blind, agentUptimeMs: 6300 }), slow).next.vote?.to).toBe('b')
  })

  test('votes for nobody else while the one it elected may serve: until its lease is over, or its own vote is another', () => {
    const voted = witness({ vote: { epoch: 2, to: 'c', atMs: nowMs - 187 } })
    const longAgo = witness({ vote: { epoch: 2, to: 'c', atMs: nowMs - 188 } })
    const c = (vote: { epoch: number; to: string }) => peer(word('c', { gone: 1, seesHolder: 'gone', vote }))
    const votesFor = (before: State, other: PeerProbe) => decideAsWitness(before, view('w', [longSilent, other, asks(3)], blind), abw).next.vote?.to
    expect(votesFor(voted, silent('c'))).toBe('c')
    expect(votesFor(longAgo, silent('c'))).toBe('b')
    expect(votesFor(longAgo, c({ epoch: 2, to: 'c' }))).toBe('c')
    expect(votesFor(voted, c({ epoch: 3, to: 'b' }))).toBe('b')
  })

  test('does not vote on a stream that has just ended, nor on a silence to which it has not listened', () => {
    const torn = silent('a', { agent: 'refused', silentMs: 100, redisReach: 'silent' })
    expect(decideAsWitness(witness(), view('w', [torn, asks(2)], blind), abw).next.vote).toBeNull()
    const dead = { ...torn, redisReach: 'refused' as const }
    expect(decideAsWitness(witness(), view('w', [dead, asks(2)], blind), abw).next.vote?.to).toBe('b')
    const slow = { ...abw, hostLossMs: 1000, leaseMs: 800, voteSilenceMs: 1250 }
    const never = silent('a', { silentMs: 1e12, redisReach: 'silent' })
    expect(decideAsWitness(witness(), view('w', [never, asks(2)], { ...blind, agentUptimeMs: 1200 }), slow).next.vote).toBeNull()
    expect(decideAsWitness(witness(), view('w', [never, asks(2)], { ...blind, agentUptimeMs: 1300 }), slow).next.vote?.to).toBe('b')
    const says = (agentUptimeMs: number) => statementOf(witness(), view('w', [never, asks(2)], { ...blind, agentUptimeMs }), slow).seesHolder
    expect([says(1200), says(1300)]).toEqual(['unclear', 'gone'])
  })

  test('does not vote when it cannot remember, or stood still itself', () => {
    expect(decideAsWitness(witness(), view('w', [longSilent, asks(2)], { ...blind, durable: false }), abw).next.vote).toBeNull()
    expect(decideAsWitness(witness(), view('w', [longSilent, asks(2)], { ...blind, stalledMs: 150 }), abw).next.vote).toBeNull()
  })
})

describe('the lease of the primary a', () => {
  const serving = state('a', { phase: 'primary' })
  const behind = (more: Partial<Statement>) => holdsLease(serving, view('a', [silent('b', { contactMs: 1e12 }), watching(more)]), abw)

  test('stands on nobody who echoes and has not spoken yet: what it voted while it was not heard comes after its first echo', () => {
    const back = (more: Partial<PeerProbe>) => holdsLease(serving, view('a', [silent('b', { contactMs: 1e12 }), { ...watching({}), ...more }]), abw)
    expect(back({})).toBe(true)
    expect(back({ statement: null })).toBe(false)
    expect(back({ statementAgeMs: 4000 })).toBe(false)
  })

  test('stands on nobody who has voted for another since, but on a candidate that hears this primary again', () => {
    expect(behind({})).toBe(true)
    expect(behind({ vote: { epoch: 2, to: 'b' } })).toBe(false)
    expect(behind({ vote: { epoch: 1, to: 'b' } })).toBe(true)
    const candidate = (seesHolder: Statement['seesHolder']) => peer(word('b', { vote: { epoch: 2, to: 'b' }, seesHolder }))
    const alone = (other: PeerProbe) => holdsLease(serving, view('a', [other, silent('w', { contactMs: 1e12 })]), abw)
    expect(alone(candidate('serves'))).toBe(true)
    expect(alone(candidate('gone'))).toBe(false)
  })

  test('stands on one without an agent, which votes for nobody; once writes are held only if it has spoken since: it may have voted before it died', () => {
    const dead = (more: Partial<PeerProbe>) => [silent('b', { contactMs: 1e12 }), { ...watching(), agent: 'refused' as const, contactMs: 0, ...more }]
    const held = { ...serving, writesHeldSinceMs: nowMs - 50 }
    expect(holdsLease(serving, view('a', dead({ statementAgeMs: 1e12 })), abw)).toBe(true)
    expect(holdsLease(serving, view('a', dead({ statement: null, statementAgeMs: 1e12 })), abw)).toBe(false)
    expect(holdsLease(held, view('a', dead({ statementAgeMs: 51 })), abw)).toBe(false)
    expect(holdsLease(held, view('a', dead({ statementAgeMs: 49 })), abw)).toBe(true)
  })

  test('ends with the epoch when those who would make the quorum have voted for another: it resigns', () => {
    const outvoted = view('a', [silent('b', { contactMs: 1e12 }), watching({ vote: { epoch: 2, to: 'b' } })], { redis: probe({ facts: primaryFacts() }) })
    expect(decide(serving, outvoted, abw).next.phase).toBe('fenced')
  })

  test('a heal brings the call for votes of a candidate before its word that it hears the primary again: it is waited for, with writes held', () => {
    const calls = (statementAgeMs: number) =>
      view('a', [{ ...asks(2), statementAgeMs, contactMs: 5 }, silent('w', { contactMs: 1e12 })], { redis: probe({ facts: primaryFacts() }) })
    expect(decide(serving, calls(304), abw)).toMatchObject({ next: { phase: 'primary' }, actions: [{ kind: 'pause-writes' }] })
    expect(decide(serving, calls(305), abw).next.phase, 'it goes on calling: whoever is to serve has to be elected').toBe('fenced')
  })

  test('of an agent that has just started ends before voters that are as young may vote', () => {
    const young = (agentUptimeMs: number) =>
      holdsLease(serving, view('a', [silent('b', { contactMs: 1e12 }), silent('w', { contactMs: 1e12 })], { agentUptimeMs }), abw)
    expect([young(430), young(440)]).toEqual([true, false])
  })
})

describe('the replica b, after a resigned', () => {
  const ready = (more: Partial<State> = {}): State => state('b', { gone, ...more })

  test('just started, it does not vote for itself either', () => {
    const young = { agentUptimeMs: 400 }
    expect(decide(ready(), view('b', [resigned, watching()], young), abw).next.vote).toBeNull()
  })

  test('stands for election, durably, before it promotes itself', () => {
    const { next, actions } = decide(ready(), view('b', [resigned, watching()], ended), abw)
    expect(next).toMatchObject({ phase: 'replica', epoch: 1, vote: { epoch: 2, to: 'b' } })
    expect(actions.map((a) => a.kind)).not.toContain('promote')
  })

  test('promotes itself with two of three votes, in the epoch that was voted on', () => {
    const standing = ready({ vote: { epoch: 4, to: 'b', atMs: nowMs } })
    const alone = decide(standing, view('b', [resigned, watching()], ended), abw)
    expect(alone.next.phase).toBe('replica')
    const { next, actions } = decide(standing, view('b', [resigned, watching({ vote: { epoch: 4, to: 'b' } })], ended), abw)
    expect(next).toMatchObject({ phase: 'promoting', epoch: 4, holder: 'b' })
    expect(actions.map((a) => a.kind)).toContain('promote')
  })

  test('a majority that comes when its voters may have voted for another is none: it asks anew, in another epoch', () => {
    const abcw = { ...policy('a', 'b', 'c'), witness: 'w', quorum: 3 }
    const vote = { epoch: 4, to: 'b' }
    const peers = [resigned, peer(word('c', { gone: 1, seesHolder: 'gone', vote })), watching({ vote })]
    const asked = (ms: number) => decide(ready({ vote: { ...vote, atMs: nowMs - ms } }), view('b', peers, ended), abcw).next
    expect(asked(150)).toMatchObject({ phase: 'promoting', epoch: 4 })
    expect(asked(151)).toMatchObject({ phase: 'replica', vote: { epoch: 4 } })
    expect(asked(501)).toMatchObject({ phase: 'replica', vote: { epoch: 5, to: 'b' } })
  })

  test('a claim that could not be carried out at once is as good as its votes, or as the quorum that is heard', () => {
    const claimed = (ms: number) =>
      ready({ phase: 'promoting', epoch: 4, holder: 'b', vote: { epoch: 4, to: 'b', atMs: nowMs - ms }, claim: { source: 'failover', why: '' } })
    const kinds = (ms: number, w: PeerProbe) =>
      decide(
        claimed(ms),
        view(
          'b',
          [resigned, w].map((p) => ({ ...p, contactMs: 400 })),
        ),
        abw,
      ).actions.map((a) => a.kind)
    expect(kinds(119, watching())).toContain('promote')
    expect(kinds(121, watching()), 'it may have voted for another, and that is not read yet').not.toContain('promote')
    const heardNow = (vote: Statement['vote']) =>
      decide(
        claimed(400),
        view('b', [
          { ...resigned, contactMs: 400 },
          { ...watching({ vote }), contactMs: 5 },
        ]),
        abw,
      )
    expect(heardNow({ epoch: 4, to: 'b' }).actions.map((a) => a.kind)).toContain('promote')
    expect(heardNow({ epoch: 5, to: 'c' }).actions.map((a) => a.kind)).not.toContain('promote')
  })

  test('a vote in another epoch, or of somebody who is not heard any more, does not count', () => {
    const standing = ready({ vote: { epoch: 4, to: 'b', atMs: nowMs } })
    for (const other of [watching({ vote: { epoch: 3, to: 'b' } }), { ...watching({ vote: { epoch: 4, to: 'b' } }), agent: 'silent' as const }])
      expect(decide(standing, view('b', [resigned, other], ended), abw).next.phase).toBe('replica')
  })

  test('the vote that a told with its resignation is taken up in its epoch', () => {
    const voted = peer(word('a', { phase: 'fenced', fit: false, answering: false, process: false, vote: { epoch: 2, to: 'b' } }))
    const ballot = standForElection(ready(), view('b', [voted, watching()]), abw)
    expect(ballot).toMatchObject({ result: 'waiting', vote: { epoch: 2, to: 'b' } })
    const standing = ready({ vote: { epoch: 2, to: 'b', atMs: nowMs } })
    expect(decide(standing, view('b', [voted, silent('w')], ended), abw).next).toMatchObject({ phase: 'promoting', epoch: 2 })
  })

  test('an epoch whose votes were split is given up after a while, for the next', () => {
    const split = [resigned, watching({ vote: { epoch: 2, to: 'c' } })]
    const standing = (agoMs: number): State => ready({ vote: { epoch: 2, to: 'b', atMs: nowMs - agoMs } })
    expect(standForElection(standing(100), view('b', split), abw)).toMatchObject({ result: 'waiting', vote: { epoch: 2 } })
    expect(standForElection(standing(151), view('b', split), abw)).toMatchObject({ result: 'waiting', vote: { epoch: 3 } })
  })

  test('b does not vote for a candidate with less data', () => {
    const lesser = peer(word('c', { gone: 1, vote: { epoch: 2, to: 'c' }, redis: facts({ offset: 900 }) }))
    const abc = { ...policy('a', 'b', 'c'), witness: 'w', voters: 4, quorum: 3, leased: true }
    expect(decide(ready(), view('b', [resigned, lesser, watching()], ended), abc).next.vote).toMatchObject({ to: 'b' })
  })

  test('nor where it may not stand itself, because it did not see the primary go', () => {
    const abc = { ...policy('a', 'b', 'c'), witness: 'w', voters: 4, quorum: 3, leased: true }
    const stale = ready({ gone: { ...gone, fresh: false } })
    const asked = (offset: number) => {
      const candidate = peer(word('c', { gone: 1, seesHolder: 'gone', vote: { epoch: 2, to: 'c' }, redis: facts({ offset }) }))
      return decide(stale, view('b', [longSilent, candidate, watching({ seesHolder: 'gone' })], { keepalived: vrrp({ vrrp: 'MASTER' }) }), abc).next.vote
    }
    expect(asked(999)).toBeNull()
    expect(asked(1000)).toMatchObject({ epoch: 2, to: 'c' })
  })
})

describe('the primary a', () => {
  const serving = (more: Partial<State> = {}): State => state('a', { phase: 'primary', holder: 'a', servingRunId: 'run-1', ...more })
  const running = { redis: probe({ facts: primaryFacts() }), keepalived: vrrp({ vipHere: true, vrrp: 'MASTER' as const }) }
  const touch = (b: number, w: number): readonly PeerProbe[] => [peer(word('b'), { contactMs: b }), { ...watching(), contactMs: w }]
  const kinds = (s: State, peers: readonly PeerProbe[], more = {}) => decide(s, view('a', peers, { ...running, ...more }), abw).actions.map((a) => a.kind)

  test('is not too young to count once it has been in touch, however slowly its clock runs', () => {
    const young = { agentUptimeMs: 325 }
    expect(holdsLease(serving(), view('a', touch(1e12, 1e12), { ...running, ...young }), abw)).toBe(true)
    expect(holdsLease(serving(), view('a', touch(120, 1e12), { ...running, ...young }), abw)).toBe(false)
  })

  test('serves while one of the two others has heard it within the lease', () => {
    expect(kinds(serving(), touch(119, 1e12))).toEqual([])
    expect(kinds(serving(), touch(1e12, 119))).toEqual([])
  })

  test('holds its writes back when neither has', () => {
    const { next, actions, events } = decide(serving(), view('a', touch(120, 120), running), abw)
    expect(actions.map((a) => a.kind)).toEqual(['pause-writes'])
    expect(next.writesHeldSinceMs).toBe(nowMs)
    expect(events[0]?.text).toMatch(/held back/)
  })

  test('looks again before the lease can end', () => {
    expect(decide(serving(), view('a', touch(100, 1e12), running), abw).wakeAtMs).toBeLessThanOrEqual(nowMs + 20)
  })

  test('lets them go on when it is heard again and nobody was elected', () => {
    const { next, actions } = decide(serving({ writesHeldSinceMs: nowMs - 50 }), view('a', touch(5, 1e12), running), abw)
    expect(actions.map((a) => a.kind)).toEqual(['resume-writes'])
    expect(next.writesHeldSinceMs).toBeNull()
  })

  test('refuses them when that lasts, before those that wait are let go; ends its clients and gives up its address', () => {
    const { next, actions } = decide(serving({ writesHeldSinceMs: nowMs - 501 }), view('a', touch(1e12, 1e12), running), abw)
    expect(actions.map((a) => a.kind)).toEqual(['fence-writes', 'resume-writes', 'kill-clients', 'vip'])
    expect(next).toMatchObject({ phase: 'primary', writesHeldSinceMs: nowMs - 501 })
  })

  const fenced = (inForce = true) => ({ redis: probe({ facts: primaryFacts(), fence: { runId: 'run-1', inForce } }) })

  test('leaves it at that while nobody hears it; a fence that was not confirmed is set again', () => {
    const held = serving({ writesHeldSinceMs: nowMs - 5000 })
    const withdrawn = { keepalived: vrrp({ allowed: false }) }
    expect(kinds(held, touch(1e12, 1e12), { ...fenced(), ...withdrawn })).toEqual([])
    expect(kinds(held, touch(1e12, 1e12), { ...fenced(false), ...withdrawn })).toEqual(['fence-writes', 'resume-writes', 'kill-clients'])
  })

  test('is heard again and nobody was elected: the fence is lifted, the address comes back', () => {
    const held = serving({ writesHeldSinceMs: nowMs - 5000 })
    const { next, actions } = decide(held, view('a', touch(5, 1e12), { ...fenced(), keepalived: vrrp({ allowed: false }) }), abw)
    expect(actions.map((a) => a.kind)).toEqual(['resume-writes', 'vip', 'lift-fence'])
    expect(next.writesHeldSinceMs).toBeNull()
  })

  test('finds its writes refused by the guard: a new agent does not let them through before somebody has heard it', () => {
    const young = { ...fenced(), agentUptimeMs: 50, keepalived: vrrp({ allowed: false }) }
    expect(decide(serving(), view('a', touch(1e12, 1e12), young), abw)).toMatchObject({ actions: [], next: { writesHeldSinceMs: nowMs } })
    expect(kinds(serving(), touch(5, 1e12), young)).toEqual(['resume-writes', 'vip', 'lift-fence'])
  })

  test.each(['primary', 'handing'] as const)('%s, and its redis owes an answer: held all the same', (phase) => {
    const slow = { redis: probe({ facts: primaryFacts(), unansweredMs: 300, factsAgeMs: 700 }) }
    const handover = { id: 'x', to: 'b', epoch: 2, stage: 'pause', startedWallMs: 0, stageMs: nowMs - 10, deadlineMs: nowMs + 500 } as const
    const { next, actions } = decide(
      serving({ phase, handover: phase === 'handing' ? handover : null }),
      view('a', touch(1e12, 1e12), { ...running, ...slow }),
      abw,
    )
    expect(actions.map((a) => a.kind)).toContain('pause-writes')
    expect(next).toMatchObject({ phase: 'primary', writesHeldSinceMs: nowMs })
  })

  test('is handing over to one that is not heard any more, nor anybody else: rolled back, and held', () => {
    const handover = { id: 'x', to: 'b', epoch: 2, stage: 'pause', startedWallMs: 0, stageMs: nowMs - 10, deadlineMs: nowMs + 500 } as const
    const { next, actions } = decide(serving({ phase: 'handing', handover }), view('a', [silent('b'), silent('w')], running), abw)
    expect(actions.map((a) => a.kind)).toEqual(['pause-writes', 'accept-connections', 'vrrp-yield'])
    expect(next).toMatchObject({ phase: 'primary', writesHeldSinceMs: nowMs })
  })

  test('holds them again each time: a redis that was busy when it was told first may not have taken it', () => {
    expect(kinds(serving({ writesHeldSinceMs: nowMs - 20 }), touch(1e12, 1e12))).toEqual(['pause-writes'])
  })

  test('that was elected elsewhere: fenced first, then the pause ends', () => {
    const elected = peer(word('b', { phase: 'primary', epoch: 2, holder: 'b', redis: primaryFacts() }))
    const { next, actions } = decide(serving({ writesHeldSinceMs: nowMs - 501 }), view('a', [elected, watching()], running), abw)
    expect(actions.map((a) => a.kind)).toEqual(['fence-writes', 'refuse-connections', 'kill-clients', 'resume-writes', 'vip'])
    expect(next.writesHeldSinceMs).toBeNull()
  })

  test('and who hears it has only just started: that one may have elected another and forgotten it; what was not held goes on', () => {
    const heardBy = (young: boolean) => view('a', [silent('b', { contactMs: 1e12 }), { ...watching(young ? { young: true } : {}), contactMs: 5 }], running)
    expect(holdsLease(serving(), heardBy(true), abw)).toBe(true)
    expect(holdsLease(serving({ writesHeldSinceMs: nowMs - 50 }), heardBy(true), abw)).toBe(false)
    expect(holdsLease(serving({ writesHeldSinceMs: nowMs - 50 }), heardBy(false), abw)).toBe(true)
    const says = (agentUptimeMs: number) => statementOf(witness(), view('w', [], { ...blind, agentUptimeMs }), abw).young
    expect(says(499)).toBe(true)
    expect(says(500)).toBeUndefined()
  })

  test('its agent has just been restarted: nobody had the time to hear it; but what was held stays held', () => {
    const young = view('a', touch(1e12, 1e12), { agentUptimeMs: 100 })
    expect(holdsLease(serving(), young, abw)).toBe(true)
    expect(holdsLease(serving({ writesHeldSinceMs: 1 }), young, abw)).toBe(false)
  })

  test('without a witness nobody can be elected against it', () => {
    const alone = view('a', touch(1e12, 1e12))
    expect(holdsLease(serving(), alone, policy())).toBe(true)
    expect(holdsLease(serving(), alone, abw)).toBe(false)
  })

  test('its redis dies: it votes with its resignation, for the one with the most data', () => {
    const dead = { redis: probe({ process: false, facts: primaryFacts() }), keepalived: running.keepalived }
    const abc = { ...policy('a', 'b', 'c'), witness: 'w', voters: 4, quorum: 3, leased: true }
    const peers = [peer(word('b', { redis: facts({ offset: 900 }) })), peer(word('c', { redis: facts({ offset: 950 }) })), watching()]
    expect(decide(serving(), view('a', peers, dead), abc).next.vote).toMatchObject({ epoch: 2, to: 'c' })
  })
})

test('what an operator forces is above every vote that was told: whoever gave a later one would carry no lease for it', () => {
  const request = { id: 'r', kind: 'failover' as const, to: 'b', by: 'anna', dryRun: false }
  const forced = (more: Partial<State>) => decide(state('b', { gone, ...more }), view('b', [longSilent, watching()], { ...ended, request }), abw).next
  expect(forced({})).toMatchObject({ phase: 'promoting', epoch: 2 })
  expect(forced({ vote: { epoch: 4, to: 'b', atMs: 0 } }).epoch).toBe(5)
  expect(forced({ votesHeard: [{ from: 'w', epoch: 7, to: 'a' }] }).epoch).toBe(8)
})
