/**
 * The core: learn from the peers' words, diagnose, look the response up, let it answer, then apply the standing rules
 * (operator requests that fit any phase; vip.ts: who may hold the VIP) and check the invariants. Pure and total.
 */
import type { Action, Event } from '../model/action.ts'
import type { Decision } from '../model/decision.ts'
import { tickMs, type Policy } from '../model/policy.ts'
import type { State } from '../model/state.ts'
import type { View } from '../model/view.ts'
import { whyUnreadable } from './copies.ts'
import { adviseBacklog, countsBytes } from './backlog.ts'
import { diagnose } from './diagnose.ts'
import { answerRequest, holdStill, type Context, type Draft } from './draft.ts'
import { withPreparation } from './handover.ts'
import { disputeOf, withDispute } from './disputed.ts'
import { checkInvariants } from './invariants.ts'
import { learn } from './learn.ts'
import { adoptPromotion, awaitSentinels, awaitsSentinels } from './adopting.ts'
import { chosenBySentinel, learnFromSentinels, tellRule } from './sentinels.ts'
import { valveRule } from './valve.ts'
import { forceFailover, isForced } from './forcing.ts'
import { withoutHeldWrites } from './lease.ts'
import { advisePersist } from './persist.ts'
import { respond } from './responses.ts'
import { readerRule } from './reader.ts'
import { heard, isServingPhase, peerOf, redisAnswers, situationOf } from './situation.ts'
import { withStream } from './stream.ts'
import { respondTo } from './table.ts'
import { mayHoldAddress, strayRule, takeRule, withTaken, withVip, yieldRule } from './vip.ts'
import { withVote } from './voting.ts'
import { withWayBack } from './way-back.ts'

export function decide(state: State, view: View, policy: Policy): Decision {
  const learned = withOperatorPause(learnFromSentinels(learn(state, view), view, policy), view, policy)
  const situation = situationOf(learned.state, view, policy)
  const ctx: Context = { state: learned.state, view, policy, situation }
  const row = diagnose(situation)
  const cell = respondTo(ctx.state.phase, row.diagnosis)
  const forced = isForced(ctx)
  const dispute = forced ? null : disputeOf(ctx)
  const holds = row.diagnosis === 'i-serve' && ctx.state.holder === ctx.state.host
  const renewed = holds && dispute?.ballot.result === 'elected' ? { epoch: dispute.ballot.epoch, why: dispute.why, elected: true } : null
  const chosen = forced || policy.sentinel === null ? null : (chosenBySentinel(ctx) ?? renewed)
  const normal = () => (chosen !== null ? adoptPromotion(ctx, chosen) : awaitsSentinels(ctx) ? awaitSentinels(ctx) : respond[cell.response](ctx))
  const answered = withPreparation(ctx, refuseUnanswered(ctx, forced ? forceFailover(ctx) : reinitOr(ctx, normal)))
  const draft = withStream(ctx, withWayBack(ctx, withVote(ctx, withDispute(dispute, withoutHeldWrites(ctx.state, answered)))))
  const allowed = draft.vip ?? mayHoldAddress(ctx, draft.next)
  const stray = strayRule(ctx, draft.next)
  const reader = readerRule(ctx, draft.next)
  const take = takeRule(ctx, draft, allowed)
  const withAddress = withTaken(withVip(draft.actions, ctx, allowed), take)
  const decision: Decision = {
    next: draft.next,
    actions: [
      ...orphanRule(view),
      ...reader.withdraw,
      ...safeRule(ctx),
      ...withAddress,
      ...fenceRule(ctx, draft.next),
      ...waiveRule(ctx),
      ...backlogRule(ctx, draft),
      ...aofRule(ctx, draft),
      ...persistRule(ctx, draft),
      ...yieldRule(ctx, draft.next),
      ...stray.actions,
      ...reader.grant,
      ...take.filter((action) => !withAddress.includes(action)),
      ...valveRule(ctx, draft),
      ...tellRule(ctx, draft),
    ],
    events: [...learned.events, ...draft.events, ...stray.events],
    diagnosis: row.diagnosis,
    rule: forced
      ? `operator × ${view.request?.kind === 'accept' ? 'lineage accept' : 'failover --force'}`
      : chosen !== null
        ? 'Sentinel × promoted → adopt'
        : `${ctx.state.phase} × ${row.diagnosis} → ${cell.response}`,
    because: `${draft.because} — ${cell.why}`,
    wakeAtMs: view.nowMs + Math.max(0, Math.min(draft.wakeInMs, stray.wakeInMs)),
  }
  checkInvariants(state, view, policy, decision)
  return decision
}

/** Before the address goes: what ends a connection is told to its client from there. */
function orphanRule({ redis }: View): readonly Action[] {
  return redis.orphans === undefined ? [] : [{ kind: 'end-orphans', orphans: redis.orphans }]
}

/**
 * The write fence changes values that belong to the user, and a redis that serves must not have it: it is lifted as soon as redis
 * refuses writes by itself (a replica), is to serve and may, or is another process than the one that was fenced.
 */
function fenceRule(ctx: Context, next: State): readonly Action[] {
  const { facts, fence } = ctx.view.redis
  if (fence === null || facts === null || facts.loading || !redisAnswers(ctx.view)) return []
  const serves = isServingPhase(next.phase) && next.writesHeldSinceMs === null
  const needless = facts.role === 'replica' || fence.runId !== facts.runId || serves
  return needless ? [{ kind: 'lift-fence' }] : []
}

/**
 * `durability: safe`: before anything else, a promotion most of all, redis is to refuse writes that no replica acknowledges. In force
 * on replicas too, where it changes nothing until they are promoted. The write fence asks for more than that while it lasts.
 */
