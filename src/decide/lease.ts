/**
 * Groups in which another may be elected unasked: a primary serves on a lease that is renewed by being heard (INV-3), by a quorum
 * where there are votes, by any member or one of the `check_ips` where there are none. It is counted from when the primary SENT what
 * was heard, the others' silence from when they heard it: so writes are held back before anybody can be promoted, whatever the
 * delays. Where real Sentinels vote, theirs is the hearing that counts (sentinels.ts). First they are held (a hiccup costs clients some milliseconds and no error), then refused, and the address is given up. PURE.
 */
import type { Action, Event } from '../model/action.ts'
import { busyTickMs, holdWritesMs, isVoted, lonelyWaitMs, longSilentMs, takeBackMs, type Policy } from '../model/policy.ts'
import type { State } from '../model/state.ts'
import type { PeerProbe, View } from '../model/view.ts'
import { holdStill, type Context, type Draft } from './draft.ts'
import { knowsOfPause } from './learn.ts'
import { sentinelsLeading, sentinelsOf, type Leading } from './sentinel-words.ts'
import { boundMs, neededBehind, sentinelsBehind, votedAgainst } from './sentinels.ts'
import { heard, isServingPhase, isWriteFenced, newcomerMs, redisAnswers } from './situation.ts'

export function withLease(ctx: Context, serve: (ctx: Context) => Draft, resign: (ctx: Context, why: string) => Draft): Draft {
  const { state, view, policy } = ctx
  // Sentinels' votes stay for ever, also those that nobody took up: there the lease ends for as long as one may, and goes on.
  const lost = policy.sentinel === null ? lostVoters(state, view, policy) : []
  if (lost.length > 0) return resign(ctx, `${lost.join(' and ')} have voted for another: no quorum can stand behind epoch ${state.epoch} any more`)
  if (!holdsLease(state, view, policy)) return holdWrites(ctx)
  if (state.writesHeldSinceMs !== null || (policy.leased && isWriteFenced(view))) return releaseWrites(ctx)
  const draft = serve(ctx)
  // 0: it lives by its youth or by its votes.
  return { ...draft, wakeInMs: Math.min(draft.wakeInMs, leaseLeftMs(state, view, policy) || busyTickMs / 4) }
}

/** Of a primary whose redis owes an answer: what it is told now comes before whatever clients send it later. */
export function withLeaseWhileSlow(ctx: Context, otherwise: () => Draft): Draft {
  const { state, view, policy, situation } = ctx
  const serves = situation.claim === 'mine' && state.phase === 'primary'
  return serves && !holdsLease(state, view, policy) ? holdWrites(ctx) : otherwise()
}

function holdWrites(ctx: Context): Draft {
  const { state, view, policy } = ctx
  const sinceMs = state.writesHeldSinceMs ?? view.nowMs
  const heldMs = view.nowMs - sinceMs
  const begins = state.writesHeldSinceMs === null
  const { why, text } = lossInWords(ctx)
  const next: State = { ...state, writesHeldSinceMs: sinceMs }
  const events: readonly Event[] = begins ? [{ kind: 'fenced', epoch: state.epoch, text, data: { from: state.host } }] : []
  const draft: Draft = { ...holdStill(ctx, `${why}: another may be promoted, so writes are held back`, busyTickMs / 2), next, events }
  const hold: Action = { kind: 'pause-writes', forMs: holdWritesMs }
  const facts = view.redis.facts
  // The pause waits in its queue. The address cannot wait: through it clients would meet whatever redis does when it wakes.
  if (facts === null || !redisAnswers(view)) return { ...draft, actions: begins ? [hold] : [], vip: false }
  // What was set while this agent was dead or hung (the guard) is not taken back before somebody hears this primary.
  const mustRefuse = isWriteFenced(view) || (heldMs >= policy.refuseAfterMs && isKnown(ctx))
  // Each time anew: a redis that was busy when it was asked first has not been told.
  if (!mustRefuse) return { ...draft, actions: [hold] }
  return refuseWrites(ctx, draft, facts.runId)
}

