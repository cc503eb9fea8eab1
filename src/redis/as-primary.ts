/**
 * Plays the primary of one redis on this machine: whoever owns it says what that redis gets when it asks (PSYNC). An RDB's LAST PIECE AND ITS
 * MARK ARE HELD BACK until the RDB has come to its end without an error: no redis comes to serve half of one, nor one that is not proven.
 * Bytes of the stream are handed over as they are, and none is added: a PING of ours would move every offset behind it. So its redis needs a
 * `repl-timeout` beyond every wait for the source. Must not know whose data they are, nor where redis runs.
 */
import { randomBytes } from 'node:crypto'
import { createServer, type Socket } from 'node:net'
import { RawError, type RawRedis } from './raw.ts'
import { greet, type Asked } from './replica-talk.ts'

type Pieces = AsyncIterable<Buffer>

/** `continue`: from exactly the byte that was asked for, as a history of that name where it has another one. `then`: from the one after `offset`, which is that of the RDB. */
export type Answer = { readonly continue: Pieces; readonly replid?: string } | { readonly full: Full } | { readonly refuse: string }

interface Full {
  readonly replid: string
  readonly offset: number
  readonly rdb: Pieces
  readonly after: Pieces
}

export interface AsPrimary {
  readonly port: number
  /** What a redis must know before it is given anything: any user of this machine could connect. */
  readonly token: string
  /** Up to where redis says that it has applied the stream. -1: it has said nothing yet. */
  readonly acked: () => number
  /**
   * Until redis says so of this offset; at an RDB's own: it is loaded. Rejects with RedisHungUp where redis goes away before it has all, with
   * what a source throws, and where redis does nothing for too long. redis may attach again: then `asked` is called again, and this may be too.
   */
  readonly until: (offset: number) => Promise<void>
  readonly close: () => Promise<void>
}

/** It reads no more. The code is that of a pipe whose reader has gone: see isHangUp. */
export class RedisHungUp extends Error {
  readonly code = 'EPIPE'
  constructor(words: string) {
    super(words)
    this.name = 'RedisHungUp'
  }
}

export interface PrimaryLimits {
  /** Of a connection, until it asks for data. */
  readonly greetingMs: number
  /** Of a redis that has to attach, to read on or to apply. */
  readonly standstillMs: number
}

const usual: PrimaryLimits = { greetingMs: 10_000, standstillMs: 120_000 }
const maxConnections = 8
/** Made ahead of what the kernel takes. */
const aheadBytes = 1024 * 1024

type Ask = (what: Asked) => Answer | Promise<Answer>

/** Where it is found, and what is to be known there; null: nothing. */
export interface Door {
  readonly host: string
  readonly port: number
  readonly token: string | null
}

export async function openAsPrimary(asked: Ask, limits: PrimaryLimits = usual, door?: Door): Promise<AsPrimary> {
  const { host, port, token }: Door = door ?? { host: '127.0.0.1', port: 0, token: randomBytes(24).toString('hex') }
  const state = newState(limits.standstillMs)
  const sockets = new Set<Socket>()
  const server = createServer({ noDelay: true, highWaterMark: aheadBytes }, (socket) => {
    sockets.add(socket)
    socket.on('error', () => undefined) // `close` tells it as well.
    socket.once('close', () => sockets.delete(socket))
    greet(socket, token, limits.greetingMs, {
      acked: (offset) => socket === state.served && state.confirm(offset),
      lives: () => socket === state.served && state.progress(),
      asks: (what) => void serve(socket, what, asked, state),
    })
  })
  server.maxConnections = maxConnections
  await new Promise<void>((resolve, reject) => server.once('error', reject).listen(port, host, resolve))
  const address = server.address()
  return {
    port: typeof address === 'object' && address !== null ? address.port : 0,
    token: token ?? '',
    acked: () => state.acked,
    until: (offset) => until(offset, state),
    close: async () => {
      state.fail(new Error('closed'))
      state.isClosed = true
      for (const socket of sockets) socket.destroy()
      await new Promise<void>((resolve) => server.close(() => resolve()))
    },
  }
}

/** Makes `redis` its replica. The token is not on a command line, which all users of a machine can read. */
export async function follow(redis: RawRedis, { port, token }: Pick<AsPrimary, 'port' | 'token'>): Promise<void> {
  for (const words of [
    ['CONFIG', 'SET', 'masterauth', token],
    ['REPLICAOF', '127.0.0.1', String(port)],
  ]) {
    const answer = await redis.call(...words)
    if (answer instanceof RawError) throw new Error(`redis refuses ${words[0]}: ${answer.text}`)
  }
}

interface State {
  readonly standstillMs: number
  /** The connection that asked last. */
  served: Socket | null
  acked: number
  /** Why the last answer was not handed over; until redis asks again. */
  failure: Error | null
  isClosed: boolean
  /** It is the source that is waited for. */
  sourceIsAsked: boolean
  progressAtMs: number
  readonly waiting: Set<() => void>
  readonly progress: () => void
  readonly confirm: (offset: number) => void
  readonly fail: (error: Error) => void
}

