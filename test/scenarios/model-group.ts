/** The configuration of a model world's group: what a test does not say is healthy and usual. */
import type { GroupConfig } from '../../src/model/config.ts'

export interface MemberOptions {
  readonly host: string
  readonly priority?: number
  readonly neverPrimary?: boolean
  readonly replicateFrom?: string
}

export interface WorldOptions {
  readonly members: readonly (string | MemberOptions)[]
  readonly external?: boolean
  readonly auto?: boolean
}

export function groupOf(options: WorldOptions): GroupConfig {
  const given = options.members.map((m) => (typeof m === 'string' ? { host: m } : m))
  const members = given.map((m, i) => ({
    host: m.host,
    port: 6379,
    priority: m.priority ?? 100 - 10 * i,
    neverPrimary: m.neverPrimary ?? false,
    ...(m.replicateFrom === undefined ? {} : { replicateFrom: m.replicateFrom }),
  }))
  return {
    name: 'sessions',
    mode: 'vip',
    members,
    checkIps: [],
    vip: { ip: '10.0.0.100', prefix: 24 },
    vrid: 7,
    unicastPeer: false,
    port: 6379,
    process: options.external === true ? 'external' : 'direct',
    redis: [],
    durability: 'available',
    failover: { auto: options.auto ?? true, hostLossMs: 150, unresponsiveMs: 3000, maxPauseMs: 500 },
  }
}
