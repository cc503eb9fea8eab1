/** What agents and a relay at the old address of a moved redis tell each other. Plain JSON. */
import type { Move } from './move.ts'

/** What one agent says of its group. */
export interface RelayWord {
  readonly host: string
  readonly epoch: number
  /** It is the primary of that epoch, and its redis answers. */
  readonly serves: boolean
  readonly move: Move | null
  /** Whoever follows the old redis, by its word: replicas of its own, of which a group knows nothing. */
  readonly followers: readonly string[]
  /** Differs when anything of this does: whoever has heard it waits for another. */
  readonly key: string
}

/** A connection as redis lists it. */
export interface ListedClient {
  readonly address: string
  readonly name: string
  readonly command: string
  readonly idleS: number
}
