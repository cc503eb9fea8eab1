/** What the agents of a group say of a move, put together. Asks nobody. */
import { isReceiving, laterMove, type Move } from '../model/move.ts'
import type { RedisFacts, SourceProbe } from '../model/view.ts'
import { OperatorError } from '../model/error.ts'
import type { AgentGroup, GroupStatus } from './ask.ts'

export interface MoveStatus {
  readonly move: Move
  /** The member that sees to it; null: nobody who is heard can name it. */
  readonly holder: string | null
  /** What that one does just now, and what it waits for; null: it is not heard itself. '': it has not said. */
  readonly because: string | null
  /** The source, as that one sees it. */
  readonly source: SourceProbe | null
  readonly members: readonly { readonly host: string; readonly redis: RedisFacts | null }[]
}

interface FoundMember {
  readonly member: { readonly host: string }
  readonly own: Pick<AgentGroup, 'state' | 'statement' | 'view' | 'decision'> | null
}

export function moveOf(found: readonly FoundMember[], epoch: number): MoveStatus | null {
  const move = found.reduce<Move | null>((latest, { own }) => laterMove(latest, own?.state?.move), null)
  if (move === null) return null
  const holder = found.find(({ own, member }) => own?.state?.epoch === epoch && own.state.holder === member.host)
  // Its name is needed most where it does not answer: nothing goes on before its agent is started again.
  const named = found.find(({ own }) => own?.state?.epoch === epoch)?.own?.state?.holder ?? null
  const because = holder === undefined ? null : (firstOf(holder.own?.decision?.because) ?? '')
  const members = found.map(({ member, own }) => ({ host: member.host, redis: own?.statement?.answering === true ? own.statement.redis : null }))
  return { move, holder: holder?.member.host ?? named, because, source: holder?.own?.view?.source ?? null, members }
}

/** Without the row of the truth table, which says in every cycle of a move that another redis serves. */
function firstOf(because: string | undefined): string | undefined {
  const at = because?.lastIndexOf(' — ') ?? -1
  return at < 0 ? because : because?.slice(0, at)
}

/** Why a group without a primary is as it should be; null: it is not. */
export function receivesWhy(group: string, move: MoveStatus | null): string | null {
  if (move === null || !isReceiving(move.move)) return null
  const { source, last, stage } = move.move
  const silent = move.because === null ? `; ${unheard(move)}` : ''
  if (stage === 'aborted') return `it does not serve (holdfast migrate status ${group}): ${last}${silent}`
  return `it does not serve: ${source.host}:${source.port} is being moved here (holdfast migrate status ${group}); ${last}${silent}`
}

/** In the words of an operator who has to find that host now. */
export function unheard({ holder }: Pick<MoveStatus, 'holder'>): string {
  return `the agent of ${holder ?? 'the member'} that sees to the move does not answer`
}

export function movingOf(status: GroupStatus | undefined, group: string): MoveStatus {
  const move = status?.move ?? null
  if (move === null && status?.members.every(({ agent }) => agent === 'down') === true)
    throw new OperatorError(
      'HF301',
      `no agent of ${group} answers: whether anything is being moved to it is not known`,
      `start them again; holdfast status ${group}`,
    )
  if (move === null) throw new OperatorError('HF905', `nothing is being moved to ${group}`, `holdfast migrate start redis://HOST:PORT ${group}`)
  return move
}
