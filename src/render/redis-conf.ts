/**
 * redis.conf of one member. PURE. The user's file first, then the `redis:` map, then what Holdfast decides: redis lets the
 * last line win, so nothing the user wrote can undo the fence.
 * BORN FENCED (INV-2): the file always says "replica of nobody". A redis that starts from it takes no write and wipes no
 * replica before a decision promotes it. Must not contain a path by which that line could be absent.
 */
import { assert } from '../model/assert.ts'
import type { Config, GroupConfig, MemberConfig } from '../model/config.ts'
import { persistenceDirectives, type Persistence } from '../model/persistence.ts'
import { isLoopback, listenIp } from '../model/local-address.ts'
import { redisDataDir, redisLogFile } from '../model/paths.ts'
import { sentinelUser } from '../model/sentinel.ts'
import { argsFor, managedReason, modernName, nameFor, quoteWord, readConf, splitWords } from './redis-directives.ts'
import type { ServerVersion } from './redis-directives.ts'
import { sentinelUserRules } from './sentinel-user.ts'

export interface RedisConfInput {
  readonly config: Config
  readonly group: GroupConfig
  readonly member: MemberConfig
  readonly password: string | undefined
  /** Valid beside it, while it is changed: clients get time. */
  readonly otherPassword?: string | undefined
  readonly serverVersion: ServerVersion
  readonly userConf?: string | undefined
  /** What the redis that runs has: the file is to say the same. Absent: what a replica starts with. */
  readonly persistence?: Persistence
  /** This start loads this file, whatever `appendonly` is configured. */
  readonly load?: 'aof' | 'rdb'
  /** SHA-256 of the password of the user as whom Sentinels come: in mode sentinel, and only there. */
  readonly sentinelKeys?: readonly string[] | undefined
}

export interface RedisConf {
  readonly text: string
  /** What was left out of the user's file, and why: for the log and for `holdfast render`. */
  readonly notes: readonly string[]
}

/**
 * `durability: safe`: redis counts a replica as attached for so long after its last acknowledgement. They come once a second, and redis
 * counts whole seconds: with 1, an acknowledgement that is some milliseconds late refuses writes for a second.
 */
export const safeMaxLagS = 2

/** redis' own default: an acknowledgement that is older than ten seconds does not count. */
const defaultMaxLagS = 10

export interface MinReplicas {
  readonly toWrite: string
  readonly maxLag: string
}

/** What a redis would have of its user's configuration, and what `safe` starts it with instead; null: not safe. */
export function safeLimits(group: GroupConfig, userConf: string | undefined): { readonly own: MinReplicas; readonly ours: MinReplicas } | null {
  if (group.durability !== 'safe') return null
  const given = [...readConf(userConf ?? '').lines.map(({ directive, args }): Directive => [directive, ...args]), ...redisKey(group)]
  const lastOf = (name: string, otherwise: number) => given.findLast(([directive]) => modernName(directive) === name)?.[1] ?? String(otherwise)
  const own = { toWrite: lastOf('min-replicas-to-write', 0), maxLag: lastOf('min-replicas-max-lag', defaultMaxLagS) }
  const maxLag = given.some(([directive]) => modernName(directive) === 'min-replicas-max-lag') && Number(own.maxLag) >= 1 ? own.maxLag : String(safeMaxLagS)
  return { own, ours: { toWrite: Number(own.toWrite) >= 1 ? own.toWrite : '1', maxLag } }
}

export type Directive = readonly [name: string, ...args: string[]]

function redisKey(group: GroupConfig): readonly Directive[] {
  return group.redis.map(([name, value]): Directive => [name, ...valueWords(name, value)])
}

/** Stands in a file that says another `appendonly` than the one configured. */
export const otherAofMark = 'For this start only: loads the file that held the data; `appendonly` is set as configured when that is done'

/** What the group's user wants of redis, beside what is Holdfast's to decide. The last line of a name wins, as in redis. */
export function userDirectives(group: GroupConfig, userConf: string | undefined): readonly Directive[] {
  const names = group.redis.map(([name]) => name)
  return [...carryOver(userConf ?? '', [], names).kept, ...redisKey(group)]
}

/** Does the configuration ask for an AOF? */
export function wantsAof(group: GroupConfig, userConf: string | undefined): boolean {
  // Born as a replica of nobody: what it has as a primary is set when it is one.
  if (group.persistence !== undefined) return group.persistence.replica.aof !== 'off'
  return (
    userDirectives(group, userConf)
      .findLast(([name]) => modernName(name) === 'appendonly')?.[1]
      ?.toLowerCase() === 'yes'
  )
}

