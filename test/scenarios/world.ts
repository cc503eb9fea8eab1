/**
 * The model world of the scenarios: a virtual clock, a network with three layers that fail apart (agent links, redis, VRRP), a
 * redis and an agent per host, one client at the group's address. Deterministic: the same calls give the same story.
 */
import type { Action, ActionKind, Event } from '../../src/model/action.ts'
import { policyOf, type Policy } from '../../src/model/policy.ts'
import type { RequestResult, State } from '../../src/model/state.ts'
import type { PeerProbe, Request } from '../../src/model/view.ts'
import { ModelAgent, type Message, type StepHook } from './model-agent.ts'
import { ModelRedis, newId, nobody, nothing, resetIds, type Dataset } from './model-redis.ts'
import { VirtualClock } from './model-clock.ts'
import { groupOf, type MemberOptions, type WorldOptions } from './model-group.ts'
import { Network, layers, type Layer } from './model-network.ts'
import { createVrrp, type Vrrp } from './model-vrrp.ts'
import { actsOf, storyOf, taleOf } from './told.ts'

export class World extends VirtualClock {
  readonly policy: Policy
  readonly hosts: readonly string[]
  readonly vrrp: Vrrp
  readonly assertions: string[] = []
  readonly events: (Event & { readonly host: string; readonly atMs: number })[] = []
  readonly notes: string[] = []
  readonly done: { atMs: number; host: string; kind: ActionKind; ok: boolean; action: Action }[] = []
  readonly results = new Map<string, RequestResult>()
  readonly kept: { host: string; name: string; keys: readonly string[] }[] = []
  readonly acked: string[] = []
  /** `HOST/ACTION` → why it fails, as long as it stands here. */
  readonly failures = new Map<string, string>()
  stepHook: StepHook = () => 'go on'
  private readonly redises = new Map<string, ModelRedis>()
  readonly network = new Network()
  private readonly agents = new Map<string, ModelAgent>()

  constructor(options: WorldOptions) {
    super()
    resetIds()
    const group = groupOf(options)
    const { members } = group
    this.hosts = members.map((m) => m.host)
    this.policy = policyOf(group, (h) => `ip-${h}`)
    this.vrrp = createVrrp(
      members.filter((m) => !m.neverPrimary),
      group.failover.hostLossMs,
      (from, to) => this.linked(from, to, 'vrrp'),
    )
    for (const host of this.hosts) {
      const redis = new ModelRedis(host)
      redis.onClose = () => this.agent(host).wake()
      this.redises.set(host, redis)
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
    return this.agent(host).durable
  }

  /** Replication, VRRP and silence follow from the state of things; called after everything that may change them. */
  changed(): void {
    for (let i = 0; i < this.hosts.length; i += 1) for (const host of this.hosts) this.redis(host).replicateFrom(this.sourceOf(host), this.nowMs)
    for (const host of this.hosts) {
      this.redis(host).followers = this.hosts
        .filter((h) => this.sourceOf(h)?.host === host && this.redis(h).linkUp)
        .map((h) => ({ ip: `ip-${h}`, port: 6379, offset: this.redis(h).offset }))
    }
    for (const host of this.vrrp.step(this.nowMs)) this.after(0, () => this.agent(host).wake())
    this.network.listen(this.hosts, (h) => this.agent(h).up && this.agent(h).stalledMs === 0, this.nowMs)
  }

  private sourceOf(host: string): ModelRedis | null {
    const { upstream } = this.redis(host)
    const source = this.hosts.find((h) => upstream !== null && upstream.host === `ip-${h}`)
    return source !== undefined && upstream !== nobody && this.linked(source, host, 'redis') ? this.redis(source) : null
  }

  // ── network ──
  linked(from: string, to: string, layer: Layer): boolean {
    return this.network.linked(from, to, layer)
  }

  heardMs(from: string, to: string): number {
    return this.network.heardMs(from, to)
  }

  agentRefuses(peer: string, asker: string): boolean {
    return this.linked(peer, asker, 'agent') && !this.agent(peer).up
  }

  reach(asker: string, peer: string): PeerProbe['redisReach'] {
    if (!this.linked(asker, peer, 'redis')) return 'silent'
    const redis = this.redis(peer)
    return redis.answers(this.nowMs) ? 'answers' : redis.frozen ? 'silent' : 'refused'
  }

  send(from: string, to: string, message: Message): void {
    if (!this.linked(from, to, 'agent')) return
    this.after(0.5, () => {
      if (this.linked(from, to, 'agent')) this.agent(to).hear(message)
    })
  }

  private silence(): void {
    // The links' beat wakes the loops while somebody is silent.
    for (let ms = 60; ms < 5000; ms += 50)
      this.after(ms, () => this.hosts.filter((h) => this.hosts.some((p) => this.nowMs - this.heardMs(p, h) > 60)).forEach((h) => this.agent(h).wake()))
  }

  private opened(a: string, b: string): void {
    this.after(20, () => {
      this.agent(a).sayAllTo(b)
      this.agent(b).sayAllTo(a)
    })
  }

  isolate(a: string, b: string, which: readonly Layer[] = layers): void {
    this.changed()
    this.network.block(a, b, which)
    this.silence()
  }

  cut(host: string): void {
    for (const other of this.hosts) if (other !== host) this.isolate(host, other)
  }

  heal(): void {
    this.network.clear()
    for (const a of this.hosts) for (const b of this.hosts) if (a < b) this.opened(a, b)
    this.changed()
  }

  // ── faults ──
  powerOff(host: string): void {
    this.changed()
    this.redis(host).die()
    this.killAgent(host)
    this.network.power(host, false)
    const vrrp = this.vrrp.hosts.get(host)
    if (vrrp !== undefined) Object.assign(vrrp, { alive: false, allowed: false })
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
  }

  thaw(host: string): void {
    this.redis(host).frozen = false
    this.changed()
  }

  killAgent(host: string): void {
    this.changed()
    this.agent(host).kill()
    this.silence()
    for (const other of this.hosts) if (this.linked(host, other, 'agent')) this.after(0.5, () => this.agent(other).wake())
  }

  startAgent(host: string): void {
    if (this.network.isOff(host) || this.agent(host).up) return
    this.agent(host).start()
    for (const other of this.hosts) if (other !== host) this.opened(host, other)
    this.changed()
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
  write(key = newId('k')): ReturnType<ModelRedis['write']> | 'no address' {
    const [host] = this.addressOn()
    if (host === undefined) return 'no address'
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
    return this.redis(host).log.map((w) => w.key)
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
    this.notes.push(`${this.nowMs.toFixed(1).padStart(9)} ${host} ${text}`)
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
