/**
 * Folds one more look at the world into what only several looks can tell: whether the own stream follows, whether the full syncs of
 * the members get on, how often the own one began anew. Pure; `agent/` keeps the result and puts it into the next View.
 */
import { stallLimitMs, syncLoopWindowMs, stuckMs, underWayBytes, type Policy } from '../model/policy.ts'
import type { State } from '../model/state.ts'
import type { RedisFacts, View } from '../model/view.ts'
import { freshWatch, type SyncWatch, type Watch } from '../model/watch.ts'
import { ownFitness, saysWhatItHas } from './fitness.ts'
import { watchReader } from './reader.ts'
import { freeSlots, isFilling, needsFullSync, seenMembers, type SeenMember } from './resync.ts'
import { heard, isServingPhase, peerOf, redisAnswers } from './situation.ts'
import { watchCare } from './sync-care.ts'

const maxAttempts = 32

type Look = Omit<View, 'watch'>

export function watch(before: Watch, state: State, view: Look, policy: Policy): Watch {
  const source = state.holder === null ? null : (heard(peerOf(view, state.holder))?.redis ?? null)
  // Where all are heard and none is without a link there is nothing to watch: the usual case, in every cycle.
  const members = seenMembers(view, policy)
  const calm = members.length === policy.members.length && members.every(({ facts }) => facts.role === 'primary' || facts.linkUp)
  const syncs = calm ? freshWatch.syncs : watchSyncs(before.syncs, view, members, source)
  const stream = watchStream(before.stream, state, view, source)
  const attempts = watchAttempts(before.attempts, view, source)
  const idle = calm ? freshWatch.idle : watchIdle({ ...before, syncs }, state, view, policy, members, source)
  const told = hear(before.told, state, source)
  const reader = watchReader(before.reader, state, view, policy)
  const readySinceMs = isReady(view) ? (before.readySinceMs ?? view.nowMs) : null
  const saidSinceMs = saysWhatItHas(state, view) ? (before.saidSinceMs ?? view.nowMs) : null
  const care = watchCare(before.care, state, view)
  const unfitSinceMs = isUnfit({ ...view, watch: before }, state, policy) ? (before.unfitSinceMs ?? view.nowMs) : null
  const next: Watch = { told, stream, syncs, idle, attempts, reader, readySinceMs, saidSinceMs, care, unfitSinceMs }
  return isSame(before, next) ? before : next
}

function isSame(a: Watch, b: Watch): boolean {
  const ready = a.readySinceMs === b.readySinceMs && a.saidSinceMs === b.saidSinceMs && a.unfitSinceMs === b.unfitSinceMs
  const calm = ready && a.told === b.told && a.stream === b.stream && a.reader === b.reader
  return calm && a.care === b.care && a.syncs === b.syncs && a.idle === b.idle && a.attempts === b.attempts
}

function isReady(view: Look): boolean {
  const { facts } = view.redis
  return view.durable && facts !== null && !facts.loading && !facts.syncing && redisAnswers(view)
}

function isUnfit(view: View, state: State, policy: Policy): boolean {
  return policy.sentinel !== null && !isServingPhase(state.phase) && !ownFitness(state, view, policy).fit
}

/** Kept when nothing is heard any more, for that is when it is needed; another stream begins anew. */
function hear(before: Watch['told'], state: State, source: RedisFacts | null): Watch['told'] {
  const replid = state.holder === state.host ? undefined : state.lineage.at(-1)?.replid
  const known = before?.replid === replid ? before : null
  if (source === null || source.replid !== replid) return known
  return known !== null && known.offset >= source.offset ? known : { replid: source.replid, offset: source.offset }
}

