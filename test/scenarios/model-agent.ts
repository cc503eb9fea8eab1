/**
 * The loop of `src/agent/group.ts` over the model world: observe → decide (the real one) → remember → tell → act. Its steps take
 * a millisecond each, so that words and deaths fall between them. What is on its disk survives `kill`, the rest does not.
 */
import { AssertionError } from '../../src/model/assert.ts'
import type { Decision } from '../../src/model/decision.ts'
import { statementMs } from '../../src/model/policy.ts'
import { freshState, type RequestResult, type State } from '../../src/model/state.ts'
import type { RedisProbe, Request, Statement, View } from '../../src/model/view.ts'
import { watchAddress, type AddressWatch } from '../../src/agent/address-watch.ts'
import { decide } from '../../src/decide/decide.ts'
import { decideAsWitness } from '../../src/decide/witness.ts'
import { aheadOfMemory, needsMemory, ofThisBoot, withoutMemory } from '../../src/decide/memory.ts'
import { holdsGroup } from '../../src/decide/situation.ts'
import { statementOf } from '../../src/decide/statement.ts'
import { freshWatch } from '../../src/model/watch.ts'
import { watch } from '../../src/decide/watch.ts'
import { outlived } from './model-act.ts'
import { carryOut, stopsAt } from './model-hands.ts'
import { newId } from './model-redis.ts'
import { sameState, saysTheSame } from './model-same.ts'
import { keepWatch } from './model-keeper.ts'
import { ModelSenses } from './model-senses.ts'
import { ModelSource } from './model-source.ts'
import type { World } from './world.ts'

export type Message = { readonly t: 'say'; readonly statement: Statement } | { readonly t: 'poke' }

/** Each step of the loop, for tests that kill the agent right there: `PHASE/saved`, `PHASE/before:ACTION`, `PHASE/after:ACTION`. */
export type StepHook = (host: string, label: string) => 'go on' | 'die'

/** For so long after it stood still an agent knows that it was deaf (the window of the stall meter). */
const stallWindowMs = 300

const unreadMs = 5

export class ModelAgent {
  readonly host: string
  readonly world: World
  readonly isWitness: boolean
  /** What it goes by, and what its disk would give back to its next life. They differ while the disk is full. */
  state: State
  onDisk: State
  diskFull = false
  /** How long the next times that it remembers something take: its disk has others to serve. Each one after that: a millisecond. */
  slowSavesMs: number[] = []
  private slowUntilMs = Number.NEGATIVE_INFINITY
  durable = true
  up = false
  startedMs = 0
  /** What the stall meter is made to say; > 0: it does not speak. */
  stalledMs = 0
  /** Its event loop stands still until then. */
  standsUntilMs = 0
  /** Its host stood still then, and its monotonic clock with it; `lagMs` in all. */
  private halted = { fromMs: Number.NEGATIVE_INFINITY, untilMs: Number.NEGATIVE_INFINITY, lagMs: 0 }
  private stood = { forMs: 0, untilMs: Number.NEGATIVE_INFINITY }
  /** Its wall clock goes wrong by so much. */
  wallOffMs = 0
  requests: Request[] = []
  view: View | null = null
  actedAll = true
  lastRule = ''
  lastBecause = ''
  lastAlarmMs = Number.NEGATIVE_INFINITY
  /** Since when it has been saying that its redis may be promoted. */
  fitSinceMs: number | null = null
  readonly senses: ModelSenses
  /** null: nothing is moved to this group. */
  readonly source: ModelSource | null
  address: AddressWatch
  /** On disk: survives `kill`. */
  fence: View['redis']['fence'] = null
  private life = 0
  private running = false
  private again = false
  private timer = 0
  private said: { statement: Statement | null; atMs: number } = { statement: null, atMs: 0 }
  private mustSay = false
  private watched = freshWatch
  private unread: Message[] = []
  readonly keeping = new Map<string, number>()
  readonly started = (pid: number): void => this.senses.expectProcess(pid)

  constructor(world: World, host: string) {
    this.world = world
    this.host = host
    this.isWitness = !world.hosts.includes(host)
    this.state = freshState('sessions', host)
    this.onDisk = this.state
    this.senses = new ModelSenses(world, host)
    this.source = world.moved === null || this.isWitness ? null : new ModelSource(world, host, world.moved)
    this.address = this.watch()
  }

