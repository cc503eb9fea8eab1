/** The `backup` key: what it comes to, what is refused with the reason, what is warned of, and the key file. */
import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { readBackupKey } from '../../src/config/backup-files.ts'
import { changesBetween } from '../../src/config/change.ts'
import { loadConfig, parseConfig } from '../../src/config/load.ts'
import { scheduleAt, scheduleProblem } from '../../src/config/schedule.ts'
import { group, problems } from './config-texts.ts'

let dir = ''
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'holdfast-backup-config-'))
})
afterAll(() => rm(dir, { recursive: true }))

const hour = 3_600_000
const at = (text: string): number => Date.parse(text)

function withBackup(keys: string): string {
  return group(`{ members: [a, b], vip: 10.0.0.100/24, password_file: pw, backup: ${keys} }`)
}

function parsed(keys: string) {
  const { config, warnings, problems: found } = parseConfig(withBackup(keys), '/x/holdfast.yaml')
  expect(found).toEqual([])
  return { config, backup: config?.groups['g']?.backup, warnings: warnings.map((line) => line.replace(/^\S+ /, '')) }
}

test('the least that is needed, and what it comes to', () => {
  const { backup, warnings } = parsed('{ directory: backups }')
  expect(backup).toEqual({
    store: { kind: 'directory', path: '/x/backups' },
    schedule: '0 * * * *',
    keep: { hourly: 24, daily: 30, weekly: 0, monthly: 0 },
    compression: 'auto',
    maxBytesPerS: 100 * 1024 ** 2,
    test: true,
    stream: null,
  })
  expect(warnings).toEqual([])
})

test('every key is read', () => {
  const { backup } = parsed(
    `{ s3: { bucket: b-1, prefix: /a/b/, endpoint: "https://s3.example.net/", region: eu-1, credentials_file: s3 }, schedule: no, keep: { hourly: 0, weekly: 8 },
       compression: none, encryption_key_file: key, max_mib_per_s: 0, test: true }`.replace('schedule: no', 'schedule: false'),
  )
  expect(backup).toEqual({
    store: { kind: 's3', bucket: 'b-1', prefix: 'a/b', endpoint: 'https://s3.example.net', region: 'eu-1', credentialsFile: '/x/s3' },
    schedule: null,
    keep: { hourly: 0, daily: 30, weekly: 8, monthly: 0 },
    compression: 'none',
    encryptionKeyFile: '/x/key',
    maxBytesPerS: null,
    test: true,
    stream: null,
  })
  expect(parsed('{ sftp: { host: h, user: u, path: /b, key_file: k, known_hosts_file: kh } }').backup?.store).toEqual({
    kind: 'sftp',
    host: 'h',
    port: 22,
    user: 'u',
    path: '/b',
    keyFile: '/x/k',
    knownHostsFile: '/x/kh',
  })
})

