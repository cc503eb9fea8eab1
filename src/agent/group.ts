/**
 * The loop of one group: observe → decide → make durable → act → tell. One cycle at a time; a wake during a cycle starts
 * the next at once, so that the fast path is the same path. No rule about Redis lives here.
 */
import type { Config, GroupConfig, MemberConfig } from '../model/config.ts'
import { AssertionError } from '../model/assert.ts'
import type { Event } from '../model/action.ts'
import type { Decision } from '../model/decision.ts'
import type { Outcome } from '../model/outcome.ts'
import { eventsFile, journalFile, vipAllowedFile } from '../model/paths.ts'
import { policyOf, statementMs, suspectShare, type Policy } from '../model/policy.ts'
import type { RequestResult, State } from '../model/state.ts'
import type { KeepalivedProbe, PeerProbe, Request, Statement, View } from '../model/view.ts'
import { carryOut, type ActionResult, type Hands } from '../act/act.ts'
import { decide } from '../decide/decide.ts'
import { isServingPhase } from '../decide/situation.ts'
import { statementOf } from '../decide/statement.ts'
import { holdsAddress, readAllowed } from '../observe/keepalived.ts'
import { askReach, type Reach } from '../observe/reach.ts'
import { observeRedis, type RedisObserver } from '../observe/redis.ts'
import { monotonicMs, type StallMeter } from './clock.ts'
import { crashPoint } from './crash-point.ts'
import { lineFile, type LoggedEvent } from './log-files.ts'
import { saveState } from './store.ts'

export interface GroupOptions {
  readonly config: Config
  readonly group: GroupConfig
  readonly member: MemberConfig
  readonly host: string
  readonly password: string | undefined
  readonly userConf: string | undefined
  readonly state: State
  readonly stall: StallMeter
  readonly startedMs: number
  readonly silentMs: (host: string) => number
  readonly everyMs: (host: string) => number
  readonly isRefused: (host: string) => boolean
  readonly say: (host: string, statement: Statement) => void
  readonly poke: (host: string) => void
  readonly keepalivedRuns: () => boolean
  readonly yields: () => boolean
  readonly vrrpYield: (yields: boolean) => Promise<Outcome>
  readonly log: (level: 'info' | 'warn' | 'error', text: string, data?: object) => void
}

export interface GroupSnapshot {
  readonly state: State
  readonly view: View | null
  readonly decision: Decision | null
  readonly statement: Statement | null
  readonly policy: Policy
}

export interface GroupLoop {
  readonly wake: () => void
  readonly heard: (statement: Statement) => void
  readonly poked: () => void
  /** Everything to one peer that has just connected. */
  readonly sayAllTo: (host: string) => void
  readonly vrrp: (state: KeepalivedProbe['vrrp']) => void
  readonly request: (request: Request, deadlineMs: number) => Promise<RequestResult>
  readonly snapshot: () => GroupSnapshot
  readonly serves: () => boolean
  readonly stop: () => Promise<void>
}

interface PeerMemory {
  statement: Statement | null
  receivedMs: number
  reach: Reach | null
  reachMs: number
  asking: boolean
}

/** A reach result older than this is asked for again while the suspicion lasts. */
const reachAgainMs = 50
const maxRequests = 16
/** keepalived tells its new state before or after it has changed the interface; this long after a word the interface is looked at each time. */
const vrrpSettlesMs = 2000

