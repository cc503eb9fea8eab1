/**
 * A thousand faults in an archived stream and in the backup that it begins at, by a fixed seed: what a restore reads before it begins finds each of them. Before:
 * the lists, the papers, the chain, and every segment on it. Nothing is found late, and nothing is restored that redis did not send.
 */
import { createHash, randomBytes } from 'node:crypto'
import { expect, test } from 'vitest'
import { baseOf } from '../../src/backup/catalog.ts'
import { chainTo, pathTo, runsOn } from '../../src/backup/chain.ts'
import type { Compression } from '../../src/backup/manifest.ts'
import { readCatalog } from '../../src/dump/catalog.ts'
import { fetchRdb, FetchFailed } from '../../src/dump/fetch.ts'
import { putPaper } from '../../src/dump/paper.ts'
import { keyId } from '../../src/dump/seal.ts'
import { encodeSegment, readSegment } from '../../src/dump/segment.ts'
import { putTimeline, readStream } from '../../src/dump/stream.ts'
import { dice } from '../sim/prng.ts'
import { faults, type Way } from './stream-faults.ts'
import { compressions, layBackup, memoryStore, rdbOf, type MemoryStore } from './stored-backups.ts'

const seed = 20261122
const [key, other] = [Buffer.alloc(32, 7), Buffer.alloc(32, 8)]
const signal = new AbortController().signal
const group = 'cache'
/** As stored-backups.ts has it. */
const [old, young, baseOffset] = ['a'.repeat(40), 'b'.repeat(40), 100]
const fork = 3001
const end = 6000

interface Archive {
  readonly store: MemoryStore
  readonly way: Way
  readonly key: Buffer | null
  /** All that redis sent behind the backup, on the way to the end. */
  readonly sent: Buffer
}

/** Text, that gzip makes smaller, and random bytes, that it does not. */
const bytesOf = (replid: string): Buffer =>
  Buffer.concat(
    Array.from({ length: 60 }, (_, n) => createHash('sha512').update(`${replid}${n}`).digest()).map((noise, n) =>
      Buffer.concat([noise, Buffer.alloc(61, `SET key:${n} `)]),
    ),
  ).subarray(0, end)

/** The old primary has written beyond the fork, in one segment and in another. */
const spans = [
  [old, 101, 900],
  [old, 901, 2000],
  [old, 2001, 3600],
  [old, 3601, 4200],
  [young, 3001, 4000],
  [young, 4001, 5200],
  [young, 5201, 6000],
] as const

async function laid(store: MemoryStore, of: string, by: Buffer | null, compression: Compression): Promise<readonly string[]> {
  const names: string[] = []
  for (const [replid, from, to] of spans) {
    const said = {
      group: of,
      replid,
      from,
      to,
      lastWallMs: 1_795_000_000_000 + to,
      host: 'redis-b',
      serverVersion: '7.0.15',
      marks: [[to, 1_795_000_000_000 + to]] as const,
    }
    const { name, bytes } = await encodeSegment(said, bytesOf(replid).subarray(from - 1, to), compression, by)
    store.objects.set(name.replace(of, group), bytes)
    names.push(name.replace(of, group))
  }
  return names
}

async function archive(encrypted: boolean, compression: Compression): Promise<Archive> {
  const by = encrypted ? key : null
  const [store, ofOther, ofOtherKey, bare] = [memoryStore(), memoryStore(), memoryStore(), memoryStore()]
  const base = '20261121T181500Z-3f9a0b1c'
  const { sha256 } = await layBackup(store, { id: base, group, rdb: rdbOf(randomBytes(3000)), compression, key: by })
  const words = { found: '', loadMs: 1, fetchMs: 1, keys: 1, serverVersion: '7.0.15' }
  await putPaper(store, group, 'tested', { format: 1, id: base, manifestSha256: sha256, atWallMs: 1, ok: true, fault: null, ...words }, by, signal)
  const all = await laid(store, group, by, compression)
  await laid(ofOther, 'sessions', by, compression)
  await laid(ofOtherKey, group, other, compression)
  await laid(bare, group, null, compression)
  const told = { format: 1, group, host: 'redis-b', why: 'a promotion', keyId: by === null ? null : keyId(by) } as const
  await putTimeline(store, { ...told, replid: old, epoch: 1, from: 101, parent: null, atWallMs: 1 }, by, signal)
  await putTimeline(store, { ...told, replid: young, epoch: 2, from: fork, parent: { replid: old }, atWallMs: 2 }, by, signal)
  const way = {
    group,
    base,
    segments: all.filter((name) => !name.includes('3601')),
    replids: [old, young],
    encrypted,
    strangers: [ofOther.objects, ofOtherKey.objects],
    bare: bare.objects,
  }
  return { store, way, key: by, sent: Buffer.concat([bytesOf(old).subarray(baseOffset, fork - 1), bytesOf(young).subarray(fork - 1, end)]) }
}

