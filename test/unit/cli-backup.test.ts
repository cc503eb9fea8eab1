/** `holdfast backup list|show|verify|prune|hold|release` as an operator meets them, on a machine without agents: what is printed, and which code. */
import { existsSync, statSync } from 'node:fs'
import { mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { Command } from '@commander-js/extra-typings'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { backupId, dataName, paperName } from '../../src/backup/manifest.ts'
import { register as registerBackup } from '../../src/cli/backup.ts'
import { register as registerRestore } from '../../src/cli/restore.ts'
import { withVault } from '../../src/cli/backup-open.ts'
import { keyId } from '../../src/dump/seal.ts'
import { putPaper } from '../../src/dump/paper.ts'
import { layBackup, memoryStore, rdbOf } from './stored-backups.ts'

const key = Buffer.alloc(32, 0xab)
const hourMs = 3_600_000
const signal = new AbortController().signal
let dir = ''

beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'holdfast-cli-backup-'))
  await mkdir(join(dir, 'store'))
  await writeFile(join(dir, 'key'), key.toString('hex'), { mode: 0o600 })
  await writeFile(join(dir, 'other'), 'cd'.repeat(32), { mode: 0o600 })
  await writeFile(join(dir, 'shared'), 'ab'.repeat(32), { mode: 0o644 })
  const backup = (more: string) => `{ directory: store, keep: { hourly: 2, daily: 0 }${more} }`
  await writeFile(
    join(dir, 'h.yaml'),
    `api: { secret_file: secret }
hosts: { a: { ip: 10.0.0.1 }, b: { ip: 10.0.0.2 } }
groups:
  cache: { members: [a, b], backup: ${backup(', encryption_key_file: key')} }
  keyless: { members: [a, b], port: 6380, backup: ${backup('')} }
  bare: { members: [a, b], port: 6381 }
  away: { members: [a, b], port: 6382, backup: { directory: nowhere } }
`,
  )
})
afterEach(() => rm(dir, { recursive: true }))

/** So many hours old each, and encrypted; good where `good`. */
async function stored(
  hours: readonly number[],
  { good = true, group = 'cache', reason = 'schedule', keys = 1234, nonce = '00000000' } = {},
): Promise<readonly string[]> {
  const store = memoryStore()
  const ids: string[] = []
  for (const hour of hours) {
    const atWallMs = (Math.floor(Date.now() / hourMs) - hour) * hourMs
    const id = backupId(new Date(atWallMs).toISOString(), nonce)
    const { sha256 } = await layBackup(store, { id, group, rdb: rdbOf(), compression: 'gzip', key, atWallMs, reason })
    const said = {
      format: 1,
      id,
      manifestSha256: sha256,
      atWallMs,
      ok: true,
      fault: null,
      found: '',
      loadMs: 1500,
      fetchMs: 10,
      keys,
      serverVersion: '7.0.15',
    } as const
    if (good) await putPaper(store, group, 'tested', said, key, signal)
    ids.push(id)
  }
  for (const [name, bytes] of store.objects) {
    await mkdir(dirname(join(dir, 'store', name)), { recursive: true })
    await writeFile(join(dir, 'store', name), bytes)
  }
  return ids
}

async function run(...words: readonly string[]): Promise<string> {
  const program = new Command('holdfast').exitOverride().option('--config <file>', 'the configuration')
  registerBackup(program as unknown as Command)
  registerRestore(program as unknown as Command)
  let output = ''
  const spy = vi.spyOn(process.stdout, 'write').mockImplementation((chunk) => {
    output += String(chunk)
    return true
  })
  try {
    await program.parseAsync(['--config', join(dir, 'h.yaml'), ...words], { from: 'user' })
  } finally {
    spy.mockRestore()
  }
  return output
}

async function refusal(...words: readonly string[]): Promise<string> {
  return run(...words).then(
    (output) => `not refused: ${output}`,
    (error: { code: string; message: string }) => `${error.code} ${error.message}`,
  )
}

