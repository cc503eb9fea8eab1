/** `holdfast salvage list|show`: what was kept before data were given up, for people to look at. Replay is salvage-replay.ts. */
import type { Command } from '@commander-js/extra-typings'
import Table from 'cli-table3'
import pc from 'picocolors'
import { OperatorError } from '../model/error.ts'
import type { KeptEntry } from '../model/kept.ts'
import { groupOf, openSession } from './ask.ts'
import { howToLook } from '../salvage/look.ts'
import { countByClass, drawClasses, drawItem, viewOf, type ItemView } from './salvage-draw.ts'
import { findKept, listKept, markSeen, openBench, type Bench } from './salvage-open.ts'
import { registerReplay } from './salvage-replay.ts'

type Globals = { readonly config: string }

export function register(program: Command): void {
  const salvage = program.command('salvage').description('what was kept before data were given up: list, show, replay')
  salvage
    .command('list')
    .description('every kept copy of a group, oldest first')
    .argument('<group>')
    .option('--json', 'machine-readable')
    .action(async (group, options, command) => {
      const session = await openSession(command.optsWithGlobals() as unknown as Globals)
      groupOf(session, group)
      const { kept, silent } = await listKept(session, group)
      for (const k of kept) await markSeen(session, k)
      if (options.json === true) process.stdout.write(`${JSON.stringify({ group, kept, silentHosts: silent }, null, 2)}\n`)
      else {
        process.stdout.write(kept.length === 0 ? 'nothing is kept: no member has given up data that the others did not have\n' : drawList(kept))
        if (silent.length > 0) process.stdout.write(`not asked, because no agent answers there: ${silent.join(', ')}\n`)
      }
    })
  salvage
    .command('show')
    .description('what is in a kept copy, beside what the primary has')
    .argument('<group>')
    .argument('<id>')
    .option('--commands', 'every command')
    .option('--keys', 'every key, with what the primary has')
    .option('--limit <n>', 'at most so many lines', '200')
    .option('--json', 'machine-readable')
    .action(async (group, id, options, command) => {
      const session = await openSession(command.optsWithGlobals() as unknown as Globals)
      const limit = Number(options.limit)
      if (!Number.isInteger(limit) || limit < 1) throw new OperatorError('HF303', `--limit takes a whole number above 0, not ${options.limit}`, '', 2)
      const kept = await findKept(session, group, id)
      // Of a dataset one may still try: the redis-server of this machine may be a newer one.
      if (kept.unreadable === true && (kept.kind === 'aof' || (options.keys !== true && options.commands !== true))) {
        await markSeen(session, kept)
        process.stdout.write(options.json === true ? `${JSON.stringify({ kept, items: [], howToLook: howToLook(kept) }, null, 2)}\n` : drawUnreadable(kept))
        return
      }
      const bench = await openBench(session, group, id)
      try {
        process.stdout.write(
          await page(bench, options.commands === true ? 'commands' : options.keys === true ? 'keys' : 'classes', limit, options.json === true),
        )
      } finally {
        await bench.close()
      }
    })
  registerReplay(salvage as unknown as Command)
}

function drawList(kept: readonly KeptEntry[]): string {
  const table = new Table({ head: ['id', 'host', 'what', 'bytes', 'commands', 'keys', 'from', 'to', 'replayed'], style: { head: [], border: [] } })
  for (const k of kept)
    table.push([
      k.id,
      k.host,
      k.kind,
      String(k.bytes),
      k.commands === null ? '' : String(k.commands),
      k.keys === null ? '' : String(k.keys),
      k.forkedAtWallMs === null ? '' : when(k.forkedAtWallMs),
      when(k.keptAtWallMs),
      replayWord(k),
    ])
  const unreadable = kept.filter((k) => k.unreadable === true)
  return `${table.toString()}\n${unreadable.map((k) => `${k.id}: ${k.why}; on ${k.host}: ${k.file ?? ''}\n`).join('')}`
}

function drawUnreadable(kept: KeptEntry): string {
  const known = `${pc.bold(kept.id)} on ${kept.host}: ${kept.why}\n  ${kept.kind}, ${kept.bytes} bytes, kept at ${when(kept.keptAtWallMs)}: ${kept.file ?? ''}\n`
  return `${known}${howToLook(kept)
    .map((line) => `  ${line}\n`)
    .join('')}`
}

const when = (atWallMs: number): string => new Date(atWallMs).toISOString().replace('T', ' ').slice(0, 19)

function replayWord(kept: KeptEntry): string {
  if (kept.replay === null) return 'no'
  return `${kept.replay.applied} items${kept.replay.complete ? ', all' : ''} (${kept.replay.by}, ${when(kept.replay.lastAtWallMs)})`
}

async function page(bench: Bench, what: 'classes' | 'commands' | 'keys', limit: number, json: boolean): Promise<string> {
  const items = bench.source.items.slice(0, limit)
  const views: ItemView[] = []
  if (what === 'keys' || json) for (const item of items) views.push(await viewOf(bench, item))
  const counts = countByClass(bench)
  const more = bench.source.items.length > items.length ? `… ${bench.source.items.length - items.length} more: --limit N\n` : ''
  if (json)
    return `${JSON.stringify({ kept: bench.kept, primary: bench.primary, sinceForkUnknown: bench.tapWhy, classes: counts, items: views, audit: bench.journal }, null, 2)}\n`
  const head = `${pc.bold(bench.kept.id)} on ${bench.kept.host}: ${bench.kept.why}\n`
  if (what === 'commands') {
    const lines = bench.source.items.flatMap((item) => item.does.map((line) => `${item.keys[0]?.database ?? 0}> ${line}`))
    return `${head}${lines.slice(0, limit).join('\n')}\n${lines.length > limit ? `… ${lines.length - limit} more: --limit N\n` : ''}`
  }
  if (what === 'keys') return `${head}${views.map(drawItem).join('')}${more}`
  return `${head}${drawClasses(bench)}${auditOf(bench)}see --keys, --commands; then: holdfast salvage replay ${bench.kept.group} ${bench.kept.id} --dry-run\n`
}

function auditOf(bench: Bench): string {
  const lines = bench.journal.filter((l) => l.what === 'begin' || l.what === 'end')
  return lines.map((l) => `  ${when(l.atWallMs)} ${l.by}: ${l.what === 'begin' ? 'replay of' : 'ended,'} ${l.text}\n`).join('')
}
