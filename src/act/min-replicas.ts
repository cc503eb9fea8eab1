/**
 * min-replicas-to-write and min-replicas-max-lag of a redis that runs. Two things change them: the write fence, and `durability: safe`.
 * What they were before `safe` is on disk BEFORE it is changed, so that it can be put back when `safe` is not asked for any more.
 * Decides nothing.
 */
import type { Config } from '../model/config.ts'
import type { Outcome } from '../model/outcome.ts'
import { safeLimitsFile } from '../model/paths.ts'
import { safeMaxLagS, type MinReplicas } from '../render/redis-conf.ts'
import { knownRecord, removeDurably, writeDurably } from './durable.ts'
import { command, type Linked } from './redis.ts'

const deadlineMs = 1000

export interface LimitsRead extends MinReplicas {
  /** What this redis calls them. */
  readonly names: 'min-replicas' | 'min-slaves'
}

/** null: it does not tell. */
export async function readLimits(hands: Linked): Promise<LimitsRead | null> {
  const answer = await hands.link()?.call(['CONFIG', 'GET', 'min-*'], deadlineMs)
  if (answer?.ok !== true || !Array.isArray(answer.value)) return null
  const words = answer.value.map(String)
  const setting = (name: string) => (words.includes(name) ? (words[words.indexOf(name) + 1] ?? null) : null)
  for (const names of ['min-replicas', 'min-slaves'] as const) {
    const [toWrite, maxLag] = [setting(`${names}-to-write`), setting(`${names}-max-lag`)]
    if (toWrite !== null && maxLag !== null) return { names, toWrite, maxLag }
  }
  return null
}

/** The lag first: a limit that is being made stricter is never in force with a lag that nobody asked for. */
export async function setLimits(hands: Linked, names: LimitsRead['names'], values: MinReplicas): Promise<Outcome> {
  const lag = await command(hands, 'CONFIG', 'SET', `${names}-max-lag`, values.maxLag)
  return lag.done ? command(hands, 'CONFIG', 'SET', `${names}-to-write`, values.toWrite) : lag
}

/** Who asks for more replicas keeps that, with the lag that goes with it. Where the limit is off, the lag is redis' default and nobody's choice. */
export function safeValues(own: MinReplicas): MinReplicas {
  return Number(own.toWrite) >= 1 ? own : { toWrite: '1', maxLag: String(safeMaxLagS) }
}

export interface SafeRecord {
  /** The process whose values were changed. null: the one that Holdfast started last, which had ours from the beginning. */
  readonly runId: string | null
  readonly own: MinReplicas
  readonly ours: MinReplicas
}

type Hands = { readonly config: Pick<Config, 'paths'>; readonly group: { readonly name: string } }

const known = new Map<string, SafeRecord | null>()

export function requiredReplica(paths: Config['paths'], group: string): { readonly runId: string | null } | null {
  const record = safeRecord({ config: { paths }, group: { name: group } })
  return record === null ? null : { runId: record.runId }
}

export function safeRecord(hands: Hands): SafeRecord | null {
  return knownRecord(known, safeLimitsFile(hands.config.paths, hands.group.name))
}

/** Written once per process: what is read after that is ours, or half of it. */
export async function rememberOwn(hands: Hands, runId: string, own: MinReplicas, ours: MinReplicas): Promise<void> {
  const record = safeRecord(hands)
  if (isSame(own, ours) || (record !== null && (record.runId === null || record.runId === runId))) return
  try {
    await write(hands, { runId, own: only(own), ours: only(ours) })
  } catch {
    // A disk that takes nothing must not leave writes that only one member has: ours then stay until redis is started anew.
  }
}

/** Of a process that is about to be started. `limits` null: with its user's own values. */
export async function rememberStart(hands: Hands, limits: Pick<SafeRecord, 'own' | 'ours'> | null): Promise<void> {
  try {
    if (limits === null || isSame(limits.own, limits.ours)) return await forgetOwn(hands)
    const record = safeRecord(hands)
    if (record?.runId === null && isSame(record.own, limits.own) && isSame(record.ours, limits.ours)) return
    await write(hands, { runId: null, ...limits })
  } catch {
    // A disk that takes nothing must not leave a redis down: its limits then stay as they are started until it is started anew.
  }
}

export async function forgetOwn(hands: Hands): Promise<void> {
  if (safeRecord(hands) === null) return
  const file = safeLimitsFile(hands.config.paths, hands.group.name)
  await removeDurably(file)
  known.set(file, null)
}

async function write(hands: Hands, record: SafeRecord): Promise<void> {
  const file = safeLimitsFile(hands.config.paths, hands.group.name)
  await writeDurably(file, JSON.stringify(record))
  known.set(file, record)
}

function only({ toWrite, maxLag }: MinReplicas): MinReplicas {
  return { toWrite, maxLag }
}

function isSame(one: MinReplicas, other: MinReplicas): boolean {
  return one.toWrite === other.toWrite && one.maxLag === other.maxLag
}
