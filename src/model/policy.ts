/** What the core needs of the configuration, and its own time constants with their reasons. PURE. */
import type { GroupConfig } from './config.ts'
import type { PersistenceByRole } from './persistence.ts'

export interface PolicyMember {
  readonly host: string
  readonly ip: string
  readonly port: number
  readonly priority: number
  readonly neverPrimary: boolean
  readonly replicateFrom: string | null
}

export interface SentinelPolicy {
  readonly hosts: readonly string[]
  /** So many must find the primary down. */
  readonly quorum: number
  /** So many must vote for whoever is to lead a failover: Sentinel's own rule, the majority and no less than the quorum. */
  readonly votes: number
  /** In touch with so many, a primary knows that too few are left to find it down. */
  readonly behind: number
  readonly downAfterMs: number
  readonly failoverTimeoutMs: number
  /** Somebody else runs them: they are told nothing but who serves. */
  readonly external?: true
}

export interface Policy {
  readonly group: string
  readonly members: readonly PolicyMember[]
  readonly hasVip: boolean
  readonly external: boolean
  readonly auto: boolean
  readonly hostLossMs: number
  readonly unresponsiveMs: number
  readonly maxPauseMs: number
  readonly maxFullSyncs: number
  /** A host without data that votes; null: none. */
  readonly witness: string | null
  /** Members and witness. */
  readonly voters: number
  /** Votes that a promotion needs, this member's own included: more than half of the voters. 0: neither witness nor `safe`, no votes. */
  readonly quorum: number
  /** null: the agents choose. Else the votes are the Sentinels': `quorum` is 0, and no agent votes. */
  readonly sentinel: SentinelPolicy | null
  /** A new group is founded by a move, and by nothing else. Absent: it is not. */
  readonly awaitsMove?: true
  /** `durability: safe`: redis takes writes only while a replica acknowledges them. */
  readonly safe: boolean
  /** What each role writes to its disk. Absent: not decided by the role. */
  readonly persistence?: PersistenceByRole
  /** There are addresses that tell a cut-off host from a lost peer (`check_ips`), and no votes, which would tell it better. */
  readonly checks: boolean
  /** Somebody may be promoted without this primary's word: it serves on a lease (decide/lease.ts). */
  readonly leased: boolean
  /** A primary without proof that a quorum has heard it for so long holds writes back. */
  readonly leaseMs: number
  /** Nobody votes against a primary that was heard less than this long ago: longer than its lease and the time to act on its end. */
  readonly voteSilenceMs: number
  /** Writes that are held back for so long are refused, and the address is given up. */
  readonly refuseAfterMs: number
}

/** The agent's calm rhythm. A failover never waits for it: closed sockets, VRRP and peers wake the loop at once. */
export const tickMs = 400

/** While something is under way the loop looks again this soon. */
export const busyTickMs = 20

/** A full statement goes out at least this often, so that a lost one is repaired. */
export const statementMs = 1000

/** A peer's agent unheard for this share of `hostLossMs` is suspect: keepalived needs the whole of it, and both must agree. */
export const suspectShare = 0.66

/**
 * The lease of a primary that others may replace unasked, as a share of `hostLossMs`. It is counted from when the primary SENT what was
 * heard, the silence of the voters from when they heard it: whatever the delays, the lease ends first.
 */
const leaseShare = 0.8
/** The difference to the lease is what an agent has to wake up and to hold the writes: measured 5 ms, and the beat's 50 ms. */
const voteSilenceShare = 1.25

/** Without votes nobody is asked: what is held is refused before the other side may promote. */
const refuseShare = 0.25

/** An election whose votes were split, or given to somebody who died, is begun anew after this long. */
export const ballotRetryMs = 150

/** A candidate that can hear the primary again has so long to say so: its agent may be busy with the whole heal at once. */
export const takeBackMs = 300

/**
 * A promotion is carried out so soon after the look that it was decided on, or not at all: a slow disk or a host that stood still may have
 * taken longer than the voters are bound. With `ballotRetryMs`, less than a voter's silence.
 */
export const promoteWithinMs = 30

