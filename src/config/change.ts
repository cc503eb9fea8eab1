/**
 * What differs between two configurations of a running installation, in words: what takes it up, what it costs, and what a running group cannot
 * take at all. PURE. In which order hosts take it up is `order.ts`.
 */
import { hostsOf, type Config, type GroupConfig } from '../model/config.ts'
import { isMap } from './parse.ts'

/** `agent`: when the agent has it; `redis restart`: when the redis of a host is next started; `refused`: not while the group runs. */
export type Needs = 'agent' | 'redis restart' | 'refused'

export interface Change {
  /** null: of no one group. */
  readonly group: string | null
  readonly what: string
  readonly needs: Needs
  /** What it costs, or why it is refused and what to do instead. */
  readonly why: string
  /** It makes the primary's lease shorter or its number of voters larger (`stricter`), or the other way round. */
  readonly lease?: 'stricter' | 'laxer'
  /** It comes, goes, or is another machine. */
  readonly host?: { readonly name: string; readonly move: 'added' | 'removed' | 'moved' }
}

interface Field {
  readonly key: string
  readonly of: (group: GroupConfig) => unknown
  readonly needs: Needs
  readonly why: string
  /** A larger value is a laxer lease. */
  readonly lease?: true
}

const plain = "nothing but the agents' restart"
const set = 'told to each Sentinel by the agent of its host'
const address = 'an address that clients use is not moved while they use it: stop the agents and keepalived of the group, change it on all hosts, start them'
const anew = 'a group that serves cannot be made another: set a new one up and move the data there'
const pending =
  'redis takes it at its next start: reinit or restart the replicas one by one, switch over, and the last one; CONFIG SET does it for now where redis can'

const fields: readonly Field[] = [
  { key: 'mode', of: (g) => g.mode, needs: 'refused', why: anew },
  { key: 'port', of: (g) => g.port, needs: 'refused', why: anew },
  { key: 'process', of: (g) => g.process, needs: 'refused', why: 'who starts redis is settled when a group is set up' },
  { key: 'vip', of: (g) => g.vip, needs: 'refused', why: address },
  { key: 'vrid', of: (g) => g.vrid, needs: 'refused', why: address },
  { key: 'reader_vip', of: (g) => g.readerVip, needs: 'refused', why: address },
  { key: 'unicast_peer', of: (g) => g.unicastPeer, needs: 'refused', why: address },
  { key: 'password_file', of: (g) => g.passwordFile, needs: 'refused', why: 'the file stays where it is; what it holds is changed by `holdfast password`' },
  { key: 'redis_conf', of: (g) => g.redisConf, needs: 'redis restart', why: pending },
  { key: 'redis', of: (g) => g.redis, needs: 'redis restart', why: pending },
  {
    key: 'persistence',
    of: (g) => g.persistence,
    needs: 'agent',
    why: 'set in each redis by the agent of its host, without a restart; an AOF or saves that are turned on cost a fork, and nothing is turned off before another member has what it is to have',
  },
  { key: 'durability', of: (g) => g.durability, needs: 'agent', why: 'what it promises holds once every agent has it' },
  { key: 'max_full_syncs', of: (g) => g.maxFullSyncs, needs: 'agent', why: plain },
  { key: 'check_ips', of: (g) => g.checkIps, needs: 'agent', why: plain },
  { key: 'migration', of: (g) => g.migration, needs: 'agent', why: plain },
  { key: 'failover.auto', of: (g) => g.failover.auto, needs: 'agent', why: plain },
  { key: 'failover.host_loss_ms', of: (g) => g.failover.hostLossMs, needs: 'agent', why: "the agents' restart, and a reload of keepalived", lease: true },
  { key: 'failover.unresponsive_ms', of: (g) => g.failover.unresponsiveMs, needs: 'agent', why: plain },
  { key: 'failover.max_pause_ms', of: (g) => g.failover.maxPauseMs, needs: 'agent', why: plain },
  { key: 'salvage', of: (g) => g.salvage, needs: 'agent', why: plain },
  { key: 'backup', of: (g) => g.backup, needs: 'agent', why: plain },
  { key: 'sentinel.port', of: (g) => g.sentinel?.port, needs: 'refused', why: 'clients and the other Sentinels know them by it' },
  { key: 'sentinel.process', of: (g) => g.sentinel?.process, needs: 'refused', why: 'who starts the Sentinels is settled when a group is set up' },
  { key: 'sentinel.quorum', of: (g) => g.sentinel?.quorum, needs: 'agent', why: set, lease: true },
  { key: 'sentinel.down_after_ms', of: (g) => g.sentinel?.downAfterMs, needs: 'agent', why: set, lease: true },
  { key: 'sentinel.failover_timeout_ms', of: (g) => g.sentinel?.failoverTimeoutMs, needs: 'agent', why: set },
  { key: 'sentinel.parallel_syncs', of: (g) => g.sentinel?.parallelSyncs, needs: 'agent', why: set },
]

