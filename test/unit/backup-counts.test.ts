/** What may be concluded from a source that goes on being written to: as much as its stream allows, and no more. */
import { describe, expect, test } from 'vitest'
import type { DatabaseCount, Manifest, Seen } from '../../src/backup/manifest.ts'
import { judgeCounts, mayHaveChanged } from '../../src/backup/counts.ts'
import { judgeSample, type Sample } from '../../src/dump/sample.ts'
import { seenOf } from '../../src/dump/seen.ts'
import { parseInfo } from '../../src/redis/info.ts'

const replid = 'a'.repeat(40)
const runId = 'b'.repeat(40)
const position = { epoch: 1, replid, offset: 1000 }
const source: Manifest['source'] = { host: 'redis-b', role: 'replica', why: '' }

function keys(...counts: readonly number[]): readonly DatabaseCount[] {
  return counts.map((count, database) => ({ database, keys: count, expires: 0 }))
}

function seen(offset: number, databases: readonly DatabaseCount[], more: Partial<Seen> = {}): Seen {
  return { runId, replid, offset, counting: true, databases, usedBytes: 1, dropped: 0, sweeps: 0, moves: 0, ...more }
}

const judge = (before: Seen | null, after: Seen | null, loaded: readonly DatabaseCount[]): string =>
  judgeCounts({ position, source, seen: { before, after } }, loaded).found

describe('the keys of a snapshot, counted', () => {
  test('its source stood still: as many, or it is wrong', () => {
    expect(judge(seen(1000, keys(5)), seen(1000, keys(5)), keys(5))).toBe('equal')
    expect(judge(seen(1000, keys(5)), seen(1000, keys(5)), keys(4))).toBe('wrong')
    expect(judge(seen(1000, keys(5)), seen(1000, keys(5)), keys(4, 1)), 'as many, in another database').toBe('wrong')
    expect(judge(seen(1000, keys()), seen(1000, keys()), keys())).toBe('equal')
  })

  test('it was written to: seven bytes for each key, by the side that is closer', () => {
    expect(judge(seen(1000 - 28, keys(10)), seen(9000, keys(900)), keys(14))).toBe('within')
    expect(judge(seen(1000 - 28, keys(10)), seen(9000, keys(900)), keys(15))).toBe('wrong')
    expect(judge(seen(0, keys(800)), seen(1000, keys(900)), keys(900)), 'the moment after was that of the snapshot').toBe('equal')
    // $0\r\n\r\n: the one key whose name is empty takes six bytes.
    expect(mayHaveChanged(position, seen(1000, []), seen(1006, []), seen(1006, []))).toBe(1)
    expect(mayHaveChanged(position, seen(1000, []), seen(1005, []), seen(1005, []))).toBe(0)
  })

  test('what redis drops by itself is allowed for', () => {
    expect(judge(seen(1000, keys(10)), seen(1000, keys(10), { dropped: 3 }), keys(7))).toBe('within')
    expect(judge(seen(1000, keys(10)), seen(1000, keys(10), { dropped: 3 }), keys(6))).toBe('wrong')
  })

  test.each([
    ['a FLUSHALL was between', seen(990, keys(10), { sweeps: 1 }), seen(1020, keys(0), { sweeps: 2 })],
    ['it was started anew', seen(990, keys(10), { runId: 'c'.repeat(40) }), seen(1000, keys(10))],
    ['its counters were reset', seen(990, keys(10), { dropped: 7 }), seen(1000, keys(10))],
    ['it did not say', null, seen(1000, keys(10))],
    ['another history', seen(1000, keys(10), { replid: 'd'.repeat(40) }), seen(1000, keys(10), { replid: 'd'.repeat(40) })],
    ['nobody counted what was written', seen(1000, keys(10), { counting: false }), seen(1000, keys(10), { counting: false })],
  ])('%s: nothing is concluded', (_, before, after) => {
    expect(judge(before, after, keys(0))).toBe('open')
  })

  test('a lone primary counts from the moment on that it is asked for its data', () => {
    const before = seen(0, keys(10), { counting: false, replid: 'd'.repeat(40) })
    expect(judge(before, seen(1000, keys(10)), keys(10))).toBe('equal')
    expect(judge(before, seen(1000, keys(10)), keys(9))).toBe('wrong')
  })
})

