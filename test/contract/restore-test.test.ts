/** A backup of a real redis, tried in a redis of its own: what makes it good, what makes it bad, and what says nothing about it. */
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { Manifest, Said, Tested } from '../../src/backup/manifest.ts'
import { prove } from '../../src/dump/paper.ts'
import { seeSource } from '../../src/dump/seen.ts'
import { recordTested, tryBackup } from '../../src/dump/trial.ts'
import type { Observed } from '../../src/model/outcome.ts'
import type { RedisTarget } from '../../src/redis/link.ts'
import { openDirectory } from '../../src/store/directory.ts'
import { Redises, type RealRedis } from '../unit/real-redis.ts'
import { memoryStore, ofNoType, rdbOf, storedBackup } from '../unit/stored-backups.ts'
import { atEnd, ids, key, never, taken as takenInto } from './restore-ground.ts'
import { expectServers, others } from './servers.ts'

/** Whatever is left behind is left here. */
const ownTmp = mkdtempSync(join(tmpdir(), 'holdfast-rt-'))
const tmpBefore = process.env['TMPDIR']
beforeAll(() => {
  process.env['TMPDIR'] = ownTmp
})
afterAll(() => {
  if (tmpBefore === undefined) delete process.env['TMPDIR']
  else process.env['TMPDIR'] = tmpBefore
  rmSync(ownTmp, { recursive: true, force: true })
})

function redisesHere(): Redises {
  const redises = new Redises()
  atEnd(() => redises.close())
  return redises
}

function storeHere(): { readonly dir: string; readonly store: ReturnType<typeof openDirectory> } {
  const dir = mkdtempSync(join(tmpdir(), 'holdfast-backups-'))
  atEnd(() => rmSync(dir, { recursive: true, force: true }))
  return { dir, store: openDirectory(dir) }
}

const at = (redis: RealRedis): RedisTarget => ({ host: '127.0.0.1', port: redis.port, password: undefined })

const taken = (source: RealRedis, store: ReturnType<typeof openDirectory>): Promise<Manifest> => takenInto({ source, store }, ids.first)

async function tried(store: ReturnType<typeof openDirectory>, manifest: Manifest, more: Partial<Parameters<typeof tryBackup>[0]> = {}) {
  const order = { store, manifest, key, redisServer: 'redis-server', source: null, wallMs: Date.now, progress: () => undefined, signal: never }
  return tryBackup({ ...order, ...more })
}

/** As if its paper said something else. */
function saying(manifest: Manifest, other: Partial<Manifest>): Manifest {
  return prove('manifest', { ...manifest, ...other }, key).value
}

function good(result: Observed<Said<Tested>>): Said<Tested> {
  if (!result.ok) throw new Error(result.why)
  return result.value
}

const fill = (redis: RealRedis, keys: number) =>
  redis.call(
    'EVAL',
    `for i=1,${keys} do redis.call('SET','key:'..i,string.rep('x',i%700)) redis.call('HSET','hash:'..(i%50),i,'v'..i) end
     redis.call('SELECT',3) redis.call('ZADD','z',0.1,'a',3,'b') redis.call('SADD','s','a','b','c') redis.call('RPUSH','l','1','2') redis.call('XADD','x','*','a','b')`,
    '0',
  )