describe('what there is', () => {
  test('a table with the sums, what is wrong, and why each is kept; the same for machines', async () => {
    const [last = '', , oldest = ''] = await stored([0, 1, 2])
    const text = await run('backup', 'list', 'cache')
    expect(text).toMatch(new RegExp(`${last} .* redis-b \\(replica\\) .* 1234 .* 1\\.5 s .* the last good one`))
    expect(text).toMatch(new RegExp(`${oldest} .* goes: no period asks for it any more`))
    expect(text).toContain('3 backups of cache, 3 good')
    expect(JSON.parse(await run('backup', 'list', 'cache', '--json'))).toMatchObject({
      backups: [{ state: 'good', byKey: true }, {}, {}],
      others: [],
      alarms: [],
    })
    await rm(join(dir, 'key'))
    expect(await run('backup', 'show', 'cache', 'latest'), 'also without the key').toContain('the key to prove it is not here')
    expect(await run('backup', 'list', 'keyless')).toContain('! there is no backup')
  })

  test('one by the beginning of its id; several that begin so, none, and no good one', async () => {
    const [one = '', two = ''] = await stored([0, 1], { good: false })
    const shown = await run('backup', 'show', 'cache', one.slice(0, -1))
    expect(shown).toContain(`key ${keyId(key)}`)
    expect(shown).toMatch(/^ {2}reason {5}\S/m)
    expect(await refusal('backup', 'show', 'cache', one.slice(0, 4))).toBe(`HF812 several begin with ${one.slice(0, 4)}: ${one}, ${two}`)
    expect(await refusal('backup', 'show', 'cache', '1999')).toBe('HF812 cache has no backup 1999')
    expect(await refusal('backup', 'show', 'cache', 'latest')).toBe('HF815 cache has no good backup (2 in all, 2 untested)')
    await writeFile(join(dir, 'store', paperName('cache', two, 'manifest')), '{}')
    expect(await refusal('backup', 'show', 'cache', two)).toContain('HF816')
  })

  test('no backups are configured, no such group, the store is not there', async () => {
    expect(await refusal('backup', 'list', 'bare')).toContain('HF811')
    expect(await refusal('backup', 'list', 'nobody')).toContain('HF104')
    expect(await refusal('backup', 'list', 'away')).toMatch(/^HF814 .*nowhere is not there \(a disk that is not mounted\?\)/)
  })
})

describe('copies that restore --over has kept', () => {
  const over = { reason: 'before the restore of 20261121T170000Z-00000000 over the group', keys: 1, nonce: '0000c0b1' }
  const restoreDry = async (...words: readonly string[]): Promise<unknown> =>
    (JSON.parse(await run('restore', 'cache', '--backup', 'latest', '--no-start', '--dry-run', '--json', ...words)) as { backup: string }).backup

  test('latest is none of them, whatever asks for it', async () => {
    const [good = '', tested = ''] = await stored([2, 3])
    const [copy = ''] = await stored([0], over)
    await stored([1], { ...over, good: false })
    expect(await run('backup', 'show', 'cache', 'latest')).toContain(good)
    expect(await run('backup', 'verify', 'cache', 'latest')).toContain(`${good}  good`)
    expect(await restoreDry()).toBe(good)
    expect(await restoreDry('--untested')).toBe(good)
    await rm(join(dir, 'store', paperName('cache', good, 'tested')))
    expect([await restoreDry(), await restoreDry('--untested')]).toEqual([tested, good])
    expect(await run('backup', 'show', 'cache', copy), 'by its id').toContain(over.reason)
  })

  test('there is nothing else: the refusal says so, and names them', async () => {
    const [copy = ''] = await stored([0], over)
    await stored([1], { good: false })
    const words = [
      ['backup', 'show', 'cache', 'latest'],
      ['backup', 'test', 'cache', 'latest'],
      ['restore', 'cache', '--backup', 'latest'],
      ['restore', 'cache', '--keys', '*', '--backup', 'latest'],
      ['restore', 'cache', '--over', '--backup', 'latest'],
    ]
    for (const command of words)
      expect(await refusal(...command)).toBe(
        `HF815 cache has no good backup (1 in all, 1 untested); latest is never what restore --over has kept of a state that was to go: ${copy}`,
      )
  })

  test('list: the backup that was restored stays the last good one, and no alarm takes the copy for a backup that shrank', async () => {
    const [good = ''] = await stored([0])
    const [copy = ''] = await stored([0], over)
    await run('backup', 'hold', 'cache', copy, '--reason', over.reason)
    const text = await run('backup', 'list', 'cache')
    expect(text).toMatch(new RegExp(`${good} .* the last good one`))
    expect(text).toMatch(new RegExp(`${copy} .* held by .*: before the restore of`))
    expect(text).toContain('2 backups of cache, 2 good, 1 of them kept by restore --over, ')
    expect(text).not.toContain('!')
  })
})

