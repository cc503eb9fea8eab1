/** How a failure is shown: what is wrong, its code, what to do about it. Returns the exit code of the contract (1 or 2). */
import { CommanderError } from '@commander-js/extra-typings'
import pc from 'picocolors'
import { OperatorError } from '../model/error.ts'

export function reportError(error: unknown): number {
  if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2
  if (error instanceof OperatorError) {
    process.stderr.write(`${pc.red(error.code)} ${error.message}\n`)
    if (error.hint !== '') process.stderr.write(`${pc.dim('→')} ${error.hint}\n`)
    return error.exitCode
  }
  process.stderr.write(`${pc.red('holdfast failed in a way it should not')}: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`)
  return 1
}
