/**
 * The first bytes of an RDB, as redis and Valkey write them since 2.8: magic, format number, and the fields that say who wrote it,
 * when, and where its data stand in which history. PURE, and total: whatever a disk holds, it answers and never throws.
 * It does not read the data: whether they are whole, only redis can say.
 */
import type { Observed } from '../model/outcome.ts'

export interface RdbHeader {
  readonly format: number
  readonly writtenBy: string
  /** When its save began, in seconds; null: not said. */
  readonly savedAtS: number | null
  /** The history that it belongs to; '' where redis did not know one (a primary that never had a replica, the base of an AOF). */
  readonly replid: string
  readonly offset: number | null
  /** It is the base of an AOF. */
  readonly aofBase: boolean
  /** Nothing follows the fields. */
  readonly empty: boolean
  /** The fields as they stand there: two files with the same ones are the same save. */
  readonly fields: string
}

/** More than all fields together; a file with longer ones is read as far as that. */
export const rdbHeaderBytes = 1024
/** What an RDB ends with: the end mark and eight bytes of checksum. */
export const rdbTailBytes = 9

const opAux = 0xfa
const opEnd = 0xff

export function parseRdbHeader(bytes: Uint8Array): Observed<RdbHeader> {
  if (bytes.length === 0) return { ok: false, why: 'it is empty (0 bytes)' }
  const magic = text(bytes, 0, 9)
  const format = /^REDIS(\d{4})$/.exec(magic)?.[1] ?? /^VALKEY(\d{3})$/.exec(magic)?.[1]
  if (format === undefined)
    return { ok: false, why: /^(RED|VAL)/.test(magic) ? 'it ends in the middle of its first line' : 'it is no RDB: it begins with other bytes' }
  const fields = new Map<string, string>()
  let at = 9
  while (bytes[at] === opAux) {
    const name = readString(bytes, at + 1)
    const value = name === null ? null : readString(bytes, name.end)
    if (name === null || value === null) return { ok: false, why: 'it ends in the middle of its header' }
    fields.set(name.value, value.value)
    at = value.end
  }
  if (at >= bytes.length && bytes.length < rdbHeaderBytes) return { ok: false, why: 'it ends after its header' }
  const number = (name: string): number | null => (/^\d{1,16}$/.test(fields.get(name) ?? '') ? Number(fields.get(name)) : null)
  const id = fields.get('repl-id') ?? ''
  return {
    ok: true,
    value: {
      format: Number(format),
      writtenBy: fields.get('redis-ver') ?? fields.get('valkey-ver') ?? '',
      savedAtS: number('ctime'),
      replid: /^[0-9a-f]{40}$/.test(id) ? id : '',
      offset: number('repl-offset'),
      aofBase: fields.get('aof-base') === '1' || fields.get('aof-preamble') === '1',
      empty: bytes[at] === opEnd,
      fields: [...fields].map(([name, value]) => `${name}=${value}`).join(' '),
    },
  }
}

export function endsWell(tail: Uint8Array): boolean {
  return tail.length === rdbTailBytes && tail[0] === opEnd
}

/** redis' string encoding: a length in front, or a small integer. A compressed string is skipped: its value is not known. */
function readString(bytes: Uint8Array, at: number): { readonly value: string; readonly end: number } | null {
  const first = bytes[at]
  if (first === undefined) return null
  if (first >> 6 === 3) {
    const kind = first & 0x3f
    if (kind === 3) return skipCompressed(bytes, at + 1)
    const size = [1, 2, 4][kind]
    if (size === undefined || at + 1 + size > bytes.length) return null
    const view = new DataView(bytes.buffer, bytes.byteOffset + at + 1, size)
    const value = size === 1 ? view.getInt8(0) : size === 2 ? view.getInt16(0, true) : view.getInt32(0, true)
    return { value: String(value), end: at + 1 + size }
  }
  const length = readLength(bytes, at)
  if (length === null || length.end + length.value > bytes.length) return null
  return { value: text(bytes, length.end, length.end + length.value), end: length.end + length.value }
}

function readLength(bytes: Uint8Array, at: number): { readonly value: number; readonly end: number } | null {
  const first = bytes[at]
  if (first === undefined) return null
  if (first >> 6 === 0) return { value: first & 0x3f, end: at + 1 }
  if (first >> 6 === 1) {
    const second = bytes[at + 1]
    return second === undefined ? null : { value: ((first & 0x3f) << 8) | second, end: at + 2 }
  }
  if (first !== 0x80 || at + 5 > bytes.length) return null
  return { value: new DataView(bytes.buffer, bytes.byteOffset + at + 1, 4).getUint32(0), end: at + 5 }
}

function skipCompressed(bytes: Uint8Array, at: number): { readonly value: string; readonly end: number } | null {
  const packed = readLength(bytes, at)
  const plain = packed === null ? null : readLength(bytes, packed.end)
  if (packed === null || plain === null || plain.end + packed.value > bytes.length) return null
  return { value: '', end: plain.end + packed.value }
}

function text(bytes: Uint8Array, from: number, to: number): string {
  return String.fromCharCode(...bytes.subarray(from, to))
}
