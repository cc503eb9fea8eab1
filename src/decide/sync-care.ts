/**
 * A full sync of a move, and the source that pays for it: when one may begin, what is seen to go wrong with it, and what is answered. The clients
 * are served by the source, so it comes first: what would cost it more than was allowed is given up, and what is there already is kept. PURE.
 */
import type { GivenUp, Move } from '../model/move.ts'
import { anyTerms, opensNext } from '../model/sync-terms.ts'
import { stallLimitMs } from '../model/policy.ts'
import type { State } from '../model/state.ts'
import type { RedisFacts, SourceCare, SourceProbe, View } from '../model/view.ts'
import type { CareWatch } from '../model/watch.ts'
import { whyUnreadable } from './copies.ts'
import { holdsGroup } from './situation.ts'
import { historyOf, nameOf, whyClosed } from './moving.ts'
import { needsFullSync } from './resync.ts'

const mib = 1_048_576
/** One slow command is no overrun. */
const overForMs = 3000
/** The first one is the sync itself, the second may be a cut of the network. */
const beganAnew = 2
/** Whatever it is that ends them. */
const inVain = 8
/** redis' own default for the buffer of a replica: so much is allowed on any machine. */
const usualBufferBytes = 256 * mib
const growth = 4
const longestTimeoutS = 3600
const firstPauseMs = 15_000
const longestPauseMs = 3_600_000
const mostTries = 5

export type Reaction =
  | { readonly kind: 'raise-buffer'; readonly bytes: number; readonly why: string }
  | { readonly kind: 'raise-timeout'; readonly seconds: number; readonly why: string }
  /** `again`: it may go better another time. */
  | { readonly kind: 'give-up'; readonly why: string; readonly again: boolean }

/** All that is missing would be fetched, not only what came since. */
export function needsAll(own: RedisFacts, from: RedisFacts): boolean {
  return needsFullSync(own, { ...from, replid: historyOf(from) })
}

/** Why the sync from the source does not begin now; null: it may. One that has begun is not asked about. */
export function whyNoSync(move: Move, source: SourceProbe, nowWallMs: number): string | null {
  const { givenUp, terms } = move
  // Beyond the longest pause there is: the clock was set.
  const waits = givenUp?.untilWallMs == null ? givenUp != null : nowWallMs < givenUp.untilWallMs
  if (givenUp != null && waits) return `the sync was given up: ${givenUp.why}`
  const closed = whyClosed(move, nowWallMs)
  if (closed !== null) return closed
  const most = terms?.maxP99Ms ?? null
  if (most === null || source.care === undefined) return null
  const { p99Ms } = source.care
  if (p99Ms === null) return `it is measured first what a client of ${nameOf(move.source)} feels`
  if (p99Ms > most) return `a client of ${nameOf(move.source)} feels ${inMs(p99Ms)} already, without a sync, and ${inMs(most)} are allowed`
  return null
}

/** Redis has begun anew by itself, after the end of its window. Who has only just started cannot tell, and lets it go on. */
export function beganOutside(move: Move | null, view: View): boolean {
  const { startsAtMs } = view.watch.attempts
  const began = startsAtMs.at(-1)
  if (view.redis.facts?.syncing !== true || began === undefined || startsAtMs.length < 2) return false
  return whyClosed(move, view.nowWallMs) !== null && whyClosed(move, view.nowWallMs - (view.nowMs - began)) !== null
}

export function reactTo(move: Move, own: RedisFacts, seen: RedisFacts, care: SourceCare | undefined, watch: CareWatch, nowMs: number): Reaction | null {
  const at = nameOf(move.source)
  const unreadable = whyUnreadable(own, seen) ?? (care?.said.format == null ? null : `this redis cannot read what ${at} sends (${care.said.format})`)
  if (unreadable !== null) return { kind: 'give-up', again: false, why: `${unreadable}; the plan (P1) has missed it, or the source is another one now` }
  if (watch.savesOk && seen.saves?.ok === false)
    return {
      kind: 'give-up',
      again: false,
      why: `the save of ${at} for it has failed: see its log and the room on its disk; with repl-diskless-sync yes there it needs none`,
    }
  if (watch.overSinceMs !== null && nowMs - watch.overSinceMs >= overForMs)
    return {
      kind: 'give-up',
      again: true,
      why: `a client of ${at} feels ${inMs(care?.p99Ms ?? null)} (99th percentile; before the sync ${inMs(care?.p99BeforeMs ?? null)}), and ${inMs(move.terms?.maxP99Ms ?? null)} are allowed`,
    }
  // Redis would ask again at once, for ever, and nobody would be told.
  if (care !== undefined && care.said.refused.times > watch.refused)
    return {
      kind: 'give-up',
      again: false,
      why: `${at} turns this redis away: ${care.said.refused.last ?? 'its log says why'}; its user needs +psync +replconf +ping (the plan: P15)`,
    }
  return care === undefined ? null : (lateReaction(at, care, watch) ?? fullReaction(at, seen, care, watch))
}

