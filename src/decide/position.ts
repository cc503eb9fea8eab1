/**
 * Where a dataset stands in the group's history: pure arithmetic on replication ids and offsets.
 * An offset alone says nothing; only with the id it belongs to can two datasets be compared (design: INV-1, INV-4).
 */
import type { Fork } from '../model/action.ts'
import type { Restored } from '../model/disk.ts'
import type { RedisFacts } from '../model/view.ts'
import type { Lineage, LineageEntry } from '../model/state.ts'
import type { Told } from '../model/watch.ts'

export type Position =
  | { readonly kind: 'empty' }
  /** Not of this group's history, or its id was lost (an AOF restart forgets it). */
  | { readonly kind: 'foreign' }
  /** `divergedBytes` > 0: it holds writes that the history after `epoch` does not have. */
  | { readonly kind: 'known'; readonly epoch: number; readonly offset: number; readonly divergedBytes: number }
  /** Read from a disk that names no history, by what was noted before: `offset` is an estimate, `atLeast` is sure. */
  | { readonly kind: 'noted'; readonly epoch: number; readonly offset: number; readonly divergedBytes: number; readonly atLeast: number; readonly cut?: true }

/** By so much an estimate may be wrong: pings, a SELECT or two, between the note and the end. */
export const estimateSlackBytes = 1024

export function positionOf(facts: RedisFacts, lineage: Lineage): Position {
  const own = lineage.findLast((e) => e.replid !== '' && e.replid === facts.replid)
  if (own !== undefined) return known(reached(own, facts.offset, lineage), facts.offset, lineage)
  const before = lineage.findLast((e) => e.replid !== '' && e.replid === facts.replid2)
  // A redis that was promoted outside our sight: what it shares with us ends where its own id begins.
  if (before !== undefined) {
    const sharedUntil = facts.secondOffset - 1
    return known(reached(before, sharedUntil, lineage), Math.max(facts.offset, sharedUntil), lineage, sharedUntil)
  }
  if (facts.keys === 0) return { kind: 'empty' }
  return facts.restored == null ? { kind: 'foreign' } : positionOfRestored(facts.restored, lineage)
}

/** Of one epoch two members may have claimed, only the history of the one that was followed is that epoch's. */
export function positionOfRestored(restored: Restored, lineage: Lineage): Position {
  const entry = lineage.find((e) => e.epoch === restored.epoch && e.holder === restored.holder)
  if (entry === undefined) return { kind: 'foreign' }
  const { about, atLeast, cut } = restored
  const divergedBytes = Math.max(0, about - sharedEnd(entry, lineage))
  return { kind: 'noted', epoch: entry.epoch, offset: about, divergedBytes, atLeast, ...(cut === true ? { cut } : {}) }
}

/** Of an RDB that no redis has read yet. */
export function positionOfRdb(replid: string, offset: number | null, lineage: Lineage): Position {
  const entry = lineage.findLast((e) => e.replid !== '' && e.replid === replid)
  return entry === undefined || offset === null ? { kind: 'foreign' } : known(reached(entry, offset, lineage), offset, lineage)
}

export function isPlaced(position: Position): position is Exclude<Position, { readonly kind: 'empty' | 'foreign' }> {
  return position.kind === 'known' || position.kind === 'noted'
}

/**
 * A replica takes the id of a new epoch when its link is up, and the bytes come after: before it has those of the epoch before,
 * it has less than one that stands at the end of that epoch (INV-4).
 */
function reached(entry: LineageEntry, offset: number, lineage: Lineage): LineageEntry {
  if (offset >= entry.startOffset - 1 || countsAnew(entry)) return entry
  const parent = lineage.findLast((e) => e.epoch <= parentEpoch(entry))
  return parent === undefined ? entry : reached(parent, offset, lineage)
}

function parentEpoch(entry: LineageEntry): number {
  return entry.continues?.epoch ?? entry.epoch - 1
}

/** Its offsets are no continuation of its parent's. */
function countsAnew(entry: LineageEntry): boolean {
  return entry.continues !== undefined && entry.continues.offset !== entry.startOffset - 1
}

