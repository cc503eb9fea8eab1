/** The archived stream is thinned out in a store: what goes, in which order, and what is left when somebody kills it, damages something or lacks the key. */
import { describe, expect, test } from 'vitest'
import { baseOf } from '../../src/backup/catalog.ts'
import { coverageOf } from '../../src/backup/coverage.ts'
import { backupId } from '../../src/backup/manifest.ts'
import { segmentName, timelineName } from '../../src/backup/stream.ts'
import { readCatalog } from '../../src/dump/catalog.ts'
import { graceMs, pruneStore, type PruneOptions, type PruneResult } from '../../src/dump/prune.ts'
import { carryOutStream, planStream } from '../../src/dump/prune-stream.ts'
import { readStream } from '../../src/dump/stream.ts'
import type { Observed } from '../../src/model/outcome.ts'
import type { Store } from '../../src/store/store.ts'
import { memoryStore, type MemoryStore } from './stored-backups.ts'
import { layGood, laySegment, layTimeline, type Place } from './stored-streams.ts'
import { dayMs, hourMs, startMs } from './stream-stories.ts'

const group = 'cache'
const key = Buffer.alloc(32, 3)
const signal = new AbortController().signal
const [a, old] = ['a'.repeat(40), 'f'.repeat(40)]
const keep = { hourly: 1, daily: 0, weekly: 0, monthly: 0 }
const nowMs = startMs + 20 * dayMs
const perDay = 100
const wallMs = (day: number): number => startMs + day * dayMs
const offset = (day: number): number => Math.round(day * perDay)

interface Laid {
  readonly by?: Buffer | null
  /** When backups were taken, in days. */
  readonly days?: readonly number[]
}

/** A segment for each of twenty days; of seven of them every moment is to be kept. */
async function laid({ by = null, days = [0, 3, 9.5, 12.5, 20] }: Laid = {}): Promise<MemoryStore> {
  const store = memoryStore()
  for (const day of days) await layGood(store, place(day), by)
  for (let day = 0; day < 20; day += 1) await segment(store, day, day + 1, by)
  await layTimeline(store, place(0), { epoch: 2, by })
  return store
}

const place = (day: number, replid = a): Place => ({ replid, offset: offset(day), atWallMs: wallMs(day) })
const segment = (store: MemoryStore, from: number, to: number, by: Buffer | null = null): Promise<string> => laySegment(store, offset(from), place(to), by)

async function pruned(store: Store, more: Partial<PruneOptions> = {}, now = nowMs): Promise<Observed<PruneResult>> {
  const by = more.key ?? null
  const [catalog, stored] = [await readCatalog(store, group, signal, by), await readStream(store, group, by, signal)]
  if (!catalog.ok || !stored.ok) throw new Error('a store in memory')
  const stream = { stored: stored.value, keepMs: 7 * dayMs }
  return pruneStore(store, catalog.value, keep, hourMs, now, { dryRun: false, phases: 'both', key: by, signal, stream, ...more })
}

async function streamOf(...from: Parameters<typeof pruned>): Promise<unknown> {
  const result = await pruned(...from)
  return result.ok ? result.value.stream : result.why
}

/** Days that are there. */
function days({ objects }: MemoryStore): readonly number[] {
  return [...objects.keys()].filter((name) => name.endsWith('.segment')).map((name) => (Number(name.split('/')[2]?.slice(0, 16)) - 1) / perDay)
}

const range = (from: number, to: number): readonly number[] => Array.from({ length: to - from }, (_, n) => from + n)