/** By whom it is not heard any more: `why` for the decision, `text` for the event log. */
function lossInWords({ state, view, policy }: Context): { readonly why: string; readonly text: string } {
  const { host } = state
  const led = ledAway(state, view, policy)
  if (led !== null) {
    const why = `the Sentinel of ${led.by} leads a failover to ${led.to}`
    return { why, text: `${why}: ${host} holds writes back` }
  }
  if (policy.sentinel !== null) {
    const needed = `${neededBehind(view, policy.sentinel)} of ${policy.sentinel.hosts.length}`
    return {
      why: `too few Sentinels (${needed} are needed) are known to have heard this primary for ${policy.leaseMs} ms`,
      text: `${host} has lost sight of its Sentinels: writes are held back`,
    }
  }
  if (policy.checks) {
    const silence = view.checks?.reach === 'silent' ? 'answers' : 'has answered yet'
    return {
      why: `no member has heard this primary for ${policy.leaseMs} ms, and none of check_ips ${silence}`,
      text: `${host} is cut off: it hears no member and reaches none of check_ips; writes are held back`,
    }
  }
  return {
    why: `no quorum (${policy.quorum} of ${policy.voters}) has heard this primary for ${policy.leaseMs} ms`,
    text: `${host} is not heard by ${policy.quorum - 1} of its voters any more: writes are held back`,
  }
}

/** Cut off for good, as far as can be known: clients on this side are told, instead of waiting for a reply that cannot come. */
function refuseWrites(ctx: Context, draft: Draft, runId: string): Draft {
  const { view } = ctx
  const because = draft.because.replace('held back', 'refused')
  const givenUp = view.keepalived === null || !view.keepalived.allowed
  if (isWriteFenced(view) && givenUp) return { ...draft, because, wakeInMs: holdWritesMs / 10, vip: false }
  // THE FENCE BEFORE THE PAUSE ENDS: those that wait are refused, not let through.
  const actions: readonly Action[] = [{ kind: 'fence-writes', runId }, { kind: 'resume-writes' }, { kind: 'kill-clients' }]
  return { ...draft, because, actions, vip: false }
}

/** Silence of the peers is known by itself; that of `check_ips` only when they were asked. Unknown holds writes and refuses none. */
function isKnown(ctx: Context): boolean {
  return !ctx.policy.checks || ctx.view.checks?.reach === 'silent'
}

