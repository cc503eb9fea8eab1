/** Somebody typed FLUSHALL: the moment before it in a new redis, as files, and what is left where that is broken off. */
import { execFileSync, spawn } from 'node:child_process'
import { existsSync, mkdirSync, readdirSync, readFileSync, readlinkSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { patternOf } from '../../src/backup/pattern.ts'
import { openMoment } from '../../src/dump/aside.ts'
import { restore } from '../../src/dump/restore.ts'
import { dice } from '../sim/prng.ts'
import { Redises } from '../unit/real-redis.ts'
import { find, good, key, laid, linked, never, opened, place, restored, step, told, truthOf, written, type Point } from './moments-ground.ts'
import { atEnd, ended, endLater, order as restoreOrder, taken, type Ground } from './restore-ground.ts'

describe('somebody typed FLUSHALL', () => {
  async function flushed(more: readonly (readonly string[])[] = []) {
    const here = place()
    const { store, redises } = here
    const source = await redises.start(...told)
    const link = await linked(source)
    await written(link, [], 40)
    const manifest = await taken({ store, source }, '20261121T181500Z-3f9a0b1c')
    const points: Point[] = []
    await written(link, points, 40)
    await link.call('FLUSHALL')
    points.push({ ...(await truthOf(link)), wallMs: 1_000_000 })
    await written(link, points, 40, dice(9))
    const last = points.at(-1)
    // Within a MULTI, by a script: everything before the MULTI is what was there.
    await step(link, [
      ['SET', 'almost', 'gone'],
      ['EVAL', "redis.call('SET','x','y') redis.call('FLUSHALL') redis.call('SET','after','1')", '0'],
    ])
    const before: Point = { ...(last as Point) }
    if (more.length > 0) await step(link, more)
    await written(link, points, 5, dice(10))
    const { replid, offset } = manifest.position
    await laid(source.port, { store, replid, parent: null, from: offset + 1, to: points.at(-1)?.offset ?? 0, points, dice: dice(1) })
    return { ...here, source, manifest, points, before, backups: [good(manifest)] }
  }
  const flushall = patternOf('flushall') ?? { name: '', globs: [] }

  test('all is there that was there before it; an earlier one is named, and is to be had by its time', async () => {
    const { store, backups, points } = await flushed()
    const first = points.findIndex(({ wallMs }) => wallMs === 1_000_000)
    const moment = await find(store, backups, { kind: 'before', pattern: flushall, by: 'latest' })
    expect(moment.found).toMatchObject({ words: ['FLUSHALL'], before: moment.to })
    expect(moment.earlier).toEqual([expect.objectContaining({ before: points[first - 1]?.offset, to: points[first]?.offset, atWallMs: 1_000_000 })])
    const aside = await openMoment(
      moment,
      { store, key, redisServer: 'redis-server', prefix: 'holdfast-flushed-', databases: 16, capBytes: 0, told: (chunks) => chunks, signal: never },
      () => undefined,
    )
    try {
      expect([await aside.redis.call('GET', 'almost'), await aside.redis.call('EXISTS', 'x', 'after')]).toEqual([Buffer.from('gone'), 0])
      expect(await aside.redis.call('SET', 'it takes', 'writes')).toBe('OK')
    } finally {
      await aside.close()
    }
    const earlier = await find(store, backups, { kind: 'before', pattern: flushall, by: 1_000_500 })
    expect(await restored(earlier)).toEqual({ truth: points[first - 1]?.truth, offset: points[first - 1]?.offset })
    await expect(find(store, backups, { kind: 'before', pattern: flushall, by: 999_999 })).rejects.toMatchObject({ code: 'HF833' })
  })

  test('a new redis with that moment: it takes writes, its file is that moment, and its settings are its own', async () => {
    const { dir, store, manifest, source, backups, points } = await flushed()
    const first = points.findIndex(({ wallMs }) => wallMs === 1_000_000)
    const truth = points[first - 1]
    const moment = await find(store, backups, { kind: 'before', pattern: flushall, by: 1_000_500 })
    const ground = { dir, store: store as Ground['store'], source, manifest }
    const wish = await restoreOrder(ground)
    const conf = `${wish.conf.replace('save ""', 'save 3600 1 60 1')}enable-debug-command yes\nmasterauth its-own\n`
    let replayed = 0
    const replay = { moment, redisServer: 'redis-server', password: undefined, progress: (bytes: number) => (replayed = bytes) }
    const { served, replayMs } = await restore({ ...wish, conf, replay })
    endLater(served?.pid ?? 0)
    expect([replayed, replayMs]).toEqual([moment.to - manifest.position.offset, expect.any(Number)])
    const link = await opened(wish.start.port)
    atEnd(link.close)
    expect((await truthOf(link)).truth).toBe(truth?.truth)
    for (const [name, value] of [
      ['masterauth', 'its-own'],
      ['repl-timeout', '60'],
      ['save', '3600 1 60 1'],
    ] as const)
      expect(await link.call('CONFIG', 'GET', name)).toEqual([Buffer.from(name), Buffer.from(value)])
    expect(String(await link.call('INFO', 'replication'))).toContain('role:master')
    await link.call('SET', 'new', 'write')
    expect(readdirSync(wish.dir).toSorted()).toEqual(['dump.rdb', 'redis.conf', 'redis.log'])
    expect(statSync(join(wish.dir, 'dump.rdb')).mode & 0o777).toBe(0o600)
    // What it would have if it were started anew.
    expect(await loaded(readFileSync(join(wish.dir, 'dump.rdb')), dir)).toBe(truth?.truth)
  })

  test('it is killed while the stream is replayed: redis goes with it, and nothing is left', async () => {
    const { dir, store, manifest, source, backups } = await flushed()
    const wish = await restoreOrder({ dir, store: store as Ground['store'], source, manifest })
    const module = (name: string): string => new URL(`../../src/${name}.ts`, import.meta.url).href
    const program = `
      const { restore } = await import('${module('dump/restore')}')
      const { findMoment } = await import('${module('dump/moment')}')
      const { openDirectory } = await import('${module('store/directory')}')
      const [wish, store, key, signal] = [JSON.parse(process.env.WISH), openDirectory(${JSON.stringify(join(dir, 'store'))}), Buffer.alloc(32, 5), new AbortController().signal]
      const stop = () => { process.stdout.write('half'); for (;;) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0) }
      const moment = await findMoment({ store, group: 'cache', key, backups: wish.backups, wanted: { kind: 'time', wallMs: 'latest' }, timeline: null, progress: () => {}, signal })
      await restore({ ...wish, store, key, start: null, replay: { moment, redisServer: 'redis-server', progress: stop }, progress: () => {}, signal })`
    const child = spawn(process.execPath, ['--import', 'tsx', '--input-type=module', '-e', program], {
      stdio: ['ignore', 'pipe', 'inherit'],
      env: { ...process.env, WISH: JSON.stringify({ manifest, backups, dir: wish.dir, conf: wish.conf }) },
    })
    await new Promise<void>((resolve) => child.stdout.once('data', () => resolve()))
    const part = `dump.rdb.${child.pid}.part`
    expect(readdirSync(wish.dir).toSorted()).toEqual([part, 'redis.conf', 'redis.log', 'redis.sock'])
    expect(statSync(join(wish.dir, part)).size, 'the backup itself never comes to the disk').toBe(0)
    child.kill('SIGKILL')
    await expect.poll(() => existsSync(wish.dir), { timeout: 5000 }).toBe(false)
    await expect.poll(() => readdirSync('/proc').filter((pid) => isIn(pid, wish.dir)), { timeout: 5000 }).toEqual([])
  })

  function isIn(pid: string, dir: string): boolean {
    try {
      return readlinkSync(`/proc/${pid}/cwd`).startsWith(dir)
    } catch {
      return false
    }
  }

  test('only its files: no redis stays, and they are that moment', async () => {
    const { dir, store, manifest, source, backups } = await flushed()
    const moment = await find(store, backups, { kind: 'before', pattern: flushall, by: 1_000_500 })
    const wish = await restoreOrder({ dir, store: store as Ground['store'], source, manifest })
    const replay = { moment, redisServer: 'redis-server', password: undefined, progress: () => undefined }
    const { served } = await restore({ ...wish, start: null, replay })
    expect([served, await ended(wish.start.port)]).toEqual([null, true])
    expect(readdirSync(wish.dir).toSorted()).toEqual(['dump.rdb', 'redis.conf'])
    expect(await loaded(readFileSync(join(wish.dir, 'dump.rdb')), dir)).toBe((await restored(moment)).truth)
  })

  test.each(['a segment is gone', 'Ctrl-C'])('%s while it is replayed: nothing is left of it, and no redis runs', async (accident) => {
    const { dir, store, manifest, source, backups } = await flushed()
    const moment = await find(store, backups, { kind: 'time', wallMs: 'latest' })
    const wish = await restoreOrder({ dir, store: store as Ground['store'], source, manifest })
    const abort = new AbortController()
    const progress = (): void => abort.abort(new Error('Ctrl-C'))
    const replay = { moment, redisServer: 'redis-server', password: undefined, progress: accident === 'Ctrl-C' ? progress : () => undefined }
    // Found whole before, and not any more.
    const [damaged] = moment.archive.segments
    if (accident !== 'Ctrl-C') for (const { name } of moment.archive.segments) await store.remove(name)
    expect(damaged).toBeDefined()
    const error: unknown = await restore({ ...wish, replay, signal: abort.signal }).catch((thrown: unknown) => thrown)
    expect(error).toMatchObject(accident === 'Ctrl-C' ? { message: 'Ctrl-C' } : { code: 'HF834' })
    expect([await ended(wish.start.port), existsSync(join(dir, 'restored'))]).toEqual([true, false])
  })

  test.skipIf(process.getuid?.() !== 0).each([
    ['by that file itself, as its log says', true, 'rdbcompression no\n'],
    ['by another program, and its log has no room for a word of that', false, 'logfile /dev/null\n'],
  ])('the disk becomes full when redis writes its file, %s: the disk is named, and nothing is left', async (_, isLarge, more) => {
    const { dir, store, manifest, source, backups } = await flushed(isLarge ? [['SETRANGE', 'large', '1500000', 'end']] : [])
    const moment = await find(store, backups, { kind: 'time', wallMs: 'latest' })
    const small = join(dir, 'small')
    mkdirSync(small)
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=1m', 'tmpfs', small])
    atEnd(() => void execFileSync('umount', [small]))
    const to = join(small, 'here')
    const wish = await restoreOrder({ dir, store: store as Ground['store'], source, manifest }, { dir: to })
    const others = join(small, 'of others')
    const filled = (): void => void (isLarge || execFileSync('sh', ['-c', `head -c 2m /dev/zero >> '${others}' || true`], { stdio: 'ignore' }))
    const replay = { moment, redisServer: 'redis-server', password: undefined, progress: filled }
    const error: unknown = await restore({ ...wish, conf: `${wish.conf}${more}`, replay }).catch((thrown: unknown) => thrown)
    expect(error).toMatchObject({ code: 'HF822', message: `no space is left in ${to}`, hint: expect.stringContaining('--to') as string })
    expect([await ended(wish.start.port), readdirSync(small)]).toEqual([true, isLarge ? [] : ['of others']])
  })

  test('redis refuses to write its file on a disk with room: that is not called full', async () => {
    const { dir, store, manifest, source, backups } = await flushed()
    const moment = await find(store, backups, { kind: 'time', wallMs: 'latest' })
    const wish = await restoreOrder({ dir, store: store as Ground['store'], source, manifest })
    const replay = { moment, redisServer: 'redis-server', password: undefined, progress: () => undefined }
    const error: unknown = await restore({ ...wish, conf: `${wish.conf}rename-command SAVE ""\n`, replay }).catch((thrown: unknown) => thrown)
    expect(error).toMatchObject({ code: 'HF824', message: expect.stringContaining('redis refuses SAVE') as string })
  })

  async function loaded(rdb: Buffer, dir: string): Promise<string> {
    const redises = new Redises()
    atEnd(() => redises.close())
    writeFileSync(join(dir, 'again.rdb'), rdb)
    const again = await redises.start('--enable-debug-command', 'yes', '--dbfilename', 'again.rdb', '--dir', dir)
    const link = await linked(again)
    return (await truthOf(link)).truth
  }
})
