/**
 * Switchover, the old primary's side: prepare (the target agrees, durably) → pause writes → offsets equal → give the epoch
 * away and refuse writes → the target promotes. INV-5: until the epoch is given away everything can be taken back, and
 * over its deadline it is. The target's side is `accept` here and the election.
 */
import type { Action, Event } from '../model/action.ts'
import { busyTickMs, holdWritesMs, isVoted, prepareDeadlineMs, tickMs } from '../model/policy.ts'
import type { Handover, State } from '../model/state.ts'
import type { RedisFacts, Statement } from '../model/view.ts'
import { answerId, answerRequest, holdStill, type Context, type Draft } from './draft.ts'
import { heard, peerOf, redisAnswers } from './situation.ts'
import { holdsLease } from './lease.ts'
import { sentinelsLeading, sentinelsOf } from './sentinel-words.ts'
import { nextEpoch, votesFor } from './sentinels.ts'

/** A replica further behind than this would hold writes for long; it may catch up first. */
const maxLagBytes = 1_048_576
/** The pause outlives the deadline a little, so that redis never lets writes through before the roll-back is decided. */
const pauseMarginMs = 500

export type Preflight = { readonly ok: true; readonly to: string } | { readonly ok: false; readonly why: string }

export function preflight(ctx: Context, to: string | null): Preflight {
  const { state, view, policy } = ctx
  const facts = view.redis.facts
  if (facts === null) return { ok: false, why: 'the redis of this primary does not answer' }
  const version = /^(\d+)\.(\d+)/.exec(facts.version)
  if (version !== null && Number(version[1]) * 100 + Number(version[2]) < 602) {
    return { ok: false, why: `redis ${facts.version} cannot pause writes alone (CLIENT PAUSE … WRITE came with 6.2), so a switchover could lose them` }
  }
  const sentinels = whyNotBySentinels(ctx)
  if (sentinels !== null) return { ok: false, why: sentinels }
  const targets = to === null ? policy.members.filter((m) => m.host !== state.host) : policy.members.filter((m) => m.host === to)
  if (targets.length === 0) return { ok: false, why: `${to ?? 'nobody'} is not a member of ${state.group}` }
  if (to === state.host) return { ok: false, why: `${to} is the primary already` }
  const refusals: string[] = []
  const fit: { host: string; priority: number; lag: number }[] = []
  for (const target of targets) {
    const word = heard(peerOf(view, target.host))
    const why = unfitTarget(word, facts)
    if (why !== null || word?.redis == null) refusals.push(`${target.host}: ${why ?? 'unknown'}`)
    else fit.push({ host: target.host, priority: target.priority, lag: facts.offset - word.redis.offset })
  }
  fit.sort((a, b) => b.priority - a.priority || a.lag - b.lag)
  const [best] = fit
  return best === undefined ? { ok: false, why: refusals.join('; ') } : { ok: true, to: best.host }
}

function whyNotBySentinels({ view, policy }: Context): string | null {
  if (policy.sentinel === null) return null
  const { votes, hosts } = policy.sentinel
  const [led] = sentinelsLeading(view)
  if (led !== undefined) return `the Sentinel of ${led.by} leads a failover to ${led.to} at this moment`
  const answering = sentinelsOf(view).filter((s) => s.reach === 'answers')
  return answering.length >= votes ? null : `${answering.length} of ${hosts.length} Sentinels answer, and ${votes} must vote for the target`
}

function unfitTarget(word: Statement | null, own: RedisFacts): string | null {
  if (word === null) return 'its agent is not heard'
  if (!word.fit) return word.unfitWhy
  if (word.redis === null || !word.redis.linkUp) return 'its replication link is down'
  const lagBytes = own.offset - word.redis.offset
  return lagBytes > maxLagBytes ? `it is ${lagBytes} bytes behind` : null
}

export function startHandover(ctx: Context, id: string, to: string): Draft {
  const { state, view } = ctx
  const handover: Handover = {
    id,
    to,
    epoch: ctx.policy.sentinel === null ? state.epoch + 1 : nextEpoch(state, view),
    stage: 'prepare',
    startedWallMs: view.nowWallMs,
    stageMs: view.nowMs,
    deadlineMs: view.nowMs + prepareDeadlineMs,
  }
  return {
    // Among Sentinels: should they not vote in this epoch, the next switchover is to ask in one further on.
    next: { ...state, phase: 'handing', handover, ...(ctx.policy.sentinel === null ? {} : { vote: { epoch: handover.epoch, to, atMs: view.nowMs } }) },
    actions: [{ kind: 'poke', host: to }],
    events: [],
    because: `switchover to ${to} asked for; ${to} is to agree to epoch ${handover.epoch}`,
    wakeInMs: busyTickMs,
  }
}

