/** How a move ends after everything is repaired: whoever serves is known, and an operator brings it to its end. */
import { isReceiving } from '../../src/model/move.ts'
import { countOf } from '../scenarios/model-log.ts'
import { sourceHost } from '../scenarios/model-source.ts'
import type { World } from '../scenarios/world.ts'
import { BrokenRule, type Rules } from './rules.ts'

const settledMs = 15_000
const triedMs = 20_000

export function repairSource(w: World): void {
  if (w.moved === null) return
  w.thaw(sourceHost)
  // Nobody looks whether what the source sends comes through: a person ends such a connection.
  for (const h of w.hosts) w.redis(h).swallowed = false
  Object.assign(w.moved.redis, { lagging: false, transferMs: 20, readMs: 10 })
  if (w.moved.redis.running) return
  // Its supervisor leaves the agents the time to let go of what it was.
  w.run(5000)
  w.powerOn(sourceHost)
}

export function endMove(w: World, rules: Rules): void {
  if (w.moved === null) return
  const untilMs = w.nowMs + settledMs
  // What was armed may begin while one waits.
  do {
    w.runUntil(untilMs, () => holderOf(w) !== null && !isBetween(w))
    w.run(500)
  } while (isBetween(w) && w.nowMs < untilMs)
  const stage = stageOf(w)
  if (stage === 'moved' || stage === 'done') return
  if (stage === 'sync') {
    for (const endMs = w.nowMs + triedMs; w.nowMs < endMs && stageOf(w) !== 'moved'; ) {
      if (refused(w)) break
      w.move(holderOf(w) ?? w.hosts[0] ?? '', { verb: 'cutover', unverified: true })
      w.runUntil(w.nowMs + 1000, () => stageOf(w) === 'moved')
    }
    if (stageOf(w) === 'moved') return
  }
  // The source has lost what the group has, or the operator has called the move off: a person decides.
  if (!refused(w) && stageOf(w) !== 'aborted') throw new BrokenRule(`the move does not come to its end: ${stageOf(w)}, ${because(w)}`)
  rules.overruled = true
  w.powerOff(sourceHost)
  w.runUntil(w.nowMs + triedMs, () => w.hosts.every((h) => !w.agent(h).up || (w.redis(h).answers(w.nowMs) && !w.redis(h).loading(w.nowMs))))
  // The half of a sync is nobody's choice: not even --force takes it.
  const whole = w.hosts.filter((h) => !w.state(h).partial)
  const [most = ''] = [...(whole.length > 0 ? whole : w.hosts)].sort((a, b) => countOf(w.redis(b).log) - countOf(w.redis(a).log))
  w.ask(most, 'failover')
  w.run(5000)
}

function holderOf(w: World): string | null {
  const epoch = Math.max(...w.hosts.map((h) => w.state(h).epoch))
  return w.hosts.find((h) => w.agent(h).up && w.state(h).epoch === epoch && w.state(h).holder === h) ?? null
}

function stageOf(w: World): string {
  const holder = holderOf(w)
  return holder === null ? 'nobody' : (w.state(holder).move?.stage ?? 'none')
}

function isBetween(w: World): boolean {
  const stage = stageOf(w)
  if (stage === 'sync') return !refused(w) && w.redis(sourceHost).role !== 'primary'
  const holder = holderOf(w)
  return holder === null || ((isReceiving(w.state(holder).move) || stage === 'back-hold') && stage !== 'aborted')
}

function because(w: World): string {
  const holder = holderOf(w)
  return holder === null ? 'nobody holds the group' : w.agent(holder).lastBecause
}

function refused(w: World): boolean {
  return /INV-1|has become a replica|nothing is known|was called off/.test(because(w))
}
