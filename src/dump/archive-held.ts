/**
 * A segment while it grows: what has come of one history, in order and without a hole, what of it lies in the store already, and when it
 * came. Copied into blocks of its own, so that what the socket gave is let go of at once. Puts nothing anywhere.
 */
import { isPings, type OpenFacts } from '../backup/archiving.ts'
import type { Said } from '../backup/manifest.ts'
import type { SegmentHead, Timeline } from '../backup/stream.ts'

const blockBytes = 256 * 1024
/** Marks are so far apart, or further. */
const markEveryMs = 100

type Mark = SegmentHead['marks'][number]

export interface Origin {
  readonly replid: string
  readonly from: number
  readonly serverVersion: string
  /** To be written before the first byte of its history; null: it is there. */
  readonly timeline: Said<Timeline> | null
}

export interface Now {
  /** By a clock that nobody sets. */
  readonly nowMs: number
  readonly wallMs: number
}

/** So many of its bytes, up to `to`. */
export interface Part {
  readonly from: number
  readonly to: number
  readonly chunks: readonly Buffer[]
  readonly marks: readonly Mark[]
}

export class Held {
  readonly origin: Origin
  /** Names in the store of what a whole one will replace. */
  readonly smalls: string[] = []
  isTimelinePut: boolean
  /** Nothing more comes to it. */
  ended = false
  readonly #blocks: Buffer[] = []
  readonly #marks: Mark[] = []
  #bytes = 0
  #stored: number
  #last: Mark | null = null
  #markedMs = Number.NEGATIVE_INFINITY
  readonly #beganMs: number
  /** When the first byte came that lies in no store. */
  #rest: Now
  /** Since a part was taken out to be put: when the first byte behind it came. */
  #behind: Now | null = null
  /** When the first of them came that is not a PING. null: there is none. A PING may lie here for a minute before it; that long nothing waited. */
  #waits: Now | null = null

  constructor(origin: Origin, now: Now) {
    this.origin = origin
    this.isTimelinePut = origin.timeline === null
    this.#stored = origin.from - 1
    this.#beganMs = now.nowMs
    this.#rest = now
  }

  /** Of the last byte that has come. */
  get to(): number {
    return this.origin.from + this.#bytes - 1
  }

  get bytes(): number {
    return this.#bytes
  }

  /** Of the last byte that lies in the store. */
  get stored(): number {
    return this.#stored
  }

  append(chunk: Buffer, now: Now): void {
    if (this.#stored === this.to) this.#rest = now
    this.#behind ??= now
    this.#copy(chunk)
    if (this.#waits === null && !this.#restIsPings()) this.#waits = now
    if (now.nowMs - this.#markedMs >= markEveryMs) {
      // What came shortly after the last mark must not look as if it had come only now.
      if (this.#last !== null && this.#last[0] !== this.#marks.at(-1)?.[0]) this.#marks.push(this.#last)
      this.#marks.push([this.to, now.wallMs])
      this.#markedMs = now.nowMs
    }
    this.#last = [this.to, now.wallMs]
  }

  /** What lies in the store already, under this name: the next bytes. */
  takeUp(bytes: Buffer, marks: readonly Mark[], name: string): void {
    this.#copy(bytes)
    this.#marks.push(...marks)
    this.#last = marks.at(-1) ?? null
    this.#stored = this.to
    this.smalls.push(name)
  }

  /** All; or what lies in no store yet. */
  part(which: 'whole' | 'rest'): Part {
    this.#behind = null
    const from = which === 'whole' ? this.origin.from : this.#stored + 1
    const marks = this.#marks.filter(([offset]) => offset >= from)
    if (this.#last !== null && marks.at(-1)?.[0] !== this.#last[0]) marks.push(this.#last)
    return { from, to: this.to, chunks: this.#slices(from - this.origin.from), marks }
  }

  /** The part that was taken last lies in the store. What has come meanwhile is the rest. */
  put(to: number): void {
    this.#stored = to
    if (this.#behind === null) this.#waits = null
    else {
      this.#rest = this.#behind
      if (this.#restIsPings()) this.#waits = null
      else if (this.#waits === null || this.#waits.nowMs < this.#behind.nowMs) this.#waits = this.#behind
    }
  }

  /** null: all lies in the store, or redis has only said that it is there. */
  waitingSinceWallMs(): number | null {
    return this.#waits?.wallMs ?? null
  }

  facts(nowMs: number): OpenFacts {
    return {
      heldBytes: this.#bytes,
      restBytes: this.to - this.#stored,
      restIsPings: this.#restIsPings(),
      restAgeMs: nowMs - this.#rest.nowMs,
      ageMs: nowMs - this.#beganMs,
      smalls: this.smalls.length,
      ended: this.ended,
    }
  }

  #restIsPings(): boolean {
    // Large ones are looked at no further: their first block says it.
    return this.to - this.#stored <= blockBytes && isPings(Buffer.concat(this.#slices(this.#stored + 1 - this.origin.from)))
  }

  #copy(chunk: Buffer): void {
    for (let at = 0; at < chunk.length; ) {
      const used = this.#bytes % blockBytes
      const last = this.#blocks.at(-1)
      const block = used === 0 || last === undefined ? Buffer.allocUnsafeSlow(blockBytes) : last
      if (block !== last) this.#blocks.push(block)
      const copied = chunk.copy(block, used, at)
      this.#bytes += copied
      at += copied
    }
  }

  #slices(start: number): readonly Buffer[] {
    const first = Math.floor(start / blockBytes)
    return this.#blocks.slice(first).map((block, i) => {
      const at = (first + i) * blockBytes
      return block.subarray(Math.max(0, start - at), Math.min(blockBytes, this.#bytes - at))
    })
  }
}
