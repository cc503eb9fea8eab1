/**
 * Groups whose voters are real Sentinels (ADR 0020): what their words mean for the lease of a primary, for a silence, for a candidate, and for
 * a member that a Sentinel has promoted by itself. PURE. Whose data are better is election.ts'; when writes are held back is lease.ts'.
 */
import type { Action } from '../model/action.ts'
import { ballotRetryMs, leaseOf, promoteWithinMs, type Policy, type SentinelPolicy } from '../model/policy.ts'
import { isReceiving } from '../model/move.ts'
import type { SentinelProbe, SentinelVote, Watched } from '../model/sentinel.ts'
import type { State, Vote } from '../model/state.ts'
import type { View } from '../model/view.ts'
import { answering, leaderName, namedBySentinels, sentinelsLeading, sentinelsOf } from './sentinel-words.ts'
import { findersNeeded, heard, isServingPhase, isWriteFenced, newcomerMs, peerOf } from './situation.ts'
import type { Context, Draft } from './draft.ts'

/** A ballot that found no majority is begun anew after this long, in the next epoch: epochs are not to run away while Sentinels are missing. */
const staleBallotMs = 500

/** A Sentinel that did not vote knows of a later epoch than is told here; so far ahead the next ballot is. */
const epochLeap = 10

/** What a candidate needs at most from its question to its promotion: its votes count for so long, then it acts or begins anew. */
const takenUpMs = 2 * (ballotRetryMs + promoteWithinMs)

/**
 * For how long, in ms from now, this Sentinel cannot find this primary down. It names it, has answered it, and stands behind nobody else.
 * BY THE SMALLER OF TWO TIMES: its own and the configured one differ for a while where down_after_ms is changed in a running group.
 */
export function boundMs(state: State, view: View, policy: Policy, sentinel: SentinelProbe): number {
  const { facts, ageMs } = sentinel
  if (facts === null || facts.names !== state.host || facts.down || votedAgainst(state, view, policy, sentinel)) return 0
  return Math.max(0, Math.min(policy.leaseMs, leaseOf(facts.settings.downAfterMs)) - ageMs - facts.pendingPingMs)
}

/** So many must stand behind a primary: one that goes by a smaller quorum than the configured one begins with fewer. */
export function neededBehind(view: View, sentinel: SentinelPolicy): number {
  const quorums = sentinelsOf(view).flatMap(({ facts }) => facts?.settings.quorum ?? [])
  return Math.max(sentinel.behind, ...quorums.map((quorum) => sentinel.hosts.length - quorum + 1))
}

/** How many Sentinels stand behind this primary at this moment. */
export function sentinelsBehind(state: State, view: View, policy: Policy): number {
  return sentinelsOf(view).filter((s) => boundMs(state, view, policy, s) > 0).length
}

/**
 * It has voted for another in a later epoch, and that one may be promoted on it still. Votes stay for ever, also those that nobody took up: of a
 * switchover that was rolled back, of a candidate that died. Nor does one that this agent found when it began say that it was given just now.
 */
export function votedAgainst(state: State, view: View, policy: Policy, { vote }: SentinelProbe): boolean {
  if (vote === null || vote.epoch <= state.epoch || vote.to === state.host) return false
  if (view.agentUptimeMs - vote.ageMs < newcomerMs || vote.ageMs >= takesUpWithinMs(view, policy, vote)) return false
  // Asked for by this very primary, for the target of its switchover.
  // Also after it was rolled back: a target stands in no epoch but its own, and takes this one only from a primary that gives it.
  if (state.vote?.epoch === vote.epoch && state.vote.to === vote.to) return false
  return mayTakeUp(view, vote)
}

/** Whoever got this vote may still act on it: not one that has been heard since to think otherwise. */
function mayTakeUp(view: View, vote: SentinelVote): boolean {
  const peer = peerOf(view, vote.to)
  const word = peer?.agent === 'alive' ? peer.statement : null
  if (word === null || peer === undefined || peer.statementAgeMs >= vote.ageMs) return true
  // A candidate that hears the primary serve does not stand any more.
  return word.seesHolder !== 'serves'
}

/** A Sentinel that was elected selects within two of its ticks; votes for it that were under way have arrived by then as well. */
const selectsWithinMs = 300

