/**
 * What was written last to a file with records ahead of it (`FILE.ahead`, act/ahead.ts), whatever was interrupted after it: how a record is told from what is
 * left of one, and when it counts. Must write nothing: who looks may be somebody else than who writes. ADR 36.
 */
import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'

/** Of one record. There are two, written by turns: one that is cut short by a crash must not take with it the one before, which counts. */
export const roomBytes = 65_536
/** A hash, a space, a length, the end of the line. */
const headBytes = 64 + 1 + 8 + 1

/**
 * `over`: hashes of what the file may hold while this is the last that was written. Over any other it counts for nothing: the file was replaced since,
 * or somebody has mended it by hand, or moved it away.
 */
export interface Ahead {
  readonly nth: number
  readonly over: readonly string[]
  readonly text: string
}

/**
 * What was written last, whatever was interrupted after it. Throws what the file system says: of records that are there and cannot be read nobody knows
 * whether they count, and what is in the file may be of before.
 */
export function readAhead(file: string): string {
  const { text, ahead } = lookAt(file)
  return ahead ?? text
}

/** `ahead`: what was written after `text` was, and did not get as far as the file. */
export function lookAt(file: string): { readonly text: string; readonly ahead: string | null } {
  // The records first: what is read after them is the file that they were written over, or a later one. The other way round, the file could be
  // older than both, and what a living agent remembered since would be passed over.
  const records = recordsIn(file)
  const text = readFileSync(file, 'utf8')
  const is = hashOf(text)
  const counts = records.filter(({ over }) => over.includes(is)).sort((a, b) => b.nth - a.nth)
  return { text, ahead: counts[0]?.text ?? null }
}

export function aheadFile(file: string): string {
  return `${file}.ahead`
}

export function hashOf(text: string | Buffer): string {
  return createHash('sha256').update(text).digest('hex')
}

export function recordOf(ahead: Ahead): Buffer {
  const body = Buffer.from(JSON.stringify(ahead))
  return Buffer.concat([headOf(body), body])
}

function headOf(body: Buffer): Buffer {
  return Buffer.from(`${hashOf(body)} ${String(body.length).padStart(8, '0')}\n`)
}

/** Those that are whole. */
function recordsIn(file: string): readonly Ahead[] {
  let bytes: Buffer
  try {
    bytes = readFileSync(aheadFile(file))
  } catch (error) {
    // None; or something in its place, which was never written to.
    if (['ENOENT', 'EISDIR'].includes((error as NodeJS.ErrnoException).code ?? '')) return []
    throw error
  }
  return [bytes.subarray(0, roomBytes), bytes.subarray(roomBytes)].flatMap((part) => {
    const body = part.subarray(headBytes, headBytes + Number(part.toString('latin1', headBytes - 9, headBytes - 1)))
    return part.subarray(0, headBytes).equals(headOf(body)) ? [JSON.parse(body.toString('utf8')) as Ahead] : []
  })
}
