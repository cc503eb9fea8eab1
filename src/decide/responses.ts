/** One function per response of the table. Each returns the next state and the actions; none does anything itself. */
import type { Action, Event } from '../model/action.ts'
import type { ResponseName } from '../model/decision.ts'
import { isReceiving } from '../model/move.ts'
import { busyTickMs, lonelyWaitMs, tickMs } from '../model/policy.ts'
import type { LineageSource, State } from '../model/state.ts'
import type { Told } from '../model/watch.ts'
import { isDraining } from './behind.ts'
import { bootstrap } from './bootstrap.ts'
import { answerId, claimEpoch, holdStill, offsetOf, type Context, type Draft } from './draft.ts'
import { elect } from './election.ts'
import { isFresh, wasFresh } from './fitness.ts'
import { follow } from './following.ts'
import { answerSwitchover, handOver, isHandedToMe, isOfferedToMe } from './handover.ts'
import { isCutOff, withLease, withLeaseWhileSlow } from './lease.ts'
import { answerMove } from './move-orders.ts'
import { detach, finishPromotion } from './promoting.ts'
import { receive } from './receiving.ts'
import { againstSupervisor, resign } from './resigning.ts'
import { heard, isServingPhase, isWriteFenced, peerOf, voucherOf } from './situation.ts'
import { startRedis } from './starting.ts'
import { isStuck } from './stream.ts'
import { askingOf, standBeforeSentinels } from './sentinels.ts'
import { standForElection } from './voting.ts'

export const respond: Record<ResponseName, (ctx: Context) => Draft> = {
  hold: (ctx) => withLeaseWhileSlow(ctx, () => hold(ctx)),
  serve: (ctx) => withLease(ctx, serveOn, resign),
  resign,
  'end-hang': (ctx) => withLeaseWhileSlow(ctx, () => endHang(ctx)),
  'finish-promotion': finishPromotion,
  elect: electSuccessor,
  follow,
  'step-down': stepDown,
  'start-redis': startRedis,
  bootstrap,
  'hand-over': handOver,
  'await-successor': awaitSuccessor,
  receive,
}

/**
 * An external primary whose agent is not heard: if the link dies, whatever answers there next may be a redis that somebody
 * restarted empty, and redis would follow it by itself within a second (INV-1). So the replica lets go until the primary's agent
 * speaks again, or the election takes over. A redis that Holdfast starts is born fenced, but who has held the group may serve again
 * alone after a while, from an older disk: its replica lets go before that, also where the link only seems to live. And an epoch of which
 * others have told may have begun on the very host that this replica is attached to, with other data (INV-6). Where Sentinels vote, a replica that is
 * cut off never finds the holder gone, while those who hear each other may have elected another within that time.
 */
function letsGo(ctx: Context): boolean {
  const { state, view, policy, situation } = ctx
  const facts = view.redis.facts
  if (state.phase !== 'replica' || situation.claim !== 'theirs' || situation.holder !== 'unclear' || situation.redis !== 'replica') return false
  const holder = state.holder === null ? undefined : peerOf(view, state.holder)
  const unreachable = holder !== undefined && (holder.redisReach === 'silent' || holder.redisReach === 'refused')
  const mayBeAnother = policy.external
    ? facts?.linkUp === false
    : unreachable && holder.silentMs >= (policy.sentinel === null ? lonelyWaitMs / 2 : policy.hostLossMs)
  const joined = state.lineage.some((e) => e.epoch === state.epoch && e.replid === facts?.replid)
  return (mayBeAnother || !joined) && facts !== null && !facts.syncing && facts.upstream !== null && facts.upstream.port !== 1
}

