/**
 * A Sentinel that names another in the very epoch that this primary serves: it was told of it in the middle of a failover of its own, took the
 * epoch, and ended with whom it had promoted. Equal epochs never convince anybody, so its clients would be led astray for ever: the primary has
 * itself elected anew, and tells. PURE. How one stands is sentinels.ts'.
 */
import type { Action } from '../model/action.ts'
import type { Context, Draft } from './draft.ts'
import { askingOf, standBeforeSentinels, type SentinelBallot } from './sentinels.ts'
import { answering } from './sentinel-words.ts'

export interface Dispute {
  readonly ballot: SentinelBallot
  readonly why: string
}

/** null: all that answer name this primary, or know less than it does and are told (`tellRule`), or are not done yet. */
export function disputeOf({ state, view, policy }: Context): Dispute | null {
  if (policy.sentinel === null || state.phase !== 'primary' || state.handover !== null) return null
  const stray = answering(view).find(({ facts }) => facts !== null && facts.names !== state.host && facts.configEpoch >= state.epoch && facts.failover === null)
  if (stray === undefined) return null
  const why = `the Sentinel of ${stray.host} names ${stray.facts?.names ?? stray.facts?.address ?? 'another'} in epoch ${state.epoch} too: ${state.host} needs a later one`
  return { ballot: standBeforeSentinels(state, view, policy), why }
}

export function withDispute(dispute: Dispute | null, draft: Draft): Draft {
  if (dispute?.ballot.result !== 'waiting' || draft.next.phase !== 'primary') return draft
  const asks: readonly Action[] = askingOf(dispute.ballot)
  return { ...draft, next: { ...draft.next, vote: dispute.ballot.vote ?? draft.next.vote }, actions: [...draft.actions, ...asks] }
}
