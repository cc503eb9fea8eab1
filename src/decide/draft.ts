/** What a response works with and what it returns. No rules here. */
import type { Action, Event } from '../model/action.ts'
import type { Policy } from '../model/policy.ts'
import type { LineageSource, State } from '../model/state.ts'
import type { RedisFacts, View } from '../model/view.ts'
import type { Situation } from './situation.ts'

export interface Context {
  /** The durable state with what the peers' words have added (learn.ts). */
  readonly state: State
  readonly view: View
  readonly policy: Policy
  readonly situation: Situation
}

export interface Draft {
  readonly next: State
  readonly actions: readonly Action[]
  readonly events: readonly Event[]
  readonly because: string
  readonly wakeInMs: number
  /** Overrides the standing rule on who may hold the VIP; undefined leaves it to that rule. */
  readonly vip?: boolean
}

/** Changes nothing. */
export function holdStill(ctx: Context, because: string, wakeInMs: number): Draft {
  return { next: ctx.state, actions: [], events: [], because, wakeInMs }
}

export function answerRequest(next: State, ctx: Context, ok: boolean, message: string): State {
  const request = ctx.view.request
  if (request === null) return next
  return { ...next, results: [...next.results, { id: request.id, ok, message }].slice(-8) }
}

export function answerId(next: State, id: string, ok: boolean, message: string): State {
  return { ...next, results: [...next.results, { id, ok, message }].slice(-8) }
}

/** Claims `epoch` for this member. Durable before REPLICAOF NO ONE is sent; finish-promotion records the rest. */
export function claimEpoch(ctx: Context, epoch: number, source: LineageSource, because: string): Draft {
  const next: State = {
    ...ctx.state,
    phase: 'promoting',
    epoch,
    holder: ctx.state.host,
    servingRunId: ctx.view.redis.facts?.runId ?? null,
    gone: null,
    prepared: null,
    handover: null,
    // A promotion without an election (the first one, a switchover, an operator's word) uses up the vote of its epoch as well.
    vote: ctx.state.vote?.epoch === epoch ? ctx.state.vote : { epoch, to: ctx.state.host, atMs: ctx.view.nowMs },
    writesHeldSinceMs: null,
    claim: { source, why: because, ...(ctx.state.gone?.told == null ? {} : { told: ctx.state.gone.told }) },
    refusedEpoch: null,
  }
  return { next, actions: [{ kind: 'promote' }], events: [], because, wakeInMs: 0, vip: true }
}

export function offsetOf(facts: RedisFacts | null): string {
  return facts === null ? 'unknown' : String(facts.offset)
}