test.each([
  ['{ }', 'groups.g.backup: does not say where backups go'],
  ['{ directory: /b, s3: { bucket: bbb } }', 'groups.g.backup.s3: beside `directory`'],
  ['{ s3: { } }', 'groups.g.backup.s3: `bucket` is missing'],
  ['{ s3: { bucket: Bad_Bucket } }', 'groups.g.backup.s3.bucket: cannot be "Bad_Bucket"'],
  ['{ s3: { bucket: bbb, prefix: a/../b } }', 'groups.g.backup.s3.prefix: cannot be "a/../b"'],
  ['{ s3: { bucket: bbb, endpoint: s3.example.net } }', 'groups.g.backup.s3.endpoint: cannot be "s3.example.net"'],
  ['{ s3: { bucket: bbb, endpoint: "https://h/bucket" } }', 'groups.g.backup.s3.endpoint: cannot be "https://h/bucket"'],
  ['{ s3: { bucket: bbb, endpoint: "https://me:secret@h" } }', 'groups.g.backup.s3.endpoint: cannot be "https://me:secret@h"'],
  ['{ s3: { bucket: bbb, secret_key: x } }', 'groups.g.backup.s3.secret_key: unknown key'],
  ['{ sftp: { host: h, user: u, path: /b, key_file: k } }', 'groups.g.backup.sftp: `known_hosts_file` is missing'],
  ['{ sftp: { host: h, user: u, path: /b, known_hosts_file: k } }', 'groups.g.backup.sftp: nothing to sign in with'],
  ['{ directory: /b, schedule: hourly }', 'groups.g.backup.schedule: `hourly`: has not the five fields'],
  ['{ directory: /b, schedule: "61 * * * *" }', 'groups.g.backup.schedule: `61 * * * *`: '],
  ['{ directory: /b, schedule: "* * * * * *" }', 'groups.g.backup.schedule: `* * * * * *`: has not the five fields'],
  ['{ directory: /b, schedule: "0 0 30 2 *" }', 'groups.g.backup.schedule: `0 0 30 2 *` names a day that never comes'],
  ['{ directory: /b, schedule: "2026-01-01T00:00:00" }', 'groups.g.backup.schedule: `2026-01-01T00:00:00`: has not the five fields'],
  ['{ directory: /b, schedule: true }', 'groups.g.backup.schedule: cannot be true'],
  ['{ directory: /b, keep: { hourly: -1 } }', 'groups.g.backup.keep.hourly: cannot be -1'],
  ['{ directory: /b, keep: { yearly: 1 } }', 'groups.g.backup.keep.yearly: unknown key'],
  ['{ directory: /b, keep: 24 }', 'groups.g.backup.keep: has the wrong shape'],
  ['{ directory: /b, compression: zstd }', 'groups.g.backup.compression: `zstd` is what `auto` means where Node has it (22.15 and later): write auto'],
  ['{ directory: /b, max_mib_per_s: fast }', 'groups.g.backup.max_mib_per_s: cannot be "fast"'],
  ['{ directory: /b, shedule: "0 * * * *" }', 'groups.g.backup.shedule: unknown key; did you mean `schedule`?'],
  ['{ directory: /b, stream: always }', 'groups.g.backup.stream: is neither'],
  ['{ directory: /b, stream: 7 }', 'groups.g.backup.stream: is neither'],
  ['{ directory: /b, stream: { keep_days: 0 } }', 'groups.g.backup.stream.keep_days: cannot be 0'],
  ['{ directory: /b, stream: { flush_ms: 50 } }', 'groups.g.backup.stream.flush_ms: cannot be 50'],
  ['{ directory: /b, stream: { flush: 500 } }', 'groups.g.backup.stream.flush: unknown key; did you mean `flush_ms`?'],
  ['daily', 'groups.g.backup: has the wrong shape'],
])('%s is refused', (keys, message) => {
  const found = problems(withBackup(keys))
  expect(found).toHaveLength(1)
  expect(found[0]).toContain(message)
})

test.each([
  ['{ s3: { bucket: bbb, endpoint: "http://10.0.0.9" } }', 'groups.g.backup.s3.endpoint: the data cross the network in plain text'],
  ['{ directory: /b, test: no }', 'groups.g.backup.test: no backup counts as good before'],
  ['{ directory: /b, keep: { hourly: 0, daily: 0 } }', 'groups.g.backup.keep: no period is kept'],
])('%s is warned of', (keys, message) => {
  const { warnings } = parsed(keys)
  expect(warnings).toHaveLength(1)
  expect(warnings[0]).toContain(message)
})

const day = 24 * hour

test.each([
  ['true', { keepMs: 7 * day, flushMs: 500 }],
  ['on', { keepMs: 7 * day, flushMs: 500 }],
  ['{ }', { keepMs: 7 * day, flushMs: 500 }],
  ['{ keep_days: 30 }', { keepMs: 30 * day, flushMs: 500 }],
  ['{ keep_days: 1, flush_ms: 100 }', { keepMs: day, flushMs: 100 }],
  ['false', null],
  ['no', null],
])('stream: %s', (written, stream) => {
  expect(parsed(`{ directory: /b, stream: ${written} }`).backup?.stream).toEqual(stream)
})

test('a stream that nothing could be restored with is refused, at its line', () => {
  const text = withBackup('{ directory: /b, schedule: false, stream: { keep_days: 3 } }')
  expect(problems(text)).toEqual([
    expect.stringMatching(/^\d+ «stream» groups\.g\.backup\.stream: what is archived is restored on top of a backup, and with `schedule: false`/),
  ])
  expect(problems(withBackup('{ directory: /b, schedule: false, stream: false }'))).toEqual([])
})

test('http is no danger to what is encrypted', () => {
  expect(parsed('{ s3: { bucket: bbb, endpoint: "http://10.0.0.9" }, encryption_key_file: k }').warnings).toEqual([])
})

test('to change it restarts no redis', () => {
  const [from, to] = [parsed('{ directory: /b }').config, parsed('{ directory: /c, schedule: "5 * * * *" }').config]
  if (from === undefined || to === undefined) throw new Error('unreachable')
  expect(changesBetween(from, to)).toMatchObject([{ group: 'g', needs: 'agent', what: expect.stringContaining('backup') }])
})

