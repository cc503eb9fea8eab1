/**
 * A move after its cut-over, until it is final: the source is kept as the way back, and nothing there may float back by itself. The way back
 * itself is the cut-over the other way round: hold the writes here → offsets equal → this redis is a replica of nobody → the source is made
 * a primary, and SEEN to be one → the group follows it again. PURE.
 */
import type { Action, Event } from '../model/action.ts'
import { isUnderWay, type Move } from '../model/move.ts'
import { busyTickMs, stallLimitMs, tickMs } from '../model/policy.ts'
import { maxLineage, type State } from '../model/state.ts'
import type { SourceProbe } from '../model/view.ts'
import { answerId, answerRequest, claimEpoch, holdStill, type Context, type Draft } from './draft.ts'
import { asOfGroup, behindBy, followsWhom, isBelow, settling, untoldBy, whyNotFed, withNewsOf } from './fed.ts'
import { memberOf } from './fitness.ts'
import { isKnown, listens, wouldServe } from './knowing.ts'
import { mergeLineage } from './position.ts'
import {
  historyOf,
  holdMarginMs,
  isOwnSeen,
  isSeen,
  mustListen,
  isSettled,
  maxLagBytes,
  nameOf,
  pollMs,
  presently,
  receivingEntry,
  seenWithinMs,
  withoutFailed,
  wasRestarted,
  whyCountsDiffer,
  withStage,
} from './moving.ts'
import { epochAbove } from './sentinels.ts'
import { redisAnswers } from './situation.ts'
import { startRedis } from './starting.ts'
import { sendAway } from './vip.ts'

/** Of a primary, in each cycle while a move is not final. */
export function withWayBack(ctx: Context, draft: Draft): Draft {
  const { state, view } = ctx
  const { move } = draft.next
  if (move?.stage === 'back-hold' && state.phase === 'primary' && draft.next.phase !== 'primary') return withoutHold(ctx, move, draft)
  if (!isUnderWay(move) || draft.next.phase !== 'primary' || state.phase !== 'primary') return draft
  if (move.epoch < draft.next.epoch) return { ...draft, next: takenOver(draft.next, move, view) }
  // What this cycle has begun is looked after in the next one: its own actions come first.
  if (move.stage !== state.move?.stage || (move.stage !== 'moved' && move.stage !== 'back-hold')) return draft
  const { source } = view
  // What the response has answered stays answered.
  if (move.stage === 'back-hold') {
    // Its lease is over, or it comes back to it: another may be elected, and what holds the writes back now is not to be lifted.
    if (draft.next.writesHeldSinceMs !== null || draft.actions.length > 0) return leave({ ...ctx, state: draft.next }, move, draft)
    return measureBack({ ...ctx, state: draft.next }, move, source)
  }
  if (source === undefined || presently(source) === null || draft.actions.length > 0) return draft
  const { move: known } = withoutFailed({ ...ctx, state: draft.next }).state
  return keepSource(ctx, known ?? move, source, draft)
}

/** Elected since: what an earlier holder had begun with the source is over, and the file there names that one. */
function takenOver(state: State, move: Move, view: Context['view']): State {
  const last = `${state.host} serves epoch ${state.epoch} and sees to ${nameOf(move.source)} from now on`
  return withStage(state, move, view, { stage: 'moved', asked: null, heldFromMs: null, settled: false, last })
}

