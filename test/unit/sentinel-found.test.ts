/** Groups whose voters are real Sentinels: accidents that the simulator found, each as the decision that prevents it. */
import { describe, expect, test } from 'vitest'
import { decide } from '../../src/decide/decide.ts'
import { holdsLease } from '../../src/decide/lease.ts'
import { sentinelsBehind } from '../../src/decide/sentinels.ts'
import type { SentinelProbe } from '../../src/model/sentinel.ts'
import type { View } from '../../src/model/view.ts'
import { facts, nowMs, peer, probe, sentinel, silent, state, word } from './builders.ts'
import { atA, atB, calm, gone, kinds, may, policy, resigned, serving, vote, voted } from './sentinel-views.ts'

test('who has voted for another in a later epoch does not stand behind this primary, whatever it names', () => {
  expect(sentinelsBehind(serving(), atA(calm), policy)).toBe(3)
  expect(sentinelsBehind(serving(), atA(voted(vote('?', 2), null, vote('?', 1))), policy)).toBe(2)
})

test('a Sentinel that fell silent while it led a failover may go on with it until its timeout', () => {
  const led = (reach: SentinelProbe['reach'], ageMs: number) =>
    atA([...calm.slice(0, 2), sentinel('c', { failover: { to: 'b' } }, { reach, ageMs, vote: vote('sentinel:c', 2, ageMs) })])
  expect(holdsLease(serving(), led('answers', 50), policy)).toBe(false)
  expect(holdsLease(serving(), led('silent', 9000), policy)).toBe(false)
  expect(holdsLease(serving(), led('silent', 10_001), policy)).toBe(true)
  expect(holdsLease(serving(), led('refused', 500), policy), 'its process has ended').toBe(true)
})

describe('a Sentinel names another in the very epoch that a serves', () => {
  const stray = (more: Partial<SentinelProbe['facts'] & object> = {}) => [sentinel('a'), sentinel('b'), sentinel('c', { names: 'b', ...more })]

  test('told in the middle of a failover of its own it took the epoch: a stands for a later one, and serves on', () => {
    const d = decide(serving(), atA(stray()), policy)
    expect(d.actions).toContainEqual({ kind: 'ask-votes', epoch: 2, to: 'a' })
    expect(d.next).toMatchObject({ phase: 'primary', epoch: 1, vote: { epoch: 2, to: 'a' } })
  })

  test('with the votes it takes the later epoch, as the primary that it is', () => {
    const voters = stray().map((s) => ({ ...s, vote: vote('a', 2) }))
    const d = decide(serving({ vote: { epoch: 2, to: 'a', atMs: nowMs - 3 } }), atA(voters), policy)
    expect(d.next).toMatchObject({ phase: 'promoting', epoch: 2, holder: 'a' })
  })

  test('not while that Sentinel is still at it: it would end with the other all the same', () => {
    expect(kinds(decide(serving(), atA(stray({ failover: { to: 'b' } })), policy))).not.toContain('ask-votes')
  })
})

test('a claim whose votes have grown old is given up: no Sentinel will ever stand behind whom it does not name', () => {
  const claimed = state('b', {
    phase: 'promoting',
    epoch: 5,
    holder: 'b',
    vote: { epoch: 5, to: 'b', atMs: nowMs - 5000 },
    claim: { source: 'failover', why: '' },
  })
  const d = decide(claimed, atB(voted(vote('b', 5, 5000), vote('b', 5, 5000))), policy)
  expect(d.next.phase).toBe('fenced')
  expect(kinds(d)).not.toContain('promote')
})

test('a replica that is cut off lets go as soon as those who hear each other may have elected another, not after a second', () => {
  const cutOff = (silentMs: number) =>
    atB(
      calm.map((s) => ({ ...s, reach: 'silent', ageMs: silentMs })),
      {
        ...{ redis: probe({ facts: facts({ linkUp: true }), ...may() }) },
        ...{ peers: [silent('a', { silentMs, redisReach: 'silent' }), silent('c', { silentMs, redisReach: 'silent' })] },
      },
    )
  expect(kinds(decide(state('b'), cutOff(policy.hostLossMs - 1), policy))).not.toContain('soft-fence')
  expect(kinds(decide(state('b'), cutOff(policy.hostLossMs + 1), policy))).toContain('soft-fence')
})

test('c did not hear b in time, and has the votes: b, heard now with the same data and a higher priority, does not stop it; with more data it does', () => {
  const mine = state('c', { gone, vote: { epoch: 5, to: 'c', atMs: nowMs - 8 } })
  const heardNow = (offset: number) => peer(word('b', { gone: 1, fresh: true, seesHolder: 'gone', redis: facts({ linkUp: false, linkDownS: 0, offset }) }))
  const atC = (offset: number, votes: readonly SentinelProbe[]): View => ({ ...atB(votes), peers: [resigned, heardNow(offset)] })
  const mineToGet = voted(vote('c', 5), vote('b', 5), vote('c', 5))
  expect(decide(mine, atC(1000, mineToGet), policy).next).toMatchObject({ phase: 'promoting', epoch: 5, holder: 'c' })
  expect(kinds(decide(mine, atC(1001, mineToGet), policy)), 'more data').not.toContain('promote')
  expect(kinds(decide(mine, atC(1000, voted(vote('c', 5), vote('b', 5), vote('b', 5))), policy)), 'too few votes').not.toContain('promote')
  const old = state('c', { gone, vote: { epoch: 5, to: 'c', atMs: nowMs - 400 } })
  expect(kinds(decide(old, atC(1000, mineToGet), policy)), 'votes of long ago').not.toContain('promote')
})
