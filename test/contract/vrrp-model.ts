/** The VRRP model of the scenarios and of the simulator behind the words of a contract, with a clock and a network of its own. */
import { createVrrp, type Vrrp } from '../scenarios/model-vrrp.ts'
import { hostLossMs, priorities, vrrpHosts, type VrrpHostName, type VrrpUnderTest } from './vrrp-under-test.ts'

const limitMs = 10_000

export function openVrrpModel(): VrrpUnderTest {
  const world = new VrrpModel()
  const set = (host: VrrpHostName, what: Partial<NonNullable<ReturnType<Vrrp['hosts']['get']>>>): Promise<void> => {
    Object.assign(world.host(host), what)
    return world.changed()
  }
  return {
    start: (host) => set(host, { alive: true, allowed: false, strayFromMs: null }),
    allow: (host, allowed) => set(host, { allowed }),
    allowNobodyKnows: (host) => set(host, { allowed: false }),
    yield: (host, yields) => set(host, { yields }),
    kill: (host) => set(host, { alive: false }),
    freeze: (host) => set(host, { frozen: true }),
    thaw: (host) => set(host, { frozen: false }),
    cut: (host) => world.block((from, to) => from === host || to === host),
    deafen: (a, b) => world.block((from, to) => from === a && to === b),
    heal: () => world.block(null),
    state: (host) => (world.host(host).alive ? world.host(host).vrrp : null),
    holders: () => Promise.resolve(vrrpHosts.filter((host) => world.host(host).vipSinceMs !== null || world.host(host).strayFromMs !== null)),
    nowMs: () => world.nowMs,
    until: async (what, isSo) => {
      const endMs = world.nowMs + limitMs
      while (!(await isSo())) {
        if (world.nowMs > endMs) throw new Error(`the model: not within ${limitMs} ms: ${what}`)
        await world.pass(1)
      }
    },
    pass: (ms) => world.pass(ms),
    reset: () => {
      world.anew()
      return Promise.resolve()
    },
    close: () => Promise.resolve(),
  }
}

class VrrpModel {
  nowMs = 1000
  private vrrp = this.create()
  private blocked: ((from: string, to: string) => boolean)[] = []

  private create(): Vrrp {
    const vrrp = createVrrp(
      vrrpHosts.map((host) => ({ host, priority: priorities[host] })),
      hostLossMs,
      (from, to) => !this.blocked.some((blocks) => blocks(from, to)),
    )
    for (const host of vrrp.hosts.values()) host.alive = false
    return vrrp
  }

  host(name: string) {
    const host = this.vrrp.hosts.get(name)
    if (host === undefined) throw new Error(`no host ${name}`)
    return host
  }

  anew(): void {
    this.blocked = []
    this.vrrp = this.create()
  }

  changed(): Promise<void> {
    this.vrrp.step(this.nowMs)
    return Promise.resolve()
  }

  block(blocks: ((from: string, to: string) => boolean) | null): Promise<void> {
    this.blocked = blocks === null ? [] : [...this.blocked, blocks]
    return this.changed()
  }

  pass(ms: number): Promise<void> {
    for (const endMs = this.nowMs + ms; this.nowMs < endMs; ) {
      this.nowMs = Math.min(endMs, Math.max(this.nowMs + 0.01, this.vrrp.nextMs()))
      this.vrrp.step(this.nowMs)
    }
    return Promise.resolve()
  }
}
