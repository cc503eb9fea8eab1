/**
 * What one agent knows of the Sentinels of its group (`mode: sentinel`). PURE: plain JSON, filled by `observe/`, read by `decide/`.
 * A Sentinel's word is about the address that it names; `observe/` turns addresses and run ids into the names of the configuration.
 */

import type { SourceAt } from './move.ts'

/** As whom Sentinels come to a redis of the group: the orders that they may give are this user's (render/sentinel-user.ts). */
export const sentinelUser = 'holdfast-sentinel'

/**
 * How often our Sentinels ask and connect again, instead of once a second, and how old what they know of replicas may be, instead of ten. No less:
 * while a primary is down they ask replicas once a second, whatever they are told, and select only those of whom they heard within five of these.
 */
export const sentinelPace = { pingMs: 250, infoMs: 1000 }

/** Whom the Sentinels of a group are to watch. `former`: a redis that was moved here and followed, which they take for a replica for ever. `nobody`: another redis has its clients (a move). null: it is not known who serves. */
export type Watched = { readonly host: string; readonly epoch: number; readonly former?: SourceAt } | 'nobody' | null

/** One Sentinel. `ageMs` of what it said counts from when the question was SENT: whatever the delays, it was no younger. */
export interface SentinelProbe {
  readonly host: string
  /**
   * answers: it answered the last question in time; refused: its host says that nobody listens; silent: nothing; forgot: it does not watch the group;
   * trouble: it answers, not with facts.
   */
  readonly reach: 'answers' | 'refused' | 'silent' | 'forgot' | 'trouble'
  /** Why, for people; null while it answers. */
  readonly trouble: string | null
  /** The last answer, also when it does not answer any more; null: never since this agent began. */
  readonly facts: SentinelFacts | null
  /** Since the question was sent to which `facts` is the answer. */
  readonly ageMs: number
  /** Its newest vote that was told here. */
  readonly vote: SentinelVote | null
}

export interface SentinelFacts {
  /** Its own run id (`SENTINEL MYID`). */
  readonly id: string
  /** The member that it names as the primary; null: an address that no member has. */
  readonly names: string | null
  readonly address: string
  /** The epoch of the failover that made it name this address; 0: none, its configuration file did. */
  readonly configEpoch: number
  /** It counts the primary as down by itself (s_down), or with others (o_down). */
  readonly down: boolean
  /** How long its last PING to the primary has gone unanswered, in ms; 0: none is. */
  readonly pendingPingMs: number
  /** A failover that this Sentinel itself leads, or stands for. `to`: the member that it has selected (its address, if no member has it); null: none yet. */
  readonly failover: { readonly to: string | null } | null
  readonly tilt: boolean
  readonly settings: SentinelSettings
  /** How many other Sentinels and replicas it knows. */
  readonly others: number
  readonly replicas: number
}

/** What must be equal on all Sentinels: `SENTINEL SET` is not propagated between them. */
export interface SentinelSettings {
  readonly quorum: number
  readonly downAfterMs: number
  readonly failoverTimeoutMs: number
  readonly parallelSyncs: number
}

/** One vote per epoch. `to`: a host whose agent stood, or `sentinel:HOST` for a Sentinel of that host, or `?` for somebody unknown. */
export interface SentinelVote {
  readonly epoch: number
  readonly to: string
  /** Since it was first seen here. */
  readonly ageMs: number
  /** Whoever gave this vote found the primary down itself at that moment. Absent: it did not. */
  readonly down?: true
  /** Its newest earlier vote that was for somebody else: who asks in a higher epoch must not forget whose election that was. Absent: none is known. */
  readonly before?: { readonly epoch: number; readonly to: string; readonly ageMs: number }
}
