/** A seed → a story: a group, some ten things that go wrong, and who is healed in the end. Plain JSON, so that a story can be cut short and kept. */
import { layers, type Layer } from '../scenarios/model-network.ts'
import { dice, type Dice } from './prng.ts'

type Hosted =
  | 'crash'
  | 'restart-old'
  | 'restart-empty'
  | 'save'
  | 'kill-agent'
  | 'start-agent'
  | 'cut'
  | 'power-off'
  | 'power-on'
  | 'freeze'
  | 'thaw'
  | 'lag'
  | 'catch-up'
  | 'swallow'
  | 'long-sync'
  | 'long-load'
  | 'disk-full'
  | 'disk-free'
  | 'pause'
  | 'resume'
  | 'failover'
  | 'reinit'
  | 'accept'
  | 'kill-keepalived'
  | 'forget'
  | SentinelFault

export type SentinelFault = 'kill-sentinel' | 'start-sentinel' | 'freeze-sentinel' | 'thaw-sentinel' | 'sentinel-failover' | 'sentinel-reset'

export type Step =
  | { readonly kind: 'wait'; readonly ms: number }
  /** A client that finds the address wherever it was announced last. */
  | { readonly kind: 'write'; readonly count: number }
  /** One write that is larger than what is under way on a good link: who lags now is far behind. */
  | { readonly kind: 'burst' }
  /** A client beside a host: it finds the address where this host can reach it, on each side of a cut. */
  | { readonly kind: 'write-beside'; readonly host: number; readonly count: number }
  | { readonly kind: Hosted; readonly host: number }
  /** Its agent dies at the nth step of its loop from now: between remembering and acting, or between two actions. */
  | { readonly kind: 'die-at'; readonly host: number; readonly nth: number }
  | { readonly kind: 'stall' | 'suspend' | 'halt' | 'clock' | 'slow-disk'; readonly host: number; readonly ms: number }
  | { readonly kind: 'isolate'; readonly host: number; readonly other: number; readonly layers: readonly Layer[] }
  | { readonly kind: 'deafen' | 'tear'; readonly host: number; readonly other: number }
  | { readonly kind: 'slow'; readonly host: number; readonly other: number; readonly ms: number }
  /** Two sides: the hosts whose bit is set, and the others. */
  | { readonly kind: 'split'; readonly mask: number }
  | { readonly kind: 'switchover'; readonly host: number; readonly to: number | null }
  | { readonly kind: 'heal' }
  /** An operator asks whoever holds the group. */
  | { readonly kind: 'move'; readonly order: 'cutover' | 'rollback' | 'arm' | 'verified' | 'abort' }
  | { readonly kind: 'source'; readonly fault: SourceFault }
  /** Between a member and the source. */
  | { readonly kind: 'isolate-source' | 'deafen-source' | 'deafen-to-source'; readonly host: number }
  | { readonly kind: 'slow-source'; readonly host: number; readonly ms: number }

export type SourceFault = 'crash' | 'start-old' | 'start-empty' | 'save' | 'freeze' | 'thaw' | 'cut' | 'power-off' | 'power-on'

/** A running redis is moved to the group. `begun`: before the first step all follow it, or the cut-over was done. */
export interface MoveStory {
  readonly source: 'pauses' | 'refuses'
  readonly begun: 'received' | 'moved'
}

export interface SentinelStory {
  /** So many of the three run on hosts without data. */
  readonly apart: number
  /** Absent: the majority. */
  readonly quorum?: number
  readonly downAfterMs: number
  readonly failoverTimeoutMs: number
  readonly seed: number
}

export interface Story {
  /** Hosts are counted from 0; the witness, or the hosts that only run a Sentinel, come after the members. */
  readonly members: number
  readonly witness: boolean
  readonly external: boolean
  /** This member is never promoted; null: all may be. */
  readonly neverPrimary: number | null
  readonly priorities: 'falling' | 'equal' | 'rising'
  /** This member replicates from the one before it; null: all replicate from the primary. */
  readonly cascade: number | null
  /** How late the agents' timers are. */
  readonly latenessMs: number
  /** Absent: the agents choose. */
  readonly sentinels?: SentinelStory
  /** Absent: nothing is moved. */
  readonly move?: MoveStory
  readonly steps: readonly Step[]
  /** The hosts whose bit is set are healed in the end; the others stay without power. */
  readonly healed: number
}

const shortest = 10
const longest = 16

export const sentinelCount = 3

/** Members and those without data. */
export function hostCount(story: Pick<Story, 'members' | 'witness' | 'sentinels'>): number {
  return story.members + (story.witness ? 1 : 0) + (story.sentinels?.apart ?? 0)
}

