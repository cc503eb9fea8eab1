/**
 * A connection that keeps bytes as they are, for keys and values that are no text: ask, pipeline, close. It neither reconnects
 * nor queues. The loop of the agent uses link.ts; this is for tools that copy data.
 */
import { connect, type Socket } from 'node:net'
import { connect as connectTls } from 'node:tls'
import type { SourceTls } from '../model/move.ts'
import type { Observed } from '../model/outcome.ts'
import { encode } from './psync.ts'
import { tlsOptions } from './tls.ts'

export class RawError {
  readonly text: string
  constructor(text: string) {
    this.text = text
  }
}
export type RawReply = string | number | Buffer | null | RawError | readonly RawReply[]
export type Word = string | Buffer

export type RawTarget = ({ readonly host: string; readonly port: number; readonly tls?: SourceTls } | { readonly path: string }) & {
  readonly password?: string | undefined
  /** Of an ACL (6.0); absent: `default`. */
  readonly user?: string | undefined
}

export interface RawRedis {
  /** Rejects when the connection is lost or the deadline passes; an error reply is a RawError. */
  readonly call: (...words: readonly Word[]) => Promise<RawReply>
  readonly pipeline: (commands: readonly (readonly Word[])[]) => Promise<readonly RawReply[]>
  readonly close: () => void
}

const maxReplyBytes = 1024 * 1024 * 1024

export async function openRaw(target: RawTarget, deadlineMs: number): Promise<Observed<RawRedis>> {
  let raw: RawRedis
  try {
    raw = speak(socketTo(target), deadlineMs)
  } catch (error) {
    // A certificate that is none.
    return { ok: false, why: (error as Error).message }
  }
  try {
    const who = target.user === undefined ? [] : [target.user]
    const hello = target.password === undefined ? await raw.call('PING') : await raw.call('AUTH', ...who, target.password)
    // A replica that has no data yet, and must not serve without, obeys nevertheless.
    if (!(hello instanceof RawError) || hello.text.startsWith('MASTERDOWN')) return { ok: true, value: raw }
    raw.close()
    return { ok: false, why: hello.text }
  } catch (error) {
    raw.close()
    return { ok: false, why: (error as Error).message }
  }
}

/** Throws where a certificate is none. */
export function socketTo(target: RawTarget): Socket {
  if ('path' in target) return connect({ path: target.path })
  const { host, port, tls } = target
  if (tls === undefined) return connect({ host, port, noDelay: true })
  return connectTls({ host, port, ...tlsOptions(host, tls) }).setNoDelay(true)
}

/** Of one pipeline. */
interface Waiter {
  readonly replies: RawReply[]
  readonly of: number
  readonly resolve: (replies: readonly RawReply[]) => void
  readonly reject: (error: Error) => void
}

function speak(socket: Socket, deadlineMs: number): RawRedis {
  const waiters: Waiter[] = []
  let pending: Buffer[] = []
  let pendingBytes = 0
  // Before so many have come, the next reply is not whole: a large one is not put together anew with each piece of it.
  let neededBytes = 0
  let ended: Error | null = null
  const end = (error: Error): void => {
    ended ??= error
    socket.destroy()
    for (const waiter of waiters.splice(0)) waiter.reject(ended)
  }
  const take = (chunk: Buffer): void => {
    pending.push(chunk)
    pendingBytes += chunk.length
    if (pendingBytes > maxReplyBytes) throw new Error('the reply is larger than any that was asked for')
    if (pendingBytes < neededBytes) return
    const whole = pending.length === 1 ? (pending[0] ?? Buffer.alloc(0)) : Buffer.concat(pending)
    let at = 0
    for (;;) {
      const parsed = parseReply(whole, at)
      if (typeof parsed === 'number') {
        neededBytes = parsed - at
        break
      }
      at = parsed.end
      const [waiter] = waiters
      waiter?.replies.push(parsed.reply)
      if (waiter?.replies.length === waiter?.of) waiters.shift()?.resolve(waiter?.replies ?? [])
    }
    pending = at === whole.length ? [] : [whole.subarray(at)]
    pendingBytes = whole.length - at
  }
  socket.on('data', (chunk: Buffer) => {
    try {
      take(chunk)
    } catch (error) {
      end(error as Error)
    }
  })
  socket.on('error', end)
  socket.on('close', () => end(new Error('redis hung up')))
  const pipeline = async (commands: readonly (readonly Word[])[]): Promise<readonly RawReply[]> => {
    if (ended !== null) throw ended
    if (commands.length === 0) return []
    const late = setTimeout(() => end(new Error(`no answer within ${deadlineMs} ms`)), deadlineMs)
    const replies = new Promise<readonly RawReply[]>((resolve, reject) => waiters.push({ replies: [], of: commands.length, resolve, reject }))
    socket.write(Buffer.concat(commands.map((words) => encode(words))))
    try {
      return await replies
    } finally {
      clearTimeout(late)
    }
  }
  return { pipeline, call: async (...words) => (await pipeline([words]))[0] ?? null, close: () => end(new Error('closed')) }
}

interface Parsed {
  readonly reply: RawReply
  readonly end: number
}

/** A number: it is not whole yet, and cannot be before the buffer has so many bytes. */
export function parseReply(buffer: Buffer, at: number): Parsed | number {
  const lineEnd = buffer.indexOf('\r\n', at)
  if (lineEnd < 0) return buffer.length + 1
  const line = buffer.toString('latin1', at + 1, lineEnd)
  const end = lineEnd + 2
  switch (String.fromCharCode(buffer[at] ?? 0)) {
    case '+':
      return { reply: line, end }
    case '-':
      return { reply: new RawError(line), end }
    case ':':
      return { reply: Number(line), end }
    case '$': {
      const bytes = Number(line)
      if (bytes < 0) return { reply: null, end }
      return end + bytes + 2 > buffer.length ? end + bytes + 2 : { reply: buffer.subarray(end, end + bytes), end: end + bytes + 2 }
    }
    case '*':
      return parseList(buffer, end, Number(line))
    default:
      throw new Error('what answers is not redis')
  }
}

function parseList(buffer: Buffer, at: number, count: number): Parsed | number {
  if (count < 0) return { reply: null, end: at }
  const reply: RawReply[] = []
  let end = at
  for (let index = 0; index < count; index += 1) {
    const parsed = parseReply(buffer, end)
    if (typeof parsed === 'number') return parsed
    reply.push(parsed.reply)
    end = parsed.end
  }
  return { reply, end }
}
