/** Stories of a running redis that is moved to the group, as regressions.ts. */
import { story, two, usual, type Regression } from './regression.ts'

const received = { ...two, move: { source: 'pauses', begun: 'received' } } as const
const moved = { ...two, move: { source: 'pauses', begun: 'moved' } } as const

export const moveRegressions: readonly Regression[] = [
  {
    accident: 'a source that was told to serve again was started anew without its data, as a replica, and was made a primary',
    story: story(moved, { kind: 'wait', ms: 1 }, { kind: 'move', order: 'rollback' }, { kind: 'wait', ms: 10 }, { kind: 'source', fault: 'power-off' }),
  },
  {
    accident: 'the source died right after the first sync, whose end was not known yet, came back empty, and the group followed it',
    story: story(received, { kind: 'source', fault: 'crash' }),
  },
  {
    accident: 'the source died while it was told to step down, came back empty, and the group followed it',
    story: story(
      received,
      { kind: 'move', order: 'rollback' },
      { kind: 'write', count: 1 },
      { kind: 'move', order: 'cutover' },
      { kind: 'write', count: 4 },
      { kind: 'source', fault: 'crash' },
    ),
  },
  {
    accident: 'a member was elected beside a way back, heard of that later, and believed for ever that the source had the clients',
    story: story(
      { ...usual, move: { source: 'refuses', begun: 'moved' } },
      { kind: 'wait', ms: 1 },
      { kind: 'cut', host: 2 },
      { kind: 'move', order: 'rollback' },
      { kind: 'wait', ms: 771.8 },
    ),
  },
  {
    accident: 'the same, and the member that held the group had resigned',
    story: story(
      { ...two, priorities: 'rising', move: { source: 'refuses', begun: 'moved' } },
      { kind: 'deafen', host: 1, other: 0 },
      { kind: 'wait', ms: 257.9 },
      { kind: 'move', order: 'rollback' },
      { kind: 'wait', ms: 60.9 },
      { kind: 'power-off', host: 1 },
    ),
  },
  {
    accident: 'the redis of the holder was emptied and the source came back empty: the holder followed it, and took the copy of the other along',
    story: story(
      { ...received, move: { source: 'refuses', begun: 'received' } },
      { kind: 'restart-empty', host: 0 },
      { kind: 'crash', host: 0 },
      { kind: 'source', fault: 'crash' },
    ),
  },
  {
    accident: 'the host of the holder came back with an empty disk, the source had been started empty, and its agent had not heard yet what the other has',
    story: story(received, { kind: 'source', fault: 'power-on' }, { kind: 'wait', ms: 10 }, { kind: 'restart-empty', host: 0 }, { kind: 'power-off', host: 0 }),
  },
  {
    accident: 'the same with an older disk of the source',
    story: story(
      received,
      { kind: 'source', fault: 'save' },
      { kind: 'write', count: 1 },
      { kind: 'source', fault: 'start-old' },
      { kind: 'power-off', host: 0 },
      { kind: 'wait', ms: 10 },
    ),
  },
  {
    accident: 'the redis of the holder had read an older disk, the other began anew with that, and the source died before it had caught up',
    story: story(
      { ...received, move: { source: 'refuses', begun: 'received' } },
      { kind: 'crash', host: 0 },
      { kind: 'write', count: 3 },
      { kind: 'lag', host: 0 },
      { kind: 'write', count: 4 },
      { kind: 'write', count: 3 },
      { kind: 'switchover', host: 0, to: 1 },
      { kind: 'write', count: 1 },
      { kind: 'source', fault: 'power-on' },
    ),
  },
  {
    accident: 'on a way back the redis of the holder died, the source was cut off, and the address that the agent had put up stayed for a second',
    story: story(
      moved,
      { kind: 'write', count: 2 },
      { kind: 'move', order: 'rollback' },
      { kind: 'wait', ms: 10 },
      { kind: 'source', fault: 'cut' },
      { kind: 'crash', host: 0 },
      { kind: 'source', fault: 'power-on' },
    ),
  },
  {
    accident: 'a member was elected beside a way back, its connection ended at the heal, and it was taken for gone',
    story: story(
      moved,
      { kind: 'split', mask: 2 },
      { kind: 'wait', ms: 1 },
      { kind: 'move', order: 'rollback' },
      { kind: 'wait', ms: 208.8 },
      { kind: 'tear', host: 0, other: 1 },
      { kind: 'write', count: 1 },
    ),
  },
  {
    accident: 'every redis of the group was started empty while writes were held for a way back, which never ended',
    story: story(
      { ...moved, move: { source: 'refuses', begun: 'moved' } },
      { kind: 'write', count: 3 },
      { kind: 'move', order: 'rollback' },
      { kind: 'restart-empty', host: 0 },
      { kind: 'restart-empty', host: 1 },
    ),
  },
  {
    accident:
      'the old primary, cut off from the others, had led the source to itself; as many bytes were written on both sides, and the way back from the new one took its offset for its own',
    story: story(
      { ...moved, witness: true, latenessMs: 60, move: { source: 'refuses', begun: 'moved' } },
      { kind: 'split', mask: 6 },
      { kind: 'write', count: 1 },
      { kind: 'write', count: 1 },
      { kind: 'wait', ms: 1282 },
      { kind: 'move', order: 'rollback' },
      { kind: 'write', count: 2 },
    ),
  },
  {
    accident: 'a source and a holder that were both started empty: the member that was reading its disk told of no keys, and was not waited for',
    story: story(
      { ...two, witness: true, move: { source: 'pauses', begun: 'received' } },
      { kind: 'source', fault: 'start-empty' },
      { kind: 'wait', ms: 10 },
      { kind: 'kill-agent', host: 0 },
      { kind: 'write', count: 3 },
      { kind: 'restart-empty', host: 0 },
      { kind: 'crash', host: 1 },
    ),
  },
  {
    accident: 'an answer of the source that was most of a second on its way was of a process that had been replaced by one with clients',
    story: story(
      { ...two, witness: true, move: { source: 'pauses', begun: 'received' } },
      { kind: 'wait', ms: 313.8 },
      { kind: 'move', order: 'cutover' },
      { kind: 'write', count: 2 },
      { kind: 'write', count: 3 },
      { kind: 'disk-full', host: 0 },
      { kind: 'wait', ms: 7.7 },
      { kind: 'deafen-to-source', host: 0 },
      { kind: 'source', fault: 'start-old' },
    ),
  },
  {
    accident:
      'a source that took a new id for its first replica was looked at before that: what had just been fetched from it was not given up to it, for ever',
    story: story(
      { ...two, witness: true, latenessMs: 10, move: { source: 'pauses', begun: 'received' } },
      { kind: 'restart-empty', host: 0 },
      { kind: 'write', count: 1 },
      { kind: 'source', fault: 'start-old' },
      { kind: 'write', count: 2 },
      { kind: 'wait', ms: 10.1 },
      { kind: 'crash', host: 0 },
      { kind: 'wait', ms: 38.5 },
      { kind: 'restart-empty', host: 1 },
      { kind: 'wait', ms: 71.4 },
      { kind: 'write', count: 3 },
      { kind: 'power-off', host: 1 },
      { kind: 'wait', ms: 529 },
    ),
  },
]
