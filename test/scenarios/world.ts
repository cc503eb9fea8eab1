/**
 * The model world of the scenarios: a virtual clock, a network with three layers that fail apart (agent links, redis, VRRP), a
 * redis and an agent per host, one client at the group's address. Deterministic: the same calls give the same story.
 */
import type { Action, ActionKind, Event } from '../../src/model/action.ts'
import type { AskedOrder } from '../../src/model/move.ts'
import { freshState, type RequestResult } from '../../src/model/state.ts'
import type { Request, VipAnswerer } from '../../src/model/view.ts'
import type { StepHook } from './model-agent.ts'
import type { MemberOptions } from './model-group.ts'
import { keysOf, type Log } from './model-log.ts'
import { quickMs } from './model-network.ts'
import { Plant } from './model-plant.ts'
import type { ModelSentinel } from './model-sentinel.ts'
import { sourceHost } from './model-source.ts'
import { bytesPerWrite, newId, nothing, type Dataset, type ModelRedis } from './model-redis.ts'
import { actsOf, storyOf, taleOf } from './told.ts'

/** How often an agent looks whether its keepalived lives. */
const keepaliveCheckMs = 500

/** How often a link that is not there is tried again. */
const retryMs = 100

/** A copy of what a member gave up: the writes of `log` from the offset `fromAt` on, oldest first in `keys`. */
interface Kept {
  readonly host: string
  readonly name: string
  readonly log: Log
  readonly fromAt: number
  readonly keys: readonly string[]
}

export class World extends Plant {
  readonly assertions: string[] = []
  readonly events: (Event & { readonly host: string; readonly atMs: number })[] = []
  readonly notes: string[] = []
  readonly done: { atMs: number; host: string; kind: ActionKind; ok: boolean; action: Action }[] = []
  readonly results = new Map<string, RequestResult>()
  readonly kept: Kept[] = []
  readonly acked: string[] = []
  /** `HOST/ACTION` → why it fails, as long as it stands here. */
  readonly failures = new Map<string, string>()
  stepHook: StepHook | null = null
  /** Keeps what `notes` and `done` tell. A simulator that only wants to know whether all went well does without. */
  tells = true
  /** How late the agents' own timers are: their machines have other things to do as well. */
  timerLatenessMs = 0
  /** The hardware address of a machine that has nothing to do with the group and answers for its address. */
  stranger: string | null = null
  private readonly suspended = new Map<string, number>()

  // ── faults ──
  powerOff(host: string): void {
    if (this.hasRedis(host)) this.redis(host).die()
    this.sentinelOn(host)?.die()
    this.network.power(host, false)
    if (this.voters.includes(host)) {
      this.killAgent(host)
      this.agent(host).source?.cutOff()
    }
    const vrrp = this.vrrp.hosts.get(host)
    if (vrrp !== undefined) Object.assign(vrrp, { alive: false, allowed: false, vrrp: 'FAULT', vipSinceMs: null, strayFromMs: null })
    this.changed()
  }

  powerOn(host: string): void {
    this.network.power(host, true)
    if (this.voters.includes(host)) {
      this.startSentinel(host)
      this.startAgent(host)
    } else this.supervisorStarts(host, 'old')
  }

  /** `ip addr add` on a host, or what a killed keepalived leaves there. */
  addAddress(host: string): void {
    const keepalived = this.vrrp.hosts.get(host)
    if (keepalived !== undefined) keepalived.strayFromMs = this.nowMs
    this.changed()
  }

  crash(host: string): void {
    this.redis(host).die()
    this.changed()
  }

  /** What a supervisor does: starts redis from a disk as the configuration file says, as a primary. */
  supervisorStarts(host: string, disk: 'empty' | 'old' | Dataset): void {
    const redis = this.redis(host)
    if (this.network.isOff(host)) return
    if (disk !== 'old') redis.disk = disk === 'empty' ? nothing : disk
    const upstream = host === sourceHost ? (this.moved?.starts ?? null) : null
    redis.start(this.nowMs, upstream === null ? 'primary' : 'fenced')
    redis.replicaOf(upstream, this.nowMs)
    if (this.hasData(host)) this.after(6, () => this.agent(host).wake())
    this.changed()
  }

