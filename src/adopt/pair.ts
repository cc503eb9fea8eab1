/**
 * Are the hosts that were looked at one pair: a primary, its replica, one address? PURE. Where that is not plain it is refused, with what would make it
 * plain: a guess here would be a group that begins with the wrong data.
 */
import type { HostFound, OwnAddress } from './found.ts'
import { deedsOf, notifiesOf } from './scripts.ts'
import { vrrpSetupOf, type VrrpAddress, type VrrpInstance, type VrrpSetup } from './vrrp.ts'

export interface Side {
  readonly found: HostFound
  readonly name: string
  /** By which the other and the agents reach it. */
  readonly ip: string
  readonly interface: string
  /** null: it has no keepalived. */
  readonly setup: VrrpSetup | null
  /** The one with the group's address. */
  readonly instance: VrrpInstance | null
}

export interface Pair {
  readonly primary: Side
  readonly replica: Side
  readonly port: number
  /** null: clients know the hosts themselves. */
  readonly vip: VrrpAddress | null
  readonly reader: VrrpAddress | null
  /** What the old keepalived has besides. */
  readonly otherAddresses: readonly VrrpAddress[]
}

export interface PairWish {
  readonly vip?: string | undefined
  readonly readerVip?: string | undefined
}

export type Refusal = { readonly ok: false; readonly code: 'HF913' | 'HF914' | 'HF915'; readonly why: string; readonly hint: string }
export type PairOf = { readonly ok: true; readonly pair: Pair } | Refusal

export function pairOf(all: readonly HostFound[], wish: PairWish): PairOf {
  const [one, two, ...more] = all
  if (one === undefined || two === undefined || more.length > 0)
    return no('a pair is two hosts', `name two files, one of each host (${all.length} were named); further replicas are added to the proposal by hand`)
  const known = rolesOf(one, two)
  if (!known.ok) return known
  const { primary, replica } = known
  const setups = [primary, replica].map(({ keepalivedConf }) => (keepalivedConf === null ? null : vrrpSetupOf(keepalivedConf.nodes)))
  for (const [i, setup] of setups.entries())
    if (setup?.instances.length === 0)
      return {
        ok: false,
        code: 'HF913',
        why: `${[primary, replica][i]?.keepalivedConf?.file ?? ''} of ${[primary, replica][i]?.host ?? ''} has no vrrp_instance`,
        hint: 'name the file that keepalived runs with: --keepalived-conf FILE (ps -ef shows its -f), or --no-keepalived where the pair has no address',
      }
  const addresses = addressesOf(primary, replica, setups, wish)
  if (!addresses.ok) return addresses
  const { vip, reader, others } = addresses
  const sides = [primary, replica].map((found, i) => sideOf(found, i === 0 ? replica : primary, setups[i] ?? null, vip))
  const homeless = sides.find((side) => 'why' in side)
  if (homeless !== undefined && 'why' in homeless) return no(homeless.why, 'look again on that host: ip -4 addr shows what it has')
  const [mine, its] = sides as readonly Side[]
  if (mine === undefined || its === undefined) return no('a pair is two hosts', 'name two files')
  return { ok: true, pair: { primary: mine, replica: its, port: primary.redis.port, vip, reader, otherAddresses: others } }
}

function no(why: string, hint: string): Refusal {
  return { ok: false, code: 'HF914', why, hint }
}

function rolesOf(one: HostFound, two: HostFound): { readonly ok: true; readonly primary: HostFound; readonly replica: HostFound } | Refusal {
  if (hostName(one.host) === hostName(two.host))
    return no(`both files are of ${hostName(one.host)}`, 'one file of each host; hosts of one name are told apart by --name when they are looked at')
  if (one.redis.runId === two.redis.runId) return no('both files are of one redis', 'look on each host at its own redis: --redis 127.0.0.1:PORT')
  for (const { host, redis } of [one, two]) if (redis.isCluster) return no(`the redis of ${host} is of a cluster`, 'this version has no mode for clusters')
  if (one.redis.port !== two.redis.port)
    return no(
      `${one.host} listens on port ${one.redis.port} and ${two.host} on ${two.redis.port}`,
      'clients know one address and one port: both must listen on it',
    )
  const primaries = [one, two].filter(({ redis }) => redis.role === 'primary')
  if (primaries.length === 2)
    return no(
      `both are masters: ${one.host} has ${one.redis.keys} keys at offset ${one.redis.offset}, ${two.host} ${two.redis.keys} at ${two.redis.offset}`,
      'clients may have written to both. Find out which data count, save the other (BGSAVE, and copy its file away), make it a replica, and look again',
    )
  const [primary] = primaries
  if (primary === undefined) {
    const names = [one, two].map(({ host, redis }) => `${host} follows ${redis.upstream?.host ?? 'nobody'}:${redis.upstream?.port ?? 0}`)
    return no(`neither is the master: ${names.join(', ')}`, 'the pair to adopt is a master and its replica: look at the host that they follow')
  }
  const replica = primary === one ? two : one
  if (!followsIt(replica, primary))
    return no(
      `${replica.host} follows ${replica.redis.upstream?.host ?? ''}:${replica.redis.upstream?.port ?? 0}, which is not ${primary.host}`,
      `a replica of a third host has other data. REPLICAOF ${primary.addresses[0]?.ip ?? primary.host} ${primary.redis.port} gives up what it has: look at that first`,
    )
  return { ok: true, primary, replica }
}

