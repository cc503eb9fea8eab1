import type { AofEnd } from './disk.ts'
import type { SourceOrder } from './move.ts'
import type { Persistence, SavePoint } from './persistence.ts'
import type { Orphan } from './view.ts'

/** Where the data that are to be given up leave the accepted history. null: not known. */
export interface Fork {
  /** The last epoch that both have, and its replication id. */
  readonly epoch: number
  readonly replid: string | null
  /** First byte that the accepted history does not have. */
  readonly fromOffset: number | null
  readonly forkedAtWallMs: number | null
}

/** What a decision may ask of `act/`. Each is idempotent; they run in order and stop at the first failure. */
export type Action =
  /** Writes the track file: may keepalived hold the VIP here? */
  | { readonly kind: 'vip'; readonly allowed: boolean }
  /** Writes the track file of the reader address. */
  | { readonly kind: 'reader-vip'; readonly allowed: boolean }
  /** Takes the VIP off this host's interfaces where keepalived does not: it is dead, or never put it there. */
  | { readonly kind: 'drop-address' }
  /** Puts the VIP on this host's interface and says so on the segment, before keepalived does. */
  | { readonly kind: 'take-address' }
  /**
   * Lowers (or restores) the VRRP priority of this host. A primary that hears nobody may have been replaced: at the heal
   * its address must fall at the first advert of the other side, before its agent has even been told.
   */
  | { readonly kind: 'vrrp-yield'; readonly yields: boolean }
  /** Starts redis as a replica of nobody (INV-2), so that it loads this file. Absent: as configured. Only for `process: direct`. */
  | { readonly kind: 'start-redis'; readonly load?: 'aof' | 'rdb' }
  /** CONFIG SET appendonly, once what was to be loaded is loaded. */
  | {
      readonly kind: 'persist'
      readonly role: 'primary' | 'replica'
      readonly save: readonly SavePoint[]
      readonly aof: Persistence['aof']
      readonly drop: boolean
    }
  | { readonly kind: 'settle-aof'; readonly to: 'yes' | 'no' }
  /** Moves a file that redis cannot read out of its way, to what is kept. Redis must not run. */
  | { readonly kind: 'set-aside'; readonly file: 'aof' | 'rdb'; readonly why: string }
  /** Cuts the torn end off a copy of the AOF's last file, keeps the file as it was, and puts the copy in its place. */
  | { readonly kind: 'mend-aof'; readonly end: AofEnd }
  /** SIGKILL, so that no late write is acknowledged. */
  | { readonly kind: 'kill-redis'; readonly pid: number }
  /** The children of a redis that is dead: its clients are told when the last of them is gone. */
  | { readonly kind: 'end-orphans'; readonly orphans: readonly Orphan[] }
  /** REPLICAOF NO ONE. */
  | { readonly kind: 'promote' }
  | { readonly kind: 'follow'; readonly host: string; readonly port: number }
  /** REPLICAOF the redis that is being moved here, with the password that is known of it. */
  | { readonly kind: 'follow-source'; readonly host: string; readonly port: number }
  | { readonly kind: 'source'; readonly order: SourceOrder }
  /** Calls the hook that moves an address which is not keepalived's here. What it says is told, and holds nothing up. */
  | { readonly kind: 'call-hook'; readonly to: 'group' | 'source' }
  /** REPLICAOF 127.0.0.1 1: clients get -READONLY, nobody can resync from it, its data stay. */
  | { readonly kind: 'soft-fence' }
  | { readonly kind: 'pause-writes'; readonly forMs: number }
  | { readonly kind: 'resume-writes' }
  /** New connections to the VIP are answered with RST for so long, then by themselves no more. */
  | { readonly kind: 'refuse-connections'; readonly forMs: number }
  | { readonly kind: 'accept-connections' }
  /** Ends the connections of ordinary clients, never of replicas or of the agent. */
  | { readonly kind: 'kill-clients' }
  /** Keeps a copy of the dataset before it is given up (INV-6). */
  | { readonly kind: 'keep-dataset'; readonly name: string; readonly fork: Fork }
  /** Keeps exactly the writes that only this primary has, from its stream; where that is not possible, the dataset. */
  | { readonly kind: 'keep-writes'; readonly name: string; readonly fork: Fork }
  /** Refuses writes and leaves a primary a primary (-NOREPLICAS), so that its stream can be read. Remembers the user's values. */
  | { readonly kind: 'fence-writes'; readonly runId: string }
  /** Puts the user's values back. */
  | { readonly kind: 'lift-fence' }
  /** Has a primary without replicas count its bytes. It takes a new replication id with it. */
  | { readonly kind: 'open-backlog' }
  /** Redis is to take writes only while a replica acknowledges them (`durability: safe`). What the user asks more is kept. */
  | { readonly kind: 'require-replica'; readonly runId: string }
  /** The limits of redis that `durability: safe` had changed are put back: it is not asked for any more. */
  | { readonly kind: 'waive-replica'; readonly runId: string }
  /** CONFIG SET repl-backlog-size, only ever upward. */
  | { readonly kind: 'grow-backlog'; readonly bytes: number }
  /** Ends the replication link; redis opens another at once and continues where it was. */
  | { readonly kind: 'cycle-link' }
  /** CONFIG SET client-output-buffer-limit of replicas, only ever upward. */
  | { readonly kind: 'raise-replica-buffer'; readonly bytes: number }
  /** Empties the data directory and starts redis anew: `reinit`. */
  | { readonly kind: 'wipe-redis' }
  /** Asks every Sentinel for its vote in this epoch, for this host's agent to lead the failover. The answers are in the next View. */
  | { readonly kind: 'ask-votes'; readonly epoch: number; readonly to: string }
  /** Tells these Sentinels who serves, by the message with which they tell each other. */
  | { readonly kind: 'tell-sentinels'; readonly sentinels: readonly string[]; readonly holder: string; readonly epoch: number }
  /** May Sentinels give this redis orders (ACL of their user)? */
  | { readonly kind: 'sentinel-orders'; readonly allowed: boolean }
  /** CONFIG SET replica-priority: 0, and no Sentinel selects this redis. */
  | { readonly kind: 'replica-priority'; readonly value: number }
  /** Asks a peer to look at its redis at once and to say what it sees. */
  | { readonly kind: 'poke'; readonly host: string }

export type ActionKind = Action['kind']

/** Something worth telling people; goes to the event log, `history` and the agent's output. */
export interface Event {
  readonly kind:
    | 'detected'
    | 'fenced'
    | 'promoted'
    | 'vip-up'
    | 'vip-returned'
    | 'vip-removed'
    | 'vip-wrong'
    | 'vip-right'
    | 'keepalived-restarted'
    | 'following'
    | 'rejoined'
    | 'handover'
    | 'rolled-back'
    | 'refused'
    | 'paused'
    | 'resumed'
    | 'waiting'
    | 'kept'
    | 'accepted'
    | 'salvaged'
    | 'alarm'
    | 'started'
    | 'voted'
    | 'repaired'
    | 'backup-taken'
    | 'backup-failed'
    | 'stream-began'
    | 'stream-gap'
    | 'stream-failed'
    | 'move'
  readonly epoch: number
  readonly text: string
  readonly data?: Readonly<Record<string, string | number | boolean | null>>
}
