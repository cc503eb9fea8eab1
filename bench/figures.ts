/**
 * From rounds to figures, and from figures to verdicts. PURE. A worst case is always shown and never averaged away, and a
 * goal that could not be measured counts as missed.
 */
import type { ErrorCount } from '../src/lab/ack-log.ts'
import type { Case, System } from './options.ts'
import type { WatchedRound } from './watch.ts'

export interface OutageGoal {
  readonly p50Ms?: number
  readonly p95Ms?: number
  readonly worstMs?: number
  /** Acknowledged writes. A crash may lose what had not left the dead process, so it has no such goal. */
  readonly lost?: number
}

/** A variant is one row of the table: a case on a system, perhaps in one of two set-ups. */
export interface CaseResult {
  readonly system: System
  readonly case: Case
  readonly variant: string | null
  readonly rounds: readonly WatchedRound[]
  /** false: not everything could be read back, so the lost writes are not known. */
  readonly lossKnown: boolean
  readonly problems: readonly string[]
}

export interface CaseFigures {
  readonly rounds: number
  readonly p50Ms: number
  readonly p95Ms: number
  readonly worstMs: number
  /** At the return of a host that was cut off; null: there was none. */
  readonly healWorstMs: number | null
  readonly acked: number
  /** NaN: not known. */
  readonly lost: number
  readonly indeterminate: number
  readonly errors: readonly { readonly kind: string; readonly count: number }[]
}

/** Design section 7. */
const goals: Partial<Record<Case, OutageGoal>> = {
  crash: { p50Ms: 25, p95Ms: 60, worstMs: 200 },
  'host-cut': { p50Ms: 250, worstMs: 1000 },
  switchover: { p50Ms: 30, lost: 0 },
  restart: { lost: 0 },
}

/** With Sentinels: an election among them, which write each vote to disk. A lost host is theirs to find: no later than they alone do. */
const sentinelGoals: Partial<Record<Case, OutageGoal>> = {
  crash: { p50Ms: 400, worstMs: 1500 },
  switchover: { worstMs: 100, lost: 0 },
  restart: { lost: 0 },
}

export function goalOf(of: Case, variant: string | null): OutageGoal | undefined {
  return (variant?.includes('sentinel') === true ? sentinelGoals : goals)[of]
}

export const idleGoal = { cpuPercent: 1, rssMb: 80 } as const

/** Above this a round of Holdfast's is looked into, whatever the median says. */
export const outlierMs: Partial<Record<Case, number>> = { crash: 200, 'host-cut': 1000, switchover: 200, hang: 1500, restart: 1000 }

/** Nearest rank: a value that was really measured. */
export function percentile(values: readonly number[], percent: number): number {
  const sorted = [...values].sort((a, b) => a - b)
  const rank = Math.max(1, Math.ceil((percent / 100) * sorted.length))
  return sorted[rank - 1] ?? Number.NaN
}

export function figuresOf(result: Pick<CaseResult, 'rounds' | 'lossKnown'>): CaseFigures {
  const { rounds } = result
  const heals = rounds.map((round) => round.healOutageMs).filter((ms) => ms !== null)
  const outages = rounds.map((round) => round.outageMs)
  const sum = (of: (round: WatchedRound) => number): number => rounds.reduce((total, round) => total + of(round), 0)
  return {
    rounds: rounds.length,
    p50Ms: percentile(outages, 50),
    p95Ms: percentile(outages, 95),
    worstMs: percentile(outages, 100),
    healWorstMs: heals.length === 0 ? null : percentile(heals, 100),
    acked: sum((round) => round.acked),
    lost: result.lossKnown ? sum((round) => round.lost) : Number.NaN,
    indeterminate: sum((round) => round.indeterminate),
    errors: mergeErrors(rounds.flatMap((round) => round.errors)),
  }
}

function mergeErrors(errors: readonly ErrorCount[]): CaseFigures['errors'] {
  const counts = new Map<string, number>()
  for (const { kind, count } of errors) counts.set(kind, (counts.get(kind) ?? 0) + count)
  return [...counts].map(([kind, count]) => ({ kind, count })).sort((a, b) => b.count - a.count)
}

/** What is missed, in words; empty: met. */
export function missedGoals(figures: CaseFigures, goal: OutageGoal): string[] {
  const missed: string[] = []
  const compare = (name: string, value: number, limit: number | undefined): void => {
    // Written so that NaN, which is "not measured", is a miss.
    if (limit !== undefined && !(value <= limit)) missed.push(name)
  }
  compare('p50', figures.p50Ms, goal.p50Ms)
  compare('p95', figures.p95Ms, goal.p95Ms)
  compare('worst', figures.worstMs, goal.worstMs)
  compare('lost', figures.lost, goal.lost)
  return missed
}

export function isOutlier(of: Case, round: WatchedRound): boolean {
  return !round.recovered || Math.max(round.outageMs, round.healOutageMs ?? 0) > (outlierMs[of] ?? Infinity)
}
