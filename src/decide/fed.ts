/**
 * A source that is older than the group and is fed (ADR 32): what it has is said by pairs of offsets, one of the group's history and one of the bytes that were made of
 * it. What is not known by such a pair is not there. PURE.
 */
import { fedReplid, nothingUntold, withAnchor } from '../model/feed.ts'
import type { Action } from '../model/action.ts'
import type { Move, SourceAt, SourceOrder } from '../model/move.ts'
import type { State } from '../model/state.ts'
import type { RedisFacts, SourceProbe, View } from '../model/view.ts'
import type { Context, Draft } from './draft.ts'
import { memberOf } from './fitness.ts'
import { historyOf, nameOf, withStage } from './moving.ts'

/** As often as this it is remembered by all members where a feed can be begun anew: as much of the backlog is needed for it. */
const anchorEveryMs = 5000
/** A connection that is cut is back by then. */
const troubledMs = 10_000

/** Both stand at the same byte, and what comes is told from there on. */
export function feedFrom(view: View, move: Move, seen: RedisFacts): Pick<Move, 'feed'> {
  if (move.wayBack !== 'feed') return {}
  const anchor = { replid: historyOf(seen), offset: seen.offset, fed: seen.offset, database: null, untold: nothingUntold }
  return { feed: { version: seen.version, anchors: [anchor], atWallMs: view.nowWallMs, errors: seen.unexpectedErrors } }
}

/** null: nobody, or its feed does not listen yet. */
export function followsWhom(move: Move, self: { readonly ip: string; readonly port: number }, source: SourceProbe | undefined): SourceAt | null {
  if (move.wayBack === 'replica') return { host: self.ip, port: self.port }
  const port = move.wayBack === 'feed' ? (source?.feed?.port ?? null) : null
  return port === null ? null : { host: self.ip, port }
}

/** Its file is written by that: a feed is nothing to come back to after a restart, for another may listen at its port by then. */
export function settling(move: Move, self: { readonly ip: string; readonly port: number }, source: SourceProbe): readonly Action[] {
  const order = (one: SourceOrder): Action => ({ kind: 'source', order: one })
  const whom = followsWhom(move, self, source)
  const follow = whom === null ? [] : [order({ do: 'follow', ...whom })]
  return move.wayBack === 'feed' ? [order({ do: 'demote' }), order({ do: 'settle' }), ...follow] : [...follow, order({ do: 'settle' })]
}

/** The source with the offset of the group's history that it has; -1: that is not known to the byte. */
export function asOfGroup(state: State, move: Move, source: SourceProbe): RedisFacts | null {
  const { facts, feed } = source
  if (move.wayBack !== 'feed' || facts === null || facts.role !== 'replica') return facts
  const point = feed?.point ?? null
  const same = point !== null && point.replid === state.lineage.at(-1)?.replid && facts.replid === fedReplid(point.replid) && facts.offset === point.fed
  return { ...facts, offset: same ? point.offset : -1 }
}

/** Its offset is one of this history: that of a feed is said so by the pairs, that of a replica by whom it follows. Offsets of two histories may be equal by chance. */
export function isBelow({ state, view, policy }: Context, move: Move, seen: RedisFacts): boolean {
  if (move.wayBack !== 'replica') return true
  const self = memberOf(policy, state.host)
  const { upstream, replid } = seen
  // One that was started anew in the middle has another id than what was written here until then.
  const histories = [view.redis.facts?.replid, state.lineage.at(-1)?.replid]
  return upstream?.host === self?.ip && upstream?.port === self?.port && (replid === '' || histories.includes(replid))
}

/** As good as it can be known. */
export function behindBy(move: Move, own: RedisFacts, seen: RedisFacts, source: SourceProbe | undefined): number {
  const point = source?.feed?.point ?? null
  if (move.wayBack !== 'feed') return own.offset - seen.offset
  return point === null ? Number.POSITIVE_INFINITY : own.offset - point.offset + (point.fed - seen.offset)
}

/** What the old redis has not got: nobody had words for it, or it refused them (a command that was renamed there). */
export function untoldBy(move: Move, source: SourceProbe | undefined): number {
  if (move.wayBack !== 'feed') return 0
  return (source?.feed?.point?.untold.count ?? 0) + refusedBy(move, source)
}

/** Of one that was started anew since nothing is known: it counts from then on. */
function refusedBy({ feed }: Move, source: SourceProbe | undefined): number {
  return Math.max(0, (source?.facts?.unexpectedErrors ?? 0) - (feed?.errors ?? 0))
}

/** null: it is fed, and what it lacks may be lost. */
export function whyNotFed({ view }: Context, move: Move): string | null {
  if (move.wayBack !== 'feed') return null
  const at = nameOf(move.source)
  const { feed } = view.source ?? {}
  if (feed === undefined || feed.port === null) return `${at} is not fed yet${feed?.trouble == null ? '' : `: ${feed.trouble}`}`
  if (feed.trouble !== null) return `${at} is not fed, and keeps what it has: ${feed.trouble}`
  const { count, first } = feed.point?.untold ?? nothingUntold
  const order = view.request?.move
  const refused = refusedBy(move, view.source)
  if (count + refused === 0 || (order?.verb === 'rollback' && order.acceptLoss === true)) return null
  const untold = count === 0 ? [] : [`${count} writes could not be told to the old redis (${first.join('; ')}${count > first.length ? '; …' : ''})`]
  const unheard = refused === 0 ? [] : [`${refused} commands were refused by it (its log names them)`]
  return `${[...untold, ...unheard].join(', and ')}, and are lost on the way back: --accept-loss if they may be`
}

/** A way back that is lost is told when it is, and not when somebody asks for it. */
export function withNewsOf(draft: Draft, move: Move, view: View): Draft {
  const { trouble = null, troubleMs = 0 } = view.source?.feed ?? {}
  const next = withAnchorOf(draft.next, move, view)
  if (move.wayBack !== 'feed' || trouble === null || troubleMs < troubledMs) return { ...draft, next }
  const text = `${nameOf(move.source)} is not fed, and keeps what it has, so there is no way back that loses nothing: ${trouble}`
  return { ...draft, next, events: [...draft.events, { kind: 'alarm', epoch: next.epoch, text }] }
}

/** What the old redis said to have, for whoever feeds it next: of this member, or another. */
function withAnchorOf(state: State, move: Move, view: View): State {
  const anchor = view.source?.feed?.anchor ?? null
  const last = move.feed?.anchors.at(-1)
  if (move.feed === undefined || anchor === null || last === undefined || view.nowWallMs - move.feed.atWallMs < anchorEveryMs) return state
  if (anchor.offset === last.offset && anchor.replid === last.replid) return state
  return withStage(state, move, view, { feed: { ...move.feed, anchors: withAnchor(move.feed.anchors, anchor), atWallMs: view.nowWallMs } })
}
