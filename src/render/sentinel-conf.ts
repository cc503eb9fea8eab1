/**
 * sentinel.conf of one host and group, as a Sentinel is started with it FOR THE FIRST TIME. PURE. From then on the file is the Sentinel's own
 * memory (its id, votes, epochs, whom it knows), and what changes is told to the Sentinel (agent/sentinel.ts). The directives are
 * the same in redis 6.2 to 8 and Valkey.
 */
import { assert } from '../model/assert.ts'
import type { Config, GroupConfig, SentinelConfig } from '../model/config.ts'
import { isLoopback } from '../model/local-address.ts'
import { sentinelDir, sentinelLogFile } from '../model/paths.ts'
import { sentinelUser, type SentinelSettings, type Watched } from '../model/sentinel.ts'
import { quoteWord, readConf } from './redis-directives.ts'

export interface SentinelConfInput {
  readonly config: Config
  readonly group: GroupConfig
  readonly host: string
  /** Of the user as whom it comes to redis. */
  readonly userPassword: string
  /** The Sentinels' own. */
  readonly password: string | undefined
  /** Valid beside it, while it is changed. */
  readonly otherPassword?: string | undefined
  /** With its epoch, where that is known: a Sentinel that begins at 0 would take up any older word. */
  readonly watched: Watched
}

export function renderSentinelConf(input: SentinelConfInput): string {
  const { config, group, host, password, otherPassword, watched } = input
  const sentinel = settingsOf(group)
  const ip = config.hosts[host]?.ip
  assert(ip !== undefined, `host ${host} is in the configuration`)
  const lines: (readonly string[] | false)[] = [
    ['port', String(sentinel.port)],
    // A trial of several hosts on one machine: each has a loopback address of its own.
    isLoopback(ip) && ['bind', ip],
    ['protected-mode', 'no'],
    ['daemonize', 'no'],
    ['dir', sentinelDir(config.paths, group.name)],
    ['logfile', sentinelLogFile(config.paths, group.name)],
    password !== undefined && ['requirepass', password],
    password !== undefined && ['sentinel', 'sentinel-pass', password],
    // Goes before `requirepass`.
    password !== undefined && otherPassword !== undefined && ['user', 'default', 'on', `>${password}`, `>${otherPassword}`, '~*', '&*', '+@all'],
    ['sentinel', 'announce-ip', ip],
    ['sentinel', 'announce-port', String(sentinel.port)],
    ['sentinel', 'resolve-hostnames', 'no'],
    ...(watched === 'nobody' ? [] : watching(input, watched)),
  ]
  const text = lines.filter((line) => line !== false).map((line) => line.map(quoteWord).join(' '))
  return [`# Written by holdfast for group ${group.name} on ${host}, once. From then on this file is the Sentinel's own.`, ...text, ''].join('\n')
}

function watching({ config, group, userPassword }: SentinelConfInput, watched: Exclude<Watched, 'nobody'>): readonly (readonly string[])[] {
  const sentinel = settingsOf(group)
  const { ip, port } = monitoredOf(config, group, watched?.host ?? null)
  const { epoch } = watched ?? { epoch: 0 }
  const epochs = [
    ['sentinel', 'config-epoch', group.name, String(epoch)],
    ['sentinel', 'current-epoch', String(epoch)],
  ]
  return [
    ['sentinel', 'monitor', group.name, ip, String(port), String(sentinel.quorum)],
    ...settingWords(sentinel).map(([name, value]) => ['sentinel', name, group.name, value]),
    ['sentinel', 'auth-user', group.name, sentinelUser],
    ['sentinel', 'auth-pass', group.name, userPassword],
    ...(epoch > 0 ? epochs : []),
  ]
}

/** By the names that sentinel.conf and SENTINEL SET share. The quorum is set too, but stands in `sentinel monitor`. */
export function settingWords(sentinel: SentinelSettings): readonly (readonly [name: string, value: string])[] {
  return [
    ['down-after-milliseconds', String(sentinel.downAfterMs)],
    ['failover-timeout', String(sentinel.failoverTimeoutMs)],
    ['parallel-syncs', String(sentinel.parallelSyncs)],
  ]
}

/** Whom a Sentinel that knows nothing is told to watch: the holder, else the first member. */
export function monitoredOf(config: Config, group: GroupConfig, holder: string | null): { readonly host: string; readonly ip: string; readonly port: number } {
  const member = group.members.find((m) => m.host === holder) ?? group.members[0]
  assert(member !== undefined, `group ${group.name} has members`)
  return { host: member.host, ip: config.hosts[member.host]?.ip ?? '', port: member.port }
}

export function settingsOf(group: GroupConfig): SentinelConfig {
  assert(group.sentinel !== undefined, `group ${group.name} has Sentinels`)
  return group.sentinel
}

/** The same memory (votes, epochs, whom it knows) under another id, and at the address of its host: what is wrong with a copied file. */
export function withIdentity(text: string, id: string, ip: string): string {
  const replaced = ['myid', 'announce-ip']
  const kept = text.split('\n').filter((line) => {
    const [directive, word] = line.trim().toLowerCase().split(/\s+/)
    return directive !== 'sentinel' || word === undefined || !replaced.includes(word)
  })
  return [`sentinel myid ${id}`, `sentinel announce-ip ${quoteWord(ip)}`, ...kept].join('\n')
}

/** What a sentinel.conf that exists is: this group's, another's, or nothing that a Sentinel could have written. */
export interface SentinelMemory {
  readonly kind: 'ours' | 'other' | 'unreadable'
  readonly port: number | null
  /** A Sentinel has written it. */
  readonly begun: boolean
  /** It watches the group: SENTINEL REMOVE ends that. */
  readonly watches: boolean
  /** As whom it comes to redis; null: as nobody. */
  readonly user: string | null
  readonly userPassword: string | null
  /** With which it comes to the other Sentinels; null: with none. */
  readonly password: string | null
}

export function readSentinelConf(text: string, group: string): SentinelMemory {
  const conf = readConf(text)
  const statements = conf.lines.filter((l) => l.directive === 'sentinel').map((l) => l.args)
  const monitored = statements.filter(([word]) => word?.toLowerCase() === 'monitor').map(([, name]) => name)
  const wordOf = (word: string): string | null => statements.findLast(([found, name]) => found?.toLowerCase() === word && name === group)?.[2] ?? null
  const port = conf.lines.findLast((l) => l.directive === 'port')?.args[0]
  const begun = statements.some(([word]) => word?.toLowerCase() === 'myid')
  // One that was told to forget the group still remembers who it is.
  const isOurs = monitored.includes(group) || (begun && monitored.length === 0)
  return {
    kind: conf.broken.length > 0 ? 'unreadable' : isOurs ? 'ours' : monitored.length > 0 ? 'other' : 'unreadable',
    begun,
    watches: monitored.includes(group),
    port: port === undefined ? null : Number(port),
    user: wordOf('auth-user'),
    userPassword: wordOf('auth-pass'),
    password: statements.findLast(([word]) => word?.toLowerCase() === 'sentinel-pass')?.[1] ?? null,
  }
}
