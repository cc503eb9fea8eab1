/**
 * What an operator asked for ("that offset", "that time", "before the FLUSHALL") as a backup, and the bytes behind it up to the end of a whole
 * command. All of those bytes are read and proven for it: what is damaged or missing is found here, BEFORE any redis is started.
 */
import { baseOf, type Backup } from '../backup/catalog.ts'
import { chainTo, isOnPath, newestTimeline, pathTo, runsOn, type Base } from '../backup/chain.ts'
import { holesIn, type Hole } from '../backup/holes.ts'
import { cameAt, cameBy } from '../backup/marks.ts'
import type { Pattern } from '../backup/pattern.ts'
import { seeker, type Match } from '../backup/seek.ts'
import { timelineName, type Timeline } from '../backup/stream.ts'
import { OperatorError } from '../model/error.ts'
import type { Store } from '../store/store.ts'
import { along, SegmentFailed, type Archive } from './along.ts'
import { codeOf } from './fetch.ts'
import { afterEnd, isoWords, noChain, noSuch, outside, type Way } from './moment-words.ts'
import { keyId } from './seal.ts'
import { readStream } from './stream.ts'

export type Wanted =
  | { readonly kind: 'offset'; readonly offset: number }
  | { readonly kind: 'time'; readonly wallMs: number | 'latest' }
  /** The last such command; `by`: that had come by then. */
  | { readonly kind: 'before'; readonly pattern: Pattern; readonly by: number | 'latest' }

export interface MomentOrder {
  readonly store: Store
  readonly group: string
  readonly key: Buffer | null
  /** Those that may be used. */
  readonly backups: readonly Backup[]
  /** Those that could be: only to say so. */
  readonly waiting: readonly Backup[]
  readonly wanted: Wanted
  /** The beginning of a replication id. null: the history that is written now. */
  readonly timeline: string | null
  /** Of the stream. */
  readonly progress: (bytes: number, of: number) => void
  readonly signal: AbortSignal
}

export interface Found extends Match {
  readonly atWallMs: number
}

export interface Moment {
  readonly backup: Backup
  readonly archive: Archive
  /** Of its last byte: the end of a whole command. */
  readonly to: number
  /** When that byte had come. */
  readonly atWallMs: number
  readonly commands: number
  readonly segments: number
  /** As many as it needs. */
  readonly databases: number
  /** Some of its times to live count from the moment at which they came. */
  readonly isRelative: boolean
  /** `before`: the command; and those like it before it, since the backup. */
  readonly found: Found | null
  readonly earlier: readonly Found[]
  /** Behind that command: a later one may lie there. */
  readonly unsearched: readonly Hole[]
}

interface History extends Way {
  readonly order: MomentOrder
  readonly timelines: readonly Timeline[]
  readonly archive: Omit<Archive, 'encrypted'>
}

/** Throws OperatorError, or the reason of `signal`. */
export async function findMoment(order: MomentOrder): Promise<Moment> {
  const history = await historyOf(order)
  const { wanted } = order
  try {
    if (wanted.kind === 'before') return await before(history, wanted.pattern, await positionAt(history, wanted.by))
    if (wanted.kind === 'offset') return await upTo(history, wanted.offset, 'latest')
    return await upTo(history, await positionAt(history, wanted.wallMs), wanted.wallMs)
  } catch (error) {
    order.signal.throwIfAborted()
    throw error instanceof SegmentFailed ? streamError(error, order) : error
  }
}

/** Which segment, and what is the matter with it. */
export function streamError({ about, message, at }: SegmentFailed, { group }: Pick<MomentOrder, 'group'>): OperatorError {
  const { code, hint } = codeOf({ about })
  if (about !== 'data') return new OperatorError(code, message, hint ?? 'mend that, and run the same command again')
  return new OperatorError(
    'HF834',
    message,
    `${at === null ? `holdfast backup stream ${group} says what there is` : `--offset ${at - 1} is the last moment before it`}; a whole backup does not need it: holdfast backup list ${group}`,
  )
}

