/** What passes a stream, counted and summed on its way: bytes, SHA-256, and of an RDB whether its own checksum is right. */
import { createHash } from 'node:crypto'
import { crc64 } from '../backup/crc64.ts'
import { parseRdbHeader, rdbHeaderBytes, type RdbHeader } from '../redis/rdb-header.ts'
import type { Observed } from '../model/outcome.ts'

export type Chunks = AsyncIterable<Buffer>

export interface Measured {
  readonly through: (chunks: Chunks) => AsyncGenerator<Buffer, void, undefined>
  readonly bytes: () => number
  /** Of all that passed. To be asked once, at the end. */
  readonly sha256: () => string
}

export function measure(): Measured {
  const hash = createHash('sha256')
  let bytes = 0
  return {
    through: async function* through(chunks) {
      for await (const chunk of chunks) {
        hash.update(chunk)
        bytes += chunk.length
        yield chunk
      }
    },
    bytes: () => bytes,
    sha256: () => hash.digest('hex'),
  }
}

/** `tell`: of all that has come so far, before it is handed on. */
export async function* reported(chunks: Chunks, tell: (bytes: number) => void): AsyncGenerator<Buffer, void, undefined> {
  let bytes = 0
  for await (const chunk of chunks) {
    bytes += chunk.length
    tell(bytes)
    yield chunk
  }
}

export interface RdbWatch {
  readonly through: (chunks: Chunks) => AsyncGenerator<Buffer, void, undefined>
  /** At the end: its header, where the checksum behind it is that of its bytes. */
  readonly verdict: () => Observed<RdbHeader>
}

const checksumBytes = 8

/** redis writes zeros where its checksum is turned off: then nothing can be said of its bytes, and that is no backup. */
export function watchRdb(): RdbWatch {
  const sum = crc64()
  let head: Buffer = Buffer.alloc(0)
  let tail: Buffer = Buffer.alloc(0)
  return {
    through: async function* through(chunks) {
      for await (const chunk of chunks) {
        if (head.length < rdbHeaderBytes) head = Buffer.concat([head, chunk.subarray(0, rdbHeaderBytes - head.length)])
        if (chunk.length >= checksumBytes) {
          sum.update(tail)
          sum.update(chunk.subarray(0, -checksumBytes))
          tail = Buffer.from(chunk.subarray(-checksumBytes))
        } else {
          const both = Buffer.concat([tail, chunk])
          sum.update(both.subarray(0, -checksumBytes))
          tail = Buffer.from(both.subarray(-checksumBytes))
        }
        yield chunk
      }
    },
    verdict: () => {
      const header = parseRdbHeader(head)
      if (!header.ok) return { ok: false, why: `what redis sent is no RDB: ${header.why}` }
      if (tail.equals(Buffer.alloc(checksumBytes))) return { ok: false, why: 'redis writes no checksum into its RDB (rdbchecksum no)' }
      return tail.equals(sum.digest()) ? header : { ok: false, why: 'the checksum at the end of the RDB is not that of its bytes' }
    },
  }
}
