/** Both count the same clock, one since the host booted, the other since this process began; the other is the cheaper one to ask. */
const beganMs = Number(process.hrtime.bigint() / 1000n) / 1000 - performance.now()

/** CLOCK_MONOTONIC in ms: the same for all processes since the host booted, so that it outlives an agent restart. */
export function monotonicMs(): number {
  return beganMs + performance.now()
}

/**
 * Measures how long this process' event loop stood still: silence "heard" meanwhile proves nothing. It has no timer of its
 * own (waking up is most of what an idle agent costs): whoever beats regularly calls `tick`.
 */
export interface StallMeter {
  readonly tick: () => void
  /** The longest stall that ended within the last window, in ms. */
  readonly stalledMs: () => number
}

const windowMs = 300

/** `everyMs`: when `tick` is due. */
export function stallMeter(everyMs: number): StallMeter {
  let lastMs = monotonicMs()
  let worst = { stallMs: 0, atMs: 0 }
  return {
    tick: () => {
      const nowMs = monotonicMs()
      const stallMs = nowMs - lastMs - everyMs
      if (stallMs > worst.stallMs || nowMs - worst.atMs > windowMs) worst = { stallMs: Math.max(0, stallMs), atMs: nowMs }
      lastMs = nowMs
    },
    stalledMs: () => {
      const nowMs = monotonicMs()
      // The tick itself is late: the stall is going on, or has ended in this very turn of the loop.
      const runningMs = nowMs - lastMs - everyMs
      const recentMs = nowMs - worst.atMs <= windowMs ? worst.stallMs : 0
      return Math.max(recentMs, runningMs, 0)
    },
  }
}