  private watch(): AddressWatch {
    return watchAddress((event) => this.world.record(this.host, event))
  }

  start(): void {
    if (this.up) return
    const { nowMs } = this.world
    this.up = true
    this.life += 1
    this.startedMs = nowMs
    this.requests = []
    this.unread = []
    this.senses.forget()
    this.source?.forget()
    this.address = this.watch()
    this.watched = freshWatch
    this.running = false
    this.again = false
    this.said = { statement: null, atMs: 0 }
    this.view = null
    this.fitSinceMs = null
    this.actedAll = true
    this.durable = true
    this.standsUntilMs = 0
    // What stood still was another life.
    this.stood = { forMs: 0, untilMs: Number.NEGATIVE_INFINITY }
    if (this.isHalted(nowMs)) this.halted = { ...this.halted, untilMs: nowMs, lagMs: this.halted.lagMs - (this.halted.untilMs - nowMs) }
    const ownMs = this.ownMs(nowMs)
    this.state = ofThisBoot(this.onDisk, ownMs)
    const { life } = this
    this.world.sentinels?.forget(this.host)
    this.world.sentinels?.poll(this.host, () => this.up && this.life === life)
    keepWatch(this.world, this.host, () => this.up && this.life === life)
    this.wake()
  }

  kill(): void {
    this.up = false
    this.life += 1
  }

  /** Its event loop stands still: nothing is seen, said or done; what comes meanwhile is read afterwards. */
  stall(forMs: number): void {
    this.standsUntilMs = Math.max(this.standsUntilMs, this.world.nowMs + forMs)
    this.stood = { forMs, untilMs: this.standsUntilMs }
  }

  /** As `stall`, and its own clock does not notice: a machine that was paused from outside. */
  halt(forMs: number): void {
    const { nowMs } = this.world
    const { fromMs, untilMs, lagMs } = this.halted
    const endMs = Math.max(untilMs, nowMs + forMs)
    this.halted = { fromMs: nowMs < untilMs ? fromMs : nowMs, untilMs: endMs, lagMs: lagMs + endMs - Math.max(nowMs, untilMs) }
    this.standsUntilMs = Math.max(this.standsUntilMs, nowMs + forMs)
  }

  isHalted(worldMs: number): boolean {
    return worldMs < this.halted.untilMs
  }

  /** What its monotonic clock said, or will say, at a moment of the world. */
  ownMs(worldMs: number): number {
    const { fromMs, untilMs, lagMs } = this.halted
    if (worldMs >= untilMs) return worldMs - lagMs
    return Math.min(worldMs, fromMs) - (lagMs - (untilMs - fromMs))
  }

  /** It waits for its disk, or did a moment ago. */
  waitsForDisk(): boolean {
    return this.world.nowMs <= this.slowUntilMs
  }

  private saysStalledMs(): number {
    return Math.max(this.stalledMs, this.world.nowMs - this.stood.untilMs <= stallWindowMs ? this.stood.forMs : 0)
  }

  /** Just awake, it looks before it has read what came meanwhile. */
  private deafSinceMs(): number {
    const { nowMs } = this.world
    const { stood, halted } = this
    const stoodSinceMs = nowMs - stood.untilMs < unreadMs ? stood.untilMs - stood.forMs : Number.POSITIVE_INFINITY
    return nowMs - halted.untilMs < unreadMs ? Math.min(halted.fromMs, stoodSinceMs) : stoodSinceMs
  }

  /** What is unread has waited since then. */
  private lastStoodFromMs(): number {
    const { stood, halted } = this
    return stood.untilMs > halted.untilMs ? stood.untilMs - stood.forMs : halted.fromMs
  }

  hear(message: Message): void {
    if (!this.up) return
    const { nowMs } = this.world
    if (this.unread.length > 0 || nowMs < this.standsUntilMs || this.deafSinceMs() < nowMs) {
      this.unread.push(message)
      if (this.unread.length === 1) this.later(nowMs < this.standsUntilMs ? 0 : unreadMs, () => this.read())
      return
    }
    this.take(message)
  }

