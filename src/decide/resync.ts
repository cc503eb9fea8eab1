/**
 * Full syncs: who needs one, who may begin, and what is done where they begin again and again. A full sync costs its source a save,
 * the network, and a buffer of all that is written meanwhile; several at once may cost it its memory. Pure.
 * What redis begins by itself (a link that comes back too late) is seen and counted, and not prevented.
 */
import type { Action } from '../model/action.ts'
import {
  maxSyncPauseMs,
  smallDatasetBytes,
  syncLoopStarts,
  syncPauseMs,
  syncPauseStarts,
  syncStallMs,
  syncTurnMs,
  type Policy,
  type PolicyMember,
} from '../model/policy.ts'
import type { State } from '../model/state.ts'
import type { RedisFacts, View } from '../model/view.ts'
import { whyClosed } from './moving.ts'
import { heard, peerOf, redisAnswers } from './situation.ts'

const mib = 1_048_576
/** redis' own default for the buffer of a replica: so much is allowed on any machine. */
const usualBufferBytes = 256 * mib

export interface SeenMember {
  readonly host: string
  readonly facts: RedisFacts
}

export function seenMembers(view: Omit<View, 'watch'>, policy: Policy): readonly SeenMember[] {
  const seen: SeenMember[] = []
  for (const { host } of policy.members) {
    const word = host === view.self ? null : heard(peerOf(view, host))
    const facts = host === view.self ? (redisAnswers(view) ? view.redis.facts : null) : word?.answering === true ? word.redis : null
    if (facts !== null) seen.push({ host, facts })
  }
  return seen
}

/** What redis will find when this dataset asks that one to continue. What an older agent does not tell counts as there. */
export function needsFullSync(facts: RedisFacts, source: RedisFacts): boolean {
  const next = facts.offset + 1
  const own = facts.replid !== '' && facts.replid === source.replid
  const before = source.replid2 !== '' && facts.replid === source.replid2 && next <= source.secondOffset
  if (!own && !before) return true
  const { supply } = source
  return supply !== undefined && (supply.backlogFrom < 0 || next < supply.backlogFrom)
}

/** It fetches everything from there, or is about to. */
export function isFilling(facts: RedisFacts, source: PolicyMember, sourceFacts: RedisFacts): boolean {
  const there = facts.role === 'replica' && facts.upstream?.host === source.ip && facts.upstream.port === source.port
  return there && (facts.syncing || (!facts.linkUp && needsFullSync(facts, sourceFacts)))
}

function filling(view: View, policy: Policy, source: PolicyMember, sourceFacts: RedisFacts): readonly string[] {
  const seen = seenMembers(view, policy)
  const told = seen.filter((m) => isFilling(m.facts, source, sourceFacts)).map((m) => m.host)
  // Whose agent is not heard is still seen by the source.
  const unheard = policy.members.filter(
    (m) => !seen.some((s) => s.host === m.host) && sourceFacts.followers.some((f) => !f.online && f.ip === m.ip && f.port === m.port),
  )
  const getsOn = (host: string) => {
    const sync = view.watch.syncs.find((s) => s.host === host)
    return sync === undefined || view.nowMs - sync.sinceMs < syncStallMs
  }
  return [...told.filter(getsOn), ...unheard.map((m) => m.host)]
}

export function freeSlots(view: View, policy: Policy, source: PolicyMember, sourceFacts: RedisFacts): number {
  return policy.maxFullSyncs - filling(view, policy, source, sourceFacts).length
}

/** Why this member does not begin its full sync from `source` yet; null: it needs none, or may begin. It never waits for ever. */
export function whyNotYet(state: State, view: View, policy: Policy, source: PolicyMember): string | null {
  const facts = view.redis.facts
  const sourceFacts = heard(peerOf(view, source.host))?.redis ?? null
  if (facts === null || sourceFacts === null || !needsFullSync(facts, sourceFacts)) return null
  const closed = whyClosed(state.move, view.nowWallMs)
  if (closed !== null) return closed
  const pauseMs = state.syncPause === null ? 0 : state.syncPause.untilMs - view.nowMs
  // Beyond the longest pause there is: the clock began anew with the machine.
  if (state.syncPause !== null && pauseMs > 0 && pauseMs <= maxSyncPauseMs)
    return `${state.syncPause.starts} full syncs from ${source.host} began and none was of use; the next one begins within ${pauseOf(state.syncPause.times) / 1000} s`
  if ((sourceFacts.supply?.usedBytes ?? 0) < smallDatasetBytes) return null
  const busy = filling(view, policy, source, sourceFacts).filter((h) => h !== state.host)
  const [first] = busy
  if (first !== undefined && busy.length >= policy.maxFullSyncs) return `waits for the full sync of ${first}${progressOf(view, first)}`
  const ahead = policy.members.filter((m) => goesFirst(m, state, view, policy, source))
  const [next] = ahead
  return next !== undefined && busy.length + ahead.length >= policy.maxFullSyncs ? `waits for ${next.host}, which is to be filled first` : null
}

