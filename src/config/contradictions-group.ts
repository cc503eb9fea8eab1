/**
 * What is wrong inside one group: its members, their order and cascade, its witness, its redis directives; its addresses are in
 * `contradictions-vip.ts`, its Sentinels in `contradictions-sentinel.ts`, its backups in `contradictions-backup.ts`. Each check names the key to change. Must not look at other groups; that
 * is `contradictions.ts`.
 */
import type { GroupConfig } from '../model/config.ts'
import { persistenceDirectives } from '../model/persistence.ts'
import { managedReason, modernName, splitWords } from '../render/redis-directives.ts'
import { unknownHost } from './checked.ts'
import type { Checked, Findings } from './checked.ts'
import type { PlacedMember } from './complete.ts'
import { ranges } from './defaults.ts'
import { checkBackup, warningsOfBackup } from './contradictions-backup.ts'
import { checkSentinel, warningsOfSentinel } from './contradictions-sentinel.ts'
import { checkAddresses } from './contradictions-vip.ts'
import { parseIpv4, unusableReason } from './ipv4.ts'
import type { Finding } from './problem.ts'

export function checkGroup(checked: Checked, group: GroupConfig): Findings {
  const members = checked.placed[group.name] ?? []
  return {
    problems: [
      ...checkMemberList(checked, group),
      ...checkMembers(checked, group, members),
      ...checkCascade(checked, group, members),
      ...checkWitness(checked, group),
      ...checkSentinel(checked, group),
      ...checkAddresses(checked, group, members),
      ...checkRedis(checked, group),
      ...checkSafe(checked, group),
      ...checkBackup(checked, group),
      ...checkPersistence(checked, group),
    ],
    warnings: [...warningsOf(checked, group), ...warningsOfSentinel(checked, group), ...warningsOfBackup(group)],
  }
}

function checkMemberList({ has, kindOf, placed }: Checked, group: GroupConfig): readonly Finding[] {
  const path = ['groups', group.name, 'members']
  const { min, max } = ranges.members
  const accepted = `${min} to ${max} hosts`
  if (!has(path)) return [{ path: ['groups', group.name], message: '`members` is missing', accepted, atKey: true }]
  if (kindOf(path) !== 'list') return []
  // Counted as written: a member that could not be read is a problem of its own, not one member fewer.
  let count = 0
  while (has([...path, count])) count += 1
  const found: Finding[] = []
  if (count < min || count > max) found.push({ path, message: `${count} ${count === 1 ? 'member' : 'members'}`, accepted, atKey: true })
  const members = placed[group.name] ?? []
  if (members.length > 0 && members.length === count && members.every((member) => member.neverPrimary)) {
    found.push({ path, message: 'every member is `never_primary`, so nobody can serve', accepted: 'at least one member that may be primary', atKey: true })
  }
  return found
}

function checkMembers(checked: Checked, group: GroupConfig, members: readonly PlacedMember[]): readonly Finding[] {
  const found: Finding[] = []
  const hosts = new Set<string>()
  const priorities = new Map<number, string>()
  const path = ['groups', group.name, 'members']
  for (let index = 0; checked.has([...path, index]); index += 1) {
    const written = checked.kindOf([...path, index]) === 'map'
    if (written && !checked.has([...path, index, 'host']))
      found.push({ path: [...path, index], message: '`host` is missing', accepted: checked.hostNames.join(', ') })
  }
  for (const member of members) {
    const at = [...path, member.index]
    const hostPath = checked.has([...at, 'host']) ? [...at, 'host'] : at
    if (!checked.hostNames.includes(member.host)) found.push(unknownHost(checked, hostPath, member.host))
    if (hosts.has(member.host)) found.push({ path: hostPath, message: `host \`${member.host}\` is a member already`, accepted: 'each host once' })
    hosts.add(member.host)
    const other = priorities.get(member.priority)
    if (other !== undefined) {
      found.push({
        path: [...at, 'priority'],
        message: `priority ${member.priority} is also that of \`${other}\``,
        accepted: 'a different priority for each member',
      })
    }
    priorities.set(member.priority, member.host)
  }
  return found
}