/** `mode`: only stories in it; else one in four is of Sentinels. */
export function storyOf(seed: number, members?: number, mode?: 'vip' | 'sentinel' | 'move'): Story {
  const d = dice(seed)
  if (mode === 'move' || (mode === undefined && seed % 5 === 4)) return moveStory(d, members)
  const inFour = d.oneIn(4)
  const voted = mode === undefined ? inFour : mode === 'sentinel'
  return voted ? sentinelStory(d, Math.min(3, members ?? 2 + d.int(2))) : vipStory(d, members)
}

/** Two or three members, three Sentinels on hosts with data or without. */
function sentinelStory(d: Dice, members: number): Story {
  const apart = members === 2 ? d.pick([1, 1, 3]) : d.pick([0, 0, 1, 3])
  const sentinels = { apart, ...sentinelsOf(d) }
  const external = d.oneIn(4)
  const neverPrimary = d.oneIn(8) ? d.int(members) : null
  const cascade = members > 2 && d.oneIn(3) ? 1 + d.int(members - 1) : null
  const count = members + apart
  const priorities = d.pick(['falling', 'falling', 'equal', 'rising'] as const)
  const latenessMs = d.pick([0, 10, 30, 60])
  const steps: Step[] = []
  const length = shortest + d.int(longest - shortest + 1)
  while (steps.length < length) {
    steps.push(d.oneIn(5) ? sentinelFault(d, count) : fault(d, count))
    steps.push(d.oneIn(3) ? { kind: 'write', count: 1 + d.int(4) } : { kind: 'wait', ms: pause(d) })
  }
  return {
    members,
    witness: false,
    external,
    neverPrimary,
    priorities,
    cascade,
    latenessMs,
    sentinels,
    steps,
    healed: 2 ** count - 1,
  }
}

function sentinelsOf(d: Dice): Omit<SentinelStory, 'apart'> {
  return { downAfterMs: d.pick([500, 1000]), failoverTimeoutMs: d.pick([3000, 10_000]), seed: d.int(1000), ...(d.oneIn(6) ? { quorum: 3 } : {}) }
}

function sentinelFault(d: Dice, count: number): Step {
  const kind = d.draw<SentinelFault>([
    [3, 'kill-sentinel'],
    [3, 'start-sentinel'],
    [2, 'freeze-sentinel'],
    [2, 'thaw-sentinel'],
    [2, 'sentinel-failover'],
    [1, 'sentinel-reset'],
  ])
  return { kind, host: d.int(count) }
}

function vipStory(d: Dice, members?: number): Story {
  const count =
    members ??
    d.draw([
      [5, 2],
      [5, 3],
      [1, 4],
      [1, 5],
    ] as const)
  const witness = d.oneIn(3)
  const external = d.oneIn(4)
  const neverPrimary = d.oneIn(8) ? d.int(count) : null
  const priorities = d.pick(['falling', 'falling', 'equal', 'rising'] as const)
  const cascade = count > 2 && d.oneIn(4) ? 1 + d.int(count - 1) : null
  const latenessMs = d.pick([0, 10, 30, 60])
  const steps: Step[] = []
  const length = shortest + d.int(longest - shortest + 1)
  while (steps.length < length) {
    steps.push(fault(d, witness ? count + 1 : count))
    steps.push(d.oneIn(3) ? { kind: 'write', count: 1 + d.int(4) } : { kind: 'wait', ms: pause(d) })
  }
  return { members: count, witness, external, neverPrimary, priorities, cascade, latenessMs, steps, healed: core(d, count, witness) }
}

function moveStory(d: Dice, members?: number): Story {
  const count = members ?? d.pick([2, 2, 3])
  const sentinels = d.oneIn(3) ? { apart: count === 2 ? d.pick([1, 1, 3]) : d.pick([0, 0, 1, 3]), ...sentinelsOf(d) } : null
  const witness = sentinels === null && d.oneIn(2)
  const move: MoveStory = { source: d.pick(['pauses', 'pauses', 'refuses']), begun: d.pick(['received', 'moved']) }
  const steps: Step[] = []
  const length = shortest + d.int(longest - shortest + 1)
  const hosts = count + (witness ? 1 : 0) + (sentinels?.apart ?? 0)
  while (steps.length < length) {
    const step = d.oneIn(3) ? moveFault(d, count) : sentinels !== null && d.oneIn(6) ? sentinelFault(d, hosts) : fault(d, hosts)
    // What an operator overrules is told in test/scenarios/move.test.ts.
    if (step.kind === 'failover' || step.kind === 'accept') continue
    steps.push(step)
    steps.push(d.oneIn(2) ? { kind: 'write', count: 1 + d.int(4) } : { kind: 'wait', ms: pause(d) })
  }
  return {
    members: count,
    witness,
    external: false,
    neverPrimary: null,
    priorities: d.pick(['falling', 'equal', 'rising']),
    cascade: null,
    latenessMs: d.pick([0, 10, 30, 60]),
    ...(sentinels === null ? {} : { sentinels }),
    move,
    steps,
    healed: 2 ** hosts - 1,
  }
}

