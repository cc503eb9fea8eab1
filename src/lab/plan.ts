/**
 * PURE. From a loaded configuration to the names and addresses of a lab: which namespaces, which ports on the bridge,
 * which addresses. Interface names have room for 15 characters only, so bridge ports are numbered (h0, h1, c0), while the
 * interface inside a host carries the name that the configuration gives it. Nothing is created here: see net.ts.
 */
import type { Config, HostConfig } from '../model/config.ts'
import { OperatorError } from '../model/error.ts'

export interface LabNode {
  readonly name: string
  readonly kind: 'host' | 'client'
  readonly netns: string
  readonly ip: string
  readonly prefix: number
  readonly interface: string
  /** The node's port on the bridge, in the bridge's namespace. */
  readonly port: string
  /** Fixed, because a real machine keeps its address over a power cut. */
  readonly mac: string
}

export interface LabPlan {
  readonly bridgeNetns: string
  readonly nodes: readonly LabNode[]
  /** Addresses that the bridge itself answers for: the configuration's `check_ips`, as a router would. */
  readonly routerIps: readonly string[]
  readonly gateway: string | null
}

const defaultInterface = 'eth0'
const defaultPrefix = 24

export function checkLabName(name: string): void {
  if (/^[a-z0-9]([a-z0-9-]{0,22}[a-z0-9])?$/.test(name)) return
  throw new OperatorError('HF502', `"${name}" cannot be the name of a lab`, 'Use 1 to 24 lower-case letters, digits and dashes.', 2)
}

export function bridgeNamespace(lab: string): string {
  return `hf-${lab}-net`
}

export function planLab(lab: string, config: Config, clients: number): LabPlan {
  checkLabName(lab)
  const hosts = Object.values(config.hosts).map(
    (host, index): LabNode => ({
      name: host.name,
      kind: 'host',
      netns: `hf-${lab}-${host.name}`,
      ip: host.ip,
      prefix: prefixOf(host, config),
      interface: host.interface ?? defaultInterface,
      port: `h${index}`,
      mac: macOf(0, index),
    }),
  )
  const checkIps = [...new Set(Object.values(config.groups).flatMap((group) => group.checkIps))]
  const routerIps = checkIps.filter((ip) => !hosts.some((host) => host.ip === ip))
  const vips = Object.values(config.groups).flatMap(({ vip, readerVip }) => [vip, readerVip].flatMap((address) => address?.ip ?? []))
  const used = new Set([...hosts.map((host) => host.ip), ...routerIps, ...vips])
  const home = hosts[0]
  if (home === undefined) throw new OperatorError('HF503', 'the configuration names no host', 'Add one under hosts:.', 2)
  const nodes: LabNode[] = [...hosts]
  for (let index = 0; index < clients; index += 1) {
    const name = index === 0 ? 'client' : `client${index + 1}`
    nodes.push({
      name,
      kind: 'client',
      netns: `hf-${lab}-${name}`,
      ip: freeIp(home, used),
      prefix: home.prefix,
      interface: defaultInterface,
      port: `c${index}`,
      mac: macOf(1, index),
    })
  }
  checkNames(nodes)
  const far = routerIps.some((ip) => !inSubnet(ip, home))
  const near = routerIps.find((ip) => inSubnet(ip, home))
  const gateway = near ?? (far ? freeIp(home, used) : null)
  const router = gateway === null || routerIps.includes(gateway) ? routerIps : [...routerIps, gateway]
  return { bridgeNetns: bridgeNamespace(lab), nodes, routerIps: router, gateway }
}

/** Addresses a node must reach on the wire although its own subnet does not contain them (a witness elsewhere, say). */
export function onLinkRoutes(node: LabNode, plan: LabPlan): string[] {
  return plan.nodes.filter((other) => other !== node && !inSubnet(other.ip, node)).map((other) => other.ip)
}

/**
 * The namespaces of a lab whose directory is gone, found by name. Those of a lab with a longer name ("a-b" beside "a")
 * are left alone: better to leave one's own behind than to end somebody else's lab.
 */
export function orphanNamespaces(lab: string, existing: readonly string[]): string[] {
  const mine = `hf-${lab}-`
  const others = existing
    .filter((name) => name.startsWith(mine) && name.endsWith('-net') && name !== bridgeNamespace(lab))
    .map((name) => name.slice(0, -'net'.length))
  return existing.filter((name) => name.startsWith(mine) && !others.some((other) => name.startsWith(other)))
}

export function inSubnet(ip: string, subnet: { readonly ip: string; readonly prefix: number }): boolean {
  const mask = maskOf(subnet.prefix)
  return (toNumber(ip) & mask) >>> 0 === (toNumber(subnet.ip) & mask) >>> 0
}

function prefixOf(host: HostConfig, config: Config): number {
  const groups = Object.values(config.groups)
  const own = groups.filter((group) => group.members.some((member) => member.host === host.name))
  for (const group of [...own, ...groups]) {
    const vip = group.vip ?? group.readerVip
    if (vip !== undefined && vip.prefix <= 30 && inSubnet(host.ip, vip)) return vip.prefix
  }
  return defaultPrefix
}

/** Takes from the top of the subnet, where people put fewer machines, and marks it as used. */
function freeIp(subnet: { readonly ip: string; readonly prefix: number }, used: Set<string>): string {
  const mask = maskOf(subnet.prefix)
  const first = (toNumber(subnet.ip) & mask) >>> 0
  const last = (first | ~mask) >>> 0
  for (let candidate = last - 1; candidate > first; candidate -= 1) {
    const ip = toIp(candidate)
    if (used.has(ip)) continue
    used.add(ip)
    return ip
  }
  throw new OperatorError('HF503', `no free address for a client in ${subnet.ip}/${subnet.prefix}`, 'Give the vip a shorter prefix, such as /24.')
}

function checkNames(nodes: readonly LabNode[]): void {
  for (const node of nodes) {
    const twin = nodes.find((other) => other !== node && other.name === node.name)
    if (node.name === 'net' || twin !== undefined) {
      throw new OperatorError('HF503', `a lab cannot have a host named ${node.name}`, "net, client, client2, … are the lab's own: rename the host.")
    }
    if (!/^[A-Za-z0-9][A-Za-z0-9._-]*$/.test(node.name) || !/^[A-Za-z0-9][A-Za-z0-9._-]{0,14}$/.test(node.interface)) {
      throw new OperatorError(
        'HF503',
        `host ${node.name} (interface ${node.interface}) cannot be made in a lab`,
        'Use letters, digits, dots and dashes; an interface name has at most 15 characters.',
      )
    }
  }
}

function macOf(kind: number, index: number): string {
  const hex = (value: number): string => value.toString(16).padStart(2, '0')
  return `02:48:46:${hex(kind)}:${hex(index >> 8)}:${hex(index & 255)}`
}

function maskOf(prefix: number): number {
  return prefix === 0 ? 0 : (-1 << (32 - prefix)) >>> 0
}

function toNumber(ip: string): number {
  return ip.split('.').reduce((sum, part) => sum * 256 + Number(part), 0)
}

function toIp(value: number): string {
  return [24, 16, 8, 0].map((shift) => (value >>> shift) & 255).join('.')
}
