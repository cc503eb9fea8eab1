/** Copies that a restore over the group has kept: what they are known by, and that no alarm, no schedule and no `latest` takes one for a backup. */
import { expect, test } from 'vitest'
import { alarmsOf, latest, type Backup, type Catalog } from '../../src/backup/catalog.ts'
import { glanceOf, whatIsDue } from '../../src/backup/due.ts'
import { copyReason, isCopy } from '../../src/backup/over-copy.ts'

const hourMs = 3_600_000
const at = (time: string): number => Date.parse(`2026-11-21T${time}:00Z`)
const now = at('14:10')

function backup(time: string, { copy = false, keys = 60_001, state = 'good' as Backup['state'] } = {}): Backup {
  const manifest = {
    id: time,
    atWallMs: at(time),
    endedAtWallMs: at(time),
    reason: copy ? copyReason('12:00') : 'schedule',
    source: { host: 'b', role: 'replica', why: '' },
    rdb: { bytes: 1 },
    stored: { bytes: 1 },
    position: { epoch: 1, replid: 'x', offset: 7 },
    encryption: null,
  }
  const tested = state === 'untested' ? null : { atWallMs: at(time), ok: state === 'good', keys, fetchMs: 1, loadMs: 1, found: '' }
  return { manifest, tested, state, condemned: null, held: null, wrong: null, unclear: null, byKey: false, bytes: 1 } as unknown as Backup
}

const catalog = (...backups: readonly Backup[]): Catalog => ({ group: 'cache', backups, others: [] })
const alarms = (...backups: readonly Backup[]): readonly string[] => alarmsOf(catalog(...backups), { dueEveryMs: hourMs, encrypted: false }, now)
const due = (...backups: readonly Backup[]) => {
  const value = glanceOf(backups, [], now)
  return whatIsDue({ lastMs: at('14:00'), nextMs: at('15:00'), everyMs: hourMs }, true, { ok: true, value }, null, null, now)
}

test('known by their reason, also of a moment; an operator who writes of one makes none', () => {
  for (const from of ['20261121T140000Z-0000abcd', '2026-11-21T14:00:00Z (offset 7)']) expect(isCopy({ reason: copyReason(from) })).toBe(true)
  for (const reason of ['schedule', 'before the restore of 12:00', 'it went over the group']) expect(isCopy({ reason })).toBe(false)
})

test('latest is the youngest of the wanted states that is none', () => {
  const all = catalog(backup('14:05', { copy: true }), backup('14:00', { state: 'untested' }), backup('13:00'), backup('12:00', { copy: true }))
  expect(latest(all, ['good'], now)?.manifest.id).toBe('13:00')
  expect(latest(all, ['good', 'untested'], now)?.manifest.id).toBe('14:00')
  expect(latest(catalog(backup('14:05', { copy: true })), ['good', 'untested'], now)).toBeNull()
})

test('a young one does not hide that the backups are old, or that there is none', () => {
  expect(alarms(backup('14:05', { copy: true }), backup('09:00'))).toEqual(['the last good backup is 5 hours old'])
  expect(alarms(backup('14:05', { copy: true }), backup('14:00', { state: 'untested' }))).toEqual([
    'there is no good backup but what restore --over has kept of a state that was to go: 14:05',
  ])
})

test('no part in the alarm of a backup that shrank, on either side of it', () => {
  expect(alarms(backup('14:05'), backup('14:02', { copy: true, keys: 1 }), backup('14:00'))).toEqual([])
  expect(alarms(backup('14:05', { keys: 100 }), backup('14:02', { copy: true }), backup('14:00', { keys: 100 }))).toEqual([])
  expect(alarms(backup('14:05', { keys: 1 }), backup('14:02', { copy: true, keys: 1 }), backup('14:00'))).toEqual([
    '14:05 has 1 keys, the one before it 60001: if that is an accident, hold 14:00',
  ])
})

test('status and schedule: neither the newest nor the last good one; what is due is due', () => {
  const glance = glanceOf([backup('14:05', { copy: true }), backup('13:00')], [], now)
  expect(glance).toMatchObject({ newest: { id: '13:00' }, lastGood: { id: '13:00' }, newestCopy: { id: '14:05' }, count: 2 })
  expect(
    glance.bases.map(({ id }) => id),
    'a moment may begin at it',
  ).toEqual(['14:05', '13:00'])
  expect(due(backup('14:05', { copy: true }), backup('13:00'))).toMatchObject({ what: 'backup', why: 'the last one is 70 min old' })
  expect(due(backup('14:05', { copy: true, state: 'bad' }), backup('14:00')).what, 'a bad one asks for none').toBe('nothing')
})

test('one that nobody got to test is tested, as every other', () => {
  expect(due(backup('14:00'), backup('13:30', { copy: true, state: 'untested' }))).toMatchObject({ what: 'test', id: '13:30' })
})
