/** When a copy is as near to its source as it becomes while that is written to, and how the last comparison is made. PURE. */

export interface RoundFound {
  /** Keys that were compared. */
  readonly keys: number
  /** That differed, and were copied again or removed. */
  readonly differ: number
  readonly tookMs: number
}

const few = 20
const mostRounds = 12

/** Few: what is written while a round goes on differs by the time that it comes to it. */
export function isNear(rounds: readonly RoundFound[]): boolean {
  const [last, before] = [rounds.at(-1), rounds.at(-2)]
  if (last === undefined) return false
  if (last.differ <= Math.max(few, last.keys / 1000)) return true
  // Another one would find as many again: that is what clients write in the time of a round.
  return rounds.length >= mostRounds || (before !== undefined && last.differ > before.differ * 0.8)
}

/** `all`: every key. `touched`: those that were written to since the last round began. */
export type Proof = 'all' | 'touched'

/** Of keys a second, where nobody else asks: a guess until it has been measured. */
const guessedPerS = 40_000

/**
 * Every key wherever it fits into the time for which writers may be held. Else what was touched, if all of it was told: a key that was equal in the last round, and that
 * nobody has touched since, is equal.
 */
export function proofFor(keys: number, perS: number | null, heldMs: number | null, toldAll: boolean): Proof | 'neither' {
  if (heldMs === null) return 'all'
  const neededMs = (keys / (perS ?? guessedPerS)) * 1000
  if (neededMs < heldMs * 0.6) return 'all'
  if (toldAll) return 'touched'
  return neededMs < heldMs ? 'all' : 'neither'
}
