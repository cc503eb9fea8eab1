/**
 * What must not be done unless it can be remembered, and what may be done without: for an agent that cannot write its state.
 * Pure: `agent/` asks when the write of a decision has failed.
 */
import type { Action } from '../model/action.ts'
import type { Decision } from '../model/decision.ts'
import type { State } from '../model/state.ts'
import type { RedisFacts } from '../model/view.ts'

/**
 * May this change be carried out although it could not be written down? To resign, to follow or to record is safe to forget:
 * the peers tell it again. To claim an epoch or to give one away is not: forgotten, it would be done twice; nor is a vote.
 */
export function needsMemory(before: State, next: State): boolean {
  const votes = next.vote?.epoch !== before.vote?.epoch || next.vote?.to !== before.vote?.to
  if (votes) return true
  // Who only hears of it is told again.
  if (next.holder === next.host && next.move?.stage !== before.move?.stage) return true
  return next.phase !== before.phase && (next.phase === 'promoting' || next.phase === 'handing' || next.phase === 'handed')
}

/**
 * Nothing may be promoted that could be forgotten. What makes this member safer needs no memory: a replica that was to be promoted lets go of
 * its old primary, for what answers there next may have other data (INV-1).
 */
export function withoutMemory(actions: readonly Action[], role: RedisFacts['role'] | undefined): readonly Action[] {
  const safe = actions.filter((a) => (a.kind === 'vip' && !a.allowed) || a.kind === 'resume-writes' || a.kind === 'accept-connections')
  const letsGo = role === 'replica' && actions.some((a) => a.kind === 'promote' || a.kind === 'soft-fence')
  return letsGo ? [{ kind: 'soft-fence' }, ...safe] : safe
}

/**
 * What does not wait until it is remembered: the hold of a primary whose lease has ended. It ends by itself, so that it may be forgotten; and while a slow
 * disk took it down others would be free to elect (INV-3). It is given again with the others, and its outcome counts then.
 */
export function aheadOfMemory(before: State, { next, actions }: Pick<Decision, 'next' | 'actions'>): readonly Action[] {
  const holds = before.writesHeldSinceMs === null && next.writesHeldSinceMs !== null
  return holds ? actions.filter(({ kind }) => kind === 'pause-writes') : []
}

/** Monotonic times of another boot mean nothing. */
export function ofThisBoot(state: State, startedMs: number): State {
  const clamp = <T extends { readonly atMs: number }>(it: T): T => ({ ...it, atMs: Math.min(it.atMs, startedMs) })
  const { gone, vote, writesHeldSinceMs } = state
  const gave = vote?.gave === undefined ? {} : { gave: { ...clamp(vote.gave), endedMs: Math.min(vote.gave.endedMs, startedMs) } }
  return {
    ...state,
    vipHoldOffUntilMs: 0,
    gone: gone === null ? null : clamp(gone),
    vote: vote === null ? null : { ...clamp(vote), ...gave },
    writesHeldSinceMs: writesHeldSinceMs === null ? null : Math.min(writesHeldSinceMs, startedMs),
  }
}
