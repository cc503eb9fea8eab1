/** What the scenarios of a move have in common: a group that a running redis is being moved to, who accepts writes, and an operator who does not give up. */
import { isVoted } from '../../src/model/policy.ts'
import { OneWriter } from '../sim/one-writer.ts'
import { sourceHost } from './model-source.ts'
import { World } from './world.ts'

export interface Ground {
  readonly members?: readonly string[]
  readonly witness?: string
  /** Real Sentinels choose; on these hosts. */
  readonly sentinels?: readonly string[]
  readonly source?: 'pauses' | 'refuses'
  /** Without an address. */
  readonly bare?: true
}

const at = { host: `ip-${sourceHost}`, port: 6379 }

/** The source serves its clients; the group is new and waits for it. */
export function before({ members = ['a', 'b'], witness, sentinels, source = 'pauses', bare }: Ground = {}): World {
  const w = new World({
    members,
    source,
    ...(bare === undefined ? {} : { bare }),
    ...(witness === undefined ? {} : { witness }),
    ...(sentinels === undefined ? {} : { sentinels: { hosts: sentinels } }),
  })
  w.tells = false
  w.supervisorStarts(sourceHost, 'empty')
  w.run(20)
  w.writes(10)
  for (const host of w.voters) w.startAgent(host)
  w.run(1500)
  watchWriters(w)
  return w
}

export function accepts(w: World, host: string): boolean {
  const redis = w.redis(host)
  return redis.role === 'primary' && !redis.refusesWrites && w.nowMs >= redis.pausedUntilMs && redis.answers(w.nowMs) && !redis.loading(w.nowMs)
}

export function writers(w: World): readonly string[] {
  return [...w.hosts, sourceHost].filter((h) => accepts(w, h))
}

/** INV-3, at every step of the world. */
function watchWriters(w: World): void {
  const members = !isVoted(w.policy) ? null : new OneWriter(w, false)
  w.afterEach = () => {
    // Without votes two members may serve while something stands between them (ADR 9); never one beside the source.
    const doubled = members?.look() ?? null
    const two = writers(w)
    if (doubled !== null || (two.length > 1 && two.includes(sourceHost))) throw new Error(`INV-3: ${two.join(' and ')} accept writes\n${w.tale()}`)
  }
}

function start(w: World, host = 'a'): string {
  return w.move(host, { verb: 'start', source: at, overwrite: null })
}

export function follow(w: World): boolean {
  return w.hosts.every((h) => w.redis(h).linkUp && w.redis(h).offset === w.redis(sourceHost).offset)
}

/** All have what the source has, and keep up with it. */
export function received(ground: Ground = {}): World {
  const w = before(ground)
  start(w)
  w.until('all follow', () => follow(w), 5000)
  w.writes(5)
  w.run(1500)
  return w
}

export function stageOf(w: World, host = 'a'): string {
  return w.state(host).move?.stage ?? 'none'
}

/** The cut-over was done, the source follows as the way back. */
export function moved(ground: Ground = {}): World {
  const w = received(ground)
  w.move('a', { verb: 'cutover', unverified: true })
  w.until('moved, with the way back', () => isMoved(w), 5000)
  w.writes(5)
  w.run(500)
  return w
}

export function isMoved(w: World): boolean {
  const [primary, ...more] = w.serving()
  return (
    primary !== undefined &&
    more.length === 0 &&
    stageOf(w, primary) === 'moved' &&
    w.isWhole() &&
    w.redis(sourceHost).linkUp &&
    w.redis(sourceHost).offset === w.redis(primary).offset
  )
}

/** As an operator does it: looks, asks again, until it is done. */
export function insist(w: World, verb: 'cutover' | 'rollback', isDone: () => boolean, limitMs = 30_000): void {
  const untilMs = w.nowMs + limitMs
  while (!isDone() && w.nowMs < untilMs) {
    const holder = w.hosts.find((h) => w.agent(h).up && w.state(h).holder === h) ?? 'a'
    w.move(holder, verb === 'cutover' ? { verb, unverified: true } : { verb })
    w.runUntil(w.nowMs + 1000, isDone)
  }
  w.until(`${verb} done`, isDone, 10)
}

/** Exactly one serves, nothing that was acknowledged is missing there, and the move comes to its end. */
export function finish(w: World): string {
  w.until('one serves', () => writers(w).length === 1, 20_000)
  w.writes(3)
  const [serving = ''] = writers(w)
  mustHaveAll(w, serving)
  insist(w, 'cutover', () => isMoved(w))
  const primary = w.serving()[0] ?? ''
  w.writes(3)
  mustHaveAll(w, primary)
  w.move(primary, { verb: 'commit' })
  w.until('committed', () => stageOf(w, primary) === 'done', 2000)
  w.run(2000)
  if (writers(w).join() !== primary) throw new Error(`after the commit ${writers(w).join()} accept writes\n${w.tale()}`)
  if (w.write() !== 'OK') throw new Error(`no write after the commit\n${w.tale()}`)
  if (w.assertions.length > 0) throw new Error(`${w.assertions.join()}\n${w.tale()}`)
  return primary
}

/** Where two members of a group without votes have served at the same time, what the one had is kept (INV-6). */
function mustHaveAll(w: World, host: string): void {
  const kept = new Set(w.hosts.flatMap((h) => w.keys(h)).concat(w.kept.flatMap((k) => k.keys)))
  const lost = w.lost(host).filter((key) => isVoted(w.policy) || !kept.has(key))
  if (lost.length > 0) throw new Error(`${host} serves without ${lost.length} acknowledged writes\n${w.tale()}`)
}
