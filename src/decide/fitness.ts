/** May this member be promoted, and how does it compare with the others? Pure; used by election, statements and `explain` alike. */
import type { RedisFacts, Statement, View } from '../model/view.ts'
import type { State } from '../model/state.ts'
import { maxStaleS, type Policy, type PolicyMember } from '../model/policy.ts'
import { judgeDisk } from './disk.ts'
import { comparePositions, isPlaced, positionOf, type Position } from './position.ts'
import { whyNotYet } from './resync.ts'
import { heard, isServingPhase, peerOf, redisAnswers } from './situation.ts'
import { isStuck, whyDiffers } from './stream.ts'

type Look = Omit<View, 'watch'>

export interface Fitness {
  readonly fit: boolean
  readonly why: string
}

export function memberOf(policy: Policy, host: string): PolicyMember | undefined {
  return policy.members.find((m) => m.host === host)
}

/** Its link lives, or died so recently that it missed at most what the primary itself could not send. -1: this process never had one. */
export function isFresh(facts: RedisFacts): boolean {
  return (
    facts.linkUp || (facts.linkDownS !== null && facts.linkDownS >= 0 && facts.linkDownS <= maxStaleS && facts.role === 'replica' && facts.upstream?.port !== 1)
  )
}

/** Where a link has never been up redis says -1, and 6.0 counts from 1970. */
const since1970S = 1e9

/** The link is down, and was up before. */
export function wasUp({ linkDownS }: RedisFacts): boolean {
  return linkDownS !== null && linkDownS >= 0 && linkDownS < since1970S
}

/** Fresh by its link, or let go of so recently that its link, which is gone for good, was alive a moment ago. */
export function wasFresh(state: State, view: View): boolean {
  const facts = view.redis.facts
  // A link that says up and brings nothing: what it missed may be any amount.
  if (isStuck(view)) return false
  if (facts !== null && isFresh(facts)) return true
  const { detached } = state
  // Another process has read its data from disk: what the old one had received is not there.
  const same = detached?.runId === undefined || detached.runId === facts?.runId
  return detached?.epoch === state.epoch && same && view.nowMs - detached.atMs <= maxStaleS * 1000
}

/**
 * Was this redis measured after its primary went? A redis that owes an answer leaves the last one to be looked at, and what it
 * received since is not in it: such an offset must not be compared as if it were final (INV-4).
 */
export function isMeasuredSinceGone(state: State, view: Look): boolean {
  return state.gone !== null && view.redis.askedAgeMs <= Math.max(0, view.nowMs - state.gone.atMs)
}

/** Its primary is gone, and what it has will not become more: it may be compared with others. */
export function saysWhatItHas(state: State, view: Look): boolean {
  return isMeasuredSinceGone(state, view) && isFinal(state, view)
}

/**
 * At a heal redis is in touch again before any agent is: what it receives until it has been let go of, nobody would compare (INV-4).
 * A stream that has ended together with the process that gave it brings nothing more.
 */
function isFinal(state: State, view: Look): boolean {
  const { facts } = view.redis
  if (facts?.upstream == null || facts.upstream.port === 1) return true
  return !facts.linkUp && state.holder !== null && heard(peerOf(view, state.holder))?.process === false
}

export function ownFitness(state: State, view: View, policy: Policy): Fitness {
  const facts = view.redis.facts
  if (memberOf(policy, state.host)?.neverPrimary === true) return no('never_primary is set')
  if (!view.durable) return no('its state directory cannot be written')
  if (!redisAnswers(view) || facts === null)
    return no(view.redis.trouble === null ? `its redis does not answer${diskWords(state, view)}` : `its redis cannot be asked: ${view.redis.trouble}`)
  if (facts.loading) return no('it is still loading its data')
  if (facts.syncing) return no('it is in the middle of a full sync')
  if (state.partial) return no('a full sync began and did not end: its data may be partial')
  if (facts.replid === '') return no(`redis ${facts.version} has no replication ids (4.0 has), so its data cannot be compared (HF402)`)
  const waits = waitsToSync(state, view, policy)
  if (waits !== null) return no(waits)
  const differs = isServingPhase(state.phase) ? null : whyDiffers(state, view)
  if (differs !== null) return no(differs)
  const position = positionOf(facts, state.lineage)
  if (state.epoch > 0 && !isPlaced(position)) return no(position.kind === 'empty' ? 'it is empty' : 'its data are of unknown history')
  if (isPlaced(position) && position.divergedBytes > 0 && !isAllThatIsLeft(state, view, policy)) return no('it holds diverged writes')
  if (state.gone === null && state.phase === 'replica' && isStuck(view)) return no(`its offset stands at ${facts.offset} and does not follow the primary's`)
  // A link that dropped a moment ago may be the first sign of a dying primary: unfit would mean to refuse its address.
  if (facts.role === 'replica' && state.gone === null && state.phase === 'replica' && !wasFresh(state, view)) {
    return no(`its replication link is ${facts.linkDownS === null ? 'down' : wasUp(facts) ? `down for ${facts.linkDownS} s` : 'not up yet'}`)
  }
  return { fit: true, why: '' }
}

/**
 * What the later history had is nowhere any more: every other member has been asked since, and is empty. To go on with what is here can
 * wipe nobody, and not to would leave the group without a primary for ever.
 */
function isAllThatIsLeft(state: State, view: View, policy: Policy): boolean {
  return policy.members.every((member) => {
    if (member.host === state.host) return true
    const word = heard(peerOf(view, member.host))
    const candidate = word === null ? null : candidateFromWord(policy, word, state)
    const settled = word?.redis?.loading === false && !word.redis.syncing && !word.partial && !isServingPhase(word.phase)
    return settled && candidate?.position.kind === 'empty' && (word.gone >= state.epoch || word.host === state.holder)
  })
}

/** What is known of the data of a redis that does not run. */
export function diskWords(state: State, view: View): string {
  const { disk, process } = view.redis
  return disk == null || process !== false ? '' : `: ${judgeDisk(disk, state.lineage, view.nowWallMs).text}`
}

/** Not while the primary is gone: then nobody is filled, and the data that are here count. */
function waitsToSync(state: State, view: View, policy: Policy): string | null {
  const source = state.holder === null || state.holder === state.host ? undefined : memberOf(policy, state.holder)
  const word = source === undefined ? null : heard(peerOf(view, source.host))
  const attached = view.redis.facts?.upstream?.port !== 1
  return source === undefined || attached || state.gone !== null || word?.phase !== 'primary' ? null : whyNotYet(state, view, policy, source)
}

function no(why: string): Fitness {
  return { fit: false, why }
}

export interface Candidate {
  readonly host: string
  readonly priority: number
  readonly position: Position
}

/** Positive: `a` is the better successor: more data first (INV-4), then priority, then the name, so that all agree. */
export function compareCandidates(a: Candidate, b: Candidate): number {
  return comparePositions(a.position, b.position) || a.priority - b.priority || (a.host < b.host ? 1 : -1)
}

export function candidateOf(policy: Policy, host: string, facts: RedisFacts, state: State): Candidate {
  return { host, priority: memberOf(policy, host)?.priority ?? 0, position: positionOf(facts, state.lineage) }
}

export function candidateFromWord(policy: Policy, word: Statement, state: State): Candidate | null {
  if (!word.answering || word.redis === null) return null
  return candidateOf(policy, word.host, word.redis, state)
}
