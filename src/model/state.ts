/**
 * What one member must remember about its group across a crash of its agent or host. Durable BEFORE the first action
 * that relies on it. Plain JSON with a format number.
 */
import type { Move } from './move.ts'
import type { Told } from './watch.ts'

/**
 * fresh: never belonged to a running group.  replica: follows (or waits to follow) `holder`.
 * promoting: has claimed `epoch` and is about to serve.  primary: serves `epoch`.
 * handing: a switchover is being prepared or writes are paused.  handed: has given `epoch` to the target, writes refused.
 * fenced: knows of no primary it may follow, and serves nothing.  receiving: holds `epoch` while a redis outside the group serves its clients (`move`).
 */
export const phases = ['fresh', 'replica', 'promoting', 'primary', 'handing', 'handed', 'fenced', 'receiving'] as const
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
  /**
   * Its data go on where `epoch` was, at about this offset, and at least `atLeast`. Absent: where the epoch before was, one byte before
   * its first. Offsets that begin anew are told by a first byte that is not the next one.
   */
  readonly continues?: { readonly epoch: number; readonly offset: number; readonly atLeast: number }
  /** The replication id whose history it went on with: of two who claimed the epoch before, that one's is the one that was kept. */
  readonly from?: string
  /** An operator named this holder's data the true ones: members that had refused to follow then do, after a copy was kept. */
  readonly accepted?: true
}

/** How an epoch came to be. `restart`: the former holder serves again from what its disk had, which may be older than a replica. */
export type LineageSource = 'bootstrap' | 'failover' | 'switchover' | 'restart' | 'forced' | 'migration'

/** Oldest first, at most `maxLineage` entries. */
export type Lineage = readonly LineageEntry[]
export const maxLineage = 64

/** As it comes from a file or a peer: whole entries, each epoch once, oldest first. Anything else would place data where they are not. */
export function isLineage(value: unknown): value is Lineage {
  return Array.isArray(value) && value.every((entry, i) => isEntry(entry) && (i === 0 || (value[i - 1] as LineageEntry).epoch < entry.epoch))
}

function isEntry(value: unknown): value is LineageEntry {
  const e = (value ?? {}) as Partial<Record<keyof LineageEntry, unknown>>
  const whole = Number.isInteger(e.epoch) && (e.epoch as number) > 0 && typeof e.replid === 'string' && typeof e.holder === 'string'
  const c = e.continues as Partial<NonNullable<LineageEntry['continues']>> | undefined
  const continues = c === undefined || (c !== null && Number.isInteger(c.epoch) && Number.isFinite(c.offset) && Number.isFinite(c.atLeast))
  return whole && Number.isFinite(e.startOffset) && (e.startOffset as number) >= 0 && (e.from === undefined || typeof e.from === 'string') && continues
}

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
  /** Nothing is known of its end: it may still go on. */
  readonly late?: true
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
  /** The primary of `epoch` was seen gone here. */
  readonly gone: Gone | null
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
  /** The holder that was last heard to know what `paused` says, and of which word: until it knows of a resume it may serve without a lease. */
  readonly pauseKnown: { readonly host: string; readonly atWallMs: number } | null
  /** Who was heard to know of the pause in force. Durable: an agent that starts anew while the others are down must know that it may serve on. */
  readonly pauseTold: { readonly atWallMs: number; readonly hosts: readonly string[] } | null
  readonly handover: Handover | null
  /** Target of a switchover: what it agreed to, and with which redis process. Another process may have other data. */
  readonly prepared: { readonly id: string; readonly from: string; readonly epoch: number; readonly runId: string } | null
  /** After giving a stray VIP back: not allowed again before this time (monotonic). */
  readonly vipHoldOffUntilMs: number
  /** How and why `epoch` was claimed, and how far the primary before it is known to have been; becomes the lineage entry once redis has told its new replication id. */
  readonly claim: { readonly source: LineageSource; readonly why: string; readonly accepted?: true; readonly told?: Told | null } | null
  /** The epoch that this member first refused to follow: only an operator's word for a later one overrules the refusal. */
  readonly refusedEpoch: number | null
  /** The one vote of this member in `epoch`, its own candidacy included; `atMs` monotonic. Durable BEFORE it is told. */
  readonly vote: Vote | null
  /** The newest vote that each other voter has told. Whoever forgets its own (an old disk, a snapshot) is told it again. */
  readonly votesHeard: readonly VoteHeard[]
  /** Since when this primary holds writes back because no quorum hears it (monotonic). */
  readonly writesHeldSinceMs: number | null
  readonly results: readonly RequestResult[]
  /** The data here differ from the primary's, as far as is known: only a full sync ends that, or that they become the group's. */
  readonly differs: { readonly why: string; readonly atWallMs: number } | null
  /** Errors to the stream that are accounted for, of one process. `seen: null`: what it counts before it follows is not its data's. */
  readonly streamErrors: { readonly runId: string; readonly seen: number | null } | null
  /** When the replication link of this process was ended to be begun anew (monotonic): not twice within a while. */
  readonly linkCycled: { readonly runId: string; readonly atMs: number } | null
  /** Full syncs began again and again: no other one before `untilMs` (monotonic). */
  readonly syncPause: { readonly starts: number; readonly untilMs: number; readonly times: number } | null
  /** The move of another redis to this group: the last one that is known. */
  readonly move: Move | null
}

export interface Gone {
  readonly epoch: number
  /** Was the own link alive then (that of the redis process `runId`)? */
  readonly fresh: boolean
  /** Monotonic. */
  readonly atMs: number
  readonly runId?: string | null
  /** How far the primary is known to have been. Absent: it never told, or an agent of an earlier version wrote this. */
  readonly told?: Told | null
}

export interface Vote {
  readonly epoch: number
  readonly to: string
  readonly atMs: number
  /** Of a candidate: whom it had elected before, in an epoch of which it has not heard since. */
  readonly gave?: GaveVote
}

export interface GaveVote {
  readonly epoch: number
  readonly to: string
  readonly atMs: number
  /** Since when it has told another vote. */
  readonly endedMs: number
}

export interface VoteHeard {
  readonly from: string
  readonly epoch: number
  readonly to: string
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
    pauseKnown: null,
    pauseTold: null,
    handover: null,
    prepared: null,
    vipHoldOffUntilMs: 0,
    claim: null,
    vote: null,
    votesHeard: [],
    writesHeldSinceMs: null,
    refusedEpoch: null,
    results: [],
    differs: null,
    streamErrors: null,
    linkCycled: null,
    syncPause: null,
    move: null,
  }
}
