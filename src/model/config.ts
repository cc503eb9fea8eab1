/**
 * A Holdfast configuration after loading: complete (defaults filled in), checked and plain JSON.
 * `config/` makes it from YAML; everybody else only reads it. Nothing here touches a file.
 */
import type { PersistenceByRole } from './persistence.ts'

/** How a group's primary is chosen: by the agents' own votes and evidence, or by the majority of real Sentinels. Exactly one chooser per group. */
export type Mode = 'vip' | 'sentinel'

/** Who owns the redis process: `direct`, the agent starts it; `external`, somebody else does and the agent never restarts it. */
export type ProcessKind = 'direct' | 'external'

/** `safe`: nobody is promoted without a quorum, and writes need a replica that acknowledges them. */
export type Durability = 'available' | 'safe'

export interface HostConfig {
  readonly name: string
  /** IPv4 address that agents, replicas and keepalived use to reach this host. */
  readonly ip: string
  /** The network interface that carries `ip` and the VIPs. Absent on a host that never holds a VIP. */
  readonly interface?: string
}

export interface MemberConfig {
  readonly host: string
  readonly port: number
  /** Higher is preferred among members with equally much data. Range 1..254; distinct within a group after loading. */
  readonly priority: number
  /** Never promoted, never holds the VIP. */
  readonly neverPrimary: boolean
  /** Cascade: follow this host's member while it is healthy, instead of the primary. */
  readonly replicateFrom?: string
}

export interface VipConfig {
  readonly ip: string
  /** Network prefix length, 1..32. */
  readonly prefix: number
}

export interface FailoverConfig {
  /** false: the agents observe and report, and promote only on an operator's word. */
  readonly auto: boolean
  /** VRRP silence, in ms, after which a host is suspected lost (three adverts). */
  readonly hostLossMs: number
  /** How long, in ms, a running redis may leave every probe unanswered before it counts as hung. */
  readonly unresponsiveMs: number
  /** The longest time, in ms, that a switchover may hold writes before it rolls back. */
  readonly maxPauseMs: number
}

/** What is kept before data are given up, of one group on one host. */
export interface SalvageConfig {
  readonly maxBytes: number
  readonly maxAgeMs: number
}

/** A place for backups. Secrets stand in files that only root reads, never in here. */
export type StoreConfig =
  | { readonly kind: 'directory'; readonly path: string }
  | {
      readonly kind: 's3'
      readonly bucket: string
      /** Without slashes at its ends; '' for none. */
      readonly prefix: string
      /** Of a server that is not Amazon's: `https://s3.example.net`. The bucket is then part of the path, not of the host's name. */
      readonly endpoint?: string
      readonly region: string
      /** As the AWS tools write it: `aws_access_key_id = …` and `aws_secret_access_key = …`. Absent: from the environment of the machine. */
      readonly credentialsFile?: string
    }
  | {
      readonly kind: 'sftp'
      readonly host: string
      readonly port: number
      readonly user: string
      /** On the server. */
      readonly path: string
      readonly keyFile?: string
      readonly passwordFile?: string
      /** As OpenSSH writes it. A server that it does not know is never talked to. */
      readonly knownHostsFile: string
    }

/** How many of each are kept: the youngest good backup of each of the last so many hours, days, weeks (from Monday) and months in which there is one. All in UTC. */
export interface Keep {
  readonly hourly: number
  readonly daily: number
  readonly weekly: number
  readonly monthly: number
}

/** Of one group. */
export interface BackupConfig {
  readonly store: StoreConfig
  /** A cron expression, in UTC; null: only when somebody asks. */
  readonly schedule: string | null
  readonly keep: Keep
  /** `auto`: zstd where this Node has it, gzip elsewhere. */
  readonly compression: 'auto' | 'gzip' | 'none'
  /** 32 bytes, or 64 hex digits. Absent: not encrypted. */
  readonly encryptionKeyFile?: string
  /** Of the dataset, in a second; null: as fast as it goes. */
  readonly maxBytesPerS: number | null
  /** Whether each one is loaded by a redis-server of its own before it counts. */
  readonly test: boolean
  /** Whether what is written between two backups is archived as it comes; null: it is not. */
  readonly stream: StreamConfig | null
}

export interface StreamConfig {
  /** So far back every moment can be restored. */
  readonly keepMs: number
  /** What has come is put into the store after so long. */
  readonly flushMs: number
}

/** The Sentinels of a group (`mode: sentinel`). */
export interface SentinelConfig {
  /** Where they run, with data or without: 3 or more. */
  readonly hosts: readonly string[]
  readonly port: number
  /** How many must find the primary down before one of them may begin a failover. */
  readonly quorum: number
  readonly downAfterMs: number
  readonly failoverTimeoutMs: number
  readonly parallelSyncs: number
  /** The Sentinels' own password (`requirepass` of the Sentinel), not that of redis. */
  readonly passwordFile?: string
  /** `external`: somebody else starts the Sentinels, and their configuration files are theirs. */
  readonly process: ProcessKind
}

export interface MigrationConfig {
  /** A new group promotes nobody and puts its address nowhere before another redis was moved to it. */
  readonly awaits: boolean
  /** A program that moves an address which is not Holdfast's: called with `to-group` or `to-source`, and the group's name. */
  readonly hook: string | null
  /** Where an older source finds its feed, on the host that holds the group. Absent: any port that is free. */
  readonly feedPort?: number
}

export interface GroupConfig {
  readonly name: string
  readonly mode: Mode
  /** Present in `mode: sentinel`, and only there. */
  readonly sentinel?: SentinelConfig
  readonly members: readonly MemberConfig[]
  readonly witness?: string
  readonly checkIps: readonly string[]
  /** Absent: the group begins by itself, and no hook is called. */
  readonly migration?: MigrationConfig
  readonly vip?: VipConfig
  /** A second address, for reads, at the freshest replica. */
  readonly readerVip?: VipConfig & { readonly vrid: number }
  /** VRRP virtual router id, 1..255; derived from the group's name unless given. Meaningless without a vip. */
  readonly vrid: number
  /** VRRP by unicast between the members instead of multicast. */
  readonly unicastPeer: boolean
  readonly port: number
  readonly passwordFile?: string
  readonly process: ProcessKind
  /** The user's own redis.conf, old directive names included. */
  readonly redisConf?: string
  /** Extra redis directives in order; a directive may occur more than once (`save`). */
  readonly redis: readonly (readonly [directive: string, value: string])[]
  /** Absent: as `redis` and `redisConf` say, on every member alike. */
  readonly persistence?: PersistenceByRole
  readonly durability: Durability
  /** How many members may fetch the whole dataset from one source at the same time. */
  readonly maxFullSyncs: number
  readonly failover: FailoverConfig
  readonly salvage: SalvageConfig
  /** Absent: none are made. */
  readonly backup?: BackupConfig
}

/** All hosts of a group whose agents talk to each other: those with data, the witness, and those that only run a Sentinel. */
export function hostsOf(group: GroupConfig): readonly string[] {
  return [...new Set([...group.members.map((m) => m.host), ...(group.witness === undefined ? [] : [group.witness]), ...(group.sentinel?.hosts ?? [])])]
}

export interface Config {
  /** Absolute path of the file it came from. */
  readonly file: string
  readonly api: { readonly port: number; readonly secretFile: string }
  readonly paths: {
    readonly state: string
    readonly run: string
    readonly redisServer: string
    readonly redisSentinel: string
    readonly keepalived: string
  }
  readonly hosts: Readonly<Record<string, HostConfig>>
  readonly groups: Readonly<Record<string, GroupConfig>>
}
