/**
 * A piece of a redis' replication stream, asked for as a replica would (PSYNC): from one offset to another, to disk or memory.
 * It never takes a full sync: it hangs up on +FULLRESYNC. Every wait has a deadline, every answer a limit.
 */
import { createHash } from 'node:crypto'
import { open } from 'node:fs/promises'
import { connect, type Socket } from 'node:net'
import type { Observed } from '../model/outcome.ts'
import { noReplicaPort } from './info.ts'
import type { RedisTarget } from './link.ts'

const maxLineBytes = 4096

export interface Piece {
  readonly replid: string
  readonly from: number
  /** Offset of the last byte wanted. */
  readonly to: number
}

export interface PsyncLimits {
  readonly deadlineMs: number
  readonly maxBytes: number
}

/** Attached at `from`: `first` came with the answer, the rest comes from the socket, which is paused. */
export interface Attached {
  readonly socket: Socket
  /** Of the history that redis goes on with: another one than was asked for where that was promoted into it. */
  readonly replid: string
  readonly first: Buffer
}

/** `{ ok: false }` also where redis would only give a full sync: its backlog does not reach so far back. */
export async function attach(target: RedisTarget, replid: string, from: number, deadlineMs: number): Promise<Observed<Attached>> {
  const endMs = performance.now() + deadlineMs
  const begun = await greet(target, deadlineMs, ['psync2'])
  if (!begun.ok) return begun
  const { socket, lines } = begun.value
  const timer = setTimeout(() => socket.destroy(new Error(`no answer to PSYNC within ${deadlineMs} ms`)), Math.max(1, endMs - performance.now()))
  try {
    socket.write(encode(['PSYNC', replid, String(from)]))
    const answer = await lines.next()
    const goesOn = /^\+CONTINUE(?: ([0-9a-f]{40}))?$/.exec(answer)
    if (goesOn !== null) return { ok: true, value: { socket, replid: goesOn[1] ?? replid, first: lines.rest() } }
    socket.destroy()
    return { ok: false, why: answer.startsWith('+FULLRESYNC') ? `only a full sync is left of offset ${from}` : answer }
  } catch (error) {
    socket.destroy()
    return { ok: false, why: (error as Error).message }
  } finally {
    clearTimeout(timer)
  }
}

type Lines = ReturnType<typeof lineReader>

export interface Greeted {
  readonly socket: Socket
  readonly lines: Lines
}

/** Up to where a replica would ask for data. By its port whoever counts replicas knows that it is none. */
export async function greet(
  target: RedisTarget,
  deadlineMs: number,
  capabilities: readonly string[],
  more: readonly string[] = [],
): Promise<Observed<Greeted>> {
  const socket = connect({ host: target.host, port: target.port, noDelay: true })
  const lines = lineReader(socket)
  const timer = setTimeout(() => socket.destroy(new Error(`no answer within ${deadlineMs} ms`)), deadlineMs)
  const fail = (why: string): Observed<never> => {
    socket.destroy()
    return { ok: false, why }
  }
  try {
    const ask = async (...words: readonly string[]): Promise<string> => {
      socket.write(encode(words))
      return lines.next()
    }
    if (target.password !== undefined) {
      const answer = await ask('AUTH', target.password)
      if (answer !== '+OK') return fail(answer)
    }
    // An old redis does not know every word; what counts is its answer to PSYNC.
    await ask('REPLCONF', 'listening-port', String(noReplicaPort))
    for (const word of capabilities) await ask('REPLCONF', 'capa', word)
    if (more.length > 0) await ask('REPLCONF', ...more)
    return { ok: true, value: { socket, lines } }
  } catch (error) {
    return fail((error as Error).message)
  } finally {
    clearTimeout(timer)
  }
}

/** Attaches as a new replica would, and leaves as soon as `heard` says that redis has noticed. Takes no data. */
export async function knock(target: RedisTarget, deadlineMs: number, heard: () => Promise<boolean>): Promise<Observed<null>> {
  const endMs = performance.now() + deadlineMs
  const begun = await greet(target, deadlineMs, ['eof', 'psync2'])
  if (!begun.ok) return begun
  const { socket } = begun.value
  try {
    socket.write(encode(['PSYNC', '?', '-1']))
    while (!(await heard())) {
      if (performance.now() > endMs) return { ok: false, why: `nothing came of PSYNC within ${deadlineMs} ms` }
      await new Promise((resolve) => setTimeout(resolve, 2))
    }
    return { ok: true, value: null }
  } finally {
    socket.destroy()
  }
}

