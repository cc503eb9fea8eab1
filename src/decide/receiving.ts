/**
 * A move, from its start to the cut-over, as the group's holder sees to it: its redis follows the source, which has the clients, and
 * everybody else follows the holder. NOBODY ELSE of the group acts meanwhile: without the holder the source simply goes on serving. PURE.
 * What an operator asks is in move-orders.ts, the cut-over in cut-over.ts, what comes after it in way-back.ts.
 */
import type { Action, Event } from '../model/action.ts'
import { isReceiving, type Move } from '../model/move.ts'
import { busyTickMs, tickMs } from '../model/policy.ts'
import { maxLineage, type State } from '../model/state.ts'
import type { RedisFacts, SourceProbe } from '../model/view.ts'
import { beginCutOver, measure, promoteOnce, whyNotNow } from './cut-over.ts'
import { holdStill, type Context, type Draft } from './draft.ts'
import { keeping } from './following.ts'
import { answerMove } from './move-orders.ts'
import { goesOn, historyOf, isFencedByUs, isSettled, lookedMs, mustListen, nameOf, presently, withoutFailed, withStage } from './moving.ts'
import { mergeLineage, positionOf } from './position.ts'
import { copiesOf, hostOfMost, whoHolds, whyAnother } from './received.ts'
import { redisAnswers } from './situation.ts'
import { startRedis } from './starting.ts'
import { beganOutside, givenUpAfter, givenUpWords, needsAll, reactTo, whyNoSync, type Reaction } from './sync-care.ts'
import { continueBack, sendBack } from './way-back.ts'

export function receive(seen: Context): Draft {
  const ctx = withoutFailed(seen)
  const { state, view } = ctx
  const { move } = state
  // Learned of a move that has gone on without this member: it holds nothing any more.
  if (move === null || !isReceiving(move)) return { ...holdStill(ctx, 'no move is under way', 0), next: { ...state, phase: 'fenced' } }
  if (view.request?.kind === 'move') return answerMove(ctx)
  const { source } = view
  if (move.stage === 'aborted') return standStill(ctx, source)
  // A promotion that was given up, and came to pass nevertheless: it is undone before anybody else is told to serve (INV-3).
  if (view.redis.facts?.role === 'primary' && redisAnswers(view))
    return { ...holdStill(ctx, 'this redis is to refuse writes first', busyTickMs), actions: [{ kind: 'soft-fence' }], vip: false }
  if (source === undefined) return holdStill(ctx, `the redis at ${nameOf(move.source)} is about to be asked`, busyTickMs)
  if (move.stage === 'hold') return measure(ctx, move, source)
  if (move.stage === 'fence') return promoteOnce(ctx, move, source)
  if (move.stage === 'back-fence' || move.stage === 'back-give') return continueBack(ctx, move, source)
  return followSource(ctx, move, source)
}

/** Neither does it follow the source any more, nor is it a primary: the operator has called the move off. */
function standStill(ctx: Context, source: SourceProbe | undefined): Draft {
  // It is all that the operator may want to serve with.
  if (ctx.situation.redis === 'dead') return startRedis(ctx)
  const { facts } = ctx.view.redis
  const free = facts !== null && (facts.role === 'primary' || facts.upstream?.port !== 1)
  const text = `the move was called off; this group stands still with what it has received. Begin anew (holdfast migrate start), or have it serve that: holdfast failover ${ctx.state.group} --to ${ctx.state.host} --force`
  const fence: readonly Action[] = free && redisAnswers(ctx.view) ? [{ kind: 'soft-fence' }] : []
  const owed = source !== undefined && source.trouble === null && (source.held || source.raised || unguard(source).length > 0)
  const giveBack: readonly Action[] = owed
    ? [
        { kind: 'source', order: { do: 'release' } },
        { kind: 'source', order: { do: 'settle' } },
      ]
    : []
  return { ...holdStill(ctx, text, tickMs), actions: [...fence, ...giveBack] }
}

