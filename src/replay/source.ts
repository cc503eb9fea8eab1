/** What is to be replayed, of either kind, as items: captured commands as they stand, a dataset as the keys that differ. */
import { OperatorError } from '../model/error.ts'
import type { Kept } from '../model/kept.ts'
import type { RawRedis } from '../redis/raw.ts'
import { itemsOf, type Item } from '../salvage/classify.ts'
import { streamParser } from '../salvage/stream.ts'
import { shown } from '../redis/words.ts'
import { bytesOf, type SourceItem } from './items.ts'
import { compared, deletionOf, itemOf, scanned, select, usedDatabases } from './keys.ts'
import type { Tap } from './tap.ts'
import { openThrowaway } from './throwaway.ts'

export interface Source {
  readonly items: readonly SourceItem[]
  readonly close: () => Promise<void>
}

const maxCommandsFileBytes = 1024 * 1024 * 1024

/** `pages` gives the file from the beginning, piece by piece. */
export async function commandSource(kept: Kept, pages: AsyncIterable<Buffer>): Promise<Source> {
  if (kept.bytes > maxCommandsFileBytes)
    throw new OperatorError('HF604', `${kept.id} is larger than can be replayed (${kept.bytes} bytes)`, 'replay it by hand from its file')
  const parser = streamParser(kept.fromOffset ?? 0, kept.startDatabase)
  const commands = []
  for await (const page of pages) commands.push(...parser.push(page.toString('latin1')))
  const whole = parser.broken() === null && parser.position() === (kept.toOffset ?? 0) + 1
  if (!whole)
    throw new OperatorError('HF604', `${kept.id} is damaged: ${parser.broken() ?? 'it ends early'}`, 'its manifest has the checksum of the file as it was kept')
  return { items: itemsOf(commands).map(fromCommands), close: () => Promise.resolve() }
}

function fromCommands(item: Item): SourceItem {
  return {
    id: String(item.number),
    keys: item.keys,
    nature: item.nature,
    does: item.commands.map((c) => shown([c.name, ...c.args])),
    commands: () => Promise.resolve(item.commands.map((c) => ({ database: c.database ?? 0, words: [c.name, ...c.args.map(bytesOf)] }))),
  }
}

/** Loads the RDB aside, and compares it with the primary key by key. */
export async function datasetSource(kept: Kept, redisServer: string, fill: (file: string) => Promise<void>, live: RawRedis, tap: Tap | null): Promise<Source> {
  const databases = Math.max(16, ...[...(kept.databases ?? []), ...(await usedDatabases(live))].map((d) => d + 1))
  const aside = await openThrowaway(redisServer, databases, fill)
  try {
    const items: SourceItem[] = []
    for (const database of await usedDatabases(aside.redis)) {
      for await (const found of compared(aside.redis, live, database)) if (!found.same) items.push(itemOf(found, aside.redis))
    }
    // Only of a dataset that had all up to the fork can it be said that what is missing was there.
    const wholeToFork = kept.fromOffset !== null && (kept.toOffset ?? 0) >= kept.fromOffset - 1
    if (tap !== null && wholeToFork) {
      // One by one: as arguments of one call a hundred thousand are too many.
      for (const database of await usedDatabases(live)) for (const item of await deletedThere(aside.redis, live, database, tap)) items.push(item)
    }
    // SCAN may name a key twice.
    return { items: [...new Map(items.map((item) => [item.id, item])).values()], close: aside.close }
  } catch (error) {
    await aside.close()
    throw error
  }
}

/** Keys that only the primary has, and that its own history has not written since the fork: so they were there, and are gone on the kept side. */
async function deletedThere(aside: RawRedis, live: RawRedis, database: number, tap: Tap): Promise<readonly SourceItem[]> {
  await select([aside, live], database)
  const items: SourceItem[] = []
  for await (const keys of scanned(live)) {
    const there = await aside.pipeline(keys.map((key) => ['EXISTS', key]))
    for (const [index, name] of keys.entries()) {
      const key = name.toString('latin1')
      if (there[index] !== 0 || tap.touched(key)) continue
      items.push(deletionOf({ database, key }, 'it is not there any more'))
    }
  }
  return items
}
