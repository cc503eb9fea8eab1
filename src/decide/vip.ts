/**
 * The standing rules on the address: who may hold it, in which order it is given up and taken, when a primary yields it, and when it is
 * taken off a host by the agent itself. Whether it is where it belongs is named in address.ts. Pure.
 */
import type { Action, Event } from '../model/action.ts'
import { isGoingBack, isReceiving } from '../model/move.ts'
import { isolatedMs, isVoted, strayAfterMs, strayChosenMs, strayUnsureMs, vouchedAfterMs } from '../model/policy.ts'
import type { State } from '../model/state.ts'
import type { Context, Draft } from './draft.ts'
import { isCutOff } from './lease.ts'
import { ownFitness } from './fitness.ts'
import { seenWithinMs } from './moving.ts'
import { heard, isServingPhase, redisAnswers, voucherOf } from './situation.ts'

/** A replica that is fit waits with open arms: keepalived then needs only milliseconds to give it the address. */
export function mayHoldAddress(ctx: Context, next: State): boolean | undefined {
  const { view, situation } = ctx
  // The clients are elsewhere: at this address they would find a copy. On the way back they are sent away first, for which the address is needed.
  if (isReceiving(next.move)) return isSendingBack(next, view.nowMs) ? undefined : false
  if (isServingPhase(next.phase)) return true
  if (next.phase === 'handed') return undefined
  // VRRP would give it to whoever waits, long before a Sentinel has chosen: whoever is chosen takes it itself (takeRule).
  if (ctx.policy.sentinel !== null) return false
  if (next.phase !== 'replica') return next.phase === 'fresh' ? false : keepIfElecting(ctx)
  if (situation.claim === 'theirs' && situation.holder !== 'serves') {
    if (strayHere(ctx)) return false
    // Alone, and its gateway silent: nobody but itself hears its claim, and at the heal that claim would draw the clients to a replica.
    if (isCutOff(view, ctx.policy) && view.checks?.reach === 'silent') return false
    // Nothing is withdrawn while it is unclear who serves. But who has become fit must stand for the address: a member that
    // does not stand for it cannot learn from VRRP that the holder's host is silent.
    return situation.holder === 'unclear' && view.nowMs >= next.vipHoldOffUntilMs && ownFitness(next, view, ctx.policy).fit ? true : undefined
  }
  // Nobody stood for the address during a move. Who serves after it comes first: VRRP would give it to a replica that is milliseconds earlier.
  const first = view.peers.find((p) => p.host === next.holder)
  if (next.move?.stage === 'moved' && view.keepalived?.allowed === false && heard(first)?.phase === 'promoting') return false
  if (view.nowMs < next.vipHoldOffUntilMs) return false
  return ownFitness(next, view, ctx.policy).fit
}

/** Some milliseconds; where it comes to no end, nobody is to be led here. */
function isSendingBack({ move, phase }: State, nowMs: number): boolean {
  const sinceMs = move === null ? 0 : nowMs - move.stageMs
  return isGoingBack(move) && phase === 'receiving' && sinceMs >= 0 && sinceMs < seenWithinMs
}

/** VRRP cannot hear the holder from here, another member can, and says so again and again: the address here is a stray. */
function strayHere(ctx: Context): boolean {
  const { state, view, policy } = ctx
  const voucher = view.peers.find((p) => p.host === voucherOf(state, view))
  const holder = view.peers.find((p) => p.host === state.holder)
  // Without votes this member's own eyes weigh as much as another's; with them, nobody is elected whom the witness does not vote for.
  const afterMs = isVoted(policy) ? vouchedAfterMs / 5 : vouchedAfterMs
  return voucher !== undefined && holder !== undefined && holder.silentMs - voucher.statementAgeMs > afterMs
}

/** A fenced member never takes the address; one that waits in an election keeps what VRRP gave it. */
function keepIfElecting(ctx: Context): boolean | undefined {
  return ctx.state.phase === 'replica' ? undefined : false
}

/** They do not settle here again in the moment before the address goes. */
export const sendAway: readonly Action[] = [{ kind: 'refuse-connections', forMs: 1000 }, { kind: 'kill-clients' }]

