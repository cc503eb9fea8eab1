/** `holdfast restore` as an operator types it: which backup it takes, what it needs, and what it says before anything is done. */
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { prove } from '../../src/dump/paper.ts'
import { recordTested, tryBackup } from '../../src/dump/trial.ts'
import { dice } from '../sim/prng.ts'
import { laid } from './moments-ground.ts'
import { cli, endLater, ground, ids, key, never, taken } from './restore-ground.ts'

describe('the command', () => {
  test('latest is one that was tested; what is not is taken only when that is said; a dry run says what would be', async () => {
    const here = await ground(100)
    await expect(cli(here, [], 'latest', false)).rejects.toMatchObject({ code: 'HF815' })
    const untested = await cli(here, ['--dry-run'])
    expect(untested).toMatch(/untested: cache as of [^]*about 100 keys, [^]*how long is not known: it has not been tested\n[^]*nothing was done/)
    const tried = await tryBackup({
      store: here.store,
      manifest: here.manifest,
      key,
      redisServer: 'redis-server',
      source: null,
      wallMs: Date.now,
      progress: () => undefined,
      signal: never,
    })
    if (!tried.ok) throw new Error(tried.why)
    await recordTested(here.store, here.manifest, null, tried.value, key, never)
    await here.source.call('SET', 'later', 'x')
    await taken(here, ids.second)
    const plan = JSON.parse(await cli(here, ['--dry-run', '--json'], 'latest', false)) as Record<string, unknown>
    expect(plan).toMatchObject({ dryRun: true, backup: ids.first, state: 'good', keys: 100, expectedMs: tried.value.loadMs, address: { host: '127.0.0.1' } })
    expect(JSON.parse(await cli(here, ['--dry-run', '--json']))).toMatchObject({ backup: ids.second, state: 'untested', keys: null })
    expect(existsSync(join(here.dir, 'state'))).toBe(false)
  })

  test('every host has burned: the configuration, the key and the store are enough', async () => {
    const here = await ground(100)
    const done = JSON.parse(await cli(here, ['--json'])) as { pid: number; address: { port: number }; dir: string; notes: string[] }
    endLater(done.pid)
    expect(done).toMatchObject({ keys: 100, dir: join(here.dir, `state/restored/cache-${ids.first}`) })
    expect(done.notes).toEqual([expect.stringContaining('nowhere') as string, expect.stringContaining('has not been tested') as string])
    const conf = readFileSync(join(done.dir, 'redis.conf'), 'utf8')
    expect(conf).toContain('maxmemory-policy allkeys-lru')
    expect(conf).toContain('appendonly no')
    expect(conf).not.toContain('tcp-backlog')
  })

  test('only the files', async () => {
    const here = await ground(100)
    expect(await cli(here, ['--no-start', '--to', join(here.dir, 'here')])).toContain(`redis-server ${here.dir}/here/redis.conf`)
    expect(readdirSync(join(here.dir, 'here')).toSorted()).toEqual(['dump.rdb', 'redis.conf'])
  })

  test('a port that is taken, a key that is missing, a redis that is too old: told before anything is done', async () => {
    const here = await ground(10)
    await expect(cli(here, ['--port', String(here.source.port)])).rejects.toMatchObject({
      code: 'HF825',
      message: expect.stringContaining('it is in use') as string,
    })
    writeFileSync(join(here.dir, 'other'), '1'.repeat(64), { mode: 0o600 })
    await expect(cli(here, ['--key-file', join(here.dir, 'other')], ids.first)).rejects.toMatchObject({ code: 'HF813' })
    const { bytes } = prove('manifest', { ...here.manifest, server: { version: '99.0.0', rdbFormat: 999 } }, key)
    writeFileSync(join(here.dir, 'store/cache', ids.first, 'manifest.json'), bytes)
    await expect(cli(here, [])).rejects.toMatchObject({
      code: 'HF823',
      message: expect.stringMatching(/written by redis 99\.0\.0 \(RDB 999\), this redis-server \S+ reads up to \d+$/) as string,
    })
    expect(existsSync(join(here.dir, 'state'))).toBe(false)
  })
})

