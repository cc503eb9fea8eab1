/** Whether a backup is due, and what is wrong with those that there are. */
import { describe, expect, test } from 'vitest'
import { alarmsOf, glanceOf, whatIsDue, type Attempt, type Glance, type Look, type Seen, type Times } from '../../src/backup/due.ts'

const at = (text: string): number => Date.parse(`2026-11-21T${text}:00Z`)
const hour = 3_600_000
const hourly = (lastMs: number): Times => ({ lastMs, nextMs: lastMs + hour, everyMs: hour })
const times = hourly(at('14:00'))

const seen = (atWallMs: number, state: Seen['state'] = 'good'): Seen => ({
  id: `id-${new Date(atWallMs).toISOString().slice(11, 16)}`,
  atWallMs,
  state,
  source: { host: 'b', role: 'replica', why: 'a replica' },
  rdbBytes: 10,
  storedBytes: 5,
  tookMs: 1000,
  restoreMs: 3100,
  found: state === 'bad' ? 'Short read' : '',
})

function stored(...all: readonly Seen[]): Look {
  const newest = all[0] ?? null
  const value: Glance = {
    atWallMs: at('14:00'),
    newest,
    lastGood: all.find(({ state }) => state === 'good') ?? null,
    newestCopy: null,
    bases: [],
    count: all.length,
    alarms: [],
    stream: null,
  }
  return { ok: true, value }
}

const failed = (failures: number, atWallMs: number): Attempt => ({ atWallMs, id: null, by: 'schedule', failures, why: 'the disk is full' })

describe('due', () => {
  test.each<[string, Times, Look, Attempt | null, string, string]>([
    ['nothing while the store has not been read', times, null, null, '14:00', 'nothing'],
    ['nothing while the store cannot be read', times, { ok: false, why: 'x' }, null, '14:00', 'nothing'],
    ['a backup where there is none', times, stored(), null, '14:01', 'backup'],
    ['a backup when the last one is of before the time', times, stored(seen(at('13:00'))), null, '14:00', 'backup'],
    ['nothing when the last one is of that time', times, stored(seen(at('14:00'))), null, '14:20', 'nothing'],
    ['a run that was missed is made up for', times, stored(seen(at('09:00'))), null, '14:55', 'backup'],
    ['a backup when the last one does not restore', times, stored(seen(at('14:00'), 'bad'), seen(at('13:00'))), null, '14:20', 'backup'],
    ['nothing without a schedule', null, stored(), null, '14:00', 'nothing'],
    ['no retry before 5 minutes', times, stored(), failed(1, at('14:00')), '14:04', 'nothing'],
    ['a retry after 5 minutes', times, stored(), failed(1, at('14:00')), '14:05', 'backup'],
    ['the second after 15 more', times, stored(), failed(2, at('14:05')), '14:19', 'nothing'],
    ['the second after 15 more', times, stored(), failed(2, at('14:05')), '14:20', 'backup'],
    ['the third after an hour', times, stored(), failed(3, at('14:20')), '15:19', 'nothing'],
    ['the ninth after an hour, too', times, stored(), failed(9, at('14:20')), '15:20', 'backup'],
    ['no wait for a clock that was put back', times, stored(), failed(3, at('23:00')), '14:10', 'backup'],
    ['a test where the last one has none', times, stored(seen(at('14:00'), 'untested')), null, '14:30', 'test'],
    ['no test while it may be under way', times, stored(seen(at('14:00'), 'untested')), null, '14:10', 'nothing'],
    ['a test without a schedule, too', null, stored(seen(at('11:00'), 'untested')), null, '14:10', 'test'],
    ['a backup before a test', times, stored(seen(at('13:00'), 'untested')), null, '14:10', 'backup'],
  ])('%s', (_name, by, look, last, now, what) => {
    expect(whatIsDue(by, true, look, last, null, at(now)).what).toBe(what)
  })

  test.each<[string, Look, Attempt | null, string, string]>([
    ['a backup at once, when what is archived has none to begin at', stored(seen(at('14:00'))), null, '14:20', 'backup'],
    ['not while the store has not been read', null, null, '14:20', 'nothing'],
    ['not before the wait after one that failed is over', stored(seen(at('14:00'))), failed(1, at('14:16')), '14:20', 'nothing'],
    ['after that wait', stored(seen(at('14:00'))), failed(1, at('14:16')), '14:21', 'backup'],
    ['not again and again, when the one that was taken since does not help', stored(seen(at('14:17'))), null, '14:20', 'nothing'],
    ['but after a while', stored(seen(at('14:17'))), null, '14:23', 'backup'],
  ])('%s', (_name, look, last, now, what) => {
    const noBase = { why: 'it begins behind the last one', sinceWallMs: at('14:15') }
    expect(whatIsDue(times, true, look, last, noBase, at(now)).what).toBe(what)
  })

  test('no test where none is wanted', () => {
    expect(whatIsDue(times, false, stored(seen(at('14:00'), 'untested')), null, null, at('14:30')).what).toBe('nothing')
  })

  test('a backup from the future does not count: else none would be made until then', () => {
    const backup = (text: string) => ({
      manifest: {
        id: text,
        reason: 'schedule',
        atWallMs: at(text),
        endedAtWallMs: at(text),
        source: seen(0).source,
        rdb: { bytes: 1, sha256: '' },
        stored: { name: '', bytes: 1, sha256: '' },
        position: { epoch: 1, replid: 'x', offset: 7 },
      },
      tested: null,
      state: 'good',
    })
    const glance = glanceOf([backup('23:00'), backup('13:00')] as never, [], at('14:00'))
    expect(glance).toMatchObject({
      newestCopy: null,
      newest: { id: '13:00' },
      lastGood: { id: '13:00' },
      bases: [{ id: '13:00', replid: 'x', offset: 7 }],
      count: 2,
    })
    expect(whatIsDue(times, true, { ok: true, value: glance }, null, null, at('14:00')).what).toBe('backup')
  })
})

