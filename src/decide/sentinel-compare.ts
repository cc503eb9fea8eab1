/**
 * The Sentinels of a group side by side: what each says, and where they disagree with each other or with the configuration. PURE.
 * What several agents saw is put together here: a Sentinel that one of them cannot hear is itself worth saying.
 */
import { placeOf, type SentinelLayout, type SentinelLook, type SentinelPicture } from '../model/sentinel-look.ts'
import { hostAt, primaryNamed, settingNames, watchOf } from './sentinel-hygiene.ts'

export const columns = [
  ['names', 'names'],
  ['epoch', 'config epoch'],
  ['flags', 'flags'],
  ['replicas', 'replicas'],
  ['others', 'other Sentinels'],
  ['quorum', 'quorum'],
  ['downAfterMs', 'down-after'],
  ['failoverTimeoutMs', 'failover-timeout'],
  ['parallelSyncs', 'parallel-syncs'],
] as const
export type ColumnKey = (typeof columns)[number][0]

export interface SentinelRow {
  readonly host: string
  readonly answers: boolean
  /** The agent whose look this is, and those that were not answered. */
  readonly seenBy: string
  readonly unheardBy: readonly string[]
  readonly values: Readonly<Record<ColumnKey, string>> | null
  /** Which of them are not as they should be. */
  readonly differs: readonly ColumnKey[]
  readonly uptimeS: number | null
  readonly tookMs: number
}

export interface SideBySide {
  readonly rows: readonly SentinelRow[]
  /** What disagrees, a sentence each; none: nothing does. */
  readonly wrong: readonly string[]
}

/** Of each Sentinel the look of the agent on its own host, if it had an answer; else of whoever had one. */
export function mergePictures(layout: SentinelLayout, pictures: readonly SentinelPicture[]): SentinelPicture | null {
  const [first] = pictures
  if (first === undefined) return null
  const sentinels = layout.sentinels.flatMap(({ host }) => bestLook(pictures, host)?.look ?? [])
  const redises = first.redises.map(
    (r) => pictures.flatMap((p) => p.redises).find((o) => placeOf(o.address) === placeOf(r.address) && o.reach === 'answers') ?? r,
  )
  const more = pictures.flatMap((p) => p.redises).filter((r) => !redises.some((o) => placeOf(o.address) === placeOf(r.address)))
  const strangers = pictures.flatMap((p) => p.strangers)
  const distinct = strangers.filter((s, i) => strangers.findIndex((o) => o.id === s.id && placeOf(o.address) === placeOf(s.address)) === i)
  return {
    asker: first.asker,
    sentinels,
    redises: [...redises, ...more],
    strangers: distinct.map((s) => strangers.find((o) => o.id === s.id && o.answers) ?? s),
    ...(first.moving === undefined ? {} : { moving: first.moving }),
  }
}

function bestLook(pictures: readonly SentinelPicture[], host: string): { readonly look: SentinelLook; readonly by: string } | undefined {
  const looks = pictures.flatMap((p) => p.sentinels.filter((s) => s.host === host).map((look) => ({ look, by: p.asker })))
  return looks.find((l) => l.look.answers && l.by === host) ?? looks.find((l) => l.look.answers) ?? looks[0]
}

export function sideBySide(layout: SentinelLayout, pictures: readonly SentinelPicture[]): SideBySide {
  const merged = mergePictures(layout, pictures)
  if (merged === null) return { rows: [], wrong: ['no agent has looked'] }
  const primary = primaryNamed(layout, merged)
  const known = merged.sentinels.map((look) => valuesOf(layout, look))
  const usual = (key: ColumnKey): string | undefined => mostCommon(known.flatMap((v) => v?.[key] ?? []))
  const wanted: Partial<Record<ColumnKey, string>> = {
    ...(primary === null ? {} : { names: primary.host }),
    flags: 'ok',
    others: String(layout.sentinels.length - 1),
    ...Object.fromEntries(settingNames.map(([key]) => [key, settingText(key, layout.settings[key])])),
  }
  const rows = merged.sentinels.map((look, i): SentinelRow => {
    const values = known[i] ?? null
    const by = bestLook(pictures, look.host)
    const unheardBy = pictures.filter((p) => p.sentinels.some((s) => s.host === look.host && !s.answers)).map((p) => p.asker)
    const differs = values === null ? [] : columns.map(([key]) => key).filter((key) => values[key] !== (wanted[key] ?? usual(key)))
    return { host: look.host, answers: look.answers, seenBy: by?.by ?? '', unheardBy, values, differs, uptimeS: look.uptimeS, tookMs: look.tookMs }
  })
  return { rows, wrong: rows.flatMap((row) => wordsOf(layout, row, merged, primary?.host ?? null)) }
}

