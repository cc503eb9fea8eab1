/** Do the agents of a group run with the same configuration, and is it the one in the file here? Asks nobody. */
import type { AgentAnswer } from './ask.ts'

export interface ConfigStatus {
  /** By hash of the group's part, hosts that run with it. */
  readonly running: Readonly<Record<string, readonly string[]>>
  /** What is wrong with that; '' for nothing. */
  readonly why: string
  /** The agents agree, and the file that this command was given says something else. */
  readonly unapplied: boolean
}

/** `wanted`: of the file here. Agents of an earlier version say nothing. */
export function configStatus(group: string, answers: readonly AgentAnswer[], wanted: string | undefined): ConfigStatus {
  const running: Record<string, string[]> = {}
  const problems: string[] = []
  for (const { host, config } of answers) {
    const hash = config?.groups[group]
    if (hash === undefined) continue
    running[hash] = [...(running[hash] ?? []), host]
    if (config?.problem != null) problems.push(`${host}: ${config.problem}`)
  }
  const kinds = Object.entries(running)
  const differ = kinds.map(([hash, hosts]) => `${hosts.join(', ')} ${hash}${hash === wanted ? ' (as in the file here)' : ''}`)
  const why = kinds.length > 1 ? [`the agents do not run with the same configuration (${differ.join('; ')}): holdfast apply`, ...problems] : problems
  return { running, why: why.join('; '), unapplied: wanted !== undefined && kinds.length === 1 && kinds[0]?.[0] !== wanted }
}
