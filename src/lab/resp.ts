/**
 * The little of the Redis protocol that the writing client needs. The lab does not use the agent's Redis client for this:
 * a client that queues, retries and reconnects behind one's back smooths over exactly what must be measured here.
 * PURE apart from the buffer that `createReplyReader` keeps.
 */

export type Reply = string | number | null | ReplyError | readonly Reply[]

export interface ReplyError {
  readonly error: string
}

export interface ReplyReader {
  /** Takes what came from the socket and gives the replies that are complete now. Throws on what is not RESP. */
  readonly push: (chunk: Buffer) => Reply[]
}

/** No reply that the writer asks for comes near; a peer that sends more speaks another protocol. */
const maxPendingBytes = 64 * 1024 * 1024
const carriageReturn = 13

export function encodeCommand(args: readonly string[]): string {
  return `*${args.length}\r\n${args.map((arg) => `$${Buffer.byteLength(arg)}\r\n${arg}\r\n`).join('')}`
}

export function isReplyError(reply: Reply): reply is ReplyError {
  return typeof reply === 'object' && reply !== null && 'error' in reply
}

/** READONLY, LOADING, NOREPLICAS, …: the first word, which is what clients tell errors apart by. */
export function errorKind(reply: ReplyError): string {
  return reply.error.split(' ')[0] || 'ERR'
}

export function createReplyReader(): ReplyReader {
  let pending: Buffer = Buffer.alloc(0)
  return {
    push: (chunk) => {
      pending = pending.length === 0 ? chunk : Buffer.concat([pending, chunk])
      if (pending.length > maxPendingBytes) throw new Error('the reply is larger than any that was asked for')
      const replies: Reply[] = []
      let at = 0
      for (;;) {
        const parsed = parseReply(pending, at)
        if (parsed === undefined) break
        replies.push(parsed.reply)
        at = parsed.end
      }
      pending = pending.subarray(at)
      return replies
    },
  }
}

function parseReply(buffer: Buffer, at: number): { readonly reply: Reply; readonly end: number } | undefined {
  const lineEnd = buffer.indexOf(carriageReturn, at)
  if (lineEnd < 0 || lineEnd + 1 >= buffer.length) return undefined
  const line = buffer.toString('utf8', at + 1, lineEnd)
  const end = lineEnd + 2
  switch (String.fromCharCode(buffer[at] ?? 0)) {
    case '+':
      return { reply: line, end }
    case '-':
      return { reply: { error: line }, end }
    case ':':
      return { reply: Number(line), end }
    case '$': {
      const bytes = Number(line)
      if (bytes < 0) return { reply: null, end }
      if (end + bytes + 2 > buffer.length) return undefined
      return { reply: buffer.toString('utf8', end, end + bytes), end: end + bytes + 2 }
    }
    case '*':
      return parseArray(buffer, end, Number(line))
    default:
      throw new Error(`this is not a Redis reply: ${JSON.stringify(line.slice(0, 40))}`)
  }
}

function parseArray(buffer: Buffer, at: number, count: number): { readonly reply: Reply; readonly end: number } | undefined {
  if (count < 0) return { reply: null, end: at }
  const items: Reply[] = []
  let end = at
  for (let index = 0; index < count; index += 1) {
    const parsed = parseReply(buffer, end)
    if (parsed === undefined) return undefined
    items.push(parsed.reply)
    end = parsed.end
  }
  return { reply: items, end }
}
