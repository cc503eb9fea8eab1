/** What an agent of the model world sees and has heard: its redis, its keepalived, its peers. As `observe/` and `agent/senses.ts`. */
import { noRedis } from '../../src/decide/witness.ts'
import { suspectShare } from '../../src/model/policy.ts'
import type { ChecksProbe, KeepalivedProbe, PeerProbe, RedisFacts, RedisProbe, Statement, View } from '../../src/model/view.ts'
import { lastHeardMs, type Way } from './model-network.ts'
import type { World } from './world.ts'

/** JSON has no Infinity. */
const neverMs = 1e12

export class ModelSenses {
  private readonly world: World
  private readonly host: string
  /** From each peer to here. */
  private readonly ways: readonly Way[]
  private readonly words = new Map<string, { readonly statement: Statement; receivedMs: number }>()
  private facts: RedisFacts | null = null
  private factsAtMs = Number.NEGATIVE_INFINITY
  private knownPid: number | null = null
  private waitingSinceMs: number | null = null
  private checkedMs = 0
  private checksSinceMs = -1e6

  constructor(world: World, host: string) {
    this.world = world
    this.host = host
    this.ways = world.voters.filter((h) => h !== host).map((h) => world.network.way(h, host))
  }

  /** Another life of the agent. */
  forget(): void {
    this.words.clear()
    this.facts = null
    this.factsAtMs = Number.NEGATIVE_INFINITY
    this.knownPid = null
    this.waitingSinceMs = null
  }

  expectProcess(pid: number): void {
    this.knownPid = pid
    this.facts = null
  }

  /** Keeps a peer's statement and returns the one before it. */
  heard(statement: Statement): Statement | null {
    const before = this.words.get(statement.host)?.statement ?? null
    this.words.set(statement.host, { statement, receivedMs: this.world.nowMs })
    return before
  }

  redis(nowMs: number): RedisProbe {
    if (!this.world.hasData(this.host)) return noRedis
    const redis = this.world.redis(this.host)
    if (redis.answers(nowMs)) {
      this.facts = redis.facts(nowMs)
      this.factsAtMs = nowMs
      this.waitingSinceMs = null
      this.knownPid = redis.pid
    } else if (redis.running) this.waitingSinceMs ??= nowMs
    else {
      this.factsAtMs = Number.NEGATIVE_INFINITY
      this.waitingSinceMs = null
      this.knownPid = null
    }
    return {
      process: redis.running,
      pid: this.knownPid,
      facts: this.facts,
      unansweredMs: this.waitingSinceMs === null ? 0 : this.ageMs(this.waitingSinceMs),
      factsAgeMs: Number.isFinite(this.factsAtMs) ? this.ageMs(this.factsAtMs) : Number.MAX_SAFE_INTEGER,
      askedAgeMs: Number.isFinite(this.factsAtMs) ? this.ageMs(this.factsAtMs) : Number.MAX_SAFE_INTEGER,
      trouble: null,
      busy: false,
      fence: this.world.agent(this.host).fence,
      backlog: null,
      settings: null,
      ...this.sentinelMay(nowMs),
    }
  }

  private sentinelMay(nowMs: number): Pick<RedisProbe, 'sentinelMay'> {
    if (this.world.sentinels === null) return {}
    const redis = this.world.redis(this.host)
    return { sentinelMay: redis.answers(nowMs) ? { orders: redis.orders, priority: redis.priority } : { orders: 'unknown', priority: null } }
  }

  sentinels(): Pick<View, 'sentinels'> {
    const { sentinels } = this.world
    return sentinels === null ? {} : { sentinels: sentinels.probes(this.host, (sinceMs) => this.ageMs(sinceMs)) }
  }

  keepalived(): KeepalivedProbe | null {
    const keepalived = this.world.vrrp.hosts.get(this.host)
    if (keepalived === undefined) return null
    const { alive, vrrp, vipSinceMs, strayFromMs, allowed, yields } = keepalived
    const { nowMs } = this.world
    const strayMs = strayFromMs === null || vipSinceMs !== null ? 0 : Math.max(1, nowMs - strayFromMs)
    const vipHere = vipSinceMs !== null || strayFromMs !== null
    const answerers = vipHere ? [] : this.world.answerers(this.host)
    return { process: alive, vrrp, vipHere, allowed, yields, strayMs, mac: `mac-${this.host}`, answerers }
  }

  /** Asked all the time: what the real one asks only when it misses all peers. */
  checks(nowMs: number): ChecksProbe | null {
    const { world, host } = this
    if (!world.policy.checks || world.network.isOff(host)) return null
    if (world.network.reachesGateway(host)) this.checkedMs = nowMs
    else if (nowMs - this.checkedMs >= 40) this.checksSinceMs = nowMs
    return { reach: this.checksSinceMs === nowMs ? 'silent' : 'answers', ageMs: nowMs - this.checkedMs, forMs: nowMs - this.checksSinceMs }
  }

  /** What was said since `deafSinceMs` has not been read yet. */
  peers(nowMs: number, startedMs: number, deafSinceMs: number): readonly PeerProbe[] {
    const probes: PeerProbe[] = []
    for (const peer of this.ways) probes.push(this.peer(peer, nowMs, startedMs, deafSinceMs))
    return probes
  }

  private peer(way: Way, nowMs: number, startedMs: number, deafSinceMs: number): PeerProbe {
    const { world, host } = this
    const peer = way.from
    const known = this.words.get(peer)
    // Any word is a sign of life, the first one of a new connection too, which no beat has followed yet.
    const heardMs = Math.min(Math.max(lastHeardMs(way, nowMs), known?.receivedMs ?? Number.NEGATIVE_INFINITY), deafSinceMs)
    // Connections of another life of this agent were not heard by this one.
    const silentMs = heardMs < startedMs ? neverMs : this.ageMs(heardMs)
    const refused = world.refuses(way)
    const { hostLossMs } = world.policy
    if (refused && known !== undefined) known.receivedMs = nowMs - neverMs
    return {
      host: peer,
      agent: refused ? 'refused' : silentMs < hostLossMs * suspectShare ? 'alive' : 'silent',
      silentMs,
      contactMs: this.contactMs(way, nowMs, startedMs, deafSinceMs),
      statement: known?.statement ?? null,
      statementAgeMs: known === undefined ? neverMs : this.ageMs(known.receivedMs),
      redisReach: refused || silentMs > hostLossMs / 3 + 10 ? world.reach(host, peer) : 'not asked',
    }
  }

  /** Of another life of this agent's nothing is known: each link is a new one. */
  private contactMs(way: Way, nowMs: number, startedMs: number, deafSinceMs: number): number {
    if (!this.world.policy.leased) return neverMs
    const atMs = Math.min(this.world.network.contactAtMs(way.back, nowMs), deafSinceMs)
    return atMs < startedMs ? neverMs : this.ageMs(atMs)
  }

  /** By the clock of this host. */
  private ageMs(sinceMs: number): number {
    const agent = this.world.agent(this.host)
    return agent.ownMs(this.world.nowMs) - agent.ownMs(sinceMs)
  }
}