function safeRule(ctx: Context): readonly Action[] {
  const { facts, fence } = ctx.view.redis
  const inForce = facts === null || facts.goodFollowers !== null || facts.loading || fence !== null || !redisAnswers(ctx.view)
  return ctx.policy.safe && !inForce ? [{ kind: 'require-replica', runId: facts.runId }] : []
}

/** Not `safe` any more. The write fence stands in the same values: first it goes, and gives back what it found. */
function waiveRule({ view, policy }: Context): readonly Action[] {
  const { facts, fence, required } = view.redis
  if (policy.safe || required == null || fence !== null || facts === null || facts.loading || !redisAnswers(view)) return []
  return [{ kind: 'waive-replica', runId: facts.runId }]
}

/** In a calm cycle only: nothing that is under way waits for it. */
function backlogRule(ctx: Context, draft: Draft): readonly Action[] {
  const { facts, backlog } = ctx.view.redis
  if (draft.actions.length > 0 || facts === null) return []
  // `backlog` null: it has refused.
  if (draft.next.phase === 'primary' && facts.role === 'primary' && !countsBytes(facts) && backlog !== null && redisAnswers(ctx.view))
    return [{ kind: 'open-backlog' }]
  const action = adviseBacklog(ctx.view, ctx.policy)?.action ?? null
  return action === null ? [] : [action]
}

/** Turned on, redis begins a rewrite: once, when these data are those that stay. */
function aofRule(ctx: Context, draft: Draft): readonly Action[] {
  const { aofOwed, facts } = ctx.view.redis
  if (aofOwed == null || draft.actions.length > 0 || facts === null || facts.loading || facts.syncing || !redisAnswers(ctx.view)) return []
  return facts.linkUp || isServingPhase(draft.next.phase) ? [{ kind: 'settle-aof', to: aofOwed }] : []
}

/** Never in a cycle in which anything else is done: a promotion is as quick as without. */
function persistRule({ state, view, policy }: Context, draft: Draft): readonly Action[] {
  if (draft.actions.length > 0) return []
  const { action } = advisePersist({ ...state, lineage: draft.next.lineage, epoch: draft.next.epoch }, view, policy, draft.next.phase)
  return action === null ? [] : [action]
}

function withOperatorPause(state: State, view: View, policy: Policy): { readonly state: State; readonly events: readonly Event[] } {
  const request = view.request
  if (request === null || (request.kind !== 'pause' && request.kind !== 'resume')) return { state, events: [] }
  const on = request.kind === 'pause'
  const message = on ? 'automatic failover is paused' : 'automatic failover is on'
  const holder = state.holder === state.host ? null : state.holder
  const blind = !on && policy.leased && holder !== null && heard(peerOf(view, holder)) === null
  const untold = blind
    ? `; ${holder} is not heard and may still accept writes as it may while it is paused: nobody is promoted before it has heard of this, or by hand (holdfast failover ${state.group} --to HOST --force)`
    : ''
  const next: State = { ...state, paused: { on, atWallMs: Math.max(view.nowWallMs, state.paused.atWallMs + 1), by: request.by } }
  return {
    state: { ...next, results: [...next.results, { id: request.id, ok: true, message: `${message}${untold}` }].slice(-8) },
    events: [{ kind: on ? 'paused' : 'resumed', epoch: state.epoch, text: `${message} (by ${request.by})` }],
  }
}

function reinitOr(ctx: Context, otherwise: () => Draft): Draft {
  const { state, view, situation, policy } = ctx
  if (view.request?.kind !== 'reinit') return otherwise()
  const refuse = (why: string): Draft => ({ ...holdStill(ctx, why, tickMs), next: answerRequest(state, ctx, false, why) })
  if (policy.external) return refuse('reinit needs process: direct; this redis belongs to somebody else')
  if (isServingPhase(state.phase)) return refuse(`${state.host} is the primary: its data are the group's; switch over first`)
  if (situation.claim !== 'theirs' || situation.holder !== 'serves') {
    return refuse('reinit gives the data of a replica up, so another member must be serving: none is known to')
  }
  // Emptied, it could never be filled again.
  const unreadable = whyUnreadable(view.redis.facts, state.holder === null ? null : (heard(peerOf(view, state.holder))?.redis ?? null))
  if (unreadable !== null) return refuse(`${unreadable}: upgrade redis on ${state.host} first`)
  if (view.request.dryRun)
    return {
      ...holdStill(ctx, 'dry run', tickMs),
      next: answerRequest(state, ctx, true, `would give up the data of ${state.host} and fetch them anew from ${state.holder ?? ''}`),
    }
  const next = answerRequest(
    { ...state, phase: 'replica', partial: true, partialOf: null },
    ctx,
    true,
    `${state.host} is being filled anew from ${state.holder ?? ''}`,
  )
  return { ...holdStill(ctx, 'reinit: the operator gives this dataset up', 0), next, actions: [{ kind: 'wipe-redis' }], vip: false }
}

/** A request that the response did not take up is refused with the reason, never forgotten. */
function refuseUnanswered(ctx: Context, draft: Draft): Draft {
  const request = ctx.view.request
  if (request === null || draft.next.results.some((r) => r.id === request.id) || draft.next.handover?.id === request.id) return draft
  if (draft.next.move?.asked === request.id) return draft
  const why =
    request.kind === 'switchover'
      ? `only the primary can hand over, and ${ctx.state.host} is ${ctx.state.phase}`
      : `${request.kind} does not fit now: ${draft.because}`
  return { ...draft, next: answerRequest(draft.next, ctx, false, why) }
}
