/**
 * What one agent knows about one group at one moment. Plain JSON: a journalled View replays exactly.
 * Facts are true | false | 'unknown'; what is stale is unknown. All times are ms of the agent's monotonic clock unless
 * the name says `WallMs`. Filled by `observe/`, read by `decide/`.
 */
import type { DiskProbe, Restored } from './disk.ts'
import type { RunningPersistence } from './persistence.ts'
import type { FeedSeen } from './feed.ts'
import type { Move, MoveOrder } from './move.ts'
import type { Lineage, Paused, Phase, VoteHeard } from './state.ts'
import type { SentinelProbe } from './sentinel.ts'
import type { Watch } from './watch.ts'

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
  /**
   * A child of it runs: a save, the rewrite of an AOF, a full sync without a disk, a module's. `keepsClients`: a client that this redis sends away does not know
   * before the child has ended.
   */
  readonly forked?: { readonly keepsClients: boolean }
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
  /** In each database, and how many of them have an end: `0:100/3 5:2/0`. Absent in the words of an older agent. */
  readonly counts?: string
  readonly followers: readonly Follower[]
  /** The replicas that redis counts for min-replicas-to-write; null: that limit is off. */
  readonly goodFollowers: number | null
  /** Errors that this process answered to its primary's stream: what they were answers to is missing here. */
  readonly unexpectedErrors: number
  /**
   * `rewriting`: under way or about to be; the files on disk may be those of an older dataset. `generation`: changes with each rewrite.
   * `writeOk`: what it wrote last arrived. Absent: this redis does not say.
   */
  readonly aof?: {
    readonly enabled: boolean
    readonly rewriting: boolean
    readonly writeOk?: boolean
    readonly bytes: number
    readonly generation: string
  } | null
  /**
   * `ok`: of the last attempt. `ageS`: since the last save that arrived, by the clock of its own host; null: none since this process was started. `changes`: since then.
   */
  readonly saves?: { readonly ok: boolean; readonly ageS: number | null; readonly changes: number }
  /** When its last save ended, in seconds. */
  readonly savedAtS?: number
  /** Added by its agent: what this process has read from disk, where redis itself has forgotten the history of it. */
  readonly restored?: Restored | null
  /** The highest database that has keys, -1: none. Absent in the words of an older agent, as is what follows. */
  readonly highestDb?: number
  /** What one must know who would fetch its data. */
  readonly supply?: {
    /**
     * The first byte that the replication backlog still has; -1: there is no backlog. A primary that was started from its disk has none
     * before its first replica attaches; until then it counts no bytes, and writes no replication id into its RDB.
     */
    readonly backlogFrom: number
    readonly usedBytes: number
    /** A background save is under way: a full sync waits for it and shows no progress. */
    readonly saving: boolean
    /** That it was asked for since it was started. Absent in the words of an older agent. */
    readonly fullSyncs?: number
  }
}

/** What INFO does not tell and what must agree between primary and replica. Asked once per process, `readOnly` now and then. */
export interface RedisSettings {
  readonly runId: string
  readonly databases: number
  /** false: clients may write to this replica, and nothing will ever tell. */
  readonly readOnly: boolean
  /** Write commands that every version has and this redis does not know under their names: renamed, or switched off. */
  readonly missing: readonly string[]
  /** client-output-buffer-limit of replicas, in bytes; 0: none. */
  readonly replicaBuffer: { readonly hardBytes: number; readonly softBytes: number; readonly softS: number } | null
  /** null: it does not tell. Absent in the words of an older agent. */
  readonly persistence?: RunningPersistence | null
}

export interface Orphan {
  readonly pid: number
  /** As in /proc: tells it from a later process with its pid. */
  readonly startTicks: string
}

