/**
 * `holdfast restore GROUP --time|--offset|--before`: what an operator means by a moment, which one it is, and how it is told. What leads to it
 * is found, read and proven in ../dump/moment.ts, before any redis is started.
 */
import pc from 'picocolors'
import type { Backup, Catalog } from '../backup/catalog.ts'
import { patternOf } from '../backup/pattern.ts'
import type { StoredSegment } from '../backup/stream.ts'
import { findMoment, type Found, type Moment, type Wanted } from '../dump/moment.ts'
import { holesWords, isoWords } from '../dump/moment-words.ts'
import { OperatorError } from '../model/error.ts'
import { shown } from '../redis/words.ts'
import { findBackup, type Vault } from './backup-open.ts'
import { progressLine, sizeWords, type Progress } from './backup-words.ts'

export interface MomentOptions {
  readonly time?: string | undefined
  readonly offset?: string | undefined
  readonly before?: string | undefined
  readonly timeline?: string | undefined
  readonly backup?: string | undefined
  readonly untested?: true | undefined
}

/** null: none is asked for. */
export function wantedBy({ time, offset, before, timeline }: MomentOptions): Wanted | null {
  if (offset !== undefined && (time !== undefined || before !== undefined))
    throw new OperatorError('HF832', '--offset is a moment by itself', 'leave --time and --before out', 2)
  if (offset !== undefined) {
    if (!/^\d{1,16}$/.test(offset) || !Number.isSafeInteger(Number(offset)))
      throw new OperatorError('HF832', `--offset takes a whole number, not ${offset}`, '', 2)
    return { kind: 'offset', offset: Number(offset) }
  }
  const at = time === undefined ? 'latest' : wallMsOf(time)
  if (before !== undefined) {
    const pattern = patternOf(before)
    if (pattern === null) throw new OperatorError('HF833', `--before takes a command, not ${before}`, "such as FLUSHALL, or 'DEL user:*'", 2)
    return { kind: 'before', pattern, by: at }
  }
  if (time !== undefined) return { kind: 'time', wallMs: at }
  if (timeline !== undefined)
    throw new OperatorError('HF832', '--timeline says in which history, and no moment is named', 'add --time latest, or another moment', 2)
  return null
}

/** With its zone: an hour is lost too easily. */
function wallMsOf(text: string): number | 'latest' {
  if (text === 'latest') return 'latest'
  const found = /^(\d{4}-\d\d-\d\d)[T ](\d\d:\d\d(?::\d\d(?:\.\d{1,3})?)?) ?(?:(Z|UTC)|([+-]\d\d):?(\d\d))$/i.exec(text)
  const [, day = '', time = '', utc, hours = '', minutes = ''] = found ?? []
  const wallMs = found === null ? Number.NaN : Date.parse(`${day}T${time}${utc === undefined ? `${hours}:${minutes}` : 'Z'}`)
  if (Number.isNaN(wallMs))
    throw new OperatorError(
      'HF832',
      `--time takes a time with its zone, not ${text}`,
      'such as 2026-11-21T17:41:59Z or 2026-11-21T18:41:59+01:00, or latest',
      2,
    )
  return wallMs
}

export async function momentIn(vault: Vault, catalog: Catalog, wanted: Wanted, options: MomentOptions): Promise<Moment> {
  const { store, group, key, signal } = vault
  let line: Progress | null = null
  try {
    return await findMoment({
      store,
      group: group.name,
      key,
      backups: usable(catalog, options),
      waiting: options.backup === undefined && options.untested !== true ? catalog.backups.filter(({ state }) => state === 'untested') : [],
      wanted,
      timeline: options.timeline ?? null,
      progress: (bytes, of) => {
        line ??= progressLine('proving the stream', of)
        line.tell(bytes)
      },
      signal,
    })
  } catch (error) {
    if (signal.aborted) throw new OperatorError('HF824', 'broken off: nothing was begun', 'run the same command again')
    throw error
  } finally {
    ;(line as Progress | null)?.end()
  }
}

/** Nothing that is not proven is restored without a word. */
function usable(catalog: Catalog, { backup, untested }: MomentOptions): readonly Backup[] {
  if (backup === undefined) return catalog.backups.filter(({ state }) => state === 'good' || (state === 'untested' && untested === true))
  const one = findBackup(catalog, backup, untested === true)
  if (one.state !== 'good' && untested !== true)
    throw new OperatorError(
      'HF815',
      `${one.manifest.id} is ${one.state}`,
      'leave --backup out: a good one is chosen; or say --untested to take this one as it is',
    )
  return [one]
}

export function streamBytes({ backup, to }: Moment): number {
  return to - backup.manifest.position.offset
}

/** redis applies some hundred thousand commands in a second, and large values at the speed of this process. */
const commandsPerS = 400_000
const bytesPerS = 100 * 1024 * 1024

/** null: its backup was not tested. */
export function expectedMs(moment: Moment): number | null {
  const { tested } = moment.backup
  if (tested?.ok !== true) return null
  return Math.round(tested.loadMs + (moment.commands / commandsPerS + streamBytes(moment) / bytesPerS) * 1000)
}

type Row = readonly [name: string, text: string]

export function momentRows(moment: Moment): readonly Row[] {
  const { archive, to, atWallMs, commands, segments, found, earlier, unsearched } = moment
  const timeline = archive.legs.at(-1)?.replid ?? ''
  return [
    ['moment', `${isoWords(atWallMs)}, offset ${to}, timeline ${timeline.slice(0, 8)}`],
    [
      'stream',
      `${sizeWords(streamBytes(moment))} behind the backup: ${commands} commands in ${segments} ${segments === 1 ? 'segment' : 'segments'}, all read and proven`,
    ],
    ...(found === null ? [] : foundRows(found, earlier, archive.segments)),
    ...(unsearched.length === 0 ? [] : [['gap', pc.red(`${holesWords(unsearched, archive.group)}: a later one may lie there`)] as const]),
  ]
}

/** The last such command may have been typed a second ago, and an older one be found. */
function foundRows(found: Found, earlier: readonly Found[], segments: readonly StoredSegment[]): readonly Row[] {
  const endWallMs = segments.reduce((last, { lastWallMs }) => Math.max(last, lastWallMs), 0)
  return [
    ['before', foundWords(found)],
    ...earlier.toReversed().map((one): Row => ['earlier', foundWords(one)]),
    ['searched', `up to ${isoWords(endWallMs)}: what came later is not in the store yet`],
  ]
}

/** Offset: of the last byte before it, as --offset takes it. */
function foundWords({ words, atWallMs, before }: Found): string {
  return `${shown(words, 100)} of ${isoWords(atWallMs)}: --offset ${before} is before it`
}

export function momentJson(moment: Moment) {
  const { archive, to, atWallMs, commands, segments, found, earlier, unsearched } = moment
  const json = (one: Found) => ({ command: shown(one.words, 100), atWallMs: one.atWallMs, before: one.before, to: one.to })
  return {
    offset: to,
    timeline: archive.legs.at(-1)?.replid ?? null,
    atWallMs,
    bytes: streamBytes(moment),
    commands,
    segments,
    found: found === null ? null : json(found),
    earlier: earlier.map(json),
    unsearched,
  }
}
