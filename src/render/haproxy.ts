/**
 * haproxy.cfg for one group: for clients that have neither the VIP (a cloud without VRRP, loopback) nor a word of Sentinel. PURE.
 * HAProxy asks the agents who is what (`GET /GROUP/primary`, `/replica`). Where no agent says that it serves, it asks redis itself: an agent that is
 * being upgraded must not be an outage (INV-7). Must not put a password anywhere but where redis is asked.
 */
import { assert } from '../model/assert.ts'
import type { Config, GroupConfig, MemberConfig } from '../model/config.ts'
import { isLoopback } from '../model/local-address.ts'

export interface HaproxyInput {
  readonly config: Config
  readonly group: GroupConfig
  /** redis' AUTH command as bytes in hexadecimal, so that no character of a password means anything to HAProxy; undefined: no password. */
  readonly auth: string | undefined
  readonly writePort: number
  readonly readPort: number
}

/** A replica further behind than this is not asked: half a second of a busy primary. */
const readLagBytes = 1024 * 1024

export function renderHaproxy(input: HaproxyInput): string {
  const { config, group, writePort, readPort } = input
  const { name } = group
  const mayServe = group.members.filter((member) => !member.neverPrimary)
  // A trial on one machine is nobody else's to reach; and its redises have the same port, at addresses of their own.
  const at = Object.values(config.hosts).every(({ ip }) => isLoopback(ip)) ? '127.0.0.1' : ''
  const asksRedis = group.process === 'direct'
  const last = asksRedis ? `${name}_primary_by_redis` : `${name}_primary`
  return `${head(config, name)}

frontend ${name}_writes
    bind ${at}:${writePort}
    use_backend ${name}_primary if { nbsrv(${name}_primary) gt 0 }
    default_backend ${last}

frontend ${name}_reads
    bind ${at}:${readPort}
    use_backend ${name}_replicas if { nbsrv(${name}_replicas) gt 0 }
    use_backend ${name}_primary if { nbsrv(${name}_primary) gt 0 }
    default_backend ${last}

backend ${name}_primary
    # 200 only from the agent whose redis is the primary and takes writes.
    option httpchk GET /${name}/primary
    ${defaultServer} port ${config.api.port}
${servers(config, mayServe)}

backend ${name}_replicas
    balance leastconn
    # 200 from a replica that follows with true data and is at most so many bytes behind.
    option httpchk GET /${name}/replica?lag=${readLagBytes}
    ${defaultServer} port ${config.api.port}
${servers(config, group.members)}
${asksRedis ? byRedis(name, mayServe, input) : ''}`
}

/** Not with `process: external`: a redis that somebody restarts says "master" before any agent has judged its data. */
function byRedis(name: string, mayServe: readonly MemberConfig[], { config, auth }: HaproxyInput): string {
  const signIn = auth === undefined ? '' : `    tcp-check send-binary ${auth}\n    tcp-check expect min-recv 3 string +OK\n`
  return `
backend ${name}_primary_by_redis
    # Only where no agent says that its redis serves: one that is being upgraded is no outage. A redis that
    # Holdfast starts is born as a replica; one that says "master" has been promoted by a decision.
    option tcp-check
${signIn}    tcp-check send ROLE\\r\\n
    # Without min-recv it would wait a second for a word that does not come.
    tcp-check expect min-recv 14 string master
    ${defaultServer}
${servers(config, mayServe)}
`
}

/**
 * `on-marked-down shutdown-sessions`: a client that stays connected to a former primary writes into the void. `fall 1` and `rise 1`: the agents have
 * judged already, and each further question costs `inter`.
 */
const defaultServer = 'default-server inter 200ms fall 1 rise 1 on-marked-down shutdown-sessions'

function head(config: Config, group: string): string {
  return `# Written by holdfast for group ${group}: \`holdfast render haproxy ${group}\`. Change ${config.file} instead, and render it again.
defaults
    mode tcp
    # What is refused here is refused there as well: a client that is told at once tries again sooner than HAProxy would (1 s).
    retries 0
    timeout connect 1s
    # An agent that is busy is not dead: a question may take longer than the pause between two.
    timeout check 1s
    # Pools and subscribers are silent for long. Who is gone is found by the kernel.
    timeout client 1d
    timeout server 1d
    option clitcpka
    option srvtcpka
    # While a lost host's connections hang, a client that gives up must not hold one more.
    option abortonclose`
}

function servers(config: Config, members: readonly MemberConfig[]): string {
  const lines = members.map(({ host, port }) => {
    const ip = config.hosts[host]?.ip
    assert(ip !== undefined, `host ${host} is in the configuration`)
    return `    server ${host} ${ip}:${port} check`
  })
  return lines.join('\n')
}
