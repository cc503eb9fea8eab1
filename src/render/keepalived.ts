/**
 * keepalived.conf of one host: an instance for each address that this host may hold, a group's VIP or its reader address. PURE.
 * Every host starts as BACKUP behind a track file that says "no", so that keepalived alone never moves a VIP:
 * only an agent that has judged the data opens the gate. Must not name a redis role, and must not add realtime priority
 * (the kernel kills a realtime VRRP child on a busy machine, which costs seconds).
 */
import { assert } from '../model/assert.ts'
import type { Config, GroupConfig, HostConfig, MemberConfig, VipConfig } from '../model/config.ts'
import { guardScriptFile, keepalivedFifo, readerAllowedFile, readerInstance, vipAllowedFile, vrrpInstance } from '../model/paths.ts'
import { guardedGroups, guardScript, isGuarded } from './guard.ts'

/** VRRPv3 counts adverts in centiseconds, and three missing adverts are the host loss. */
export function advertMs(hostLossMs: number): number {
  return Math.max(10, Math.round(hostLossMs / 30) * 10)
}

/** When a BACKUP of this priority takes over after the last advert: three adverts and the skew that orders the backups. */
export function downIntervalMs(hostLossMs: number, priority: number): number {
  const advert = advertMs(hostLossMs)
  return 3 * advert + ((256 - priority) * advert) / 256
}

/** The groups of which this host may hold an address. None: the host needs no keepalived. */
export function vrrpGroups(config: Config, hostName: string): readonly GroupConfig[] {
  return Object.values(config.groups).filter((group) => addressesOf(config, group, hostName, plainStanding).length > 0)
}

export interface VrrpAddress {
  readonly group: GroupConfig
  /** The reader address. */
  readonly reads: boolean
  readonly instance: string
  readonly vip: VipConfig
  readonly vrid: number
  readonly priority: number
  /** The track file. */
  readonly file: string
  readonly peers: readonly MemberConfig[]
  readonly guarded: boolean
  readonly yields: boolean
  readonly resumes: boolean
}

export function vrrpAddresses(config: Config, hostName: string, standing: VrrpStanding = plainStanding): readonly VrrpAddress[] {
  return Object.values(config.groups).flatMap((group) => addressesOf(config, group, hostName, standing))
}

/** The VIP only where a primary may be; the reader address at any member. */
function addressesOf(config: Config, group: GroupConfig, hostName: string, standing: VrrpStanding): readonly VrrpAddress[] {
  const { name, vip, vrid, readerVip, members } = group
  const member = members.find(({ host }) => host === hostName)
  const found: VrrpAddress[] = []
  if (member === undefined) return found
  const peers = members.filter(({ host }) => host !== hostName)
  const { priority } = member
  if (vip !== undefined && !member.neverPrimary) {
    const file = vipAllowedFile(config.paths, name)
    const may = peers.filter(({ neverPrimary }) => !neverPrimary)
    const guarded = isGuarded(group, hostName)
    const yields = standing.yielding.has(name)
    const resumes = standing.resuming.has(name)
    found.push({ group, reads: false, instance: vrrpInstance(name), vip, vrid, priority, file, peers: may, guarded, yields, resumes })
  }
  if (readerVip !== undefined) {
    const file = readerAllowedFile(config.paths, name)
    const plain = { reads: true, guarded: false, yields: false, resumes: false }
    found.push({ group, instance: readerInstance(name), vip: readerVip, vrid: readerVip.vrid, priority, file, peers, ...plain })
  }
  return found
}

/** Below every configured priority: whoever else claims the VIP wins at its first advert (decide/vip.ts, yieldRule). */
const yieldingPriority = 1
/** VRRP's word for the owner of an address: it does not ask before it takes it. */
const ownerPriority = 255

export interface VrrpStanding {
  /** Groups in which this host gives way in VRRP to any other claim. */
  readonly yielding: ReadonlySet<string>
  /**
   * Groups whose address belongs on this host and was here when keepalived died. As owner (255, MASTER) the new one puts it back within a
   * millisecond of having removed what was left of it; as BACKUP it would first listen for 170 ms, and a peer would take it meanwhile.
   * Only for the start: the reload without it that follows changes nothing for the address.
   */
  readonly resuming: ReadonlySet<string>
}

export const plainStanding: VrrpStanding = { yielding: new Set(), resuming: new Set() }

