/**
 * A drill: the writing client runs through the group's address while the primary is broken or switched, again and again,
 * and then every acknowledged write is read back. It observes from outside, as a client and through the CLI, and knows only
 * what `status --json` and `history --json` say. It always undoes its fault, verifies, removes its keys and ends its writer,
 * also after an error or Ctrl-C.
 */
import type { DrillReport, Failover, RoundFacts } from './drill-report.ts'
import { buildReport } from './drill-report.ts'
import type { DrillFault, DrillRig } from './drill-rig.ts'
import { OperatorError } from '../model/error.ts'
import { poll } from './run.ts'
import type { WriterHandle } from './writer.ts'

export interface DrillOptions {
  readonly group: string
  readonly fault: DrillFault
  readonly rounds: number
  readonly progress: (line: string) => void
  /** Aborting ends the drill after undoing what it has done. */
  readonly signal?: AbortSignal
}

/** As `holdfast status --json` tells it; what a drill needs of it. */
export interface GroupStatus {
  readonly group: string
  readonly primary: string | null
  readonly epoch: number
  readonly health: 'ok' | 'degraded' | 'down'
  readonly because: string
  readonly paused: boolean
}

export async function runDrill(rig: DrillRig, options: DrillOptions): Promise<DrillReport> {
  options.progress(`${options.fault} drill of ${options.group} in ${rig.place}, ${options.rounds} round(s)`)
  // Before the first write: a group that is not well must not be hurt further.
  await healthy(rig, options)
  const writer = await rig.startWriter()
  try {
    const facts: RoundFacts[] = []
    for (let round = 1; round <= options.rounds; round += 1) {
      const fact = await runRound(rig, options, writer, round)
      facts.push(fact)
      if (options.signal?.aborted === true || !fact.recovered || !fact.redundantAgain) break
    }
    options.progress('reading every acknowledged write back')
    const report = await writer.stop()
    const verified = await writer.verify(rig.limits.verifyWithinMs)
    const { group, fault } = options
    return buildReport({ group, fault, place: rig.place }, facts, report, verified)
  } finally {
    await endWriter(rig, writer, options.progress)
  }
}

async function runRound(rig: DrillRig, options: DrillOptions, writer: WriterHandle, round: number): Promise<RoundFacts> {
  const { fault, progress } = options
  const before = await healthy(rig, options)
  if (!(await writer.steady({ acks: rig.limits.steadyAcks, withinMs: rig.limits.healthyWithinMs }))) {
    throw new OperatorError(
      'HF505',
      `no steady writes through the address of ${options.group}; seen: ${await errorsOf(writer)}`,
      'Is the VIP reachable from the client, and the password right?',
    )
  }
  const primary = before.primary
  progress(`round ${round}: ${fault} at ${primary}`)
  await writer.mark(`round ${round}`)
  const errorsBefore = (await writer.stats()).errors
  stopIfAborted(options)
  const problems: string[] = []
  let recovered = false
  try {
    const injected = await rig.inject(fault, primary)
    if (injected.done) recovered = await recovery(rig, options, writer, before.epoch, errorsBefore)
    else problems.push(`${fault} was refused: ${injected.why}`)
    if (injected.done && !recovered) problems.push(`no recovery within ${rig.limits.recoverWithinMs} ms`)
  } finally {
    const undone = await rig.undo(fault, primary)
    if (!undone.done) problems.push(`undoing the fault failed: ${undone.why}`)
  }
  const undoneAtMs = performance.now()
  const after = recovered ? await untilRedundant(rig, options, rig.limits.redundantWithinMs) : await statusOf(rig, options.group)
  const redundantAgain = recovered && typeof after !== 'string'
  if (recovered && typeof after === 'string') problems.push(`not redundant again within ${rig.limits.redundantWithinMs} ms: ${after}`)
  const primaryAfter = typeof after === 'string' ? null : after.primary
  if (recovered && fault === 'switchover' && primaryAfter === primary) problems.push(`${primary} is still the primary`)
  const decisions = await decisionsSince(rig, options.group, before.epoch)
  if (typeof decisions === 'string') problems.push(`what was decided is not known: ${decisions}`)
  return {
    round,
    primaryBefore: primary,
    primaryAfter,
    recovered,
    redundantAgain,
    problems,
    redundantAfterMs: redundantAgain ? performance.now() - undoneAtMs : null,
    decisions: typeof decisions === 'string' ? [] : decisions,
  }
}

