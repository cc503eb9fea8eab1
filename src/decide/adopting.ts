/** A Sentinel has promoted the redis here by itself: this member takes up the epoch that the Sentinels elected it in, and brings the address. PURE. */
import type { Event } from '../model/action.ts'
import type { State } from '../model/state.ts'
import { holdStill, type Context, type Draft } from './draft.ts'
import type { Chosen } from './sentinels.ts'

export function adoptPromotion(ctx: Context, chosen: Chosen): Draft {
  const { state, view, situation, policy } = ctx
  const next: State = {
    ...state,
    phase: 'promoting',
    epoch: chosen.epoch,
    holder: state.host,
    servingRunId: view.redis.facts?.runId ?? null,
    gone: null,
    prepared: null,
    handover: null,
    // Votes are the first proof of a lease. Who was ordered to has none, and waits until the Sentinels name it.
    vote: { epoch: chosen.epoch, to: state.host, atMs: view.nowMs - (chosen.elected ? 0 : policy.leaseMs) },
    writesHeldSinceMs: null,
    claim: { source: 'failover', why: chosen.why, ...(state.gone?.told == null ? {} : { told: state.gone.told }) },
    refusedEpoch: null,
  }
  const detected: Event = {
    kind: 'detected',
    epoch: chosen.epoch,
    text: `${chosen.why}${situation.holderWhy === '' ? '' : ` (here: ${situation.holderWhy})`}`,
    data: { from: state.holder },
  }
  return { ...holdStill(ctx, chosen.why, 0), next, events: [detected], vip: true }
}
