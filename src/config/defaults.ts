/**
 * Every value that a configuration may leave out, each with its reason, and every range. docs/configuration.md says the
 * same in prose and a test compares the two. Must not read anything: a default never depends on the machine.
 */

export const defaultConfigFile = '/etc/holdfast/holdfast.yaml'

export const defaults = {
  /** Free in the IANA list, and away from redis (6379), its cluster bus (16379) and Sentinel (26379). */
  apiPort: 8420,
  /** One secret per installation, not per group: agents of one host serve all groups. */
  secretFile: '/etc/holdfast/secret',
  /** Survives a reboot: state, data, logs. */
  statePath: '/var/lib/holdfast',
  /** Lost at a reboot, and that is wanted: what stands here is only true while the host runs. */
  runPath: '/run/holdfast',
  /** Names without a slash are looked up in PATH, so distributions and own builds both work. */
  redisServer: 'redis-server',
  redisSentinel: 'redis-sentinel',
  keepalived: 'keepalived',
  /** The mode that any client can use, because it needs nothing but an address. */
  mode: 'vip',
  /** What clients expect of a redis. */
  port: 6379,
  /** The agent starts redis, so it can also start it fenced. */
  process: 'direct',
  /** Two hosts must go on when one is gone; `safe` would stop them. */
  durability: 'available',
  /** Multicast needs no list of peers and works on a common network; unicast is for networks that filter it. */
  unicastPeer: false,
  /** Each full sync costs its source a save or a read of it, the network, and a buffer of the writes meanwhile. */
  maxFullSyncs: 1,
  /** The reason to install this at all. */
  auto: true,
  /** 3 adverts of 50 ms: under the 200 ms of a client's first TCP retransmission, and no false alarm on a busy machine. */
  hostLossMs: 150,
  /** Longer than any honest stall (fork of a large dataset, a slow command), short enough that clients have not given up. */
  unresponsiveMs: 3000,
  /**
   * Half of the shortest default command timeout among common clients (2 s): a switchover that has to roll back is then
   * one slow reply and never an error. A good one needs some ms.
   */
  maxPauseMs: 1000,
  /** Of one group on one host: some incidents' worth, and no full disk. */
  salvageMaxMib: 8192,
  /** Who has looked at it and not wanted it for so long does not want it. */
  salvageMaxAgeDays: 30,
  /** An hour is what most can type in again, or replay; each is taken from a replica. In UTC: an hour that a clock change repeats would be two, or none. */
  backupSchedule: '0 * * * *',
  /** A day by the hour, for what is noticed at once; a month by the day, for what is noticed late. */
  keep: { hourly: 24, daily: 30, weekly: 0, monthly: 0 },
  /** Of what redis packs already little is left; of the rest much, at some ten seconds of one core for a gigabyte with gzip, and less with zstd. */
  compression: 'auto',
  /** Leaves replication its share of a gigabit network. */
  backupMaxMibPerS: 100,
  /** What was never loaded is a hope. */
  backupTest: true,
  /** Who finds out within a week what went wrong on a Monday can still go back to the moment before. */
  streamKeepDays: 7,
  /** With it, and the time that a store takes for a small object, what is lost with a whole site stays below a second. */
  streamFlushMs: 500,
  sftpPort: 22,
  /** What S3 servers that are not Amazon's expect where they have no regions. */
  s3Region: 'us-east-1',
  /** redis' own since 6.2. */
  saves: [
    { seconds: 3600, changes: 1 },
    { seconds: 300, changes: 100 },
    { seconds: 60, changes: 10_000 },
  ],
  /** redis' own: an AOF is rewritten when it has doubled, and not while it is small. */
  rewritePercentage: 100,
  rewriteMinMib: 64,
  /** Sentinel's own, which its clients know. */
  sentinelPort: 26_379,
  /**
   * Sentinel asks once a second at most: with less, no more than one question may go unanswered. It is also the lease of a primary:
   * longer than honest stalls (a fork, a slow command), so that none of them costs a failover.
   */
  downAfterMs: 1000,
  /** Sentinel's own 3 min let a failover that got stuck wait for 6. A good one needs a second. */
  failoverTimeoutMs: 10_000,
  /** Replicas that Sentinel turns to a new primary at once: each of them may need everything, and answers nobody while it loads. */
  parallelSyncs: 1,
} as const

