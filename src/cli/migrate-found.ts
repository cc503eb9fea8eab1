/** What the agents of a group say of a move, put together. Asks nobody. */
import { isReceiving, laterMove, type Move } from '../model/move.ts'
import type { RedisFacts, SourceProbe } from '../model/view.ts'
import { OperatorError } from '../model/error.ts'
import type { AgentGroup, GroupStatus } from './ask.ts'

export interface MoveStatus {
  readonly move: Move
  /** The member that sees to it; null: not heard. */
  readonly holder: string | null
  /** The source, as that one sees it. */
  readonly source: SourceProbe | null
  readonly members: readonly { readonly host: string; readonly redis: RedisFacts | null }[]
}

interface FoundMember {
  readonly member: { readonly host: string }
  readonly own: Pick<AgentGroup, 'state' | 'statement' | 'view'> | null
}

export function moveOf(found: readonly FoundMember[], epoch: number): MoveStatus | null {
  const move = found.reduce<Move | null>((latest, { own }) => laterMove(latest, own?.state?.move), null)
  if (move === null) return null
  const holder = found.find(({ own, member }) => own?.state?.epoch === epoch && own.state.holder === member.host)
  const members = found.map(({ member, own }) => ({ host: member.host, redis: own?.statement?.answering === true ? own.statement.redis : null }))
  return { move, holder: holder?.member.host ?? null, source: holder?.own?.view?.source ?? null, members }
}

/** Why a group without a primary is as it should be; null: it is not. */
export function receivesWhy(group: string, move: MoveStatus | null): string | null {
  if (move === null || !isReceiving(move.move)) return null
  const { source, last } = move.move
  return `it does not serve: ${source.host}:${source.port} is being moved here (holdfast migrate status ${group}); ${last}`
}

export function movingOf(status: GroupStatus | undefined, group: string): MoveStatus {
  const move = status?.move ?? null
  if (move === null) throw new OperatorError('HF905', `nothing is being moved to ${group}`, `holdfast migrate start redis://HOST:PORT ${group}`)
  return move
}
