/** What a redis says in its log of a sync that fails, from the first look on. It reads. */
import { open, stat } from 'node:fs/promises'
import type { SourceCare } from '../model/view.ts'

const mostBytes = 256 * 1024

export interface SyncLog {
  readonly said: () => SourceCare['said']
  /** Reads on. */
  readonly look: () => Promise<void>
}

/** Redis and Valkey have other words for whom they follow. */
const timeouts = /Timeout receiving bulk data|Timeout connecting to the (?:MASTER|PRIMARY)|(?:MASTER|PRIMARY) timeout: no data/gi
/** What only an operator can mend. Redis asks again at once, hundreds of times a second, and tells its log alone. */
const refusals =
  /(?:(?:MASTER|PRIMARY) aborted replication with an error: |Unable to AUTH to (?:MASTER|PRIMARY): -?|Error reply to PING from (?:master|primary): '?-?)((?:NOPERM|NOAUTH|WRONGPASS|ERR (?:unknown command|invalid password|Client sent AUTH))[^\r\n]*)/gi
const mostWords = 200
const format = /Can't handle RDB format version [^\n]*/

export function followLog(file: string | null): SyncLog {
  let from: number | null = null
  let said: SourceCare['said'] = { format: null, timeouts: 0, refused: { times: 0, last: null } }
  return {
    said: () => said,
    look: async () => {
      if (file === null) return
      const size = await stat(file).then(
        (it) => it.size,
        () => null,
      )
      if (size === null) return
      // A shorter one was begun anew.
      const start = from === null ? size : size < from ? 0 : Math.max(from, size - mostBytes)
      from = size
      if (start >= size) return
      const text = await pieceOf(file, start, size - start)
      const refused = [...text.matchAll(refusals)]
      said = {
        format: said.format ?? format.exec(text)?.[0] ?? null,
        timeouts: said.timeouts + (text.match(timeouts)?.length ?? 0),
        refused: {
          times: said.refused.times + refused.length,
          last:
            refused
              .at(-1)?.[1]
              ?.replace(/'?\s*$/, '')
              .slice(0, mostWords) ?? said.refused.last,
        },
      }
    },
  }
}

async function pieceOf(file: string, at: number, bytes: number): Promise<string> {
  const handle = await open(file).catch(() => null)
  if (handle === null) return ''
  try {
    const { buffer, bytesRead } = await handle.read(Buffer.alloc(bytes), 0, bytes, at)
    return buffer.toString('latin1', 0, bytesRead)
  } finally {
    await handle.close()
  }
}
