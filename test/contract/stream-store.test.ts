/** An archived stream of a week in a real directory: all of it is seen, in order and in seconds, and what goes is gone. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { coverageOf } from '../../src/backup/coverage.ts'
import { segmentName, streamFolder, type Segment } from '../../src/backup/stream.ts'
import { carryOutStream, mostAtOnce, planStream } from '../../src/dump/prune-stream.ts'
import { putTimeline, readStream } from '../../src/dump/stream.ts'
import { openStore } from '../../src/store/open.ts'
import type { Store } from '../../src/store/store.ts'

const never = new AbortController().signal
const group = 'cache'
const replid = 'a'.repeat(40)
const hourMs = 3_600_000
const path = mkdtempSync(join(tmpdir(), 'holdfast-stream-'))
afterAll(() => rmSync(path, { recursive: true }))

const segmentAt = (n: number): Segment => ({ replid, from: n * 100 + 1, to: (n + 1) * 100, lastWallMs: 1_795_000_000_000 + n * 1000 })

async function opened(): Promise<Store> {
  const store = await openStore({ kind: 'directory', path })
  if (!store.ok) throw new Error(store.why)
  const told = { format: 1, group, replid, epoch: 1, from: 1, parent: null, atWallMs: 1, host: 'b', why: 'it began', keyId: null } as const
  expect(await putTimeline(store.value, told, null, never)).toMatchObject({ ok: true })
  return store.value
}

async function seen(store: Store, count: number): Promise<void> {
  const startedMs = performance.now()
  const read = await readStream(store, group, null, never)
  const tookMs = Math.round(performance.now() - startedMs)
  if (!read.ok) throw new Error(read.why)
  const { segments, broken } = read.value
  console.log(`${store.where}: ${segments.length} segments listed in ${tookMs} ms`)
  expect([segments.length, broken]).toEqual([count, []])
  const offset = segments[0]?.from ?? 0
  expect(coverageOf(read.value, [{ id: 'x', replid, offset: offset - 1, atWallMs: 1, state: 'good' }]).spans).toMatchObject([{ to: segments.at(-1)?.to }])
}

/** All but the last hundred is older than what is kept. */
async function thinned(store: Store, count: number, over: number): Promise<void> {
  const read = await readStream(store, group, null, never)
  if (!read.ok) throw new Error(read.why)
  const last = segmentAt(count - 100)
  const base = { manifest: { id: 'x', position: { replid, offset: last.from - 1 }, atWallMs: last.lastWallMs - 1000 }, state: 'good' }
  const plan = planStream({ stored: read.value, keepMs: hourMs }, [base] as never, last.lastWallMs + hourMs, 0)
  const good = () => Promise.resolve({ ok: true, value: null } as const)
  const startedMs = performance.now()
  expect(await carryOutStream(store, group, plan, { dryRun: false, key: null, signal: never }, good)).toMatchObject({
    removed: { segments: Math.min(over, mostAtOnce) },
    left: Math.max(0, over - mostAtOnce),
    why: null,
  })
  console.log(`${store.where}: ${Math.min(over, mostAtOnce)} segments removed in ${Math.round(performance.now() - startedMs)} ms`)
}

test('20,000 segments: listed in seconds, and thinned out in as many runs as it takes', { timeout: 60_000 }, async () => {
  const count = 20_000
  mkdirSync(join(path, streamFolder(group), replid), { recursive: true })
  const store = await opened()
  for (let n = 0; n < count; n += 1) writeFileSync(join(path, segmentName(group, segmentAt(n))), 'x')
  await seen(store, count)
  for (let left = count; left > 100; left -= mostAtOnce) {
    await thinned(store, count, left - 100)
    await seen(store, Math.max(100, left - mostAtOnce))
  }
})