/** Waits, but a promise that the phase made is kept: only a serving phase leaves a primary unfenced. */
function hold(ctx: Context): Draft {
  const { situation, state } = ctx
  if (letsGo(ctx)) {
    const facts = ctx.view.redis.facts
    const detached = facts !== null && isFresh(facts) && !isStuck(ctx.view) ? { epoch: state.epoch, atMs: ctx.view.nowMs, runId: facts.runId } : state.detached
    const because = `${situation.holderWhy}; what answers next where this replica is attached nobody says`
    return { ...holdStill(ctx, because, busyTickMs / 2), next: { ...state, detached }, actions: [{ kind: 'soft-fence' }] }
  }
  const unfenced = (situation.redis === 'primary' || situation.redis === 'other-primary') && !isWriteFenced(ctx.view)
  const fence: readonly Action[] = unfenced && state.epoch > 0 && !isServingPhase(state.phase) ? [fenceOf(ctx)] : []
  const waiting = situation.claim === 'theirs' && situation.holder === 'unclear'
  const untilHungMs = situation.redis === 'slow' ? ctx.policy.unresponsiveMs - ctx.view.redis.unansweredMs + 1 : tickMs
  // What a supervisor starts may come up as an empty primary: the sooner it is seen, the sooner it is fenced.
  const starting = !isServingPhase(state.phase) && state.epoch > 0 && (situation.redis === 'slow' || situation.redis === 'loading')
  const wakeInMs = waiting ? busyTickMs / 2 : starting ? busyTickMs : Math.min(tickMs, Math.max(busyTickMs, untilHungMs))
  // A word for the holder may be older than the silence: whoever gave it is asked again. Not for one that was said just now: two
  // that vouch to each other would keep each other busy.
  const voucher = waiting ? voucherOf(state, ctx.view) : null
  const fresh = voucher !== null && (peerOf(ctx.view, voucher)?.statementAgeMs ?? 0) < busyTickMs
  const ask: readonly Action[] = voucher === null || fresh ? [] : [{ kind: 'poke', host: voucher }]
  // Somebody else hears the holder: it was not lost after all, and has gone on writing since.
  const next: State = voucher === null || state.gone === null ? state : { ...state, gone: null, detached: freshnessOf(state, state.gone) }
  const redisWhy = ctx.view.redis.trouble ?? `redis is ${situation.redis}`
  const because =
    situation.holderWhy === '' || ctx.view.redis.trouble !== null ? [situation.holderWhy, redisWhy].filter((w) => w !== '').join('; ') : situation.holderWhy
  return { ...holdStill(ctx, because, wakeInMs), next, actions: [...fence, ...ask] }
}

/** What let go of the holder in an election that came to nothing has no link any more, and was as fresh then as one whose link has just dropped. */
function freshnessOf(state: State, gone: NonNullable<State['gone']>): State['detached'] {
  if (!gone.fresh || gone.epoch !== state.epoch) return state.detached
  return { epoch: gone.epoch, atMs: gone.atMs, ...(gone.runId == null ? {} : { runId: gone.runId }) }
}

function serveOn(ctx: Context): Draft {
  const { state, view } = ctx
  if (view.request?.kind === 'switchover') return answerSwitchover(ctx)
  if (view.request?.kind === 'move') return answerMove(ctx)
  const facts = view.redis.facts
  const head = state.lineage.at(-1)
  const because = `serves epoch ${state.epoch} at offset ${offsetOf(facts)} with ${facts?.followers.filter((f) => f.online).length ?? 0} replicas attached`
  if (facts === null || head === undefined || head.replid === facts.replid || head.epoch !== state.epoch) return holdStill(ctx, because, tickMs)
  // Same process, new replication id: redis let its backlog go, or was told to. Followers will full-sync; the history goes on.
  const lineage = [...state.lineage.slice(0, -1), { ...head, replid: facts.replid }]
  const note: Event = { kind: 'started', epoch: state.epoch, text: `redis on ${state.host} took a new replication id (it does so when it opens a new backlog)` }
  return { ...holdStill(ctx, because, tickMs), next: { ...state, lineage }, events: [note] }
}

