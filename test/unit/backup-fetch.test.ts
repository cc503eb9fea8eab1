import { randomBytes } from 'node:crypto'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { Manifest } from '../../src/backup/manifest.ts'
import { FetchFailed, fetchChecked, fetchRdb } from '../../src/dump/fetch.ts'
import { compressionHere } from '../../src/dump/pack.ts'
import { hasZstd } from '../../src/dump/zstd.ts'
import { all, compressions, memoryStore, pieces, rdbOf, storedBackup, type MemoryStore } from './stored-backups.ts'

const never = new AbortController().signal
const [key, otherKey] = [Buffer.alloc(32, 1), Buffer.alloc(32, 2)]
const kinds = [null, key].flatMap((encrypted) => compressions.map((compression) => ({ compression, encrypted })))

async function failure(store: MemoryStore, manifest: Manifest, by: Buffer | null = null): Promise<{ about: string; message: string }> {
  const error: unknown = await all(fetchRdb(store, manifest, by, never)).then(
    () => new Error('nothing was wrong with it'),
    (thrown: unknown) => thrown,
  )
  if (!(error instanceof FetchFailed)) throw error as Error
  return { about: error.about, message: error.message }
}

describe.each(kinds)('a stored backup, $compression, encrypted: $encrypted', ({ compression, encrypted }) => {
  test('comes back as redis gave it', async () => {
    const [store, rdb] = [memoryStore(), rdbOf()]
    const manifest = await storedBackup(store, rdb, compression, encrypted)
    expect((await all(fetchRdb(store, manifest, encrypted, never))).equals(rdb)).toBe(true)
  })

  test('a bit in the store flips: found, wherever it is', async () => {
    const store = memoryStore()
    const manifest = await storedBackup(store, rdbOf(randomBytes(20_000)), compression, encrypted)
    const whole = store.objects.get(manifest.stored.name) ?? Buffer.alloc(0)
    await fc.assert(
      fc.asyncProperty(fc.nat(whole.length * 8 - 1), async (bit) => {
        const changed = Buffer.from(whole)
        changed[bit >> 3] = (changed[bit >> 3] ?? 0) ^ (1 << (bit & 7))
        store.objects.set(manifest.stored.name, changed)
        expect((await failure(store, manifest, encrypted)).about).toBe('data')
      }),
      { numRuns: 200 },
    )
  })

  test('the store lost its end, or has something behind it: said in bytes', async () => {
    const store = memoryStore()
    const manifest = await storedBackup(store, rdbOf(), compression, encrypted)
    const whole = store.objects.get(manifest.stored.name) ?? Buffer.alloc(0)
    store.objects.set(manifest.stored.name, whole.subarray(0, -1))
    expect(await failure(store, manifest, encrypted)).toEqual({ about: 'data', message: `it has ${whole.length - 1} of its ${whole.length} bytes` })
    store.objects.set(manifest.stored.name, Buffer.concat([whole, Buffer.from('x')]))
    expect((await failure(store, manifest, encrypted)).message).toContain(`it has more than the ${whole.length} bytes`)
  })

  test('a reader that stops half-way lets go of the store', async () => {
    const store = memoryStore()
    const manifest = await storedBackup(store, rdbOf(randomBytes(3_000_000)), compression, encrypted)
    for await (const _ of fetchRdb(store, manifest, encrypted, never)) break
    await expect.poll(store.open).toBe(0)
  })
})

describe('zstd', () => {
  test('is what `auto` means where this Node has it, and gzip elsewhere', () => {
    expect(['auto', 'gzip', 'none'].map((wanted) => compressionHere(wanted as 'auto' | 'gzip' | 'none'))).toEqual([hasZstd ? 'zstd' : 'gzip', 'gzip', 'none'])
  })

  test.skipIf(hasZstd)('a backup from a host whose Node has it: not damaged, but to be read there', async () => {
    const store = memoryStore()
    const manifest: Manifest = { ...(await storedBackup(store, rdbOf(), 'gzip', null)), compression: 'zstd' }
    expect(await failure(store, manifest)).toEqual({
      about: 'here',
      message: `it is compressed with zstd, which this Node (${process.version}) does not have`,
    })
  })
})

