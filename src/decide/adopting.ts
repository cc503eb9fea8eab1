/** A Sentinel has promoted the redis here by itself: this member takes up the epoch that the Sentinels elected it in, and brings the address. PURE. */
import type { Event } from '../model/action.ts'
import type { State } from '../model/state.ts'
import { busyTickMs } from '../model/policy.ts'
import { answerId, claimEpoch, holdStill, type Context, type Draft } from './draft.ts'
import { answering } from './sentinel-words.ts'
import { isServingPhase, isWriteFenced, newcomerMs } from './situation.ts'
import type { Chosen } from './sentinels.ts'

export function adoptPromotion(ctx: Context, chosen: Chosen): Draft {
  const { state, view, situation, policy } = ctx
  const next: State = {
    ...claimEpoch(ctx, chosen.epoch, 'failover', chosen.why).next,
    // Votes are the first proof of a lease. Who was ordered to has none, and waits until the Sentinels name it.
    vote: { epoch: chosen.epoch, to: state.host, atMs: view.nowMs - (chosen.elected ? 0 : policy.leaseMs) },
    // Nobody is known to stand behind it, or something has stopped its writes: only Sentinels that name it release them.
    writesHeldSinceMs: chosen.elected && view.redis.fence === null ? null : (state.writesHeldSinceMs ?? view.nowMs),
  }
  const detected: Event = {
    kind: 'detected',
    epoch: chosen.epoch,
    text: `${chosen.why}${situation.holderWhy === '' ? '' : ` (here: ${situation.holderWhy})`}`,
    data: { from: state.holder },
  }
  const answered = state.handover === null ? next : answerId(next, state.handover.id, false, chosen.why)
  return { ...holdStill(ctx, chosen.why, 0), next: answered, events: [detected], vip: true }
}

/** This agent has just begun, and its redis is a primary that it did not promote: the Sentinels may have, while no agent was there (INV-7). */
export function awaitsSentinels({ state, view, policy }: Context): boolean {
  const { facts } = view.redis
  if (policy.sentinel === null || facts?.role !== 'primary' || facts.loading || isWriteFenced(view)) return false
  const ours = state.holder === state.host && isServingPhase(state.phase)
  // Those that are left cannot have elected it.
  const enough = policy.sentinel.hosts.length - policy.sentinel.votes + 1
  return !ours && state.epoch > 0 && view.agentUptimeMs < newcomerMs && answering(view).length < enough
}

/** Another says that it serves: if that is so, this one is a second writer until they have answered. Held and not fenced, for whoever is fenced is not taken up. */
export function awaitSentinels(ctx: Context): Draft {
  const draft = holdStill(
    ctx,
    'this agent has only just started, and its redis is a primary: the Sentinels may have promoted it, and are asked first',
    busyTickMs,
  )
  return ctx.situation.holder === 'serves' ? { ...draft, actions: [{ kind: 'pause-writes', forMs: 5 * busyTickMs }] } : draft
}
