/** The configuration of a model world's group: what a test does not say is healthy and usual. */
import type { GroupConfig, SentinelConfig } from '../../src/model/config.ts'
import { groupConfig } from '../unit/builders.ts'

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
  readonly checkIps?: readonly string[]
  readonly safe?: boolean
  /** A host without data that votes. */
  readonly witness?: string
  readonly sentinels?: SentinelOptions
  /** A redis on a host of its own, without an agent, that is to be moved to this group: one that can hold writes, or one from before 6.2. */
  readonly source?: 'pauses' | 'refuses'
  /** It has no address: its clients ask who serves. */
  readonly bare?: true
}

/** `mode: sentinel`. */
export interface SentinelOptions {
  /** With data or without. */
  readonly hosts: readonly string[]
  readonly quorum?: number
  readonly downAfterMs?: number
  readonly failoverTimeoutMs?: number
  readonly parallelSyncs?: number
  /** Another one: their timers and dice fall otherwise. */
  readonly seed?: number
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
  const { vip, ...bare } = groupConfig([])
  const usual: GroupConfig = options.bare === true || vip === undefined ? bare : { ...bare, vip }
  return {
    ...usual,
    members,
    ...(options.witness === undefined ? {} : { witness: options.witness }),
    ...(options.sentinels === undefined ? {} : { mode: 'sentinel' as const, sentinel: sentinelOf(options.sentinels) }),
    ...(options.source === undefined ? {} : { migration: { awaits: true, hook: null } }),
    process: options.external === true ? 'external' : 'direct',
    checkIps: options.checkIps ?? [],
    durability: options.safe === true ? 'safe' : 'available',
    failover: { ...usual.failover, auto: options.auto ?? true },
  }
}

function sentinelOf(options: SentinelOptions): SentinelConfig {
  return {
    hosts: options.hosts,
    port: 26379,
    quorum: options.quorum ?? Math.floor(options.hosts.length / 2) + 1,
    downAfterMs: options.downAfterMs ?? 1000,
    failoverTimeoutMs: options.failoverTimeoutMs ?? 10_000,
    parallelSyncs: options.parallelSyncs ?? 1,
    process: 'direct',
  }
}
