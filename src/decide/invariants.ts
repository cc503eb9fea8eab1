/**
 * The safety rules as assertions over a finished decision, on in production: a decision that breaks one is not carried out.
 * They repeat in other words what the responses already ensure; that is their point.
 */
import { assert } from '../model/assert.ts'
import type { Decision } from '../model/decision.ts'
import type { Policy } from '../model/policy.ts'
import type { State } from '../model/state.ts'
import type { View } from '../model/view.ts'
import { isPlaced, positionOf } from './position.ts'
import { votesFor } from './sentinels.ts'
import { heard, isServingPhase, peerOf } from './situation.ts'

export function checkInvariants(state: State, view: View, policy: Policy, decision: Decision): void {
  const { next, actions } = decision
  const facts = view.redis.facts
  const forced = view.request?.kind === 'failover' || view.request?.kind === 'accept'
  const promotes = actions.some((a) => a.kind === 'promote')
  assert(next.epoch >= state.epoch, `epochs only rise (${state.epoch} → ${next.epoch})`)
  assert(!promotes || next.phase === 'promoting', 'a promotion is claimed before it is done')
  assert(decision.because.length > 0 && decision.rule.length > 0, 'INV-9: every decision explains itself')
  if (promotes && state.phase !== 'promoting') {
    assert(
      next.epoch > state.epoch || (next.epoch === state.epoch && state.prepared?.epoch === next.epoch) || learnedEpoch(view) >= next.epoch,
      'INV-3: a promotion has an epoch of its own',
    )
    assert(facts !== null && !facts.loading && !facts.syncing && !next.partial, 'INV-4: whole data only')
    const handed = state.prepared?.epoch === next.epoch
    assert(forced || handed || next.differs === null, 'INV-4: data that are known to differ are promoted only by an operator')
    const elected = policy.quorum === 0 || forced || next.epoch === 1 || (state.prepared?.epoch === next.epoch && state.prepared.from !== state.host)
    const bySentinels = policy.sentinel === null || forced || votesFor(view, next.epoch, next.host) >= policy.sentinel.votes
    // It held the group all the time, while nobody else could be elected.
    const handsItself = state.phase === 'handed' || state.phase === 'receiving'
    assert(bySentinels || state.prepared?.epoch === next.epoch || handsItself, 'INV-3: a promotion has the votes of the Sentinels')
    const sourceServes = view.source?.facts?.role === 'primary' && view.source.trouble === null
    assert(forced || state.phase !== 'receiving' || !sourceServes, 'INV-3: nobody is promoted beside a source that serves')
    assert(elected || handsItself || agentVotesFor(state, view, next.epoch) >= policy.quorum, 'INV-3: a promotion has the votes of a quorum')
    const holder = state.holder === null || state.holder === state.host ? null : heard(peerOf(view, state.holder))
    const holderServes =
      holder !== null && holder.epoch >= Math.min(state.epoch, next.epoch - 1) && holder.holder === holder.host && isServingPhase(holder.phase)
    assert(forced || !holderServes, 'INV-3: nobody is promoted beside a primary that says it serves')
  }
  for (const action of actions) {
    if (action.kind === 'follow') {
      // Of who serves now: a former primary that is off is remembered as serving, with what it had then.
      const word = next.holder === null ? null : heard(peerOf(view, next.holder))
      const wipes =
        word?.redis != null &&
        word.redis.keys === 0 &&
        (facts?.keys ?? 0) > 0 &&
        (next.lineage.at(-1)?.startOffset ?? 0) <= 1 &&
        next.lineage.length > 1 &&
        next.lineage.at(-1)?.accepted !== true
      assert(!wipes, 'INV-1: data are not given up to an empty primary')
      const position = facts === null ? null : positionOf(facts, next.lineage)
      const diverged = position !== null && isPlaced(position) && position.divergedBytes > 0 && (facts?.keys ?? 0) > 0
      const kept = actions.slice(0, actions.indexOf(action)).some((a) => a.kind === 'keep-dataset' || a.kind === 'keep-writes')
      assert(!diverged || kept, 'INV-6: nothing is given up before it is kept')
    }
    if (action.kind === 'follow-source') {
      const position = facts === null ? null : positionOf(facts, next.lineage)
      const own = position !== null && (facts?.keys ?? 0) > 0 && (!isPlaced(position) || position.divergedBytes > 0)
      assert(
        !own || actions.slice(0, actions.indexOf(action)).some((a) => a.kind === 'keep-dataset'),
        'INV-6: nothing is given up to a source before it is kept',
      )
      assert(next.phase === 'receiving', 'only who holds the group follows a source')
    }
    if (action.kind === 'start-redis' || action.kind === 'wipe-redis') assert(!policy.external, 'an external redis is never started')
    if (action.kind === 'set-aside' || action.kind === 'mend-aof')
      assert(view.redis.process === false && view.redis.disk != null, 'INV-6: a file is moved or mended only while no redis uses it')
    if (action.kind === 'wipe-redis') assert(!isServingPhase(next.phase) && view.request?.kind === 'reinit', "a dataset is wiped only on an operator's word")
    if (action.kind === 'drop-address') assert(!isServingPhase(next.phase), 'the address is not taken from a member that serves')
    if (action.kind === 'kill-redis') assert(!isServingPhase(next.phase), 'INV-7: a serving redis is not killed')
  }
  if (next.phase === 'handed' && state.phase !== 'handed') {
    const target = next.holder === null ? null : heard(peerOf(view, next.holder))
    assert(target?.redis != null && facts !== null && target.redis.offset === facts.offset, 'INV-5: an epoch is given away at equal offsets only')
  }
}

function agentVotesFor(state: State, view: View, epoch: number): number {
  const mine = state.vote?.epoch === epoch && state.vote.to === state.host ? 1 : 0
  return mine + view.peers.map((p) => heard(p)?.vote).filter((v) => v?.epoch === epoch && v.to === state.host).length
}

function learnedEpoch(view: View): number {
  return Math.max(0, ...view.peers.map((p) => p.statement?.epoch ?? 0))
}