/** Giving the address up comes first of all, taking it last. What ends connections needs the address and goes before. */
export function withVip(actions: readonly Action[], ctx: Context, allowed: boolean | undefined): readonly Action[] {
  const keepalived = ctx.view.keepalived
  if (keepalived === null || allowed === undefined || actions.some((a) => a.kind === 'vip')) {
    return keepalived === null ? actions.filter((a) => a.kind !== 'vip') : actions
  }
  if (keepalived.allowed === allowed) return actions
  const action: Action = { kind: 'vip', allowed }
  if (allowed) return [...actions, action]
  // A way back that takes too long, as that of an agent that was started anew in it: without the address nothing could tell these clients any more
  // that nobody answers them here, and they would wait for their own timeout; so would one that has come back before the address is gone.
  const waiting = isGoingBack(ctx.state.move) && redisAnswers(ctx.view) && !actions.some((a) => a.kind === 'kill-clients')
  if (waiting) return [...sendAway, action, ...actions]
  return actions.some((a) => a.kind === 'kill-clients' || a.kind === 'kill-redis') ? [...actions, action] : [action, ...actions]
}

/**
 * A primary that hears nobody yields in VRRP: it keeps the address while nobody else claims it, and loses it to the first
 * advert of a successor. Otherwise, after a cut, the old primary with the higher priority would take the address back and
 * acknowledge writes that are thrown away, until the agents have spoken. `refused` is no isolation: that host answers.
 * The successor hears nobody either; it does not yield, because it was promoted after the silence began.
 */
export function yieldRule(ctx: Context, next: State): readonly Action[] {
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
 * Who was chosen by Sentinels did not stand for the address before, and VRRP would listen for three adverts first. It is put here at once;
 * keepalived finds it there when it becomes MASTER, and takes it off when it is denied. Not where VRRP hears another that holds it.
 */
export function takeRule(ctx: Context, { next, actions }: Draft, allowed: boolean | undefined): readonly Action[] {
  const { keepalived, redis } = ctx.view
  // After a move as well: nobody stood for it, for the clients were elsewhere.
  const stoodForIt = ctx.policy.sentinel === null && ctx.state.phase !== 'receiving'
  if (stoodForIt || allowed !== true || keepalived === null || keepalived.vipHere) return []
  // A promotion that fails ends the list before this.
  const serves = (next.phase === 'primary' || next.phase === 'promoting') && (redis.facts?.role === 'primary' || actions.some((a) => a.kind === 'promote'))
  if (!serves || ctx.policy.members.find((m) => m.host === next.host)?.neverPrimary === true) return []
  return keepalived.vrrp === 'MASTER' || keepalived.vrrp === 'BACKUP' ? [] : [{ kind: 'take-address' }]
}

/**
 * A promotion takes the address before keepalived is allowed to: clients wait for the one and not for the other, which is a file. Where it is not to be
 * had the list ends there, so that only the first try goes before: from the next cycle on keepalived, which may get it, comes first. The end of a hold at a
 * source that refuses writes is waited for by nobody.
 */
export function withTaken(actions: readonly Action[], take: readonly Action[]): readonly Action[] {
  const last = actions.at(-1)
  const first = take.length > 0 && last?.kind === 'vip' && last.allowed && actions.some((a) => a.kind === 'promote')
  if (!first) return actions
  const isRelease = (action: Action): boolean => action.kind === 'source' && action.order.do === 'release'
  return [...actions.slice(0, -1).filter((a) => !isRelease(a)), ...take, last, ...actions.filter(isRelease)]
}

interface Stray {
  readonly actions: readonly Action[]
  readonly events: readonly Event[]
  readonly wakeInMs: number
}

/**
 * keepalived was killed and has left the address behind, or somebody has added it by hand: clients that are led here find a redis that
 * refuses their writes. keepalived cannot help, for it does not hold the address; so the agent takes it off. Never from a member that
 * serves, nor from one that has not begun: an operator's own address may be what leads to the data that are being adopted.
 */
export function strayRule(ctx: Context, next: State): Stray {
  const keepalived = ctx.view.keepalived
  const none: Stray = { actions: [], events: [], wakeInMs: Number.MAX_SAFE_INTEGER }
  if (keepalived === null || !keepalived.vipHere || keepalived.strayMs === 0) return none
  if (next.epoch === 0 || (next.phase !== 'replica' && next.phase !== 'fenced' && next.phase !== 'receiving')) return none
  const afterMs = ctx.policy.sentinel !== null ? strayChosenMs : keepalived.process === true && keepalived.allowed ? strayUnsureMs : strayAfterMs
  if (keepalived.strayMs < afterMs) return { ...none, wakeInMs: afterMs - keepalived.strayMs }
  const why = keepalived.process === true ? 'VRRP had not given it to this host' : 'keepalived does not run there'
  const text = `the address was on ${next.host} for ${Math.round(keepalived.strayMs)} ms, where it does not belong (${why}); it is taken off`
  const event: Event = { kind: 'vip-removed', epoch: next.epoch, text, data: { from: next.host, strayMs: Math.round(keepalived.strayMs) } }
  return { actions: [{ kind: 'drop-address' }], events: [event], wakeInMs: 0 }
}