/** What a crash has torn off the end of an AOF: may it be cut? redis' own default is yes. */
export function cutsTornAof(group: GroupConfig, userConf: string | undefined): boolean {
  const given = [...readConf(userConf ?? '').lines.map(({ directive, args }): Directive => [directive, ...args]), ...redisKey(group)]
  return given.findLast(([name]) => name.toLowerCase() === 'aof-load-truncated')?.[1]?.toLowerCase() !== 'no'
}

/** Directives of which each line adds to the ones before, so a later one does not replace the user's. */
const additive: readonly string[] = ['client-output-buffer-limit', 'loadmodule', 'user']

export function renderRedisConf(input: RedisConfInput): RedisConf {
  const { config, group, member, serverVersion } = input
  const extra = redisKey(group)
  const managed = [...managedDirectiveList(input), ...safeList(input), ...persistenceList(input)]
  const user = carryOver(
    input.userConf ?? '',
    managed,
    group.redis.map(([name]) => name),
    group.persistence !== undefined,
  )
  const given = new Set([...user.kept, ...extra].map(([name]) => modernName(name)))
  const defaults = softDefaults().filter(([name]) => !given.has(name))
  const section = (title: string, list: readonly Directive[]): string[] =>
    list.length === 0 ? [] : ['', `# ${title}`, ...list.map((directive) => confLine(serverVersion, directive))]
  const text = [
    `# Written by holdfast for group ${group.name} on ${member.host}. Changes are lost: change ${config.file} instead.`,
    ...section('Defaults that the user did not set', defaults),
    ...section(`From ${group.redisConf ?? 'redis_conf'}`, user.kept),
    ...section('From the `redis` key', extra),
    ...section('Decided by holdfast. BORN FENCED: a replica of nobody until it is promoted', managed),
    ...(input.load === undefined ? [] : section(otherAofMark, [['appendonly', input.load === 'aof' ? 'yes' : 'no']])),
    '',
  ].join('\n')
  return { text, notes: user.notes }
}

/**
 * 64 MB of backlog: after a failover the old primary's gap must fit, or it needs a full copy; 1 MB is passed in a second.
 * No diskless sync (the default from redis 7 on): after one, the command stream starts only with the replica's next ACK, up to a
 * second after it shows its link as up. A crash in that second lost 1,715 of 9,568 writes in twenty failovers; from disk, none.
 * 60 s keepalive: replicas and clients of a host that vanished are noticed in minutes, not in hours (0 before redis 3.2).
 */
function softDefaults(): readonly Directive[] {
  return [
    ['repl-backlog-size', '64mb'],
    ['tcp-keepalive', '60'],
    ['repl-diskless-sync', 'no'],
  ]
}

function managedDirectiveList(input: RedisConfInput): readonly Directive[] {
  const { config, group, member, password, serverVersion } = input
  const host = config.hosts[member.host]
  assert(host !== undefined, `host ${member.host} is in the configuration`)
  const atLeast = (major: number, minor: number): boolean => serverVersion.major > major || (serverVersion.major === major && serverVersion.minor >= minor)
  const list: (Directive | false)[] = [
    ['daemonize', 'no'],
    ['port', String(member.port)],
    ['bind', listenIp(config, member.host)],
    // Else a replica would come from 127.0.0.1, as the replicas of all hosts of that machine.
    isLoopback(host.ip) && atLeast(7, 0) && ['bind-source-addr', host.ip],
    atLeast(3, 2) && ['protected-mode', 'no'],
    ['dir', redisDataDir(config.paths, group.name)],
    ['dbfilename', 'dump.rdb'],
    ['logfile', redisLogFile(config.paths, group.name)],
    password !== undefined && ['requirepass', password],
    password !== undefined && ['masterauth', password],
    ...bothPasswords(input, atLeast(6, 2)),
    ['replica-read-only', 'yes'],
    ['replica-serve-stale-data', 'yes'],
    // For a Sentinel, lower is better and 0 is never; for holdfast, higher is better. Real Sentinels select nobody whose agent has not judged its data yet.
    ['replica-priority', member.neverPrimary || input.sentinelKeys !== undefined ? '0' : String(256 - member.priority)],
    // BORN CLOSED: no Sentinel gives orders to a redis before its agent has looked at it.
    input.sentinelKeys !== undefined && ['user', sentinelUser, ...sentinelUserRules(input.sentinelKeys, false)],
    // Only from 4.0: the primary then lists each replica by the address that the configuration knows.
    atLeast(4, 0) && ['replica-announce-ip', host.ip],
    ['repl-diskless-sync-delay', '0'],
    ['repl-backlog-ttl', '0'],
    // What is cut off an AOF is kept (INV-6), and redis cuts without a copy: 7.0 and later even the end of a file in the middle.
    ['aof-load-truncated', 'no'],
    ['replicaof', '127.0.0.1', '1'],
  ]
  return list.filter((entry) => entry !== false)
}

