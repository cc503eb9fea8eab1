/**
 * The loop of one group: observe → decide → make durable → act → tell. One cycle at a time; a wake during a cycle starts
 * the next at once, so that the fast path is the same path. No rule about Redis lives here.
 */
import type { Config, GroupConfig, MemberConfig } from '../model/config.ts'
import { AssertionError } from '../model/assert.ts'
import type { Event } from '../model/action.ts'
import type { AddressReport } from '../model/address.ts'
import type { Decision } from '../model/decision.ts'
import { localIp } from '../model/local-address.ts'
import type { Outcome } from '../model/outcome.ts'
import { eventsFile, journalFile, redisConfFile } from '../model/paths.ts'
import { policyOf, stallLimitMs, statementMs, type Policy } from '../model/policy.ts'
import type { RequestResult, State } from '../model/state.ts'
import { freshWatch } from '../model/watch.ts'
import type { KeepalivedProbe, Request, Statement, View } from '../model/view.ts'
import { carryOut, type ActionResult, type Hands } from '../act/act.ts'
import { announceAgain } from '../act/address.ts'
import { mayGrowBacklog } from '../act/backlog.ts'
import { requiredReplica } from '../act/min-replicas.ts'
import { mayPersist } from '../act/persist.ts'
import { mayRaiseBuffer } from '../act/stream.ts'
import { writeFence } from '../act/write-fence.ts'
import { decide } from '../decide/decide.ts'
import { aheadOfMemory, needsMemory, withoutMemory } from '../decide/memory.ts'
import { holdsGroup, isServingPhase, redisAnswers } from '../decide/situation.ts'
import { statementOf } from '../decide/statement.ts'
import { isCandidate } from '../decide/voting.ts'
import { watch } from '../decide/watch.ts'
import type { SentinelPace } from '../observe/sentinel-pace.ts'
import { observeRedis, type RedisObserver } from '../observe/redis.ts'
import { watchAddress } from './address-watch.ts'
import { openRequests } from './requests.ts'
import { feedPlaceOf } from './move-feed.ts'
import { openMoveSource, type MoveSource } from './move-source.ts'
import { monotonicMs, type StallMeter } from './clock.ts'
import { crashPoint } from './crash-point.ts'
import { openDiskSense, type DiskSense } from './disk-sense.ts'
import { lineFile, type Log, type LoggedEvent } from './log-files.ts'
import { alarmNews, essence, renewals } from './news.ts'
import { openSenses, type PeerSigns } from './senses.ts'
import type { GroupSentinels } from './sentinel.ts'
import { openStore, watchRoom } from './store.ts'
import type { StreamCare } from './stream-archive.ts'
import { takeTurns } from './turns.ts'

export interface GroupOptions extends PeerSigns {
  readonly config: Config
  readonly group: GroupConfig
  readonly member: MemberConfig
  readonly host: string
  readonly password: string | undefined
  /** Valid beside it, while it is changed. */
  readonly otherPassword: string | undefined
  readonly userConf: string | undefined
  readonly state: State
  readonly stall: StallMeter
  readonly startedMs: number
  readonly say: (host: string, statement: Statement) => void
  readonly poke: (host: string) => void
  readonly keepalivedRuns: () => boolean
  readonly yields: () => boolean
  readonly vrrpYield: (yields: boolean) => Promise<Outcome>
  /** null: the group has no Sentinels. */
  readonly sentinels: Pick<GroupSentinels, 'sense' | 'keys'> | null
  /** null: the stream of the group is not archived. */
  readonly archive: Pick<StreamCare, 'archives' | 'phaseIs'> | null
  readonly log: Log
}

export interface GroupSnapshot {
  readonly state: State
  readonly view: View | null
  readonly decision: Decision | null
  readonly statement: Statement | null
  readonly policy: Policy
  /** Who holds the group's address, as seen from here; null: none, or this member does not look. */
  readonly address: AddressReport | null
  /** What the redis said that was started last and ended at once; null: it lives, or was not started by this agent. */
  readonly endedAtOnce: string | null
}

export interface GroupLoop {
  readonly wake: () => void
  /** See Turns. */
  readonly awake: () => boolean
  readonly heard: (statement: Statement) => void
  readonly poked: () => void
  /** Everything to one peer that has just connected. */
  readonly sayAllTo: (host: string) => void
  readonly vrrp: (state: KeepalivedProbe['vrrp'], reader: boolean) => void
  readonly request: (request: Request, deadlineMs: number) => Promise<RequestResult>
  readonly snapshot: () => GroupSnapshot
  readonly serves: () => boolean
  /** How closely its Sentinels are to be watched. */
  readonly pace: () => SentinelPace
  /** It serves, and the address was here just now. */
  readonly hasAddress: () => boolean
  /** The redis that is being moved to it. */
  readonly source: MoveSource | null
  readonly redis: RedisObserver['link']
  /** Something that was done beside the loop, for the event log. */
  readonly note: (kind: Event['kind'], text: string) => void
  readonly stop: () => Promise<void>
}

