/**
 * Which backups may go. PURE. Only what was restored in a test counts as a backup here: the last of those never goes, and while none
 * is as young as it should be nothing goes at all, for whatever stopped the backups would otherwise empty the store. What `restore --over` has
 * kept of a state that was to go (./over-copy.ts) counts as none of them: it would push out the very backup that was restored.
 */

import type { Keep } from '../model/config.ts'

/** A backup as far as keeping it is concerned. */
export interface Held {
  readonly id: string
  /** When the moment was that it holds. */
  readonly atWallMs: number
  /** `good`: a redis-server loaded it and its contents were compared; `bad`: that failed; `untested`: not tried yet. */
  readonly state: 'good' | 'bad' | 'untested'
  /** When it was tested; of an untested one, when its moment was. */
  readonly judgedAtWallMs: number
  /** As counted in its test; null: it was not tested. */
  readonly keys: number | null
  /** What a segment of the stream, or an operator, holds on to. */
  readonly held: string | null
  /** Kept by `restore --over`. */
  readonly isCopy: boolean
}

export interface Verdict {
  readonly id: string
  readonly keep: boolean
  readonly why: string
}

export interface Pruning {
  /** Youngest first. */
  readonly verdicts: readonly Verdict[]
  /** null: all is well. */
  readonly alarm: string | null
  /** The good one that the others may go for; null: nothing may go. */
  readonly last: string | null
}

const hourMs = 3_600_000
const dayMs = 24 * hourMs
/** A failed one is evidence for so long. */
const evidenceMs = 7 * dayMs
/** One that is not held yet is being tested, or was left by a restore that ended early. */
const copyMs = dayMs
/** A dataset that has shrunk to a tenth may be a good backup of an accident. */
const shrunkTo = 0.1
/** The last one before that stays so long: an accident is not always noticed the same week. */
const shrunkMs = 30 * dayMs

/** The last good one is too old to rely on: a whole period was missed, and an hour on top. `dueEveryMs`: how far apart two should lie at the most. */
export function isOverdue(atWallMs: number, dueEveryMs: number, nowWallMs: number): boolean {
  return nowWallMs - atWallMs > 2 * dueEveryMs + hourMs
}

/** `dueEveryMs`: how far apart two backups should lie at the most. */
export function prune(backups: readonly Held[], keep: Keep, dueEveryMs: number, nowWallMs: number): Pruning {
  const youngestFirst = [...backups].sort((a, b) => b.atWallMs - a.atWallMs || (a.id < b.id ? 1 : -1))
  // What a wrong clock has dated into the future would be the last good one for as long: it is kept, and takes nobody's place.
  const isFuture = ({ atWallMs }: Held): boolean => atWallMs > nowWallMs + hourMs
  const own = youngestFirst.filter((backup) => !backup.isCopy && !isFuture(backup))
  const good = own.filter(({ state }) => state === 'good')
  const [last] = good
  const hold = (why: string): Pruning => ({
    verdicts: youngestFirst.map(({ id }) => ({ id, keep: true, why })),
    alarm: backups.length === 0 ? null : why,
    last: null,
  })
  const future = youngestFirst.find((backup) => backup.state === 'good' && isFuture(backup))
  const hasCopy = youngestFirst.some(({ state, isCopy }) => state === 'good' && isCopy)
  if (last === undefined)
    return hold(
      future !== undefined
        ? 'all good backups are from the future: a clock is wrong, nothing is removed'
        : hasCopy
          ? 'the only good ones are copies that restore --over has kept: nothing is removed'
          : 'no backup has been restored in a test yet: nothing is removed',
    )
  if (isOverdue(last.atWallMs, dueEveryMs, nowWallMs))
    return hold(`the last good backup is ${Math.floor((nowWallMs - last.atWallMs) / hourMs)} hours old: nothing is removed until there is a younger one`)
  const reasons = reasonsOf(
    own.filter(({ state }) => state !== 'bad'),
    keep,
  )
  const shrunk = new Map(shrinkings(good).map(({ before, after }) => [before.id, after]))
  const verdicts = youngestFirst.map((backup): Verdict => {
    const { id, state, held, atWallMs, judgedAtWallMs } = backup
    const why = reasons.get(id)
    const after = shrunk.get(id)
    if (id === last.id) return { id, keep: true, why: held === null ? 'the last good one' : `the last good one; ${held}` }
    if (held !== null) return { id, keep: true, why: held }
    if (isFuture(backup)) return { id, keep: true, why: 'from the future: a clock was wrong' }
    if (backup.isCopy && state !== 'bad')
      return nowWallMs - atWallMs < copyMs
        ? { id, keep: true, why: 'a copy that restore --over has kept: a day, or while it is held' }
        : { id, keep: false, why: 'a copy that restore --over has kept, and nobody holds' }
    if (state === 'untested')
      return atWallMs > last.atWallMs
        ? { id, keep: true, why: 'not tested, and younger than the last good one' }
        : nowWallMs - atWallMs < 2 * dueEveryMs
          ? { id, keep: true, why: 'not tested, and young: it may still be' }
          : why !== undefined
            ? { id, keep: true, why: `${why}, of which there is no tested one` }
            : { id, keep: false, why: 'never tested, and there are younger good ones' }
    if (state === 'bad')
      return nowWallMs - judgedAtWallMs < evidenceMs
        ? { id, keep: true, why: 'it failed its test: kept a week to find out why' }
        : { id, keep: false, why: 'it failed its test' }
    if (after !== undefined && nowWallMs - after.atWallMs < shrunkMs)
      return { id, keep: true, why: `the last one before ${backup.keys} keys became ${after.keys}: kept a month` }
    return why === undefined ? { id, keep: false, why: 'no period asks for it any more' } : { id, keep: true, why }
  })
  const alarm = future === undefined ? null : `${future.id} is from the future: a clock was wrong when it was taken, and it does not count`
  return { verdicts, last: last.id, alarm }
}