/** Instead of what `requirepass` says of that user. Redis before 6.2 knows no rights on channels. */
function bothPasswords({ password, otherPassword }: RedisConfInput, hasChannels: boolean): readonly Directive[] {
  if (password === undefined || otherPassword === undefined) return []
  return [['user', 'default', 'on', `>${password}`, `>${otherPassword}`, '~*', ...(hasChannels ? ['&*'] : []), '+@all']]
}

/** On every member: who is promoted refuses writes from the first moment on, until a replica acknowledges. */
function safeList({ group, userConf }: RedisConfInput): readonly Directive[] {
  const limits = safeLimits(group, userConf)
  if (limits === null) return []
  return [
    ['min-replicas-to-write', limits.ours.toWrite],
    ['min-replicas-max-lag', limits.ours.maxLag],
  ]
}

/** `save` adds up from line to line, and without a line redis has its own. */
function persistenceList({ group, persistence }: RedisConfInput): readonly Directive[] {
  if (group.persistence === undefined) return []
  const { save, aof } = persistence ?? group.persistence.replica
  return [
    ...(save.length === 0 ? [['save', ''] as const] : save.map(({ seconds, changes }) => ['save', String(seconds), String(changes)] as const)),
    ['appendonly', aof === 'off' ? 'no' : 'yes'],
    ...(aof === 'off' ? [] : [['appendfsync', aof] as const]),
    ['auto-aof-rewrite-percentage', String(group.persistence.rewritePercentage)],
    ['auto-aof-rewrite-min-size', String(group.persistence.rewriteMinBytes)],
  ]
}

/** What a user's file loses, without knowing the server: for `holdfast check`. */
export function leftOut(group: GroupConfig, userConf: string): readonly string[] {
  return carryOver(
    userConf,
    [],
    group.redis.map(([name]) => name),
    group.persistence !== undefined,
  ).notes
}

/** The user's lines that stay, and a note for each that does not. A line that says what Holdfast says needs no note. */
function carryOver(userConf: string, managed: readonly Directive[], extraNames: readonly string[], byRole = false): { kept: Directive[]; notes: string[] } {
  const kept: Directive[] = []
  const found: [line: number, note: string][] = []
  const conf = readConf(userConf)
  const replaced = new Set(extraNames.map(modernName).filter((name) => !additive.includes(name)))
  const same = new Set(managed.map((directive) => JSON.stringify(directive)))
  for (const { line: at, why } of conf.broken) found.push([at, `${why}; left out`])
  for (const { line: at, directive, args } of conf.lines) {
    const name = modernName(directive)
    const reason = managedReason(name)
    if (reason !== undefined) {
      if (!same.has(JSON.stringify([name, ...args]))) found.push([at, `\`${directive}\` is Holdfast's to decide; left out (${reason})`])
    } else if (name === 'user' && args[0] === 'default') {
      found.push([at, `\`user default\` is Holdfast's to decide; left out (agents and replicas are that user; use \`password_file\`)`])
    } else if (name === 'user' && args[0] === sentinelUser) {
      found.push([at, `\`user ${sentinelUser}\` is Holdfast's to decide; left out (Sentinels come as that user)`])
    } else if (byRole && persistenceDirectives.some((one) => one === name)) {
      found.push([at, `\`${directive}\` is replaced by the \`persistence\` key of the group; left out`])
    } else if (replaced.has(name)) {
      found.push([at, `\`${directive}\` is replaced by the \`redis\` key of the group; left out`])
    } else kept.push([name, ...args])
  }
  const notes = found.toSorted(([one], [two]) => one - two).map(([at, note]) => `line ${at}: ${note}`)
  return { kept, notes }
}

/** `save: "900 1"` is two arguments; an empty value is one empty argument (`save ""`). A user's quotes are kept as quotes. */
function valueWords(name: string, value: string): readonly string[] {
  const split = splitWords(value)
  assert(split.ok, `the value of ${name} was checked when the configuration was loaded`)
  return split.words.length === 0 ? [''] : split.words
}

export function confLine(version: ServerVersion, [name, ...args]: Directive): string {
  return [nameFor(version, name), ...argsFor(version, name, args).map(quoteWord)].join(' ')
}