export interface RedisProbe {
  /** Is there a live process? From /proc and the listening socket, not from whether it answers. */
  readonly process: Fact
  readonly pid: number | null
  /** What a process that is dead has left behind: with its clients' sockets, so that they do not know yet. */
  readonly orphans?: readonly Orphan[]
  /** The last answer. Kept when redis stops answering, so that its last offset is known. */
  readonly facts: RedisFacts | null
  /** How long the oldest unanswered question has waited, 0 when none waits. */
  readonly unansweredMs: number
  /** Since `facts` were answered. */
  readonly factsAgeMs: number
  /** Since they were asked for: what they tell was true then, or later. An answer that came after a pause may be of before it. */
  readonly askedAgeMs: number
  /** redis answers, but not with facts: a refused password, a script that blocks. */
  readonly trouble: string | null
  /** A script or command blocks it: it says -BUSY. */
  readonly busy: boolean
  /** null: not asked yet, or refused. */
  readonly settings: RedisSettings | null
  /** The replication backlog, what of it the memory allows, and the highest write rate that this agent has seen; null: not known yet. */
  readonly backlog: { readonly sizeBytes: number; readonly capBytes: number; readonly bytesPerS: number } | null
  /** `process: external`: does the file that it was started from make it a replica of nobody? Absent for a redis that Holdfast starts. */
  readonly bornFenced?: Fact
  /** The write fence that this agent has begun to set (on disk) and not lifted since. `inForce`: redis has confirmed it. */
  readonly fence: { readonly runId: string; readonly inForce: boolean } | null
  /** The limits of `durability: safe` that this agent has set (on disk) and not put back. `runId` null: redis was started with them. */
  readonly required?: { readonly runId: string | null } | null
  /** What the next start would find, or what a process reads that does not answer yet. null or absent: it answers, or it is not Holdfast's to start. */
  readonly disk?: DiskProbe | null
  /**
   * What this redis lets Sentinels do. `orders`: they may make it a primary or a replica; unknown: not asked yet, or it has no such user.
   * `priority`: replica-priority, 0: they may not select it. Absent where there are no Sentinels.
   */
  readonly sentinelMay?: { readonly orders: Fact; readonly priority: number | null }
  /** `appendonly` in the file of the next start, where it follows the role; null: there is none. Absent: it does not. */
  readonly persistFile?: 'yes' | 'no' | null
  /** What is left of an AOF that was to be removed lies there still. Absent: nothing. */
  readonly aofLeft?: true
  /** What its role asks for was refused a moment ago. */
  readonly persistRefused?: true
  /** This process was started with `appendonly` other than configured, to load the right file: it is to be set. */
  readonly aofOwed?: 'yes' | 'no' | null
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
  /** How long the address has been here although keepalived does not hold it: it is dead, was denied, or says that it is not MASTER. */
  readonly strayMs: number
  /** The hardware address under which this host would answer for the VIP. */
  readonly mac: string | null
  /** Who has answered for the VIP within the last seconds, as this host's neighbour table had it; empty on a host that holds it. */
  readonly answerers: readonly VipAnswerer[]
}

/** The same of the reader address, for which fewer rules exist: at the wrong place it costs reads, and no write. */
export type ReaderProbe = Pick<KeepalivedProbe, 'process' | 'vrrp' | 'allowed'> & { readonly here: boolean }

