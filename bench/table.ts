/**
 * The report as Markdown, ready to be pasted into the README. PURE. Goals stand beside figures; a miss says so.
 */
import type { CaseFigures, CaseResult, OutageGoal } from './figures.ts'
import { figuresOf, goalOf, idleGoal, missedGoals, percentile } from './figures.ts'
import type { Case, System } from './options.ts'
import { gapThresholdMs } from './watch.ts'

export type IdleMode = 'vip' | 'sentinel'

export interface IdleResult {
  readonly mode: IdleMode
  readonly seconds: number
  readonly agents: readonly { readonly host: string; readonly role: string; readonly cpuPercent: number; readonly rssMb: number }[]
}

export interface AlarmResult {
  readonly minutes: number
  readonly busyProcesses: number
  readonly failovers: number
  readonly longestOutageMs: number
  readonly lost: number
}

export interface ThroughputResult {
  readonly plainPerS: readonly number[]
  readonly vipPerS: readonly number[]
  readonly ratio: number
}

export type BackupKind = 'zstd' | 'gzip' | 'gzip, encrypted' | 'as it is'

export interface BackupResult {
  readonly datasetMb: number
  readonly rdbMb: number
  /** `redis-cli --rdb` into `gzip -1`. */
  readonly byHandS: readonly number[]
  /** redis-server, the same RDB from its disk. */
  readonly loadS: readonly number[]
  readonly kinds: readonly {
    readonly kind: BackupKind
    readonly takeS: readonly number[]
    readonly restoreS: readonly number[]
    /** Of a backup, by hand = 1. */
    readonly throughput: number
    /** Of a restore, redis-server alone = 1. */
    readonly slowdown: number
  }[]
  readonly peaks: { readonly takeMb: number; readonly restoreMb: number }
}

export interface ArchiveResult {
  /** SETs a second on the primary, so many at a time on each connection. */
  readonly cases: readonly {
    readonly depth: number
    /** Primary and writers on one core, replica and archiver on another. */
    readonly apart: boolean
    readonly without: readonly number[]
    readonly with: readonly number[]
    readonly ratio: number
  }[]
  /** Of single writes, until they lay in the store. */
  readonly lagMs: readonly number[]
  readonly flushMs: number
  readonly peakMb: number
}

/** Of three rounds each. */
export interface VerifyResult {
  readonly fullPerS: readonly number[]
  readonly plainPerS: readonly number[]
  readonly autoPerS: readonly number[]
  /** Of a client of the source: alone, and beside the comparison. */
  readonly aloneP99Ms: readonly number[]
  readonly autoP99Ms: readonly number[]
}

export const cutOverLoads = ['calm', 'busy'] as const
export type CutOverLoad = (typeof cutOverLoads)[number]

/** As felt by a client that writes once a millisecond: the longest time without an acknowledged write, there and back. */
export interface CutOverTurns {
  readonly gapMs: readonly number[]
  readonly backMs: readonly number[]
  /** Until the promotion, by the agents' own account. */
  readonly heldMs: readonly number[]
}

export interface CutOverResult {
  readonly calm: CutOverTurns
  /** Beside two clients that do nothing but write. */
  readonly busy: CutOverTurns
  readonly acked: number
  readonly lost: number
}

const cutOverGoals = { p50Ms: 20, p99Ms: 100 }
/** Three rounds each, from the order until the first redis of the group has all. */
export interface SyncResult {
  readonly datasetMb: number
  readonly bareS: readonly number[]
  readonly movedS: readonly number[]
  /** From the start of the command, which makes the plan first. */
  readonly commandS: readonly number[]
}

const syncGoal = 1.1
const verifyGoals = { fullPerS: 120_000, addedMs: 1 }
const archiveGoals = { ratio: 0.97, lagMs: 1000, peakMb: 100 }
const backupGoals = { throughput: 0.8, slowdown: 1.15, peakMb: 100 }