async function historyOf(order: MomentOrder): Promise<History> {
  const { store, group, key, backups, timeline, signal } = order
  const stream = await readStream(store, group, key, signal)
  signal.throwIfAborted()
  if (!stream.ok) throw new OperatorError('HF814', `${store.where}: ${stream.why}`, 'mend that, and run the same command again')
  const { timelines, segments } = stream.value
  const named = timelines.filter(({ replid }) => timeline !== null && replid.startsWith(timeline))
  if (timeline !== null && named.length !== 1)
    throw new OperatorError(
      'HF832',
      named.length === 0 ? `${group} has no timeline ${timeline}` : `several timelines begin with ${timeline}`,
      timelines.length === 0 ? 'its stream is not archived' : `there are: ${timelines.map(({ replid }) => replid.slice(0, 8)).join(', ')}`,
    )
  const replid = (named[0] ?? newestTimeline(timelines))?.replid
  if (replid === undefined)
    throw new OperatorError(
      'HF831',
      `no stream of ${group} is archived in ${store.where}`,
      'backup.stream turns it on (docs/backup.md); --backup ID restores a whole backup',
    )
  // It may be the one that is written now: without a word all of it would be left out.
  const unread = stream.value.broken.find(({ name }) => /\/[0-9a-f]{40}\/timeline\.json$/.test(name))
  if (timeline === null && unread !== undefined)
    throw new OperatorError(
      'HF834',
      `${unread.name}: ${unread.why}. Which history is the newest is not known`,
      `holdfast backup stream ${group} says what there is; --timeline ${replid.slice(0, 8)} is the newest that can be read, without what the other one holds`,
    )
  const legs = pathTo(timelines, replid)
  const bases = backups.map(baseOf).filter((base) => isOnPath(legs, base))
  const way: Way = { group, replid, legs, runs: runsOn(legs, segments), bases, waiting: order.waiting }
  return { ...way, order, timelines, archive: { store, group, key, segments, legs, signal } }
}

/** The last byte that had come by then, as far as it is known that no other had. */
async function positionAt(history: History, wallMs: number | 'latest'): Promise<number> {
  const { runs, bases } = history
  const backed = Math.max(-1, ...bases.filter((base) => wallMs === 'latest' || base.atWallMs <= wallMs).map(({ offset }) => offset))
  if (wallMs === 'latest') return Math.max(backed, runs.at(-1)?.to ?? -1)
  const to = Math.max(backed, await lastBy(history, wallMs))
  if (to < 0) throw outside(history, `${isoWords(wallMs)} lies before all that there is`)
  const isFollowed = runs.some((run) => run.from <= to + 1 && to + 1 <= run.to)
  const known = Math.max(
    ...runs.filter((run) => run.to === to).map((run) => run.lastWallMs),
    ...bases.filter(({ offset }) => offset === to).map((base) => base.atWallMs),
  )
  if (isFollowed || wallMs <= known) return to
  const asked = isoWords(wallMs)
  if (runs.some((run) => run.from > to) || bases.some(({ offset }) => offset > to))
    throw outside(history, `${asked} lies in a gap: nothing is archived between offset ${to} and the next backup`)
  throw afterEnd(history, `${asked} lies after the end of what is archived`, { offset: to, wallMs: known })
}

async function lastBy({ runs, archive }: History, wallMs: number): Promise<number> {
  let last = -1
  for (const run of runs) {
    // By their names; the first one that is later is asked in detail.
    const late = run.pieces.findIndex(({ segment }) => segment.lastWallMs > wallMs)
    const whole = run.pieces[late < 0 ? run.pieces.length - 1 : late - 1]
    if (whole !== undefined) last = whole.to
    if (late < 0) continue
    const from = Math.max(run.from, whole === undefined ? run.from : last + 1)
    for await (const piece of along({ ...archive, encrypted: false }, from, run.to)) {
      const end = piece.from + piece.bytes.length - 1
      const came = cameBy(piece.marks, end, wallMs) ?? -1
      last = Math.max(last, came >= piece.from ? came : -1)
      if (came < end) return last
    }
  }
  return last
}

async function upTo(history: History, to: number, by: number | 'latest'): Promise<Moment> {
  const { runs, bases, legs } = history
  const end = Math.max(runs.at(-1)?.to ?? -1, ...bases.map(({ offset }) => offset))
  if (to > end) throw outside(history, `offset ${to} lies after the end of what is archived`)
  const chain = chainTo(legs, runs, bases, to)
  if ('why' in chain) throw noChain(history, to < 0 ? 'there is no good backup in this history' : chain.why, to)
  const read = await readTo(history, chain.base, to, { pattern: null, by })
  return momentOf(history, chain.base, read, { to: read.seek.cut(), commands: read.seek.commands(), atWallMs: read.cutWallMs })
}