/**
 * The first member gets 250, each further one 10 less. Not 255: VRRP keeps it for an address owner, who preempts whatever
 * `nopreempt` says. High, because a backup waits (256 - priority)/256 of an advert longer: 1 ms for the first of the list
 * at an advert of 50 ms, 9 ms for the fifth. Steps of 10 leave room to put a member between two others.
 */
export function defaultPriority(index: number): number {
  return 250 - 10 * index
}

export const ranges = {
  port: { min: 1, max: 65_535 },
  priority: { min: 1, max: 254 },
  vrid: { min: 1, max: 255 },
  prefix: { min: 1, max: 32 },
  /** VRRPv3 counts in 10 ms: 60 ms is an advert of 20 ms, below which a busy kernel looks dead. Above a minute is no detection. */
  hostLossMs: { min: 60, max: 60_000 },
  /** Below 200 ms an ordinary slow command would count as a hang and redis would be killed for it. */
  unresponsiveMs: { min: 200, max: 600_000 },
  /** Below 20 ms no replica can confirm its offset over a real network; above a minute it is an outage. */
  maxPauseMs: { min: 20, max: 60_000 },
  /** Less than a few backlogs cannot keep one incident. */
  salvageMaxMib: { min: 64, max: 16 * 1024 * 1024 },
  salvageMaxAgeDays: { min: 1, max: 3650 },
  /** Some years of any period. */
  keep: { min: 0, max: 10_000 },
  backupMaxMibPerS: { min: 0, max: 100_000 },
  streamKeepDays: { min: 1, max: 3650 },
  /** Below 100 ms most stores need longer for an object than it takes until the next; above a minute is no stream. */
  streamFlushMs: { min: 100, max: 60_000 },
  /** 0: never by itself. */
  rewritePercentage: { min: 0, max: 10_000 },
  rewriteMinMib: { min: 1, max: 1024 * 1024 },
  /** With five members at most four can ask. */
  maxFullSyncs: { min: 1, max: 4 },
  members: { min: 2, max: 5 },
  /** Of two, the loss of one leaves no majority. Above seven, each more only has to be asked for its vote. */
  sentinels: { min: 3, max: 7 },
  /** Below 200 ms a slow command would count as the loss of the primary. */
  downAfterMs: { min: 200, max: 600_000 },
  failoverTimeoutMs: { min: 1000, max: 3_600_000 },
  parallelSyncs: { min: 1, max: 4 },
} as const

export type Range = { readonly min: number; readonly max: number }

/** Fewer can be guessed from recorded traffic. */
export const minSecretBytes = 16

/** Far more than any real file; stops a wrong path (a dataset, a device) from filling the memory. */
export const maxFileBytes = 1_048_576

/** The majority: what a Sentinel that is to lead needs in any case. With less, a failover would begin of which nothing can come. */
export function defaultQuorum(sentinels: number): number {
  return Math.floor(sentinels / 2) + 1
}

/** On the members; of an even number all but the last: one more Sentinel would need one more vote and survive no more losses. */
export function defaultSentinels(members: readonly string[]): readonly string[] {
  return members.length % 2 === 0 ? members.slice(0, -1) : members
}

/**
 * FNV-1a of the group's name, to 1..255. Stable, so that all hosts agree without talking, and a second group does not move
 * the first one's. Two names can meet: the check then asks for an explicit `vrid`.
 */
export function derivedVrid(group: string): number {
  let hash = 0x811c9dc5
  for (let index = 0; index < group.length; index += 1) {
    hash = Math.imul(hash ^ group.charCodeAt(index), 0x01000193) >>> 0
  }
  return (hash % 255) + 1
}