/** Writes held back are held so long by redis itself, should the agent die meanwhile. Renewed well before. */
export const holdWritesMs = 10_000

/** An own event-loop stall above this makes every silence that the agent "heard" worthless: it was deaf. */
export const stallLimitMs = 100

/** How long the best-informed member waits for the word of others that cannot be promoted as they are before it goes on without them. */
export const electionWaitMs = 60

/**
 * Of a rival: one that lives and may be promoted, and has yet to find the primary gone, to remember that, and to measure what it has (a disk beside
 * other writers needs 30 ms, one in a cloud 100); or one whose stream has just ended and whose redis answers (an agent tries every tenth of a second
 * to be heard again). Without votes whoever goes on before it has spoken may be the second of two.
 */
export const rivalWaitMs = 250

/** What a word of a rival may need until it is taken in: as long as an agent may stand still without minding it (`stallLimitMs`). */
export const wordTravelMs = 100

/** A replica whose link was down longer than this when the primary went is too old to be promoted unasked. */
export const maxStaleS = 10

/**
 * Of a replica that has less than its primary told: so much may have been under way. More is missing, and the primary's disk may have it.
 * A false alarm costs the time in which the primary's agent starts redis again.
 */
export const underWayBytes = 64 * 1024

/** A burst of writes over a slow wire may take a while; one that lags for so long is told. */
export const lagAlarmMs = 5000

/** A dead primary's kernel still sends what was written to it; a replica that is busy has yet to read it. */
export const drainMs = 50

/** An agent starts its redis at once: a primary that has none after so long will not have one soon. */
export const restartWaitMs = 2000

/**
 * A replica whose offset stands for so long while the primary is known to be ahead does not follow, whatever its link says. Several
 * statements and any honest stall fit in; redis itself takes 60 s (repl-timeout) to find out, and not always does.
 */
export const stuckMs = 5000

/**
 * A stream that stands again within this time after its link was begun anew is not cured by that. And it may cost: a stream that stands
 * because CLIENT PAUSE holds it cannot be continued, redis fetches everything anew.
 */
export const cycleAgainMs = 10 * 60_000

/** A full sync that shows no progress for so long, with no save under way at its source, holds nobody else up: redis' own repl-timeout. */
export const syncStallMs = 60_000

/** Who is to sync first and does not begin within this time is not waited for: redis needs a second to connect, a statement another. */
export const syncTurnMs = 10_000

/** A dataset this small is transferred and loaded in well under a second: nobody needs to wait for that. */
export const smallDatasetBytes = 32 * 1024 * 1024

/** Full syncs that began within this time without the replica ever having caught up belong together. */
export const syncLoopWindowMs = 10 * 60_000

/** The third begin in a row is a loop: one broken sync may be a cut wire, two bad luck. */
export const syncLoopStarts = 3

/** From this one on each further attempt is put off: until then the source had the time to make its buffer larger. */
export const syncPauseStarts = 5

/** The first pause between such attempts; each further one is twice as long, up to the last. */
export const syncPauseMs = 30_000
export const maxSyncPauseMs = 10 * 60_000

/** A statement older than this says nothing about now: three missed ones. */
export const statementStaleMs = 3 * statementMs

/** A primary that has heard no peer for so long counts itself cut off; well above what a busy peer's agent needs to speak. */
export const isolatedMs = 500

/** A word for the holder counts against holding the VIP here only if it was said so long after this member lost sight of it. */
export const vouchedAfterMs = 300

/** After giving a stray VIP back, for so long it is not taken again: longer than VRRP needs to settle. */
export const vipHoldOffMs = 1000

/** An address that keepalived does not hold is taken off after so long; its own removal takes milliseconds, on a busy host some more. */
export const strayAfterMs = 150

/** Where Sentinels choose it is never where they did not; keepalived's own removal still comes first. */
export const strayChosenMs = 30

/** The same while keepalived runs and may hold it: its word that it has become MASTER may still be on the way. */
export const strayUnsureMs = 250

/** The address may be nowhere, at two, or not with the primary for so long before it is told: a failover takes 300 ms, a switchover 50. */
export const addressGraceMs = 1000

