/**
 * Is a backup due, when to look again, and what is wrong with the backups of a group, in words. PURE: what lies in the store and what
 * was tried are handed in, and so are the times that the schedule names.
 */
import { baseOf, type Backup } from './catalog.ts'
import type { Base } from './chain.ts'
import type { Manifest } from './manifest.ts'
import { isCopy } from './over-copy.ts'
import { isOverdue } from './retention.ts'

/** Around this moment; null: only when somebody asks. */
export type Times = { readonly lastMs: number; readonly nextMs: number; readonly everyMs: number } | null

/** One backup, as short as status needs it. */
export interface Seen {
  readonly id: string
  readonly atWallMs: number
  readonly state: Backup['state']
  readonly source: Manifest['source']
  readonly rdbBytes: number
  readonly storedBytes: number
  /** From asking redis for it until its manifest lay in the store. */
  readonly tookMs: number
  /** What restoring took in its test, where it is fetched while it is loaded; null: not tested. */
  readonly restoreMs: number | null
  /** What its test found; '' without one. */
  readonly found: string
}

/** What lies in the store, in short. */
export interface Glance {
  readonly atWallMs: number
  /** No copy that a restore over the group has kept: it is not what the schedule asked for, and says nothing about how fresh the backups are. */
  readonly newest: Seen | null
  readonly lastGood: Seen | null
  readonly newestCopy: Seen | null
  /** What a restore to a moment can begin at, the youngest first. */
  readonly bases: readonly Base[]
  readonly count: number
  /** What is wrong with what lies there, the gravest first. */
  readonly alarms: readonly string[]
  /** Of the archived stream: any moment between these can be restored, since its last gap. null: none, or none is configured. */
  readonly stream: { readonly fromWallMs: number; readonly toWallMs: number; readonly gaps: number } | null
}

/** How a backup of this agent's went last. */
export type Attempt = {
  readonly atWallMs: number
  readonly id: string | null
  readonly by: 'schedule' | 'operator'
  /** In a row, this one included; 0: it succeeded. */
  readonly failures: number
  /** null: it succeeded. */
  readonly why: string | null
}

export interface Alarm {
  readonly text: string
  /** There is nothing that could be restored, or it is too old. */
  readonly grave: boolean
}

const minuteMs = 60_000
const hourMs = 60 * minuteMs
/** Clocks of hosts differ by less. */
const futureMs = 5 * minuteMs
/** Longer than a test of most datasets: two that test the same one are a waste, and no harm. */
const untestedMs = 15 * minuteMs
const retryMs = [5 * minuteMs, 15 * minuteMs, hourMs] as const

/** What is from the future does not count as the newest: a clock that was wrong once would stop all backups until then. */
export function glanceOf(backups: readonly Backup[], alarms: readonly string[], nowWallMs: number, stream: Glance['stream'] = null): Glance {
  const past = (copies: boolean): readonly Seen[] =>
    backups
      .filter(({ manifest }) => isCopy(manifest) === copies && manifest.atWallMs <= nowWallMs + futureMs)
      .map(seenOf)
      .toSorted((a, b) => b.atWallMs - a.atWallMs || (a.id < b.id ? 1 : -1))
  const own = past(false)
  return {
    atWallMs: nowWallMs,
    newest: own[0] ?? null,
    lastGood: own.find(({ state }) => state === 'good') ?? null,
    newestCopy: past(true)[0] ?? null,
    bases: backups
      .map(baseOf)
      .filter(({ atWallMs, state }) => state !== 'bad' && atWallMs <= nowWallMs + futureMs)
      .toSorted((a, b) => b.atWallMs - a.atWallMs),
    count: backups.length,
    alarms,
    stream,
  }
}

function seenOf({ manifest, tested, state }: Backup): Seen {
  return {
    id: manifest.id,
    atWallMs: manifest.atWallMs,
    state,
    source: manifest.source,
    rdbBytes: manifest.rdb.bytes,
    storedBytes: manifest.stored.bytes,
    tookMs: manifest.endedAtWallMs - manifest.atWallMs,
    restoreMs: tested === null ? null : Math.max(tested.fetchMs, tested.loadMs),
    found: tested?.found ?? '',
  }
}

