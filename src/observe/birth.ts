/**
 * A redis that somebody else starts: will it be born as a replica of nobody when it is restarted? Read from the file that it was
 * started from, once per process. A file that cannot be read is unknown. Reads only.
 */
import { readFile } from 'node:fs/promises'
import { isBornFenced } from '../config/restart.ts'
import type { Fact, RedisFacts } from '../model/view.ts'

export interface Birth {
  readonly saw: (facts: RedisFacts) => void
  readonly fenced: () => Fact
}

export function observeBirth(): Birth {
  let runId = ''
  let fenced: Fact = 'unknown'
  const read = async (file: string, of: string): Promise<void> => {
    const found = await readFile(file, 'utf8').then(isBornFenced, () => 'unknown' as const)
    if (of === runId) fenced = found
  }
  return {
    saw: (facts) => {
      if (facts.runId === runId) return
      runId = facts.runId
      // Started without a file: nothing makes it a replica.
      fenced = facts.configFile === '' ? false : 'unknown'
      if (facts.configFile !== '') void read(facts.configFile, facts.runId)
    },
    fenced: () => fenced,
  }
}
