/** What both directions of a move have in common: words, deadlines, the entry in the lineage. PURE. */
import { isReceiving, type Move, type SourceAt } from '../model/move.ts'
import { lonelyWaitMs } from '../model/policy.ts'
import { isOpen } from '../model/sync-terms.ts'
import type { LineageEntry, State } from '../model/state.ts'
import type { RedisFacts, SourceProbe } from '../model/view.ts'
import type { Context } from './draft.ts'
import { heard, peerOf, redisAnswers } from './situation.ts'

/** Further behind than this, writes would have to be held for long. */
export const maxLagBytes = 1_048_576
/** A hold outlives its deadline a little, so that no write comes through before the roll-back is decided. */
export const holdMarginMs = 500
/** An older look may be at a process that has died without a word since. */
export const lookedMs = 500
/** How long a redis that was told to step down or to serve may take to be seen so. */
export const seenWithinMs = 3000
export const pollMs = 2

/** Before 4.0 a primary has no replication id: its run id stands for it in PSYNC. */
export function historyOf(facts: RedisFacts): string {
  return facts.replid === '' ? facts.runId : facts.replid
}

/** Claims an epoch for a history that began elsewhere: what members had before continues nothing of it. */
export function receivingEntry(state: State, epoch: number, seen: RedisFacts, atWallMs: number, why: string): LineageEntry {
  const shared = state.lineage.some((e) => e.replid !== '' && (e.replid === seen.replid2 || e.replid === seen.replid))
  const forked = shared && seen.secondOffset > 0
  return {
    epoch,
    replid: historyOf(seen),
    startOffset: forked ? seen.secondOffset : seen.offset + 1,
    holder: state.host,
    source: 'migration',
    why,
    atWallMs,
    accepted: true,
    ...(forked ? { from: seen.replid2 } : { continues: { epoch: 0, offset: 0, atLeast: 0 } }),
  }
}

export function withStage(state: State, move: Move, view: Context['view'], change: Partial<Move>): State {
  const at = change.stage === undefined || change.stage === move.stage ? {} : { stageMs: view.nowMs, stageWallMs: view.nowWallMs }
  return { ...state, move: { ...move, ...at, ...change, epoch: state.epoch, rev: move.rev + 1 } }
}

export function nameOf({ host, port }: SourceAt): string {
  return `${host}:${port}`
}

/** At equal offsets two that hold the same count the same, in each database, and of those with an end. null: they do. */
export function whyCountsDiffer(a: { readonly name: string; readonly facts: RedisFacts }, b: typeof a): string | null {
  const same = a.facts.keys === b.facts.keys && (a.facts.counts === undefined || b.facts.counts === undefined || a.facts.counts === b.facts.counts)
  const told = [a, b].map(({ name, facts }) => `${name} counts ${facts.keys} keys${facts.counts === undefined ? '' : ` (${facts.counts})`}`).join(', ')
  return same ? null : `at equal offsets ${told}: they do not hold the same; compare them (holdfast migrate verify)`
}

export function isFencedByUs(facts: RedisFacts): boolean {
  return facts.upstream?.host === '127.0.0.1' && facts.upstream.port === 1
}

/** Deadlines are of the monotonic clock of this agent's life; after its restart, and on another host, none of it can be trusted. */
export function wasRestarted({ view, state }: Context, move: Move): boolean {
  return move.epoch !== state.epoch || move.stageMs > view.nowMs || view.agentUptimeMs < view.nowMs - move.stageMs
}

/** The source was asked after this stage began, and has answered. An answer that was long on its way may be of a process that has been replaced since (INV-3). */
export function isSeen({ view }: Context, move: Move, source: SourceProbe): boolean {
  return source.facts !== null && source.trouble === null && source.factsAgeMs < Math.min(view.nowMs - move.stageMs, lookedMs)
}

/** The redis of this host likewise. */
export function isOwnSeen({ view, situation }: Context, move: Move): boolean {
  return situation.redis !== 'dead' && situation.redis !== 'loading' && redisAnswers(view) && view.redis.askedAgeMs < view.nowMs - move.stageMs
}

/** What is to be done after a turn was done in the cycle before this one, by this life of the agent, and nothing of it failed. */
export function isSettled({ state, view }: Context, move: Move): boolean {
  const { settlingMs } = move
  if (settlingMs === null || move.epoch !== state.epoch || !view.actedAll) return false
  return settlingMs <= view.nowMs && view.agentUptimeMs >= view.nowMs - settlingMs
}

/** What has failed is to be done again, whatever comes in between: only the cycle after it knows that it has. */
export function withoutFailed(ctx: Context): Context {
  const { state, view } = ctx
  const { move } = state
  if (move === null || move.settled || move.settlingMs === null || view.actedAll) return ctx
  return { ...ctx, state: withStage(state, move, view, { settlingMs: null }) }
}

/** Who has just started may have been away for long: an operator may have had another member serve. It listens before it makes anybody a primary. */
export function mustListen({ state, view, policy }: Context): boolean {
  return view.agentUptimeMs < lonelyWaitMs && policy.members.some((m) => m.host !== state.host && heard(peerOf(view, m.host)) === null)
}

/** What is older was seen before something was changed there. */
const staleMs = 3000

/** The source as it is now, as far as that is known; null: it cannot be asked, or what is known is of before. */
export function presently(source: SourceProbe | undefined): RedisFacts | null {
  return source === undefined || source.trouble !== null || source.factsAgeMs > staleMs ? null : source.facts
}

/** Why no full sync begins now, of any member; null: nothing of the kind. One that has begun is not asked about. */
export function whyClosed(move: Move | null, nowWallMs: number): string | null {
  const window = move !== null && isReceiving(move) ? (move.terms?.window ?? null) : null
  return window === null || isOpen(window, nowWallMs) ? null : `waits for its window (${window.text}): a full sync begins only in it`
}

/** It has all that this copy has: the same history at least as far, or one that went on with it. */
export function goesOn(seen: RedisFacts, copy: Pick<RedisFacts, 'replid' | 'offset'>): boolean {
  if (historyOf(seen) === copy.replid) return seen.offset >= copy.offset
  return seen.replid2 === copy.replid && seen.secondOffset > copy.offset
}

/**
 * Whether a redis that follows through its agent may be let through to what answers there now, before it is decided anew: nothing is lost by it (INV-1).
 * What is followed nevertheless is an action of its own.
 */
export function mayBeFollowed(move: Move, own: RedisFacts | null, seen: RedisFacts): boolean {
  if (!move.synced || seen.runId === move.runId) return true
  return own !== null && (own.keys === 0 || goesOn(seen, own))
}
