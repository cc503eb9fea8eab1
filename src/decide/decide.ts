/**
 * The core: learn from the peers' words, diagnose, look the response up, let it answer, then apply the two standing rules
 * (operator requests that fit any phase, and who may hold the VIP) and check the invariants. Pure and total.
 */
import type { Action, Event } from '../model/action.ts'
import type { Decision } from '../model/decision.ts'
import { isolatedMs, tickMs, vouchedAfterMs, type Policy } from '../model/policy.ts'
import type { State } from '../model/state.ts'
import type { View } from '../model/view.ts'
import { adviseBacklog } from './backlog.ts'
import { diagnose } from './diagnose.ts'
import { answerRequest, holdStill, type Context, type Draft } from './draft.ts'
import { ownFitness } from './fitness.ts'
import { withPreparation } from './handover.ts'
import { checkInvariants } from './invariants.ts'
import { learn } from './learn.ts'
import { forceFailover, isForced } from './forcing.ts'
import { withoutHeldWrites } from './lease.ts'
import { respond } from './responses.ts'
import { heard, isServingPhase, redisAnswers, situationOf, voucherOf } from './situation.ts'
import { respondTo } from './table.ts'
import { withVote } from './voting.ts'

export function decide(state: State, view: View, policy: Policy): Decision {
  const learned = withOperatorPause(learn(state, view), view)
  const situation = situationOf(learned.state, view, policy)
  const ctx: Context = { state: learned.state, view, policy, situation }
  const row = diagnose(situation)
  const cell = respondTo(ctx.state.phase, row.diagnosis)
  const forced = isForced(ctx)
  const answered = withPreparation(ctx, refuseUnanswered(ctx, forced ? forceFailover(ctx) : reinitOr(ctx, () => respond[cell.response](ctx))))
  const draft = withVote(ctx, withoutHeldWrites(ctx.state, answered))
  const allowed = draft.vip ?? standingVipRule(ctx, draft.next)
  const decision: Decision = {
    next: draft.next,
    actions: [
      ...safeRule(ctx),
      ...withVip(draft.actions, ctx, allowed),
      ...fenceRule(ctx, draft.next),
      ...backlogRule(ctx, draft),
      ...yieldRule(ctx, draft.next),
    ],
    events: [...learned.events, ...draft.events],
    diagnosis: row.diagnosis,
    rule: forced
      ? `operator × ${view.request?.kind === 'accept' ? 'lineage accept' : 'failover --force'}`
      : `${ctx.state.phase} × ${row.diagnosis} → ${cell.response}`,
    because: `${draft.because} — ${cell.why}`,
    wakeAtMs: view.nowMs + Math.max(0, draft.wakeInMs),
  }
  checkInvariants(state, view, policy, decision)
  return decision
}

/** A replica that is fit waits with open arms: keepalived then needs only milliseconds to give it the address. */
function standingVipRule(ctx: Context, next: State): boolean | undefined {
  const { view, situation } = ctx
  if (isServingPhase(next.phase)) return true
  if (next.phase === 'handed') return undefined
  if (next.phase !== 'replica') return next.phase === 'fresh' ? false : keepIfElecting(ctx)
  if (situation.claim === 'theirs' && situation.holder !== 'serves') {
    if (strayHere(ctx)) return false
    // Nothing is withdrawn while it is unclear who serves. But who has become fit must stand for the address: a member that
    // does not stand for it cannot learn from VRRP that the holder's host is silent.
    return situation.holder === 'unclear' && view.nowMs >= next.vipHoldOffUntilMs && ownFitness(next, view, ctx.policy).fit ? true : undefined
  }
  if (view.nowMs < next.vipHoldOffUntilMs) return false
  return ownFitness(next, view, ctx.policy).fit
}

