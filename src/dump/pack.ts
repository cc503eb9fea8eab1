/** How an RDB lies in a store: compressed, then encrypted, both as streams. And back. */
import { pipeline, type Transform } from 'node:stream'
import { createGunzip, createGzip } from 'node:zlib'
import type { Compression } from '../backup/manifest.ts'
import type { Chunks } from './measure.ts'
import { seal, unseal } from './seal.ts'
import { hasZstd, zstdCompress, zstdDecompress } from './zstd.ts'

/** Datasets are large and mostly packed by redis already: a higher level costs several times as much for a few percent. */
const gzipLevel = 1
const packedBytes = 256 * 1024
/** What comes out is written to a disk: see readBytes of store/directory.ts. */
const unpackedBytes = 512 * 1024

/** `key`: null where it is not to be encrypted. */
export function pack(chunks: Chunks, compression: Compression, key: Buffer | null): Chunks {
  const packed = compression === 'none' ? chunks : piped(chunks, packer(compression))
  return key === null ? packed : seal(packed, key)
}

/** Throws SealBroken, or what zlib says, where it is not what `pack` made. */
export function unpack(chunks: Chunks, compression: Compression, key: Buffer | null): Chunks {
  const packed = key === null ? chunks : unseal(chunks, key)
  return compression === 'none' ? packed : piped(packed, compression === 'zstd' ? zstdDecompress(unpackedBytes) : createGunzip({ chunkSize: unpackedBytes }))
}

/** What this process makes of `auto`. */
export function compressionHere(wanted: Compression | 'auto'): Compression {
  if (wanted !== 'auto') return wanted
  return hasZstd ? 'zstd' : 'gzip'
}

function packer(compression: 'gzip' | 'zstd'): Transform {
  return compression === 'zstd' ? zstdCompress(packedBytes) : createGzip({ level: gzipLevel, chunkSize: packedBytes })
}

/** An error on either side is thrown where it is read; a reader that stops ends the other side. */
function piped(chunks: Chunks, transform: Transform): Chunks {
  pipeline(chunks, transform, () => undefined)
  return transform as Chunks
}

/** Waits so that no more than so many bytes pass in a second. */
export async function* throttled(
  chunks: Chunks,
  bytesPerS: number | null,
  clock: () => number,
  wait: (ms: number) => Promise<void>,
): AsyncGenerator<Buffer, void, undefined> {
  const beganMs = clock()
  let bytes = 0
  for await (const chunk of chunks) {
    yield chunk
    if (bytesPerS === null) continue
    bytes += chunk.length
    const aheadMs = (bytes / bytesPerS) * 1000 - (clock() - beganMs)
    if (aheadMs > 0) await wait(aheadMs)
  }
}