/** The source is where it belongs: it refuses writes, and follows whoever serves, where it can. */
function keepSource(ctx: Context, move: Move, source: SourceProbe, draft: Draft): Draft {
  const { state, view, policy } = ctx
  const seen = source.facts
  const self = memberOf(policy, state.host)
  if (seen === null || self === undefined) return draft
  const at = nameOf(move.source)
  const whom = followsWhom(move, self, source)
  if (seen.role === 'primary') {
    const text = `${at} had become a primary again: it is made a replica of nobody. What was written to it meanwhile stays there and nowhere else`
    const alarm: Event = { kind: 'alarm', epoch: state.epoch, text }
    const next = withStage(draft.next, move, view, { wayBack: 'copy', runId: seen.runId, last: text })
    return {
      ...draft,
      next,
      actions: [
        { kind: 'source', order: { do: 'demote' } },
        { kind: 'source', order: { do: 'kill-clients' } },
      ],
      events: [...draft.events, alarm],
    }
  }
  // Another may have been elected, whom it follows by now. Led back and forth, it would have the offset of one and the writes of the other.
  if (draft.next.writesHeldSinceMs !== null) return draft
  // Restarted as a replica, it fetches what it lacks.
  if (seen.runId !== move.runId) return { ...draft, next: withStage(draft.next, move, view, { runId: seen.runId }) }
  if (!move.settled) {
    // The address first: who asks for it then is led here, and what it still sends to the old host is answered with RST here. Let go of there before, it
    // would go to nobody, and TCP sends again after 200 ms, or a second.
    if (view.keepalived !== null && !view.keepalived.vipHere && view.nowWallMs - move.stageWallMs < seenWithinMs) return { ...draft, wakeInMs: busyTickMs }
    if (isSettled(ctx, move) && !source.raised) return { ...draft, next: withStage(draft.next, move, view, { settled: true }) }
    const next = withStage(draft.next, move, view, { settlingMs: view.nowMs })
    const actions: readonly Action[] = [{ kind: 'call-hook', to: 'group' }, { kind: 'source', order: { do: 'kill-clients' } }, ...settling(move, self, source)]
    return { ...draft, next, actions }
  }
  const follows = seen.upstream?.host === whom?.host && seen.upstream?.port === whom?.port
  if (whom === null || follows || view.nowWallMs - move.stageWallMs < tickMs) return withNewsOf(draft, move, view)
  return { ...draft, actions: [{ kind: 'source', order: { do: 'follow', ...whom } }] }
}

/** null: the source has all that is here, as far as can be known before the writes are held. */
function whyNoWayBack(ctx: Context, move: Move): string | null {
  const { state, view, policy } = ctx
  const at = nameOf(move.source)
  const own = view.redis.facts
  const seen = view.source?.facts ?? null
  const self = memberOf(policy, state.host)
  if (move.wayBack === 'copy')
    return `${at} keeps what it had at the cut-over and nothing of what was written since. To go back to that and lose the rest: stop the clients, then REPLICAOF NO ONE there`
  if (own === null || !redisAnswers(view)) return 'the redis of this host does not answer'
  if (seen === null || view.source?.trouble != null) return `${at} does not answer${view.source?.trouble == null ? '' : `: ${view.source.trouble}`}`
  const notFed = whyNotFed(ctx, move)
  if (notFed !== null) return notFed
  const whom = self === undefined ? null : followsWhom(move, self, view.source)
  if (seen.role !== 'replica' || whom === null || seen.upstream?.host !== whom.host || seen.upstream.port !== whom.port)
    return `${at} does not follow ${state.host} yet`
  if (!seen.linkUp || seen.syncing || seen.loading) return `the link of ${at} is not up`
  // Killed before that has ended, it would come back with what it had before it followed.
  if (seen.aof?.enabled === true && seen.aof.rewriting) return `${at} is still writing its AOF anew: started anew now, it would have older data`
  const lag = behindBy(move, own, seen, view.source)
  return lag > maxLagBytes ? `${at} is ${lag} bytes behind` : null
}

