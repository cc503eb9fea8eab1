/** The first primary of a group: the one choice that is made before there is any history to compare by. Pure. */
import { busyTickMs, tickMs } from '../model/policy.ts'
import { claimEpoch, holdStill, type Context, type Draft } from './draft.ts'
import { compareCandidates, type Candidate } from './fitness.ts'
import { askingOf, standBeforeSentinels } from './sentinels.ts'
import { answerMove } from './move-orders.ts'
import { heard, peerOf } from './situation.ts'

/** Nobody ever held the group. All members must be heard, because an unheard one may have the data. */
export function bootstrap(ctx: Context): Draft {
  const { state, view, policy } = ctx
  const facts = view.redis.facts
  if (facts === null) return holdStill(ctx, 'wait for redis', busyTickMs)
  const all: { host: string; keys: number; primary: boolean; eligible: boolean; priority: number }[] = []
  const missing: string[] = []
  for (const member of policy.members) {
    const own = member.host === state.host
    const word = own ? null : heard(peerOf(view, member.host))
    const seen = own ? facts : word?.answering === true ? word.redis : null
    if (seen === null || seen.loading || seen.syncing) missing.push(member.host)
    else all.push({ host: member.host, keys: seen.keys, primary: seen.role === 'primary', eligible: !member.neverPrimary, priority: member.priority })
  }
  if (facts.replid === '')
    return holdStill(
      ctx,
      `redis ${facts.version} has no replication ids (4.0 has), so data could not be compared: this group cannot be looked after (HF402)`,
      4 * tickMs,
    )
  if (view.request?.kind === 'move' && missing.length === 0) return answerMove(ctx)
  if (missing.length > 0) return holdStill(ctx, `a new group: waits for ${missing.join(', ')}, whose data must be seen before anybody is promoted`, tickMs)
  if (policy.awaitsMove === true)
    return holdStill(
      ctx,
      `a new group that another redis is to be moved to (migration: awaits): holdfast migrate start redis://HOST:PORT ${state.group}`,
      tickMs,
    )
  const eligible = all.filter((m) => m.eligible)
  const withKeys = all.filter((m) => m.keys > 0)
  const primaries = eligible.filter((m) => m.primary)
  const chosen = pickFirst(eligible, withKeys, primaries)
  if (chosen === null)
    return holdStill(
      ctx,
      `a new group: ${withKeys.map((m) => m.host).join(' and ')} hold data and none of them is plainly the primary; choose with failover --to HOST --force`,
      tickMs,
    )
  const because = `a new group: ${chosen.host} ${chosen.keys > 0 ? `holds the data (${chosen.keys} keys)` : 'has the highest priority, all are empty'}`
  if (chosen.host !== state.host) return holdStill(ctx, because, busyTickMs)
  if (policy.sentinel === null) return claimEpoch(ctx, 1, 'bootstrap', because)
  const ballot = standBeforeSentinels(state, view, policy)
  if (ballot.result === 'elected') return claimEpoch(ctx, ballot.epoch, 'bootstrap', `${because}; ${ballot.because}`)
  const waits = holdStill(ctx, `${because}; ${ballot.because}`, ballot.vote === state.vote ? busyTickMs : 0)
  return { ...waits, next: { ...state, vote: ballot.vote }, actions: askingOf(ballot) }
}

type Newcomer = { readonly host: string; readonly keys: number; readonly priority: number }

function pickFirst(eligible: readonly Newcomer[], withKeys: readonly Newcomer[], primaries: readonly Newcomer[]): Newcomer | null {
  const byPriority = (a: Newcomer, b: Newcomer) => compareCandidates(asCandidate(b), asCandidate(a))
  if (withKeys.length === 0) return [...(primaries.length > 0 ? primaries : eligible)].sort(byPriority)[0] ?? null
  const holders = withKeys.filter((m) => eligible.some((e) => e.host === m.host))
  if (withKeys.length === 1) return holders[0] ?? null
  const ruling = primaries.filter((m) => m.keys > 0)
  return ruling.length === 1 ? (ruling[0] ?? null) : null
}

function asCandidate(member: Newcomer): Candidate {
  return { host: member.host, priority: member.priority, position: { kind: 'empty' } }
}