describe('alarms', () => {
  const texts = (look: Look, last: Attempt | null = null, source: string | null = null, by: Times = times): readonly string[] =>
    alarmsOf(by, look, last, source, at('14:10')).map(({ text, grave }) => `${grave ? 'grave: ' : ''}${text}`)
  const wrong = (alarms: readonly string[], ...all: readonly Seen[]): Look => {
    const look = stored(...all)
    return look?.ok === true ? { ok: true, value: { ...look.value, alarms } } : look
  }

  test.each<[string, readonly string[], readonly string[]]>([
    ['all is well', texts(stored(seen(at('14:00')))), []],
    ['not looked yet', texts(null), []],
    ['unreachable', texts({ ok: false, why: 'refused' }), ['grave: the store cannot be read: refused']],
    ['none ever', texts(wrong(['there is no backup'])), ['grave: there is no backup']],
    ['none ever, and none wanted', texts(wrong(['there is no backup']), null, null, null), []],
    ['too old', texts(wrong(['3 hours old', '1 bad'], seen(at('11:00')))), ['grave: 3 hours old', '1 bad']],
    ['one that is bad beside a good one', texts(wrong(['1 bad'], seen(at('14:00')))), ['1 bad']],
    ['failed', texts(stored(seen(at('13:00'))), failed(1, at('14:00'))), ['the last attempt (14:00 UTC) failed: the disk is full']],
    ['succeeded since', texts(stored(seen(at('14:00'))), { ...failed(0, at('14:00')), why: null }), []],
    ['nobody would', texts(stored(seen(at('14:00'))), null, 'no primary is heard'), ['nobody would take one: no primary is heard']],
    ['nobody would, and nobody need', texts(stored(seen(at('14:00'))), null, 'no primary is heard', null), []],
  ])('%s', (_name, found, expected) => {
    expect(found).toEqual(expected)
  })
})
