/**
 * From where to where the archived stream of a group reaches without a gap, and what a restore to one position needs: a backup, and the
 * bytes behind it. PURE: from names and papers. Histories fork at a promotion; a path is one way through them, and on it an offset is one byte only.
 */
import type { StoredSegment, Timeline } from './stream.ts'

export type TimelineFact = Pick<Timeline, 'replid' | 'epoch' | 'from' | 'parent' | 'atWallMs'>

/** A backup as far as it is somewhere to begin at. */
export interface Base {
  readonly id: string
  readonly replid: string
  readonly offset: number
  readonly atWallMs: number
  readonly state: 'good' | 'bad' | 'untested'
}

/** A piece of one history on a path. `to`: infinite on the last one; what lies behind it in the same history is of no use here. */
export interface Leg {
  readonly replid: string
  readonly from: number
  readonly to: number
}

/** What of a segment is wanted: a segment may reach beyond a fork, and what it has there is another history's. */
export interface Piece {
  readonly segment: StoredSegment
  readonly from: number
  readonly to: number
}

/** Without a gap. */
export interface Run {
  readonly from: number
  readonly to: number
  readonly firstWallMs: number
  readonly lastWallMs: number
  /** In order, each byte once; where segments cover the same bytes, only as many as are needed. */
  readonly pieces: readonly Piece[]
  /** Of the pieces. */
  readonly segments: readonly StoredSegment[]
}

/**
 * From the oldest on. A timeline without a parent begins one; so does one that has no paper, and where that is named as a parent its bytes still count.
 * Parents that go round in a circle are cut.
 */
export function pathTo(timelines: readonly TimelineFact[], replid: string): readonly Leg[] {
  const known = new Map(timelines.map((timeline) => [timeline.replid, timeline]))
  const legs: Leg[] = []
  const seen = new Set<string>()
  let to = Number.POSITIVE_INFINITY
  for (let at: string | null = replid; at !== null && !seen.has(at); ) {
    seen.add(at)
    const timeline: TimelineFact | undefined = known.get(at)
    // A fork may lie before its own parent began: nothing of that parent is on the path but its end.
    legs.push({ replid: at, from: Math.min(timeline?.from ?? 0, to + 1), to })
    to = Math.min(to, (timeline?.from ?? 0) - 1)
    at = timeline?.parent?.replid ?? null
  }
  return legs.reverse()
}

/** Clocks of hosts differ by less. */
const anewMs = 3_600_000

/**
 * The history that is written now: of the highest epoch, and of those the youngest. A group that was set up anew after a disaster counts its epochs from one again:
 * what has nothing in common with the former histories, or goes on from one of a higher epoch (a restored file that was put in place), and begins long after the
 * last of them, is newer than all of them.
 */
export function newestTimeline(timelines: readonly TimelineFact[]): TimelineFact | null {
  const newest = [...timelines].sort((a, b) => b.epoch - a.epoch || b.atWallMs - a.atWallMs || (a.replid < b.replid ? 1 : -1))[0]
  if (newest === undefined) return null
  const known = new Map(timelines.map((one) => [one.replid, one]))
  const rootOf = ({ replid }: TimelineFact): string => {
    const legs = pathTo(timelines, replid)
    const epochOf = (at: number): number => known.get(legs[at]?.replid ?? '')?.epoch ?? 0
    return legs[legs.findLastIndex((_, at) => epochOf(at) < epochOf(at - 1))]?.replid ?? legs[0]?.replid ?? replid
  }
  const roots = new Map(timelines.map((one) => [one, rootOf(one)]))
  const lastMs = Math.max(...timelines.filter((one) => roots.get(one) === roots.get(newest)).map(({ atWallMs }) => atWallMs))
  const former = new Set(timelines.filter(({ atWallMs }) => atWallMs <= lastMs + anewMs).map((one) => roots.get(one)))
  return newestTimeline(timelines.filter((one) => !former.has(roots.get(one)))) ?? newest
}

/**
 * What of the path is there, as pieces without a gap, in order. Of a history on the path every byte up to the end of its leg counts, also from before its
 * fork: who continues an old history under a new name is given the last bytes of the old one under the new name.
 */
