/**
 * What is wrong between values that are each right: hosts, and groups against each other. One group by itself is in
 * `contradictions-group.ts`. Sees a tolerant Config (see `complete.ts`). Must report everything it finds, never only the first.
 */
import type { Config, GroupConfig } from '../model/config.ts'
import { nftTable } from '../model/paths.ts'
import type { Checked, Findings } from './checked.ts'
import { checkGroup } from './contradictions-group.ts'
import { ranges } from './defaults.ts'
import { addressesOf, mayHold } from './contradictions-vip.ts'
import type { AddressKey } from './contradictions-vip.ts'
import { isLoopback, parseIpv4, unusableReason } from './ipv4.ts'
import type { Finding, KeyPath } from './problem.ts'

const namePattern = /^[A-Za-z0-9][A-Za-z0-9_-]{0,31}$/

export function findContradictions(checked: Checked): Findings {
  const groups = Object.values(checked.config.groups)
  const each = groups.map((group) => checkGroup(checked, group))
  return {
    problems: [
      ...checkPresence(checked),
      ...checkNames(checked),
      ...checkHosts(checked),
      ...each.flatMap((found) => found.problems),
      ...checkVips(checked.config, groups),
      ...checkVrids(checked, groups),
      ...checkPorts(checked, groups),
      ...checkTables(groups),
    ],
    warnings: [...warnOfTrial(checked.config), ...each.flatMap((found) => found.warnings)],
  }
}

function checkPresence({ has }: Checked): readonly Finding[] {
  const sections = [
    { key: 'hosts', accepted: 'a name for each host, with `ip` and `interface`' },
    { key: 'groups', accepted: 'a name for each group, with `members` and `vip`' },
  ]
  return sections.filter(({ key }) => !has([key])).map(({ key, accepted }) => ({ path: [key], message: 'is missing', accepted }))
}

/** Names become file names, nft tables, keepalived instances and parts of URLs. */
function checkNames({ config, hostNames }: Checked): readonly Finding[] {
  const named = [...hostNames.map((name) => ['hosts', name] as const), ...Object.keys(config.groups).map((name) => ['groups', name] as const)]
  return named
    .filter(([, name]) => !namePattern.test(name))
    .map((path) => ({
      path,
      message: 'is not usable as a name',
      accepted: '1 to 32 letters, digits, `-` or `_`, the first a letter or digit',
      atKey: true,
    }))
}

function checkHosts(checked: Checked): readonly Finding[] {
  const { config, has, kindOf, hostNames } = checked
  const found: Finding[] = []
  const seen = new Map<string, string>()
  for (const name of hostNames) {
    const path = ['hosts', name, 'ip']
    if (!has(path) && kindOf(['hosts', name]) === 'map')
      found.push({ path: ['hosts', name], message: '`ip` is missing', accepted: 'ip: IPv4 address of the host', atKey: true })
    found.push(...checkInterface(checked, name))
    const ip = config.hosts[name]?.ip
    if (ip === undefined) continue
    const reason = isTrial(config) ? undefined : unusableReason(parseIpv4(ip) ?? 0)
    if (reason !== undefined) {
      const trial = isLoopback(parseIpv4(ip) ?? 0) ? '; for a trial on one machine, loopback addresses for all hosts' : ''
      found.push({ path, message: `${ip} is ${reason}`, accepted: `the address that other hosts reach this one by${trial}` })
    }
    const other = seen.get(ip)
    if (other !== undefined) found.push({ path, message: `${ip} is also the ip of host \`${other}\``, accepted: 'one address for each host' })
    seen.set(ip, name)
  }
  return found
}

function checkInterface({ config, has, kindOf }: Checked, name: string): readonly Finding[] {
  if (kindOf(['hosts', name]) !== 'map' || has(['hosts', name, 'interface'])) return []
  const held = Object.values(config.groups).flatMap((group) =>
    addressesOf(group)
      .filter(({ key }) => group.members.some((member) => member.host === name && mayHold(key, member)))
      .map(({ key }) => ({ key, text: `the ${key} of \`${group.name}\`` })),
  )
  if (held.length === 0) return []
  const without = held.some(({ key }) => key === 'reader_vip') ? '' : '; or `never_primary: true` for the member'
  return [
    {
      path: ['hosts', name],
      message: `\`interface\` is missing; this host may hold ${held.map(({ text }) => text).join(', ')}`,
      accepted: `interface: the network interface that carries \`ip\`${without}`,
      atKey: true,
    },
  ]
}

/** All hosts on loopback addresses: one machine that plays them all. One of them among real ones would be cut off from the others. */
function isTrial({ hosts }: Config): boolean {
  const ips = Object.values(hosts).map(({ ip }) => parseIpv4(ip) ?? 0)
  return ips.length > 0 && ips.every(isLoopback)
}

function warnOfTrial(config: Config): readonly Finding[] {
  if (!isTrial(config)) return []
  return [{ path: ['hosts'], message: 'all hosts have loopback addresses: a trial on one machine, which survives the loss of none', atKey: true }]
}

function checkVips(config: Config, groups: readonly GroupConfig[]): readonly Finding[] {
  const found: Finding[] = []
  const seen = new Map<string, string>()
  for (const group of groups) {
    for (const { key, vip } of addressesOf(group)) {
      const path = ['groups', group.name, key]
      const host = Object.values(config.hosts).find(({ ip }) => ip === vip.ip)
      if (host !== undefined) found.push({ path, message: `${vip.ip} is the own ip of host \`${host.name}\``, accepted: 'an address that no host has' })
      const other = seen.get(vip.ip)
      if (other !== undefined) found.push({ path, message: `${vip.ip} is also ${other}`, accepted: 'an address of its own for each' })
      seen.set(vip.ip, `the ${key} of group \`${group.name}\``)
    }
  }
  return found
}

