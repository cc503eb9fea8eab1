/**
 * What an archiver decides: which way through the histories leads to the redis that it reads, where on it to go on, and what of it is to be
 * put now. PURE. An offset means nothing without the history that it belongs to: nothing is continued on the strength of a number alone.
 */
import type { LineageEntry } from '../model/state.ts'
import { isOnPath, type Base, type Leg } from './chain.ts'
import type { StoredSegment } from './stream.ts'

/** What a redis says of its own stream (INFO). */
export interface StreamFacts {
  readonly replid: string
  /** Of the last byte that it has. */
  readonly offset: number
  /** '': none. */
  readonly replid2: string
  /** Of the first byte that is not of `replid2` any more, as far as this redis knows. */
  readonly secondOffset: number
  /** Of the oldest byte that it can still send; -1: it keeps none. */
  readonly backlogFrom: number
}

type Fork = Pick<LineageEntry, 'epoch' | 'replid' | 'startOffset' | 'from' | 'continues'>

/**
 * From the oldest history that is known to be its own on. What it says itself comes first; behind that, what the group has written down. A replica that lagged
 * at a promotion puts the end of the old history too early, at its own last byte: what it took then is common to both, and right on either.
 */
export function historyOf({ replid, replid2, secondOffset }: StreamFacts, lineage: readonly Fork[]): readonly Leg[] {
  const legs: Leg[] = []
  const seen = new Set<string>()
  let at: { readonly replid: string; readonly to: number } | null = { replid, to: Number.POSITIVE_INFINITY }
  while (at !== null && !seen.has(at.replid)) {
    seen.add(at.replid)
    const own: { readonly parent: string; readonly from: number } | null =
      at.replid === replid && replid2 !== '' && secondOffset > 0 ? { parent: replid2, from: secondOffset } : forkOf(at.replid, lineage)
    // What began behind its own end is no way to it.
    if (own !== null && own.from > at.to + 1) break
    legs.unshift({ replid: at.replid, from: own?.from ?? 0, to: at.to })
    at = own === null ? null : { replid: own.parent, to: own.from - 1 }
  }
  // One that was promoted away before it wrote has no byte: no paper of it is ever put, and the way must not lead through what is not there.
  return legs.filter(({ from, to }) => from <= to)
}

/** null: the first one, or offsets began anew with it. */
function forkOf(replid: string, lineage: readonly Fork[]): { readonly parent: string; readonly from: number } | null {
  const index = lineage.findLastIndex((entry) => entry.replid === replid)
  const entry = lineage[index]
  const before = entry?.from === undefined ? lineage[index - 1]?.replid : entry.from
  if (entry === undefined || before === undefined || entry.continues !== undefined || entry.startOffset < 1) return null
  const known = lineage.some((one) => one.replid === before && one.startOffset <= entry.startOffset)
  return known ? { parent: before, from: entry.startOffset } : null
}

export function legAt(history: readonly Leg[], offset: number): Leg | null {
  return history.find(({ from, to }) => offset >= from && offset <= to) ?? null
}

export type Continued =
  | { readonly kind: 'go'; readonly from: number }
  /** Later it may be right: this redis has less than the archive, or nothing to give yet. */
  | { readonly kind: 'wait'; readonly why: string }
  /** What comes next is not to be had from it. `had`: something of its history, or of another, is archived. */
  | { readonly kind: 'lost'; readonly had: boolean; readonly why: string }

/** Behind the last archived byte of its history. `ends`: of each history, the last byte that is archived, or the one before what was to come first. */
export function continueAt(history: readonly Leg[], ends: ReadonlyMap<string, number>, facts: StreamFacts): Continued {
  const last = history
    .toReversed()
    .flatMap(({ replid, from, to }) => {
      const end = ends.get(replid)
      return end === undefined || end < from - 1 ? [] : [{ end: Math.min(end, to) }]
    })
    .at(0)
  const offset = last?.end ?? facts.offset
  if (offset > facts.offset) return { kind: 'wait', why: `it is at offset ${facts.offset}, and the archive at ${offset} already` }
  if (facts.backlogFrom < 0) return { kind: 'wait', why: 'it keeps nothing that it has sent (no backlog): no redis has followed it yet' }
  if (last === undefined) {
    const why = ends.size === 0 ? 'nothing is archived yet' : `nothing of its history (${facts.replid.slice(0, 8)}) is archived`
    return { kind: 'lost', had: ends.size > 0, why }
  }
  if (facts.backlogFrom > offset + 1) {
    const why = `what came behind offset ${offset} is not in its backlog any more, which begins at ${facts.backlogFrom}`
    return { kind: 'lost', had: true, why }
  }
  return { kind: 'go', from: offset + 1 }
}