export function beginRollback(ctx: Context, move: Move): Draft {
  const { state, view, policy } = ctx
  const why = whyNoWayBack(ctx, move)
  if (why !== null) return { ...holdStill(ctx, why, tickMs), next: answerRequest(state, ctx, false, why) }
  if (view.request?.dryRun === true)
    return { ...holdStill(ctx, 'dry run', tickMs), next: answerRequest(state, ctx, true, `${nameOf(move.source)} could serve again now`) }
  const text = `writes are held to go back to ${nameOf(move.source)}`
  const forMs = policy.maxPauseMs + holdMarginMs
  return {
    ...holdStill(ctx, text, 0),
    next: withStage(state, move, view, { stage: 'back-hold', asked: view.request?.id ?? null, heldFromMs: view.nowMs, last: text }),
    actions: [
      { kind: 'refuse-connections', forMs },
      { kind: 'pause-writes', forMs },
    ],
    events: [{ kind: 'move', epoch: state.epoch, text }],
  }
}

function measureBack(ctx: Context, move: Move, source: SourceProbe | undefined): Draft {
  const { state, view, policy } = ctx
  const own = view.redis.facts
  if (wasRestarted(ctx, move)) return stay(ctx, move, 'the agent was restarted in the middle')
  if (!view.actedAll) return stay(ctx, move, 'writes could not be held')
  if (view.nowMs - move.stageMs > policy.maxPauseMs)
    return stay(
      ctx,
      move,
      isKnown(ctx, move) ? `${nameOf(move.source)} did not catch up within max_pause_ms` : 'not all members have heard of it within max_pause_ms',
    )
  if (source === undefined || source.trouble !== null) return stay(ctx, move, `${nameOf(move.source)} cannot be asked`)
  const seen = asOfGroup(state, move, source)
  if (own === null || seen === null || !isSeen(ctx, move, source) || !isOwnSeen(ctx, move))
    return holdStill(ctx, 'writes are held; both are asked for their offsets', pollMs)
  if (!seen.linkUp || seen.runId !== move.runId) return stay(ctx, move, `the link of ${nameOf(move.source)} was lost`)
  if (!isBelow(ctx, move, seen)) return stay(ctx, move, `${nameOf(move.source)} follows another`)
  if (seen.offset !== own.offset) return holdStill(ctx, `writes are held; waits until ${nameOf(move.source)} has offset ${own.offset}`, pollMs)
  const differ = untoldBy(move, source) > 0 ? null : whyCountsDiffer({ name: nameOf(move.source), facts: seen }, { name: state.host, facts: own })
  if (differ !== null) return stay(ctx, move, differ)
  // Who does not listen now would not hear of the fence either, and the clients would wait for that.
  if (!listens(ctx, move)) return holdStill(ctx, 'writes are held; waits until the members have heard of it', pollMs)
  const text = `both have offset ${own.offset}: this redis refuses writes, ${nameOf(move.source)} is to serve`
  return {
    ...holdStill(ctx, text, 0),
    next: { ...withStage(state, move, view, { stage: 'back-fence', equalOffset: own.offset, last: text }), phase: 'receiving' },
    actions: [{ kind: 'soft-fence' }],
    events: [{ kind: 'fenced', epoch: state.epoch, text, data: { from: state.host, to: nameOf(move.source), offset: own.offset } }],
  }
}

function stay(ctx: Context, move: Move, why: string): Draft {
  const { state, view } = ctx
  const last = `the way back was given up, ${state.host} goes on serving: ${why}`
  const next = withStage(state, move, view, { stage: 'moved', asked: null, heldFromMs: null, last })
  return {
    ...holdStill(ctx, last, 0),
    next: move.asked === null ? next : answerId(next, move.asked, false, last),
    actions: [{ kind: 'resume-writes' }, { kind: 'accept-connections' }],
    events: [{ kind: 'rolled-back', epoch: state.epoch, text: last }],
  }
}

/** It has resigned, or was voted out: who is chosen has nothing of it to go on with, and who asked is told. */
function withoutHold(ctx: Context, move: Move, draft: Draft): Draft {
  const last = `the way back was given up: ${ctx.state.host} does not serve any more`
  const next = withStage(draft.next, move, ctx.view, { stage: 'moved', asked: null, heldFromMs: null, last })
  const event: Event = { kind: 'rolled-back', epoch: next.epoch, text: last }
  return { ...draft, next: move.asked === null ? next : answerId(next, move.asked, false, last), events: [...draft.events, event] }
}

