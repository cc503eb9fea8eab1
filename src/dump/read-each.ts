/** Many small things of a store, some at once: a store far away answers each in some 50 ms. Read in part is not read at all. */
import type { Observed } from '../model/outcome.ts'

const atOnce = 8

/** In no order. `read`: null for what has been removed meanwhile. Ends at the first that cannot be read, and when `signal` says so. */
export async function readEach<T, R>(all: readonly T[], read: (one: T) => Promise<Observed<R | null>>, signal: AbortSignal): Promise<Observed<readonly R[]>> {
  const left = [...all]
  const found: R[] = []
  let failed: string | null = null
  const work = async (): Promise<void> => {
    for (let one = left.shift(); one !== undefined && failed === null && !signal.aborted; one = left.shift()) {
      const it = await read(one)
      if (!it.ok) failed = it.why
      else if (it.value !== null) found.push(it.value)
    }
  }
  await Promise.all(Array.from({ length: atOnce }, work))
  if (signal.aborted) return { ok: false, why: 'broken off' }
  return failed === null ? { ok: true, value: found } : { ok: false, why: failed }
}
