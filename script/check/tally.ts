/**
 * Adds up what the checks and suites found. Its one duty is to be truthful: a suite that could not run, ran nothing, or ended
 * badly for a reason outside its tests is a failure, whatever its report says.
 */
export interface Count {
  readonly passed: number
  readonly failed: number
  readonly skipped: number
}

export interface StepResult {
  readonly name: string
  readonly count: Count
  /** In plain words, what failed. */
  readonly failures: readonly string[]
  /** "NAME: WHY" for each skipped test. */
  readonly skips: readonly string[]
}

/** As vitest's JSON reporter writes it; what is needed of it. */
export interface VitestReport {
  readonly testResults: readonly {
    readonly name: string
    readonly status: string
    readonly message: string
    readonly assertionResults: readonly { readonly fullName: string; readonly status: string; readonly failureMessages: readonly string[] }[]
  }[]
}

/** As skip-reasons.ts writes it. */
export interface SkipReason {
  readonly file: string
  readonly test: string
  readonly reason: string
}

export function checkResult(name: string, failures: readonly string[]): StepResult {
  const failed = failures.length > 0
  return { name, count: { passed: failed ? 0 : 1, failed: failed ? 1 : 0, skipped: 0 }, failures, skips: [] }
}

export function skippedCheck(name: string, why: string): StepResult {
  return { name, count: { passed: 0, failed: 0, skipped: 1 }, failures: [], skips: [`${name}: ${why}`] }
}

/** `report` null: there is none, or it cannot be read. */
export function suiteResult(name: string, report: VitestReport | null, exitCode: number, reasons: readonly SkipReason[] = []): StepResult {
  if (report === null)
    return { name, count: { passed: 0, failed: 1, skipped: 0 }, failures: [`${name}: vitest ended with code ${exitCode} and left no report`], skips: [] }
  const failures: string[] = []
  const skips: string[] = []
  let passed = 0
  for (const file of report.testResults) {
    for (const test of file.assertionResults) {
      if (test.status === 'passed') passed += 1
      else if (test.status === 'failed') failures.push(`${test.fullName.trim()}: ${firstLine(test.failureMessages[0])}`)
      else skips.push(`${test.fullName.trim()}: ${reasonFor(reasons, file.name, test.fullName)}`)
    }
    const toldAlready = file.assertionResults.some((test) => test.status === 'failed')
    if (file.status === 'failed' && !toldAlready) failures.push(`${file.name} could not be run: ${firstLine(file.message)}`)
  }
  if (failures.length === 0 && exitCode !== 0) failures.push(`${name}: every test passed, but vitest ended with code ${exitCode}: an error outside the tests`)
  if (failures.length === 0 && passed + skips.length === 0) failures.push(`${name}: there was no test to run`)
  return { name, count: { passed, failed: failures.length, skipped: skips.length }, failures, skips }
}

export function total(results: readonly StepResult[]): Count {
  const sum = (key: keyof Count): number => results.reduce((all, { count }) => all + count[key], 0)
  return { passed: sum('passed'), failed: sum('failed'), skipped: sum('skipped') }
}

/** The last line of script/test; other programs read it. */
export function finalLine(count: Count): string {
  return `${count.passed} passed, ${count.failed} failed, ${count.skipped} skipped`
}

/** Nothing that passed is no success either: then nothing was checked. */
export function exitCodeOf(count: Count): number {
  return count.failed > 0 || count.passed === 0 ? 1 : 0
}

function firstLine(text: string | undefined): string {
  return text?.trim().split('\n')[0] || 'no message'
}

/** The test's own word, then what its name says, then what its file says. */
function reasonFor(reasons: readonly SkipReason[], file: string, test: string): string {
  const own = reasons.find((found) => found.file === file && found.test !== '' && test.trim().endsWith(found.test))
  const inName = /\(skipped: (.+?)\)/.exec(test)?.[1]
  return own?.reason ?? inName ?? reasons.find((found) => found.file === file && found.test === '')?.reason ?? 'no reason given'
}
