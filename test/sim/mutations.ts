/**
 * The guards of the core, each with the text that takes it away. `script/sim --mutate` applies them one at a time to a copy and asks
 * whether the simulator notices. Where only a test of another kind can (the accident needs what the model world does not have, or
 * another guard stands behind this one), that test is named, and must fail.
 */
import { moveMutations } from './move-mutations.ts'
import { drop, type Mutation } from './mutation.ts'
import { sentinelMutations } from './sentinel-mutations.ts'

const situation = 'src/decide/situation.ts'
const fitness = 'src/decide/fitness.ts'
const election = 'src/decide/election.ts'
const following = 'src/decide/following.ts'
const responses = 'src/decide/responses.ts'
const forcing = 'src/decide/forcing.ts'
const promoting = 'src/decide/promoting.ts'
const position = 'src/decide/position.ts'
const voting = 'src/decide/voting.ts'
const lease = 'src/decide/lease.ts'
const handover = 'src/decide/handover.ts'
const resync = 'src/decide/resync.ts'
const streamTest = 'test/scenarios/stream.test.ts'
const resyncTest = 'test/unit/resync.test.ts'
const durability = 'test/scenarios/durability.test.ts'
const votingTest = 'test/unit/voting.test.ts'

export const mutations: readonly Mutation[] = [
  // ── is the holder gone? ──
  drop('a young agent takes nobody for gone', situation, 'view.agentUptimeMs < newcomerMs', 'false'),
  drop('an agent that stood still takes nobody for gone', situation, 'view.stalledMs > stallLimitMs', 'false'),
  drop('a voucher for the holder is believed', situation, 'if (voucher !== null) return', 'if (voucher === `nobody`) return'),
  drop('its redis answers: it is not gone', situation, "reach === 'primary' || reach === 'replica' || reach === 'answers'", 'false'),
  drop('VRRP still hears its host', situation, '!vrrpGaveAddress(view.keepalived) && !takenElsewhere', 'false'),
  drop('its redis is asked first', situation, "if (reach === 'not asked')", 'if (false)', 'test/unit/situation.test.ts'),
  drop('who has not heard of its epoch yet is not gone', situation, 'if (word.epoch < state.epoch) return', 'if (word.epoch < 0) return'),
  drop('only the giver of an epoch says that it was not taken', situation, 'if (giver !== undefined) return', 'if (giver?.host === ``) return'),
  drop("who reaches the holder's redis vouches for it", 'src/decide/statement.ts', "reach === 'primary' || reach === 'answers' ? 'serves' : holder", 'holder'),
  drop('a voucher clears the memory of a loss', responses, 'voucher === null || state.gone === null ? state', 'true ? state'),
  // ── who may be promoted? ──
  drop('not in the middle of a full sync', fitness, 'if (facts.syncing) return no', 'if (false) return no'),
  drop('not with part of a dataset', fitness, 'if (state.partial) return no', 'if (false) return no'),
  drop('not while it loads', fitness, 'if (facts.loading) return no', 'if (false) return no', 'test/unit/election.test.ts'),
  drop('not without a state directory', fitness, 'if (!view.durable) return no', 'if (false) return no', 'test/unit/election.test.ts'),
  drop('not empty, not of unknown history', fitness, 'if (state.epoch > 0 && !isPlaced(position)) return no', 'if (false) return no'),
  drop(
    'not with diverged writes',
    fitness,
    'if (isPlaced(position) && position.divergedBytes > 0 && !isAllThatIsLeft(state, view, policy)) return no',
    'if (false) return no',
  ),
  drop('all that is left is what nobody else has', fitness, "candidate?.position.kind === 'empty'", 'true', 'test/unit/election.test.ts'),
  drop('never_primary', fitness, 'if (memberOf(policy, state.host)?.neverPrimary === true) return no', 'if (false) return no'),
  drop('a link that never was is not fresh', fitness, 'facts.linkDownS >= 0 &&', ''),
  drop('freshness ends with the process', 'src/decide/learn.ts', 'gone.runId === facts.runId) return state', 'gone.runId !== ``) return state'),
  drop(
    'half a sync is remembered',
    'src/decide/learn.ts',
    '    if (partial && partialOf?.keys === keys) return state\n',
    '    if (state.format === 1) return state\n',
  ),
  drop('an offset of before is not final', fitness, 'view.redis.askedAgeMs <= Math.max(0, view.nowMs - state.gone.atMs)', 'true'),
  drop('most data first', fitness, 'comparePositions(a.position, b.position) ||', ''),
  drop('data that are being read are waited for', election, 'word.redis?.loading === false', 'true'),
  drop('others are waited for, a while', election, 'if (sinceGoneMs >= waitMs)', 'if (true)'),
  drop('who gave an epoch away may serve on', election, 'if (giver !== null) return wait', 'if (giver === ``) return wait'),
  drop('who has more already is not outrun', election, 'if (ahead.length > 0) return wait', 'if (ahead.length > 99) return wait'),
  drop('who is just reconnecting is waited for', election, 'isReconnecting(view, h) || ', ''),
  drop('a rival is waited for while its disk is slow', election, ' || isRival(view, policy, h)', ''),
  drop('who has kept a rival waiting hears first what that one did', election, 'return saidLate && view.nowMs', 'return view.nowMs < 0 && view.nowMs'),
  drop('waiting counts only while one listens', election, ' || view.agentUptimeMs < newcomerMs', ''),
  drop(
    'who did not see the primary go waits for all',
    election,
    'if (state.holder !== state.host) {\n    return wait',
    'if (state.epoch < 0) {\n    return wait',
  ),
  drop('who comes back alone waits for redises that live', election, 'if (alive.length > 0) return wait', 'if (alive.length > 99) return wait'),
  drop('who comes back alone waits a while', election, 'if (waitedMs < lonelyWaitMs) return wait', 'if (false) return wait'),
  // ── what is given up, and how? ──
  drop('never to an empty primary', following, 'if (emptyHolder && state.lineage.length > 1)', 'if (false)', 'test/unit/following.test.ts'),
  drop('never to an older one', following, "if (!own && entry.source === 'restart' && older)", 'if (false)', 'test/unit/following.test.ts'),
  drop('diverged writes are copied first', following, 'if (position.divergedBytes === 0) return', 'if (position.divergedBytes >= 0) return'),
  drop('data of unknown history are copied first', following, "  return { kind: 'keep' }\n}", "  return { kind: 'free' }\n}"),
  drop('the old primary is let go of before the judging', following, 'if (attached && facts.replid !== entry.replid) {', 'if (facts.replid === `never`) {'),
  drop('every later epoch counts', position, '    if (countsAnew(later)) break\n', '    break\n'),
  drop('beyond its own id the bytes are its own', position, 'Math.min(sharedUntil, sharedEnd(entry, lineage))', 'sharedEnd(entry, lineage)'),
  // ── fences ──
  drop('a crashed primary resigns', 'src/decide/table.ts', "'i-crashed': cell('resign', 'say so", "'i-crashed': cell('hold', 'say so"),
  drop('outvoted, it refuses writes', responses, 'actions: [...(answers ? [fenceOf(ctx)] : []),', 'actions: ['),
  drop(
    'outvoted without redis, it stops serving',
    'src/decide/table.ts',
    "  'holder-serves-redis-down': outvotedBusy,\n  'holder-serves-redis-busy': outvotedBusy,\n",
    '',
  ),
  drop('another process in its place is not served from', situation, 'state.servingRunId === null || state.servingRunId === facts.runId', 'true'),
  drop(
    'a redis that is no primary by decision is fenced',
    responses,
    'const fence: readonly Action[] = unfenced &&',
    'const fence: readonly Action[] = false && unfenced &&',
  ),
  drop(
    'nobody serves: all let go of the lost primary',
    promoting,
    "return ctx.situation.redis !== 'replica' || attached ? [{ kind: 'soft-fence' }] : []",
    'return attached && ctx.state.epoch < 0 ? [] : []',
  ),
  drop('an unreachable holder is let go of', responses, 'if (letsGo(ctx)) {', 'if (letsGo(ctx) && ctx.state.epoch < 0) {'),
  drop(
    'a serving member stands for the address, a fenced one does not',
    'src/decide/vip.ts',
    "return ctx.state.phase === 'replica' ? undefined : false",
    'return true',
  ),
  drop('an outlived claim is not carried out', promoting, 'if (unheard.length > 0 && view.agentUptimeMs < lonelyWaitMs)', 'if (false)'),
  drop('a claim that was outlived is compared again', promoting, 'if (richer !== undefined) return resign', 'if (richer?.host === ``) return resign'),
  drop('a claim belongs to one process', promoting, '(state.servingRunId !== null && state.servingRunId !== facts.runId) || facts.syncing', 'facts.syncing'),
  drop('all agree who holds an epoch that two claimed', 'src/decide/learn.ts', '(word.holder === next.holder || !winsTie(next, word))', 'word.epoch > 0'),
  drop('a hold does not wait for the disk', 'src/decide/memory.ts', 'before.writesHeldSinceMs === null && next.writesHeldSinceMs !== null', 'before.epoch < 0'),
  drop('what cannot be remembered is not promoted', 'src/decide/memory.ts', "(next.phase === 'promoting' ||", "(next.phase === 'fresh' ||"),
  drop('an epoch names the one that it goes on with', position, 'entry.continues?.epoch ?? entry.epoch - 1', 'entry.epoch - 1'),
  drop('what no later epoch has is kept, not only what the next one lacks', position, 'sharedEnd(own, lineage) + 1)', 'later[0]?.startOffset ?? 0)'),
  drop(
    'an epoch counts from its first byte, not from its id',
    position,
    'if (offset >= entry.startOffset - 1 || countsAnew(entry)) return entry',
    'if (offset >= 0) return entry',
    'test/unit/position.test.ts',
  ),
  drop('nor does one that was promoted out of sight', position, 'reached(before, sharedUntil, lineage)', 'before'),
  drop('nor does a disk', position, 'known(reached(entry, offset, lineage), offset, lineage)', 'known(entry, offset, lineage)', 'test/unit/position.test.ts'),
  drop('a middle that has less is not replicated from', following, 'facts.offset > word.redis.offset', 'facts.offset < 0'),
  drop('who has just started elects nobody beside others', election, 'if (view.agentUptimeMs < newcomerMs) return', 'if (false) return'),
  drop('nor who could not be chosen until just now', election, 'view.nowMs - readySinceMs < electionWaitMs) return', 'view.nowMs < readySinceMs) return'),
  drop('nor who has found out long after another', election, 'knowsForMs < electionWaitMs && earlier', 'knowsForMs < 0 && earlier'),
  drop('also because it could not have remembered', 'src/decide/watch.ts', 'return view.durable && facts', 'return facts', 'test/unit/election.test.ts'),
  drop('a claim that waits follows nobody', promoting, 'busyTickMs), actions: detach(ctx) }', 'busyTickMs), actions: [] }'),
  drop('nor one that cannot be remembered', 'src/decide/memory.ts', "const letsGo = role === 'replica' &&", 'const letsGo = role === undefined &&'),
  // ── votes and leases ──
  drop('one vote per epoch', voting, ' && vote.epoch > (voter.vote?.epoch ?? 0)', ''),
  drop('a vote is remembered before it is told', 'src/decide/memory.ts', 'if (votes) return true', 'if (false) return true'),
  drop('more than half elect', voting, 'if (count >= policy.quorum) return', 'if (count >= 1) return'),
  drop('no vote to less data than here', voting, ' || hasMore(ctx, candidate)', ''),
  drop('no vote for another while the elected one may serve', voting, ' || isBound(ctx, candidate.host)', ''),
  drop('a late ballot elects nobody', voting, 'if (askedForMs > ballotRetryMs && count > 1)', 'if (askedForMs < 0)', 'test/unit/voting.test.ts'),
  drop('no vote while the lease may last', situation, 'quietMs < policy.voteSilenceMs', 'quietMs < 0'),
  drop(
    'a stream that was torn is no silence',
    situation,
    "(peer.agent === 'silent' || reach !== 'refused')",
    "peer.agent === 'silent'",
    'test/unit/voting.test.ts',
  ),
  drop(
    'who has not listened for so long has heard no silence',
    situation,
    'Math.min(peer.silentMs, view.agentUptimeMs)',
    'peer.silentMs',
    'test/unit/voting.test.ts',
  ),
  drop('without a lease no writes', lease, 'if (!holdsLease(state, view, policy)) return holdWrites(ctx)', ''),
  drop(
    'writes are held again until they are',
    lease,
    'if (!mustRefuse) return { ...draft, actions: [hold] }',
    'if (!mustRefuse) return { ...draft, actions: begins ? [hold] : [] }',
  ),
  drop('who voted for another carries no lease', lease, 'if (hasVotedAgainst(state, peer)) return false\n', ''),
  drop(
    'who is back echoes before it has said how it voted',
    lease,
    "if (peer.agent === 'alive') return heard(peer) !== null",
    "if (peer.agent === 'alive') return true",
  ),
  drop('who may have forgotten its vote carries none that was lost', lease, 'if (statement?.young === true && mayBeReplaced(state, view)) return false\n', ''),
  drop(
    'who has no agent may have voted before',
    lease,
    'return statement !== null && (state.writesHeldSinceMs === null || statementAgeMs <',
    'return true || (statementAgeMs <',
  ),
  drop('a primary whose voters have voted for another resigns', lease, 'if (lost.length > 0) return', 'if (lost.length > 99) return'),
  drop('a candidate that stands no more carries the lease', lease, "return vote.to !== peer.host || statement.seesHolder !== 'serves'", 'return true'),
  drop('a young primary has no lease for nothing', lease, 'view.agentUptimeMs < youngMs(policy)', 'view.agentUptimeMs < newcomerMs'),
  drop(
    'no epoch is given away without a lease',
    handover,
    'if (!holdsLease(state, view, ctx.policy)) return',
    'if (!holdsLease(state, view, ctx.policy) && word === null) return',
    'test/unit/handover.test.ts',
  ),
  // ── switchover ──
  drop(
    'the target has agreed',
    handover,
    'if (word.preparedId !== handover.id) return waitFor',
    'if (handover.id === ``) return waitFor',
    'test/unit/handover.test.ts',
  ),
  drop('offsets are equal before the epoch is given', handover, '!theirs.linkUp || theirs.offset !== own.offset)', '!theirs.linkUp)'),
  drop(
    'offsets are measured after the pause',
    handover,
    'const measuredAfterPause = own !== null && redisAnswers(view) && view.redis.askedAgeMs < view.nowMs - handover.stageMs',
    'const measuredAfterPause = own !== null',
  ),
  drop(
    'it is not rolled back blindly after a restart',
    handover,
    'if (restarted) return rollBack',
    'if (handover.id === ``) return rollBack',
    'test/unit/handover.test.ts',
  ),
  drop(
    'writes that could not be paused end it',
    handover,
    'if (!view.actedAll) return rollBack',
    'if (handover.id === ``) return rollBack',
    'test/scenarios/switchover.test.ts',
  ),
  drop('the old primary is seen to refuse writes', handover, 'return fenced && whole &&', 'return whole &&'),
  drop('the target is the process that agreed', handover, '&& state.prepared?.runId === facts.runId', ''),
  drop('the giver takes back only what was surely not taken', responses, 'if (word === null)', 'if (state.epoch < 0)'),
  drop(
    'the giver waits for the target',
    responses,
    'if (waitedMs < successorDeadlineMs) return',
    'if (waitedMs < 0) return',
    'test/scenarios/switchover.test.ts',
  ),
  // ── a link that is up is no copy ──
  drop('a stream that stands still is not fresh', fitness, 'if (isStuck(view)) return false', '', streamTest),
  drop(
    'nor fit',
    fitness,
    "state.phase === 'replica' && isStuck(view)) return no",
    "state.phase === 'fresh' && isStuck(view)) return no",
    'test/unit/stream.test.ts',
  ),
  drop('data that differ are not promoted', fitness, 'if (differs !== null) return no', 'if (differs === ``) return no', streamTest),
  drop('a link is begun anew once in a while', 'src/decide/stream.ts', 'sinceMs < cycleAgainMs', 'sinceMs < 0', streamTest),
  drop('one packet is no recovery', 'src/decide/watch.ts', 'latched ?? (stuck', 'null ?? (stuck', 'test/unit/stream.test.ts'),
  drop('full syncs take turns', following, 'if (waits !== null) return letGo', 'if (waits === ``) return letGo', streamTest),
  drop('nobody waits for ever for its turn', resync, 'view.nowMs - idle.sinceMs < syncTurnMs', 'true', resyncTest),
  drop('nor for a sync that gets nowhere', resync, 'view.nowMs - sync.sinceMs < syncStallMs', 'true', resyncTest),
  drop(
    'who is far behind waits for the disk of the dead primary',
    'src/decide/behind.ts',
    'if (missing <= underWayBytes) return null',
    'if (missing >= 0) return null',
  ),
  // ── the operator ──
  drop('the end of the stream is read first', 'src/decide/behind.ts', 'view.nowMs - gone.atMs < drainMs', 'false', 'test/unit/behind.test.ts'),
  drop('an external redis is not drained', 'src/decide/behind.ts', 'policy.external || gone === null', 'gone === null', 'test/unit/behind.test.ts'),
  drop(
    'a vote that was given away binds the candidate',
    voting,
    'mine.gave !== undefined && mayStillServe(view, policy, mine.gave)',
    'false',
    'test/unit/behind.test.ts',
  ),
  // ── paused ──
  drop(
    'a pause that the others were not told of ends no lease',
    lease,
    '!policy.auto) || isPausedForAll(state, view, policy)',
    '!policy.auto) || state.paused.on',
    'test/unit/paused.test.ts',
  ),
  drop('who knows of a pause votes for nobody', voting, '!view.durable || next.paused.on ||', '!view.durable ||', 'test/unit/paused.test.ts'),
  drop(
    'nobody is promoted beside a primary that has not heard of the resume',
    situation,
    'if (mayServePaused(state, policy, holder))',
    'if (false)',
    'test/unit/paused.test.ts',
  ),
  drop('pause', responses, 'return ctx.policy.auto && !ctx.state.paused.on', 'return ctx.policy.auto', 'test/scenarios/operator.test.ts'),
  drop('what is forced is above every vote', 'src/decide/sentinels.ts', ', ...state.votesHeard.map((v) => v.epoch + 1)', '', votingTest),
  drop('force does not promote half a dataset', forcing, 'if (facts?.syncing === true || state.partial)', 'if (false)', 'test/unit/situation.test.ts'),
  drop('force does not promote an empty member over one with data', forcing, 'if (richer !== undefined && !serves)', 'if (richer?.host === ``)'),
  drop('force does not promote where the address cannot come', forcing, 'if (memberOf(ctx.policy, state.host)?.neverPrimary === true)', 'if (false)'),
  // ── the address ──
  drop(
    'a primary that hears nobody yields',
    'src/decide/vip.ts',
    'const yields = isServingPhase(next.phase) &&',
    'const yields = false && isServingPhase(next.phase) &&',
    'test/scenarios/host-loss.test.ts',
  ),
  drop(
    'an address that VRRP has not given is taken off',
    'src/decide/vip.ts',
    'keepalived.strayMs === 0) return none',
    'keepalived.strayMs >= 0) return none',
    'test/scenarios/vip-truth.test.ts',
  ),
  drop(
    '… never from a member that serves',
    'src/decide/vip.ts',
    "(next.phase !== 'replica' && next.phase !== 'fenced' && next.phase !== 'receiving')) return none",
    'next.phase === `fresh`) return none',
    'test/unit/address.test.ts',
  ),
  drop(
    'an address by hand is no sign from VRRP',
    situation,
    '(keepalived.vipHere && keepalived.strayMs === 0)',
    'keepalived.vipHere',
    'test/scenarios/vip-truth.test.ts',
  ),
  drop('… nor a reason to stand back', following, " && view.keepalived.vrrp !== 'BACKUP'", '', 'test/scenarios/vip-truth.test.ts'),
  drop('a moving address is not told as wrong', 'src/decide/address.ts', ' && nowMs - account.sinceMs >= addressGraceMs', '', 'test/unit/address.test.ts'),
  drop(
    'who might be a member is no stranger',
    'src/decide/address.ts',
    'if (candidates.some((m) => macs.get(m.host) == null)) return null',
    '',
    'test/unit/address.test.ts',
  ),
  drop('a stray address is given back', following, 'if (vipHere && word.phase ===', 'if (false && vipHere && word.phase ==='),
  // ── partitions without a witness: the histories of the simulator have none of these settings ──
  drop('who is cut off promotes nobody', lease, 'return policy.checks && !hears', 'return false && !hears', durability),
  drop('at a heal the gateway alone proves nothing', lease, '(view.checks?.forMs ?? 0) >= lonelyWaitMs', 'true', durability),
  drop('who had stopped does not go on at the first answer of its gateway', lease, 'replaced ? wasReaching(view, policy) : ', '', durability),
  drop('a gateway that was not asked refuses no writes', lease, "ctx.view.checks?.reach === 'silent'", 'true', 'test/unit/lease.test.ts'),
  drop('a lease that may last is waited for', situation, 'policy.leased && (peer.agent', 'policy.quorum > 99 && (peer.agent', votingTest),
  drop('the guard is not overruled by a new agent', lease, '!replaced && view.agentUptimeMs', 'view.agentUptimeMs', votingTest),
  drop('what is refused is not lifted before it may be', 'src/decide/decide.ts', ' && next.writesHeldSinceMs === null', '', votingTest),
  drop('writes are held while redis is slow', lease, "situation.claim === 'mine' && state.phase === 'primary'", 'false', votingTest),
  drop(
    'a broken-off switchover lets no writes go without a lease',
    handover,
    'if (!holdsLease(state, view, ctx.policy)) return',
    'if (false) return',
    votingTest,
  ),
  drop('safe: redis is to ask for a replica before it is promoted', 'src/decide/decide.ts', 'ctx.policy.safe && !inForce', 'false', durability),
  drop(
    'safe: two members elect with two votes',
    'src/model/policy.ts',
    'group.witness === undefined && !safe) ? 0',
    'group.witness === undefined) ? 0',
    durability,
  ),
  ...sentinelMutations,
  ...moveMutations,
]
