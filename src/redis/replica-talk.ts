/** What a replica says to its primary, as far as a played one has to understand it. Must not know what is answered to PSYNC. */
import { timingSafeEqual } from 'node:crypto'
import type { Socket } from 'node:net'
import { parseReply, type RawReply } from './raw.ts'

const maxPendingBytes = 64 * 1024
const newline = 0x0a

/** What redis asks for: the first byte that it lacks. `?` and -1: it has nothing. */
export interface Asked {
  readonly replid: string
  readonly offset: number
}

export interface Heard {
  readonly acked: (offset: number) => void
  readonly lives: () => void
  readonly asks: (what: Asked) => void
}

/** The commands of one connection. Whoever does not know the token is told nothing but that; null: there is none to know. */
export function greet(socket: Socket, token: string | null, withinMs: number, heard: Heard): void {
  const late = setTimeout(() => socket.destroy(), withinMs)
  socket.once('close', () => clearTimeout(late))
  let pending: Buffer = Buffer.alloc(0)
  let known = token === null
  let hasAsked = false
  const obey = (name: string, words: readonly string[]): unknown => {
    const [first = '', second = ''] = words
    if (name === 'AUTH') {
      known = token === null || isSame(words.at(-1) ?? '', token)
      return known ? socket.write('+OK\r\n') : socket.end('-WRONGPASS invalid password\r\n')
    }
    // A redis begins with it, and goes on to AUTH only after this answer.
    if (name === 'PING') return socket.write(known ? '+PONG\r\n' : '-NOAUTH Authentication required.\r\n')
    if (!known) return socket.destroy()
    const offset = Number(second)
    if (name === 'REPLCONF' && first.toLowerCase() === 'ack') return Number.isSafeInteger(offset) && heard.acked(offset)
    if (name === 'REPLCONF') return socket.write('+OK\r\n')
    if (name !== 'PSYNC' || words.length !== 2 || !Number.isSafeInteger(offset) || hasAsked) return socket.destroy()
    hasAsked = true
    clearTimeout(late)
    return heard.asks({ replid: first, offset })
  }
  socket.on('data', (chunk: Buffer) => {
    pending = Buffer.concat([pending, chunk])
    try {
      for (;;) {
        // While it loads it sends empty lines, to say that it lives.
        const begin = pending.findIndex((byte) => byte !== newline)
        if (begin > 0) heard.lives()
        if (begin < 0) pending = Buffer.alloc(0)
        const parsed = begin < 0 ? 0 : parseReply(pending, begin)
        if (typeof parsed === 'number') break
        pending = pending.subarray(parsed.end)
        const [name = '', ...words] = wordsOf(parsed.reply)
        obey(name.toUpperCase(), words)
      }
      if (pending.length > maxPendingBytes) socket.destroy()
    } catch {
      socket.destroy()
    }
  })
}

function wordsOf(reply: RawReply): readonly string[] {
  if (!Array.isArray(reply)) throw new Error('no command')
  return reply.map((word: RawReply) => (Buffer.isBuffer(word) ? word.toString('latin1') : ''))
}

function isSame(told: string, token: string): boolean {
  const [a, b] = [Buffer.from(told), Buffer.from(token)]
  return a.length === b.length && timingSafeEqual(a, b)
}
