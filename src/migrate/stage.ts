/** How far a move is, in the words of its plan, from what its members say. PURE. */
import type { Move } from '../model/move.ts'
import type { RedisFacts } from '../model/view.ts'

export const stageNames = [
  'PREPARED',
  'SYNCING',
  'IN_SYNC',
  'VERIFIED',
  'ARMED',
  'FENCED',
  'PROMOTED',
  'MOVED',
  'DRAINED',
  'DONE',
  'GOING_BACK',
  'ROLLED_BACK',
  'ABORTED',
] as const
export type StageName = (typeof stageNames)[number]

export interface Seen {
  /** Of every member that holds data; null: it is not heard. */
  readonly members: readonly { readonly redis: RedisFacts | null }[]
  /** The group's address is with its primary, or it has none. */
  readonly hasAddress: boolean
  /** Clients of the source that are not ours; null: not known. */
  readonly clientsLeft: number | null
}

export function stageOf(move: Move, seen: Seen): StageName {
  switch (move.stage) {
    case 'sync':
      return syncStage(move, seen)
    case 'hold':
    case 'fence':
      return 'FENCED'
    case 'moved':
      if (!seen.hasAddress) return 'PROMOTED'
      return seen.clientsLeft === 0 ? 'DRAINED' : 'MOVED'
    case 'back-hold':
    case 'back-fence':
    case 'back-give':
      return 'GOING_BACK'
    case 'aborted':
      return 'ABORTED'
    case 'done':
      return 'DONE'
  }
}

function syncStage(move: Move, { members }: Seen): StageName {
  const all = members.every(({ redis }) => redis?.linkUp === true && !redis.syncing && redis.replid === move.replid)
  if (!move.synced) return members.some(({ redis }) => redis?.syncing === true || redis?.loading === true) ? 'SYNCING' : 'PREPARED'
  if (move.last.startsWith('rolled back')) return 'ROLLED_BACK'
  if (!all) return 'SYNCING'
  if (move.armed !== null) return 'ARMED'
  return move.verified === null ? 'IN_SYNC' : 'VERIFIED'
}
