/**
 * Groups with a witness: a promotion is put to the vote, one vote per epoch and voter (INV-3). PURE. Whose data are better is
 * election.ts'; until when the old primary may write is lease.ts'.
 */
import type { Event } from '../model/action.ts'
import { isReceiving } from '../model/move.ts'
import { ballotRetryMs, statementStaleMs, type Policy } from '../model/policy.ts'
import type { GaveVote, State, Vote } from '../model/state.ts'
import type { Statement, View } from '../model/view.ts'
import type { Context, Draft } from './draft.ts'
import { candidateFromWord, candidateOf, compareCandidates, ownFitness } from './fitness.ts'
import { comparePositions } from './position.ts'
import { heard, isServingPhase, newcomerMs, peerOf } from './situation.ts'

export type Ballot =
  | { readonly result: 'elected'; readonly epoch: number; readonly because: string }
  /** `vote`: what to remember and to tell; it is the candidacy. */
  | { readonly result: 'waiting'; readonly vote: Vote | null; readonly because: string }

/** A ballot that came too late for a majority is begun anew after this long: epochs are not to run away while a quorum is missing. */
const staleBallotMs = 500

/** The best member stands for election, or counts its votes. Only for groups with a quorum. */
export function standForElection(state: State, view: View, policy: Policy): Ballot {
  const votes = view.peers.flatMap((p) => heard(p)?.vote ?? [])
  const mine = state.vote
  // Its vote for itself is a vote like any other.
  if (mayHaveForgotten(view, policy) && (mine === null || mine.epoch <= state.epoch))
    return { result: 'waiting', vote: mine, because: 'has only just started, and listens before it votes' }
  if (mine === null || mine.to !== state.host || mine.epoch <= state.epoch) return candidacy(state, view, votes)
  const count = 1 + votes.filter((v) => v.epoch === mine.epoch && v.to === state.host).length
  const tally = `${count} of the ${policy.quorum} votes that are needed in epoch ${mine.epoch}`
  const askedForMs = view.nowMs - mine.atMs
  // Who voted for this member may vote for another after `voteSilenceMs`: a majority that is older than that is none.
  if (askedForMs > ballotRetryMs && count > 1)
    return askedForMs > staleBallotMs ? candidacy(state, view, votes) : { result: 'waiting', vote: mine, because: `has ${tally}, too late` }
  if (count >= policy.quorum && mine.gave !== undefined && mayStillServe(view, policy, mine.gave))
    return { result: 'waiting', vote: mine, because: `has ${tally}, but ${mine.gave.to} may still use its vote in epoch ${mine.gave.epoch}` }
  if (count >= policy.quorum) return { result: 'elected', epoch: mine.epoch, because: `has ${tally}` }
  // A vote in this epoch is gone for good. The next epoch asks everybody anew.
  const contested = votes.some((v) => v.epoch >= mine.epoch && v.to !== state.host)
  if (contested && askedForMs > ballotRetryMs) return candidacy(state, view, votes)
  // Asked in vain so far: it goes on asking in the same epoch.
  if (askedForMs > ballotRetryMs) return { result: 'waiting', vote: { ...mine, atMs: view.nowMs }, because: `has ${tally}` }
  return { result: 'waiting', vote: mine, because: `has ${tally}` }
}

function candidacy(state: State, view: View, votes: readonly { readonly epoch: number; readonly to: string }[]): Ballot {
  const highest = Math.max(state.epoch, state.vote?.epoch ?? 0, ...votes.map((v) => v.epoch))
  // The primary that resigns has voted already, in the epoch after its own: if for this member, that is the one to stand in.
  const offered = highest > Math.max(state.epoch, state.vote?.epoch ?? 0) && votes.every((v) => v.epoch < highest || v.to === state.host)
  const epoch = offered ? highest : highest + 1
  const gave = state.vote === null ? undefined : state.vote.to === state.host ? state.vote.gave : state.vote
  const bound = gave !== undefined && gave.epoch > state.epoch
  const given = bound ? { gave: { epoch: gave.epoch, to: gave.to, atMs: gave.atMs, endedMs: 'endedMs' in gave ? gave.endedMs : view.nowMs } } : {}
  const vote: Vote = { epoch, to: state.host, atMs: view.nowMs, ...given }
  return { result: 'waiting', vote, because: `asks for votes in epoch ${epoch}` }
}

/**
 * The vote of a primary whose redis is dead, told with its resignation: the one with the most data of those that are fit. It spares
 * the successor a round trip to an agent that is busy starting redis again. null: it votes like everybody, when asked.
 */
