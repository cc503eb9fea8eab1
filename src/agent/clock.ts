/** CLOCK_MONOTONIC in ms: the same for all processes since the host booted, so that it outlives an agent restart. */
export function monotonicMs(): number {
  return Number(process.hrtime.bigint() / 1000n) / 1000
}

/** Measures how long this process' event loop stood still: silence "heard" meanwhile proves nothing. */
export interface StallMeter {
  /** The longest stall that ended within the last window, in ms. */
  readonly stalledMs: () => number
  readonly stop: () => void
}

const beatMs = 50
const windowMs = 300

export function startStallMeter(): StallMeter {
  let lastMs = monotonicMs()
  let worst = { stallMs: 0, atMs: 0 }
  const timer = setInterval(() => {
    const nowMs = monotonicMs()
    const stallMs = nowMs - lastMs - beatMs
    if (stallMs > worst.stallMs || nowMs - worst.atMs > windowMs) worst = { stallMs: Math.max(0, stallMs), atMs: nowMs }
    lastMs = nowMs
  }, beatMs)
  return {
    stalledMs: () => {
      const nowMs = monotonicMs()
      // The timer itself is late: the stall is going on, or has ended in this very turn of the loop.
      const runningMs = nowMs - lastMs - beatMs
      const recentMs = nowMs - worst.atMs <= windowMs ? worst.stallMs : 0
      return Math.max(recentMs, runningMs, 0)
    },
    stop: () => clearInterval(timer),
  }
}
