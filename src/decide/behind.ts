/**
 * A replica whose link was alive when its primary went has all that the primary could send, but a slow wire or a busy replica may have
 * left it far behind. Then what the dead process had written to its disk is worth the time until it can be compared. Pure.
 */
import { drainMs, restartWaitMs, underWayBytes, type Policy } from '../model/policy.ts'
import type { State } from '../model/state.ts'
import type { Statement, View } from '../model/view.ts'
import type { DiskVerdict } from './disk.ts'
import { estimateSlackBytes, isPlaced, missingBytes, type Position } from './position.ts'
import { heard, peerOf } from './situation.ts'

/**
 * Is the end of the stream of a dead process still to be read here? To let go of it now would drop what was sent already. An external
 * redis may be back within a moment with anything at all, so its replica lets go at once.
 */
export function isDraining(state: State, view: View, policy: Policy): boolean {
  const { facts } = view.redis
  const { gone, holder } = state
  if (policy.external || gone === null || !gone.fresh || holder === null || facts === null) return false
  if (!facts.linkUp || facts.upstream === null || facts.upstream.port === 1) return false
  return heard(peerOf(view, holder))?.process === false && view.nowMs - gone.atMs < drainMs
}

/**
 * Why the lost primary is waited for although this replica is the best of those that were compared; null: it is not. Only an agent that
 * is heard can say what its disk has: a host that is lost may never come back, and what it had is kept when it does.
 */
export function whyAwaitHolder(state: State, view: View, position: Position): string | null {
  const { gone, holder } = state
  const word = holder === null ? null : heard(peerOf(view, holder))
  if (gone === null || word === null || isCompared(word)) return null
  const missing = missingBytes(position, gone.told, state.lineage)
  if (missing <= underWayBytes) return null
  const { onDisk } = word
  if (onDisk === null || (onDisk !== undefined && !isMore(onDisk, position))) return null
  // It loads what is known to be more: that may take minutes, and an operator may know better.
  const loads = onDisk !== undefined && word.process === true && word.redis?.loading === true
  if (!loads && view.nowMs - gone.atMs >= restartWaitMs) return null
  const had = Number.isFinite(missing)
    ? `${missing} bytes that ${holder ?? ''} had are missing here`
    : `it is not known how much of what ${holder ?? ''} had is missing here`
  const where = onDisk === undefined ? 'what its disk has is not known yet' : `its disk has epoch ${onDisk.epoch} up to offset ${onDisk.offset}`
  return `${had}, and ${where}. To go on without: holdfast failover ${state.group} --to ${state.host} --force`
}

function isCompared(word: Statement): boolean {
  return word.answering && word.redis !== null && !word.redis.loading && !word.redis.syncing
}

function isMore(onDisk: NonNullable<Statement['onDisk']>, position: Position): boolean {
  if (!isPlaced(position)) return true
  return onDisk.epoch > position.epoch || (onDisk.epoch === position.epoch && onDisk.offset > position.offset)
}

/** What a member tells of a disk that its redis has not read yet. */
export function wordOfDisk(verdict: DiskVerdict): NonNullable<Statement['onDisk']> | null {
  const { position, unreadable } = verdict
  if (unreadable !== null || !isPlaced(position) || position.divergedBytes > 0) return null
  return { epoch: position.epoch, offset: position.offset + (position.kind === 'noted' ? estimateSlackBytes : 0) }
}
