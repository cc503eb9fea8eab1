/** What a host without data decides: whom it votes for. It learns epochs and lineage like everybody, and never holds any. PURE. */
import type { Event } from '../model/action.ts'
import { busyTickMs, tickMs, type Policy } from '../model/policy.ts'
import type { State } from '../model/state.ts'
import type { RedisProbe, View } from '../model/view.ts'
import { holdStill, type Context } from './draft.ts'
import { learn } from './learn.ts'
import { situationOf } from './situation.ts'
import { withVote } from './voting.ts'

/** What its View says of a redis. */
export const noRedis: RedisProbe = {
  process: false,
  pid: null,
  facts: null,
  unansweredMs: 0,
  factsAgeMs: Number.MAX_SAFE_INTEGER,
  askedAgeMs: Number.MAX_SAFE_INTEGER,
  trouble: 'a witness has no data',
  busy: false,
  fence: null,
  backlog: null,
  settings: null,
}

export interface WitnessDecision {
  /** Durable before it is told. */
  readonly next: State
  readonly events: readonly Event[]
  readonly because: string
  /** The primary, if it knows of one, serves. */
  readonly calm: boolean
  readonly wakeInMs: number
}

export function decideAsWitness(state: State, view: View, policy: Policy): WitnessDecision {
  const learned = learn(state, view)
  const situation = situationOf(learned, view, policy)
  const ctx: Context = { state: learned, view, policy, situation }
  const calm = situation.claim !== 'theirs' || situation.holder === 'serves'
  const draft = withVote(ctx, holdStill(ctx, situation.holderWhy, calm ? tickMs * 2 : busyTickMs))
  return { next: draft.next, events: draft.events, because: draft.because, calm, wakeInMs: draft.wakeInMs }
}
