/**
 * What of the archived stream may go, and which backups stay because it begins at them. PURE. Chain-safe: of each piece without a gap, every moment since
 * `keptFromWallMs` stays restorable, as far as it is today. Who asks is bound by the rules of ./retention.ts too: nothing goes while the last good backup is too old.
 */
import { isOnPath, newestTimeline, pathTo, runsOn, type Base, type Leg, type Run, type TimelineFact } from './chain.ts'
import { basesIn, type Stream } from './coverage.ts'
import type { StoredSegment } from './stream.ts'

export interface Thinning {
  /** In the order in which they may go: on each way the oldest first, so that whoever is killed half-way leaves no hole. */
  readonly go: readonly StoredSegment[]
  /** Each lies wholly within `within`, and goes when that one is proven. */
  readonly doubles: readonly { readonly segment: StoredSegment; readonly within: StoredSegment }[]
  /** Histories of which nothing is left when `go` has gone, and that lead nowhere. */
  readonly papers: readonly string[]
  /** By the id of a backup: why it stays. */
  readonly holds: ReadonlyMap<string, string>
}

const hourMs = 3_600_000
/** What is put together now may be read by somebody who has listed the small ones a moment ago. */
const doubledMs = hourMs

export function thin(stream: Stream, bases: readonly Base[], keptFromWallMs: number, nowWallMs: number): Thinning {
  const past = bases.filter(({ atWallMs }) => atWallMs <= nowWallMs + hourMs)
  const needed = new Set<string>()
  const holds = new Map<string, string>()
  const newest = newestTimeline(stream.timelines)
  for (const { replid } of stream.timelines) {
    const path = pathTo(stream.timelines, replid)
    const runs = runsOn(path, stream.segments)
    for (const run of runs) {
      const mine = segmentsIn(run, path, stream.segments)
      // A clock that was wrong once must not make all of it look old; and what is written now stays, whatever the clocks say.
      const isOld = mine.every(({ lastWallMs }) => lastWallMs < keptFromWallMs) && !(replid === newest?.replid && run === runs.at(-1))
      if (!isOld) keepRun(run, path, mine, past, { keptFromWallMs, nowWallMs }, needed, holds)
    }
  }
  const go = stream.segments.filter(({ name }) => !needed.has(name)).sort((a, b) => a.from - b.from || a.to - b.to)
  const left = stream.segments.filter(({ name }) => needed.has(name))
  return { go, doubles: doublesIn(left, nowWallMs), papers: papersIn(stream, left, keptFromWallMs, newest?.replid ?? null), holds }
}

function keepRun(
  run: Run,
  path: readonly Leg[],
  mine: readonly StoredSegment[],
  bases: readonly Base[],
  { keptFromWallMs, nowWallMs }: { readonly keptFromWallMs: number; readonly nowWallMs: number },
  needed: Set<string>,
  holds: Map<string, string>,
): void {
  const good = basesIn(run, path, bases)
  const ends = new Map(path.map((leg) => [leg.replid, leg.to]))
  const endOf = ({ replid, to }: StoredSegment): number => Math.min(to, ends.get(replid) ?? to)
  // Its host had a clock that was behind: what came before it is younger, and it would take all of that with it.
  const isOlder = ({ atWallMs, offset }: Base): boolean =>
    atWallMs <= keptFromWallMs && !mine.some((one) => one.lastWallMs > keptFromWallMs && one.lastWallMs <= nowWallMs + hourMs && endOf(one) <= offset)
  const older = good.findLast(isOlder)
  // It becomes the one that it begins at: were it to go before that, all would have to stay for ever.
  const next = good.find((base) => !isOlder(base) && base.offset >= (older?.offset ?? 0))
  const begin = older ?? next
  if (begin !== undefined) holds.set(begin.id, 'the stream begins at it')
  if (next !== undefined && next !== begin && !holds.has(next.id)) holds.set(next.id, 'the stream begins at it next')
  const mayBecomeGood =
    begin === undefined && bases.some((base) => base.state === 'untested' && isOnPath(path, base) && base.offset >= run.from - 1 && base.offset <= run.to)
  for (const segment of mine) {
    const leads = begin !== undefined && endOf(segment) > begin.offset
    const isYoung = older === undefined && segment.lastWallMs >= keptFromWallMs
    if (leads || isYoung || mayBecomeGood) needed.add(segment.name)
  }
}

/** All of them, also those that others cover: what goes is for another rule to say. */
function segmentsIn({ from, to }: Run, path: readonly Leg[], segments: readonly StoredSegment[]): readonly StoredSegment[] {
  const ends = new Map(path.map((leg) => [leg.replid, leg.to]))
  return segments.filter((segment) => segment.from >= from && segment.from <= to && segment.from <= (ends.get(segment.replid) ?? Number.NEGATIVE_INFINITY))
}

function doublesIn(segments: readonly StoredSegment[], nowWallMs: number): Thinning['doubles'] {
  const doubles: { readonly segment: StoredSegment; readonly within: StoredSegment }[] = []
  let widest: StoredSegment | null = null
  const sorted = [...segments].sort((a, b) =>
    a.replid < b.replid ? -1 : a.replid > b.replid ? 1 : a.from - b.from || b.to - a.to || (a.name < b.name ? -1 : 1),
  )
  for (const segment of sorted) {
    if (widest === null || widest.replid !== segment.replid || segment.to > widest.to) widest = segment
    else if (nowWallMs - Math.max(widest.lastWallMs, segment.lastWallMs) > doubledMs) doubles.push({ segment, within: widest })
  }
  return doubles
}

/** A paper that says where another history came from is needed for as long as anything of what came before is there. */
function papersIn({ timelines }: Stream, left: readonly StoredSegment[], keptFromWallMs: number, newest: string | null): readonly string[] {
  const used = new Set(left.map(({ replid }) => replid))
  const isIdle = ({ replid, atWallMs }: TimelineFact): boolean =>
    replid !== newest && atWallMs < keptFromWallMs && !pathTo(timelines, replid).some((leg) => used.has(leg.replid))
  return timelines.filter(isIdle).map(({ replid }) => replid)
}