export type SentinelBallot =
  | { readonly result: 'elected'; readonly epoch: number; readonly because: string }
  /** `vote`: the candidacy to remember; `ask`: the Sentinels are to be asked in its epoch. */
  | { readonly result: 'waiting'; readonly vote: Vote | null; readonly ask: boolean; readonly because: string }

/** The best member stands for election among the Sentinels, or counts its votes. */
export function standBeforeSentinels(state: State, view: View, policy: Policy): SentinelBallot {
  const needed = policy.sentinel?.votes ?? Number.MAX_SAFE_INTEGER
  const mine = state.vote
  const rival = rivalOf(state, view, policy)
  if (rival !== null) return { result: 'waiting', vote: mine, ask: false, because: rival }
  if (mine === null || mine.to !== state.host || mine.epoch <= state.epoch) return candidacy(state, view)
  const given = votesFor(view, mine.epoch, state.host)
  const finders = policy.sentinel === null ? 0 : findersNeeded(state, view, policy.sentinel)
  const found = findersAmong(view, mine.epoch, state)
  const words = finders === 0 ? '' : `, ${found} of which found the primary down as they voted (${finders} are needed)`
  const tally = `the votes of ${given} Sentinels in epoch ${mine.epoch} (${needed} are needed)${words}`
  const askedForMs = view.nowMs - mine.atMs
  if (given >= needed && found >= finders && askedForMs <= ballotRetryMs) return { result: 'elected', epoch: mine.epoch, because: `has ${tally}` }
  // Older votes may have been given away since: another epoch asks everybody anew.
  if (askedForMs > (given >= needed ? ballotRetryMs : staleBallotMs)) return candidacy(state, view)
  return { result: 'waiting', vote: mine, ask: false, because: `has ${tally}` }
}

/** Agents hear of a candidacy by themselves; Sentinels are asked. */
export function askingOf(ballot: SentinelBallot): readonly Action[] {
  return ballot.result === 'waiting' && ballot.ask && ballot.vote !== null ? [{ kind: 'ask-votes', epoch: ballot.vote.epoch, to: ballot.vote.to }] : []
}

export function votesFor(view: View, epoch: number, to: string): number {
  return answering(view).filter((s) => s.vote?.epoch === epoch && s.vote.to === to).length
}

/**
 * Sentinels vote without judging, and what they find is asked a moment before: one that had heard the primary again in between gave its vote all the
 * same, and the primary may be counting on it again. What a Sentinel finds in the very answer that is its vote leaves no such moment.
 */
function findersAmong(view: View, epoch: number, { host, holder }: State): number {
  return answering(view).filter(({ facts, vote }) => vote?.epoch === epoch && vote.to === host && vote.down === true && facts?.names === holder).length
}

function candidacy(state: State, view: View): SentinelBallot {
  // Who finds the primary down may stand in the next epoch at this very moment: one further on, no vote for it is a vote less here.
  const epoch = nextEpoch(state, view) + (answering(view).some((s) => s.facts?.down === true) ? 1 : 0)
  return { result: 'waiting', vote: { epoch, to: state.host, atMs: view.nowMs }, ask: true, because: `asks the Sentinels for their votes in epoch ${epoch}` }
}

/** Above every epoch that was ever told here. A Sentinel that has answered since it was asked in the last one, and has not voted in it, knows of a later one. */
export function nextEpoch(state: State, view: View): number {
  const told = answering(view).map((s) => Math.max(s.facts?.configEpoch ?? 0, s.vote?.epoch ?? 0, s.vote?.before?.epoch ?? 0))
  const asked = state.vote !== null && state.vote.epoch > state.epoch ? state.vote.epoch : 0
  const sinceMs = view.nowMs - (state.vote?.atMs ?? view.nowMs)
  const refused = asked > 0 && state.epoch > 0 && answering(view).some((s) => (s.vote?.epoch ?? 0) < asked && s.ageMs < sinceMs)
  return Math.max(state.epoch, state.vote?.epoch ?? 0, ...told) + (refused ? epochLeap : 1)
}

/**
 * Without an election: above every vote that was told as well. Voters who voted for somebody in a later epoch carry no lease for this one, and
 * what an operator has just made a primary would resign at once.
 */