/** A hung primary is killed only for somebody: with no successor, a slow answer is better than a lost dataset. */
function endHang(ctx: Context): Draft {
  const { state, view, policy } = ctx
  const successor = policy.members.map((m) => heard(peerOf(view, m.host))).find((word) => word?.fit === true && word.epoch === state.epoch)
  const hungMs = Math.round(view.redis.unansweredMs)
  if (successor == null) return holdStill(ctx, `redis has not answered for ${hungMs} ms, but no member is fit to take over`, tickMs)
  if (!mayFailOver(ctx)) return holdStill(ctx, `redis has not answered for ${hungMs} ms; automatic failover is off`, tickMs)
  if (view.redis.pid === null) return holdStill(ctx, `redis has not answered for ${hungMs} ms, and its process is not known: it cannot be killed`, tickMs)
  const draft = resign(ctx)
  return {
    ...draft,
    actions: [{ kind: 'kill-redis', pid: view.redis.pid }, ...againstSupervisor(ctx)],
    because: `redis has not answered for ${hungMs} ms; it is killed so that no late write is acknowledged, ${successor.host} can take over`,
  }
}

function mayFailOver(ctx: Context): boolean {
  return ctx.policy.auto && !ctx.state.paused.on
}

function electSuccessor(ctx: Context): Draft {
  const { view } = ctx
  // The clients are served by the source. Whoever were promoted here would be a second writer (INV-3).
  if (isReceiving(ctx.state.move)) {
    const text = `${ctx.situation.holderWhy}; it sees to a move, and the redis that is being moved serves meanwhile: nobody is promoted`
    return { ...holdStill(ctx, text, tickMs), actions: detach(ctx) }
  }
  if (isHandedToMe(ctx))
    return claimEpoch(
      ctx,
      ctx.state.epoch,
      'switchover',
      `switchover: ${ctx.state.prepared?.from ?? ''} refuses writes and has given its epoch over at equal offsets`,
    )
  const giver = isOfferedToMe(ctx)
  if (giver !== null) {
    const waiting = holdStill(ctx, `${giver} gives epoch ${ctx.state.epoch} to this member; its redis must be seen to refuse writes first`, 2)
    // Its redis died in the middle: what answers there next must not be followed. And what was restarted here must not be written to.
    const calm = heard(peerOf(view, giver))?.answering === true && ctx.situation.redis === 'replica'
    return { ...waiting, actions: calm ? [] : detach(ctx), vip: true }
  }
  if (ctx.state.phase === 'handed') return takeBack(ctx, [])
  const known = ctx.state.gone?.epoch === ctx.state.epoch ? ctx.state.gone : null
  const gone = known ?? { epoch: ctx.state.epoch, fresh: wasFresh(ctx.state, view), atMs: view.nowMs, runId: view.redis.facts?.runId ?? null }
  const state: State = { ...ctx.state, gone: { ...gone, told: furthest(gone.told, view.watch.told) } }
  const detected: readonly Event[] =
    known === null ? [{ kind: 'detected', epoch: state.epoch + 1, text: ctx.situation.holderWhy, data: { from: state.holder } }] : []
  const noted: Context = { ...ctx, state }
  const text = `${ctx.situation.holderWhy}; the end of its stream is still being read here`
  const draft = isDraining(state, view, ctx.policy) ? holdStill(noted, text, 2) : electNow(noted)
  return { ...draft, events: [...detected, ...draft.events] }
}

/** The last word of a primary may come after its end was found, and an agent that starts again has forgotten all. */
function furthest(known: Told | null | undefined, told: Told | null): Told | null {
  if (known == null || told === null) return known ?? told
  return told.replid === known.replid && told.offset > known.offset ? told : known
}

