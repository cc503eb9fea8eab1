/**
 * The rhythm of a loop: one cycle at a time, a wake during a cycle starts the next at once, and a timer for when nothing happens.
 * What a cycle does is the loop's own affair; one that throws is told, and tried again.
 */
import { monotonicMs } from './clock.ts'

const longestMs = 1000
const afterFailureMs = 250
/** A cycle that is due in less has a reason to be: it has a timer to the millisecond. */
const farOffMs = 200
/** More than half of the time between two wake-ups of the agent's own. */
const toleranceMs = 30

export interface Turns {
  readonly wake: () => void
  /** Replaces the timer (monotonic ms; at most a second from now). What is far off may begin some 30 ms sooner or later. */
  readonly schedule: (atMs: number) => void
  /** The agent is awake anyway: begins what is about due. true: something has begun. */
  readonly awake: () => boolean
  /** No cycle begins any more; waits for the one that runs. */
  readonly stop: () => Promise<void>
}

export function takeTurns(cycle: () => Promise<void>, failed: (text: string) => void): Turns {
  let timer: NodeJS.Timeout | null = null
  /** Due now: a timer would take a millisecond at least, and what has been begun has several such turns. */
  let next: NodeJS.Immediate | null = null
  /** Of a cycle that may begin with the agent's own wake-up, which saves one of its own. */
  let aboutMs = Number.POSITIVE_INFINITY
  let running: Promise<void> | null = null
  let again = false
  let stopped = false

  function schedule(atMs: number): void {
    if (stopped) return
    unschedule()
    const nowMs = monotonicMs()
    const inMs = Math.max(0, Math.min(longestMs, atMs - nowMs))
    const farOff = inMs >= farOffMs
    aboutMs = farOff ? nowMs + inMs : Number.POSITIVE_INFINITY
    if (inMs === 0) next = setImmediate(wake)
    else timer = setTimeout(wake, farOff ? Math.min(longestMs, inMs + toleranceMs) : inMs)
  }

  function unschedule(): void {
    if (timer !== null) clearTimeout(timer)
    if (next !== null) clearImmediate(next)
    timer = null
    next = null
  }

  function awake(): boolean {
    if (stopped || running !== null || monotonicMs() < aboutMs - toleranceMs) return false
    wake()
    return true
  }

  function wake(): void {
    if (stopped) return
    if (running !== null) {
      again = true
      return
    }
    again = false
    aboutMs = Number.POSITIVE_INFINITY
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
    awake,
    stop: async () => {
      stopped = true
      unschedule()
      await running
    },
  }
}