/** All groups with an address are taken to share one network: two routers with one id there answer each other's adverts. */
function checkVrids({ has }: Checked, groups: readonly GroupConfig[]): readonly Finding[] {
  const all = groups.flatMap((group) => addressesOf(group).map(({ key, vrid }) => ({ name: group.name, key, vrid })))
  const used = new Set(all.map(({ vrid }) => vrid))
  const found: Finding[] = []
  const seen = new Map<number, { readonly name: string; readonly key: AddressKey }>()
  for (const { name, key, vrid } of all) {
    const other = seen.get(vrid)
    if (other === undefined) {
      seen.set(vrid, { name, key })
      continue
    }
    let free: number = ranges.vrid.min
    while (used.has(free) && free < ranges.vrid.max) free += 1
    used.add(free)
    const own = key === 'vip' ? 'vrid' : 'reader_vrid'
    const explicit = has(['groups', name, own])
    found.push({
      path: explicit ? ['groups', name, own] : ['groups', name],
      message: `the VRRP router id ${vrid} ${key === 'vip' ? '' : 'of the reader_vip '}${explicit ? '' : '(derived from the name) '}is also that of ${other.key === 'vip' ? '' : 'the reader_vip of '}group \`${other.name}\``,
      accepted: `an explicit \`${own}\` for one of them, such as \`${own}: ${free}\``,
      atKey: true,
    })
  }
  return found
}

interface Listener {
  readonly group: string
  readonly kind: 'redis' | 'Sentinel' | 'feed'
  readonly host: string
  readonly port: number
  /** The key that says it: the most special one that was written. */
  readonly path: KeyPath
}

function listenersOf({ placed, has }: Checked, group: GroupConfig): readonly Listener[] {
  const written = (...paths: readonly KeyPath[]): KeyPath => paths.find(has) ?? ['groups', group.name]
  const redis = (placed[group.name] ?? []).map(({ host, port, index }): Listener => {
    const path = written(['groups', group.name, 'members', index, 'port'], ['groups', group.name, 'port'])
    return { group: group.name, kind: 'redis', host, port, path }
  })
  const { hosts = [], port = 0 } = group.sentinel ?? {}
  const path = written(['groups', group.name, 'sentinel', 'port'])
  const sentinels = [...new Set(hosts)].map((host): Listener => ({ group: group.name, kind: 'Sentinel', host, port, path }))
  const { feedPort } = group.migration ?? {}
  const feed = written(['groups', group.name, 'migration', 'feed_port'])
  const feeds = feedPort === undefined ? [] : redis.map(({ host }): Listener => ({ group: group.name, kind: 'feed', host, port: feedPort, path: feed }))
  return [...redis, ...sentinels, ...feeds]
}

const portKeys: Readonly<Record<Listener['kind'], string>> = { redis: 'port', Sentinel: 'sentinel: port', feed: 'migration: feed_port' }

/** Once for each pair, and once for a group and the agent: the port to change is the same on every host. */
function checkPorts(checked: Checked, groups: readonly GroupConfig[]): readonly Finding[] {
  const seen = new Map<string, Listener>()
  const clashes = new Map<string, { finding: Omit<Finding, 'message'>; port: number; whose: string; hosts: string[] }>()
  for (const listener of groups.flatMap((group) => listenersOf(checked, group))) {
    const { kind, host, port, path } = listener
    const other = seen.get(`${host} ${port}`)
    const whose = port === checked.config.api.port ? "the agent's own (`api: port`)" : other === undefined ? undefined : whoseOf(listener, other)
    seen.set(`${host} ${port}`, other ?? listener)
    if (whose === undefined) continue
    const key = JSON.stringify([path, port, whose])
    const accepted = `a \`${portKeys[kind]}\` of its own for each group on a host`
    const clash = clashes.get(key) ?? { finding: { path, accepted, atKey: path.length === 2 }, port, whose, hosts: [] }
    clash.hosts.push(`\`${host}\``)
    clashes.set(key, clash)
  }
  return [...clashes.values()].map(({ finding, port, whose, hosts }) => ({
    ...finding,
    message: `port ${port} on ${[...new Set(hosts)].join(', ')} is ${whose}`,
  }))
}

/** undefined: a member that stands twice in its group, which is a problem of its own. */
function whoseOf(one: Listener, other: Listener): string | undefined {
  if (other.group === one.group && other.kind === one.kind) return undefined
  if (one.kind === 'redis' && other.kind === 'redis') return `also that of group \`${other.group}\``
  const of = other.group === one.group ? '' : ` of group \`${other.group}\``
  return `also that of the ${other.kind}${of}`
}

/** nft knows no dash, so `a-b` and `a_b` would write, and delete, one and the same table. */
function checkTables(groups: readonly GroupConfig[]): readonly Finding[] {
  const seen = new Map<string, string>()
  return groups.flatMap(({ name }) => {
    const other = seen.get(nftTable(name))
    seen.set(nftTable(name), name)
    return other === undefined
      ? []
      : [
          {
            path: ['groups', name],
            message: `differs from group \`${other}\` only in \`-\` and \`_\``,
            accepted: 'names that differ in a letter or digit',
            atKey: true,
          },
        ]
  })
}
