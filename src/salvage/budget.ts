/**
 * Which kept copies may go. PURE. What no operator has looked at is never removed, however old or large: then it is an alarm. What
 * is being looked at or replayed is left alone too.
 */
import type { KeptEntry } from '../model/kept.ts'

export interface KeptLimits {
  readonly maxBytes: number
  readonly maxAgeMs: number
  /** After somebody has looked or replayed, for so long it stays. */
  readonly graceMs: number
}

export interface Tidy {
  readonly remove: readonly { readonly id: string; readonly why: string }[]
  /** null: all is within the limits. */
  readonly alarm: string | null
}

export function tidy(kept: readonly KeptEntry[], limits: KeptLimits, nowWallMs: number): Tidy {
  const { maxBytes, maxAgeMs, graceMs } = limits
  const rested = (k: KeptEntry) => k.seenAtWallMs !== null && nowWallMs - Math.max(k.seenAtWallMs, k.replay?.lastAtWallMs ?? 0) > graceMs
  const tooOld = (k: KeptEntry) => nowWallMs - k.keptAtWallMs > maxAgeMs
  const remove = kept.filter((k) => tooOld(k) && rested(k)).map((k) => ({ id: k.id, why: `it is older than ${days(maxAgeMs)} days` }))
  const gone = new Set(remove.map((r) => r.id))
  // Replayed ones first, then the oldest.
  const order = kept
    .filter((k) => !gone.has(k.id) && rested(k))
    .sort((a, b) => Number(b.replay?.complete ?? false) - Number(a.replay?.complete ?? false) || a.keptAtWallMs - b.keptAtWallMs)
  let bytes = kept.reduce((sum, k) => sum + (gone.has(k.id) ? 0 : k.bytes), 0)
  for (const k of order) {
    if (bytes <= maxBytes) break
    bytes -= k.bytes
    gone.add(k.id)
    remove.push({ id: k.id, why: `what is kept was above ${mib(maxBytes)} MiB` })
  }
  const unseen = kept.filter((k) => k.seenAtWallMs === null && (tooOld(k) || bytes > maxBytes))
  const over = bytes > maxBytes ? `what is kept takes ${mib(bytes)} MiB (limit ${mib(maxBytes)} MiB)` : `what is kept is older than ${days(maxAgeMs)} days`
  const alarm =
    unseen.length === 0
      ? null
      : `${over} and nobody has looked at it: ${unseen.map((k) => k.id).join(', ')}; it is not removed unseen. See: holdfast salvage list ${unseen[0]?.group ?? ''}`
  return { remove, alarm }
}

function days(ms: number): number {
  return Math.round(ms / 86_400_000)
}

function mib(bytes: number): number {
  return Math.round(bytes / 1_048_576)
}
