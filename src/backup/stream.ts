/**
 * How the archived replication stream of a group lies in a store: timelines and segments, and what their names say. PURE. Beside the backups and not
 * among them (`GROUP.stream/…`, which can be no group): nobody who lists those has to read past a hundred thousand names.
 */
import type { Compression, Proof } from './manifest.ts'

/** So many bytes of one history, in one object. `from` and `to`: offsets of its first and last byte. */
export interface Segment {
  readonly replid: string
  readonly from: number
  readonly to: number
  /** When its last byte had come, by the clock of whoever wrote it down. */
  readonly lastWallMs: number
}

/** A segment that lies in a store. */
export interface StoredSegment extends Segment {
  readonly name: string
  readonly bytes: number
}

/** A history of its own, since a promotion or since the archive began: `GROUP.stream/REPLID/timeline.json`. Written before its first segment, and never changed. */
export interface Timeline extends Proof {
  readonly format: 1
  readonly group: string
  readonly replid: string
  /** Of the group, when it was begun. */
  readonly epoch: number
  /** Where it left its parent: of the first byte that is only its own, archived or not. Without a parent: of its first archived byte. */
  readonly from: number
  /** Whose history lies before `from`. null: nobody knows; a backup is needed to begin at. */
  readonly parent: { readonly replid: string } | null
  readonly atWallMs: number
  /** Who began it, and why. */
  readonly host: string
  readonly why: string
  /** Of the key that `hmac` was made with. null: without one. */
  readonly keyId: string | null
}

/** What a segment begins with; its bytes follow, compressed and encrypted as it says. */
export interface SegmentHead extends Proof, Segment {
  readonly format: 1
  readonly group: string
  readonly host: string
  /** Of the redis that it was read from: what its commands mean. */
  readonly serverVersion: string
  /** When what had come, in order: offset of a byte, and when it was there. The last one is of the last byte. A clock that was set back stands here as it went. */
  readonly marks: readonly (readonly [offset: number, wallMs: number])[]
  /** Of the stream's bytes; there are `to - from + 1`. */
  readonly sha256Stream: string
  /** Of the bytes behind the head. */
  readonly stored: { readonly bytes: number; readonly sha256: string }
  readonly compression: Compression
  readonly encryption: { readonly cipher: 'aes-256-gcm'; readonly keyId: string } | null
}

/** No name of a group has a dot. */
export function streamFolder(group: string): string {
  return `${group}.stream`
}

export function timelineName(group: string, replid: string): string {
  return `${streamFolder(group)}/${replid}/timeline.json`
}

const offsetDigits = 16
const timeDigits = 13

export function segmentName(group: string, { replid, from, to, lastWallMs }: Segment): string {
  const offset = (value: number): string => String(value).padStart(offsetDigits, '0')
  return `${streamFolder(group)}/${replid}/${offset(from)}-${offset(to)}-${String(lastWallMs).padStart(timeDigits, '0')}.segment`
}

/** null: it is the name of something else. */
export function parseSegmentName(group: string, name: string): Segment | null {
  const folder = `${streamFolder(group)}/`
  const found = name.startsWith(folder) ? /^([0-9a-f]{40})\/(\d{16})-(\d{16})-(\d{13})\.segment$/.exec(name.slice(folder.length)) : null
  if (found === null) return null
  const [from, to, lastWallMs] = [Number(found[2]), Number(found[3]), Number(found[4])]
  return to >= from && Number.isSafeInteger(to) ? { replid: found[1] ?? '', from, to, lastWallMs } : null
}
