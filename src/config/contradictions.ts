/**
 * What is wrong between values that are each right: hosts, and groups against each other. One group by itself is in
 * `contradictions-group.ts`. Sees a tolerant Config (see `complete.ts`). Must report everything it finds, never only the first.
 */
import type { Config, GroupConfig } from '../model/config.ts'
import { nftTable } from '../model/paths.ts'
import type { Checked, Findings } from './checked.ts'
import { checkGroup } from './contradictions-group.ts'
import { ranges } from './defaults.ts'
import { parseIpv4, unusableReason } from './ipv4.ts'
import type { Finding } from './problem.ts'

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
    warnings: each.flatMap((found) => found.warnings),
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

function checkHosts({ config, has, kindOf, hostNames }: Checked): readonly Finding[] {
  const found: Finding[] = []
  const seen = new Map<string, string>()
  for (const name of hostNames) {
    const path = ['hosts', name, 'ip']
    if (!has(path) && kindOf(['hosts', name]) === 'map')
      found.push({ path: ['hosts', name], message: '`ip` is missing', accepted: 'ip: IPv4 address of the host', atKey: true })
    const held = Object.values(config.groups).filter(
      (group) => group.vip !== undefined && group.members.some((member) => member.host === name && !member.neverPrimary),
    )
    if (held.length > 0 && kindOf(['hosts', name]) === 'map' && !has(['hosts', name, 'interface'])) {
      found.push({
        path: ['hosts', name],
        message: `\`interface\` is missing; this host may hold the vip of ${held.map((group) => `\`${group.name}\``).join(', ')}`,
        accepted: 'interface: the network interface that carries `ip`; or `never_primary: true` for the member',
        atKey: true,
      })
    }
    const ip = config.hosts[name]?.ip
    if (ip === undefined) continue
    const reason = unusableReason(parseIpv4(ip) ?? 0)
    if (reason !== undefined) found.push({ path, message: `${ip} is ${reason}`, accepted: 'the address that other hosts reach this one by' })
    const other = seen.get(ip)
    if (other !== undefined) found.push({ path, message: `${ip} is also the ip of host \`${other}\``, accepted: 'one address for each host' })
    seen.set(ip, name)
  }
  return found
}

function checkVips(config: Config, groups: readonly GroupConfig[]): readonly Finding[] {
  const found: Finding[] = []
  const seen = new Map<string, string>()
  for (const { name, vip } of groups) {
    if (vip === undefined) continue
    const path = ['groups', name, 'vip']
    const host = Object.values(config.hosts).find(({ ip }) => ip === vip.ip)
    if (host !== undefined) found.push({ path, message: `${vip.ip} is the own ip of host \`${host.name}\``, accepted: 'an address that no host has' })
    const other = seen.get(vip.ip)
    if (other !== undefined) found.push({ path, message: `${vip.ip} is also the vip of group \`${other}\``, accepted: 'one address for each group' })
    seen.set(vip.ip, name)
  }
  return found
}

/** All VIP groups are taken to share one network: two routers with one id there answer each other's adverts. */
function checkVrids({ has }: Checked, groups: readonly GroupConfig[]): readonly Finding[] {
  const withVip = groups.filter((group) => group.vip !== undefined)
  const used = new Set(withVip.map((group) => group.vrid))
  const found: Finding[] = []
  const seen = new Map<number, string>()
  for (const { name, vrid } of withVip) {
    const other = seen.get(vrid)
    if (other === undefined) {
      seen.set(vrid, name)
      continue
    }
    let free: number = ranges.vrid.min
    while (used.has(free) && free < ranges.vrid.max) free += 1
    used.add(free)
    const explicit = has(['groups', name, 'vrid'])
    found.push({
      path: explicit ? ['groups', name, 'vrid'] : ['groups', name],
      message: `the VRRP router id ${vrid} ${explicit ? '' : '(derived from the name) '}is also that of group \`${other}\``,
      accepted: `an explicit \`vrid\` for one of them, such as \`vrid: ${free}\``,
      atKey: true,
    })
  }
  return found
}

/** Once for each pair of groups, and once for a group and the agent: the port to change is the same on every host. */
function checkPorts({ config, placed, has }: Checked, groups: readonly GroupConfig[]): readonly Finding[] {
  const seen = new Map<string, string>()
  const clashes = new Map<string, { finding: Omit<Finding, 'message'>; port: number; whose: string; hosts: string[] }>()
  for (const { name } of groups) {
    for (const { host, port, index } of placed[name] ?? []) {
      const own = ['groups', name, 'members', index, 'port']
      const ofGroup = ['groups', name, 'port']
      const path = has(own) ? own : has(ofGroup) ? ofGroup : ['groups', name]
      const other = seen.get(`${host} ${port}`)
      const whose =
        port === config.api.port ? "the agent's own (`api: port`)" : other === undefined || other === name ? undefined : `also that of group \`${other}\``
      seen.set(`${host} ${port}`, other ?? name)
      if (whose === undefined) continue
      const key = JSON.stringify([path, port, whose])
      const clash = clashes.get(key) ?? {
        finding: { path, accepted: 'a `port` of its own for each group on a host', atKey: path.length === 2 },
        port,
        whose,
        hosts: [],
      }
      clash.hosts.push(`\`${host}\``)
      clashes.set(key, clash)
    }
  }
  return [...clashes.values()].map(({ finding, port, whose, hosts }) => ({
    ...finding,
    message: `port ${port} on ${[...new Set(hosts)].join(', ')} is ${whose}`,
  }))
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
