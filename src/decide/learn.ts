/**
 * Before anything is decided: what the peers' words change in what this member must remember. Epochs only rise, the
 * later pause wins, lineages grow together. Changes no redis and promotes nobody.
 */
import type { RedisFacts, Statement, View } from '../model/view.ts'
import { laterMove } from '../model/move.ts'
import { maxLineage, type State } from '../model/state.ts'
import { mergeLineage, positionOf } from './position.ts'

export function learn(state: State, view: View): State {
  let next = state
  for (const peer of view.peers) {
    if (peer.statement !== null) next = learnOfVotes(learnFrom(next, peer.statement), peer.statement, view.nowMs)
  }
  next = learnWhoWasTold(learnWhoKnows(next, view), view)
  const { facts, process } = view.redis
  if (facts === null || process === false) return next
  next = forgetFreshness(next, facts)
  const before = next
  if (facts.role === 'replica') next = learnOfSync(next, facts)
  return learnOfErrors(before, next, facts, view.nowWallMs)
}

/**
 * What a replica answers with an error it has not applied. redis counts that per process and never forgets it: what was counted
 * before a full sync, or while it was a primary, is not about the data that it has now.
 */
function learnOfErrors(before: State, state: State, facts: RedisFacts, nowWallMs: number): State {
  const { runId, unexpectedErrors } = facts
  const known = state.streamErrors?.runId === runId ? state.streamErrors : { runId, seen: 0 }
  if (facts.role === 'primary') {
    if (known.seen === null && (state.differs === null || state.phase !== 'primary')) return state
    // Who serves is who the others are compared with.
    return { ...state, streamErrors: { runId, seen: null }, differs: state.phase === 'primary' ? null : state.differs }
  }
  if (facts.loading || facts.syncing || state.partial) return state
  const anew = (before.partial && !state.partial) || (state.differs !== null && positionOf(facts, state.lineage).kind === 'empty')
  if (anew) {
    const settled = known.seen === unexpectedErrors && state.differs === null
    return settled ? state : { ...state, streamErrors: { runId, seen: unexpectedErrors }, differs: null }
  }
  if (known.seen === null) return { ...state, streamErrors: { runId, seen: unexpectedErrors } }
  if (unexpectedErrors <= known.seen) return state
  const why = `it answered ${unexpectedErrors - known.seen === 1 ? 'a command' : 'commands'} of its primary with an error, so its data differ`
  const differs = state.differs ?? { why, atWallMs: nowWallMs }
  return state.differs === null ? { ...state, differs, streamErrors: { runId, seen: unexpectedErrors } } : state
}

/** The link that was alive when the primary went was another process's: this one has what the disk had (INV-4). */
function forgetFreshness(state: State, facts: RedisFacts): State {
  const { gone } = state
  if (gone === null || !gone.fresh || gone.runId == null || gone.runId === facts.runId) return state
  return { ...state, gone: { ...gone, fresh: false } }
}

/** Seen to begin, not seen to end: until it has ended the dataset may be half of one. */
function learnOfSync(state: State, facts: RedisFacts): State {
  const { partial, partialOf } = state
  if (facts.syncing) {
    const keys = facts.loading ? -1 : (partialOf?.keys ?? facts.keys)
    if (partial && partialOf?.keys === keys) return state
    return { ...state, partial: true, partialOf: partialOf === null ? { replid: facts.replid, offset: facts.offset, keys } : { ...partialOf, keys } }
  }
  if (!partial) return state
  // The primary may die in the very moment after the sync, before its link was ever seen up: redis takes the new id and
  // offset when the dataset is whole, and not before. Broken off while it was only transferred, it has cost nothing.
  const ended = partialOf !== null && (facts.replid !== partialOf.replid || facts.offset !== partialOf.offset || facts.keys === partialOf.keys)
  return facts.linkUp || (!facts.loading && ended) ? { ...state, partial: false, partialOf: null } : state
}

