/** From which file redis is started, when it is not, and what may be concluded of data whose history redis has forgotten. */
import { describe, expect, test } from 'vitest'
import { decide } from '../../src/decide/decide.ts'
import { judgeDisk } from '../../src/decide/disk.ts'
import { mustNote, noteOf, restoredFrom } from '../../src/decide/note.ts'
import { statementOf } from '../../src/decide/statement.ts'
import { continuationOf, describePosition, positionOf } from '../../src/decide/position.ts'
import type { AofEnd, AofSeen, DiskProbe, PositionNote, RdbSeen } from '../../src/model/disk.ts'
import type { RedisFacts } from '../../src/model/view.ts'
import { entry, facts, peer, policy, primaryFacts, probe, state, view, word } from './builders.ts'

const nowS = 1_700_000_000
const rdb: RdbSeen = {
  ok: true,
  bytes: 900,
  changedAtMs: 1,
  format: 10,
  writtenBy: '7.0.15',
  savedAtS: nowS - 30,
  replid: 'id-1',
  offset: 800,
  empty: false,
  summed: true,
  fields: 'rdb-1',
}
const aof: AofSeen = { ok: true, bytes: 5000, changedAtMs: 1, base: 'base-1', empty: false, last: { file: 'appendonly.aof', bytes: 5000 } }
const note: PositionNote = {
  format: 1,
  runId: 'run-0',
  epoch: 1,
  holder: 'a',
  offset: 4000,
  sureOffset: 3900,
  atWallMs: 1000,
  served: true,
  aof: { base: 'base-1', bytes: 4900 },
  rdb: null,
  restored: null,
}
const disk = (more: Partial<DiskProbe>): DiskProbe => ({ rdb: null, aof: null, wantsAof: false, note: null, failures: 0, lastWords: '', ...more })
const judge = (more: Partial<DiskProbe>) => judgeDisk(disk(more), [entry(1, 'a', 0)], nowS * 1000)

describe('the file that held the data when it was last looked at is loaded', () => {
  test.each([
    ['nothing there', {}, null],
    ['an RDB', { rdb }, 'rdb'],
    ['an AOF, and it is configured', { aof, wantsAof: true }, 'aof'],
    ['AOF was turned on over an RDB: redis would begin empty', { rdb, wantsAof: true }, 'rdb'],
    ['that had happened already: an empty AOF lies beside it', { rdb, aof: { ...aof, empty: true }, wantsAof: true }, 'rdb'],
    ['AOF was turned off over an AOF: the RDB is older', { rdb, aof, note, wantsAof: false }, 'aof'],
    ['an old AOF from before it was turned off: the RDB is newer', { rdb, aof, note: { ...note, aof: 'off' as const }, wantsAof: true }, 'rdb'],
    ['after a full sync, the AOF not yet rewritten', { rdb, aof, note: { ...note, aof: 'unsettled' as const }, wantsAof: true }, 'rdb'],
    ['the AOF is gone', { rdb, note, wantsAof: true }, 'rdb'],
    ['only an AOF, and it is not configured', { aof }, 'aof'],
  ])('%s', (_what, more, load) => {
    expect(judge(more).load).toBe(load)
  })
})

