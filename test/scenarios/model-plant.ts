/**
 * What the model world is made of, and what follows from the state of things by itself: on each host a redis, a keepalived and an
 * agent, joined by the network. Replication flows, adverts are missed, words arrive. Whose doing something is stands in world.ts.
 */
import { hostsOf } from '../../src/model/config.ts'
import { policyOf, type Policy } from '../../src/model/policy.ts'
import type { State } from '../../src/model/state.ts'
import type { Follower, PeerProbe } from '../../src/model/view.ts'
import { ModelAgent, type Message } from './model-agent.ts'
import { VirtualClock } from './model-clock.ts'
import { groupOf, type WorldOptions } from './model-group.ts'
import { Network, joinedMs, lateMs, layers, type Layer, type Way } from './model-network.ts'
import { ModelRedis, nobody, resetIds, type Source } from './model-redis.ts'
import { Sentinels } from './model-sentinels.ts'
import { sourceHost, type Moved } from './model-source.ts'
import type { Way as WireWay } from './model-wire.ts'
import { createVrrp, type Vrrp } from './model-vrrp.ts'
import type { World } from './world.ts'

/** How often the links beat, and look who has not. */
const beatMs = 50
/** How long a torn link needs to be there again. */
const reconnectMs = 100

export abstract class Plant extends VirtualClock {
  readonly policy: Policy
  /** Those with data. */
  readonly hosts: readonly string[]
  /** Those with an agent: the hosts, and the witness after them. */
  readonly voters: readonly string[]
  readonly vrrp: Vrrp
  readonly network: Network
  /** Another one whenever anything but the time has changed. */
  version = 0
  /** null: not in `mode: sentinel`. They run from the beginning. */
  readonly sentinels: Sentinels | null
  /** The redis that is to be moved to this group; null: there is none. */
  readonly moved: Moved | null
  /** Of hosts of every kind. */
  readonly places: readonly string[]
  /** Of connections: words that have come to who stands still. */
  readonly held = new Set<WireWay>()
  private readonly redises = new Map<string, ModelRedis>()
  private readonly agents = new Map<string, ModelAgent>()
  private readonly byIp = new Map<string, ModelRedis>()
  private readonly all: ModelRedis[] = []
  private readonly listening = new Set<string>()
  private physicsAtMs = Number.POSITIVE_INFINITY

  constructor(options: WorldOptions) {
    super()
    resetIds()
    const group = groupOf(options)
    const { members } = group
    this.hosts = members.map((m) => m.host)
    this.voters = hostsOf(group)
    this.policy = policyOf(group, (h) => `ip-${h}`)
    this.moved = options.source === undefined ? null : this.movedOf(options.source)
    const beside = this.moved === null ? [] : [sourceHost]
    this.places = [...this.voters, ...beside]
    this.network = new Network(this.voters, this.policy.leased, beside)
    this.vrrp = createVrrp(
      members.filter((m) => !m.neverPrimary),
      group.failover.hostLossMs,
      (from, to) => this.linked(from, to, 'vrrp'),
    )
    for (const host of this.hosts) {
      const redis = new ModelRedis(host)
      redis.bornNeedingReplica = this.policy.safe && !this.policy.external
      redis.onClose = () => this.agent(host).wake()
      redis.listFollowers = () => this.followersOf(redis)
      this.redises.set(host, redis)
      this.byIp.set(`ip-${host}`, redis)
      this.all.push(redis)
    }
    for (const host of this.voters) this.agents.set(host, new ModelAgent(this as unknown as World, host))
    const { sentinel } = this.policy
    const parallelSyncs = options.sentinels?.parallelSyncs ?? 1
    this.sentinels = sentinel === null ? null : new Sentinels(this as unknown as World, this, sentinel, parallelSyncs, options.sentinels?.seed ?? 0)
    for (const one of this.sentinels?.every() ?? []) one.start()
  }

  private movedOf(kind: 'pauses' | 'refuses'): Moved {
    const redis = new ModelRedis(sourceHost)
    redis.onClose = () => {
      for (const host of this.hosts) this.agent(host).source?.ended()
    }
    redis.listFollowers = () => this.followersOf(redis)
    this.byIp.set(`ip-${sourceHost}`, redis)
    this.all.push(redis)
    return { redis, starts: null, pauses: kind === 'pauses', clients: 'source', goAhead: false }
  }

  /** One of the group's members. */
  hasData(host: string): boolean {
    return this.redises.has(host)
  }

  redis(host: string): ModelRedis {
    const redis = host === sourceHost && this.moved !== null ? this.moved.redis : this.redises.get(host)
    if (redis === undefined) throw new Error(`no host ${host}`)
    return redis
  }

  agent(host: string): ModelAgent {
    const agent = this.agents.get(host)
    if (agent === undefined) throw new Error(`no host ${host}`)
    return agent
  }

  state(host: string): State {
    return this.agent(host).state
  }

  /** Replication, VRRP and silence follow from the state of things; called after everything that may change them. */
  changed(): void {
    const { nowMs, all } = this
    this.version += 1
    for (let moved = true, rounds = 0; moved && rounds <= all.length; rounds += 1) {
      moved = false
      for (const redis of all) if (redis.upstream !== null && redis.running && redis.replicateFrom(this.sourceOf(redis), nowMs)) moved = true
    }
    for (const host of this.vrrp.step(nowMs)) this.after(0, () => this.agent(host).wake())
    if (this.moved !== null && this.held.size > 0) for (const way of [...this.held]) way.look()
    this.sentinels?.changed()
    this.network.listen(this.speaks, this.listens, nowMs, this.listenTo)
    let nextMs = this.vrrp.nextMs()
    for (const redis of all) nextMs = Math.min(nextMs, redis.nextMs(nowMs))
    if (nextMs >= this.physicsAtMs) return
    this.physicsAtMs = nextMs
    this.after(nextMs - nowMs, () => {
      this.physicsAtMs = Number.POSITIVE_INFINITY
      this.changed()
    })
  }

