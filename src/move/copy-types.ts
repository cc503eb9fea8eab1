/**
 * One value by its elements, as commands that build it anew in any version: for where DUMP is refused or not read, and for what is large, so that neither server
 * is held up by it. What is written to meanwhile comes out wrong; a round finds it.
 */
import { RawError, type RawReply, type Word } from '../redis/raw.ts'
import { listOf, textOf } from './digest.ts'
import { streamPieces } from './copy-stream.ts'
import { notNow } from './copy-words.ts'

const pieceElements = 500
const pieceBytes = 256 * 1024

type Ask = (...words: readonly Word[]) => Promise<RawReply>

/** Commands that belong together: a piece of a value. */
export type Piece = readonly (readonly Word[])[]

/** In pieces. Throws where the source refuses; WRONGTYPE is `changed`: it is another one by now. */
export async function* piecesOf(ask: Ask, type: string, key: Buffer): AsyncGenerator<Piece, void, undefined> {
  if (type === 'stream') {
    yield* streamPieces(async (...words) => goodReply(await ask(...words)), key)
    return
  }
  let from: From | null = firstFrom
  while (from !== null) {
    const question = firstQuestion(type, key, from)
    if (question === null) throw new Error(`${type} is no type that has elements`)
    const taken: Taken = takePiece(type, key, goodReply(await ask(...question)), from)
    if (taken.piece.length > 0) yield taken.piece
    from = taken.next
  }
}

export const elementary: ReadonlySet<string> = new Set(['string', 'list', 'hash', 'set', 'zset'])

export interface From {
  /** Of strings and lists, an index; of the others a cursor. */
  readonly at: number
  readonly cursor: string
}
export const firstFrom: From = { at: 0, cursor: '0' }

/** null: no type that is read like this. */
export function firstQuestion(type: string, key: Buffer, { at, cursor }: From): readonly Word[] | null {
  switch (type) {
    case 'string':
      return ['GETRANGE', key, String(at), String(at + pieceBytes - 1)]
    case 'list':
      return ['LRANGE', key, String(at), String(at + pieceElements - 1)]
    case 'hash':
      return ['HSCAN', key, cursor, 'COUNT', String(pieceElements)]
    case 'set':
      return ['SSCAN', key, cursor, 'COUNT', String(pieceElements)]
    case 'zset':
      return ['ZSCAN', key, cursor, 'COUNT', String(pieceElements)]
    default:
      return null
  }
}

export interface Taken {
  readonly piece: Piece
  /** null: that was all. */
  readonly next: From | null
}

export function takePiece(type: string, key: Buffer, reply: RawReply, { at }: From): Taken {
  if (type === 'string') {
    const bytes = Buffer.isBuffer(reply) ? reply : Buffer.alloc(0)
    // An empty string is a value too.
    const piece: Piece = at === 0 ? [['SET', key, bytes]] : bytes.length === 0 ? [] : [['APPEND', key, bytes]]
    return { piece, next: bytes.length < pieceBytes ? null : { ...firstFrom, at: at + bytes.length } }
  }
  if (type === 'list') {
    const elements = listOf(reply) as readonly Buffer[]
    return { piece: written(['RPUSH', key], elements), next: elements.length < pieceElements ? null : { ...firstFrom, at: at + elements.length } }
  }
  const [cursor, found] = listOf(reply)
  const elements = listOf(found) as readonly Buffer[]
  const next = textOf(cursor) === '0' ? null : { at: 0, cursor: textOf(cursor) }
  if (type === 'set') return { piece: written(['SADD', key], elements), next }
  if (type === 'hash') return { piece: written(['HMSET', key], elements), next }
  const scored = elements.flatMap((member, i) => (i % 2 === 0 ? [elements[i + 1] ?? Buffer.from('0'), member] : []))
  return { piece: written(['ZADD', key], scored), next }
}

/** By some elements each: a hash that redis packs closely is told whole by one HSCAN. */
function written(command: readonly Word[], elements: readonly Buffer[]): Piece {
  const commands: (readonly Word[])[] = []
  const most = 2 * pieceElements
  for (let at = 0; at < elements.length; at += most) commands.push([...command, ...elements.slice(at, at + most)])
  return commands
}

function goodReply(reply: RawReply): RawReply {
  if (reply instanceof RawError) throw notNow.test(reply.text) ? new Error(reply.text) : new Changed(`the source says ${reply.text}`)
  return reply
}

/** What the source says to a question about one key: it is of another type by now, or gone. */
export class Changed extends Error {}