export interface BenchReport {
  readonly machine: string
  readonly startedAt: string
  readonly loadBefore: number
  readonly results: readonly CaseResult[]
  readonly idle: readonly IdleResult[]
  readonly alarms: AlarmResult | null
  readonly throughput: ThroughputResult | null
  readonly backup: BackupResult | null
  readonly archive: ArchiveResult | null
  readonly verify: VerifyResult | null
  readonly cutOver: CutOverResult | null
  readonly sync: SyncResult | null
  readonly notMeasured: readonly string[]
  readonly outliers: readonly string[]
}

const systemNames: Record<System, string> = {
  holdfast: '**Holdfast**',
  'keepalived-1s': 'keepalived + scripts, 1 s × 3',
  'keepalived-2s': 'keepalived + scripts, 2 s, `sleep 10`',
  sentinel: 'Sentinel × 3, down-after 1 s',
}

const caseNames: Record<Case, string> = {
  crash: 'redis killed (`kill -9`)',
  'host-cut': "primary's host cut off",
  switchover: 'switchover',
  hang: 'redis hangs, `unresponsive_ms: 1000`',
  restart: 'redis killed, back 0.5 s later, empty',
  idle: 'idle',
  'false-alarms': 'false alarms',
  throughput: 'throughput',
  backup: 'backup and restore',
  archive: 'stream archive',
  verify: 'two redises compared',
  cutover: 'a redis is moved to a group, and back',
  sync: 'first sync of a move',
}

export function renderReport(report: BenchReport): string {
  const sections = [
    `Measured ${report.startedAt} on ${report.machine}; load average before: ${report.loadBefore.toFixed(2)}.`,
    ...outageTable(report.results),
    ...otherTable(report),
    ...list('Outliers', report.outliers),
    ...list('Not measured', report.notMeasured),
  ]
  return `${sections.join('\n')}\n`
}

function outageTable(results: readonly CaseResult[]): string[] {
  if (results.length === 0) return []
  const header = [
    '',
    '| case | system | rounds | outage p50 | p95 | worst | × Holdfast | host back: worst | lost / acknowledged | errors the client saw | goal |',
    '|---|---|---|---|---|---|---|---|---|---|---|',
  ]
  const rows = (Object.keys(caseNames) as Case[]).flatMap((of) => {
    const own = results.filter((result) => result.case === of)
    const base = own.find((result) => result.system === 'holdfast')
    return own.map((result) => outageRow(result, base === undefined ? null : figuresOf(base)))
  })
  return [...header, ...rows]
}

function outageRow(result: CaseResult, base: CaseFigures | null): string {
  const figures = figuresOf(result)
  const ours = result.system === 'holdfast'
  const ratio = ours || base === null ? '' : formatRatio(figures.p50Ms / base.p50Ms)
  const goal = ours ? goalOf(result.case, result.variant) : undefined
  const name = `${systemNames[result.system]}${result.variant === null ? '' : `, ${result.variant}`}`
  const cells = [
    caseNames[result.case],
    name,
    String(figures.rounds),
    formatMs(figures.p50Ms),
    formatMs(figures.p95Ms),
    formatMs(figures.worstMs),
    ratio,
    figures.healWorstMs === null ? '' : formatHeal(figures.healWorstMs),
    `${Number.isNaN(figures.lost) ? 'not known' : figures.lost} / ${figures.acked}`,
    figures.errors.map(({ kind, count }) => `${kind} × ${count}`).join(', ') || 'none',
    goal === undefined ? '' : verdict(goal, missedGoals(figures, goal)),
  ]
  return `| ${cells.join(' | ')} |`
}

function verdict(goal: OutageGoal, missed: readonly string[]): string {
  const parts = [
    goal.p50Ms === undefined ? null : `p50 ≤ ${goal.p50Ms} ms`,
    goal.p95Ms === undefined ? null : `p95 ≤ ${goal.p95Ms} ms`,
    goal.worstMs === undefined ? null : `worst ≤ ${goal.worstMs} ms`,
    goal.lost === undefined ? null : `${goal.lost} lost`,
  ].filter((part) => part !== null)
  return `${parts.join(', ')}: ${missed.length === 0 ? 'met' : `**missed** (${missed.join(', ')})`}`
}

