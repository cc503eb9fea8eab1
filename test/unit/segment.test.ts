/** The archived stream in a store: what was put comes back, and whatever was changed since is found before anybody has a byte of it. */
import { createHash, randomBytes } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import type { Compression } from '../../src/backup/manifest.ts'
import { streamFolder, timelineName, type StoredSegment } from '../../src/backup/stream.ts'
import { FetchFailed } from '../../src/dump/fetch.ts'
import { encodeSegment, readSegment, type SegmentSaid } from '../../src/dump/segment.ts'
import { keyId } from '../../src/dump/seal.ts'
import { putTimeline, readStream } from '../../src/dump/stream.ts'
import { compressions, memoryStore, type MemoryStore } from './stored-backups.ts'

const never = new AbortController().signal
const [key, otherKey] = [Buffer.alloc(32, 1), Buffer.alloc(32, 2)]
const [one, two] = ['1'.repeat(40), '2'.repeat(40)]
const stream = Buffer.from('*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$1\r\nv\r\n'.repeat(8))

const said: SegmentSaid = {
  group: 'cache',
  replid: one,
  from: 1001,
  to: 1000 + stream.length,
  lastWallMs: 1_795_000_000_500,
  host: 'red-b',
  serverVersion: '7.0.15',
  marks: [
    [1010, 1_795_000_000_000],
    [1000 + stream.length, 1_795_000_000_500],
  ],
}

async function laid(store: MemoryStore, by: Buffer | null = null, compression: Compression = 'gzip', more: Partial<SegmentSaid> = {}): Promise<StoredSegment> {
  const { name, bytes } = await encodeSegment({ ...said, ...more }, stream, compression, by)
  store.objects.set(name, bytes)
  return { ...said, ...more, name, bytes: bytes.length }
}

async function failure(store: MemoryStore, stored: StoredSegment, by: Buffer | null = null): Promise<{ about: string; message: string }> {
  const error: unknown = await readSegment(store, 'cache', stored, by, never).then(
    () => new Error('nothing was wrong with it'),
    (thrown: unknown) => thrown,
  )
  if (!(error instanceof FetchFailed)) throw error as Error
  return { about: error.about, message: error.message }
}

describe.each([null, key].flatMap((by) => compressions.map((compression) => ({ compression, by }))))(
  'a segment, $compression, encrypted: $by',
  ({ compression, by }) => {
    test('comes back as redis sent it, with its head', async () => {
      const store = memoryStore()
      const stored = await laid(store, by, compression)
      const { head, bytes, byKey } = await readSegment(store, 'cache', stored, by, never)
      expect([bytes.equals(stream), byKey]).toEqual([true, by !== null])
      expect(head).toMatchObject({ ...said, compression, sha256Stream: createHash('sha256').update(stream).digest('hex') })
    })

    test('any single bit flips: found', async () => {
      const store = memoryStore()
      const stored = await laid(store, by, compression)
      const whole = store.objects.get(stored.name) ?? Buffer.alloc(0)
      for (let bit = 0; bit < whole.length * 8; bit += 1) {
        const changed = Buffer.from(whole)
        changed[bit >> 3] = (changed[bit >> 3] ?? 0) ^ (1 << (bit & 7))
        store.objects.set(stored.name, changed)
        expect((await failure(store, stored, by)).about, `bit ${bit}`).toBe('data')
      }
    })

    test('cut off anywhere, or with more behind it: found', async () => {
      const store = memoryStore()
      const stored = await laid(store, by, compression)
      const whole = store.objects.get(stored.name) ?? Buffer.alloc(0)
      for (let bytes = 0; bytes < whole.length; bytes += 7) {
        store.objects.set(stored.name, whole.subarray(0, bytes))
        expect((await failure(store, stored, by)).about).toBe('data')
      }
      store.objects.set(stored.name, Buffer.concat([whole, Buffer.from('x')]))
      expect(await failure(store, stored, by)).toMatchObject({ about: 'data' })
    })
  },
)