  freeze(host: string): void {
    if (this.hasRedis(host)) this.redis(host).frozen = true
    this.changed()
  }

  /** The agent's event loop stands still; redis and keepalived go on. */
  stall(host: string, forMs: number): void {
    this.agent(host).stall(forMs)
    this.changed()
    this.after(forMs, () => this.changed())
  }

  /** The whole host stands still, as a virtual machine does while it is moved: then it goes on as if nothing had been. */
  suspend(host: string, forMs: number, clock: 'goes on' | 'stops' = 'goes on'): void {
    const keepalived = this.vrrp.hosts.get(host)
    if (clock === 'stops') this.agent(host).halt(forMs)
    else this.agent(host).stall(forMs)
    this.after(forMs, () => this.changed())
    this.freeze(host)
    this.freezeSentinel(host)
    const untilMs = Math.max(this.nowMs + forMs, this.suspended.get(host) ?? 0)
    this.suspended.set(host, untilMs)
    if (keepalived !== undefined) keepalived.frozen = true
    this.after(forMs, () => {
      if (this.nowMs < untilMs) return
      this.suspended.delete(host)
      if (keepalived !== undefined) keepalived.frozen = false
      this.thawSentinel(host)
      this.thaw(host)
    })
  }

  thaw(host: string): void {
    if (this.suspended.has(host)) return
    if (!this.hasRedis(host)) return
    const redis = this.redis(host)
    const wasFrozen = redis.frozen
    redis.frozen = false
    if (wasFrozen) redis.thawedMs = this.nowMs
    this.changed()
    // It answers what was asked meanwhile.
    if (wasFrozen && this.hasData(host)) this.after(1, () => this.agent(host).wake())
  }

  /** The disk of an agent is lost, or comes from a snapshot of long ago: it begins anew and remembers nothing. */
  forget(host: string): void {
    this.killAgent(host)
    const agent = this.agent(host)
    agent.onDisk = freshState('sessions', host)
    agent.state = agent.onDisk
    this.startAgent(host)
  }

  killAgent(host: string): void {
    this.agent(host).kill()
    this.changed()
    for (const other of this.voters) if (other !== host && this.linked(host, other, 'agent')) this.after(quickMs, () => this.agent(other).wake())
  }

  startAgent(host: string): void {
    if (this.network.isOff(host) || this.agent(host).up) return
    // A new agent calls the others at once; they try again to call it, from time to time.
    for (const other of this.voters) {
      if (other === host) continue
      this.joins(host, other, 20)
      this.joins(other, host, this.agent(other).up ? retryMs : 20)
    }
    this.agent(host).start()
    this.watchKeepalived(host)
    this.changed()
  }

  /** It dies without a word, and the address stays on the interface. Only an agent starts it again. */
  killKeepalived(host: string): void {
    const keepalived = this.vrrp.hosts.get(host)
    if (keepalived === undefined || !keepalived.alive) return
    keepalived.alive = false
    this.changed()
    this.after(keepaliveCheckMs, () => this.watchKeepalived(host))
  }

  /** As long as an agent lives. */
  private watchKeepalived(host: string): void {
    const agent = this.agent(host)
    if (!agent.up) return
    this.startKeepalived(host)
    if (this.vrrp.hosts.get(host)?.alive !== false) return
    agent.wake()
    this.after(keepaliveCheckMs, () => this.watchKeepalived(host))
  }

  /** Not allowed to hold the address, and without the one that the last one left behind. */
  private startKeepalived(host: string): void {
    const keepalived = this.vrrp.hosts.get(host)
    const agent = this.agent(host)
    if (keepalived === undefined || keepalived.alive || keepalived.frozen || this.network.isOff(host) || this.nowMs < agent.standsUntilMs) return
    Object.assign(keepalived, { alive: true, allowed: false, yields: false, vrrp: 'FAULT', vipSinceMs: null, strayFromMs: null })
    this.changed()
    agent.wake()
  }

