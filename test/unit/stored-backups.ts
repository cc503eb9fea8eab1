/** Backups in memory for tests: an RDB as redis would write it (of nothing that it could load), and a store that holds what it is given. */
import { createHash, randomBytes } from 'node:crypto'
import { crc64 } from '../../src/backup/crc64.ts'
import { dataName, paperName, type Compression, type Manifest, type Said } from '../../src/backup/manifest.ts'
import { pack } from '../../src/dump/pack.ts'
import { prove } from '../../src/dump/paper.ts'
import { keyId } from '../../src/dump/seal.ts'
import { hasZstd } from '../../src/dump/zstd.ts'
import { byName, type Store } from '../../src/store/store.ts'

export async function all(chunks: AsyncIterable<Buffer>): Promise<Buffer> {
  const read: Buffer[] = []
  for await (const chunk of chunks) read.push(chunk)
  return Buffer.concat(read)
}

export async function* pieces(data: Buffer, bytes = 60_000): AsyncGenerator<Buffer> {
  for (let at = 0; at < data.length; at += bytes) yield data.subarray(at, at + bytes)
}

/** What this Node can make and read. */
export const compressions: readonly Compression[] = ['none', 'gzip', ...(hasZstd ? ['zstd' as const] : [])]
if (!hasZstd) console.warn('skipped: zstd: this Node does not have it')

/** No redis knows a value of this type. Not random bytes: some of those say that a module's data follow, or that the file ends here. */
export const ofNoType = Buffer.alloc(300_000, 0x20)

export function rdbOf(payload: Buffer = randomBytes(300_000)): Buffer {
  const body = Buffer.concat([Buffer.from('REDIS0010\xfa\x09redis-ver\x067.0.15\xfe\x00', 'latin1'), payload, Buffer.from([0xff])])
  const sum = crc64()
  sum.update(body)
  return Buffer.concat([body, sum.digest()])
}

export interface MemoryStore extends Store {
  readonly objects: Map<string, Buffer>
  /** Of what is being read. */
  readonly open: () => number
}

export function memoryStore(): MemoryStore {
  const objects = new Map<string, Buffer>()
  let open = 0
  async function* reading(data: Buffer, signal: AbortSignal): AsyncGenerator<Buffer> {
    open += 1
    try {
      for await (const chunk of pieces(data)) {
        signal.throwIfAborted()
        yield chunk
      }
    } finally {
      open -= 1
    }
  }
  return {
    where: 'memory',
    objects,
    open: () => open,
    list: (under) =>
      Promise.resolve({ ok: true, value: [...objects].flatMap(([name, data]) => (name.startsWith(under) ? [{ name, bytes: data.length }] : [])).sort(byName) }),
    put: async (name, chunks) => {
      objects.set(name, await all(chunks))
      return { ok: true, value: null }
    },
    get: (name, signal) => {
      const data = objects.get(name)
      return Promise.resolve(data === undefined ? { ok: false, why: `${name} is not there` } : { ok: true, value: reading(data, signal) })
    },
    remove: (name) => {
      objects.delete(name)
      return Promise.resolve({ ok: true, value: null })
    },
    close: () => Promise.resolve(),
  }
}

const sha256 = (data: Buffer): string => createHash('sha256').update(data).digest('hex')

export interface Laid {
  readonly id: string
  readonly group: string
  readonly rdb: Buffer
  readonly compression: Compression
  readonly key: Buffer | null
  readonly atWallMs?: number
  readonly position?: Manifest['position']
  readonly reason?: string
}

/** As `take` leaves it: dataset and manifest. */
export async function layBackup(
  store: MemoryStore,
  { id, group, rdb, compression, key, atWallMs = 1, position = { epoch: 1, replid: 'a'.repeat(40), offset: 100 }, reason = 'schedule' }: Laid,
): Promise<Manifest> {
  const stored = await all(pack(pieces(rdb), compression, key))
  const name = dataName(group, id)
  store.objects.set(name, stored)
  const said: Said<Manifest> = {
    format: 1,
    id,
    group,
    atWallMs,
    endedAtWallMs: atWallMs + 1,
    reason,
    source: { host: 'redis-b', role: 'replica', why: 'a healthy replica' },
    server: { version: '7.0.15', rdbFormat: 10 },
    position,
    seen: { before: null, after: null },
    rdb: { bytes: rdb.length, sha256: sha256(rdb) },
    stored: { name, bytes: stored.length, sha256: sha256(stored) },
    compression,
    encryption: key === null ? null : { cipher: 'aes-256-gcm', keyId: keyId(key) },
  }
  const { bytes, value } = prove('manifest', said, key)
  store.objects.set(paperName(group, id, 'manifest'), bytes)
  return value
}

/** The only one in its store. */
export function storedBackup(store: MemoryStore, rdb: Buffer, compression: Compression, key: Buffer | null): Promise<Manifest> {
  return layBackup(store, { id: '20261121T181500Z-3f9a0b1c', group: 'cache', rdb, compression, key })
}
