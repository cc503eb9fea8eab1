/** What an agent says of the configuration that it runs with, and what it answers to one that it is offered. Plain JSON, across the wire. */

import type { ErrorCode } from './error.ts'

export interface RunningConfig {
  /** By meaning (config/identity.ts): equal on all hosts of an installation. */
  readonly hash: string
  readonly groups: Readonly<Record<string, string>>
  readonly file: string
  readonly text: string
  /** Why it runs with this one although it was given another; null: nothing went wrong. */
  readonly problem: string | null
}

export interface ConfigOffer {
  readonly text: string
  /** The hash of what the agent was seen to run with: of two operators at once, one is refused. */
  readonly from: string
  /** Check only. */
  readonly dryRun: boolean
}

export interface OfferAnswer {
  readonly ok: boolean
  readonly why: string
  /** Of what was refused for what stands in the file; absent: it was refused for another reason, or by an agent of an earlier version. */
  readonly code?: ErrorCode
  readonly warnings: readonly string[]
}