export function handOver(ctx: Context): Draft {
  const { state, view } = ctx
  const handover = state.handover
  if (handover === null) return { ...holdStill(ctx, 'no switchover is under way', 0), next: { ...state, phase: 'primary' } }
  const word = heard(peerOf(view, handover.to))
  const late = view.nowMs > handover.deadlineMs
  // Deadlines are of the monotonic clock of this agent's life; after its restart none of it can be trusted.
  const restarted = handover.stageMs > view.nowMs || view.agentUptimeMs < view.nowMs - handover.stageMs
  // First of all: every other roll-back lets writes go on.
  if (!holdsLease(state, view, ctx.policy)) return rollBackHeld(ctx, handover)
  if (restarted) return rollBack(ctx, handover, 'the agent was restarted in the middle')
  if (word === null) return rollBack(ctx, handover, `${handover.to} is not heard any more`)
  if (word.redis === null || !word.answering)
    return late ? rollBack(ctx, handover, `the redis of ${handover.to} does not answer`) : waitFor(ctx, handover, 'an answer')
  if (handover.stage === 'prepare' && word.preparedId === handover.id) return prepare(ctx, handover, word)
  if (handover.stage === 'prepare') return late ? rollBack(ctx, handover, `${handover.to} did not agree in time`) : prepare(ctx, handover, word)
  return pauseStage(ctx, handover, word, word.redis, late)
}

function prepare(ctx: Context, handover: Handover, word: Statement): Draft {
  if (word.preparedId !== handover.id) return waitFor(ctx, handover, `${handover.to} to agree`)
  const unreserved = ctx.policy.sentinel === null ? null : reserve(ctx, handover, ctx.policy.sentinel.votes)
  if (unreserved !== null) return unreserved
  const { state, view, policy } = ctx
  const pause: Handover = { ...handover, stage: 'pause', stageMs: view.nowMs, deadlineMs: view.nowMs + policy.maxPauseMs }
  const forMs = policy.maxPauseMs + pauseMarginMs
  const started: Event = {
    kind: 'handover',
    epoch: handover.epoch,
    text: `writes are paused for the switchover to ${handover.to}`,
    data: { from: state.host, to: handover.to },
  }
  return {
    next: { ...state, handover: pause },
    actions: [
      { kind: 'refuse-connections', forMs },
      { kind: 'pause-writes', forMs },
      { kind: 'poke', host: handover.to },
    ],
    events: [started],
    because: `${handover.to} has agreed; pause writes for at most ${policy.maxPauseMs} ms and compare offsets`,
    wakeInMs: 0,
  }
}

/** The epoch is the target's by the Sentinels' votes before a single write is held: afterwards nobody else can be elected in it. */
function reserve(ctx: Context, handover: Handover, needed: number): Draft | null {
  const { view } = ctx
  const given = votesFor(view, handover.epoch, handover.to)
  if (given >= needed) return null
  const other = sentinelsOf(view).find((s) => s.reach === 'answers' && (s.vote?.epoch ?? 0) >= handover.epoch && s.vote?.to !== handover.to)
  if (other !== undefined) return rollBack(ctx, handover, `the Sentinel of ${other.host} has voted for ${other.vote?.to ?? 'another'} meanwhile`)
  if (view.nowMs > handover.deadlineMs) {
    const why = `only ${given} of the ${needed} Sentinels that are needed voted for it in epoch ${handover.epoch}; they may know of a later one, ask once more`
    return rollBack(ctx, handover, why)
  }
  const what = `the votes of the Sentinels for epoch ${handover.epoch} (${given} of ${needed})`
  return { ...waitFor(ctx, handover, what), actions: [{ kind: 'ask-votes', epoch: handover.epoch, to: handover.to }] }
}

function pauseStage(ctx: Context, handover: Handover, word: Statement, theirs: RedisFacts, late: boolean): Draft {
  const { state, view } = ctx
  const own = view.redis.facts
  // Writes that were not stopped could come between the measuring and the fence.
  if (!view.actedAll) return rollBack(ctx, handover, 'writes could not be paused')
  if (word.preparedId !== handover.id) return rollBack(ctx, handover, `the redis of ${handover.to} was restarted`)
  if (late) return rollBack(ctx, handover, `${handover.to} did not catch up within max_pause_ms (${theirs.offset} of ${own?.offset ?? '?'})`)
  const measuredAfterPause = own !== null && redisAnswers(view) && view.redis.askedAgeMs < view.nowMs - handover.stageMs
  if (!measuredAfterPause || !word.fit || !theirs.linkUp || theirs.offset !== own.offset) {
    return { ...waitFor(ctx, handover, `offset ${own?.offset ?? '?'} (it has ${theirs.offset})`), actions: [{ kind: 'poke', host: handover.to }], wakeInMs: 3 }
  }
  const next: State = { ...state, phase: 'handed', epoch: handover.epoch, holder: handover.to, handover: { ...handover, stage: 'handed', stageMs: view.nowMs } }
  const actions: Action[] = [{ kind: 'soft-fence' }]
  const fenced: Event = {
    kind: 'fenced',
    epoch: handover.epoch,
    text: `epoch ${handover.epoch} is given to ${handover.to}; this redis refuses writes`,
    data: { from: state.host, to: handover.to, offset: own.offset },
  }
  return { next, actions, events: [fenced], because: `both have offset ${own.offset}: nothing can be lost`, wakeInMs: 2 }
}

