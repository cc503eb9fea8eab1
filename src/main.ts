/** argv → command. The only file that may exit the process. */
import { buildProgram } from './cli/program.ts'
import { reportError } from './cli/errors.ts'

try {
  await (await buildProgram(process.argv.slice(2))).parseAsync(process.argv)
} catch (error) {
  process.exitCode = reportError(error)
}
if (process.exitCode !== undefined && process.exitCode !== 0) process.exit(process.exitCode)