function lateReaction(at: string, care: SourceCare, { timeout }: CareWatch): Reaction | null {
  if (timeout === null || care.said.timeouts <= timeout.said) return null
  const why = `the sync from ${at} took longer than repl-timeout (${timeout.seconds} s)`
  if (timeout.seconds >= longestTimeoutS) return { kind: 'give-up', again: true, why: `${why}: look at the network between them` }
  return { kind: 'raise-timeout', seconds: Math.min(longestTimeoutS, Math.max(120, 2 * timeout.seconds)), why }
}

/** Begun again and again: where what is written meanwhile may be what ends it, the buffer for that is made larger, as far as there is room for it. */
function fullReaction(at: string, seen: RedisFacts, care: SourceCare, { limit, fullSyncs }: CareWatch): Reaction | null {
  const all = (seen.supply?.fullSyncs ?? 0) - fullSyncs
  const head = `${all} full syncs of ${at} have begun and none has arrived`
  const begun = limit === null ? 0 : (seen.supply?.fullSyncs ?? 0) - limit.fullSyncs
  if (limit !== null && limit.bytes > 0 && begun >= beganAnew && care.buffer !== null) {
    const needs = (seen.offset - limit.offset) / begun
    const full = needs >= limit.bytes / 2 || care.buffer.usedBytes >= limit.bytes / 2 || (care.overflows ?? 0) > 0
    const most = Math.max(usualBufferBytes, (care.buffer.roomBytes ?? 0) / 2)
    const bytes = Math.ceil(Math.min(Math.max(growth * needs, growth * limit.bytes, usualBufferBytes), most) / mib) * mib
    const why = `${head}: ${inMib(needs)} are written meanwhile, and client-output-buffer-limit there ends it at ${inMib(limit.bytes)}`
    if (full && bytes > limit.bytes) return { kind: 'raise-buffer', bytes, why }
    if (full) return { kind: 'give-up', again: true, why: `${why}; its machine has no room for more (${inMib(care.buffer.roomBytes ?? 0)} left)` }
  }
  return all < inVain ? null : { kind: 'give-up', again: true, why: `${head}: see the redis.log here, and its own` }
}

/** `refused`: what would have helped may not be done there. */
export function givenUpAfter(move: Move, reaction: Extract<Reaction, { kind: 'give-up' }>, nowWallMs: number): GivenUp {
  const times = (move.givenUp?.times ?? 0) + 1
  const window = (move.terms ?? anyTerms).window
  const pauseMs = Math.min(longestPauseMs, firstPauseMs * growth ** (times - 1))
  const untilWallMs = !reaction.again || times >= mostTries ? null : window === null ? nowWallMs + pauseMs : opensNext(window, nowWallMs)
  return { why: reaction.why, times, untilWallMs }
}

export function givenUpWords(group: string, move: Move, { why, times, untilWallMs }: GivenUp, nowWallMs: number): string {
  const window = move.terms?.window ?? null
  const next =
    untilWallMs === null
      ? `it is not tried again by itself: holdfast migrate start, when that is mended (holdfast migrate status ${group})`
      : window === null
        ? `it is tried again in ${Math.ceil((untilWallMs - nowWallMs) / 1000)} s`
        : `it is tried again in its next window (${window.text})`
  return `the sync was given up${times === 1 ? '' : ` (${times} times)`}: ${why}. ${nameOf(move.source)} serves as before; ${next}`
}

/** Folds one more look. What was there before this sync is not held against it. */
export function watchCare(before: CareWatch | null, state: State, view: Omit<View, 'watch'>): CareWatch | null {
  const { move } = state
  const { source } = view
  const own = view.redis.facts
  const seen = source?.facts ?? null
  if (move?.stage !== 'sync' || !holdsGroup(state.phase) || own === null || own.linkUp || source === undefined || seen === null) return null
  const fullSyncs = seen.supply?.fullSyncs ?? 0
  const attached = own.upstream?.host === move.source.host && own.upstream.port === move.source.port
  const known = attached && before?.runId === seen.runId ? before : null
  const care = source.care
  const bytes = care?.buffer?.limitBytes ?? null
  const seconds = care?.timeoutS ?? null
  // Who stood still himself has measured himself.
  const over = attached && view.stalledMs <= stallLimitMs && care?.p99Ms != null && care.p99Ms > (move.terms?.maxP99Ms ?? Number.POSITIVE_INFINITY)
  const next: CareWatch = {
    runId: seen.runId,
    fullSyncs: known?.fullSyncs ?? fullSyncs,
    savesOk: known?.savesOk ?? seen.saves?.ok !== false,
    limit: bytes === null ? (known?.limit ?? null) : known?.limit?.bytes === bytes ? known.limit : { bytes, fullSyncs, offset: seen.offset },
    timeout: seconds === null ? (known?.timeout ?? null) : known?.timeout?.seconds === seconds ? known.timeout : { seconds, said: care?.said.timeouts ?? 0 },
    refused: known?.refused ?? care?.said.refused.times ?? 0,
    overSinceMs: over ? (known?.overSinceMs ?? view.nowMs) : null,
  }
  return known !== null && known.limit === next.limit && known.timeout === next.timeout && known.overSinceMs === next.overSinceMs ? known : next
}

function inMs(ms: number | null): string {
  return ms === null ? 'an unknown time' : `${ms < 10 ? ms.toFixed(1) : Math.round(ms)} ms`
}

function inMib(bytes: number): string {
  return `${Math.round(bytes / mib)} MiB`
}
