/**
 * The writing client's memory: what became of each write and when, and from that the outages, the errors and what is lost.
 * It keeps a few bytes per write in typed arrays, so that minutes at a thousand writes a second cost next to nothing.
 * No IO and no clock: times come in, so every rule here is tested with made-up ones.
 */
import { assert } from '../model/assert.ts'

export interface ErrorCount {
  readonly kind: string
  readonly count: number
  readonly firstAtMs: number
  readonly lastAtMs: number
}

export interface Outage {
  /** Wall clock of the last acknowledged write before it. */
  readonly startMs: number
  readonly lengthMs: number
  /** No acknowledged write has ended it yet. */
  readonly open: boolean
}

export interface MarkReport {
  readonly label: string
  readonly startMs: number
  readonly endMs: number
  readonly acked: number
  readonly indeterminate: number
  readonly rejected: number
  readonly errors: readonly ErrorCount[]
  /** The longest time without an acknowledged write that overlaps with this interval. */
  readonly longestOutage: Outage
  /** How many outages longer than the threshold overlap with it. */
  readonly outages: number
}

export interface WriterReport {
  readonly startMs: number
  readonly endMs: number
  readonly sent: number
  readonly acked: number
  /** Sent, but the connection ended or the time ran out before the answer: neither acknowledged nor lost. */
  readonly indeterminate: number
  readonly rejected: number
  readonly errors: readonly ErrorCount[]
  readonly thresholdMs: number
  readonly longestOutage: Outage
  /** Gaps between two acknowledged writes that exceed the threshold; the first `maxOutages` of them. */
  readonly outages: readonly Outage[]
  readonly marks: readonly MarkReport[]
  /** The log is full; nothing was written after this. */
  readonly full: boolean
}

export type WriteFate = 'pending' | 'acked' | 'rejected' | 'indeterminate'

export interface AckLog {
  /** Gives the next sequence number (from 1), or null when the log is full. `to`: which redis it is sent to, as far as is known. */
  readonly send: (atMs: number, to?: string) => number | null
  readonly settle: (seq: number, fate: Exclude<WriteFate, 'pending'>, atMs: number) => void
  readonly error: (kind: string, atMs: number) => void
  readonly mark: (label: string, atMs: number) => void
  readonly fateOf: (seq: number) => WriteFate
  /** When the write was settled. */
  readonly atMsOf: (seq: number) => number
  readonly sentAtMsOf: (seq: number) => number
  /** Which redis it was sent to; '' where nobody said. */
  readonly sentTo: (seq: number) => string
  readonly sent: () => number
  readonly lastAckMs: () => number | null
  readonly ackedCount: () => number
  readonly errorCount: () => number
  /** Acknowledged writes in a row, without an error or a gap above the threshold between them. */
  readonly streak: () => number
  /** The mark in force at that time, or null before the first. */
  readonly markAt: (atMs: number) => number | null
  readonly report: (endMs: number) => WriterReport
}

const fates: readonly WriteFate[] = ['pending', 'acked', 'rejected', 'indeterminate']
const firstCapacity = 1 << 16
const maxOutages = 1000
/** A server gone mad must not fill the memory with ever new words. */
const maxKinds = 100
const maxMarks = 10_000
/** As many as two bytes can number: more redis processes than any run meets. */
const maxTargets = 1 << 16
/** At one write per millisecond: more than an hour. */
export const maxWrites = 1 << 22

