/**
 * The loop of `src/agent/group.ts` over the model world: observe → decide (the real one) → remember → tell → act. Its steps take
 * a millisecond each, so that words and deaths fall between them. What is durable survives `kill`, the rest does not.
 */
import { AssertionError } from '../../src/model/assert.ts'
import type { Action, Event } from '../../src/model/action.ts'
import { statementMs, suspectShare } from '../../src/model/policy.ts'
import { freshState, type RequestResult, type State } from '../../src/model/state.ts'
import type { PeerProbe, RedisFacts, Request, Statement, View } from '../../src/model/view.ts'
import { decide } from '../../src/decide/decide.ts'
import { statementOf } from '../../src/decide/statement.ts'
import { perform } from './model-act.ts'
import { newId } from './model-redis.ts'
import type { World } from './world.ts'

export type Message = { readonly t: 'say'; readonly statement: Statement } | { readonly t: 'poke' }

/** Each step of the loop, for tests that kill the agent right there: `PHASE/saved`, `PHASE/before:ACTION`, `PHASE/after:ACTION`. */
export type StepHook = (host: string, label: string) => 'go on' | 'die'

export class ModelAgent {
  readonly host: string
  readonly world: World
  durable: State
  up = false
  startedMs = 0
  stalledMs = 0
  memory = new Map<string, { statement: Statement; receivedMs: number }>()
  requests: Request[] = []
  view: View | null = null
  actedAll = true
  lastRule = ''
  /** On disk: survives `kill`. */
  fence: View['redis']['fence'] = null
  private life = 0
  private facts: RedisFacts | null = null
  private factsAtMs = Number.NEGATIVE_INFINITY
  private knownPid: number | null = null
  private waitingSinceMs: number | null = null
  private running = false
  private again = false
  private timer = 0
  private said = { text: '', atMs: 0 }
  private mustSay = false
  readonly keeping = new Map<string, number>()
  readonly started = (pid: number): void => {
    this.knownPid = pid
    this.facts = null
  }

  constructor(world: World, host: string) {
    this.world = world
    this.host = host
    this.durable = freshState('sessions', host)
  }

  start(): void {
    if (this.up) return
    const nowMs = this.world.nowMs
    this.up = true
    this.life += 1
    this.startedMs = nowMs
    this.memory = new Map()
    this.requests = []
    this.facts = null
    this.factsAtMs = Number.NEGATIVE_INFINITY
    this.knownPid = null
    this.waitingSinceMs = null
    this.running = false
    this.again = false
    this.said = { text: '', atMs: 0 }
    this.view = null
    this.actedAll = true
    const { gone } = this.durable
    this.durable = { ...this.durable, vipHoldOffUntilMs: 0, gone: gone === null ? null : { ...gone, atMs: Math.min(gone.atMs, nowMs) } }
    this.wake()
  }

  kill(): void {
    this.up = false
    this.life += 1
  }

  hear(message: Message): void {
    if (!this.up) return
    if (message.t === 'say') this.memory.set(message.statement.host, { statement: message.statement, receivedMs: this.world.nowMs })
    else this.mustSay = true
    this.wake()
  }

  sayAllTo(host: string): void {
    if (this.up && this.view !== null) this.world.send(this.host, host, { t: 'say', statement: statementOf(this.durable, this.view, this.world.policy) })
  }

  wake(): void {
    if (!this.up) return
    if (this.running) {
      this.again = true
      return
    }
    this.again = false
    this.running = true
    this.cycle()
  }

  private later(ms: number, what: () => void): void {
    const { life } = this
    this.world.after(ms, () => {
      if (this.up && this.life === life) what()
    })
  }

  private cycle(): void {
    const asked = this.mustSay
    this.mustSay = false
    const view = this.observe()
    const { world } = this
    let decision: ReturnType<typeof decide>
    try {
      decision = decide(this.durable, view, world.policy)
    } catch (error) {
      if (!(error instanceof AssertionError)) throw error
      world.assertions.push(`${Math.round(world.nowMs)} ${this.host}: ${error.message} in ${this.durable.phase} ${this.durable.epoch}`)
      if (view.request !== null) this.requests.shift()
      this.end(world.nowMs + 250)
      return
    }
    const changed = JSON.stringify(decision.next) !== JSON.stringify(this.durable)
    this.later(changed ? 1 : 0, () => {
      this.durable = decision.next
      if (changed && this.stopsAt(`${decision.next.phase}/saved`)) return
      this.view = view
      const news = changed || decision.rule !== this.lastRule
      this.lastRule = decision.rule
      if (news) world.note(this.host, `${decision.rule}: ${decision.because}`)
      for (const event of decision.events) if (event.kind === 'detected') world.record(this.host, event)
      this.tell(changed || asked, view)
      this.act([...decision.actions], 0, (failure) => this.finish(view, decision.events, decision.wakeAtMs, failure, decision.actions))
    })
  }

