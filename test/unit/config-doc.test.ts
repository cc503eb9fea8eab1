/** docs/configuration.md names every key, and the defaults and ranges that the code has. */
import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { defaults, ranges } from '../../src/config/defaults.ts'
import { readShape } from '../../src/config/schema.ts'
import { managedDirectives } from '../../src/render/redis-directives.ts'

const doc = readFileSync(new URL('../../docs/configuration.md', import.meta.url), 'utf8')

function row(key: string): string {
  return doc.split('\n').find((line) => line.startsWith(`| \`${key}\` |`)) ?? ''
}

/** The schema itself says which keys there are, when asked for one that does not exist. */
function keysOf(data: unknown): readonly string[] {
  return readShape(data).findings[0]?.accepted?.split(', ') ?? []
}

test('every key has a row', () => {
  const all = [
    ...keysOf({ api: { x: 1 } }),
    ...keysOf({ paths: { x: 1 } }),
    ...keysOf({ hosts: { a: { x: 1 } } }),
    ...keysOf({ groups: { g: { x: 1 } } }),
    ...keysOf({ groups: { g: { members: [{ x: 1 }] } } }),
    ...keysOf({ groups: { g: { failover: { x: 1 } } } }),
    ...keysOf({ groups: { g: { sentinel: { x: 1 } } } }),
    ...keysOf({ groups: { g: { salvage: { x: 1 } } } }),
    ...keysOf({ groups: { g: { backup: { x: 1 } } } }),
    ...keysOf({ groups: { g: { backup: { keep: { x: 1 } } } } }),
    ...keysOf({ groups: { g: { backup: { stream: { x: 1 } } } } }),
    ...keysOf({ groups: { g: { backup: { s3: { x: 1 } } } } }),
    ...keysOf({ groups: { g: { backup: { sftp: { x: 1 } } } } }),
    ...keysOf({ groups: { g: { persistence: { x: 1 } } } }),
  ]
  expect(all.length).toBeGreaterThan(30)
  expect(all.filter((key) => row(key) === '')).toEqual([])
})

test.each([
  ['secret_file', defaults.secretFile],
  ['state', defaults.statePath],
  ['run', defaults.runPath],
  ['redis_server', defaults.redisServer],
  ['keepalived', defaults.keepalived],
  ['mode', defaults.mode],
  ['process', defaults.process],
  ['durability', defaults.durability],
  ['auto', String(defaults.auto)],
  ['host_loss_ms', `${defaults.hostLossMs}`],
  ['unresponsive_ms', `${defaults.unresponsiveMs}`],
  ['max_pause_ms', `${defaults.maxPauseMs}`],
  ['max_mib', `${defaults.salvageMaxMib}`],
  ['max_age_days', `${defaults.salvageMaxAgeDays}`],
  ['max_mib', `${ranges.salvageMaxMib.min}–${ranges.salvageMaxMib.max}`],
  ['max_age_days', `${ranges.salvageMaxAgeDays.min}–${ranges.salvageMaxAgeDays.max}`],
  ['host_loss_ms', `${ranges.hostLossMs.min}–${ranges.hostLossMs.max}`],
  ['unresponsive_ms', `${ranges.unresponsiveMs.min}–${ranges.unresponsiveMs.max}`],
  ['max_pause_ms', `${ranges.maxPauseMs.min}–${ranges.maxPauseMs.max}`],
  ['max_full_syncs', `${defaults.maxFullSyncs}`],
  ['max_full_syncs', `${ranges.maxFullSyncs.min}–${ranges.maxFullSyncs.max}`],
  ['rewrite_percentage', `${defaults.rewritePercentage}`],
  ['rewrite_percentage', `${ranges.rewritePercentage.min}–${ranges.rewritePercentage.max}`],
  ['rewrite_min_mib', `${defaults.rewriteMinMib}`],
  ['rewrite_min_mib', `${ranges.rewriteMinMib.min}–${ranges.rewriteMinMib.max}`],
  ['save', defaults.saves.map(({ seconds, changes }) => `${seconds} ${changes}`).join(', ')],
  ['priority', `${ranges.priority.min}–${ranges.priority.max}`],
  ['quorum', '2 to the number'],
  ['sentinels', `${ranges.sentinels.min} to ${ranges.sentinels.max} hosts`],
  ['down_after_ms', `${defaults.downAfterMs}`],
  ['down_after_ms', `${ranges.downAfterMs.min}–${ranges.downAfterMs.max}`],
  ['failover_timeout_ms', `${defaults.failoverTimeoutMs}`],
  ['failover_timeout_ms', `${ranges.failoverTimeoutMs.min}–${ranges.failoverTimeoutMs.max}`],
  ['parallel_syncs', `${defaults.parallelSyncs}`],
  ['parallel_syncs', `${ranges.parallelSyncs.min}–${ranges.parallelSyncs.max}`],
  ['schedule', defaults.backupSchedule],
  ['compression', defaults.compression],
  ['max_mib_per_s', `${defaults.backupMaxMibPerS} | ${ranges.backupMaxMibPerS.min}–${ranges.backupMaxMibPerS.max}`],
  ['test', String(defaults.backupTest)],
  ['hourly', `${defaults.keep.hourly} | ${ranges.keep.min}–${ranges.keep.max}`],
  ['daily', `${defaults.keep.daily} | ${ranges.keep.min}–${ranges.keep.max}`],
  ['weekly', `${defaults.keep.weekly} | ${ranges.keep.min}–${ranges.keep.max}`],
  ['monthly', `${defaults.keep.monthly} | ${ranges.keep.min}–${ranges.keep.max}`],
  ['keep_days', `${defaults.streamKeepDays} | ${ranges.streamKeepDays.min}–${ranges.streamKeepDays.max}`],
  ['flush_ms', `${defaults.streamFlushMs} | ${ranges.streamFlushMs.min}–${ranges.streamFlushMs.max}`],
  ['region', defaults.s3Region],
  ['reader_vrid', `${ranges.vrid.min}–${ranges.vrid.max}`],
  ['vrid', `${ranges.vrid.min}–${ranges.vrid.max}`],
])('%s: %s', (key, value) => {
  expect(row(key)).toContain(value)
})

test('every directive that Holdfast decides is listed', () => {
  expect(Object.keys(managedDirectives).filter((name) => !doc.includes(`\`${name}\``))).toEqual([])
})
