/**
 * The archived stream of a group along one way through its histories, byte after byte: each segment proven before one byte of it is handed on.
 * Where two hold the same bytes, one is enough. Segments are put together while this reads: one that is gone is looked for under its new name. Two of them in memory.
 */
import type { Leg } from '../backup/chain.ts'
import type { SegmentHead, StoredSegment } from '../backup/stream.ts'
import type { Store } from '../store/store.ts'
import { collector } from './collect.ts'
import { FetchFailed } from './fetch.ts'
import { readSegment, segmentBytes } from './segment.ts'
import { readStream } from './stream.ts'

export interface Archive {
  readonly store: Store
  readonly group: string
  readonly key: Buffer | null
  readonly segments: readonly StoredSegment[]
  readonly legs: readonly Leg[]
  /** Only what is proven by the key counts. */
  readonly encrypted: boolean
  readonly signal: AbortSignal
}

export interface Piece {
  /** Of its first byte. */
  readonly from: number
  readonly bytes: Buffer
  readonly marks: SegmentHead['marks']
  readonly name: string
}

/** Of the stream, not of a backup: with the segment that it is about. */
export class SegmentFailed extends FetchFailed {
  /** The first byte that cannot be had, where it is one. */
  readonly at: number | null
  constructor(about: FetchFailed['about'], message: string, at: number | null = null) {
    super(about, message)
    this.at = at
  }
}

/** Of what keeps a byte away, what is told: the one that somebody can do something about. */
const tells: Readonly<Record<FetchFailed['about'], number>> = { store: 0, data: 1, key: 2, here: 3 }

/** From the first to the last of these bytes. Throws SegmentFailed, and the reason of `signal`. */
export async function* along(archive: Archive, from: number, to: number): AsyncGenerator<Piece, void, undefined> {
  // One segment passes through several forms of itself.
  const collect = collector(segmentBytes / 2)
  let { segments } = archive
  const next = async (at: number): Promise<Piece> => {
    try {
      return await pieceAt({ ...archive, segments }, at, to)
    } catch (error) {
      archive.signal.throwIfAborted()
      if (!(error instanceof SegmentFailed) || error.about === 'key' || error.about === 'here') throw error
      const stream = await readStream(archive.store, archive.group, archive.key, archive.signal)
      archive.signal.throwIfAborted()
      if (!stream.ok) throw error
      segments = stream.value.segments
      return pieceAt({ ...archive, segments }, at, to)
    }
  }
  let ahead: Promise<Piece> | null = from <= to ? next(from) : null
  while (ahead !== null) {
    const piece = await ahead
    const at = piece.from + piece.bytes.length
    ahead = at <= to ? next(at) : null
    // Told when it is waited for.
    ahead?.catch(() => undefined)
    yield piece
    collect(piece.bytes.length)
  }
}

async function pieceAt(archive: Archive, at: number, to: number): Promise<Piece> {
  const { store, group, key, segments, legs, encrypted, signal } = archive
  // Beyond a fork it has another history's bytes; before it, also those of its parent.
  const ends = new Map(legs.map((leg) => [leg.replid, leg.to]))
  const there = segments
    .map((segment) => ({ segment, last: Math.min(segment.to, ends.get(segment.replid) ?? -1, to) }))
    .filter(({ segment, last }) => segment.from <= at && at <= last)
    .sort((a, b) => b.last - a.last)
  let first: SegmentFailed | null = null
  for (const { segment, last } of there) {
    try {
      const { head, bytes, byKey } = await readSegment(store, group, segment, key, signal)
      if (encrypted && !byKey) throw new FetchFailed('data', 'it is not encrypted, and the backup is: whoever can write to the store could have made it')
      return { from: at, bytes: bytes.subarray(at - head.from, last - head.from + 1), marks: head.marks, name: segment.name }
    } catch (error) {
      if (!(error instanceof FetchFailed)) throw error
      // Another one may hold the same bytes. If none does, what another host could restore is not told as damaged, and what is damaged not as away.
      const named = new SegmentFailed(error.about, `${segment.name}: ${error.message}`, at)
      if (first === null || tells[named.about] > tells[first.about]) first = named
    }
  }
  throw first ?? new SegmentFailed('data', `no segment holds the byte at offset ${at}`, at)
}
