/** When which byte of a history had come, by the marks in the heads of its segments. PURE. */
import type { SegmentHead } from './stream.ts'

type Marks = SegmentHead['marks']

/**
 * The last byte that had come at that moment, of those up to `to`. null: none had. A clock that was set stands in the marks as it went: what
 * came behind the first byte that is later than the moment does not count, so that nothing of after it is ever taken in.
 */
export function cameBy(marks: Marks, to: number, wallMs: number): number | null {
  let last: number | null = null
  for (const [offset, atWallMs] of marks) {
    if (atWallMs > wallMs) return last
    last = Math.min(offset, to)
    if (offset >= to) return last
  }
  return last
}

/** When this byte was there. */
export function cameAt(marks: Marks, offset: number): number | null {
  return marks.find(([upTo]) => upTo >= offset)?.[1] ?? null
}