function checkCascade(checked: Checked, group: GroupConfig, members: readonly PlacedMember[]): readonly Finding[] {
  const sourceOf = new Map(members.map((member) => [member.host, member.replicateFrom]))
  const accepted = members.map((member) => member.host).join(', ')
  return members.flatMap((member): Finding[] => {
    const source = member.replicateFrom
    if (source === undefined) return []
    const path = ['groups', group.name, 'members', member.index, 'replicate_from']
    if (source === member.host) return [{ path, message: 'a member cannot replicate from itself', accepted: `another member: ${accepted}` }]
    if (!checked.hostNames.includes(source)) return [unknownHost(checked, path, source)]
    if (!sourceOf.has(source)) return [{ path, message: `\`${source}\` is not a member of this group`, accepted }]
    const circle = [member.host]
    for (let next: string | undefined = source; next !== undefined && circle.length <= members.length; next = sourceOf.get(next)) {
      circle.push(next)
      if (next === member.host) break
    }
    // Once per circle: at its member that comes first in the list.
    const first = members.find(({ host }) => circle.includes(host))?.host === member.host
    const closed = circle.at(-1) === member.host
    return closed && first ? [{ path, message: `replicates in a circle: ${circle.join(' → ')}`, accepted: 'a chain that ends at the primary' }] : []
  })
}

function checkWitness(checked: Checked, group: GroupConfig): readonly Finding[] {
  const found: Finding[] = []
  const path = ['groups', group.name, 'witness']
  if (group.witness !== undefined) {
    if (!checked.hostNames.includes(group.witness)) found.push(unknownHost(checked, path, group.witness))
    if (group.members.some((member) => member.host === group.witness)) {
      found.push({ path, message: `\`${group.witness}\` is a member too; it would vote about itself`, accepted: 'a host that is no member of this group' })
    }
  }
  return [...found, ...checkCheckIps(checked, group)]
}

/** What is asked must be neither this host nor what the question is about: a host that reaches itself is not thereby connected. */
function checkCheckIps({ config }: Checked, group: GroupConfig): readonly Finding[] {
  const owners = new Map(group.members.map((member) => [config.hosts[member.host]?.ip, `the ip of the member \`${member.host}\``]))
  if (group.vip !== undefined) owners.set(group.vip.ip, 'the vip, which is on this very host when it matters')
  return group.checkIps.flatMap((ip): Finding[] => {
    const reason = unusableReason(parseIpv4(ip) ?? 0) ?? owners.get(ip)
    const accepted = 'an address outside the group, such as the gateway'
    return reason === undefined ? [] : [{ path: ['groups', group.name, 'check_ips'], message: `${ip} is ${reason}`, accepted }]
  })
}

/** A limit of replicas that can never be met refuses every write; one that is off is not what `safe` asks for. */
function checkSafe(checked: Checked, group: GroupConfig): readonly Finding[] {
  if (group.durability !== 'safe') return []
  const replicas = group.members.length - 1
  return group.redis.flatMap(([directive, value]): Finding[] => {
    const name = modernName(directive)
    const path = checked.redisPath(group.name, directive)
    if (name === 'min-replicas-to-write' && !(Number(value) >= 1 && Number(value) <= replicas))
      return [
        {
          path,
          message: `${value} with \`durability: safe\``,
          accepted: replicas === 1 ? '1, for there is one replica' : `1 to ${replicas}, the number of replicas`,
        },
      ]
    if (name === 'min-replicas-max-lag' && !(Number(value) >= 1))
      return [{ path, message: `${value} switches off what \`durability: safe\` needs`, accepted: 'seconds, 2 or more' }]
    return []
  })
}

