/**
 * How often the Sentinels of a group are asked. Events tell what happens within a millisecond; a poll is there for what no event says: that a Sentinel
 * still hears this primary, and that it still answers. No IO.
 */

/** What the agent needs them for. `lease`: it serves, and lives by their answers; `alert`: something is not as it should be, or is not known. */
export type SentinelPace = 'calm' | 'lease' | 'alert'

export interface Paces {
  readonly alertMs: number
  readonly leaseMs: number
  readonly calmMs: number
  /** Longer than this an answer, or the answer of a primary to a Sentinel's PING, does not take in calm times. */
  readonly lateMs: number
}

/** Whoever has nothing to lose by it learns so late at most that a Sentinel is gone. */
const calmMs = 1000
/** After the last sign of unrest the closer watch goes on for so long. */
export const settleMs = 2000
/** Half of what may lie between two wake-ups of the agent: what is due within it begins now. */
const toleranceMs = 25

export function pacesOf(downAfterMs: number): Paces {
  // A lease lasts 0.8 of down-after, from when a question was sent: so that there is as much time again to answer the next one.
  const leaseMs = clamp(downAfterMs * 0.3, 50, calmMs)
  return { alertMs: clamp(downAfterMs / 5, 50, 400), leaseMs, calmMs, lateMs: clamp(downAfterMs / 10, 50, 250) }
}

/** When they are asked: all together, for wake-ups are most of what they cost. */
export interface Rounds {
  /** Whether a round is due. From the moment of an alert it is, if the last one was not just now. */
  readonly isDue: (nowMs: number, pace: SentinelPace) => boolean
}

export function roundsOf(paces: Paces): Rounds {
  let lastMs = Number.NEGATIVE_INFINITY
  let alertMs = Number.NEGATIVE_INFINITY
  return {
    isDue: (nowMs, pace) => {
      if (pace === 'alert') alertMs = nowMs
      const everyMs = nowMs - alertMs < settleMs ? paces.alertMs : pace === 'lease' ? paces.leaseMs : paces.calmMs
      if (nowMs - lastMs < everyMs - toleranceMs) return false
      lastMs = nowMs
      return true
    },
  }
}

export function clamp(value: number, low: number, high: number): number {
  return Math.min(high, Math.max(low, value))
}
