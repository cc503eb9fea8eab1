/** One poll of a Sentinel: the questions of its pipeline, and what the replies say together. No IO. */
import type { Observed } from '../model/outcome.ts'
import {
  addressFrom,
  masterFrom,
  selectedFrom,
  tiltFrom,
  voteFrom,
  voteQuestion,
  type Address,
  type MasterReply,
  type VoteReply,
} from '../redis/sentinel-replies.ts'

export interface Question {
  /** The address that it named last, by which alone it tells its vote; null: not known yet, or its vote is not asked for. */
  readonly about: Address | null
  /** Also what only matters while it fails over. */
  readonly detailed: boolean
  readonly tilt: boolean
  readonly id: boolean
}

export interface Answer extends MasterReply {
  /** It was asked for its vote by the address that it names: `vote` null then means that it never gave one. */
  readonly voteTold: boolean
  readonly vote: VoteReply | null
  /** From when its selected replica is a primary its clients are told that one already; SENTINEL MASTER, with the new epoch, still names the old. */
  readonly serves: Address
  /** undefined: not asked. */
  readonly selected: Address | null | undefined
  readonly tilt: boolean | null
  readonly id: string | null
}

/** `askerId`: with a run id of `*` it would not tell its vote; in epoch 0 it gives none. */
export function questionsOf(question: Question, group: string, askerId: string): readonly (readonly string[])[] {
  const commands: (readonly string[])[] = [['SENTINEL', 'MASTER', group]]
  if (question.about !== null) commands.push(voteQuestion(question.about, 0, askerId))
  if (question.detailed) commands.push(['SENTINEL', 'GET-MASTER-ADDR-BY-NAME', group], ['SENTINEL', 'REPLICAS', group])
  if (question.tilt) commands.push(['INFO', 'sentinel'])
  if (question.id) commands.push(['SENTINEL', 'MYID'])
  return commands
}

export function answerOf(question: Question, replies: readonly Observed<unknown>[]): Observed<Answer> {
  const rest = [...replies]
  const next = (asked: boolean): unknown => {
    const reply = asked ? rest.shift() : undefined
    return reply?.ok === true ? reply.value : undefined
  }
  const first = replies[0]
  if (first === undefined || !first.ok) return { ok: false, why: first?.why ?? 'no answer' }
  const master = masterFrom(next(true))
  if (master === null) return { ok: false, why: 'protocol error: no answer to SENTINEL MASTER' }
  const vote = next(question.about !== null)
  const serves = addressFrom(next(question.detailed))
  const replicas = next(question.detailed)
  const tilt = tiltFrom(next(question.tilt))
  const id = next(question.id)
  const voteTold = question.about !== null && isSame(question.about, master.address)
  return {
    ok: true,
    value: {
      ...master,
      voteTold,
      vote: voteTold ? voteFrom(vote) : null,
      serves: serves ?? master.address,
      selected: question.detailed ? selectedFrom(replicas) : undefined,
      tilt,
      id: typeof id === 'string' ? id : null,
    },
  }
}

export function isSame(a: Address, b: Address): boolean {
  return a.ip === b.ip && a.port === b.port
}