function leave(ctx: Context, move: Move, draft: Draft): Draft {
  const { next, events } = stay(ctx, move, `too few of those who vote hear ${ctx.state.host}`)
  return { ...draft, next, events: [...draft.events, ...events] }
}

/** This redis refuses writes. Until the source was told to serve, this one may take it back; afterwards only what is seen there counts. */
export function continueBack(ctx: Context, move: Move, source: SourceProbe): Draft {
  const { state, view, policy } = ctx
  const own = view.redis.facts
  const seen = asOfGroup(state, move, source)
  const at = nameOf(move.source)
  const late = wasRestarted(ctx, move) || view.nowMs - move.stageMs > seenWithinMs
  const heldMs = move.heldFromMs === null || wasRestarted(ctx, move) ? null : Math.round(view.nowMs - move.heldFromMs)
  // Until the source is told to serve all can be taken back, and nobody is to wait for longer than was promised.
  const over = heldMs === null || heldMs > policy.maxPauseMs
  const ownSeen = own !== null && isOwnSeen(ctx, move)
  if (mustListen(ctx)) return holdStill(ctx, 'this agent has only just started: another may have been made to serve meanwhile', busyTickMs)
  if (view.stalledMs > stallLimitMs)
    return holdStill(ctx, 'this agent itself stood still: what was said meanwhile is read before anybody is made to serve', busyTickMs)
  if (ownSeen && own.role === 'primary') return { ...holdStill(ctx, 'this redis is to refuse writes first', pollMs), actions: [{ kind: 'soft-fence' }] }
  if (seen === null || !isSeen(ctx, move, source)) {
    if (move.stage === 'back-fence' && over && ownSeen) return takeBack(ctx, move, `${at} does not answer`)
    const text = `${at} was told to serve and is not seen to; nobody else does`
    return { ...holdStill(ctx, text, late ? tickMs : pollMs), events: late ? [{ kind: 'alarm', epoch: state.epoch, text }] : [] }
  }
  if (move.stage === 'back-fence') {
    // What was held cannot have changed it; an offset of its own says the same, if it lives. One that was restarted has read its disk, which may be older.
    const equal = seen.role === 'replica' && isBelow(ctx, move, seen) && seen.runId === move.runId && seen.offset === move.equalOffset
    const same = ownSeen && own.runId === state.servingRunId
    const gives = equal && (same ? seen.offset === own.offset : !over)
    if (!gives && !ownSeen) return redisOfOwn(ctx)
    if (!gives) return takeBack(ctx, move, `${at} has offset ${seen.offset} and ${own?.offset ?? '?'} is here, or one of them was restarted`)
    if (!isKnown(ctx, move)) {
      if (over) return takeBack(ctx, move, 'not all members have heard of it')
      return holdStill(ctx, 'this redis refuses writes; the members are to know of it before another serves', pollMs)
    }
    const next = withStage(state, move, view, { stage: 'back-give' })
    return { ...holdStill(ctx, `${at} is told to serve`, 0), next, actions: [{ kind: 'source', order: { do: 'promote' } }] }
  }
  // What it has now is of its disk, and that may be older than what is here, or nothing (INV-1).
  if (seen.role === 'replica' && seen.runId !== move.runId) return takeBack(ctx, move, `${at} was restarted before it served`)
  if (seen.role === 'replica') return { ...holdStill(ctx, `${at} is told to serve`, pollMs), actions: [{ kind: 'source', order: { do: 'promote' } }] }
  const epoch = epochAbove(ctx)
  const last = `rolled back: ${at} serves again${heldMs === null ? '' : `; writes were held for ${heldMs} ms`}, and this group follows it`
  const lineage = mergeLineage(state.lineage, [receivingEntry(state, epoch, seen, view.nowWallMs, last)], state.host, maxLineage)
  const claimed = { ...state, epoch, lineage, vote: { epoch, to: state.host, atMs: view.nowMs } }
  const next = withStage(claimed, move, view, {
    stage: 'sync',
    asked: null,
    heldFromMs: null,
    heldMs,
    verified: null,
    replid: historyOf(seen),
    settled: false,
    settlingMs: view.nowMs,
    last,
  })
  return {
    ...holdStill(ctx, last, 0),
    next: move.asked === null ? next : answerId(next, move.asked, true, last),
    actions: sendBack(ctx),
    events: [{ kind: 'rolled-back', epoch, text: last, data: { heldMs } }],
    vip: false,
  }
}

