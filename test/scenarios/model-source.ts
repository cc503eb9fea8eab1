/**
 * The redis that is being moved to the group, which has no agent, and how one agent knows it: what `observe/source.ts`, `act/source.ts` and
 * `agent/move-source.ts` do, over a connection whose words come late, are sent again after a cut, or wait at a process that stands still. An
 * order that nobody has acknowledged may be carried out later. Decides nothing.
 */
import { isServingPhase } from '../../src/decide/situation.ts'
import { isUnderWay, type Move, type SourceOrder } from '../../src/model/move.ts'
import type { RedisFacts, SourceProbe } from '../../src/model/view.ts'
import { nobody, type ModelRedis, type Upstream } from './model-redis.ts'
import { Wire } from './model-wire.ts'
import type { World } from './world.ts'

export const sourceHost = 's'

export interface Moved {
  readonly redis: ModelRedis
  /** What its file has it start as. */
  starts: Upstream | null
  /** It knows CLIENT PAUSE … WRITE. Before 6.2 its writes are refused instead, until that is taken back. */
  readonly pauses: boolean
  /** Where the clients look first: the hook has moved their address. */
  clients: 'source' | 'group'
  /** Somebody has laid the file for a postponed cut-over. */
  goAhead: boolean
}

const calmMs = 1000
const retryMs = 250
const answerDeadlineMs = 40
const infoDeadlineMs = 3000
const orderDeadlineMs = 1000
/** Who serves has a lease to look after: what it orders there is looked at later. */
const servingDeadlineMs = 20
/** JSON has no Infinity. */
const neverMs = 1e12

const urgentStages: readonly Move['stage'][] = ['hold', 'fence', 'back-hold', 'back-fence', 'back-give']

export class ModelSource {
  /** On the disk of this host. */
  raised = false
  limited = false
  private readonly world: World
  private readonly host: string
  private readonly moved: Moved
  private readonly wires: Wire[] = []
  private wire: Wire | null = null
  private life = 0
  private facts: RedisFacts | null = null
  private factsAtMs = Number.NEGATIVE_INFINITY
  private changedMs = Number.NEGATIVE_INFINITY
  private triedMs = Number.NEGATIVE_INFINITY
  private trouble: string | null = null
  private asking: object | null = null
  private waiting: (() => void)[] = []
  private pausedUntilMs = 0

  constructor(world: World, host: string, moved: Moved) {
    this.world = world
    this.host = host
    this.moved = moved
    this.forget()
  }

  /** Another life of the agent, or it has no need of it. What has left its socket arrives nevertheless. */
  forget(): void {
    this.life += 1
    this.shut()
    this.pausedUntilMs = 0
  }

  /** Nothing of what the host has sent is sent again. */
  cutOff(): void {
    for (const wire of this.wires) wire.end()
    this.wires.length = 0
    this.forget()
  }

  private shut(): void {
    this.wire = null
    this.facts = null
    this.factsAtMs = Number.NEGATIVE_INFINITY
    this.changedMs = Number.NEGATIVE_INFINITY
    this.triedMs = Number.NEGATIVE_INFINITY
    this.trouble = 'it is being connected to'
    this.asking = null
    this.waiting = []
  }

  /** Asks, where this agent sees to it. `true`: every millisecond counts, so the cycle waits for `then`, which is called once. */
  ask(move: Move | null, holds: boolean, then: () => void): boolean {
    const settles = move?.stage === 'aborted' && (this.raised || this.limited)
    if (move === null || !holds || (!isUnderWay(move) && !settles)) {
      if (this.wire !== null || this.facts !== null) this.shut()
      return false
    }
    const urgent = urgentStages.includes(move.stage)
    if (!urgent && this.trouble === null && this.ownMs() - this.factsAtMs < calmMs) return false
    if (!urgent) {
      const before = this.factsAtMs
      this.look(() => {
        if (this.factsAtMs !== before) this.agent().wake()
      })
      return false
    }
    let called = false
    const once = () => {
      if (called) return
      called = true
      then()
    }
    this.world.after(answerDeadlineMs, once)
    this.look(once)
    return true
  }

  probe(move: Move | null, holds: boolean): SourceProbe | undefined {
    const settles = move?.stage === 'aborted' && (this.raised || this.limited)
    if (move === null || !holds || (!isUnderWay(move) && !settles)) return undefined
    return {
      facts: this.facts,
      factsAgeMs: Math.min(neverMs, Math.max(0, this.ownMs() - this.factsAtMs)),
      trouble: this.trouble,
      held: this.limited || this.ownMs() < this.pausedUntilMs,
      raised: this.raised,
      goAhead: this.moved.goAhead,
    }
  }