/** As a restore to the end of the newest history looks before it begins. A string: what it found. */
async function foundBy({ store, key: by, way }: Archive): Promise<string | Buffer> {
  const [catalog, stream] = [await readCatalog(store, group, signal, by), await readStream(store, group, by, signal)]
  if (!catalog.ok || !stream.ok) throw new Error('a store in memory')
  const { timelines, segments, broken } = stream.value
  if (broken[0] !== undefined) return `${broken[0].name}: ${broken[0].why}`
  const [aside] = catalog.value.others
  if (aside !== undefined) return aside.why
  const bases = catalog.value.backups.map(baseOf)
  const unproven = by === null ? undefined : timelines.find((timeline) => timeline.keyId !== keyId(by))
  if (unproven !== undefined) return `the timeline ${unproven.replid} is not proven by the key`
  const path = pathTo(timelines, young)
  const chain = chainTo(path, runsOn(path, segments), bases, end)
  if ('why' in chain) return chain.why
  const base = catalog.value.backups.find(({ manifest }) => manifest.id === chain.base.id)
  try {
    if (base === undefined) throw new Error('no base')
    for await (const chunk of fetchRdb(store, base.manifest, by, signal)) void chunk
    const pieces: Buffer[] = []
    for (const { segment, from, to } of chain.pieces) {
      const { bytes, byKey } = await readSegment(store, group, segment, by, signal)
      if (way.encrypted && !byKey) return `${segment.name} is not encrypted, and the backup is`
      pieces.push(bytes.subarray(from - segment.from, to - segment.from + 1))
    }
    return Buffer.concat(pieces)
  } catch (error) {
    if (error instanceof FetchFailed) return error.message
    throw error
  }
}

test('1,000 faults, each is found before a restore begins; what only a key finds is named', { timeout: 60_000 }, async () => {
  const roll = dice(seed)
  const archives = await Promise.all([false, true].flatMap((encrypted) => compressions.map((compression) => archive(encrypted, compression))))
  for (const one of archives) expect(await foundBy(one)).toEqual(one.sent)
  const [missed, harmless, lines]: [string[], string[], string[]] = [[], [], []]
  let done = 0
  for (const [times, name, fault, needs] of faults) {
    for (let time = 0; time < times; time += 1) {
      const one = roll.pick(needs === 'key' ? archives.filter(({ way }) => way.encrypted) : archives)
      const { objects } = one.store
      const before = new Map(objects)
      fault(objects, one.way, roll)
      const found = await foundBy(one)
      // What does not matter for this way is no fault of it, as long as what comes out is what redis sent.
      if (typeof found !== 'string') (found.equals(one.sent) ? harmless : missed).push(`${name}, encrypted: ${one.way.encrypted}`)
      objects.clear()
      for (const [object, bytes] of before) objects.set(object, bytes)
      done += 1
    }
    lines.push(`${times} × ${name}${needs === 'key' ? ' (with a key: without one nobody can find it)' : ''}`)
  }
  console.log(`stream faults: ${done} injected (seed ${seed}), ${missed.length} missed, ${harmless.length} without an effect\n  ${lines.join('\n  ')}`)
  expect(missed).toEqual([])
  expect(harmless).toEqual([])
  expect(done).toBe(1000)
})

test('without a key, whoever can write to the store can make a segment and a timeline that look right: that is said, and not hidden', async () => {
  const plain = await archive(false, 'none')
  const [name = ''] = plain.way.segments
  const forged = await encodeSegment(
    { group, replid: old, from: 101, to: 900, lastWallMs: 1_795_000_000_900, host: 'nobody', serverVersion: '7.0.15', marks: [[900, 1_795_000_000_900]] },
    Buffer.alloc(800, 'x'),
    'none',
    null,
  )
  expect(forged.name).toBe(name)
  plain.store.objects.set(name, forged.bytes)
  const restored = await foundBy(plain)
  expect(restored).not.toEqual(plain.sent)
  expect(Buffer.isBuffer(restored)).toBe(true)
})