export function voteOfTheDead(ctx: Context): Vote | null {
  const { state, view, policy, situation } = ctx
  const epoch = state.epoch + 1
  if (policy.quorum === 0 || mayHaveForgotten(view, policy) || situation.redis !== 'dead' || (state.vote?.epoch ?? 0) >= epoch) return state.vote
  const fit = view.peers.map((p) => heard(p)).filter((word) => word?.fit === true && word.epoch === state.epoch && word.host !== policy.witness)
  const candidates = fit.flatMap((word) => (word === null ? [] : (candidateFromWord(policy, word, state) ?? [])))
  const best = candidates.sort(compareCandidates).at(-1)
  return best === undefined ? state.vote : { epoch, to: best.host, atMs: view.nowMs }
}

/** The vote of everybody else: given once per epoch, only where the primary is found gone here too, never to less data than here. */
export function withVote(ctx: Context, draft: Draft): Draft {
  const { view, policy, situation } = ctx
  const { next } = draft
  // A paused primary counts on those that know of the pause.
  if (policy.quorum === 0 || !view.durable || next.paused.on || isServingPhase(next.phase) || next.phase === 'handed') return draft
  if (mayHaveForgotten(view, policy))
    return { ...draft, because: `has only just started: whom it voted for before, and who counts on that, it must hear first; ${draft.because}` }
  // Another redis has the clients, as all who have heard of it know (INV-3).
  if (isReceiving(next.move)) return draft
  if (situation.claim !== 'theirs' || situation.holder !== 'gone') return draft
  const candidate = view.peers.map((p) => heard(p)).find((word): word is Statement => word !== null && asksFor(word, next))
  if (candidate?.vote == null || hasMore(ctx, candidate) || isBound(ctx, candidate.host)) return draft
  const { epoch } = candidate.vote
  const voted: Event = {
    kind: 'voted',
    epoch,
    text: `${next.host} votes for ${candidate.host}: ${situation.holderWhy}`,
    data: { from: next.host, to: candidate.host },
  }
  return {
    ...draft,
    next: { ...next, vote: { epoch, to: candidate.host, atMs: view.nowMs } },
    events: [...draft.events, voted],
    because: `votes for ${candidate.host} in epoch ${epoch}; ${draft.because}`,
  }
}

/**
 * An agent that has just started may have been given an old disk: then it does not know whom it elected, and that one serves on a
 * lease that this voter's old vote and contact gave. Until the longest such lease is over it votes for nobody. Whoever is still in
 * touch with it has told it of its epoch by then.
 */
export function mayHaveForgotten(view: View, policy: Policy): boolean {
  return view.agentUptimeMs < Math.max(newcomerMs, policy.voteSilenceMs)
}

function asksFor(word: Statement, voter: State): boolean {
  const { vote } = word
  return vote !== null && vote.to === word.host && vote.epoch > voter.epoch && vote.epoch > (voter.vote?.epoch ?? 0)
}

/**
 * Whom this voter has elected in an epoch of which it has not heard since may serve in it, on the lease that the vote began, and may
 * go on as long as it is heard here. NO VOTE FOR ANOTHER BEFORE THAT IS OVER: both would have a majority, in two epochs.
 */
function isBound(ctx: Context, candidate: string): boolean {
  const { state, view, policy } = ctx
  const { vote } = state
  const given = vote?.to === state.host ? vote.gave : vote
  return given != null && given.epoch > state.epoch && given.to !== candidate && mayStillServe(view, policy, given)
}

/** It has voted in a later epoch since, so it takes nothing up in that one any more; or nothing holds its lease there. */
function mayStillServe(view: View, policy: Policy, vote: Vote | GaveVote): boolean {
  const peer = peerOf(view, vote.to)
  const since = heard(peer)?.vote ?? null
  if (since !== null && since.epoch > vote.epoch) return false
  const word = heard(peer)
  // A candidate has told another vote for so long that nobody can count this one any more: who says so since has not taken it up, and never will.
  const saidAtMs = view.nowMs - (peer?.statementAgeMs ?? 0)
  if ('endedMs' in vote && word !== null && word.epoch < vote.epoch && saidAtMs - vote.endedMs > statementStaleMs + ballotRetryMs) return false
  return view.nowMs - vote.atMs < policy.voteSilenceMs || (peer?.silentMs ?? Number.MAX_SAFE_INTEGER) < policy.voteSilenceMs
}

function hasMore(ctx: Context, candidate: Statement): boolean {
  const { state, view, policy } = ctx
  const facts = view.redis.facts
  if (facts === null || !ownFitness(state, view, policy).fit) return false
  const theirs = candidateFromWord(policy, candidate, state)
  return theirs !== null && comparePositions(candidateOf(policy, state.host, facts, state).position, theirs.position) > 0
}

/** It is listened to as closely as a primary: the votes that it asks for are its first lease. */
export function isCandidate(state: State): boolean {
  return state.vote?.to === state.host && state.vote.epoch > state.epoch
}
