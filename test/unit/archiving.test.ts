/** What an archiver decides: by which way it goes on, where, and what of what has come is put now. */
import { describe, expect, test } from 'vitest'
import {
  beginAnew,
  continueAt,
  historyOf,
  isPings,
  toTakeUp,
  whatToPut,
  type ArchiveLimits,
  type OpenFacts,
  type StreamFacts,
} from '../../src/backup/archiving.ts'
import type { Base, Leg } from '../../src/backup/chain.ts'
import type { StoredSegment } from '../../src/backup/stream.ts'

const [a, b, c, x] = ['a'.repeat(40), 'b'.repeat(40), 'c'.repeat(40), 'x'.repeat(40)]
const facts = (more: Partial<StreamFacts> = {}): StreamFacts => ({ replid: a, offset: 1000, replid2: '', secondOffset: -1, backlogFrom: 1, ...more })
const leg = (replid: string, from: number, to = Number.POSITIVE_INFINITY): Leg => ({ replid, from, to })
const fork = (epoch: number, replid: string, startOffset: number, more: object = {}) => ({ epoch, replid, startOffset, ...more })

describe('the way to a redis', () => {
  test.each<[string, StreamFacts, ReturnType<typeof fork>[], readonly Leg[]]>([
    ['its own history', facts(), [], [leg(a, 0)]],
    ['it was promoted', facts({ replid: b, replid2: a, secondOffset: 501 }), [], [leg(a, 0, 500), leg(b, 501)]],
    [
      'two promotions ago, as the group has written down',
      facts({ replid: c, replid2: b, secondOffset: 701 }),
      [fork(1, a, 0), fork(2, b, 501), fork(3, c, 701)],
      [leg(a, 0, 500), leg(b, 501, 700), leg(c, 701)],
    ],
    ['it was restarted, and knows of no history before: the group does', facts({ replid: b }), [fork(1, a, 0), fork(2, b, 501)], [leg(a, 0, 500), leg(b, 501)]],
    [
      'promoted twice, and nothing was written between: no paper would ever tell of the one in the middle',
      facts({ replid: c, replid2: b, secondOffset: 501 }),
      [fork(1, a, 0), fork(2, b, 501), fork(3, c, 501)],
      [leg(a, 0, 500), leg(c, 501)],
    ],
    [
      'what it says counts more than what was written down',
      facts({ replid: b, replid2: x, secondOffset: 400 }),
      [fork(1, a, 0), fork(2, b, 501)],
      [leg(x, 0, 399), leg(b, 400)],
    ],
    [
      'one of two who claimed the epoch before was kept',
      facts({ replid: c }),
      [fork(1, a, 0), fork(2, b, 501), fork(3, c, 701, { from: a })],
      [leg(a, 0, 700), leg(c, 701)],
    ],
    [
      'offsets began anew: nothing leads through that',
      facts({ replid: c }),
      [fork(1, a, 0), fork(3, c, 701, { continues: { epoch: 1, offset: 5, atLeast: 5 } })],
      [leg(c, 0)],
    ],
    [
      'a history that began behind its own end is on no way',
      facts({ replid: c, replid2: b, secondOffset: 400 }),
      [fork(1, a, 0), fork(2, b, 501), fork(3, c, 400)],
      [leg(c, 400)],
    ],
    ['lineage that goes round in a circle', facts({ replid: b, replid2: a, secondOffset: 501 }), [fork(1, b, 0), fork(2, a, 0)], [leg(a, 0, 500), leg(b, 501)]],
  ])('%s', (_name, said, lineage, way) => {
    expect(historyOf(said, lineage)).toEqual(way)
  })
})

describe('where it goes on', () => {
  const promoted = facts({ replid: b, replid2: a, secondOffset: 501 })
  test.each<[string, StreamFacts, Record<string, number>, object]>([
    ['behind the last archived byte', facts(), { [a]: 800 }, { kind: 'go', from: 801 }],
    ['all is archived', facts(), { [a]: 1000 }, { kind: 'go', from: 1001 }],
    ['it has less than the archive', facts(), { [a]: 1001 }, { kind: 'wait' }],
    ['it keeps nothing that it has sent', facts({ backlogFrom: -1 }), { [a]: 800 }, { kind: 'wait' }],
    ['its backlog just reaches', facts({ backlogFrom: 801 }), { [a]: 800 }, { kind: 'go', from: 801 }],
    ['its backlog does not reach', facts({ backlogFrom: 802 }), { [a]: 800 }, { kind: 'lost', had: true }],
    ['nothing is archived', facts(), {}, { kind: 'lost', had: false }],
    ['only another history is', facts(), { [x]: 800 }, { kind: 'lost', had: true }],
    ['promoted since: the end of the old history is missing', promoted, { [a]: 400 }, { kind: 'go', from: 401 }],
    ['promoted since, just at its end', promoted, { [a]: 500 }, { kind: 'go', from: 501 }],
    ['the archive has gone beyond the fork', promoted, { [a]: 900 }, { kind: 'go', from: 501 }],
    ['far beyond what it has itself', promoted, { [a]: 5000 }, { kind: 'go', from: 501 }],
    ['beyond the fork, and its backlog does not reach there', { ...promoted, backlogFrom: 600 }, { [a]: 900 }, { kind: 'lost', had: true }],
    ['the new history is archived already', promoted, { [a]: 900, [b]: 700 }, { kind: 'go', from: 701 }],
    ['attached at the very beginning of the new one, and nothing has come', promoted, { [b]: 500 }, { kind: 'go', from: 501 }],
  ])('%s', (_name, said, ends, expected) => {
    expect(continueAt(historyOf(said, []), new Map(Object.entries(ends)), said)).toMatchObject(expected)
  })

  const base = (id: string, replid: string, offset: number, more: Partial<Base> = {}): Base => ({
    id,
    replid,
    offset,
    atWallMs: offset,
    state: 'good',
    ...more,
  })
  test.each<[string, StreamFacts, readonly Base[], number, string | null]>([
    ['no backup: at once', facts(), [], 1001, null],
    ['behind the youngest', facts(), [base('old', a, 300), base('young', a, 600)], 601, 'young'],
    [
      'one that is not tested will do; a bad one will not',
      facts(),
      [base('bad', a, 700, { state: 'bad' }), base('new', a, 600, { state: 'untested' })],
      601,
      'new',
    ],
    ['of another history', facts(), [base('other', x, 600)], 1001, null],
    ['of the old history, before the fork', promoted, [base('before', a, 300), base('beyond', a, 700)], 301, 'before'],
    ['just at the fork: one byte of the old history shows the way', promoted, [base('at', a, 500)], 500, 'at'],
    ['its backlog does not reach to it', facts({ backlogFrom: 700 }), [base('old', a, 300)], 1001, null],
    ['it is behind the backup itself', facts({ offset: 400 }), [base('ahead', a, 600)], 401, 'ahead'],
  ])('anew: %s', (_name, said, bases, from, id) => {
    const begun = beginAnew(historyOf(said, []), said, bases)
    expect([begun.from, begun.base?.id ?? null]).toEqual([from, id])
  })
})

