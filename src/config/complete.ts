/**
 * What the operator wrote plus the defaults → a complete Config. Tolerant: a host or member that cannot be understood is left
 * out, because its problem is reported elsewhere and the others still need checking. A Config is only handed out when
 * there was no problem at all. Must not check anything.
 */
import { dirname, resolve } from 'node:path'
import type { BackupConfig, Config, FailoverConfig, GroupConfig, HostConfig, MemberConfig, SentinelConfig, StoreConfig, StreamConfig } from '../model/config.ts'
import { defaultPriority, defaultQuorum, defaults, defaultSentinels, derivedVrid } from './defaults.ts'
import type { Persistence, PersistenceByRole } from '../model/persistence.ts'
import type { Draft, DraftBackup, DraftGroup, DraftMember, RoleText } from './schema.ts'

/** A member with its place in the list, which a tolerant reading would otherwise lose. */
export type PlacedMember = MemberConfig & { readonly index: number; readonly explicitPriority: boolean }

export interface Completed {
  readonly config: Config
  readonly placed: Readonly<Record<string, readonly PlacedMember[]>>
}

export function complete(draft: Draft, file: string): Completed {
  const absolute = resolve(file)
  /** Relative to the configuration file, so that the meaning does not depend on where a command is started. */
  const inConfigDir = (path: string): string => resolve(dirname(absolute), path)
  const program = (name: string): string => (name.includes('/') ? inConfigDir(name) : name)
  const hosts: Record<string, HostConfig> = {}
  for (const [name, host] of Object.entries(draft.hosts ?? {})) {
    if (host?.ip !== undefined) hosts[name] = { name, ip: host.ip, ...(host.interface === undefined ? {} : { interface: host.interface }) }
  }
  const groups: Record<string, GroupConfig> = {}
  const placed: Record<string, readonly PlacedMember[]> = {}
  for (const [name, group] of Object.entries(draft.groups ?? {})) {
    const members = completeMembers(group ?? {})
    placed[name] = members
    groups[name] = completeGroup(name, group ?? {}, members, inConfigDir)
  }
  const paths = draft.paths ?? {}
  const config: Config = {
    file: absolute,
    api: { port: draft.api?.port ?? defaults.apiPort, secretFile: inConfigDir(draft.api?.secret_file ?? defaults.secretFile) },
    paths: {
      state: inConfigDir(paths.state ?? defaults.statePath),
      run: inConfigDir(paths.run ?? defaults.runPath),
      redisServer: program(paths.redis_server ?? defaults.redisServer),
      redisSentinel: program(paths.redis_sentinel ?? defaults.redisSentinel),
      keepalived: program(paths.keepalived ?? defaults.keepalived),
    },
    hosts,
    groups,
  }
  return { config, placed }
}

/** A default priority steps aside for one that was written, so naming one member's priority never clashes. */
function completeMembers(group: DraftGroup): readonly PlacedMember[] {
  const list: readonly (DraftMember | undefined)[] = group.members ?? []
  const taken = new Set(list.map((member) => member?.priority))
  return list.flatMap((member, index): PlacedMember[] => {
    if (member?.host === undefined) return []
    let priority = member.priority ?? defaultPriority(index)
    while (member.priority === undefined && taken.has(priority)) priority -= 1
    taken.add(priority)
    return [
      {
        index,
        explicitPriority: member.priority !== undefined,
        host: member.host,
        port: member.port ?? group.port ?? defaults.port,
        priority,
        neverPrimary: member.never_primary ?? false,
        ...(member.replicate_from === undefined ? {} : { replicateFrom: member.replicate_from }),
      },
    ]
  })
}

function completeGroup(name: string, group: DraftGroup, members: readonly PlacedMember[], inConfigDir: (path: string) => string): GroupConfig {
  const failover: FailoverConfig = {
    auto: group.failover?.auto ?? defaults.auto,
    hostLossMs: group.failover?.host_loss_ms ?? defaults.hostLossMs,
    unresponsiveMs: group.failover?.unresponsive_ms ?? defaults.unresponsiveMs,
    maxPauseMs: group.failover?.max_pause_ms ?? defaults.maxPauseMs,
  }
  return {
    name,
    mode: group.mode ?? defaults.mode,
    ...(group.mode === 'sentinel' ? { sentinel: completeSentinel(group, members, inConfigDir) } : {}),
    members: members.map(({ index: _index, explicitPriority: _explicit, ...member }) => member),
    ...(group.witness === undefined ? {} : { witness: group.witness }),
    checkIps: (group.check_ips ?? []).filter((ip) => ip !== undefined),
    ...(group.vip === undefined ? {} : { vip: { ip: group.vip.ip, prefix: group.vip.prefix } }),
    vrid: group.vrid ?? derivedVrid(name),
    ...(group.reader_vip === undefined ? {} : { readerVip: { ...group.reader_vip, vrid: group.reader_vrid ?? derivedVrid(`${name}:reader`) } }),
    unicastPeer: group.unicast_peer ?? defaults.unicastPeer,
    port: group.port ?? defaults.port,
    ...(group.password_file === undefined ? {} : { passwordFile: inConfigDir(group.password_file) }),
    process: group.process ?? defaults.process,
    ...(group.redis_conf === undefined ? {} : { redisConf: inConfigDir(group.redis_conf) }),
    redis: Object.entries(group.redis ?? {}).flatMap(([directive, values]) => (values ?? []).map((value) => [directive.toLowerCase(), value] as const)),
    ...(group.persistence === undefined ? {} : { persistence: completePersistence(group.persistence) }),
    durability: group.durability ?? defaults.durability,
    maxFullSyncs: group.max_full_syncs ?? defaults.maxFullSyncs,
    failover,
    ...(group.migration === undefined
      ? {}
      : {
          migration: {
            awaits: group.migration.awaits ?? false,
            hook: group.migration.hook === undefined ? null : inConfigDir(group.migration.hook),
            ...(group.migration.feed_port === undefined ? {} : { feedPort: group.migration.feed_port }),
          },
        }),
    salvage: {
      maxBytes: (group.salvage?.max_mib ?? defaults.salvageMaxMib) * 1024 ** 2,
      maxAgeMs: (group.salvage?.max_age_days ?? defaults.salvageMaxAgeDays) * 24 * 3_600_000,
    },
    ...(group.backup === undefined ? {} : { backup: completeBackup(group.backup, inConfigDir) }),
  }
}

