/**
 * Takes out of a store what nobody needs any more of the archived stream. The two phases are two moments: what would go now is told, and what would have
 * gone a day ago goes. The oldest first, so that a run that is killed leaves no hole; papers of histories last. Twice at once does no harm.
 * Must not judge: what may go is said by ../backup/stream-retention.ts.
 */
import { baseOf, type Backup } from '../backup/catalog.ts'
import { thin, type Thinning } from '../backup/stream-retention.ts'
import { timelineName, type StoredSegment } from '../backup/stream.ts'
import type { Observed } from '../model/outcome.ts'
import type { Store } from '../store/store.ts'
import { FetchFailed } from './fetch.ts'
import { readSegment } from './segment.ts'
import type { StreamStored } from './stream.ts'

/** What lies in the store, and how far back every moment is wanted. */
export interface StreamToPrune {
  readonly stored: StreamStored
  readonly keepMs: number
}

export interface StreamPlan {
  /** Goes now, and a day from now, if nothing changes. */
  readonly now: Thinning
  readonly soon: readonly StoredSegment[]
  readonly holds: ReadonlyMap<string, string>
  /** null: it may go. */
  readonly why: string | null
}

export interface StreamPruned {
  readonly removed: Sum
  readonly doubles: Sum
  readonly papers: number
  /** What goes with one of the next runs: a run has an end. */
  readonly left: number
  /** What would go a day from now. */
  readonly soon: Sum
  /** Why nothing goes, or what went wrong. null: neither. */
  readonly why: string | null
}

interface Sum {
  readonly segments: number
  readonly bytes: number
}

/** An agent that thins out has something else to do, too: a slow store takes a minute and a half for as many. */
export const mostAtOnce = 5000
/** Of those in which smaller ones lie: each is read before those go. */
const mostProven = 50
const workers = 8
/** So many are removed before the last good backup is looked at again. */
const batch = 500

export function planStream({ stored, keepMs }: StreamToPrune, backups: readonly Backup[], nowWallMs: number, graceMs: number): StreamPlan {
  const bases = backups.map(baseOf)
  const [now, tomorrow] = [thin(stored, bases, nowWallMs - keepMs - graceMs, nowWallMs), thin(stored, bases, nowWallMs - keepMs, nowWallMs)]
  const goes = new Set(now.go.map(({ name }) => name))
  const unread = stored.broken.find(({ name }) => name.endsWith('/timeline.json'))
  return {
    now,
    soon: tomorrow.go.filter(({ name }) => !goes.has(name)),
    holds: new Map([...tomorrow.holds, ...now.holds]),
    // Where a history comes from decides what leads to it.
    why: unread === undefined ? null : `nothing of the stream is removed: ${unread.name}: ${unread.why}`,
  }
}

/** `stillGood`: the backup that all others go for; asked again and again. */
export async function carryOutStream(
  store: Store,
  group: string,
  { now, soon, why }: StreamPlan,
  options: { readonly dryRun: boolean; readonly key: Buffer | null; readonly signal: AbortSignal; readonly most?: number },
  stillGood: () => Promise<Observed<unknown>>,
): Promise<StreamPruned> {
  const { dryRun, key, signal, most = mostAtOnce } = options
  const wide = [...new Set(now.doubles.map(({ within }) => within))].slice(0, mostProven)
  const plan = why === null ? { go: now.go.slice(0, most), left: Math.max(0, now.go.length - most) } : { go: [], left: 0 }
  const result = { removed: sum([]), doubles: sum([]), papers: 0, left: plan.left, soon: sum(soon), why }
  const doublesOf = (within: StoredSegment): readonly StoredSegment[] => now.doubles.flatMap((one) => (one.within === within ? [one.segment] : []))
  if (why !== null) return result
  if (dryRun) return { ...result, removed: sum(plan.go), doubles: sum(wide.flatMap(doublesOf)), papers: plan.left === 0 ? now.papers.length : 0 }
  const removed = await removeAll(store, plan.go, signal, stillGood)
  if (!removed.ok) return { ...result, why: removed.why }
  const doubles: StoredSegment[] = []
  const so = (what: string | null, papers = 0): StreamPruned => ({ ...result, removed: sum(plan.go), doubles: sum(doubles), papers, why: what })
  for (const within of wide) {
    try {
      await readSegment(store, group, within, key, signal)
    } catch (error) {
      signal.throwIfAborted()
      if (!(error instanceof FetchFailed)) throw error
      // Another host can read it: what lies within stays, and what lies elsewhere goes.
      if (error.about === 'here') continue
      return so(`what lies within ${within.name} stays: ${error.message}`)
    }
    const gone = await removeAll(store, doublesOf(within), signal, stillGood)
    if (!gone.ok) return so(gone.why)
    doubles.push(...doublesOf(within))
  }
  if (plan.left > 0) return so(null)
  for (const replid of now.papers) {
    signal.throwIfAborted()
    const gone = await store.remove(timelineName(group, replid), signal)
    if (!gone.ok) return so(gone.why)
  }
  return so(null, now.papers.length)
}

async function removeAll(
  store: Store,
  segments: readonly StoredSegment[],
  signal: AbortSignal,
  stillGood: () => Promise<Observed<unknown>>,
): Promise<Observed<null>> {
  for (let from = 0; from < segments.length; from += batch) {
    const still = await stillGood()
    if (!still.ok) return still
    const left = segments.slice(from, from + batch)
    const failed: string[] = []
    const work = async (): Promise<void> => {
      for (let one = left.shift(); one !== undefined && failed.length === 0; one = left.shift()) {
        signal.throwIfAborted()
        const gone = await store.remove(one.name, signal)
        if (!gone.ok) failed.push(gone.why)
      }
    }
    await Promise.all(Array.from({ length: workers }, work))
    if (failed[0] !== undefined) return { ok: false, why: failed[0] }
  }
  return { ok: true, value: null }
}

function sum(segments: readonly StoredSegment[]): Sum {
  return { segments: segments.length, bytes: segments.reduce((all, { bytes }) => all + bytes, 0) }
}
