/**
 * Who archives the stream of a group, whether what is archived has a backup to begin at, and what is wrong with it. PURE: from what the
 * members tell, as in source.ts, so that all agents come to the same host.
 */
import type { PolicyMember } from '../model/policy.ts'
import type { Durability } from '../model/config.ts'
import { isOnPath, type Base, type Leg } from './chain.ts'
import { ago, type Alarm } from './due.ts'
import type { Archived, ArchivedRun } from './job.ts'
import { chooseSource, chooseThis, type Choice, type Words } from './source.ts'

/** What is archived is put within a second: ten are more than a slow moment of a store. */
const behindMs = 10_000
/** A failover, and a start with its look into the store, are over by then. */
const nobodyMs = 30_000

/**
 * Whoever would give a backup; but who archives already goes on while he is fit: each change costs a second in which nothing is put. A primary
 * under `durability: safe` counts whoever is attached for its first seconds as a replica that acknowledges, so it is never read from.
 */
export function whoArchives(members: readonly PolicyMember[], words: Words, noReplicaForMs: number, durability: Durability): Choice {
  const best = chooseSource(members, words, noReplicaForMs)
  if (best.host !== null && best.role === 'replica') {
    const at = members.filter(({ host }) => words.get(host)?.archives === true && chooseThis(host, members, words).host !== null)
    const going = chooseSource(at, words, 0)
    return going.host !== null && going.role === 'replica' ? { ...going, why: `${going.why.split(';')[0]}; it archives already` } : best
  }
  if (best.host === null || durability !== 'safe') return best
  return { host: null, why: `no replica is fit, and with durability: safe nobody but a replica may be attached to ${best.host}, the primary` }
}

/** Why a backup is needed before anything of this run can be restored; null: it is not. `newest`: of those that are not bad. */
export function whyNoBase(run: ArchivedRun, newest: Base | null): string | null {
  const begins = `what is archived without a gap begins at offset ${run.from}`
  if (newest === null) return `${begins}, and there is no backup`
  if (!isOnPath(pathOf(run), newest)) return `${begins}, and ${newest.id} is of another history`
  return newest.offset + 1 >= run.from ? null : `${begins}, behind ${newest.id} (offset ${newest.offset})`
}

/** Since when every moment can be restored; null: none can. */
export function firstMoment(run: ArchivedRun, bases: readonly Base[]): number | null {
  const path = pathOf(run)
  const usable = bases.filter((base) => base.state !== 'bad' && base.offset + 1 >= run.from && isOnPath(path, base))
  return usable.length === 0 ? null : Math.min(...usable.map(({ atWallMs }) => atWallMs))
}

/** JSON has no infinity. */
function pathOf(run: ArchivedRun): readonly Leg[] {
  return run.legs.map(({ replid, from, to }) => ({ replid, from, to: to ?? Number.POSITIVE_INFINITY }))
}

export interface ArchiverFacts {
  /** What runs here. */
  readonly archived: Archived | null
  /** For how long nothing has been archived here although it should be; or, where nobody should, for how long that has been so. null: that is not so. */
  readonly nothingForMs: number | null
  /** Why, where it is known. */
  readonly why: string
  /** What the store was last seen to lack, see `whyNoBase`. */
  readonly noBase: string | null
}

export function archiverAlarms({ archived, nothingForMs, why, noBase }: ArchiverFacts, nowWallMs: number): readonly Alarm[] {
  const found: Alarm[] = []
  const isNobody = nothingForMs !== null && nothingForMs > nobodyMs
  if (isNobody) found.push({ text: `nothing has been archived for ${ago(nothingForMs)}: ${why}`, grave: true })
  if (archived === null) return found
  const lateMs = archived.storedWallMs === null ? 0 : nowWallMs - archived.storedWallMs
  const late = lateMs > behindMs ? `it is ${ago(lateMs)} behind` : null
  const words = [late, archived.trouble].filter((text) => text !== null)
  if (!isNobody && words.length > 0) found.push({ text: words.join(': '), grave: late !== null })
  if (noBase !== null) found.push({ text: `no moment of it can be restored before the next backup: ${noBase}`, grave: false })
  return found
}