function completeBackup(written: DraftBackup, inConfigDir: (path: string) => string): BackupConfig {
  const { schedule = defaults.backupSchedule, max_mib_per_s: mibPerS = defaults.backupMaxMibPerS, encryption_key_file: keyFile } = written
  return {
    store: completeStore(written, inConfigDir),
    schedule: schedule === false ? null : schedule,
    keep: {
      hourly: written.keep?.hourly ?? defaults.keep.hourly,
      daily: written.keep?.daily ?? defaults.keep.daily,
      weekly: written.keep?.weekly ?? defaults.keep.weekly,
      monthly: written.keep?.monthly ?? defaults.keep.monthly,
    },
    compression: written.compression ?? defaults.compression,
    ...(keyFile === undefined ? {} : { encryptionKeyFile: inConfigDir(keyFile) }),
    maxBytesPerS: mibPerS === 0 ? null : mibPerS * 1024 ** 2,
    test: written.test ?? defaults.backupTest,
    stream: written.stream === undefined ? null : completeStream(written.stream),
  }
}

function completeStream({ keep_days: days, flush_ms: flushMs }: NonNullable<DraftBackup['stream']>): StreamConfig {
  return { keepMs: (days ?? defaults.streamKeepDays) * 24 * 3_600_000, flushMs: flushMs ?? defaults.streamFlushMs }
}

/** What is needed and missing is reported elsewhere. */
function completeStore({ directory, s3, sftp }: DraftBackup, inConfigDir: (path: string) => string): StoreConfig {
  if (directory !== undefined) return { kind: 'directory', path: inConfigDir(directory) }
  if (s3 !== undefined)
    return {
      kind: 's3',
      bucket: s3.bucket ?? '',
      prefix: s3.prefix ?? '',
      ...(s3.endpoint === undefined ? {} : { endpoint: s3.endpoint }),
      region: s3.region ?? defaults.s3Region,
      ...(s3.credentials_file === undefined ? {} : { credentialsFile: inConfigDir(s3.credentials_file) }),
    }
  const { host = '', port = defaults.sftpPort, user = '', path = '', key_file: key, password_file: password, known_hosts_file: known } = sftp ?? {}
  return {
    kind: 'sftp',
    host,
    port,
    user,
    path,
    ...(key === undefined ? {} : { keyFile: inConfigDir(key) }),
    ...(password === undefined ? {} : { passwordFile: inConfigDir(password) }),
    knownHostsFile: known === undefined ? '' : inConfigDir(known),
  }
}

function completePersistence(written: NonNullable<DraftGroup['persistence']>): PersistenceByRole {
  const points = (written.save ?? []).filter((point) => point !== undefined)
  const save = points.length === 0 ? defaults.saves : points
  const of = (role: RoleText | undefined): Persistence => ({ save: role?.rdb === true ? save : [], aof: role?.aof ?? 'off' })
  return {
    primary: of(written.primary),
    replica: of(written.replica),
    rewritePercentage: written.rewrite_percentage ?? defaults.rewritePercentage,
    rewriteMinBytes: (written.rewrite_min_mib ?? defaults.rewriteMinMib) * 1024 ** 2,
  }
}

function completeSentinel(group: DraftGroup, members: readonly PlacedMember[], inConfigDir: (path: string) => string): SentinelConfig {
  const hosts = group.sentinels?.filter((host) => host !== undefined) ?? defaultSentinels(members.map(({ host }) => host))
  const written = group.sentinel ?? {}
  return {
    hosts,
    port: written.port ?? defaults.sentinelPort,
    quorum: written.quorum ?? defaultQuorum(hosts.length),
    downAfterMs: written.down_after_ms ?? defaults.downAfterMs,
    failoverTimeoutMs: written.failover_timeout_ms ?? defaults.failoverTimeoutMs,
    parallelSyncs: written.parallel_syncs ?? defaults.parallelSyncs,
    ...(written.password_file === undefined ? {} : { passwordFile: inConfigDir(written.password_file) }),
    process: written.process ?? group.process ?? defaults.process,
  }
}
