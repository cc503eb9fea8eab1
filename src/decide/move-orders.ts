/**
 * What an operator asks of a move: start, arm, cut over, roll back, commit, abort. Each is taken up or refused with the reason, and asked
 * twice it is done once. PURE. Only the member that holds the group answers.
 */
import type { Event } from '../model/action.ts'
import { isUnderWay, type Move, type MoveOrder } from '../model/move.ts'
import { anyTerms, type SyncTerms } from '../model/sync-terms.ts'
import { tickMs } from '../model/policy.ts'
import { maxLineage, type State } from '../model/state.ts'
import type { RedisFacts } from '../model/view.ts'
import { whyUnreadable } from './copies.ts'
import { answerRequest, holdStill, type Context, type Draft } from './draft.ts'
import { mergeLineage } from './position.ts'
import { beginCutOver, whyNotNow } from './cut-over.ts'
import { goesOn, historyOf, nameOf, receivingEntry, withStage } from './moving.ts'
import { epochAbove } from './sentinels.ts'
import { beginRollback } from './way-back.ts'

export function answerMove(ctx: Context): Draft {
  const order = ctx.view.request?.move
  if (order === undefined) return refuse(ctx, 'it does not say what is asked')
  if (order.verb === 'start') return start(ctx, order)
  const { move } = ctx.state
  if (move === null) return refuse(ctx, 'nothing is being moved to this group: holdfast migrate start')
  switch (order.verb) {
    case 'verified':
      return verified(ctx, move, order.keys)
    case 'arm':
      return arm(ctx, move, order)
    case 'cutover':
      return cutOver(ctx, move, order.unverified)
    case 'rollback':
      if (move.stage === 'sync') return say(ctx, true, 'the source serves: there is nothing to roll back')
      return move.stage === 'moved' ? beginRollback(ctx, move) : refuse(ctx, whereItStands(move, ctx.state.group))
    case 'commit':
      return commit(ctx, move)
    case 'abort':
      return abort(ctx, move)
  }
}

/** `plainly`: over a connection without TLS, which is not taken where the source is reached with it and nobody has said that it may be. */
function wayBackTo(seen: RedisFacts, own: RedisFacts, plainly: boolean): Move['wayBack'] {
  if (!plainly) return 'copy'
  if (whyUnreadable(seen, own) === null) return 'replica'
  // Before 4.0 whoever is told to follow another asks for a full sync.
  return seen.replid === '' ? 'copy' : 'feed'
}

