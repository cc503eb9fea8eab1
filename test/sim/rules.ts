/**
 * What is never true, whatever happens: looked at after every step of the world. Each rule has the number that it has in
 * `src/decide/invariants.ts` and in the design; the first that is broken ends the history.
 */
import { electionWaitMs, isVoted, majorityOf, promoteWithinMs, underWayBytes } from '../../src/model/policy.ts'
import { lateMs } from '../scenarios/model-network.ts'
import { countOf, has, onlyIn, type Log } from '../scenarios/model-log.ts'
import type { ModelRedis } from '../scenarios/model-redis.ts'
import type { World } from '../scenarios/world.ts'
import { MovedRules } from './moved.ts'
import { OneWriter, thawedMs, type ExcuseKind } from './one-writer.ts'

/** Two that serve and have heard each other for so long is one too many, whatever their epochs. */
const heardBothMs = 200
/** In a network that is whole, with all agents alive, nobody accepts writes beside another for longer than this. */
export const twoWritersMs = 1000
/** Who has been heard for so long without a break had the time to say what data it has. */
const knownMs = 300
/** A disk that has room again makes its member fit from one moment to the next: from then on the word of it is on its way, and whoever is elected on an older one acts. */
const toldMs = lateMs + promoteWithinMs

/** What the documents say that is not kept: ARCHITECTURE ("Limits that were found by playing"), ADR 9. */
export type Bound =
  | 'two primaries without votes, and something between them'
  | `two writers with votes, ${ExcuseKind}`
  | 'two writers where an operator had overruled the rules'
  | 'what only the source had, after the cut-over'
  | 'a member beside the source: started as a primary, or stopped, or something between the members'
  | 'a member with more data that was not heard, or too late'
  | 'writes given up where no agent was awake'
  | 'writes given up while a disk was slow'
  | 'writes given up after an operator had overruled the rules'

interface Seen {
  runId: string
  role: 'primary' | 'replica'
  log: Log
  epoch: number
  epochOnDisk: number
  holder: string | null
  startedMs: number
  /** The latest epoch that its agent knew of while its redis took orders; what that was when the full sync began that it is in. */
  ordersOfEpoch: number
  fillsInEpoch: number | null
  /** Whether its agent was awake when that full sync began. */
  fillsAwake: boolean | null
}

export class Rules {
  private readonly world: World
  private readonly external: boolean
  private readonly seen: Seen[]
  /** Since when nothing has been wrong with any network, agent or host. */
  private wellSinceMs = Number.NEGATIVE_INFINITY
  private wasWell = true
  private version = -1
  private twoSinceMs: number | null = null
  /** Something has come between the members: then two writers may be, until all has been well for a while and one is left. */
  private parted = false
  /** An operator has overridden the rules. */
  overruled = false

  private readonly oneWriter: OneWriter | null
  private readonly moved: MovedRules | null
  /** Where a rule would have been broken, had the history stayed within the bounds that it is kept in: which bound it left. */
  readonly outside = new Set<Bound>()

  constructor(world: World, external: boolean) {
    this.oneWriter = isVoted(world.policy) ? new OneWriter(world, external) : null
    this.moved = world.moved === null ? null : new MovedRules(world, this.oneWriter)
    this.world = world
    this.external = external
    this.seen = world.hosts.map(() => ({
      runId: '',
      role: 'replica',
      log: null,
      epoch: 0,
      epochOnDisk: 0,
      holder: null,
      startedMs: -1,
      ordersOfEpoch: 0,
      fillsInEpoch: null,
      fillsAwake: null,
    }))
  }

