/**
 * What is never true while a running redis is moved to the group: two that accept writes, one of them the source; a source or a group that begins to
 * serve without what the other had; the address where nobody serves.
 */
import { isGoingBack, isReceiving } from '../../src/model/move.ts'
import { has, onlyIn, type Log } from '../scenarios/model-log.ts'
import { sourceHost } from '../scenarios/model-source.ts'
import type { World } from '../scenarios/world.ts'
import { thawedMs, type OneWriter } from './one-writer.ts'

/** keepalived lets go of it, or the agent takes it off. */
const addressMs = 1000

export type Doubled = 'bound' | { readonly broken: string } | null

export class MovedRules {
  private readonly world: World
  private readonly oneWriter: OneWriter | null
  private role: 'primary' | 'replica' = 'primary'
  private runId = ''
  private log: Log = null
  /** The process that refused writes, or was none, when a member was promoted last. */
  private fencedRunId = ''
  private readonly promotedRoles = new Map<string, string>()
  private strayFromMs: number | null = null
  /** The source was filled from a member that had less. */
  gaveUp = false

  constructor(world: World, oneWriter: OneWriter | null) {
    this.world = world
    this.oneWriter = oneWriter
  }

  /** To be called at every change, after the rules on the members. */
  look(): string | null {
    return this.lookAtSource() ?? this.lookAtMembers() ?? this.lookAtAddress()
  }

  private lookAtSource(): string | null {
    const { world: w } = this
    const source = w.redis(sourceHost)
    const begins = source.runId === this.runId && source.role === 'primary' && this.role === 'replica'
    const before = source.runId === this.runId ? this.log : null
    const filling = source.syncUntilMs !== null
    Object.assign(this, { runId: source.runId, role: source.role })
    if (begins) {
      const holder = w.hosts.find((h) => w.state(h).holder === h && w.state(h).epoch === Math.max(...w.hosts.map((o) => w.state(o).epoch)))
      const more = holder === undefined || !w.redis(holder).running ? [] : onlyIn(w.redis(holder).log, source.log)
      if (more.length > 0) return `INV-5: the source serves without ${more.length} writes of ${holder ?? ''}`
    }
    if (filling || !source.running) return null
    this.log = source.log
    const lost = onlyIn(before, source.log).filter(
      (write) => !w.hosts.some((h) => has(w.redis(h).log, write)) && !w.kept.some((k) => write.at >= k.fromAt && has(k.log, write)),
    )
    // In an election nobody asks it: what it alone had received goes with the next full sync.
    if (lost.length > 0) this.gaveUp = true
    return null
  }

  private lookAtMembers(): string | null {
    const { world: w } = this
    const source = w.redis(sourceHost)
    for (const host of w.hosts) {
      const redis = w.redis(host)
      const is = `${redis.runId} ${redis.role}`
      const was = this.promotedRoles.get(host)
      if (was === is) continue
      this.promotedRoles.set(host, is)
      if (redis.role !== 'primary' || was !== `${redis.runId} replica` || !redis.running) continue
      if (source.role === 'replica' || !source.running) this.fencedRunId = source.runId
      const { phase, claim } = w.state(host)
      if (phase !== 'promoting' || claim?.source !== 'migration' || !source.running) continue
      const more = onlyIn(source.log, redis.log).length
      if (more > 0) return `INV-5: ${host} took over from the source without ${more} of its writes`
    }
    return null
  }

  private lookAtAddress(): string | null {
    const { world: w } = this
    const [host] = w.addressOn()
    const stray =
      host !== undefined &&
      isReceiving(w.state(host).move) &&
      // On the way back it is kept until those who are connected were sent away, and given up when that comes to no end.
      !isGoingBack(w.state(host).move) &&
      w.agent(host).up &&
      w.nowMs >= w.agent(host).standsUntilMs &&
      w.nowMs - w.agent(host).startedMs > addressMs &&
      w.vrrp.hosts.get(host)?.alive === true
    this.strayFromMs = stray ? (this.strayFromMs ?? w.nowMs) : null
    if (this.strayFromMs === null || w.nowMs - this.strayFromMs < addressMs) return null
    return `the address is on ${host ?? ''}, whose clients are at the source`
  }

  /** The source accepts writes, and a member does. `bound`: only because that could not be told by anybody. */
  doubled(parted: boolean): Doubled {
    const { world: w } = this
    if (!accepts(w, sourceHost)) return null
    const members = w.hosts.filter((h) => accepts(w, h))
    if (members.length === 0) return null
    const source = w.redis(sourceHost)
    // Its supervisor has started it as a primary, after the cut-over.
    const reborn = source.runId !== this.fencedRunId && this.fencedRunId !== ''
    const bad = members.filter((h) => w.nowMs - w.redis(h).thawedMs > thawedMs && this.oneWriter?.isExcused(h) !== true)
    if (bad.length === 0 || reborn || w.nowMs - source.thawedMs <= thawedMs || (this.oneWriter === null && parted)) return 'bound'
    return { broken: `INV-3: ${bad.join(' and ')} and the source accept writes` }
  }
}

function accepts(w: World, host: string): boolean {
  const redis = w.redis(host)
  return redis.role === 'primary' && !redis.refusesWrites && w.nowMs >= redis.pausedUntilMs && redis.answers(w.nowMs) && !redis.loading(w.nowMs)
}