  private sentinelOn(host: string): ModelSentinel | null {
    return this.sentinels?.has(host) === true ? this.sentinels.get(host) : null
  }

  killSentinel(host: string): void {
    this.sentinelOn(host)?.die()
    this.changed()
  }

  startSentinel(host: string): void {
    if (!this.network.isOff(host)) this.sentinelOn(host)?.start()
    this.changed()
  }

  freezeSentinel(host: string): void {
    const sentinel = this.sentinelOn(host)
    if (sentinel !== null) sentinel.frozen = true
  }

  thawSentinel(host: string): void {
    if (!this.suspended.has(host)) this.sentinelOn(host)?.thaw()
    this.changed()
  }

  /** An operator's SENTINEL FAILOVER, asked of the Sentinel on this host. */
  sentinelFailover(host: string): 'OK' | 'INPROG' | 'NOGOODSLAVE' {
    return this.sentinels?.failover(host) ?? 'NOGOODSLAVE'
  }

  sentinelReset(host: string): void {
    this.sentinelOn(host)?.reset()
  }

  private hasRedis(host: string): boolean {
    return this.hasData(host) || (this.moved !== null && host === sourceHost)
  }

  /** What an operator asks of a move; the agent that is asked looks at the source first, for a start. */
  move(host: string, order: AskedOrder): string {
    const seen = this.redis(sourceHost).facts(this.nowMs)
    return this.agent(host).ask({ kind: 'move', to: null, dryRun: false, move: order.verb === 'start' ? { ...order, seen } : order })
  }

  /** The group as an operator meets it: every agent up; runs until a primary serves and all replicas follow. */
  begin(): this {
    for (const host of this.voters) this.startAgent(host)
    this.untilWhole()
    return this
  }

  ask(host: string, kind: Request['kind'], more: { to?: string; dryRun?: boolean } = {}): string {
    return this.agent(host).ask({
      kind,
      to: more.to ?? null,
      dryRun: more.dryRun ?? false,
      ...(kind === 'accept' ? { reason: 'these are the true ones' } : {}),
    })
  }

  // ── the client ──
  addressOn(): readonly string[] {
    const holders = [...this.vrrp.hosts.values()].filter((h) => h.vipSinceMs !== null || h.strayFromMs !== null)
    return holders.sort((a, b) => (b.vipSinceMs ?? 0) - (a.vipSinceMs ?? 0)).map((h) => h.host)
  }

  /** Who of the segment answers for the address, as `host` hears it. */
  answerers(host: string): readonly VipAnswerer[] {
    const found = this.addressOn().filter((h) => h !== host && this.linked(h, host, 'vrrp'))
    const stranger = this.stranger === null ? [] : [{ mac: this.stranger, hosts: [] }]
    return [...found.map((h) => ({ mac: `mac-${h}`, hosts: [h] })), ...stranger]
  }

  /** One SET through the address. What comes back is what the client sees. */
  write(key = newId('k'), bytes = bytesPerWrite): ReturnType<ModelRedis['write']> | 'no address' {
    const [host] = this.addressOn()
    if (this.moved !== null) return this.writeToEither(host, key, bytes)
    return host === undefined ? 'no address' : this.writeAt(host, key, bytes)
  }

  /** A client that was given both addresses: it tries the one that it was led to first. */
  private writeToEither(host: string | undefined, key: string, bytes: number): ReturnType<World['write']> {
    const group = () => (host === undefined ? 'no address' : this.writeAt(host, key, bytes))
    const source = () => this.writeAt(sourceHost, key, bytes)
    const [first, second] = this.moved?.clients === 'group' ? [group, source] : [source, group]
    const answer = first()
    return answer === 'OK' ? answer : second()
  }

  /** One SET of a client that reaches the address where it is on this host. */
  writeAt(host: string, key = newId('k'), bytes = bytesPerWrite): ReturnType<ModelRedis['write']> {
    const answer = this.redis(host).write(key, this.nowMs, bytes)
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
      this.sentinels?.allName(primary) !== false &&
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
    this.agent(host).address.recorded(event.kind)
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
