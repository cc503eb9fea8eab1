/**
 * The Sentinels of the model world, and what joins them with its redises and agents: connections over the network's redis layer, the channel on
 * which they say hello, the valve behind which a redis takes their orders, and what each agent asks and hears (as `observe/` would).
 */
import { sentinelPace, type SentinelFacts, type SentinelProbe, type SentinelVote } from '../../src/model/sentinel.ts'
import type { SentinelPolicy } from '../../src/model/policy.ts'
import { hearVote, type HeardVote } from '../../src/observe/sentinel-votes.ts'
import type { VoteReply } from '../../src/redis/sentinel-replies.ts'
import type { ModelRedis } from './model-redis.ts'
import { Ballots } from './model-ballots.ts'
import { selectReplica } from './model-failover.ts'
import { addressOf, infoOf, type Hello, type RedisInfo } from './model-seen.ts'
import { ModelSentinel } from './model-sentinel.ts'
import { sourceHost } from './model-source.ts'
import { Wire, type End, type Ground } from './model-wire.ts'
import type { World } from './world.ts'

/** What a Sentinel answers to its agent's question: SENTINEL MASTER, and IS-MASTER-DOWN-BY-ADDR in epoch 0. */
interface Answer {
  /** null: it does not watch the group. */
  readonly facts: SentinelFacts | null
  readonly vote: VoteReply | null
}

/** A connection without an answer for so long is given up. */
const giveUpMs = 2000

/** What one agent has heard of one Sentinel. */
interface Contact {
  readonly host: string
  wire: Wire | null
  wireSinceMs: number
  refused: boolean
  askedMs: number
  /** Of the oldest question without an answer. */
  waitsSinceMs: number | null
  forgot: boolean
  facts: SentinelFacts | null
  factsAtMs: number
  /** When it was first heard to lead whatever it leads. */
  ledSinceMs: number
  vote: HeardVote | null
}

interface Order {
  readonly atMs: number
  readonly by: string
  readonly redis: string
  readonly to: string | null
  readonly taken: boolean
  /** An operator's SENTINEL FAILOVER, and this member's agent could not hear of it in time: dead, standing still, cut off from that Sentinel. */
  readonly unheardBy: readonly string[]
}

/** What an agent needs from a word to its deed. */
const reactionMs = 10

export class Sentinels {
  readonly ground: Ground
  readonly world: World
  readonly policy: SentinelPolicy
  /** Everything that a Sentinel said of itself, and the orders that a redis was given: `HOST +event`. */
  readonly told: { readonly atMs: number; readonly host: string; readonly what: string }[] = []
  /** Orders of Sentinels, and whether they were taken. `to` null: be a primary. */
  readonly orders: Order[] = []
  readonly ballots: Ballots
  private readonly byHost = new Map<string, ModelSentinel>()
  private readonly wires = new Map<string, Set<{ readonly wire: Wire; readonly by: ModelSentinel }>>()
  private readonly contacts = new Map<string, Map<string, Contact>>()

  constructor(world: World, ground: Ground, policy: SentinelPolicy, parallelSyncs: number, seed: number) {
    this.world = world
    this.ground = ground
    this.policy = policy
    this.ballots = new Ballots(policy.votes)
    const { quorum, downAfterMs, failoverTimeoutMs } = policy
    const settings = { quorum, downAfterMs, failoverTimeoutMs, parallelSyncs }
    for (const host of policy.hosts) this.byHost.set(host, new ModelSentinel(this, host, world.hosts[0] ?? '', settings, seed))
  }

  get(host: string): ModelSentinel {
    const sentinel = this.byHost.get(host)
    if (sentinel === undefined) throw new Error(`no Sentinel on ${host}`)
    return sentinel
  }

  has(host: string): boolean {
    return this.byHost.has(host)
  }

  every(): readonly ModelSentinel[] {
    return [...this.byHost.values()]
  }

  /** Of those that run. */
  allName(host: string): boolean {
    for (const s of this.byHost.values()) if (s.running && (!s.watches || s.primary.host !== host)) return false
    return true
  }

