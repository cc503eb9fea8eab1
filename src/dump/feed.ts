/**
 * An RDB into a redis that reads it from a pipe under the name of its file, while it is still being fetched: loading takes no longer than
 * the slower of the two, and no disk holds the data on the way (nor, of an encrypted backup, ever reads them in the clear).
 * THE LAST PIECE IS HELD BACK until all of it is proven: no redis can come to serve what is not, for without its end it ends itself.
 * What comes before is made while redis still reads: a pipe holds no more than redis reads in a fraction of a millisecond.
 */
import { execFile } from 'node:child_process'
import { constants, openSync } from 'node:fs'
import { Socket } from 'node:net'
import { promisify } from 'node:util'
import type { Chunks } from './measure.ts'

/** A redis that is alive opens its file within seconds, and reads on after some milliseconds. */
const standstillMs = 120_000
const askAgainMs = 5
const aheadBytes = 1024 * 1024

export async function makePipe(file: string): Promise<void> {
  await promisify(execFile)('mkfifo', ['-m', '600', file])
}

export interface Reader {
  readonly hasEnded: () => boolean
}

/** `proven`: called when all has come and nothing was wrong with it, before its end is handed over. Throws with the code EPIPE where the reader is gone. */
export async function feed(pipe: string, chunks: Chunks, reader: Reader, signal: AbortSignal, proven: () => Promise<void>): Promise<void> {
  const socket = new Socket({ fd: await opened(pipe, reader, signal), readable: false, writable: true })
  const write = writer(socket)
  const hangUp = (): void => void socket.destroy()
  signal.addEventListener('abort', hangUp)
  try {
    let held: Buffer | null = null
    for await (const chunk of chunks) {
      if (chunk.length === 0) continue
      if (held !== null) await write(held, aheadBytes)
      held = chunk
    }
    await proven()
    if (held !== null) await write(held, 0)
  } catch (error) {
    signal.throwIfAborted()
    throw error
  } finally {
    signal.removeEventListener('abort', hangUp)
    socket.destroy()
  }
}

/** A pipe that nobody reads yet refuses a writer that would not wait; waiting for it inside of `open` could not be called off. */
async function opened(pipe: string, reader: Reader, signal: AbortSignal): Promise<number> {
  const endMs = performance.now() + standstillMs
  for (;;) {
    signal.throwIfAborted()
    try {
      return openSync(pipe, constants.O_WRONLY | constants.O_NONBLOCK)
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENXIO') throw error
    }
    if (reader.hasEnded()) throw gone()
    if (performance.now() > endMs) throw new Error(`redis does not begin to read within ${standstillMs / 1000} s`)
    await new Promise((resolve) => setTimeout(resolve, askAgainMs))
  }
}

/** Waits while redis has more than `ahead` still to read. Fails with what went wrong first: what is written to a pipe after that has an error of its own. */
function writer(socket: Socket): (chunk: Buffer, ahead: number) => Promise<void> {
  let failure: Error | null = null
  socket.on('error', (error) => {
    failure ??= error
  })
  return async (chunk, ahead) => {
    if (failure !== null) throw failure
    if (socket.writableLength + chunk.length <= ahead) return void socket.write(chunk)
    let late: NodeJS.Timeout | undefined
    await new Promise<void>((resolve, reject) => {
      late = setTimeout(() => reject(new Error(`redis has read nothing for ${standstillMs / 1000} s`)), standstillMs)
      socket.write(chunk, (error) => (error == null ? resolve() : reject(failure ?? error)))
    }).finally(() => clearTimeout(late))
  }
}

function gone(): Error {
  return Object.assign(new Error('redis has ended'), { code: 'EPIPE' })
}