const maxTroubles = 32
/** An agent that stood still for longer does not know whether the address still belongs here. */
const hadAddressMs = 1000
/** The same trouble is told again after this long, should it last. */
const complainAgainMs = 60_000

const lookedAt = <T>(probe: T) => ({ probe, atMs: monotonicMs() })

export function startGroup(options: GroupOptions): GroupLoop {
  const { config, group, member, host } = options
  const policy = policyOf(group, (h) => config.hosts[h]?.ip ?? '')
  const events = lineFile(eventsFile(config.paths, group.name), (why) => options.log('error', why))
  const journal = lineFile(journalFile(config.paths, group.name), (why) => options.log('error', why))
  const store = openStore(config.paths, group.name)
  const requests = openRequests(() => wake())
  let state = options.state
  let last: { view: View; decision: Decision } | null = null
  let said = { text: '', atMs: 0 }
  let mustSay = false
  const told = new Map<string, number>()
  const isNews = alarmNews()
  let durable = true
  const room = watchRoom(config.paths, complain)
  let actedAll = true
  let servedWithAddressMs = Number.NEGATIVE_INFINITY
  let watched = freshWatch
  let endedAtOnce: string | null = null

  const { wake, schedule, awake, stop } = takeTurns(cycle, (text) => options.log('error', `${group.name}: the cycle failed: ${text}`))
  const redis: RedisObserver = observeRedis(
    {
      host: localIp(config, host),
      port: member.port,
      password: options.password,
      ...(group.process === 'direct' ? { configFile: redisConfFile(config.paths, group.name) } : {}),
      sentinelKeys: options.sentinels?.keys,
    },
    monotonicMs,
    wake,
  )
  const senses = openSenses({
    ...options,
    vip: !member.neverPrimary,
    policy,
    serves: () => isServingPhase(state.phase),
    wake,
    vipCame: () => {
      record({ kind: 'vip-up', epoch: state.epoch, text: `the address ${group.vip?.ip ?? ''} is on ${host}`, data: { to: host } })
      announceAgain({ config, group, member }, () => state.phase === 'primary')
    },
  })
  const place = { ours: group.process === 'direct', feeds: feedPlaceOf(config, group, member) }
  const source = openMoveSource(config.paths, group.name, { wake: () => wake(), serves: () => isServingPhase(state.phase), ...place })
  const disk: DiskSense = openDiskSense(config.paths, group, options.userConf, redis.files, complain)
  const hands: Hands = {
    config,
    group,
    member,
    password: options.password,
    otherPassword: options.otherPassword,
    userConf: options.userConf,
    link: redis.link,
    started: redis.expectProcess,
    settingsChanged: redis.settingsChanged,
    exited: (text, failures, words) => {
      options.log('warn', text)
      endedAtOnce = failures > 0 ? text : null
      disk.exited(failures, words)
      wake()
    },
    diskChanged: () => disk.changed(),
    aofIsCut: () => disk.aofIsCut(),
    note: (text, kind = 'started') => record({ kind, epoch: state.epoch, text }),
    lookAgeMs: () => monotonicMs() - (last?.view.nowMs ?? 0),
    step: (when, kind) => crashPoint(`${state.phase}/${when}:${kind}`),
    pid: () => last?.view.redis.pid ?? null,
    poke: options.poke,
    source: source.access,
    vrrpYield: options.vrrpYield,
    sentinels: options.sentinels?.sense.links ?? null,
    sentinelKeys: options.sentinels?.keys,
  }

  const address = watchAddress((event) => record(event))

  function record(event: Event, atWallMs = Date.now()): void {
    const logged: LoggedEvent = { ...event, host, group: group.name, atWallMs }
    events.append(logged)
    address.recorded(event.kind)
    options.log(event.kind === 'alarm' || event.kind === 'vip-wrong' ? 'error' : 'info', `${group.name}: ${event.text}`, {
      kind: event.kind,
      epoch: event.epoch,
      ...event.data,
    })
  }

  function isCalm(): boolean {
    return last?.decision.diagnosis === 'i-serve' || last?.decision.diagnosis === 'holder-serves'
  }

  async function observe(): Promise<View> {
    room.look(monotonicMs())
    const request = requests.first()
    // Both at once: while writes are held for a cut-over, clients wait for these two looks.
    const holds = state.holder === host && holdsGroup(state.phase)
    const moving = source.probe(state, { holds, asked: request?.kind === 'move', own: last?.view.redis.facts ?? null }).then(lookedAt)
    const looked = await redis.probe(monotonicMs()).then(lookedAt)
    const redisProbe = await disk.look(source.told(looked.probe), state)
    const peers = senses.peers()
    const calm = isCalm()
    const reader = senses.reader(calm)
    const moved = await moving
    const stalledMs = options.stall.stalledMs()
    const nowMs = monotonicMs()
    const seen: Omit<View, 'watch'> = {
      nowMs,
      nowWallMs: Date.now(),
      group: group.name,
      self: host,
      stalledMs,
      agentUptimeMs: monotonicMs() - options.startedMs,
      durable: durable && room.enough(),
      actedAll,
      redis: {
        ...redisProbe,
        // Who was waited for after it: a fact of before a pause must not pass for one of after it.
        factsAgeMs: redisProbe.factsAgeMs + nowMs - looked.atMs,
        askedAgeMs: redisProbe.askedAgeMs + nowMs - looked.atMs,
        backlog: mayGrowBacklog(hands) ? redisProbe.backlog : null,
        settings: redisProbe.settings === null || mayRaiseBuffer(hands) ? redisProbe.settings : { ...redisProbe.settings, replicaBuffer: null },
        fence: writeFence(config.paths, group.name, stalledMs > stallLimitMs),
        ...(mayPersist(hands) ? {} : { persistRefused: true as const }),
        required: requiredReplica(config.paths, group.name),
      },
      keepalived: senses.keepalived(calm),
      ...(reader === null ? {} : { reader }),
      ...(moved.probe === undefined ? {} : { source: { ...moved.probe, factsAgeMs: moved.probe.factsAgeMs + nowMs - moved.atMs } }),
      peers,
      checks: senses.checks(peers),
      ...(options.sentinels === null ? {} : { sentinels: options.sentinels.sense.probe() }),
      request,
    }
    watched = watch(watched, state, seen, policy)
    return { ...seen, watch: watched }
  }

  async function cycle(): Promise<void> {
    // Who asked before this look is answered by this look; who asks during it gets the next one.
    const asked = mustSay
    mustSay = false
    const view = await observe()
    let decision: Decision
    try {
      decision = decide(state, view, policy)
    } catch (error) {
      // Whatever it was, it is not asked again: it would stop this group's loop for ever.
      if (view.request !== null) requests.taken()
      if (!(error instanceof AssertionError)) throw error
      // This cycle acts on nothing. The View goes to the journal, where it replays.
      journal.append({ atWallMs: view.nowWallMs, assertion: error.message, state, view })
      complain(error.message)
      schedule(monotonicMs() + 250)
      return
    }
    const changed = decision.next !== state && JSON.stringify(decision.next) !== JSON.stringify(state)
    if (changed || !durable) {
      // DURABLE BEFORE THE FIRST ACTION (but for a hold): an agent killed anywhere below comes back knowing what it was about to do.
      void carryOut(aheadOfMemory(state, decision), hands) // Not waited for: a redis that hangs would keep the address here.
      const saved = await store.save(decision.next)
      durable = saved.done
      if (!saved.done) complain(saved.why)
      if (!saved.done && needsMemory(state, decision.next)) {
        await carryOut(withoutMemory(decision.actions, view.redis.facts?.role), hands)
        if (view.request !== null) requests.taken()
        schedule(monotonicMs() + 250)
        return
      }
      state = decision.next
      crashPoint(`${state.phase}/saved`)
    }
    const before = last
    last = { view, decision }
    if (redisAnswers(view)) endedAtOnce = null
    address.look(state, view, policy)
    if (decision.diagnosis === 'i-serve' && view.keepalived?.vipHere === true && view.keepalived.allowed) servedWithAddressMs = view.nowMs
    for (const event of decision.events) if (event.kind === 'detected') record(event, view.nowWallMs)
    tell(changed || asked)
    // BEFORE a promotion: whoever is attached to it would count as a replica.
    options.archive?.phaseIs(state.phase)
    source.phaseIs(state.phase)
    const results = await carryOut(decision.actions, hands)
    if (changed && state.move?.stage === 'done' && before?.decision.next.move?.stage !== 'done') await source.forget()
    finish(view, decision, results, changed || before?.decision.rule !== decision.rule)
  }

  function finish(view: View, decision: Decision, results: readonly ActionResult[], worthKeeping: boolean): void {
    const failure = results.find(({ outcome }) => !outcome.done)
    actedAll = failure === undefined
    if (failure?.outcome.done === false) complain(failure.outcome.why, failure.outcome.waiting === true ? 'waiting' : 'alarm')
    else if (view.redis.trouble !== null) complain(view.redis.trouble)
    else if (durable && room.enough()) told.clear()
    // What was done is told when it was; what was seen is told at once, for the next look may not see it any more.
    const isTold = (e: Event) => (e.kind === 'alarm' ? isNews(e.text, view.nowMs) : e.kind !== 'detected' && actedAll)
    decision.events.filter(isTold).forEach((event) => record(event))
    if (view.request !== null) requests.taken()
    for (const result of state.results) requests.ended(result)
    const acted = results.some((r) => !renewals.includes(r.action.kind))
    if (worthKeeping || acted) {
      journal.append({ atWallMs: view.nowWallMs, rule: decision.rule, because: decision.because, view, actions: results, next: decision.next })
    }
    const outlived = failure?.action.kind === 'promote' && !failure.outcome.done && failure.outcome.waiting === true
    if (outlived || (actedAll && acted)) schedule(monotonicMs())
    else schedule(actedAll ? decision.wakeAtMs : Math.max(decision.wakeAtMs, monotonicMs() + 50))
  }

  function complain(why: string, kind: 'alarm' | 'waiting' = 'alarm'): void {
    const nowMs = monotonicMs()
    if (nowMs - (told.get(why) ?? Number.NEGATIVE_INFINITY) < complainAgainMs) return
    if (told.size >= maxTroubles) told.clear()
    told.set(why, nowMs)
    record({ kind, epoch: state.epoch, text: why })
  }

  function statementNow(view: View): Statement {
    return { ...statementOf(state, view, policy), ...(options.archive?.archives() === true ? { archives: true as const } : {}) }
  }

  /** On every change of what matters, when asked, and every second. */
  function tell(force: boolean): void {
    if (last === null) return
    const statement = statementNow(last.view)
    const text = essence(statement)
    const nowMs = monotonicMs()
    if (!force && text === said.text && nowMs - said.atMs < statementMs) return
    said = { text, atMs: nowMs }
    for (const peerHost of senses.peerHosts) options.say(peerHost, statement)
  }

  wake()
  return {
    wake,
    awake,
    heard: (statement) => {
      const known = senses.heard(statement)
      if (known === undefined) return
      const { before } = known
      if (before === null || essence(before) !== essence(statement) || state.handover !== null || statement.handover !== null) wake()
    },
    poked: () => {
      mustSay = true
      wake()
    },
    sayAllTo: (peerHost) => {
      if (last !== null && senses.peerHosts.includes(peerHost)) options.say(peerHost, statementNow(last.view))
    },
    vrrp: (word, reader) => {
      senses.vrrp(word, reader)
      wake()
    },
    source,
    redis: redis.link,
    request: (request, deadlineMs) =>
      durable
        ? requests.ask(request, deadlineMs)
        : Promise.resolve({ id: request.id, ok: false, message: 'the state directory cannot be written, so nothing may be changed (HF205)' }),
    serves: () => isServingPhase(state.phase) || isCandidate(state),
    pace: () => {
      const isSettled = state.handover === null && state.writesHeldSinceMs === null && !isCandidate(state)
      if (!isCalm() || !isSettled || last?.view.peers.some((p) => p.agent !== 'alive') === true) return 'alert'
      return isServingPhase(state.phase) ? 'lease' : 'calm'
    },
    hasAddress: () => {
      const nowMs = monotonicMs()
      const serves = last?.decision.diagnosis === 'i-serve' && state.phase === 'primary' && nowMs - last.view.nowMs < hadAddressMs
      return serves && nowMs - servedWithAddressMs < hadAddressMs
    },
    note: (kind, text) => record({ kind, epoch: state.epoch, text }),
    snapshot: () => ({
      state,
      view: last?.view ?? null,
      decision: last?.decision ?? null,
      statement: last === null ? null : statementNow(last.view),
      policy,
      address: address.report(monotonicMs()),
      endedAtOnce,
    }),
    stop: async () => {
      await stop()
      redis.close()
      source.close()
      await Promise.all([events.settled(), journal.settled(), store.close()])
    },
  }
}
