/**
 * A Sentinel of the model world, after the rules of redis 7.0: a timer of 10 to 19 Hz that asks, counts as down, begins a failover; hellos; one
 * vote per epoch; the failover that it leads is in model-failover.ts, what it makes of the INFO of a redis in model-info.ts, what joins the Sentinels in
 * model-sentinels.ts. On its disk, so that a restart knows them: whom it names since which epoch, its last vote's epoch, the others, the replicas.
 */
import type { SentinelSettings } from '../../src/model/sentinel.ts'
import { stepFailover, type Failover } from './model-failover.ts'
import { readInfo } from './model-info.ts'
import {
  drop,
  freshOther,
  freshRedis,
  usualPace,
  publishMs,
  type Hello,
  type OtherSentinel,
  type Pace,
  type SeenRedis,
  type Vote,
  type Watched,
} from './model-seen.ts'
import type { Sentinels } from './model-sentinels.ts'

const askMs = 1000
const tiltAfterMs = 2000
const tiltForMs = 30_000
const reconnectMs = 15_000
const maxPending = 20
const desyncMs = 1000
const never = Number.NEGATIVE_INFINITY

export class ModelSentinel {
  readonly host: string
  readonly all: Sentinels
  settings: SentinelSettings
  running = false
  pace: Pace = usualPace
  /** Stopped by a signal, or with its host. */
  frozen = false
  life = 0
  epoch = 0
  configEpoch = 0
  /** Of this epoch is its last vote. For whom is not on its disk, and is forgotten with every reset. */
  voteEpoch = 0
  votedFor: string | null = null
  /** The group at all. On its disk. */
  watches: boolean
  primary: SeenRedis
  replicas = new Map<string, SeenRedis>()
  others = new Map<string, OtherSentinel>()
  objectivelyDown = false
  failover: Failover | null = null
  failoverFromMs = never
  tiltSinceMs: number | null = null
  private tickedMs = 0
  private dice: number

  constructor(all: Sentinels, host: string, names: string, settings: SentinelSettings, seed: number) {
    this.all = all
    this.host = host
    this.settings = settings
    this.watches = all.world.moved === null
    this.primary = freshRedis(names, 'primary', this.nowMs)
    this.dice = [...host].reduce((sum, c) => (sum * 31 + c.charCodeAt(0)) >>> 0, seed + 1)
  }

  get nowMs(): number {
    return this.all.ground.nowMs
  }

  turns(): boolean {
    return this.running && !this.frozen
  }

  id(): string {
    return `sentinel:${this.host}`
  }

  /** 0 ≤ n < `below`. */
  throwDice(below: number): number {
    this.dice = (Math.imul(this.dice, 1_664_525) + 1_013_904_223) >>> 0
    return Math.floor((this.dice / 2 ** 32) * below)
  }

  start(): void {
    if (this.running) return
    this.running = true
    this.frozen = false
    this.life += 1
    this.pace = usualPace
    this.votedFor = null
    this.objectivelyDown = false
    this.failover = null
    this.failoverFromMs = never
    this.tiltSinceMs = null
    this.primary = freshRedis(this.primary.host, 'primary', this.nowMs)
    this.replicas = new Map([...this.replicas.keys()].map((h) => [h, freshRedis(h, 'replica', this.nowMs)]))
    this.others = new Map([...this.others.keys()].map((h) => [h, freshOther(h, this.nowMs)]))
    this.tickedMs = this.nowMs
    this.tickAgain()
  }

  die(): void {
    if (!this.running) return
    this.running = false
    this.frozen = false
    for (const watched of this.watched()) watched.link.wire?.end()
  }

  thaw(): void {
    if (!this.frozen) return
    this.frozen = false
    this.all.ground.after(1, () => this.tick())
  }

  /** Whom it names to those who ask: from the moment that it has seen the promotion, before it has switched itself. */
  names(): string {
    return this.failover?.promotedSinceMs != null && this.failover.to !== null ? this.failover.to : this.primary.host
  }

  private *watched(): Iterable<Watched> {
    yield this.primary
    yield* this.replicas.values()
    yield* this.others.values()
  }

  // ── the timer ──
  private tickAgain(): void {
    const { life } = this
    this.all.ground.after(1000 / (10 + this.throwDice(10)), () => {
      if (!this.running || this.life !== life) return
      if (!this.frozen) this.tick()
      this.tickAgain()
    })
  }

  private tick(): void {
    if (!this.turns()) return
    const { nowMs } = this
    if (nowMs - this.tickedMs > tiltAfterMs) {
      this.tiltSinceMs = nowMs
      this.all.tell(this, '+tilt')
    }
    this.tickedMs = nowMs
    if (this.tiltSinceMs !== null && nowMs - this.tiltSinceMs >= tiltForMs) this.tiltSinceMs = null
    if (!this.watches) return
    this.mind(this.primary, false)
    if (this.tiltSinceMs === null) {
      this.countDown()
      this.beginIfDue()
      stepFailover(this)
      this.askOthers(false)
    }
    for (const redis of this.replicas.values()) this.mind(redis, false)
    for (const other of this.others.values()) this.mind(other, true)
    if (this.failover?.ended === true) this.switchTo(this.failover.to ?? this.primary.host)
  }