describe('it says before the start what there is', () => {
  test.each([
    ['empty', {}, 'its disk is empty'],
    ['known', { rdb }, 'its disk has epoch 1, offset 800 (dump.rdb, saved 30 s ago, by redis 7.0.15)'],
    ['of another life', { rdb: { ...rdb, replid: 'x' } }, 'its disk has data of unknown history (dump.rdb, saved 30 s ago, by redis 7.0.15)'],
    [
      'without an id, but the one that was noted',
      { rdb: { ...rdb, replid: '' }, note: { ...note, rdb: { fields: 'rdb-1', sureOffset: 70 } } },
      /epoch 1, offset at least 70/,
    ],
    [
      'without an id, and not the one that was noted',
      { rdb: { ...rdb, replid: '' }, note: { ...note, rdb: { fields: 'rdb-0', sureOffset: 70 } } },
      /unknown history/,
    ],
    ['an AOF that was noted', { aof, note, wantsAof: true }, /5000 bytes, which names no history; as was noted: epoch 1, offset about 4100/],
    ['an AOF of another life', { aof: { ...aof, base: 'x' }, note, wantsAof: true }, /not the one that was noted: of unknown history/],
    ['torn', { rdb: { ok: false as const, bytes: 3, changedAtMs: 1, why: 'it is torn' } }, 'its disk is not readable: dump.rdb: it is torn'],
  ])('%s', (_what, more, text) => {
    expect(judge(more).text).toEqual(typeof text === 'string' ? text : expect.stringMatching(text))
  })

  test('redis ended three times while it read it: the file is the reason, but only if redis says so', () => {
    expect(judge({ rdb, failures: 2, lastWords: 'Short read or OOM loading DB' }).unreadable).toBeNull()
    expect(judge({ rdb, failures: 3, lastWords: 'Short read or OOM loading DB' }).unreadable).toContain('Short read')
    expect(judge({ rdb, failures: 9, lastWords: 'Could not create server TCP listening socket' }).unreadable).toBeNull()
  })
})

const end = {
  ...{ file: 'appendonlydir/appendonly.aof.1.incr.aof', bytes: 4000, wholeBytes: 3970, why: 'a command that is not whole' },
  ...{ commands: 1, first: 'SET k v', last: 'SET k v' },
}
const torn: AofEnd = { ...end, kind: 'torn' }
const damaged: AofEnd = { ...end, kind: 'damaged', why: 'other bytes where a number was to come' }
const bad = 'Bad file format reading the append only file appendonly.aof.1.incr.aof: make a backup'

describe('an AOF that redis does not read', () => {
  const judged = (more: Partial<DiskProbe>) => judge({ aof, note, wantsAof: true, ...more })

  test.each([
    ['torn by a crash: cut', { aofEnd: torn }, { mend: torn, unreadable: null }],
    ['torn, found only after redis had refused it: cut', { aofEnd: torn, failures: 1, lastWords: bad }, { mend: torn, unreadable: null }],
    [
      'torn, and the operator has said that nothing is cut',
      { aofEnd: torn, cutsTorn: false },
      { mend: null, unreadable: expect.stringContaining('no` is configured') as string },
    ],
    [
      'refused, and where it breaks is being looked for',
      { failures: 1, lastWords: bad, checking: true },
      { unreadable: null, waits: expect.stringContaining('looked for') as string },
    ],
    [
      'damaged before its end: never cut',
      { aofEnd: damaged, failures: 1, lastWords: bad },
      { mend: null, unreadable: expect.stringMatching(/Bad file.*byte 3970 of 4000/) as string },
    ],
    [
      'damaged, and the tool is not there',
      { aofEnd: 'redis-check-aof is not there', failures: 1, lastWords: bad },
      { unreadable: `${bad}; redis-check-aof is not there` },
    ],
    [
      'a disk that is full is no damage',
      { failures: 9, lastWords: 'Failed to write AOF: No space left on device' },
      { unreadable: null, mend: null, waits: null },
    ],
    ['nothing known to be wrong', {}, { unreadable: null, mend: null, waits: null }],
  ])('%s', (_what, more, verdict) => {
    expect(judged(more)).toMatchObject(verdict)
  })

  test('cut, it has less than was noted, and says so', () => {
    const cut = judged({ aofEnd: torn })
    expect(cut.position).toEqual({ kind: 'noted', epoch: 1, offset: 4070, divergedBytes: 0, atLeast: 3900, cut: true })
    expect(cut.text).toMatch(
      /whose end is torn \(a command that is not whole: the last 30 bytes of .*\); as was noted: epoch 1, offset about 4070, its torn end cut off/,
    )
    expect(judged({ note: { ...note, aof: { base: 'base-1', bytes: 4900, cut: true } } }).position, 'and after it was cut').toMatchObject({ cut: true })
  })
})

