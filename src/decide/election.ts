/**
 * Nobody serves: who takes over, or for whom do we wait? Every member computes this from the same words, and only the
 * one that finds itself promotes itself. Unknown never permits a promotion: a member that cannot be asked is left out
 * only where its data cannot be the better ones, or where it is itself what was lost.
 */
import type { View } from '../model/view.ts'
import type { State } from '../model/state.ts'
import { ballotRetryMs, electionWaitMs, isVoted, lonelyWaitMs, rivalWaitMs, stallLimitMs, wordTravelMs, type Policy } from '../model/policy.ts'
import { whyAwaitHolder } from './behind.ts'
import { candidateFromWord, candidateOf, compareCandidates, isMeasuredSinceGone, memberOf, ownFitness, type Candidate } from './fitness.ts'
import { comparePositions, describePosition, estimateSlackBytes, isPlaced, mayHaveMore, type Position } from './position.ts'
import { votesFor } from './sentinels.ts'
import { heard, newcomerMs, peerOf } from './situation.ts'

export type Election =
  | { readonly result: 'me'; readonly because: string }
  | { readonly result: 'other'; readonly host: string; readonly because: string }
  | { readonly result: 'wait'; readonly because: string; readonly forHosts: readonly string[] }
  /** Only an operator can say what is to be done (INV-1). */
  | { readonly result: 'refuse'; readonly because: string }

export function elect(state: State, view: View, policy: Policy): Election {
  const facts = view.redis.facts
  const own = ownFitness(state, view, policy)
  const me = facts === null ? null : candidateOf(policy, state.host, facts, state)
  const others: Candidate[] = []
  const unheard: string[] = []
  const unmeasured: string[] = []
  const barred: Barred[] = []
  const ahead: string[] = []
  let freshOther = false
  for (const member of policy.members) {
    if (member.host === state.host) continue
    const word = heard(peerOf(view, member.host))
    if (word === null) {
      unheard.push(member.host)
      continue
    }
    const candidate = candidateFromWord(policy, word, state)
    const final = word.gone >= state.epoch || word.phase === 'fenced' || word.host === state.holder
    // Data that are still being read have no offset yet, and may be the better ones (INV-8).
    const measured = candidate !== null && word.redis?.loading === false && !word.redis.syncing
    if (!measured || !final) {
      unmeasured.push(member.host)
      // It has not seen the primary go yet; what it has will not become less (INV-4).
      if (measured && word.fit && me !== null && comparePositions(candidate.position, me.position) > 0) ahead.push(member.host)
    } else if (word.fit) {
      others.push(candidate)
      freshOther ||= word.fresh === true && word.gone >= state.epoch
    } else barred.push({ ...candidate, why: word.unfitWhy })
  }
  const giver = silentGiver(state, view)
  if (giver !== null) return wait([giver], `${giver} gave epoch ${state.epoch} away, is not heard, and its redis answers: it may accept writes still`)
  const first = preferHolder(state, [...others, ...(own.fit && me !== null ? [me] : [])].sort(compareCandidates))
  const best = own.fit && me !== null && isVotedAmongEquals(state, view, policy, me, first) ? me : first
  const [richest] = barred.filter((c) => isPlaced(c.position) && !isDiverged(c.position)).sort((a, b) => comparePositions(b.position, a.position))
  if (best === undefined && richest !== undefined && unheard.length + unmeasured.length === 0) return refuse(state, policy, richest, own.why)
  if (best === undefined) return wait(unheard.concat(unmeasured), `no member heard is fit (here: ${own.why || 'fit'})`)
  if (best.host !== state.host) return { result: 'other', host: best.host, because: `${best.host} has the most data (${describePosition(best.position)})` }
  if (state.gone !== null && !isMeasuredSinceGone(state, view)) return wait([state.host], `the redis of ${state.host} owes an answer: its offset is of before`)
  if (ahead.length > 0) return wait(ahead, `${ahead.join(', ')} has more data already`)
  return judgeMyself(state, view, policy, { me: best, others, barred, unheard, unmeasured, freshOther })
}

/**
 * The best, last in order. Whoever held the epoch wrote last, so of estimates that cannot be told apart its own is taken: that is what
 * redis itself would go on with. Not where its end was torn: so much it surely lacks, and another whose end is whole may have it (INV-4).
 */
function preferHolder(state: State, inOrder: readonly Candidate[]): Candidate | undefined {
  const best = inOrder.at(-1)
  if (best?.position.kind !== 'noted') return best
  const { epoch, offset } = best.position
  const near = inOrder.filter(({ position }) => position.kind === 'noted' && position.epoch === epoch && position.offset >= offset - estimateSlackBytes)
  const whole = near.filter(({ position }) => position.kind === 'noted' && position.cut !== true)
  return whole.find((c) => c.host === state.holder) ?? (whole.length < near.length ? (whole.at(-1) ?? best) : best)
}