/** Of good ones, the youngest first: each pair of neighbours between which nearly all keys went. */
export function shrinkings<T extends Pick<Held, 'keys'>>(good: readonly T[]): readonly { readonly before: T; readonly after: T }[] {
  return good.flatMap((after, n) => {
    const before = good[n + 1]
    return before !== undefined && (after.keys ?? 0) < shrunkTo * (before.keys ?? 0) ? [{ before, after }] : []
  })
}

/**
 * Of a period without any good one, the youngest untested stays too: tests that could not be made for some days would otherwise cost
 * those days. It takes no good one's place.
 */
function reasonsOf(youngestFirst: readonly Held[], keep: Keep): ReadonlyMap<string, string> {
  const reasons = new Map<string, string>()
  const because = (id: string, name: string): void => {
    const before = reasons.get(id)
    reasons.set(id, before === undefined ? name : `${before}, ${name}`)
  }
  const periods = [
    ['hourly', hourOf],
    ['daily', dayOf],
    ['weekly', weekOf],
    ['monthly', monthOf],
  ] as const
  for (const [name, periodOf] of periods) {
    const withGood = new Set(youngestFirst.flatMap(({ state, atWallMs }) => (state === 'good' ? [periodOf(atWallMs)] : [])))
    const [seen, untested] = [new Set<number>(), new Set<number>()]
    for (const { id, state, atWallMs } of youngestFirst) {
      const period = periodOf(atWallMs)
      const mine = state === 'good' ? seen : untested
      if (mine.has(period) || (state !== 'good' && withGood.has(period))) continue
      if (seen.size >= keep[name]) break
      if (mine.size >= keep[name]) continue
      mine.add(period)
      because(id, name)
    }
  }
  return reasons
}

function hourOf(wallMs: number): number {
  return Math.floor(wallMs / hourMs)
}

function dayOf(wallMs: number): number {
  return Math.floor(wallMs / dayMs)
}

/** Day 0 was a Thursday. */
function weekOf(wallMs: number): number {
  return Math.floor((dayOf(wallMs) + 3) / 7)
}

/** Months since March of the year 0, by the proleptic Gregorian calendar: an era has 400 years and 146,097 days. */
function monthOf(wallMs: number): number {
  const days = dayOf(wallMs) + 719_468
  const era = Math.floor(days / 146_097)
  const dayOfEra = days - era * 146_097
  const yearOfEra = Math.floor((dayOfEra - Math.floor(dayOfEra / 1460) + Math.floor(dayOfEra / 36_524) - Math.floor(dayOfEra / 146_096)) / 365)
  const dayOfYear = dayOfEra - (365 * yearOfEra + Math.floor(yearOfEra / 4) - Math.floor(yearOfEra / 100))
  return (era * 400 + yearOfEra) * 12 + Math.floor((5 * dayOfYear + 2) / 153)
}
