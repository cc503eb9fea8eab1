/**
 * The second half of script/test: runs the steps, tells what each did and for how long, and adds up. The last line is always
 * `N passed, N failed, N skipped`. What is checked is in steps.ts; how it is counted is in tally.ts.
 */
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { type CommandOptions, runCommand, tailOf } from './command.ts'
import { type Step, steps } from './steps.ts'
import { checkResult, exitCodeOf, finalLine, type SkipReason, type StepResult, skippedCheck, suiteResult, total, type VitestReport } from './tally.ts'

const tailLines = 40
const interrupt = new AbortController()
const say = (line: string): void => console.log(line)

process.on('SIGINT', () => interrupt.abort())
process.on('SIGTERM', () => interrupt.abort())
process.exitCode = await main()

async function main(): Promise<number> {
  const options = readOptions()
  if (typeof options === 'number') return options
  const logs = mkdtempSync(join(tmpdir(), 'holdfast-test-'))
  const results: StepResult[] = []
  for (const step of steps.filter(({ name }) => options.only.length === 0 || options.only.includes(name))) {
    if (interrupt.signal.aborted) break
    results.push(await timed(step, options.quick, logs))
  }
  if (interrupt.signal.aborted) results.push(checkResult('all steps', ['interrupted: the steps after this one were not run']))
  return sumUp(results, logs)
}

function readOptions(): { readonly quick: boolean; readonly only: readonly string[] } | number {
  const names = steps.map(({ name }) => name).join(', ')
  const usage = `script/test [--quick] [--only NAME]… [--no-system]\n  --quick      without the contract and end-to-end tests\n  --only       one of: ${names}\n  --no-system  install no Debian packages`
  try {
    const { values } = parseArgs({ options: { quick: { type: 'boolean' }, only: { type: 'string', multiple: true }, help: { type: 'boolean', short: 'h' } } })
    if (values.help === true) {
      say(usage)
      return 0
    }
    const unknown = (values.only ?? []).find((name) => !steps.some((step) => step.name === name))
    if (unknown === undefined) return { quick: values.quick ?? false, only: values.only ?? [] }
    console.error(`there is no step ${unknown}\n${usage}`)
  } catch (error) {
    console.error(`${(error as Error).message}\n${usage}`)
  }
  return 2
}

async function timed(step: Step, quick: boolean, logs: string): Promise<StepResult> {
  say(`▸ ${step.name} …`)
  const startedMs = performance.now()
  const logFile = join(logs, `${step.name}.log`)
  let result: StepResult
  try {
    result = await runStep(step, quick, logs, logFile)
  } catch (error) {
    result = checkResult(step.name, [`the step itself broke: ${(error as Error).stack ?? String(error)}`])
  }
  const { passed, failed, skipped } = result.count
  const seconds = `${((performance.now() - startedMs) / 1000).toFixed(1)} s`
  const counted = step.kind === 'suite' && passed + failed > 0 ? `  ${finalLine(result.count)}` : ''
  for (const skip of [...new Set(result.skips)]) say(`  skipped: ${skip}`)
  if (failed > 0) {
    say(`  FAILED  ${step.name}  ${seconds}${counted}: ${step.about}`)
    for (const failure of result.failures.slice(0, tailLines)) say(`    ${failure}`)
    if (step.kind === 'suite') for (const line of evidenceIn(logFile)) say(`    ${line}`)
    if (step.kind !== 'look') say(`  the end of its output (all of it: ${logFile}):\n${indent(readTail(logFile))}`)
  } else say(`  ${passed === 0 && skipped > 0 ? 'skipped' : 'ok'}  ${step.name}  ${seconds}${counted}`)
  return result
}

async function runStep(step: Step, quick: boolean, logs: string, logFile: string): Promise<StepResult> {
  if (step.kind === 'look') {
    const { failures, notes } = step.look()
    for (const note of notes) say(`  ${note}`)
    return checkResult(step.name, failures)
  }
  const options = { logFile, deadlineMs: step.deadlineMs, say: (line: string) => say(`  ${line}`), signal: interrupt.signal }
  const why = step.skip?.() ?? null
  if (step.kind === 'command') {
    if (why !== null) return skippedCheck(step.name, why)
    const ended = await runCommand(step.argv, options)
    const failure = ended.timedOut ? `no end within ${step.deadlineMs / 1000} s` : `${step.argv[0]} ended with code ${ended.code}`
    return checkResult(step.name, ended.code === 0 ? [] : [failure])
  }
  return runSuite(step, quick && step.slow ? '--quick leaves it out' : why, logs, options)
}

async function runSuite(step: Extract<Step, { kind: 'suite' }>, leaveOut: string | null, logs: string, options: CommandOptions): Promise<StepResult> {
  const [report, reasons] = [join(logs, `${step.name}.json`), join(logs, `${step.name}.skips.json`)]
  const argv = [
    'node_modules/.bin/vitest',
    'run',
    '--project',
    step.project,
    '--reporter=verbose',
    '--reporter=json',
    '--reporter=./script/check/skip-reasons.ts',
    `--outputFile.json=${report}`,
    ...step.args,
    // A suite that is left out is loaded all the same: its tests are counted, and a file that does not load is still told.
    ...(leaveOut === null ? [] : ['-t', 'a name that no test has']),
  ]
  const ended = await runCommand(argv, { ...options, env: { HOLDFAST_SKIP_REASONS: reasons } })
  const result = suiteResult(step.name, readJson<VitestReport>(report), ended.code, readJson<SkipReason[]>(reasons) ?? [])
  if (ended.timedOut) return { ...result, failures: [`no end within ${step.deadlineMs / 1000} s`, ...result.failures] }
  return leaveOut === null ? result : { ...result, skips: [`all ${result.count.skipped} tests of ${step.name}: ${leaveOut}`] }
}

/** What failed tests told of their incident: an image that is thrown away afterwards keeps no logs. */
function evidenceIn(logFile: string): readonly string[] {
  if (!existsSync(logFile)) return []
  return readFileSync(logFile, 'utf8')
    .split('\n')
    .filter((line) => line.includes('evidence: '))
    .slice(0, 5 * tailLines)
}

function sumUp(results: readonly StepResult[], logs: string): number {
  const count = total(results)
  const failed = results.filter((result) => result.count.failed > 0)
  if (failed.length > 0) say(`\nfailed: ${failed.map(({ name }) => name).join(', ')} (logs: ${logs}; one step alone: script/test --only ${failed[0]?.name})`)
  else rmSync(logs, { recursive: true, force: true })
  say(finalLine(count))
  return interrupt.signal.aborted ? 130 : exitCodeOf(count)
}

function readJson<T>(file: string): T | null {
  try {
    return JSON.parse(readFileSync(file, 'utf8')) as T
  } catch {
    return null // tally.ts counts a report that is missing as a failure
  }
}

function readTail(file: string): string {
  try {
    return tailOf(file, tailLines)
  } catch {
    return '(no output)'
  }
}

function indent(text: string): string {
  return text.replace(/^/gm, '    │ ')
}