describe('a moment', () => {
  const second = Date.parse('2026-11-21T17:42:00Z')
  async function flushed() {
    const here = await ground(100)
    const said = { ok: true, found: '', fault: null, loadMs: 1000, fetchMs: 1, keys: 100, serverVersion: '7.0.15' } as const
    const tested = { format: 1, id: here.manifest.id, manifestSha256: here.manifest.sha256, atWallMs: here.manifest.atWallMs, ...said } as const
    await recordTested(here.store, here.manifest, null, tested, key, never)
    const points: { readonly offset: number; readonly truth: string; readonly wallMs: number }[] = []
    for (const [index, words] of [['SET', 'new', 'x'], ['DEL', 'key:1'], ['FLUSHALL'], ['SET', 'after', 'x']].entries()) {
      await here.source.call(...words)
      points.push({ offset: (await here.source.facts()).offset, truth: '', wallMs: second + index * 1000 })
    }
    const { replid, offset } = here.manifest.position
    await laid(here.source.port, { store: here.store, replid, parent: null, from: offset + 1, to: points.at(-1)?.offset ?? 0, points, dice: dice(1) })
    return { here, offsets: points.map((point) => point.offset) }
  }

  test('a dry run tells the backup, what is replayed, the exact moment, and before what it is', async () => {
    const { here, offsets } = await flushed()
    const text = await cli(here, ['--before', 'flushall', '--dry-run'], null, false)
    const [, del] = offsets
    expect(text).toContain(`moment   2026-11-21T17:42:01.000Z, offset ${del}, timeline ${here.manifest.position.replid.slice(0, 8)}`)
    expect(text).toMatch(new RegExp(`before   FLUSHALL of 2026-11-21T17:42:02.000Z: --offset ${del} is before it`))
    expect(text).toMatch(/stream {3}\d+ B behind the backup: 3 commands in \d+ segments?, all read and proven/)
    expect(text).toMatch(/takes {4}about 1\.0 s: its test, and the stream/)
    const json = JSON.parse(await cli(here, ['--time', '2026-11-21T18:42:00.500+01:00', '--dry-run', '--json'], null, false)) as Record<string, unknown>
    expect(json).toMatchObject({ dryRun: true, backup: ids.first, moment: { offset: offsets[0], atWallMs: second, commands: 2, found: null }, keys: 100 })
    expect(existsSync(join(here.dir, 'state'))).toBe(false)
  })

  test('it is restored beside everything that runs', async () => {
    const { here, offsets } = await flushed()
    const done = JSON.parse(await cli(here, ['--before', 'FLUSHALL', '--json'], null, false)) as {
      pid: number
      keys: number
      dir: string
      moment: { offset: number }
    }
    endLater(done.pid)
    expect(done).toMatchObject({ keys: 100, dir: join(here.dir, `state/restored/cache-20261121T174201Z-${offsets[1]}`), moment: { offset: offsets[1] } })
    expect(readFileSync(join(done.dir, 'redis.conf'), 'utf8')).toContain(
      `# cache as of 2026-11-21T17:42:01.000Z: backup ${ids.first} and the stream up to offset ${offsets[1]}`,
    )
    const files = join(here.dir, 'files')
    expect(await cli(here, ['--offset', String(offsets[0]), '--no-start', '--to', files], null, false)).toContain(`redis-server ${files}/redis.conf`)
    expect(readdirSync(files).toSorted()).toEqual(['dump.rdb', 'redis.conf'])
  })

  test('words that are no moment, and a backup that is not good', async () => {
    const { here } = await flushed()
    const refused = async (code: string, ...words: readonly string[]): Promise<void> =>
      expect(cli(here, ['--dry-run', ...words], null, false), words.join(' ')).rejects.toMatchObject({ code })
    await refused('HF832', '--time', 'yesterday')
    await refused('HF832', '--time', '2026-11-21T17:42:00')
    await refused('HF832', '--time', '2026-13-21T17:42:00Z')
    await refused('HF832', '--offset', '1', '--time', 'latest')
    await refused('HF832', '--offset', 'x')
    await refused('HF832', '--timeline', 'a')
    await refused('HF833', '--before', '*')
    await refused('HF832', '--time', '2026-11-21T17:42:03.001Z')
    await refused('HF833', '--before', 'FLUSHDB')
    const later = await taken(here, ids.second)
    await expect(cli(here, ['--time', 'latest', '--dry-run'], later.id, false)).rejects.toMatchObject({ code: 'HF815' })
    const backupOf = async (untested: boolean): Promise<unknown> =>
      (JSON.parse(await cli(here, ['--time', 'latest', '--dry-run', '--json'], 'latest', untested)) as { backup: unknown }).backup
    expect([await backupOf(false), await backupOf(true)], 'latest is here what it is everywhere').toEqual([ids.first, later.id])
  })
})