function newState(standstillMs: number): State {
  const state: State = {
    standstillMs,
    served: null,
    acked: -1,
    failure: null,
    isClosed: false,
    sourceIsAsked: false,
    progressAtMs: performance.now(),
    waiting: new Set(),
    progress: () => {
      state.progressAtMs = performance.now()
      for (const wake of state.waiting) wake()
    },
    confirm: (offset) => {
      if (offset <= state.acked) return
      state.acked = offset
      state.progress()
    },
    fail: (error) => {
      if (!state.isClosed) state.failure = error
      state.progress()
    },
  }
  return state
}

async function until(offset: number, state: State): Promise<void> {
  state.progressAtMs = performance.now()
  for (;;) {
    if (state.failure !== null) throw state.failure
    if (state.acked >= offset) return
    const leftMs = state.standstillMs - (state.sourceIsAsked ? 0 : performance.now() - state.progressAtMs)
    if (leftMs <= 0) throw new Error(`redis ${state.served === null ? 'has not attached' : 'has read and applied nothing'} for ${state.standstillMs / 1000} s`)
    await new Promise<void>((resolve) => {
      const late = setTimeout(() => wake(), leftMs)
      const wake = (): void => {
        clearTimeout(late)
        state.waiting.delete(wake)
        resolve()
      }
      state.waiting.add(wake)
    })
  }
}

interface Hold {
  readonly socket: Socket
  readonly state: State
  /** Rejects when the connection is over. */
  readonly gone: Promise<never>
  /** Of the last byte of the stream that was handed over. */
  offset: number
}

async function serve(socket: Socket, what: Asked, asked: Ask, state: State): Promise<void> {
  // A redis that attaches again has given up the connection before, whatever TCP knows of it.
  state.served?.destroy()
  state.served = socket
  state.acked = -1
  if (!state.isClosed) state.failure = null
  const gone = new Promise<never>((_resolve, reject) => {
    socket.once('close', () =>
      reject(new RedisHungUp(`redis hung up; it has said that it applied ${state.acked < 0 ? 'nothing' : `all up to ${state.acked}`}`)),
    )
  })
  const hold: Hold = { socket, state, gone, offset: what.offset - 1 }
  let hasAll = false
  try {
    const answer = await fromSource(hold, async () => asked(what))
    if ('refuse' in answer) {
      // The one answer after which redis keeps what it has, and asks again later.
      socket.end(`-NOMASTERLINK ${answer.refuse.replaceAll(/[\r\n]+/g, ' ')}\r\n`)
      throw new Error(`redis asked for ${what.replid} from ${what.offset} on: ${answer.refuse}`)
    }
    if ('full' in answer) await handOverWhole(hold, answer.full)
    else {
      socket.write(answer.replid === undefined ? '+CONTINUE\r\n' : `+CONTINUE ${answer.replid}\r\n`)
      await handOver(hold, answer.continue)
    }
    hasAll = true
    state.progress()
    await gone
  } catch (error) {
    socket.destroySoon()
    if (state.served !== socket) return
    state.served = null
    if (!hasAll || state.acked < hold.offset) state.fail(error as Error)
  }
}

async function handOverWhole(hold: Hold, { replid, offset, rdb, after }: Full): Promise<void> {
  const mark = randomBytes(20).toString('hex')
  hold.socket.write(`+FULLRESYNC ${replid} ${offset}\r\n$EOF:${mark}\r\n`)
  let held: Buffer | null = null
  for await (const piece of whileThere(hold, rdb)) {
    if (held !== null) await write(hold, held)
    held = piece
  }
  if (held !== null) await write(hold, held)
  await write(hold, Buffer.from(mark))
  hold.offset = offset
  // What comes right behind the mark redis would take for a part of the RDB, or lose.
  await Promise.race([until(offset, hold.state), hold.gone])
  await handOver(hold, after)
}

async function handOver(hold: Hold, pieces: Pieces): Promise<void> {
  for await (const piece of whileThere(hold, pieces)) {
    await write(hold, piece)
    hold.offset += piece.length
  }
}

/** A source that is waited for does not hide that redis has gone. */
async function* whileThere(hold: Hold, pieces: Pieces): AsyncGenerator<Buffer, void, undefined> {
  const iterator = pieces[Symbol.asyncIterator]()
  try {
    for (;;) {
      const next = await fromSource(hold, () => iterator.next())
      if (next.done === true) return
      if (next.value.length > 0) yield next.value
    }
  } finally {
    // Not waited for: it may be in the middle of a wait of its own.
    Promise.resolve(iterator.return?.()).catch(() => undefined)
  }
}

async function fromSource<T>({ state, gone }: Hold, work: () => Promise<T>): Promise<T> {
  state.sourceIsAsked = true
  try {
    // What wins against a promise that lives as long as the connection is kept as long: so nothing wins that holds a piece.
    const done: T[] = []
    await Promise.race([work().then((value) => void done.push(value)), gone])
    return done[0] as T
  } finally {
    state.sourceIsAsked = false
    state.progress()
  }
}

async function write({ socket, state, gone }: Hold, piece: Buffer): Promise<void> {
  if (!socket.write(piece)) {
    let late: NodeJS.Timeout | undefined
    const stands = new Promise<never>((_resolve, reject) => {
      late = setTimeout(() => reject(new Error(`redis has read nothing for ${state.standstillMs / 1000} s`)), state.standstillMs)
    })
    const drained = new Promise<void>((resolve) => socket.once('drain', resolve))
    await Promise.race([drained, gone, stands]).finally(() => clearTimeout(late))
  }
  state.progress()
}
