/** What Sentinels may do to the redis here (ADR 0020): whether their orders reach it, and whether they may select it. */
import { describe, expect, test } from 'vitest'
import { decide } from '../../src/decide/decide.ts'
import { watch } from '../../src/decide/watch.ts'
import type { State } from '../../src/model/state.ts'
import type { View } from '../../src/model/view.ts'
import { freshWatch, type Watch } from '../../src/model/watch.ts'
import { facts, nowMs, peer, primaryFacts, probe, silent, state, view, vrrp, word } from './builders.ts'
import { atA, atB, calm, gone, may, policy, resigned, serving } from './sentinel-views.ts'

describe('the valve', () => {
  const follows = (more: Partial<View> = {}) =>
    view('b', [peer(word('a', { phase: 'primary' })), peer(word('c'))], { sentinels: calm, keepalived: vrrp({ allowed: false }), ...more })

  test('opens for a replica that is fit, which may then be selected', () => {
    const d = decide(state('b'), follows({ redis: probe(may(false, 0)) }), policy)
    expect(d.actions, 'in this order').toEqual([
      { kind: 'replica-priority', value: 100 },
      { kind: 'sentinel-orders', allowed: true },
    ])
  })

  test('who is not fit, and not just for a moment, is not to be selected: the Sentinel would wait for it in vain', () => {
    const syncing = probe({ facts: facts({ linkUp: false, linkDownS: 3, syncing: true }), ...may() })
    const unfit = (forMs: number, redis = syncing) =>
      decide(state('b'), follows({ redis, watch: { ...freshWatch, unfitSinceMs: nowMs - forMs } }), policy).actions
    const closes = { kind: 'sentinel-orders', allowed: false }
    expect(unfit(1999)).toEqual([closes])
    expect(unfit(2000), 'in this order').toEqual([closes, { kind: 'replica-priority', value: 0 }])
    // Fit in this very look.
    expect(unfit(5000, probe(may()))).toEqual([])
  })

  test('for how long it has not been fit is known from look to look; who serves is not asked', () => {
    const look = (before: Watch, s: State, atMs: number, more: Partial<View>) => watch(before, s, { ...follows(more), nowMs: atMs }, policy)
    const full = { durable: false }
    const since = look(look(freshWatch, state('b'), 1000, full), state('b'), 2000, full)
    expect(since.unfitSinceMs).toBe(1000)
    expect(look(since, state('b'), 3000, {}).unfitSinceMs).toBeNull()
    expect(look(since, { ...serving(), host: 'b', holder: 'b' }, 3000, full).unfitSinceMs).toBeNull()
  })

  test.each([
    ['the primary', serving(), atA(calm, { redis: probe({ facts: primaryFacts(), ...may(true, null) }) })],
    ['a replica that is not fit', state('b', { differs: { why: 'it differs', atWallMs: 1 } }), follows({ redis: probe(may()) })],
    ['a paused group', state('b', { paused: { on: true, atWallMs: 1, by: 'x' } }), follows({ redis: probe(may()) })],
  ] as const)('is closed for %s', (_what, s, v) => {
    expect(decide(s, v, policy).actions).toContainEqual({ kind: 'sentinel-orders', allowed: false })
  })

  test('is closed at the end of a cascade, and who stands behind it is not selected: every failover would end at the closed valve', () => {
    const [a, b, c] = policy.members
    const tree = { ...policy, members: policy.members.map((m) => (m === b ? { ...m, replicateFrom: 'c' } : m)) }
    const middle = facts({ upstream: { host: c?.ip ?? '', port: c?.port ?? 0 } })
    expect(decide(state('b'), follows({ redis: probe({ facts: middle, ...may() }) }), tree).actions).toEqual([
      { kind: 'sentinel-orders', allowed: false },
      { kind: 'replica-priority', value: 0 },
    ])
    const direct = facts({ upstream: { host: a?.ip ?? '', port: a?.port ?? 0 } })
    const middleIsDead = { ...follows({ redis: probe({ facts: direct, ...may(false, 0) }) }), peers: [peer(word('a', { phase: 'primary' })), silent('c')] }
    expect(decide(state('b'), middleIsDead, tree).actions).toEqual([
      { kind: 'replica-priority', value: 100 },
      { kind: 'sentinel-orders', allowed: true },
    ])
  })

  test.each([
    ['that followed the primary', 100, policy],
    ['that followed the middle', 0, { ...policy, members: policy.members.map((m) => (m.host === 'b' ? { ...m, replicateFrom: 'c' } : m)) }],
  ] as const)('in an election, in which each has let go of whom it followed, a member %s stays as it is', (_who, priority, tree) => {
    const letGo = facts({ upstream: { host: '127.0.0.1', port: 1 }, linkUp: false, linkDownS: 0 })
    const waits = { ...atB(calm, { redis: probe({ facts: letGo, ...may(true, priority) }) }), peers: [resigned, peer(word('c'))] }
    const d = decide(state('b', { gone }), waits, tree)
    expect(d.because).toContain('waits for')
    expect(d.actions).toEqual([{ kind: 'sentinel-orders', allowed: false }])
  })

  test('nor after it, while who was elected is being promoted', () => {
    const letGo = facts({ upstream: { host: '127.0.0.1', port: 1 }, linkUp: false, linkDownS: 0 })
    const promoting = {
      ...follows({ redis: probe({ facts: letGo, ...may(false) }) }),
      peers: [peer(word('a', { phase: 'promoting', epoch: 2 })), peer(word('c'))],
    }
    const d = decide(state('b', { epoch: 2 }), promoting, policy)
    expect(d.because).toContain('is being promoted')
    expect(d.actions).toEqual([])
  })
})
