/**
 * How fast a source may be read so that its clients do not feel it. PURE: from the latencies that were measured beside it, as gh-ost goes by what it measures
 * and not by a figure that somebody guessed (facts A5.1: 26,000 keys a second cost one server 0.8 ms of its p99, and another one four).
 */

/** What may be added to the 99th percentile. */
export const addedMs = 1
/** With a question of a millisecond in so long, fewer than one in a hundred waits for it: what the 99th percentile does then is not of our making. */
const longestGapMs = 100
/** Of a server that answers too seldom to be measured: somebody holds it up. */
const leftAloneMs = 1000
const firstGapMs = 4

export interface Pace {
  /** Between two batches. */
  readonly gapMs: number
}

export const firstPace: Pace = { gapMs: firstGapMs }

/** `idleP99Ms`: before anything was read. `p99Ms`: of the last half second or so; null: too few answers to tell. */
export function nextPace({ gapMs }: Pace, idleP99Ms: number, p99Ms: number | null): Pace {
  if (p99Ms === null || p99Ms > idleP99Ms + addedMs) return { gapMs: Math.min(p99Ms === null ? leftAloneMs : longestGapMs, Math.max(firstGapMs, gapMs * 2)) }
  if (p99Ms > idleP99Ms + addedMs / 2) return { gapMs }
  return { gapMs: gapMs < 0.25 ? 0 : gapMs * 0.8 }
}

/** No question may hold the source up for longer: a gap between two of them shortens none. */
const questionMs = 1
const mostKeys = 100

/** How many keys the next question may be about, by how long the last one took. */
export function nextPageKeys(keys: number, tookMs: number): number {
  if (tookMs > questionMs) return Math.max(1, Math.floor(keys / 2))
  return tookMs > questionMs / 2 ? keys : Math.min(mostKeys, keys + Math.max(1, Math.floor(keys / 4)))
}

export const firstPageKeys = 20

/** Nearest rank, so that it was really measured. null: none. */
export function p99(latenciesMs: readonly number[]): number | null {
  if (latenciesMs.length === 0) return null
  const sorted = [...latenciesMs].sort((a, b) => a - b)
  return sorted[Math.ceil(sorted.length * 0.99) - 1] ?? null
}