describe('a sample', () => {
  const none: Sample = { equal: 300, changed: 0, missing: [], differing: 0 }
  const lost = { database: 0, key: Buffer.from('session:7'), idleMs: 400_000, hasTtl: false }
  const times = { uptimeMs: 10_000_000, sinceMs: 300_000 }
  const before = seen(990, keys(10))
  const verdict = (sample: Partial<Sample>, now: Seen | null, at = times, seenBefore: Seen | null = before) =>
    judgeSample({ ...none, ...sample }, { source, position, seen: { before: seenBefore, after: null } }, now, at)

  test('more keys differ than can have been written since: wrong', () => {
    expect(verdict({ changed: 5, differing: 5 }, seen(1035, keys(10)))).toEqual({
      wrong: false,
      words: 'of 305 keys that redis-b has, 300 are equal, 5 have been written since',
    })
    expect(verdict({ changed: 6, differing: 6 }, seen(1035, keys(10)))).toMatchObject({
      wrong: true,
      words: expect.stringContaining('could have changed 5 at the most') as string,
    })
  })

  test('a key that nobody has touched since before the snapshot is not in it: wrong, and named', () => {
    const busy = seen(9_000_000, keys(10))
    expect(verdict({ missing: [lost], differing: 1 }, busy)).toMatchObject({
      wrong: true,
      words: expect.stringContaining('"session:7" in database 0') as string,
    })
  })

  test.each([
    ['it was touched since', { ...lost, idleMs: 200_000 }, seen(9_000_000, keys(10)), times, before],
    ['or might have been, by a clock that is a little wrong', { ...lost, idleMs: 350_000 }, seen(9_000_000, keys(10)), times, before],
    ['redis does not tell (LFU)', { ...lost, idleMs: null }, seen(9_000_000, keys(10)), times, before],
    ['it has a time to live', { ...lost, hasTtl: true }, seen(9_000_000, keys(10)), times, before],
    ['its name was given to it since', lost, seen(9_000_000, keys(10), { moves: 1 }), times, before],
    ['its clock jumped: idle for longer than redis runs', lost, seen(9_000_000, keys(10)), { ...times, uptimeMs: 350_000 }, before],
    ['redis was started anew', lost, seen(9_000_000, keys(10), { runId: 'c'.repeat(40) }), times, before],
    ['the source does not say', lost, null, times, before],
    ['the source did not say', lost, seen(9_000_000, keys(10)), times, null],
  ])('a key is not in it, and %s: nothing is concluded', (_, key, now, at, seenBefore) => {
    expect(verdict({ missing: [key], differing: 1 }, now, at, seenBefore)).toEqual({
      wrong: false,
      words: 'of 301 keys that redis-b has, 300 are equal, 1 are not in it (made since, as far as can be told)',
    })
  })
})

describe('what a redis says of itself', () => {
  const info = (version: string, ...lines: readonly string[]): Seen =>
    seenOf(
      parseInfo(
        [`redis_version:${version}`, `run_id:${runId}`, `master_replid:${replid}`, 'master_repl_offset:77', 'repl_backlog_active:1', ...lines].join('\r\n'),
      ),
    )

  test('keys by database, place, and the calls after which nothing can be concluded', () => {
    expect(
      info(
        '7.0.15',
        'used_memory:1234',
        'expired_keys:3',
        'evicted_keys:4',
        'cmdstat_set:calls=900,usec=1',
        'cmdstat_flushall:calls=2,usec=1',
        'cmdstat_json.del:calls=5,usec=1',
        'cmdstat_eval:calls=100,usec=1',
        'cmdstat_rename:calls=6,usec=1',
        'db0:keys=12,expires=3,avg_ttl=0',
        'db9:keys=1,expires=0,avg_ttl=0,subexpiry=0',
      ),
    ).toEqual({
      runId,
      replid,
      offset: 77,
      counting: true,
      databases: [
        { database: 0, keys: 12, expires: 3 },
        { database: 9, keys: 1, expires: 0 },
      ],
      usedBytes: 1234,
      dropped: 7,
      sweeps: 7,
      moves: 6,
    })
  })

  test('before 7.0 a script may go into the stream as one command', () => {
    expect(info('6.2.0', 'cmdstat_eval:calls=100,usec=1').sweeps).toBe(100)
  })
})