  tell(sentinel: ModelSentinel, what: string): void {
    this.told.push({ atMs: this.ground.nowMs, host: sentinel.host, what })
    this.world.note(sentinel.host, `sentinel ${what}`)
    // Agents hear of its events, and ask.
    for (const [agent, known] of this.contacts) {
      const wire = known.get(sentinel.host)?.wire
      if (wire?.open === true) wire.push(() => this.ask(agent, sentinel.host))
    }
    this.world.changed()
  }

  /** Words that came while their reader stood still. */
  changed(): void {
    if (this.ground.held.size > 0) for (const way of [...this.ground.held]) way.look()
  }

  // ── connections ──
  wireToRedis(by: ModelSentinel, host: string): Wire | null {
    const redis = this.redisOf(host)
    if (redis === null) return null
    const { runId } = redis
    const listens = redis.running && (redis.frozen || redis.answers(this.ground.nowMs))
    if (!listens && this.ground.network.connected(by.host, host, 'redis')) return null
    const wire = new Wire(
      this.ground,
      by,
      endOf(host, () => redis.running && !redis.frozen),
      () => redis.running && redis.runId === runId,
    )
    const known = this.wires.get(host) ?? new Set()
    this.wires.set(host, known)
    for (const old of known) if (!old.wire.open) known.delete(old)
    known.add({ wire, by })
    return wire
  }

  wireToSentinel(by: End, host: string): Wire | null {
    const sentinel = this.byHost.get(host)
    if (sentinel === undefined) return null
    const { life } = sentinel
    if (!sentinel.running && this.ground.network.connected(by.host, host, 'redis')) return null
    return new Wire(this.ground, by, sentinel, () => sentinel.running && sentinel.life === life)
  }

  private redisOf(host: string): ModelRedis | null {
    return this.world.hosts.includes(host) || (this.world.moved !== null && host === sourceHost) ? this.world.redis(host) : null
  }

  // ── what a redis does for them ──
  info(host: string): RedisInfo {
    return infoOf(this.world.redis(host), this.ground.nowMs)
  }

  /** PUBLISH: to all that are subscribed here, and to those at its replicas. A redis that holds writes back holds this back as well, and the connection with it. */
  spread(host: string, hello: Hello): 'held' | undefined {
    if (this.ground.nowMs < this.world.redis(host).pausedUntilMs) return 'held'
    const replicas = this.world.hosts.filter((h) => this.world.redis(h).linkUp && this.world.redis(h).upstream?.host === addressOf(host))
    for (const at of [host, ...replicas]) for (const { wire, by } of this.wires.get(at) ?? []) if (wire.open) wire.push(() => by.hear(hello))
    return undefined
  }

  /** MULTI, SLAVEOF, CONFIG REWRITE, CLIENT KILL of everybody else, EXEC: all, or where one is refused nothing. */
  order(by: ModelSentinel, wire: Wire, host: string, to: string | null, forced: boolean): void {
    const { world } = this
    const redis = world.redis(host)
    const taken = redis.orders && !redis.loading(this.ground.nowMs)
    const unheardBy = forced ? world.hosts.filter((h) => h !== host && !this.knowsOf(h, by.host, host)) : []
    this.orders.push({ atMs: this.ground.nowMs, by: by.host, redis: host, to, taken, unheardBy })
    world.note(by.host, `sentinel tells redis on ${host} to ${to === null ? 'be a primary' : `follow ${to}`}${taken ? '' : ': refused'}`)
    if (!taken) return
    redis.replicaOf(to === null ? null : { host: addressOf(to), port: 6379 }, this.ground.nowMs)
    for (const other of this.wires.get(host) ?? []) if (other.wire !== wire) other.wire.end()
    redis.onClose()
    world.changed()
  }

  /** For long enough to have held its writes back. */
  private knowsOf(agent: string, sentinel: string, to: string): boolean {
    const { up, standsUntilMs } = this.world.agent(agent)
    const { facts, ledSinceMs } = this.contact(agent, sentinel)
    const sinceMs = Math.max(ledSinceMs, standsUntilMs)
    return up && facts?.failover?.to === to && this.ground.nowMs - sinceMs >= reactionMs + this.world.timerLatenessMs
  }

  // ── an operator ──
  failover(host: string): 'OK' | 'INPROG' | 'NOGOODSLAVE' {
    const sentinel = this.get(host)
    if (sentinel.failover !== null) return 'INPROG'
    if (!sentinel.watches) return 'NOGOODSLAVE'
    if (selectReplica(sentinel) === null) return 'NOGOODSLAVE'
    sentinel.begin(true)
    return 'OK'
  }