function start(ctx: Context, order: Extract<MoveOrder, { verb: 'start' }>): Draft {
  const { state, view, policy } = ctx
  const own = view.redis.facts
  const { seen, source } = order
  const again = state.move
  const anew = order.overwrite !== null && order.overwrite === own?.runId
  if (isUnderWay(again) && again.stage !== 'sync') return refuse(ctx, `a move of ${nameOf(again.source)} is not ended: ${whereItStands(again, state.group)}`)
  if (isUnderWay(again) && again.source.host === source.host && again.source.port === source.port && !anew) return startAgain(ctx, again, order.terms ?? {})
  if (isUnderWay(again) && !anew) return refuse(ctx, `${nameOf(again.source)} is being moved here: holdfast migrate abort ${state.group} first`)
  if (policy.sentinel?.external === true)
    return refuse(
      ctx,
      'the Sentinels of this group are external: they would take it for down while it follows another redis, and cannot be had to look away; copy (holdfast migrate copy)',
    )
  if (own === null || own.replid === '') return refuse(ctx, 'the redis of this host does not answer')
  if (seen.role !== 'primary') return refuse(ctx, `${nameOf(source)} is a replica: start from its primary`)
  const unreadable = whyUnreadable(own, seen)
  // It would be emptied, and try again for ever.
  if (unreadable !== null) return refuse(ctx, unreadable)
  if (policy.members.some((m) => m.ip === source.host && m.port === source.port)) return refuse(ctx, `${nameOf(source)} is a member of this group`)
  // What was received before and is called off is a copy of that redis. One that was restarted empty meanwhile would take it all (INV-1).
  const received = state.phase === 'receiving' && again?.source.host === source.host && again.source.port === source.port && goesOn(seen, own)
  if (own.keys > 0 && !anew && !received)
    return refuse(ctx, `this group has ${own.keys} keys, which the sync would give up: --overwrite ${own.runId} if they may go (a copy is kept)`)
  const epoch = epochAbove(ctx)
  const text = `${nameOf(source)} is being moved to ${state.group}`
  if (view.request?.dryRun === true) return say(ctx, true, `would begin: ${text}, ${state.host} follows it, the others follow ${state.host}`)
  const move: Move = {
    id: view.request?.id ?? '',
    source,
    runId: seen.runId,
    replid: historyOf(seen),
    epoch,
    rev: 1,
    stage: 'sync',
    stageMs: view.nowMs,
    stageWallMs: view.nowWallMs,
    startedWallMs: view.nowWallMs,
    synced: false,
    asked: null,
    verified: null,
    armed: null,
    terms: { ...anyTerms, ...order.terms },
    heldFromMs: null,
    equalOffset: null,
    wayBack: wayBackTo(seen, own, source.tls !== true || order.plainWayBack === true),
    settled: true,
    settlingMs: null,
    heldMs: null,
    last: text,
  }
  const entry = receivingEntry(state, epoch, seen, view.nowWallMs, text)
  const next: State = {
    ...state,
    phase: 'receiving',
    epoch,
    holder: state.host,
    lineage: mergeLineage(state.lineage, [entry], state.host, maxLineage),
    servingRunId: null,
    claim: null,
    gone: null,
    detached: null,
    writesHeldSinceMs: null,
    vote: { epoch, to: state.host, atMs: view.nowMs },
    refusedEpoch: null,
    move,
  }
  const event: Event = { kind: 'move', epoch, text, data: { source: nameOf(source), to: state.host } }
  return {
    ...holdStill(ctx, text, 0),
    next: answerRequest(next, ctx, true, `${text}: ${state.host} follows it`),
    // Whoever was connected here must not go on writing to what is about to be given up.
    actions: own.role === 'primary' ? [{ kind: 'soft-fence' }, { kind: 'kill-clients' }] : [],
    events: [event],
    vip: false,
  }
}

/** What it had answered with an error is settled by that; the next error is a new one. */
function verified(ctx: Context, move: Move, keys: number): Draft {
  const draft = note(ctx, move, { verified: { atWallMs: ctx.view.nowWallMs, keys } }, `${keys} keys were compared, and none differs`)
  const own = ctx.view.redis.facts
  if (own === null || ctx.state.differs === null || ctx.view.request?.dryRun === true) return draft
  return { ...draft, next: { ...draft.next, differs: null, streamErrors: { runId: own.runId, seen: own.unexpectedErrors } } }
}

/** Other terms count from now on. A sync that was given up is tried again, as if for the first time. */
function startAgain(ctx: Context, move: Move, told: Partial<SyncTerms>): Draft {
  const at = nameOf(move.source)
  const before = move.terms ?? anyTerms
  const terms = { ...before, ...told }
  const others = terms.maxP99Ms !== before.maxP99Ms || terms.window?.text !== before.window?.text
  if (move.givenUp != null) return note(ctx, move, { givenUp: null, terms }, `${at} is being moved here already; the sync that was given up is tried again`)
  return others
    ? note(ctx, move, { terms }, `${at} is being moved here already; what was asked of its sync counts from now on`)
    : say(ctx, true, `${at} is being moved here already`)
}

function arm(ctx: Context, move: Move, { armed, unverified }: Extract<MoveOrder, { verb: 'arm' }>): Draft {
  if (move.stage !== 'sync') return refuse(ctx, `there is no cut-over to postpone: ${whereItStands(move, ctx.state.group)}`)
  if (armed === null) return note(ctx, move, { armed }, move.armed === null ? 'no cut-over was postponed' : 'the postponed cut-over is called off')
  const unproven = whyUnproven(move, unverified)
  if (unproven !== null) return refuse(ctx, unproven)
  // Left from a rehearsal, it would mean: at once.
  if (armed.onFile && ctx.view.source?.goAhead === true)
    return refuse(ctx, `the go-ahead file lies on ${ctx.state.host} already${where(ctx)}: take it away first, or holdfast migrate cutover ${ctx.state.group}`)
  const when = armed.onFile ? 'when the go-ahead file is there' : 'from the time on that was named'
  const until = armed.untilWallMs === null ? '' : ', and given up when its time is over'
  return note(ctx, move, { armed }, `the cut-over is postponed: it is done ${when}${until}`)
}

