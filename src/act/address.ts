/** Puts the group's address on this host, and takes it off, wherever and with whatever prefix it was added. Once in an incident, never in a calm cycle. */
import { execFile, spawn } from 'node:child_process'
import { networkInterfaces } from 'node:os'
import { promisify } from 'node:util'
import type { Config, GroupConfig } from '../model/config.ts'
import { done, failed, type Outcome } from '../model/outcome.ts'

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
  try {
    await promisify(execFile)('ip', ['addr', 'add', `${ip}/${prefix}`, 'dev', device], { timeout: ipDeadlineMs })
  } catch (error) {
    const text = ((error as { stderr?: string }).stderr ?? (error as Error).message).trim()
    if (!/File exists|already assigned/.test(text)) return failed(`${ip} does not come to ${device}: ${text.slice(0, 300)}`)
  }
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
  const arping = spawn('arping', ['-U', '-q', '-c', '1', '-I', device, ip], { stdio: 'ignore', detached: true })
  arping.once('error', () => {})
  arping.unref()
}

export async function dropAddress(ip: string): Promise<Outcome> {
  for (const [label, list] of Object.entries(networkInterfaces())) {
    for (const { address, cidr } of list ?? []) {
      if (address !== ip || cidr === null) continue
      try {
        // An address with a label is listed under it (eth0:1).
        await promisify(execFile)('ip', ['addr', 'del', cidr, 'dev', label.split(':')[0] ?? label], { timeout: ipDeadlineMs })
      } catch (error) {
        const text = ((error as { stderr?: string }).stderr ?? (error as Error).message).trim()
        // keepalived, or whoever added it, was faster.
        if (!/Cannot assign requested address|not found/.test(text)) return failed(`${cidr} does not go from ${label}: ${text.slice(0, 300)}`)
      }
    }
  }
  return done
}
