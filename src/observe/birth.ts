/**
 * A redis that somebody else starts: will it be born as a replica of nobody when it is restarted? Read from the file that it was
 * started from, once per process; and where one that is has its files. A file that cannot be read is unknown. Reads only.
 */
import { readFile } from 'node:fs/promises'
import { isBornFenced } from '../config/restart.ts'
import type { Fact, RedisFacts } from '../model/view.ts'
import type { RedisLink } from '../redis/link.ts'
import { askFiles, type RedisFiles } from './redis-files.ts'

export interface Birth {
  /** Resolves when this process is known; at once from the second time on. */
  readonly saw: (facts: RedisFacts, link: RedisLink) => Promise<void>
  readonly fenced: () => Fact
  /**
   * null: not known, or it was not born fenced. Of such a one the files tell nothing: whoever found it before its agent did may have
   * written to it, and its AOF has grown by that as well.
   */
  readonly files: () => RedisFiles | null
}

export function observeBirth(): Birth {
  let runId = ''
  let fenced: Fact = 'unknown'
  let files: RedisFiles | null = null
  const read = async (file: string, of: string, link: RedisLink): Promise<void> => {
    const found = await readFile(file, 'utf8').then(isBornFenced, () => 'unknown' as const)
    if (of !== runId) return
    fenced = found
    const told = found === true ? await askFiles(link) : null
    if (of === runId) files = told
  }
  return {
    saw: (facts, link) => {
      if (facts.runId === runId) return Promise.resolve()
      runId = facts.runId
      files = null
      // Started without a file: nothing makes it a replica.
      fenced = facts.configFile === '' ? false : 'unknown'
      return facts.configFile === '' ? Promise.resolve() : read(facts.configFile, facts.runId, link)
    },
    fenced: () => fenced,
    files: () => files,
  }
}
