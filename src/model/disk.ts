/**
 * What lies in the data directory of a redis that Holdfast starts, and what was last known of the redis that wrote it. PURE words.
 * An AOF names no history, nor does the RDB of a primary that never had a replica: what redis forgets, the agent has noted.
 */

/** `fields` tells two files of one name apart. */
export type RdbSeen =
  | {
      readonly ok: true
      readonly bytes: number
      readonly changedAtMs: number
      readonly format: number
      readonly writtenBy: string
      readonly savedAtS: number | null
      readonly replid: string
      readonly offset: number | null
      readonly empty: boolean
      readonly fields: string
    }
  | { readonly ok: false; readonly bytes: number; readonly changedAtMs: number; readonly why: string }

/** An AOF of either kind: `appendonlydir` with its manifest (redis 7), or one `appendonly.aof`. `empty`: it holds no data. */
export type AofSeen =
  | { readonly ok: true; readonly bytes: number; readonly changedAtMs: number; readonly base: string; readonly empty: boolean }
  | { readonly ok: false; readonly bytes: number; readonly changedAtMs: number; readonly why: string }

/** null: no such file. */
export interface DataDir {
  readonly rdb: RdbSeen | null
  readonly aof: AofSeen | null
}

/** The last that was known of this member's dataset while its history was known. Durable, at a calm rhythm. */
export interface PositionNote {
  readonly format: 1
  readonly runId: string
  readonly epoch: number
  /** Who held that epoch: two members may have claimed one. */
  readonly holder: string
  readonly offset: number
  /** The offset of an earlier note, old enough to be on disk whatever `appendfsync` says; 0: none yet. */
  readonly sureOffset: number
  readonly atWallMs: number
  /** As a primary: whatever is beyond the note was written here. */
  readonly served: boolean
  /** `off`: the RDB is what counts. `unsettled`: it is on, and does not hold the dataset yet (after a full sync). */
  readonly aof: 'off' | 'unsettled' | { readonly base: string; readonly bytes: number }
  /** The save of this history that names none, and how far it reaches at least. */
  readonly rdb: { readonly fields: string; readonly sureOffset: number } | null
  /** The process that has read those data from disk, and the id that redis gave itself then. */
  readonly restored: { readonly runId: string; readonly id: string; readonly value: Restored } | null
}

/** What a redis has read from its disk, by what was noted of the redis before it. */
export interface Restored {
  readonly epoch: number
  readonly holder: string
  /** Seen at this offset long enough before the end for it to be on disk. */
  readonly atLeast: number
  /** By the length of the AOF. Pings are in an offset and in no file, so it may be some bytes more. */
  readonly about: number
  readonly served: boolean
}

export interface DiskProbe extends DataDir {
  /** What redis is to write by its configuration. */
  readonly wantsAof: boolean
  readonly note: PositionNote | null
  /** How often in a row redis ended while it read these files, and what it said. */
  readonly failures: number
  readonly lastWords: string
}