function releaseWrites(ctx: Context): Draft {
  const { state, view, policy } = ctx
  const heldMs = Math.round(view.nowMs - (state.writesHeldSinceMs ?? view.nowMs))
  const who = policy.sentinel !== null ? 'is heard by its Sentinels again' : policy.quorum > 0 ? 'is heard by a quorum again' : 'is not cut off any more'
  const text = `${state.host} ${who}, and nobody was elected meanwhile: writes go on${state.writesHeldSinceMs === null ? '' : ` after ${heldMs} ms`}`
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

/** May this primary acknowledge writes? Always where nobody can be promoted unasked: by votes of all, or while all have been told of a pause. */
export function holdsLease(state: State, view: View, policy: Policy): boolean {
  if (!policy.leased || (policy.sentinel === null && !policy.auto) || isPausedForAll(state, view, policy)) return true
  if (policy.sentinel !== null && ledAway(state, view, policy) !== null) return false
  if (inTouch(state, view, policy) >= needed(view, policy)) return true
  const replaced = mayBeReplaced(state, view)
  if (policy.checks && (replaced ? wasReaching(view, policy) : reachesCheck(view, policy))) return true
  // An agent that was restarted cannot know yet. One that was in touch before can, and so can one whose writes were held or refused before.
  if (!replaced && view.agentUptimeMs < youngMs(policy) && !wasInTouch(view, policy)) return true
  // The votes were the first proof.
  return isVoted(policy) && state.vote?.to === state.host && state.vote.epoch === state.epoch && view.nowMs - state.vote.atMs < policy.leaseMs
}

/**
 * A Sentinel is about to promote another: an operator's SENTINEL FAILOVER needs no votes and no silence, and would let this primary acknowledge
 * writes for eleven seconds more. Not one that knows of an epoch before this one.
 * One that fell silent in the middle of it (it was stopped, or cut off from here) goes on where it was.
 */
function ledAway(state: State, view: View, policy: Policy): Leading | null {
  const led = sentinelsLeading(view, policy.sentinel?.failoverTimeoutMs)
  return led.find(({ to, epoch }) => to !== state.host && (epoch === 0 || epoch > state.epoch)) ?? null
}

/** So many know of the pause that the others are no quorum. Who knows votes for nobody, and after a resume not before this primary knows too. */
function isPausedForAll(state: State, view: View, policy: Policy): boolean {
  if (!state.paused.on) return false
  const head = state.lineage.at(-1)
  // With `--force` an operator has said that nobody else serves, and with the pause that nobody else is to: a quorum may be lost for good.
  if (head?.epoch === state.epoch && head.holder === state.host && head.source === 'forced') return true
  const told = state.pauseTold?.atWallMs === state.paused.atWallMs ? state.pauseTold.hosts : []
  // Whatever the Sentinels find or vote, no agent stands, and no redis takes their orders.
  if (policy.sentinel !== null) return policy.members.every(({ host }) => host === state.host || told.includes(host))
  const knows = (p: PeerProbe): boolean => told.includes(p.host) || knowsOfPause(p.statement, state.paused.atWallMs, view)
  const know = view.peers.filter((p) => knows(p) && !hasVotedAgainst(state, p)).length
  return policy.quorum === 0 ? know === view.peers.length : view.peers.length - know < policy.quorum
}

/** Who was cut off may have been replaced. Its gateway, or a voter that has forgotten how it voted, answers before anybody can say so. */
function mayBeReplaced(state: State, view: View): boolean {
  return state.writesHeldSinceMs !== null || isWriteFenced(view)
}

/** When the lease will end if nobody is heard from again, in ms from now. */
export function leaseLeftMs(state: State, view: View, policy: Policy): number {
  if (!policy.leased || isPausedForAll(state, view, policy)) return Number.MAX_SAFE_INTEGER
  if (policy.sentinel !== null)
    return (
      sentinelsOf(view)
        .map((s) => boundMs(state, view, policy, s))
        .sort((a, b) => b - a)[needed(view, policy) - 1] ?? 0
    )
  const ages = view.peers.map((p) => p.contactMs).sort((a, b) => a - b)
  const decisive = ages[needed(view, policy) - 1]
  const leftMs = decisive === undefined ? 0 : Math.max(0, policy.leaseMs - decisive)
  // Half of it: the next question must have its answer before the last answer is too old.
  const checkedMs = policy.checks && view.checks?.reach === 'answers' ? (checkLeaseMs(view, policy) - view.checks.ageMs) / 2 : 0
  return Math.max(leftMs, checkedMs)
}

/** One of `check_ips` answers from here, and that is not old news. */
function reachesCheck(view: View, policy: Policy): boolean {
  return view.checks?.reach === 'answers' && view.checks.ageMs < checkLeaseMs(view, policy)
}

function checkLeaseMs(view: View, policy: Policy): number {
  return view.peers.every((p) => p.silentMs >= longSilentMs) ? Math.max(policy.leaseMs, lonelyWaitMs / 2) : policy.leaseMs
}

/** And has for so long that members who can speak would have been heard: at a heal the gateway answers first. */
function wasReaching(view: View, policy: Policy): boolean {
  return reachesCheck(view, policy) && (view.checks?.forMs ?? 0) >= lonelyWaitMs
}

/**
 * This host may be the one that is lost: no member is heard, not even a refusal, and none of `check_ips` is known to answer.
 * Who does not serve must not begin to now.
 */
export function isCutOff(view: View, policy: Policy): boolean {
  // A refusal counts while it is fresh: the host that gave it may be unreachable by now.
  const hears = view.peers.some((p) => p.agent === 'alive' || (p.agent === 'refused' && p.contactMs < policy.leaseMs))
  return policy.checks && !hears && !wasReaching(view, policy)
}

function needed(view: View, policy: Policy): number {
  if (policy.sentinel !== null) return neededBehind(view, policy.sentinel)
  return policy.quorum > 0 ? policy.quorum - 1 : 1
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
  if (policy.sentinel !== null) return sentinelsBehind(state, view, policy)
  return view.peers.filter((p) => p.contactMs < policy.leaseMs && standsBehind(state, view, policy, p)).length
}

/** In this life of the agent. From then on silence is silence, also by a clock that stands still now and then. */
function wasInTouch(view: View, policy: Policy): boolean {
  if (policy.sentinel !== null) return sentinelsOf(view).filter((s) => s.facts !== null && s.ageMs < view.agentUptimeMs).length >= needed(view, policy)
  return view.peers.filter((p) => p.statement !== null && p.contactMs < view.agentUptimeMs).length >= needed(view, policy)
}

function standsBehind(state: State, view: View, policy: Policy, peer: PeerProbe): boolean {
  const { statement, statementAgeMs } = peer
  // Without votes a host where no agent listens promotes nobody.
  if (policy.quorum === 0) return true
  if (hasVotedAgainst(state, peer)) return false
  if (statement?.young === true && mayBeReplaced(state, view)) return false
  // Who is back after a silence echoes before it has said what it voted meanwhile.
  if (peer.agent === 'alive') return heard(peer) !== null
  return statement !== null && (state.writesHeldSinceMs === null || statementAgeMs < view.nowMs - state.writesHeldSinceMs)
}

/** Those who have voted for another, where they would make the quorum: whoever is to serve has to be elected anew. */
export function lostVoters(state: State, view: View, policy: Policy): readonly string[] {
  if (policy.sentinel !== null) return lostSentinels(state, view, policy, neededBehind(view, policy.sentinel))
  if (policy.quorum === 0 || inTouch(state, view, policy) + 1 >= policy.quorum) return []
  const lost = view.peers.filter((p) => p.contactMs < policy.leaseMs && heard(p) !== null && hasVotedAgainst(state, p) && !mayTakeItBack(p))
  return inTouch(state, view, policy) + 1 + lost.length >= policy.quorum ? lost.map((p) => p.host) : []
}

/** A candidate that hears this primary again does not stand any more. */
function hasVotedAgainst(state: State, peer: PeerProbe): boolean {
  const { statement } = peer
  const vote = statement?.vote ?? null
  if (statement === null || vote === null || vote.epoch <= state.epoch || vote.to === state.host) return false
  return vote.to !== peer.host || statement.seesHolder !== 'serves'
}

/**
 * A candidate that has said nothing since it could hear this primary again. At a heal its last call for votes arrives a moment before the
 * word that it follows: a primary that resigned on it would begin an election that nobody needs.
 */
function mayTakeItBack(peer: PeerProbe): boolean {
  return peer.statement?.vote?.to === peer.host && peer.statementAgeMs < peer.contactMs + takeBackMs
}

/** Sentinels that answer and have voted for another, where they would make the number. */
function lostSentinels(state: State, view: View, policy: Policy, behind: number): readonly string[] {
  const answers = sentinelsOf(view).filter((s) => s.reach === 'answers' && s.facts?.names === state.host && !s.facts.down)
  const lost = answers.filter((s) => votedAgainst(state, view, policy, s))
  return answers.length - lost.length < behind && answers.length >= behind ? lost.map((s) => `the Sentinel of ${s.host}`) : []
}