  private readonly speaks = (host: string): boolean => {
    const agent = this.agent(host)
    return agent.up && agent.stalledMs === 0 && this.nowMs >= agent.standsUntilMs
  }

  private readonly listens = (host: string): boolean => this.agent(host).up

  private sourceOf(redis: ModelRedis): Source {
    const { upstream } = redis
    const source = upstream === null || upstream.port === nobody.port ? undefined : this.byIp.get(upstream.host)
    if (source === undefined) return 'refused'
    if (!this.network.connected(source.host, redis.host, 'redis')) return 'silent'
    return source.running ? source : 'refused'
  }

  private followersOf(source: ModelRedis): readonly Follower[] {
    const replicas = this.all.filter((r) => r.linkUp && r.upstream !== null && this.byIp.get(r.upstream.host) === source)
    return replicas.map((r) => ({ ip: `ip-${r.host}`, port: 6379, offset: r.offset, online: true, ackAgeS: r.ackAgeS(this.nowMs) }))
  }

  // ── network ──
  linked(from: string, to: string, layer: Layer): boolean {
    return this.network.linked(from, to, layer)
  }

  heardMs(from: string, to: string): number {
    return this.network.heardMs(from, to, this.nowMs)
  }

  /** The agent there does not listen, or has just hung up. */
  refuses(way: Way): boolean {
    return way.hungUp || (!this.agent(way.from).up && this.network.isOpen(way, 'agent') && way.back.agent)
  }

  reach(asker: string, peer: string): PeerProbe['redisReach'] {
    if (!this.redises.has(peer)) return 'not asked'
    if (!this.network.connected(asker, peer, 'redis')) return 'silent'
    const redis = this.redis(peer)
    return redis.answers(this.nowMs) ? 'answers' : redis.frozen ? 'silent' : 'refused'
  }

  send(from: string, to: string, message: Message): void {
    const { network } = this
    const way = network.way(from, to)
    if (!network.isOpen(way, 'agent') || way.hungUp || this.nowMs < way.joinsAtMs) return
    const sentMs = this.nowMs
    way.lastArrivalMs = Math.max(way.lastArrivalMs, sentMs + way.delayMs)
    if (way.lastArrivalMs - sentMs > lateMs) way.lateUntilMs = way.lastArrivalMs
    this.after(way.lastArrivalMs - sentMs, () => {
      if (sentMs > way.tornAtMs && network.isOpen(way, 'agent')) this.agent(to).hear(message)
    })
  }

  /** The links' beat wakes a loop while somebody is silent. */
  private readonly listenTo = (host: string): void => {
    if (this.listening.has(host)) return
    this.listening.add(host)
    const beat = () => {
      if (this.network.missesSomebody(host, this.nowMs)) {
        this.agent(host).wake()
        this.after(beatMs, beat)
      } else this.listening.delete(host)
    }
    this.after(beatMs + 10, beat)
  }

  isolate(a: string, b: string, which: readonly Layer[] = layers): void {
    this.network.block(a, b, which)
    this.network.block(b, a, which)
    this.changed()
  }

  /** What `from` sends does not arrive at `to`. A TCP connection outlives that for a moment in the other direction, VRRP for ever. */
  deafen(from: string, to: string): void {
    this.network.block(from, to, layers)
    this.after(200, () => {
      if (!this.network.way(from, to).agent) this.network.block(to, from, ['agent', 'redis'])
      this.changed()
    })
    this.changed()
  }

  /** The stream between two agents breaks, and is there again soon. */
  tear(a: string, b: string): void {
    const way = this.network.way(a, b)
    if (way.hungUp) return
    for (const w of [way, way.back]) Object.assign(w, { tornAtMs: this.nowMs, hungUp: true })
    this.changed()
    for (const host of [a, b]) this.agent(host).wake()
    const again = () => {
      if (!this.network.connected(a, b, 'agent')) {
        this.after(reconnectMs, again)
        return
      }
      for (const w of [way, way.back]) {
        w.hungUp = false
        this.joins(w.from, w.to, 0)
      }
      this.changed()
    }
    this.after(reconnectMs, again)
  }

  slow(from: string, to: string, delayMs: number): void {
    this.network.slow(this.network.way(from, to), delayMs, this.nowMs)
    this.changed()
    // Somebody is silent until the first slow word arrives.
    for (const host of [from, to].filter((h) => this.agents.has(h)))
      for (const ms of [beatMs * 2 + 10, beatMs * 3, beatMs * 4]) this.after(ms, () => this.agent(host).wake())
  }

  cut(host: string): void {
    for (const other of this.places) if (other !== host) this.isolate(host, other)
  }

  heal(): void {
    const closed = this.network.closed()
    this.network.clear()
    for (const way of closed) this.joins(way.from, way.to, 20)
    this.changed()
  }

  protected joins(from: string, to: string, inMs: number): void {
    this.network.way(from, to).joinsAtMs = this.nowMs + inMs
    // A little later than due: sums of fractions are not exact.
    this.after(inMs + 0.01, () => this.agent(from).sayAllTo(to))
    this.after(inMs + joinedMs + 0.01, () => this.changed())
  }
}
