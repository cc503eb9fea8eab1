/**
 * The model world of the scenarios: a virtual clock, a network with three layers that fail apart (agent links, redis, VRRP), a
 * redis and an agent per host, one client at the group's address. Deterministic: the same calls give the same story.
 */
import type { Action, ActionKind, Event } from '../../src/model/action.ts'
import { policyOf, type Policy } from '../../src/model/policy.ts'
import type { RequestResult, State } from '../../src/model/state.ts'
import type { Follower, PeerProbe, Request } from '../../src/model/view.ts'
import { ModelAgent, type Message, type StepHook } from './model-agent.ts'
import { keysOf, type Log } from './model-log.ts'
import { ModelRedis, newId, nobody, nothing, resetIds, type Dataset, type Source } from './model-redis.ts'
import { VirtualClock } from './model-clock.ts'
import { groupOf, type MemberOptions, type WorldOptions } from './model-group.ts'
import { Network, joinedMs, layers, quickMs, type Layer, type Way } from './model-network.ts'
import { createVrrp, type Vrrp } from './model-vrrp.ts'
import { actsOf, storyOf, taleOf } from './told.ts'

/** How often the links beat, and look who has not. */
const beatMs = 50
/** How often a link that is not there is tried again. */
const retryMs = 100
/** How long a torn link needs to be there again. */
const reconnectMs = 100

export class World extends VirtualClock {
  readonly policy: Policy
  readonly hosts: readonly string[]
  readonly vrrp: Vrrp
  readonly assertions: string[] = []
  readonly events: (Event & { readonly host: string; readonly atMs: number })[] = []
  readonly notes: string[] = []
  readonly done: { atMs: number; host: string; kind: ActionKind; ok: boolean; action: Action }[] = []
  readonly results = new Map<string, RequestResult>()
  readonly kept: { readonly host: string; readonly name: string; readonly log: Log }[] = []
  readonly acked: string[] = []
  /** `HOST/ACTION` → why it fails, as long as it stands here. */
  readonly failures = new Map<string, string>()
  stepHook: StepHook | null = null
  /** Keeps what `notes` and `done` tell. A simulator that only wants to know whether all went well does without. */
  tells = true
  /** How late the agents' own timers are: their machines have other things to do as well. */
  timerLatenessMs = 0
  readonly network: Network
  private readonly redises = new Map<string, ModelRedis>()
  private readonly agents = new Map<string, ModelAgent>()
  private readonly byIp = new Map<string, ModelRedis>()
  private readonly all: ModelRedis[] = []
  private readonly suspended = new Map<string, number>()
  private readonly listening = new Set<string>()
  /** Another one whenever anything but the time has changed. */
  version = 0
  private physicsAtMs = Number.POSITIVE_INFINITY

  constructor(options: WorldOptions) {
    super()
    resetIds()
    const group = groupOf(options)
    const { members } = group
    this.hosts = members.map((m) => m.host)
    this.policy = policyOf(group, (h) => `ip-${h}`)
    this.network = new Network(this.hosts)
    this.vrrp = createVrrp(
      members.filter((m) => !m.neverPrimary),
      group.failover.hostLossMs,
      (from, to) => this.linked(from, to, 'vrrp'),
    )
    for (const host of this.hosts) {
      const redis = new ModelRedis(host)
      redis.onClose = () => this.agent(host).wake()
      redis.listFollowers = () => this.followersOf(redis)
      this.redises.set(host, redis)
      this.byIp.set(`ip-${host}`, redis)
      this.all.push(redis)
      this.agents.set(host, new ModelAgent(this, host))
    }
  }

