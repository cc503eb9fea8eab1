/**
 * The network between the hosts of the model world: three layers (agent links, redis, VRRP) that can fail apart and one way
 * only, words that come late, links that are torn, hosts without power, and who was last heard by whom.
 */
export type Layer = 'agent' | 'redis' | 'vrrp'
export const layers: readonly Layer[] = ['agent', 'redis', 'vrrp']

export interface Way {
  readonly from: string
  readonly to: string
  agent: boolean
  redis: boolean
  vrrp: boolean
  /** The same two, the other way. */
  back: Way
  /** How long a word is on its way. */
  delayMs: number
  /** Words sent before then are lost: the stream that carried them was torn. */
  tornAtMs: number
  /** The last word in flight arrives then: a stream keeps its order. */
  lastArrivalMs: number
  /** The stream has ended and no other has come yet. */
  hungUpUntilMs: number
  /** The connection of a new agent is there from then on. */
  joinsAtMs: number
  /** The agent at `from` speaks and is heard at `to`. */
  heard: boolean
  /** Since when it is, or until when it was. */
  sinceMs: number
}

/** What a word needs on a quiet network. */
export const quickMs = 0.5

/** From the first word of a connection until it has been heard. */
export const joinedMs = quickMs + 0.1

/** For so long a silence keeps the loops awake. */
const attentionMs = 5000

export class Network {
  private readonly ways = new Map<string, Map<string, Way>>()
  private readonly all: Way[] = []
  private readonly off = new Set<string>()
  /** Hosts whose wire to the rest of the network (`check_ips`) is cut. */
  private readonly outside = new Set<string>()

  constructor(hosts: readonly string[]) {
    for (const from of hosts) {
      const row = new Map<string, Way>()
      this.ways.set(from, row)
      for (const to of hosts) {
        if (from === to) continue
        const way = {
          from,
          to,
          agent: true,
          redis: true,
          vrrp: true,
          delayMs: quickMs,
          tornAtMs: -1,
          lastArrivalMs: 0,
          hungUpUntilMs: 0,
          joinsAtMs: 0,
          heard: false,
          sinceMs: Number.NEGATIVE_INFINITY,
        } as Way
        row.set(to, way)
        this.all.push(way)
      }
    }
    for (const way of this.all) way.back = this.way(way.to, way.from)
  }

  way(from: string, to: string): Way {
    const way = this.ways.get(from)?.get(to)
    if (way === undefined) throw new Error(`no way from ${from} to ${to}`)
    return way
  }

  linked(from: string, to: string, layer: Layer): boolean {
    if (from === to) return !this.off.has(from)
    return this.isOpen(this.way(from, to), layer)
  }

  isOpen(way: Way, layer: Layer): boolean {
    return way[layer] && (this.off.size === 0 || !(this.off.has(way.from) || this.off.has(way.to)))
  }

  /** Both ways, as a connection needs it. */
  connected(a: string, b: string, layer: Layer): boolean {
    if (a === b) return !this.off.has(a)
    const way = this.way(a, b)
    return this.isOpen(way, layer) && way.back[layer]
  }

  block(from: string, to: string, which: readonly Layer[]): void {
    for (const layer of which) this.way(from, to)[layer] = false
  }

  cutGateway(host: string): void {
    this.outside.add(host)
  }

  clearGateway(host: string): void {
    this.outside.delete(host)
  }

  reachesGateway(host: string): boolean {
    return !this.outside.has(host) && !this.off.has(host)
  }

  clear(): void {
    this.outside.clear()
    for (const way of this.all) Object.assign(way, { agent: true, redis: true, vrrp: true, delayMs: quickMs })
  }

  isWhole(): boolean {
    return this.off.size === 0 && this.all.every((w) => w.agent && w.redis && w.vrrp && w.delayMs === quickMs)
  }

  closed(): readonly Way[] {
    return this.all.filter((w) => !this.isOpen(w, 'agent'))
  }

  isTorn(nowMs: number): boolean {
    return this.all.some((w) => w.hungUpUntilMs > nowMs)
  }

  power(host: string, on: boolean): void {
    if (on) this.off.delete(host)
    else this.off.add(host)
  }

  isOff(host: string): boolean {
    return this.off.has(host)
  }

  /** To be called at every change; `speaks`: the agent there lives and its loop turns. Who misses whom is told. */
  listen(speaks: (host: string) => boolean, nowMs: number, misses: (host: string) => void): void {
    for (const way of this.all) {
      // The first that a new connection carries is a statement; beats come after it.
      const heard = nowMs >= way.joinsAtMs + joinedMs && this.isOpen(way, 'agent') && speaks(way.from)
      if (heard !== way.heard) {
        way.heard = heard
        way.sinceMs = nowMs
      }
      if (!heard && nowMs - way.sinceMs < attentionMs) misses(way.to)
    }
  }

  missesSomebody(host: string, nowMs: number): boolean {
    return this.all.some((w) => w.to === host && !w.heard && nowMs - w.sinceMs < attentionMs)
  }

  heardMs(from: string, to: string, nowMs: number): number {
    return lastHeardMs(this.way(from, to), nowMs)
  }

  /** For how long the two agents have been able to hear each other without a break. */
  heardSinceMs(a: string, b: string, nowMs: number): number {
    const [there, back] = [this.way(a, b), this.way(b, a)]
    return there.heard && back.heard ? nowMs - Math.max(there.sinceMs, back.sinceMs) : 0
  }
}

export function lastHeardMs(way: Way, nowMs: number): number {
  return way.heard ? Math.max(way.sinceMs, nowMs - way.delayMs + quickMs) : way.sinceMs
}
