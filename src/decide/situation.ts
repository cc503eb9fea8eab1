/**
 * View + State → the few words that the truth table is about. Every threshold that turns a measurement into a word is here.
 * Must not decide anything.
 */
import type { KeepalivedProbe, PeerProbe, Statement, View } from '../model/view.ts'
import type { State } from '../model/state.ts'
import { downCount } from './sentinel-words.ts'
import { majorityOf, stallLimitMs, statementStaleMs, type Policy, type SentinelPolicy } from '../model/policy.ts'

/** The own redis. `other-primary`: it answers as a primary, but is not the process that was promoted here. */
export const redisWords = ['primary', 'other-primary', 'replica', 'loading', 'slow', 'hung', 'dead'] as const
export type RedisWord = (typeof redisWords)[number]

/** Who holds the highest epoch known: `mine`, I do and serve it; `theirs`, it is not me (or I have resigned); `nobody`, no epoch yet. */
export const claimWords = ['mine', 'theirs', 'nobody'] as const
export type ClaimWord = (typeof claimWords)[number]

/** `gone` needs proof: its own word, or silence from independent sides that this agent was able to hear. */
export const holderWords = ['serves', 'gone', 'unclear'] as const
export type HolderWord = (typeof holderWords)[number]

export interface Situation {
  readonly redis: RedisWord
  readonly claim: ClaimWord
  readonly holder: HolderWord
  readonly holderWhy: string
}

/** An agent this young has not listened long enough for silence to mean anything. */
export const newcomerMs = 500

/** Facts older than this are not about now. Two calm ticks. */
const factsStaleMs = 600

export function situationOf(state: State, view: View, policy: Policy): Situation {
  const claim = claimOf(state)
  const [holder, holderWhy] = claim === 'theirs' ? holderOf(state, view, policy) : (['unclear', ''] as const)
  return { redis: redisOf(state, view, policy), claim, holder, holderWhy }
}

/** It has the group's epoch: clients come to it, or to the redis that is being moved to it. */
export function holdsGroup(phase: State['phase']): boolean {
  return isServingPhase(phase) || phase === 'receiving'
}

export function isServingPhase(phase: State['phase']): boolean {
  return phase === 'primary' || phase === 'promoting' || phase === 'handing'
}

/** Heard recently enough for its last statement to count as its present word. */
export function heard(peer: PeerProbe | undefined): Statement | null {
  if (peer === undefined || peer.agent !== 'alive' || peer.statementAgeMs > statementStaleMs) return null
  return peer.statement
}

export function peerOf(view: Pick<View, 'peers'>, host: string): PeerProbe | undefined {
  return view.peers.find((p) => p.host === host)
}

export function redisAnswers(view: Pick<View, 'redis'>): boolean {
  const { process, factsAgeMs, trouble, busy } = view.redis
  return process !== false && view.redis.facts !== null && factsAgeMs <= factsStaleMs && trouble === null && !busy
}

/** This process is a primary that refuses writes by our hand: it may still give its stream, and must not be fenced twice. */
export function isWriteFenced(view: View): boolean {
  const { facts, fence } = view.redis
  return facts !== null && redisAnswers(view) && fence?.inForce === true && fence.runId === facts.runId && facts.role === 'primary'
}

function redisOf(state: State, view: View, policy: Policy): RedisWord {
  const { process, facts, unansweredMs } = view.redis
  if (process === false) return 'dead'
  if (!redisAnswers(view) || facts === null) return unansweredMs >= policy.unresponsiveMs ? 'hung' : 'slow'
  if (facts.loading) return 'loading'
  if (facts.role === 'replica') return 'replica'
  const promotedHere = state.servingRunId === null || state.servingRunId === facts.runId
  return promotedHere ? 'primary' : 'other-primary'
}

function claimOf(state: State): ClaimWord {
  if (state.epoch === 0) return 'nobody'
  return state.holder === state.host && holdsGroup(state.phase) ? 'mine' : 'theirs'
}

function holderOf(state: State, view: View, policy: Policy): readonly [HolderWord, string] {
  const { holder } = state
  if (holder === null || holder === state.host) return ['gone', 'this member held the group and has resigned']
  const peer = peerOf(view, holder)
  if (peer === undefined) return ['gone', `${holder} is no member any more`]
  const word = heard(peer)
  if (word !== null) return byItsWord(state, view, holder, word)
  if (view.agentUptimeMs < newcomerMs) return ['unclear', 'this agent has only just started: nobody had the time to speak to it']
  if (view.stalledMs > stallLimitMs)
    return ['unclear', `this agent itself stood still for ${Math.round(view.stalledMs)} ms: what it did not hear proves nothing`]
  const voucher = voucherOf(state, view)
  if (voucher !== null) return ['unclear', `${holder} is not heard here, but ${voucher} says that it serves`]
  if (mayServePaused(state, policy, holder))
    return [
      'unclear',
      `${holder} has not been heard since automatic failover was ${state.paused.on ? 'paused' : 'resumed'}: it may serve as it may while it is paused`,
    ]
  // Only now: what an agent remembers of before its restart, before it stood still or before a heal may be long outlived (INV-3).
  // Where Sentinels vote, they do not judge: whether enough of them find it down is asked at each look.
  if (policy.sentinel === null && state.gone?.epoch === state.epoch) return ['gone', `${holder} was found gone before and is still not heard`]
  return bySilence(view, policy, peer)
}

/**
 * A paused primary serves without a lease, because all others know of the pause. One of them may be told of the resume while the primary
 * cannot be: until it has been heard to know, only an operator can say that it does not serve (INV-3).
 */
export function mayServePaused(state: State, policy: Policy, holder: string): boolean {
  const { paused, pauseKnown } = state
  if (!policy.leased || paused.atWallMs === 0) return false
  return pauseKnown?.host !== holder || pauseKnown.atWallMs !== paused.atWallMs
}

