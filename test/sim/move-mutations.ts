/** The guards of a move, as mutations.ts. */
import { drop, type Mutation } from './mutation.ts'

const cutOver = 'src/decide/cut-over.ts'
const receiving = 'src/decide/receiving.ts'
const wayBack = 'src/decide/way-back.ts'
const scenarios = 'test/scenarios/move.test.ts'

export const moveMutations: readonly Mutation[] = [
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
]
