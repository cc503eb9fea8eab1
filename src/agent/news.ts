/**
 * What is news. Which alarms are worth a line: what lasts is decided anew in every cycle, often several in turn, and the log needs each of
 * them once. And which statements differ from the one before.
 */
import type { Statement } from '../model/view.ts'

/** An alarm that was not decided for so long was over; the next time it is news again. */
const overAfterMs = 60_000
const maxKnown = 32

export function alarmNews(): (text: string, nowMs: number) => boolean {
  /** When it was decided last; the one that is longest ago comes first. */
  const known = new Map<string, number>()
  return (text, nowMs) => {
    const lastMs = known.get(text) ?? Number.NEGATIVE_INFINITY
    known.delete(text)
    const [oldest] = known.keys()
    if (known.size >= maxKnown && oldest !== undefined) known.delete(oldest)
    known.set(text, nowMs)
    return nowMs - lastMs >= overAfterMs
  }
}

/** What makes a statement news: all but the numbers that move all the time. */
export function essence(statement: Statement): string {
  const { redis, ...rest } = statement
  return JSON.stringify([rest, redis === null ? null : [redis.runId, redis.role, redis.loading, redis.upstream, redis.linkUp, redis.syncing, redis.replid]])
}

/**
 * Asked for again and again for as long as something lasts. Such a cycle is not looked after at once and not journalled: a primary that is
 * cut off and holds its writes back would go round without a pause, and its journal would be full of that within two seconds.
 */
export const renewals: readonly string[] = ['poke', 'pause-writes', 'ask-votes', 'tell-sentinels']
