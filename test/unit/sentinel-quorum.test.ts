/** What `quorum` means for a failover that an agent leads: so many Sentinels find the primary down, in the moment in which they vote. */
import { describe, expect, test } from 'vitest'
import { decide } from '../../src/decide/decide.ts'
import { situationOf } from '../../src/decide/situation.ts'
import type { SentinelVote } from '../../src/model/sentinel.ts'
import { policyOf, type Policy } from '../../src/model/policy.ts'
import { groupConfig, nowMs, sentinel, sentinelPolicy, silent, state } from './builders.ts'
import { atB, finding, gone, kinds, resigned, third, vote } from './sentinel-views.ts'

const five = ['a', 'b', 'c', 'd', 'e']
const withQuorum = (quorum: number, hosts = five): Policy => {
  const { sentinel: usual, ...policy } = sentinelPolicy()
  const group = groupConfig(['a', 'b', 'c'], {
    mode: 'sentinel',
    sentinel: { hosts, port: 26379, quorum, downAfterMs: 1000, failoverTimeoutMs: 10_000, parallelSyncs: 1, process: 'direct' },
  })
  return { ...policy, sentinel: usual === null ? null : policyOf(group, () => '').sentinel }
}
const mine = state('b', { gone, vote: { epoch: 3, to: 'b', atMs: nowMs - 3 } })
/** Each has found it down at the last look; the votes say what they found as they were given. */
const seenDown = (...votes: readonly (SentinelVote | null)[]) => votes.map((v, i) => sentinel(five[i] ?? '', { down: true }, { vote: v }))
const yes = finding(vote('b', 3))
const no = vote('b', 3)
const unheard = { peers: [silent('a', { silentMs: 1100, redisReach: 'silent' }), third] }

describe('the host of the primary is silent, and the majority has given its votes', () => {
  const take = (policy: Policy, ...votes: readonly (SentinelVote | null)[]) => decide(mine, atB(seenDown(...votes), unheard), policy)

  test('two of three that found it down as they voted: b is promoted', () => {
    expect(kinds(take(withQuorum(2, five.slice(0, 3)), yes, yes, null))).toContain('promote')
  })

  test('one had heard it again just before: b is not promoted, says why, and asks anew after 150 ms', () => {
    const waiting = take(withQuorum(2, five.slice(0, 3)), yes, no, null)
    expect(kinds(waiting)).not.toContain('promote')
    expect(waiting.next.phase).toBe('replica')
    expect(waiting.because).toContain('the votes of 2 Sentinels in epoch 3 (2 are needed), 1 of which found the primary down as they voted (2 are needed)')
    const later = { ...mine, vote: { epoch: 3, to: 'b', atMs: nowMs - 151 } }
    const anew = decide(later, atB(seenDown(yes, no, null), unheard), withQuorum(2, five.slice(0, 3)))
    // Who finds it down may stand in the next epoch itself.
    expect(anew.next.vote?.to).toBe('b')
    expect(anew.next.vote?.epoch).toBeGreaterThan(4)
    expect(kinds(anew)).toContain('ask-votes')
  })

  test('4 of 5: four votes of which three found it down are too few, also with a fifth vote', () => {
    const policy = withQuorum(4)
    expect(policy.sentinel).toMatchObject({ quorum: 4, votes: 4, behind: 2 })
    expect(kinds(take(policy, yes, yes, yes, no, null))).not.toContain('promote')
    expect(kinds(take(policy, yes, yes, yes, no, no))).not.toContain('promote')
    expect(kinds(take(policy, yes, yes, yes, yes, null))).toContain('promote')
  })

  test('what a Sentinel finds of another primary, that it names, does not count', () => {
    const strays = seenDown(yes, yes, yes, no).map((s, i) => (i === 2 && s.facts !== null ? { ...s, facts: { ...s.facts, names: 'c' } } : s))
    expect(kinds(decide(mine, atB(strays, unheard), withQuorum(3)))).not.toContain('promote')
  })

  test('a Sentinel in TILT has not looked: what it found before does not count', () => {
    const tilted = seenDown(yes, yes, null).map((s, i) => (i > 0 && s.facts !== null ? { ...s, facts: { ...s.facts, tilt: true } } : s))
    expect(situationOf(mine, atB(tilted, unheard), withQuorum(2, five.slice(0, 3)))).toMatchObject({ holder: 'unclear' })
  })
})

test('the agent of the primary says itself that its redis is dead: nobody need find it down', () => {
  const calm = five.map((host, i) => sentinel(host, {}, { vote: i < 4 ? no : null }))
  expect(kinds(decide(mine, atB(calm, { peers: [resigned, third] }), withQuorum(4)))).toContain('promote')
})

describe('neither agent nor redis is there, says the kernel of the host', () => {
  const refused = { peers: [silent('a', { agent: 'refused', redisReach: 'refused' }), third] }
  const calm = five.map((host, i) => sentinel(host, {}, { vote: i < 4 ? no : null }))

  test('with a quorum up to the majority that is as good as a word', () => {
    expect(kinds(decide(mine, atB(calm, refused), withQuorum(3)))).toContain('promote')
  })

  test('who wants more to agree wants them to find it down: a firewall can say so as well', () => {
    expect(situationOf(mine, atB(calm, refused), withQuorum(4))).toMatchObject({ holder: 'unclear', holderWhy: expect.stringContaining('0 of 5') as string })
    expect(kinds(decide(mine, atB(seenDown(yes, yes, yes, yes), refused), withQuorum(4)))).toContain('promote')
    expect(kinds(decide(mine, atB(seenDown(yes, yes, yes, no), refused), withQuorum(4)))).not.toContain('promote')
  })
})