  private finish(view: View, events: readonly Event[], wakeAtMs: number, failure: string | null, actions: readonly Action[]): void {
    const { world } = this
    this.actedAll = failure === null
    if (failure !== null) world.note(this.host, failure)
    else for (const event of events) if (event.kind !== 'detected') world.record(this.host, event)
    if (view.request !== null) this.requests.shift()
    for (const result of this.durable.results) world.results.set(result.id, result)
    const acted = actions.some((a) => a.kind !== 'poke')
    this.end(failure !== null ? Math.max(wakeAtMs, world.nowMs + 50) : acted ? world.nowMs : wakeAtMs)
  }

  private end(atMs: number): void {
    this.timer += 1
    const { timer } = this
    this.later(Math.max(0.1, Math.min(1000, atMs - this.world.nowMs)), () => {
      if (this.timer === timer) this.wake()
    })
    this.running = false
    if (this.again) this.wake()
  }

  private stopsAt(label: string): boolean {
    if (this.world.stepHook(this.host, label) === 'go on') return false
    this.world.killAgent(this.host)
    return true
  }

  private act(actions: readonly Action[], index: number, done: (failure: string | null) => void): void {
    const action = actions[index]
    if (action === undefined) {
      done(null)
      return
    }
    if (this.stopsAt(`${this.durable.phase}/before:${action.kind}`)) return
    const failure = this.world.failures.get(`${this.host}/${action.kind}`) ?? perform(this.world, this.host, this, action)
    if (action.kind !== 'poke') this.world.done.push({ atMs: this.world.nowMs, host: this.host, kind: action.kind, ok: failure === null, action })
    this.later(action.kind === 'poke' ? 0 : 1, () => {
      if (this.stopsAt(`${this.durable.phase}/after:${action.kind}`)) return
      if (failure !== null) done(failure)
      else this.act(actions, index + 1, done)
    })
  }

  private observe(): View {
    const { world, host } = this
    const { nowMs } = world
    const redis = world.redis(host)
    if (redis.answers(nowMs)) {
      this.facts = redis.facts(nowMs)
      this.factsAtMs = nowMs
      this.waitingSinceMs = null
      this.knownPid = redis.pid
    } else if (redis.running) this.waitingSinceMs ??= nowMs
    else {
      this.factsAtMs = Number.NEGATIVE_INFINITY
      this.waitingSinceMs = null
      this.knownPid = null
    }
    const keepalived = world.vrrp.hosts.get(host)
    return {
      nowMs,
      nowWallMs: 1_700_000_000_000 + nowMs,
      group: 'sessions',
      self: host,
      stalledMs: this.stalledMs,
      agentUptimeMs: nowMs - this.startedMs,
      durable: true,
      actedAll: this.actedAll,
      redis: {
        process: redis.running,
        pid: this.knownPid,
        facts: this.facts,
        unansweredMs: this.waitingSinceMs === null ? 0 : nowMs - this.waitingSinceMs,
        factsAgeMs: Number.isFinite(this.factsAtMs) ? nowMs - this.factsAtMs : Number.MAX_SAFE_INTEGER,
        trouble: null,
        busy: false,
        fence: this.fence,
        backlog: null,
      },
      keepalived:
        keepalived === undefined
          ? null
          : {
              process: keepalived.alive,
              vrrp: keepalived.vrrp,
              vipHere: keepalived.vipSinceMs !== null,
              allowed: keepalived.allowed,
              yields: keepalived.yields,
            },
      peers: world.policy.members.filter((m) => m.host !== host).map((m) => this.probePeer(m.host)),
      request: this.requests[0] ?? null,
    }
  }

  private probePeer(peer: string): PeerProbe {
    const { world } = this
    const known = this.memory.get(peer)
    // Connections of another life of this agent were not heard by this one.
    const silentMs = world.heardMs(peer, this.host) < this.startedMs ? 1e12 : world.nowMs - world.heardMs(peer, this.host)
    const refused = world.agentRefuses(peer, this.host)
    return {
      host: peer,
      agent: refused ? 'refused' : silentMs < world.policy.hostLossMs * suspectShare ? 'alive' : 'silent',
      silentMs,
      statement: known?.statement ?? null,
      statementAgeMs: known === undefined ? 1e12 : world.nowMs - known.receivedMs,
      redisReach: refused || silentMs > world.policy.hostLossMs / 3 + 10 ? world.reach(this.host, peer) : 'not asked',
    }
  }

  private tell(force: boolean, view: View): void {
    const statement = statementOf(this.durable, view, this.world.policy)
    const { redis, ...rest } = statement
    const text = JSON.stringify([
      rest,
      redis === null ? null : [redis.runId, redis.role, redis.loading, redis.upstream, redis.linkUp, redis.syncing, redis.replid],
    ])
    if (!force && text === this.said.text && this.world.nowMs - this.said.atMs < statementMs) return
    this.said = { text, atMs: this.world.nowMs }
    for (const peer of this.world.policy.members) if (peer.host !== this.host) this.world.send(this.host, peer.host, { t: 'say', statement })
  }

  /** As `holdfast switchover` and the like: the result comes into `world.results`. */
  ask(request: Omit<Request, 'id' | 'by'>): string {
    const id = newId('ask')
    if (!this.up) {
      this.world.results.set(id, { id, ok: false, message: 'no agent answers' } satisfies RequestResult)
      return id
    }
    this.requests.push({ ...request, id, by: 'anna' })
    this.wake()
    return id
  }
}