test('what cannot be read and is not loaded would be written over by the next save: it is moved first', () => {
  const broken = { ok: false as const, bytes: 3, changedAtMs: 1, why: 'it is torn' }
  expect(judge({ aof, rdb: broken, note, wantsAof: true }).spoilt).toEqual({ file: 'rdb', why: 'it is torn' })
  expect(judge({ aof: broken, rdb, note: { ...note, aof: 'off' }, wantsAof: true })).toMatchObject({ load: 'rdb', spoilt: { file: 'aof' } })
  expect(judge({ aof, rdb, note, wantsAof: true }).spoilt).toBeNull()
})

describe('what the host does not let be read is not known to be bad', () => {
  const unread = { ok: false as const, bytes: 0, changedAtMs: 0, why: 'EMFILE: too many open files', host: true as const }
  test.each([
    ['dump.rdb, which would be loaded', { rdb: unread }],
    ['the AOF, which would be loaded', { rdb, aof: unread, note, wantsAof: true }],
    ['dump.rdb beside a good AOF', { rdb: unread, aof, note, wantsAof: true }],
    ['the AOF beside a good dump.rdb', { rdb, aof: unread, note: { ...note, aof: 'off' as const }, wantsAof: true }],
  ])('%s: redis waits for it, even where another serves', (_what, more) => {
    expect(judge(more)).toMatchObject({ waits: expect.stringMatching(/EMFILE/) as string, unreadable: null, spoilt: null, position: { kind: 'foreign' } })
    const serves = peer(word('a', { phase: 'primary', redis: primaryFacts() }))
    const decision = decide(state('b'), view('b', [serves], { redis: probe({ process: false, facts: null, disk: disk(more) }) }), policy())
    expect(decision.actions.filter((a) => a.kind !== 'vip')).toEqual([])
    expect(decision.events.map((e) => e.kind)).toContain('alarm')
  })
})

describe('an empty folder where data were', () => {
  const had = { ...note, atWallMs: (nowS - 40) * 1000, onDisk: true as const }

  test.each([
    ['nothing was ever on disk', { note: { ...note, aof: 'off' as const } }, 'its disk is empty', null],
    ['it was there', { note: had }, 'its disk is empty, and had epoch 1, offset 4000 40 s ago: removed, or not mounted', null],
    ['it was a mount, and is still one', { note: { ...had, mount: true as const }, mount: true }, /^its disk is empty, and had/, null],
    ['it was a mount, and is none', { note: { ...had, mount: true as const } }, /was a mount, and is an empty folder now/, /Mount it/],
    ['it was a mount, and its files were moved here', { note: { ...had, mount: true as const }, aof }, /its disk has an AOF/, null],
  ])('%s', (_what, more, text, waits) => {
    const verdict = judge({ wantsAof: true, ...more })
    expect(verdict.text).toEqual(typeof text === 'string' ? text : (expect.stringMatching(text) as string))
    expect(verdict.waits).toEqual(waits === null ? null : (expect.stringMatching(waits) as string))
  })
})

