/** `holdfast backup stream`: what there is of the archived stream, for people to look at; and the words on it in `list` and `show`. */
import type { Command } from '@commander-js/extra-typings'
import Table from 'cli-table3'
import pc from 'picocolors'
import { baseOf, heldFor, type Backup, type Catalog } from '../backup/catalog.ts'
import { coverageOf, reachOf, streamAlarms, type Coverage } from '../backup/coverage.ts'
import { prune, type Pruning } from '../backup/retention.ts'
import type { Timeline } from '../backup/stream.ts'
import { graceMs, pruneStore } from '../dump/prune.ts'
import { planStream, type StreamPruned } from '../dump/prune-stream.ts'
import { unprovenIn, type StreamStored } from '../dump/stream.ts'
import { catalogIn, dueEveryMs, streamIn, withVault, type Vault } from './backup-open.ts'
import { drawAlarms } from './backup-draw.ts'
import { counted, momentWords, sizeWords, spanWords } from './backup-words.ts'

export function registerStream(backup: Command): void {
  backup
    .command('stream')
    .description('the archived stream: from when to when any moment can be restored, what is missing, what would go')
    .argument('<group>')
    .option('--json', 'machine-readable')
    .action((group, options, command) =>
      withVault(command, group, async (vault) => {
        const nowWallMs = Date.now()
        const [catalog, stream] = [await catalogIn(vault), await streamIn(vault)]
        const coverage = coverageOf(stream, catalog.backups.map(baseOf))
        const alarms = streamAlarmsIn(vault, stream, coverage, nowWallMs)
        const retention = await retentionOf(vault, catalog, stream, nowWallMs)
        const { timelines, broken } = stream
        const result = { group, store: vault.store.where, timelines, ...coverage, retention, broken, alarms }
        process.stdout.write(options.json === true ? `${JSON.stringify(result, null, 2)}\n` : draw(vault, stream, coverage, retention, alarms))
      }),
    )
}

export function streamAlarmsIn({ backup, key }: Vault, stream: StreamStored, coverage: Coverage, nowWallMs: number): readonly string[] {
  return streamAlarms(coverage, stream.broken, backup.stream !== null, nowWallMs, unprovenIn(stream, key))
}

/** null: none is configured, and what lies there is left alone. */
async function retentionOf(vault: Vault, catalog: Catalog, stored: StreamStored, nowWallMs: number): Promise<StreamPruned | { readonly why: string } | null> {
  const { backup, store, key, signal } = vault
  if (backup.stream === null) return null
  const options = { dryRun: true, phases: 'both', key, signal, stream: { stored, keepMs: backup.stream.keepMs } } as const
  const result = await pruneStore(store, catalog, backup.keep, dueEveryMs(backup, nowWallMs), nowWallMs, options)
  return result.ok ? result.value.stream : { why: result.why }
}

/** As retention sees the backups, with those that the stream begins at. */
export function pruningIn({ backup }: Vault, catalog: Catalog, stored: StreamStored, nowWallMs: number): Pruning {
  const plan = backup.stream === null ? null : planStream({ stored, keepMs: backup.stream.keepMs }, catalog.backups, nowWallMs, graceMs)
  return prune(heldFor(catalog.backups, plan?.holds ?? null), backup.keep, dueEveryMs(backup, nowWallMs), nowWallMs)
}

/** One line, for below the list of backups; '' where there is nothing to say. */
export function streamLine(coverage: Coverage): string {
  const { segments, bytes, spans, gaps } = coverage
  if (segments === 0) return ''
  const last = spans.at(-1)
  const restorable = last === undefined ? 'nothing of it can be restored yet' : anyMoment(last)
  return `stream: ${restorable}; ${counted(gaps.length, 'gap')}, ${sizeWords(bytes)} (holdfast backup stream)\n`
}

/** How far one can go on from a backup; null: its position is in no stream. */
export function reachWords(stream: StreamStored, backup: Backup): string | null {
  if (stream.segments.length === 0) return null
  const reach = reachOf(stream, baseOf(backup))
  return reach === null
    ? 'nothing of the stream is archived behind it'
    : `any moment from it to ${momentWords(reach.toWallMs)} (offset ${reach.to} of ${reach.replid.slice(0, 8)})`
}

function anyMoment({ fromWallMs, toWallMs }: { readonly fromWallMs: number; readonly toWallMs: number }): string {
  return `any moment from ${momentWords(fromWallMs)} to ${momentWords(toWallMs)}`
}