/**
 * Dead is not unreachable: another member that hears the holder knows better than one that has lost sight of it. At a true
 * host loss all members find out within one beat, and then none vouches any more.
 */
export function voucherOf(state: State, view: View): string | null {
  const vouches = view.peers.find((p) => {
    const word = p.host === state.holder ? null : heard(p)
    return word !== null && word.epoch === state.epoch && word.holder === state.holder && word.seesHolder === 'serves'
  })
  return vouches?.host ?? null
}

function byItsWord(state: State, view: View, holder: string, word: Statement): readonly [HolderWord, string] {
  if (word.epoch > state.epoch) return ['unclear', `${holder} speaks of epoch ${word.epoch}`]
  if (word.epoch === state.epoch && word.holder === holder && holdsGroup(word.phase)) return ['serves', `${holder} says that it serves epoch ${state.epoch}`]
  // Said before it knew of this epoch: what it makes of it is not known yet.
  if (word.epoch < state.epoch) return ['unclear', `${holder} speaks of epoch ${word.epoch} still`]
  if (state.phase === 'handed') return ['unclear', `${holder} was given epoch ${state.epoch} and has not taken it yet`]
  // Between the giving and the taking only the giver may say that nothing came of it (its own wait is the line above).
  const giver = view.peers.find((p) => heard(p)?.phase === 'handed' && heard(p)?.epoch === state.epoch)
  if (giver !== undefined) return ['unclear', `${holder} was given epoch ${state.epoch} by ${giver.host} and has not taken it yet`]
  return ['gone', `${holder} says that it does not serve (${word.phase}, epoch ${word.epoch})`]
}

function bySilence(view: View, policy: Policy, peer: PeerProbe): readonly [HolderWord, string] {
  const agent = peer.agent === 'refused' ? 'no agent listens there' : `its agent is silent for ${Math.round(peer.silentMs)} ms`
  if (peer.agent === 'alive') return ['unclear', `${peer.host} is heard but has not spoken of this group lately`]
  const reach = peer.redisReach
  if (reach === 'primary' || reach === 'replica' || reach === 'answers') return ['unclear', `${agent}, but its redis answers`]
  // Silence counts against a primary only when its lease is over: until then it may rightly acknowledge writes.
  // A stream that has just ended says as little; only a host whose redis refuses as well has nobody left who could acknowledge.
  // Who has not listened for so long has not heard a silence of so long.
  const quietMs = Math.min(peer.silentMs, view.agentUptimeMs)
  if (policy.sentinel === null && policy.leased && (peer.agent === 'silent' || reach !== 'refused') && quietMs < policy.voteSilenceMs)
    return ['unclear', `${agent}; it may serve until ${Math.round(policy.voteSilenceMs)} ms have passed`]
  if (reach === 'not asked') return ['unclear', `${agent}; its redis is being asked`]
  if (policy.sentinel !== null) return bySentinels(view, policy.sentinel, peer, agent, reach)
  // The VIP at a third member is the same proof: its keepalived took it because the holder's went silent.
  const takenElsewhere = view.peers.some((p) => p.host !== peer.host && heard(p)?.vipHere === true)
  if (policy.hasVip && view.keepalived !== null && !vrrpGaveAddress(view.keepalived) && !takenElsewhere) {
    const vrrp =
      view.keepalived.vrrp === 'FAULT' ? `this host does not stand for the address, so VRRP cannot tell; waits for ${peer.host}` : 'VRRP still hears its host'
    return ['unclear', `${agent} and its redis ${reachText(reach)}, but ${vrrp}`]
  }
  return ['gone', `${agent}, its redis ${reachText(reach)}${policy.hasVip ? ', VRRP hears nothing' : ''}`]
}

/** Who only lost sight of it knows nothing; a quorum of Sentinels that find it down was out of its sight for longer than its lease lasts. */
function bySentinels(view: View, sentinel: SentinelPolicy, peer: PeerProbe, agent: string, reach: 'refused' | 'silent'): readonly [HolderWord, string] {
  const silence = `${agent}, its redis ${reachText(reach)}`
  if (isRefused(peer, sentinel)) return ['gone', silence]
  const down = downCount(view, peer.host)
  const tally = `${down} of ${sentinel.hosts.length} Sentinels find it down`
  return down >= sentinel.quorum ? ['gone', `${silence}, and ${tally}`] : ['unclear', `${silence}; ${tally}, ${sentinel.quorum} are needed`]
}

/**
 * Its host lives and says that neither agent nor redis is there: as good as its own word. But a firewall can say so as well, so whoever
 * wants more Sentinels than the majority to agree is not spared their finding.
 */
function isRefused(peer: PeerProbe, sentinel: SentinelPolicy): boolean {
  return peer.agent === 'refused' && peer.redisReach === 'refused' && sentinel.quorum <= majorityOf(sentinel.hosts.length)
}

/** So many Sentinels must find the primary down in the moment in which they vote: where it is gone by silence, the quorum. */
export function findersNeeded(state: State, view: View, sentinel: SentinelPolicy): number {
  const peer = state.holder === null || state.holder === state.host ? undefined : peerOf(view, state.holder)
  return peer === undefined || heard(peer) !== null || isRefused(peer, sentinel) ? 0 : sentinel.quorum
}

/** An address that somebody has added by hand is no sign that VRRP hears nobody. */
function vrrpGaveAddress(keepalived: KeepalivedProbe): boolean {
  return keepalived.vrrp === 'MASTER' || (keepalived.vipHere && keepalived.strayMs === 0)
}

function reachText(reach: 'refused' | 'silent'): string {
  return reach === 'refused' ? 'refuses connections' : 'does not answer'
}
