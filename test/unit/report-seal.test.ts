/** The report of a comparison: whoever has the secret can tell whether it is as it was written, however it is laid out; nobody else can make one. */
import { describe, expect, test } from 'vitest'
import { checkReport, sealReport } from '../../src/move/report-seal.ts'
import type { VerifyReport } from '../../src/move/verify-report.ts'

const secret = 'sixteen bytes at least'
const stood = { runId: 'a'.repeat(40), role: 'primary', replid: 'b'.repeat(40), offset: 4711, keys: 3 } as const
const moment = { at: '2026-03-01T03:00:00.000Z', source: stood, target: { ...stood, role: 'replica' } } as const
const report: VerifyReport = {
  what: 'holdfast migrate verify',
  result: 'differences',
  holdfast: '1.2.3',
  ranOn: 'redis-a',
  from: 'redis://10.0.0.5:6379',
  group: 'sessions',
  member: null,
  source: '10.0.0.5:6379 Redis 7.0.15',
  target: '10.0.0.1:6379 Redis 7.0.15',
  begin: moment,
  end: moment,
  keys: 3,
  same: 2,
  differ: 1,
  differences: [{ database: 0, key: 'a "key": of \\ some, kind\u0000\u00e9  ', what: 'value' }],
  unsettled: [],
  asked: 3,
  tookMs: 12.5,
}
const text = `${JSON.stringify(sealReport(report, secret), null, 2)}\n`

describe('a report', () => {
  test.each([
    ['as it was written', text],
    ['on one line', JSON.stringify(JSON.parse(text))],
    ['with other ends of lines', text.replaceAll('\n', '\r\n')],
    ['further in', JSON.stringify(JSON.parse(text), null, '\t')],
  ])('%s is what it was', (_, given) => {
    expect(checkReport(given, secret)).toEqual({ is: 'as written', report })
  })

  test.each([
    ['another count', text.replace('"differ": 1', '"differ": 0')],
    ['another result', text.replace('"differences",', '"no difference",')],
    ['another offset', text.replace('4711', '4712')],
    ['a space in a key', text.replace('\u00e9  "', '\u00e9 "')],
    ['a line left out', text.replace('  "ranOn": "redis-a",\n', '')],
    ['a line more', text.replace('  "keys": 3,', '  "note": "fine",\n  "keys": 3,')],
    ['what is named twice: one of them is seen, the other read', text.replace('  "result"', '  "result": "no difference",\n  "result"')],
    ['another order', JSON.stringify({ result: report.result, ...JSON.parse(text) })],
    ['a seal of another report', JSON.stringify({ ...report, keys: 4, seal: sealReport(report, secret).seal })],
    ['a seal that is none', JSON.stringify({ ...report, seal: { key: sealReport(report, secret).seal.key, hmac: '' } })],
  ])('with %s is not', (_, given) => {
    expect(given).not.toBe(text)
    expect(checkReport(given, secret)).toEqual({ is: 'changed' })
  })

  test('of a copy is sealed as that of a comparison', () => {
    const copied = { what: 'holdfast migrate copy', group: 'sessions', finished: null } as const
    const its = JSON.stringify(sealReport(copied, secret), null, 2)
    expect(checkReport(its, secret)).toEqual({ is: 'as written', report: copied })
    expect(checkReport(its.replace('migrate copy', 'migrate verify'), secret)).toEqual({ is: 'changed' })
  })

  test('of another secret: it cannot be told', () => {
    expect(checkReport(text, 'another secret of theirs')).toEqual({ is: 'of another secret' })
  })

  test.each([
    ['nothing', ''],
    ['what is no JSON', text.slice(1)],
    ['a list', '[]'],
    ['null', 'null'],
    ['an object', '{}'],
    ['a report without its seal', JSON.stringify(report)],
    ['something else that is sealed', JSON.stringify({ ...JSON.parse(text), what: 'a backup' })],
  ])('%s is none', (_, given) => {
    expect(checkReport(given, secret)).toEqual({ is: 'no report' })
  })

  test('nothing of the secret stands in it', () => {
    expect(text).not.toContain(secret)
    expect(sealReport(report, secret).seal.hmac).toMatch(/^[0-9a-f]{64}$/)
  })
})
