/**
 * Faults of a lab's wires: cut, isolate, lossy, heal. They are silent losses in the bridge: interfaces stay up, nothing is
 * refused, open connections hang, as when a switch fails. Each call is one nftables transaction, and repeating it changes nothing.
 */
import { OperatorError } from '../model/error.ts'
import { applyRules } from './net.ts'
import type { LabNode } from './plan.ts'
import type { LabRecord } from './record.ts'
import { cutRules, healAllRules, healRules, isolateRules, lossyRules } from './rules.ts'

/** Wall clock, just before the fault was asked for: it is in force at most some 20 ms later. */
export interface FaultTime {
  readonly atMs: number
}

export function nodeOf(record: LabRecord, name: string): LabNode {
  const node = record.plan.nodes.find((candidate) => candidate.name === name)
  if (node !== undefined) return node
  const names = record.plan.nodes.map((candidate) => candidate.name).join(', ')
  throw new OperatorError('HF104', `the lab ${record.name} has no host ${name}`, `It has: ${names}`, 2)
}

export async function cut(record: LabRecord, host: string): Promise<FaultTime> {
  return apply(record, cutRules(nodeOf(record, host).port))
}

export async function isolate(record: LabRecord, a: string, b: string, options: { readonly oneWay?: boolean } = {}): Promise<FaultTime> {
  const from = nodeOf(record, a)
  const to = nodeOf(record, b)
  if (from === to) throw new OperatorError('HF503', `${a} cannot be isolated from itself`, 'Name two hosts.', 2)
  return apply(record, isolateRules(from.port, to.port, options.oneWay ?? false))
}

/**
 * Nobody of one side hears anybody of another; in one transaction. `oneWay`: what the first side sends does not arrive, the rest does.
 * `instead`: whatever was in force is lifted in the same transaction. Healed first and split after, all find each other for a moment,
 * and a vote takes no longer.
 */
export async function partition(
  record: LabRecord,
  sides: readonly (readonly string[])[],
  options: { readonly oneWay?: boolean; readonly instead?: boolean } = {},
): Promise<FaultTime> {
  const ports = sides.map((side) => side.map((host) => nodeOf(record, host).port))
  const pairs = ports.flatMap((side, index) => side.flatMap((from) => ports.slice(index + 1).flatMap((others) => others.map((to) => [from, to] as const))))
  const lifted = options.instead === true ? healAllRules(record.plan.nodes.map((node) => node.port)) : ''
  return apply(record, lifted + pairs.map(([from, to]) => isolateRules(from, to, options.oneWay ?? false)).join(''))
}

/** `percent` of the packets are lost at random, in each direction. */
export async function lossy(record: LabRecord, host: string, percent: number): Promise<FaultTime> {
  if (!Number.isInteger(percent) || percent < 1 || percent > 100) {
    throw new OperatorError('HF503', `${percent} is no loss in percent`, 'Use a whole number from 1 to 100.', 2)
  }
  return apply(record, lossyRules(nodeOf(record, host).port, percent))
}

export async function heal(record: LabRecord, host?: string): Promise<FaultTime> {
  const ports = record.plan.nodes.map((node) => node.port)
  if (host === undefined) return apply(record, healAllRules(ports))
  const own = nodeOf(record, host).port
  return apply(
    record,
    healRules(
      own,
      ports.filter((port) => port !== own),
    ),
  )
}

async function apply(record: LabRecord, rules: string): Promise<FaultTime> {
  const atMs = performance.timeOrigin + performance.now()
  await applyRules(record.plan, rules)
  return { atMs }
}
