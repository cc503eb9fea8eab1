/**
 * The two keepalived recipes that people run today, written as the guides on the web have them: a vrrp_script that pings
 * redis, and notify scripts that turn the local redis into a primary or a replica. PURE: texts only. They are here to be
 * measured, not to be used: each loses data where Holdfast does not (docs/bench.md).
 */

export interface KeepalivedRecipe {
  readonly checkEveryS: number
  readonly checkFalls: number
  readonly advertS: number
  /** Before `REPLICAOF NO ONE`, "to give replication time to finish". */
  readonly promoteAfterS: number
}

export const recipes: Record<'keepalived-1s' | 'keepalived-2s', KeepalivedRecipe> = {
  'keepalived-1s': { checkEveryS: 1, checkFalls: 3, advertS: 1, promoteAfterS: 0 },
  'keepalived-2s': { checkEveryS: 2, checkFalls: 3, advertS: 3, promoteAfterS: 10 },
}

export interface RecipeHost {
  readonly dir: string
  readonly peerIp: string
  readonly priority: number
  readonly interface: string
  /** With the prefix length. */
  readonly vip: string
}

/** `state BACKUP` and `nopreempt` on both hosts: a primary that comes back does not take the address again. */
export function keepalivedConf(recipe: KeepalivedRecipe, host: RecipeHost): string {
  return `global_defs {
  router_id redis
  script_user root
  enable_script_security
}

vrrp_script check_redis {
  script "${host.dir}/check.sh"
  interval ${recipe.checkEveryS}
  timeout ${recipe.checkEveryS}
  fall ${recipe.checkFalls}
  rise 2
}

vrrp_instance redis {
  state BACKUP
  nopreempt
  interface ${host.interface}
  virtual_router_id 51
  priority ${host.priority}
  advert_int ${recipe.advertS}
  authentication {
    auth_type PASS
    auth_pass redis
  }
  virtual_ipaddress {
    ${host.vip}
  }
  track_script {
    check_redis
  }
  notify_master "${host.dir}/master.sh"
  notify_backup "${host.dir}/backup.sh"
  notify_fault "${host.dir}/backup.sh"
}
`
}

/** File name → text. All of them are executable. */
export function keepalivedScripts(recipe: KeepalivedRecipe, host: RecipeHost): Readonly<Record<string, string>> {
  const wait = recipe.promoteAfterS === 0 ? '' : `sleep ${recipe.promoteAfterS}\n`
  return {
    'check.sh': '#!/bin/sh\n[ "$(redis-cli -h 127.0.0.1 -p 6379 ping)" = "PONG" ]\n',
    'master.sh': `#!/bin/sh\n${wait}redis-cli -h 127.0.0.1 -p 6379 replicaof no one\n`,
    'backup.sh': `#!/bin/sh\nredis-cli -h 127.0.0.1 -p 6379 replicaof ${host.peerIp} 6379\n`,
  }
}