export function changesBetween(from: Config, to: Config): readonly Change[] {
  const found: Change[] = []
  const refused = (group: string | null, what: string, why: string): number => found.push({ group, what, needs: 'refused', why })
  if (from.api.port !== to.api.port) refused(null, `api.port ${from.api.port} → ${to.api.port}`, 'the agents would not find each other meanwhile')
  for (const name of Object.keys(from.groups)) {
    if (to.groups[name] === undefined)
      refused(name, 'the group is removed', 'nobody would look after its redis and its address: stop them and its agents first')
  }
  for (const group of Object.values(to.groups)) {
    const before = from.groups[group.name]
    if (before === undefined) found.push({ group: group.name, what: 'a group is added', needs: 'agent', why: 'its hosts start it' })
    else found.push(...changesOfGroup(from, to, before, group))
  }
  return found
}

function changesOfGroup(from: Config, to: Config, before: GroupConfig, after: GroupConfig): readonly Change[] {
  const changed = fields.flatMap((field): Change[] => {
    const [one, two] = [field.of(before), field.of(after)]
    if (JSON.stringify(one) === JSON.stringify(two)) return []
    const lease =
      field.lease === true && typeof one === 'number' && typeof two === 'number' ? { lease: two < one ? ('stricter' as const) : ('laxer' as const) } : {}
    return [{ group: after.name, what: `${field.key}${differing(one, two)}`, needs: field.needs, why: field.why, ...lease }]
  })
  return [...changed, ...changeOfSentinelPassword(before, after), ...changesOfMembers(before, after), ...changesOfHosts(from, to, before, after)]
}

/** Who asks for no password takes any: so it is brought first, and asked for in the end. */
function changeOfSentinelPassword(before: GroupConfig, after: GroupConfig): readonly Change[] {
  const [one, two] = [before.sentinel?.passwordFile, after.sentinel?.passwordFile]
  if (one === two) return []
  const change = { group: after.name, what: `sentinel.password_file ${shown(one)} → ${shown(two)}` }
  const command = `holdfast password ${after.name} --of sentinels`
  if (one !== undefined) return [{ ...change, needs: 'refused', why: `the file stays where it is; what it holds is changed by \`${command}\`` }]
  return [{ ...change, needs: 'agent', why: `agents and Sentinels come with it from then on; it is asked for only after \`${command} --finish\`` }]
}

function changesOfMembers(before: GroupConfig, after: GroupConfig): readonly Change[] {
  return after.members.flatMap((member): Change[] => {
    const old = before.members.find((m) => m.host === member.host)
    if (old === undefined) return []
    const change = (what: string, one: unknown, two: unknown, needs: Needs, why: string): Change[] =>
      one === two ? [] : [{ group: after.name, what: `${member.host}: ${what} ${shown(one)} → ${shown(two)}`, needs, why }]
    return [
      ...change('port', old.port, member.port, 'refused', anew),
      ...change('priority', old.priority, member.priority, 'agent', plain),
      ...change('never_primary', old.neverPrimary, member.neverPrimary, 'agent', plain),
      ...change('replicate_from', old.replicateFrom, member.replicateFrom, 'agent', 'the replica turns to the other source'),
    ]
  })
}