/** VRRP cannot hear the holder from here, another member can, and says so again and again: the address here is a stray. */
function strayHere(ctx: Context): boolean {
  const { state, view, policy } = ctx
  const voucher = view.peers.find((p) => p.host === voucherOf(state, view))
  const holder = view.peers.find((p) => p.host === state.holder)
  // Without votes this member's own eyes weigh as much as another's; with them, nobody is elected whom the witness does not vote for.
  const afterMs = policy.quorum > 0 ? vouchedAfterMs / 5 : vouchedAfterMs
  return voucher !== undefined && holder !== undefined && holder.silentMs - voucher.statementAgeMs > afterMs
}

/** A fenced member never takes the address; one that waits in an election keeps what VRRP gave it. */
function keepIfElecting(ctx: Context): boolean | undefined {
  return ctx.state.phase === 'replica' ? undefined : false
}

/** Giving the address up comes first of all, taking it last. What ends connections needs the address and goes before. */
function withVip(actions: readonly Action[], ctx: Context, allowed: boolean | undefined): readonly Action[] {
  const keepalived = ctx.view.keepalived
  if (keepalived === null || allowed === undefined || actions.some((a) => a.kind === 'vip')) {
    return keepalived === null ? actions.filter((a) => a.kind !== 'vip') : actions
  }
  if (keepalived.allowed === allowed) return actions
  const action: Action = { kind: 'vip', allowed }
  if (allowed) return [...actions, action]
  return actions.some((a) => a.kind === 'kill-clients' || a.kind === 'kill-redis') ? [...actions, action] : [action, ...actions]
}

/**
 * A primary that hears nobody yields in VRRP: it keeps the address while nobody else claims it, and loses it to the first
 * advert of a successor. Otherwise, after a cut, the old primary with the higher priority would take the address back and
 * acknowledge writes that are thrown away, until the agents have spoken. `refused` is no isolation: that host answers.
 * The successor hears nobody either; it does not yield, because it was promoted after the silence began.
 */
function yieldRule(ctx: Context, next: State): readonly Action[] {
  const { view } = ctx
  const keepalived = view.keepalived
  if (keepalived === null || view.peers.length === 0) return []
  const lastHeardWallMs = view.nowWallMs - Math.min(...view.peers.map((p) => p.silentMs))
  const servedBefore = (next.lineage.findLast((e) => e.epoch === next.epoch)?.atWallMs ?? Number.MAX_SAFE_INTEGER) < lastHeardWallMs
  const cutOff = servedBefore && view.peers.every((p) => p.agent === 'silent' && p.silentMs >= isolatedMs)
  const inTouch = view.peers.some((p) => p.agent === 'refused' || heard(p) !== null)
  const yields = isServingPhase(next.phase) && (cutOff || (!inTouch && keepalived.yields))
  return yields === keepalived.yields ? [] : [{ kind: 'vrrp-yield', yields }]
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
  return ctx.policy.safe && !inForce ? [{ kind: 'require-replica' }] : []
}

/** In a calm cycle only: nothing that is under way waits for it. */
function backlogRule(ctx: Context, draft: Draft): readonly Action[] {
  const action = draft.actions.length > 0 ? null : (adviseBacklog(ctx.view, ctx.policy)?.action ?? null)
  return action === null ? [] : [action]
}

function withOperatorPause(state: State, view: View): { readonly state: State; readonly events: readonly Event[] } {
  const request = view.request
  if (request === null || (request.kind !== 'pause' && request.kind !== 'resume')) return { state, events: [] }
  const on = request.kind === 'pause'
  const message = on ? 'automatic failover is paused' : 'automatic failover is on'
  const next: State = { ...state, paused: { on, atWallMs: Math.max(view.nowWallMs, state.paused.atWallMs + 1), by: request.by } }
  return {
    state: { ...next, results: [...next.results, { id: request.id, ok: true, message }].slice(-8) },
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
  const why =
    request.kind === 'switchover'
      ? `only the primary can hand over, and ${ctx.state.host} is ${ctx.state.phase}`
      : `${request.kind} does not fit now: ${draft.because}`
  return { ...draft, next: answerRequest(draft.next, ctx, false, why) }
}
