/** How a relay tells of itself. */
import { expect, test } from 'vitest'
import { drawRelay, usersLine, type RelayNow } from '../../src/cli/migrate-relay-draw.ts'

const one = { client: '10.0.0.7:50001', sinceMs: 90_000, seenAs: '10.0.0.5:40001', bytesIn: 2048, bytesOut: 10, name: 'app-1', command: 'get' }
const now: RelayNow = {
  group: 'sessions',
  stage: 'moved',
  at: 'port 6379 of every address of this host',
  takes: true,
  to: { host: 'red-a', ip: '10.0.0.1' },
  why: 'the group serves, red-a is its primary',
  silentMs: 20,
  nobodyMs: null,
  taken: 7,
  failed: 0,
  replicas: 0,
  connections: [one],
}

test('who uses it, for how long, what they asked last', () => {
  const text = drawRelay(now)
  expect(text).toContain('hands on')
  expect(text).toMatch(/10\.0\.0\.7:50001 +app-1 +get +2\.0 KiB in, 10 B out, for 1 min/)
  expect(text).not.toContain('nobody')
})

test('of many only some, and how many more', () => {
  const text = drawRelay({ ...now, connections: Array.from({ length: 25 }, () => one) })
  expect(text).toContain('and 5 more')
})

test('nobody for so long; agents that do not answer; replicas', () => {
  expect(drawRelay({ ...now, connections: [], nobodyMs: 125_000 })).toContain('nobody for 2 min')
  expect(drawRelay({ ...now, silentMs: 9000 })).toContain('no agent answers for 9 s: it goes on with what it knew (red-a)')
  expect(drawRelay({ ...now, failed: 2, replicas: 3 })).toContain('7 connections, 2 to whom the primary did not answer, 3 of replicas, sent away')
})

test('as a line: by host and name, so that a client which connects anew each time is no news', () => {
  expect(usersLine({ ...now, connections: [one, { ...one, client: '10.0.0.7:50002', command: 'set' }, { ...one, client: '10.0.0.6:1', name: '' }] })).toBe(
    'used by 10.0.0.6 (last get), 10.0.0.7 app-1 (last set)',
  )
  expect(usersLine({ ...now, connections: [], nobodyMs: 1 })).toBe('nobody uses it')
  expect(usersLine({ ...now, connections: [], takes: false })).toBe('nothing is handed on')
})