/**
 * Behind the youngest backup that it has the stream of, else where it is now. Of a backup that is the very end of a history the last byte is archived once more:
 * without a byte of that history, nobody could tell that the way leads through it.
 */
export function beginAnew(history: readonly Leg[], facts: StreamFacts, bases: readonly Base[]): { readonly from: number; readonly base: Base | null } {
  const youngest = [...bases].sort((a, b) => b.atWallMs - a.atWallMs)
  for (const base of youngest) {
    if (base.state === 'bad' || !isOnPath(history, base)) continue
    const from = Math.min(base.offset + 1, history.find(({ replid }) => replid === base.replid)?.to ?? 0, facts.offset + 1)
    if (from >= facts.backlogFrom) return { from, base }
  }
  return { from: facts.offset + 1, base: null }
}

/** What has come and is not whole yet: a part of it may lie in the store, in small segments. */
export interface OpenFacts {
  readonly heldBytes: number
  /** That lie in no store yet. */
  readonly restBytes: number
  /** redis has nothing to tell but that it is there. */
  readonly restIsPings: boolean
  /** Since the first of them came. */
  readonly restAgeMs: number
  readonly ageMs: number
  readonly smalls: number
  /** Nothing more comes to it: its history ends there, or another redis is read from. */
  readonly ended: boolean
}

export interface ArchiveLimits {
  readonly flushMs: number
  readonly pingsMs: number
  readonly wholeMs: number
  readonly wholeBytes: number
}

/** `rest`: as a small segment. `whole`: all of it, as one, and then the small ones go. `leave`: nothing more is to be done for it. */
export type ToPut = 'nothing' | 'rest' | 'whole' | 'leave'

export function whatToPut(open: OpenFacts, limits: ArchiveLimits): ToPut {
  const { heldBytes, restBytes, smalls } = open
  if (open.ended || heldBytes >= limits.wholeBytes || (heldBytes > 0 && open.ageMs >= limits.wholeMs)) {
    if (restBytes === 0) return smalls > 1 ? 'whole' : 'leave'
    // What is new is not to wait until all of the old has been put once more.
    return smalls > 0 && restBytes < heldBytes / 2 ? 'rest' : 'whole'
  }
  if (restBytes === 0) return 'nothing'
  return open.restAgeMs >= (open.restIsPings ? limits.pingsMs : limits.flushMs) ? 'rest' : 'nothing'
}

/** From redis 7.0 on in small letters. */
const ping = '*1\r\n$4\r\nping\r\n'
/** Above, somebody writes. */
const maxPingBytes = 4096

/** Wherever it begins and ends: redis hangs up, and is read again, in the middle of a command as well. */
export function isPings(bytes: Uint8Array): boolean {
  if (bytes.length > maxPingBytes) return false
  for (let shift = 0; shift < ping.length; shift += 1) {
    let same = 0
    while (same < bytes.length && smallLetter(bytes[same] ?? 0) === ping.charCodeAt((shift + same) % ping.length)) same += 1
    if (same === bytes.length) return true
  }
  return false
}

function smallLetter(byte: number): number {
  return byte >= 0x41 && byte <= 0x5a ? byte + 0x20 : byte
}

/** The small ones at the end of a history, that whoever goes on there makes one of: without a gap, and together neither too many nor too old. Oldest first. */
export function toTakeUp(segments: readonly StoredSegment[], { wholeMs, wholeBytes }: ArchiveLimits): readonly StoredSegment[] {
  const byEnd = new Map<number, StoredSegment>()
  let last: StoredSegment | undefined
  for (const one of segments) {
    // Of those that end at the same byte the largest: what is covered is not needed.
    if (one.from < (byEnd.get(one.to)?.from ?? Number.POSITIVE_INFINITY)) byEnd.set(one.to, one)
    if (one.to > (last?.to ?? -1)) last = one
  }
  const taken: StoredSegment[] = []
  for (let at = last === undefined ? undefined : byEnd.get(last.to); at !== undefined && last !== undefined; ) {
    const before = byEnd.get(at.from - 1)
    // Its first byte came about when the one before ended.
    const tooOld = before !== undefined && last.lastWallMs - before.lastWallMs >= wholeMs
    if (tooOld || last.to - at.from + 1 >= wholeBytes) break
    taken.unshift(at)
    at = before
  }
  return taken
}