function goesFirst(other: PolicyMember, state: State, view: View, policy: Policy, source: PolicyMember): boolean {
  const own = policy.members.find((m) => m.host === state.host)
  if (own === undefined || other.host === state.host || other.host === source.host || other.replicateFrom !== own.replicateFrom) return false
  const ranksHigher = other.priority !== own.priority ? other.priority > own.priority : other.host < own.host
  const idle = view.watch.idle.find((i) => i.host === other.host)
  return ranksHigher && idle !== undefined && view.nowMs - idle.sinceMs < syncTurnMs
}

function progressOf(view: View, host: string): string {
  const progress = heard(peerOf(view, host))?.redis?.progress ?? null
  return progress === null ? '' : ` (${Math.round(progress * 100)} %)`
}

function pauseOf(times: number): number {
  return Math.min(maxSyncPauseMs, syncPauseMs * 2 ** (times - 1))
}

/** What this replica lets go for a while, having begun too often in vain; null: it may go on. */
export function pauseAfterLoop(state: State, view: View): State['syncPause'] {
  const starts = view.watch.attempts.startsAtMs.length
  const { facts } = view.redis
  const before = state.syncPause
  if (facts === null || !facts.syncing || facts.loading || starts < syncPauseStarts) return null
  // The first one after a pause is given its time; that a second one begins shows that it failed.
  if (before !== null && before.starts < starts && starts < before.starts + 2) return null
  if (before !== null && before.starts >= starts && view.nowMs < before.untilMs) return null
  const times = before !== null && before.starts < starts ? before.times + 1 : 1
  return { starts, untilMs: view.nowMs + pauseOf(times), times }
}

export interface BufferAdvice {
  readonly text: string
  readonly action: Action | null
}

/** On the primary: a member begins again and again. If its buffer may be what ends each attempt, it is made larger. */
export function adviseReplicaBuffer(view: View, policy: Policy): BufferAdvice | null {
  const own = policy.members.find((m) => m.host === view.self)
  const loop = view.peers.map(heard).find((word) => {
    const upstream = word?.redis?.upstream
    return (word?.syncStarts ?? 0) >= syncLoopStarts && upstream?.host === own?.ip && upstream?.port === own?.port
  })
  if (loop == null) return null
  const head = `${loop.host} has begun its full sync again and again without ever catching up`
  const { settings, backlog } = view.redis
  if (settings?.replicaBuffer == null || backlog === null) return { text: `${head}; see its redis.log`, action: null }
  const limit = limitOf(settings.replicaBuffer, backlog.sizeBytes, loop.syncTookMs ?? 0)
  const needs = (backlog.bytesPerS * (loop.syncTookMs ?? 0)) / 1000
  if (limit === null || needs < limit / 2) return { text: `${head}; what is written meanwhile fits into its buffer, so see its redis.log`, action: null }
  const capBytes = Math.max(backlog.capBytes, usualBufferBytes)
  const bytes = Math.ceil(Math.min(Math.max(2 * needs, 2 * limit), capBytes) / mib) * mib
  const why = `${head}: about ${inMib(needs)} MiB are written meanwhile, and client-output-buffer-limit ends the link at ${inMib(limit)} MiB`
  if (bytes <= limit) return { text: `${why}; more would take too much memory: write less, or give redis more memory`, action: null }
  if (policy.external) return { text: `${why}; set it to "replica ${bytes} ${bytes} 60" (not Holdfast's to change: process: external)`, action: null }
  return { text: `${why}; it is raised to ${inMib(bytes)} MiB`, action: { kind: 'raise-replica-buffer', bytes } }
}

/** From redis 7 on the backlog is part of the same buffer, and a limit below it is not applied. */
function limitOf(
  buffer: { readonly hardBytes: number; readonly softBytes: number; readonly softS: number },
  backlogBytes: number,
  tookMs: number,
): number | null {
  const limits = [buffer.hardBytes, tookMs >= buffer.softS * 1000 ? buffer.softBytes : 0].filter((l) => l > 0)
  return limits.length === 0 ? null : Math.max(backlogBytes, Math.min(...limits))
}

function inMib(bytes: number): number {
  return Math.round(bytes / mib)
}
