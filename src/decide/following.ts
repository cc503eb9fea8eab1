/**
 * A primary serves elsewhere: replicate from it, but never give data up without a copy (INV-6) and never to a dataset
 * that is empty or older (INV-1). Also the way back of a former primary.
 */
import type { Action, Event } from '../model/action.ts'
import { busyTickMs, tickMs, vipHoldOffMs } from '../model/policy.ts'
import type { LineageEntry, State } from '../model/state.ts'
import type { RedisFacts, Statement } from '../model/view.ts'
import { holdStill, type Context, type Draft } from './draft.ts'
import { memberOf, ownFitness } from './fitness.ts'
import { whyClosed } from './moving.ts'
import { describePosition, estimateSlackBytes, forkOf, isPlaced, positionOf, type Position } from './position.ts'
import { needsFullSync, whyNotYet } from './resync.ts'
import { heard, isWriteFenced, peerOf } from './situation.ts'
import { beganOutside } from './sync-care.ts'

export function follow(ctx: Context): Draft {
  const { state, view } = ctx
  const holder = state.holder
  const word = holder === null ? null : heard(peerOf(view, holder))
  const facts = view.redis.facts
  if (holder === null || word === null || facts === null) return holdStill(ctx, 'the primary is not heard', tickMs)
  const upstream = upstreamFor(ctx, holder)
  if (upstream === null) return holdStill(ctx, `${holder} is not in this group's configuration`, tickMs)
  const following = facts.upstream?.host === upstream.host && facts.upstream.port === upstream.port && facts.role === 'replica'
  const settled = settle(ctx, word, following)
  const attached = facts.role === 'replica' && facts.upstream !== null && facts.upstream.port !== 1
  const lets = word.phase === 'receiving' ? whyNotBelow(facts, word, state) : null
  if (lets !== null) return letGo(ctx, settled, attached, lets, busyTickMs)
  // Redis would begin by itself as soon as it is let, at whatever hour that is.
  const idle = following && !facts.linkUp && (!facts.syncing || beganOutside(state.move, view))
  const closed = idle && word.redis !== null && needsFullSync(facts, word.redis) ? whyClosed(state.move, view.nowWallMs) : null
  if (closed !== null) return letGo(ctx, settled, true, closed, tickMs)
  if (following) return settled.next.refusedEpoch === null ? settled : { ...settled, next: { ...settled.next, refusedEpoch: null } }
  const unseen = whyUnseen(facts, word)
  if (unseen !== null) return letGo(ctx, settled, attached, unseen, busyTickMs)
  const entry = state.lineage.find((e) => e.epoch === state.epoch)
  if (entry === undefined) return letGo(ctx, settled, attached, `${holder} is being promoted; wait for its lineage`, busyTickMs)
  if (attached && facts.replid !== entry.replid) {
    return letGo(ctx, settled, attached, `${holder} serves epoch ${state.epoch}; the old primary is let go of before the data here are judged`, 0)
  }
  const position = positionOf(facts, state.lineage)
  const verdict = mayGiveUp(state, facts, position, word, entry)
  if (verdict.kind === 'refuse') return refuse(ctx, verdict.why)
  const source = ctx.policy.members.find((m) => m.ip === upstream.host && m.port === upstream.port)
  const waits = source === undefined ? null : whyNotYet(state, view, ctx.policy, source)
  if (waits !== null) return letGo(ctx, settled, attached, waits, tickMs)
  const keep = verdict.kind === 'keep' ? keeping(ctx, facts, position) : []
  const diverged = isPlaced(position) ? position.divergedBytes : null
  const rejoined: Event = {
    // Keeping a copy takes several cycles, in which the phase has become replica: only a primary can have diverged.
    kind: wasPrimary(state) || (diverged !== null && diverged > 0) ? 'rejoined' : 'following',
    epoch: state.epoch,
    text: `follows ${holder}${diverged !== null && diverged > 0 ? `; ${diverged} bytes that ${holder} does not have were kept` : ''}`,
    data: { from: state.host, to: holder, divergedBytes: diverged },
  }
  return {
    ...settled,
    actions: [...settled.actions, ...keep, { kind: 'follow', host: upstream.host, port: upstream.port }],
    events: [...settled.events, rejoined],
    because: `${holder} serves epoch ${state.epoch}; this redis (${describePosition(position)}) is to replicate from ${upstream.host}:${upstream.port}`,
    wakeInMs: busyTickMs,
  }
}