describe('verify', () => {
  test('all are read; the one that is damaged is named, marked, and not the latest any more', async () => {
    const [last = '', before = ''] = await stored([0, 1])
    expect(await run('backup', 'verify', 'cache', '--all')).toContain('2 good, 0 bad')
    const file = join(dir, 'store', dataName('cache', last))
    const bytes = Buffer.alloc(statSync(file).size, 1)
    await writeFile(file, bytes)
    expect(await refusal('backup', 'verify', 'cache', '--all')).toBe('HF816 1 of 2 bad')
    expect(await run('backup', 'show', 'cache', 'latest')).toContain(before)
    expect(await run('backup', 'show', 'cache', last)).toContain('what is stored does not open')
  })

  test('another key, none, and one that everybody can read: which is wanted and which was given', async () => {
    const [id = ''] = await stored([0])
    const given = keyId(Buffer.alloc(32, 0xcd))
    expect(await refusal('backup', 'verify', 'cache', id, '--key-file', join(dir, 'other'))).toBe(
      `HF813 ${id} is encrypted with the key ${keyId(key)}; the one given is ${given}`,
    )
    expect(await refusal('backup', 'verify', 'cache', id, '--key-file', join(dir, 'shared'))).toMatch(/^HF813 .*is open to others/)
    await rm(join(dir, 'key'))
    expect(await refusal('backup', 'verify', 'cache', id)).toMatch(new RegExp(`^HF813 ${id} is encrypted with the key ${keyId(key)}; .*key does not exist`))
    expect(await refusal('backup', 'verify', 'cache')).toContain('HF812 say which')
  })
})

describe('prune', () => {
  const left = async (): Promise<number> => (await readdir(join(dir, 'store', 'cache'))).length

  test('shows; marks with --yes; removes before the day is over only when the name of the group is given', async () => {
    const [, , third = ''] = await stored([0, 1, 2])
    expect(await run('backup', 'prune', 'cache')).toContain('nothing was changed: holdfast backup prune cache --yes')
    expect(existsSync(join(dir, 'store', paperName('cache', third, 'condemned')))).toBe(false)
    expect(await run('backup', 'prune', 'cache', '--yes')).toMatch(/marked \(removed when the mark is 24 hours old\): 1/)
    expect(await refusal('backup', 'prune', 'cache', '--yes', '--now')).toMatch(/^HF817 1 of the backups of cache are removed at once/)
    expect(await refusal('backup', 'prune', 'cache', '--yes', '--now', '--yes-i-mean', 'cash')).toContain('HF817')
    expect(await left()).toBe(3)
    expect(await run('backup', 'prune', 'cache', '--yes', '--now', '--yes-i-mean', 'cache')).toMatch(/removed: 1/)
    expect(await left()).toBe(2)
  })

  test('what is held stays, until it is released', async () => {
    const [, , third = ''] = await stored([0, 1, 2])
    await run('backup', 'hold', 'cache', third, '--reason', 'audit')
    const now = ['backup', 'prune', 'cache', '--yes', '--now', '--yes-i-mean', 'cache'] as const
    expect(await run(...now)).toMatch(/held by .*: audit/)
    expect(await left()).toBe(3)
    await run('backup', 'release', 'cache', third)
    await run(...now)
    expect(await left()).toBe(2)
  })
})

test('restore --keys says what is missing before it asks anybody', async () => {
  await stored([0])
  expect(await refusal('restore', 'cache', '--keys', '*')).toContain('HF812 say which')
  expect(await refusal('restore', 'cache', '--backup', 'latest', '--yes')).toContain('HF812 --undo and --yes are of --keys')
  expect(await refusal('restore', 'cache', '--keys', '*', '--backup', 'latest', '--key-file', join(dir, 'other'))).toContain('HF813')
})

test('the first Ctrl-C ends a command where it can be ended, the second one at once; the next command does not know of it', async () => {
  const exit = vi.spyOn(process, 'exit').mockImplementation((() => undefined) as unknown as typeof process.exit)
  const command = { optsWithGlobals: () => ({ config: join(dir, 'h.yaml') }) }
  const asked: unknown[] = []
  try {
    await withVault(command, 'cache', async (vault) => {
      process.emit('SIGINT')
      asked.push([vault.signal.aborted, ...exit.mock.calls])
      process.emit('SIGTERM')
      asked.push([...exit.mock.calls])
    })
    await withVault(command, 'cache', async (vault) => void asked.push(vault.signal.aborted))
  } finally {
    exit.mockRestore()
  }
  expect(asked).toEqual([[true], [[130]], false])
})
