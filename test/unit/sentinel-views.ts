/** What the members of a group with three Sentinels see, for tests of the core: a has crashed or serves, b and c are its replicas. */
import type { decide } from '../../src/decide/decide.ts'
import type { SentinelProbe, SentinelVote } from '../../src/model/sentinel.ts'
import type { State } from '../../src/model/state.ts'
import type { PeerProbe, View } from '../../src/model/view.ts'
import { facts, nowMs, peer, primaryFacts, probe, sentinel, sentinelPolicy, state, view, vrrp, word } from './builders.ts'

export const policy = sentinelPolicy()
export const calm = [sentinel('a'), sentinel('b'), sentinel('c')]
export const vote = (to: string, epoch: number, ageMs = 1, before?: { epoch: number; to: string; ageMs: number }): SentinelVote => ({
  to,
  epoch,
  ageMs,
  ...(before === undefined ? {} : { before }),
})
/** Whoever gave it found the primary down as it did. */
export const finding = (given: SentinelVote): SentinelVote => ({ ...given, down: true })
export const voted = (...votes: readonly (SentinelVote | null)[]): SentinelProbe[] => ['a', 'b', 'c'].map((h, i) => sentinel(h, {}, { vote: votes[i] ?? null }))
export const may = (orders: boolean | 'unknown' = true, priority: number | null = 100) => ({ sentinelMay: { orders, priority } })

export const resigned = peer(word('a', { phase: 'fenced', fit: false, answering: false, process: false }))
export const third = peer(word('c', { gone: 1, fresh: true, seesHolder: 'gone', redis: facts({ linkUp: false, linkDownS: 0 }) }))
export const gone: State['gone'] = { epoch: 1, fresh: true, atMs: nowMs - 2 }
export const atB = (sentinels: readonly SentinelProbe[], more: Partial<View> = {}): View =>
  view('b', [resigned, third], {
    sentinels,
    redis: probe({ facts: facts({ linkUp: false, linkDownS: 0, offset: 1000 }), ...may() }),
    keepalived: vrrp({ allowed: false, vrrp: 'FAULT' }),
    ...more,
  })
export const kinds = (d: ReturnType<typeof decide>): readonly string[] => d.actions.map((a) => a.kind)

export const serving = (more: Partial<State> = {}): State => state('a', { phase: 'primary', servingRunId: 'run-1', ...more })
export const followers: readonly PeerProbe[] = [peer(word('b')), peer(word('c'))]
export const atA = (sentinels: readonly SentinelProbe[], more: Partial<View> = {}): View =>
  view('a', followers, {
    sentinels,
    redis: probe({ facts: primaryFacts(), ...may(false, null) }),
    keepalived: vrrp({ vrrp: 'MASTER', vipHere: true }),
    ...more,
  })
