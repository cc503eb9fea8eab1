/**
 * The Sentinels of a group asked in full, on an operator's word: what each knows, and what its redises see of Sentinels. PURE: plain JSON, filled
 * by `observe/sentinel-look.ts`, judged by `decide/sentinel-hygiene.ts`. What the loop needs all the time is model/sentinel.ts.
 */
import type { Config, GroupConfig } from './config.ts'
import type { SentinelSettings } from './sentinel.ts'

export interface At {
  readonly ip: string
  readonly port: number
}

export interface SentinelPicture {
  /** The agent that asked. */
  readonly asker: string
  readonly sentinels: readonly SentinelLook[]
  /** The members' redises, and every other address that a Sentinel takes for a replica. */
  readonly redises: readonly RedisLook[]
  /** Sentinels that are none of this group's and have to do with it. */
  readonly strangers: readonly StrangerLook[]
  /** A running redis is being moved to the group, and is no stranger; `watched` false: it has the clients, and the Sentinels watch nobody. Absent: none is. */
  readonly moving?: { readonly source: At; readonly watched: boolean }
}

export interface SentinelLook {
  readonly host: string
  readonly address: At
  readonly answers: boolean
  /** Why not; null while it answers. */
  readonly trouble: string | null
  readonly id: string | null
  readonly uptimeS: number | null
  readonly tilt: boolean
  /** All that it watches, under whatever names. */
  readonly watches: readonly Watched[]
  /** What it knows of this group. */
  readonly replicas: readonly Known[]
  readonly others: readonly Known[]
  /** Its answer to CKQUORUM; null: none. */
  readonly ckquorum: { readonly ok: boolean; readonly text: string } | null
  /** Between question and answer. */
  readonly tookMs: number
}

/** A line of SENTINEL MASTERS. */
export interface Watched {
  readonly name: string
  readonly address: At
  readonly flags: readonly string[]
  readonly configEpoch: number
  readonly settings: SentinelSettings
}

/** A replica or another Sentinel, as a Sentinel knows it. */
export interface Known {
  readonly address: At
  readonly id: string
  readonly flags: readonly string[]
}

export interface RedisLook {
  /** null: no member has this address. */
  readonly host: string | null
  readonly address: At
  /** locked: it answers, and asks for a password that is not sent to strangers. */
  readonly reach: 'answers' | 'locked' | 'silent'
  readonly role: 'primary' | 'replica' | null
  /** Whom it follows. */
  readonly upstream: At | null
  readonly replid: string | null
  readonly followers: readonly At[]
}

export interface StrangerLook {
  /** Port 0: not known. */
  readonly address: At
  /** Its first digits, if no more is known. */
  readonly id: string
  /** The members at whose redis it is connected now. */
  readonly at: readonly string[]
  /** What it says there of whom it watches (`__sentinel__:hello`). */
  readonly says: readonly { readonly group: string; readonly address: At }[]
  /** It answers a question that needs no password; then `watches` is whole. */
  readonly answers: boolean
  readonly alive: boolean
  readonly watches: readonly Watched[]
}

/** What a group's Sentinels should be, by the configuration. */
export interface SentinelLayout {
  readonly group: string
  readonly sentinels: readonly (At & { readonly host: string })[]
  readonly members: readonly (At & { readonly host: string })[]
  readonly settings: SentinelSettings
  /** More than half of them. */
  readonly majority: number
  /** The agents may start and stop them. */
  readonly isOurs: boolean
}

/** null: the group has none. */
export function layoutOf(config: Config, group: GroupConfig): SentinelLayout | null {
  const { sentinel } = group
  if (sentinel === undefined) return null
  const { quorum, downAfterMs, failoverTimeoutMs, parallelSyncs } = sentinel
  const ipOf = (host: string): string => config.hosts[host]?.ip ?? ''
  return {
    group: group.name,
    sentinels: sentinel.hosts.map((host) => ({ host, ip: ipOf(host), port: sentinel.port })),
    members: group.members.map(({ host, port }) => ({ host, ip: ipOf(host), port })),
    settings: { quorum, downAfterMs, failoverTimeoutMs, parallelSyncs },
    majority: Math.floor(sentinel.hosts.length / 2) + 1,
    isOurs: sentinel.process === 'direct',
  }
}

export function isAt(a: At, b: At): boolean {
  return a.ip === b.ip && a.port === b.port
}

export function placeOf({ ip, port }: At): string {
  return port > 0 ? `${ip}:${port}` : ip
}

/** What one repair does. `host`: the host of one of our Sentinels. */
export type SentinelRepair =
  /** A Sentinel of somebody else's forgets a group that it watches at our address. */
  | { readonly kind: 'forget'; readonly at: At; readonly group: string }
  /** One of ours forgets another group. */
  | { readonly kind: 'remove'; readonly host: string; readonly group: string }
  | { readonly kind: 'set'; readonly host: string }
  | { readonly kind: 'renew-id'; readonly host: string }
  /** It is told of the Sentinels that it does not know. */
  | { readonly kind: 'introduce'; readonly host: string }
  | { readonly kind: 'reset'; readonly host: string }

/** not-needed: the look of who was to make it shows nothing that calls for it. refused: not now. failed: it was begun. */
export interface RepairAnswer {
  readonly result: 'repaired' | 'not-needed' | 'refused' | 'failed'
  readonly why: string
  readonly tookMs: number
}

export interface SentinelFinding {
  readonly name: FindingName
  /** The Sentinel that it is about, by its host; null: none of ours. */
  readonly host: string | null
  readonly words: string
  /** null: nothing that can be done from here. */
  readonly repair: SentinelRepair | null
  /** What repair would do; else what an operator has to do. */
  readonly remedy: string
}

export const findingNames = {
  unreachable: 'one of our Sentinels gives no answer',
  'not-watching': 'one of our Sentinels does not watch the group',
  'names-other': 'Sentinels name different members as the primary',
  'names-stranger': 'one of our Sentinels names an address that no member has',
  'settings-differ': 'quorum, down-after, failover-timeout or parallel-syncs is not as configured',
  'stale-replica': 'a replica is on a list that no member is, and nothing answers there',
  'foreign-replica': 'a replica is on a list that no member is, and something answers there',
  'stale-sentinel': 'a Sentinel is on a list that is none of ours, and nothing answers there',
  'foreign-sentinel': 'a Sentinel of somebody else is on a list, and counts as a voter',
  'two-entries': 'one host is on a list twice, or under an id that it has no more',
  'unknown-sentinel': 'one of our Sentinels does not know another',
  'duplicate-id': 'two Sentinels have one id, as those of a copied machine do',
  'other-group': 'one of our Sentinels watches one of our redises under another name too',
  'foreign-watcher': 'a Sentinel of somebody else watches one of our redises',
  'merged-groups': 'a Sentinel of somebody else calls a group of its own as ours is called, at our redis: the two become one',
} as const

export type FindingName = keyof typeof findingNames