  private mind(it: SeenRedis | OtherSentinel, isSentinel: boolean): void {
    const { link } = it
    if (link.wire?.hasEnded() === true) drop(link)
    if (link.wire === null && this.nowMs - link.triedMs >= this.pace.pingMs) this.connect(it, isSentinel)
    if (link.wire !== null && link.wire.pending < maxPending) {
      if ('infoAtMs' in it) this.askInfo(it)
      const everyMs = Math.min(this.settings.downAfterMs, this.pace.pingMs)
      if (this.nowMs - link.pongMs > everyMs && this.nowMs - link.pingedMs > everyMs / 2) this.ping(it)
      if (this.nowMs - it.publishedMs > publishMs) this.publish(it, isSentinel)
    }
    if (this.tiltSinceMs === null) this.findDown(it)
  }

  private connect(it: SeenRedis | OtherSentinel, isSentinel: boolean): void {
    const { link } = it
    if ('infoAsked' in it) it.infoAsked = false
    link.triedMs = this.nowMs
    link.wire = isSentinel ? this.all.wireToSentinel(this, it.host) : this.all.wireToRedis(this, it.host)
    link.sinceMs = this.nowMs
    this.ping(it)
  }

  /** Also of a connection that is refused at once: the first of those it waits for. */
  private ping(it: Watched): void {
    const { link } = it
    link.pingedMs = this.nowMs
    link.waitsSinceMs ??= this.nowMs
    link.wire?.ask(
      () => {},
      () => {
        link.availableMs = this.nowMs
        link.pongMs = this.nowMs
        link.waitsSinceMs = null
      },
    )
  }

  private askInfo(it: SeenRedis): void {
    const close = it !== this.primary && (this.objectivelyDown || this.failover !== null || it.linkDownMs !== 0)
    if (it.infoAsked || this.nowMs - it.infoAtMs <= (close ? 1000 : this.pace.infoMs)) return
    it.infoAsked = true
    const { wire } = it.link
    wire?.ask(
      () => this.all.info(it.host),
      (facts) => {
        it.infoAsked = false
        if (it === this.primary || this.replicas.get(it.host) === it) readInfo(this, it, facts)
      },
    )
  }

  private publish(it: Watched, isSentinel: boolean): void {
    const hello: Hello = { from: this.host, epoch: this.epoch, names: this.names(), configEpoch: this.configEpoch }
    it.link.wire?.ask(
      () => (isSentinel ? this.all.get(it.host).hear(hello) : this.all.spread(it.host, hello)),
      (): void => {
        it.publishedMs = this.nowMs
      },
    )
  }

  /** At once to everybody: there is news. */
  publishSoon(): void {
    for (const it of this.watched()) it.publishedMs = never
  }

  private findDown(it: SeenRedis | OtherSentinel): void {
    const { link } = it
    const { nowMs } = this
    const { downAfterMs } = this.settings
    const elapsedMs = link.waitsSinceMs !== null ? nowMs - link.waitsSinceMs : link.wire === null ? nowMs - link.availableMs : 0
    // A connection of long ago may be a dead one.
    if (link.wire !== null && nowMs - link.sinceMs > reconnectMs && elapsedMs > downAfterMs / 2 && nowMs - link.pongMs > downAfterMs / 2) drop(link)
    const claims = it === this.primary && this.primary.role === 'replica' && nowMs - this.primary.roleSinceMs > downAfterMs + 2 * this.pace.infoMs
    const down = elapsedMs > downAfterMs || claims
    if (down === it.down) return
    it.down = down
    if (down) it.downSinceMs = nowMs
    if (it === this.primary) this.all.tell(this, down ? `+sdown ${it.host}` : `-sdown ${it.host}`)
  }

  private countDown(): void {
    const votes = 1 + [...this.others.values()].filter((other) => other.saysDown).length
    const down = this.primary.down && votes >= this.settings.quorum
    if (down === this.objectivelyDown) return
    this.objectivelyDown = down
    this.all.tell(this, down ? `+odown ${this.primary.host}` : `-odown ${this.primary.host}`)
  }

  private beginIfDue(): void {
    if (!this.objectivelyDown || this.failover !== null || this.nowMs - this.failoverFromMs < 2 * this.settings.failoverTimeoutMs) return
    this.begin(false)
    this.askOthers(true)
  }

  begin(forced: boolean): void {
    this.epoch += 1
    this.failoverFromMs = this.nowMs + this.throwDice(desyncMs)
    this.failover = { epoch: this.epoch, forced, stage: 'wait', sinceMs: this.nowMs, to: null, promotedSinceMs: null, ended: false }
    this.all.tell(this, `+try-failover ${this.epoch}`)
  }

