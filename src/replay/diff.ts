/** What would have to be written so that a primary has what a redis aside has, of the keys of a pattern. */
import { OperatorError } from '../model/error.ts'
import { RawError, type RawRedis } from '../redis/raw.ts'
import type { ItemKey } from '../salvage/classify.ts'
import { fingerprintOf } from './apply.ts'
import { bytesOf, type SourceItem } from './items.ts'
import { compared, deletionOf, itemOf, scanned, select, usedDatabases } from './keys.ts'
import { keptBytes } from './undo.ts'

/** Beyond it the whole dataset is what is wanted, and the list would take more memory than it is worth. */
const mostItems = 500_000

/** There may be a million of them: what is done about one is made when it is done (`itemFor`). */
export interface Difference extends ItemKey {
  /** Of what the primary has, when it was compared. */
  readonly fingerprint: string
  readonly kind: 'differs' | 'missing' | 'absent'
}

export function itemFor(one: Difference, aside: RawRedis): SourceItem {
  return one.kind === 'absent' ? deletionOf(one, 'it was not there') : itemOf({ ...one, inLive: one.kind === 'differs' }, aside)
}

export interface Differences {
  readonly items: readonly Difference[]
  readonly differ: number
  readonly missing: number
  /** Were not there, and are now: of what is taken back. */
  readonly absent: number
  readonly equal: number
  /** In the primary alone: left alone. */
  readonly onlyLive: number
  /** What is there of the items takes in a file, at the most. */
  readonly keptBytes: number
}

export interface Sides {
  readonly aside: RawRedis
  readonly live: RawRedis
  readonly pattern: Buffer
  /** Keys that are to be away. */
  readonly absent: readonly ItemKey[]
  readonly signal: AbortSignal
}

/** Throws the reason of `signal`, too. */
export async function differences(sides: Sides): Promise<Differences> {
  const { aside, live, pattern, signal } = sides
  const items = new Map<string, Difference>()
  let bytes = 0
  const add = (one: Difference, liveBytes: number): void => {
    if (items.size >= mostItems)
      throw new OperatorError('HF819', `more than ${mostItems} keys differ`, 'choose a narrower pattern, or restore the whole backup: nothing was written')
    const name = `${one.database}:${one.key}`
    if (!items.has(name)) bytes += keptBytes(one.key.length, liveBytes)
    items.set(name, one)
  }
  let equal = 0
  for (const database of await usedDatabases(aside)) {
    for await (const found of compared(aside, live, database, pattern, signal)) {
      if (found.same) equal += 1
      else add({ database, key: found.key, fingerprint: found.liveFingerprint, kind: found.inLive ? 'differs' : 'missing' }, found.liveBytes)
    }
  }
  for (const key of await matching(sides)) {
    signal.throwIfAborted()
    await select([live], key.database)
    const value = await live.call('DUMP', bytesOf(key.key))
    add({ ...key, fingerprint: fingerprintOf([value]), kind: 'absent' }, Buffer.isBuffer(value) ? value.length : 0)
  }
  const count = (kind: Difference['kind']): number => [...items.values()].filter((one) => one.kind === kind).length
  const gone = count('absent')
  const onlyLive = Math.max(0, (await aloneIn(sides)) - gone)
  return { items: [...items.values()], differ: count('differs'), missing: count('missing'), absent: gone, equal, onlyLive, keptBytes: bytes }
}

async function aloneIn({ live, aside, pattern, signal }: Sides): Promise<number> {
  let alone = 0
  for (const database of await usedDatabases(live)) {
    await select([aside, live], database)
    for await (const keys of scanned(live, pattern, signal)) {
      const there = await aside.pipeline(keys.map((key) => ['EXISTS', key]))
      alone += there.filter((reply) => reply === 0).length
    }
  }
  return alone
}

/** Whether a pattern fits is asked of redis itself, by a key of that name. */
async function matching({ absent, aside, live, pattern, signal }: Sides): Promise<readonly ItemKey[]> {
  const found: ItemKey[] = []
  const fits = pattern.toString('latin1') === '*' ? null : new Set<string>()
  if (fits !== null)
    for (const database of new Set(absent.map((key) => key.database))) {
      await select([live], database)
      for await (const keys of scanned(live, pattern, signal)) for (const key of keys) fits.add(`${database}:${key.toString('latin1')}`)
    }
  for (const key of absent) {
    signal.throwIfAborted()
    if (fits !== null && !fits.has(`${key.database}:${key.key}`)) continue
    await select([aside, live], key.database)
    const there = await live.call('EXISTS', bytesOf(key.key))
    if (!(there instanceof RawError) && there === 1) found.push(key)
  }
  return found
}