function electNow(ctx: Context): Draft {
  const { state, view, policy, situation } = ctx
  if (!mayFailOver(ctx)) {
    return { ...holdStill(ctx, `${situation.holderWhy}; automatic failover is ${state.paused.on ? 'paused' : 'off'}`, tickMs), actions: detach(ctx) }
  }
  const election = elect(state, view, policy)
  if (election.result === 'me' && isCutOff(view, policy)) {
    const why = 'this host hears no member and reaches none of check_ips: it counts itself cut off, and promotes nobody'
    return { ...holdStill(ctx, `${situation.holderWhy}; ${why}`, tickMs / 4), actions: detach(ctx) }
  }
  if (election.result === 'me') {
    const source: LineageSource = state.holder === state.host ? 'restart' : 'failover'
    const ballot = ballotOf(ctx)
    if (ballot?.result === 'waiting') {
      const whom = forWhom(ctx)
      const wakeInMs = ballot.vote !== state.vote ? 0 : whom === '' ? busyTickMs : tickMs
      const waits = holdStill(ctx, `${situation.holderWhy}; ${election.because}; ${ballot.because}${whom}`, wakeInMs)
      return { ...waits, next: { ...waits.next, vote: ballot.vote }, actions: [...detach(ctx), ...('ask' in ballot ? askingOf(ballot) : [])] }
    }
    const epoch = ballot?.epoch ?? state.epoch + 1
    const draft = claimEpoch(ctx, epoch, source, `${situation.holderWhy}; ${election.because}${ballot === null ? '' : `; ${ballot.because}`}`)
    return { ...draft, actions: situation.redis !== 'replica' ? [{ kind: 'soft-fence' }, ...draft.actions] : draft.actions }
  }
  if (election.result === 'refuse') {
    const alarm: Event = { kind: 'alarm', epoch: state.epoch, text: election.because }
    return { ...holdStill(ctx, `${situation.holderWhy}; ${election.because}`, tickMs), actions: detach(ctx), events: [alarm] }
  }
  if (election.result === 'other') return { ...holdStill(ctx, `${situation.holderWhy}; ${election.because}`, busyTickMs), actions: detach(ctx), vip: false }
  return {
    ...holdStill(ctx, `${situation.holderWhy}; waits for ${election.forHosts.join(', ') || 'a fit member'}: ${election.because}`, busyTickMs),
    actions: [...detach(ctx), ...askAnew(ctx, election.forHosts)],
  }
}

type AnyBallot = ReturnType<typeof standForElection> | ReturnType<typeof standBeforeSentinels>

/** null: in this group nobody votes. */
function ballotOf({ state, view, policy }: Context): AnyBallot | null {
  if (policy.sentinel !== null) return standBeforeSentinels(state, view, policy)
  return policy.quorum === 0 ? null : standForElection(state, view, policy)
}

/** Who has not seen the primary go says nothing new by itself, and may have received more since it spoke last (INV-4). */
function askAnew(ctx: Context, hosts: readonly string[]): readonly Action[] {
  const asked = hosts.map((h) => peerOf(ctx.view, h)).filter((p) => heard(p) !== null && (p?.statementAgeMs ?? 0) >= busyTickMs)
  return asked.flatMap((p) => (p === undefined ? [] : [{ kind: 'poke', host: p.host } as const]))
}

/** Without a witness a quorum of two is both of them: that is what was asked for with `safe`, and only a person can go on without one. */
function forWhom(ctx: Context): string {
  const { state, view, policy } = ctx
  if (!policy.safe) return ''
  const missing = view.peers.filter((p) => heard(p) === null).map((p) => p.host)
  if (view.peers.length - missing.length + 1 >= policy.quorum) return ''
  return `; durability: safe waits for ${missing.join(', ')}, or for an operator who knows that it is gone: holdfast failover ${state.group} --to ${state.host} --force`
}

/**
 * A redis that goes on with a history of the group is left a primary, because a replica of nobody gives its stream to nobody, and
 * the diverged writes are in it. Any other one may hold anything: nobody may resync from it (INV-1).
 */
function fenceOf(ctx: Context): Action {
  const facts = ctx.view.redis.facts
  const ours = facts !== null && ctx.state.lineage.some((e) => e.replid !== '' && e.replid === facts.replid)
  return ours ? { kind: 'fence-writes', runId: facts.runId } : { kind: 'soft-fence' }
}