export function runsOn(path: readonly Leg[], segments: readonly StoredSegment[]): readonly Run[] {
  const ends = new Map(path.map(({ replid, to }) => [replid, to]))
  const pieces = segments
    .flatMap((segment): readonly Piece[] => {
      const end = ends.get(segment.replid)
      return end === undefined || segment.from > end ? [] : [{ segment, from: segment.from, to: Math.min(segment.to, end) }]
    })
    .sort((a, b) => a.from - b.from || b.to - a.to)
  const runs: Run[] = []
  let open: Piece[] = []
  let next: Piece | null = null
  const end = (): number => open.at(-1)?.to ?? Number.NEGATIVE_INFINITY
  // Of those that go on where the last one ends, the one that reaches furthest.
  const take = (): void => {
    if (next !== null && next.to > end()) open.push(open.length === 0 ? next : { ...next, from: end() + 1 })
    next = null
  }
  for (const piece of pieces) {
    if (piece.from > end() + 1) take()
    if (piece.from > end() + 1) {
      if (open.length > 0) runs.push(runOf(open))
      open = [piece]
    } else if (next === null || piece.to > next.to) next = piece
  }
  take()
  return open.length === 0 ? runs : [...runs, runOf(open)]
}

function runOf(pieces: readonly Piece[]): Run {
  const [first, last] = [pieces[0], pieces.at(-1)]
  const segments = pieces.map(({ segment }) => segment)
  return {
    from: first?.from ?? 0,
    to: last?.to ?? 0,
    firstWallMs: segments[0]?.lastWallMs ?? 0,
    lastWallMs: segments.at(-1)?.lastWallMs ?? 0,
    pieces,
    segments,
  }
}

/** Does the backup hold a moment of this path? Before the first byte of its own history it does too: what comes before a fork is common to both. */
export function isOnPath(path: readonly Leg[], { replid, offset }: Pick<Base, 'replid' | 'offset'>): boolean {
  const leg = path.find((one) => one.replid === replid)
  return leg !== undefined && offset <= leg.to
}

export interface Chain {
  readonly base: Base
  /** Of the last byte that is wanted. */
  readonly to: number
  /** From the byte behind the base on, each byte once: none where the base is the position itself. */
  readonly pieces: readonly Piece[]
  /** Of the pieces: what has to be read. A segment may have more bytes than are wanted of it, and those may be of another history: replay the pieces. */
  readonly segments: readonly StoredSegment[]
}

/** The one that has the least to replay; never from a backup that is bad, and from an untested one only where no good one leads there. */
export function chainTo(path: readonly Leg[], runs: readonly Run[], bases: readonly Base[], to: number): Chain | { readonly why: string } {
  const before = bases
    .filter((base) => base.state !== 'bad' && base.offset <= to && isOnPath(path, base))
    .sort((a, b) => rank(a) - rank(b) || b.offset - a.offset || b.atWallMs - a.atWallMs)
  for (const base of before) {
    const pieces = piecesFrom(runs, base.offset + 1, to)
    if (pieces !== null) return { base, to, pieces, segments: pieces.map(({ segment }) => segment) }
  }
  return { why: whyNone(runs, before, to) }
}

function rank({ state }: Base): number {
  return state === 'good' ? 0 : 1
}

/** null: a byte is missing. */
function piecesFrom(runs: readonly Run[], from: number, to: number): readonly Piece[] | null {
  if (from > to) return []
  const run = runs.find((one) => one.from <= from && one.to >= to)
  if (run === undefined) return null
  return run.pieces
    .filter((piece) => piece.to >= from && piece.from <= to)
    .map(({ segment, ...piece }) => ({ segment, from: Math.max(piece.from, from), to: Math.min(piece.to, to) }))
}

function whyNone(runs: readonly Run[], before: readonly Base[], to: number): string {
  const nearest = before.toSorted((a, b) => b.offset - a.offset)[0]
  if (nearest === undefined) return `no backup lies before offset ${to} in this history`
  const reached = runs.find((run) => run.from <= nearest.offset + 1 && run.to > nearest.offset)
  const from = (reached?.to ?? nearest.offset) + 1
  const next = runs.find((run) => run.from > from)
  const base = `${nearest.id} (offset ${nearest.offset})`
  if (next === undefined || next.from > to)
    return reached === undefined
      ? `nothing is archived between ${base} and offset ${to}`
      : `the archive ends at offset ${reached.to}${next === undefined ? '' : ', and begins again behind a gap'}`
  return `offsets ${from} to ${next.from - 1} are missing behind ${base}`
}
