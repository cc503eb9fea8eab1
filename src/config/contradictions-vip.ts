/**
 * What is wrong with the addresses of one group: `vip`, which only a member that may be primary holds, and `reader_vip`, which any member may
 * hold. Must not look at other groups; that is `contradictions.ts`.
 */
import type { GroupConfig, VipConfig } from '../model/config.ts'
import type { Checked } from './checked.ts'
import type { PlacedMember } from './complete.ts'
import { broadcastOf, formatIpv4, isLoopback, networkOf, parseIpv4, unusableReason } from './ipv4.ts'
import type { Finding } from './problem.ts'

export type AddressKey = 'vip' | 'reader_vip'

interface Address {
  readonly key: AddressKey
  readonly vip: VipConfig
  readonly vrid: number
}

/** The addresses that a group has. */
export function addressesOf(group: GroupConfig): readonly Address[] {
  const { vip, vrid, readerVip } = group
  return [
    ...(vip === undefined ? [] : [{ key: 'vip' as const, vip, vrid }]),
    ...(readerVip === undefined ? [] : [{ key: 'reader_vip' as const, vip: readerVip, vrid: readerVip.vrid }]),
  ]
}

export function mayHold(key: AddressKey, member: { readonly neverPrimary: boolean }): boolean {
  return key === 'reader_vip' || !member.neverPrimary
}

export function checkAddresses(checked: Checked, group: GroupConfig, members: readonly PlacedMember[]): readonly Finding[] {
  return addressesOf(group).flatMap(({ key, vip }) => {
    const holders = members.filter((member) => mayHold(key, member))
    return [...checkAddress(checked, group, key, vip, holders), ...checkPorts(group, key, holders)]
  })
}

function checkAddress(checked: Checked, group: GroupConfig, key: AddressKey, vip: VipConfig, holders: readonly PlacedMember[]): readonly Finding[] {
  const found: Finding[] = []
  const path = ['groups', group.name, key]
  const ip = parseIpv4(vip.ip) ?? 0
  const network = networkOf(ip, vip.prefix)
  if (holders.some(({ host }) => isLoopback(parseIpv4(checked.config.hosts[host]?.ip ?? '') ?? 0)))
    return [{ path, message: 'its members have loopback addresses, where VRRP does not run', accepted: `no \`${key}\`, or addresses of a network` }]
  const reason = unusableReason(ip)
  if (reason !== undefined) found.push({ path, message: `${vip.ip} is ${reason}`, accepted: 'a free address of the network of the members' })
  // /31 and /32 have no network or broadcast address, and /32 says nothing about the network.
  if (vip.prefix < 31 && ip === network)
    found.push({ path, message: `${vip.ip} is the address of the network itself`, accepted: `an address in ${formatIpv4(network)}/${vip.prefix}` })
  if (vip.prefix < 31 && ip === broadcastOf(ip, vip.prefix))
    found.push({ path, message: `${vip.ip} is the broadcast address of ${formatIpv4(network)}/${vip.prefix}`, accepted: 'a host address' })
  const reported = new Set<string>()
  for (const member of holders) {
    const host = checked.config.hosts[member.host]
    if (reported.has(member.host)) continue
    reported.add(member.host)
    if (host !== undefined && vip.prefix < 32 && networkOf(parseIpv4(host.ip) ?? 0, vip.prefix) !== network) {
      found.push({
        path,
        message: `${vip.ip} is outside the network of host \`${host.name}\` (${host.ip}/${vip.prefix})`,
        accepted: `an address in ${formatIpv4(networkOf(parseIpv4(host.ip) ?? 0, vip.prefix))}/${vip.prefix}`,
      })
    }
  }
  return found
}

/** Clients know one address and one port; a member that listens elsewhere would take the address and answer nobody. */
function checkPorts(group: GroupConfig, key: AddressKey, holders: readonly PlacedMember[]): readonly Finding[] {
  return holders
    .filter((member) => member.port !== group.port)
    .map((member) => ({
      path: ['groups', group.name, 'members', member.index, 'port'],
      message: `port ${member.port} is not the port of the ${key} (${group.port})`,
      accepted: key === 'vip' ? `${group.port}, or \`never_primary: true\`` : `${group.port}`,
    }))
}
