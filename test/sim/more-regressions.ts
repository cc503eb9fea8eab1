/** The second half of regressions.ts: rivals of one epoch, claims and words that are outlived, who is waited for. */
import { story, usual, voted, type Regression } from './regression.ts'

export const moreRegressions: readonly Regression[] = [
  {
    accident: 'a young agent whose clock stood still took the time in which it could not know for the time in which it had been cut off',
    story: story(voted, { kind: 'split', mask: 1 }, { kind: 'halt', host: 0, ms: 200 }, { kind: 'wait', ms: 416 }),
  },
  {
    accident: 'forced with data of an epoch of its own that had lost the tie, a member passed for one that went on where the others were',
    story: story(
      { ...usual, members: 4, external: true, neverPrimary: 1, healed: 15 },
      { kind: 'cut', host: 3 },
      { kind: 'write', count: 1 },
      { kind: 'cut', host: 0 },
      { kind: 'wait', ms: 100 },
      { kind: 'wait', ms: 180.7 },
      { kind: 'crash', host: 2 },
      { kind: 'write', count: 4 },
    ),
  },
  {
    accident: 'two claimed one epoch, a third went on with the data of the one that loses ties: the writes of the other passed for kept',
    story: story(
      { ...usual, priorities: 'equal' },
      { kind: 'cut', host: 1 },
      { kind: 'cut', host: 0 },
      { kind: 'wait', ms: 1000 },
      { kind: 'heal' },
      { kind: 'write', count: 1 },
      { kind: 'split', mask: 5 },
      { kind: 'wait', ms: 53 },
      { kind: 'isolate', host: 2, other: 0, layers: ['agent', 'redis', 'vrrp'] },
      { kind: 'wait', ms: 1000 },
      { kind: 'heal' },
      { kind: 'write', count: 1 },
    ),
  },
  {
    accident: 'told as final by a replica that was still attached, an offset grew at the heal, after the others had compared it',
    story: story(
      { ...usual, priorities: 'rising' },
      { kind: 'split', mask: 3 },
      { kind: 'write', count: 1 },
      { kind: 'write', count: 3 },
      { kind: 'write', count: 4 },
      { kind: 'write', count: 1 },
      { kind: 'write', count: 1 },
      { kind: 'wait', ms: 180.5 },
    ),
  },
  {
    accident: 'an empty member waited for one to be filled first that refused to follow',
    story: story({ ...usual, neverPrimary: 2, priorities: 'rising' }, { kind: 'crash', host: 0 }, { kind: 'crash', host: 1 }),
  },
  {
    accident: 'a former primary that refuses writes waited for its turn behind one that refused to follow',
    story: story(
      usual,
      { kind: 'failover', host: 2 },
      { kind: 'wait', ms: 97.9 },
      { kind: 'accept', host: 3 },
      { kind: 'write', count: 1 },
      { kind: 'save', host: 3 },
      { kind: 'write', count: 3 },
      { kind: 'power-off', host: 3 },
    ),
  },
  {
    accident: 'a member that had not seen the primary go, and had received more since it spoke last, was not asked again in an election',
    story: story(
      { ...usual, priorities: 'rising' },
      { kind: 'lag', host: 1 },
      { kind: 'write', count: 1 },
      { kind: 'isolate', host: 2, other: 0, layers: ['agent', 'redis'] },
      { kind: 'crash', host: 2 },
      { kind: 'wait', ms: 100 },
    ),
  },
  {
    accident: 'an agent that had counted its votes stood still before it promoted its redis, and did it when another had been elected',
    story: story(
      { ...voted, members: 5, healed: 63 },
      { kind: 'wait', ms: 100 },
      { kind: 'crash', host: 0 },
      { kind: 'wait', ms: 7.7 },
      { kind: 'stall', host: 1, ms: 400 },
    ),
  },
  {
    accident: 'a replica was told by another of an epoch that its old primary was forced into with other data, and stayed attached to it',
    story: story(
      { ...usual, latenessMs: 10 },
      { kind: 'restart-empty', host: 2 },
      { kind: 'isolate', host: 0, other: 1, layers: ['agent', 'redis', 'vrrp'] },
      { kind: 'crash', host: 0 },
      { kind: 'wait', ms: 89.9 },
      { kind: 'failover', host: 0 },
      { kind: 'wait', ms: 9 },
    ),
  },
  {
    accident: 'a replica that had read its data again elected itself in the very moment in which another had given up waiting for it',
    story: story(
      { ...usual, priorities: 'rising', latenessMs: 60 },
      { kind: 'restart-empty', host: 1 },
      { kind: 'wait', ms: 1000 },
      { kind: 'crash', host: 2 },
      { kind: 'wait', ms: 2 },
      { kind: 'crash', host: 1 },
    ),
  },
  {
    accident: 'forced into an epoch above which two had voted in vain, a primary resigned at once, because they had',
    story: story(
      { ...voted, members: 3, neverPrimary: 0, healed: 15 },
      { kind: 'isolate', host: 3, other: 2, layers: ['agent', 'redis', 'vrrp'] },
      { kind: 'power-off', host: 1 },
      { kind: 'wait', ms: 1000 },
      { kind: 'restart-empty', host: 2 },
    ),
  },
  {
    accident: 'restarted with an old disk, an external redis counted as having reached an epoch that only went on with the id that it had',
    story: story(
      { ...usual, external: true },
      { kind: 'split', mask: 1 },
      { kind: 'accept', host: 0 },
      { kind: 'write', count: 1 },
      { kind: 'restart-old', host: 1 },
      { kind: 'power-off', host: 0 },
    ),
  },
  {
    accident: 'a former primary that was off had been empty when it spoke last: nobody might follow another because of that',
    story: story(
      { ...usual, latenessMs: 30, healed: 6 },
      { kind: 'power-off', host: 0 },
      { kind: 'wait', ms: 10 },
      { kind: 'failover', host: 2 },
      { kind: 'write', count: 3 },
      { kind: 'cut', host: 2 },
      { kind: 'crash', host: 2 },
      { kind: 'wait', ms: 2077 },
      { kind: 'wait', ms: 500 },
      { kind: 'write', count: 1 },
    ),
  },
]