describe('a backup is tried', () => {
  test('its source is at rest: as many keys, and every one of the sample is equal', async () => {
    const [source, { store }] = [await redisesHere().start(), storeHere()]
    await fill(source, 20_000)
    const manifest = await taken(source, store)
    const seen: number[] = []
    const said = good(await tried(store, manifest, { source: at(source), progress: (bytes) => seen.push(bytes) }))
    expect(said).toMatchObject({ ok: true, fault: null, keys: 20_054, serverVersion: expect.stringMatching(/^\d+\.\d+\.\d+$/) as string })
    expect(said.found).toMatch(/^redis-server \S+ loaded it: 20054 keys, as many as redis-b had; of (\d+) keys that redis-b has, \1 are equal$/)
    expect(seen.at(-1)).toBe(manifest.rdb.bytes)
    expect(said.fetchMs).toBeLessThanOrEqual(said.loadMs)
    expect(readdirSync(tmpdir()).filter((name) => name.startsWith('holdfast-restore-test-'))).toEqual([])
    const recorded = await recordTested(store, manifest, null, said, key, never)
    expect(recorded).toMatchObject({ ok: true, value: { ok: true, manifestSha256: manifest.sha256 } })
    const worse = { ...said, ok: false, fault: 'refused' as const }
    expect(recorded.ok && (await recordTested(store, manifest, recorded.value, worse, key, never)), 'the good result stays').toEqual(recorded)
  })

  test('its source is written to while it is taken and tried: no false alarm', async () => {
    const [source, { store }] = [await redisesHere().start(), storeHere()]
    await fill(source, 20_000)
    let writing = true
    const writer = (async () => {
      for (let i = 0; writing; i += 1)
        await Promise.all([
          source.call('SET', `new:${i}`, 'x'),
          source.call('DEL', `key:${i}`),
          source.call('RENAME', `key:${20_000 - i}`, `moved:${i}`).catch(() => null),
          source.call('SET', `short:${i}`, 'x', 'PX', '20'),
        ])
    })()
    try {
      const said = good(await tried(store, await taken(source, store), { source: at(source) }))
      expect(said.found).toMatch(/^redis-server \S+ loaded it: \d+ keys.*; of \d+ keys that redis-b has, \d+ are equal/)
      expect(said).toMatchObject({ ok: true, fault: null })
    } finally {
      writing = false
      await writer
    }
  })

  test('keys whose time is over since are in it, and counted', async () => {
    const [source, { store }] = [await redisesHere().start(), storeHere()]
    await source.call('EVAL', `for i=1,500 do redis.call('SET','k:'..i,'x','PX',1500) end`, '0')
    const manifest = await taken(source, store)
    await expect.poll(() => source.call('GET', 'k:1'), { timeout: 3000 }).toBe(null)
    expect(good(await tried(store, manifest))).toMatchObject({ ok: true, keys: 500 })
  })

  test('of an empty redis: good, and said', async () => {
    const [source, { store }] = [await redisesHere().start(), storeHere()]
    const said = good(await tried(store, await taken(source, store), { source: at(source) }))
    expect(said).toMatchObject({ ok: true, keys: 0 })
    expect(said.found).toContain('0 keys, as many as redis-b had (it is empty)')
  })

  test('a flush at its source between the count and the snapshot: nothing is concluded', async () => {
    const [source, { store }] = [await redisesHere().start(), storeHere()]
    await fill(source, 1000)
    const manifest = await taken(source, store)
    const { before, after } = manifest.seen
    if (before === null || after === null) throw new Error('the source said nothing')
    const flushed = saying(manifest, { seen: { before: { ...before, sweeps: before.sweeps - 1, databases: [] }, after: { ...after, databases: [] } } })
    const said = good(await tried(store, flushed))
    expect([said.ok, said.found]).toEqual([true, expect.stringContaining('how many redis-b had at that moment cannot be said') as string])
  })
})