export function startGroup(options: GroupOptions): GroupLoop {
  const { config, group, member, host } = options
  const policy = policyOf(group, (h) => config.hosts[h]?.ip ?? '')
  const peers = new Map<string, PeerMemory>()
  for (const m of group.members) if (m.host !== host) peers.set(m.host, { statement: null, receivedMs: 0, reach: null, reachMs: 0, asking: false })
  const events = lineFile(eventsFile(config.paths, group.name), (why) => options.log('error', why))
  const journal = lineFile(journalFile(config.paths, group.name), (why) => options.log('error', why))
  const requests: Request[] = []
  let state = options.state
  let last: { view: View; decision: Decision } | null = null
  let said = { text: '', atMs: 0 }
  let mustSay = false
  let vrrpState: KeepalivedProbe['vrrp'] = 'unknown'
  let vrrpWordMs = Number.NEGATIVE_INFINITY
  let vipSinceMs: number | null = null
  let timer: NodeJS.Timeout | null = null
  let running: Promise<void> | null = null
  let again = false
  let stopped = false
  let lastTrouble = ''
  let lastAlarm = ''
  let durable = true
  let actedAll = true

  const redis: RedisObserver = observeRedis({ host: '127.0.0.1', port: member.port, password: options.password }, monotonicMs, wake)
  const hands: Hands = {
    config,
    group,
    member,
    password: options.password,
    userConf: options.userConf,
    link: redis.link,
    started: redis.expectProcess,
    exited: (text) => {
      options.log('warn', text)
      wake()
    },
    note: (text) => record({ kind: 'started', epoch: state.epoch, text }),
    step: (when, kind) => crashPoint(`${state.phase}/${when}:${kind}`),
    pid: () => last?.view.redis.pid ?? null,
    poke: options.poke,
    vrrpYield: options.vrrpYield,
  }

  function record(event: Event, atWallMs = Date.now()): void {
    const logged: LoggedEvent = { ...event, host, group: group.name, atWallMs }
    events.append(logged)
    options.log(event.kind === 'alarm' ? 'error' : 'info', `${group.name}: ${event.text}`, { kind: event.kind, epoch: event.epoch, ...event.data })
  }

  function probeKeepalived(): KeepalivedProbe | null {
    if (group.vip === undefined || member.neverPrimary) return null
    // In calm times VRRP says when the address moves, and a look a second is enough to notice what it does not say.
    const calm = (last?.decision.diagnosis === 'i-serve' || last?.decision.diagnosis === 'holder-serves') && monotonicMs() - vrrpWordMs > vrrpSettlesMs
    const vipHere = holdsAddress(group.vip.ip, calm ? 1000 : 2)
    if (vipHere && vipSinceMs === null) {
      vipSinceMs = monotonicMs()
      record({ kind: 'vip-up', epoch: state.epoch, text: `the address ${group.vip.ip} is on ${host}`, data: { to: host } })
    } else if (!vipHere) vipSinceMs = null
    return {
      process: options.keepalivedRuns(),
      vrrp: vrrpState,
      vipHere,
      vipSinceMs,
      allowed: readAllowed(vipAllowedFile(config.paths, group.name)),
      yields: options.yields(),
    }
  }

  function probePeer(peerHost: string, memory: PeerMemory): PeerProbe {
    const nowMs = monotonicMs()
    const silentMs = Math.min(options.silentMs(peerHost), 1e12)
    const refused = options.isRefused(peerHost)
    const everyMs = options.everyMs(peerHost)
    // Two thirds of the time that VRRP needs, so that both have to agree; a host that beats slowly is given longer.
    const silentAfterMs = Math.max(policy.hostLossMs * suspectShare, everyMs * 3 > policy.hostLossMs ? everyMs * 2.5 : 0)
    const agent = silentMs < silentAfterMs ? 'alive' : refused ? 'refused' : 'silent'
    const heardMs = nowMs - silentMs
    if (silentMs > everyMs + 10) askAgain(peerHost, memory, nowMs)
    return {
      host: peerHost,
      agent,
      silentMs,
      statement: memory.statement,
      statementAgeMs: memory.statement === null ? 1e12 : nowMs - memory.receivedMs,
      redisReach: memory.reach !== null && memory.reachMs > heardMs && nowMs - memory.reachMs < 1000 ? memory.reach : 'not asked',
    }
  }

  function askAgain(peerHost: string, memory: PeerMemory, nowMs: number): void {
    const peer = policy.members.find((m) => m.host === peerHost)
    if (memory.asking || peer === undefined || nowMs - memory.reachMs < reachAgainMs) return
    memory.asking = true
    const askedMs = nowMs
    void askReach(peer.ip, peer.port).then((reach) => {
      memory.asking = false
      memory.reach = reach
      memory.reachMs = askedMs
      wake()
    })
  }

  async function observe(): Promise<View> {
    const redisProbe = await redis.probe(monotonicMs())
    return {
      nowMs: monotonicMs(),
      nowWallMs: Date.now(),
      group: group.name,
      self: host,
      stalledMs: options.stall.stalledMs(),
      agentUptimeMs: monotonicMs() - options.startedMs,
      durable,
      actedAll,
      redis: redisProbe,
      keepalived: probeKeepalived(),
      peers: [...peers].map(([peerHost, memory]) => probePeer(peerHost, memory)),
      request: requests[0] ?? null,
    }
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
      if (!(error instanceof AssertionError)) throw error
      // This cycle acts on nothing. The View goes to the journal, where it replays.
      journal.append({ atWallMs: view.nowWallMs, assertion: error.message, state, view })
      complain(error.message)
      if (view.request !== null) requests.shift()
      schedule(monotonicMs() + 250)
      return
    }
    const changed = JSON.stringify(decision.next) !== JSON.stringify(state)
    if (changed || !durable) {
      // DURABLE BEFORE THE FIRST ACTION: an agent killed anywhere below comes back knowing what it was about to do.
      const saved = await saveState(config.paths, decision.next)
      durable = saved.done
      if (!saved.done) complain(saved.why)
      if (!saved.done && needsMemory(state, decision.next)) {
        await actWithoutMemory(decision)
        if (view.request !== null) requests.shift()
        schedule(monotonicMs() + 250)
        return
      }
      state = decision.next
      crashPoint(`${state.phase}/saved`)
    }
    const before = last
    last = { view, decision }
    for (const event of decision.events) if (event.kind === 'detected') record(event, view.nowWallMs)
    tell(changed || asked)
    const results = await carryOut(decision.actions, hands)
    finish(view, decision, results, changed || before?.decision.rule !== decision.rule)
  }

  /** Nothing may be promoted that could be forgotten. What makes this member safer needs no memory. */
  async function actWithoutMemory(decision: Decision): Promise<void> {
    const fencing = decision.actions.filter((a) => (a.kind === 'vip' && !a.allowed) || a.kind === 'resume-writes' || a.kind === 'accept-connections')
    await carryOut(fencing, hands)
  }

  function finish(view: View, decision: Decision, results: readonly ActionResult[], worthKeeping: boolean): void {
    const failure = results.find((r) => !r.outcome.done)
    actedAll = failure === undefined
    if (failure !== undefined && !failure.outcome.done) complain(failure.outcome.why, failure.outcome.waiting === true ? 'waiting' : 'alarm')
    else if (view.redis.trouble !== null) complain(view.redis.trouble)
    else lastTrouble = ''
    if (failure === undefined) for (const event of decision.events) if (event.kind !== 'detected' && isNews(event)) record(event)
    if (view.request !== null) requests.shift()
    for (const result of state.results) settle(result)
    if (worthKeeping || results.some((r) => r.action.kind !== 'poke')) {
      journal.append({ atWallMs: view.nowWallMs, rule: decision.rule, because: decision.because, view, actions: results, next: decision.next })
    }
    const acted = results.some((r) => r.action.kind !== 'poke')
    schedule(failure !== undefined ? Math.max(decision.wakeAtMs, monotonicMs() + 50) : acted ? monotonicMs() : decision.wakeAtMs)
  }

  /** A refusal is decided anew in every cycle for as long as it lasts; the log needs it once. */
  function isNews(event: Event): boolean {
    if (event.kind !== 'alarm') return true
    const known = event.text === lastAlarm
    lastAlarm = event.text
    return !known
  }

  function complain(why: string, kind: 'alarm' | 'waiting' = 'alarm'): void {
    if (why === lastTrouble) return
    lastTrouble = why
    record({ kind, epoch: state.epoch, text: why })
  }

  /** On every change of what matters, when asked, and every second. */
  function tell(force: boolean): void {
    if (last === null) return
    const statement = statementOf(state, last.view, policy)
    const text = essence(statement)
    const nowMs = monotonicMs()
    if (!force && text === said.text && nowMs - said.atMs < statementMs) return
    said = { text, atMs: nowMs }
    for (const peerHost of peers.keys()) options.say(peerHost, statement)
  }

  function schedule(atMs: number): void {
    if (stopped) return
    if (timer !== null) clearTimeout(timer)
    timer = setTimeout(wake, Math.max(0, Math.min(1000, atMs - monotonicMs())))
  }

  function wake(): void {
    if (stopped) return
    if (running !== null) {
      again = true
      return
    }
    again = false
    running = cycle()
      .catch((error: unknown) => {
        options.log('error', `${group.name}: the cycle failed: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`)
        schedule(monotonicMs() + 250)
      })
      .finally(() => {
        running = null
        if (again) setImmediate(wake)
      })
  }

  const waiters = new Map<string, (result: RequestResult) => void>()
  function settle(result: RequestResult): void {
    waiters.get(result.id)?.(result)
    waiters.delete(result.id)
  }

  wake()
  return {
    wake,
    heard: (statement) => {
      const memory = peers.get(statement.host)
      if (memory === undefined) return
      const news = memory.statement === null || essence(memory.statement) !== essence(statement) || state.handover !== null || statement.handover !== null
      memory.statement = statement
      memory.receivedMs = monotonicMs()
      if (news) wake()
    },
    poked: () => {
      mustSay = true
      wake()
    },
    sayAllTo: (peerHost) => {
      if (last !== null && peers.has(peerHost)) options.say(peerHost, statementOf(state, last.view, policy))
    },
    vrrp: (word) => {
      vrrpState = word
      vrrpWordMs = monotonicMs()
      wake()
    },
    request: (request, deadlineMs) => {
      if (requests.length >= maxRequests) return Promise.resolve({ id: request.id, ok: false, message: 'too many requests are waiting' })
      if (!durable) return Promise.resolve({ id: request.id, ok: false, message: 'the state directory cannot be written, so nothing may be changed (HF205)' })
      return new Promise((resolve) => {
        const late = setTimeout(() => {
          waiters.delete(request.id)
          resolve({ id: request.id, ok: false, message: `no result within ${deadlineMs} ms; see status` })
        }, deadlineMs)
        waiters.set(request.id, (result) => {
          clearTimeout(late)
          resolve(result)
        })
        requests.push(request)
        wake()
      })
    },
    serves: () => isServingPhase(state.phase),
    snapshot: () => ({
      state,
      view: last?.view ?? null,
      decision: last?.decision ?? null,
      statement: last === null ? null : statementOf(state, last.view, policy),
      policy,
    }),
    stop: async () => {
      stopped = true
      if (timer !== null) clearTimeout(timer)
      await running
      redis.close()
      await events.settled()
      await journal.settled()
    },
  }
}

/**
 * May this change be carried out although it could not be written down? To resign, to follow or to record is safe to forget:
 * the peers tell it again. To claim an epoch or to give one away is not: forgotten, it would be done twice.
 */
function needsMemory(before: State, next: State): boolean {
  return next.phase !== before.phase && (next.phase === 'promoting' || next.phase === 'handing' || next.phase === 'handed')
}

/** What makes a statement news: all but the numbers that move all the time. */
function essence(statement: Statement): string {
  const { redis, ...rest } = statement
  return JSON.stringify([rest, redis === null ? null : [redis.runId, redis.role, redis.loading, redis.upstream, redis.linkUp, redis.syncing, redis.replid]])
}
