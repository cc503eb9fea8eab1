/**
 * A move of a running redis to this group: what its members remember of it, and what an operator may ask. The source is a redis
 * without an agent; the agent of the member that holds the group acts for it. Plain JSON, part of the durable state.
 */
import type { FeedPoint } from './feed.ts'
import type { SyncTerms } from './sync-terms.ts'
import type { RedisFacts } from './view.ts'

/**
 * sync: the holder follows the source, everybody else the holder.  hold: writes at the source are held, offsets are compared.
 * fence: the source is being made a replica of nobody; nothing is promoted before it was seen.  moved: the group serves, the source is
 * kept as the way back.  back-hold, back-fence, back-give: the same the other way round.  aborted: the source goes on, the group stands
 * still with what it has.  done: the move is final.
 */
export const moveStages = ['sync', 'hold', 'fence', 'moved', 'back-hold', 'back-fence', 'back-give', 'aborted', 'done'] as const
export type MoveStage = (typeof moveStages)[number]

/** In these the group does not serve: nobody in it is promoted, and nobody has the address. */
const receivingStages: readonly MoveStage[] = ['sync', 'hold', 'fence', 'back-fence', 'back-give', 'aborted']

export interface SourceAt {
  /** An IP address: as INFO of a replica tells it. */
  readonly host: string
  readonly port: number
  /** It is reached over TLS; absent: it is not. */
  readonly tls?: true
}

/** Postponed until a time, or until the go-ahead file of the group lies on the holder's host; given up at `untilWallMs`. */
export interface Armed {
  readonly fromWallMs: number | null
  readonly onFile: boolean
  readonly untilWallMs: number | null
}

/** A sync that was called off for the sake of the source, or because it could not end. */
export interface GivenUp {
  readonly why: string
  /** So often in a row. */
  readonly times: number
  /** When it is tried again; null: not by itself. */
  readonly untilWallMs: number | null
}

/** `errors`: that its process had answered to a stream before. */
export interface FeedOfMove {
  readonly version: string
  readonly anchors: readonly FeedPoint[]
  readonly atWallMs: number
  readonly errors: number
}

export interface Move {
  readonly id: string
  readonly source: SourceAt
  /** The process that was followed: what answers there after it may have other data (INV-1). Its replication id, or its run id before 4.0. */
  readonly runId: string
  readonly replid: string
  /** Of two words on a move the one from the later epoch counts, in one epoch the later `rev`: only the holder changes it. */
  readonly epoch: number
  readonly rev: number
  readonly stage: MoveStage
  /** Monotonic, of the holder's host. */
  readonly stageMs: number
  readonly stageWallMs: number
  readonly startedWallMs: number
  /** A first sync has ended: there is something to lose. */
  readonly synced: boolean
  /** The request that is answered when this stage has ended. */
  readonly asked: string | null
  /** What was compared, key by key, without a difference; null: nothing yet. */
  readonly verified: { readonly atWallMs: number; readonly keys: number } | null
  readonly armed: Armed | null
  /** Absent: at any time, at any cost. */
  readonly terms?: SyncTerms
  /** null or absent: the last sync was not, or has arrived since. */
  readonly givenUp?: GivenUp | null
  /** Since when writes are held (monotonic). */
  readonly heldFromMs: number | null
  /** Where both were when the one that served was told to step down. */
  readonly equalOffset: number | null
  /**
   * What becomes of the source after the cut-over: a replica of the group; where it could not read what the group writes, a replica of a feed that translates it;
   * where it could not follow that either (before 4.0), or has written by itself, a copy that stands still.
   */
  readonly wayBack: 'replica' | 'feed' | 'copy'
  /** Of a feed: whom it is for, and where it can be begun anew. Absent: there is none. */
  readonly feed?: FeedOfMove
  /** What comes after a turn of the clients was done: those that were still connected were sent away, the hook was called, what was raised at the source was put back. */
  readonly settled: boolean
  /** When it was tried last (monotonic). At least once: an agent that dies meanwhile does it again. */
  readonly settlingMs: number | null
  /** How long writes were held at the last cut-over, ms; null: there was none. */
  readonly heldMs: number | null
  /** The last thing that happened to it, for people. */
  readonly last: string
}

export type MoveOrder =
  | {
      readonly verb: 'start'
      readonly source: SourceAt
      readonly seen: RedisFacts
      readonly overwrite: string | null
      readonly terms?: Partial<SyncTerms>
      readonly plainWayBack?: true
    }
  | { readonly verb: 'verified'; readonly keys: number }
  | { readonly verb: 'arm'; readonly armed: Armed | null; readonly unverified: boolean }
  | { readonly verb: 'cutover'; readonly unverified: boolean }
  /** `acceptLoss`: what could not be told to an older source is given up. */
  | { readonly verb: 'rollback'; readonly acceptLoss?: boolean }
  | { readonly verb: 'commit' }
  | { readonly verb: 'abort' }

