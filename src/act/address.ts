/** Puts the group's address on this host, and takes it off, wherever and with whatever prefix it was added. Once in an incident, never in a calm cycle. */
import { networkInterfaces } from 'node:os'
import type { Config, GroupConfig } from '../model/config.ts'
import { done, failed, type Outcome } from '../model/outcome.ts'
import { runIp } from './ready-ip.ts'
import { runBeside, runShort } from './shell.ts'

const ipDeadlineMs = 5000

interface AddressHands {
  readonly config: Config
  readonly group: GroupConfig
  readonly member: { readonly host: string }
}

/** With the prefix with which keepalived will find it there. */
export async function takeAddress({ config, group, member }: AddressHands): Promise<Outcome> {
  const device = config.hosts[member.host]?.interface
  if (group.vip === undefined || device === undefined) return done
  const { ip, prefix } = group.vip
  const { code, said } = await runIp(['addr', 'add', `${ip}/${prefix}`, 'dev', device], ipDeadlineMs)
  if (code !== 0 && !/File exists|already assigned/.test(said)) return failed(`${ip} does not come to ${device}: ${said.slice(0, 300)}`)
  // Without it the others learn the new place from keepalived, some 200 ms later.
  announce(device, ip)
  return done
}

/** keepalived tells a new place of the address once, and again after a second: whoever misses the first word writes to the old host until then. */
const announcedAgainMs = [100, 300]

/** The address has come to this host. `serves`: whether it still belongs here, asked each time. */
export function announceAgain({ config, group, member }: AddressHands, serves: () => boolean, afterMs: readonly number[] = announcedAgainMs): void {
  const device = config.hosts[member.host]?.interface
  const ip = group.vip?.ip
  if (ip === undefined || device === undefined) return
  const isHere = (): boolean => Object.values(networkInterfaces()).some((list) => list?.some(({ address }) => address === ip))
  for (const ms of afterMs) setTimeout(() => serves() && isHere() && announce(device, ip), ms).unref()
}

/** Not waited for, and missed by nobody where there is no such program. */
function announce(device: string, ip: string): void {
  runBeside(['arping', '-U', '-q', '-c', '1', '-I', device, ip])
}

export async function dropAddress(ip: string): Promise<Outcome> {
  for (const [label, list] of Object.entries(networkInterfaces())) {
    for (const { address, cidr } of list ?? []) {
      if (address !== ip || cidr === null) continue
      // An address with a label is listed under it (eth0:1).
      const { code, said } = await runShort(['ip', 'addr', 'del', cidr, 'dev', label.split(':')[0] ?? label], ipDeadlineMs)
      // keepalived, or whoever added it, was faster.
      if (code !== 0 && !/Cannot assign requested address|Address not found/.test(said))
        return failed(`${cidr} does not go from ${label}: ${said.slice(0, 300)}`)
    }
  }
  return done
}
