/** What a member tells its peers about itself. Pure: agent/ only sends it. */
import type { Statement, View } from '../model/view.ts'
import type { State } from '../model/state.ts'
import type { Policy } from '../model/policy.ts'
import { wordOfDisk } from './behind.ts'
import { judgeDisk } from './disk.ts'
import { ownFitness, saysWhatItHas } from './fitness.ts'
import { alarmsOf, isStuck, whyDiffers } from './stream.ts'
import { peerOf, redisAnswers, situationOf } from './situation.ts'
import { mayHaveForgotten } from './voting.ts'

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
    gone: state.gone !== null && saysWhatItHas(state, view) ? state.gone.epoch : 0,
    fresh: state.gone?.fresh ?? false,
    seesHolder: seesHolder(state, view, policy),
    vipHere: view.keepalived?.vipHere ?? false,
    vipMac: view.keepalived?.mac ?? null,
    ...readerWord(view),
    lineage: state.lineage,
    paused: state.paused,
    pauseKnown: state.pauseKnown,
    handover: handover === null ? null : { id: handover.id, to: handover.to, epoch: handover.epoch, stage: handover.stage },
    partial: state.partial,
    ...(state.refusedEpoch === null ? {} : { refuses: true as const }),
    ...(policy.quorum > 0 && mayHaveForgotten(view, policy) ? { young: true as const } : {}),
    votesHeard: state.votesHeard,
    vote: state.vote === null ? null : { epoch: state.vote.epoch, to: state.vote.to },
    ...(view.redis.sentinelMay === undefined ? {} : { orders: view.redis.sentinelMay.orders }),
    settings: view.redis.settings,
    trueCopy: !isStuck(view) && whyDiffers(state, view) === null,
    alarms: alarmsOf(state, view, policy),
    // What an external redis is started from, and whether clients write to it before its agent looks, nobody can promise.
    ...(policy.external ? {} : onDisk(state, view)),
    syncStarts: view.watch.attempts.startsAtMs.length,
    syncTookMs: Math.round(view.watch.attempts.tookMs),
    ...(state.move === null ? {} : { move: state.move }),
    preparedId: state.prepared !== null && state.prepared.runId === view.redis.facts?.runId ? state.prepared.id : null,
  }
}

function readerWord(view: View): Pick<Statement, 'reader'> {
  return view.reader === undefined ? {} : { reader: { ...view.reader, names: view.watch.reader?.names ?? null } }
}

function onDisk(state: State, view: View): Pick<Statement, 'onDisk'> {
  const { disk } = view.redis
  return disk == null ? {} : { onDisk: wordOfDisk(judgeDisk(disk, state.lineage, view.nowWallMs)) }
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