  readonly look = (): void => {
    const { world: w } = this
    // Between two changes only time passes, and that is of interest while there are two of what should be one.
    if (w.version === this.version && this.twoSinceMs === null) {
      // A hold ends by itself.
      this.besideTheSource(false)
      return
    }
    this.version = w.version
    let primaries = 0
    for (let i = 0; i < w.hosts.length; i += 1) {
      const host = w.hosts[i] ?? ''
      const seen = this.seen[i] as Seen
      const redis = w.redis(host)
      this.epochRises(host, seen)
      if (redis.runId !== seen.runId) Object.assign(seen, { runId: redis.runId, role: redis.role, log: redis.log })
      if (redis.syncUntilMs !== null) {
        seen.fillsInEpoch ??= seen.ordersOfEpoch
        seen.fillsAwake ??= this.wasAwake(host) && w.nowMs - redis.thawedMs > thawedMs
      } else {
        if (redis.log !== seen.log && redis.running) {
          this.gaveUp(host, seen, redis.log)
          seen.log = redis.log
        }
        seen.fillsInEpoch = null
        seen.fillsAwake = null
      }
      if (redis.answers(w.nowMs) && w.nowMs - redis.thawedMs > thawedMs) seen.ordersOfEpoch = w.state(host).epoch
      if (redis.role !== seen.role) {
        seen.role = redis.role
        if (redis.role === 'primary' && redis.running) this.promoted(host, redis)
      }
      if (redis.role === 'primary' && redis.running) primaries += 1
    }
    this.addressIsChosen()
    const doubled = this.oneWriter?.look() ?? null
    if (doubled !== null && !this.overruled) this.fail(doubled)
    if (doubled !== null) this.outside.add('two writers where an operator had overruled the rules')
    if (this.oneWriter != null && this.oneWriter.excused !== null) this.outside.add(`two writers with votes, ${this.oneWriter.excused}`)
    if (w.assertions.length > 0) this.fail(`the core tripped over itself: ${w.assertions[0]}`)
    const well = this.isWell()
    if (well && !this.wasWell) this.wellSinceMs = w.nowMs
    this.wasWell = well
    // Nothing answers on a host whose agent is dead and whose redis is stopped: it is as good as cut off.
    // A disk that fills makes its member unfit from one moment to the next, also in the middle of an election.
    if (this.oneWriter?.overruled === true) {
      this.parted = true
      this.oneWriter.overruled = false
    }
    if (!well)
      this.parted ||=
        w.voters.some((h) => w.agent(h).diskFull) ||
        w.hosts.some((h) => !w.agent(h).up && w.redis(h).frozen) ||
        !w.network.isWhole() ||
        w.network.isTorn() ||
        w.voters.some((h) => w.nowMs < w.agent(h).standsUntilMs)
    this.besideTheSource(true)
    if (primaries > 1) this.twoPrimaries()
    else {
      this.twoSinceMs = null
      if (well && w.nowMs - this.wellSinceMs > twoWritersMs) this.parted = false
    }
  }

  private besideTheSource(changed: boolean): void {
    if (this.moved === null) return
    const broken = changed ? this.moved.look() : null
    if (broken !== null && !this.overruled) this.fail(broken)
    if (this.moved.gaveUp) this.outside.add('what only the source had, after the cut-over')
    const doubled = this.moved.doubled(this.parted)
    if (doubled === null) return
    if (doubled !== 'bound' && !this.overruled) this.fail(doubled.broken)
    this.outside.add('a member beside the source: started as a primary, or stopped, or something between the members')
  }

  /** By a cut-over, or a way back that was given up: they watched nobody then. */
  private wasMoved(host: string): boolean {
    const { claim, epoch, lineage, move, holder } = this.world.state(host)
    // It died before it had seen that it serves: no history tells of it, and the address is about to go.
    const died = move?.stage === 'moved' && move.epoch === epoch && holder === host
    return died || claim?.source === 'migration' || lineage.findLast((e) => e.epoch === epoch)?.source === 'migration'
  }

  /** In `mode: sentinel` the address is with nobody whom no Sentinel names or named, who has not won their votes, and was not moved to. */
  private addressIsChosen(): void {
    const { sentinels } = this.world
    if (sentinels === null || this.overruled) return
    for (const host of this.world.addressOn()) {
      if (!sentinels.ballots.hasChosen(host) && !this.wasMoved(host)) this.fail(`the address is on ${host}, which no Sentinel has named or elected`)
    }
  }

  /** On the disk always; in the agent's mind while it lives: what a full disk could not take is forgotten with it. */
  private epochRises(host: string, seen: Seen): void {
    const { state, onDisk, startedMs } = this.world.agent(host)
    if (onDisk.epoch < seen.epochOnDisk) this.fail(`the epoch on the disk of ${host} fell from ${seen.epochOnDisk} to ${onDisk.epoch}`)
    if (startedMs === seen.startedMs && state.epoch < seen.epoch) this.fail(`the epoch of ${host} fell from ${seen.epoch} to ${state.epoch}`)
    if (state.epoch > seen.epoch && state.phase === 'promoting') this.wasFoundDown(host, seen.holder)
    Object.assign(seen, { epoch: state.epoch, epochOnDisk: onDisk.epoch, holder: state.holder, startedMs })
  }

