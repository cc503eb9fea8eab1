/**
 * The guard: what looks after a primary on a lease while its agent is dead or hangs (INV-3). keepalived runs the script once a second;
 * as long as the agent's beat is fresh it is a shell that reads two files and ends. Only a stale beat starts the program in src/guard/.
 * PURE: text and plan. Groups in which nobody is promoted unasked have no guard, and hosts without such groups no script.
 */
import type { Config, GroupConfig } from '../model/config.ts'
import { hostsOf } from '../model/config.ts'
import { staleAfterS, type GuardedGroup, type GuardPlan } from '../model/guard.ts'
import { beatFile, guardPlanFile } from '../model/paths.ts'
import { policyOf } from '../model/policy.ts'

/** keepalived's name for it. */
export const guardScript = 'holdfast_guard'

export function isGuarded(group: GroupConfig, host: string): boolean {
  const { leased, auto } = policyOf(group, () => '')
  return leased && auto && group.vip !== undefined && group.members.some((m) => m.host === host && !m.neverPrimary)
}

export function guardedGroups(config: Config, host: string): readonly GroupConfig[] {
  return Object.values(config.groups).filter((group) => isGuarded(group, host))
}

export function guardPlan(config: Config, host: string): GuardPlan {
  const ipOf = (name: string): string => config.hosts[name]?.ip ?? ''
  const groups = guardedGroups(config, host).map((group) => {
    const others = group.members.filter((m) => m.host !== host)
    return {
      name: group.name,
      port: group.members.find((m) => m.host === host)?.port ?? group.port,
      passwordFile: group.passwordFile ?? null,
      members: others.map((m) => ({ ip: ipOf(m.host), port: m.port })),
      ...vouchersOf(config, group, host),
    }
  })
  return { paths: config.paths, groups }
}

type Vouchers = Pick<GuardedGroup, 'voters' | 'needed' | 'checkIps' | 'sentinels'>

/** Who must be reached for writes to go on, as the agent would count it. */
function vouchersOf(config: Config, group: GroupConfig, host: string): Vouchers {
  const ipOf = (name: string): string => config.hosts[name]?.ip ?? ''
  const { quorum, sentinel } = policyOf(group, () => '')
  if (sentinel !== null && group.sentinel !== undefined) {
    const { port, hosts, passwordFile } = group.sentinel
    const far = hosts.filter((h) => h !== host)
    return {
      voters: far.map((h) => ({ ip: ipOf(h), ports: [port] })),
      // The Sentinel beside it cannot be cut off from it.
      needed: sentinel.behind - (hosts.length - far.length),
      checkIps: [],
      sentinels: { port, ips: far.map(ipOf), passwordFile: passwordFile ?? null, self: ipOf(host) },
    }
  }
  const members = group.members.filter((m) => m.host !== host)
  const voters = hostsOf(group).filter((h) => h !== host)
  return {
    voters: voters.map((h) => ({ ip: ipOf(h), ports: [config.api.port, ...members.filter((m) => m.host === h).map((m) => m.port)] })),
    needed: quorum > 0 ? quorum - 1 : 1,
    checkIps: quorum > 0 ? [] : group.checkIps,
    sentinels: null,
  }
}

/**
 * No fork in the usual case: `read` and arithmetic are the shell's own. Hundredths of a second, as /proc/uptime has them. It ends
 * well whatever the program finds: the program withdraws the address of one group by that group's track file, and a script that
 * fails would take the addresses of all.
 */
export function renderGuardScript(config: Config, program: string): string {
  return `#!/bin/sh
# Written by holdfast for keepalived. Changes are lost.
beat=0.00
read -r beat 2>/dev/null < ${beatFile(config.paths)}
read -r now idle < /proc/uptime
[ $((\${now%.*}\${now#*.} - \${beat%.*}\${beat#*.})) -le ${staleAfterS * 100} ] && exit 0
${program} ${guardPlanFile(config.paths)} >/dev/null 2>&1
exit 0
`
}
