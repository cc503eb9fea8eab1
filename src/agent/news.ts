/** Which alarms are worth a line: what lasts is decided anew in every cycle, often several in turn, and the log needs each of them once. */

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
