/** What the core needs of the configuration, and its own time constants with their reasons. PURE. */
import type { GroupConfig } from './config.ts'

export interface PolicyMember {
  readonly host: string
  readonly ip: string
  readonly port: number
  readonly priority: number
  readonly neverPrimary: boolean
  readonly replicateFrom: string | null
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
  /** A host without data that votes; null: none, and then nobody votes. */
  readonly witness: string | null
  /** Votes that a promotion needs, this member's own included: more than half of members and witness. 0: no witness, no votes. */
  readonly quorum: number
  /** A primary without proof that a quorum has heard it for so long holds writes back. */
  readonly leaseMs: number
  /** Nobody votes against a primary that was heard less than this long ago: longer than its lease and the time to act on its end. */
  readonly voteSilenceMs: number
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
 * The lease of a primary in a group with a witness, as a share of `hostLossMs`. It is counted from when the primary SENT what was
 * heard, the silence of the voters from when they heard it: whatever the delays, the lease ends first.
 */
const leaseShare = 0.8
/** The difference to the lease is what an agent has to wake up and to hold the writes: measured 5 ms, and the beat's 50 ms. */
const voteSilenceShare = 1.25

/** An election whose votes were split, or given to somebody who died, is begun anew after this long. */
export const ballotRetryMs = 150

/** Writes held back are held so long by redis itself, should the agent die meanwhile. Renewed well before. */
export const holdWritesMs = 10_000

/** An own event-loop stall above this makes every silence that the agent "heard" worthless: it was deaf. */
export const stallLimitMs = 100

/** How long the best-informed member waits for the word of other live replicas before it goes on without them. */
export const electionWaitMs = 60

/** Of one whose stream has just ended and whose redis answers: an agent tries every tenth of a second to be heard again. */
export const reconnectWaitMs = 250

/** A replica whose link was down longer than this when the primary went is too old to be promoted unasked. */
export const maxStaleS = 10

/** A statement older than this says nothing about now: three missed ones. */
export const statementStaleMs = 3 * statementMs

/** A primary that has heard no peer for so long counts itself cut off; well above what a busy peer's agent needs to speak. */
export const isolatedMs = 500

/** A word for the holder counts against holding the VIP here only if it was said so long after this member lost sight of it. */
export const vouchedAfterMs = 300

/** After giving a stray VIP back, for so long it is not taken again: longer than VRRP needs to settle. */
export const vipHoldOffMs = 1000

/** Agreement of the target before writes are paused; nothing is disturbed meanwhile, so it may be generous. */
export const prepareDeadlineMs = 3000

/** A holder that has started again and cannot hear a peer waits this long for it before it serves alone. */
export const lonelyWaitMs = 2000

/** A member that is away for so long continues where it was: a restart, a cut wire, a slow full sync of another. */
export const backlogForMs = 60_000

/** redis' own default; less is one network blip. */
export const backlogMinBytes = 1024 * 1024

/** Whoever looks at a copy or replays it has a day to go on with it. */
export const keptGraceMs = 24 * 3_600_000

export function policyOf(group: GroupConfig, ipOf: (host: string) => string): Policy {
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
    witness: group.witness ?? null,
    quorum: group.witness === undefined ? 0 : Math.floor((group.members.length + 1) / 2) + 1,
    leaseMs: group.failover.hostLossMs * leaseShare,
    voteSilenceMs: group.failover.hostLossMs * voteSilenceShare,
  }
}