function redisOfOwn(ctx: Context): Draft {
  return ctx.situation.redis === 'dead' ? startRedis(ctx) : holdStill(ctx, 'the redis of this host does not answer', busyTickMs)
}

/** Clients of this group find the source again. A redis that is down has none, and holds nothing up. */
export function sendBack({ view, situation }: Context): readonly Action[] {
  const answers = situation.redis !== 'dead' && redisAnswers(view)
  const ends = answers ? sendAway : []
  const resumes: readonly Action[] = answers ? [{ kind: 'resume-writes' }] : []
  // Put up by this agent itself, and not VRRP's yet: nobody else takes it off, and a source that is silent may hold up the cycle that would.
  const drops: readonly Action[] = view.keepalived?.vipHere === true && view.keepalived.strayMs > 0 ? [{ kind: 'drop-address' }] : []
  return [
    ...ends,
    { kind: 'vip', allowed: false },
    ...drops,
    { kind: 'call-hook', to: 'source' },
    { kind: 'accept-connections' },
    ...resumes,
    // Its file says until then that it follows this group: a restart would have it follow who follows it, and nobody would serve.
    { kind: 'source', order: { do: 'settle' } },
  ]
}

/** The source does not serve. Where others may have been elected meanwhile, or this redis lost what it had, the best data are elected. */
function takeBack(ctx: Context, move: Move, why: string): Draft {
  const { state, view, policy } = ctx
  const own = view.redis.facts
  if (own?.runId !== state.servingRunId || !(isKnown(ctx, move) || wouldServe(ctx, move))) return leaveToElection(ctx, move, why)
  // Its next word says whether it knows, or serves itself: a host that was stopped with its clock has not read that yet, and does not know that it was.
  const says = !isKnown(ctx, move) && view.peers.some(({ agent }) => agent === 'alive')
  if (says && move.heldFromMs !== null && view.nowMs - move.heldFromMs <= policy.maxPauseMs)
    return holdStill(ctx, `the members are to know of it first: ${why}`, pollMs)
  const last = `the way back was given up, ${state.host} serves again: ${why}`
  const draft = claimEpoch(ctx, epochAbove(ctx), 'migration', last)
  const next = withStage(draft.next, move, view, { stage: 'moved', asked: null, heldFromMs: null, last })
  return {
    ...draft,
    next: move.asked === null ? next : answerId(next, move.asked, false, last),
    events: [{ kind: 'rolled-back', epoch: draft.next.epoch, text: last }],
  }
}

function leaveToElection(ctx: Context, move: Move, why: string): Draft {
  const { state, view } = ctx
  const last = `the way back was given up, the best data of the group are elected: ${why}`
  const next = withStage(state, move, view, { stage: 'moved', asked: null, heldFromMs: null, last })
  const own = view.redis.facts
  const fresh = own?.runId === state.servingRunId && !wasRestarted(ctx, move)
  const gone: State['gone'] = { epoch: state.epoch, fresh, atMs: view.nowMs, runId: own?.runId ?? null }
  const fenced: State = { ...next, phase: 'fenced', servingRunId: null, gone }
  return {
    ...holdStill(ctx, last, 0),
    next: move.asked === null ? fenced : answerId(fenced, move.asked, false, last),
    events: [{ kind: 'rolled-back', epoch: state.epoch, text: last }],
  }
}