test('the times that a schedule names, and how far apart they are just then', () => {
  expect(scheduleAt('0 * * * *', at('2026-11-21T14:12:00Z'))).toEqual({ lastMs: at('2026-11-21T14:00:00Z'), nextMs: at('2026-11-21T15:00:00Z'), everyMs: hour })
  // At that very moment it is due, not an hour later.
  expect(scheduleAt('0 * * * *', at('2026-11-21T14:00:00Z')).lastMs).toBe(at('2026-11-21T14:00:00Z'))
  const working = '0 9-17 * * 1-5'
  expect(scheduleAt(working, at('2026-11-22T12:00:00Z'))).toMatchObject({ lastMs: at('2026-11-20T17:00:00Z'), everyMs: 64 * hour })
  expect(scheduleAt(working, at('2026-11-23T09:30:00Z'))).toMatchObject({ lastMs: at('2026-11-23T09:00:00Z'), everyMs: 64 * hour })
  expect(scheduleAt(working, at('2026-11-23T15:30:00Z')).everyMs).toBe(hour)
  expect(scheduleAt('0 0 29 2 *', at('2027-01-01T00:00:00Z')).nextMs).toBe(at('2028-02-29T00:00:00Z'))
  expect(scheduleProblem('@daily')).toBeNull()
  expect(scheduleProblem('@reboot')).not.toBeNull()
})

test.each([
  ['raw bytes', Buffer.alloc(32, 7), 0o600, ''],
  ['hex', `${'0f'.repeat(32)}\n`, 0o600, ''],
  ['hex, owned by root and read by nobody', '0F'.repeat(32), 0o400, ''],
  ['31 bytes', Buffer.alloc(31, 7), 0o600, 'FILE holds neither 32 bytes nor 64 hex digits'],
  ['hex of 31 bytes', '0f'.repeat(31), 0o600, 'FILE holds neither 32 bytes nor 64 hex digits'],
  ['no hex', 'g'.repeat(64), 0o600, 'FILE holds neither 32 bytes nor 64 hex digits'],
  ['nothing', '', 0o600, 'FILE is empty'],
  ['readable by the group', Buffer.alloc(32, 7), 0o640, 'FILE is open to others: chmod 600 FILE'],
  ['readable by all', Buffer.alloc(32, 7), 0o604, 'FILE is open to others: chmod 600 FILE'],
])('a key file with %s', async (_name, bytes, mode, expected) => {
  const file = join(dir, 'key')
  await rm(file, { force: true })
  await writeFile(file, bytes)
  await chmod(file, mode)
  const key = await readBackupKey(file)
  expect(key).toMatchObject(expected === '' ? { ok: true, value: { length: 32 } } : { ok: false, why: expected.replaceAll('FILE', file) })
})

test('a key file that is missing is told by check, at its key, and stops no agent', async () => {
  await writeFile(join(dir, 'pw'), 'secret\n', { mode: 0o600 })
  await writeFile(join(dir, 'secret'), '0123456789abcdef', { mode: 0o600 })
  const file = join(dir, 'holdfast.yaml')
  await writeFile(file, `api: { secret_file: secret }\n${withBackup(`{ directory: ${dir}, encryption_key_file: nowhere }`)}`)
  const refused = await loadConfig(file, { files: true, backupsOf: () => true }).catch((error: unknown) => error)
  expect(refused).toMatchObject({ code: 'HF103', problems: [{ path: 'groups.g.backup.encryption_key_file', message: `${dir}/nowhere does not exist` }] })
  expect((await loadConfig(file, { files: true })).warnings).toEqual([])
})

test('a directory that goes with its host is warned of, and one that is not there', async () => {
  await writeFile(join(dir, 'pw'), 'secret\n', { mode: 0o600 })
  await writeFile(join(dir, 'secret'), '0123456789abcdef', { mode: 0o600 })
  const file = join(dir, 'holdfast.yaml')
  const warned = async (directory: string): Promise<readonly string[]> => {
    await writeFile(file, `api: { secret_file: secret }\n${withBackup(`{ directory: ${directory} }`)}`)
    return (await loadConfig(file, { files: true, backupsOf: () => true })).warnings
  }
  expect(await warned(dir)).toEqual([expect.stringContaining('goes with the host')])
  expect(await warned(`${dir}/unmounted`)).toEqual([expect.stringContaining('is not there')])
})