  /** What came meanwhile, in its order. */
  private read(): void {
    if (this.deafSinceMs() < this.world.nowMs) {
      this.later(unreadMs, () => this.read())
      return
    }
    const messages = this.unread
    this.unread = []
    // All of them before it looks: each stream keeps its order, and an echo that has been read came after the words before it.
    const { running } = this
    this.running = true
    for (const message of messages) this.take(message)
    this.running = running
    if (!running && this.again) this.wake()
  }

  private take(message: Message): void {
    if (message.t === 'poke') this.mustSay = true
    else {
      const { statement } = message
      const before = this.senses.heard(statement)
      const news = before === null || statement.handover !== null || this.state.handover !== null || !saysTheSame(before, statement)
      if (!news) return
    }
    this.wake()
  }

  sayAllTo(host: string): void {
    if (this.up && this.view !== null) this.world.send(this.host, host, { t: 'say', statement: statementOf(this.state, this.view, this.world.policy) })
  }

  wake(): void {
    if (!this.up) return
    if (this.running) {
      this.again = true
      return
    }
    this.again = false
    this.running = true
    if (this.world.nowMs < this.standsUntilMs) this.later(0, () => this.cycle())
    else this.cycle()
  }

  /** Not while it stands still, and not in another life. */
  later(ms: number, what: () => void): void {
    const { life } = this
    const due = () => {
      if (!this.up || this.life !== life) return
      const { nowMs } = this.world
      if (nowMs < this.standsUntilMs) this.world.after(this.standsUntilMs - nowMs, due)
      else what()
    }
    this.world.after(ms, due)
  }

  private cycle(): void {
    const asked = this.mustSay
    this.mustSay = false
    // Its own redis is asked first, the source after it.
    const redis = this.senses.redis(this.world.nowMs)
    const waits = this.source?.ask(this.state.move, this.seesToMove(), () => this.later(0, () => this.judgeAndAct(redis, asked))) ?? false
    if (!waits) this.judgeAndAct(redis, asked)
  }

  private seesToMove(): boolean {
    return this.state.holder === this.host && holdsGroup(this.state.phase)
  }

  private judgeAndAct(redis: RedisProbe, asked: boolean): void {
    const view = this.observe(redis)
    const { world } = this
    let decision: Decision
    try {
      decision = this.isWitness ? this.judge(view) : decide(this.state, view, world.policy)
    } catch (error) {
      if (!(error instanceof AssertionError)) throw error
      world.version += 1
      world.assertions.push(`${Math.round(world.nowMs)} ${this.host}: ${error.message} in ${this.state.phase} ${this.state.epoch}`)
      if (view.request !== null) this.requests.shift()
      this.end(view.nowMs + 250)
      return
    }
    const changed = !sameState(this.state, decision.next)
    if (!changed && this.durable) this.carryOut(view, decision, asked)
    else {
      const saveMs = this.slowSavesMs.shift() ?? 1
      // What it does as soon as it has remembered is done ten milliseconds later.
      if (saveMs > 1) this.slowUntilMs = world.nowMs + saveMs + 10
      carryOut(this, aheadOfMemory(this.state, decision), 0, () => undefined)
      if (!this.up) return
      this.later(saveMs, () => this.remember(view, decision, changed, asked))
    }
  }

  private judge(view: View): Decision {
    const { next, events, because, wakeInMs } = decideAsWitness(this.state, view, this.world.policy)
    return { next, actions: [], events, diagnosis: 'holder-unclear-redis-down', rule: 'witness', because, wakeAtMs: view.nowMs + wakeInMs }
  }

  /** DURABLE BEFORE THE FIRST ACTION; what cannot be remembered and must not be forgotten is not done. */
  private remember(view: View, decision: Decision, changed: boolean, asked: boolean): void {
    const { world } = this
    this.durable = !this.diskFull
    if (this.durable) this.onDisk = decision.next
    else if (this.isWitness || needsMemory(this.state, decision.next)) {
      carryOut(this, [...withoutMemory(decision.actions, view.redis.facts?.role)], 0, () => {
        if (view.request !== null) this.requests.shift()
        this.end(this.ownMs(world.nowMs) + 250)
      })
      return
    }
    this.state = decision.next
    world.version += 1
    if (this.durable && stopsAt(this, 'saved', null)) return
    this.carryOut(view, decision, changed || asked)
  }

