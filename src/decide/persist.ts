/**
 * What a member writes to its disk follows its role (`persistence`). In calm cycles only, after whatever a promotion or a rejoin has to do: to turn an AOF or saves
 * on forks, and nobody waits for that. And nothing is turned off before another member has what it is to have: between the two the group would have no disk at all.
 * PURE.
 */
import type { Action } from '../model/action.ts'
import { isSamePersistence, persistenceInWords, writesAnything, type Persistence, type SavePoint } from '../model/persistence.ts'
import { persistAfterMs, type Policy } from '../model/policy.ts'
import type { State } from '../model/state.ts'
import type { RedisFacts, View } from '../model/view.ts'
import { heard, redisAnswers } from './situation.ts'

export interface PersistAdvice {
  readonly action: Action | null
  /** For people: what it is to have and has not, and what that waits for. null: it has it. */
  readonly waits: string | null
}

const settled: PersistAdvice = { action: null, waits: null }

/** `phase`: after this cycle. */
export function advisePersist(state: State, view: View, policy: Policy, phase = state.phase): PersistAdvice {
  const { facts, settings, persistFile } = view.redis
  const role = facts === null ? null : roleOf(facts, phase)
  const runs = settings?.persistence ?? null
  if (policy.persistence == null || state.handover !== null || facts === null || role === null || runs === null || !redisAnswers(view)) return settled
  const { rewritePercentage, rewriteMinBytes } = policy.persistence
  const wants = policy.persistence[role]
  const has: Persistence = { save: runs.save, aof: facts.aof?.enabled === false ? 'off' : runs.aof }
  const differs = !isSamePersistence(has, wants)
  const words = `as ${role} it is to have ${persistenceInWords(wants)} and has ${persistenceInWords(has)}`
  if (policy.external) return differs ? { action: null, waits: `${words}: not Holdfast's to set (process: external)` } : settled
  const isTuned = wants.aof === 'off' || (runs.rewritePercentage === rewritePercentage && runs.rewriteMinBytes === rewriteMinBytes)
  // The file of the next start says yes only where there is an AOF: started over an RDB without one, redis begins empty.
  const fileIsTrue = persistFile == null || persistFile === fileWord(has, facts)
  const isLeft = view.redis.aofLeft === true && has.aof === 'off' && wants.aof === 'off'
  if (!differs && isTuned && fileIsTrue && !isLeft) return settled
  if (view.redis.persistRefused === true) {
    const what = differs || !isLeft ? `${words}: it could not be set` : 'an AOF that was turned off could not be removed'
    return { action: null, waits: `${what}, and is tried again` }
  }
  const early = whyTooEarly(state, view, facts, has, wants)
  if (early !== null) return { action: null, waits: `${words}: ${early}` }
  const covered = isCovered(state, view, policy)
  const may = covered || !isAnythingWanted(policy) ? wants : withoutLoss(has, wants)
  // What another member covers is not kept here in an older state: at the next start it would be data of unknown history.
  const drop = covered && may.aof === 'off' && (has.aof !== 'off' || isLeft)
  const action: Action = { kind: 'persist', role, save: may.save, aof: may.aof, drop }
  const keeps = isSamePersistence(may, wants) ? '' : ': it keeps that until another member has what it is to have, and has written it'
  const isNothingToDo = isSamePersistence(may, has) && isTuned && fileIsTrue && !drop
  return { action: isNothingToDo ? null : action, waits: differs ? `${words}${keeps}` : null }
}

/** What is to come may come at once; what is to go stays. Two members that both waited for the other would wait for ever. */
function withoutLoss(has: Persistence, wants: Persistence): Persistence {
  return { save: wants.save.length === 0 ? has.save : wants.save, aof: wants.aof === 'off' ? has.aof : wants.aof }
}

function roleOf(facts: RedisFacts, phase: State['phase']): 'primary' | 'replica' | null {
  if (facts.loading || facts.syncing) return null
  if (facts.role === 'primary') return phase === 'primary' ? 'primary' : null
  return facts.linkUp && phase === 'replica' ? 'replica' : null
}

/** Until a rewrite has ended the files are not those of what is in memory. */
function fileWord(has: Persistence, facts: RedisFacts): 'yes' | 'no' {
  return has.aof !== 'off' && facts.aof?.rewriting === false ? 'yes' : 'no'
}

/** Only what forks is ever too early. */
function whyTooEarly(state: State, view: View, facts: RedisFacts, has: Persistence, wants: Persistence): string | null {
  if (!(has.aof === 'off' && wants.aof !== 'off') && !(has.save.length === 0 && wants.save.length > 0)) return null
  if (facts.supply?.saving === true) return 'a save is under way'
  const promotedMs = state.lineage.findLast((e) => e.epoch === state.epoch)?.atWallMs ?? 0
  const sinceMs = view.nowWallMs - promotedMs
  if (facts.role === 'replica' || sinceMs < 0 || sinceMs >= persistAfterMs) return null
  return `clients and replicas come first: a fork begins ${persistAfterMs / 1000} s after the promotion`
}

/** Where neither role is to have anything, nobody is waited for. */
function isAnythingWanted({ persistence }: Policy): boolean {
  return persistence != null && [persistence.primary, persistence.replica].some(writesAnything)
}

/** Does another member, with true data, write what its role is to write? Of one that is not heard nothing is known. */
function isCovered(state: State, view: View, policy: Policy): boolean {
  return view.peers.some((peer) => {
    const word = heard(peer)
    const facts = word?.redis ?? null
    if (word === null || facts === null || policy.persistence == null || !policy.members.some((m) => m.host === peer.host)) return false
    const isHolder = peer.host === state.holder
    const wants = policy.persistence[isHolder ? 'primary' : 'replica']
    if (facts.loading || facts.syncing || word.trueCopy === false || (isHolder ? facts.role !== 'primary' : !facts.linkUp)) return false
    if (wants.aof !== 'off') return facts.aof?.enabled === true && !facts.aof.rewriting && facts.aof.writeOk === true
    return hasSaved(facts, word.settings?.persistence?.save ?? [])
  })
}

/**
 * Save points that are set have saved nothing yet. Two members that took them for a file would both remove their AOF, and neither disk would have anything.
 * Of an older agent nothing is known.
 */
function hasSaved({ saves }: RedisFacts, points: readonly SavePoint[]): boolean {
  if (saves?.ok !== true || saves.ageS === null || points.length === 0) return false
  const { ageS, changes } = saves
  return points.every((point) => ageS <= point.seconds || changes < point.changes)
}
