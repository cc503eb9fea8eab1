/**
 * What will be broken in one round: PURE, from a seed and the number of the round, so that a round can be played again. Faults name
 * roles (the primary, a replica), not hosts: who is primary when the round begins is found out then.
 */
import { dice, type Dice } from '../sim/prng.ts'

/** `other` is the last of the replicas: with two members the same as `replica`. */
export type Who = 'primary' | 'replica' | 'other' | 'witness'

const ofRedisAndHosts = [
  'redis-killed',
  'redis-stopped',
  'redis-back-empty',
  'agent-killed',
  'agent-stopped',
  'keepalived-killed',
  'host-cut',
  'split',
  'one-way',
  'lossy',
  'flapping',
  'power-cut',
  'power-cut-of-all',
  'disk-full',
  'switchover',
  'paused',
  'reinit',
] as const

/** Only with Sentinels. */
const ofSentinels = [
  'late',
  'sentinel-killed',
  'sentinel-stopped',
  'sentinels-killed',
  'sentinels-stopped',
  'sentinel-port-cut',
  'sentinel-failover',
  'sentinel-reset',
  'sentinel-misled',
  'config-rewrite',
] as const
export type SentinelFaultKind = (typeof ofSentinels)[number]
export type FaultKind = (typeof ofRedisAndHosts)[number] | SentinelFaultKind

export interface Fault {
  readonly kind: FaultKind
  readonly who: Who
  readonly atMs: number
  /** How long it lasts, where it lasts. */
  readonly forMs: number
  /** Per cent, number of cuts, order of returning: what else the kind needs. */
  readonly size: number
}

export interface Shape {
  readonly members: number
  readonly witness: boolean
  /** Whatever ends redis then empties its disk too. */
  readonly external: boolean
  /** `mode: sentinel`: a Sentinel beside each member, or with two members on a third host, which then is `witness`. */
  readonly sentinel: boolean
}

/** What a fault can hit, and how often it is drawn. `witness` falls away where there is none. */
type Dish = readonly [weight: number, kind: FaultKind, whom: readonly Who[], forMs: readonly [from: number, to: number]]

const menu: readonly Dish[] = [
  [4, 'redis-killed', ['primary', 'primary', 'replica'], [0, 0]],
  [2, 'redis-stopped', ['primary', 'primary', 'replica'], [100, 5000]],
  [3, 'redis-back-empty', ['primary', 'primary', 'replica'], [0, 0]],
  [3, 'agent-killed', ['primary', 'replica', 'witness'], [100, 3000]],
  [2, 'agent-stopped', ['primary', 'replica', 'witness'], [100, 3000]],
  [2, 'keepalived-killed', ['primary', 'replica'], [0, 0]],
  [3, 'host-cut', ['primary', 'primary', 'replica', 'witness'], [50, 4000]],
  [4, 'split', ['primary', 'primary', 'replica'], [50, 4000]],
  [2, 'one-way', ['primary', 'replica', 'witness'], [50, 4000]],
  [2, 'lossy', ['primary', 'replica'], [1000, 4000]],
  [2, 'flapping', ['primary', 'replica'], [0, 0]],
  [3, 'power-cut', ['primary', 'primary', 'replica', 'witness'], [500, 5000]],
  [1, 'power-cut-of-all', ['primary'], [500, 3000]],
  [1, 'disk-full', ['primary', 'replica'], [500, 3000]],
  [2, 'switchover', ['replica', 'other'], [0, 0]],
  [1, 'paused', ['primary'], [500, 3000]],
  [1, 'reinit', ['replica', 'other'], [0, 0]],
]

