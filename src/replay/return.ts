/**
 * Differences written into a primary, piece by piece: what a key has is kept (undo.ts), then it is written, if it still is as it was shown
 * (apply.ts). Holds the work of one piece in memory, however many keys there are.
 */
import type { RawRedis } from '../redis/raw.ts'
import type { ItemKey } from '../salvage/classify.ts'
import { applyItems } from './apply.ts'
import { itemFor, type Difference } from './diff.ts'
import type { UndoFile } from './undo.ts'

const pieceItems = 1000

export interface ReturnOptions {
  readonly live: RawRedis
  readonly aside: RawRedis
  readonly undo: UndoFile
  readonly progress: (done: number, of: number) => void
  /** So many more are written, and it is durable what they had. */
  readonly written: (keys: number) => void
  /** Ctrl-C: the batch that is under way is finished, and no other begun. */
  readonly signal: AbortSignal
}

export interface Returned {
  readonly applied: number
  /** Of those: away, because they were not there. */
  readonly removed: number
  /** Left alone, with the reason. */
  readonly skipped: readonly { readonly key: ItemKey; readonly why: string }[]
  readonly interrupted: boolean
  /** At least one replica has all that was written; null: there is none. */
  readonly replicated: boolean | null
}

/** Throws where it is not known what was written; what was there is kept then. */
export async function returnKeys(found: readonly Difference[], { live, aside, undo, progress, written, signal }: ReturnOptions): Promise<Returned> {
  const skipped: { key: ItemKey; why: string }[] = []
  let applied = 0
  let removed = 0
  let replicated: boolean | null = null
  for (let at = 0; at < found.length; at += pieceItems) {
    const piece = found.slice(at, at + pieceItems).map((one) => ({ one, item: itemFor(one, aside) }))
    const byId = new Map(piece.map(({ item }) => [item.id, item]))
    const done = await applyItems([...byId.values()], {
      live,
      tap: null,
      onlyIfUntouched: new Set(),
      asShown: new Map(piece.map(({ one, item }) => [item, one.fingerprint])),
      journal: ({ what, items }) => {
        if (what === 'applied') written(items.length)
        const wanted = items.flatMap((id) => byId.get(id) ?? [])
        return what === 'intent' ? undo.keep(live, wanted) : what === 'not-applied' ? undo.cancel(wanted) : Promise.resolve()
      },
      progress: (inPiece) => progress(at + inPiece, found.length),
      signal,
    })
    applied += done.applied.length
    removed += done.applied.filter(({ nature }) => nature === 'deletion').length
    for (const { item, why } of done.skipped) for (const key of item.keys) skipped.push({ key, why })
    if (done.replicated !== null) replicated = done.replicated
    if (done.interrupted) return { applied, removed, skipped, interrupted: true, replicated }
  }
  return { applied, removed, skipped, interrupted: false, replicated }
}