describe('the decision', () => {
  const tornRdb = disk({ rdb: { ok: false, bytes: 3, changedAtMs: 1, why: 'it is torn' } })
  const down = (d: DiskProbe) => ({ redis: probe({ process: false, facts: null, disk: d }) })
  const serves = peer(word('a', { phase: 'primary', redis: primaryFacts() }))

  test('torn, and a primary serves: set aside, and not started in the same turn', () => {
    const { actions } = decide(state('b'), view('b', [serves], down(tornRdb)), policy())
    expect(actions.filter((a) => a.kind !== 'vip')).toEqual([{ kind: 'set-aside', file: 'rdb', why: 'it is torn' }])
  })

  test('torn, and nobody serves: nothing is started over it, and it says so', () => {
    const resigned = peer(word('a', { phase: 'fenced', redis: null, answering: false, fit: false }))
    const decision = decide(state('b'), view('b', [resigned], down(tornRdb)), policy())
    expect(decision.actions.filter((a) => a.kind !== 'vip')).toEqual([])
    expect(decision.because).toMatch(/not started: its disk is not readable: dump.rdb: it is torn/)
    expect(decision.events.map((e) => e.kind)).toContain('alarm')
  })

  test('an AOF that is torn: cut, whoever serves, and not started in the same turn', () => {
    const resigned = peer(word('a', { phase: 'fenced', redis: null, answering: false, fit: false }))
    for (const other of [serves, resigned]) {
      const { actions } = decide(state('b'), view('b', [other], down(disk({ aof, note, wantsAof: true, aofEnd: torn }))), policy())
      expect(actions.filter((a) => a.kind !== 'vip')).toEqual([{ kind: 'mend-aof', end: torn }])
    }
  })

  test('process: external: nothing is done, and what is seen is said, but not promised to others', () => {
    const external = { ...policy(), external: true }
    const words = (d: DiskProbe) => decide(state('b'), view('b', [serves], down(d)), external)
    expect(words(tornRdb).because).toMatch(/own supervisor is to start it \(process: external\); its disk is not readable: dump.rdb: it is torn/)
    expect(words(disk({ aof, note, wantsAof: true, aofEnd: torn })).because).toMatch(/whose end is torn .*; redis cuts that off by itself, without a copy/)
    expect(words(tornRdb).actions.filter((a) => a.kind !== 'vip')).toEqual([])
    expect(statementOf(state('b'), view('b', [serves], down(disk({ rdb }))), external)).not.toHaveProperty('onDisk')
    expect(statementOf(state('b'), view('b', [serves], down(disk({ rdb }))), policy())).toHaveProperty('onDisk')
  })

  test('an empty folder where data were: not without a word, and without its mount not at all', () => {
    const gone = { ...note, onDisk: true as const }
    const lost = decide(state('b'), view('b', [serves], down(disk({ note: gone }))), policy())
    expect(lost.actions.map((a) => a.kind)).toContain('start-redis')
    expect(lost.events.map((e) => e.kind)).toEqual(['alarm', 'started'])
    const unmounted = decide(state('b'), view('b', [serves], down(disk({ note: { ...gone, mount: true } }))), policy())
    expect(unmounted.actions.filter((a) => a.kind !== 'vip')).toEqual([])
    expect(unmounted.because).toMatch(/not started: its disk is not there/)
  })

  test('AOF over an RDB: the RDB is loaded, and AOF is turned on when the data are those that stay', () => {
    const over = disk({ rdb, wantsAof: true })
    expect(decide(state('b'), view('b', [serves], down(over)), policy()).actions).toContainEqual({ kind: 'start-redis', load: 'rdb' })
    const owed = (more: Partial<RedisFacts>) =>
      decide(state('b'), view('b', [serves], { redis: probe({ facts: facts(more), aofOwed: 'yes' }) }), policy()).actions
    expect(owed({})).toContainEqual({ kind: 'settle-aof', to: 'yes' })
    expect(owed({ linkUp: false, upstream: { host: '127.0.0.1', port: 1 }, linkDownS: -1 })).not.toContainEqual({ kind: 'settle-aof', to: 'yes' })
    expect(owed({ syncing: true, linkUp: false })).not.toContainEqual({ kind: 'settle-aof', to: 'yes' })
  })
})

const on = (bytes: number, more: object = {}) => ({ aof: { enabled: true, rewriting: false, bytes, generation: '1', ...more } })
const calm = { synced: false, filesChanged: false }
const dir = { rdb: null, aof }

