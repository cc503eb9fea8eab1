/** What the journal of a replay says about each item. PURE. Whatever may have been applied is never applied again by itself. */
import type { ReplayLine } from '../model/kept.ts'

export interface Progress {
  readonly applied: ReadonlySet<string>
  /** Begun and not ended: an interruption came between. With the fingerprint of the keys before. */
  readonly open: ReadonlyMap<string, string>
  readonly lines: number
}

export function progressOf(journal: readonly ReplayLine[]): Progress {
  const applied = new Set<string>()
  const open = new Map<string, string>()
  for (const line of journal) {
    line.items.forEach((item, index) => {
      if (line.what === 'intent') open.set(item, line.before?.[index] ?? '')
      else if (line.what === 'applied') {
        applied.add(item)
        open.delete(item)
      } else if (line.what === 'not-applied') open.delete(item)
    })
  }
  return { applied, open, lines: journal.length }
}