  private isWell(): boolean {
    const { world: w } = this
    if (!w.network.isWhole() || w.network.isTorn()) return false
    for (const host of w.voters) {
      const agent = w.agent(host)
      if (!agent.up || !agent.durable || agent.diskFull || w.nowMs < agent.standsUntilMs) return false
    }
    for (const host of w.hosts) if (w.redis(host).frozen || w.vrrp.hosts.get(host)?.alive === false) return false
    return true
  }

  /** INV-6, INV-1: what a living redis had and has no more must have been copied first, and is not given up to nothing at all. */
  private gaveUp(host: string, seen: Seen, now: Log): void {
    const before = seen.log
    const gone = onlyIn(before, now)
    if (gone.length === 0) return
    const { world: w } = this
    const kept = gone.filter((write) => !w.kept.some((k) => write.at >= k.fromAt && has(k.log, write)))
    // What the redis has that is being moved, and that serves, is received again.
    const lost = w.moved?.redis.running === true ? kept.filter((write) => !has(w.moved?.redis.log ?? null, write)) : kept
    // Nobody but its own agent can make a redis let go of an old primary that has joined the new lineage.
    // Of one that was stopped the redis goes to whoever serves by itself, before the first order of its agent.
    if (!(seen.fillsAwake ?? this.wasAwake(host))) {
      if (lost.length > 0) this.outside.add('writes given up where no agent was awake')
      return
    }
    // An operator made other data the true ones: a replica that was cut off, or stopped, meanwhile follows them by itself, before its agent
    // hears of it, or it takes its agent's orders.
    if (this.overruled && this.isForcedAfter(seen.fillsInEpoch ?? seen.ordersOfEpoch)) {
      if (lost.length > 0) this.outside.add('writes given up after an operator had overruled the rules')
      return
    }
    // Nor before it has remembered that the primary is gone.
    if (lost.length > 0 && w.agent(host).waitsForDisk()) this.outside.add('writes given up while a disk was slow')
    else if (lost.length > 0) this.fail(`INV-6: ${host} gave ${lost.length} writes up without a copy`)
    if (now === null && !w.state(host).lineage.some((e) => e.accepted === true))
      this.fail(`INV-1: ${host} gave ${countOf(before)} writes up to an empty dataset`)
  }

  private isForcedAfter(epoch: number): boolean {
    return this.world.hosts.some((h) => {
      const { epoch: last, claim, lineage } = this.world.state(h)
      return (last > epoch && claim?.source === 'forced') || lineage.some((e) => e.epoch > epoch && e.source === 'forced')
    })
  }

  /** An operator has chosen other data than these, and this member has not heard of it yet. */
  private isOverruled(host: string, by: string): boolean {
    const known = this.world.state(host).lineage
    return this.world.state(by).lineage.some((e) => e.source === 'forced' && !known.some((k) => k.epoch === e.epoch))
  }

  private wasAwake(host: string): boolean {
    const { nowMs } = this.world
    const agent = this.world.agent(host)
    return agent.up && nowMs - agent.startedMs > 500 && nowMs - agent.standsUntilMs > 500
  }

  private promoted(host: string, redis: ModelRedis): void {
    const { world: w } = this
    const state = w.state(host)
    const source = state.claim?.source
    if (state.phase === 'promoting' && w.agent(host).onDisk.epoch < state.epoch)
      this.fail(`${host} was promoted to epoch ${state.epoch}, which it would forget`)
    if (state.phase !== 'promoting' || source === 'forced' || source === 'bootstrap') return
    for (const other of w.hosts) {
      if (other === host) continue
      const more = onlyIn(w.redis(other).log, redis.log).length
      if (more === 0) continue
      if (source === 'switchover' && !this.external && w.state(other).phase === 'handed' && w.state(other).epoch === state.epoch && w.redis(other).running)
        this.fail(`INV-5: ${host} took the epoch over from ${other} without ${more} of its writes`)
      if (source === 'failover' && this.isPassedOver(other, host))
        this.fail(`INV-4: ${host}, far behind what ${other} had told, did not wait for the disk there`)
      if (!this.isFit(other) || onlyIn(redis.log, w.redis(other).log).length > 0 || this.isOverruled(other, host)) continue
      if (this.wasHeard(other, host) && w.nowMs - (w.agent(other).fitSinceMs ?? w.nowMs) > toldMs)
        this.fail(`INV-4: ${host} was promoted, and ${other}, fit and heard, has ${more} writes more`)
      this.outside.add('a member with more data that was not heard, or too late')
    }
  }

