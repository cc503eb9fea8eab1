/** `history` from the event logs of all members, as they are written by the loop. */
import { describe, expect, test } from 'vitest'
import type { LoggedEvent } from '../../src/agent/log-files.ts'
import { failoversFrom } from '../../src/cli/history.ts'

const began = 1_700_000_000_000
function event(atMs: number, host: string, kind: LoggedEvent['kind'], epoch: number, data?: NonNullable<LoggedEvent['data']>): LoggedEvent {
  return { atWallMs: began + atMs, host, group: 'sessions', kind, epoch, text: `${kind} on ${host}`, ...(data === undefined ? {} : { data }) }
}

describe('failoversFrom', () => {
  test('a crash: detected and fenced by the old primary, promoted and up by the new', () => {
    const [record, ...more] = failoversFrom([
      event(0, 'a', 'detected', 2, { from: 'a', lastOffset: 1000 }),
      event(2, 'a', 'fenced', 2, { from: 'a' }),
      event(3, 'b', 'detected', 2, { from: 'a' }),
      event(8, 'b', 'promoted', 2, { to: 'b', from: 'a', source: 'failover', startOffset: 1001, notReplicatedBytes: 12 }),
      event(11, 'b', 'vip-up', 2, { to: 'b' }),
      event(400, 'a', 'rejoined', 2, { from: 'a', to: 'b', divergedBytes: 40 }),
    ])
    expect(more).toEqual([])
    // what was measured at the rejoin is better than the estimate
    expect(record).toEqual({
      epoch: 2,
      kind: 'failover',
      from: 'a',
      to: 'b',
      why: 'promoted on b',
      startedAtMs: began,
      timeline: { detectedMs: 0, fencedMs: 2, promotedMs: 8, vipUpMs: 11 },
      notReplicatedBytes: 40,
    })
  })

  test('it came back empty: what it had told before is what is missing', () => {
    const [record] = failoversFrom([
      event(8, 'b', 'promoted', 2, { to: 'b', from: 'a', source: 'failover', notReplicatedBytes: 12 }),
      event(400, 'a', 'rejoined', 2, { from: 'a', to: 'b', divergedBytes: 0 }),
    ])
    expect(record?.notReplicatedBytes).toBe(12)
  })

  test('a lost host: VRRP moved the address before any agent had its proof; the old primary is fenced when it comes back', () => {
    const [record] = failoversFrom([
      event(0, 'b', 'vip-up', 1, { to: 'b' }),
      event(20, 'b', 'detected', 2, { from: 'a' }),
      event(25, 'b', 'promoted', 2, { to: 'b', from: 'a', source: 'failover', notReplicatedBytes: null }),
      event(90_000, 'a', 'fenced', 2, { from: 'a' }),
    ])
    expect(record).toMatchObject({ startedAtMs: began, timeline: { vipUpMs: 0, detectedMs: 20, promotedMs: 25, fencedMs: 90_000 }, notReplicatedBytes: null })
  })

  test('a switchover: begins when writes are paused, and loses nothing whatever was estimated', () => {
    const [record] = failoversFrom([
      event(0, 'a', 'handover', 2, { from: 'a', to: 'b' }),
      event(4, 'a', 'fenced', 2, { from: 'a' }),
      event(7, 'b', 'promoted', 2, { to: 'b', from: 'a', source: 'switchover', notReplicatedBytes: 14 }),
      event(9, 'b', 'vip-up', 2, { to: 'b' }),
    ])
    expect(record).toMatchObject({ kind: 'switchover', timeline: { detectedMs: 0, fencedMs: 4, promotedMs: 7, vipUpMs: 9 }, notReplicatedBytes: 0 })
  })

  test('forced: nobody detected anything', () => {
    const [record] = failoversFrom([event(0, 'b', 'promoted', 2, { to: 'b', from: 'a', source: 'forced', notReplicatedBytes: null })])
    expect(record).toMatchObject({ kind: 'forced', timeline: { promotedMs: 0 }, notReplicatedBytes: null })
    expect(record?.timeline).not.toHaveProperty('detectedMs')
  })

  test('an older attempt at the same epoch, long before, is not part of it', () => {
    const [record] = failoversFrom([
      event(0, 'a', 'detected', 2),
      event(120_000, 'b', 'detected', 2),
      event(120_010, 'b', 'promoted', 2, { to: 'b', source: 'failover' }),
    ])
    expect(record).toMatchObject({ startedAtMs: began + 120_000, timeline: { detectedMs: 0, promotedMs: 10 } })
  })

  test('several, oldest first; nothing has happened: nothing', () => {
    const events = [event(0, 'a', 'promoted', 1, { to: 'a', source: 'bootstrap' }), event(50, 'b', 'promoted', 2, { to: 'b', from: 'a', source: 'failover' })]
    expect(failoversFrom(events).map((r) => [r.epoch, r.kind, r.from, r.to])).toEqual([
      [1, 'bootstrap', null, 'a'],
      [2, 'failover', 'a', 'b'],
    ])
    expect(failoversFrom([event(0, 'a', 'detected', 2)])).toEqual([])
  })
})
