/**
 * What a drill found, as data and as text for people. PURE. `problems` is the verdict: empty means that the drill passed.
 * A crash may lose writes that had not left the dead process; a switchover may not lose any.
 */
import type { ErrorCount, MarkReport, WriterReport } from './ack-log.ts'
import type { DrillFault } from './drill-rig.ts'
import type { VerifyReport } from './read-back.ts'

/** As `holdfast history --json` tells it. */
export interface Failover {
  readonly epoch: number
  readonly kind: 'failover' | 'switchover' | 'bootstrap' | 'forced'
  readonly from: string | null
  readonly to: string
  readonly why: string
  readonly startedAtMs: number
  readonly timeline: Readonly<Partial<Record<'detectedMs' | 'fencedMs' | 'promotedMs' | 'vipUpMs', number>>>
  readonly notReplicatedBytes: number | null
}

/** What the drill itself saw of one round; the writer's part is added at the end. */
export interface RoundFacts {
  readonly round: number
  readonly primaryBefore: string
  readonly primaryAfter: string | null
  readonly recovered: boolean
  readonly redundantAgain: boolean
  readonly redundantAfterMs: number | null
  readonly decisions: readonly Failover[]
  readonly problems: readonly string[]
}

export interface RoundReport extends RoundFacts {
  readonly outageMs: number
  readonly acked: number
  readonly indeterminate: number
  readonly rejected: number
  readonly lost: number
  readonly errors: readonly ErrorCount[]
}

export interface DrillReport {
  readonly group: string
  readonly fault: DrillFault
  readonly place: string
  readonly rounds: readonly RoundReport[]
  readonly acked: number
  readonly lost: number
  readonly indeterminate: number
  /** Lost, yet the decisions say that every byte was replicated: then something is wrong beyond the fault. */
  readonly warnings: readonly string[]
  readonly problems: readonly string[]
  readonly passed: boolean
}

/** One mark per round: from just before its fault until the next one. */
export function buildReport(
  drill: { readonly group: string; readonly fault: DrillFault; readonly place: string },
  facts: readonly RoundFacts[],
  writer: WriterReport,
  verified: VerifyReport,
): DrillReport {
  const rounds = facts.map((fact, index): RoundReport => {
    const mark: MarkReport | undefined = writer.marks[index]
    return {
      ...fact,
      outageMs: Math.round((mark?.longestOutage.lengthMs ?? 0) * 10) / 10,
      acked: mark?.acked ?? 0,
      indeterminate: mark?.indeterminate ?? 0,
      rejected: mark?.rejected ?? 0,
      errors: mark?.errors ?? [],
      // What was acknowledged before the round's fault is lost by it as well.
      lost: (verified.lostByMark[index] ?? 0) + (index === 0 ? (verified.lostByMark[-1] ?? 0) : 0),
    }
  })
  const problems = rounds.flatMap((round) => round.problems.map((problem) => `round ${round.round}: ${problem}`))
  if (!verified.complete) problems.push(`not every write could be read back: ${verified.why ?? 'unknown why'}`)
  if (verified.lost > 0 && drill.fault === 'switchover') problems.push(`${verified.lost} acknowledged writes are lost`)
  if (verified.rejectedPresent > 0) problems.push(`${verified.rejectedPresent} writes were refused and took place all the same`)
  if (writer.full) problems.push('the drill was too long: the writer ran out of room')
  const warnings = rounds
    .filter((round) => round.lost > 0 && round.decisions.some((decision) => decision.notReplicatedBytes === 0))
    .map((round) => `round ${round.round}: ${round.lost} writes are lost, but the agents say that every byte was replicated`)
  return {
    ...drill,
    rounds,
    warnings,
    problems,
    passed: problems.length === 0,
    acked: verified.acked,
    lost: verified.lost,
    indeterminate: writer.indeterminate,
  }
}

export function formatReport(report: DrillReport): string {
  const lines = report.rounds.flatMap((round) => [
    `round ${round.round}: ${report.fault} at ${round.primaryBefore}, primary now ${round.primaryAfter ?? 'unknown'}`,
    `  outage        ${round.outageMs} ms`,
    `  errors        ${formatErrors(round.errors)}`,
    `  writes        ${round.acked} acknowledged, ${round.lost} of them lost, ${round.indeterminate} without an answer, ${round.rejected} refused`,
    `  redundant     ${round.redundantAgain ? `again after ${Math.round(round.redundantAfterMs ?? 0)} ms` : 'NOT again'}`,
    ...(round.decisions.length === 0 ? ['  decided       nothing'] : round.decisions.flatMap(formatDecision)),
  ])
  return [
    ...lines,
    `total: ${report.acked} acknowledged, ${report.lost} lost, ${report.indeterminate} without an answer (${report.place})`,
    ...report.warnings.map((warning) => `warning: ${warning}`),
    ...report.problems.map((problem) => `problem: ${problem}`),
    report.passed ? 'passed' : 'NOT passed',
  ].join('\n')
}

function formatErrors(errors: readonly ErrorCount[]): string {
  return errors.length === 0 ? 'none' : errors.map(({ kind, count }) => `${kind} × ${count}`).join(', ')
}

function formatDecision(decision: Failover): string[] {
  const { detectedMs, fencedMs, promotedMs, vipUpMs } = decision.timeline
  const steps = Object.entries({ detected: detectedMs, fenced: fencedMs, promoted: promotedMs, 'VIP up': vipUpMs })
    .filter(([, atMs]) => atMs !== undefined)
    .map(([name, atMs]) => `${name} ${atMs} ms`)
  const bytes = decision.notReplicatedBytes
  return [
    `  decided       ${decision.kind} ${decision.from ?? '(nobody)'} → ${decision.to} (epoch ${decision.epoch}): ${decision.why}`,
    `  timeline      ${steps.join(', ') || 'not known'}; not replicated: ${bytes === null ? 'not known' : `${bytes} bytes`}`,
  ]
}