/** `sharedUntil`: beyond that its bytes are its own. They are the history's as long as no later epoch began without them. */
function known(entry: LineageEntry, offset: number, lineage: Lineage, sharedUntil = Number.MAX_SAFE_INTEGER): Position {
  const endOffset = lineage.some((e) => e.epoch > entry.epoch) ? Math.min(sharedUntil, sharedEnd(entry, lineage)) : Number.MAX_SAFE_INTEGER
  const divergedBytes = Math.max(0, offset - endOffset)
  return { kind: 'known', epoch: divergedBytes > 0 ? entry.epoch : onNewestLine(entry, lineage).epoch, offset, divergedBytes }
}

/**
 * Of an epoch that an operator has made others leave, without a byte of its own: what is there is of the epoch that both lines went on with, and
 * is no more than what others have of that one.
 */
function onNewestLine(entry: LineageEntry, lineage: Lineage): LineageEntry {
  const newest = lineOf(lineage.at(-1) ?? entry, lineage)
  const mine = lineOf(entry, lineage)
  const common = mine.find((e) => newest.includes(e))
  return common === undefined || mine.slice(0, mine.indexOf(common)).some(countsAnew) ? entry : common
}

/**
 * The last byte of this epoch's numbering that the history kept: back along the newest epoch's line to where this epoch's line leaves
 * it. Of ALL epochs on the way the smallest first byte counts, because one that restarted from an older dataset has dropped what the
 * epochs before it still had. Beyond an epoch that began to count anew, offsets are of another numbering.
 */
function sharedEnd(entry: LineageEntry, lineage: Lineage): number {
  const mine = lineOf(entry, lineage)
  const newest = lineOf(lineage.at(-1) ?? entry, lineage)
  const common = newest.find((e) => mine.includes(e))
  const left = common === undefined ? mine : mine.slice(0, mine.indexOf(common))
  let end = Math.min(Number.MAX_SAFE_INTEGER, ...left.map((e) => e.startOffset - 1))
  for (const later of newest.slice(0, common === undefined ? undefined : newest.indexOf(common)).reverse()) {
    end = Math.min(end, later.continues?.atLeast ?? later.startOffset - 1)
    if (countsAnew(later)) break
  }
  return end
}

/** From an epoch back to the first that is known, each with the one whose data it went on with. */
function lineOf(entry: LineageEntry, lineage: Lineage): readonly LineageEntry[] {
  const line: LineageEntry[] = []
  for (let at: LineageEntry | undefined = entry; at !== undefined; ) {
    line.push(at)
    const before = parentEpoch(at)
    at = lineage.findLast((e) => e.epoch <= before)
  }
  return line
}

/** Where a dataset leaves the history that goes on after its epoch: at the first byte that ANY later epoch began without. */
export function forkOf(facts: RedisFacts, lineage: Lineage, position: Position): Fork {
  if (!isPlaced(position)) return { epoch: 0, replid: null, fromOffset: null, forkedAtWallMs: null }
  const own = lineage.find((e) => e.epoch === position.epoch)
  const later = lineage.filter((e) => e.epoch > position.epoch)
  const replid = own?.replid === facts.replid || own?.replid === facts.replid2 ? own.replid : null
  const exact = position.kind === 'known' && later.length > 0 && !later.some(countsAnew)
  const fromOffset = !exact || own === undefined ? null : Math.min(position.offset + 1, sharedEnd(own, lineage) + 1)
  return { epoch: position.epoch, replid, fromOffset, forkedAtWallMs: later[0]?.atWallMs ?? null }
}

/**
 * Of a redis that was just promoted to `epoch`: does it go on with the data of another epoch than the one before, or with offsets that
 * begin anew? Then the others cannot judge theirs by its first offset. Data of unknown history are said to continue nothing.
 */
export function continuationOf(facts: RedisFacts, epoch: number, lineage: Lineage): NonNullable<LineageEntry['continues']> | undefined {
  const earlier = lineage.filter((e) => e.epoch < epoch)
  const parent = earlier.findLast((e) => e.replid !== '' && (e.replid === facts.replid2 || e.replid === facts.replid))
  if (parent !== undefined) {
    const end = facts.secondOffset > 0 ? facts.secondOffset - 1 : facts.offset
    // By the number: the epoch in between may only have been heard of.
    return parent.epoch < epoch - 1 ? { epoch: parent.epoch, offset: end, atLeast: end } : undefined
  }
  const position = positionOf(facts, earlier)
  if (position.kind === 'noted') return { epoch: position.epoch, offset: position.offset, atLeast: position.atLeast }
  // Its offset would be read as one of the epoch before, and whoever has less in that would give it up without a copy (INV-6).
  return position.kind === 'foreign' && earlier.length > 0 ? { epoch: 0, offset: 0, atLeast: 0 } : undefined
}