function followSource(ctx: Context, move: Move, source: SourceProbe): Draft {
  const { state, view } = ctx
  const own = view.redis.facts
  const at = nameOf(move.source)
  // What an attempt has left behind at the source is not to wait for the redis of this host.
  const left = mustListen(ctx) ? null : leftBehind(ctx, move, source)
  if (left !== null) return left
  const home = sendHome(ctx, move, source)
  if (home !== null) return home
  if (ctx.situation.redis === 'dead') return startRedis(ctx)
  if (own === null || !redisAnswers(view) || own.loading) return holdStill(ctx, `its redis does not answer; ${at} serves`, busyTickMs)
  const attached = own.role === 'replica' && own.upstream?.host === move.source.host && own.upstream.port === move.source.port
  if (source.facts === null || source.trouble !== null) {
    // Redis would follow by itself whoever answers there next, also one that was restarted empty (INV-1).
    const lets: readonly Action[] = attached && !own.syncing ? [{ kind: 'soft-fence' }] : []
    return {
      ...holdStill(ctx, `${at} cannot be asked (${source.trouble ?? 'not yet'}); what answers there next is looked at before it is followed`, tickMs / 4),
      actions: lets,
    }
  }
  const seen = source.facts
  if (presently(source) === null) return holdStill(ctx, `${at} serves; it is asked anew`, busyTickMs)
  if (seen.role === 'replica')
    return refuse(
      ctx,
      attached,
      `${at} has become a replica of ${seen.upstream === null ? 'another' : nameOf(seen.upstream)}: it is not followed; start the move from its primary`,
    )
  if (!attached && mustListen(ctx))
    return holdStill(ctx, `${at} serves; this agent has only just started, and hears first what the others have received`, busyTickMs)
  const other = whyAnother(ctx, move, own, seen, attached)
  if (other !== null) return refuse(ctx, attached, `INV-1: ${at} ${other}`)
  const reaction = attached && !own.linkUp && view.watch.care !== null ? reactTo(move, own, seen, source.care, view.watch.care, view.nowMs) : null
  if (reaction !== null) return react(ctx, move, source, reaction)
  // One that is under way is not broken off; redis would begin the next one by itself.
  const waits =
    (attached && (own.linkUp || (own.syncing && !beganOutside(move, view)))) || !needsAll(own, seen) ? null : whyNoSync(move, source, view.nowWallMs)
  if (waits !== null) return { ...holdStill(ctx, waits, tickMs / 2), actions: [...(attached ? [{ kind: 'soft-fence' } as const] : []), ...unguard(source)] }
  const holding = attached ? [] : whoHolds(ctx, own, seen)
  if (holding.length > 0) return holdStill(ctx, `${at} serves; ${holding.join(' and ')} is to let go of this redis before it follows`, busyTickMs)
  if (!attached && source.factsAgeMs > lookedMs) return holdStill(ctx, `${at} serves; it is asked anew before it is followed`, busyTickMs)
  const known = attached ? learnHistory(ctx, move, own, seen) : state
  if (attached) {
    const draft = {
      ...holdStill({ ...ctx, state: known }, followsInWords(own, seen, at), own.linkUp ? tickMs : tickMs / 4),
      ...withArmed({ ...ctx, state: known }, source),
    }
    return own.linkUp && draft.next.move?.stage === 'sync' ? { ...draft, actions: unguard(source) } : draft
  }
  const position = positionOf(own, state.lineage)
  const ours = position.kind === 'known' && position.divergedBytes === 0
  const keep = own.keys === 0 || ours ? [] : keeping(ctx, own, position)
  const follow: Action = { kind: 'follow-source', ...move.source }
  const event: Event = { kind: 'move', epoch: state.epoch, text: `${state.host} follows ${at}`, data: { source: at } }
  return { ...holdStill(ctx, `${at} serves; this redis is to follow it`, busyTickMs), next: known, actions: [...keep, follow], events: [event] }
}

