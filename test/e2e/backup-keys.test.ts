/**
 * Somebody types FLUSHALL at the address: the replica has it at once, the backup of a moment before has not. The keys come back into the
 * primary that goes on serving, what was written since stays, and what the return overwrote can be taken back.
 */
import { execFileSync } from 'node:child_process'
import { mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { problems, rigFor, twoHosts, vip } from './rig.ts'

/** Of both hosts, as a disk of a third machine would be. */
const shared = join(tmpdir(), `hf-e2e-backup-keys-${process.pid}`)
const keyFile = join(shared, 'backup.key')
const store = join(shared, 'store')

const module = (name: string): string => new URL(`../../src/${name}.ts`, import.meta.url).href
const tsx = new URL('../../node_modules/tsx/dist/loader.mjs', import.meta.url).href
/** What the replica still has of the stream behind the backup, as an archiver would have put it. */
const archive = `
  const { openDirectory } = await import('${module('store/directory')}')
  const { readCatalog } = await import('${module('dump/catalog')}')
  const { putTimeline } = await import('${module('dump/stream')}')
  const { encodeSegment } = await import('${module('dump/segment')}')
  const { once } = await import('${module('dump/paper')}')
  const { keyId } = await import('${module('dump/seal')}')
  const { fetchPiece } = await import('${module('redis/psync')}')
  const { seeSource } = await import('${module('dump/seen')}')
  const [store, key, signal, group, host] = [openDirectory('${store}'), Buffer.alloc(32, 0xab), new AbortController().signal, 'sessions', 'red-b']
  const target = { host: '127.0.0.1', port: 6379 }
  const { backups: [{ manifest: { position: { replid, offset } } }] } = (await readCatalog(store, group, signal, key)).value
  const to = (await seeSource(target)).value.offset
  const bytes = await fetchPiece(target, { replid, from: offset + 1, to }, { deadlineMs: 5000, maxBytes: 1e8 })
  await putTimeline(store, { format: 1, group, replid, epoch: 1, from: offset + 1, parent: null, atWallMs: Date.now(), host, why: 'a test', keyId: keyId(key) }, key, signal)
  const said = { group, replid, from: offset + 1, to, lastWallMs: Date.now(), host, serverVersion: '7.0.15', marks: [[to, Date.now()]] }
  const segment = await encodeSegment({ ...said, marks: [[to, said.lastWallMs]] }, bytes.value, 'gzip', key)
  await store.put(segment.name, once(segment.bytes), signal)`

describe.skipIf(problems.length > 0)('FLUSHALL', { timeout: 60_000 }, () => {
  beforeAll(() => {
    mkdirSync(store, { recursive: true })
    writeFileSync(keyFile, 'ab'.repeat(32), { mode: 0o600 })
  })
  afterAll(() => rmSync(shared, { recursive: true, force: true }))
  const theRig = rigFor('backup-keys', twoHosts([`backup: { directory: ${store}, schedule: false, encryption_key_file: ${keyFile} }`]))

  test('its keys are back, with what was written since, on both hosts; and may be taken back', async () => {
    const rig = theRig()
    await rig.untilOk()
    await rig.redisAt('client', vip, 'EVAL', "for i = 1, 500 do redis.call('SET', 'user:' .. i, i) end redis.call('HSET', 'cart:1', 'a', '1')", '0')
    const taken = await rig.cli('backup', 'take', 'sessions')
    expect(taken.code, taken.stderr).toBe(0)
    await rig.redisAt('client', vip, 'FLUSHALL')
    await rig.redisAt('client', vip, 'MSET', 'user:1', 'after', 'user:new', 'after')
    const list = JSON.parse((await rig.cli('backup', 'list', 'sessions', '--json')).stdout) as { backups: { manifest: { id: string }; state: string }[] }
    expect(list.backups.map(({ state }) => state)).toEqual(['good'])
    const id = list.backups[0]?.manifest.id ?? ''

    const restore = async (...words: readonly string[]): Promise<{ readonly code: number | null; readonly stdout: string; readonly stderr: string }> =>
      rig.cli('restore', 'sessions', '--keys', 'user:*', ...words)
    const dry = await restore('--backup', id.slice(0, -2), '--dry-run', '--json')
    expect([dry.code, JSON.parse(dry.stdout)], dry.stderr).toEqual([
      0,
      expect.objectContaining({ missing: 499, differ: 1, equal: 0, onlyLive: 1, wrote: null }),
    ])
    const unasked = await restore('--backup', 'latest')
    expect([unasked.code, unasked.stderr], 'nobody was there to say yes').toEqual([
      1,
      expect.stringMatching(/HF818.*500 keys would be written.*nothing was written/),
    ])
    expect(await rig.redisAt('client', vip, 'DBSIZE'), 'a look writes nothing').toMatch(/2$/)

    const looked = await restore('--backup', 'latest', '--dry-run', '--limit', '1')
    expect([looked.code, looked.stdout], looked.stderr).toEqual([
      0,
      expect.stringMatching(
        / {6}backup: .*\n {6}now: {4}.*\n[^]*nothing was written \(--dry-run\): 500 keys would be written, by the same command with --yes in its place\n$/,
      ),
    ])

    const undo = join(shared, 'undo.jsonl')
    const nowhere = await restore('--undo', undo, '--dry-run')
    expect([nowhere.code, nowhere.stderr]).toEqual([2, expect.stringContaining(`HF812 there is no file ${undo}`)])
    const small = join(shared, 'small')
    mkdirSync(small)
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=16k', 'tmpfs', small])
    try {
      const full = await restore('--backup', 'latest', '--yes', '--keep-in', join(small, 'undo'))
      expect([full.code, full.stderr]).toEqual([
        1,
        expect.stringMatching(/HF822 what is there takes up to .* in a file, and 16\.0 KiB are free.*\n?.*--keep-in: nothing was written/),
      ])
      expect([readdirSync(small), await rig.redisAt('client', vip, 'DBSIZE')]).toEqual([[], expect.stringMatching(/2$/)])
    } finally {
      execFileSync('umount', [small])
    }
    const wrote = await restore('--backup', 'latest', '--yes', '--keep-in', undo)
    expect([wrote.code, wrote.stdout], wrote.stderr).toEqual([0, expect.stringContaining('500 of 500 keys written')])
    expect(wrote.stdout).toContain(`--undo ${undo}`)
    for (const host of ['red-a', 'red-b']) {
      expect(await rig.redis(host, 'DBSIZE'), host).toMatch(/501$/)
      expect(await rig.redis(host, 'GET', 'user:1')).toMatch(/^1$/)
    }
    expect(await rig.redisAt('client', vip, 'MGET', 'user:500', 'user:new', 'cart:1')).toMatch(/^500\nafter\n?$/)
    expect((await restore('--backup', 'latest', '--yes')).stdout, 'again').toContain('0 missing there, 0 with other values, 500 equal')

    const over = await restore('--backup', 'latest', '--yes', '--keep-in', undo)
    expect([over.code, over.stderr]).toEqual([2, expect.stringContaining(`HF819 ${undo} is there already: nothing was written`)])

    const back = await restore('--undo', undo, '--yes', '--keep-in', `${undo}.2`)
    expect([back.code, back.stdout], back.stderr).toEqual([0, expect.stringContaining('1 of 1 keys written, 499 of 499 removed')])
    expect([await rig.redisAt('client', vip, 'DBSIZE'), await rig.redisAt('client', vip, 'GET', 'user:1')]).toEqual([
      expect.stringMatching(/2$/),
      expect.stringMatching(/^after$/),
    ])
  })

  test('with the stream one command brings back what was there before it, and what no backup has', async () => {
    const rig = theRig()
    await rig.redisAt('client', vip, 'EVAL', "for i = 1, 50 do redis.call('SET', 'late:' .. i, i) end", '0')
    await rig.redisAt('client', vip, 'FLUSHALL')
    await rig.redisAt('client', vip, 'SET', 'late:1', 'after')
    const archived = await rig.lab.exec('red-b', [process.execPath, '--import', tsx, '--input-type=module', '-e', archive], { deadlineMs: 20_000 })
    expect(archived.code, archived.stderr).toBe(0)
    const words = ['restore', 'sessions', '--keys', 'late:*', '--before', 'flushall'] as const
    const dry = await rig.cli(...words, '--dry-run')
    expect([dry.code, dry.stdout], dry.stderr).toEqual([0, expect.stringContaining('49 missing there, 1 with other values')])
    expect(dry.stdout).toMatch(/before {3}FLUSHALL of \S+: --offset \d+ is before it\nearlier {2}FLUSHALL of /)
    const wrote = await rig.cli(...words, '--yes', '--keep-in', join(shared, 'moment.jsonl'))
    expect([wrote.code, wrote.stdout], wrote.stderr).toEqual([0, expect.stringContaining('50 of 50 keys written')])
    expect(await rig.redisAt('client', vip, 'MGET', 'late:1', 'late:50')).toMatch(/^1\n50\n?$/)
    await rig.redisAt(
      'client',
      vip,
      'EVAL',
      "for i = 1, 50 do redis.call('DEL', 'late:' .. i) end redis.call('MSET', 'user:1', 'after', 'user:new', 'after')",
      '0',
    )
  })

  test('the wrong key, no such backup, a damaged one: said with a code, and nothing is written', async () => {
    const rig = theRig()
    const other = join(shared, 'other.key')
    writeFileSync(other, 'cd'.repeat(32), { mode: 0o600 })
    const keys = ['restore', 'sessions', '--keys', '*', '--yes', '--backup'] as const
    expect((await rig.cli(...keys, 'latest', '--key-file', other)).stderr).toMatch(
      /HF813 .* is encrypted with the key [0-9a-f]{16}; the one given is [0-9a-f]{16}/,
    )
    expect((await rig.cli(...keys, '1999')).stderr).toContain('HF812')
    const [id = ''] = readdirSync(join(store, 'sessions'))
    writeFileSync(join(store, 'sessions', id, 'dataset'), 'no dataset')
    expect((await rig.cli(...keys, id)).stderr).toMatch(/HF815 .* is bad: its dataset has 10 bytes/)
    const verified = await rig.cli('backup', 'verify', 'sessions', '--all')
    expect([verified.code, verified.stdout]).toEqual([1, expect.stringContaining('BAD')])
    expect((await rig.cli(...keys, 'latest')).stderr).toContain('HF815')
    expect(await rig.redisAt('client', vip, 'DBSIZE')).toMatch(/2$/)
  })
})
