/**
 * A release has written nonsense into half of the keys: the whole backup goes over the group that goes on serving. Clients stay connected,
 * the replica keeps its link, and a failover in the middle ends the command and nothing else.
 */
import { mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { readFile, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { Backup } from '../../src/backup/catalog.ts'
import { poll } from '../../src/lab/run.ts'
import { problems, rigFor, twoHosts, vip, type Rig } from './rig.ts'

/** Of both hosts, as a disk of a third machine would be. */
const shared = join(tmpdir(), `hf-e2e-restore-over-${process.pid}`)
const [store, keyFile] = [join(shared, 'store'), join(shared, 'backup.key')]
const keys = 8000

async function backups(rig: Rig): Promise<readonly Backup[]> {
  return (JSON.parse((await rig.cli('backup', 'list', 'sessions', '--json')).stdout) as { backups: Backup[] }).backups
}

/** Full syncs and partial ones that the primary has given, since it was started: a link that was lost shows in one of the two. */
async function syncs(rig: Rig, host: string): Promise<readonly string[]> {
  return (await rig.redis(host, 'INFO', 'stats')).match(/sync_(full|partial_ok):\d+/g) ?? []
}

async function sizes(rig: Rig): Promise<readonly number[]> {
  return Promise.all(['red-a', 'red-b'].map(async (host) => Number(/\d+$/.exec(await rig.redis(host, 'DBSIZE'))?.[0])))
}

describe.skipIf(problems.length > 0)('a backup over the running group', { timeout: 90_000 }, () => {
  beforeAll(() => {
    mkdirSync(store, { recursive: true })
    writeFileSync(keyFile, 'ab'.repeat(32), { mode: 0o600 })
  })
  afterAll(() => rmSync(shared, { recursive: true, force: true }))
  const theRig = rigFor('restore-over', twoHosts([`backup: { directory: ${store}, schedule: false, encryption_key_file: ${keyFile} }`]))
  const over = (rig: Rig, ...words: readonly string[]) => rig.cli('restore', 'sessions', '--over', ...words)
  let id = ''

  test('without the confirmation nothing is written, and no copy is taken', async () => {
    const rig = theRig()
    await rig.untilOk()
    await rig.redisAt(
      'client',
      vip,
      'EVAL',
      `for i = 1, ${keys} do redis.call('SET', 'user:' .. i, i) end redis.call('PEXPIREAT', 'user:1', 4102444800123)`,
      '0',
    )
    expect((await rig.cli('backup', 'take', 'sessions')).code).toBe(0)
    id = (await backups(rig))[0]?.manifest.id ?? ''
    await rig.redisAt(
      'client',
      vip,
      'EVAL',
      "for i = 1, 3000 do redis.call('SET', 'user:' .. i, 'nonsense') end redis.call('DEL', 'user:8000') redis.call('SET', 'new', 1)",
      '0',
    )
    const dry = await over(rig, '--backup', id, '--dry-run', '--json')
    expect([dry.code, JSON.parse(dry.stdout)], dry.stderr).toEqual([
      0,
      expect.objectContaining({
        dryRun: true,
        keys: { backup: keys, now: keys },
        before: { differs: 3000, missing: 1, same: 4999, alone: 1, expired: 0 },
        replicas: 1,
        copy: expect.objectContaining({ kind: 'taken' }) as unknown,
        wrote: null,
      }),
    ])
    for (const words of [[], ['--yes-i-mean', 'another'], ['--no-copy', '--yes-i-mean', 'sessions']]) {
      const { code, stderr } = await over(rig, '--backup', id, ...words)
      expect([code, stderr]).toEqual([1, expect.stringMatching(/HF837 3001 keys are written into red-., 1 are removed; [^]*nothing was written/)])
    }
    const { primary } = await rig.untilOk()
    await rig.redis(primary, 'CONFIG', 'SET', 'maxmemory', '1mb')
    expect((await over(rig, '--backup', id, '--yes-i-mean', 'sessions')).stderr).toMatch(/HF839 .* takes \d+ MiB in a redis, and red-. may have 1 MiB/)
    await rig.redis(primary, 'CONFIG', 'SET', 'maxmemory', '0')
    expect((await over(rig, '--backup', id, '--keys', '*')).code, 'two ways at once').toBe(2)
    expect(await rig.redisAt('client', vip, 'MGET', 'user:1', 'new')).toBe('nonsense\n1')
    expect(await backups(rig)).toHaveLength(1)
  })

  test('its data are back on both hosts; clients and the replica stay connected; what was there is kept', async () => {
    const rig = theRig()
    const { primary } = await rig.untilOk()
    const before = await syncs(rig, primary)
    const writer = await rig.writer()
    await writer.mark('over the group')
    const done = await over(rig, '--backup', id, '--keep-others', '--yes-i-mean', 'sessions')
    expect([done.code, done.stdout], done.stderr).toEqual([0, expect.stringMatching(/3001 keys written, 0 removed[^]*1 of 1 have all of it/)])
    await rig.finishWithin(writer, 1000)
    for (const host of ['red-a', 'red-b']) expect(await rig.redis(host, 'MGET', 'user:1', 'user:8000', 'new'), host).toBe('1\n8000\n1')
    expect(await rig.redis(primary, 'PEXPIRETIME', 'user:1')).toMatch(/4102444800123$/)
    expect(await syncs(rig, primary), 'the replica kept its link').toEqual(before)
    const [copy, first] = await backups(rig)
    expect([first?.manifest.id, copy?.state, copy?.held?.reason]).toEqual([id, 'good', `before the restore of ${id} over the group`])

    const exact = await over(rig, '--backup', id, '--yes-i-mean', 'sessions', '--json')
    expect([exact.code, (JSON.parse(exact.stdout) as { wrote: unknown }).wrote], exact.stderr).toEqual([
      0,
      expect.objectContaining({ replicas: 1, after: { same: keys, differs: 0, missing: 0, alone: 0, expired: 0 } }),
    ])
    expect(await sizes(rig)).toEqual([keys, keys])
    expect(await rig.redisAt('client', vip, 'EXISTS', 'new')).toMatch(/0$/)
  })

  test('the agents are to test nothing: the copy is loaded by the command itself', async () => {
    const rig = theRig()
    const file = rig.file('client', 'holdfast.yaml')
    await writeFile(file, (await readFile(file, 'utf8')).replace('schedule: false,', 'schedule: false, test: false,'))
    const applied = await rig.cli('apply', '--yes')
    expect(applied.code, applied.stderr).toBe(0)
    await rig.redisAt('client', vip, 'SET', 'new', '1')
    const count = (await backups(rig)).length
    const done = await over(rig, '--backup', id, '--yes-i-mean', 'sessions')
    expect([done.code, done.stdout], done.stderr).toEqual([0, expect.stringContaining('0 keys written, 1 removed')])
    const [copy, ...others] = await backups(rig)
    expect([copy?.state, copy?.held?.reason, others.length]).toEqual(['good', `before the restore of ${id} over the group`, count])
    const lone = await rig.cli('backup', 'take', 'sessions')
    expect([lone.code, (await backups(rig))[0]?.state], lone.stderr).toEqual([0, 'untested'])
  })

  test('a failover in the middle: it says how far it came, and the same command does the rest', async () => {
    const rig = theRig()
    const { primary } = await rig.untilOk()
    await rig.redisAt('client', vip, 'FLUSHALL')
    await rig.redisAt('client', vip, 'SET', 'new', '1')
    const running = over(rig, '--backup', id, '--yes-i-mean', 'sessions', '--max-keys-per-s', '2000')
    const begun = await poll(async () => ((await sizes(rig)).every((size) => size > 1000) ? true : undefined), { withinMs: 20_000, everyMs: 50 })
    expect(begun, 'it writes').toBe(true)
    await rig.lab.kill(primary, 'redis')
    const { code, stderr } = await running
    expect([code, stderr]).toEqual([
      1,
      expect.stringMatching(/HF838 it stopped: .+; \d+ of 8000 keys were written, 1 removed, and stay so[^]*--over --backup \d{8}T/),
    ])
    const after = await rig.untilOk()
    expect(after.primary).not.toBe(primary)
    expect((await sizes(rig))[0]).toBeLessThan(keys)
    const again = await over(rig, '--backup', id, '--yes-i-mean', 'sessions')
    expect([again.code, again.stdout], again.stderr).toEqual([0, expect.stringMatching(/as in the backup: 8000 keys are equal/)])
    expect(Number(/(\d+) keys written/.exec(again.stdout)?.[1])).toBeLessThan(keys - 1000)
    expect(await sizes(rig)).toEqual([keys, keys])
    await rig.expectNoBrokenRule()
  })

  test('an empty group is filled from it: there is nothing to keep', async () => {
    const rig = theRig()
    await rig.redisAt('client', vip, 'FLUSHALL')
    const count = (await backups(rig)).length
    // The youngest of all is what the last restore has kept of the state that was to go.
    // A copy names what was restored over it: only the first line of `show` is its own id.
    expect((await rig.cli('backup', 'show', 'sessions', 'latest')).stdout.split('\n')[0]).toContain(id)
    for (const words of [[], ['--keys', 'user:1']])
      expect((await rig.cli('restore', 'sessions', ...words, '--backup', 'latest', '--dry-run')).stdout, words.join(' ')).toContain(id)
    const done = await over(rig, '--backup', 'latest', '--dry-run')
    expect([done.code, done.stdout], done.stderr).toEqual([0, expect.stringMatching(new RegExp(`^${id} over [^]*none: nothing is there`))])
    const seeded = await over(rig, '--backup', id, '--yes-i-mean', 'sessions')
    expect([seeded.code, seeded.stdout], seeded.stderr).toEqual([0, expect.stringContaining('8000 keys written, 0 removed')])
    expect([await sizes(rig), (await backups(rig)).length]).toEqual([[keys, keys], count])
  })
})
