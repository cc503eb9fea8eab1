/** What an agent tells of backups over HTTP, what it takes for an order, and how it is shown. No process is started here. */
import { describe, expect, test } from 'vitest'
import type { Seen } from '../../src/backup/due.ts'
import type { BackupReport, RunningBackup, RunningStream, StreamReport } from '../../src/backup/report.ts'
import { agentRoutes, publicRoutes } from '../../src/api/routes.ts'
import { backupLine, backupStatus } from '../../src/cli/backup-status.ts'
import { progressWords } from '../../src/cli/backup-take.ts'
import { surface } from './wire.ts'

const nowMs = Date.parse('2026-11-21T14:12:00Z')

const good: Seen = {
  id: '20261121T140000Z-0000abcd',
  atWallMs: Date.parse('2026-11-21T14:00:00Z'),
  state: 'good',
  source: { host: 'b', role: 'replica', why: 'a replica' },
  rdbBytes: 1000,
  storedBytes: 400,
  tookMs: 1500,
  restoreMs: 3100,
  found: 'loaded',
}

const running: RunningBackup = {
  id: '20261121T141100Z-0000beef',
  what: 'take',
  by: 'operator',
  source: 'b',
  why: 'a replica',
  beganWallMs: nowMs,
  about: 4 * 1024 ** 2,
  phase: 'taking',
  bytes: 1024 ** 2,
  of: null,
  forMs: 1000,
}

const idle: BackupReport = {
  source: 'b',
  why: 'a replica',
  now: { host: 'b', why: 'a replica' },
  nextMs: Date.parse('2026-11-21T15:00:00Z'),
  running: null,
  ended: null,
  glance: null,
  last: null,
  alarms: [],
  stream: null,
}
const seeing: BackupReport = { ...idle, glance: { atWallMs: nowMs, newest: good, lastGood: good, newestCopy: null, count: 1, alarms: [], stream: null } }

function served(report: BackupReport, orders: unknown[] = []) {
  return surface({
    groups: () => ['sessions'],
    backups: (group) =>
      group === 'sessions'
        ? {
            report: () => report,
            take: (order) => {
              orders.push(order)
              return { ok: true, id: 'x', source: 'b', why: '' }
            },
            stop: (...stopped) => orders.push(stopped) > 0,
            stream: null,
            close: () => undefined,
          }
        : null,
  })
}

describe('routes', () => {
  const post = async (path: string, body: unknown, orders: unknown[] = []) => {
    const headers = { 'content-type': 'application/json' }
    return agentRoutes(served(idle, orders)).request(path, { method: 'POST', headers, body: typeof body === 'string' ? body : JSON.stringify(body) })
  }

  test('a report, in status too; of a group without backups none', async () => {
    const app = agentRoutes(served(seeing))
    expect(await (await app.request('/groups/sessions/backup')).json()).toEqual(seeing)
    expect((await app.request('/groups/other/backup')).status).toBe(404)
    expect(await (await app.request('/status')).json()).toMatchObject({ groups: [{ backup: { source: 'b' } }] })
  })

  test('an order is passed on, and cut to a length', async () => {
    const orders: unknown[] = []
    expect((await post('/groups/sessions/backup/take', { from: 'b', reason: 'r'.repeat(1000), by: 'me' }, orders)).status).toBe(200)
    expect((await post('/groups/sessions/backup/stop', { id: 'x', by: 'me' }, orders)).status).toBe(200)
    expect(orders).toEqual([{ from: 'b', reason: 'r'.repeat(300), by: 'me' }, ['x', 'me called it off']])
  })

  test.each<[string, unknown]>([
    ['take', {}],
    ['take', 'no json'],
    ['take', { reason: '', by: 'me' }],
    ['take', { reason: 'x', by: 7 }],
    ['take', { from: ['b'], reason: 'x', by: 'me' }],
    ['stop', {}],
    ['stop', { id: 7, by: 'me' }],
  ])('%s: %j is no order', async (path, body) => {
    const orders: unknown[] = []
    expect((await post(`/groups/sessions/backup/${path}`, body, orders)).status).toBe(400)
    expect(orders).toEqual([])
  })
})

describe('metrics', () => {
  const lines = async (report: BackupReport) =>
    (await (await publicRoutes(served(report)).request('/metrics')).text()).split('\n').filter((line) => line.startsWith('holdfast_backup'))

  test('of the store only from the agent that looks into it', async () => {
    expect(await lines(idle)).toEqual(['holdfast_backup_running{group="sessions"} 0', 'holdfast_backup_alarm{group="sessions"} 0'])
    expect(await lines(seeing)).toEqual([
      `holdfast_backup_last_good_timestamp_seconds{group="sessions"} ${good.atWallMs / 1000}`,
      'holdfast_backup_bytes{group="sessions"} 400',
      'holdfast_backup_duration_seconds{group="sessions"} 1.5',
      'holdfast_backup_restore_test_seconds{group="sessions"} 3.1',
      'holdfast_backup_running{group="sessions"} 0',
      'holdfast_backup_alarm{group="sessions"} 0',
    ])
  })

  test('the last attempt, and what is wrong', async () => {
    const last = { atWallMs: nowMs, id: null, by: 'schedule' as const, failures: 1, why: 'full' }
    const failed = await lines({ ...idle, running, last, alarms: [{ text: 'x', grave: true }] })
    expect(failed).toEqual([
      'holdfast_backup_last_attempt_ok{group="sessions"} 0',
      'holdfast_backup_running{group="sessions"} 1',
      'holdfast_backup_alarm{group="sessions"} 1',
    ])
    expect(await lines({ ...idle, last: { ...last, failures: 0, why: null } })).toContain('holdfast_backup_last_attempt_ok{group="sessions"} 1')
  })
})