export function epochAbove({ state, view }: Pick<Context, 'state' | 'view'>): number {
  return Math.max(nextEpoch(state, view), ...state.votesHeard.map((v) => v.epoch + 1))
}

/**
 * Somebody else was voted for in an epoch that nobody has taken up yet: it may be promoting at this moment, and a vote in a later epoch
 * would make two (INV-3). An agent acts within milliseconds or never, but one that is not heard may serve on the lease that its votes began;
 * a Sentinel that leads has until its own timeout.
 */
function rivalOf(state: State, view: View, policy: Policy): string | null {
  const settled = Math.max(state.epoch, namedBySentinels(view)?.epoch ?? 0)
  for (const sentinel of sentinelsOf(view)) {
    for (const vote of votesTold(sentinel)) {
      if (vote.epoch <= settled || vote.to === state.host || !mayHaveWon(view, policy, vote)) continue
      const leftMs = takesUpWithinMs(view, policy, vote) - vote.ageMs
      if (leftMs > 0) return `${sentinel.host} has voted for ${vote.to} in epoch ${vote.epoch}, which may act on it for ${Math.round(leftMs)} ms more`
    }
  }
  return null
}

/**
 * With the votes that are told, and those of Sentinels of which it is not known that they are past that epoch. An agent and a Sentinel that stand
 * at the same moment would else wait for each other until the timeout, each with a vote too few. A Sentinel that stands no more has its own vote
 * only as long as it has not given it to another in a later epoch; one that was elected does not look at votes any more.
 */
function mayHaveWon(view: View, policy: Policy, { epoch, to }: SentinelVote): boolean {
  const counted = sentinelsOf(view).filter((s) => {
    const isOwn = to === leaderName(s.host)
    const lostOwn = isOwn && s.reach === 'answers' && s.facts?.failover === null
    const told = lostOwn ? [s.vote].filter((v) => v !== null) : votesTold(s)
    if (told.some((v) => v.epoch === epoch && v.to === to)) return true
    return s.reach !== 'answers' || (s.vote?.epoch ?? 0) < epoch
  })
  return counted.length >= (policy.sentinel?.votes ?? 0)
}

function votesTold({ vote }: SentinelProbe): readonly SentinelVote[] {
  if (vote === null) return []
  return vote.before === undefined ? [vote] : [vote, vote.before]
}

function takesUpWithinMs(view: View, policy: Policy, vote: SentinelVote): number {
  const { downAfterMs, failoverTimeoutMs } = policy.sentinel ?? { downAfterMs: 0, failoverTimeoutMs: 0 }
  const leader = sentinelsOf(view).find((s) => vote.to === leaderName(s.host))
  if (leader !== undefined) {
    if (leader.reach !== 'answers' || leader.facts === null || leader.ageMs >= vote.ageMs) return failoverTimeoutMs
    if (leader.facts.failover === null) return 0
    return leader.facts.failover.to === null ? selectsWithinMs : failoverTimeoutMs
  }
  const peer = peerOf(view, vote.to)
  if (peer === undefined) return failoverTimeoutMs
  const word = peer.agent === 'alive' && peer.statementAgeMs < vote.ageMs ? peer.statement : null
  return word !== null && !isServingPhase(word.phase) ? takenUpMs : downAfterMs
}

export interface Chosen {
  readonly epoch: number
  readonly why: string
  /** By the majority; else by one Sentinel that somebody ordered to. */
  readonly elected: boolean
}

/** A later epoch; or this one, of which the others have told that it is this member's, and which it has never served. */
function isNews(state: State, epoch: number): boolean {
  return (
    epoch > state.epoch ||
    (epoch === state.epoch && state.holder === state.host && !isServingPhase(state.phase) && !state.lineage.some((e) => e.epoch === epoch))
  )
}

function naming(view: View, host: string, epoch: number): number {
  return answering(view).filter((s) => s.facts?.names === host && s.facts.configEpoch === epoch).length
}

/**
 * A Sentinel has promoted the redis here by itself, because no agent was there to do it: since which epoch, and who says so. null: nobody
 * does. Not one that is only named still, from the time before its redis crashed.
 */