async function healthy(rig: DrillRig, options: DrillOptions): Promise<GroupStatus & { readonly primary: string }> {
  const found = await untilRedundant(rig, options, rig.limits.healthyWithinMs)
  if (typeof found === 'string') {
    throw new OperatorError(
      'HF505',
      `the group ${options.group} is not healthy (${found}), so nothing was broken`,
      `See what is wrong with: holdfast status, holdfast explain ${options.group}`,
    )
  }
  if (found.paused && options.fault !== 'switchover') {
    throw new OperatorError(
      'HF505',
      `the group ${options.group} is paused: nobody would fail over, so nothing was broken`,
      `Let it act again with: holdfast resume ${options.group}`,
    )
  }
  return found
}

/**
 * Recovered: the fault was FELT (an error, or a new epoch), and writes flow steadily again. Steady writes alone prove
 * nothing, because they go on until the fault arrives.
 */
async function recovery(rig: DrillRig, options: DrillOptions, writer: WriterHandle, epochBefore: number, errorsBefore: number): Promise<boolean> {
  let felt = false
  let ackedBefore: number | undefined
  const askAfterMs = performance.now() + rig.limits.quietMs
  const found = await poll(
    async () => {
      stopIfAborted(options)
      const stats = await writer.stats()
      ackedBefore ??= stats.acked
      felt ||= stats.errors > errorsBefore
      if (!felt && performance.now() >= askAfterMs) {
        const status = await statusOf(rig, options.group)
        felt = typeof status !== 'string' && status.epoch > epochBefore
      }
      const since = Math.min(stats.streak, stats.acked - ackedBefore)
      const flowing = since >= rig.limits.steadyAcks && stats.lastAckMs !== null && stats.nowMs - stats.lastAckMs < 100
      return felt && flowing ? true : undefined
    },
    { withinMs: rig.limits.recoverWithinMs, everyMs: rig.limits.pollEveryMs },
  )
  return found ?? false
}

/** The status of a group with a primary and all of its replicas in order, or the reason why it is not so in time. */
async function untilRedundant(rig: DrillRig, options: DrillOptions, withinMs: number): Promise<(GroupStatus & { readonly primary: string }) | string> {
  let why = 'not asked yet'
  const found = await poll(
    async () => {
      stopIfAborted(options)
      const status = await statusOf(rig, options.group)
      why = typeof status === 'string' ? status : `${status.health}: ${status.because}`
      if (typeof status === 'string' || status.health !== 'ok' || status.primary === null) return undefined
      return { ...status, primary: status.primary }
    },
    { withinMs, everyMs: rig.limits.pollEveryMs },
  )
  return found ?? why
}

async function statusOf(rig: DrillRig, group: string): Promise<GroupStatus | string> {
  const parsed = await askJson<{ readonly groups?: readonly GroupStatus[] }>(rig, ['status', '--json'])
  if (typeof parsed === 'string') return parsed
  return parsed.groups?.find((found) => found.group === group) ?? `status does not name ${group}`
}

async function decisionsSince(rig: DrillRig, group: string, epoch: number): Promise<readonly Failover[] | string> {
  const parsed = await askJson<{ readonly failovers?: readonly Failover[] }>(rig, ['history', group, '--json'])
  return typeof parsed === 'string' ? parsed : (parsed.failovers ?? []).filter((found) => found.epoch > epoch)
}

/** The answer, or why there is none. A command may report trouble by its exit code and still print what it knows. */
async function askJson<T extends object>(rig: DrillRig, argv: readonly string[]): Promise<T | string> {
  const result = await rig.cli(argv)
  try {
    return JSON.parse(result.stdout) as T
  } catch (error) {
    return result.stderr.trim().split('\n')[0] || `${argv.join(' ')}: ${(error as Error).message}`
  }
}

async function errorsOf(writer: WriterHandle): Promise<string> {
  const { errors } = await writer.stop()
  return errors.map(({ kind, count }) => `${kind} × ${count}`).join(', ') || 'no error, and too few answers'
}

async function endWriter(rig: DrillRig, writer: WriterHandle, progress: (line: string) => void): Promise<void> {
  try {
    const { why } = await writer.cleanup(rig.limits.verifyWithinMs)
    if (why !== null) progress(`the drill's keys could not all be removed: ${why}`)
  } catch (error) {
    progress(`the drill's keys could not be removed: ${(error as Error).message}`)
  } finally {
    await writer.close()
  }
}

function stopIfAborted(options: DrillOptions): void {
  if (options.signal?.aborted === true) {
    throw new OperatorError('HF505', 'interrupted: the drill was not finished', 'Run it again for a result.')
  }
}