/** What is known: of the store, null before the first look; `ok: false`: it could not be read. */
export type Look = { readonly ok: true; readonly value: Glance } | { readonly ok: false; readonly why: string } | null

export type Due =
  | { readonly what: 'nothing' | 'backup'; readonly why: string }
  /** Whoever took it did not get to its test. */
  | { readonly what: 'test'; readonly id: string; readonly why: string }

/** What is archived has none to begin at. `sinceWallMs`: when that began, as far as this agent knows. */
export interface NoBase {
  readonly why: string
  readonly sinceWallMs: number
}

/**
 * `tests`: whether they are wanted. A backup that does not restore is as good as none: it is tried again, after the same waits as one that failed.
 * `noBase`: null where nothing is archived, or it has a backup to begin at.
 */
export function whatIsDue(times: Times, tests: boolean, look: Look, last: Attempt | null, noBase: NoBase | null, nowWallMs: number): Due {
  if (look === null || !look.ok) return { what: 'nothing', why: 'the store has not been read' }
  const { newest, newestCopy } = look.value
  const againMs = last === null || last.failures === 0 ? 0 : last.atWallMs + (retryMs[last.failures - 1] ?? hourMs)
  // A clock that was put back must not make it wait for days.
  if (againMs > nowWallMs && againMs <= nowWallMs + hourMs) return { what: 'nothing', why: `it is tried again at ${clock(againMs)}` }
  const isYoung = newest !== null && newest.state !== 'bad' && (times === null || newest.atWallMs >= times.lastMs)
  if (times !== null && !isYoung) return { what: 'backup', why: newest === null ? 'there is none' : `the last one is ${ago(nowWallMs - newest.atWallMs)} old` }
  // One that was taken since, and is none to begin at all the same, is not to be followed by another at once.
  const wasTried = newest !== null && noBase !== null && newest.atWallMs >= noBase.sinceWallMs && nowWallMs - newest.atWallMs < retryMs[0]
  if (noBase !== null && !wasTried) return { what: 'backup', why: noBase.why }
  const untested = [newest, newestCopy].find((one) => one?.state === 'untested' && nowWallMs - one.atWallMs - one.tookMs > untestedMs)
  if (tests && untested != null) return { what: 'test', id: untested.id, why: 'it was not tested by whoever took it' }
  return { what: 'nothing', why: times === null ? 'only when somebody asks' : 'the last one is young enough' }
}

/** What the agents know of, and what was seen in the store. `source`: why nobody takes one; null: somebody would. */
export function alarmsOf(times: Times, look: Look, last: Attempt | null, source: string | null, nowWallMs: number): readonly Alarm[] {
  const found: Alarm[] = []
  if (look?.ok === false) found.push({ text: `the store cannot be read: ${look.why}`, grave: true })
  const stored = look?.ok === true ? look.value : null
  const isGrave = stored !== null && (stored.lastGood === null || (times !== null && isOverdue(stored.lastGood.atWallMs, times.everyMs, nowWallMs)))
  // Who asks for none is not told that there is none.
  if (times !== null || (stored?.count ?? 0) > 0) found.push(...(stored?.alarms ?? []).map((text, index) => ({ text, grave: isGrave && index === 0 })))
  if (last !== null && last.why !== null) found.push({ text: `the last attempt (${clock(last.atWallMs)}) failed: ${last.why}`, grave: false })
  if (source !== null && times !== null) found.push({ text: `nobody would take one: ${source}`, grave: false })
  return found
}

export function ago(ms: number): string {
  const seconds = Math.max(0, Math.round(ms / 1000))
  if (seconds < 120) return `${seconds} s`
  if (seconds < 2 * 3600) return `${Math.round(seconds / 60)} min`
  return seconds < 2 * 86_400 ? `${Math.round(seconds / 3600)} h` : `${Math.round(seconds / 86_400)} days`
}

/** `21:05` of today as anybody would write it needs a time zone and a clock: UTC, as in ids and schedules. */
function clock(atWallMs: number): string {
  const minutes = Math.floor(atWallMs / minuteMs) % (24 * 60)
  return `${two(Math.floor(minutes / 60))}:${two(minutes % 60)} UTC`
}

function two(value: number): string {
  return String(value).padStart(2, '0')
}