/**
 * A primary whose writes are fenced still gives its stream: exactly what only it has is kept. THE FENCE FIRST, each time: what
 * was fenced by an agent that died in the middle may not have been. Any other dataset is kept whole.
 */
export function keeping(ctx: Context, facts: RedisFacts, position: Position): readonly Action[] {
  const { state } = ctx
  const fork = forkOf(facts, state.lineage, position)
  const name = `epoch-${fork.epoch > 0 ? fork.epoch : state.epoch - 1}-from-${state.host}`
  // A replica lets go first: its source may give the same data up, and pull this one along before the copy is made. A primary
  // takes no more writes, which the copy would not have.
  const moves = facts.role === 'primary' || (facts.upstream !== null && facts.upstream.port !== 1)
  if (!isWriteFenced(ctx.view) || fork.fromOffset === null || fork.replid === null)
    return [...(moves ? [{ kind: 'soft-fence' } as const] : []), { kind: 'keep-dataset', name, fork }]
  return [
    { kind: 'fence-writes', runId: facts.runId },
    { kind: 'keep-writes', name, fork },
  ]
}

/** Phase, address and old connections, whether or not the replication source is right already. */
function settle(ctx: Context, word: Statement, following: boolean): Draft {
  const { state, view } = ctx
  const actions: Action[] = []
  const events: Event[] = []
  let next = asReplica(state)
  // An address that VRRP has not given is not VRRP's to take back (vip.ts, strayRule): this member goes on standing for it.
  const vipHere = view.keepalived?.vipHere === true && view.keepalived.vrrp !== 'BACKUP'
  if (state.phase === 'handed') {
    // Before the VIP leaves this host: a FIN can only be sent from an address that is still here. A client whose write
    // was held by the pause would otherwise wait for a reply until its own timeout.
    if (view.keepalived?.allowed !== false) actions.push({ kind: 'kill-clients' }, { kind: 'vip', allowed: false }, { kind: 'resume-writes' })
    if (state.handover !== null) {
      next = { ...next, results: [...next.results, { id: state.handover.id, ok: true, message: `${word.host} is primary, epoch ${state.epoch}` }].slice(-8) }
    }
  } else if (state.phase === 'fenced' && !following) actions.push({ kind: 'kill-clients' })
  if (vipHere && word.phase === 'primary') {
    next = { ...next, vipHoldOffUntilMs: view.nowMs + vipHoldOffMs }
    if (state.phase === 'replica' && state.vipHoldOffUntilMs < view.nowMs) {
      events.push({
        kind: 'vip-returned',
        epoch: state.epoch,
        text: `VRRP gave the address to ${state.host} while ${word.host} serves; it is given back, nobody is promoted`,
      })
    }
  }
  const position = view.redis.facts === null ? null : positionOf(view.redis.facts, state.lineage)
  const fitness = ownFitness(next, view, ctx.policy)
  const because = `${word.host} serves epoch ${state.epoch}; this replica is ${fitness.fit ? 'ready to replace it' : `not fit: ${fitness.why}`}${position === null ? '' : ` (${describePosition(position)})`}`
  return { next, actions, events, because, wakeInMs: fitness.fit ? tickMs : tickMs / 4 }
}

