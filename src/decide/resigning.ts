/** How a primary gives its epoch up: first of all the address, and it says so. Whoever is promoted next is the election's affair. */
import type { Action } from '../model/action.ts'
import type { State } from '../model/state.ts'
import { answerId, offsetOf, type Context, type Draft } from './draft.ts'
import { voteOfTheDead } from './voting.ts'

/** Longer than an election and the fence that follows it; a promotion opens the gate at once. */
const supervisorGateMs = 2000

export function resign(ctx: Context, reason: string | null = null): Draft {
  const { state, view, situation } = ctx
  const facts = view.redis.facts
  const answersAsPrimary = situation.redis === 'primary' || situation.redis === 'other-primary'
  const why =
    reason !== null
      ? `${state.host}: ${reason}`
      : `${state.host}: redis ${situation.redis === 'dead' ? 'process is gone' : `is ${situation.redis}`}, last offset ${offsetOf(facts)}`
  let next: State = {
    ...state,
    phase: 'fenced',
    handover: null,
    claim: null,
    gone: { epoch: state.epoch, fresh: true, atMs: view.nowMs },
    vote: voteOfTheDead(ctx),
  }
  if (state.handover !== null) next = answerId(next, state.handover.id, false, `the switchover ended: ${why}`)
  const fence: readonly Action[] = answersAsPrimary ? [{ kind: 'soft-fence' }] : []
  return {
    next,
    actions: [...fence, ...againstSupervisor(ctx)],
    events: [
      { kind: 'detected', epoch: state.epoch + 1, text: why, data: { from: state.host, lastOffset: facts?.offset ?? null } },
      { kind: 'fenced', epoch: state.epoch + 1, text: `${state.host} gives the address up and says so`, data: { from: state.host } },
    ],
    because: why,
    wakeInMs: 0,
    vip: false,
  }
}

/**
 * An external redis is not born fenced: its supervisor may have it back, accepting writes, before keepalived has removed the
 * address (some 10 ms). Until then, and until somebody is promoted, no new client gets in.
 */
export function againstSupervisor(ctx: Context): readonly Action[] {
  return ctx.policy.external ? [{ kind: 'refuse-connections', forMs: supervisorGateMs }] : []
}
