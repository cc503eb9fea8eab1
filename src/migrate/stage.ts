/** How far a move is, in the words of its plan, from what its members say. PURE. */
import type { Move } from '../model/move.ts'
import type { Arrivals, RedisFacts } from '../model/view.ts'

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
  'NOT_HEARD',
] as const
export type StageName = (typeof stageNames)[number]

export interface Seen {
  /** Of every member that holds data; null: it is not heard. */
  readonly members: readonly { readonly redis: RedisFacts | null }[]
  /** The group's address is with its primary, or it has none. */
  readonly hasAddress: boolean
  /** Clients of the source that are not ours; null: not known. */
  readonly clientsLeft: number | null
  /** Connections that the source has taken of late: who is refused may be gone again before anybody looks. null: not known. */
  readonly arrivals: Arrivals | null
  /** Since this stage began. */
  readonly forMs: number
}

/** Who is sent away comes back after a while. */
const comesBackMs = 5000

export function stageOf(move: Move, seen: Seen): StageName {
  switch (move.stage) {
    case 'sync':
      return syncStage(move, seen)
    case 'hold':
    case 'fence':
      return 'FENCED'
    case 'moved':
      if (!seen.hasAddress) return 'PROMOTED'
      return isDrained(seen) ? 'DRAINED' : 'MOVED'
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

function isDrained({ clientsLeft, arrivals, forMs }: Seen): boolean {
  return clientsLeft === 0 && forMs >= comesBackMs && arrivals?.count === 0 && arrivals.overMs >= comesBackMs
}

function syncStage(move: Move, { members }: Seen): StageName {
  const heard = members.flatMap(({ redis }) => (redis === null ? [] : [redis]))
  if (!move.synced) {
    if (heard.some(({ syncing, loading }) => syncing || loading)) return 'SYNCING'
    return heard.length === 0 ? 'NOT_HEARD' : 'PREPARED'
  }
  if (move.last.startsWith('rolled back')) return 'ROLLED_BACK'
  if (!heard.every((redis) => redis.linkUp && !redis.syncing && redis.replid === move.replid)) return 'SYNCING'
  // It may have all or nothing.
  if (heard.length < members.length) return 'NOT_HEARD'
  if (move.armed !== null) return 'ARMED'
  return move.verified === null ? 'IN_SYNC' : 'VERIFIED'
}