describe('what is put', () => {
  const limits: ArchiveLimits = { flushMs: 500, pingsMs: 60_000, wholeMs: 600_000, wholeBytes: 8000 }
  const open: OpenFacts = { heldBytes: 100, restBytes: 100, restIsPings: false, restAgeMs: 0, ageMs: 0, smalls: 0, ended: false }
  test.each<[string, Partial<OpenFacts>, ReturnType<typeof whatToPut>]>([
    ['it has just come', { restAgeMs: 499 }, 'nothing'],
    ['flush_ms ago', { restAgeMs: 500 }, 'rest'],
    ['nothing but PINGs', { restAgeMs: 59_999, restIsPings: true }, 'nothing'],
    ['PINGs, for a minute', { restAgeMs: 60_000, restIsPings: true }, 'rest'],
    ['nothing is left to put', { restBytes: 0, restAgeMs: 5000, smalls: 4 }, 'nothing'],
    ['eight MiB at once', { heldBytes: 8000, restBytes: 8000 }, 'whole'],
    ['eight MiB in small ones, and a little that is new: that first', { heldBytes: 8000, restBytes: 1000, smalls: 7 }, 'rest'],
    ['eight MiB, most of it new', { heldBytes: 8000, restBytes: 6000, smalls: 2 }, 'whole'],
    ['eight MiB in small ones', { heldBytes: 8000, restBytes: 0, smalls: 8 }, 'whole'],
    ['eight MiB in one', { heldBytes: 8000, restBytes: 0, smalls: 1 }, 'leave'],
    ['ten minutes of small ones', { restBytes: 0, ageMs: 600_000, smalls: 9 }, 'whole'],
    ['ten minutes of nothing', { heldBytes: 0, restBytes: 0, ageMs: 600_000 }, 'nothing'],
    ['its history ends', { restAgeMs: 1, ended: true }, 'whole'],
    ['its history has ended, and nothing came', { heldBytes: 0, restBytes: 0, ended: true }, 'leave'],
  ])('%s', (_name, more, expected) => {
    expect(whatToPut({ ...open, ...more }, limits)).toBe(expected)
  })

  test('PINGs, wherever they begin, of any version; and nothing else', () => {
    const [small, large] = ['*1\r\n$4\r\nping\r\n', '*1\r\n$4\r\nPING\r\n'].map((text) => Buffer.from(text.repeat(3)))
    for (const pings of [small, large] as Buffer[])
      for (let from = 0; from < 14; from += 1) for (let to = from; to <= 42; to += 1) expect(isPings(pings.subarray(from, to))).toBe(true)
    for (let at = 0; at < 42; at += 1) {
      const changed = Buffer.from(large as Buffer)
      changed[at] = (changed[at] ?? 0) ^ 1
      expect(isPings(changed), `byte ${at}`).toBe(false)
    }
    expect(isPings(Buffer.from('*1\r\n$4\r\nping\r\n'.repeat(1000))), 'nobody looks through megabytes').toBe(false)
  })

  const segment = (from: number, to: number, lastWallMs = to * 1000): StoredSegment => ({ replid: a, from, to, lastWallMs, name: `${from}-${to}`, bytes: 1 })
  test.each<[string, readonly StoredSegment[], readonly string[]]>([
    ['none', [], []],
    ['all, from the last gap on', [segment(1, 5), segment(7, 8), segment(9, 10)], ['7-8', '9-10']],
    ['no more than make a whole one', [segment(1, 5000), segment(5001, 8000, 5), segment(8001, 9000, 6)], ['5001-8000', '8001-9000']],
    ['no older than ten minutes', [segment(1, 5, 1000), segment(6, 7, 500_000), segment(8, 9, 601_000)], ['8-9']],
    ['what is covered by a larger one is passed over', [segment(1, 9), segment(5, 9), segment(10, 12)], ['1-9', '10-12']],
    ['a whole one is left', [segment(1, 9000)], []],
  ])('taken up: %s', (_name, segments, names) => {
    expect(toTakeUp(segments, limits).map(({ name }) => name)).toEqual(names)
  })
})