/** The stretches between two backups, from the last one back: a backup is where a command begins. */
async function before(history: History, pattern: Pattern, to: number): Promise<Moment> {
  const { runs, bases, order } = history
  const by = order.wanted.kind === 'before' ? order.wanted.by : 'latest'
  const backed = [...bases].filter(({ offset }) => offset < to).sort((a, b) => b.offset - a.offset || b.atWallMs - a.atWallMs)
  let end = to
  for (const base of backed) {
    const run = runs.find((one) => one.from <= base.offset + 1 && base.offset + 1 <= one.to)
    const last = Math.min(end, run?.to ?? base.offset)
    end = Math.min(end, base.offset)
    if (last <= base.offset) continue
    const read = await readTo(history, base, last, { pattern, by })
    const matches = read.seek.matches().map((match) => ({ ...match, atWallMs: read.matchWallMs.get(match.to)?.it ?? 0 }))
    const found = matches.at(-1)
    if (found === undefined) continue
    const atWallMs = read.matchWallMs.get(found.to)?.before ?? base.atWallMs
    const moment = momentOf(history, base, read, { to: found.before, commands: found.commands, atWallMs })
    return { ...moment, found, earlier: matches.slice(0, -1), unsearched: holesIn(runs, bases, found.to + 1, to) }
  }
  const [oldest] = bases.toSorted((a, b) => a.offset - b.offset)
  if (oldest === undefined || oldest.offset > to) throw noChain(history, 'nothing can be searched: no good backup lies before it in this history', to)
  throw noSuch(history, pattern, by, holesIn(runs, bases, oldest.offset + 1, to))
}

/** When a command had come, and the byte before it. */
interface Times {
  readonly it: number
  readonly before: number
}

interface ReadTo {
  readonly seek: ReturnType<typeof seeker>
  readonly segments: number
  readonly cutWallMs: number
  readonly matchWallMs: ReadonlyMap<number, Times>
  readonly archive: Archive
}

/** A segment of small commands is a hundred thousand of them: not all at once. */
const sliceBytes = 1024 * 1024

/** The segments are proven one by one; where one history leaves another is said by a paper, and it is said after the backup was made. */
function refuseForged({ order: { group, key }, timelines, legs }: History, { replid }: Base, to: number): void {
  if (key === null) return
  const behind = legs.slice(legs.findIndex((leg) => leg.replid === replid) + 1).filter(({ from }) => from <= to)
  const forged = timelines.find((one) => one.keyId !== keyId(key) && behind.some((leg) => leg.replid === one.replid))
  if (forged === undefined) return
  const name = timelineName(group, forged.replid)
  throw new SegmentFailed('data', `${name}: it is not proven by the key, and the backup is: whoever can write to the store could have made it`)
}

interface LookedFor {
  readonly pattern: Pattern | null
  /** Names say when the last byte of a segment had come: where a clock was set back within it, only its proven marks say that others came later. */
  readonly by: number | 'latest'
}

async function readTo(history: History, base: Base, to: number, { pattern, by }: LookedFor): Promise<ReadTo> {
  const { archive, order } = history
  const own: Archive = { ...archive, encrypted: backupOf(order, base).manifest.encryption !== null }
  if (own.encrypted) refuseForged(history, base, to)
  const seek = seeker(base.offset + 1, pattern)
  const matchWallMs = new Map<number, Times>()
  let cutWallMs = base.atWallMs
  let segments = 0
  for await (const piece of along(own, base.offset + 1, to)) {
    const [had, hadWallMs] = [seek.cut(), cutWallMs]
    const end = piece.from + piece.bytes.length - 1
    const last = by === 'latest' ? end : Math.max(piece.from - 1, cameBy(piece.marks, end, by) ?? -1)
    const bytes = piece.bytes.subarray(0, last - piece.from + 1)
    for (let at = 0; at < bytes.length; at += sliceBytes) seek.push(bytes.toString('latin1', at, at + sliceBytes))
    const broken = seek.broken()
    if (broken !== null) throw new SegmentFailed('data', `${piece.name} is proven, and no stream of redis: ${broken}`)
    if (seek.cut() > had) cutWallMs = cameAt(piece.marks, seek.cut()) ?? cutWallMs
    const cameAtOf = (offset: number): number => (offset === had ? hadWallMs : (cameAt(piece.marks, offset) ?? cutWallMs))
    for (const { before, to: it } of seek.matches()) if (!matchWallMs.has(it)) matchWallMs.set(it, { it: cameAtOf(it), before: cameAtOf(before) })
    segments += 1
    order.progress(end - base.offset, to - base.offset)
    if (last < end) break
  }
  return { seek, segments, cutWallMs, matchWallMs, archive: own }
}

function momentOf({ order }: History, base: Base, { seek, segments, archive }: ReadTo, at: Pick<Moment, 'to' | 'commands' | 'atWallMs'>): Moment {
  return {
    backup: backupOf(order, base),
    archive,
    ...at,
    segments,
    databases: seek.database() + 1,
    isRelative: seek.isRelative(),
    found: null,
    earlier: [],
    unsearched: [],
  }
}

function backupOf({ backups }: MomentOrder, { id }: Base): Backup {
  const backup = backups.find(({ manifest }) => manifest.id === id)
  if (backup === undefined) throw new Error(`${id} is not among the backups`)
  return backup
}