/** What may not be done there does not help: then it is given up. */
function react(ctx: Context, move: Move, source: SourceProbe, reaction: Reaction): Draft {
  const { state, view } = ctx
  if (reaction.kind === 'give-up') return giveUpSync(ctx, move, source, reaction)
  if (!view.actedAll) return giveUpSync(ctx, move, source, { kind: 'give-up', again: false, why: `${reaction.why}; it could not be raised there` })
  const [order, to] =
    reaction.kind === 'raise-buffer'
      ? [{ do: 'raise-buffer', bytes: reaction.bytes } as const, `${reaction.bytes} bytes`]
      : [{ do: 'raise-timeout', seconds: reaction.seconds } as const, `${reaction.seconds} s, here as well`]
  const last = `${reaction.why}; it is raised to ${to}`
  return {
    ...holdStill(ctx, last, tickMs / 4),
    next: move.last === last ? state : withStage(state, move, view, { last }),
    actions: [{ kind: 'source', order }],
    events: move.last === last ? [] : [{ kind: 'move', epoch: state.epoch, text: last }],
  }
}

function giveUpSync(ctx: Context, move: Move, source: SourceProbe, reaction: Extract<Reaction, { kind: 'give-up' }>): Draft {
  const { state, view } = ctx
  const givenUp = givenUpAfter(move, reaction, view.nowWallMs)
  const last = givenUpWords(state.group, move, givenUp, view.nowWallMs)
  return {
    ...holdStill(ctx, last, 0),
    next: withStage(state, move, view, { givenUp, last }),
    actions: [{ kind: 'soft-fence' }, ...unguard(source)],
    events: [{ kind: 'move', epoch: state.epoch, text: last }],
  }
}

/** Not before its last save has arrived: it would refuse writes at once. */
function unguard({ guarded, facts }: SourceProbe): readonly Action[] {
  return guarded === true && facts?.saves?.ok === true ? [{ kind: 'source', order: { do: 'unguard' } }] : []
}

/** After a way back: whoever is still connected here finds the source again. null: it was done. */
function sendHome(ctx: Context, move: Move, source: SourceProbe): Draft | null {
  const { state, view } = ctx
  if (move.settled || presently(source)?.role !== 'primary') return null
  const text = `${nameOf(move.source)} serves again: its clients are sent there`
  if (isSettled(ctx, move)) return { ...holdStill(ctx, text, 0), next: withStage(state, move, view, { settled: true }) }
  return { ...holdStill(ctx, text, 0), next: withStage(state, move, view, { settlingMs: view.nowMs }), actions: sendBack(ctx), vip: false }
}

/** null: nothing of a cut-over that was given up is left at the source. */
function leftBehind(ctx: Context, move: Move, source: SourceProbe): Draft | null {
  const facts = presently(source)
  const at = nameOf(move.source)
  if (facts === null) return null
  // Its own file may still make it a replica of the group: it was killed in the moment in which it had begun to serve again.
  const ofGroup = ctx.policy.members.some((m) => m.ip === facts.upstream?.host && m.port === facts.upstream.port)
  if (facts.role === 'replica' && (isFencedByUs(facts) || ofGroup)) {
    if (facts.runId !== move.runId) {
      const own = ctx.view.redis.facts
      // It has read its disk: what is here is seen first.
      if (own === null || ctx.situation.redis === 'dead' || ctx.situation.redis === 'loading' || !redisAnswers(ctx.view)) return null
      const copies = copiesOf(ctx, move, own)
      if (copies.some(({ copy }) => facts.keys < copy.keys && !goesOn(facts, copy)))
        return refuse(
          ctx,
          false,
          `INV-1: ${at} was restarted with fewer keys than there were, and nobody serves: have the group serve what it has (holdfast failover ${ctx.state.group} --to ${hostOfMost(ctx, move, copies)} --force), or that redis (REPLICAOF NO ONE there)`,
        )
    }
    const text = `${at} is a replica ${ofGroup ? 'of this group' : 'of nobody'} by our hand: it is made a primary again`
    return {
      ...holdStill(ctx, text, busyTickMs),
      actions: [
        { kind: 'source', order: { do: 'promote' } },
        { kind: 'source', order: { do: 'release' } },
      ],
    }
  }
  if (source.held) return { ...holdStill(ctx, `writes at ${at} are let through again`, busyTickMs), actions: [{ kind: 'source', order: { do: 'release' } }] }
  return null
}