function cutOver(ctx: Context, move: Move, unverified: boolean): Draft {
  if (move.stage === 'moved') return say(ctx, true, `it was moved already: ${move.last}`)
  if (move.stage !== 'sync') return refuse(ctx, whereItStands(move, ctx.state.group))
  const why = whyUnproven(move, unverified) ?? whyNotNow(ctx, ctx.view.source)
  if (why !== null) return refuse(ctx, why)
  if (ctx.view.request?.dryRun === true) return say(ctx, true, 'the cut-over could be done now')
  return beginCutOver(ctx, move, ctx.view.request?.id ?? null)
}

function whyUnproven(move: Move, unverified: boolean): string | null {
  return move.verified !== null || unverified ? null : 'what was received has not been compared with the source yet: holdfast migrate verify, or --unverified'
}

/** Final: the source is no way back any more. Its data stay where they are, and it goes on refusing writes. */
function commit(ctx: Context, move: Move): Draft {
  if (move.stage === 'done') return say(ctx, true, 'it was committed already')
  if (move.stage !== 'moved') return refuse(ctx, `it is committed after the cut-over: ${whereItStands(move, ctx.state.group)}`)
  const at = nameOf(move.source)
  const seen = ctx.view.source?.facts != null && ctx.view.source.trouble === null
  // Nobody looks after it from here on: whoever starts it must know that nothing keeps it from taking writes.
  const last = seen
    ? `the move is final; ${at} refuses writes, keeps its data and may be stopped`
    : `the move is final; ${at} does not answer, so it could not be told: see to it that it does not come back as a primary`
  const draft = note(ctx, move, { stage: 'done' }, last)
  if (!seen) return draft
  return {
    ...draft,
    // In this order: what its file says is what it is, or a restart has it follow the group again.
    actions: [
      { kind: 'source', order: { do: 'demote' } },
      { kind: 'source', order: { do: 'settle' } },
    ],
  }
}

function abort(ctx: Context, move: Move): Draft {
  if (move.stage === 'aborted') return say(ctx, true, 'it was called off already')
  if (move.stage !== 'sync')
    return refuse(
      ctx,
      move.stage === 'moved' ? `it was moved: roll it back first (holdfast migrate rollback ${ctx.state.group})` : whereItStands(move, ctx.state.group),
    )
  const last = `the move was called off; ${nameOf(move.source)} serves as before, and ${ctx.state.host} follows it no more`
  const draft = note(ctx, move, { stage: 'aborted', armed: null }, last)
  return { ...draft, actions: [{ kind: 'source', order: { do: 'release' } }, { kind: 'source', order: { do: 'settle' } }, { kind: 'soft-fence' }] }
}

function note(ctx: Context, move: Move, change: Partial<Move>, last: string): Draft {
  if (ctx.view.request?.dryRun === true) return say(ctx, true, `would be: ${last}`)
  const next = withStage(ctx.state, move, ctx.view, { ...change, last })
  const event: Event = { kind: 'move', epoch: ctx.state.epoch, text: last }
  return { ...holdStill(ctx, last, 0), next: answerRequest(next, ctx, true, last), events: [event] }
}

function where({ view }: Context): string {
  return view.source?.goAheadFile === undefined ? '' : ` (${view.source.goAheadFile})`
}

/** What comes next, by the names of the commands: who reads it has just asked for another. */
function whereItStands({ stage }: Move, group: string): string {
  switch (stage) {
    case 'sync':
      return `the source serves, and the cut-over is still to come (holdfast migrate cutover ${group})`
    case 'hold':
    case 'fence':
      return 'the cut-over is being done in this moment'
    case 'moved':
      return `the group serves; make it final (holdfast migrate commit ${group}), or go back (holdfast migrate rollback ${group})`
    case 'back-hold':
    case 'back-fence':
    case 'back-give':
      return 'the way back is being gone in this moment'
    case 'aborted':
      return 'it was called off; it is begun again by holdfast migrate start'
    case 'done':
      return 'the move is final, and there is no way back; another one is begun by holdfast migrate start'
  }
}

function say(ctx: Context, ok: boolean, message: string): Draft {
  return { ...holdStill(ctx, message, tickMs), next: answerRequest(ctx.state, ctx, ok, message) }
}

function refuse(ctx: Context, why: string): Draft {
  return say(ctx, false, why)
}
