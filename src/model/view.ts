/**
 * What one agent knows about one group at one moment. Plain JSON: a journalled View replays exactly.
 * Facts are true | false | 'unknown'; what is stale is unknown. All times are ms of the agent's monotonic clock unless
 * the name says `WallMs`. Filled by `observe/`, read by `decide/`.
 */
import type { Lineage, Paused, Phase } from './state.ts'

export type Fact = true | false | 'unknown'

export interface Follower {
  readonly ip: string
  readonly port: number
  readonly online: boolean
  readonly offset: number
  /** Seconds since its last REPLCONF ACK, as redis reports it. */
  readonly ackAgeS: number
}

/** One INFO answer in today's words, whatever the server's age. */
export interface RedisFacts {
  readonly version: string
  readonly runId: string
  /** 0 when the server does not tell. */
  readonly pid: number
  /** The file that it was started from; '' for none. */
  readonly configFile: string
  readonly role: 'primary' | 'replica'
  readonly loading: boolean
  /** 0..1 while loading or in a full sync, else null. */
  readonly progress: number | null
  readonly syncLeftBytes: number | null
  readonly upstream: { readonly host: string; readonly port: number } | null
  readonly linkUp: boolean
  readonly syncing: boolean
  /** Seconds since the replication link went down; null while it is up or for a primary. */
  readonly linkDownS: number | null
  /** Replication id ('' before redis 4.0) and how far this dataset is in it, in bytes. */
  readonly replid: string
  readonly offset: number
  /** The id it had before its promotion, valid for offsets below `secondOffset` (-1: none). */
  readonly replid2: string
  readonly secondOffset: number
  readonly keys: number
  readonly followers: readonly Follower[]
  /** Errors that this replica answered to its primary's stream; above 0 the data differ. */
  readonly unexpectedErrors: number
}

export interface RedisProbe {
  /** Is there a live process? From /proc and the listening socket, not from whether it answers. */
  readonly process: Fact
  readonly pid: number | null
  /** The last answer. Kept when redis stops answering, so that its last offset is known. */
  readonly facts: RedisFacts | null
  /** How long the oldest unanswered question has waited, 0 when none waits. */
  readonly unansweredMs: number
  /** Age of `facts`. */
  readonly factsAgeMs: number
  /** redis answers, but not with facts: a refused password, a script that blocks. */
  readonly trouble: string | null
  /** A script or command blocks it: it says -BUSY. */
  readonly busy: boolean
  /** The replication backlog, what of it the memory allows, and the highest write rate that this agent has seen; null: not known yet. */
  readonly backlog: { readonly sizeBytes: number; readonly capBytes: number; readonly bytesPerS: number } | null
  /** `process: external`: does the file that it was started from make it a replica of nobody? Absent for a redis that Holdfast starts. */
  readonly bornFenced?: Fact
  /** The write fence that this agent has begun to set (on disk) and not lifted since. `inForce`: redis has confirmed it. */
  readonly fence: { readonly runId: string; readonly inForce: boolean } | null
}

export interface KeepalivedProbe {
  readonly process: Fact
  /** The last state that keepalived told through its fifo. */
  readonly vrrp: 'MASTER' | 'BACKUP' | 'FAULT' | 'STOP' | 'unknown'
  /** The VIP observed on this host's own interface. */
  readonly vipHere: boolean
  /** What stands in the track file now. */
  readonly allowed: boolean
  /** VRRP priority lowered, so that at a heal any other claim wins. */
  readonly yields: boolean
}

/** What a member says about itself. Sent to all peers at once whenever it changes, and every second. */
export interface Statement {
  readonly host: string
  readonly epoch: number
  readonly phase: Phase
  /** The member that this agent believes holds `epoch`. */
  readonly holder: string | null
  readonly redis: RedisFacts | null
  readonly process: Fact
  readonly answering: boolean
  /** May be promoted, and why not. */
  readonly fit: boolean
  readonly unfitWhy: string
  /** The epoch whose primary this member has seen gone: its offset is final. 0: none. */
  readonly gone: number
  /** Was its replication link alive when the primary went? */
  readonly fresh: boolean
  /** What this member itself finds about the holder: a third opinion for one that has lost sight of it. */
  readonly seesHolder: 'serves' | 'gone' | 'unclear'
  readonly vipHere: boolean
  readonly lineage: Lineage
  readonly paused: Paused
  readonly handover: HandoverView | null
  /** Target of a switchover: the id it has durably agreed to. */
  readonly preparedId: string | null
  /** Half of a full sync may be all that it has. */
  readonly partial: boolean
  /** Its one vote, its own candidacy included. Only in groups with a witness. */
  readonly vote: { readonly epoch: number; readonly to: string } | null
}

export interface HandoverView {
  readonly id: string
  readonly to: string
  readonly epoch: number
  readonly stage: 'prepare' | 'pause' | 'handed'
}

export interface PeerProbe {
  readonly host: string
  /** alive: heard within the limit; silent: nothing, not even a refusal; refused: its host says that no agent listens, or ended its stream. */
  readonly agent: 'alive' | 'silent' | 'refused'
  readonly silentMs: number
  /** How long ago this host SENT the youngest beat that the peer has heard; 0 if the peer's kernel has just said that no agent listens. */
  readonly contactMs: number
  readonly statement: Statement | null
  readonly statementAgeMs: number
  /** From here to its redis, asked only under suspicion. 'primary'/'replica': it answered so. */
  readonly redisReach: 'primary' | 'replica' | 'answers' | 'refused' | 'silent' | 'not asked'
}

export interface Request {
  readonly id: string
  readonly kind: 'switchover' | 'failover' | 'pause' | 'resume' | 'reinit' | 'accept'
  readonly to: string | null
  readonly by: string
  readonly dryRun: boolean
  /** Why the operator wants it; only `accept` asks for it. */
  readonly reason?: string
}

export interface View {
  readonly nowMs: number
  readonly nowWallMs: number
  readonly group: string
  readonly self: string
  /** This agent's own event loop stood still for so long within the last second. */
  readonly stalledMs: number
  readonly agentUptimeMs: number
  /** The last write of the durable state succeeded. Who cannot remember a promotion must not be promoted. */
  readonly durable: boolean
  /** false: an action of the last decision failed, and those after it were left out. */
  readonly actedAll: boolean
  readonly redis: RedisProbe
  /** null for a group without a VIP, and on members that never hold it. */
  readonly keepalived: KeepalivedProbe | null
  readonly peers: readonly PeerProbe[]
  readonly request: Request | null
}
