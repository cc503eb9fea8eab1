/**
 * An operator overrides the safety rules: `failover --force` makes a member serve whatever the others have, `lineage accept`
 * names the data of a member the true ones. Not even an operator gets a partial dataset promoted.
 */
import type { Action, Event } from '../model/action.ts'
import { isReceiving } from '../model/move.ts'
import { tickMs } from '../model/policy.ts'
import type { State } from '../model/state.ts'
import { answerRequest, claimEpoch, holdStill, offsetOf, type Context, type Draft } from './draft.ts'
import { memberOf } from './fitness.ts'
import { withStage } from './moving.ts'
import { epochAbove } from './sentinels.ts'
import { isServingPhase, isWriteFenced } from './situation.ts'

export function isForced(ctx: { readonly view: Context['view'] }): boolean {
  return ctx.view.request?.kind === 'failover' || ctx.view.request?.kind === 'accept'
}

export function forceFailover(ctx: Context): Draft {
  const { state, view } = ctx
  const cannot = whyNot(ctx)
  if (cannot !== null) return { ...holdStill(ctx, `cannot be forced: ${cannot}`, tickMs), next: answerRequest(state, ctx, false, cannot) }
  if (view.request?.kind === 'accept') return acceptLineage(ctx)
  if (view.request?.dryRun === true)
    return {
      ...holdStill(ctx, 'dry run', tickMs),
      next: answerRequest(state, ctx, true, `would promote ${state.host} at offset ${offsetOf(view.redis.facts)}`),
    }
  const epoch = epochAbove(ctx)
  const draft = withOwnId(ctx, claimEpoch(ctx, epoch, 'forced', `forced by ${view.request?.by ?? 'an operator'}`))
  // The source is not asked for leave; what was changed there is put back where it can be heard.
  const puts: readonly Action[] =
    isReceiving(state.move) && view.source?.trouble === null
      ? [
          { kind: 'source', order: { do: 'release' } },
          { kind: 'source', order: { do: 'settle' } },
        ]
      : []
  const message = `${state.host} is being promoted to epoch ${epoch}`
  return { ...draft, next: answerRequest(withoutMove(draft.next, view), ctx, true, message), actions: [...draft.actions, ...puts] }
}

/** The operator has this group serve what it has; the source is not asked, and not fenced. */
function withoutMove(state: State, view: Context['view']): State {
  const { move } = state
  return isReceiving(move) && move !== null
    ? withStage(state, move, view, { stage: 'done', last: 'ended by failover --force: the source was not asked' })
    : state
}

function whyNot(ctx: Context): string | null {
  const { state, view, situation } = ctx
  const facts = view.redis.facts
  const serves = isServingPhase(state.phase) && situation.claim === 'mine'
  // A primary that members refuse to follow may be accepted as it stands, but not in the middle of something else.
  if (serves && view.request?.kind !== 'accept') return `${state.host} is the primary already`
  if (serves && state.phase !== 'primary') return `${state.host} is ${state.phase} at this moment; ask again when that is over`
  if (situation.redis !== 'replica' && situation.redis !== 'primary' && situation.redis !== 'other-primary')
    return `the redis of ${state.host} is ${situation.redis}; it cannot be promoted`
  if (memberOf(ctx.policy, state.host)?.neverPrimary === true)
    return `never_primary is set for ${state.host}, so the address cannot come to it; take the setting away first`
  if (facts?.syncing === true || state.partial) return `${state.host} has only part of a dataset (a full sync did not end); not even --force promotes that`
  const richer =
    facts?.keys === 0
      ? view.peers.find((p) => (p.statement?.redis?.keys ?? 0) > 0 && p.statement?.partial !== true && memberOf(ctx.policy, p.host)?.neverPrimary === false)
      : undefined
  if (richer !== undefined && !serves) return `${state.host} is empty and ${richer.host} has data, which it would lose: promote ${richer.host} instead`
  return null
}

/** A fenced redis that is still a primary would keep its replication id: the fork could not be told from the history it left. */
function withOwnId(ctx: Context, draft: Draft): Draft {
  return isWriteFenced(ctx.view) ? { ...draft, actions: [{ kind: 'soft-fence' }, ...draft.actions] } : draft
}

/** The same redis may already serve: the new epoch then goes on with its history, and only says that this history is the true one. */
function acceptLineage(ctx: Context): Draft {
  const { state, view } = ctx
  const { by, reason, dryRun } = view.request ?? { by: 'an operator', reason: '', dryRun: true }
  const epoch = epochAbove(ctx)
  const what = `the data of ${state.host} (offset ${offsetOf(view.redis.facts)}) ${dryRun ? 'would be' : 'are'} the accepted ones from epoch ${epoch} on`
  if (dryRun)
    return { ...holdStill(ctx, 'dry run', tickMs), next: answerRequest(state, ctx, true, `${what}; members with other data would keep a copy and follow`) }
  const why = `accepted by ${by}: ${reason ?? ''}`
  const draft = withOwnId(ctx, claimEpoch(ctx, epoch, 'forced', why))
  const event: Event = { kind: 'accepted', epoch, text: `${what}, ${why}`, data: { to: state.host, by, reason: reason ?? '' } }
  const next = { ...draft.next, claim: { source: 'forced', why, accepted: true } } as const
  return { ...draft, next: answerRequest(next, ctx, true, `${what}; members with other data keep a copy and follow`), events: [event, ...draft.events] }
}
