/**
 * The rhythm of a loop: one cycle at a time, a wake during a cycle starts the next at once, and a timer for when nothing happens.
 * What a cycle does is the loop's own affair; one that throws is told, and tried again.
 */
import { monotonicMs } from './clock.ts'

const longestMs = 1000
const afterFailureMs = 250

export interface Turns {
  readonly wake: () => void
  /** Replaces the timer (monotonic ms; at most a second from now). */
  readonly schedule: (atMs: number) => void
  /** No cycle begins any more; waits for the one that runs. */
  readonly stop: () => Promise<void>
}

export function takeTurns(cycle: () => Promise<void>, failed: (text: string) => void): Turns {
  let timer: NodeJS.Timeout | null = null
  let running: Promise<void> | null = null
  let again = false
  let stopped = false

  function schedule(atMs: number): void {
    if (stopped) return
    if (timer !== null) clearTimeout(timer)
    timer = setTimeout(wake, Math.max(0, Math.min(longestMs, atMs - monotonicMs())))
  }

  function wake(): void {
    if (stopped) return
    if (running !== null) {
      again = true
      return
    }
    again = false
    running = cycle()
      .catch((error: unknown) => {
        failed(error instanceof Error ? (error.stack ?? error.message) : String(error))
        schedule(monotonicMs() + afterFailureMs)
      })
      .finally(() => {
        running = null
        if (again) setImmediate(wake)
      })
  }

  return {
    wake,
    schedule,
    stop: async () => {
      stopped = true
      if (timer !== null) clearTimeout(timer)
      await running
    },
  }
}
