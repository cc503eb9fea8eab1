/**
 * How this process was started, so that agents, the writer and the CLI of a lab run the same code: bin/holdfast in
 * production, a loader with a source file in development. Reads process.argv and nothing else.
 */
import { realpathSync } from 'node:fs'

export function ownEntry(): readonly string[] {
  // A debugger's port can be taken once only.
  const nodeOptions = process.execArgv.filter((option) => !option.startsWith('--inspect'))
  const script = process.argv[1]
  return [process.execPath, ...nodeOptions, ...(script === undefined ? [] : [realpathSync(script)])]
}
