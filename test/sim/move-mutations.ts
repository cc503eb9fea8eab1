/** The guards of a move, as mutations.ts. */
import { drop, type Mutation } from './mutation.ts'

const cutOver = 'src/decide/cut-over.ts'
const receiving = 'src/decide/receiving.ts'
const wayBack = 'src/decide/way-back.ts'
const scenarios = 'test/scenarios/move.test.ts'

const received = 'src/decide/received.ts'
const following = 'src/decide/following.ts'
const restarts = 'test/scenarios/move-restarts.test.ts'
const back = 'test/scenarios/move-back.test.ts'

/** Guards that stand behind others, or matter in moments that no history hits: looked at one by one. */
const oneByOne = 'test/unit/cut-over.test.ts'
const fed = 'src/decide/fed.ts'
const ofAFeed = 'test/unit/fed.test.ts'

const sentinels = 'test/scenarios/move-sentinel.test.ts'

export const moveMutations: readonly Mutation[] = [
  drop('move: what was long on its way is old', 'src/decide/moving.ts', 'Math.min(view.nowMs - move.stageMs, lookedMs)', 'view.nowMs - move.stageMs'),
  drop('move: Sentinels watch nobody meanwhile', 'src/decide/sentinels.ts', "if (isReceiving(state.move)) return 'nobody'", '', sentinels),
  drop(
    'move: no orders of Sentinels meanwhile',
    'src/decide/valve.ts',
    "if (isReceiving(next.move) || next.move?.stage === 'back-hold') return false",
    '',
    sentinels,
  ),
  drop(
    'move: the valves are closed before the source serves',
    'src/decide/knowing.ts',
    ' && (policy.sentinel === null || word?.orders === false)',
    '',
    sentinels,
  ),
  drop(
    'move: a redis that Sentinels reach needs an agent',
    'src/decide/knowing.ts',
    ' && (policy.sentinel === null || peer === undefined || !isReached(peer))',
    '',
    sentinels,
  ),
  drop('move: enough Sentinels before the cut-over', 'src/decide/sentinels.ts', 'if (count >= policy.sentinel.behind) return null', 'return null', sentinels),
  drop('feed: what the old redis has is known to the byte', fed, 'facts.offset === point.fed', 'true', ofAFeed),
  drop('feed: of the history that is served', fed, 'facts.replid === fedReplid(point.replid)', 'true', ofAFeed),
  drop('feed: what could not be told is given up only by word', fed, 'if (count + refused === 0 ||', 'if (true ||', ofAFeed),
  drop('feed: one that cannot go on is no way back', fed, 'if (feed.trouble !== null) return', 'if (false) return', ofAFeed),
  drop('move: who is to step down is seen to have', cutOver, 'if (seen === null || !isSeen(ctx, move, source)) {', 'if (seen === null) {', oneByOne),
  drop('move: the offset is compared again once writes are refused', cutOver, "seen.replid === '' || seen.offset === own.offset", 'true', oneByOne),
  drop('move: a cut-over that was interrupted is given up', cutOver, 'if (wasRestarted(ctx, move)) return giveUp', 'if (false) return giveUp', oneByOne),
  drop('move: a hold that failed is no hold', cutOver, 'if (!view.actedAll) return giveUp', 'if (false) return giveUp', oneByOne),
  drop('move: at equal offsets both count the same', cutOver, 'if (differ !== null) return giveUp', 'if (false) return giveUp', oneByOne),
  drop('move: who has just started listens first', cutOver, 'if (mustListen(ctx)) return', 'if (false) return', oneByOne),
  drop(
    'move: a hold is measured after it began',
    'src/decide/moving.ts',
    'source.factsAgeMs < Math.min(view.nowMs - move.stageMs, lookedMs)',
    'source.factsAgeMs < lookedMs',
    oneByOne,
  ),
  drop('move: equal offsets before the way back', wayBack, 'if (seen.offset !== own.offset) return holdStill', 'if (false) return holdStill', oneByOne),
  drop('move: a way back compares again once writes are refused', wayBack, 'same ? seen.offset === own.offset :', 'same ? true :', oneByOne),
  drop(
    'move: a redis that lost what it had does not take back',
    wayBack,
    'if (own?.runId !== state.servingRunId || !(isKnown(ctx, move) || wouldServe(ctx, move))) return',
    'if (false) return',
    oneByOne,
  ),
  drop('move: who could be elected knows of a way back', wayBack, 'if (!isKnown(ctx, move)) {', 'if (false) {', oneByOne),
  drop(
    'move: a source that floats back is made a replica',
    wayBack,
    "  if (seen.role === 'primary') {\n    const text",
    '  if (false as boolean) {\n    const text',
    oneByOne,
  ),
  drop(
    'move: cut over at equal offsets only',
    cutOver,
    'if (own.offset !== seen.offset) return holdStill',
    'if (own.offset > seen.offset) return holdStill',
    scenarios,
  ),
  drop('move: what is stepping down is let go of when it is gone', cutOver, 'source.trouble !== null && own?.upstream', 'false && own?.upstream'),
  drop('move: nobody is elected while the group receives', 'src/decide/responses.ts', 'if (isReceiving(ctx.state.move)) {', 'if (false) {', scenarios),
  drop(
    'move: nobody has the address while the group receives',
    'src/decide/vip.ts',
    'if (isReceiving(next.move)) return isSendingBack',
    'if (false) return isSendingBack',
  ),
  drop(
    'move: after the cut-over who serves has the address first',
    'src/decide/vip.ts',
    "heard(first)?.phase === 'promoting') return false",
    "heard(first)?.phase === 'fresh') return false",
    scenarios,
  ),
  drop(
    'move: a source that was started anew with other data is not followed',
    receiving,
    'if (other !== null) return refuse',
    'if (other === `never`) return refuse',
  ),
  drop('move: a source that cannot be asked is let go of', receiving, 'attached && !own.syncing ? [', 'attached && own.keys < 0 ? ['),
  drop(
    'move: the end of a sync is known here first',
    receiving,
    'const synced = own.linkUp && !own.syncing\n',
    'const synced = own.linkUp && !own.syncing && own.replid === historyOf(seen)\n',
  ),
  drop(
    'move: a claim that was not carried out looks at the source again',
    'src/decide/promoting.ts',
    "if (state.claim?.source === 'migration' && state.move?.stage === 'moved') {",
    'if (false as boolean && state.move !== null) {',
    scenarios,
  ),
  drop('move: the writes of a way back are held first', wayBack, 'if (move.stage !== state.move?.stage || (move.stage', 'if ((move.stage', scenarios),
  drop(
    'move: a source that was started anew is not made a primary',
    wayBack,
    "if (seen.role === 'replica' && seen.runId !== move.runId) return takeBack",
    'if (false) return takeBack',
  ),
  drop('move: what an earlier holder had begun is over', wayBack, 'if (move.epoch < draft.next.epoch) return', 'if (move.epoch < 0) return'),
  drop('move: who has just started hears first what the others have', receiving, 'if (!attached && mustListen(ctx))', 'if (false as boolean)', restarts),
  drop('move: who would be pulled along lets go first', receiving, 'if (holding.length > 0) return', 'if (holding.length > 9) return', restarts),
  drop(
    'move: an old look at the source is no proof',
    receiving,
    'if (!attached && source.factsAgeMs > lookedMs) return',
    'if (false as boolean) return',
    restarts,
  ),
  drop(
    'move: a source that was started anew serves again only with what the others have',
    receiving,
    'facts.keys < copy.keys && !goesOn(facts, copy)',
    'copy === own && facts.keys < copy.keys',
    restarts,
  ),
  drop(
    'move: who is not heard may have the only copy',
    received,
    'if (attached || unheard.length === 0 || hasFollowed(move, own)) return null',
    'if (unheard.length >= 0) return null',
    restarts,
  ),
  drop('move: a member lets go of a holder that has less', following, 'if (lets !== null) return', 'if (lets === `never`) return', restarts),
  drop('move: the members listen before this redis refuses writes', wayBack, 'if (!listens(ctx, move)) return holdStill', 'if (false) return holdStill', back),
  drop(
    'move: a member whose agent has ended may have been elected before',
    'src/decide/knowing.ts',
    ' && (policy.quorum > 0 || !view.peers.some(mayServe))',
    '',
    back,
  ),
  drop(
    'move: a way back lasts for max_pause_ms at most',
    wayBack,
    "if (over) return takeBack(ctx, move, 'not all",
    "if (late) return takeBack(ctx, move, 'not all",
    back,
  ),
  drop('move: a way back that was given up leaves who serves', wayBack, '(isKnown(ctx, move) || wouldServe(ctx, move))', 'isKnown(ctx, move)', back),
  drop('move: the address that an agent has put up goes on the way back', wayBack, '    ...drops,\n', '', back),
  drop('move: who resigns ends the way back', wayBack, "if (move?.stage === 'back-hold' && state.phase", "if (move?.stage === 'done' && state.phase", back),
]