/** As it comes from a command: the first look at the source is that of the agent which is to follow. */
export type AskedOrder = Exclude<MoveOrder, { verb: 'start' }> | Omit<Extract<MoveOrder, { verb: 'start' }>, 'seen'>

/** What is asked of the source itself. Idempotent. */
export type SourceOrder =
  /** Holds writes: they wait (6.2 on), or are refused. */
  | { readonly do: 'hold'; readonly forMs: number }
  | { readonly do: 'release' }
  /** REPLICAOF 127.0.0.1 1. */
  | { readonly do: 'demote' }
  | { readonly do: 'promote' }
  | { readonly do: 'follow'; readonly host: string; readonly port: number }
  | { readonly do: 'kill-clients' }
  /** The output buffer of its replicas, and how long it waits for them: only ever upward, put back with the rest. */
  | { readonly do: 'raise-buffer'; readonly bytes: number }
  | { readonly do: 'raise-timeout'; readonly seconds: number }
  /** A save that fails stops its writes again, as before the sync. */
  | { readonly do: 'unguard' }
  /** Puts back what was raised there, and has it remember its role (CONFIG REWRITE), so that a restart does not make it a primary again. */
  | { readonly do: 'settle' }

/** The group does not serve, and is not to: another redis has its clients. */
export function isReceiving(move: Move | null): boolean {
  return move !== null && receivingStages.includes(move.stage)
}

/** This redis refuses writes, and the source does not serve yet. */
export function isGoingBack(move: Move | null): boolean {
  return move?.stage === 'back-fence' || move?.stage === 'back-give'
}

export function isUnderWay(move: Move | null): move is Move {
  return move !== null && move.stage !== 'done' && move.stage !== 'aborted'
}

export function laterMove(known: Move | null, told: Move | null | undefined): Move | null {
  if (told == null) return known
  if (known === null) return told
  return told.epoch > known.epoch || (told.epoch === known.epoch && told.rev > known.rev) ? told : known
}

export function isMove(value: unknown): value is Move | null {
  if (value === null) return true
  const m = (typeof value === 'object' ? value : {}) as Partial<Move>
  const whole = typeof m.id === 'string' && typeof m.source?.host === 'string' && Number.isInteger(m.source.port)
  return whole && Number.isInteger(m.epoch) && Number.isInteger(m.rev) && moveStages.some((s) => s === m.stage) && Number.isFinite(m.stageMs)
}

/** How a source is entered over TLS. PEM, as the operator has given the files: they need not be on this host. */
export interface SourceTls {
  /** Whose certificate it must be, where the address was told by name. Absent: that of the address. */
  readonly name?: string | undefined
  /** Absent: whom Node trusts. */
  readonly ca?: string | undefined
  /** Ours, where it asks for one, and its key. */
  readonly cert?: string | undefined
  readonly key?: string | undefined
}

/** What each member keeps of the source beside its state, mode 0600: with it, it acts for the source when it holds the group. */
export interface SourceRecord extends Omit<SourceAt, 'tls'> {
  /** Of an ACL; null: `default`. */
  readonly user: string | null
  readonly password: string | null
  /** Settings of the source that a sync needs larger, by CONFIG SET; what they were is put back. */
  readonly raises: readonly { readonly name: string; readonly from: string; readonly to: string }[]
  /** They are raised, or may be. On disk BEFORE the first one is. */
  readonly raised: boolean
  /** What the own repl-timeout was: both ends give up a sync that is too slow. On disk BEFORE it is raised. */
  readonly ownTimeout?: string | null
  /** What stop-writes-on-bgsave-error was: a save for our sync that fails must not stop its writes. On disk BEFORE it is changed. */
  readonly guard?: string | null
  /** The limits that a hold has changed, before 6.2. On disk BEFORE they are. */
  readonly hold: { readonly names: 'min-replicas' | 'min-slaves'; readonly toWrite: string; readonly maxLag: string } | null
  /** What it was worth to Sentinels. While it follows a group that has some, it is worth nothing: they take it for a replica, and would promote it. Absent: the group has none. */
  readonly priority?: { readonly name: 'replica-priority' | 'slave-priority'; readonly value: string }
  /** Absent: without TLS. */
  readonly tls?: SourceTls
  /** The port on 127.0.0.1 at which the redis of this host finds a source with TLS: it comes back there after its agent was away. */
  readonly wayPort?: number
}
