/** Stories of groups whose voters are Sentinels, as regressions.ts. */
import { story, type Regression } from './regression.ts'
import type { SentinelStory, Story } from './story.ts'

const sentinels: SentinelStory = { apart: 1, downAfterMs: 500, failoverTimeoutMs: 10_000, seed: 0 }
const watched: Omit<Story, 'steps'> = {
  ...{ members: 2, witness: false, external: false, neverPrimary: null, priorities: 'falling', cascade: null, latenessMs: 0, healed: 7 },
  sentinels,
}

export const sentinelRegressions: readonly Regression[] = [
  {
    accident: 'a vote for another, told again with each vote that came after it, was as young as those: nobody was ever elected',
    story: story(watched, { kind: 'die-at', host: 0, nth: 12 }, { kind: 'switchover', host: 0, to: null }, { kind: 'wait', ms: 9 }),
  },
  {
    accident: 'elected, it stood still: with votes that had grown old it waited for ever for Sentinels to stand behind it',
    story: story(
      { ...watched, members: 3, healed: 15, sentinels: { ...sentinels, failoverTimeoutMs: 3000 } },
      { kind: 'isolate', host: 1, other: 3, layers: ['agent', 'redis', 'vrrp'] },
      { kind: 'wait', ms: 98.8 },
      { kind: 'crash', host: 0 },
      { kind: 'write', count: 2 },
      { kind: 'wait', ms: 4.6 },
      { kind: 'stall', host: 1, ms: 600 },
    ),
  },
  {
    accident: 'a Sentinel was told in the middle of its own failover, took the epoch and ended with the other: it named another for ever',
    story: story(
      { ...watched, sentinels: { ...sentinels, downAfterMs: 1000, failoverTimeoutMs: 3000 } },
      { kind: 'kill-sentinel', host: 2 },
      { kind: 'power-on', host: 2 },
      { kind: 'wait', ms: 593 },
      { kind: 'sentinel-failover', host: 2 },
      { kind: 'suspend', host: 1, ms: 2500 },
    ),
  },
  {
    accident: 'a Sentinel was stopped while it led a failover: the primary wrote on, and at its next turn the Sentinel promoted another',
    story: story(
      { ...watched, priorities: 'rising', sentinels: { ...sentinels, failoverTimeoutMs: 3000 } },
      { kind: 'sentinel-failover', host: 0 },
      { kind: 'stall', host: 2, ms: 1500 },
      { kind: 'wait', ms: 79 },
      { kind: 'wait', ms: 60 },
      { kind: 'freeze-sentinel', host: 0 },
    ),
  },
  {
    accident: 'a replica that was cut off found nobody gone and let go of nobody: at the heal its redis followed the old primary into other data',
    story: story(
      { ...watched, members: 3, healed: 63, sentinels: { apart: 3, downAfterMs: 1000, failoverTimeoutMs: 10_000, seed: 0 } },
      { kind: 'lag', host: 1 },
      { kind: 'write', count: 1 },
      { kind: 'cut', host: 2 },
      { kind: 'restart-empty', host: 0 },
      { kind: 'wait', ms: 317 },
      { kind: 'wait', ms: 288.6 },
    ),
  },
  {
    accident: 'a quorum above the majority: an external redis came back as a primary, and its young agent waited for all to say whom they name',
    story: story(
      { ...watched, external: true, sentinels: { ...sentinels, downAfterMs: 1000, quorum: 3 } },
      { kind: 'kill-sentinel', host: 2 },
      { kind: 'restart-old', host: 1 },
    ),
  },
  {
    accident: 'two of three Sentinels were dead: the young agent of an external redis that came back as a primary let it take writes while it asked them',
    story: story({ ...watched, external: true }, { kind: 'kill-sentinel', host: 0 }, { kind: 'kill-sentinel', host: 2 }, { kind: 'restart-old', host: 1 }),
  },
  {
    accident: 'agent and redis of the primary died in one moment, and three of three were to agree: nobody was asked what they find',
    story: story(
      { ...watched, sentinels: { ...sentinels, quorum: 3 } },
      { kind: 'crash', host: 0 },
      { kind: 'kill-agent', host: 0 },
      { kind: 'wait', ms: 1000 },
    ),
  },
  {
    accident: 'a Sentinel made a member that is never to be primary one, by an order that came while it was filled anew',
    story: story(
      { ...watched, neverPrimary: 0, sentinels: { ...sentinels, seed: 367 } },
      { kind: 'write', count: 2 },
      { kind: 'wait', ms: 6 },
      { kind: 'wait', ms: 8 },
      { kind: 'reinit', host: 0 },
      { kind: 'wait', ms: 10 },
      { kind: 'sentinel-failover', host: 2 },
    ),
  },
]