function moveFault(d: Dice, members: number): Step {
  const host = d.int(members)
  const kind = d.draw([
    [4, 'cutover'],
    [4, 'rollback'],
    [1, 'arm'],
    [1, 'abort'],
    [4, 'source'],
    [4, 'way'],
  ] as const)
  if (kind === 'source')
    return {
      kind,
      fault: d.draw<SourceFault>([
        [3, 'crash'],
        [3, 'start-old'],
        [2, 'start-empty'],
        [2, 'save'],
        [2, 'freeze'],
        [3, 'thaw'],
        [2, 'cut'],
        [1, 'power-off'],
        [3, 'power-on'],
      ]),
    }
  if (kind !== 'way') return { kind: 'move', order: kind }
  if (d.oneIn(3)) return { kind: 'slow-source', host, ms: d.pick([10, 60, 200, 700]) }
  return { kind: d.pick(['isolate-source', 'deafen-source', 'deafen-to-source']), host }
}

/** All, or a majority; the witness may be the one that is missing. */
function core(d: Dice, count: number, witness: boolean): number {
  const all = 2 ** (witness ? count + 1 : count) - 1
  if ((count < 3 && !witness) || !d.oneIn(4)) return all
  return all & ~(1 << (count < 3 ? count : d.int(witness ? count + 1 : count)))
}

/** Mostly in the middle of things; sometimes until all is calm again. */
function pause(d: Dice): number {
  const most = d.draw([
    [8, 12],
    [5, 120],
    [4, 600],
    [1, 3500],
  ] as const)
  return d.int(most * 10) / 10
}

type Draw = (d: Dice, host: number, count: number) => Step
const hosted =
  (kind: Hosted): Draw =>
  (_d, host) => ({ kind, host })
const another = (d: Dice, host: number, count: number) => (host + 1 + d.int(count - 1)) % count

const faults: readonly (readonly [number, Draw])[] = [
  [6, hosted('crash')],
  [3, hosted('restart-old')],
  [2, hosted('restart-empty')],
  [3, hosted('save')],
  [3, hosted('kill-agent')],
  [4, hosted('start-agent')],
  [4, (d, host) => ({ kind: 'die-at', host, nth: 1 + d.int(12) })],
  [4, hosted('cut')],
  [3, hosted('power-off')],
  [5, hosted('power-on')],
  [2, hosted('freeze')],
  [3, hosted('thaw')],
  [2, hosted('lag')],
  [2, hosted('catch-up')],
  [1, hosted('swallow')],
  [2, () => ({ kind: 'burst' })],
  [2, hosted('long-sync')],
  [2, hosted('long-load')],
  [2, hosted('disk-full')],
  [2, hosted('disk-free')],
  [1, hosted('pause')],
  [2, hosted('resume')],
  [1, hosted('failover')],
  [1, hosted('reinit')],
  [1, hosted('accept')],
  [2, hosted('kill-keepalived')],
  [1, hosted('forget')],
  [2, (d, host) => ({ kind: 'stall', host, ms: d.pick([20, 80, 150, 400, 1500]) })],
  [2, (d, host) => ({ kind: 'suspend', host, ms: d.pick([50, 200, 600, 2500]) })],
  [1, (d, host) => ({ kind: 'halt', host, ms: d.pick([50, 200, 600, 2500]) })],
  [2, (d, host) => ({ kind: 'slow-disk', host, ms: 1 + d.int(90) })],
  [1, (d, host) => ({ kind: 'clock', host, ms: d.pick([-3_600_000, -500, 500, 3_600_000]) })],
  [
    3,
    (d, host, count) => ({
      kind: 'isolate',
      host,
      other: another(d, host, count),
      layers: d.draw([
        [3, layers],
        [1, [d.pick(layers)]],
        [1, layers.filter((l) => l !== d.pick(layers))],
      ]),
    }),
  ],
  [3, (d, host, count) => ({ kind: 'deafen', host, other: another(d, host, count) })],
  [2, (d, host, count) => ({ kind: 'tear', host, other: another(d, host, count) })],
  [2, (d, host, count) => ({ kind: 'slow', host, other: another(d, host, count), ms: d.pick([10, 60, 200, 700]) })],
  [3, (d, _host, count) => ({ kind: 'split', mask: 1 + d.int(2 ** count - 2) })],
  [5, (d, host, count) => ({ kind: 'switchover', host, to: d.oneIn(3) ? null : another(d, host, count) })],
  [5, () => ({ kind: 'heal' })],
  [4, (d, host) => ({ kind: 'write-beside', host, count: 1 + d.int(3) })],
]

function fault(d: Dice, count: number): Step {
  return d.draw(faults)(d, d.int(count), count)
}