function wordsOf(layout: SentinelLayout, row: SentinelRow, merged: SentinelPicture, primary: string | null): readonly string[] {
  const look = merged.sentinels.find((s) => s.host === row.host)
  if (!row.answers) return [`that of ${row.host} gives no answer (${look?.trouble ?? 'not asked'})`]
  if (row.values === null) return merged.moving?.watched === false ? [] : [`that of ${row.host} does not watch ${layout.group}`]
  const { values } = row
  const unheard = row.unheardBy.length === 0 ? [] : [`that of ${row.host} answers ${row.seenBy} and not ${row.unheardBy.join(' and ')}`]
  const names = row.differs.includes('names') ? [`names ${values.names}${primary === null ? '' : `, not ${primary}`}`] : []
  const flags = row.differs.includes('flags') ? [`says ${values.flags}`] : []
  const has = columns.filter(([key]) => key !== 'names' && key !== 'flags' && row.differs.includes(key)).map(([key, name]) => `${name} ${values[key]}`)
  const all = [...names, ...flags, ...(has.length === 0 ? [] : [`has ${has.join(', ')}`])]
  return [...unheard, ...(all.length === 0 ? [] : [`that of ${row.host} ${all.join(', ')}`])]
}

function valuesOf(layout: SentinelLayout, look: SentinelLook): Readonly<Record<ColumnKey, string>> | null {
  const watch = watchOf(layout, look)
  if (!look.answers || watch === null) return null
  const flags = [...watch.flags.filter((f) => f !== 'master'), ...(look.tilt ? ['TILT'] : [])]
  return {
    names: hostAt(layout, watch.address) ?? placeOf(watch.address),
    epoch: String(watch.configEpoch),
    flags: flags.length === 0 ? 'ok' : flags.join(', '),
    replicas: String(look.replicas.length),
    others: String(look.others.length),
    quorum: settingText('quorum', watch.settings.quorum),
    downAfterMs: settingText('downAfterMs', watch.settings.downAfterMs),
    failoverTimeoutMs: settingText('failoverTimeoutMs', watch.settings.failoverTimeoutMs),
    parallelSyncs: settingText('parallelSyncs', watch.settings.parallelSyncs),
  }
}

function settingText(key: (typeof settingNames)[number][0], value: number): string {
  return key.endsWith('Ms') ? `${value} ms` : String(value)
}

function mostCommon(values: readonly string[]): string | undefined {
  const count = (value: string): number => values.filter((v) => v === value).length
  return values.toSorted((a, b) => count(b) - count(a))[0]
}

/** How many more hosts may be lost before nobody can be elected: by votes, and by members that have the data. Below 0: nobody can now. */
export function hostsToSpare(layout: SentinelLayout, picture: SentinelPicture): { readonly spare: number; readonly why: string } {
  const voting = picture.sentinels.filter((s) => s.answers && watchOf(layout, s) !== null)
  // Sentinel takes all that it knows for voters, dead ones and strangers too.
  const counted = Math.max(layout.sentinels.length, ...voting.map((s) => s.others.length + 1))
  const needed = Math.max(Math.floor(counted / 2) + 1, layout.settings.quorum)
  if (picture.moving?.watched === false) return { spare: 0, why: 'the redis that is being moved to the group has its clients: nobody is to be elected' }
  const data = picture.redises.filter((r) => r.host !== null && r.reach === 'answers').length
  const bySentinels = voting.length - needed
  if (bySentinels <= data - 1) return { spare: bySentinels, why: `${voting.length} of ${counted} Sentinels vote, ${needed} are needed` }
  return { spare: data - 1, why: `${data} of ${layout.members.length} members answer, one is needed` }
}