/** How many bytes that the primary has told of are not here: Infinity where the two cannot be subtracted. */
export function missingBytes(position: Position, told: Told | null | undefined, lineage: Lineage): number {
  if (told == null) return 0
  const entry = lineage.findLast((e) => e.replid === told.replid)
  if (entry === undefined || !isPlaced(position)) return Number.POSITIVE_INFINITY
  const between = lineage.filter((e) => e.epoch > position.epoch && e.epoch <= entry.epoch)
  return between.some(countsAnew) ? Number.POSITIVE_INFINITY : Math.max(0, told.offset - position.offset)
}

/** Negative: `a` has less. A position in the lineage is above an unknown one; unknown ones are not told apart. */
export function comparePositions(a: Position, b: Position): number {
  if (isPlaced(a) && isPlaced(b)) return a.epoch - b.epoch || a.offset - b.offset || rank(a) - rank(b)
  return rank(a) - rank(b)
}

function rank(position: Position): number {
  return position.kind === 'known' ? 3 : position.kind === 'noted' ? 2 : position.kind === 'foreign' ? 1 : 0
}

/** May `b` have data that `a` has not, although it compares as less? Only where one of them is an estimate, or of unknown history. */
export function mayHaveMore(b: Position, a: Position): boolean {
  if (!isPlaced(a) || !isPlaced(b) || b.epoch !== a.epoch) return false
  if (a.kind === 'noted') return b.kind === 'known' && b.offset > a.atLeast && b.offset > a.offset - estimateSlackBytes
  return b.kind === 'noted' && b.offset + estimateSlackBytes > a.offset
}

export function describePosition(position: Position): string {
  if (position.kind === 'empty') return 'empty'
  if (position.kind === 'foreign') return 'of unknown history'
  const offset =
    position.kind === 'known'
      ? `offset ${position.offset}`
      : position.offset === position.atLeast
        ? `offset at least ${position.atLeast}`
        : `offset about ${position.offset}`
  const cut = position.kind === 'noted' && position.cut === true ? ', its torn end cut off' : ''
  return `epoch ${position.epoch}, ${offset}${cut}${position.divergedBytes > 0 ? `, ${position.divergedBytes} bytes diverged` : ''}`
}

/**
 * The entries of both, by epoch. Of one holder's own epoch its own word counts (its redis may have taken a new id);
 * where two members claimed one epoch, the one that a later epoch went on with (or the other's writes would pass for kept, INV-6), then
 * the one that was promoted with more data, then the lower host name. So the latest are merged first.
 */
export function mergeLineage(known: Lineage, told: Lineage, toldBy: string, limit: number): Lineage {
  if (known.length <= limit && told.every((entry) => known.some((k) => k === entry))) return known
  const byEpoch = new Map(known.map((entry) => [entry.epoch, entry]))
  for (const entry of told.toReversed()) {
    const rival = byEpoch.get(entry.epoch)
    if (rival === undefined || betterEntry(entry, rival, toldBy, [...byEpoch.values()])) byEpoch.set(entry.epoch, entry)
  }
  return [...byEpoch.values()].sort((x, y) => x.epoch - y.epoch).slice(-limit)
}

function betterEntry(entry: LineageEntry, rival: LineageEntry, toldBy: string, merged: Lineage): boolean {
  if (entry.holder === rival.holder) return entry.holder === toldBy
  const wentOn = merged.filter((e) => e.epoch > entry.epoch && (e.from === entry.replid || e.from === rival.replid))
  const last = wentOn.reduce<LineageEntry | null>((latest, e) => (latest === null || e.epoch > latest.epoch ? e : latest), null)
  if (last !== null) return last.from === entry.replid
  const had = (e: LineageEntry): number => e.continues?.offset ?? e.startOffset - 1
  if (had(entry) !== had(rival)) return had(entry) > had(rival)
  return entry.holder < rival.holder
}
