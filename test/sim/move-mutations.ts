/** The guards of a move, as mutations.ts. */
import { drop, type Mutation } from './mutation.ts'

const cutOver = 'src/decide/cut-over.ts'
const receiving = 'src/decide/receiving.ts'
const wayBack = 'src/decide/way-back.ts'
const scenarios = 'test/scenarios/move.test.ts'

export const moveMutations: readonly Mutation[] = [
  drop(
    'move: nobody is promoted before the source is seen to refuse writes',
    cutOver,
    "  if (seen.role === 'primary') {\n    if (late",
    '  if (seen.role === `nobody`) {\n    if (late',
    scenarios,
  ),
  drop(
    'move: cut over at equal offsets only',
    cutOver,
    'if (own.offset !== seen.offset) return holdStill',
    'if (own.offset > seen.offset) return holdStill',
    scenarios,
  ),
  drop('move: the offset is compared again once writes are refused', cutOver, "seen.replid === '' || seen.offset === own.offset", 'true', scenarios),
  drop('move: a cut-over that was interrupted is given up', cutOver, 'if (wasRestarted(ctx, move)) return giveUp', 'if (false) return giveUp', scenarios),
  drop('move: a hold that failed is no hold', cutOver, 'if (!view.actedAll) return giveUp', 'if (false) return giveUp', scenarios),
  drop('move: what is stepping down is let go of when it is gone', cutOver, 'source.trouble !== null && own?.upstream', 'false && own?.upstream', scenarios),
  drop('move: nobody is elected while the group receives', 'src/decide/responses.ts', 'if (isReceiving(ctx.state.move)) {', 'if (false) {', scenarios),
  drop('move: nobody has the address while the group receives', 'src/decide/vip.ts', 'if (isReceiving(next.move)) return false', 'if (false) return false'),
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
    'move: a promotion that came to pass late is undone first',
    receiving,
    "if (view.redis.facts?.role === 'primary' && redisAnswers(view))",
    'if (false)',
    scenarios,
  ),
  drop(
    'move: a claim that was not carried out looks at the source again',
    'src/decide/promoting.ts',
    "if (state.claim?.source === 'migration' && state.move?.stage === 'moved') {",
    'if (false as boolean && state.move !== null) {',
    scenarios,
  ),
  drop('move: the writes of a way back are held first', wayBack, "if (state.move?.stage !== 'back-hold') return draft", 'if (false) return draft', scenarios),
  drop(
    'move: a way back ends with the lease',
    wayBack,
    'if (draft.next.writesHeldSinceMs !== null || draft.actions.length > 0) return leave',
    'if (false) return leave',
  ),
  drop(
    'move: equal offsets before the way back',
    wayBack,
    'if (seen.offset !== own.offset) return holdStill',
    'if (seen.offset > own.offset) return holdStill',
    scenarios,
  ),
  drop(
    'move: a way back compares again once writes are refused',
    wayBack,
    'seen.runId !== move.runId || seen.offset !== own.offset)\n',
    'seen.runId !== move.runId)\n',
    scenarios,
  ),
  drop('move: who could be elected knows of a way back', wayBack, 'if (!isKnown(ctx, move)) {', 'if (false) {'),
  drop(
    'move: nobody votes who knows that the source has the clients',
    'src/decide/voting.ts',
    'if (isReceiving(next.move)) return draft',
    'if (false) return draft',
    scenarios,
  ),
  drop(
    'move: a redis that lost what it had does not take back',
    wayBack,
    "if (move.stage === 'back-fence' && own.runId !== state.servingRunId)",
    'if (false)',
    scenarios,
  ),
  drop(
    'move: a source that was started anew is not made a primary',
    wayBack,
    "if (seen.role === 'replica' && seen.runId !== move.runId) return takeBack",
    'if (false) return takeBack',
  ),
  drop('move: what an earlier holder had begun is over', wayBack, 'if (move.epoch < draft.next.epoch) return', 'if (move.epoch < 0) return'),
  drop(
    'move: a source that floats back is made a replica',
    wayBack,
    "  if (seen.role === 'primary') {\n    const text",
    '  if (seen.role === `nobody`) {\n    const text',
    scenarios,
  ),
]
