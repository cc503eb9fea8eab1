/**
 * What Sentinels may do to the redis here (ADR 0020): whether their orders reach it, and whether they may select it. Standing rules, in calm
 * cycles only. PURE. An agent that dies leaves both as they are.
 */
import type { Action } from '../model/action.ts'
import { isReceiving } from '../model/move.ts'
import type { Policy } from '../model/policy.ts'
import type { State } from '../model/state.ts'
import type { View } from '../model/view.ts'
import type { Context, Draft } from './draft.ts'
import { memberOf, ownFitness } from './fitness.ts'
import { sentinelsLeading } from './sentinel-words.ts'
import { isServingPhase, mayServePaused, redisAnswers } from './situation.ts'

/** All that may be selected are alike to a Sentinel, so that it goes by their data. redis' own default. */
const selectablePriority = 100

/** Who joins, or follows another after a switchover, is fit again sooner. */
const unfitForMs = 2000

export function valveRule(ctx: Context, draft: Draft): readonly Action[] {
  const { view, policy } = ctx
  const may = view.redis.sentinelMay
  if (policy.sentinel === null || may === undefined || draft.actions.length > 0 || !redisAnswers(view) || view.redis.facts?.loading === true) return []
  const fit = draft.next.phase === 'replica' && ownFitness(draft.next, view, policy).fit
  const allowed = fit && mayOrder(ctx, draft.next)
  const valve: readonly Action[] = may.orders === allowed ? [] : [{ kind: 'sentinel-orders', allowed }]
  const priority = priorityRule(ctx, draft.next, fit, allowed)
  // An agent that dies in between must not leave a redis that takes their orders and is never selected.
  return allowed ? [...priority, ...valve] : [...valve, ...priority]
}

/**
 * Not while the clients are elsewhere, nor while they are about to be sent there: whoever were promoted would be a second writer. Not while the agents elect: two would choose. But an election that comes to nothing must not keep the Sentinels from theirs for ever. Not while
 * automatic failover is paused, nor after a resume before the primary knows of it: it serves without its Sentinels.
 */
function mayOrder({ view, policy }: Context, next: State): boolean {
  if (isReceiving(next.move) || next.move?.stage === 'back-hold') return false
  if (next.paused.on || !policy.auto || (next.holder !== null && mayServePaused(next, policy, next.holder))) return false
  if (sentinelsLeading(view).some(({ to }) => to === next.host)) return true
  if (next.gone === null) return !isCascaded(view, next, policy)
  return view.nowMs - next.gone.atMs > (policy.sentinel?.failoverTimeoutMs ?? 0)
}

/** It replicates from a middle, as configured: a Sentinel would order it under the primary, once a second and for ever. */
function isCascaded(view: View, next: State, policy: Policy): boolean {
  const holder = next.holder === null ? undefined : memberOf(policy, next.holder)
  const { upstream } = view.redis.facts ?? { upstream: null }
  return holder !== undefined && upstream != null && upstream.host !== holder.ip
}

/**
 * A Sentinel that selects a member whose valve is closed waits for it in vain until its timeout, while the next one would have taken the order. It
 * sees this at its next INFO only, so it is a hint: the valve is the guard. And it is closed wherever this is 0, so nothing is lost by what a
 * dead agent leaves behind. Not for a moment's unfitness: whoever is fit again would be seen as 0 for up to ten seconds.
 * The end of a cascade, whose valve stays closed, would be selected again and again, with the middle at hand, wherever no agent is left to stand. In an
 * election, in which each lets go of whom it follows, that stays as it was.
 */
function priorityRule({ view, policy }: Context, next: State, fit: boolean, allowed: boolean): readonly Action[] {
  const now = view.redis.sentinelMay?.priority ?? null
  if (now === null) return []
  const { unfitSinceMs } = view.watch
  const lasts = unfitSinceMs !== null && view.nowMs - unfitSinceMs >= unfitForMs
  const below = !allowed && isCascaded(view, next, policy) && view.redis.facts?.upstream?.port !== 1
  const never = memberOf(policy, next.host)?.neverPrimary === true || next.differs !== null || (!fit && lasts) || below
  if (!never && next.gone !== null && !allowed) return []
  const wanted = never ? 0 : fit || isServingPhase(next.phase) ? selectablePriority : now
  return wanted === now ? [] : [{ kind: 'replica-priority', value: wanted }]
}