  // ── what an agent asks and hears ──
  /** Another life of the agent. */
  forget(agent: string): void {
    for (const contact of this.contacts.get(agent)?.values() ?? []) contact.wire?.end()
    this.contacts.delete(agent)
  }

  /** As long as that life of the agent lasts: five times in the time after which a Sentinel finds a primary down. */
  poll(agent: string, life: () => boolean): void {
    if (!life()) return
    const { nowMs } = this.ground
    if (nowMs >= this.world.agent(agent).standsUntilMs) {
      this.hasten(agent)
      for (const host of this.policy.hosts) this.ask(agent, host)
    }
    this.ground.after(this.everyMs(), () => this.poll(agent, life))
  }

  /** Its own one, as src/agent/sentinel.ts does. */
  private hasten(agent: string): void {
    const sentinel = this.byHost.get(agent)
    if (sentinel?.turns() === true && !this.world.policy.external) sentinel.pace = sentinelPace
  }

  private everyMs(): number {
    return Math.min(400, Math.max(50, this.policy.downAfterMs / 5))
  }

  private contact(agent: string, host: string): Contact {
    const mine = this.contacts.get(agent) ?? new Map<string, Contact>()
    this.contacts.set(agent, mine)
    const never = Number.NEGATIVE_INFINITY
    const fresh: Contact = {
      host,
      wire: null,
      wireSinceMs: never,
      refused: false,
      askedMs: never,
      waitsSinceMs: null,
      forgot: false,
      facts: null,
      factsAtMs: never,
      vote: null,
      ledSinceMs: never,
    }
    const contact = mine.get(host) ?? fresh
    mine.set(host, contact)
    return contact
  }

  /** An open connection; null: its host says that nobody listens. One that was silent for long is begun anew. */
  private wireOf(agent: string, contact: Contact): Wire | null {
    const { nowMs } = this.ground
    const stale = contact.waitsSinceMs !== null && nowMs - Math.max(contact.waitsSinceMs, contact.wireSinceMs) >= giveUpMs
    if (contact.wire !== null && (contact.wire.hasEnded() || stale)) {
      contact.wire.end()
      contact.wire = null
    }
    const reader = endOf(agent, () => this.ground.nowMs >= this.world.agent(agent).standsUntilMs)
    if (contact.wire === null) {
      contact.wire = this.wireToSentinel(reader, contact.host)
      contact.wireSinceMs = nowMs
    }
    const refused = contact.wire === null
    if (refused !== contact.refused) {
      contact.refused = refused
      this.ground.after(0, () => this.world.agent(agent).wake())
    }
    if (refused) contact.waitsSinceMs = null
    return contact.wire
  }

  private ask(agent: string, host: string): void {
    const contact = this.contact(agent, host)
    const wire = this.wireOf(agent, contact)
    if (wire === null) return
    const sentMs = this.ground.nowMs
    contact.askedMs = sentMs
    contact.waitsSinceMs ??= sentMs
    wire.ask(
      () => this.answer(host),
      (answer: Answer) => this.heard(agent, contact, answer, sentMs),
    )
  }

  private heard(agent: string, contact: Contact, answer: Answer, sentMs: number): void {
    if (this.contacts.get(agent)?.get(contact.host) !== contact) return
    const before = contact.facts
    const waited = contact.waitsSinceMs !== null
    const turned = contact.forgot !== (answer.facts === null)
    contact.forgot = answer.facts === null
    if (answer.facts === null) {
      contact.waitsSinceMs = contact.askedMs > sentMs ? contact.askedMs : null
      if (turned) this.world.agent(agent).wake()
      return
    }
    if (before?.failover?.to !== answer.facts.failover?.to) contact.ledSinceMs = this.ground.nowMs
    contact.facts = answer.facts
    contact.factsAtMs = sentMs
    contact.waitsSinceMs = contact.askedMs > sentMs ? contact.askedMs : null
    const voted = this.hearVote(contact, answer.vote)
    if (voted || turned || (waited && before === null) || before === null || differs(before, answer.facts)) this.world.agent(agent).wake()
  }