/** One that is nothing else already is left as it is: the usual case, in every cycle. */
function asReplica(state: State): State {
  const { phase, gone, detached, handover, claim, servingRunId } = state
  const settled = phase === 'replica' && [gone, detached, handover, claim, servingRunId].every((it) => it === null)
  return settled ? state : { ...state, phase: 'replica', gone: null, detached: null, handover: null, claim: null, servingRunId: null }
}

/**
 * An agent that has just come back says what it remembers, that its member serves, before its redis has answered it. That redis may be another process,
 * which somebody else has started, empty (INV-1).
 */
function whyUnseen(facts: RedisFacts, { redis, answering, host }: Statement): string | null {
  if (facts.keys === 0 || (redis !== null && answering && !redis.loading)) return null
  return `the redis of ${host} does not answer: what it has is seen before it is followed`
}

/**
 * While a group receives its holder is a replica itself, and may have been started anew from an older disk, or be about to follow another
 * source: redis would begin anew with what it has as soon as it has a link, whatever is lost by it (INV-1, INV-6).
 */
function whyNotBelow(facts: RedisFacts, word: Statement, state: State): string | null {
  if (facts.keys === 0 || facts.syncing || facts.loading) return null
  const { redis, host } = word
  const position = positionOf(facts, state.lineage)
  const leaves = position.kind === 'known' && position.divergedBytes > 0 ? `${host} is to follow another history: what is here is judged before` : null
  if (facts.linkUp) return leaves
  if (redis === null || !word.answering || redis.loading) return `the redis of ${host} does not answer: what it comes back with is looked at before`
  if (redis.replid === facts.replid) return redis.offset < facts.offset ? `${host} has less than is here as yet` : leaves
  return redis.linkUp ? null : `${host} has no link to its source yet`
}

/**
 * Not a replica of the new primary yet, and of the old one no more: what that one sends would come after the judging, and if it joins
 * the new lineage first, redis fetches everything anew from it by itself, before there is a copy (INV-1, INV-6).
 */
function letGo(ctx: Context, settled: Draft, attached: boolean, because: string, wakeInMs: number): Draft {
  const { state } = ctx
  // Whether this dataset may be given up can only be judged by the lineage, and by who it was before.
  // And who has handed over stays ready to take it back until the successor is seen to serve.
  const next: State =
    state.phase === 'handed' ? state : state.phase === 'fresh' || state.phase === 'fenced' ? { ...settled.next, phase: state.phase } : settled.next
  return { ...settled, next, actions: attached ? [...settled.actions, { kind: 'soft-fence' }] : settled.actions, because, wakeInMs }
}

function refuse(ctx: Context, why: string): Draft {
  const next: State = { ...ctx.state, phase: ctx.state.phase === 'fresh' ? 'fresh' : 'fenced', refusedEpoch: ctx.state.refusedEpoch ?? ctx.state.epoch }
  // It may stay like this for long: the fence that leaves no trace in a redis that may be somebody else's.
  const fence: readonly Action[] = isWriteFenced(ctx.view) ? [{ kind: 'soft-fence' }] : []
  return { next, actions: fence, events: [{ kind: 'alarm', epoch: ctx.state.epoch, text: why }], because: why, wakeInMs: 4 * tickMs, vip: false }
}

function wasPrimary(state: State): boolean {
  return state.phase === 'fenced' || state.phase === 'handed'
}

type Verdict = { readonly kind: 'free' | 'keep' } | { readonly kind: 'refuse'; readonly why: string }

