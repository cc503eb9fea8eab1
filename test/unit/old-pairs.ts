/** Old pairs as people have set them up, for tests: the files as found on the internet, and what `look` would have found beside them. */
import type { HostFound, RedisLine, RunningRedis } from '../../src/adopt/found.ts'
import { parseKeepalived } from '../../src/adopt/keepalived-conf.ts'
import { readConf } from '../../src/render/redis-directives.ts'

/** Redis 3.0 on Debian: the much copied recipe with a check script and one script for each state. */
export const debianMaster = `! Configuration File for keepalived
global_defs {
   router_id LVS_REDIS   # whatever
}

vrrp_script chk_redis {
    script "/etc/keepalived/scripts/redis_check.sh 127.0.0.1 6379"
    interval 2
    timeout 2
    fall 3
}

vrrp_instance VI_REDIS {
    state MASTER
    interface eth0
    virtual_router_id 51
    priority 101
    advert_int 3
    authentication {
        auth_type PASS
        auth_pass all_redis_pass
    }
    virtual_ipaddress {
        192.168.100.123
    }
    track_script { chk_redis }
    notify_master "/etc/keepalived/scripts/redis_master.sh 127.0.0.1 192.168.100.202 6379"
    notify_backup "/etc/keepalived/scripts/redis_backup.sh 127.0.0.1 192.168.100.202 6379"
    notify_fault /etc/keepalived/scripts/redis_fault.sh
    notify_stop  /etc/keepalived/scripts/redis_stop.sh
}
`

export const debianBackup = debianMaster.replace('priority 101', 'priority 100').replaceAll('192.168.100.202', '192.168.100.201')

export const debianScripts: Readonly<Record<string, string>> = {
  '/etc/keepalived/scripts/redis_check.sh 127.0.0.1 6379': `#!/bin/bash
ALIVE=\`/usr/bin/redis-cli -h $1 -p $2 -a s3cret PING\`
if [ "$ALIVE" == "PONG" ]; then exit 0; else exit 1; fi
`,
  '/etc/keepalived/scripts/redis_master.sh 127.0.0.1 192.168.100.202 6379': `#!/bin/bash
REDISCLI="/usr/bin/redis-cli -h $1 -p $3"
# SLAVEOF first, to get what is new
$REDISCLI SLAVEOF $2 $3
sleep 10
$REDISCLI SLAVEOF NO ONE
`,
  '/etc/keepalived/scripts/redis_backup.sh 127.0.0.1 192.168.100.202 6379': `#!/bin/bash
sleep 15
redis-cli -h $1 -p $3 slaveof $2 $3
`,
  '/etc/keepalived/scripts/redis_fault.sh': '#!/bin/sh\necho "$(date) fault" >> /var/log/keepalived-redis.log\n',
  '/etc/keepalived/scripts/redis_stop.sh': '#!/bin/sh\necho stop >> /var/log/keepalived-redis.log\n',
}

/** nopreempt on both, one `notify` script, a check by process, unicast, two instances with their priorities crossed. */
export const twoVips = `
vrrp_script check_redis { script "killall -0 redis-server"
  interval 1
  weight -20 }

vrrp_instance redis_write
{
  state BACKUP
  interface ens192
  virtual_router_id 60
  priority 150
  nopreempt
  unicast_src_ip 10.1.0.11
  unicast_peer {
    10.1.0.12
  }
  virtual_ipaddress {
    10.1.0.20/24 dev ens192 label ens192:w
  }
  track_script {
    check_redis
  }
  notify "/opt/redis/notify.sh"
}
vrrp_instance redis_read {
  state BACKUP
  interface ens192
  virtual_router_id 61
  priority 100
  virtual_ipaddress {
    10.1.0.21/24
  }
  track_script {
    check_redis
  }
}
`

export const notifyScript = `#!/bin/bash
TYPE=$1; NAME=$2; STATE=$3
case $STATE in
  "MASTER") redis-cli replicaof no one ;;
  "BACKUP") redis-cli replicaof 10.1.0.20 6379 ;;
esac
`

export function redisLines(text: string): readonly RedisLine[] {
  return readConf(text).lines.map(({ directive, args }): RedisLine => [directive, ...args])
}

const running: RunningRedis = {
  at: '127.0.0.1:6379',
  port: 6379,
  product: 'redis',
  version: '6.2.16',
  runId: 'a'.repeat(40),
  pid: 812,
  configFile: '/etc/redis/redis.conf',
  role: 'primary',
  upstream: null,
  linkUp: false,
  syncing: false,
  replid: 'c'.repeat(40),
  offset: 5000,
  keys: 1200,
  isCluster: false,
  replicas: [{ ip: '192.168.100.202', port: 6379 }],
  watchedBySentinels: false,
  lacking: [],
  settings: null,
}

const calm: Readonly<Record<string, string>> = {
  save: '900 1',
  appendonly: 'yes',
  'replica-read-only': 'yes',
  'replica-serve-stale-data': 'yes',
  'min-replicas-to-write': '1',
  'repl-diskless-sync': 'no',
  'repl-backlog-size': '67108864',
  bind: '* -::*',
  'protected-mode': 'no',
}

type More = Partial<Omit<HostFound, 'redis' | 'keepalivedConf'>> & {
  readonly redis?: Partial<RunningRedis>
  readonly set?: Readonly<Record<string, string>>
  readonly keepalived?: string
  readonly conf?: string
  readonly texts?: Readonly<Record<string, string>>
}

function host(name: string, ip: string, more: More, its: Partial<RunningRedis>): HostFound {
  const { redis, set, keepalived, conf, texts, ...rest } = more
  return {
    format: 1,
    host: name,
    addresses: [{ interface: 'eth0', ip, prefix: 24 }],
    redisConf: { file: '/etc/redis/redis.conf', lines: redisLines(conf ?? 'replicaof 127.0.0.1 1'), unread: [] },
    keepalivedConf: keepalived === undefined ? null : { file: '/etc/keepalived/keepalived.conf', nodes: parseKeepalived(keepalived).nodes, unread: [] },
    scripts: Object.entries(texts ?? {}).map(([command, text]) => ({ command, text, why: '' })),
    supervisor: { unit: 'redis-server.service', restart: 'always', restartAfter: '100ms', parent: 'systemd' },
    cron: [],
    passwords: { own: null, masterauth: null },
    ...rest,
    redis: { ...running, ...its, ...redis, settings: redis?.settings === null ? null : { ...calm, ...set } },
  }
}

/** In order, for tests that spoil one thing. */
export function master(more: More = {}): HostFound {
  return host('redis-a', '192.168.100.201', more, {})
}

export function replica(more: More = {}): HostFound {
  return host('redis-b', '192.168.100.202', more, {
    role: 'replica',
    runId: 'b'.repeat(40),
    upstream: { host: '192.168.100.201', port: 6379 },
    linkUp: true,
    replicas: [],
  })
}

/** `ip` is on this host too. */
export function holding(found: HostFound, ip: string, prefix = 32): HostFound {
  return { ...found, addresses: [...found.addresses, { interface: found.addresses[0]?.interface ?? 'eth0', ip, prefix }] }
}
