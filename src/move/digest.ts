/**
 * What a redis holds under some keys, as digests that mean the same in every version: by its values, not by how they are packed (DUMP differs between versions,
 * and for hashes and sets between two processes of one). The words; how they come about: digest-script.ts, digest-plain.ts. What is large is named, and left to
 * whoever reads it piece by piece (redis/same-value.ts): no server is held up by it.
 */
import type { RawReply } from '../redis/raw.ts'

/** A string above it, or a value that takes more memory, is read in pieces. */
export const largeBytes = 64 * 1024
export const largeUsageBytes = 4 * largeBytes
export const largeElements = 512

/** Of one key. `large`: it is there, and was not read. */
export type Digest = { readonly kind: 'missing' | 'large' } | { readonly kind: 'value'; readonly sha1: string }

/**
 * Of one bucket of keys. Two buckets are equal where `sha1` is and nothing is large; then also times to live, where they are points in time (7.0).
 * `expiresMs`: of each key, by that server's clock; -1: never, -2: it is not there. Empty where it was not asked for.
 */
export interface Bucket {
  readonly sha1: string
  readonly large: number
  readonly expiresMs: readonly number[]
}

export interface Page {
  readonly cursor: string
  readonly keys: readonly Buffer[]
  readonly bucket: Bucket
  /** Of each key a letter: s for a small string, o for anything else. */
  readonly strings: string
}

/** By whom scripts are run. `plain`: they may not be, and all values travel. */
export type Way = 'eval' | 'eval-ro' | 'plain'

export interface Digested {
  readonly digest: Digest
  readonly expiresMs: number
}

/** One redis, in the database that its connection has chosen. Each throws what the connection throws, and an Error where the server refuses. */
export interface Digester {
  readonly way: Way
  readonly page: (cursor: string, count: number, withEnds: boolean) => Promise<Page>
  /** `strings`: as a page of the other side tells them. A server that has them otherwise only takes longer to say so. */
  readonly bucket: (keys: readonly Buffer[], strings: string, withEnds: boolean) => Promise<Bucket>
  readonly each: (keys: readonly Buffer[]) => Promise<readonly Digested[]>
}

export interface DigesterOptions {
  /** Both servers know points in time (7.0), so times to live are compared as such. */
  readonly absolute: boolean
  readonly hasMemoryUsage: boolean
  /** It refuses DUMP. */
  readonly noDump?: true
}

export function listOf(reply: RawReply | undefined): readonly RawReply[] {
  return Array.isArray(reply) ? (reply as readonly RawReply[]) : []
}

export function textOf(reply: RawReply | undefined): string {
  return Buffer.isBuffer(reply) ? reply.toString('latin1') : String(reply)
}
