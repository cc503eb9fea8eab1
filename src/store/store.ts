/**
 * A place for backups: names and bytes. What is put there appears whole under its name, or not at all. Knows nothing of what it holds.
 * The world failing is data: an answer `{ ok: false, why }` is in words that an operator can act on. Nothing waits for ever: a store that
 * says nothing any more is an error (patience.ts), and whoever calls something off has an answer at once.
 */
import type { Observed } from '../model/outcome.ts'

export interface StoredObject {
  /** `cache/20261121T181500Z-3f9a/manifest.json`: parts of [A-Za-z0-9._-], separated by `/`. */
  readonly name: string
  readonly bytes: number
}

export interface Store {
  /** Where it is, without secrets: `directory /var/backups`, `s3://bucket/prefix`. */
  readonly where: string
  /** Every name below the folder `under` (`''`: all), sorted. */
  readonly list: (under: string, signal?: AbortSignal) => Promise<Observed<readonly StoredObject[]>>
  /** Replaces what has that name. Takes the chunks as fast as it can store them, and no faster. */
  readonly put: (name: string, chunks: AsyncIterable<Buffer>, signal: AbortSignal) => Promise<Observed<null>>
  /** Throws in the middle of reading what cannot be read to its end, in words as well. */
  readonly get: (name: string, signal: AbortSignal) => Promise<Observed<AsyncIterable<Buffer>>>
  /** What is not there is removed already. */
  readonly remove: (name: string, signal?: AbortSignal) => Promise<Observed<null>>
  readonly close: () => Promise<void>
}

/** Behind a name: somebody still writes it, or was killed while he did. Never listed. */
export const partSuffix = '.part'

const part = /^(?!\.)[A-Za-z0-9._-]{1,128}(?<!\.part)$/

/** Nobody leaves the store's folder by a name. */
export function isName(name: string): boolean {
  return name.split('/').every((word) => part.test(word))
}

export function byName(a: StoredObject, b: StoredObject): number {
  return a.name < b.name ? -1 : 1
}
