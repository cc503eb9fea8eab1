/** How long a redis takes to answer somebody who asks for nothing: what its clients feel, measured beside them on a connection of its own. */
import type { Observed } from '../model/outcome.ts'
import { openRaw, type RawTarget } from '../redis/raw.ts'

const everyMs = 4
const keptMs = 600
const deadlineMs = 10_000

export interface Probe {
  /** Of the last half second or so, in ms. */
  readonly latenciesMs: () => readonly number[]
  readonly close: () => void
}

/** It ends by itself where the connection does: then nothing new is measured, which whoever goes by it takes for too slow. */
export async function startProbe(target: RawTarget): Promise<Observed<Probe>> {
  const opened = await openRaw(target, deadlineMs)
  if (!opened.ok) return opened
  const redis = opened.value
  let kept: { readonly atMs: number; readonly tookMs: number }[] = []
  let isClosed = false
  const round = async (): Promise<void> => {
    while (!isClosed) {
      const beganMs = performance.now()
      // Whoever may do nothing else may do that; and who has not come that far is not answered at all.
      await redis.call('PING')
      const atMs = performance.now()
      // Others who would have asked meanwhile would have waited as well: one answer after a long time is not one of many.
      for (let tookMs = atMs - beganMs; tookMs > 0; tookMs -= everyMs) kept.push({ atMs, tookMs })
      await new Promise((resolve) => setTimeout(resolve, everyMs))
    }
  }
  round().catch(() => {
    isClosed = true
  })
  return {
    ok: true,
    value: {
      latenciesMs: () => {
        const fromMs = performance.now() - keptMs
        kept = kept.filter(({ atMs }) => atMs >= fromMs)
        return kept.map(({ tookMs }) => tookMs)
      },
      close: () => {
        isClosed = true
        redis.close()
      },
    },
  }
}