/** By an address of the primary's host (also the one that it holds for clients), or, where a name is written, by what the primary itself lists. */
function followsIt({ redis, addresses }: HostFound, primary: HostFound): boolean {
  const { upstream } = redis
  if (upstream === null || upstream.port !== primary.redis.port) return false
  if (primary.addresses.some(({ ip }) => ip === upstream.host)) return true
  const isIp = /^\d+(\.\d+){3}$/.test(upstream.host)
  return !isIp && primary.redis.replicas.some(({ ip }) => addresses.some((own) => own.ip === ip))
}

type Addresses = { readonly ok: true; readonly vip: VrrpAddress | null; readonly reader: VrrpAddress | null; readonly others: readonly VrrpAddress[] }

function addressesOf(primary: HostFound, replica: HostFound, setups: readonly (VrrpSetup | null)[], wish: PairWish): Addresses | Refusal {
  const all = new Map<string, VrrpAddress>()
  for (const setup of setups)
    for (const { addresses } of setup?.instances ?? []) for (const address of addresses) if (!all.has(address.ip)) all.set(address.ip, address)
  const named = (text: string): VrrpAddress => {
    const [ip = '', prefix] = text.split('/')
    return all.get(ip) ?? { ip, prefix: Number(prefix ?? 32), device: null }
  }
  const reader = wish.readerVip === undefined ? null : named(wish.readerVip)
  const rest = [...all.values()].filter(({ ip }) => ip !== reader?.ip)
  const vip = wish.vip === undefined ? theOne(rest, primary, replica, setups) : named(wish.vip)
  if (vip === undefined)
    return {
      ok: false,
      code: 'HF915',
      why: `keepalived has ${rest.map(({ ip }) => ip).join(', ')}, and which of them leads clients to the master is not plain`,
      hint: '--vip ADDRESS names it; --reader-vip ADDRESS the one for reads, if there is one',
    }
  return { ok: true, vip, reader, others: rest.filter(({ ip }) => ip !== vip?.ip) }
}

/** The only one; or the only one that is on the primary's host now and whose scripts speak of redis. undefined: not plain. */
function theOne(all: readonly VrrpAddress[], primary: HostFound, replica: HostFound, setups: readonly (VrrpSetup | null)[]): VrrpAddress | null | undefined {
  if (all.length <= 1) return all[0] ?? null
  const hosts = [primary, replica]
  const speaksOfRedis = (ip: string): boolean =>
    setups.some((setup, i) =>
      (setup?.instances ?? []).some((instance) => {
        const found = hosts[i]
        if (found === undefined || !instance.addresses.some((address) => address.ip === ip)) return false
        const checks = instance.checks.map(({ command }) => deedsOf(command, found.scripts))
        return [...notifiesOf(instance, found), ...checks].some(({ namesRedis }) => namesRedis)
      }),
    )
  const likely = all.filter(({ ip }) => primary.addresses.some((own) => own.ip === ip) && speaksOfRedis(ip))
  return likely.length === 1 ? likely[0] : undefined
}

function sideOf(found: HostFound, other: HostFound, setup: VrrpSetup | null, vip: VrrpAddress | null): Side | { readonly why: string } {
  const instance = setup?.instances.find(({ addresses }) => addresses.some(({ ip }) => ip === vip?.ip)) ?? null
  const floating = new Set(setup?.instances.flatMap(({ addresses }) => addresses.map(({ ip }) => ip)) ?? [])
  const device = vip?.device ?? instance?.interface ?? null
  const own = found.addresses.filter(
    ({ ip, interface: on }) => !floating.has(ip) && ip !== vip?.ip && !ip.startsWith('127.') && (device === null || on === device),
  )
  const known = new Set([instance?.unicastSource, other.redis.upstream?.host, ...other.redis.replicas.map(({ ip }) => ip)])
  const chosen = own.find(({ ip }) => known.has(ip)) ?? own.find((address) => vip !== null && sameNetwork(address, vip.ip)) ?? own[0]
  if (chosen === undefined) return { why: `${found.host} has no address of its own${device === null ? '' : ` on ${device}`}` }
  return { found, name: hostName(found.host), ip: chosen.ip, interface: chosen.interface, setup, instance }
}

/** As the configuration writes it: the first label, and what else is allowed in a name. */
export function hostName(host: string): string {
  const plain = (host.split('.')[0] ?? '').replace(/[^A-Za-z0-9_-]/g, '-').replace(/^[-_]+/, '')
  return plain.slice(0, 32) || 'host'
}

export function sameNetwork({ ip, prefix }: Pick<OwnAddress, 'ip' | 'prefix'>, other: string): boolean {
  const bits = (text: string): string =>
    text
      .split('.')
      .map((part) => Number(part).toString(2).padStart(8, '0'))
      .join('')
  return bits(ip).slice(0, prefix) === bits(other).slice(0, prefix)
}
