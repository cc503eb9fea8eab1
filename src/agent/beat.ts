/**
 * The beat by which something outside this process sees that its event loop turns: the first field of /proc/uptime, in a file that the
 * guard compares with its own look there (render/guard.ts). A missed beat is no failure of the agent's: it goes on.
 */
import { closeSync, constants, openSync, readFileSync, writeSync } from 'node:fs'
import { monotonicMs } from './clock.ts'

/** Half of what counts as stale. */
const everyMs = 480

export interface Beat {
  /** Called as often as the agent's own timer turns. */
  readonly tick: () => void
  readonly stop: () => void
}

export function startBeat(file: string, failed: (why: string) => void): Beat {
  let fd: number | null = null
  let atMs = Number.NEGATIVE_INFINITY
  try {
    fd = openSync(file, constants.O_CREAT | constants.O_WRONLY, 0o644)
  } catch (error) {
    failed(`cannot write ${file}: ${(error as Error).message}: the guard takes this agent for dead`)
  }
  return {
    tick: () => {
      const nowMs = monotonicMs()
      if (fd === null || nowMs - atMs < everyMs) return
      atMs = nowMs
      try {
        const [uptime] = readFileSync('/proc/uptime', 'utf8').split(' ', 1)
        // In place: the number never gets shorter, and a rename would cost more than all the rest.
        writeSync(fd, `${uptime}\n`, 0)
      } catch (error) {
        failed(`cannot write ${file}: ${(error as Error).message}`)
      }
    },
    stop: () => {
      if (fd !== null) closeSync(fd)
      fd = null
    },
  }
}
