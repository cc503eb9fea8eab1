/**
 * A vitest reporter that keeps why tests were skipped, which the JSON report leaves out: the note of `context.skip(note)`, or a
 * line "skipped: WHY" that a test file prints. Writes to the file named in HOLDFAST_SKIP_REASONS, and nothing else.
 */
import { writeFileSync } from 'node:fs'
import type { Reporter, TestCase, Vitest } from 'vitest/node'
import type { SkipReason } from './tally.ts'

export default class SkipReasons implements Reporter {
  readonly #found: SkipReason[] = []
  #vitest: Vitest | undefined

  onInit(vitest: Vitest): void {
    this.#vitest = vitest
  }

  onTestCaseResult(test: TestCase): void {
    const result = test.result()
    if (result.state === 'skipped' && result.note !== undefined) this.#found.push({ file: test.module.moduleId, test: test.name, reason: result.note })
  }

  onUserConsoleLog(log: { readonly content: string; readonly taskId?: string }): void {
    const reason = /^skipped: (.+)$/m.exec(log.content)?.[1]
    const entity = log.taskId === undefined ? undefined : this.#vitest?.state.getReportedEntityById(log.taskId)
    if (reason === undefined || entity === undefined) return
    this.#found.push({ file: entity.type === 'module' ? entity.moduleId : entity.module.moduleId, test: entity.type === 'test' ? entity.name : '', reason })
  }

  onTestRunEnd(): void {
    const file = process.env['HOLDFAST_SKIP_REASONS']
    if (file !== undefined) writeFileSync(file, JSON.stringify(this.#found))
  }
}
