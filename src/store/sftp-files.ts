/**
 * The files of an SSH server as promises: one question each, with a bound. An answer that refuses is a Refused, which names the path; what
 * it means is said elsewhere.
 */
import { setMaxListeners } from 'node:events'
import type { FileEntryWithStats, SFTPWrapper, Stats } from 'ssh2'
import { InWords, within } from './patience.ts'

/** As the protocol numbers them; the last three come from few servers. */
export const status = { missing: 2, denied: 3, failure: 4, unsupported: 8, readOnly: 12, full: 14, quota: 15 } as const

export class Refused extends Error {
  readonly path: string
  readonly status: number
  constructor(path: string, refusal: number, message: string) {
    super(message)
    this.path = path
    this.status = refusal
  }
}

/** Every server takes so much in one piece. So many are on their way at once, or the time of each journey would be the pace. */
const [pieceBytes, piecesAhead] = [31 * 1024, 32]

export interface Files {
  readonly stat: (path: string) => Promise<Stats>
  readonly folder: (path: string) => Promise<readonly FileEntryWithStats[]>
  readonly makeFolder: (path: string) => Promise<void>
  readonly removeFolder: (path: string) => Promise<void>
  readonly remove: (path: string) => Promise<void>
  /** The same, also when what it was for has been called off. */
  readonly discard: (path: string) => Promise<void>
  /** Replaces what is there, in one step where the server can. */
  readonly rename: (from: string, to: string) => Promise<void>
  /** null: the server does not say. */
  readonly freeBytes: (path: string) => Promise<number | null>
  readonly create: (path: string) => Promise<Handle>
  readonly open: (path: string) => Promise<Handle>
}

export interface Handle {
  readonly bytes: () => Promise<number>
  readonly write: (chunks: AsyncIterable<Buffer>) => Promise<void>
  /** So many from the start. */
  readonly read: (bytes: number) => AsyncGenerator<Buffer, void, undefined>
  /** As far as the server can. */
  readonly sync: () => Promise<void>
  readonly close: () => Promise<void>
  /** The same, also when what it was for has been called off. */
  readonly letGo: () => Promise<void>
}

type Answer<T> = (error: Error | null | undefined, value: T) => void
type Ask = <T = undefined>(path: string, question: (answer: Answer<T>) => void) => Promise<T>

export function filesOf(sftp: SFTPWrapper, silentMs: number, signal: AbortSignal | undefined): Files {
  // Each piece on its way listens to it.
  if (signal !== undefined) setMaxListeners(0, signal)
  const ask: Ask = (path, question) => within(silentMs, signal, asked(path, question))
  const done = async (path: string, question: (answer: (error?: Error | null) => void) => void): Promise<void> => {
    await ask(path, (answer) => question((error) => answer(error, undefined)))
  }
  const remove: Files['remove'] = (path) => done(path, (answer) => sftp.unlink(path, answer))
  return {
    remove,
    discard: (path) =>
      within(
        silentMs,
        undefined,
        asked<undefined>(path, (answer) => sftp.unlink(path, (error) => answer(error, undefined))),
      ),
    stat: (path) => ask(path, (answer) => sftp.stat(path, answer)),
    folder: (path) => ask(path, (answer) => sftp.readdir(path, answer)),
    makeFolder: (path) => done(path, (answer) => sftp.mkdir(path, { mode: 0o700 }, answer)),
    removeFolder: (path) => done(path, (answer) => sftp.rmdir(path, answer)),
    rename: async (from, to) => {
      if (await offered(done(to, (answer) => sftp.ext_openssh_rename(from, to, answer)))) return
      // Without the extension a rename never replaces: there is a moment without either.
      await remove(to).catch((error: unknown) => {
        if (!(error instanceof Refused && error.status === status.missing)) throw error
      })
      await done(to, (answer) => sftp.rename(from, to, answer))
    },
    freeBytes: async (path) => {
      const disk = await ask<{ f_bavail: number; f_frsize: number }>(path, (answer) => sftp.ext_openssh_statvfs(path, answer)).catch(() => null)
      return disk === null ? null : disk.f_bavail * disk.f_frsize
    },
    create: async (path) => handleOf(sftp, ask, path, await ask(path, (answer) => sftp.open(path, 'wx', { mode: 0o600 }, answer))),
    open: async (path) => handleOf(sftp, ask, path, await ask(path, (answer) => sftp.open(path, 'r', answer))),
  }
}

function handleOf(sftp: SFTPWrapper, ask: Ask, path: string, handle: Buffer): Handle {
  const readPiece = async (at: number, length: number): Promise<Buffer> => {
    const piece = Buffer.allocUnsafeSlow(length)
    for (let got = 0; got < length; ) {
      const more = await ask<number>(path, (answer) => sftp.read(handle, piece, got, length - got, at + got, answer))
      if (more === 0) throw new InWords(`${path} ends after ${at + got} bytes: somebody has changed it`)
      got += more
    }
    return piece
  }
  const close = (answer: Answer<undefined>): void => sftp.close(handle, (error) => answer(error, undefined))
  return {
    bytes: async () => (await ask<Stats>(path, (answer) => sftp.fstat(handle, answer))).size,
    write: async (chunks) => {
      const line = inLine<unknown>()
      let at = 0
      for await (const chunk of chunks) {
        for (let from = 0; from < chunk.length; from += pieceBytes) {
          const [bytes, position] = [Math.min(pieceBytes, chunk.length - from), at]
          if (line.length() === piecesAhead) await line.next()
          line.add(ask<number>(path, (answer) => sftp.write(handle, chunk, from, bytes, position, (error) => answer(error, bytes))))
          at += bytes
        }
      }
      while (line.length() > 0) await line.next()
    },
    read: async function* read(bytes) {
      const line = inLine<Buffer>()
      for (let at = 0; at < bytes || line.length() > 0; ) {
        for (; at < bytes && line.length() < piecesAhead; at += pieceBytes) line.add(readPiece(at, Math.min(pieceBytes, bytes - at)))
        yield await line.next()
      }
    },
    sync: async () => void (await offered(ask(path, (answer: Answer<undefined>) => sftp.ext_openssh_fsync(handle, answer)))),
    close: async () => void (await ask(path, close)),
    letGo: () => asked(path, close),
  }
}

function asked<T>(path: string, question: (answer: Answer<T>) => void): Promise<T> {
  return new Promise((resolve, reject) => {
    question((thrown, value) => {
      const error = thrown as (Error & { readonly code?: unknown }) | null | undefined
      if (error === null || error === undefined) resolve(value)
      else reject(typeof error.code === 'number' ? new Refused(path, error.code, error.message) : error)
    })
  })
}

/** false: an extension that the server has not. */
async function offered(work: Promise<unknown>): Promise<boolean> {
  try {
    await work
    return true
  } catch (error) {
    if (error instanceof Refused ? error.status === status.unsupported : (error as Error).message.includes('does not support this extended request'))
      return false
    throw error
  }
}

interface InLine<T> {
  readonly length: () => number
  readonly add: (work: Promise<T>) => void
  readonly next: () => Promise<T>
}

/** What was begun, in its order. An error is thrown where it is waited for. */
function inLine<T>(): InLine<T> {
  const line: Promise<T>[] = []
  return {
    length: () => line.length,
    add: (work) => {
      work.catch(() => undefined)
      line.push(work)
    },
    next: () => line.shift() as Promise<T>,
  }
}