/** What this agent saw only before it stood still, or redis before it answered again, is not held against the stream. */
function watchStream(before: Watch['stream'], state: State, view: Look, source: RedisFacts | null): Watch['stream'] {
  const { facts } = view.redis
  const moot = state.phase !== 'replica' || facts === null || facts.role !== 'replica' || facts.syncing || facts.loading
  if (moot) return { ...freshWatch.stream, runId: facts?.runId ?? '', offset: facts?.offset ?? 0 }
  const { runId, offset } = facts
  const same = before.runId === runId && before.offset === offset
  const latched = before.runId === runId ? before.stuckSinceMs : null
  if (!redisAnswers(view) || view.stalledMs > stallLimitMs) return { runId, offset, aheadSinceMs: null, stuckSinceMs: latched, lagsSinceMs: null }
  // Nothing is known of the primary: what was found before stays, for this may be the moment in which it is needed.
  if (source === null || source.replid !== facts.replid)
    return { runId, offset, aheadSinceMs: same ? before.aheadSinceMs : null, stuckSinceMs: latched, lagsSinceMs: null }
  if (same && offset >= source.offset && before.aheadSinceMs === null && before.stuckSinceMs === null && before.lagsSinceMs === null) return before
  if (offset >= source.offset) return { runId, offset, aheadSinceMs: null, stuckSinceMs: null, lagsSinceMs: null }
  const aheadSinceMs = same ? (before.aheadSinceMs ?? view.nowMs) : view.nowMs
  const stuck = view.nowMs - aheadSinceMs >= stuckMs
  const lags = source.offset - offset > underWayBytes
  const lagsSinceMs = lags ? ((before.runId === runId ? before.lagsSinceMs : null) ?? view.nowMs) : null
  return { runId, offset, aheadSinceMs, stuckSinceMs: latched ?? (stuck ? view.nowMs : null), lagsSinceMs }
}

/** A save at the source counts as progress: the sync waits for it, and cannot show any. */
function watchSyncs(before: Watch['syncs'], view: Look, members: readonly SeenMember[], source: RedisFacts | null): Watch['syncs'] {
  const found: SyncWatch[] = []
  for (const { host, facts } of members) {
    if (facts.role !== 'replica' || facts.linkUp || facts.upstream === null || facts.upstream.port === 1) continue
    const mark = `${facts.runId} ${facts.syncing} ${facts.loading} ${facts.progress} ${facts.syncLeftBytes}`
    const known = before.find((s) => s.host === host)
    found.push(known?.mark === mark && source?.supply?.saving !== true ? known : { host, mark, sinceMs: view.nowMs })
  }
  return found
}

/** The patience with a member that is to go first runs only while it could go. */
function watchIdle(before: Watch, state: State, view: Look, policy: Policy, seen: readonly SeenMember[], source: RedisFacts | null): Watch['idle'] {
  const holder = policy.members.find((m) => m.host === state.holder)
  if (source === null || holder === undefined) return []
  const needy = seen.filter(({ facts }) => !isFilling(facts, holder, source) && !facts.linkUp && needsFullSync(facts, source)).map((m) => m.host)
  // Its agent is heard, its redis is down or just starting: two that come back in one moment must not overlook each other.
  const unknown = view.peers.filter((p) => heard(p) !== null && !seen.some((m) => m.host === p.host)).map((p) => p.host)
  // Who refuses to follow waits for an operator, and is not to be waited for.
  const waiting = [...needy, ...unknown].filter((host) => host !== holder.host && heard(peerOf(view, host))?.refuses !== true)
  const free = waiting.length > 0 && freeSlots({ ...view, watch: before }, policy, holder, source) > 0
  return waiting.map((host) => ({ host, sinceMs: free ? (before.idle.find((i) => i.host === host)?.sinceMs ?? view.nowMs) : view.nowMs }))
}

function watchAttempts(before: Watch['attempts'], view: Look, source: RedisFacts | null): Watch['attempts'] {
  const { facts } = view.redis
  if (facts === null || !redisAnswers(view)) return before
  if (facts.role === 'primary') return freshWatch.attempts
  if (facts.linkUp && !before.syncing && before.startsAtMs.length === 0) return before
  const leftBytes = facts.syncing && !facts.loading ? (facts.syncLeftBytes ?? -1) : -1
  const caughtUp = facts.linkUp && source !== null && source.replid === facts.replid && facts.offset >= source.offset
  // Broken off and begun anew between two looks: there is more left than before, or it is not known again.
  const anew = facts.syncing && (!before.syncing || (!facts.loading && before.leftBytes >= 0 && (leftBytes < 0 || leftBytes > before.leftBytes)))
  const starts = caughtUp ? [] : before.startsAtMs.filter((atMs) => view.nowMs - atMs < syncLoopWindowMs)
  const began = before.startsAtMs.at(-1)
  const ended = before.syncing && (anew || !facts.syncing) && began !== undefined
  return {
    startsAtMs: anew ? [...starts, view.nowMs].slice(-maxAttempts) : starts.length === before.startsAtMs.length ? before.startsAtMs : starts,
    syncing: facts.syncing,
    leftBytes,
    tookMs: ended ? view.nowMs - began : before.tookMs,
  }
}