/** Writes exactly the piece to `file` and syncs it. What is left of a failure is only a file that nobody relies on. */
export async function capture(target: RedisTarget, piece: Piece, file: string, limits: PsyncLimits): Promise<Observed<{ readonly sha256: string }>> {
  const hash = createHash('sha256')
  const handle = await open(file, 'w', 0o640)
  try {
    const read = await readPiece(target, piece, limits, async (chunk) => {
      hash.update(chunk)
      await handle.write(chunk)
    })
    if (!read.ok) return read
    await handle.sync()
    return { ok: true, value: { sha256: hash.digest('hex') } }
  } catch (error) {
    return { ok: false, why: (error as Error).message }
  } finally {
    await handle.close()
  }
}

/** The piece in memory, for a look at a few megabytes. */
export async function fetchPiece(target: RedisTarget, piece: Piece, limits: PsyncLimits): Promise<Observed<Buffer>> {
  const chunks: Buffer[] = []
  const read = await readPiece(target, piece, limits, (chunk) => {
    chunks.push(chunk)
  })
  return read.ok ? { ok: true, value: Buffer.concat(chunks) } : read
}

async function readPiece(target: RedisTarget, piece: Piece, limits: PsyncLimits, give: (chunk: Buffer) => void | Promise<void>): Promise<Observed<null>> {
  const wanted = piece.to - piece.from + 1
  if (wanted <= 0) return { ok: true, value: null }
  if (wanted > limits.maxBytes) return { ok: false, why: `${wanted} bytes are above the limit of ${limits.maxBytes}` }
  const endMs = performance.now() + limits.deadlineMs
  const attached = await attach(target, piece.replid, piece.from, limits.deadlineMs)
  if (!attached.ok) return attached
  const { socket, first } = attached.value
  const timer = setTimeout(() => socket.destroy(new Error(`not all of ${wanted} bytes within ${limits.deadlineMs} ms`)), Math.max(1, endMs - performance.now()))
  let left = wanted
  const take = async (chunk: Buffer): Promise<void> => {
    const mine = chunk.subarray(0, left)
    left -= mine.length
    if (mine.length > 0) await give(mine)
  }
  try {
    await take(first)
    if (left > 0) {
      for await (const chunk of socket) {
        await take(chunk as Buffer)
        if (left === 0) break
      }
    }
    return left === 0 ? { ok: true, value: null } : { ok: false, why: `the stream ended ${left} bytes early` }
  } catch (error) {
    return { ok: false, why: (error as Error).message }
  } finally {
    clearTimeout(timer)
    socket.destroy()
  }
}

export function encode(words: readonly (string | Buffer)[]): Buffer {
  const parts: Buffer[] = [Buffer.from(`*${words.length}\r\n`)]
  for (const word of words) {
    const bytes = typeof word === 'string' ? Buffer.from(word) : word
    parts.push(Buffer.from(`$${bytes.length}\r\n`), bytes, Buffer.from('\r\n'))
  }
  return Buffer.concat(parts)
}

/** The handshake's lines; what follows them in the same packet is handed out by `rest`, and the socket is left paused. */
function lineReader(socket: Socket): { readonly next: () => Promise<string>; readonly rest: () => Buffer } {
  let pending: Buffer = Buffer.alloc(0)
  let waiting: { readonly resolve: (line: string) => void; readonly reject: (error: Error) => void } | null = null
  let ended: Error | null = null
  const serve = (): void => {
    const end = pending.indexOf('\r\n')
    if (waiting === null) return
    if (end >= 0) {
      const line = pending.toString('latin1', 0, end)
      pending = pending.subarray(end + 2)
      const { resolve } = waiting
      waiting = null
      resolve(line)
    } else if (ended !== null || pending.length > maxLineBytes) {
      waiting.reject(ended ?? new Error('what answers is not redis'))
      waiting = null
    }
  }
  const onData = (chunk: Buffer): void => {
    pending = Buffer.concat([pending, chunk])
    serve()
  }
  const onEnd = (): void => {
    ended ??= new Error('redis hung up')
    serve()
  }
  socket.on('data', onData)
  socket.on('error', (error) => {
    ended = error
    serve()
  })
  socket.on('end', onEnd)
  socket.on('close', onEnd)
  return {
    next: () =>
      new Promise<string>((resolve, reject) => {
        waiting = { resolve, reject }
        serve()
      }),
    rest: () => {
      socket.pause()
      socket.off('data', onData)
      const rest = pending
      pending = Buffer.alloc(0)
      return rest
    },
  }
}
