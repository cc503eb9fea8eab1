/**
 * What was kept before a member gave data up (INV-6), as its manifest tells it, and the journal of what was done with it.
 * PURE: words only. A copy of an older version has no manifest; it is listed with what its file says.
 */

export type KeptKind = 'commands' | 'dataset' | 'aof'

/** In words: the last of its commands is usually not whole. */
export interface AofCut {
  readonly file: string
  readonly fromByte: number
  readonly bytes: number
  readonly what: string
  readonly first: string
  readonly last: string
}

export interface Kept {
  readonly format: 1
  readonly id: string
  readonly group: string
  readonly host: string
  /** commands: exactly the diverged part of the replication stream. dataset: an RDB of everything. aof: an AOF that redis could not read. */
  readonly kind: KeptKind
  /** The epoch whose history it belongs to, and the id of that history; '' where it is not known. */
  readonly epoch: number
  readonly replid: string
  /** First and last byte that the accepted history does not have; null for a dataset whose fork is not known. */
  readonly fromOffset: number | null
  readonly toOffset: number | null
  readonly bytes: number
  readonly commands: number | null
  readonly keys: number | null
  readonly databases: readonly number[] | null
  /** The database that was selected where the commands begin. */
  readonly startDatabase: number | null
  /** When the histories parted, by the promotion of the other side, and when this was kept. */
  readonly forkedAtWallMs: number | null
  readonly keptAtWallMs: number
  /** Of the file; null for a copy without a manifest. */
  readonly sha256: string | null
  readonly why: string
  /** Redis could not read it when it was kept, so nothing here can say what is in it. Absent: it is whole. */
  readonly unreadable?: true
  /** The file is an AOF as it was before its torn end was cut off; beside it lies what was cut. */
  readonly cut?: AofCut
  readonly seenAtWallMs: number | null
  readonly seenBy: string | null
}

/** One line of the journal. `intent` is durable before anything is written to redis, `applied` after redis has confirmed it. */
export interface ReplayLine {
  readonly atWallMs: number
  readonly by: string
  readonly run: string
  readonly what: 'begin' | 'intent' | 'applied' | 'not-applied' | 'end'
  /** Ids of items: the number of its place in a stream, the fingerprint of a key in a dataset. The same at every reading. */
  readonly items: readonly string[]
  /** With an intent: the fingerprint of each item's keys before. */
  readonly before?: readonly string[]
  readonly text: string
}

export interface KeptEntry extends Kept {
  /** Where it lies on its host. Absent: its agent is of an earlier version. */
  readonly file?: string
  /** Items applied so far and the last word of the journal; null: never replayed. */
  readonly replay: { readonly applied: number; readonly lastAtWallMs: number; readonly by: string; readonly complete: boolean } | null
}

export function isKeptId(id: string): boolean {
  return /^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$/.test(id)
}