/** Two keys that say the same would have to agree at each change of roles. */
function checkPersistence(checked: Checked, group: GroupConfig): readonly Finding[] {
  const path = ['groups', group.name, 'persistence']
  if (!checked.has(path)) return []
  const isMap = checked.kindOf(path) === 'map'
  const missing = (['primary', 'replica'] as const).filter((role) => isMap && !checked.has([...path, role]))
  const said = group.redis.filter(([directive]) => persistenceDirectives.some((name) => name === modernName(directive)))
  const savesRdb = [group.persistence?.primary, group.persistence?.replica].some((p) => p !== undefined && p.save.length > 0)
  return [
    ...missing.map((role) => ({ path, message: `\`${role}\` is missing`, accepted: `what a ${role} has: none, rdb, aof-everysec, …`, atKey: true })),
    ...said.map(([directive]) => ({
      path: checked.redisPath(group.name, directive),
      message: 'is what `persistence` of the group decides, by the role of each member',
      accepted: 'either `persistence`, or this for all members alike',
      atKey: true,
    })),
    ...(checked.kindOf([...path, 'save']) === 'list' && !checked.has([...path, 'save', 0])
      ? [{ path: [...path, 'save'], message: 'is empty', accepted: 'at least one, such as `300 100`; or a word without `rdb` for the role' }]
      : []),
    ...(checked.has([...path, 'save']) && missing.length === 0 && !savesRdb
      ? [{ path: [...path, 'save'], message: 'has no effect: neither role saves an RDB', accepted: '`rdb` or `rdb+aof` for a role', atKey: true }]
      : []),
  ]
}

function checkRedis(checked: Checked, group: GroupConfig): readonly Finding[] {
  const found: Finding[] = []
  const spelled = new Map<string, string>()
  for (const [directive, value] of group.redis) {
    const path = checked.redisPath(group.name, directive)
    const split = splitWords(value)
    const modern = modernName(directive)
    const reason = managedReason(directive)
    const other = spelled.get(modern)
    if (reason !== undefined) found.push({ path, message: `is Holdfast's to decide: ${reason}`, atKey: true })
    else if (!/^[a-z][a-z0-9._-]*$/.test(directive))
      found.push({ path, message: 'is not the name of a redis directive', accepted: 'a name such as maxmemory', atKey: true })
    else if (!split.ok) found.push({ path, message: split.why, accepted: 'a value as it stands in redis.conf' })
    else if (directive === 'user' && split.words[0] === 'default') {
      found.push({ path, message: "the user `default` is Holdfast's to decide: agents and replicas are that user; use `password_file`" })
    } else if (other !== undefined && other !== directive)
      found.push({ path, message: `says the same as \`${other}\``, accepted: 'one of the two', atKey: true })
    spelled.set(modern, directive)
  }
  // A managed directive with three values is one problem.
  return found.filter((one, index) => found.findIndex((two) => two.path.join('\n') === one.path.join('\n') && two.message === one.message) === index)
}

function warningsOf({ has }: Checked, group: GroupConfig): readonly Finding[] {
  const found: Finding[] = []
  const path = ['groups', group.name]
  const byVotes = group.witness !== undefined ? 'a `witness`' : group.durability === 'safe' ? '`durability: safe`' : null
  if (has([...path, 'check_ips']) && byVotes !== null && group.mode === 'vip') {
    found.push({ path: [...path, 'check_ips'], message: `not asked: with ${byVotes} votes decide, which know more`, atKey: true })
  }
  if (group.durability === 'safe' && group.mode === 'vip' && group.witness === undefined && group.members.length === 2) {
    const message = 'without a `witness` nobody is promoted when a host is lost: an operator must say `failover --force`, and until then nobody takes writes'
    found.push({ path: [...path, 'durability'], message, atKey: true })
  }
  if (!has([...path, 'password_file'])) {
    found.push({ path, message: 'no `password_file`: whoever reaches the port can read and write the data', atKey: true })
  }
  if (group.process === 'external' && has([...path, 'redis'])) {
    found.push({ path: [...path, 'redis'], message: 'has no effect with `process: external`: that redis brings its own configuration', atKey: true })
  }
  return found
}
