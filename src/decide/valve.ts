/**
 * What Sentinels may do to the redis here (ADR 0020): whether their orders reach it, and whether they may select it. Standing rules, in calm
 * cycles only. PURE. An agent that dies leaves both as they are.
 */
import type { Action } from '../model/action.ts'
import type { Policy } from '../model/policy.ts'
import type { State } from '../model/state.ts'
import type { View } from '../model/view.ts'
import type { Context, Draft } from './draft.ts'
import { memberOf, ownFitness } from './fitness.ts'
import { sentinelsLeading } from './sentinel-words.ts'
import { isServingPhase, redisAnswers } from './situation.ts'

/** All that may be selected are alike to a Sentinel, so that it goes by their data. redis' own default. */
const selectablePriority = 100

export function valveRule(ctx: Context, draft: Draft): readonly Action[] {
  const { view, policy } = ctx
  const may = view.redis.sentinelMay
  if (policy.sentinel === null || may === undefined || draft.actions.length > 0 || !redisAnswers(view) || view.redis.facts?.loading === true) return []
  const fit = draft.next.phase === 'replica' && ownFitness(draft.next, view, policy).fit
  const allowed = fit && mayOrder(ctx, draft.next)
  const valve: readonly Action[] = may.orders === allowed ? [] : [{ kind: 'sentinel-orders', allowed }]
  return [...valve, ...priorityRule(ctx, draft.next, fit)]
}

/** Not while the agents elect: two would choose. But an election that comes to nothing must not keep the Sentinels from theirs for ever. */
function mayOrder({ view, policy }: Context, next: State): boolean {
  if (next.paused.on || !policy.auto) return false
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
 * Never for a moment only: a Sentinel looks once in ten seconds, and would find nobody to select until it looks again. Whether a member may be
 * promoted now is for the valve to say.
 */
function priorityRule({ view, policy }: Context, next: State, fit: boolean): readonly Action[] {
  const now = view.redis.sentinelMay?.priority ?? null
  if (now === null) return []
  const never = memberOf(policy, next.host)?.neverPrimary === true || next.differs !== null
  const wanted = never ? 0 : fit || isServingPhase(next.phase) ? selectablePriority : now
  return wanted === now ? [] : [{ kind: 'replica-priority', value: wanted }]
}
