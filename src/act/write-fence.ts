/**
 * The fence that leaves a redis a primary (min-replicas-to-write above any number of replicas), so that its stream can still be
 * read: clients get -NOREPLICAS, reads go on. The user's values are on disk BEFORE they are changed, and put back exactly.
 * Decides nothing: when to fence and when to lift is the core's.
 */
import type { Config } from '../model/config.ts'
import { done, failed, type Outcome } from '../model/outcome.ts'
import { writeFenceFile } from '../model/paths.ts'
import { knownRecord, removeDurably, writeDurably } from './durable.ts'
import { readLimits, rememberOwn, safeValues, setLimits, type LimitsRead } from './min-replicas.ts'
import { command, softFence, type Linked, type RedisHands } from './redis.ts'

/** No group has so many replicas; a value of ours is told from a user's by it. */
const unreachable = '99'
/** With a lag of 0 redis would not look at all. */
const anyLag = '10'

interface FenceRecord extends LimitsRead {
  /** The process whose values were changed. */
  readonly runId: string
  /** Redis has confirmed it. An agent that dies before sets it again. */
  readonly inForce: boolean
}

/** The guard has no more than this (src/guard/). */
type FenceHands = Linked & { readonly config: Pick<Config, 'paths'>; readonly group: { readonly name: string } }

const known = new Map<string, FenceRecord | null>()

/** `anew`: this agent stood still, and the guard may have set one meanwhile. */
export function writeFence(paths: Config['paths'], group: string, anew = false): { readonly runId: string; readonly inForce: boolean } | null {
  const file = writeFenceFile(paths, group)
  if (anew) known.delete(file)
  const record = knownRecord(known, file)
  return record === null ? null : { runId: record.runId, inForce: record.inForce }
}

/** Idempotent, also half done: the values are written down once, and set each time. What cannot be fenced so is fenced as ever. */
export async function fenceWrites(hands: FenceHands, runId: string): Promise<Outcome> {
  return (await setFence(hands, runId)).outcome
}

/** `record`: by what it can be lifted; null: fenced otherwise. */
async function setFence(hands: FenceHands, runId: string): Promise<{ readonly outcome: Outcome; readonly record: FenceRecord | null }> {
  const soft = async () => ({ outcome: await softFence(hands), record: null })
  const file = writeFenceFile(hands.config.paths, hands.group.name)
  try {
    let record = knownRecord(known, file)
    if (record === null || record.runId !== runId) {
      const values = await readLimits(hands)
      if (values === null) return await soft()
      record = { ...values, runId, inForce: false }
      // Ours, and its record is lost: to remember it as the user's would refuse writes for ever.
      if (record.toWrite === unreachable) record = { ...record, toWrite: '0' }
      await writeDurably(file, JSON.stringify(record))
      known.set(file, record)
    }
    const lag = record.maxLag === '0' ? await command(hands, 'CONFIG', 'SET', `${record.names}-max-lag`, anyLag) : done
    const fence = lag.done ? await command(hands, 'CONFIG', 'SET', `${record.names}-to-write`, unreachable) : lag
    if (!fence.done) return await soft()
    if (!record.inForce) {
      const confirmed = { ...record, inForce: true }
      await writeDurably(file, JSON.stringify(confirmed))
      known.set(file, confirmed)
    }
    return { outcome: done, record }
  } catch {
    return await soft() // a disk that takes nothing must not leave a second writer
  }
}

/**
 * The same by somebody beside the agent. It remembers nothing from one time to the next: the agent may have lifted what was set the last
 * time. And if it lifts at this very moment, its record is gone afterwards: then the values are put back here, or they would stay.
 */
export async function fenceFromOutside(hands: FenceHands, runId: string): Promise<Outcome> {
  const file = writeFenceFile(hands.config.paths, hands.group.name)
  known.delete(file)
  const { outcome, record } = await setFence(hands, runId)
  known.delete(file)
  if (record === null || knownRecord(known, file) !== null) return outcome
  const open = await setLimits(hands, record.names, record)
  return open.done ? failed('the agent lifted the fence at the same moment') : open
}

/** Puts the user's values back, if what stands there is still ours, and forgets them. */
export async function liftFence(hands: RedisHands): Promise<Outcome> {
  const file = writeFenceFile(hands.config.paths, hands.group.name)
  const record = knownRecord(known, file)
  if (record === null) return done
  const now = await readLimits(hands)
  if (now === null) return failed('redis does not tell its min-replicas values, so the write fence cannot be lifted')
  // They may be from before `safe` was asked for: not one write is let through between.
  const own = hands.group.durability === 'safe' ? safeValues(record) : record
  if (now.toWrite === unreachable) {
    await rememberOwn(hands, record.runId, record, own)
    const open = await setLimits(hands, record.names, own)
    if (!open.done) return open
  }
  try {
    await removeDurably(file)
  } catch (error) {
    return failed(`cannot remove ${file}: ${(error as Error).message}`)
  }
  known.set(file, null)
  // The guard may have set it between the two. From here on it finds no record, and puts the values back itself.
  const after = await readLimits(hands)
  return after?.toWrite === unreachable ? setLimits(hands, record.names, own) : done
}
