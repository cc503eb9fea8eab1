/**
 * Zstandard, where Node has it: from 22.15 on (nodejs.org/api/zlib.html). A backup that is compressed with it can be read on hosts whose Node has it as
 * well, and nowhere else; `this Node` is told there by `noZstd`.
 */
import type { Transform } from 'node:stream'
import * as zlib from 'node:zlib'

interface Options {
  readonly chunkSize: number
  readonly params?: Readonly<Record<number, number>>
}

/** The types are those of the oldest Node that Holdfast runs on, which has none of it. */
const has = zlib as unknown as {
  readonly createZstdCompress?: (options: Options) => Transform
  readonly createZstdDecompress?: (options: Options) => Transform
  readonly constants: { readonly ZSTD_c_compressionLevel?: number }
}

export const hasZstd = has.createZstdCompress !== undefined && has.createZstdDecompress !== undefined

export const noZstd = `it is compressed with zstd, which this Node (${process.version}) does not have`

/** Of the levels of zstd the fastest that is no worse than gzip: datasets are large, and redis waits for the packer. */
const level = 1

/** Throws where this Node has none. */
export function zstdCompress(chunkSize: number): Transform {
  const { createZstdCompress, constants } = has
  if (createZstdCompress === undefined || constants.ZSTD_c_compressionLevel === undefined) throw new Error(noZstd)
  return createZstdCompress({ chunkSize, params: { [constants.ZSTD_c_compressionLevel]: level } })
}

/** Throws where this Node has none. */
export function zstdDecompress(chunkSize: number): Transform {
  const { createZstdDecompress } = has
  if (createZstdDecompress === undefined) throw new Error(noZstd)
  return createZstdDecompress({ chunkSize })
}
