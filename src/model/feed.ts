/**
 * The feed of an older redis on its way back: what an agent orders of the process that plays a primary to it, what that one tells, and where both histories
 * meet. Plain JSON. A byte of the feed is no byte of the group's stream: only pairs of offsets say what the old redis has.
 */
import type { LineageEntry } from './state.ts'

/** What could not be told to the old redis: it has other data there. */
export interface Untold {
  readonly count: number
  /** The first of them: command, key, why. */
  readonly first: readonly string[]
}

/** Where a feed can be begun anew. Outside of a MULTI. */
export interface FeedPoint {
  /** The history of the group that `offset` is of; of the source's own at the cut-over. */
  readonly replid: string
  /** Of the last byte of the group's stream that was translated. */
  readonly offset: number
  /** Of the last byte that was made of it. */
  readonly fed: number
  readonly database: number | null
  readonly untold: Untold
}

/** As an agent knows it. Each pair of offsets stays true, whatever has become of the process. */
export interface FeedSeen {
  /** null: it does not listen (any more). */
  readonly port: number | null
  readonly point: FeedPoint | null
  /** The newest that the old redis has said to have. */
  readonly anchor: FeedPoint | null
  /** Why the old redis is not fed; null: it is. */
  readonly trouble: string | null
  /** For so long, whatever was said meanwhile; absent: it has only just begun, or is over. */
  readonly troubleMs?: number
}

export interface FeedJob {
  readonly job: 'feed'
  readonly group: string
  /** Whose stream is read. */
  readonly redis: { readonly host: string; readonly port: number; readonly passwordFile: string | null }
  /** Where the old redis finds it. */
  readonly listen: { readonly host: string; readonly port: number }
  /** As INFO tells it. */
  readonly oldVersion: string
  readonly lineage: readonly LineageEntry[]
  /** Oldest first; the first one is the cut-over. */
  readonly anchors: readonly FeedPoint[]
}

export type FeedLine = ({ readonly t: 'feed' } & FeedSeen) | { readonly t: 'failed'; readonly why: string }

export const nothingUntold: Untold = { count: 0, first: [] }
const mostNamed = 5
const mostAnchors = 8

export function withUntold({ count, first }: Untold, what: string): Untold {
  return { count: count + 1, first: first.length < mostNamed ? [...first, what] : first }
}

/**
 * The id under which the old redis knows what was made of one history of the group. Not the group's own: an offset of one means nothing in the other. It is
 * told from it without a table, by whoever sees only the old redis.
 */
export function fedReplid(replid: string): string {
  return [...replid].toReversed().join('')
}

/**
 * The newest ones close together, older ones further apart: an old redis that was started anew asks for what its disk has. The cut-over stays. What lies behind the
 * new one is of a history that was lost in a failover.
 */
export function withAnchor(anchors: readonly FeedPoint[], point: FeedPoint): readonly FeedPoint[] {
  const all = [...anchors.filter(({ offset }, index) => index === 0 || offset < point.offset), point]
  if (all.length <= mostAnchors) return all
  const worth = (index: number): number => {
    const [before, at, behind] = [all[index - 1], all[index], all[index + 1]].map((one) => one?.offset ?? 0)
    return ((behind ?? 0) - (before ?? 0)) / (point.offset - (at ?? 0) + 1)
  }
  const inner = all.map((_, index) => index).slice(1, -1)
  const least = inner.reduce((a, b) => (worth(a) <= worth(b) ? a : b))
  return all.filter((_, index) => index !== least)
}