describe('the key', () => {
  test('none is given for an encrypted one, or another: told by their ids, before anything is fetched', async () => {
    const store = memoryStore()
    const manifest = await storedBackup(store, rdbOf(), 'gzip', key)
    store.objects.clear()
    expect(await failure(store, manifest)).toEqual({
      about: 'key',
      message: `it is encrypted with the key ${manifest.encryption?.keyId}, and no key is given`,
    })
    expect((await failure(store, manifest, otherKey)).message).toMatch(/^it is encrypted with the key [0-9a-f]{16}, and the key that is given is [0-9a-f]{16}$/)
  })

  test('one is given for a backup that is not encrypted: it is not needed', async () => {
    const [store, rdb] = [memoryStore(), rdbOf()]
    const manifest = await storedBackup(store, rdb, 'gzip', null)
    expect((await all(fetchRdb(store, manifest, key, never))).equals(rdb)).toBe(true)
  })
})

describe('what is not what its manifest says', () => {
  async function swapped(change: (manifest: Manifest) => Manifest): Promise<string> {
    const store = memoryStore()
    return (await failure(store, change(await storedBackup(store, rdbOf(Buffer.alloc(100_000)), 'gzip', null)))).message
  }

  test('it unpacks to more, to less, to something else', async () => {
    const bytes = rdbOf(Buffer.alloc(100_000)).length
    expect(await swapped((m) => ({ ...m, rdb: { ...m.rdb, bytes: bytes - 1 } }))).toBe(`it unpacks to more than the ${bytes - 1} bytes that redis gave`)
    expect(await swapped((m) => ({ ...m, rdb: { ...m.rdb, bytes: bytes + 1 } }))).toBe(`it unpacks to ${bytes} bytes, redis gave ${bytes + 1}`)
    expect(await swapped((m) => ({ ...m, rdb: { ...m.rdb, sha256: '0'.repeat(64) } }))).toBe('what it unpacks to is not what redis gave (SHA-256)')
  })

  test('packed by nothing, it is summed once; where its two sums differ, one of them is wrong', async () => {
    const store = memoryStore()
    const manifest = await storedBackup(store, rdbOf(), 'none', null)
    const other = { ...manifest, rdb: { ...manifest.rdb, sha256: '0'.repeat(64) } }
    expect((await failure(store, other)).message).toBe('what it unpacks to is not what redis gave (SHA-256)')
  })

  test('a manifest that agrees with a broken RDB: where no redis reads it, its own checksum tells', async () => {
    const [store, rdb] = [memoryStore(), rdbOf()]
    rdb[1000] = (rdb[1000] ?? 0) ^ 1
    const manifest = await storedBackup(store, rdb, 'gzip', null)
    await expect(all(fetchChecked(store, manifest, null, never))).rejects.toMatchObject({
      about: 'data',
      message: 'the checksum at the end of the RDB is not that of its bytes',
    })
  })

  test('more than it should be never reaches the reader', async () => {
    const store = memoryStore()
    const manifest = await storedBackup(store, rdbOf(Buffer.alloc(5_000_000)), 'gzip', null)
    let bytes = 0
    const read = async (): Promise<void> => {
      for await (const chunk of fetchRdb(store, { ...manifest, rdb: { ...manifest.rdb, bytes: 1_000_000 } }, null, never)) bytes += chunk.length
    }
    await expect(read()).rejects.toThrow('unpacks to more')
    expect(bytes).toBeLessThanOrEqual(1_000_000)
  })
})

describe('the store', () => {
  test('does not have it, cannot be read to its end: its own words', async () => {
    const store = memoryStore()
    const manifest = await storedBackup(store, rdbOf(), 'gzip', null)
    const half: MemoryStore = {
      ...store,
      get: () =>
        Promise.resolve({
          ok: true,
          value: (async function* () {
            yield* pieces(Buffer.alloc(1000))
            throw new Error('ECONNRESET')
          })(),
        }),
    }
    const stored = manifest.stored.bytes
    expect(await failure({ ...half }, { ...manifest, compression: 'none' })).toEqual({
      about: 'store',
      message: `memory: reading it stopped after 1000 of ${stored} bytes: ECONNRESET`,
    })
    store.objects.clear()
    expect(await failure(store, manifest)).toEqual({ about: 'store', message: `memory: ${manifest.stored.name} is not there` })
  })

  test('called off: that is the reason, and no failure of the backup', async () => {
    const store = memoryStore()
    const manifest = await storedBackup(store, rdbOf(randomBytes(3_000_000)), 'gzip', key)
    const abort = new AbortController()
    const read = async (): Promise<void> => {
      for await (const _ of fetchRdb(store, manifest, key, abort.signal)) abort.abort(new Error('Ctrl-C'))
    }
    await expect(read()).rejects.toThrow('Ctrl-C')
    await expect.poll(store.open).toBe(0)
  })
})
