/**
 * The cut-over of a move: a switchover whose old side has no agent. Hold the writes there → offsets equal → the source is a replica of nobody,
 * and is SEEN to be → promote here. Until the source was told to step down everything can be taken back, and over its deadline it is. PURE.
 */
import type { Action, Event } from '../model/action.ts'
import type { Move } from '../model/move.ts'
import { busyTickMs, tickMs } from '../model/policy.ts'
import type { SourceProbe } from '../model/view.ts'
import { feedFrom } from './fed.ts'
import { answerId, claimEpoch, holdStill, type Context, type Draft } from './draft.ts'
import {
  historyOf,
  holdMarginMs,
  isFencedByUs,
  isOwnSeen,
  isSeen,
  mustListen,
  maxLagBytes,
  nameOf,
  pollMs,
  seenWithinMs,
  wasRestarted,
  whyCountsDiffer,
  withStage,
} from './moving.ts'
import { epochAbove, whyTooFewSentinels } from './sentinels.ts'
import { heard, peerOf, redisAnswers } from './situation.ts'

/** Why writes cannot be held for a cut-over now; null: they can. */
export function whyNotNow(ctx: Context, source: SourceProbe | undefined): string | null {
  const { view, policy, state } = ctx
  const own = view.redis.facts
  const seen = source?.facts ?? null
  if (own === null || !redisAnswers(view)) return 'the redis of this host does not answer'
  if (source === undefined || seen === null || source.trouble !== null)
    return `the source does not answer${source?.trouble == null ? '' : `: ${source.trouble}`}`
  if (seen.role !== 'primary') return 'the source is no primary'
  if (own.upstream?.port === 1) return `this redis does not follow the source: ${state.move?.last ?? ''}`
  if (!own.linkUp || own.syncing || state.partial) return 'the first sync has not ended'
  if (own.replid !== historyOf(seen)) return 'the source has another history than was received'
  if (state.differs !== null)
    return `${state.host}: ${state.differs.why}. Compare them (holdfast migrate verify), or have it fetched anew (holdfast migrate start … --overwrite ${own.runId})`
  if (seen.forked?.keepsClients === true) return `the source ${hasForked}; one that is postponed (holdfast migrate arm) waits for that`
  const lag = seen.offset - own.offset
  if (lag > maxLagBytes) return `this redis is ${lag} bytes behind the source`
  for (const { host } of policy.members) {
    if (host === state.host) continue
    const word = heard(peerOf(view, host))
    if (word === null) return `the agent of ${host} is not heard`
    if (word.redis === null || !word.answering) return `the redis of ${host} does not answer`
    if (!word.redis.linkUp || word.redis.syncing || word.partial) return `${host} has not fetched the data yet`
    if (word.redis.replid !== own.replid) return `${host} does not follow yet`
    if (word.trueCopy === false) return `the data of ${host} are not those of its primary: ${word.alarms?.join('; ') ?? ''}`
  }
  return whyTooFewSentinels(ctx)
}

/** Writes that are held are answered by nobody there: who is not told waits for its own timeout. */
const hasForked = 'saves, or rewrites its AOF: the clients that are sent away would not be told before that has ended (redis before 7.2)'

export function beginCutOver(ctx: Context, move: Move, asked: string | null): Draft {
  const { state, view, policy } = ctx
  const text = `writes at ${nameOf(move.source)} are held for the cut-over, for at most ${policy.maxPauseMs} ms`
  const next = withStage(state, move, view, { stage: 'hold', armed: null, asked, heldFromMs: view.nowMs, last: text })
  return {
    ...holdStill(ctx, text, 0),
    next,
    actions: [{ kind: 'source', order: { do: 'hold', forMs: policy.maxPauseMs + holdMarginMs } }],
    events: [{ kind: 'move', epoch: state.epoch, text }],
  }
}

export function measure(ctx: Context, move: Move, source: SourceProbe): Draft {
  const { view, policy, state } = ctx
  const own = view.redis.facts
  const seen = source.facts
  if (wasRestarted(ctx, move)) return giveUp(ctx, move, 'the agent was restarted in the middle')
  // Writes that were not held could come between the measuring and the fence.
  if (!view.actedAll) return giveUp(ctx, move, 'writes could not be held at the source')
  if (view.nowMs - move.stageMs > policy.maxPauseMs)
    return giveUp(ctx, move, `the group did not catch up within max_pause_ms (${own?.offset ?? '?'} of ${seen?.offset ?? '?'})`)
  if (source.trouble !== null) return giveUp(ctx, move, `the source cannot be asked: ${source.trouble}`)
  if (isDown(ctx)) return giveUp(ctx, move, `the redis of ${state.host} went down`)
  if (own === null || seen === null || !isSeen(ctx, move, source) || !isOwnSeen(ctx, move))
    return holdStill(ctx, 'writes are held; both are asked for their offsets', pollMs)
  if (seen.role !== 'primary' || seen.runId !== move.runId) return giveUp(ctx, move, 'the source is no primary any more, or was restarted')
  if (!own.linkUp || own.replid !== historyOf(seen)) return giveUp(ctx, move, 'the link to the source was lost')
  if (seen.forked?.keepsClients === true) return giveUp(ctx, move, `it ${hasForked}`)
  if (own.offset !== seen.offset) return holdStill(ctx, `writes are held; waits for offset ${seen.offset} (here ${own.offset})`, pollMs)
  const differ = whyCountsDiffer({ name: nameOf(move.source), facts: seen }, { name: state.host, facts: own })
  if (differ !== null) return giveUp(ctx, move, differ)
  const text = `both have offset ${own.offset} and ${own.keys} keys: ${nameOf(move.source)} is made a replica of nobody`
  return {
    ...holdStill(ctx, text, pollMs),
    next: withStage(state, move, view, { stage: 'fence', equalOffset: own.offset, last: text }),
    actions: [{ kind: 'source', order: { do: 'demote' } }],
    events: [{ kind: 'fenced', epoch: state.epoch + 1, text, data: { from: nameOf(move.source), to: state.host, offset: own.offset } }],
  }
}

