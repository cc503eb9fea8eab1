/** Groups whose voters are real Sentinels: accidents that were found by reading, each as the decision that prevents it. */
import { describe, expect, test } from 'vitest'
import { decide } from '../../src/decide/decide.ts'
import { situationOf } from '../../src/decide/situation.ts'
import type { SentinelProbe } from '../../src/model/sentinel.ts'
import { entry, facts, nowMs, peer, primaryFacts, probe, sentinel, silent, state, view, vrrp, word } from './builders.ts'
import { atA, calm, gone, kinds, may, policy, serving, vote } from './sentinel-views.ts'

const led = (by: string, to: string, epoch: number): SentinelProbe => sentinel(by, { failover: { to } }, { vote: vote(`sentinel:${by}`, epoch, 3) })
const primaryHere = (sentinels: readonly SentinelProbe[], more = {}) =>
  view('b', [silent('a'), peer(word('c'))], {
    sentinels,
    redis: probe({ facts: primaryFacts(), ...may() }),
    keepalived: vrrp({ vrrp: 'FAULT', allowed: false }),
    ...more,
  })

test('found gone once is not gone for ever: the Sentinels that hear the primary again are asked at each look', () => {
  const two = (down: boolean) => calm.map((s) => sentinel(s.host, { down: down && s.host !== 'c' }))
  const at = (down: boolean) => situationOf(state('b', { gone }), view('b', [silent('a'), silent('c')], { sentinels: two(down) }), policy)
  expect(at(true).holder).toBe('gone')
  expect(at(false).holder).toBe('unclear')
})

describe('a redis here is a primary, and a Sentinel leads a failover to it', () => {
  test('it is one under our write fence, with what the others never had: nothing is taken up', () => {
    const fenced = primaryHere([led('a', 'b', 6), ...calm.slice(1)], {
      redis: probe({ facts: primaryFacts(), fence: { runId: 'run-1', inForce: true }, ...may() }),
    })
    expect(decide(state('b', { phase: 'fenced' }), fenced, policy).rule).not.toContain('adopt')
    expect(decide(state('b'), fenced, policy).rule).not.toContain('adopt')
  })

  test('named by one Sentinel alone, while something has stopped its writes: they stay held until enough name it', () => {
    const cut = [sentinel('b', { names: 'b', configEpoch: 6 }), sentinel('a', {}, { reach: 'silent' }), sentinel('c', {}, { reach: 'silent' })]
    const d = decide(state('b'), primaryHere(cut), policy)
    expect(d.next).toMatchObject({ phase: 'promoting', epoch: 6, writesHeldSinceMs: nowMs })
  })

  test('this host has lost its state: the first of a group is chosen when all are heard, whatever a Sentinel names', () => {
    const named = { ...primaryHere(calm.map((s) => sentinel(s.host, { names: 'b', configEpoch: 9 }))), peers: [silent('a'), silent('c')] }
    expect(decide(state('b', { phase: 'fresh', epoch: 0, holder: null, lineage: [] }), named, policy).rule).not.toContain('adopt')
  })

  test('it is empty and a member that is heard is not: whatever a Sentinel names, nobody is to follow it', () => {
    const empty = primaryHere(
      calm.map((s) => sentinel(s.host, { names: 'b', configEpoch: 9 })),
      { redis: probe({ facts: primaryFacts({ keys: 0 }), ...may() }) },
    )
    expect(decide(state('b'), empty, policy).rule).not.toContain('adopt')
  })

  test('a peer has told first that epoch 6 is this member’s: it is taken up all the same', () => {
    const told = {
      ...primaryHere(calm.map((s) => sentinel(s.host, { names: 'b', configEpoch: 6 }))),
      peers: [silent('a'), peer(word('c', { epoch: 6, holder: 'b' }))],
    }
    expect(decide(state('b'), told, policy)).toMatchObject({ rule: 'Sentinel × promoted → adopt', next: { epoch: 6, writesHeldSinceMs: null } })
    const resigned = state('b', { phase: 'fenced', epoch: 6, holder: 'b', lineage: [entry(1, 'a', 0), entry(6, 'b', 900)] })
    expect(decide(resigned, told, policy).rule, 'it has served that epoch, and resigned').not.toContain('adopt')
  })

  test('this agent has only just begun: the Sentinels are asked before what runs is fenced', () => {
    const asking = calm.map((s) => sentinel(s.host, {}, { reach: 'silent' as const }))
    expect(kinds(decide(state('b'), primaryHere(asking, { agentUptimeMs: 100 }), policy))).not.toContain('soft-fence')
    expect(kinds(decide(state('b', { phase: 'fenced' }), primaryHere(asking, { agentUptimeMs: 600 }), policy))).toContain('fence-writes')
  })
})

test('one Sentinel still leads to this primary, another to somebody else: writes are held, in whatever order they are listed', () => {
  for (const order of [
    [0, 1],
    [1, 0],
  ] as const) {
    const both = [led('a', 'a', 2), led('c', 'b', 3)]
    const d = decide(serving(), atA([...order.map((i) => both[i] as SentinelProbe), sentinel('b')]), policy)
    expect(kinds(d)).toContain('pause-writes')
  }
})

describe('the valve stays shut', () => {
  const follows = (more = {}) =>
    view('b', [peer(word('a', { phase: 'primary' })), peer(word('c'))], {
      sentinels: calm,
      keepalived: vrrp({ allowed: false }),
      redis: probe(may(true)),
      ...more,
    })

  test('for a member that replicates from a middle: a Sentinel would move it, and the agent back, once a second', () => {
    const below = probe({ facts: facts({ upstream: { host: 'ip-c', port: 6379 } }), ...may(true) })
    const cascade = { ...policy, members: policy.members.map((m) => (m.host === 'b' ? { ...m, replicateFrom: 'c' } : m)) }
    expect(decide(state('b'), follows({ redis: below }), cascade).actions).toContainEqual({ kind: 'sentinel-orders', allowed: false })
  })

  test('where automatic failover is off', () => {
    expect(decide(state('b'), follows(), { ...policy, auto: false }).actions).toContainEqual({ kind: 'sentinel-orders', allowed: false })
  })
})
