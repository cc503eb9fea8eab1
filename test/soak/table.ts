/** The closing table of a soak. PURE: rounds in, text out. */
import type { FaultKind } from './schedule.ts'

export interface RoundResult {
  readonly round: number
  readonly kinds: readonly FaultKind[]
  /** The longest time without an acknowledged write, of the client that fared better. */
  readonly outageMs: number
  /** The same of the client that asks the Sentinels; null without one. */
  readonly askingOutageMs: number | null
  /** From the end of the mending until the group was well. */
  readonly wellMs: number
  readonly acked: number
  readonly lost: number
  readonly kept: number
  readonly withProcess: number
  readonly untraced: number
  readonly overlapMs: number
}

export function closingTable(rounds: readonly RoundResult[], minutes: number): string {
  const kinds = [...new Set(rounds.flatMap((r) => r.kinds))].sort()
  const alone = (kind: FaultKind): readonly RoundResult[] => rounds.filter((r) => r.kinds.length === 1 && r.kinds[0] === kind)
  const several = rounds.filter((r) => r.kinds.length > 1)
  const asking = rounds.some((r) => r.askingOutageMs !== null)
  const outages = (of: readonly RoundResult[]): string =>
    `${spread(of.map((r) => r.outageMs))}${asking ? ` | ${spread(of.flatMap((r) => (r.askingOutageMs === null ? [] : [r.askingOutageMs])))}` : ''}`
  const sum = (of: (r: RoundResult) => number): number => rounds.reduce((total, r) => total + of(r), 0)
  const worst = (of: (r: RoundResult) => number): number => Math.max(0, ...rounds.map(of))
  return [
    `${rounds.length} rounds in ${minutes.toFixed(1)} minutes, ${sum((r) => r.kinds.length)} faults`,
    '',
    `| fault | times | alone in a round: outage p50 / p95 / worst |${asking ? ' of the client that asks the Sentinels |' : ''}`,
    `|---|---|---|${asking ? '---|' : ''}`,
    ...kinds.map((kind) => `| ${kind} | ${rounds.flatMap((r) => r.kinds).filter((k) => k === kind).length} | ${outages(alone(kind))} |`),
    `| several in one round | ${several.length} | ${outages(several)} |`,
    '',
    `acknowledged ${sum((r) => r.acked)}; not at the address afterwards ${sum((r) => r.lost)}: kept in salvage ${sum((r) => r.kept)}, gone with a killed process ${sum((r) => r.withProcess)}, WITHOUT A TRACE ${sum((r) => r.untraced)}`,
    `two writers: worst ${worst((r) => r.overlapMs).toFixed(0)} ms in a round, in ${rounds.filter((r) => r.overlapMs > 0).length} rounds`,
    `well again after the mending: p50 ${ms(
      quantile(
        rounds.map((r) => r.wellMs),
        0.5,
      ),
    )}, worst ${ms(worst((r) => r.wellMs))}`,
    '',
  ].join('\n')
}

function spread(values: readonly number[]): string {
  return values.length === 0 ? '–' : `${ms(quantile(values, 0.5))} / ${ms(quantile(values, 0.95))} / ${ms(Math.max(...values))}`
}

function quantile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b)
  return sorted[Math.min(sorted.length - 1, Math.ceil(share * sorted.length) - 1)] ?? 0
}

function ms(value: number): string {
  return value < 10_000 ? `${value.toFixed(0)} ms` : `${(value / 1000).toFixed(1)} s`
}
