/** argv → command. The only file that may exit the process. */
import { buildProgram } from './cli/program.ts'
import { reportError } from './cli/errors.ts'

// A reader that has seen enough (`| head`) is no failure: what was begun is finished, unheard.
for (const stream of [process.stdout, process.stderr]) {
  stream.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE') throw error
  })
}

try {
  await (await buildProgram(process.argv.slice(2))).parseAsync(process.argv)
} catch (error) {
  process.exitCode = reportError(error)
}
if (process.exitCode !== undefined && process.exitCode !== 0) process.exit(process.exitCode)
