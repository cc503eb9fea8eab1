/**
 * Groups with a witness: a primary serves on a lease that a quorum renews by hearing it (INV-3). The lease is counted from when
 * the primary SENT what was heard, the voters' silence from when they heard it: so it holds its writes back before anybody can be
 * elected, whatever the delays. First they are held (a hiccup costs clients some milliseconds and no error), then they are
 * refused and the address is given up. PURE.
 */
import type { Action, Event } from '../model/action.ts'
import { busyTickMs, holdWritesMs, isolatedMs, type Policy } from '../model/policy.ts'
import type { State } from '../model/state.ts'
import type { PeerProbe, View } from '../model/view.ts'
import { holdStill, type Context, type Draft } from './draft.ts'
import { heard, isServingPhase, newcomerMs } from './situation.ts'

export function withLease(ctx: Context, serve: (ctx: Context) => Draft, resign: (ctx: Context, why: string) => Draft): Draft {
  const { state, view, policy } = ctx
  const lost = lostVoters(state, view, policy)
  if (lost.length > 0) return resign(ctx, `${lost.join(' and ')} have voted for another: no quorum can stand behind epoch ${state.epoch} any more`)
  if (!holdsLease(state, view, policy)) return holdWrites(ctx)
  if (state.writesHeldSinceMs !== null) return releaseWrites(ctx)
  const draft = serve(ctx)
  // 0: it lives by its youth or by its votes.
  return { ...draft, wakeInMs: Math.min(draft.wakeInMs, leaseLeftMs(view, policy) || busyTickMs / 4) }
}

function holdWrites(ctx: Context): Draft {
  const { state, view, policy } = ctx
  const sinceMs = state.writesHeldSinceMs ?? view.nowMs
  const heldMs = view.nowMs - sinceMs
  const because = `no quorum (${policy.quorum} of members and witness) has heard this primary for ${policy.leaseMs} ms: another may be elected, so writes are held back`
  const text = `${state.host} is not heard by ${policy.quorum - 1} of its voters any more: writes are held back`
  const held: readonly Event[] = state.writesHeldSinceMs === null ? [{ kind: 'fenced', epoch: state.epoch, text, data: { from: state.host } }] : []
  const next: State = { ...state, writesHeldSinceMs: sinceMs }
  const hold: Action = { kind: 'pause-writes', forMs: holdWritesMs }
  if (heldMs < isolatedMs) {
    // Each time anew: a redis that was busy when it was asked first has not been told.
    return { ...holdStill(ctx, because, busyTickMs), next, actions: [hold], events: held }
  }
  // Cut off for good, as far as can be known: clients on this side are told, instead of waiting for a reply that cannot come.
  const givenUp = view.keepalived === null || !view.keepalived.allowed
  const actions: readonly Action[] = givenUp ? [hold] : [hold, { kind: 'kill-clients' }]
  return { ...holdStill(ctx, because, givenUp ? holdWritesMs / 10 : busyTickMs), next, actions, vip: false }
}

function releaseWrites(ctx: Context): Draft {
  const { state, view } = ctx
  const heldMs = Math.round(view.nowMs - (state.writesHeldSinceMs ?? view.nowMs))
  const text = `${state.host} is heard by a quorum again, and nobody was elected meanwhile: writes go on after ${heldMs} ms`
  return {
    ...holdStill(ctx, text, 0),
    next: { ...state, writesHeldSinceMs: null },
    actions: [{ kind: 'resume-writes' }],
    events: [{ kind: 'resumed', epoch: state.epoch, text }],
    vip: true,
  }
}

/** Who does not serve any more holds nothing back: what it was fenced with refuses writes, and a pause would hold up its replication. */
export function withoutHeldWrites(state: State, draft: Draft): Draft {
  if (state.writesHeldSinceMs === null || isServingPhase(draft.next.phase)) return draft
  return { ...draft, next: { ...draft.next, writesHeldSinceMs: null }, actions: [...draft.actions, { kind: 'resume-writes' }] }
}

/** May this primary acknowledge writes? Always where nobody can be elected against it: without a witness, and while the operator has paused. */
export function holdsLease(state: State, view: View, policy: Policy): boolean {
  if (policy.quorum === 0 || !policy.auto || state.paused.on) return true
  if (inTouch(state, view, policy) + 1 >= policy.quorum) return true
  // An agent that was restarted cannot know yet. One that had held writes back before goes on doing so.
  if (state.writesHeldSinceMs === null && view.agentUptimeMs < youngMs(policy)) return true
  // The votes were the first proof.
  return state.vote?.to === state.host && state.vote.epoch === state.epoch && view.nowMs - state.vote.atMs < policy.leaseMs
}

/** When the lease will end if nobody is heard from again, in ms from now. */
export function leaseLeftMs(view: View, policy: Policy): number {
  const ages = view.peers.map((p) => p.contactMs).sort((a, b) => a - b)
  const decisive = ages[policy.quorum - 2]
  return policy.quorum === 0 || decisive === undefined ? Number.MAX_SAFE_INTEGER : Math.max(0, policy.leaseMs - decisive)
}

/** Voters may be as young as this agent and vote when they are newcomers no more: it must have stopped before. */
function youngMs(policy: Policy): number {
  return Math.max(policy.leaseMs, newcomerMs - (policy.voteSilenceMs - policy.leaseMs))
}

/**
 * How many voters stand behind this primary. NOT ONE THAT HAS VOTED FOR ANOTHER SINCE: that vote may elect at any moment, and it is
 * told before the next echo. Nor one without an agent of which this one has never heard, or not since writes were held: it may
 * have voted before it died.
 */
function inTouch(state: State, view: View, policy: Policy): number {
  return view.peers.filter((p) => p.contactMs < policy.leaseMs && standsBehind(state, view, p)).length
}

function standsBehind(state: State, view: View, peer: PeerProbe): boolean {
  const { statement, statementAgeMs } = peer
  if (hasVotedAgainst(state, peer)) return false
  if (peer.agent === 'alive') return true
  return statement !== null && (state.writesHeldSinceMs === null || statementAgeMs < view.nowMs - state.writesHeldSinceMs)
}

/** Those who have voted for another, where they would make the quorum: whoever is to serve has to be elected anew. */
function lostVoters(state: State, view: View, policy: Policy): readonly string[] {
  if (policy.quorum === 0 || inTouch(state, view, policy) + 1 >= policy.quorum) return []
  const lost = view.peers.filter((p) => p.contactMs < policy.leaseMs && heard(p) !== null && hasVotedAgainst(state, p))
  return inTouch(state, view, policy) + 1 + lost.length >= policy.quorum ? lost.map((p) => p.host) : []
}

/** A candidate that hears this primary again does not stand any more. */
function hasVotedAgainst(state: State, peer: PeerProbe): boolean {
  const { statement } = peer
  const vote = statement?.vote ?? null
  if (statement === null || vote === null || vote.epoch <= state.epoch || vote.to === state.host) return false
  return vote.to !== peer.host || statement.seesHolder !== 'serves'
}
