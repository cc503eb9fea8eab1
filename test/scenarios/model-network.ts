/**
 * The network between the hosts of the model world: three layers (agent links, redis, VRRP) that can fail apart, hosts without
 * power, and who was last heard by whom.
 */
export type Layer = 'agent' | 'redis' | 'vrrp'
export const layers: readonly Layer[] = ['agent', 'redis', 'vrrp']

export class Network {
  private readonly blocked = new Set<string>()
  private readonly off = new Set<string>()
  private readonly lastHeard = new Map<string, number>()
  private readonly linkedSince = new Map<string, number>()

  linked(from: string, to: string, layer: Layer): boolean {
    if (this.off.has(from) || this.off.has(to)) return false
    return from === to || !(this.blocked.has(`${from}>${to}/${layer}`) || this.blocked.has(`${to}>${from}/${layer}`))
  }

  block(a: string, b: string, which: readonly Layer[]): void {
    for (const layer of which) this.blocked.add(`${a}>${b}/${layer}`)
  }

  clear(): void {
    this.blocked.clear()
  }

  power(host: string, on: boolean): void {
    if (on) this.off.delete(host)
    else this.off.add(host)
  }

  isOff(host: string): boolean {
    return this.off.has(host)
  }

  /** `speaks`: the agent there lives and its loop turns. */
  listen(hosts: readonly string[], speaks: (host: string) => boolean, nowMs: number): void {
    for (const from of hosts) {
      for (const to of hosts) {
        const way = `${from}>${to}`
        if (this.linked(from, to, 'agent') && speaks(from)) {
          this.lastHeard.set(way, nowMs)
          if (!this.linkedSince.has(way)) this.linkedSince.set(way, nowMs)
        } else this.linkedSince.delete(way)
      }
    }
  }

  heardMs(from: string, to: string): number {
    return this.lastHeard.get(`${from}>${to}`) ?? Number.NEGATIVE_INFINITY
  }

  /** For how long the two agents have been able to hear each other without a break. */
  heardSinceMs(a: string, b: string, nowMs: number): number {
    return nowMs - Math.max(this.linkedSince.get(`${a}>${b}`) ?? nowMs, this.linkedSince.get(`${b}>${a}`) ?? nowMs)
  }
}