function changesOfHosts(from: Config, to: Config, before: GroupConfig, after: GroupConfig): readonly Change[] {
  const found = [...new Set([...hostsOf(before), ...hostsOf(after)])].flatMap((host) => changeOfHost(from, to, before, after, host))
  const moves = found.filter((c) => c.host !== undefined)
  if (moves.length < 2) return found
  // Of two majorities that differ in one voter, any two have somebody in common. Of two that differ in two, not.
  return found.map((c) =>
    c.host === undefined ? c : { ...c, needs: 'refused', why: 'one host at a time: who is asked for votes before and after must overlap' },
  )
}

function changeOfHost(from: Config, to: Config, before: GroupConfig, after: GroupConfig, host: string): readonly Change[] {
  const [was, is] = [rolesOf(before, host), rolesOf(after, host)]
  const change = (what: string, needs: Needs, why: string, more: Partial<Change> = {}): readonly Change[] => [{ group: after.name, what, needs, why, ...more }]
  if (was.length === 0)
    return change(`${host} is added as ${is.join(' and ')}`, 'agent', 'it fetches all data, and takes part from then on', {
      host: { name: host, move: 'added' },
    })
  if (is.length === 0 && to.hosts[host] === undefined)
    return change(
      `${host}, ${was.join(' and ')}, is removed`,
      'refused',
      'leave its name under `hosts` until it has left the group; take it out with the next apply',
    )
  if (is.length === 0) {
    const why = 'first it leaves: its redis follows nobody and takes no writes, its Sentinel ends; its data stay where they are'
    return change(`${host}, ${was.join(' and ')}, is removed`, 'agent', why, { host: { name: host, move: 'removed' } })
  }
  if (was.some((role) => !is.includes(role)))
    return change(
      `${host}: ${was.join(' and ')} → ${is.join(' and ')}`,
      'refused',
      'a host leaves a group as a whole: remove it, then add it as what it is to be; where too few Sentinels would be left meanwhile, add one on another host first',
    )
  const [one, two] = [from.hosts[host], to.hosts[host]]
  return [
    ...(was.length === is.length ? [] : change(`${host}: ${was.join(' and ')} → ${is.join(' and ')}`, 'agent', plain, { host: { name: host, move: 'added' } })),
    ...(one?.ip === two?.ip
      ? []
      : change(`${host} moves from ${one?.ip} to ${two?.ip}`, 'agent', 'the machine at the new address fetches all data', {
          host: { name: host, move: 'moved' },
        })),
    ...(one?.interface === two?.interface ? [] : change(`${host}: interface ${shown(one?.interface)} → ${shown(two?.interface)}`, 'refused', address)),
  ]
}

function rolesOf(group: GroupConfig, host: string): readonly string[] {
  const roles = [
    ['member', group.members.some((m) => m.host === host)],
    ['witness', group.witness === host],
    ['Sentinel', group.sentinel?.hosts.includes(host) === true],
  ] as const
  return roles.flatMap(([role, has]) => (has ? [role] : []))
}

/** Of what has many keys only those that differ: cut to a length, both would look alike. */
function differing(one: unknown, two: unknown): string {
  if (!isMap(one) || !isMap(two)) return ` ${shown(one)} → ${shown(two)}`
  const keys = [...new Set([...Object.keys(one), ...Object.keys(two)])].filter((key) => JSON.stringify(one[key]) !== JSON.stringify(two[key]))
  const written = (key: string): string => key.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)
  return `: ${keys.map((key) => `${written(key)}${differing(one[key], two[key])}`).join(', ')}`
}

function shown(value: unknown): string {
  if (value === undefined) return 'none'
  const text = typeof value === 'object' ? JSON.stringify(value) : String(value)
  return text.length > 60 ? `${text.slice(0, 57)}...` : text
}
