/**
 * The end of a promotion: an epoch that is claimed, durably, becomes one that is served, or is given up because the others have gone
 * on meanwhile. Claims no epoch itself (election.ts, forcing.ts, handover.ts do).
 */
import type { Action } from '../model/action.ts'
import type { Move } from '../model/move.ts'
import { busyTickMs, lonelyWaitMs } from '../model/policy.ts'
import { maxLineage, type LineageEntry, type State } from '../model/state.ts'
import { countsBytes } from './backlog.ts'
import { holdStill, type Context, type Draft } from './draft.ts'
import { candidateFromWord } from './fitness.ts'
import { holdsLease, isCutOff, lostVoters } from './lease.ts'
import { nameOf, withStage } from './moving.ts'
import { comparePositions, continuationOf, mergeLineage, positionOf } from './position.ts'
import { resign } from './resigning.ts'
import { heard, isWriteFenced, peerOf } from './situation.ts'

export function finishPromotion(ctx: Context): Draft {
  const { state, view, situation, policy } = ctx
  const facts = view.redis.facts
  if (facts === null) return holdStill(ctx, 'wait for its answer', busyTickMs)
  // Started from its disk, it counts nothing yet: the address does not lead to it before it does, or an old copy could pass for as good later.
  const counts = countsBytes(facts)
  const vip = counts || view.keepalived?.allowed === true
  if (situation.redis === 'replica') {
    if ((state.servingRunId !== null && state.servingRunId !== facts.runId) || facts.syncing || state.partial) return resign(ctx)
    // Claimed at a cut-over and not done: since then the source may have been started anew, with clients that write to it (INV-3).
    if (state.claim?.source === 'migration' && state.move?.stage === 'moved') {
      const sinceMs = state.move.epoch === state.epoch ? view.nowMs - state.move.stageMs : 0
      // What is known of this redis may be of before its promotion.
      const isOld = view.redis.unansweredMs > 0 || (sinceMs > 0 && view.redis.askedAgeMs >= sinceMs)
      return isOld ? holdStill(ctx, 'this redis is asked whether it was promoted', busyTickMs) : lookAtSourceAgain(ctx, state.move)
    }
    const richer = state.claim?.source === 'forced' ? undefined : policy.members.find((m) => m.host !== state.host && hasMoreThanHere(ctx, m.host))
    // Claimed in an election that is over: its agent died before it could promote, and the others have gone on (INV-4).
    if (richer !== undefined) return resign(ctx, `epoch ${state.epoch} was claimed and not taken; ${richer.host} has more data now`)
    const lost = lostVoters(state, view, policy)
    if (lost.length > 0) return resign(ctx, `epoch ${state.epoch} was claimed and not taken; ${lost.join(' and ')} have voted for another since`)
    if (state.claim?.source !== 'forced' && !holdsLease(state, view, policy)) {
      // Sentinels stand behind nobody whom they do not name yet: it would wait for ever.
      if (policy.sentinel !== null) return resign(ctx, `epoch ${state.epoch} was claimed and not taken while its votes were young`)
      return awaitTurn(ctx, 'its votes are old and no quorum is heard: another may have been elected')
    }
    const unheard = policy.members.filter((m) => m.host !== state.host && heard(peerOf(view, m.host)) === null).map((m) => m.host)
    if (isCutOff(view, policy)) return awaitTurn(ctx, 'this host hears no member and reaches none of check_ips')
    // After a restart of the agent the claim may be long outlived: who has just come listens before it makes a second primary.
    if (unheard.length > 0 && view.agentUptimeMs < lonelyWaitMs) return awaitTurn(ctx, `${unheard.join(', ')} may know of a later one`)
    return { ...holdStill(ctx, `epoch ${state.epoch} is claimed; redis is still to be promoted`, 0), actions: [{ kind: 'promote' }], vip }
  }
  const continues = continuationOf(facts, state.epoch, state.lineage)
  const before = state.lineage.findLast((e) => e.epoch < state.epoch)
  const entry: LineageEntry = {
    epoch: state.epoch,
    replid: facts.replid,
    startOffset: facts.secondOffset > 0 ? facts.secondOffset : state.lineage.length === 0 ? 0 : facts.offset + 1,
    holder: state.host,
    source: state.claim?.source ?? 'failover',
    why: state.claim?.why ?? '',
    atWallMs: view.nowWallMs,
    ...(continues === undefined ? {} : { continues }),
    ...(facts.secondOffset > 0 ? { from: facts.replid2 } : {}),
    ...(state.claim?.accepted === true ? { accepted: true } : {}),
  }
  const from = before?.holder ?? null
  // Not by what it says now: that may be of a process which has read an older disk.
  const lastSeen = from === null ? null : (state.claim?.told?.offset ?? peerOf(view, from)?.statement?.redis?.offset ?? null)
  const lostBytes = lastSeen === null || from === state.host ? null : Math.max(0, lastSeen - (entry.startOffset - 1))
  return {
    next: { ...state, phase: 'primary', lineage: mergeLineage(state.lineage, [entry], state.host, maxLineage), servingRunId: facts.runId, claim: null },
    // A gate that this host shut as the old primary of an earlier switchover would refuse its own clients now.
    actions: [{ kind: 'resume-writes' }, { kind: 'accept-connections' }, ...(counts ? [] : [{ kind: 'open-backlog' } as const])],
    events: [
      {
        kind: 'promoted',
        epoch: state.epoch,
        text: `${state.host} is primary: ${entry.why}`,
        data: { to: state.host, from, source: entry.source, startOffset: entry.startOffset, notReplicatedBytes: lostBytes },
      },
    ],
    because: `redis is primary with replication id ${facts.replid.slice(0, 8)} from offset ${entry.startOffset}`,
    wakeInMs: counts ? busyTickMs : 0,
    vip,
  }
}