describe('the note', () => {
  const known = (more: Partial<RedisFacts> = {}) => primaryFacts({ runId: 'run-0', offset: 4100, ...on(5000), ...more })

  test.each([
    ['nothing was noted yet', null, known(), true],
    ['another process', { ...note, runId: 'run-9' }, known(), true],
    ['the role', { ...note, served: false }, known(), true],
    [
      'the role: it serves no more, and that it has is noted',
      { ...note, offset: 4100, aof: { base: 'base-1', bytes: 5000 } },
      known({ role: 'replica' }),
      false,
    ],
    ['AOF was turned off', note, known({ aof: { enabled: false, rewriting: false, bytes: 0, generation: '' } }), true],
    ['nothing', { ...note, offset: 4100, aof: { base: 'base-1', bytes: 5000 } }, known(), false],
    ['the offset, a moment ago', { ...note, atWallMs: 50_000 }, known(), false],
    ['the offset, long ago', note, known(), true],
    ['a history that is not ours', null, known({ replid: 'x' }), false],
    ['while it is being rewritten', note, known(on(10, { rewriting: true })), false],
    ['while it loads', null, known({ loading: true }), false],
  ])('what has changed: %s', (_what, before, now, must) => {
    expect(mustNote(before, now, state('a', { phase: 'primary' }), calm, 55_000)).toBe(must)
  })

  test('what is sure is what was noted long enough ago to be on disk', () => {
    expect(noteOf(note, known(), state('a'), dir, 4000)?.sureOffset).toBe(3900)
    expect(noteOf(note, known(), state('a'), dir, 6000)?.sureOffset).toBe(4000)
    expect(noteOf({ ...note, epoch: 0 }, known(), state('a'), dir, 6000)?.sureOffset).toBe(0)
  })

  test('an AOF that redis has begun itself: it does not count the base, and whoever reads it does', () => {
    const parts = { ...dir, aof: { ...aof, bytes: 5089, last: { file: 'appendonlydir/appendonly.aof.1.incr.aof', bytes: 5000 } } }
    const noted = noteOf(note, known(on(5000, { generation: '0:0' })), state('a'), parts, 6000)
    expect(noted?.aof).toEqual({ base: 'base-1', bytes: 5089, uncounted: 89 })
    expect(noteOf(note, known(on(5089, { generation: '1:89' })), state('a'), parts, 6000)?.aof).toEqual({ base: 'base-1', bytes: 5089 })
    expect(mustNote(noted, known(on(5000, { generation: '0:0' })), state('a', { phase: 'primary' }), calm, 60_000), 'and nothing has moved').toBe(false)
  })

  test('an AOF that is shorter on disk than redis says has been rewritten in between: it is not noted', () => {
    expect(noteOf(note, known(on(6000)), state('a'), dir, 6000)?.aof).toBe('unsettled')
  })

  test('an AOF that the host does not let be read just now: the note before stands, or an old RDB would be loaded in its place', () => {
    const unread = { ok: false as const, bytes: 0, changedAtMs: 0, why: 'EMFILE: too many open files', host: true as const }
    expect(noteOf(note, known(), state('a'), { ...dir, aof: unread }, 6000)).toBeNull()
    expect(noteOf(note, known({ aof: null }), state('a'), { ...dir, aof: unread }, 6000)?.aof, 'of one that is off, nothing is needed').toBe('off')
  })
})