/**
 * Of members with the same data the one goes on that the Sentinels have voted for already: were it to step back before one of higher priority,
 * heard only now, their votes would be nobody's, and that one would wait out its own lost ballot.
 */
function isVotedAmongEquals({ host, holder, epoch, vote }: State, view: View, policy: Policy, me: Candidate, first: Candidate | undefined): boolean {
  if (policy.sentinel === null || first === undefined || first.host === host || first.host === holder) return false
  if (!isPlaced(me.position) || comparePositions(me.position, first.position) !== 0) return false
  if (vote === null || vote.to !== host || vote.epoch <= epoch || view.nowMs - vote.atMs > ballotRetryMs) return false
  return votesFor(view, vote.epoch, host) >= policy.sentinel.votes
}

/** An epoch that was given away and never taken: whoever gave it may not have got as far as to refuse writes (INV-3). */
function silentGiver(state: State, view: View): string | null {
  const last = state.lineage.at(-1)
  if (last === undefined || last.epoch >= state.epoch || last.holder === state.host) return null
  const peer = peerOf(view, last.holder)
  const lives = peer !== undefined && peer.redisReach !== 'refused' && peer.redisReach !== 'silent'
  return lives && heard(peer) === null ? last.holder : null
}

/** Heard and measured, but may not be promoted (never_primary, a full disk): nobody's rival, and perhaps the only one that has the data. */
type Barred = Candidate & { readonly why: string }

interface Field {
  readonly me: Candidate
  readonly others: readonly Candidate[]
  readonly barred: readonly Barred[]
  readonly unheard: readonly string[]
  readonly unmeasured: readonly string[]
  /** Another one, that was compared, had a live link until the primary went. */
  readonly freshOther: boolean
}

/** I am the best of those that can be compared. Is that enough? */
function judgeMyself(state: State, view: View, policy: Policy, field: Field): Election {
  const { unheard, unmeasured } = field
  // The others may be electing one of them at this moment, because this member did not say in time what it has. Votes settle that.
  const late = !isVoted(policy) ? whyLate(state, view) : null
  if (late !== null && field.others.some((c) => c.host !== state.holder))
    return wait([...unheard, ...unmeasured], `${late}, and the others may have chosen without it`)
  const mine = describePosition(field.me.position)
  const rivals = field.others.map((c) => `${c.host}: ${describePosition(c.position)}`).join('; ')
  const compared = rivals === '' ? mine : `${mine}, against ${rivals}`
  const sinceGoneMs = listenedMs(state, view)
  const fresh = state.gone?.epoch === state.epoch && state.gone.fresh && state.holder !== state.host
  // A link that lived until the end missed at most what was under way. A disk that was read again may miss everything.
  const [richer] = fresh ? [] : field.barred.filter((c) => !isDiverged(c.position) && comparePositions(c.position, field.me.position) > 0)
  if (richer !== undefined) {
    return refuse(state, policy, richer, mine)
  }
  const behind = fresh ? whyAwaitHolder(state, view, field.me.position) : null
  if (behind !== null) return wait([state.holder ?? ''], behind)
  const doubt = fresh ? undefined : [...field.others, ...field.barred].find((c) => isDoubtful(state, c, field.me))
  if (doubt !== undefined) return refuseToGuess(state, field.me, doubt)
  if (unheard.length === 0 && unmeasured.length === 0) return me(`all members were heard; most data are here (${compared})`)
  if (fresh) {
    // The lost holder itself needs no hearing: what it has and we have not, it could not send. Other live replicas do.
    const late = [...unheard, ...unmeasured].filter((h) => h !== state.holder)
    if (late.length === 0) return me(`the link was alive until ${state.holder ?? 'the primary'} went (${compared})`)
    const waitMs = late.some((h) => isReconnecting(view, h) || isRival(view, policy, h)) ? rivalWaitMs : electionWaitMs
    if (sinceGoneMs >= waitMs)
      return me(`the link was alive until ${state.holder ?? 'the primary'} went; ${late.join(', ')} did not say more within ${waitMs} ms (${compared})`)
    return wait(late, `${late.join(', ')} may have more data`)
  }
  // The other could be promoted without them by now, and has no more than what is here.
  if (field.freshOther && state.holder === state.host && sinceGoneMs >= rivalWaitMs) {
    const rest = [...unheard, ...unmeasured].join(', ')
    return me(`a replica whose link was alive until the end has no more, and ${rest} did not say more within ${rivalWaitMs} ms (${compared})`)
  }
  if (unmeasured.length > 0) {
    const whys = unmeasured.map((host) => `${host} cannot be compared yet (${heard(peerOf(view, host))?.unfitWhy ?? ''})`)
    return wait(unmeasured, `${whys.join(', ')}, and this member's link was not alive when the primary went`)
  }
  return judgeLonely(state, view, policy, unheard, compared)
}