function otherTable(report: BenchReport): string[] {
  const rows: string[] = []
  for (const { mode, agent } of report.idle.flatMap((idle) => idle.agents.map((agent) => ({ mode: idle.mode, agent })))) {
    const met = agent.cpuPercent <= idleGoal.cpuPercent && agent.rssMb <= idleGoal.rssMb
    rows.push(
      `| agent idle, \`mode: ${mode}\`, ${agent.host} (${agent.role}) | ${agent.cpuPercent.toFixed(2)} % of a core, ${agent.rssMb.toFixed(0)} MB | ≤ ${idleGoal.cpuPercent} %, ≤ ${idleGoal.rssMb} MB: ${word(met)} |`,
    )
  }
  const { alarms, throughput } = report
  if (alarms !== null) {
    rows.push(
      `| false alarms, ${alarms.minutes} min with ${alarms.busyProcesses} busy processes | ${alarms.failovers} failovers; longest gap of the client ${formatMs(alarms.longestOutageMs)}; ${alarms.lost} lost | 0: ${word(alarms.failovers === 0)} |`,
    )
  }
  if (throughput !== null) {
    rows.push(
      `| SET through the address, plain redis = 1 | ${throughput.ratio.toFixed(2)} (${formatCount(throughput.vipPerS)} and ${formatCount(throughput.plainPerS)} a second) | = plain: ${word(throughput.ratio >= 0.95)} |`,
    )
  }
  if (report.backup !== null) rows.push(...backupRows(report.backup))
  if (report.archive !== null) rows.push(...archiveRows(report.archive))
  if (report.verify !== null) rows.push(...verifyRows(report.verify))
  if (report.cutOver !== null) rows.push(...cutOverRows(report.cutOver))
  if (report.sync !== null) rows.push(syncRow(report.sync))
  return rows.length === 0 ? [] : ['', '| what | figure | goal |', '|---|---|---|', ...rows]
}

function backupRows({ kinds, peaks, rdbMb, datasetMb }: BackupResult): string[] {
  const of = `${Math.round(datasetMb)} MB of data, ${Math.round(rdbMb)} MB of RDB`
  return [
    ...kinds.flatMap(({ kind, takeS, restoreS, throughput, slowdown }) => [
      `| backup (${kind}) of ${of}, throughput of \`redis-cli --rdb\` into \`gzip -1\` = 1 | ${Number.isNaN(throughput) ? 'not compared' : throughput.toFixed(2)} (${median(takeS)}) | ≥ ${backupGoals.throughput}${Number.isNaN(throughput) ? '' : `: ${word(throughput >= backupGoals.throughput)}`} |`,
      `| restore (${kind}), time of redis-server loading the same file = 1 | ${slowdown.toFixed(2)} (${median(restoreS)}) | ≤ ${backupGoals.slowdown}: ${word(slowdown <= backupGoals.slowdown)} |`,
    ]),
    `| memory of backup and of restore at its peak, beside redis | ${peaks.takeMb.toFixed(0)} MB, ${peaks.restoreMb.toFixed(0)} MB | ≤ ${backupGoals.peakMb} MB: ${word(Math.max(peaks.takeMb, peaks.restoreMb) <= backupGoals.peakMb)} |`,
  ]
}

function archiveRows({ cases, lagMs, flushMs, peakMb }: ArchiveResult): string[] {
  const [p50, p99] = [percentile(lagMs, 50), percentile(lagMs, 99)]
  return [
    ...cases.map(
      (one) =>
        `| SET on the primary with an archiver at its replica, \`-P ${one.depth}\`, ${one.apart ? 'each of the two on a core of its own' : 'all on the same two cores'}, without = 1 | ${one.ratio.toFixed(2)} (${formatCount(one.with)} and ${formatCount(one.without)} a second) | ≥ ${archiveGoals.ratio}: ${word(one.ratio >= archiveGoals.ratio)} |`,
    ),
    `| from a write until it lies in the store, \`flush_ms: ${flushMs}\` | p50 ${formatMs(p50)}, p99 ${formatMs(p99)} | p99 ≤ ${formatMs(archiveGoals.lagMs)}: ${word(p99 <= archiveGoals.lagMs)} |`,
    `| memory of the archiver at its peak | ${peakMb.toFixed(0)} MB | ≤ ${archiveGoals.peakMb} MB: ${word(peakMb <= archiveGoals.peakMb)} |`,
  ]
}