function refuse(ctx: Context, attached: boolean, why: string): Draft {
  const { state, view } = ctx
  const alarm: Event = { kind: 'alarm', epoch: state.epoch, text: why }
  // Where the operator looks who wonders why nothing goes on.
  const next = state.move === null || state.move.last === why ? state : withStage(state, state.move, view, { last: why })
  return { ...holdStill(ctx, why, tickMs), next, actions: attached ? [{ kind: 'soft-fence' }] : [], events: [alarm] }
}

/** The history of this epoch is the source's; it may take a new id while it is followed. */
function learnHistory(ctx: Context, move: Move, own: RedisFacts, seen: RedisFacts): State {
  const { state, view } = ctx
  // What was seen of the source may be of before its first replica, for which it takes a new id: that a sync has ended is known here first.
  const synced = own.linkUp && !own.syncing
  const same = own.replid === historyOf(seen)
  const head = state.lineage.at(-1)
  const lineage =
    synced && head !== undefined && head.epoch === state.epoch && head.replid !== own.replid
      ? mergeLineage(state.lineage, [{ ...head, replid: own.replid }], state.host, maxLineage)
      : state.lineage
  const noted: State = lineage === state.lineage ? state : { ...state, lineage }
  const change: Partial<Move> = {
    ...(synced && (!move.synced || (same && move.runId !== seen.runId) || move.replid !== own.replid)
      ? { synced: true, replid: own.replid, ...(same ? { runId: seen.runId } : {}), ...(move.replid === own.replid ? {} : { verified: null }) }
      : {}),
    ...(synced && move.givenUp != null
      ? { givenUp: null, last: `${state.host} follows ${nameOf(move.source)}, at the ${move.givenUp.times + 1}. attempt` }
      : {}),
    // What was proven before is no proof any more.
    ...(state.differs !== null && move.verified !== null && move.verified.atWallMs <= state.differs.atWallMs
      ? { verified: null, last: `${state.host} ${state.differs.why}: it is to be compared anew, or fetched anew` }
      : {}),
  }
  return Object.keys(change).length === 0 ? noted : withStage(noted, move, view, change)
}

function followsInWords(own: RedisFacts, seen: RedisFacts, at: string): string {
  if (own.linkUp) return `${at} serves; this redis follows it and is ${Math.max(0, seen.offset - own.offset)} bytes behind`
  const progress = own.progress === null ? '' : ` (${Math.round(own.progress * 100)} %)`
  return `${at} serves; this redis ${own.syncing || own.loading ? `fetches its data${progress}` : 'connects to it'}`
}

/** A cut-over that was postponed, and what it waits for. */
function withArmed(ctx: Context, source: SourceProbe): Partial<Draft> {
  const { state, view } = ctx
  const { move } = state
  const armed = move?.armed ?? null
  if (move === null || armed === null) return { next: state }
  if (armed.untilWallMs !== null && view.nowWallMs > armed.untilWallMs) {
    const last = 'the time for the postponed cut-over is over: it was not done, and nothing was changed'
    return { next: withStage(state, move, view, { armed: null, last }), events: [{ kind: 'rolled-back', epoch: state.epoch, text: last }] }
  }
  const due = armed.onFile ? source.goAhead : armed.fromWallMs !== null && view.nowWallMs >= armed.fromWallMs
  if (!due) return { next: state }
  const waits = whyNotNow(ctx, source)
  return waits === null ? beginCutOver(ctx, move, null) : { next: state, because: `the cut-over is due and waits: ${waits}` }
}
