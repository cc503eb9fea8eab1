/**
 * All of a redis' data as a new replica gets them: an RDB, and where it stands in which history. Costs that redis a fork and a child,
 * so whom to ask is decided elsewhere. Reading is pulled: what the reader does not take, redis waits with.
 */
import type { Socket } from 'node:net'
import type { Observed } from '../model/outcome.ts'
import type { RedisTarget } from './link.ts'
import { encode, greet } from './psync.ts'

export interface Dataset {
  readonly replid: string
  /** Of the last byte of the stream that the RDB contains. */
  readonly offset: number
  /** null: not told, redis ends it with a mark (diskless). */
  readonly bytes: number | null
  /** The RDB and nothing else. Throws when it ends early, or nothing came for `silentMs`. */
  readonly chunks: () => AsyncGenerator<Buffer, void, undefined>
  readonly close: () => void
}

export interface DatasetLimits {
  /** For the answers before it. */
  readonly answerMs: number
  /** Nothing at all for so long: while it forks and saves, redis sends a line feed every second or so (repl-ping-replica-period, 10 s by default). */
  readonly silentMs: number
}

const markBytes = 40

/** `begun`: the snapshot has just been taken; its first byte may come much later. With `rdb-only` (5.0 and later) redis queues no stream for the reader, and does not count it. Others take no notice of the word. */
export async function openDataset(target: RedisTarget, limits: DatasetLimits, begun: () => void = () => undefined): Promise<Observed<Dataset>> {
  const greeted = await greet(target, limits.answerMs, ['eof', 'psync2'], ['rdb-only', '1'])
  if (!greeted.ok) return greeted
  const { socket, lines } = greeted.value
  const fail = (why: string): Observed<never> => {
    socket.destroy()
    return { ok: false, why }
  }
  socket.setTimeout(limits.silentMs, () => socket.destroy(new Error(`redis sent nothing for ${limits.silentMs} ms`)))
  try {
    socket.write(encode(['PSYNC', '?', '-1']))
    const answer = withoutFeeds(await lines.next())
    const place = /^\+FULLRESYNC ([0-9a-f]{40}) (\d{1,16})$/.exec(answer)
    if (place === null) return fail(answer)
    begun()
    const head = withoutFeeds(await lines.next())
    const length = /^\$(\d{1,16})$/.exec(head)
    const mark = /^\$EOF:([\x21-\x7e]{40})$/.exec(head)
    if (length === null && mark === null) return fail(head)
    const rest = lines.rest()
    const bytes = length === null ? null : Number(length[1])
    const end = mark === null ? null : Buffer.from(mark[1] ?? '', 'latin1')
    return {
      ok: true,
      value: {
        replid: place[1] ?? '',
        offset: Number(place[2]),
        bytes,
        chunks: () => (end === null ? counted(socket, rest, bytes ?? 0) : marked(socket, rest, end)),
        close: () => socket.destroy(),
      },
    }
  } catch (error) {
    return fail((error as Error).message)
  }
}

/** Sent while redis forks and saves, so that a replica does not give up; some versions do so before the first answer already. */
function withoutFeeds(line: string): string {
  return line.replace(/^\n+/, '')
}

async function* counted(socket: Socket, first: Buffer, bytes: number): AsyncGenerator<Buffer, void, undefined> {
  let left = bytes
  for await (const chunk of after(first, socket)) {
    const mine = chunk.subarray(0, left)
    left -= mine.length
    if (mine.length > 0) yield mine
    if (left === 0) return
  }
  throw new Error(`the dataset ended ${left} bytes early`)
}

/** The mark may come in pieces: as many bytes as it has are held back until there are more behind them. */
async function* marked(socket: Socket, first: Buffer, mark: Buffer): AsyncGenerator<Buffer, void, undefined> {
  let tail: Buffer = Buffer.alloc(0)
  for await (const chunk of after(first, socket)) {
    const all = tail.length === 0 ? chunk : Buffer.concat([tail, chunk])
    const whole = all.length - markBytes
    if (whole > 0) yield all.subarray(0, whole)
    tail = Buffer.from(all.subarray(Math.max(0, whole)))
    if (tail.equals(mark)) return
  }
  throw new Error('the dataset ended before its mark')
}

async function* after(first: Buffer, socket: Socket): AsyncGenerator<Buffer, void, undefined> {
  if (first.length > 0) yield first
  for await (const chunk of socket) yield chunk as Buffer
}
