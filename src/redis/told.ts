/**
 * A connection on which a redis tells of something by itself (PSUBSCRIBE). Binary names stay as they are. It neither reconnects nor remembers: whoever was not
 * connected was not told, and redis says nothing of that.
 */
import type { Observed } from '../model/outcome.ts'
import { encode } from './psync.ts'
import { parseReply, RawError, socketTo, type RawReply, type RawTarget } from './raw.ts'

export interface Told {
  /** Returns when all that was told before the question has been heard: answers and messages come in one row. Rejects when the connection ends. */
  readonly heardAll: (deadlineMs: number) => Promise<void>
  readonly close: () => void
}

export interface Hearer {
  readonly patterns: readonly string[]
  readonly heard: (channel: Buffer, message: Buffer) => void
  /** Once, with the reason; not after `close`. */
  readonly lost: (why: string) => void
}

export async function openTold(target: RawTarget, { patterns, heard, lost }: Hearer, deadlineMs: number): Promise<Observed<Told>> {
  const socket = socketTo(target)
  let pending: Buffer = Buffer.alloc(0)
  let waiting: { readonly resolve: (reply: RawReply) => void; readonly reject: (error: Error) => void } | null = null
  let isOver = false
  const end = (why: string): void => {
    if (isOver) return
    isOver = true
    socket.destroy()
    waiting?.reject(new Error(why))
    lost(why)
  }
  const take = (reply: RawReply): void => {
    if (Array.isArray(reply)) {
      const [kind, , channel, message] = reply as readonly RawReply[]
      if (String(kind) === 'pmessage') {
        if (Buffer.isBuffer(channel) && Buffer.isBuffer(message)) heard(channel, message)
        return
      }
    }
    const { resolve } = waiting ?? { resolve: () => undefined }
    waiting = null
    resolve(reply)
  }
  socket.on('data', (chunk: Buffer) => {
    try {
      pending = pending.length === 0 ? chunk : Buffer.concat([pending, chunk])
      let at = 0
      for (let parsed = parseReply(pending, at); typeof parsed !== 'number'; parsed = parseReply(pending, at)) {
        at = parsed.end
        take(parsed.reply)
        if (at === pending.length) break
      }
      pending = pending.subarray(at)
    } catch (error) {
      end((error as Error).message)
    }
  })
  socket.on('error', (error) => end(error.message))
  socket.on('close', () => end('redis hung up'))
  const ask = async (words: readonly string[], withinMs: number): Promise<RawReply> => {
    if (isOver) throw new Error('closed')
    const reply = new Promise<RawReply>((resolve, reject) => {
      waiting = { resolve, reject }
    })
    socket.write(encode(words))
    const late = setTimeout(() => end(`no answer within ${withinMs} ms`), withinMs)
    try {
      return await reply
    } finally {
      clearTimeout(late)
    }
  }
  try {
    const who = target.user === undefined ? [] : [target.user]
    const first = target.password === undefined ? await ask(['PING'], deadlineMs) : await ask(['AUTH', ...who, target.password], deadlineMs)
    // One pattern for each question: each is answered.
    const answers = [first]
    for (const pattern of patterns) answers.push(await ask(['PSUBSCRIBE', pattern], deadlineMs))
    const refused = answers.find((answer) => answer instanceof RawError)
    if (refused instanceof RawError) throw new Error(refused.text)
  } catch (error) {
    isOver = true
    socket.destroy()
    return { ok: false, why: (error as Error).message }
  }
  return {
    ok: true,
    value: {
      heardAll: async (withinMs) => void (await ask(['PING'], withinMs)),
      close: () => {
        isOver = true
        waiting?.reject(new Error('closed'))
        socket.destroy()
      },
    },
  }
}
