/**
 * INV-3 in its strong form, for groups with a witness: at most one member accepts writes AT ALL, whatever is cut from whom.
 * Who may nevertheless is listed here, exactly as wide as ADR 9 says: each exception is a sentence of its limits.
 */
import { newcomerMs } from '../../src/decide/situation.ts'
import type { World } from '../scenarios/world.ts'

/** From the moment an agent runs again until its redis refuses writes: a look, an fsync, an action, and what its timers are late. */
export const reactionMs = 10

/** A redis that goes on answers what waits in its sockets before the first order of its agent, which sees it within a millisecond. */
export const thawedMs = 5

/** Why a second one may accept writes for a while, each a sentence of the documents. */
export const excuses = [
  'one without an agent that could act',
  'one just started by its supervisor',
  'one that an operator had Sentinel replace',
  'one that was stopped',
] as const
export type ExcuseKind = (typeof excuses)[number]

interface Excuse {
  /** Its agent could not act, and something stood between it and those who vote: nobody could hold anything back there. */
  helpless: boolean
  readonly untilMs: Record<ExcuseKind, number>
  /** The excuse of one that is at work again ends by itself. */
  wasDead: boolean
  wasHalted: boolean
  runId: string
}

export class OneWriter {
  private readonly world: World
  private readonly excuses: readonly Excuse[]
  private readonly external: boolean
  private orders = 0
  private readonly apart: { readonly redis: string; readonly unheardBy: readonly string[] }[] = []
  /** An operator's SENTINEL FAILOVER came between the members. */
  overruled = false
  /** Two accept writes at this moment, but for this. */
  excused: ExcuseKind | null = null

  constructor(world: World, external: boolean) {
    this.world = world
    this.external = external
    this.excuses = world.hosts.map(() => {
      const [agent, started, replaced, stopped] = excuses
      return { helpless: false, untilMs: { [agent]: 0, [started]: 0, [replaced]: 0, [stopped]: 0 }, wasDead: false, wasHalted: false, runId: '' }
    })
  }

  /** Of one that accepts writes now. */
  isExcused(host: string): boolean {
    const excuse = this.excuses[this.world.hosts.indexOf(host)]
    return excuse !== undefined && (excuse.helpless || excuses.some((one) => this.world.nowMs < excuse.untilMs[one]))
  }

  /** To be called at every change. null: all is well. */
  look(): string | null {
    const { world: w } = this
    this.judgeOrders()
    let writers = 0
    let excused = 0
    let why: ExcuseKind | null = null
    let named = ''
    for (let i = 0; i < w.hosts.length; i += 1) {
      const host = w.hosts[i] ?? ''
      const excuse = this.excuses[i] as Excuse
      this.judge(host, excuse)
      const redis = w.redis(host)
      const accepts = redis.role === 'primary' && !redis.refusesWrites && w.nowMs >= redis.pausedUntilMs && redis.answers(w.nowMs) && !redis.loading(w.nowMs)
      if (!accepts) continue
      const kind = excuse.helpless ? excuses[0] : excuses.find((one) => w.nowMs < excuse.untilMs[one])
      if (kind !== undefined) {
        excused += 1
        why = why === null || kind === excuses[0] ? kind : why
        continue
      }
      writers += 1
      named = named === '' ? host : `${named} and ${host}`
    }
    this.excused = writers + excused > 1 ? why : null
    return writers > 1 ? `INV-3: ${named} accept writes, and a majority votes` : null
  }

  /** SENTINEL FAILOVER asks nobody, and whoever it replaces may not have heard of it: both serve until either has looked around. */
  private judgeOrders(): void {
    const orders = this.world.sentinels?.orders ?? []
    for (; this.orders < orders.length; this.orders += 1) {
      const order = orders[this.orders]
      if (order === undefined || !order.taken || order.unheardBy.length === 0) continue
      this.overruled = true
      this.excuseReplaced([order.redis, ...order.unheardBy], order.atMs)
      // Where all Sentinels must find a primary down, its own is enough for either to go on, for as long as they are cut off from each other.
      if (this.world.policy.sentinel?.behind === 1) this.apart.push(order)
    }
    for (const { redis, unheardBy } of this.apart) {
      const cutOff = unheardBy.filter((host) => !this.world.network.connected(redis, host, 'redis'))
      if (cutOff.length > 0) this.excuseReplaced([redis, ...cutOff], this.world.nowMs)
    }
  }

  private excuseReplaced(hosts: readonly string[], fromMs: number): void {
    const { downAfterMs } = this.world.policy.sentinel ?? { downAfterMs: 0 }
    const untilMs = fromMs + 2 * downAfterMs + reactionMs + this.world.timerLatenessMs
    for (const [i, host] of this.world.hosts.entries()) {
      const excuse = this.excuses[i]
      if (excuse !== undefined && hosts.includes(host)) excuseUntil(excuse, 'one that an operator had Sentinel replace', untilMs)
    }
  }

  private judge(host: string, excuse: Excuse): void {
    const { world: w } = this
    const agent = w.agent(host)
    const redis = w.redis(host)
    const { nowMs } = w
    // An agent that is dead or hung on a primary that is cut off holds nothing back.
    if (!agent.up || nowMs < agent.standsUntilMs) {
      excuse.wasDead = !agent.up
      excuse.wasHalted = agent.isHalted(nowMs)
      excuse.helpless ||= nowMs < Math.max(...Object.values(excuse.untilMs)) || redis.frozen || this.isApart(host)
    } else if (excuse.helpless || excuse.wasDead) {
      const lateMs = reactionMs + w.timerLatenessMs
      // One that has just been started cannot know for its first half second; a clock that stood still has not counted the lease.
      const graceMs = excuse.wasDead ? newcomerMs : excuse.wasHalted ? w.policy.leaseMs : 0
      excuseUntil(excuse, 'one without an agent that could act', (excuse.wasDead ? agent.startedMs : agent.standsUntilMs) + graceMs + lateMs)
      excuse.helpless = false
      excuse.wasDead = false
      excuse.wasHalted = false
    }
    // A redis that was stopped takes no order; what waits in its sockets comes before the agent's next.
    excuseUntil(excuse, 'one that was stopped', redis.thawedMs + thawedMs)
    // Its supervisor may start an external redis as a primary.
    if (this.external && redis.runId !== excuse.runId)
      excuseUntil(excuse, 'one just started by its supervisor', Math.max(nowMs, redis.loadedFromMs) + 50 + reactionMs + w.timerLatenessMs)
    excuse.runId = redis.runId
  }

  /** From so many voters that those could elect another. */
  private isApart(host: string): boolean {
    const { network, voters, policy } = this.world
    const all = policy.sentinel?.hosts ?? voters
    const apart = all.filter(
      (v) => v !== host && !(network.connected(host, v, 'agent') && network.connected(host, v, 'redis') && network.connected(host, v, 'vrrp')),
    )
    return apart.length >= (policy.sentinel?.quorum ?? policy.quorum)
  }
}

function excuseUntil(excuse: Excuse, why: ExcuseKind, untilMs: number): void {
  excuse.untilMs[why] = Math.max(excuse.untilMs[why], untilMs)
}