/** What a word may need on its way, and still be there when an election is decided. */
const wordMs = 20

/** Until its word has had the time to be heard, and the claim of whoever went on without it to be heard here. */
function whyLate(state: State, view: View): string | null {
  if (view.agentUptimeMs < newcomerMs) return 'this agent has only just started'
  const { readySinceMs, saidSinceMs } = view.watch
  const knowsForMs = state.gone === null ? 0 : view.nowMs - state.gone.atMs
  const earlier = view.peers.find((p) => (heard(p)?.gone ?? 0) >= state.epoch && p.statementAgeMs - knowsForMs > electionWaitMs - wordMs)
  if (knowsForMs < electionWaitMs && earlier !== undefined) return `${earlier.host} has known for longer that the primary is gone`
  if (readySinceMs !== null && view.nowMs - readySinceMs < electionWaitMs) return 'this member could not be chosen until just now'
  const saidLate = saidSinceMs !== null && state.gone !== null && saidSinceMs - state.gone.atMs > rivalWaitMs - wordTravelMs
  return saidLate && view.nowMs - saidSinceMs < rivalWaitMs ? 'this member has needed long to say what it has' : null
}

/** It is heard and may be promoted, as it says, and has not said yet that the primary is gone, and with what data that leaves it. Votes settle that sooner. */
function isRival(view: View, policy: Policy, host: string): boolean {
  return !isVoted(policy) && heard(peerOf(view, host))?.fit === true
}

/** Its stream ended in the middle of the election and its redis lives: it may have more data, and will be heard again soon. */
function isReconnecting(view: View, host: string): boolean {
  const peer = peerOf(view, host)
  return peer !== undefined && peer.agent !== 'alive' && peer.redisReach !== 'refused' && peer.redisReach !== 'silent'
}

/** How long this agent has listened since the primary went: not before the others could speak to it, and not while it stood still. */
function listenedMs(state: State, view: View): number {
  if (state.gone === null || view.stalledMs > stallLimitMs || view.agentUptimeMs < newcomerMs) return 0
  return view.nowMs - state.gone.atMs
}

/** The former holder came back and some peers cannot be heard. It may serve again only where it could wipe nobody (INV-1). */
function judgeLonely(state: State, view: View, policy: Policy, unheard: readonly string[], compared: string): Election {
  if (state.holder !== state.host) {
    return wait(unheard, `this member did not see the primary go, so ${unheard.join(', ')} may have newer data`)
  }
  const alive = unheard.filter((h) => {
    const reach = peerOf(view, h)?.redisReach
    return reach !== 'refused' && reach !== 'silent'
  })
  if (alive.length > 0) return wait(alive, `the redis of ${alive.join(', ')} may hold more than this disk did`)
  const waitedMs = Math.min(view.agentUptimeMs, state.gone === null ? view.agentUptimeMs : view.nowMs - state.gone.atMs)
  if (waitedMs < lonelyWaitMs) return wait(unheard, `${unheard.join(', ')} may still answer`)
  return me(`this member held the group, ${unheard.join(', ')} cannot be reached by any way (${compared})${policy.external ? '; external redis' : ''}`)
}

/** Unknown never permits a promotion: neither over data that may be newer, nor over whatever the former holder has read from its disk. */
function isDoubtful(state: State, other: Candidate, mine: Candidate): boolean {
  if (other.position.kind === 'foreign') return other.host === state.holder
  return !isDiverged(other.position) && mayHaveMore(other.position, mine.position)
}

function refuseToGuess(state: State, mine: Candidate, other: Candidate): Election {
  const name = (c: Candidate): string => `${c.host} (${describePosition(c.position)})`
  return {
    result: 'refuse',
    because: `${name(other)} may have newer data than ${name(mine)}, and what its disk had names no history: choose with holdfast failover ${state.group} --to ${other.host} --force, or --to ${mine.host} --force; a copy of the other is kept`,
  }
}

/** What a later history has dropped already is nobody's loss now. */
function isDiverged(position: Position): boolean {
  return isPlaced(position) && position.divergedBytes > 0
}

function refuse(state: State, policy: Policy, richer: Barred, here: string): Election {
  const mend =
    memberOf(policy, richer.host)?.neverPrimary === true
      ? `Take never_primary from ${richer.host}`
      : `Mend that, or promote it (holdfast failover ${state.group} --to ${richer.host} --force)`
  return {
    result: 'refuse',
    because: `${richer.host} has more data (${describePosition(richer.position)}; here: ${here}) and may not be promoted: ${richer.why}. ${mend}; or go on without those data: holdfast failover ${state.group} --to ${state.host} --force`,
  }
}

function me(because: string): Election {
  return { result: 'me', because }
}

function wait(forHosts: readonly string[], because: string): Election {
  return { result: 'wait', because, forHosts }
}
