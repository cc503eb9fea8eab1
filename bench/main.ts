/**
 * `script/bench`: measures Holdfast and what people run today on the same hosts, with the same client, in the same run, and
 * prints one report. A missed goal is a result (exit 0); what could not be measured is a failure (exit 1). Started by
 * script/bench from the top of the checkout; bin/holdfast must have been built.
 */
import { writeFile } from 'node:fs/promises'
import { resolve } from 'node:path'
import { labProblems } from '../src/lab/capability.ts'
import { dropRecipe, measureDrill, titleOf, variantsOf, type RecipeLabs } from './drills.ts'
import type { CaseResult } from './figures.ts'
import { figuresOf } from './figures.ts'
import { describeMachine, loadAverage } from './machine.ts'
import type { BenchOptions } from './options.ts'
import { parseOptions, roundsOf, usage } from './options.ts'
import type { Rig } from './rig.ts'
import { openRig } from './rig.ts'
import { measureArchive } from './archive.ts'
import { measureCutOver } from './cutover.ts'
import { measureSync } from './sync.ts'
import { measureVerify } from './verify.ts'
import { measureBackup } from './backup.ts'
import { measureAlarms, measureIdle, measureThroughput } from './steady.ts'
import type { AlarmResult, ArchiveResult, BackupResult, BenchReport, CutOverResult, IdleResult, SyncResult, ThroughputResult, VerifyResult } from './table.ts'
import { formatMs, renderReport } from './table.ts'

interface Found {
  readonly results: CaseResult[]
  readonly idle: IdleResult[]
  alarms: AlarmResult | null
  throughput: ThroughputResult | null
  backup: BackupResult | null
  archive: ArchiveResult | null
  verify: VerifyResult | null
  cutOver: CutOverResult | null
  sync: SyncResult | null
  readonly notMeasured: string[]
  readonly outliers: string[]
}

const startedMs = performance.now()

function say(line: string): void {
  process.stderr.write(`[${((performance.now() - startedMs) / 1000).toFixed(0).padStart(4)} s] ${line}\n`)
}

async function main(argv: readonly string[]): Promise<number> {
  const parsed = parseOptions(argv)
  if (parsed.kind === 'help') {
    process.stdout.write(usage)
    return 0
  }
  if (parsed.kind === 'wrong') {
    process.stderr.write(`${parsed.why}\n${usage}`)
    return 2
  }
  const problems = labProblems()
  if (problems.length > 0) {
    process.stderr.write(`this machine cannot run the bench: ${problems.join('; ')}\n`)
    return 1
  }
  const { options } = parsed
  const loadBefore = loadAverage()
  const startedAt = new Date().toISOString().slice(0, 16).replace('T', ' ')
  const machine = await describeMachine()
  say(machine)
  const interrupt = new AbortController()
  // The first Ctrl-C ends the measuring and cleans up; there is nothing that a second could do better.
  for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(name, () => interrupt.abort(new Error('interrupted')))
  const rig = await openRig([resolve('bin/holdfast')], say, interrupt.signal)
  const found: Found = {
    results: [],
    idle: [],
    alarms: null,
    throughput: null,
    backup: null,
    archive: null,
    verify: null,
    cutOver: null,
    sync: null,
    notMeasured: [],
    outliers: [],
  }
  try {
    await measureAll(rig, options, found)
  } finally {
    await rig.close()
  }
  const report: BenchReport = { machine, startedAt, loadBefore, ...found }
  if (options.jsonFile !== null) await writeFile(options.jsonFile, `${JSON.stringify(report, null, 2)}\n`)
  process.stdout.write(renderReport(report))
  if (interrupt.signal.aborted) process.stderr.write('interrupted: the report above is not complete\n')
  return interrupt.signal.aborted ? 130 : found.notMeasured.length > 0 ? 1 : 0
}

async function measureAll(rig: Rig, options: BenchOptions, found: Found): Promise<void> {
  const labs: RecipeLabs = new Map()
  for (const system of options.systems) {
    for (const of of options.only) {
      for (const variant of variantsOf(system, of)) {
        const wish = { system, case: of, variant, rounds: roundsOf(options, system, of), keepLogs: options.keepLogs }
        await attempt(rig, found, titleOf(wish), async () => {
          const { result, outliers } = await measureDrill(rig, wish, labs)
          found.results.push(result)
          found.outliers.push(...outliers)
          if (result.rounds.length < wish.rounds) found.notMeasured.push(`${titleOf(wish)}: only ${result.rounds.length} of ${wish.rounds} rounds`)
          const { p50Ms, worstMs, lost, acked } = figuresOf(result)
          rig.say(`  outage p50 ${formatMs(p50Ms)}, worst ${formatMs(worstMs)}; ${lost} of ${acked} writes lost`)
        })
      }
    }
    await dropRecipe(rig, system, labs, options.keepLogs)
  }
  if (options.systems.includes('holdfast')) await measureSteady(rig, options, found)
}

async function measureSteady(rig: Rig, options: BenchOptions, found: Found): Promise<void> {
  if (options.only.includes('idle')) {
    for (const mode of ['vip', 'sentinel'] as const) {
      await attempt(rig, found, `idle cost (mode: ${mode})`, async () => {
        found.idle.push(await measureIdle(rig, mode, options.keepLogs))
      })
    }
  }
  if (options.only.includes('throughput')) {
    await attempt(rig, found, 'throughput', async () => {
      found.throughput = await measureThroughput(rig, options.keepLogs)
    })
  }
  if (options.only.includes('backup')) {
    await attempt(rig, found, `backup and restore${options.full ? ', 5 GB' : ''}`, async () => {
      found.backup = await measureBackup(options.full, rig.say, rig.signal)
    })
  }
  if (options.only.includes('archive')) {
    await attempt(rig, found, 'the stream archive', async () => {
      found.archive = await measureArchive(rig.say, rig.signal)
    })
  }
  if (options.only.includes('verify')) {
    await attempt(rig, found, 'two redises compared', async () => {
      found.verify = await measureVerify(rig.say, rig.signal)
    })
  }
  if (options.only.includes('cutover')) {
    await attempt(rig, found, 'a redis is moved to a group, and back', async () => {
      found.cutOver = await measureCutOver(rig, roundsOf(options, 'holdfast', 'cutover'))
    })
  }
  if (options.only.includes('sync')) {
    await attempt(rig, found, 'the first sync of a move', async () => {
      found.sync = await measureSync(rig, options.rounds)
    })
  }
  if (options.only.includes('false-alarms')) {
    await attempt(rig, found, `false alarms (${options.minutes} min)`, async () => {
      const { alarms, logs } = await measureAlarms(rig, options.minutes, options.keepLogs)
      found.alarms = alarms
      if (logs !== null) found.outliers.push(`false alarms: the logs are kept in ${logs}`)
    })
  }
}

/** One thing that cannot be measured does not keep the others from being measured. */
async function attempt(rig: Rig, found: Found, what: string, work: () => Promise<void>): Promise<void> {
  if (rig.signal.aborted) return
  rig.say(what)
  try {
    await work()
  } catch (error) {
    if (rig.signal.aborted) return
    found.notMeasured.push(`${what}: ${(error as Error).message}`)
    rig.say(`  NOT measured: ${(error as Error).message}`)
  }
}

process.exitCode = await main(process.argv.slice(2))
