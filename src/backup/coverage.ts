/**
 * What there is of the archived stream of a group: from when to when every moment can be restored, where something is missing, and what lies on histories
 * that ended. PURE: from names, papers and the list of backups; what a segment holds is not known here.
 */
import { isOnPath, newestTimeline, pathTo, runsOn, type Base, type Leg, type Run, type TimelineFact } from './chain.ts'
import { ago } from './due.ts'
import type { StoredSegment } from './stream.ts'

/** As far as they are known: a paper that cannot be read is none. */
export interface Stream<T extends TimelineFact = TimelineFact> {
  readonly timelines: readonly T[]
  readonly segments: readonly StoredSegment[]
}

/** Every moment of it can be restored: from the backup that begins it. */
export interface Span {
  /** The way: to this history. */
  readonly replid: string
  readonly base: string
  /** Offsets of the last byte in the backup, and of the last one that is archived. */
  readonly from: number
  readonly to: number
  readonly fromWallMs: number
  readonly toWallMs: number
}

export interface Gap {
  /** The history that its first byte is missing of; or the one that begins behind it. */
  readonly replid: string
  /** Offsets of its first and last byte; null: behind it another history begins, and nobody knows how much was between. */
  readonly bytes: { readonly from: number; readonly to: number } | null
  /** When what is there before it ends, and when what is there behind it begins: a backup in that held its first byte already, whatever its segment says of its last. */
  readonly fromWallMs: number
  readonly toWallMs: number
  /** Of the backup from which the stream can be restored again; null: there is no good one behind it. */
  readonly againWallMs: number | null
}

/** What a history has beyond the point where the one of now left it, or all of one that leads nowhere. */
export interface Branch {
  readonly replid: string
  readonly from: number
  readonly to: number
  readonly firstWallMs: number
  readonly lastWallMs: number
  readonly segments: number
  readonly bytes: number
}

export interface Coverage {
  /** Oldest first. */
  readonly spans: readonly Span[]
  readonly gaps: readonly Gap[]
  readonly branches: readonly Branch[]
  readonly segments: number
  readonly bytes: number
  /** When the last byte of all had come; null: there is none. */
  readonly lastWallMs: number | null
  /** Does a good backup lie in what is archived last? */
  readonly endsRestorable: boolean
}

/** One way through the histories that was the one of its time. */
export interface Era {
  readonly replid: string
  readonly path: readonly Leg[]
  readonly runs: readonly Run[]
}

/** Oldest first: the way to the history of now, and before its beginning that to the one of then. */
export function erasOf({ timelines, segments }: Stream): readonly Era[] {
  const eras: Era[] = []
  let left = timelines
  for (let newest = newestTimeline(left); newest !== null; newest = newestTimeline(left)) {
    const path = pathTo(timelines, newest.replid)
    eras.unshift({ replid: newest.replid, path, runs: runsOn(path, segments) })
    const began = timelines.find(({ replid }) => replid === path[0]?.replid) ?? newest
    const root = path[0]?.replid
    left = left.filter((one) => one.atWallMs < began.atWallMs && pathTo(timelines, one.replid)[0]?.replid !== root)
  }
  return eras
}

/** The good ones from which something of the run can be restored, in the order of their offsets. */
export function basesIn({ from, to }: Run, path: readonly Leg[], bases: readonly Base[]): readonly Base[] {
  return bases
    .filter((base) => base.state === 'good' && base.offset >= from - 1 && base.offset <= to && isOnPath(path, base))
    .sort((a, b) => a.offset - b.offset || a.atWallMs - b.atWallMs)
}

export function coverageOf(stream: Stream, bases: readonly Base[]): Coverage {
  const eras = erasOf(stream)
  const seen = eras.flatMap(({ replid, path, runs }) => runs.map((run) => ({ replid, path, run, base: basesIn(run, path, bases)[0] ?? null })))
  const spans = seen.flatMap(({ replid, run: { to, lastWallMs }, base }): readonly Span[] =>
    base === null ? [] : [{ replid, base: base.id, from: base.offset, to, fromWallMs: base.atWallMs, toWallMs: Math.max(base.atWallMs, lastWallMs) }],
  )
  const gaps = seen.slice(1).map(({ replid, path, run, base }, n): Gap => {
    const before = seen[n]
    const bytes = before?.replid === replid ? { from: before.run.to + 1, to: run.from - 1 } : null
    const fromWallMs = before?.run.lastWallMs ?? 0
    const toWallMs = Math.max(fromWallMs, Math.min(run.firstWallMs, base?.atWallMs ?? run.firstWallMs))
    const missingOf = bytes === null ? path[0] : path.find(({ from, to }) => bytes.from >= from && bytes.from <= to)
    return { replid: missingOf?.replid ?? replid, bytes, fromWallMs, toWallMs, againWallMs: base === null ? null : Math.max(toWallMs, base.atWallMs) }
  })
  const { segments } = stream
  return {
    spans,
    gaps,
    branches: branchesOf(eras, segments),
    segments: segments.length,
    bytes: segments.reduce((sum, { bytes }) => sum + bytes, 0),
    lastWallMs: segments.length === 0 ? null : segments.reduce((last, { lastWallMs }) => Math.max(last, lastWallMs), 0),
    endsRestorable: (seen.at(-1)?.base ?? null) !== null,
  }
}

