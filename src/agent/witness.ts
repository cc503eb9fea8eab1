/**
 * The loop of a witness: a host without data that votes (INV-3), or that only runs a Sentinel, which then has the vote. Hears the members, remembers its one vote per epoch before it
 * tells it, and does nothing else: no redis, no keepalived, no action. The rule is decide/witness.ts.
 */
import { freshWatch } from '../model/watch.ts'
import type { Event } from '../model/action.ts'
import type { Config, GroupConfig } from '../model/config.ts'
import { eventsFile } from '../model/paths.ts'
import { policyOf, statementMs } from '../model/policy.ts'
import type { State } from '../model/state.ts'
import type { Statement, View } from '../model/view.ts'
import { statementOf } from '../decide/statement.ts'
import { decideAsWitness, noRedis } from '../decide/witness.ts'
import { monotonicMs, type StallMeter } from './clock.ts'
import type { GroupLoop } from './group.ts'
import { lineFile, type Log, type LoggedEvent } from './log-files.ts'
import { openSenses, type PeerSigns } from './senses.ts'
import type { GroupSentinels } from './sentinel.ts'
import { openStore } from './store.ts'
import { takeTurns } from './turns.ts'

export interface WitnessOptions extends PeerSigns {
  readonly config: Config
  readonly group: GroupConfig
  readonly host: string
  readonly state: State
  readonly stall: StallMeter
  readonly startedMs: number
  readonly say: (host: string, statement: Statement) => void
  /** null: the group has no Sentinels. */
  readonly sentinels: Pick<GroupSentinels, 'sense'> | null
  readonly log: Log
}

export function startWitness(options: WitnessOptions): GroupLoop {
  const { config, group, host } = options
  const policy = policyOf(group, (h) => config.hosts[h]?.ip ?? '')
  const events = lineFile(eventsFile(config.paths, group.name), (why) => options.log('error', why))
  const store = openStore(config.paths, group.name)
  const { wake, schedule, awake, stop } = takeTurns(cycle, (text) => options.log('error', `${group.name}: the cycle of the witness failed: ${text}`))
  const senses = openSenses({ ...options, policy, vip: false, keepalivedRuns: () => false, yields: () => false, serves: () => false, wake, vipCame: () => {} })
  let state = options.state
  let view: View | null = null
  let calm = false
  let durable = true
  let said = { text: '', atMs: 0 }

  function look(): View {
    return {
      nowMs: monotonicMs(),
      nowWallMs: Date.now(),
      group: group.name,
      self: host,
      stalledMs: options.stall.stalledMs(),
      agentUptimeMs: monotonicMs() - options.startedMs,
      durable,
      actedAll: true,
      redis: noRedis,
      keepalived: null,
      peers: senses.peers(),
      watch: freshWatch,
      checks: null,
      ...(options.sentinels === null ? {} : { sentinels: options.sentinels.sense.probe() }),
      request: null,
    }
  }

  async function cycle(): Promise<void> {
    const seen = look()
    const decision = decideAsWitness(state, seen, policy)
    // As long as the last write failed, each cycle tries again: only a write that succeeds shows that the disk is well.
    if (!durable || JSON.stringify(decision.next) !== JSON.stringify(state)) {
      // DURABLE BEFORE IT IS TOLD: a vote that was forgotten would be given twice.
      const saved = await store.save(decision.next)
      durable = saved.done
      if (!saved.done) {
        options.log('error', `${group.name}: ${saved.why}: a witness that cannot remember does not vote`)
        schedule(monotonicMs() + 1000)
        return
      }
      state = decision.next
      for (const event of decision.events) record(event, seen.nowWallMs)
    }
    view = seen
    tell()
    ;({ calm } = decision)
    schedule(monotonicMs() + decision.wakeInMs)
  }

  function record(event: Event, atWallMs = Date.now()): void {
    const logged: LoggedEvent = { ...event, host, group: group.name, atWallMs }
    events.append(logged)
    options.log(event.kind === 'alarm' ? 'error' : 'info', `${group.name}: ${event.text}`, { kind: event.kind, epoch: event.epoch })
  }

  function tell(force = false): void {
    if (view === null) return
    const statement = statementOf(state, view, policy)
    const text = JSON.stringify(statement)
    const nowMs = monotonicMs()
    if (!force && text === said.text && nowMs - said.atMs < statementMs) return
    said = { text, atMs: nowMs }
    for (const peer of senses.peerHosts) options.say(peer, statement)
  }

  wake()
  return {
    wake,
    awake,
    heard: (statement) => {
      if (senses.heard(statement) !== undefined) wake()
    },
    poked: () => tell(true),
    sayAllTo: (peer) => {
      if (view !== null && senses.peerHosts.includes(peer)) options.say(peer, statementOf(state, view, policy))
    },
    vrrp: () => {},
    source: null,
    redis: () => null,
    request: (request) => Promise.resolve({ id: request.id, ok: false, message: `${host} has no data of ${group.name} and carries out nothing` }),
    note: (kind, text) => record({ kind, epoch: state.epoch, text }),
    serves: () => false,
    pace: () => (calm && view?.peers.every((p) => p.agent === 'alive') === true ? 'calm' : 'alert'),
    hasAddress: () => false,
    snapshot: () => ({
      state,
      view,
      decision: null,
      statement: view === null ? null : statementOf(state, view, policy),
      policy,
      address: null,
      endedAtOnce: null,
    }),
    stop: async () => {
      await stop()
      await Promise.all([events.settled(), store.close()])
    },
  }
}
