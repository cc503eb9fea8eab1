import { describe, expect, test } from 'vitest'
import { createAckLog } from '../../src/lab/ack-log.ts'

function written(log: ReturnType<typeof createAckLog>, ackTimes: readonly number[]): void {
  for (const atMs of ackTimes) log.settle(log.send(atMs - 0.1) ?? 0, 'acked', atMs)
}

describe('ack log', () => {
  test('an outage is the gap between two acknowledged writes', () => {
    const log = createAckLog(1000, 20)
    written(log, [1001, 1002, 1052, 1053, 1063])
    const report = log.report(1064)
    expect(report.acked).toBe(5)
    expect(report.outages).toEqual([{ startMs: 1002, lengthMs: 50, open: false }])
    expect(report.longestOutage.lengthMs).toBe(50)
  })

  test('a gap below the threshold is no outage, yet the longest gap is told', () => {
    const log = createAckLog(0, 20)
    written(log, [1, 2, 17, 18])
    const report = log.report(19)
    expect(report.outages).toEqual([])
    expect(report.longestOutage).toEqual({ startMs: 2, lengthMs: 15, open: false })
  })

  test('an outage that nothing has ended is open and counts until the end', () => {
    const log = createAckLog(0, 20)
    written(log, [1, 2])
    expect(log.report(500).longestOutage).toEqual({ startMs: 2, lengthMs: 498, open: true })
  })

  test('each mark has its own outage, errors and counts', () => {
    const log = createAckLog(0, 20)
    written(log, [1, 2])
    log.mark('first', 2.5)
    log.error('ECONNRESET', 3)
    written(log, [42, 43])
    log.mark('second', 100)
    log.settle(log.send(101) ?? 0, 'indeterminate', 200)
    log.error('timeout', 200)
    log.settle(log.send(201) ?? 0, 'rejected', 202)
    log.error('READONLY', 202)
    log.error('READONLY', 203)
    written(log, [300])
    const [first, second] = log.report(301).marks
    // The gap 43 → 300 begins in the first interval and lies in the second as well; it belongs to both.
    expect(first).toMatchObject({ label: 'first', startMs: 2.5, endMs: 100, acked: 2, outages: 2 })
    expect(first?.errors).toEqual([{ kind: 'ECONNRESET', count: 1, firstAtMs: 3, lastAtMs: 3 }])
    expect(second).toMatchObject({ acked: 1, indeterminate: 1, rejected: 1, outages: 1 })
    expect(second?.longestOutage).toEqual({ startMs: 43, lengthMs: 257, open: false })
    expect(second?.errors.map(({ kind, count }) => [kind, count])).toEqual([
      ['timeout', 1],
      ['READONLY', 2],
    ])
  })

  test("an outage that begins just before the mark is the mark's", () => {
    const log = createAckLog(0, 20)
    written(log, [1, 9.9])
    log.mark('fault', 10)
    written(log, [60])
    expect(log.report(61).marks[0]?.longestOutage).toEqual({ startMs: 9.9, lengthMs: expect.closeTo(50.1), open: false })
  })

  test('the streak starts again after an error and after a gap', () => {
    const log = createAckLog(0, 20)
    written(log, [1, 2, 3])
    expect(log.streak()).toBe(3)
    written(log, [60])
    expect(log.streak()).toBe(1)
    log.error('closed', 61)
    expect(log.streak()).toBe(0)
  })

  test('grows, and says when it is full', () => {
    const log = createAckLog(0, 20, 70_000)
    for (let seq = 1; seq <= 70_000; seq += 1) log.settle(log.send(seq) ?? 0, 'acked', seq)
    expect(log.send(70_001)).toBeNull()
    expect(log.fateOf(66_000)).toBe('acked')
    expect(log.atMsOf(70_000)).toBe(70_000)
    expect(log.report(70_001)).toMatchObject({ acked: 70_000, full: true })
  })
})