describe('a segment', () => {
  test('under the name of another one, or of another group: found', async () => {
    const store = memoryStore()
    const stored = await laid(store)
    const bytes = store.objects.get(stored.name) ?? Buffer.alloc(0)
    const renamed = { ...stored, replid: two, name: stored.name.replace(one, two) }
    store.objects.set(renamed.name, bytes)
    expect((await failure(store, renamed)).message).toContain('it is another one')
    const later = { ...stored, name: stored.name.replace('1795000000500', '1795000000501') }
    store.objects.set(later.name, bytes)
    expect((await failure(store, later)).message).toContain('it is another one')
    const theirs = await encodeSegment({ ...said, group: 'sessions' }, stream, 'none', null)
    store.objects.set(stored.name, theirs.bytes)
    expect((await failure(store, stored)).message).toBe('it is of the group sessions')
  })

  test('whose head somebody without the key has written anew: found', async () => {
    const store = memoryStore()
    const stored = await laid(store, key)
    const open = (store.objects.get(stored.name) ?? Buffer.alloc(0)).toString('latin1')
    const text = open.replace('"host": "red-b"', '"host": "red-x"')
    const summed = text.slice(text.indexOf('{'), text.indexOf(',\n  "sha256": "'))
    const changed = text.replace(/,\n {2}"sha256": "[0-9a-f]{64}"\n/, `,\n  "sha256": "${createHash('sha256').update(summed).digest('hex')}"\n`)
    store.objects.set(stored.name, Buffer.from(changed, 'latin1'))
    expect((await failure(store, stored, key)).message).toBe('its head: somebody without the key has changed it')
  })

  test('whose bytes are not as many as it says, or whose marks do not end where it does: found', async () => {
    const store = memoryStore()
    expect((await failure(store, await laid(store, null, 'gzip', { to: said.to + 1, marks: [[said.to + 1, said.lastWallMs]] }))).message).toContain(
      'it unpacks to',
    )
    expect((await failure(store, await laid(store, null, 'gzip', { to: said.to - 1, marks: [[said.to - 1, said.lastWallMs]] }))).about).toBe('data')
    for (const marks of [
      [[said.to - 1, said.lastWallMs]],
      [[said.to, 5]],
      [
        [said.to, said.lastWallMs],
        [said.to, said.lastWallMs],
      ],
      [
        [1000, 5],
        [said.to, said.lastWallMs],
      ],
    ] as const)
      expect((await failure(store, await laid(store, null, 'none', { marks }))).message).toContain('mark')
  })

  test('without its key, with another one, or not there at all: said so', async () => {
    const store = memoryStore()
    const stored = await laid(store, key)
    expect(await failure(store, stored)).toMatchObject({ about: 'key', message: expect.stringContaining('no key is given') as string })
    expect(await failure(store, stored, otherKey)).toMatchObject({ about: 'key' })
    store.objects.clear()
    expect(await failure(store, stored)).toMatchObject({ about: 'store' })
  })

  test('of eight MiB that cannot be packed, with a mark for every 100 ms of ten minutes', async () => {
    const store = memoryStore()
    const large = randomBytes(8 * 1024 * 1024)
    const to = said.from + large.length - 1
    const marks = Array.from({ length: 6000 }, (_, i) => [to - 5999 + i, said.lastWallMs - (5999 - i) * 100] as const)
    const { name, bytes } = await encodeSegment({ ...said, to, marks }, large, 'gzip', key)
    store.objects.set(name, bytes)
    expect(bytes.length - large.length).toBeLessThan(250_000)
    expect((await readSegment(store, 'cache', { ...said, to, name, bytes: bytes.length }, key, never)).bytes.equals(large)).toBe(true)
  })
})

describe('what lies in the store of a stream', () => {
  const timeline = {
    format: 1,
    group: 'cache',
    replid: one,
    epoch: 3,
    from: 1001,
    parent: null,
    atWallMs: 5,
    host: 'red-b',
    why: 'the archive begins',
    keyId: null,
  } as const

  test('timelines and their segments in order; what is not understood is told', async () => {
    const store = memoryStore()
    await putTimeline(store, timeline, null, never)
    const later = await laid(store, null, 'gzip', { from: said.to + 1, to: said.to + stream.length, marks: [[said.to + stream.length, 9]], lastWallMs: 9 })
    const first = await laid(store)
    const orphan = await laid(store, null, 'gzip', { replid: two })
    const folder = streamFolder('cache')
    store.objects.set(`${folder}/${one}/notes.txt`, Buffer.from('of somebody'))
    store.objects.set(`${folder}.other/x`, Buffer.from('of another group'))
    const read = await readStream(store, 'cache', null, never)
    expect(read).toMatchObject({ ok: true, value: { timelines: [timeline], segments: [{ name: first.name }, { name: later.name }] } })
    expect(read.ok && read.value.broken.map(({ name }) => name)).toEqual([`${folder}/${one}/notes.txt`, timelineName('cache', two)])
    expect(orphan.replid).toBe(two)
  })

  test('a timeline that was changed, of a newer Holdfast, or of another history does not count, nor do its segments', async () => {
    const store = memoryStore()
    await laid(store)
    await putTimeline(store, timeline, null, never)
    const name = timelineName('cache', one)
    const bytes = (store.objects.get(name) ?? Buffer.alloc(0)).toString()
    store.objects.set(name, Buffer.from(bytes.replace('"from": 1001', '"from": 1002')))
    expect(await readStream(store, 'cache', null, never)).toMatchObject({ value: { timelines: [], segments: [], broken: [{ name, newer: false }] } })
    store.objects.set(name, Buffer.from('{ "format": 2 }'))
    expect(await readStream(store, 'cache', null, never)).toMatchObject({ value: { timelines: [], broken: [{ name, newer: true }] } })
    await putTimeline(store, { ...timeline, replid: two }, null, never)
    store.objects.set(name, store.objects.get(timelineName('cache', two)) ?? Buffer.alloc(0))
    store.objects.delete(timelineName('cache', two))
    expect(await readStream(store, 'cache', null, never)).toMatchObject({ value: { timelines: [], broken: [{ name, why: `it is that of ${two}` }] } })
  })

  test('a key proves a timeline; another key reads it all the same', async () => {
    const store = memoryStore()
    await putTimeline(store, { ...timeline, keyId: keyId(key) }, key, never)
    for (const by of [key, otherKey, null])
      expect(await readStream(store, 'cache', by, never)).toMatchObject({ value: { timelines: [{ replid: one }], broken: [] } })
    const name = timelineName('cache', one)
    const text = (store.objects.get(name) ?? Buffer.alloc(0)).toString().replace('"from": 1001', '"from": 7')
    const summed = text.slice(0, text.indexOf(',\n  "sha256": "'))
    store.objects.set(name, Buffer.from(`${summed},\n  "sha256": "${createHash('sha256').update(summed).digest('hex')}"\n}\n`))
    expect(await readStream(store, 'cache', key, never)).toMatchObject({
      value: { timelines: [], broken: [{ why: 'somebody without the key has changed it' }] },
    })
  })

  test('a store that cannot be read in part is not read at all', async () => {
    const store = memoryStore()
    await putTimeline(store, timeline, null, never)
    const failing = { ...store, get: () => Promise.resolve({ ok: false as const, why: 'ECONNRESET' }) }
    expect(await readStream(failing, 'cache', null, never)).toEqual({ ok: false, why: `${timelineName('cache', one)}: ECONNRESET` })
  })
})