function waitFor(ctx: Context, handover: Handover, what: string): Draft {
  return {
    ...holdStill(ctx, `switchover to ${handover.to} (${handover.stage}): waiting for ${what}`, busyTickMs),
    actions: [{ kind: 'poke', host: handover.to }],
  }
}

/** Rolled back because nobody hears this primary: the writes stay held, for another may be elected. */
function rollBackHeld(ctx: Context, handover: Handover): Draft {
  const draft = rollBack(ctx, handover, isVoted(ctx.policy) ? 'no quorum hears this primary' : 'this primary is cut off')
  const next: State = { ...draft.next, writesHeldSinceMs: ctx.view.nowMs }
  return { ...draft, next, actions: [{ kind: 'pause-writes', forMs: holdWritesMs }, { kind: 'accept-connections' }], wakeInMs: 0 }
}

function rollBack(ctx: Context, handover: Handover, why: string): Draft {
  const message = `switchover to ${handover.to} rolled back, ${ctx.state.host} goes on serving: ${why}`
  return {
    next: answerId({ ...ctx.state, phase: 'primary', handover: null }, handover.id, false, message),
    actions: [{ kind: 'resume-writes' }, { kind: 'accept-connections' }],
    events: [{ kind: 'rolled-back', epoch: ctx.state.epoch, text: message }],
    because: message,
    wakeInMs: tickMs,
  }
}

/** The target's side: agree durably, or forget an agreement that its asker has dropped. */
export function withPreparation(ctx: Context, draft: Draft): Draft {
  const { state, view } = ctx
  if (draft.next.phase !== 'replica' || state.holder === null) return draft
  const word = heard(peerOf(view, state.holder))
  const offer = word?.handover ?? null
  const mine = offer !== null && offer.to === state.host && word !== null && word.phase === 'handing' && offer.epoch > state.epoch
  if (!mine) {
    const forget = draft.next.prepared !== null && word !== null && word.phase !== 'handed'
    return forget ? { ...draft, next: { ...draft.next, prepared: null } } : draft
  }
  const busy = { ...draft, wakeInMs: Math.min(draft.wakeInMs, busyTickMs) }
  const runId = view.redis.facts?.runId
  if (draft.next.prepared?.id === offer.id || runId === undefined) return busy
  return {
    ...busy,
    next: { ...draft.next, prepared: { id: offer.id, from: word.host, epoch: offer.epoch, runId } },
    because: `agrees to take epoch ${offer.epoch} from ${word.host}`,
  }
}

/** The host that is giving its epoch to this member at this moment, fenced or not yet. null: nobody. */
export function isOfferedToMe(ctx: Context): string | null {
  const { state, view } = ctx
  const { prepared } = state
  if (prepared === null || state.holder !== state.host || state.epoch !== prepared.epoch) return null
  const word = heard(peerOf(view, prepared.from))
  return word !== null && word.phase === 'handed' && word.handover?.id === prepared.id ? prepared.from : null
}

/** true: the old primary has given the epoch that this member had agreed to; it refuses writes already, or is dead. */
export function isHandedToMe(ctx: Context): boolean {
  const { state, view } = ctx
  const giver = isOfferedToMe(ctx)
  if (giver === null) return false
  const word = heard(peerOf(view, giver))
  // Its redis must be SEEN to refuse writes: the decision to hand over is durable before the fence is in force.
  const fenced = word?.process === false || (word?.answering === true && word.redis?.role === 'replica')
  // Equal offsets were measured on one process. If another answers now, the election compares what it has.
  const { facts } = view.redis
  const whole = facts !== null && redisAnswers(view) && !facts.loading && !facts.syncing && !state.partial
  return fenced && whole && state.prepared?.runId === facts.runId
}

export function answerSwitchover(ctx: Context): Draft {
  const request = ctx.view.request
  if (request === null) return holdStill(ctx, '', tickMs)
  const flight = preflight(ctx, request.to)
  if (!flight.ok) return { ...holdStill(ctx, flight.why, tickMs), next: answerRequest(ctx.state, ctx, false, flight.why) }
  if (request.dryRun) {
    return { ...holdStill(ctx, 'dry run', tickMs), next: answerRequest(ctx.state, ctx, true, `would switch over from ${ctx.state.host} to ${flight.to}`) }
  }
  return startHandover(ctx, request.id, flight.to)
}
