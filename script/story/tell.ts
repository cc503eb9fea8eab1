/**
 * The demo's words: what was measured and decided, as calm lines for people. PURE: values in, text out. A bad figure is told
 * like a good one.
 */
import type { ErrorCount, MarkReport } from '../../src/lab/ack-log.ts'
import type { Failover } from '../../src/lab/drill-report.ts'
import type { VerifyReport } from '../../src/lab/read-back.ts'

const labelWidth = 14

export function line(label: string, text: string): string {
  return `   ${label.padEnd(labelWidth)}${text}`
}

/** Words in which HOST stands for a host. */
export function of(words: string, host: string): string {
  return words.replaceAll('HOST', host)
}

export function ms(value: number): string {
  return value >= 10_000 ? `${(value / 1000).toFixed(1)} s` : value >= 100 ? `${Math.round(value)} ms` : `${value.toFixed(1)} ms`
}

export function clientLines(mark: MarkReport): readonly string[] {
  const { lengthMs } = mark.longestOutage
  return [
    line('the client', `longest time without an acknowledged write: ${ms(lengthMs)}`),
    line('', `its errors: ${errorText(mark.errors)}`),
    line('', `${mark.acked} writes acknowledged, ${mark.indeterminate} left without an answer, ${mark.rejected} refused`),
  ]
}

export function errorText(errors: readonly ErrorCount[]): string {
  return errors.length === 0 ? 'none' : errors.map(({ kind, count }) => `${kind} × ${count}`).join(', ')
}

export function decisionLines(decisions: readonly Failover[]): readonly string[] {
  if (decisions.length === 0) return [line('decided', 'no new primary: nothing called for one')]
  return decisions.flatMap((decision) => [
    line('decided', `${decision.kind}: ${decision.from ?? 'nobody'} → ${decision.to}, epoch ${decision.epoch}`),
    line('', `why: ${decision.why}`),
    line('', timelineText(decision)),
    line('', `not replicated: ${decision.notReplicatedBytes === null ? 'not known' : `${decision.notReplicatedBytes} bytes`}`),
  ])
}

function timelineText({ timeline }: Failover): string {
  const steps = Object.entries({ detected: timeline.detectedMs, fenced: timeline.fencedMs, promoted: timeline.promotedMs, 'address up': timeline.vipUpMs })
  const known = steps
    .flatMap(([name, atMs]) => (atMs === undefined ? [] : [{ name, atMs }]))
    .sort((a, b) => a.atMs - b.atMs)
    .map(({ name, atMs }) => `${name} at ${atMs} ms`)
  return known.length === 0 ? 'its timeline is not known' : known.join(', ')
}

export function verifiedLine(verified: VerifyReport): string {
  const { acked, lost } = verified
  if (!verified.complete) return line('gone?', `NOT KNOWN: not every write could be read back (${verified.why ?? 'no reason given'})`)
  if (lost === 0) return line('gone?', `nothing: all ${acked} acknowledged writes were read back through the address`)
  return line('gone?', `${lost} of ${acked} acknowledged writes are GONE`)
}

/** An event of another host's clock; in a lab all hosts have the same one. */
export interface ToldEvent {
  readonly host: string
  readonly kind: string
  readonly text: string
  readonly atWallMs: number
}

export function eventLines(events: readonly ToldEvent[], sinceMs: number): readonly string[] {
  return events.map((event, index) =>
    line(index === 0 ? 'what happened' : '', `${ms(Math.max(0, event.atWallMs - sinceMs)).padStart(9)}  ${event.host}: ${event.text}`),
  )
}