export function createAckLog(startMs: number, thresholdMs: number, capacity = maxWrites): AckLog {
  let fate = new Uint8Array(firstCapacity)
  let times = new Float64Array(firstCapacity)
  let sentTimes = new Float64Array(firstCapacity)
  let targets = new Uint16Array(firstCapacity)
  const targetNames = ['']
  let sent = 0
  let acked = 0
  let errors = 0
  let streak = 0
  let lastAckMs: number | null = null
  const marks: { label: string; atMs: number; errors: Map<string, ErrorCount> }[] = []
  const before = new Map<string, ErrorCount>()

  const grow = (): void => {
    const size = Math.min(fate.length * 2, capacity + 1)
    const [oldFate, oldTimes, oldSent, oldTargets] = [fate, times, sentTimes, targets]
    fate = new Uint8Array(size)
    fate.set(oldFate)
    times = new Float64Array(size)
    times.set(oldTimes)
    sentTimes = new Float64Array(size)
    sentTimes.set(oldSent)
    targets = new Uint16Array(size)
    targets.set(oldTargets)
  }
  const targetOf = (name: string): number => {
    const known = targetNames.indexOf(name)
    if (known >= 0) return known
    assert(targetNames.length < maxTargets, 'a run meets a bounded number of redis processes')
    return targetNames.push(name) - 1
  }
  const markAt = (atMs: number): number | null => {
    const index = marks.findLastIndex((mark) => mark.atMs <= atMs)
    return index < 0 ? null : index
  }
  return {
    send: (atMs, to = '') => {
      if (sent >= capacity) return null
      sent += 1
      if (sent >= fate.length) grow()
      times[sent] = atMs
      sentTimes[sent] = atMs
      targets[sent] = targetOf(to)
      return sent
    },
    settle: (seq, how, atMs) => {
      assert(seq >= 1 && seq <= sent && fate[seq] === 0, `write ${seq} is settled once, after it was sent`)
      fate[seq] = fates.indexOf(how)
      times[seq] = atMs
      if (how !== 'acked') {
        streak = 0
        return
      }
      acked += 1
      streak = lastAckMs !== null && atMs - lastAckMs > thresholdMs ? 1 : streak + 1
      lastAckMs = atMs
    },
    error: (kind, atMs) => {
      errors += 1
      streak = 0
      addError(marks.at(-1)?.errors ?? before, { kind, count: 1, firstAtMs: atMs, lastAtMs: atMs })
    },
    mark: (label, atMs) => {
      assert(marks.length < maxMarks, 'a run has a bounded number of marks')
      marks.push({ label, atMs, errors: new Map() })
    },
    fateOf: (seq) => fates[fate[seq] ?? 0] ?? 'pending',
    atMsOf: (seq) => times[seq] ?? 0,
    sentAtMsOf: (seq) => sentTimes[seq] ?? 0,
    sentTo: (seq) => targetNames[targets[seq] ?? 0] ?? '',
    sent: () => sent,
    lastAckMs: () => lastAckMs,
    ackedCount: () => acked,
    errorCount: () => errors,
    streak: () => streak,
    markAt,
    report: (endMs) => {
      const all = new Map<string, ErrorCount>()
      for (const map of [before, ...marks.map((mark) => mark.errors)]) for (const found of map.values()) addError(all, found)
      const spans = marks.map((mark, index) => ({
        label: mark.label,
        startMs: mark.atMs,
        endMs: marks[index + 1]?.atMs ?? endMs,
        errors: [...mark.errors.values()],
      }))
      const walk = walkLog({ startMs, endMs, thresholdMs, sent, fate, times, spans, markAt })
      return {
        startMs,
        endMs,
        sent,
        acked,
        thresholdMs,
        full: sent >= capacity,
        errors: [...all.values()],
        ...walk,
      }
    },
  }
}

interface Walked {
  readonly startMs: number
  readonly endMs: number
  readonly thresholdMs: number
  readonly sent: number
  readonly fate: Uint8Array
  readonly times: Float64Array
  readonly spans: readonly Pick<MarkReport, 'label' | 'startMs' | 'endMs' | 'errors'>[]
  readonly markAt: (atMs: number) => number | null
}

/** One pass over all writes: the gaps between acknowledged ones, and the counts per mark. */
function walkLog(log: Walked): Pick<WriterReport, 'indeterminate' | 'rejected' | 'longestOutage' | 'outages' | 'marks'> {
  const nothing: Outage = { startMs: log.startMs, lengthMs: 0, open: false }
  const tallies = log.spans.map((span) => ({
    ...span,
    acked: 0,
    indeterminate: 0,
    rejected: 0,
    longestOutage: { ...nothing, startMs: span.startMs },
    outages: 0,
  }))
  const totals = { indeterminate: 0, rejected: 0, longestOutage: nothing }
  const outages: Outage[] = []
  let lastMs = log.startMs
  let firstSpan = 0
  const gap = (untilMs: number, open: boolean): void => {
    const outage: Outage = { startMs: lastMs, lengthMs: untilMs - lastMs, open }
    if (outage.lengthMs > totals.longestOutage.lengthMs) totals.longestOutage = outage
    const counts = outage.lengthMs > log.thresholdMs
    if (counts && outages.length < maxOutages) outages.push(outage)
    // Spans come in order, and so do gaps: those that ended before this gap began are done with.
    while ((tallies[firstSpan]?.endMs ?? Infinity) < lastMs) firstSpan += 1
    for (let index = firstSpan; index < tallies.length; index += 1) {
      const tally = tallies[index]
      if (tally === undefined || tally.startMs >= untilMs) break
      if (outage.lengthMs > tally.longestOutage.lengthMs) tally.longestOutage = outage
      if (counts) tally.outages += 1
    }
    lastMs = untilMs
  }
  for (let seq = 1; seq <= log.sent; seq += 1) {
    const atMs = log.times[seq] ?? 0
    const how = fates[log.fate[seq] ?? 0]
    const index = how === 'pending' ? null : log.markAt(atMs)
    const tally = index === null ? undefined : tallies[index]
    if (how === 'acked') {
      if (tally !== undefined) tally.acked += 1
      gap(atMs, false)
    } else if (how === 'indeterminate' || how === 'rejected') {
      totals[how] += 1
      if (tally !== undefined) tally[how] += 1
    }
  }
  gap(log.endMs, true)
  return { ...totals, outages, marks: tallies }
}

function addError(into: Map<string, ErrorCount>, error: ErrorCount): void {
  const kind = into.has(error.kind) || into.size < maxKinds ? error.kind : 'other'
  const known = into.get(kind)
  into.set(kind, {
    kind,
    ...(known === undefined ? { count: error.count, firstAtMs: error.firstAtMs, lastAtMs: error.lastAtMs } : merged(known, error)),
  })
}

function merged(known: ErrorCount, error: ErrorCount): Omit<ErrorCount, 'kind'> {
  return {
    count: known.count + error.count,
    firstAtMs: Math.min(known.firstAtMs, error.firstAtMs),
    lastAtMs: Math.max(known.lastAtMs, error.lastAtMs),
  }
}
