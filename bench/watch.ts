/**
 * A cut host is two events for a client: the cut, and the hour when the host comes back. A drill measures them as one round;
 * here they are told apart, by the times at which the fault was made and undone, and by the outages that the client saw.
 */
import type { Outage, WriterReport } from '../src/lab/ack-log.ts'
import type { RoundReport } from '../src/lab/drill-report.ts'
import type { DrillRig } from '../src/lab/drill-rig.ts'
import type { WriterHandle } from '../src/lab/writer.ts'
import { nowMs } from '../src/lab/write-loop.ts'

/** The writer's default: shorter gaps are not listed one by one. */
export const gapThresholdMs = 20

export interface FaultSpan {
  readonly injectedMs: number
  undoneMs: number
}

export interface WatchedRound extends RoundReport {
  /** The longest outage that began after the fault was undone; null: not told apart. */
  readonly healOutageMs: number | null
}

export interface Watch {
  readonly rig: DrillRig
  readonly split: (rounds: readonly RoundReport[]) => readonly WatchedRound[]
}

export function watchHeal(inner: DrillRig): Watch {
  const spans: FaultSpan[] = []
  let report: WriterReport | null = null
  const rig: DrillRig = {
    ...inner,
    startWriter: async () => {
      const writer = await inner.startWriter()
      const stop: WriterHandle['stop'] = async () => {
        report = await writer.stop()
        return report
      }
      return { ...writer, stop }
    },
    inject: (fault, primary) => {
      spans.push({ injectedMs: nowMs(), undoneMs: Infinity })
      return inner.inject(fault, primary)
    },
    undo: (fault, primary) => {
      const span = spans.at(-1)
      if (span !== undefined) span.undoneMs = nowMs()
      return inner.undo(fault, primary)
    },
  }
  return { rig, split: (rounds) => splitRounds(rounds, spans, report?.outages ?? [], report?.thresholdMs ?? gapThresholdMs) }
}

/** PURE. Gaps below the threshold are not listed by the writer: for those the threshold itself is the figure. */
export function splitRounds(
  rounds: readonly RoundReport[],
  spans: readonly FaultSpan[],
  outages: readonly Outage[],
  thresholdMs: number,
): readonly WatchedRound[] {
  return rounds.map((round, index) => {
    const span = spans[index]
    if (span === undefined) return { ...round, healOutageMs: null }
    const endMs = spans[index + 1]?.injectedMs ?? Infinity
    const longest = (from: number, to: number, begins: (outage: Outage) => boolean): number =>
      outages
        .filter((outage) => begins(outage) && outage.startMs < to && outage.startMs + outage.lengthMs > from)
        .reduce((most, outage) => Math.max(most, outage.lengthMs), Math.min(thresholdMs, round.outageMs))
    return {
      ...round,
      outageMs: longest(span.injectedMs, span.undoneMs, (outage) => outage.startMs < span.undoneMs),
      healOutageMs: longest(span.undoneMs, endMs, (outage) => outage.startMs >= span.undoneMs),
    }
  })
}