export function renderKeepalived(config: Config, hostName: string, standing: VrrpStanding = plainStanding): string {
  const host = config.hosts[hostName]
  assert(host !== undefined, `host ${hostName} is in the configuration`)
  const addresses = vrrpAddresses(config, hostName, standing)
  const trackFiles = addresses.map(trackFile)
  const instances = addresses.map((address) => instance(config, address, host))
  const guard = guardedGroups(config, hostName).length > 0 ? [vrrpScript(config)] : []
  return `${[header(config, host), ...guard, ...trackFiles, ...instances].join('\n\n')}\n`
}

/**
 * GARP: one at a time, repeated later (`refreshedGarp`). Five plus five for each of 80 groups delay the adverts that keep 80
 * other addresses in place, and the move becomes a storm.
 */
function header(config: Config, host: HostConfig): string {
  return `# Written by holdfast for host ${host.name}. Changes are lost: change ${config.file} instead.
global_defs {
    router_id ${host.name}
    script_user root
${guardedGroups(config, host.name).length > 0 ? '    enable_script_security\n' : ''}    vrrp_version 3
    vrrp_notify_fifo ${quoted(keepalivedFifo(config.paths))}
    fifo_write_vrrp_states_on_reload
    vrrp_garp_master_delay 1
    vrrp_garp_master_repeat 1
    vrrp_garp_lower_prio_delay 1
    vrrp_garp_lower_prio_repeat 1
    vrrp_check_unicast_src
}`
}

/**
 * Called through the shell: a path with a folder that others may write to (a lab under /tmp) would be refused, and the file itself is
 * root's alone. One run at a time; one that takes long is no failure, because a failure would take the address.
 */
function vrrpScript(config: Config): string {
  return `vrrp_script ${guardScript} {
    script "/bin/sh ${guardScriptFile(config.paths)}"
    interval 1
    timeout 10
    fall 3
    rise 1
}`
}

/**
 * `weight 0 reverse` fails closed: no file, an empty file or 0 is FAULT. Plain `weight 0` would grant the VIP.
 * Two gaps that whoever starts keepalived must close: a missing DIRECTORY makes it drop the tracker and grant the VIP, and
 * `init_file` counts only at a start. So before each start and reload the directory exists and every file says what is true.
 */
function trackFile({ instance: name, file, resumes }: VrrpAddress): string {
  return `track_file ${name} {
    file ${quoted(file)}
    weight 0 reverse
${resumes ? '' : '    init_file 0 overwrite\n'}}`
}

/**
 * A neighbour that missed the first GARP learns from the next; every second, because a host that took the VIP while it was cut off has
 * announced it to nobody (8 s of outage at the heal with 10 s). Not while this host yields: it has announced its address long ago, and
 * one more in the moment of the heal would draw clients to an old primary: one heal in twenty cost 0.8 s and a write.
 */
const refreshedGarp = `    garp_master_refresh 1
    garp_master_refresh_repeat 1
`

const trackScript = `
    track_script {
        ${guardScript}
    }`

function instance(config: Config, address: VrrpAddress, host: HostConfig): string {
  const { group, instance: name, vip, vrid, priority, yields, resumes } = address
  assert(host.interface !== undefined, `${host.name} has an interface for ${vip.ip} of ${group.name}`)
  return `vrrp_instance ${name} {
${resumes ? '    state MASTER' : '    state BACKUP\n    nopreempt'}
    interface ${host.interface}
    virtual_router_id ${vrid}
    priority ${resumes ? ownerPriority : yields ? yieldingPriority : priority}
    advert_int ${(advertMs(group.failover.hostLossMs) / 1000).toFixed(2)}
${yields ? '' : refreshedGarp}${adverts(config, address, host)}
    virtual_ipaddress {
        ${vip.ip}/${vip.prefix} dev ${host.interface}
    }
    track_file {
        ${name} weight 0 reverse
    }${address.guarded ? trackScript : ''}
}`
}

/** The source is named in both cases: left alone, keepalived may take a VIP that is still on the interface. */
function adverts(config: Config, { group, peers: others }: VrrpAddress, host: HostConfig): string {
  const peers = others.map((member) => {
    const peer = config.hosts[member.host]
    assert(peer !== undefined, `host ${member.host} is in the configuration`)
    return `        ${peer.ip}`
  })
  // An empty list of peers would be an error; nobody listens in that case anyway.
  if (!group.unicastPeer || peers.length === 0) return `    mcast_src_ip ${host.ip}`
  return [`    unicast_src_ip ${host.ip}`, '    unicast_peer {', ...peers, '    }'].join('\n')
}

function quoted(text: string): string {
  return `"${text}"`
}
