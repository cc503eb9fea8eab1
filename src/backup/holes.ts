/**
 * What of one way through the histories cannot be searched: bytes that no segment holds, and those behind them up to the next backup, for only a backup says
 * where a command begins. PURE: an answer that leaves them out ("there is no FLUSHALL") would be believed.
 */
import type { Base, Run } from './chain.ts'

export interface Hole {
  /** Offsets of the first and the last byte that is missing. */
  readonly from: number
  readonly to: number
  /** When what is there before it ends, and when what is there behind it begins, as far as it is known. */
  readonly fromWallMs: number
  readonly toWallMs: number
  /** What is archived behind it up to here cannot be read; `to`: that is nothing. */
  readonly unreadTo: number
}

/** Of the bytes `from` to `to`, in order. `bases`: those that may be used. */
export function holesIn(runs: readonly Run[], bases: readonly Base[], from: number, to: number): readonly Hole[] {
  const missing: { readonly from: number; readonly to: number }[] = []
  let next = from
  for (const run of runs.filter((one) => one.to >= from && one.from <= to)) {
    if (run.from > next) missing.push({ from: next, to: run.from - 1 })
    next = run.to + 1
  }
  if (next <= to) missing.push({ from: next, to })
  return missing.map((hole, index) => {
    const end = (missing[index + 1]?.from ?? to + 1) - 1
    return { ...hole, ...timesOf(hole, runs, bases), unreadTo: Math.min(end, ...bases.filter(({ offset }) => offset >= hole.to).map(({ offset }) => offset)) }
  })
}

function timesOf(hole: Pick<Hole, 'from' | 'to'>, runs: readonly Run[], bases: readonly Base[]): Pick<Hole, 'fromWallMs' | 'toWallMs'> {
  const before = [
    ...runs.filter(({ to }) => to < hole.from).map(({ lastWallMs }) => lastWallMs),
    ...bases.filter(({ offset }) => offset < hole.from).map(({ atWallMs }) => atWallMs),
  ]
  const behind = [
    ...runs.filter(({ from }) => from > hole.to).map(({ firstWallMs }) => firstWallMs),
    ...bases.filter(({ offset }) => offset >= hole.to).map(({ atWallMs }) => atWallMs),
  ]
  const fromWallMs = before.length === 0 ? 0 : Math.max(...before)
  return { fromWallMs, toWallMs: Math.max(fromWallMs, behind.length === 0 ? fromWallMs : Math.min(...behind)) }
}