function draw(
  { group, store, backup }: Vault,
  stream: StreamStored,
  coverage: Coverage,
  retention: Awaited<ReturnType<typeof retentionOf>>,
  alarms: readonly string[],
): string {
  const { spans, gaps, branches, segments, bytes } = coverage
  const lines = [
    ...spans.map(
      (span) => `${pc.green('restorable')}  ${anyMoment(span)}  from ${span.base}, offsets ${span.from} to ${span.to} of ${span.replid.slice(0, 8)}`,
    ),
    ...gaps.map(({ replid, fromWallMs, toWallMs, bytes: missing, againWallMs }) => {
      const size =
        missing === null
          ? `another history begins behind it, ${replid.slice(0, 8)}`
          : `${missing.to - missing.from + 1} bytes, offsets ${missing.from} to ${missing.to} of ${replid.slice(0, 8)}`
      const again = againWallMs === null ? 'nothing between it and the next one can be restored' : `restorable again from ${momentWords(againWallMs)}`
      return `${pc.red('gap')}  ${momentWords(fromWallMs)} to ${momentWords(toWallMs)} (${spanWords(toWallMs - fromWallMs)}): ${size}; ${again}`
    }),
    ...branches.map(
      (branch) =>
        `${pc.yellow('aside')}  ${branch.replid.slice(0, 8)} offsets ${branch.from} to ${branch.to}: another history left it there; ${counted(branch.segments, 'segment')}, ${sizeWords(branch.bytes)}, until ${momentWords(branch.lastWallMs)}`,
    ),
    ...stream.broken.map(({ name, why }) => `${pc.red('does not count')}  ${name}: ${why}`),
  ]
  const sums = `${counted(segments, 'segment')} of ${group.name}, ${sizeWords(bytes)} in ${store.where}\n`
  const off = backup.stream === null ? 'the stream is not configured: nothing is archived, and what is there is left alone\n' : ''
  const kept = backup.stream === null || retention === null ? '' : retentionWords(retention, backup.stream.keepMs)
  return `${drawTimelines(stream)}${lines.map((line) => `${line}\n`).join('')}${sums}${off}${kept}${drawAlarms(alarms)}`
}

function retentionWords(retention: StreamPruned | { readonly why: string | null }, keepMs: number): string {
  const wanted = `any moment of the last ${spanWords(keepMs)} is kept`
  if (!('removed' in retention)) return `${wanted}; ${retention.why}\n`
  return `${wanted}; ${prunedWords(retention, true)}\n`
}

/** What retention does with the stream. */
export function prunedWords({ removed, doubles, papers, left, soon, why }: StreamPruned, dryRun: boolean): string {
  const some = (what: { readonly segments: number; readonly bytes: number }): string => `${counted(what.segments, 'segment')} (${sizeWords(what.bytes)})`
  const words = [
    ...(removed.segments > 0 ? [some(removed)] : []),
    ...(doubles.segments > 0 ? [`${some(doubles)} that others hold too`] : []),
    ...(papers > 0 ? [`${counted(papers, 'history', 'histories')} of which nothing is left`] : []),
  ]
  const done = words.length === 0 ? (why === null ? 'nothing goes now' : '') : `${dryRun ? 'would go now' : 'removed'}: ${words.join(', ')}`
  const later = [
    ...(left > 0 ? [`${left} more with one of the next runs`] : []),
    ...(soon.segments > 0 ? [`a day from now: ${some(soon)}`] : []),
    ...(why === null ? [] : [why]),
  ]
  return [done, ...later].filter((text) => text !== '').join('; ')
}

function drawTimelines({ timelines, segments }: StreamStored): string {
  if (timelines.length === 0) return ''
  const table = new Table({ style: { head: [], border: [] }, head: ['history', 'epoch', 'begun', 'by', 'left', 'segments', 'stored', 'because'] })
  for (const timeline of timelines.toSorted((a, b) => a.epoch - b.epoch || a.atWallMs - b.atWallMs)) {
    const mine = segments.filter(({ replid }) => replid === timeline.replid)
    table.push([
      timeline.replid.slice(0, 8),
      timeline.epoch,
      momentWords(timeline.atWallMs),
      timeline.host,
      parentWords(timeline),
      mine.length,
      sizeWords(mine.reduce((sum, { bytes }) => sum + bytes, 0)),
      timeline.why,
    ])
  }
  return `${table.toString()}\n`
}

function parentWords({ parent, from }: Timeline): string {
  return parent === null ? `nobody, at ${from}` : `${parent.replid.slice(0, 8)} at ${from}`
}