/** A replica that has so much more for so long takes the reader address over: words of offsets are up to a second old. */
export const readerBetterBytes = 64 * 1024
export const readerBetterMs = 2000

/** No replica may have the reader address for so long before the primary takes it: in a failover none follows for a moment. */
export const readerNoneMs = 1000

/** Agreement of the target before writes are paused; nothing is disturbed meanwhile, so it may be generous. */
export const prepareDeadlineMs = 3000

/** A holder that has started again and cannot hear a peer waits this long for it before it serves alone. */
export const lonelyWaitMs = 2000

/** A member that is away for so long continues where it was: a restart, a cut wire, a slow full sync of another. */
export const backlogForMs = 60_000

/** After a promotion clients come back and replicas attach, some of them with a full sync: a fork for the own disk waits for so long. */
export const persistAfterMs = 5000

/** redis' own default; less is one network blip. */
export const backlogMinBytes = 1024 * 1024

/** Whoever looks at a copy or replays it has a day to go on with it. */
export const keptGraceMs = 24 * 3_600_000

/**
 * Members unheard for so long were replaced or are dead: nobody is about to be promoted, and `check_ips` are asked less often. What
 * they answered then counts for half of the time that a member must have reached them before it promotes itself.
 */
export const longSilentMs = 5000

export function majorityOf(count: number): number {
  return Math.floor(count / 2) + 1
}

/** Nobody is promoted unasked without votes, be they the agents' or the Sentinels'. */
export function isVoted(policy: Pick<Policy, 'quorum' | 'sentinel'>): boolean {
  return policy.quorum > 0 || policy.sentinel !== null
}

/** For how long a primary may count on a voter that takes it for lost after `silenceMs`. */
export function leaseOf(silenceMs: number): number {
  return silenceMs * leaseShare
}

export function policyOf(group: GroupConfig, ipOf: (host: string) => string): Policy {
  const safe = group.durability === 'safe'
  const sentinel = sentinelPolicyOf(group.sentinel)
  const voters = sentinel?.hosts.length ?? group.members.length + (group.witness === undefined ? 0 : 1)
  const quorum = sentinel !== null || (group.witness === undefined && !safe) ? 0 : majorityOf(voters)
  const checks = sentinel === null && quorum === 0 && group.checkIps.length > 0
  const silenceMs = sentinel?.downAfterMs ?? group.failover.hostLossMs
  return {
    group: group.name,
    members: group.members.map((m) => ({
      host: m.host,
      ip: ipOf(m.host),
      port: m.port,
      priority: m.priority,
      neverPrimary: m.neverPrimary,
      replicateFrom: m.replicateFrom ?? null,
    })),
    hasVip: group.vip !== undefined,
    external: group.process === 'external',
    auto: group.failover.auto,
    hostLossMs: group.failover.hostLossMs,
    unresponsiveMs: group.failover.unresponsiveMs,
    maxPauseMs: group.failover.maxPauseMs,
    maxFullSyncs: group.maxFullSyncs,
    witness: group.witness ?? null,
    voters,
    quorum,
    sentinel,
    safe,
    ...(group.persistence === undefined ? {} : { persistence: group.persistence }),
    ...(group.migration?.awaits === true ? { awaitsMove: true as const } : {}),
    checks,
    // Where a quorum is everybody, nobody is elected without the vote of the primary itself, and it gives none while it serves.
    leased: sentinel !== null || checks || (quorum > 0 && quorum < voters),
    leaseMs: leaseOf(silenceMs),
    voteSilenceMs: silenceMs * voteSilenceShare,
    refuseAfterMs: checks ? group.failover.hostLossMs * refuseShare : isolatedMs,
  }
}

function sentinelPolicyOf(sentinel: GroupConfig['sentinel']): SentinelPolicy | null {
  if (sentinel === undefined) return null
  const { hosts, quorum, downAfterMs, failoverTimeoutMs } = sentinel
  const external = sentinel.process === 'external' ? { external: true as const } : {}
  return { hosts, quorum, votes: Math.max(quorum, majorityOf(hosts.length)), behind: hosts.length - quorum + 1, downAfterMs, failoverTimeoutMs, ...external }
}