function stepDown(ctx: Context): Draft {
  const { state, view } = ctx
  // The fence is in force; what is left is to keep what only this redis has, and to follow.
  if ((state.phase === 'fenced' || state.phase === 'replica') && isWriteFenced(view) && ctx.situation.holder === 'serves') return follow(ctx)
  const answers = ['primary', 'other-primary', 'replica'].includes(ctx.situation.redis)
  const kill: Action = { kind: 'kill-clients' }
  const text = `${state.holder ?? 'another member'} ${ctx.situation.holder === 'serves' ? 'serves' : 'holds'} epoch ${state.epoch}; this redis must not accept writes any more`
  return {
    next: { ...state, phase: 'fenced', handover: null, claim: null, servingRunId: null },
    // The fence first: whatever fails after it, no more writes are acknowledged here. Who cannot be fenced cannot be written to.
    actions: [...(answers ? [fenceOf(ctx)] : []), { kind: 'refuse-connections', forMs: 1000 }, ...(answers ? [kill] : [])],
    events: [{ kind: 'fenced', epoch: state.epoch, text, data: { from: state.host } }],
    because: text,
    wakeInMs: 0,
    vip: false,
  }
}

/** How long the target of a switchover may take to serve what it was given. */
const successorDeadlineMs = 1000

/** The old primary after it gave its epoch away: take it back only if the target cannot have taken it. */
function awaitSuccessor(ctx: Context): Draft {
  const { state, view, situation } = ctx
  const handover = state.handover
  if (situation.redis === 'primary') {
    // The same process, not fenced: then nobody was ever told of the new epoch (the fence comes first), and it is ours.
    const draft = claimEpoch(ctx, state.epoch + 1, 'restart', 'the switchover was broken off before this redis refused writes; it goes on serving')
    return handover === null ? draft : { ...draft, next: answerId(draft.next, handover.id, false, 'rolled back: the old primary could not be fenced') }
  }
  const fence: readonly Action[] = situation.redis === 'other-primary' ? [{ kind: 'soft-fence' }] : []
  // Counted from the start of this agent at the earliest: one that has just come has not heard what the target did meanwhile.
  const sinceMs = handover === null ? view.agentUptimeMs : view.nowMs - handover.stageMs
  const waitedMs = sinceMs < 0 ? view.agentUptimeMs : Math.min(view.agentUptimeMs, sinceMs)
  const target = handover?.to ?? state.holder ?? 'the target'
  if (waitedMs < successorDeadlineMs) return { ...holdStill(ctx, `waits for ${target} to serve epoch ${state.epoch}`, 2), actions: fence }
  const word = state.holder === null ? null : heard(peerOf(view, state.holder))
  // It may serve already: unknown never permits a promotion.
  if (word === null)
    return { ...holdStill(ctx, `${target} was given epoch ${state.epoch} and is not heard; ${situation.holderWhy}`, busyTickMs), actions: fence }
  return takeBack(ctx, fence)
}

/** The target is known not to serve what it was given. It and all others are compared anew. */
function takeBack(ctx: Context, fence: readonly Action[]): Draft {
  const { state, view, situation } = ctx
  const { handover } = state
  const text = `${handover?.to ?? state.holder ?? 'the target'} did not take epoch ${state.epoch} (${situation.holderWhy}); the best data are elected`
  // Nothing was written since, as far as an agent can say that was there all the time.
  const fresh = handover !== null && handover.stageMs <= view.nowMs && view.agentUptimeMs >= view.nowMs - handover.stageMs
  const next: State = {
    ...state,
    phase: 'fenced',
    handover: null,
    gone: { epoch: state.epoch, fresh, atMs: view.nowMs, runId: view.redis.facts?.runId ?? null },
  }
  return {
    ...holdStill(ctx, text, 0),
    next: handover === null ? next : answerId(next, handover.id, false, text),
    actions: fence,
    events: [{ kind: 'rolled-back', epoch: state.epoch, text }],
  }
}
