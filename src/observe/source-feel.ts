/** How long the source takes to answer somebody who asks for nothing: what its clients feel, measured beside them on a connection of its own. It reads nothing. */
import { openRedis, type RedisLink, type RedisTarget } from '../redis/link.ts'

const everyMs = 20
const keptMs = 2000
const connectDeadlineMs = 1000
const retryMs = 1000
/** Fewer answers tell nothing of one in a hundred. */
const enough = 25

export interface SourceFeel {
  /** Of the last two seconds; null: too few were measured. */
  readonly p99Ms: () => number | null
  readonly close: () => void
}

interface Sample {
  readonly atMs: number
  readonly tookMs: number
}

export function feelSource(target: RedisTarget, clock: () => number): SourceFeel {
  let samples: Sample[] = []
  let askedMs: number | null = null
  let isClosed = false
  let link: RedisLink | null = null

  async function round(): Promise<void> {
    while (!isClosed) {
      if (link === null) {
        const opened = await openRedis(target, connectDeadlineMs, () => {
          link = null
        })
        if (!opened.ok) await pause(retryMs)
        else if (isClosed) opened.value.close()
        else link = opened.value
        continue
      }
      askedMs = clock()
      await link.call(['PING'], Number.POSITIVE_INFINITY)
      // A refusal is an answer.
      if (link !== null) samples.push(...felt(askedMs, clock()))
      askedMs = null
      await pause(everyMs)
    }
  }
  void round()

  return {
    p99Ms: () => {
      const fromMs = clock() - keptMs
      samples = samples.filter(({ atMs }) => atMs >= fromMs)
      // One that has not been answered yet is no good sign.
      const open = askedMs !== null && clock() - askedMs > everyMs ? felt(askedMs, clock()) : []
      const all = [...samples, ...open.filter(({ atMs }) => atMs >= fromMs)]
      return all.length < enough ? null : p99(all.map(({ tookMs }) => tookMs))
    },
    close: () => {
      isClosed = true
      link?.close()
      link = null
    },
  }
}

/** Others who would have asked meanwhile would have waited as well: one answer after a long time is not one of many. */
function felt(askedMs: number, answeredMs: number): readonly Sample[] {
  const took: Sample[] = []
  for (let atMs = answeredMs, tookMs = answeredMs - askedMs; took.length === 0 || tookMs > 0; atMs -= everyMs, tookMs -= everyMs) took.push({ atMs, tookMs })
  return took
}

/** Nearest rank, so that it was really measured. */
function p99(tookMs: readonly number[]): number {
  const sorted = [...tookMs].sort((a, b) => a - b)
  return sorted[Math.ceil(sorted.length * 0.99) - 1] ?? 0
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms).unref())
}
