/** A Sentinel has promoted the redis here by itself: this member takes up the epoch that the Sentinels elected it in, and brings the address. PURE. */
import type { Event } from '../model/action.ts'
import type { State } from '../model/state.ts'
import { holdStill, type Context, type Draft } from './draft.ts'

export function adoptPromotion(ctx: Context, chosen: { readonly epoch: number; readonly why: string }): Draft {
  const { state, view, situation } = ctx
  const next: State = {
    ...state,
    phase: 'promoting',
    epoch: chosen.epoch,
    holder: state.host,
    servingRunId: view.redis.facts?.runId ?? null,
    gone: null,
    prepared: null,
    handover: null,
    vote: { epoch: chosen.epoch, to: state.host, atMs: view.nowMs },
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