export interface VipAnswerer {
  readonly mac: string
  /** The members whose own address is at the same hardware address. */
  readonly hosts: readonly string[]
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
  /** Of the reader address. `names`: who is to have it, a primary's word. Absent: the group has none. */
  readonly reader?: ReaderProbe & { readonly names: string | null }
  /** Where this member would answer for the address. Absent: an agent of an earlier version. */
  readonly vipMac?: string | null
  readonly lineage: Lineage
  readonly paused: Paused
  /** Whom this member, or somebody who told it, has heard to know of which word of pause or resume. Absent: an agent of an earlier version. */
  readonly pauseKnown?: { readonly host: string; readonly atWallMs: number } | null
  readonly handover: HandoverView | null
  /** Target of a switchover: the id it has durably agreed to. */
  readonly preparedId: string | null
  /** Half of a full sync may be all that it has. */
  readonly partial: boolean
  /** It does not follow the present primary, and waits for an operator. Absent: it does not refuse, or its agent is of an earlier version. */
  readonly refuses?: true
  /** Its one vote, its own candidacy included. Only in groups with a witness. */
  readonly vote: { readonly epoch: number; readonly to: string } | null
  /** Its agent has only just started and may have forgotten how it voted: it votes for nobody yet, and carries no lease that was lost before. */
  readonly young?: true
  /** What the others have voted, as far as it was told here. Absent: an agent of an older version. */
  readonly votesHeard?: readonly VoteHeard[]
  /** Whether its redis takes orders of Sentinels. Absent: the group has none, or its agent is of an earlier version. */
  readonly orders?: Fact
  /** Absent in the words of an older agent, as is what follows. */
  readonly settings?: RedisSettings | null
  /** false: its data are known to differ from the primary's, or do not follow them. */
  readonly trueCopy?: boolean
  /** What is wrong with this member's data or settings, for people. */
  readonly alarms?: readonly string[]
  /**
   * While its redis does not run or still reads its disk: what is there, at most. `null`: nothing that the group's history has.
   * Absent: not known, or its redis answers.
   */
  readonly onDisk?: { readonly epoch: number; readonly offset: number } | null
  /** Absent: an agent of an earlier version, or it knows of none. */
  readonly move?: Move
  /** Its agent has the stream of its redis archived. Absent: it has not, or is of an earlier version. */
  readonly archives?: true
  /** Full syncs that this member began without ever having caught up since the first, and how long the last one took. */
  readonly syncStarts?: number
  readonly syncTookMs?: number
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

/** Is this host cut off, or the peers gone? Asked of `check_ips` only when no peer is heard. */
export interface ChecksProbe {
  /** One of them answered or refused; none did; not asked since the silence began. */
  readonly reach: 'answers' | 'silent' | 'not asked'
  /** Since the question was sent. */
  readonly ageMs: number
  /** For how long no question has been left unanswered, and this agent has not stood still. */
  readonly forMs: number
}

export interface Request {
  readonly id: string
  readonly kind: 'switchover' | 'failover' | 'pause' | 'resume' | 'reinit' | 'accept' | 'move'
  readonly to: string | null
  readonly by: string
  readonly dryRun: boolean
  /** Why the operator wants it; only `accept` asks for it. */
  readonly reason?: string
  /** Of `move`. */
  readonly move?: MoveOrder
}

/** The redis that is being moved to this group, seen by the holder. Asked at each look while it matters, else once a second. */
export interface SourceProbe {
  readonly facts: RedisFacts | null
  readonly factsAgeMs: number
  /** Why it cannot be asked. */
  readonly trouble: string | null
  /** Writes there are held by our hand, as far as this host remembers. */
  readonly held: boolean
  /** Settings there are raised for the time of the move, by what this host remembers. */
  readonly raised: boolean
  /** The go-ahead file of the group lies on this host. */
  readonly goAhead: boolean
  /** Where it is waited for. Absent: an agent of an earlier version. */
  readonly goAheadFile?: string
  /** A save that fails does not stop its writes, by our hand. Absent: it is as it was. */
  readonly guarded?: true
  /** Absent: no sync from it is under way or about to begin. */
  readonly care?: SourceCare
  /** Absent: it is not fed from here, and nothing is known of a feed. */
  readonly feed?: FeedSeen
  /** Connections that it has taken, in the last seconds. Absent: not looked at for that long, or an agent of an earlier version. */
  readonly arrivals?: Arrivals
}

export interface Arrivals {
  readonly count: number
  readonly overMs: number
}

/** What a sync costs the source, and what stands in its way. null: not known (yet). */
export interface SourceCare {
  /** What a client of it feels (99th percentile of two seconds), before the sync and now. */
  readonly p99BeforeMs: number | null
  readonly p99Ms: number | null
  /** How long its last fork held it up. */
  readonly forkMs: number | null
  /** Of a replica: the lowest limit, whatever counts as none: 0; what ours takes; what its machine has left. */
  readonly buffer: { readonly limitBytes: number; readonly usedBytes: number; readonly roomBytes: number | null } | null
  readonly timeoutS: number | null
  /** Connections that it has ended because of that limit (7.2 on). */
  readonly overflows: number | null
  /** In the log of the own redis since this sync was first looked at. */
  readonly said: {
    readonly format: string | null
    readonly timeouts: number
    /** How often the source has turned it away at the door, and in which words. */
    readonly refused: { readonly times: number; readonly last: string | null }
  }
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
  /** Absent: the group has no reader address. */
  readonly reader?: ReaderProbe
  readonly peers: readonly PeerProbe[]
  /** null: the group has none. */
  readonly checks: ChecksProbe | null
  /** Absent: nothing is being moved here, or another member sees to it. */
  readonly source?: SourceProbe
  /** Absent: the group has none. */
  readonly sentinels?: readonly SentinelProbe[]
  /** What only several looks together can tell. */
  readonly watch: Watch
  readonly request: Request | null
}