  private askOthers(forced: boolean): void {
    const { nowMs } = this
    const address = this.primary.host
    for (const other of this.others.values()) {
      if (nowMs - other.repliedMs > 5 * askMs) Object.assign(other, { saysDown: false, vote: null })
      const { wire } = other.link
      if (!this.primary.down || wire === null || wire.pending >= maxPending || (!forced && nowMs - other.repliedMs < askMs)) continue
      const { epoch } = this
      const candidate = this.failover === null ? null : this.id()
      wire.ask(
        () => this.all.get(other.host).isDown(address, epoch, candidate),
        (answer) => {
          other.repliedMs = this.nowMs
          other.saysDown = answer.down
          if (answer.vote !== null) other.vote = answer.vote
        },
      )
    }
  }

  // ── what it is asked and told ──
  /** SENTINEL IS-MASTER-DOWN-BY-ADDR; `candidate` null: only whether it is. */
  isDown(address: string, epoch: number, candidate: string | null): { readonly down: boolean; readonly vote: Vote | null } {
    if (!this.watches || address !== this.primary.host) return { down: false, vote: null }
    const to = candidate === null ? null : this.vote(epoch, candidate)
    return { down: this.finds(), vote: to === null ? null : { epoch: this.voteEpoch, to } }
  }

  /** The primary that it names is down, as it tells others. */
  finds(): boolean {
    return this.tiltSinceMs === null && this.primary.down
  }

  /** One per epoch, for who comes first; whom its last vote was for, null where it has forgotten that. */
  vote(epoch: number, candidate: string): string | null {
    this.epoch = Math.max(this.epoch, epoch)
    if (this.voteEpoch < epoch && this.epoch <= epoch) {
      this.voteEpoch = epoch
      this.votedFor = candidate
      if (candidate !== this.id()) this.failoverFromMs = this.nowMs + this.throwDice(desyncMs)
      this.all.ballots.voted(this.host, candidate, epoch, this.finds())
      this.all.tell(this, `+vote-for-leader ${candidate} ${epoch}`)
    }
    return this.votedFor
  }

  hear(hello: Hello): void {
    if (hello.from === this.host || !this.watches) return
    if (!this.others.has(hello.from)) this.others.set(hello.from, freshOther(hello.from, this.nowMs))
    this.epoch = Math.max(this.epoch, hello.epoch)
    if (hello.configEpoch <= this.configEpoch) return
    this.configEpoch = hello.configEpoch
    if (hello.names !== this.primary.host) this.switchTo(hello.names)
  }

  /** SENTINEL RESET: it finds the replicas and the others anew. */
  reset(): void {
    this.forget(this.primary.host)
    this.replicas = new Map()
    for (const other of this.others.values()) other.link.wire?.end()
    this.others = new Map()
  }

  /** SENTINEL REMOVE: how it voted is forgotten with the group, the epoch that it has reached is not. */
  unwatch(): void {
    this.reset()
    Object.assign(this, { watches: false, voteEpoch: 0, configEpoch: 0 })
    this.all.tell(this, '-monitor')
  }

  /** SENTINEL MONITOR. */
  watch(host: string): void {
    if (this.watches) return
    this.watches = true
    this.primary = freshRedis(host, 'primary', this.nowMs)
    this.all.ballots.named(host)
    this.all.tell(this, `+monitor ${host}`)
  }

  switchTo(host: string): void {
    const before = this.primary.host
    this.all.ballots.named(host)
    const replicas = [...this.replicas.keys()].filter((h) => h !== host)
    if (before !== host) replicas.push(before)
    this.forget(host)
    this.replicas = new Map(replicas.map((h) => [h, freshRedis(h, 'replica', this.nowMs)]))
    this.all.tell(this, `+switch-master ${before} ${host}`)
  }

  private forget(host: string): void {
    const { nowMs } = this
    this.primary.link.wire?.end()
    for (const redis of this.replicas.values()) redis.link.wire?.end()
    const { infoAtMs, publishedMs } = this.primary
    this.primary = { ...freshRedis(host, 'primary', this.nowMs), infoAtMs, publishedMs }
    this.primary.link.waitsSinceMs = nowMs
    this.objectivelyDown = false
    this.votedFor = null
    this.failover = null
    this.failoverFromMs = never
  }

  /** SLAVEOF; null: NO ONE. It never learns whether it was taken, but from the next INFO. */
  order(it: SeenRedis, upstream: string | null): boolean {
    const { wire } = it.link
    if (wire === null) return false
    // It may be over when it arrives.
    const forced = upstream === null && this.failover?.forced === true
    wire.ask(
      () => this.all.order(this, wire, it.host, upstream, forced),
      () => {},
    )
    return true
  }
}
