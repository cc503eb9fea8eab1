/**
 * What one look at the world cannot tell, because it is about change: does the own stream follow, does a full sync get on? Folded
 * from look to look by `decide/watch.ts`, kept in memory only, and part of the View, so that a journalled one replays exactly.
 * Nothing safety relies on stands here alone: an agent that has just started knows none of it.
 */
export interface Watch {
  /** The furthest that the primary of this epoch has told of its stream. What a replica has less when it is gone, it misses. */
  readonly told: Told | null
  /** The own replica's stream. */
  readonly stream: {
    readonly runId: string
    readonly offset: number
    /** Since when the primary is known to be ahead of an offset that has not moved; null: it moves, or has all. */
    readonly aheadSinceMs: number | null
    /** Since when that counts as not following. Ends only when all that the primary was known to have has arrived. */
    readonly stuckSinceMs: number | null
    /** Since when more is missing than can be under way, whether it moves or not. */
    readonly lagsSinceMs: number | null
  }
  /** Full syncs of the members, the own one included, as far as their progress can be seen. */
  readonly syncs: readonly SyncWatch[]
  /** Since when a member that needs a full sync could begin one and has not. */
  readonly idle: readonly { readonly host: string; readonly sinceMs: number }[]
  /** Own full syncs since this replica last had all that its primary had. */
  readonly attempts: { readonly startsAtMs: readonly number[]; readonly syncing: boolean; readonly leftBytes: number; readonly tookMs: number }
  /** Of a primary, where the group has a reader address: whom it names for it. null: this member does not serve. */
  readonly reader: ReaderWatch | null
  /** Since when, without a break, the own redis answers with all of its data in memory, and the state can be written; null: not now. */
  readonly readySinceMs: number | null
  /** Since when this member, whose primary is gone, says what data that leaves it; null: it is not, or they are yet to be measured. */
  readonly saidSinceMs: number | null
  /** Of the holder of a move, while its redis has not all: what it began at. null: there is no such sync. */
  readonly care: CareWatch | null
  /** Where Sentinels choose: since when, without a break, this member may not be promoted; null: it may, or serves. */
  readonly unfitSinceMs: number | null
}

export interface CareWatch {
  /** Of the source. */
  readonly runId: string
  /** So many full syncs it had been asked for, and its last save had arrived. */
  readonly fullSyncs: number
  readonly savesOk: boolean
  /** Under this limit of its buffers: since how many full syncs, and since which offset. null: not known yet. */
  readonly limit: { readonly bytes: number; readonly fullSyncs: number; readonly offset: number } | null
  /** With this repl-timeout: how many timeouts were told before. */
  readonly timeout: { readonly seconds: number; readonly said: number } | null
  /** How often its own redis had been turned away before. */
  readonly refused: number
  /** Since when its clients feel more than the move allows; null: they do not. */
  readonly overSinceMs: number | null
}

export interface ReaderWatch {
  readonly names: string | null
  /** A replica that has more than the one that is named, and since when without a break. */
  readonly rival: { readonly host: string; readonly sinceMs: number } | null
  /** Since when no replica may have it. */
  readonly noneSinceMs: number | null
}

export interface SyncWatch {
  readonly host: string
  /** Changes whenever the sync gets on. */
  readonly mark: string
  readonly sinceMs: number
}

export interface Told {
  readonly replid: string
  readonly offset: number
}

export const freshWatch: Watch = {
  told: null,
  stream: { runId: '', offset: 0, aheadSinceMs: null, stuckSinceMs: null, lagsSinceMs: null },
  syncs: [],
  idle: [],
  attempts: { startsAtMs: [], syncing: false, leftBytes: -1, tookMs: 0 },
  reader: null,
  readySinceMs: null,
  saidSinceMs: null,
  care: null,
  unfitSinceMs: null,
}
