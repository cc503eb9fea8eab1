/** Kept items for the eye: by class, and each beside what the primary has of its keys now. Decides nothing. */
import pc from 'picocolors'
import { preview } from '../replay/apply.ts'
import type { SourceItem } from '../replay/items.ts'
import { classWords, itemClasses, type ItemClass } from '../salvage/classify.ts'
import { shown } from '../redis/words.ts'
import type { Bench } from './salvage-open.ts'

export interface ItemView {
  readonly id: string
  readonly class: ItemClass
  readonly state: 'applied' | 'interrupted' | 'left'
  readonly keys: readonly { readonly database: number; readonly key: string; readonly live: string }[]
  readonly does: readonly string[]
}

export async function viewOf(bench: Bench, item: SourceItem): Promise<ItemView> {
  const { applied, open } = bench.progress
  const keys = []
  for (const k of item.keys) keys.push({ database: k.database, key: shown([k.key]), live: await preview(bench.live, k) })
  return {
    id: item.id,
    class: bench.classOf(item),
    state: applied.has(item.id) ? 'applied' : open.has(item.id) ? 'interrupted' : 'left',
    keys,
    does: item.does,
  }
}

/** What is left to decide, by class. What was applied is of no class any more: the replay itself has written its keys. */
export function countByClass(bench: Bench): Readonly<Record<ItemClass, { readonly items: number }>> {
  const counts = Object.fromEntries(itemClasses.map((c) => [c, { items: 0 }])) as Record<ItemClass, { items: number }>
  for (const item of bench.source.items) if (!bench.progress.applied.has(item.id)) counts[bench.classOf(item)].items += 1
  return counts
}

export function drawClasses(bench: Bench): string {
  const counts = countByClass(bench)
  const { applied } = bench.progress
  const lines = itemClasses
    .filter((c) => counts[c].items > 0)
    .map((c) => `  ${c === 'safe' ? pc.green(c) : pc.yellow(c)}  ${counts[c].items} ${counts[c].items === 1 ? 'item' : 'items'}: ${classWords[c]}\n`)
  const unknown = counts.unknown.items > 0 && bench.tapWhy !== '' ? `  (${bench.tapWhy})\n` : ''
  const unseen = bench.kept.kind === 'dataset' && bench.tap === null ? `  keys that were deleted there cannot be told: ${bench.tapWhy}\n` : ''
  const done = applied.size > 0 ? `  applied already: ${applied.size}\n` : ''
  return `${lines.length > 0 ? lines.join('') : applied.size > 0 ? '' : '  nothing in it differs from what the primary has\n'}${unknown}${unseen}${done}`
}

export function drawItem(view: ItemView): string {
  const state = view.state === 'left' ? '' : pc.dim(` [${view.state}]`)
  const live = view.keys.map((k) => `    db${k.database} ${pc.bold(k.key)}  now: ${k.live}\n`).join('')
  return `  ${view.class}${state}\n${live}${view.does
    .slice(0, 10)
    .map((d) => `      kept: ${d}\n`)
    .join('')}${view.does.length > 10 ? `      … ${view.does.length - 10} more\n` : ''}`
}