describe('thinning out', () => {
  test('what went out of use a day ago goes, what does so today is told; the backups that it begins at stay, and say so', async () => {
    const store = await laid()
    const told = { removed: { segments: 9 }, soon: { segments: 3 }, left: 0, papers: 0, why: null }
    expect(await streamOf(store, { dryRun: true })).toMatchObject(told)
    expect(days(store)).toEqual(range(0, 20))
    const result = await pruned(store)
    expect(result).toMatchObject({ ok: true, value: { stream: told } })
    expect(days(store)).toEqual(range(9, 20))
    expect(result.ok && result.value.all.map(({ step, why }) => [step, why])).toEqual([
      ['leave', 'the last good one; the stream begins at it next'],
      ['leave', 'the stream begins at it next'],
      ['leave', 'the stream begins at it'],
      ['condemn', 'no period asks for it any more'],
      ['condemn', 'no period asks for it any more'],
    ])
    expect(await streamOf(store), 'twice is as good as once').toMatchObject({ removed: { segments: 0 }, soon: { segments: 3 } })
    expect(await streamOf(store, { phases: 'at-once' }), 'who does not want to wait for the day').toMatchObject({
      removed: { segments: 3 },
      soon: { segments: 0 },
    })
    expect(days(store)).toEqual(range(12, 20))
  })

  test('killed at any point: no hole, and the next run ends it', async () => {
    for (let removals = 0; removals < 9; removals += 1) {
      const store = await laid()
      let left = removals
      const dying: Store = {
        ...store,
        remove: (name) => (name.endsWith('.segment') && left-- <= 0 ? Promise.resolve({ ok: false, why: 'killed' }) : store.remove(name)),
      }
      expect(await streamOf(dying)).toMatchObject({ why: 'killed' })
      const there = days(store)
      expect(there).toHaveLength(20 - removals)
      expect(there).toEqual(range(20 - there.length, 20))
      await pruned(store)
      expect(days(store)).toEqual(range(9, 20))
    }
  })

  test('a run has an end: the oldest go first, and papers only when all of the rest has gone', async () => {
    const store = await laid()
    await layTimeline(store, place(0, old), {})
    const [catalog, stored] = [await readCatalog(store, group, signal, null), await readStream(store, group, null, signal)]
    if (!catalog.ok || !stored.ok) throw new Error('a store in memory')
    const plan = planStream({ stored: stored.value, keepMs: 7 * dayMs }, catalog.value.backups, nowMs, graceMs)
    const good = () => Promise.resolve({ ok: true, value: null } as const)
    expect(await carryOutStream(store, group, plan, { dryRun: false, key: null, signal, most: 4 }, good)).toMatchObject({
      removed: { segments: 4 },
      left: 5,
      papers: 0,
    })
    expect(days(store)).toEqual(range(4, 20))
    expect(await streamOf(store)).toMatchObject({ removed: { segments: 5 }, left: 0, papers: 1 })
    expect([store.objects.has(timelineName(group, old)), store.objects.has(timelineName(group, a))]).toEqual([false, true])
  })

  test('small ones that were put together go when the large one is proven, and stay when it is not', async () => {
    const store = await laid()
    const large = await segment(store, 14, 17)
    expect(await streamOf(store)).toMatchObject({ doubles: { segments: 3 }, why: null })
    expect(days(store)).toEqual([...range(9, 14), ...range(17, 20), 14])
    const damaged = await laid()
    await segment(damaged, 14, 17)
    const bytes = damaged.objects.get(large) ?? Buffer.alloc(0)
    damaged.objects.set(large, bytes.subarray(0, -1))
    expect(await streamOf(damaged)).toMatchObject({
      removed: { segments: 9 },
      doubles: { segments: 0 },
      why: expect.stringContaining(`what lies within ${large} stays: it has`),
    })
    expect(days(damaged)).toEqual([...range(9, 20), 14])
  })
})

describe('nothing goes', () => {
  test('while the last good backup is too old', async () => {
    const store = await laid({ days: [0, 3, 9.5, 12.5, 19] })
    expect(await streamOf(store)).toMatchObject({ removed: { segments: 0 }, why: expect.stringContaining('the last good backup is 24 hours old') })
    expect(days(store)).toEqual(range(0, 20))
  })

  test('with another key than that of the last good one, or none', async () => {
    const store = await laid({ by: key })
    for (const by of [null, Buffer.alloc(32, 9)])
      expect(await streamOf(store, { key: by })).toMatch(/^nothing is removed: the last good backup, .* is encrypted/)
    expect(days(store)).toEqual(range(0, 20))
    expect(await streamOf(store, { key })).toMatchObject({ removed: { segments: 9 } })
  })

  test('when it cannot be read where a history comes from', async () => {
    const store = await laid()
    await segment(store, 14, 17)
    store.objects.set(timelineName(group, old), Buffer.from('{}'))
    const told = {
      removed: { segments: 0 },
      doubles: { segments: 0 },
      papers: 0,
      why: expect.stringContaining(`nothing of the stream is removed: ${timelineName(group, old)}: it does not end`),
    }
    expect(await streamOf(store)).toMatchObject(told)
    expect(days(store)).toEqual([...range(0, 20), 14])
  })

  test('when only marks are asked for', async () => {
    const store = await laid()
    expect(await streamOf(store, { phases: 'mark' })).toMatchObject({ removed: { segments: 0 }, why: 'only marks were asked for' })
    expect(days(store)).toEqual(range(0, 20))
  })

  test('any more, when the last good one is not there when it is looked at again', async () => {
    const store = await laid({ days: [0, 3, 9.5, 20] })
    const id = backupId(new Date(wallMs(20)).toISOString(), '00000000')
    const list: Store['list'] = (under) => {
      if (under === `${group}/${id}`) store.objects.delete(`${group}/${id}/dataset`)
      return store.list(under)
    }
    expect(await streamOf({ ...store, list })).toMatchObject({ removed: { segments: 0 }, why: expect.stringContaining('is not there any more') })
    expect(days(store)).toEqual(range(0, 20))
  })
})

test('after each run every moment of the last seven days can be restored', async () => {
  const store = await laid()
  await pruned(store)
  const [catalog, stored] = [await readCatalog(store, group, signal, null), await readStream(store, group, null, signal)]
  if (!catalog.ok || !stored.ok) throw new Error('a store in memory')
  const { spans, gaps } = coverageOf(stored.value, catalog.value.backups.map(baseOf))
  expect(spans).toMatchObject([{ fromWallMs: wallMs(9.5), toWallMs: nowMs }])
  expect(gaps).toEqual([])
  expect(stored.value.segments.at(-1)?.name).toBe(segmentName(group, { replid: a, from: 1901, to: 2000, lastWallMs: nowMs }))
})
