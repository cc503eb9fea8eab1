/**
 * The reader address: where reads are answered from the freshest replica. One decides, the primary: it names who is to have it, all others hear that in its
 * statement. Each member judges by itself only whether it may keep what it was given. Pure. Must not touch the group's VIP (vip.ts): a wrong place costs
 * reads here, and never a write.
 */
import type { Action } from '../model/action.ts'
import { maxStaleS, readerBetterBytes, readerBetterMs, readerNoneMs, underWayBytes, type Policy, type PolicyMember } from '../model/policy.ts'
import type { State } from '../model/state.ts'
import type { RedisFacts, Statement, View } from '../model/view.ts'
import type { ReaderWatch } from '../model/watch.ts'
import type { Context } from './draft.ts'
import { heard, isServingPhase, peerOf, redisAnswers } from './situation.ts'

interface Reader {
  readonly member: PolicyMember
  readonly lagBytes: number
}

/** Whom this primary names. Kept through a handover; who does not serve names nobody. */
export function watchReader(before: ReaderWatch | null, state: State, view: Omit<View, 'watch'>, policy: Policy): ReaderWatch | null {
  const { facts } = view.redis
  if (view.reader === undefined || facts === null || !isServingPhase(state.phase)) return null
  if (state.phase !== 'primary') return before
  const named = before === null ? whoHasIt(state, view) : before.names
  const readers = readersOf(state, view, policy, facts)
  const noneSinceMs = readers.length > 0 ? null : (before?.noneSinceMs ?? view.nowMs)
  const current = readers.find(({ member }) => member.host === named)
  const best = bestOf(readers)
  if (best === null) {
    const waited = noneSinceMs !== null && view.nowMs - noneSinceMs >= readerNoneMs
    return settled(before, { names: waited ? state.host : named, rival: null, noneSinceMs })
  }
  if (current === undefined) return settled(before, { names: best.member.host, rival: null, noneSinceMs })
  if (current.lagBytes - best.lagBytes < readerBetterBytes) return settled(before, { names: named, rival: null, noneSinceMs })
  const { host } = best.member
  const rival = before?.rival?.host === host ? before.rival : { host, sinceMs: view.nowMs }
  if (view.nowMs - rival.sinceMs < readerBetterMs) return settled(before, { names: named, rival, noneSinceMs })
  return settled(before, { names: host, rival: null, noneSinceMs })
}

/** The same object while nothing changes: what is watched is compared in every cycle. */
function settled(before: ReaderWatch | null, next: ReaderWatch): ReaderWatch {
  const same = before !== null && before.names === next.names && before.rival === next.rival && before.noneSinceMs === next.noneSinceMs
  return same ? before : next
}

/** A new primary finds it where it is, and begins with that: an address that is well placed does not move. */
function whoHasIt(state: State, view: Omit<View, 'watch'>): string | null {
  if (view.reader?.here === true) return state.host
  return view.peers.find((peer) => heard(peer)?.reader?.here === true)?.host ?? null
}

/** Replicas that follow this primary with true data, on hosts whose keepalived can take the address. One that is `never_primary` as well as any. */
function readersOf(state: State, view: Omit<View, 'watch'>, policy: Policy, own: RedisFacts): readonly Reader[] {
  return policy.members.flatMap((member) => {
    const word = member.host === state.host ? null : heard(peerOf(view, member.host))
    if (word === null || !isReady(word, state, own)) return []
    // Redis' own account of its replicas is younger than a statement; of a cascade there is only the statement.
    const follower = own.followers.find(({ ip, port }) => ip === member.ip && port === member.port)
    return [{ member, lagBytes: Math.max(0, own.offset - (follower?.offset ?? word.redis?.offset ?? 0)) }]
  })
}

function isReady(word: Statement, state: State, own: RedisFacts): boolean {
  const { redis, reader } = word
  if (redis === null || reader?.process !== true || !word.answering || word.partial || word.refuses === true || word.trueCopy === false) return false
  const follows = word.phase === 'replica' && word.epoch === state.epoch && word.holder === state.host && redis.replid === own.replid
  return follows && redis.role === 'replica' && redis.linkUp && !redis.syncing && !redis.loading
}

/** The least lag; what may just be under way is no difference, then priority. */
function bestOf(readers: readonly Reader[]): Reader | null {
  const leastBytes = Math.min(...readers.map(({ lagBytes }) => lagBytes))
  const close = readers.filter(({ lagBytes }) => lagBytes - leastBytes < underWayBytes)
  return close.toSorted((a, b) => b.member.priority - a.member.priority)[0] ?? null
}

interface ReaderActions {
  /** Before all else: it waits for nothing. */
  readonly withdraw: readonly Action[]
  readonly grant: readonly Action[]
}

export function readerRule(ctx: Context, next: State): ReaderActions {
  const { reader } = ctx.view
  const allowed = reader === undefined ? undefined : mayHoldReader(ctx, next)
  if (allowed === undefined || allowed === reader?.allowed) return { withdraw: [], grant: [] }
  const action: Action = { kind: 'reader-vip', allowed }
  return allowed ? { withdraw: [], grant: [action] } : { withdraw: [action], grant: [] }
}

/** undefined: it stays as it is. */
export function mayHoldReader(ctx: Context, next: State): boolean | undefined {
  const { view } = ctx
  if (!answersReads(ctx, next)) return false
  const named = namedBy(view, next)
  if (named === next.host) return true
  if (named === null) return undefined
  if (view.reader?.here !== true) return false
  // It waits until the other stands for it in VRRP: then it moves within milliseconds instead of an interval of silence.
  const successor = heard(peerOf(view, named))?.reader
  // `unknown`: its agent has been restarted since keepalived spoke.
  return successor?.allowed === true && successor.vrrp !== 'FAULT' && successor.vrrp !== 'STOP' ? false : undefined
}

/** Who is named by whoever serves; null: nobody, or nobody is heard who could. */
function namedBy(view: View, next: State): string | null {
  if (next.phase === 'primary' || next.phase === 'handing') return view.watch.reader?.names ?? null
  const word = next.holder === null || next.holder === next.host ? null : heard(peerOf(view, next.holder))
  return word !== null && word.epoch === next.epoch && isServingPhase(word.phase) ? (word.reader?.names ?? null) : null
}

/** In a failover its link is down for a moment, and its data are the best there are. One that hears nobody for long is cut off, and grows old unseen. */
function answersReads(ctx: Context, next: State): boolean {
  const { view } = ctx
  const { facts } = view.redis
  if (facts === null || !redisAnswers(view) || facts.loading || facts.syncing || next.partial) return false
  if (next.phase === 'fresh' || next.phase === 'fenced') return false
  return isServingPhase(next.phase) || (facts.linkDownS ?? 0) <= maxStaleS || view.peers.some((peer) => heard(peer) !== null)
}
