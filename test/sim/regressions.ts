/**
 * Stories that once broke a rule, each the shortest of its kind, with a line on the accident. They are kept as stories, not as
 * seeds: what a seed tells changes with every new fault. `script/sim` prints a new one ready to be put here.
 */
import { moreRegressions } from './more-regressions.ts'
import { moveRegressions } from './move-regressions.ts'
import { sentinelRegressions } from './sentinel-regressions.ts'
import { story, two, usual, voted, type Regression } from './regression.ts'

export const regressions: readonly Regression[] = [
  {
    accident: 'forced, a member that may never hold the address became primary: the group served where no client came',
    story: story(
      { ...two, neverPrimary: 0 },
      { kind: 'split', mask: 1 },
      { kind: 'write', count: 3 },
      { kind: 'failover', host: 0 },
      { kind: 'wait', ms: 99 },
      { kind: 'crash', host: 1 },
    ),
  },
  {
    accident: 'the agent of the primary was dead, one replica was cut from its host and promoted itself, though the other heard both',
    story: story(
      usual,
      { kind: 'isolate', host: 2, other: 0, layers: ['agent', 'redis', 'vrrp'] },
      { kind: 'write', count: 1 },
      { kind: 'kill-agent', host: 0 },
      { kind: 'wait', ms: 541.5 },
    ),
  },
  {
    accident: 'after a power cut the member with more data was still reading them: the other did not wait',
    story: story({ ...two, external: true }, { kind: 'save', host: 0 }, { kind: 'power-off', host: 0 }, { kind: 'power-off', host: 1 }),
  },
  {
    accident: 'the old primary joined the new lineage first, and a replica fetched everything anew from it before its own data were copied',
    story: story(
      { ...usual, latenessMs: 25 },
      { kind: 'cut', host: 2 },
      { kind: 'write', count: 1 },
      { kind: 'slow', host: 0, other: 1, ms: 200 },
      { kind: 'crash', host: 0 },
      { kind: 'write', count: 1 },
    ),
  },
  {
    accident: 'a replica was found to have nothing of its own, received one more write, and followed another primary',
    story: story(usual, { kind: 'split', mask: 4 }, { kind: 'wait', ms: 474.8 }, { kind: 'freeze', host: 1 }, { kind: 'write', count: 1 }),
  },
  {
    accident: 'the same with a replica that lagged',
    story: story(
      { ...usual, members: 5, healed: 31 },
      { kind: 'cut', host: 1 },
      { kind: 'wait', ms: 411.5 },
      { kind: 'lag', host: 4 },
      { kind: 'write', count: 1 },
    ),
  },
  {
    accident: 'a primary that had stood still was outvoted and had lost its redis: it stayed in its phase, and with it stood for the address',
    story: story({ ...two, external: true }, { kind: 'suspend', host: 0, ms: 2500 }, { kind: 'wait', ms: 370 }, { kind: 'crash', host: 0 }),
  },
  {
    accident: 'an agent died in the election, came back after it, and promoted itself on what it remembered',
    story: story({ ...usual, members: 4, healed: 15 }, { kind: 'die-at', host: 3, nth: 3 }, { kind: 'crash', host: 0 }, { kind: 'wait', ms: 100 }),
  },
  {
    accident: 'a member that was just given an epoch and did not know it yet was taken for gone; an agent restarted in that moment elected itself',
    story: story(usual, { kind: 'die-at', host: 2, nth: 3 }, { kind: 'switchover', host: 0, to: null }, { kind: 'wait', ms: 100 }, { kind: 'crash', host: 1 }),
  },
  {
    accident: 'a primary restarted from an older disk; a replica of the epoch before the last had more, and gave it up unasked',
    story: story(
      { ...usual, neverPrimary: 0 },
      { kind: 'restart-empty', host: 1 },
      { kind: 'wait', ms: 7.5 },
      { kind: 'crash', host: 2 },
      { kind: 'wait', ms: 553 },
      { kind: 'write', count: 1 },
    ),
  },
  {
    accident: 'two promoted themselves to one epoch: the one that yielded took its own writes for those of the other at the same offset',
    story: story(
      usual,
      { kind: 'split', mask: 5 },
      { kind: 'write', count: 1 },
      { kind: 'crash', host: 0 },
      { kind: 'wait', ms: 564 },
      { kind: 'write', count: 1 },
    ),
  },
  {
    accident: 'a primary was lost in the moment between the giving of an epoch and its taking: a third member elected itself',
    story: story(usual, { kind: 'switchover', host: 0, to: 2 }, { kind: 'die-at', host: 2, nth: 5 }, { kind: 'wait', ms: 100 }),
  },
  {
    accident: 'the redis of a replica hung when the primary went: its offset of before was compared as if it were final',
    story: story(usual, { kind: 'freeze', host: 1 }, { kind: 'crash', host: 0 }, { kind: 'write', count: 1 }),
  },
  {
    accident: 'an agent restarted in an election counted the time in which nobody could have spoken to it as waiting',
    story: story(
      usual,
      { kind: 'freeze', host: 1 },
      { kind: 'wait', ms: 1000 },
      { kind: 'switchover', host: 0, to: null },
      { kind: 'wait', ms: 100 },
      { kind: 'restart-empty', host: 2 },
      { kind: 'kill-agent', host: 1 },
    ),
  },
  {
    accident: 'a replica remembered a loss that was healed, while another vouched for the primary that had written on',
    story: story(
      { ...usual, members: 4, healed: 14 },
      { kind: 'pause', host: 2 },
      { kind: 'split', mask: 6 },
      { kind: 'wait', ms: 324.9 },
      { kind: 'tear', host: 1, other: 0 },
      { kind: 'heal' },
      { kind: 'write', count: 4 },
    ),
  },
  {
    accident: 'an empty member was forced to serve, and the redis of another, which hung, followed it by itself',
    story: story(
      usual,
      { kind: 'freeze', host: 2 },
      { kind: 'crash', host: 0 },
      { kind: 'crash', host: 1 },
      { kind: 'wait', ms: 100 },
      { kind: 'failover', host: 0 },
    ),
  },
  {
    accident: 'the former primary served again alone from an older disk; after the heal its replica followed it by itself',
    story: story(
      two,
      { kind: 'crash', host: 0 },
      { kind: 'wait', ms: 100 },
      { kind: 'crash', host: 0 },
      { kind: 'split', mask: 1 },
      { kind: 'crash', host: 1 },
      { kind: 'wait', ms: 2802 },
    ),
  },
  {
    accident: 'a redis restarted from an old disk was told to follow a primary that was lost before the link was up: it passed for fresh',
    story: story({ ...usual, latenessMs: 30, healed: 6 }, { kind: 'kill-agent', host: 1 }, { kind: 'kill-agent', host: 0 }, { kind: 'crash', host: 2 }),
  },
  {
    accident: 'a primary lost the tie for an epoch; its own id was in no lineage, and its writes were given up as of unknown history',
    story: story(
      { ...usual, external: true },
      { kind: 'restart-old', host: 1 },
      { kind: 'split', mask: 5 },
      { kind: 'wait', ms: 1000 },
      { kind: 'restart-empty', host: 0 },
      { kind: 'write', count: 1 },
    ),
  },
  {
    accident: 'the redis of a replica died while the primary was being missed; the next process read an old disk and was promoted as fresh',
    story: story(
      { ...usual, members: 4, healed: 15 },
      { kind: 'kill-agent', host: 1 },
      { kind: 'crash', host: 0 },
      { kind: 'write', count: 2 },
      { kind: 'crash', host: 3 },
      { kind: 'cut', host: 2 },
      { kind: 'wait', ms: 100 },
      { kind: 'wait', ms: 73.8 },
    ),
  },
  {
    accident: 'a third epoch began with less than the second had: what lay between was neither there nor in the copy, which began at the second',
    story: story(
      two,
      { kind: 'save', host: 1 },
      { kind: 'write', count: 1 },
      { kind: 'isolate', host: 1, other: 0, layers: ['agent', 'redis', 'vrrp'] },
      { kind: 'wait', ms: 363.9 },
      { kind: 'crash', host: 1 },
      { kind: 'write', count: 1 },
    ),
  },
  {
    accident: 'two candidates did not hear each other, both heard all voters: each was elected, in two epochs, by the same votes',
    story: story(
      { ...usual, witness: true, healed: 15 },
      { kind: 'deafen', host: 1, other: 2 },
      { kind: 'wait', ms: 547.8 },
      { kind: 'crash', host: 0 },
      { kind: 'wait', ms: 100 },
    ),
  },
  {
    accident: 'a primary came back to voters that had voted for another, who was never elected: it held its writes back for ever',
    story: story({ ...usual, witness: true, neverPrimary: 0, healed: 15 }, { kind: 'disk-full', host: 0 }, { kind: 'suspend', host: 1, ms: 2500 }),
  },
  {
    accident: 'the witness voted and died; the old primary took the answer of its kernel, that no agent listens, for contact',
    story: story({ ...voted, priorities: 'rising' }, { kind: 'cut', host: 1 }, { kind: 'wait', ms: 469.8 }, { kind: 'kill-agent', host: 2 }),
  },
  {
    accident: 'a group had just begun: the primary believed in its lease for as long as its voters were too young to vote, and a timer longer',
    story: story({ ...voted, latenessMs: 30 }, { kind: 'cut', host: 0 }, { kind: 'wait', ms: 401.7 }),
  },
  {
    accident: 'the redis of a primary was stopped when its writes were to be held back; nobody asked it again when it went on',
    story: story({ ...voted, priorities: 'rising' }, { kind: 'freeze', host: 1 }, { kind: 'cut', host: 1 }, { kind: 'wait', ms: 205.8 }),
  },
  {
    accident: 'the witness was gone and a replica that had been cut off came back as a candidate: the primary counted on neither, for ever',
    story: story({ ...usual, witness: true, external: true }, { kind: 'cut', host: 2 }, { kind: 'wait', ms: 241.8 }),
  },
  {
    accident: 'an agent was started in an election, and elected its member at the moment at which the others chose another without it',
    story: story(
      { ...usual, members: 4, priorities: 'rising', latenessMs: 60, healed: 15 },
      { kind: 'kill-agent', host: 2 },
      { kind: 'crash', host: 3 },
      { kind: 'write', count: 3 },
    ),
  },
  {
    accident: 'replicate_from: a replica with more data was sent to a middle that lagged, and fetched everything anew from it',
    story: story(
      { ...usual, members: 5, cascade: 2, healed: 31 },
      { kind: 'lag', host: 1 },
      { kind: 'write', count: 1 },
      { kind: 'suspend', host: 0, ms: 2500 },
    ),
  },
  {
    accident: 'forced, a member of the epoch before the last took over at the same offset: the writes of the last epoch passed for shared',
    story: story(
      { ...usual, neverPrimary: 2 },
      { kind: 'isolate', host: 0, other: 1, layers: ['agent', 'redis', 'vrrp'] },
      { kind: 'write', count: 1 },
      { kind: 'power-off', host: 2 },
      { kind: 'wait', ms: 353.8 },
      { kind: 'power-on', host: 2 },
      { kind: 'wait', ms: 232.5 },
      { kind: 'write', count: 1 },
      { kind: 'crash', host: 1 },
    ),
  },
  {
    accident: 'two epochs began without the diverged writes, the later one earlier: only those that the first had dropped were kept',
    story: story(
      { ...usual, members: 5, healed: 31 },
      { kind: 'save', host: 4 },
      { kind: 'write', count: 1 },
      { kind: 'cut', host: 4 },
      { kind: 'wait', ms: 308.9 },
      { kind: 'crash', host: 4 },
      { kind: 'write', count: 2 },
    ),
  },
  {
    accident: 'the giver of an epoch lost its agent before its redis refused writes: another was elected beside it',
    story: story(usual, { kind: 'die-at', host: 0, nth: 12 }, { kind: 'switchover', host: 0, to: 2 }, { kind: 'wait', ms: 371 }),
  },
  {
    accident: 'the stream between two replicas was torn in an election: the one that had hung took the silence of the other for an answer',
    story: story(
      { ...usual, external: true },
      { kind: 'freeze', host: 2 },
      { kind: 'write', count: 1 },
      { kind: 'crash', host: 0 },
      { kind: 'tear', host: 2, other: 1 },
    ),
  },
  {
    accident: 'an agent died between claiming an epoch and promoting its redis; back again, it promoted what the others had gone on from',
    story: story(
      { ...usual, healed: 3 },
      { kind: 'cut', host: 1 },
      { kind: 'write', count: 1 },
      { kind: 'die-at', host: 1, nth: 4 },
      { kind: 'wait', ms: 1000 },
    ),
  },
  {
    accident: 'forced into an epoch whose predecessor it had only heard of, a member did not say that its own history left that one out',
    story: story(
      { ...usual, members: 5, healed: 31 },
      { kind: 'failover', host: 4 },
      { kind: 'write', count: 3 },
      { kind: 'split', mask: 15 },
      { kind: 'wait', ms: 260 },
      { kind: 'failover', host: 0 },
      { kind: 'write', count: 1 },
    ),
  },
  {
    accident: 'the target of a switchover was restarted as a primary by its supervisor while it waited for the giver: it accepted writes',
    story: story(
      { ...voted, external: true, latenessMs: 60 },
      { kind: 'switchover', host: 0, to: null },
      { kind: 'wait', ms: 5 },
      { kind: 'wait', ms: 1 },
      { kind: 'restart-old', host: 1 },
      { kind: 'wait', ms: 100 },
      { kind: 'slow', host: 0, other: 1, ms: 60 },
      { kind: 'wait', ms: 783.9 },
    ),
  },
  ...moreRegressions,
  ...sentinelRegressions,
  ...moveRegressions,
]
