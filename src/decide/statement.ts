/** What a member tells its peers about itself. Pure: agent/ only sends it. */
import type { Statement, View } from '../model/view.ts'
import type { State } from '../model/state.ts'
import type { Policy } from '../model/policy.ts'
import { isMeasuredSinceGone, ownFitness } from './fitness.ts'
import { alarmsOf, isStuck, whyDiffers } from './stream.ts'
import { peerOf, redisAnswers, situationOf } from './situation.ts'

export function statementOf(state: State, view: View, policy: Policy): Statement {
  const fitness = ownFitness(state, view, policy)
  const handover = state.handover
  return {
    host: state.host,
    epoch: state.epoch,
    phase: state.phase,
    holder: state.holder,
    redis: view.redis.facts,
    process: view.redis.process,
    answering: redisAnswers(view),
    fit: fitness.fit,
    unfitWhy: fitness.why,
    gone: state.gone !== null && isMeasuredSinceGone(state, view) ? state.gone.epoch : 0,
    fresh: state.gone?.fresh ?? false,
    seesHolder: seesHolder(state, view, policy),
    vipHere: view.keepalived?.vipHere ?? false,
    vipMac: view.keepalived?.mac ?? null,
    lineage: state.lineage,
    paused: state.paused,
    handover: handover === null ? null : { id: handover.id, to: handover.to, epoch: handover.epoch, stage: handover.stage },
    partial: state.partial,
    votesHeard: state.votesHeard,
    vote: state.vote === null ? null : { epoch: state.vote.epoch, to: state.vote.to },
    settings: view.redis.settings,
    trueCopy: !isStuck(view) && whyDiffers(state, view) === null,
    alarms: alarmsOf(state, view, policy),
    syncStarts: view.watch.attempts.startsAtMs.length,
    syncTookMs: Math.round(view.watch.attempts.tookMs),
    preparedId: state.prepared !== null && state.prepared.runId === view.redis.facts?.runId ? state.prepared.id : null,
  }
}

/**
 * Of a primary whose agent is dead this member does not know more than that its redis answers. For one that has lost sight of its
 * host that is enough: it serves, and whoever is promoted beside it would be a second writer (INV-3, INV-7).
 */
function seesHolder(state: State, view: View, policy: Policy): Statement['seesHolder'] {
  const { holder } = situationOf(state, view, policy)
  const reach = holder !== 'unclear' || state.holder === null ? undefined : peerOf(view, state.holder)?.redisReach
  return reach === 'primary' || reach === 'answers' ? 'serves' : holder
}