const withSentinels: readonly Dish[] = [
  ...menu,
  [2, 'late', ['primary', 'replica', 'witness'], [1000, 4000]],
  [3, 'sentinel-killed', ['primary', 'replica', 'witness'], [0, 0]],
  // One that stood still for two seconds is no use for thirty more (TILT): seldom, because the round then waits for that.
  [3, 'sentinel-stopped', ['primary', 'replica', 'witness'], [100, 2300]],
  [2, 'sentinels-killed', ['primary'], [0, 0]],
  [2, 'sentinels-stopped', ['primary'], [100, 2300]],
  [3, 'sentinel-port-cut', ['primary', 'primary', 'replica', 'witness'], [100, 4000]],
  [3, 'sentinel-failover', ['primary', 'replica', 'other', 'witness'], [0, 0]],
  [2, 'sentinel-reset', ['primary', 'replica', 'witness'], [0, 0]],
  [1, 'sentinel-misled', ['replica', 'witness'], [0, 0]],
  [2, 'config-rewrite', ['primary', 'replica'], [0, 0]],
  // More of what is hard here: at a bad moment, because something else of the round goes on.
  [3, 'switchover', ['replica', 'other'], [0, 0]],
]

export function planRound(seed: number, round: number, shape: Shape): readonly Fault[] {
  const rolled = dice((Math.imul(seed, 1_000_003) + round) >>> 0)
  const count = rolled.draw([
    [5, 1],
    [3, 2],
    [2, 3],
  ])
  let atMs = 0
  const faults: Fault[] = []
  for (let index = 0; index < count; index += 1) {
    faults.push(drawFault(rolled, shape, atMs))
    atMs += 20 + rolled.int(1200)
  }
  // Two disks lost at once are two disks lost: no software has the data then.
  const emptying = (fault: Fault): boolean => fault.kind === 'redis-back-empty' || (shape.external && endsRedis.includes(fault.kind))
  const bearable = faults.filter((fault, index) => !emptying(fault) || faults.findIndex(emptying) === index)
  return shape.external ? bearable.filter((fault) => fault.kind !== 'power-cut-of-all') : bearable
}

const endsRedis: readonly FaultKind[] = ['redis-killed', 'redis-stopped', 'power-cut', 'power-cut-of-all']

function drawFault(rolled: Dice, shape: Shape, atMs: number): Fault {
  const [kind, whom, [fromMs, toMs]] = rolled.draw((shape.sentinel ? withSentinels : menu).map(([weight, ...fault]) => [weight, fault] as const))
  const possible = whom.filter((who) => who !== 'witness' || shape.witness)
  return { kind, who: rolled.pick(possible), atMs, forMs: fromMs + rolled.int(Math.max(1, toMs - fromMs)), size: rolled.int(1000) }
}

export function describeFault(fault: Fault): string {
  const lasting = fault.forMs > 0 ? ` for ${fault.forMs} ms` : ''
  return `+${fault.atMs} ms ${fault.kind}${fault.kind === 'power-cut-of-all' ? '' : ` (${fault.who})`}${lasting}`
}

/** Faults under which two members without a witness cannot know of each other. */
export function mayPart(faults: readonly Fault[]): boolean {
  const parting: readonly FaultKind[] = ['host-cut', 'split', 'one-way', 'lossy', 'flapping', 'agent-stopped', 'agent-killed']
  return faults.some((fault) => parting.includes(fault.kind))
}

/** An order that asks nobody, given where the primary's agent may not hear of it in time: both accept writes until it has looked around. */
export function promotedUnheard(faults: readonly Fault[]): boolean {
  const unheard: readonly FaultKind[] = ['sentinel-port-cut', 'sentinels-stopped', 'sentinel-stopped', 'late', 'power-cut']
  return faults.some((fault) => fault.kind === 'sentinel-failover') && (mayPart(faults) || faults.some((fault) => unheard.includes(fault.kind)))
}

/** An agent that cannot act holds nothing back: the one gap of ADR 9. */
export function agentsAct(faults: readonly Fault[]): boolean {
  return !faults.some((fault) => fault.kind === 'agent-killed' || fault.kind === 'agent-stopped')
}