function mayGiveUp(state: State, facts: RedisFacts, position: Position, holder: Statement, entry: LineageEntry): Verdict {
  if (facts.keys === 0) return { kind: 'free' }
  if (isOverruled(state, entry))
    return position.kind === 'known' && position.divergedBytes === 0 && ownBytes(facts, state.lineage) === 0 ? { kind: 'free' } : { kind: 'keep' }
  // Of a move the operator has named the source, and said with --overwrite that it may be an empty one.
  const emptyHolder = holder.redis !== null && holder.redis.keys === 0 && entry.startOffset <= 1 && holder.phase !== 'receiving'
  if (emptyHolder && state.lineage.length > 1)
    return {
      kind: 'refuse',
      why: `INV-1: ${holder.host} serves an empty dataset that began at offset ${entry.startOffset}; the ${facts.keys} keys here are not given up to it. Promote this member (failover --to ${state.host} --force), or name the true data (lineage ${state.group} accept HOST; a copy is kept)`,
    }
  if (position.kind === 'known') {
    if (position.divergedBytes === 0) return { kind: ownBytes(facts, state.lineage) > 0 ? 'keep' : 'free' }
    const own = state.lineage.find((e) => e.epoch === position.epoch)?.holder === state.host
    // An estimate may be some bytes too low; then a copy is kept of what is most likely there.
    const older = entry.continues === undefined || facts.offset > entry.continues.offset + estimateSlackBytes
    if (!own && entry.source === 'restart' && older)
      return {
        kind: 'refuse',
        why: `INV-1: ${holder.host} restarted from data that are ${position.divergedBytes} bytes older than those here; they are not given up to it. Promote this member (failover --to ${state.host} --force), or name the true data (lineage ${state.group} accept HOST; a copy is kept)`,
      }
    return { kind: 'keep' }
  }
  // A replica of this very epoch: its data came from the history that is served.
  if (position.kind === 'noted') return { kind: position.epoch === state.epoch && facts.restored?.served === false ? 'free' : 'keep' }
  if (state.phase === 'fresh')
    return {
      kind: 'refuse',
      why: `this redis holds ${facts.keys} keys of a history that the group does not know; name the true data (lineage ${state.group} accept HOST; a copy is kept), give them up with reinit, or empty it`,
    }
  // Of unknown history: it may be a former primary's own epoch that lost a tie, with writes that nobody else has.
  return { kind: 'keep' }
}

/** Written under an id that no epoch has: a replica that somebody made a primary behind our back, and wrote to. */
function ownBytes(facts: RedisFacts, lineage: State['lineage']): number {
  const ours = facts.secondOffset <= 0 || lineage.some((e) => e.replid !== '' && e.replid === facts.replid)
  return ours ? 0 : Math.max(0, facts.offset - (facts.secondOffset - 1))
}

/** The refusal is older than the operator's word for this epoch's holder. A member that joins later was not meant by it. */
export function isOverruled(state: State, entry: LineageEntry | undefined): boolean {
  return entry?.accepted === true && state.refusedEpoch !== null && state.refusedEpoch < entry.epoch
}

/** The configured `replicate_from` while that member is itself in good order and not below us; else the primary. */
export function upstreamFor(ctx: Context, holder: string): { readonly host: string; readonly port: number } | null {
  const { policy, state, view } = ctx
  const primary = memberOf(policy, holder)
  if (primary === undefined) return null
  const direct = { host: primary.ip, port: primary.port }
  const wanted = memberOf(policy, state.host)?.replicateFrom ?? null
  if (wanted === null || wanted === holder || wanted === state.host) return direct
  const middle = memberOf(policy, wanted)
  const word = heard(peerOf(view, wanted))
  if (middle === undefined || word === null || !word.answering || word.redis === null) return direct
  // Redis would begin anew with all that the middle has, for a byte that it has not received yet (INV-1). In a calm moment it has.
  const facts = view.redis.facts
  const attached = facts?.upstream?.host === middle.ip && facts.upstream.port === middle.port
  if (!attached && facts !== null && facts.replid === word.redis.replid && facts.offset > word.redis.offset) return direct
  const healthy = word.phase === 'replica' && word.epoch === state.epoch && word.redis.linkUp && !word.redis.syncing
  const self = memberOf(policy, state.host)
  const belowUs = self !== undefined && word.redis.upstream?.host === self.ip && word.redis.upstream.port === self.port
  return healthy && !belowUs ? { host: middle.ip, port: middle.port } : direct
}
