/**
 * What will be broken in one round: PURE, from a seed and the number of the round, so that a round can be played again. Faults name
 * roles (the primary, a replica), not hosts: who is primary when the round begins is found out then.
 */
import { dice, type Dice } from '../sim/prng.ts'

/** `other` is the last of the replicas: with two members the same as `replica`. */
export type Who = 'primary' | 'replica' | 'other' | 'witness'

export const faultKinds = [
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
export type FaultKind = (typeof faultKinds)[number]

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
}

/** What a fault can hit, and how often it is drawn. `witness` falls away where there is none. */
const menu: readonly (readonly [weight: number, kind: FaultKind, whom: readonly Who[], forMs: readonly [from: number, to: number]])[] = [
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
  const [kind, whom, [fromMs, toMs]] = rolled.draw(menu.map(([weight, ...fault]) => [weight, fault] as const))
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

/** An agent that cannot act holds nothing back: the one gap of ADR 9. */
export function agentsAct(faults: readonly Fault[]): boolean {
  return !faults.some((fault) => fault.kind === 'agent-killed' || fault.kind === 'agent-stopped')
}