const archiving: StreamReport = {
  host: 'b',
  why: 'a replica',
  running: {
    source: 'b',
    role: 'replica',
    isAttached: true,
    came: 1050,
    stored: 1000,
    storedWallMs: nowMs - 400,
    run: null,
    trouble: null,
    lagBytes: 50,
    sinceWallMs: Date.parse('2026-11-21T13:00:00Z'),
  },
  gaps: 2,
  alarms: [],
}
const waiting: StreamReport = { ...archiving, running: null, gaps: 0 }

describe('the stream', () => {
  const lines = async (stream: StreamReport) =>
    (await (await publicRoutes(served({ ...idle, stream })).request('/metrics')).text()).split('\n').filter((line) => line.startsWith('holdfast_stream'))
  const shown = (...streams: readonly (readonly [string, StreamReport])[]) =>
    backupLine(backupStatus(streams.map(([host, stream]) => ({ host, report: { ...seeing, stream } }))), nowMs)
      .split('\n')
      .filter((line) => line.includes('stream: '))

  test('metrics: of where it stands only from the agent that archives it', async () => {
    expect(await lines(waiting)).toEqual(['holdfast_stream_running{group="sessions"} 0', 'holdfast_stream_gaps_total{group="sessions"} 0'])
    expect(await lines(archiving)).toEqual([
      'holdfast_stream_running{group="sessions"} 1',
      `holdfast_stream_archived_timestamp_seconds{group="sessions"} ${(nowMs - 400) / 1000}`,
      'holdfast_stream_lag_bytes{group="sessions"} 50',
      'holdfast_stream_gaps_total{group="sessions"} 2',
    ])
  })

  test('status: up to when, by whom, and since when any moment is there', () => {
    const line = `stream: archived up to ${new Date(nowMs - 400).toISOString().slice(11, 19)} UTC by b, 0.4 s ago; any moment since 13:00 UTC`
    expect(shown(['a', waiting], ['b', archiving], ['c', waiting])).toEqual([line])
    expect(shown()).toEqual([])
  })

  test('status: from the primary, long ago, with nothing to begin at', () => {
    const running = { ...archiving.running, role: 'primary', storedWallMs: nowMs - 90_000, sinceWallMs: null } as RunningStream
    expect(shown(['b', { ...archiving, running }])).toEqual([expect.stringMatching(/by b, the primary, 90 s ago$/)])
  })

  test('status: by nobody, and what is wrong with that is said once', () => {
    const nobody: StreamReport = {
      ...waiting,
      host: null,
      why: 'a failover is under way (b)',
      alarms: [{ text: 'nothing has been archived for 45 s: x', grave: true }],
    }
    expect(shown(['a', nobody], ['b', nobody])).toEqual(['stream: not archived: a failover is under way (b)', 'stream: nothing has been archived for 45 s: x'])
    expect(shown(['a', waiting], ['b', waiting])).toEqual(['stream: b begins to archive it'])
    expect(shown(['a', waiting])).toEqual(['stream: b begins to archive it', 'stream: the agent of b, which archives it, is not heard from here'])
  })
})

describe('status', () => {
  const line = (...reports: readonly (readonly [string, BackupReport])[]) =>
    backupLine(backupStatus(reports.map(([host, report]) => ({ host, report }))), nowMs)

  test('the word of the one who looks, whoever else is heard', () => {
    expect(line(['a', idle], ['b', seeing])).toBe('backup: last good 12 min ago (3.1 s to restore), next at 15:00 UTC\n')
    expect(line(['b', { ...seeing, nextMs: Date.parse('2027-01-01T00:00:00Z') }])).toContain('next at 2027-01-01 00:00 UTC')
    expect(line()).toBe('')
  })

  test('what runs, wherever; and that there is no schedule', () => {
    expect(line(['a', { ...idle, running }], ['b', { ...seeing, nextMs: null }])).toContain('taking 20261121T141100Z-0000beef on a, no schedule')
  })

  test('alarms, and that the one who looks is not heard', () => {
    expect(line(['b', { ...seeing, alarms: [{ text: 'the store is full', grave: false }] }])).toContain('backup: the store is full')
    expect(line(['a', idle])).toContain('the agent of b, which would take the next one, is not heard from here')
  })
})

test.each<[Partial<RunningBackup>, string]>([
  [{ bytes: 0 }, 'taking 20261121T141100Z-0000beef from b'],
  [{}, 'taking 20261121T141100Z-0000beef from b: 1.0 MiB of about 4.0 MiB, 1.0 MiB/s, about 3 s left'],
  [{ of: 2 * 1024 ** 2 }, 'taking 20261121T141100Z-0000beef from b: 1.0 MiB of 2.0 MiB, 1.0 MiB/s, 1 s left'],
  [{ about: null }, 'taking 20261121T141100Z-0000beef from b: 1.0 MiB, 1.0 MiB/s'],
  [{ about: 1024 }, 'taking 20261121T141100Z-0000beef from b: 1.0 MiB, 1.0 MiB/s'],
  [{ phase: 'testing', of: 2 * 1024 ** 2 }, 'testing 20261121T141100Z-0000beef: 1.0 MiB of 2.0 MiB, 1.0 MiB/s, 1 s left'],
])('progress %#', (more, words) => {
  expect(progressWords({ ...running, ...more })).toBe(words)
})