describe('a backup is bad', () => {
  test('it has other keys than its source had', async () => {
    const [source, { store }] = [await redisesHere().start(), storeHere()]
    await fill(source, 100)
    const manifest = await taken(source, store)
    const { before, after } = manifest.seen
    if (before === null || after === null) throw new Error('the source said nothing')
    const more = { ...after, databases: [{ database: 0, keys: 151, expires: 0 }, ...after.databases.slice(1)] }
    expect(good(await tried(store, saying(manifest, { seen: { before, after: more } })))).toMatchObject({
      ok: false,
      fault: 'differs',
      found: expect.stringContaining('redis-b had 151 keys in database 0') as string,
    })
  })

  test('keys of the sample are not in it, and nothing was written since', async () => {
    const [source, { store }] = [await redisesHere().start(), storeHere()]
    await fill(source, 100)
    const manifest = await taken(source, store)
    await source.call('EVAL', `for i=1,100 do redis.call('SET','lost:'..i,'x') end`, '0')
    const now = await seeSource(at(source))
    if (!now.ok) throw new Error(now.why)
    const { databases } = manifest.seen.after ?? now.value
    // As if those keys had been there when it was taken, and the counts had been right.
    const seen = { ...now.value, databases }
    const said = good(
      await tried(store, saying(manifest, { position: { ...manifest.position, offset: now.value.offset }, seen: { before: seen, after: seen } }), {
        source: at(source),
      }),
    )
    expect(said).toMatchObject({ ok: false, fault: 'differs' })
    expect(said.found).toMatch(/are missing or other, and what was written since could have changed 0 at the most/)
  })

  test('its bytes in the store are not those that were written', async () => {
    const [source, { dir, store }] = [await redisesHere().start(), storeHere()]
    await fill(source, 1000)
    const manifest = await taken(source, store)
    const file = join(dir, manifest.stored.name)
    const bytes = readFileSync(file)
    bytes[bytes.length >> 1] = (bytes[bytes.length >> 1] ?? 0) ^ 8
    writeFileSync(file, bytes)
    expect(good(await tried(store, manifest))).toMatchObject({
      ok: false,
      fault: 'stored',
      found: 'it has other bytes than were stored (SHA-256)',
    })
  })

  test('it is whole, and no redis can read it', async () => {
    const store = memoryStore()
    const manifest = await storedBackup(store, rdbOf(ofNoType), 'gzip', null)
    expect(good(await tried(store, manifest))).toMatchObject({
      ok: false,
      fault: 'refused',
      found: expect.stringContaining('redis-server does not load it') as string,
    })
  })
})

describe('it cannot be tried here, which says nothing about the backup', () => {
  async function why(change: (manifest: Manifest) => Manifest, more: Partial<Parameters<typeof tryBackup>[0]>): Promise<string> {
    const [source, { store }] = [await redisesHere().start(), storeHere()]
    await fill(source, 100)
    const result = await tried(store, change(await taken(source, store)), more)
    return result.ok ? result.value.found : result.why
  }
  const asItIs = (manifest: Manifest): Manifest => manifest

  test('the key is another one, or none', async () => {
    expect(await why(asItIs, { key: null })).toContain('no key is given')
    expect(await why(asItIs, { key: Buffer.alloc(32, 6) })).toContain('the key that is given is')
  })

  test('too little memory: told in figures, before anything is fetched', async () => {
    const large = (manifest: Manifest): Manifest => {
      const { after } = manifest.seen
      return after === null ? manifest : saying(manifest, { seen: { before: null, after: { ...after, usedBytes: 2 ** 50 } } })
    }
    const { store } = storeHere()
    expect(await why(large, { store })).toMatch(/^it needs about \d+ MiB of memory and \d+ MiB to spare, and \d+ MiB are available here$/)
  })

  test('there is no redis-server, or the store has gone', async () => {
    expect(await why(asItIs, { redisServer: '/nowhere/redis-server' })).toContain('/nowhere/redis-server is not there')
    expect(await why(asItIs, { store: openDirectory('/nowhere/backups') })).toContain('the directory /nowhere/backups is not there')
  })

  test('called off: nothing is left', async () => {
    const abort = new AbortController()
    await expect(why(asItIs, { signal: abort.signal, progress: () => abort.abort(new Error('Ctrl-C')) })).rejects.toThrow('Ctrl-C')
    await expect.poll(() => readdirSync(tmpdir()).filter((name) => name.startsWith('holdfast-restore-test-'))).toEqual([])
  })
})

expectServers()

describe.each(others)('of $name, tried by the installed redis', (server) => {
  test('loaded, or said which redis it takes', async () => {
    const { store } = storeHere()
    const source = await redisesHere().start({ program: server.redisServer })
    await fill(source, 1000)
    const manifest = await taken(source, store)
    const result = await tried(store, manifest, { source: at(source) })
    if (manifest.server.rdbFormat <= 10) expect(good(result)).toMatchObject({ ok: true, keys: 1054 })
    else
      expect(result).toEqual({
        ok: false,
        why: expect.stringMatching(/^written by redis \d+\.\d+\.\d+ \(RDB \d+\), this redis-server 7\.0\.\d+ reads up to 10$/) as string,
      })
    expect(good(await tried(store, manifest, { redisServer: server.redisServer, source: at(source) }))).toMatchObject({ ok: true, keys: 1054 })
  })
})
