/** One agent per state directory: two would write one state file and fight over one redis. Held by a live process, not by a file alone. */
import { linkSync, readFileSync, rmSync, unlinkSync, writeFileSync } from 'node:fs'
import { OperatorError } from '../model/error.ts'
import { agentLockFile } from '../model/paths.ts'
import type { Config } from '../model/config.ts'
import { isSameProcess, readProcess, type ProcessId } from '../observe/process.ts'

export interface AgentLock {
  readonly release: () => void
}

export function takeLock(paths: Config['paths'], host: string): AgentLock {
  const file = agentLockFile(paths)
  const self = readProcess(process.pid)
  const text = JSON.stringify({ ...self, host })
  const mine = `${file}.${process.pid}`
  try {
    writeFileSync(mine, text, { mode: 0o640 })
  } catch (error) {
    throw new OperatorError('HF205', `cannot write ${file}: ${(error as Error).message}`, 'check the rights and the space of paths.state')
  }
  try {
    for (let attempt = 0; attempt < 3; attempt += 1) {
      try {
        // link() fails if the name exists: of two agents that start at once, one wins.
        linkSync(mine, file)
        return { release: () => releaseLock(file, text) }
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
      }
      const owner = readOwner(file)
      if (owner !== null && isSameProcess(owner)) {
        throw new OperatorError(
          'HF203',
          `another agent (pid ${owner.pid}) already runs with ${paths.state}`,
          'stop it first, or give this one its own paths.state and paths.run',
        )
      }
      rmSync(file, { force: true }) // left by an agent that was killed
    }
  } finally {
    unlinkSync(mine)
  }
  throw new OperatorError('HF203', `${file} cannot be taken`, 'another agent seems to be starting at this moment; try again')
}

function releaseLock(file: string, text: string): void {
  try {
    if (readFileSync(file, 'utf8') === text) rmSync(file, { force: true })
  } catch {
    return // gone already
  }
}

function readOwner(file: string): ProcessId | null {
  try {
    const owner = JSON.parse(readFileSync(file, 'utf8')) as ProcessId
    return Number.isInteger(owner.pid) ? owner : null
  } catch {
    return null
  }
}