  /** The quorum of Sentinels is asked in the moment of their votes, unless the primary, or the host that it was on, says that nobody serves there. */
  private wasFoundDown(host: string, before: string | null): void {
    const { sentinels } = this.world
    const { epoch, claim } = this.world.state(host)
    if (sentinels === null || claim?.source !== 'failover' || before === null || before === host || !sentinels.ballots.hasElected(host, epoch)) return
    const peer = this.world.agent(host).view?.peers.find((p) => p.host === before)
    const { quorum, hosts } = sentinels.policy
    const refused = peer?.agent === 'refused' && peer.redisReach === 'refused' && quorum <= majorityOf(hosts.length)
    if (peer === undefined || peer.agent === 'alive' || refused) return
    const found = sentinels.ballots.foundDownBy(host, epoch)
    if (found < quorum) this.fail(`${host} claimed epoch ${epoch}, and ${found} of its voters found ${before} down: ${quorum} must`)
  }

  /** Its redis died, its agent starts it again: what had been told and not received is on its disk. */
  private isPassedOver(host: string, by: string): boolean {
    const { world: w } = this
    const [dead, promoted] = [w.redis(host), w.redis(by)]
    const told = w.agent(by).view?.watch.told ?? null
    if (this.external || told === null || told.offset - promoted.offset <= underWayBytes) return false
    if (!w.agent(host).up || dead.answers(w.nowMs) || dead.frozen || !this.wasHeard(host, by)) return false
    const data = dead.running ? dead.log : dead.disk.log
    return onlyIn(data, promoted.log).length > 0 && onlyIn(promoted.log, data).length === 0
  }

  private isFit(host: string): boolean {
    const { world: w } = this
    const { up, durable, view, fitSinceMs } = w.agent(host)
    return up && durable && view !== null && w.nowMs - view.nowMs <= knownMs && fitSinceMs !== null && w.redis(host).answers(w.nowMs)
  }

  /** What one does not hear in time it cannot answer to, and who waits for longer than an election waits is not waited for. */
  private wasHeard(host: string, by: string): boolean {
    const { world: w } = this
    if (w.network.heardSinceMs(host, by, w.nowMs) < knownMs || w.nowMs - w.agent(by).standsUntilMs < knownMs) return false
    return !this.cameLate(host, by, electionWaitMs)
  }

  /** INV-3, as strictly as members without a third party can keep it. */
  private twoPrimaries(): void {
    const { world: w } = this
    // A redis that was stopped takes no order before it goes on; its agent, which fences it then, needs a moment.
    const writers = w.hosts.filter((h) => {
      const redis = w.redis(h)
      // One that refuses writes may be left a primary for as long as it waits for its turn to be filled.
      const holds = w.sentinels !== null && w.nowMs < redis.pausedUntilMs
      return (
        redis.role === 'primary' && !redis.refusesWrites && !holds && redis.answers(w.nowMs) && !redis.loading(w.nowMs) && w.nowMs - redis.thawedMs > thawedMs
      )
    })
    if (writers.length < 2) {
      this.twoSinceMs = null
      return
    }
    this.twoSinceMs ??= w.nowMs
    const serving = writers.filter((h) => w.agent(h).up && w.state(h).phase === 'primary')
    for (const a of serving) {
      for (const b of serving) {
        if (a < b && w.nowMs - this.twoSinceMs > heardBothMs && w.network.heardSinceMs(a, b, w.nowMs) > heardBothMs && !this.cameLate(a, b, heardBothMs))
          this.fail(`INV-3: ${a} serves epoch ${w.state(a).epoch}, ${b} epoch ${w.state(b).epoch}, and they hear each other`)
      }
    }
    if (!this.external && !this.parted && !this.overruled) this.fail(`INV-3: ${writers.join(' and ')} are primaries, and nothing ever came between them`)
    if (this.oneWriter === null) this.outside.add('two primaries without votes, and something between them')
    if (this.wasWell && w.nowMs - Math.max(this.wellSinceMs, this.twoSinceMs) > twoWritersMs && !this.external)
      this.fail(`INV-3: ${writers.join(' and ')} are still primaries ${twoWritersMs} ms after the last disturbance`)
  }

  /** A word between the two is long on its way, or was until so recently. */
  private cameLate(a: string, b: string, withinMs: number): boolean {
    const { network, nowMs } = this.world
    return [network.way(a, b), network.way(b, a)].some((way) => way.delayMs > lateMs || way.lateUntilMs > nowMs - withinMs)
  }

  private fail(what: string): never {
    this.world.note('──', what)
    throw new BrokenRule(what)
  }
}

/** A rule of the group was broken, as opposed to a mistake in the simulator. */
export class BrokenRule extends Error {}
