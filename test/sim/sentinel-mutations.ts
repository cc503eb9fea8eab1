/** The guards of groups whose voters are Sentinels, as mutations.ts. */
import { drop, type Mutation } from './mutation.ts'

const situation = 'src/decide/situation.ts'
const responses = 'src/decide/responses.ts'
const promoting = 'src/decide/promoting.ts'
const lease = 'src/decide/lease.ts'
const sentinels = 'src/decide/sentinels.ts'
const quorumTest = 'test/unit/sentinel-quorum.test.ts'
const pausedTest = 'test/unit/paused.test.ts'
const sentinelTest = 'test/unit/sentinel-core.test.ts'

export const sentinelMutations: readonly Mutation[] = [
  drop(
    'Sentinel: paused, the primary does without them only when no redis takes their orders',
    'src/decide/learn.ts',
    'word.orders === false && ',
    '',
    pausedTest,
  ),
  drop('Sentinel: … and none had taken one before', 'src/decide/learn.ts', " && word.redis?.role === 'replica'", '', pausedTest),
  drop('Sentinel: resumed, no orders before the primary knows', 'src/decide/valve.ts', 'mayServePaused(next, policy, next.holder)', 'false', pausedTest),
  drop('Sentinel: what was voted before has its own age', sentinels, '[vote, vote.before]', '[vote, { ...vote.before, ageMs: vote.ageMs }]', sentinelTest),
  drop('Sentinel: a claim with old votes is given up', promoting, 'if (policy.sentinel !== null) return resign', 'if (policy.voters > 99) return resign'),
  drop('Sentinel: who names another in the same epoch is convinced', 'src/decide/disputed.ts', 'if (stray === undefined)', 'if (stray !== null)'),
  drop('Sentinel: a replica that is cut off lets go', responses, 'policy.sentinel === null ? lonelyWaitMs / 2 : policy.hostLossMs', 'lonelyWaitMs / 2'),
  drop('Sentinel: a rival who was voted for is waited for', sentinels, 'if (rival !== null)', 'if (rival !== null && state.epoch < 0)', sentinelTest),
  drop(
    'Sentinel: the majority of them elects',
    sentinels,
    'const needed = policy.sentinel?.votes ??',
    'const needed = Math.min(1, policy.sentinel?.votes ?? 1) ??',
  ),
  drop(
    'Sentinel: who has voted for another does not stand behind this one',
    sentinels,
    'facts.down || votedAgainst',
    'facts.down || false && votedAgainst',
    'test/unit/sentinel-found.test.ts',
  ),
  drop('Sentinel: its word has an age, and so has its question', sentinels, ' - ageMs - facts.pendingPingMs', ''),
  drop('Sentinel: by silence a quorum of them must find it down', situation, 'down >= sentinel.quorum ?', 'down >= 0 ?'),
  drop('Sentinel: … also in the moment in which they vote', sentinels, 'found >= finders && ', '', quorumTest),
  drop('Sentinel: whoever asks for more than the majority is not spared it', situation, ' && sentinel.quorum <= majorityOf(sentinel.hosts.length)', ''),
  drop('Sentinel: one in TILT finds nobody down', 'src/decide/sentinel-words.ts', ' && !s.facts.tilt', '', quorumTest),
  drop('Sentinel: one that leads and falls silent leads on', lease, 'sentinelsLeading(view, policy.sentinel?.failoverTimeoutMs)', 'sentinelsLeading(view)'),
  drop(
    'Sentinel: one that leads a failover stops the primary',
    lease,
    'if (policy.sentinel !== null && ledAway(state, view, policy) !== null) return false',
    '',
  ),
  drop(
    'Sentinel: no orders while the agents elect',
    'src/decide/valve.ts',
    'const allowed = fit && mayOrder(ctx, draft.next)',
    'const allowed = fit',
    sentinelTest,
  ),
  drop('Sentinel: who is not fit is not selected', 'src/decide/valve.ts', ' || (!fit && lasts)', '', sentinelTest),
  drop(
    'Sentinel: no orders to who is not fit',
    'src/decide/valve.ts',
    'const allowed = fit && mayOrder(ctx, draft.next)',
    'const allowed = mayOrder(ctx, draft.next)',
  ),
]
