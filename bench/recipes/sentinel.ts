/**
 * Sentinel as its documentation sets it up: three of them, a quorum of two, the third on a host without data. PURE: texts
 * only. `down-after-milliseconds 1000` instead of the default 30000, which would be no contest.
 */

export const sentinelPort = 26_379

export function sentinelConf(host: { readonly dir: string; readonly primaryIp: string }): string {
  return `port ${sentinelPort}
bind 0.0.0.0
protected-mode no
daemonize yes
pidfile ${host.dir}/sentinel.pid
logfile ${host.dir}/sentinel.log
dir ${host.dir}
sentinel monitor bench ${host.primaryIp} 6379 2
sentinel down-after-milliseconds bench 1000
sentinel failover-timeout bench 10000
sentinel parallel-syncs bench 1
`
}