function verifyRows({ fullPerS, plainPerS, autoPerS, aloneP99Ms, autoP99Ms }: VerifyResult): string[] {
  const of = (values: readonly number[]): number => percentile(values, 50)
  const addedMs = of(autoP99Ms) - of(aloneP99Ms)
  return [
    `| two redises compared on the same cores, \`--pace full\` | ${Math.round(of(fullPerS))} keys a second; a plain loop of SCAN and GET ${Math.round(of(plainPerS))} | ≥ ${verifyGoals.fullPerS}: ${word(of(fullPerS) >= verifyGoals.fullPerS)} |`,
    `| p99 of a client of the source beside \`--pace auto\` (${Math.round(of(autoPerS))} keys a second) | ${of(autoP99Ms).toFixed(2)} ms, alone ${of(aloneP99Ms).toFixed(2)} ms | ≤ ${verifyGoals.addedMs} ms more: ${word(addedMs <= verifyGoals.addedMs)} |`,
  ]
}

function cutOverRows(result: CutOverResult): string[] {
  const shown = (values: readonly number[]): string => [50, 99, 100].map((percent) => formatMs(percentile(values, percent))).join(' / ')
  const met = ({ gapMs }: CutOverTurns): boolean => percentile(gapMs, 50) <= cutOverGoals.p50Ms && percentile(gapMs, 99) <= cutOverGoals.p99Ms
  return [
    ...cutOverLoads.map((load) => {
      const { gapMs, backMs, heldMs } = result[load]
      const figures = `p50 / p99 / worst of ${gapMs.length}: ${shown(gapMs)}; writes held ${shown(heldMs)}; way back ${shown(backMs)}`
      return `| cut-over, ${load === 'calm' ? 'one client' : 'beside two that do nothing but write'}: its gap | ${figures} | p50 ≤ ${cutOverGoals.p50Ms} ms, p99 ≤ ${cutOverGoals.p99Ms} ms: ${word(met(result[load]))} |`
    }),
    `| writes of these clients that were lost | ${result.lost} of ${result.acked} | 0: ${word(result.lost === 0)} |`,
  ]
}

function syncRow({ datasetMb, bareS, movedS, commandS }: SyncResult): string {
  const ratio = percentile(movedS, 50) / percentile(bareS, 50)
  return `| first sync of a move of ${Math.round(datasetMb)} MB, a bare REPLICAOF = 1 | ${ratio.toFixed(2)} (${median(movedS)} and ${median(bareS)}; from the start of the command, with its plan, ${median(commandS)}) | ≤ ${syncGoal.toFixed(2)}: ${word(ratio <= syncGoal)} |`
}

function median(seconds: readonly number[]): string {
  return formatMs(percentile(seconds, 50) * 1000)
}

function list(title: string, lines: readonly string[]): string[] {
  return lines.length === 0 ? [] : ['', `${title}:`, ...lines.map((line) => `- ${line}`)]
}

function word(met: boolean): string {
  return met ? 'met' : '**missed**'
}

export function formatMs(ms: number): string {
  if (!Number.isFinite(ms)) return '–'
  return ms < 1000 ? `${ms.toFixed(ms < 100 ? 1 : 0)} ms` : `${(ms / 1000).toFixed(1)} s`
}

/** The client's log keeps no gaps below its threshold. */
function formatHeal(ms: number): string {
  return ms <= gapThresholdMs ? `≤ ${gapThresholdMs} ms` : formatMs(ms)
}

function formatRatio(ratio: number): string {
  if (!Number.isFinite(ratio)) return '–'
  return ratio < 10 ? ratio.toFixed(1) : String(Math.round(ratio))
}

function formatCount(values: readonly number[]): string {
  const sorted = [...values].sort((a, b) => a - b)
  return String(Math.round(sorted[Math.floor(sorted.length / 2)] ?? 0))
}
