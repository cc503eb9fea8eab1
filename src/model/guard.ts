/** What the guard needs to know of the groups of its host: written by the agent, read when the agent is not there. Plain JSON. */
import type { Config } from './config.ts'

export interface GuardedGroup {
  readonly name: string
  /** Of the redis on this host. */
  readonly port: number
  readonly passwordFile: string | null
  /** The other voters, each with the ports at which its host answers or refuses. */
  readonly voters: readonly { readonly ip: string; readonly ports: readonly number[] }[]
  /** The redis of each other member. */
  readonly members: readonly { readonly ip: string; readonly port: number }[]
  /** How many of the voters must be reached. */
  readonly needed: number
  /** Asked where no voter is reached. */
  readonly checkIps: readonly string[]
  /** The Sentinels, where they are the voters; null: they are not. */
  readonly sentinels: { readonly port: number; readonly ips: readonly string[]; readonly passwordFile: string | null; readonly self: string } | null
}

export interface GuardPlan {
  readonly paths: Config['paths']
  readonly groups: readonly GuardedGroup[]
}

/** The agent beats twice a second. Less than one missed beat is a busy machine. */
export const staleAfterS = 1