  redis(host: string): ModelRedis {
    const redis = this.redises.get(host)
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
    this.network.listen(this.speaks, nowMs, this.listenTo)
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

  private sourceOf(redis: ModelRedis): Source {
    const { upstream } = redis
    const source = upstream === null || upstream.port === nobody.port ? undefined : this.byIp.get(upstream.host)
    if (source === undefined) return 'refused'
    if (!this.network.connected(source.host, redis.host, 'redis')) return 'silent'
    return source.running ? source : 'refused'
  }

  private followersOf(source: ModelRedis): readonly Follower[] {
    const replicas = this.all.filter((r) => r.linkUp && r.upstream !== null && this.byIp.get(r.upstream.host) === source)
    return replicas.map((r) => ({ ip: `ip-${r.host}`, port: 6379, offset: r.offset, online: true, ackAgeS: 0 }))
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
    return way.hungUpUntilMs > this.nowMs || (!this.agent(way.from).up && this.network.isOpen(way, 'agent') && way.back.agent)
  }

  reach(asker: string, peer: string): PeerProbe['redisReach'] {
    if (!this.network.connected(asker, peer, 'redis')) return 'silent'
    const redis = this.redis(peer)
    return redis.answers(this.nowMs) ? 'answers' : redis.frozen ? 'silent' : 'refused'
  }

  send(from: string, to: string, message: Message): void {
    const { network } = this
    const way = network.way(from, to)
    if (!network.isOpen(way, 'agent') || this.nowMs < way.joinsAtMs) return
    const sentMs = this.nowMs
    way.lastArrivalMs = Math.max(way.lastArrivalMs, sentMs + way.delayMs)
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

  private opened(a: string, b: string): void {
    this.after(20, () => {
      this.agent(a).sayAllTo(b)
      this.agent(b).sayAllTo(a)
    })
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
    for (const way of [this.network.way(a, b), this.network.way(b, a)]) Object.assign(way, { tornAtMs: this.nowMs, hungUpUntilMs: this.nowMs + reconnectMs })
    for (const host of [a, b]) this.agent(host).wake()
    this.after(reconnectMs - 20, () => this.opened(a, b))
  }

  cut(host: string): void {
    for (const other of this.hosts) if (other !== host) this.isolate(host, other)
  }

  heal(): void {
    const closed = this.network.closed()
    this.network.clear()
    for (const way of closed) this.joins(way.from, way.to, 20)
    this.changed()
  }

  // ── faults ──
  powerOff(host: string): void {
    this.redis(host).die()
    this.network.power(host, false)
    this.killAgent(host)
    const vrrp = this.vrrp.hosts.get(host)
    if (vrrp !== undefined) Object.assign(vrrp, { alive: false, allowed: false })
    this.changed()
  }

  powerOn(host: string): void {
    this.network.power(host, true)
    const vrrp = this.vrrp.hosts.get(host)
    if (vrrp !== undefined) vrrp.alive = true
    this.startAgent(host)
  }

  crash(host: string): void {
    this.redis(host).die()
    this.changed()
  }

  /** What a supervisor does: starts redis from a disk as the configuration file says, as a primary. */
  supervisorStarts(host: string, disk: 'empty' | 'old' | Dataset): void {
    const redis = this.redis(host)
    if (disk !== 'old') redis.disk = disk === 'empty' ? nothing : disk
    redis.start(this.nowMs, 'primary')
    this.after(6, () => this.agent(host).wake())
    this.changed()
  }

  freeze(host: string): void {
    this.redis(host).frozen = true
    this.changed()
  }

  /** The agent's event loop stands still; redis and keepalived go on. */
  stall(host: string, forMs: number): void {
    this.agent(host).stall(forMs)
    this.changed()
    this.after(forMs, () => this.changed())
  }

  /** The whole host stands still, as a virtual machine does while it is moved: then it goes on as if nothing had been. */
  suspend(host: string, forMs: number): void {
    const keepalived = this.vrrp.hosts.get(host)
    this.stall(host, forMs)
    this.freeze(host)
    const untilMs = Math.max(this.nowMs + forMs, this.suspended.get(host) ?? 0)
    this.suspended.set(host, untilMs)
    if (keepalived !== undefined) keepalived.frozen = true
    this.after(forMs, () => {
      if (this.nowMs < untilMs) return
      this.suspended.delete(host)
      if (keepalived !== undefined) keepalived.frozen = false
      this.thaw(host)
    })
  }

  thaw(host: string): void {
    if (this.suspended.has(host)) return
    this.redis(host).frozen = false
    this.changed()
  }

  killAgent(host: string): void {
    this.agent(host).kill()
    this.changed()
    for (const other of this.hosts) if (other !== host && this.linked(host, other, 'agent')) this.after(quickMs, () => this.agent(other).wake())
  }

  startAgent(host: string): void {
    if (this.network.isOff(host) || this.agent(host).up) return
    // A new agent calls the others at once; they try again to call it, from time to time.
    for (const other of this.hosts) {
      if (other === host) continue
      this.joins(host, other, 20)
      this.joins(other, host, this.agent(other).up ? retryMs : 20)
    }
    this.agent(host).start()
    this.changed()
  }

  private joins(from: string, to: string, inMs: number): void {
    this.network.way(from, to).joinsAtMs = this.nowMs + inMs
    // A little later than due: sums of fractions are not exact.
    this.after(inMs + 0.01, () => this.agent(from).sayAllTo(to))
    this.after(inMs + joinedMs + 0.01, () => this.changed())
  }

  /** The group as an operator meets it: every agent up; runs until a primary serves and all replicas follow. */
  begin(): this {
    for (const host of this.hosts) this.startAgent(host)
    this.untilWhole()
    return this
  }

  ask(host: string, kind: Request['kind'], more: { to?: string; dryRun?: boolean } = {}): string {
    return this.agent(host).ask({ kind, to: more.to ?? null, dryRun: more.dryRun ?? false })
  }

  // ── the client ──
  addressOn(): readonly string[] {
    return [...this.vrrp.hosts.values()].filter((h) => h.vipSinceMs !== null).map((h) => h.host)
  }

  /** One SET through the address. What comes back is what the client sees. */
  write(key = newId('k')): 'OK' | 'READONLY' | 'paused' | 'no answer' | 'no address' {
    const [host] = this.addressOn()
    return host === undefined ? 'no address' : this.writeAt(host, key)
  }

  /** One SET of a client that reaches the address where it is on this host. */
  writeAt(host: string, key = newId('k')): 'OK' | 'READONLY' | 'paused' | 'no answer' {
    const answer = this.redis(host).write(key, this.nowMs)
    if (answer === 'OK') this.acked.push(key)
    // What has left the socket reaches the replicas before the acknowledgement can be acted upon.
    this.changed()
    return answer
  }

  writes(count: number): void {
    for (let i = 0; i < count; i += 1) {
      this.write()
      this.run(1)
    }
  }

  keys(host: string): readonly string[] {
    return keysOf(this.redis(host).log)
  }

  lost(host: string): readonly string[] {
    const there = new Set(this.keys(host))
    return this.acked.filter((k) => !there.has(k))
  }

  // ── what one sees ──
  serving(): readonly string[] {
    return this.hosts.filter(
      (h) => this.agent(h).up && this.state(h).phase === 'primary' && this.redis(h).answers(this.nowMs) && this.redis(h).role === 'primary',
    )
  }

  isWhole(): boolean {
    const [primary, ...more] = this.serving()
    if (primary === undefined || more.length > 0) return false
    const address = this.addressOn()
    return (
      address.length === 1 &&
      address[0] === primary &&
      this.hosts.every(
        (h) => h === primary || (this.state(h).phase === 'replica' && this.redis(h).linkUp && this.redis(h).offset === this.redis(primary).offset),
      )
    )
  }

  untilWhole(limitMs = 15_000): string {
    this.until('one primary with the address, all others attached', () => this.isWhole(), limitMs)
    return this.serving()[0] ?? ''
  }

  note(host: string, text: string): void {
    if (this.tells) this.notes.push(`${this.nowMs.toFixed(1).padStart(9)} ${host} ${text}`)
  }

  record(host: string, event: Event): void {
    this.events.push({ ...event, host, atMs: this.nowMs })
    this.note(host, `*** ${event.kind} (epoch ${event.epoch}): ${event.text}`)
  }

  /** `HOST did`, in order, since a moment. */
  acts(kinds: readonly ActionKind[], sinceMs = 0): readonly string[] {
    return actsOf(this, kinds, sinceMs)
  }

  /** `HOST event epoch`, in order, since a moment. */
  story(sinceMs = 0, kinds?: readonly Event['kind'][]): readonly string[] {
    return storyOf(this, sinceMs, kinds)
  }

  tale(): string {
    return taleOf(this)
  }
}

export function createWorld(...members: readonly (string | MemberOptions)[]): World {
  return new World({ members })
}
