/**
 * Does a snapshot hold as many keys as its source had? PURE. The source is written to meanwhile, so what may be concluded is limited by
 * what it could have done between the snapshot and the moment at which it was asked:
 *
 * - Every change is in the stream, and so moves the offset, once there is a backlog (`counting`). Where the offset is that of the snapshot,
 *   nothing was changed, and the counts are equal or something is wrong.
 * - A key that appears or goes takes at least 7 bytes of the stream: as one more argument of a DEL (`$1\r\nk\r\n`). The one whose name is
 *   empty takes 6: it counts once, for all. So N bytes change N / 7 keys at the most, PINGs between them included.
 * - That does not hold of commands that sweep (FLUSHALL): where one of those was called meanwhile, nothing is concluded.
 * - What redis drops by itself is told by its own counters, and added to the bound, whether it went through the stream or not.
 * - A redis that was started anew meanwhile, or is in another history, is another one: nothing is concluded.
 *
 * "Cannot be said" is never "wrong": a false alarm would condemn a good backup.
 */
import type { DatabaseCount, Manifest, Seen } from './manifest.ts'

const leastBytesPerKey = 7

export interface CountVerdict {
  /** `equal`: exactly as many. `within`: as far apart as the writes in between allow. `open`: it cannot be said. */
  readonly found: 'equal' | 'within' | 'open' | 'wrong'
  readonly words: string
}

/** How many keys the source may have changed since it stood at `position`, at the most; null: it cannot be said. */
export function mayHaveChanged(position: Manifest['position'], first: Seen | null, seen: Seen | null, last: Seen | null): number | null {
  if (first === null || seen === null || last === null) return null
  if (first.runId === '' || first.runId !== last.runId || first.sweeps !== last.sweeps || last.dropped < first.dropped) return null
  if (!seen.counting || seen.replid !== position.replid) return null
  const bytes = Math.abs(seen.offset - position.offset)
  return (bytes === 0 ? 0 : Math.floor((bytes + 1) / leastBytesPerKey)) + last.dropped - first.dropped
}

export function judgeCounts({ position, seen, source }: Pick<Manifest, 'position' | 'seen' | 'source'>, loaded: readonly DatabaseCount[]): CountVerdict {
  const { before, after } = seen
  const sides = [before, after].flatMap((side) => {
    const bound = mayHaveChanged(position, before, side, after)
    return side === null || bound === null ? [] : [{ side, bound, apart: apart(side.databases, loaded) }]
  })
  const keys = total(loaded)
  const wrong = sides.find(({ bound, apart }) => apart > bound)
  if (wrong !== undefined)
    return {
      found: 'wrong',
      words: `it has ${countWords(loaded)}; ${source.host} had ${countWords(wrong.side.databases)}, and what was written in between could have changed ${wrong.bound} keys at the most`,
    }
  const [closest] = sides.toSorted((a, b) => a.bound - b.bound)
  if (closest === undefined) return { found: 'open', words: `${keys} keys; how many ${source.host} had at that moment cannot be said` }
  if (closest.apart === 0) return { found: 'equal', words: `${keys} keys, as many as ${source.host} had` }
  return { found: 'within', words: `${keys} keys; ${source.host} had ${total(closest.side.databases)} at about that moment, and was written to` }
}

/** By database: one that lost as many as another one gained is no match. */
function apart(a: readonly DatabaseCount[], b: readonly DatabaseCount[]): number {
  const keysOf = (list: readonly DatabaseCount[], database: number): number => list.find((one) => one.database === database)?.keys ?? 0
  const databases = new Set([...a, ...b].map(({ database }) => database))
  return [...databases].reduce((sum, database) => sum + Math.abs(keysOf(a, database) - keysOf(b, database)), 0)
}

export function total(counts: readonly DatabaseCount[]): number {
  return counts.reduce((sum, { keys }) => sum + keys, 0)
}

function countWords(counts: readonly DatabaseCount[]): string {
  return counts.length === 0 ? 'no keys' : counts.map(({ database, keys }) => `${keys} keys in database ${database}`).join(', ')
}
