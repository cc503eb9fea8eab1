/** What a Sentinel of the model world keeps of each redis and of each other Sentinel: the connection, and what it said last. */
import type { ModelRedis } from './model-redis.ts'
import type { Wire } from './model-wire.ts'

/** SENTINEL DEBUG changes both, until the process ends. */
export const usualPace: Pace = { pingMs: 1000, infoMs: 10_000 }

export interface Pace {
  readonly pingMs: number
  readonly infoMs: number
}

export const publishMs = 2000

export interface Link {
  wire: Wire | null
  triedMs: number
  sinceMs: number
  /** When the first PING was sent that has no answer; null: all have. */
  waitsSinceMs: number | null
  pingedMs: number
  availableMs: number
  pongMs: number
}

export interface Watched {
  readonly host: string
  link: Link
  down: boolean
  /** Of the last time that it was found down. */
  downSinceMs: number
  publishedMs: number
}

export interface SeenRedis extends Watched {
  runId: string | null
  role: 'primary' | 'replica'
  roleSinceMs: number
  /** An address: who does not replicate from a member has one as well. */
  upstream: string
  upstreamSinceMs: number
  linkUp: boolean
  linkDownMs: number
  offset: number
  priority: number
  infoAtMs: number
  infoAsked: boolean
  reconf: 'no' | 'sent' | 'in progress' | 'done'
  reconfSentMs: number
}

export interface OtherSentinel extends Watched {
  saysDown: boolean
  vote: Vote | null
  repliedMs: number
}

export interface Vote {
  readonly epoch: number
  readonly to: string
}

export interface Hello {
  readonly from: string
  readonly epoch: number
  readonly names: string
  readonly configEpoch: number
}

const never = Number.NEGATIVE_INFINITY

export interface RedisInfo {
  readonly runId: string
  readonly role: 'primary' | 'replica'
  readonly upstream: string
  readonly linkUp: boolean
  readonly linkDownMs: number
  readonly offset: number
  readonly priority: number
  /** Attached to it. */
  readonly replicas: readonly string[]
}

export function infoOf(redis: ModelRedis, nowMs: number): RedisInfo {
  const facts = redis.facts(nowMs)
  return {
    runId: facts.runId,
    role: facts.role,
    upstream: facts.upstream?.host ?? '',
    linkUp: facts.linkUp,
    linkDownMs: facts.linkDownS === null ? 0 : facts.linkDownS * 1000,
    offset: facts.offset,
    priority: redis.priority,
    replicas: facts.followers.map((f) => f.ip.replace(/^ip-/, '')),
  }
}

export function addressOf(host: string): string {
  return `ip-${host}`
}

function freshLink(nowMs: number): Link {
  return { wire: null, triedMs: never, sinceMs: 0, waitsSinceMs: nowMs, pingedMs: never, availableMs: nowMs, pongMs: nowMs }
}

export function drop(link: Link): void {
  link.wire?.end()
  link.wire = null
}

function freshWatched(host: string, nowMs: number): Watched {
  return { host, link: freshLink(nowMs), down: false, downSinceMs: never, publishedMs: nowMs }
}

export function freshRedis(host: string, role: SeenRedis['role'], nowMs: number): SeenRedis {
  return {
    ...freshWatched(host, nowMs),
    runId: null,
    role,
    roleSinceMs: nowMs,
    upstream: '',
    upstreamSinceMs: nowMs,
    linkUp: false,
    linkDownMs: 0,
    offset: 0,
    priority: 100,
    infoAtMs: never,
    infoAsked: false,
    reconf: 'no',
    reconfSentMs: 0,
  }
}

export function freshOther(host: string, nowMs: number): OtherSentinel {
  return { ...freshWatched(host, nowMs), saysDown: false, vote: null, repliedMs: nowMs }
}
