/**
 * Would the next redis start that this agent starts? Asked once it runs, beside everything else, because the redis that it found may have been
 * started with what was configured before. Only says so: nothing is done about it (agent/own-config.ts refuses it beforehand).
 */
import { formatPath } from '../config/problem.ts'
import type { Config } from '../model/config.ts'
import { tryConfig } from '../trial/config.ts'

/** Not at the same time as what brings a host back into service. */
const firstAfterMs = 1000
/** Somebody may install another redis-server. */
const againMs = 60_000

export interface StartTrial {
  /** Why the redis of that group would not start; null: it would, or that is not known. */
  readonly trouble: (group: string) => string | null
  readonly stop: () => void
}

export function tryStarts(config: Config, host: string, tell: (group: string, text: string) => void): StartTrial {
  const troubles = new Map<string, string>()
  let timer = setTimeout(() => void look(), firstAfterMs).unref()
  let isStopped = false

  async function look(): Promise<void> {
    const { problems, untried } = await tryConfig(config, host)
    if (isStopped) return
    if (untried.length === 0) troubles.clear()
    for (const group of new Set(problems.map(({ path }) => String(path[1])))) {
      const own = problems.filter(({ path }) => path[1] === group).map(({ path, message }) => `${formatPath(path)}: ${message}`)
      const text = `HF403 redis does not start with this configuration: ${own.join('; ')}`
      if (troubles.get(group) !== text) tell(group, text)
      troubles.set(group, text)
    }
    if (troubles.size > 0) timer = setTimeout(() => void look(), againMs).unref()
  }

  return {
    trouble: (group) => troubles.get(group) ?? null,
    stop: () => {
      isStopped = true
      clearTimeout(timer)
    },
  }
}