function branchesOf(eras: readonly Era[], segments: readonly StoredSegment[]): readonly Branch[] {
  const ends = new Map(eras.flatMap(({ path }) => path.map(({ replid, to }) => [replid, to] as const)))
  const branches = new Map<string, Branch>()
  for (const { replid, from, to, lastWallMs, bytes } of segments) {
    const end = ends.get(replid) ?? Number.NEGATIVE_INFINITY
    if (to <= end) continue
    const own = Math.max(from, end + 1)
    const had = branches.get(replid) ?? { replid, from: own, to, firstWallMs: lastWallMs, lastWallMs, segments: 0, bytes: 0 }
    branches.set(replid, {
      replid,
      from: Math.min(had.from, own),
      to: Math.max(had.to, to),
      firstWallMs: Math.min(had.firstWallMs, lastWallMs),
      lastWallMs: Math.max(had.lastWallMs, lastWallMs),
      segments: had.segments + 1,
      bytes: had.bytes + bytes,
    })
  }
  return [...branches.values()]
}

export interface Reach {
  readonly replid: string
  readonly to: number
  readonly toWallMs: number
}

/** How far one can go on from a backup: by the newest way that it lies on, else by its own history. null: nothing is archived behind it. */
export function reachOf(stream: Stream, base: Base): Reach | null {
  const own = pathTo(stream.timelines, base.replid)
  const ways = [...erasOf(stream).toReversed(), { replid: base.replid, path: own, runs: runsOn(own, stream.segments) }]
  for (const { replid, path, runs } of ways) {
    const run = isOnPath(path, base) ? runs.find(({ from, to }) => from <= base.offset + 1 && to > base.offset) : undefined
    if (run !== undefined) return { replid, to: run.to, toWallMs: run.lastWallMs }
  }
  return null
}

const minuteMs = 60_000
const dayMs = 24 * 60 * minuteMs
/** Of an archive that runs something is put each minute, also where nobody writes. */
const silentMs = 5 * minuteMs

/**
 * `configured`: somebody should be archiving now. `broken`: names that do not count, and why. `unproven`: how many histories are not proven by the configured
 * key; null: there is none.
 */
export function streamAlarms(
  { spans, gaps, segments, lastWallMs, endsRestorable }: Coverage,
  broken: readonly { readonly name: string; readonly why: string }[],
  configured: boolean,
  nowWallMs: number,
  unproven: number | null = null,
): readonly string[] {
  const alarms: string[] = []
  if (configured && lastWallMs === null) alarms.push('nothing of the stream is archived')
  if (segments > 0 && !endsRestorable)
    alarms.push(`what is archived of the stream${spans.length === 0 ? '' : ' since its last gap'} cannot be restored: no good backup lies in it yet`)
  if (configured && lastWallMs !== null && nowWallMs - lastWallMs > silentMs)
    alarms.push(`nothing of the stream has been archived for ${ago(nowWallMs - lastWallMs)}`)
  for (const gap of gaps) {
    // That nothing behind the last one can be restored is said already.
    const isLost = gap.againWallMs === null && gap !== gaps.at(-1)
    if (isLost || nowWallMs - gap.toWallMs < dayMs) alarms.push(gapWords(gap, nowWallMs))
  }
  if (unproven !== null && unproven > 0)
    alarms.push(`a key is configured, and ${unproven} of the histories of the stream not proven by it: whoever can write to the store could have made it`)
  alarms.push(...broken.slice(0, 3).map(({ name, why }) => `${name} does not count: ${why}`))
  if (broken.length > 3) alarms.push(`${broken.length - 3} more names of the stream do not count`)
  return alarms
}

function gapWords({ bytes, fromWallMs, toWallMs, againWallMs }: Gap, nowWallMs: number): string {
  const size = bytes === null ? 'a new history began' : `${bytes.to - bytes.from + 1} bytes are missing`
  const againMs = againWallMs === null ? null : againWallMs - toWallMs
  const again =
    againMs === null
      ? 'nothing up to the next one can be restored'
      : againMs < 1000
        ? 'what came behind it can be restored'
        : `it can be restored again from ${ago(againMs)} later on`
  return `the stream has a gap of ${ago(toWallMs - fromWallMs)}, ${ago(nowWallMs - toWallMs)} ago: ${size}, ${again}`
}