function learnFrom(state: State, word: Statement): State {
  let next = state
  if (word.paused.atWallMs > next.paused.atWallMs) next = { ...next, paused: word.paused }
  const move = laterMove(next.move, word.move)
  if (move !== next.move) next = { ...next, move }
  if (word.lineage.length > 0) {
    const lineage = mergeLineage(next.lineage, word.lineage, word.host, maxLineage)
    if (lineage !== next.lineage && JSON.stringify(lineage) !== JSON.stringify(next.lineage)) next = { ...next, lineage }
  }
  if (word.epoch < next.epoch || word.epoch === 0 || word.holder === null) return next
  if (word.epoch === next.epoch && (word.holder === next.holder || !winsTie(next, word))) return next
  return { ...next, epoch: word.epoch, holder: word.holder, gone: null }
}

/** Of the primary's peers: enough of them, and it needs no lease. */
function learnWhoWasTold(state: State, view: View): State {
  const { paused, pauseTold } = state
  if (!paused.on) return pauseTold == null ? state : { ...state, pauseTold: null }
  const known = pauseTold?.atWallMs === paused.atWallMs ? pauseTold.hosts : []
  const told = view.peers.filter((p) => !known.includes(p.host) && knowsOfPause(p.statement, paused.atWallMs, view)).map((p) => p.host)
  return told.length === 0 ? state : { ...state, pauseTold: { atWallMs: paused.atWallMs, hosts: [...known, ...told] } }
}

/** Sentinels are told nothing of a pause: where there are some, its redis takes no orders of theirs either, and was a replica when it had ceased to. */
export function knowsOfPause(word: Statement | null, atWallMs: number, { sentinels }: Pick<View, 'sentinels'>): boolean {
  if (word?.paused.on !== true || word.paused.atWallMs !== atWallMs) return false
  return sentinels === undefined || (word.orders === false && word.answering && word.redis?.role === 'replica')
}

/** That somebody has heard it from the holder stays true: who cannot hear the holder takes it from others. */
function learnWhoKnows(state: State, view: View): State {
  const { holder, paused, pauseKnown } = state
  const { atWallMs } = paused
  if (holder === null || atWallMs === 0 || (pauseKnown?.host === holder && pauseKnown.atWallMs === atWallMs)) return state
  const knows = view.peers.some(({ host, statement }) => {
    const told = statement?.pauseKnown
    return (host === holder && statement?.paused.atWallMs === atWallMs) || (told?.host === holder && told.atWallMs === atWallMs)
  })
  return knows ? { ...state, pauseKnown: { host: holder, atWallMs } } : state
}

/**
 * A vote that was told counts, whatever becomes of the voter's disk. So everybody remembers what the others have told, and a voter that
 * comes back from an old snapshot takes the later vote of its own over before it could vote in that epoch again (INV-3).
 */
function learnOfVotes(state: State, word: Statement, nowMs: number): State {
  let next = state
  const known = state.votesHeard.find((v) => v.from === word.host)
  if (word.vote != null && word.vote.epoch > (known?.epoch ?? 0)) {
    const told = { from: word.host, epoch: word.vote.epoch, to: word.vote.to }
    next = { ...next, votesHeard: [...next.votesHeard.filter((v) => v.from !== word.host), told] }
  }
  const own = word.votesHeard?.find((v) => v.from === state.host)
  if (own === undefined || own.epoch <= (next.vote?.epoch ?? 0)) return next
  return { ...next, vote: { epoch: own.epoch, to: own.to, atMs: nowMs } }
}

/** Two members claimed one epoch (neither could hear the other): all must agree on who yields. The merged lineage says. */
function winsTie(state: State, word: Statement): boolean {
  const entry = state.lineage.find((e) => e.epoch === word.epoch)
  if (entry !== undefined) return entry.holder === word.holder
  return state.holder === null || (word.holder !== null && word.holder < state.holder)
}
