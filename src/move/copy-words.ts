/** What the parts of a copy say to each other. What it is and why it is true: copy.ts. */
import type { RawRedis, RawReply, Word } from '../redis/raw.ts'
import { RawError } from '../redis/raw.ts'
import type { CopyWay } from '../migrate/copy-plan.ts'

/** A source and a target as they are reached now, and until either is lost. What is written and what is compared go by connections of their own: each has chosen a database. */
export interface Ends {
  readonly source: RawRedis
  readonly target: RawRedis
  /** Returns when more may be written. */
  readonly after: (keys: number, bytes: number) => Promise<void>
}

export interface CopyFigures {
  /** Written, some more than once. */
  copied: number
  bytes: number
  /** That only the target had. */
  removed: number
  /** Found different by a round, of what had been copied. */
  repaired: number
  /** By what the source has told of its writes. */
  told: number
  /** Either end was lost, and found again. */
  lost: number
}

/** Keys that cannot be copied, by `DATABASE:KEY`. */
export interface Uncopied {
  readonly database: number
  /** Bytes as latin1. */
  readonly key: string
  readonly why: string
  /** false: it was written to while it was read, and the next round comes to it again. */
  readonly forGood: boolean
}

export interface KeysOptions {
  readonly ends: Ends
  readonly way: CopyWay
  /** The source tells points in time (7.0). */
  readonly absolute: boolean
  readonly hasMemoryUsage: boolean
  readonly figures: CopyFigures
  readonly uncopied: Map<string, Uncopied>
  readonly signal: AbortSignal
}

/** Both ends are asked by pipelines that begin with the database, so none depends on what was asked before. */
export async function inDatabase(redis: RawRedis, database: number, commands: readonly (readonly Word[])[]): Promise<readonly RawReply[]> {
  if (commands.length === 0) return []
  const [selected, ...replies] = await redis.pipeline([['SELECT', String(database)], ...commands])
  if (selected instanceof RawError) throw new Error(`there is no database ${database}: ${selected.text}`)
  return replies
}

/** It takes nothing now, and may again: whoever serves is looked for. */
export const notNow = /^(READONLY|NOREPLICAS|MASTERDOWN|LOADING|MISCONF|CLUSTERDOWN|TRYAGAIN|BUSY)/

export function bytesOf(words: readonly Word[]): number {
  return words.reduce((sum, word) => sum + word.length, 0)
}
