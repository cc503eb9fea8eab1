/**
 * How long a store may say nothing, and how a stream is read from somebody who may stop in the middle. A disk whose server is gone, or a
 * connection that a firewall has forgotten, never fails: it only never answers.
 */

export interface Patience {
  /** Until a connection is there. */
  readonly connectMs: number
  /** Without one byte from the store while it is waited for. Of whoever gives the data nothing is known: he has bounds of his own. */
  readonly silentMs: number
}

export const patience: Patience = { connectMs: 20_000, silentMs: 60_000 }

/** What was begun is tidied up, unless that takes longer. */
export const tidyMs = 1000

export class Silent extends Error {
  constructor(ms: number) {
    super(`it has said nothing for ${ms / 1000} s`)
  }
}

/** In words already: such as what whoever gave the data says, which is no fault of the store and not to be told as one. */
export class InWords extends Error {}

/** Throws Silent, or the reason of the signal; what was waited for then goes on unheard. `ms`: null where it may take as long as it likes. */
export async function within<T>(ms: number | null, signal: AbortSignal | undefined, work: Promise<T>): Promise<T> {
  work.catch(() => undefined)
  signal?.throwIfAborted()
  let timer: NodeJS.Timeout | undefined
  let stop = (): void => undefined
  const enough = new Promise<never>((_, reject) => {
    if (ms !== null) timer = setTimeout(() => reject(new Silent(ms)), ms)
    stop = () => reject(signal?.reason as Error)
    signal?.addEventListener('abort', stop)
  })
  try {
    return await Promise.race([work, enough])
  } finally {
    clearTimeout(timer)
    signal?.removeEventListener('abort', stop)
  }
}

/** What is still to be tidied up after a failure that is told already. */
export async function tidied(work: Promise<unknown>): Promise<void> {
  await within(tidyMs, undefined, work).catch(() => undefined)
}

/** The data of a put: ends at once when it is called off, even while their source says nothing. */
export async function* given(chunks: AsyncIterable<Buffer>, signal: AbortSignal): AsyncGenerator<Buffer, void, undefined> {
  const source = chunks[Symbol.asyncIterator]()
  let ended = false
  try {
    for (;;) {
      const next = await within(null, signal, source.next())
      if (next.done === true) {
        ended = true
        return
      }
      yield next.value
    }
  } catch (error) {
    if (signal.aborted) throw error
    ended = true
    throw new InWords((error as Error).message)
  } finally {
    // Not waited for: a generator that waits for its own source ends only after that.
    if (!ended) void source.return?.().catch(() => undefined)
  }
}

export interface Reading {
  /** null: the store has not said how many there are. */
  readonly bytes: number | null
  readonly silentMs: number
  readonly signal: AbortSignal
  /** For an error in the middle. */
  readonly inWords: (error: unknown) => string
  /** Ends what still runs. A stream that waits does not hear that nobody reads it any more. */
  readonly hangUp: () => void
}

/** The data of a get: all of them, or an error. */
export async function* whole(chunks: AsyncIterable<Buffer>, { bytes, silentMs, signal, inWords, hangUp }: Reading): AsyncGenerator<Buffer, void, undefined> {
  const source = chunks[Symbol.asyncIterator]()
  let got = 0
  try {
    for (;;) {
      const next = await within(silentMs, signal, source.next()).catch((error: unknown) => {
        throw new Error(inWords(error))
      })
      if (next.done === true) break
      got += next.value.length
      yield next.value
    }
    if (bytes !== null && got !== bytes) throw new Error(`it ends after ${got} of ${bytes} bytes`)
  } finally {
    hangUp()
  }
}
