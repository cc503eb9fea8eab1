/**
 * Where a dataset stands in the group's history: pure arithmetic on replication ids and offsets.
 * An offset alone says nothing; only with the id it belongs to can two datasets be compared (design: INV-1, INV-4).
 */
import type { Fork } from '../model/action.ts'
import type { RedisFacts } from '../model/view.ts'
import type { Lineage, LineageEntry } from '../model/state.ts'

export type Position =
  | { readonly kind: 'empty' }
  /** Not of this group's history, or its id was lost (an AOF restart forgets it). */
  | { readonly kind: 'foreign' }
  /** `divergedBytes` > 0: it holds writes that the history after `epoch` does not have. */
  | { readonly kind: 'known'; readonly epoch: number; readonly offset: number; readonly divergedBytes: number }

export function positionOf(facts: RedisFacts, lineage: Lineage): Position {
  const own = lineage.findLast((e) => e.replid !== '' && e.replid === facts.replid)
  if (own !== undefined) return known(reached(own, facts.offset, lineage), facts.offset, lineage)
  const before = lineage.findLast((e) => e.replid !== '' && e.replid === facts.replid2)
  // A redis that was promoted outside our sight: what it shares with us ends where its own id begins.
  if (before !== undefined) return known(before, Math.max(facts.offset, facts.secondOffset - 1), lineage, facts.secondOffset - 1)
  return facts.keys === 0 ? { kind: 'empty' } : { kind: 'foreign' }
}

/**
 * A replica takes the id of a new epoch when its link is up, and the bytes come after: before it has those of the epoch before,
 * it has less than one that stands at the end of that epoch (INV-4).
 */
function reached(entry: LineageEntry, offset: number, lineage: Lineage): LineageEntry {
  if (offset >= entry.startOffset - 1) return entry
  return lineage.findLast((e) => e.epoch < entry.epoch && offset >= e.startOffset - 1) ?? lineage[0] ?? entry
}

/** `sharedUntil`: beyond that its bytes are its own. They are the history's as long as no later epoch began without them. */
function known(entry: LineageEntry, offset: number, lineage: Lineage, sharedUntil = Number.MAX_SAFE_INTEGER): Position {
  const later = lineage.filter((e) => e.epoch > entry.epoch)
  // Of ALL later epochs: one that restarted from an older dataset has dropped what the epochs before it still had.
  const endOffset = later.length === 0 ? Number.MAX_SAFE_INTEGER : Math.min(sharedUntil, ...later.map((e) => leavesAt(e, entry) - 1))
  return { kind: 'known', epoch: entry.epoch, offset, divergedBytes: Math.max(0, offset - endOffset) }
}

/** First byte of `entry`'s history that the later epoch does not have. */
function leavesAt(later: LineageEntry, entry: LineageEntry): number {
  return later.after !== undefined && later.after < entry.epoch ? Math.min(later.startOffset, entry.startOffset) : later.startOffset
}

/** Where a dataset leaves the history that goes on after its epoch. */
export function forkOf(facts: RedisFacts, lineage: Lineage, position: Position): Fork {
  if (position.kind !== 'known') return { epoch: 0, replid: null, fromOffset: null, forkedAtWallMs: null }
  const own = lineage.find((e) => e.epoch === position.epoch)
  const next = lineage.find((e) => e.epoch > position.epoch)
  // The first that ANY later epoch began without: one that restarted from older data has dropped more than the one before it.
  const later = own === undefined ? [] : lineage.filter((e) => e.epoch > own.epoch).map((e) => leavesAt(e, own))
  const fromOffset = later.length === 0 ? (next?.startOffset ?? null) : Math.min(...later)
  const replid = own?.replid === facts.replid || own?.replid === facts.replid2 ? own.replid : null
  return { epoch: position.epoch, replid, fromOffset, forkedAtWallMs: next?.atWallMs ?? null }
}

/** Negative: `a` has less. A known position is above an unknown one; unknown ones are not told apart. */
export function comparePositions(a: Position, b: Position): number {
  if (a.kind === 'known' && b.kind === 'known') return a.epoch - b.epoch || a.offset - b.offset
  return rank(a) - rank(b)
}

function rank(position: Position): number {
  return position.kind === 'known' ? 2 : position.kind === 'foreign' ? 1 : 0
}

export function describePosition(position: Position): string {
  if (position.kind === 'empty') return 'empty'
  if (position.kind === 'foreign') return 'of unknown history'
  return `epoch ${position.epoch}, offset ${position.offset}${position.divergedBytes > 0 ? `, ${position.divergedBytes} bytes diverged` : ''}`
}

/**
 * The entries of both, by epoch. Of one holder's own epoch its own word counts (its redis may have taken a new id);
 * where two members claimed one epoch, the one that was promoted with more data, then the lower host name.
 */
export function mergeLineage(known: Lineage, told: Lineage, toldBy: string, limit: number): Lineage {
  if (known.length <= limit && told.every((entry) => known.some((k) => k === entry))) return known
  const byEpoch = new Map(known.map((entry) => [entry.epoch, entry]))
  for (const entry of told) {
    const rival = byEpoch.get(entry.epoch)
    if (rival === undefined || betterEntry(entry, rival, toldBy)) byEpoch.set(entry.epoch, entry)
  }
  return [...byEpoch.values()].sort((x, y) => x.epoch - y.epoch).slice(-limit)
}

function betterEntry(entry: LineageEntry, rival: LineageEntry, toldBy: string): boolean {
  if (entry.holder === rival.holder) return entry.holder === toldBy
  if (entry.startOffset !== rival.startOffset) return entry.startOffset > rival.startOffset
  return entry.holder < rival.holder
}