  /** Its process has ended, and its kernel says so. */
  ended(): void {
    if (this.wire === null || !this.world.network.connected(this.host, sourceHost, 'redis')) return
    const { life } = this
    this.world.after(0.5, () => {
      if (life !== this.life || this.wire === null || !this.wire.hasEnded()) return
      this.wire = null
      this.answered('its connection has ended')
      this.agent().wake()
    })
  }

  order(order: SourceOrder, done: (failure: string | null) => void): void {
    const { wire, moved, life } = this
    if (wire === null) {
      this.changedMs = this.ownMs()
      done(`source ${order.do}: no connection`)
      return
    }
    // On disk BEFORE it is changed there.
    if (order.do === 'hold' && !moved.pauses) this.limited = true
    let over = false
    const finish = (failure: string | null) => {
      if (over || life !== this.life) return
      over = true
      if (failure === null) this.remember(order)
      this.changedMs = this.ownMs()
      this.factsAtMs = Number.NEGATIVE_INFINITY
      done(failure)
    }
    const deadlineMs = isServingPhase(this.agent().state.phase) ? servingDeadlineMs : orderDeadlineMs
    this.world.after(deadlineMs, () => finish(`source ${order.do}: no answer within ${deadlineMs} ms`))
    wire.ask(
      () => {
        this.carryOut(order)
        return null
      },
      () => finish(null),
    )
  }

  private remember(order: SourceOrder): void {
    if (order.do === 'hold' && this.moved.pauses) this.pausedUntilMs = this.ownMs() + order.forMs
    if (order.do === 'release') Object.assign(this, { pausedUntilMs: 0, limited: false })
    if (order.do === 'settle') this.raised = false
  }

  private carryOut(order: SourceOrder): void {
    const { moved, world } = this
    const { redis } = moved
    const { nowMs } = world
    if (world.tells) world.note(sourceHost, `is told by ${this.host}: ${order.do}`)
    if (order.do === 'hold' && moved.pauses) redis.pausedUntilMs = nowMs + order.forMs
    else if (order.do === 'hold') redis.refusesWrites = true
    else if (order.do === 'release') Object.assign(redis, { pausedUntilMs: 0, refusesWrites: moved.pauses ? redis.refusesWrites : false })
    else if (order.do === 'demote') redis.replicaOf(nobody, nowMs)
    else if (order.do === 'promote') redis.replicaOf(null, nowMs)
    else if (order.do === 'follow') redis.replicaOf({ host: order.host, port: order.port }, nowMs)
    if (order.do === 'follow') redis.priority = world.sentinels === null ? redis.priority : 0
    if (order.do === 'demote' || order.do === 'promote') redis.priority = 100
    else if (order.do === 'settle') moved.starts = redis.upstream
    world.changed()
  }

  private look(then: () => void): void {
    this.waiting.push(then)
    if (this.asking !== null) return
    if (this.wire?.hasEnded() === true) this.wire = null
    if (this.wire === null) this.connect()
    const { wire, life } = this
    if (wire === null) {
      this.answered(this.trouble)
      return
    }
    const asked = {}
    this.asking = asked
    const askedMs = this.ownMs()
    const isMine = () => life === this.life && this.asking === asked
    this.world.after(infoDeadlineMs, () => {
      if (!isMine()) return
      this.wire = null
      this.answered(`no answer within ${infoDeadlineMs} ms`)
    })
    wire.ask(
      () => this.moved.redis.facts(this.world.nowMs),
      (facts) => {
        if (!isMine()) return
        if (askedMs >= this.changedMs) {
          this.facts = facts
          this.factsAtMs = askedMs
        }
        this.answered(null)
      },
    )
  }

  private answered(trouble: string | null): void {
    this.trouble = trouble
    this.asking = null
    const { waiting, life } = this
    this.waiting = []
    if (trouble !== null)
      this.world.after(retryMs, () => {
        if (life === this.life) this.agent().wake()
      })
    for (const then of waiting) then()
  }

  private connect(): void {
    const { world, host } = this
    const { redis } = this.moved
    if (this.ownMs() - this.triedMs < retryMs) return
    this.triedMs = this.ownMs()
    if (!world.network.connected(host, sourceHost, 'redis') || !redis.answers(world.nowMs)) {
      this.trouble = redis.running ? 'no answer within 1000 ms' : 'refused'
      return
    }
    const { pid } = redis
    this.wire = new Wire(
      world,
      { host, turns: () => this.agent().up && world.nowMs >= this.agent().standsUntilMs },
      { host: sourceHost, turns: () => redis.answers(world.nowMs) },
      () => redis.running && redis.pid === pid,
    )
    this.wires.push(this.wire)
  }

  private agent() {
    return this.world.agent(this.host)
  }

  private ownMs(): number {
    return this.agent().ownMs(this.world.nowMs)
  }
}
