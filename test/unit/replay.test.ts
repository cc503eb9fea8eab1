/** Real redis-servers: kept items into a primary, exactly once, whatever interrupts; a kept RDB compared key by key. */
import { copyFile } from 'node:fs/promises'
import { spawn } from 'node:child_process'
import { existsSync, readdirSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { applyItems, fingerprint, preview, type ApplyOptions } from '../../src/replay/apply.ts'
import type { SourceItem } from '../../src/replay/items.ts'
import { commandSource, datasetSource, type Source } from '../../src/replay/source.ts'
import { openTap, type Tap } from '../../src/replay/tap.ts'
import { openRaw, type RawRedis } from '../../src/redis/raw.ts'
import type { Kept } from '../../src/model/kept.ts'
import { noRedis, parted, Redises, type RealRedis } from './real-redis.ts'

let redises: Redises
let closing: (() => unknown)[]
beforeEach(() => {
  redises = new Redises()
  closing = []
})
afterEach(async () => {
  for (const close of closing) await close()
  await redises.close()
})

const resp = (...words: readonly string[]) => `*${words.length}\r\n${words.map((w) => `$${Buffer.byteLength(w, 'latin1')}\r\n${w}\r\n`).join('')}`

function sourceOf(...lines: readonly (readonly string[])[]): Promise<Source> {
  const text = lines.map((words) => resp(...words)).join('')
  const kept = { kind: 'commands', id: 'k', fromOffset: 1, toOffset: text.length, bytes: text.length, startDatabase: 0 } as Kept
  async function* pages() {
    yield Buffer.from(text, 'latin1')
  }
  return commandSource(kept, pages())
}

async function raw(r: RealRedis): Promise<RawRedis> {
  const opened = await openRaw({ host: '127.0.0.1', port: r.port }, 5000)
  if (!opened.ok) throw new Error(opened.why)
  closing.push(opened.value.close)
  return opened.value
}

function options(live: RawRedis, tap: Tap | null = null, more: Partial<ApplyOptions> = {}): ApplyOptions & { readonly lines: string[] } {
  const lines: string[] = []
  return {
    lines,
    live,
    tap,
    onlyIfUntouched: new Set(),
    journal: (line) => Promise.resolve(void lines.push(`${line.what} ${line.items.join()}`)),
    progress: () => {},
    signal: new AbortController().signal,
    ...more,
  }
}

const words = (items: readonly SourceItem[]) => items.map((i) => i.keys.map((k) => k.key).join())

describe.skipIf(noRedis)('items are applied', () => {
  test('each in its database, binary values whole; the intent is in the journal before redis has anything', async () => {
    const r = await redises.start()
    const live = await raw(r)
    const source = await sourceOf(['SET', 'a', 'x\u0000\u00ff\r\n'], ['SELECT', '2'], ['INCR', 'n'], ['INCR', 'n'])
    const opts = options(live, null, {
      journal: async (line) => {
        opts.lines.push(line.what)
        if (line.what === 'intent') expect(await r.call('EXISTS', 'a')).toBe(0)
      },
    })
    const done = await applyItems(source.items, opts)
    expect(done.applied).toHaveLength(2)
    expect(opts.lines).toEqual(['intent', 'applied'])
    expect(await r.call('STRLEN', 'a')).toBe(5)
    await r.call('SELECT', '2')
    expect(await r.call('GET', 'n')).toBe('2')
    expect(await preview(live, { database: 2, key: 'n' })).toBe('2')
  })

  test('a key that is written between the look and the write is left alone', async () => {
    const r = await redises.start()
    const source = await sourceOf(['SET', 'a', 'old'])
    const opts = options(await raw(r), null, {
      journal: async (line) => {
        opts.lines.push(line.what)
        if (line.what === 'intent') await r.call('SET', 'a', 'new')
      },
    })
    const done = await applyItems(source.items, opts)
    expect(done.applied).toEqual([])
    expect(done.skipped[0]?.why).toMatch(/very moment/)
    expect(await r.call('GET', 'a')).toBe('new')
    expect(opts.lines).toEqual(['intent', 'not-applied'])
  })

  test('Ctrl-C: the batch under way is finished and in the journal, no other is begun', async () => {
    const r = await redises.start()
    const source = await sourceOf(...Array.from({ length: 120 }, (_, i) => ['SET', `k${i}`, '1']))
    const interrupt = new AbortController()
    const opts = options(await raw(r), null, { signal: interrupt.signal, progress: () => interrupt.abort() })
    const done = await applyItems(source.items, opts)
    expect([done.applied.length, done.interrupted]).toEqual([50, true])
    expect(await r.call('DBSIZE')).toBe(50)
    expect(opts.lines.map((l) => l.split(' ')[0])).toEqual(['intent', 'applied'])
  })

  test('a primary that refuses writes stops it, with the intent open', async () => {
    const r = await redises.start('--min-replicas-to-write', '3')
    const opts = options(await raw(r))
    await expect(applyItems((await sourceOf(['SET', 'a', '1'])).items, opts)).rejects.toMatchObject({ code: 'HF605' })
    expect(opts.lines).toEqual(['intent 0'])
  })

  test('a command that the value there does not take is told, and not called applied', async () => {
    const r = await redises.start()
    await r.call('RPUSH', 'l', 'x')
    const done = await applyItems((await sourceOf(['INCR', 'l'])).items, options(await raw(r)))
    expect(done.skipped[0]?.why).toMatch(/WRONGTYPE/)
  })

  test('a damaged file is not replayed by halves', async () => {
    async function* pages() {
      yield Buffer.from(`${resp('SET', 'a', '1')}garbage`)
    }
    await expect(commandSource({ kind: 'commands', id: 'k', fromOffset: 1, toOffset: 34, bytes: 34, startDatabase: 0 } as Kept, pages())).rejects.toMatchObject(
      { code: 'HF604' },
    )
  })
})

describe.skipIf(noRedis)('what the accepted history has written since the fork', () => {
  test('is read from its stream: those keys are touched, no others, and what is written later is seen too', async () => {
    const { now, fork } = await parted(redises, async (r) => {
      await r.call('SET', 'before', '1')
    })
    await now.call('SET', 'since', '1')
    const tap = await openTap({ host: '127.0.0.1', port: now.port, password: undefined }, (await now.facts()).replid, fork.fromOffset)
    if (!tap.ok) throw new Error(tap.why)
    closing.push(tap.value.close)
    expect(await tap.value.upTo((await now.facts()).offset, 2000)).toBe(true)
    expect(['before', 'since', 'later'].map((k) => tap.value.touched(k))).toEqual([false, true, false])
    // and a replay leaves alone what is touched while it goes
    const source = await sourceOf(['SET', 'before', 'old'], ['SET', 'later', 'old'])
    await now.call('SET', 'later', 'new')
    const done = await applyItems(source.items, options(await raw(now), tap.value, { onlyIfUntouched: new Set(source.items) }))
    expect([words(done.applied), words(done.skipped.map((s) => s.item))]).toEqual([['before'], ['later']])
    expect(await now.call('GET', 'later')).toBe('new')
  })

  test('a tap that was lost knows nothing any more: nothing counts as untouched', async () => {
    const { now, fork } = await parted(redises, async () => {})
    const tap = await openTap({ host: '127.0.0.1', port: now.port, password: undefined }, (await now.facts()).replid, fork.fromOffset)
    if (!tap.ok) throw new Error(tap.why)
    await now.call('CLIENT', 'KILL', 'TYPE', 'replica')
    await now.call('SET', 'a', 'new')
    const { items } = await sourceOf(['SET', 'a', 'old'])
    const done = await applyItems(items, options(await raw(now), tap.value, { onlyIfUntouched: new Set(items) }))
    expect(done.applied).toEqual([])
    expect(await now.call('GET', 'a')).toBe('new')
  })
})

describe.skipIf(noRedis)('a kept RDB', () => {
  test('gives the keys that differ or are missing, not those that are only ordered otherwise; and leaves nothing behind', async () => {
    const old = await redises.start()
    const now = await redises.start()
    for (const r of [old, now]) await r.call('SET', 'same', '1')
    for (let i = 0; i < 600; i += 1) {
      await old.call('SADD', 'set', `m${i}`)
      await now.call('SADD', 'set', `m${599 - i}`)
    }
    await old.call('SET', 'gone', 'x', 'PX', '100000')
    await old.call('RPUSH', 'list', 'a', 'b')
    await now.call('RPUSH', 'list', 'a')
    await now.call('SET', 'only-here', '1')
    await old.call('SAVE')
    const asides = () => readdirSync(tmpdir()).filter((f) => f.startsWith('holdfast-salvage-'))
    const before = asides()
    const live = await raw(now)
    const source = await datasetSource(
      { id: 'k', databases: [0] } as unknown as Kept,
      'redis-server',
      (file) => copyFile(`${redises.dir}/${old.port}/dump.rdb`, file),
      live,
      null,
    )
    expect(words(source.items).sort()).toEqual(['gone', 'list'])
    const done = await applyItems(source.items, options(live))
    expect(done.applied).toHaveLength(2)
    expect(await now.call('LRANGE', 'list', '0', '-1')).toEqual(['a', 'b'])
    expect(Number(await now.call('PTTL', 'gone'))).toBeGreaterThan(50_000)
    const ids = source.items.map((i) => i.id)
    await source.close()
    await new Promise((resolve) => setTimeout(resolve, 100))
    expect(asides()).toEqual(before)
    // the same items have the same ids another time, and what is applied differs no more
    const again = await datasetSource(
      { id: 'k', databases: [0] } as unknown as Kept,
      'redis-server',
      (file) => copyFile(`${redises.dir}/${old.port}/dump.rdb`, file),
      live,
      null,
    )
    expect(again.items).toEqual([])
    expect(new Set(ids).size).toBe(2)
    await again.close()
  })

  test('names the keys that are gone there: those that were there at the fork, not those that are new here', async () => {
    const { old, now, fork } = await parted(redises, async (r) => {
      for (const key of ['stays', 'deleted', 'deleted-but-written-here']) await r.call('SET', key, '1')
    })
    await old.call('DEL', 'deleted', 'deleted-but-written-here')
    await now.call('SET', 'deleted-but-written-here', '2')
    await now.call('SET', 'new-here', '1')
    await old.call('SAVE')
    const live = await raw(now)
    const tap = await openTap({ host: '127.0.0.1', port: now.port, password: undefined }, (await now.facts()).replid, fork.fromOffset)
    if (!tap.ok) throw new Error(tap.why)
    closing.push(tap.value.close)
    expect(await tap.value.upTo((await now.facts()).offset, 2000)).toBe(true)
    const kept = { id: 'k', databases: [0], fromOffset: fork.fromOffset, toOffset: (await old.facts()).offset } as unknown as Kept
    const fill = (file: string) => copyFile(`${redises.dir}/${old.port}/dump.rdb`, file)
    const source = await datasetSource(kept, 'redis-server', fill, live, tap.value)
    closing.push(source.close)
    expect(source.items.map((i) => [i.nature, i.does[0]])).toEqual([['deletion', 'DEL deleted (it is not there any more)']])
    const done = await applyItems(source.items, options(live, tap.value, { onlyIfUntouched: new Set(source.items) }))
    expect([done.applied.length, await now.call('KEYS', 'd*')]).toEqual([1, ['deleted-but-written-here']])
    // An older disk lacks what came after it: that says nothing about deletions.
    const older = await datasetSource({ ...kept, toOffset: fork.fromOffset - 2 }, 'redis-server', fill, live, tap.value)
    closing.push(older.close)
    expect(older.items).toEqual([])
  })

  test('a redis-server that is not there is said at once', async () => {
    const now = await redises.start()
    await expect(datasetSource({ id: 'k' } as unknown as Kept, '/nowhere/redis-server', () => Promise.resolve(), await raw(now), null)).rejects.toMatchObject({
      code: 'HF604',
      message: expect.stringContaining('/nowhere/redis-server is not there'),
    })
  })

  test('leaves nothing behind when its owner is killed while the file is fetched', async () => {
    const module = new URL('../../src/replay/throwaway.ts', import.meta.url).href
    const program = `const { openThrowaway } = await import('${module}')
      await openThrowaway('redis-server', 16, (file) => { process.stdout.write(file); return new Promise(() => setInterval(() => {}, 1000)) })`
    const child = spawn(process.execPath, ['--import', 'tsx', '--input-type=module', '-e', program], { stdio: ['ignore', 'pipe', 'inherit'] })
    const file = await new Promise<string>((resolve) => child.stdout.once('data', (d: Buffer) => resolve(d.toString())))
    const dir = file.replace(/\/[^/]*$/, '')
    expect(existsSync(dir)).toBe(true)
    child.kill('SIGKILL')
    const endMs = performance.now() + 5000
    while (existsSync(dir) && performance.now() < endMs) await new Promise((resolve) => setTimeout(resolve, 20))
    expect(existsSync(dir)).toBe(false)
  })

  test('leaves nothing behind either when its owner is killed in the middle', async () => {
    const r = await redises.start()
    await r.call('SET', 'a', '1')
    await r.call('SAVE')
    const module = new URL('../../src/replay/throwaway.ts', import.meta.url).href
    const program = `import { copyFile } from 'node:fs/promises'
      const { openThrowaway } = await import('${module}')
      const aside = await openThrowaway('redis-server', 16, (file) => copyFile('${redises.dir}/${r.port}/dump.rdb', file))
      const info = String(await aside.redis.call('CONFIG', 'GET', 'dir'))
      process.stdout.write(info)
      setInterval(() => {}, 1000)`
    const child = spawn(process.execPath, ['--import', 'tsx', '--input-type=module', '-e', program], { stdio: ['ignore', 'pipe', 'inherit'] })
    const said = await new Promise<string>((resolve) => child.stdout.once('data', (d: Buffer) => resolve(d.toString())))
    const dir = said.split(',').at(-1) ?? ''
    expect(readdirSync(dir)).toContain('kept.rdb')
    child.kill('SIGKILL')
    const endMs = performance.now() + 5000
    while (existsSync(dir) && performance.now() < endMs) await new Promise((resolve) => setTimeout(resolve, 20))
    expect(existsSync(dir)).toBe(false)
  })

  test('that no redis can load: HF604, and nothing is left behind', async () => {
    const now = await redises.start()
    const { writeFile } = await import('node:fs/promises')
    await expect(
      datasetSource({ id: 'k', databases: [0] } as unknown as Kept, 'redis-server', (file) => writeFile(file, 'REDIS9999garbage'), await raw(now), null),
    ).rejects.toMatchObject({ code: 'HF604' })
  })

  test('the fingerprint of keys changes with their values, and tells none from empty', async () => {
    const r = await redises.start()
    const live = await raw(r)
    const prints = []
    for (const value of [null, '', '1', '2']) {
      if (value !== null) await r.call('SET', 'k', value)
      prints.push(await fingerprint(live, [{ database: 0, key: 'k' }]))
    }
    expect(new Set(prints).size).toBe(4)
  })
})