  /** Whether it is news. */
  private hearVote(contact: Contact, reply: VoteReply | null): boolean {
    const before = contact.vote
    if (reply !== null) contact.vote = hearVote(before, reply, this.ground.nowMs)
    return contact.vote !== before
  }

  private answer(host: string): Answer {
    const s = this.get(host)
    if (!s.watches) return { facts: null, vote: null }
    const names = s.names()
    const { waitsSinceMs } = s.primary.link
    const facts: SentinelFacts = {
      id: s.id(),
      names: this.world.hosts.includes(names) ? names : null,
      address: `${addressOf(names)}:6379`,
      configEpoch: s.configEpoch,
      down: s.primary.down || s.objectivelyDown,
      pendingPingMs: waitsSinceMs === null ? 0 : Math.round(this.ground.nowMs - waitsSinceMs),
      failover: s.failover === null ? null : { to: s.failover.to },
      tilt: s.tiltSinceMs !== null,
      settings: s.settings,
      others: s.others.size,
      replicas: s.replicas.size,
    }
    return { facts, vote: this.voteTold(s) }
  }

  private voteTold(s: ModelSentinel): VoteReply | null {
    return s.voteEpoch === 0 ? null : { epoch: s.voteEpoch, leader: s.votedFor, down: s.finds() }
  }

  askVotes(agent: string, epoch: number, to: string): void {
    for (const host of this.policy.hosts) {
      const contact = this.contact(agent, host)
      const wire = this.wireOf(agent, contact)
      const names = contact.facts?.names ?? null
      if (wire === null || names === null) continue
      // Both questions in one write: nobody comes between them.
      wire.ask(
        () => {
          const sentinel = this.get(host)
          if (!sentinel.watches || sentinel.primary.host !== names) return []
          const before = this.voteTold(sentinel)
          sentinel.isDown(names, epoch, to)
          return [before, this.voteTold(sentinel)]
        },
        (votes) => {
          const news = votes.map((vote) => this.hearVote(contact, vote))
          if (news.includes(true)) this.world.agent(agent).wake()
        },
      )
    }
  }

  /** In the name of another Sentinel: nobody else is believed. One that it did not know is entered into its list. */
  tellWho(agent: string, host: string, holder: string, epoch: number): void {
    const wire = this.wireOf(agent, this.contact(agent, host))
    const speaker = this.policy.hosts.find((h) => h !== host && this.contact(agent, h).facts !== null)
    wire?.ask(
      () => {
        const sentinel = this.get(host)
        const from = speaker ?? [...sentinel.others.keys()][0]
        if (from !== undefined) sentinel.hear({ from, epoch, names: holder, configEpoch: epoch })
      },
      () => this.ask(agent, host),
    )
  }

  probes(agent: string, ageMs: (sinceMs: number) => number): readonly SentinelProbe[] {
    return this.policy.hosts.map((host) => {
      const { refused, waitsSinceMs, forgot, facts, factsAtMs, vote } = this.contact(agent, host)
      const silent = waitsSinceMs !== null && this.ground.nowMs - waitsSinceMs >= Math.min(500, Math.max(100, this.policy.downAfterMs / 2))
      const reach = refused ? 'refused' : silent || (facts === null && !forgot) ? 'silent' : forgot ? 'forgot' : 'answers'
      return {
        host,
        reach,
        trouble: reach === 'answers' ? null : reach,
        facts,
        ageMs: facts === null ? 1e12 : ageMs(factsAtMs),
        vote: vote === null ? null : voteOf(vote, ageMs),
      }
    })
  }
}

function voteOf({ epoch, leader, down, seenMs, before }: HeardVote, ageMs: (sinceMs: number) => number): SentinelVote {
  const vote = { epoch, to: leader ?? '?', ageMs: ageMs(seenMs), ...(down ? { down } : {}) }
  return before === null ? vote : { ...vote, before: { epoch: before.epoch, to: before.leader ?? '?', ageMs: ageMs(before.seenMs) } }
}

function endOf(host: string, turns: () => boolean): End {
  return { host, turns }
}

function differs(a: SentinelFacts, b: SentinelFacts): boolean {
  return a.names !== b.names || a.configEpoch !== b.configEpoch || a.down !== b.down || a.tilt !== b.tilt || a.failover?.to !== b.failover?.to || a.id !== b.id
}