  private carryOut(view: View, decision: Decision, mustTell: boolean): void {
    this.view = view
    const { world } = this
    if (world.tells) this.address.look(this.state, view, world.policy)
    if (world.tells && (mustTell || decision.rule !== this.lastRule)) world.note(this.host, `${decision.rule}: ${decision.because}`)
    this.lastRule = decision.rule
    this.lastBecause = decision.because
    for (const event of decision.events) if (event.kind === 'detected') world.record(this.host, event)
    this.tell(mustTell, view)
    if (decision.actions.length === 0) this.finish(view, decision, null)
    else carryOut(this, decision.actions, 0, (failure) => this.finish(view, decision, failure))
  }

  private finish(view: View, decision: Decision, failure: string | null): void {
    const { world } = this
    this.actedAll = failure === null
    if (failure !== null) world.note(this.host, failure)
    else for (const event of decision.events) if (event.kind !== 'detected') world.record(this.host, event)
    if (decision.events.some((e) => e.kind === 'alarm')) this.lastAlarmMs = world.nowMs
    if (view.request !== null) this.requests.shift()
    for (const result of this.state.results) world.results.set(result.id, result)
    const acted = decision.actions.some((a) => a.kind !== 'poke' && a.kind !== 'pause-writes')
    const nowMs = this.ownMs(world.nowMs)
    this.end(failure !== null && failure !== outlived ? Math.max(decision.wakeAtMs, nowMs + 50) : acted || failure === outlived ? nowMs : decision.wakeAtMs)
  }

  private end(atMs: number): void {
    this.timer += 1
    const { timer, world } = this
    this.later(Math.max(0.1, Math.min(1000, atMs - this.ownMs(world.nowMs))) + world.timerLatenessMs, () => {
      if (this.timer === timer) this.wake()
    })
    this.running = false
    if (this.again) this.wake()
  }

  private observe(redis: RedisProbe): View {
    const { world, host, senses } = this
    const { nowMs } = world
    const ownMs = this.ownMs(nowMs)
    const source = this.source?.probe(this.state.move, this.seesToMove())
    const seen: View = {
      nowMs: ownMs,
      nowWallMs: 1_700_000_000_000 + nowMs + this.wallOffMs,
      group: 'sessions',
      self: host,
      stalledMs: this.saysStalledMs(),
      agentUptimeMs: ownMs - this.ownMs(this.startedMs),
      durable: this.durable,
      actedAll: this.actedAll,
      redis,
      keepalived: senses.keepalived(),
      // A stream keeps its order: what waits to be read is read before the echo that came after it.
      peers: senses.peers(nowMs, this.startedMs, this.unread.length > 0 ? Math.min(this.deafSinceMs(), this.lastStoodFromMs()) : this.deafSinceMs()),
      checks: senses.checks(nowMs),
      ...senses.sentinels(),
      ...(source === undefined ? {} : { source }),
      request: this.requests[0] ?? null,
      watch: this.watched,
    }
    this.watched = watch(this.watched, this.state, seen, world.policy)
    return this.watched === seen.watch ? seen : { ...seen, watch: this.watched }
  }

  private tell(force: boolean, view: View): void {
    const { world } = this
    const statement = statementOf(this.state, view, world.policy)
    this.fitSinceMs = statement.fit && this.durable ? (this.fitSinceMs ?? world.nowMs) : null
    const { said } = this
    if (!force && world.nowMs - said.atMs < statementMs && said.statement !== null && saysTheSame(said.statement, statement)) return
    this.said = { statement, atMs: world.nowMs }
    for (const peer of world.voters) if (peer !== this.host) world.send(this.host, peer, { t: 'say', statement })
  }

  /** As `holdfast switchover` and the like: the result comes into `world.results`. */
  ask(request: Omit<Request, 'id' | 'by'>): string {
    const id = newId('ask')
    const refusal = !this.up ? 'no agent answers' : !this.durable ? 'the state directory cannot be written, so nothing may be changed (HF205)' : null
    if (refusal !== null) {
      this.world.results.set(id, { id, ok: false, message: refusal } satisfies RequestResult)
      return id
    }
    this.requests.push({ ...request, id, by: 'anna' })
    this.wake()
    return id
  }
}
