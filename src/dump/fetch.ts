/**
 * A stored backup as the RDB that it was, proven on the way: what the store gives is what was put there, it opens with this key, and what
 * comes out is what redis once gave, by its SHA-256: an RDB whose own checksum was wrong was never stored. A few pieces in memory, whatever
 * the size. Whoever uses the bytes before the end uses what is not proven yet: only a reader that got to the end without an error has all of
 * it, and nothing else.
 */
import type { Manifest } from '../backup/manifest.ts'
import type { ErrorCode } from '../model/error.ts'
import type { Store } from '../store/store.ts'
import { measure, watchRdb, type Chunks } from './measure.ts'
import { unpack } from './pack.ts'
import { keyId, SealBroken } from './seal.ts'
import { hasZstd, noZstd } from './zstd.ts'

/** In words for an operator: the backup, its store or its key is not what it has to be. */
export class FetchFailed extends Error {
  /** `key`: another key may open it. `store`: it may be there the next time. `here`: another host can read it. `data`: it is damaged, and stays so. */
  readonly about: 'key' | 'store' | 'here' | 'data'
  constructor(about: FetchFailed['about'], message: string) {
    super(message)
    this.name = 'FetchFailed'
    this.about = about
  }
}

/** Throws FetchFailed, at the latest at the end; where `signal` ends it, its reason. */
export async function* fetchRdb(store: Store, manifest: Manifest, key: Buffer | null, signal: AbortSignal): AsyncGenerator<Buffer, void, undefined> {
  const opener = keyFor(manifest, key)
  readableHere(manifest)
  const got = await store.get(manifest.stored.name, signal)
  signal.throwIfAborted()
  if (!got.ok) throw new FetchFailed('store', `${store.where}: ${got.why}`)
  const { rdb, stored } = manifest
  const whole = asStored(store, got.value, manifest)
  try {
    // The same bytes need not be summed twice: they are proven as what is stored.
    if (opener === null && manifest.compression === 'none' && rdb.sha256 === stored.sha256 && rdb.bytes === stored.bytes) return yield* whole
    const measured = measure()
    for await (const chunk of measured.through(unpack(whole, manifest.compression, opener))) {
      // Before it is handed on: a disk that it is written to is not to be filled by what was never in it.
      if (measured.bytes() > rdb.bytes) throw new FetchFailed('data', `it unpacks to more than the ${rdb.bytes} bytes that redis gave`)
      yield chunk
    }
    if (measured.bytes() < rdb.bytes) throw new FetchFailed('data', `it unpacks to ${measured.bytes()} bytes, redis gave ${rdb.bytes}`)
    if (measured.sha256() !== rdb.sha256) throw new FetchFailed('data', 'what it unpacks to is not what redis gave (SHA-256)')
  } catch (error) {
    signal.throwIfAborted()
    throw inWords(error as Error)
  }
}

/** Where no redis reads it, which would look at the checksum inside of it: that as well. */
export async function* fetchChecked(store: Store, manifest: Manifest, key: Buffer | null, signal: AbortSignal): AsyncGenerator<Buffer, void, undefined> {
  const watch = watchRdb()
  yield* watch.through(fetchRdb(store, manifest, key, signal))
  const verdict = watch.verdict()
  if (!verdict.ok) throw new FetchFailed('data', verdict.why)
}

/** null: it is not encrypted. Throws FetchFailed. */
export function keyFor({ encryption }: Pick<Manifest, 'encryption'>, key: Buffer | null): Buffer | null {
  if (encryption === null) return null
  if (key === null) throw new FetchFailed('key', `it is encrypted with the key ${encryption.keyId}, and no key is given`)
  if (keyId(key) !== encryption.keyId)
    throw new FetchFailed('key', `it is encrypted with the key ${encryption.keyId}, and the key that is given is ${keyId(key)}`)
  return key
}

/** Throws FetchFailed. */
export function readableHere({ compression }: Pick<Manifest, 'compression'>): void {
  if (compression === 'zstd' && !hasZstd) throw new FetchFailed('here', noZstd)
}

/** What an operator is told of it: a code, and what helps; null: that depends on what was wanted. */
export function codeOf({ about }: Pick<FetchFailed, 'about'>): { readonly code: ErrorCode; readonly hint: string | null } {
  if (about === 'key') return { code: 'HF813', hint: 'bring the file with that key, or name it: --key-file FILE' }
  if (about === 'here') return { code: 'HF840', hint: 'run it on a host with Node 22.15 or later' }
  return { code: about === 'store' ? 'HF814' : 'HF816', hint: null }
}

/** Judged before anything is made of its end: that the store lost half of a file is what is told then, not what the half looked like. */
async function* asStored(store: Store, chunks: Chunks, { stored }: Manifest): AsyncGenerator<Buffer, void, undefined> {
  const measured = measure()
  const source = measured.through(chunks)[Symbol.asyncIterator]()
  try {
    for (;;) {
      const next = await source.next().catch((error: Error) => {
        throw new FetchFailed('store', `${store.where}: reading it stopped after ${measured.bytes()} of ${stored.bytes} bytes: ${error.message}`)
      })
      if (next.done === true) break
      if (measured.bytes() > stored.bytes) throw new FetchFailed('data', `it has more than the ${stored.bytes} bytes that were stored`)
      yield next.value
    }
  } finally {
    await source.return(undefined)
  }
  if (measured.bytes() < stored.bytes) throw new FetchFailed('data', `it has ${measured.bytes()} of its ${stored.bytes} bytes`)
  if (measured.sha256() !== stored.sha256) throw new FetchFailed('data', 'it has other bytes than were stored (SHA-256)')
}

/** Of what does not open or unpack. */
export function inWords(error: Error): Error {
  if (error instanceof SealBroken) return new FetchFailed('data', `what is stored does not open: ${error.message}`)
  // What zlib says: it has a code of its own (Z_DATA_ERROR, Z_BUF_ERROR, ZSTD_error_…).
  if ('code' in error && String(error.code).startsWith('Z')) return new FetchFailed('data', `what is stored does not unpack: ${error.message}`)
  return error
}
