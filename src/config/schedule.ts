/**
 * When backups are wanted: a cron expression of five fields, in UTC. What is due by it is decided in `backup/due.ts`; this only knows
 * its calendar. Must not look at the clock: every question brings its own moment.
 */
import { Cron } from 'croner'

export interface Schedule {
  /** The last time that it named, not after this moment. */
  readonly lastMs: number
  /** The next one. */
  readonly nextMs: number
  /** The largest distance between two of those around this moment: what is apart by it is in time. On a Monday morning it is the weekend. */
  readonly everyMs: number
}

/** null: it can be used. */
export function scheduleProblem(text: string): string | null {
  try {
    const cron = cronOf(text)
    return cron.nextRun(new Date(0)) === null ? `\`${text}\` names a day that never comes` : null
  } catch (error) {
    return `\`${text}\`: ${(error as Error).message.replace(/^CronPattern: /, '')}`
  }
}

export function scheduleAt(text: string, atWallMs: number): Schedule {
  const cron = cronOf(text)
  // A run at this very moment counts as the last one.
  const before = cron.previousRuns(3, new Date(atWallMs + 1)).map((run) => run.getTime())
  const nextMs = cron.nextRun(new Date(atWallMs))?.getTime() ?? Number.POSITIVE_INFINITY
  const [lastMs = 0] = before
  const around = [nextMs, ...before]
  const gaps = around.slice(1).map((run, index) => (around[index] ?? run) - run)
  return { lastMs, nextMs, everyMs: Math.max(...gaps) }
}

/** By offset: with a time zone it loads the calendars of all of them. croner also takes dates of one day, and seconds: a backup in each of those would be a flood. */
function cronOf(text: string): Cron {
  if (!text.startsWith('@') && text.trim().split(/\s+/).length !== 5) throw new Error('has not the five fields minute, hour, day, month, day of the week')
  return new Cron(text, { utcOffset: 0, paused: true })
}