describe('a redis that has forgotten its history', () => {
  const back = (more: Partial<RedisFacts> = {}) => facts({ runId: 'run-1', replid: 'new', offset: 0, linkUp: false, ...on(5000), ...more })

  test('has read the AOF that was noted: about as far as that is longer, at least what was sure', () => {
    expect(restoredFrom(note, back(), dir)).toEqual({ epoch: 1, holder: 'a', served: true, about: 4100, atLeast: 3900 })
  })

  test("redis 8 counts what it reads from an AOF: that is nobody else's writing", () => {
    const born = { upstream: { host: '127.0.0.1', port: 1 }, linkDownS: -1, offset: 338 }
    expect(restoredFrom(note, back(born), dir)).toMatchObject({ about: 4100 })
    expect(restoredFrom(note, back({ ...born, role: 'primary', upstream: null }), dir)).toBeNull()
  })

  test('its AOF was torn and cut: it says so', () => {
    expect(restoredFrom({ ...note, aof: { base: 'base-1', bytes: 4900, cut: true } }, back(), dir)).toMatchObject({ about: 4100, cut: true })
  })

  test('its AOF has lost its end: less than was noted, and no more is sure', () => {
    expect(restoredFrom(note, back(on(4000)), dir)).toMatchObject({ about: 3100, atLeast: 3100 })
  })

  test.each([
    ['another AOF lay there', back(), { ...dir, aof: { ...aof, base: 'x' } }, note],
    ['it is empty', back({ keys: 0 }), dir, note],
    ['it is the process that was noted', back({ runId: 'run-0' }), dir, note],
    ['it has counted since: somebody wrote to it', back({ offset: 20 }), dir, note],
    ['what was noted was not the AOF', back(), dir, { ...note, aof: 'unsettled' as const }],
    ['it has read an RDB that was not noted', back({ aof: null }), { rdb: { ...rdb, replid: '' }, aof: null }, note],
    ['nothing was noted', back(), dir, null],
    ['it is being rewritten', back(on(5000, { rewriting: true })), dir, note],
  ])('stays of unknown history: %s', (_why, redis, found, noted) => {
    expect(restoredFrom(noted, redis, found)).toBeNull()
  })

  test('of an RDB without an id no more is known than where it was when it was saved', () => {
    const saved = { ...note, rdb: { fields: 'rdb-1', sureOffset: 70 } }
    expect(restoredFrom(saved, back({ aof: null }), { rdb: { ...rdb, replid: '' }, aof: null })).toMatchObject({ about: 70, atLeast: 70 })
  })

  test('of an epoch that was claimed twice, the history of the one that lost is not the one of that epoch', () => {
    const restored = { epoch: 1, holder: 'b', served: true, about: 10, atLeast: 10 }
    expect(positionOf(back({ restored }), [entry(1, 'a', 0)])).toEqual({ kind: 'foreign' })
  })
})

describe('an epoch that goes on with such data counts anew', () => {
  const restored = { epoch: 1, holder: 'a', served: true, about: 4100, atLeast: 3900 }
  const lineage = [entry(1, 'a', 0), entry(2, 'a', 1, { source: 'restart', continues: { epoch: 1, offset: 4100, atLeast: 3900 } })]

  test('it says what it continues', () => {
    const promoted = primaryFacts({ replid: 'id-2', replid2: 'new', secondOffset: 1, offset: 0, restored })
    expect(continuationOf(promoted, 2, [entry(1, 'a', 0)])).toEqual({ epoch: 1, offset: 4100, atLeast: 3900 })
  })

  test('others of the epoch before are measured in the numbers of that one', () => {
    expect(positionOf(facts({ replid: 'id-1', offset: 3800 }), lineage)).toMatchObject({ epoch: 1, divergedBytes: 0 })
    expect(positionOf(facts({ replid: 'id-1', offset: 4000 }), lineage)).toMatchObject({ epoch: 1, divergedBytes: 100 })
  })

  test('its own successors are measured in its own', () => {
    const later = [...lineage, entry(3, 'b', 51)]
    expect(positionOf(facts({ replid: 'id-2', offset: 60 }), later)).toMatchObject({ divergedBytes: 10 })
    expect(positionOf(facts({ replid: 'id-1', offset: 3800 }), later)).toMatchObject({ divergedBytes: 0 })
  })

  test('forced back to the epoch before: all that it wrote itself is diverged', () => {
    const promoted = primaryFacts({ replid: 'id-3', replid2: 'id-1', secondOffset: 3801, offset: 3800 })
    const continues = continuationOf(promoted, 3, lineage)
    expect(continues).toEqual({ epoch: 1, offset: 3800, atLeast: 3800 })
    const forced = [...lineage, entry(3, 'b', 3801, continues === undefined ? {} : { continues })]
    expect(positionOf(facts({ replid: 'id-2', offset: 300 }), forced)).toMatchObject({ epoch: 2, divergedBytes: 300 })
    expect(positionOf(facts({ replid: 'id-1', offset: 3900 }), forced)).toMatchObject({ epoch: 1, divergedBytes: 100 })
  })

  test('people are told that it is an estimate', () => {
    expect(describePosition(positionOf(facts({ replid: 'new', offset: 0, restored }), [entry(1, 'a', 0)]))).toBe('epoch 1, offset about 4100')
  })
})
