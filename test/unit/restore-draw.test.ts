/** What is told of a restore: which figures are those of the backup that it began at, and which of the moment. */
import { expect, test } from 'vitest'
import type { Restored } from '../../src/dump/restore.ts'
import { drawPlan, drawRestored, type Plan } from '../../src/cli/restore-draw.ts'

const manifest = {
  id: 'the-base',
  group: 'cache',
  atWallMs: 0,
  rdb: { bytes: 274 },
  stored: { bytes: 300 },
  position: { epoch: 1, offset: 100 },
  server: { version: '7.0.15' },
  seen: {},
}
const backup = { manifest, state: 'good', tested: { ok: true, keys: 5, loadMs: 10 } } as unknown as Plan['backup']
const archive = { legs: [{ replid: 'a'.repeat(40) }], segments: [] }
const moment = {
  backup,
  archive,
  to: 9000,
  atWallMs: 60_000,
  commands: 60_000,
  segments: 2,
  found: null,
  earlier: [],
  unsearched: [],
} as unknown as Plan['moment']
const plan: Plan = {
  ...{ backup, moment, key: null, dir: '/restored', conf: '', redisServer: 'redis-server', password: undefined, notes: [] },
  start: { redisServer: 'redis-server', version: '7.0.15', host: '127.0.0.1', port: 16379, password: undefined },
}
const counts = { found: 'equal', words: '5 keys, as many as red-b had' } as const
const restored: Restored = { fetchMs: 1, servedMs: 347, tookMs: 400, replayMs: 100, served: { pid: 1, databases: [], keys: 60_005, counts } }

test('a moment: the bytes and the count of its base are called so, and do not stand beside its own keys', () => {
  const text = drawRestored(plan, restored)
  expect(text).toContain('cache as of 1970-01-01T00:01:00.000Z: 60005 keys, backup and stream in 347 ms (on the disk')
  expect(text).toContain('base     the backup the-base, 274 B of RDB\n')
  expect(text).toContain('counted  the base, before the stream: 5 keys, as many as red-b had')
  expect(drawPlan(plan)).toContain('holds    the base: 5 keys, 274 B of RDB')
  expect(drawRestored(plan, { ...restored, served: null })).toContain('00.000Z: backup and stream in 400 ms\n')
})

test('a backup: they are its own', () => {
  const whole = { ...plan, moment: null }
  expect(drawRestored(whole, restored)).toContain('60005 keys, 274 B in 347 ms')
  expect(drawRestored(whole, restored)).toContain('counted  5 keys, as many as red-b had')
  expect(drawRestored(whole, { ...restored, served: null })).toContain('UTC: 274 B in 400 ms\n')
  expect(drawPlan(whole)).toContain('holds    5 keys, 274 B of RDB')
})
