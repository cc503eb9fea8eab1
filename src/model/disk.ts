/**
 * What lies in the data directory of a redis that Holdfast starts, and what was last known of the redis that wrote it. PURE words.
 * An AOF names no history, nor does the RDB of a primary that never had a replica: what redis forgets, the agent has noted.
 */

interface Unread {
  readonly ok: false
  readonly bytes: number
  readonly changedAtMs: number
  readonly why: string
  /** The host did not let it be read (rights, I/O, no free descriptor): that says nothing of what is in it. */
  readonly host?: true
}

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
      /** It ends with a checksum; redis writes none where `rdbchecksum no` is configured. */
      readonly summed: boolean
    }
  | Unread

/** An AOF of either kind: `appendonlydir` with its manifest (redis 7), or one `appendonly.aof`. `empty`: it holds no data. */
export type AofSeen =
  | {
      readonly ok: true
      readonly bytes: number
      readonly changedAtMs: number
      readonly base: string
      readonly empty: boolean
      /** The one that redis writes to: only that can be torn by a crash. By its name within the data directory. */
      readonly last: { readonly file: string; readonly bytes: number }
    }
  | Unread

/** null: no such file. */
export interface DataDir {
  readonly rdb: RdbSeen | null
  readonly aof: AofSeen | null
  /** It is a file system of its own: without its mount, the folder below it would be taken for an empty disk. */
  readonly mount?: boolean
}

/** How the last file of an AOF ends, as far as it was looked at. */
export interface AofEnd {
  readonly file: string
  readonly bytes: number
  /** So far it is whole commands. */
  readonly wholeBytes: number
  /** torn: behind that is what a crash leaves. damaged: something else, and perhaps whole commands. */
  readonly kind: 'torn' | 'damaged'
  readonly why: string
  /** What a cut takes away: the last one is usually not whole. */
  readonly commands: number
  readonly first: string
  readonly last: string
}

export interface AofNote {
  readonly base: string
  /** Of all its files. */
  readonly bytes: number
  /** So many of them the redis that wrote it did not count; the one that reads it does. */
  readonly uncounted?: number
  readonly cut?: true
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
  readonly aof: 'off' | 'unsettled' | AofNote
  /** The save of this history that names none, and how far it reaches at least. */
  readonly rdb: { readonly fields: string; readonly sureOffset: number } | null
  /** There was something to load after a crash: where that is gone, it was not redis that removed it. */
  readonly onDisk?: true
  /** The data directory was a file system of its own. */
  readonly mount?: true
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
  /** The end of its AOF was torn, and was cut off: it surely has less than it acknowledged. */
  readonly cut?: true
}

export interface DiskProbe extends DataDir {
  /** What redis is to write by its configuration. */
  readonly wantsAof: boolean
  readonly note: PositionNote | null
  /** How often in a row redis ended while it read these files, and what it said. */
  readonly failures: number
  readonly lastWords: string
  /** null: nothing is known to be wrong with it. A text: redis does not read it, and why it is not known where it breaks. */
  readonly aofEnd?: AofEnd | string | null
  /** redis does not read it, and where it breaks is being looked for. */
  readonly checking?: boolean
  /** May a torn end be cut off? `aof-load-truncated`, as the operator has it. */
  readonly cutsTorn?: boolean
}
