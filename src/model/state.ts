/**
 * What one member must remember about its group across a crash of its agent or host. Durable BEFORE the first action
 * that relies on it. Plain JSON with a format number.
 */

/**
 * fresh: never belonged to a running group.  replica: follows (or waits to follow) `holder`.
 * promoting: has claimed `epoch` and is about to serve.  primary: serves `epoch`.
 * handing: a switchover is being prepared or writes are paused.  handed: has given `epoch` to the target, writes refused.
 * fenced: knows of no primary it may follow, and serves nothing.
 */
export const phases = ['fresh', 'replica', 'promoting', 'primary', 'handing', 'handed', 'fenced'] as const
export type Phase = (typeof phases)[number]

export interface LineageEntry {
  readonly epoch: number
  readonly replid: string
  /** First byte of this epoch's own history: the promoted dataset ended one byte earlier. */
  readonly startOffset: number
  readonly holder: string
  readonly source: LineageSource
  readonly why: string
  readonly atWallMs: number
  /** The epoch whose history it goes on with, where that is not the one before: what the epochs between have written is not in it. */
  readonly after?: number
  /** An operator named this holder's data the true ones: members that had refused to follow then do, after a copy was kept. */
  readonly accepted?: true
}

/** How an epoch came to be. `restart`: the former holder serves again from what its disk had, which may be older than a replica. */
export type LineageSource = 'bootstrap' | 'failover' | 'switchover' | 'restart' | 'forced'

/** Oldest first, at most `maxLineage` entries. */
export type Lineage = readonly LineageEntry[]
export const maxLineage = 64

export interface Paused {
  readonly on: boolean
  /** The later word wins between members. */
  readonly atWallMs: number
  readonly by: string
}

/** Old primary's side of a switchover. */
export interface Handover {
  readonly id: string
  readonly to: string
  readonly epoch: number
  readonly stage: 'prepare' | 'pause' | 'handed'
  readonly startedWallMs: number
  readonly stageMs: number
  readonly deadlineMs: number
}

/** The result of an operator's request, kept so that the asker can be told after the fact. */
export interface RequestResult {
  readonly id: string
  readonly ok: boolean
  readonly message: string
}

export interface State {
  readonly format: 1
  readonly group: string
  readonly host: string
  readonly phase: Phase
  readonly epoch: number
  readonly holder: string | null
  readonly lineage: Lineage
  /** run id of the redis process that serves as primary, or is to: a restarted one must not be mistaken for it. */
  readonly servingRunId: string | null
  /** The epoch whose primary this member saw gone, whether its own link was alive then (that of the redis process `runId`), and when (monotonic). */
  readonly gone: { readonly epoch: number; readonly fresh: boolean; readonly atMs: number; readonly runId?: string | null } | null
  /** A full sync was seen to begin and not seen to end: the dataset may be partial. */
  readonly partial: boolean
  /**
   * What redis said of its dataset while that sync was being transferred; `keys: -1` once it was seen to load, because from
   * then on the old data are gone. Another id or offset means that the sync has ended well.
   */
  readonly partialOf: { readonly replid: string; readonly offset: number; readonly keys: number } | null
  /** When this replica let go of a primary that nobody vouches for, its link having just died (monotonic). */
  readonly detached: { readonly epoch: number; readonly atMs: number; readonly runId?: string } | null
  readonly paused: Paused
  readonly handover: Handover | null
  /** Target of a switchover: what it agreed to, and with which redis process. Another process may have other data. */
  readonly prepared: { readonly id: string; readonly from: string; readonly epoch: number; readonly runId: string } | null
  /** After giving a stray VIP back: not allowed again before this time (monotonic). */
  readonly vipHoldOffUntilMs: number
  /** How and why `epoch` was claimed; becomes the lineage entry once redis has told its new replication id. */
  readonly claim: { readonly source: LineageSource; readonly why: string; readonly accepted?: true } | null
  /** The epoch that this member first refused to follow: only an operator's word for a later one overrules the refusal. */
  readonly refusedEpoch: number | null
  /** The one vote of this member in `epoch`, its own candidacy included; `atMs` monotonic. Durable BEFORE it is told. */
  readonly vote: Vote | null
  /** Since when this primary holds writes back because no quorum hears it (monotonic). */
  readonly writesHeldSinceMs: number | null
  readonly results: readonly RequestResult[]
}

export interface Vote {
  readonly epoch: number
  readonly to: string
  readonly atMs: number
}

export function freshState(group: string, host: string): State {
  return {
    format: 1,
    group,
    host,
    phase: 'fresh',
    epoch: 0,
    holder: null,
    lineage: [],
    servingRunId: null,
    gone: null,
    partial: false,
    partialOf: null,
    detached: null,
    paused: { on: false, atWallMs: 0, by: '' },
    handover: null,
    prepared: null,
    vipHoldOffUntilMs: 0,
    claim: null,
    vote: null,
    writesHeldSinceMs: null,
    refusedEpoch: null,
    results: [],
  }
}