export function chosenBySentinel({ state, view, policy }: Pick<Context, 'state' | 'view' | 'policy'>): Chosen | null {
  const votes = policy.sentinel?.votes ?? Number.MAX_SAFE_INTEGER
  const { facts } = view.redis
  if (facts === null || facts.role !== 'primary' || facts.loading || facts.syncing || state.partial) return null
  // Held back by this agent or the guard: it may have been a primary before, and have what the others never had. The election compares.
  if (isWriteFenced(view) || state.epoch === 0) return null
  // INV-1: named or not, nobody is to give data up to it.
  if (facts.keys === 0 && view.peers.some((p) => (heard(p)?.redis?.keys ?? 0) > 0)) return null
  const named = namedBySentinels(view)
  if (named?.host === state.host && isNews(state, named.epoch))
    return {
      epoch: named.epoch,
      elected: naming(view, state.host, named.epoch) >= votes,
      why: `the Sentinel of ${named.by} names ${state.host} since epoch ${named.epoch}`,
    }
  // Sentinel takes whatever is a primary for promoted: only a replica is one by its order.
  const led = sentinelsLeading(view).find(({ to, epoch }) => to === state.host && (epoch === 0 || epoch > state.epoch))
  if (led === undefined || state.phase !== 'replica') return null
  const elected = votesFor(view, led.epoch, leaderName(led.by)) >= votes
  return { epoch: Math.max(state.epoch + 1, led.epoch), elected, why: `the Sentinel of ${led.by} leads a failover and has promoted ${state.host}` }
}

/** A later epoch of another member, of which the Sentinels know. A member that is named itself is not told by this what its redis is. */
export function learnFromSentinels(state: State, view: View, policy: Policy): State {
  const named = namedBySentinels(view)
  if (state.epoch === 0 || named === null || named.host === null || named.epoch <= state.epoch) return state
  if (policy.members.every((m) => m.host !== named.host)) return state
  const { facts, askedAgeMs } = view.redis
  const asked = sentinelsOf(view).find((s) => s.host === named.by)
  // Named, and its redis was measured since: it is none that a Sentinel has just promoted. Then nobody serves that epoch.
  const notHere = (facts?.role === 'replica' && askedAgeMs < (asked?.ageMs ?? 0)) || isWriteFenced(view)
  if (named.host === state.host && !notHere) return state
  return { ...state, epoch: named.epoch, holder: named.host, gone: null }
}

/** While another redis has the clients they watch nobody: a primary that says that it is a replica they would find down, and promote another. */
export function watchedOf(state: State, policy: Pick<Policy, 'awaitsMove'>): Watched {
  if (isReceiving(state.move)) return 'nobody'
  const former = state.move?.stage === 'done' && state.move.wayBack === 'replica' ? { former: state.move.source } : {}
  if (state.holder !== null) return { host: state.holder, epoch: state.epoch, ...former }
  return policy.awaitsMove === true ? 'nobody' : null
}

/**
 * Before a cut-over: so many will have to stand behind the new primary as soon as the lease that it begins with is over, and each is had to watch it
 * by the agent of its host. null: there are enough.
 */
export function whyTooFewSentinels({ state, view, policy }: Pick<Context, 'state' | 'view' | 'policy'>): string | null {
  if (policy.sentinel === null) return null
  const lives = (host: string): boolean => host === state.host || peerOf(view, host)?.agent === 'alive'
  const without = sentinelsOf(view).filter(({ host, reach }) => !lives(host) || (reach !== 'answers' && reach !== 'forgot'))
  const count = policy.sentinel.hosts.length - without.length
  if (count >= policy.sentinel.behind) return null
  const names = without.map(({ host }) => host).join(', ')
  return `${count} of ${policy.sentinel.hosts.length} Sentinels could watch the new primary, and ${policy.sentinel.behind} must (not heard, or their agents are not: ${names})`
}

/** Who serves tells every Sentinel that does not know, by their own message. */
export function tellRule({ view, policy }: Context, draft: Draft): readonly Action[] {
  const { next } = draft
  if (policy.sentinel === null || next.phase !== 'primary') return []
  const stale = answering(view).filter((s) => s.facts !== null && s.facts.configEpoch < next.epoch)
  return stale.length === 0 ? [] : [{ kind: 'tell-sentinels', sentinels: stale.map((s) => s.host), holder: next.host, epoch: next.epoch }]
}
