/**
 * Is what this replica has what its primary has? A link that is up does not say so: the stream may stand still, be answered with
 * errors, or go to another database. Finds it, names it, and does the little that can be done about it. Pure.
 */
import type { Event } from '../model/action.ts'
import { cycleAgainMs, lagAlarmMs, stuckMs, syncLoopStarts, underWayBytes, type Policy } from '../model/policy.ts'
import type { State } from '../model/state.ts'
import type { View } from '../model/view.ts'
import type { Draft, Context } from './draft.ts'
import { whyUnreadable } from './copies.ts'
import { adviseReplicaBuffer, pauseAfterLoop } from './resync.ts'
import { heard, peerOf, redisAnswers } from './situation.ts'

const none: readonly string[] = []

/** Its offset does not follow the primary's, whatever its link says. */
export function isStuck(view: View): boolean {
  return view.watch.stream.stuckSinceMs !== null
}

/** Found stuck, and not moving now. What moves again, if only a little, needs no help. */
function standsStill(view: View): boolean {
  const { aheadSinceMs, stuckSinceMs } = view.watch.stream
  return stuckSinceMs !== null && aheadSinceMs !== null && view.nowMs - aheadSinceMs >= stuckMs
}

/** A time that lies ahead was noted before the machine was started anew. */
function cycledBefore(state: State, view: View): boolean {
  const { linkCycled } = state
  const sinceMs = linkCycled === null || linkCycled.runId !== view.redis.facts?.runId ? -1 : view.nowMs - linkCycled.atMs
  return sinceMs >= 0 && sinceMs < cycleAgainMs
}

/** Why the data here cannot be those of the primary; null: as far as is known they are. */
export function whyDiffers(state: State, view: View): string | null {
  if (state.differs !== null) return state.differs.why
  const source = state.holder === null || state.holder === state.host ? null : (heard(peerOf(view, state.holder))?.redis ?? null)
  const { settings } = view.redis
  if (settings === null || source?.highestDb === undefined || source.highestDb < settings.databases) return null
  return `its primary has keys in database ${source.highestDb}, and this redis has only ${settings.databases} databases: they go to a wrong one`
}

/** What is wrong, or will go wrong, with this member as a copy of its primary; for people. The same words as long as it is the same. */
export function alarmsOf(state: State, view: View, policy: Policy): readonly string[] {
  const { settings, facts } = view.redis
  const { attempts } = view.watch
  if (state.phase === 'primary') {
    const buffer = adviseReplicaBuffer(view, policy)
    return buffer === null ? none : [buffer.text]
  }
  const alarms: string[] = []
  if (state.phase === 'receiving' && state.move?.givenUp != null) alarms.push(`the sync of the move was given up: ${state.move.givenUp.why}`)
  const differs = whyDiffers(state, view)
  if (differs !== null) alarms.push(`${differs}. ${mend(state, policy)}`)
  if (standsStill(view) && cycledBefore(state, view) && view.nowMs - (state.linkCycled?.atMs ?? view.nowMs) >= stuckMs)
    alarms.push(
      `its offset does not follow that of ${state.holder ?? 'its primary'}, and a new link did not help: look at the network between them and at CLIENT PAUSE`,
    )
  const { lagsSinceMs } = view.watch.stream
  if (lagsSinceMs !== null && !isStuck(view) && view.nowMs - lagsSinceMs >= lagAlarmMs)
    alarms.push(
      `it is more than ${underWayBytes / 1024} KiB behind ${state.holder ?? 'its primary'} for ${lagAlarmMs / 1000} s and more: should that host be lost now, those writes would be missing; look at the network between them and at the load here`,
    )
  if (attempts.startsAtMs.length >= syncLoopStarts && facts?.linkUp === false) alarms.push('its full sync was begun again and again, and it never caught up')
  const source = state.holder === null || state.holder === state.host ? null : heard(peerOf(view, state.holder))
  const theirs = source?.settings ?? null
  const unreadable = whyUnreadable(facts, source?.redis ?? null)
  if (unreadable !== null) alarms.push(`${unreadable}: it lives by the stream alone; upgrade redis on ${state.host}`)
  if (settings === null || facts?.role !== 'replica') return alarms
  if (!settings.readOnly) alarms.push('replica-read-only is off: what clients write here is not the primary’s, and nothing tells; set it to yes')
  if (theirs === null) return alarms
  if (settings.databases < theirs.databases && differs === null)
    alarms.push(
      `it has ${settings.databases} databases, its primary ${theirs.databases}: writes to the others would go to a wrong one here; give both the same`,
    )
  const lacking = settings.missing.filter((name) => !theirs.missing.includes(name))
  if (lacking.length > 0)
    alarms.push(`it does not know ${lacking.join(', ')} (rename-command), which its primary does: such writes would be lost here; give both the same`)
  return alarms
}

function mend(state: State, policy: Policy): string {
  return policy.external
    ? 'Mend the cause, then restart this redis with an empty directory'
    : `Mend the cause, then fetch the data anew: holdfast reinit ${state.group} ${state.host}`
}

/** In a calm cycle only. Each step is remembered, so that it is taken once. */
export function withStream(ctx: Context, draft: Draft): Draft {
  const { view, policy, situation } = ctx
  if (draft.actions.length > 0 || !redisAnswers(view)) return draft
  const alarmed = withAlarms(ctx, draft)
  if (draft.next.phase === 'primary') {
    const action = adviseReplicaBuffer(view, policy)?.action ?? null
    return action === null ? alarmed : { ...alarmed, actions: [action] }
  }
  if (draft.next.phase === 'receiving') return alarmed
  if (draft.next.phase !== 'replica' || situation.holder !== 'serves') return draft
  const pause = pauseAfterLoop(draft.next, view)
  // Its own attempts would go on for ever, and each costs the primary a save and the network.
  if (pause !== null) return { ...alarmed, next: { ...alarmed.next, syncPause: pause }, actions: [{ kind: 'soft-fence' }] }
  const next =
    view.watch.attempts.startsAtMs.length === 0 && view.redis.facts?.linkUp === true && draft.next.syncPause !== null
      ? { ...alarmed.next, syncPause: null }
      : alarmed.next
  return cycleLink(ctx, { ...alarmed, next })
}

/** The cheapest cure: a new connection continues where the old one stood. Where that did not help it is not tried again soon. */
function cycleLink(ctx: Context, draft: Draft): Draft {
  const { view, state } = ctx
  const { facts } = view.redis
  if (facts === null || !facts.linkUp || !standsStill(view) || cycledBefore(draft.next, view)) return draft
  const text = `${state.host}: its offset stands at ${facts.offset} while ${state.holder ?? 'its primary'} goes on, and its link says up: it is begun anew`
  return {
    ...draft,
    next: { ...draft.next, linkCycled: { runId: facts.runId, atMs: view.nowMs } },
    actions: [{ kind: 'cycle-link' }],
    events: [...draft.events.filter((e) => e.kind !== 'alarm'), { kind: 'alarm', epoch: state.epoch, text }],
    because: text,
  }
}

/** One event for all of them: the log tells an alarm once as long as its words stay the same. */
function withAlarms(ctx: Context, draft: Draft): Draft {
  const alarms = alarmsOf(draft.next, ctx.view, ctx.policy)
  if (alarms.length === 0 || draft.events.some((e) => e.kind === 'alarm')) return draft
  const event: Event = { kind: 'alarm', epoch: draft.next.epoch, text: `${draft.next.host}: ${alarms.join('; ')}` }
  return { ...draft, events: [...draft.events, event] }
}