/** As it was before the claim: what is seen at the source decides whether it is repeated. */
function lookAtSourceAgain(ctx: Context, move: Move): Draft {
  const { state, view } = ctx
  const last = `epoch ${state.epoch} was claimed and this redis not promoted: ${nameOf(move.source)} is looked at again`
  const { facts } = view.redis
  const continues = facts === null ? undefined : continuationOf(facts, state.epoch, state.lineage)
  const entry: readonly LineageEntry[] =
    facts === null || state.lineage.at(-1)?.epoch === state.epoch
      ? []
      : [
          {
            epoch: state.epoch,
            replid: facts.replid,
            startOffset: facts.offset + 1,
            holder: state.host,
            source: 'migration',
            why: last,
            atWallMs: view.nowWallMs,
            ...(continues === undefined ? {} : { continues }),
          },
        ]
  const lineage = mergeLineage(state.lineage, entry, state.host, maxLineage)
  // If the source serves after it, its clients may have to be sent there: after a way back that was taken back the address had not been let go of.
  const stage = { stage: 'fence', settled: false, settlingMs: null, last } as const
  const next: State = { ...withStage(state, move, view, stage), phase: 'receiving', claim: null, lineage }
  return { ...holdStill(ctx, last, 0), next, vip: false }
}

/** Meanwhile it follows nobody: whoever answers at the old primary's address may have begun anew with other data (INV-1). */
function awaitTurn(ctx: Context, why: string): Draft {
  return { ...holdStill(ctx, `epoch ${ctx.state.epoch} is claimed, but ${why}`, busyTickMs), actions: detach(ctx) }
}

/** As long as nobody serves, nothing here may accept writes or follow a process that comes back with other data. */
export function detach(ctx: Context): readonly Action[] {
  const upstream = ctx.view.redis.facts?.upstream ?? null
  const attached = upstream !== null && upstream.port !== 1
  // A primary that refuses writes already is left one: what only it has is still to be read from it.
  if (isWriteFenced(ctx.view)) return []
  return ctx.situation.redis !== 'replica' || attached ? [{ kind: 'soft-fence' }] : []
}

function hasMoreThanHere(ctx: Context, host: string): boolean {
  const { state, view, policy } = ctx
  const word = heard(peerOf(view, host))
  const theirs = word === null || word.redis?.loading === true ? null : candidateFromWord(policy, word, state)
  return theirs !== null && view.redis.facts !== null && comparePositions(theirs.position, positionOf(view.redis.facts, state.lineage)) > 0
}
