/**
 * The second half of a history: everything, or a majority, is repaired as an operator would do it, and nothing is decided for the
 * group. Then one primary serves with the address, and all others follow with equal data, within `boundMs` of virtual time.
 * A member may refuse only if it has said why.
 */
import { elect } from '../../src/decide/election.ts'
import { ownFitness } from '../../src/decide/fitness.ts'
import { countOf } from '../scenarios/model-log.ts'
import type { World } from '../scenarios/world.ts'
import { endMove, repairSource } from './move-ending.ts'
import { BrokenRule, type Rules } from './rules.ts'
import type { Story } from './story.ts'
import { bit } from './take.ts'

export const boundMs = 10_000
/** Who stood still does nothing for half a minute, and who has voted waits twice the failover-timeout. */
const sentinelBoundMs = 60_000
const calmMs = 500

export function end(w: World, story: Story, rules: Rules): void {
  const core = w.hosts.filter((_, i) => bit(story.healed, i))
  repair(w, story, core)
  endMove(w, rules)
  // What is whole at one moment may still be before an election that is due; it counts when it stays.
  const untilMs = w.nowMs + (w.sentinels === null ? boundMs : sentinelBoundMs)
  do {
    const inTime = w.runUntil(untilMs, () => isWhole(w, core))
    if (!inTime) explainOrOverrule(w, core, rules)
    w.run(calmMs)
  } while (wrong(w, core) !== null && w.nowMs < untilMs)
  const trouble = wrong(w, core)
  if (trouble !== null && w.hosts.some((h) => isServing(w, h))) throw new BrokenRule(`not whole ${boundMs} ms after the healing: ${trouble}`)
}

function repair(w: World, story: Story, core: readonly string[]): void {
  w.heal()
  const standsUntilMs = Math.max(...w.voters.map((h) => w.agent(h).standsUntilMs))
  w.run(Math.max(0, standsUntilMs - w.nowMs) + 1)
  for (const [i, h] of w.voters.entries()) {
    if (!bit(story.healed, i)) {
      w.powerOff(h)
      continue
    }
    w.powerOn(h)
    w.thaw(h)
    w.startSentinel(h)
    w.thawSentinel(h)
    if (w.hasData(h)) Object.assign(w.redis(h), { lagging: false, transferMs: 20, readMs: 10 })
    w.agent(h).diskFull = false
    w.agent(h).slowSavesMs = []
    w.startAgent(h)
  }
  repairSource(w)
  if (story.external) {
    w.run(1000)
    for (const h of core) if (!w.redis(h).running) w.supervisorStarts(h, 'old')
  }
  w.run(100)
  for (const h of core) if (w.state(h).paused.on) w.ask(h, 'resume')
}

function isServing(w: World, h: string): boolean {
  return w.agent(h).up && w.state(h).phase === 'primary' && w.redis(h).role === 'primary' && w.redis(h).answers(w.nowMs)
}

function isWhole(w: World, core: readonly string[]): boolean {
  return w.hosts.some((h) => isServing(w, h)) && wrong(w, core) === null
}

/** null: all is well. */
function wrong(w: World, core: readonly string[]): string | null {
  const serving = w.hosts.filter((h) => isServing(w, h))
  const [primary] = serving
  if (primary === undefined || serving.length > 1) return `serving: ${serving.join() || 'nobody'}`
  const { log, offset } = w.redis(primary)
  for (const h of core) {
    if (h === primary) continue
    const redis = w.redis(h)
    const attached = w.state(h).phase === 'replica' && redis.linkUp && redis.offset === offset && redis.log === log
    if (!attached && !hasRefused(w, h)) return `${h} is not attached to ${primary}, and has not said why`
  }
  if (w.sentinels?.allName(primary) === false)
    return `${primary} serves, and Sentinels name ${w.sentinels
      .every()
      .map((s) => s.primary.host)
      .join()}`
  for (const h of core) if (w.vrrp.hosts.get(h)?.alive === false) return `the keepalived of ${h} is dead`
  const address = w.addressOn()
  return address.length === 1 && address[0] === primary ? null : `${primary} serves, and the address is on ${address.join() || 'nobody'}`
}

function hasRefused(w: World, h: string): boolean {
  const { phase } = w.state(h)
  return phase !== 'replica' && phase !== 'primary' && w.events.some((e) => e.host === h && e.kind === 'alarm')
}

/** INV-8: it says for whom it waits, or what it misses of the holder, who is away. */
function waitsForOneOf(because: string, away: readonly string[]): boolean {
  return away.some((a) => new RegExp(`\\b${a}\\b`).test(because)) || /its agent is silent|no agent listens there/.test(because)
}

function isFit(w: World, h: string): boolean {
  const { view } = w.agent(h)
  return view !== null && ownFitness(w.state(h), view, w.policy).fit
}

/** It says why it must not be promoted, or leaves it to one that says so. */
function refuses(w: World, h: string): boolean {
  const { view } = w.agent(h)
  if (view === null) return false
  const found = elect(w.state(h), view, w.policy)
  return found.result === 'refuse' || (found.result === 'other' && found.host !== h && w.agent(found.host).lastAlarmMs > w.nowMs - 1000)
}

/** Nobody may serve by the rules: every dataset was lost or is of unknown history, or who may have more is still away. */
function explainOrOverrule(w: World, core: readonly string[], rules: Rules): void {
  if (w.hosts.some((h) => isServing(w, h))) return
  const away = w.hosts.filter((h) => !core.includes(h))
  if (away.length > 0 && core.some((h) => waitsForOneOf(w.agent(h).lastBecause, away))) return
  // Only an operator may choose between less data and a member that is not to be primary; the alarm names the two.
  const fit = core.filter((h) => isFit(w, h) && !refuses(w, h))
  if (fit.length > 0) throw new BrokenRule(`nobody serves ${boundMs} ms after the healing, and ${fit.join()} could`)
  const [most = ''] = [...core.filter((h) => w.vrrp.hosts.has(h) && !w.state(h).partial)].sort((a, b) => countOf(w.redis(b).log) - countOf(w.redis(a).log))
  rules.overruled = true
  const asked = w.ask(most, 'failover')
  if (w.runUntil(w.nowMs + boundMs / 2, () => isWhole(w, core))) return
  // Those who have the data are away, or never to be primary: the operator is told what to do instead.
  if (/is empty and \w has data/.test(w.results.get(asked)?.message ?? '')) return
  throw new BrokenRule(`not whole after an operator chose ${most}: ${wrong(w, core) ?? ''}`)
}
