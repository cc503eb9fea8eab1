/** The lines on a group's backups, and on the archive of its stream, in `status`: from what its agents tell. Words only. */
import pc from 'picocolors'
import { ago, type Alarm, type Seen } from '../backup/due.ts'
import type { BackupReport, RunningBackup, RunningStream } from '../backup/report.ts'
import { tookWords } from './backup-words.ts'

const dayMs = 24 * 3_600_000

export interface BackupStatus {
  /** Who would take the next one; null: nobody. */
  readonly source: string | null
  readonly why: string
  readonly lastGood: Seen | null
  readonly newest: Seen | null
  readonly nextMs: number | null
  readonly running: (RunningBackup & { readonly host: string }) | null
  readonly alarms: readonly Alarm[]
  /** null: the stream is not archived. */
  readonly stream: StreamStatus | null
}

export interface StreamStatus {
  /** Who archives it; null: nobody at this moment. */
  readonly running: (RunningStream & { readonly host: string }) | null
  /** Who is to; null: nobody. */
  readonly host: string | null
  readonly why: string
  readonly alarms: readonly Alarm[]
}

type Reports = readonly { readonly host: string; readonly report: BackupReport }[]

/** Of all reports, that of the one who looks into the store: the others know nothing of it. */
export function backupStatus(reports: Reports): BackupStatus | null {
  const looking = reports.find(({ host, report }) => report.source === host) ?? reports[0]
  if (looking === undefined) return null
  const { source, why, glance, nextMs, alarms } = looking.report
  const running = reports.flatMap(({ host, report }) => (report.running === null ? [] : [{ ...report.running, host }]))
  const unheard =
    source !== null && source !== looking.host ? [{ text: `the agent of ${source}, which would take the next one, is not heard from here`, grave: false }] : []
  return {
    source,
    why,
    lastGood: glance?.lastGood ?? null,
    newest: glance?.newest ?? null,
    nextMs,
    running: running[0] ?? null,
    alarms: [...alarms, ...unheard],
    stream: streamStatus(reports),
  }
}

/** Who archives knows where it stands; what is wrong is said by whom it concerns, and by all where it is nobody. */
function streamStatus(reports: Reports): StreamStatus | null {
  const told = reports.flatMap(({ host, report: { stream } }) => (stream == null ? [] : [{ host, stream }]))
  const here = told.find(({ host, stream }) => stream.host === host) ?? told[0]
  if (here === undefined) return null
  const all = told.flatMap(({ host, stream: { running } }) => (running === null ? [] : [{ ...running, host }]))
  const running = all.find(({ isAttached }) => isAttached) ?? all[0] ?? null
  const { host, why } = here.stream
  const alarms = new Map(told.flatMap(({ stream }) => stream.alarms).map((alarm) => [alarm.text, alarm]))
  const isUnheard = host !== null && host !== here.host && running === null
  if (isUnheard) alarms.set('', { text: `the agent of ${host}, which archives it, is not heard from here`, grave: false })
  return { running, host, why, alarms: [...alarms.values()] }
}

function streamLine(stream: StreamStatus | null, nowWallMs: number): string {
  if (stream === null) return ''
  const { running, host, why, alarms } = stream
  return `stream: ${running === null ? (host === null ? `not archived: ${why}` : `${host} begins to archive it`) : whereItStands(running, nowWallMs)}\n${drawn('stream', alarms)}`
}

function whereItStands({ host, role, storedWallMs, sinceWallMs }: RunningStream & { readonly host: string }, nowWallMs: number): string {
  const by = `${host}${role === 'primary' ? ', the primary' : ''}`
  if (storedWallMs === null) return `nothing archived yet by ${by}`
  const lateMs = Math.max(0, nowWallMs - storedWallMs)
  const late = lateMs < 10_000 ? `${(lateMs / 1000).toFixed(1)} s` : ago(lateMs)
  const since = sinceWallMs === null ? '' : `; any moment since ${timeWords(sinceWallMs, nowWallMs)}`
  return `archived up to ${new Date(storedWallMs).toISOString().slice(11, 19)} UTC by ${by}, ${late} ago${since}`
}

function drawn(what: string, alarms: readonly Alarm[]): string {
  return alarms.map(({ text, grave }) => `${(grave ? pc.red : pc.yellow)(`${what}: ${text}`)}\n`).join('')
}

export function backupLine(backup: BackupStatus | null, nowWallMs: number): string {
  if (backup === null) return ''
  const { lastGood, nextMs, running, alarms } = backup
  const good =
    lastGood === null
      ? []
      : [`last good ${ago(nowWallMs - lastGood.atWallMs)} ago${lastGood.restoreMs === null ? '' : ` (${tookWords(lastGood.restoreMs)} to restore)`}`]
  const next = nextMs === null ? 'no schedule' : `next at ${timeWords(nextMs, nowWallMs)}`
  const now = running === null ? [] : [`${running.phase} ${running.id} on ${running.host}`]
  const line = `backup: ${[...good, ...now, next].join(', ')}\n`
  return `${line}${drawn('backup', alarms)}${streamLine(backup.stream, nowWallMs)}`
}

/** The day too, where it is not within one. */
function timeWords(atWallMs: number, nowWallMs: number): string {
  const iso = new Date(atWallMs).toISOString()
  return `${Math.abs(atWallMs - nowWallMs) < dayMs ? '' : `${iso.slice(0, 10)} `}${iso.slice(11, 16)} UTC`
}
