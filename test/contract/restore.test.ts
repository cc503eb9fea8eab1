/** A backup into a new redis, as an operator asks for it, and everything that may go wrong on the way: what is left then is nothing. */
import { execFileSync, spawn } from 'node:child_process'
import { existsSync, mkdirSync, readdirSync, readFileSync, readlinkSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { prove } from '../../src/dump/paper.ts'
import { openDir } from '../../src/dump/restore-dir.ts'
import { restore, type RestoreOrder } from '../../src/dump/restore.ts'
import { poll } from '../../src/lab/run.ts'
import { openRaw } from '../../src/redis/raw.ts'
import type { RealRedis } from '../unit/real-redis.ts'
import { memoryStore, ofNoType, rdbOf, storedBackup } from '../unit/stored-backups.ts'
import { atEnd, cli, ended, endLater, ground, ids, key, order, taken, type Ground } from './restore-ground.ts'

const isRoot = process.getuid?.() === 0

describe('restore', () => {
  test('a new redis with every key, whose files are whole, private, and start it again', async () => {
    const here = await ground()
    await here.source.call('SET', 'short', 'x', 'PX', '1500')
    const manifest = await taken(here, ids.second)
    await expect.poll(() => here.source.call('GET', 'short'), { timeout: 3000 }).toBe(null)
    const wish = await order({ ...here, manifest })
    const { served, fetchMs, tookMs } = await restore(wish)
    if (served === null) throw new Error('it was not started')
    endLater(served.pid)
    // Its time is over, but it was in there when it was counted.
    expect(served).toMatchObject({ keys: 5001, counts: { found: 'equal' }, databases: [{ database: 0, keys: 5001, expires: 1 }] })
    expect(fetchMs).toBeLessThanOrEqual(tookMs)
    const opened = await openRaw({ host: '127.0.0.1', port: wish.start.port }, 1000)
    if (!opened.ok) throw new Error(opened.why)
    expect(await opened.value.call('GET', 'short')).toBe(null)
    expect((await opened.value.call('ROLE')) as unknown[]).toEqual([Buffer.from('master'), expect.any(Number) as number, []])
    expect(await opened.value.call('DUMP', 'key:77')).toEqual(await dumpOf(here.source, 'key:77'))
    await opened.value.call('SHUTDOWN', 'NOSAVE').catch(() => null)
    expect(readdirSync(wish.dir).toSorted()).toEqual(['dump.rdb', 'redis.conf', 'redis.log'])
    expect(readdirSync(wish.dir).map((name) => statSync(join(wish.dir, name)).mode & 0o777)).toEqual([0o600, 0o600, 0o600])
    expect(statSync(join(wish.dir, 'dump.rdb')).size).toBe(manifest.rdb.bytes)
    const again = spawn('redis-server', [join(wish.dir, 'redis.conf')], { stdio: 'ignore' })
    endLater(again.pid ?? 0)
    const keys = await poll(
      async () => {
        const link = await openRaw({ host: '127.0.0.1', port: wish.start.port }, 1000)
        return link.ok ? link.value.call('DBSIZE').finally(link.value.close) : undefined
      },
      { withinMs: 5000, everyMs: 20 },
    )
    expect(keys).toBe(5000)
  })

  test('into a directory that is not empty: refused, and nothing in it is touched', async () => {
    const here = await ground(10)
    const wish = await order(here)
    mkdirSync(wish.dir, { recursive: true })
    writeFileSync(join(wish.dir, 'dump.rdb'), 'the only copy')
    await expect(cli(here, ['--to', wish.dir])).rejects.toMatchObject({
      code: 'HF821',
      message: expect.stringContaining('it is not empty: dump.rdb') as string,
    })
    // As if it had been left by a restore that was killed: a dump.rdb under its own name is nobody's leftover.
    writeFileSync(join(wish.dir, 'dump.rdb.999999.part'), '')
    await expect(cli(here, ['--to', wish.dir])).rejects.toMatchObject({ code: 'HF821' })
    expect(readFileSync(join(wish.dir, 'dump.rdb'), 'utf8')).toBe('the only copy')
  })

  test('another one writes there already: the second yields, the first goes on', async () => {
    const here = await ground()
    const wish = await order(here)
    const second: Promise<unknown>[] = []
    const first = await restore({
      ...wish,
      progress: () => {
        if (second.length === 0) second.push(cli(here, ['--to', wish.dir]).catch((error: unknown) => error))
      },
    })
    endLater(first.served?.pid ?? 0)
    expect(await second[0]).toMatchObject({
      code: 'HF821',
      message: expect.stringContaining(`another restore writes there (process ${process.pid})`) as string,
    })
    expect(first.served?.keys).toBe(5000)
  })
})

describe('nothing is left, and no redis runs, when', () => {
  async function failed(here: Ground, more: Partial<RestoreOrder>): Promise<unknown> {
    const wish = await order(here, more)
    const error: unknown = await restore(wish).then(
      (restored) => endLater(restored.served?.pid ?? 0),
      (thrown: unknown) => thrown,
    )
    expect(existsSync(join(here.dir, 'restored')), 'what was made for it is gone').toBe(false)
    expect(await ended(wish.start.port)).toBe(true)
    return error
  }

  test('its bytes in the store are not those that were written', async () => {
    const here = await ground()
    const file = join(here.dir, 'store', here.manifest.stored.name)
    const bytes = readFileSync(file)
    bytes[bytes.length - 100] = (bytes[bytes.length - 100] ?? 0) ^ 8
    writeFileSync(file, bytes)
    const where = `${here.manifest.stored.name} in ${here.store.where}`
    expect(await failed(here, {})).toMatchObject({ code: 'HF816', message: `${where}: it has other bytes than were stored (SHA-256)` })
  })

  test('it unpacks to other bytes than redis gave, which is seen at the very end', async () => {
    const here = await ground()
    const manifest = prove('manifest', { ...here.manifest, rdb: { ...here.manifest.rdb, sha256: '0'.repeat(64) } }, key).value
    expect(await failed(here, { manifest })).toMatchObject({ code: 'HF816' })
  })

  test('the store fails in the middle', async () => {
    const here = await ground()
    const store: Ground['store'] = {
      ...here.store,
      get: async (name, signal) => {
        const got = await here.store.get(name, signal)
        if (!got.ok) return got
        async function* half(chunks: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
          for await (const chunk of chunks) {
            yield chunk
            throw new Error('ECONNRESET')
          }
        }
        return { ok: true, value: half(got.value) }
      },
    }
    expect(await failed(here, { store })).toMatchObject({ code: 'HF814', message: expect.stringContaining('ECONNRESET') as string })
  })

  test('Ctrl-C', async () => {
    const abort = new AbortController()
    const here = await ground()
    expect(await failed(here, { signal: abort.signal, progress: (bytes) => bytes > 2_000_000 && abort.abort(new Error('Ctrl-C')) })).toMatchObject({
      message: 'Ctrl-C',
    })
  })

  test('redis does not load it, or is killed in the middle', async () => {
    const here = await ground(10)
    const store = memoryStore()
    const manifest = await storedBackup(store, rdbOf(ofNoType), 'gzip', null)
    expect(await failed(here, { store, manifest })).toMatchObject({ code: 'HF823', message: expect.stringContaining('does not load') as string })
    const large = await ground()
    const pids = (): readonly number[] =>
      readdirSync('/proc')
        .map(Number)
        .filter((pid) => pid > 0 && commandOf(pid).startsWith('redis-server 127.0.0.1:') && cwdOf(pid) === join(large.dir, 'restored/here'))
    const killed = failed(large, { progress: (bytes) => bytes > 2_000_000 && pids().forEach((pid) => process.kill(pid, 'SIGKILL')) })
    expect(await killed).toMatchObject({ code: 'HF823', message: expect.stringContaining('ended before it had loaded it') as string })
  })

  test.skipIf(!isRoot)('the disk becomes full', async () => {
    const here = await ground()
    const small = join(here.dir, 'small')
    mkdirSync(small)
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=24m', 'tmpfs', small])
    atEnd(() => void execFileSync('umount', [small]))
    const others = join(small, 'of others')
    // Another program fills it, when it was found to be large enough.
    const filled = (bytes: number): void => {
      if (bytes < 2_000_000 || existsSync(others)) return
      execFileSync('sh', ['-c', `head -c 23m /dev/zero > '${others}' || true`], { stdio: 'ignore' })
    }
    const error: unknown = await restore(await order(here, { dir: join(small, 'here'), progress: filled })).catch((thrown: unknown) => thrown)
    expect(error).toMatchObject({ code: 'HF822', message: `no space is left in ${join(small, 'here')}` })
    expect(readdirSync(small)).toEqual(['of others'])
    await expect(cli(here, ['--to', join(small, 'here')])).rejects.toMatchObject({
      code: 'HF822',
      message: expect.stringMatching(/needs \d+ MiB, and \d+ MiB are free/) as string,
    })
  })

  test.skipIf(!isRoot)('the disk becomes full by its last piece: it is not called whole', async () => {
    const here = await ground(10)
    const small = join(here.dir, 'small')
    mkdirSync(small)
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=1m', 'tmpfs', small])
    atEnd(() => void execFileSync('umount', [small]))
    const opened = await openDir(join(small, 'here'), 'port 1\n', false)
    await opened.write(Buffer.alloc(2_000_000))
    await expect(opened.commit()).rejects.toMatchObject({ code: 'HF822' })
    await opened.discard()
    expect(readdirSync(small)).toEqual([])
  })

  test('it is killed: the redis that read goes with it, and the next one begins anew', async () => {
    const here = await ground()
    const wish = await order(here)
    const module = (name: string): string => new URL(`../../src/${name}.ts`, import.meta.url).href
    const program = `
      const { restore } = await import('${module('dump/restore')}')
      const { openDirectory } = await import('${module('store/directory')}')
      const wish = JSON.parse(process.env.WISH)
      const stop = (bytes) => { if (bytes > 2_000_000) { process.stdout.write('half'); for (;;) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0) } }
      await restore({ ...wish, store: openDirectory(${JSON.stringify(join(here.dir, 'store'))}), key: Buffer.alloc(32, 5), progress: stop, signal: new AbortController().signal })`
    const child = spawn(process.execPath, ['--import', 'tsx', '--input-type=module', '-e', program], {
      stdio: ['ignore', 'pipe', 'inherit'],
      env: { ...process.env, WISH: JSON.stringify({ manifest: wish.manifest, dir: wish.dir, conf: wish.conf, start: wish.start }) },
    })
    await new Promise<void>((resolve) => child.stdout.once('data', () => resolve()))
    expect(readdirSync(wish.dir).toSorted()).toEqual(['dump.rdb', `dump.rdb.${child.pid}.part`, 'redis.conf', 'redis.log'])
    expect(statSync(join(wish.dir, 'dump.rdb')).isFIFO()).toBe(true)
    child.kill('SIGKILL')
    expect(await poll(() => Promise.resolve(existsSync(wish.dir) ? undefined : true), { withinMs: 5000, everyMs: 10 }), 'the files are gone').toBe(true)
    expect(await ended(wish.start.port)).toBe(true)
    // As a power cut would have left it.
    mkdirSync(wish.dir, { recursive: true })
    for (const name of ['dump.rdb.999999.part', 'redis.conf', 'redis.log']) writeFileSync(join(wish.dir, name), 'half')
    const { served } = await restore(wish)
    endLater(served?.pid ?? 0)
    expect([served?.keys, readdirSync(wish.dir).toSorted()]).toEqual([5000, ['dump.rdb', 'redis.conf', 'redis.log']])
  })
})

function commandOf(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'latin1')
  } catch {
    return ''
  }
}

function cwdOf(pid: number): string {
  try {
    return readlinkSync(`/proc/${pid}/cwd`)
  } catch {
    return ''
  }
}

async function dumpOf(redis: RealRedis, name: string): Promise<unknown> {
  const opened = await openRaw({ host: '127.0.0.1', port: redis.port }, 1000)
  if (!opened.ok) throw new Error(opened.why)
  return opened.value.call('DUMP', name).finally(opened.value.close)
}