/** Nothing is promoted before the source was SEEN to refuse writes, at the same offset still: an agent that stood still may come after the hold was over. */
export function promoteOnce(ctx: Context, move: Move, source: SourceProbe): Draft {
  const { view, state } = ctx
  const own = view.redis.facts
  const seen = source.facts
  const late = wasRestarted(ctx, move) || view.nowMs - move.stageMs > seenWithinMs
  if (seen === null || !isSeen(ctx, move, source)) {
    const text = `${nameOf(move.source)} was told to step down and is not seen to have (${source.trouble ?? 'asked'}); nobody is promoted before`
    const alarm: readonly Event[] = late
      ? [{ kind: 'alarm', epoch: state.epoch, text: `${text}. If it is gone for good: holdfast failover ${state.group} --to ${state.host} --force` }]
      : []
    // It may be started anew with other data, and redis would follow it by itself (INV-1).
    const lets: readonly Action[] =
      source.trouble !== null && own?.upstream?.port !== 1 && own?.syncing === false && redisAnswers(view) ? [{ kind: 'soft-fence' }] : []
    return { ...holdStill(ctx, text, late ? tickMs : pollMs), actions: lets, events: alarm }
  }
  if (mustListen(ctx)) return holdStill(ctx, 'this agent has only just started: another may have been made to serve meanwhile', busyTickMs)
  if (seen.role === 'primary') {
    if (late || seen.runId !== move.runId) return giveUp(ctx, move, 'the source did not step down, or was restarted')
    return { ...holdStill(ctx, 'the source is told to step down', pollMs), actions: [{ kind: 'source', order: { do: 'demote' } }] }
  }
  // Nobody serves as long as this lasts.
  if (own === null || !isOwnSeen(ctx, move)) {
    if (late || isDown(ctx)) return giveUp(ctx, move, `the redis of ${state.host} does not answer`)
    return holdStill(ctx, 'the source refuses writes; the redis of this host is asked', pollMs)
  }
  // Before 4.0 a replica of nobody does not tell how far it was.
  const same = seen.replid === '' || seen.offset === own.offset
  if (!isFencedByUs(seen) || !same || seen.runId !== move.runId || own.replid !== historyOf(seen))
    return giveUp(ctx, move, `the source wrote up to offset ${seen.offset} before it stepped down, and ${own.offset} is here`)
  const heldMs = move.heldFromMs === null || wasRestarted(ctx, move) ? null : Math.round(view.nowMs - move.heldFromMs)
  const why = `moved from ${nameOf(move.source)}, which refuses writes, at equal offsets`
  const draft = claimEpoch(ctx, epochAbove(ctx), 'migration', why)
  const last = `${state.host} serves${heldMs === null ? '' : `; writes were held for ${heldMs} ms until its promotion`}`
  const moved = withStage(draft.next, move, view, {
    stage: 'moved',
    asked: null,
    heldMs,
    settled: false,
    settlingMs: null,
    last,
    ...feedFrom(view, move, seen),
  })
  return {
    ...draft,
    next: move.asked === null ? moved : answerId(moved, move.asked, true, last),
    // Those that wait at the source end there while its address still leads to it; a write that was held is answered with READONLY.
    actions: [...draft.actions, { kind: 'source', order: { do: 'kill-clients' } }, { kind: 'source', order: { do: 'release' } }],
    events: [...draft.events, { kind: 'move', epoch: draft.next.epoch, text: last, data: { source: nameOf(move.source), heldMs } }],
  }
}

/** Back to where it was: the source serves, the group follows. followSource lifts what is left of the hold and of the fence, until it is seen to be lifted. */
function giveUp(ctx: Context, move: Move, why: string): Draft {
  const { state, view } = ctx
  const last = `the cut-over was given up, ${nameOf(move.source)} goes on serving: ${why}`
  const next = withStage(state, move, view, { stage: 'sync', asked: null, heldFromMs: null, last })
  return {
    ...holdStill(ctx, last, 0),
    next: move.asked === null ? next : answerId(next, move.asked, false, last),
    actions: [{ kind: 'source', order: { do: 'release' } }],
    events: [{ kind: 'rolled-back', epoch: state.epoch, text: last }],
  }
}

function isDown({ situation }: Context): boolean {
  return situation.redis === 'dead' || situation.redis === 'loading'
}
