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
  /** Since when it is that slow. */
  slowSinceMs: number
  /** The first slow word arrives then, and nothing before it, also where the way has become quick again: a stream keeps its order. */
  slowUntilMs: number
  /** Words sent before then are lost: the stream that carried them was torn. */
  tornAtMs: number
  /** The last word in flight arrives then: a stream keeps its order. */
  lastArrivalMs: number
  /** The last word that was long on its way, or had to wait behind one, arrives then. */
  lateUntilMs: number
  /** The stream has ended and no other has come yet. */
  hungUp: boolean
  /** The connection of a new agent is there from then on. */
  joinsAtMs: number
  /** The agent at `from` speaks and is heard at `to`. */
  heard: boolean
  /** Since when it is, or until when it was. */
  sinceMs: number
  /** Only where leases are kept. Both agents hear each other: what `from` sends is echoed by `to`. */
  echoes: boolean
  echoesSinceMs: number
  /** When what was echoed last had been sent, up to the last break. */
  echoedMs: number
  /** No agent listens at `to`, and its kernel says so. */
  refuses: boolean
  refusedMs: number
}

/** What a word needs on a quiet network. */
export const quickMs = 0.5

/** From the first word of a connection until it has been heard. */
export const joinedMs = quickMs + 0.1

/** A word that needs longer comes late: what it says may be over. */
export const lateMs = 20
/** What arrives in one moment is read in one go. */
const readMs = 1

/** For so long a refusal counts as contact (agent/peers.ts). */
const refusalCountsMs = 350

/** For so long a silence keeps the loops awake. */
const attentionMs = 5000

export class Network {
  private readonly ways = new Map<string, Map<string, Way>>()
  private readonly all: Way[] = []
  /** Between two agents. */
  private readonly spoken: Way[] = []
  private readonly off = new Set<string>()
  /** Hosts whose wire to the rest of the network (`check_ips`) is cut. */
  private readonly outside = new Set<string>()
  private readonly leases: boolean

  /** `leases`: who is heard by whom is of interest as well. `mute`: hosts without an agent. */
  constructor(agents: readonly string[], leases: boolean, mute: readonly string[] = []) {
    this.leases = leases
    const hosts = [...agents, ...mute]
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
          lateUntilMs: Number.NEGATIVE_INFINITY,
          slowSinceMs: Number.NEGATIVE_INFINITY,
          slowUntilMs: Number.NEGATIVE_INFINITY,
          hungUp: false,
          joinsAtMs: 0,
          heard: false,
          sinceMs: Number.NEGATIVE_INFINITY,
          echoes: false,
          echoesSinceMs: Number.NEGATIVE_INFINITY,
          echoedMs: Number.NEGATIVE_INFINITY,
          refuses: false,
          refusedMs: Number.NEGATIVE_INFINITY,
        } as Way
        row.set(to, way)
        this.all.push(way)
        if (!mute.includes(from) && !mute.includes(to)) this.spoken.push(way)
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
    return this.spoken.filter((w) => !this.isOpen(w, 'agent'))
  }

  isTorn(): boolean {
    return this.spoken.some((w) => w.hungUp)
  }

  /** Where the redis of one reaches that of the other, their agents can speak, at once. */
  speaksPromptly(a: string, b: string): boolean {
    const way = this.way(a, b)
    return [way, way.back].every((w) => (w.agent || !w.redis) && !w.hungUp && w.delayMs === quickMs)
  }

  power(host: string, on: boolean): void {
    if (on) this.off.delete(host)
    else this.off.add(host)
  }

  isOff(host: string): boolean {
    return this.off.has(host)
  }

  /** To be called at every change; `speaks`: the agent there lives and its loop turns. Who misses whom is told. */
  listen(speaks: (host: string) => boolean, listens: (host: string) => boolean, nowMs: number, misses: (host: string) => void): void {
    for (const way of this.spoken) {
      // The first that a new connection carries is a statement; beats come after it.
      const heard = !way.hungUp && nowMs >= way.joinsAtMs + joinedMs && this.isOpen(way, 'agent') && speaks(way.from)
      if (heard !== way.heard) {
        way.heard = heard
        way.sinceMs = nowMs
      }
      if (!heard && nowMs - way.sinceMs < attentionMs) misses(way.to)
    }
    if (this.leases) this.listenForEchoes(nowMs, listens)
  }

  private listenForEchoes(nowMs: number, listens: (host: string) => boolean): void {
    for (const way of this.spoken) {
      const echoes = way.heard && way.back.heard
      if (echoes !== way.echoes) {
        if (way.echoes) way.echoedMs = echoedMs(way, nowMs)
        else way.echoesSinceMs = nowMs
        way.echoes = echoes
      }
      const refuses = !listens(way.to) && this.isOpen(way, 'agent') && way.back.agent
      if (way.refuses) way.refusedMs = nowMs
      way.refuses = refuses
    }
  }

  /** When the youngest beat of `from` that `to` has echoed was sent; a kernel that says that nobody listens is as good. */
  contactAtMs(way: Way, nowMs: number): number {
    return way.refuses || nowMs - way.refusedMs < refusalCountsMs ? nowMs : echoedMs(way, nowMs)
  }

  slow(way: Way, delayMs: number, nowMs: number): void {
    way.delayMs = delayMs
    way.slowSinceMs = nowMs
    way.slowUntilMs = nowMs + delayMs
  }

  missesSomebody(host: string, nowMs: number): boolean {
    return this.spoken.some((w) => w.to === host && !w.heard && nowMs - w.sinceMs < attentionMs)
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

/** A way that has become slow is silent until the first slow word arrives. From then on beats come as often as before, only late. */
export function lastHeardMs(way: Way, nowMs: number): number {
  if (!way.heard) return way.sinceMs
  return nowMs < way.slowUntilMs && way.tornAtMs < way.slowSinceMs ? Math.max(way.sinceMs, way.slowSinceMs) : nowMs
}

function echoedMs(way: Way, nowMs: number): number {
  if (!way.echoes) return way.echoedMs
  const late = way.delayMs + way.back.delayMs - 2 * quickMs
  if (late <= 0) {
    // Where the way has become quick again an echo comes after the slow words before it, and is not read before they are.
    const isQueued = Math.max(way.lateUntilMs, way.back.lateUntilMs) > nowMs - readMs
    return isQueued ? way.echoedMs : nowMs
  }
  const slowSinceMs = Math.min(way.delayMs > quickMs ? way.slowSinceMs : nowMs, way.back.delayMs > quickMs ? way.back.slowSinceMs : nowMs)
  const sentMs = Math.max(nowMs - late, slowSinceMs)
  return sentMs < way.echoesSinceMs ? way.echoedMs : sentMs
}
