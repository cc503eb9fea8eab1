import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, truncateSync, utimesSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { openDirectory } from '../../src/store/directory.ts'
import { isName } from '../../src/store/store.ts'

const never = new AbortController().signal
let dir = ''
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'holdfast-store-'))
})
afterEach(() => rmSync(dir, { recursive: true, force: true }))

async function* chunks(...texts: readonly string[]): AsyncGenerator<Buffer> {
  for (const text of texts) yield Buffer.from(text)
}

async function read(name: string): Promise<string> {
  const got = await openDirectory(dir).get(name, never)
  if (!got.ok) return got.why
  const all: Buffer[] = []
  for await (const chunk of got.value) all.push(chunk)
  return Buffer.concat(all).toString()
}

describe('backups in a directory', () => {
  test('put, listed, read, replaced, removed; folders that are empty go', async () => {
    const store = openDirectory(dir)
    expect(await store.put('cache/one/dataset', chunks('REDIS', '0011'), never)).toEqual({ ok: true, value: null })
    await store.put('cache/two/manifest.json', chunks('{}'), never)
    await store.put('other/x', chunks('x'), never)
    expect(await store.list('')).toEqual({
      ok: true,
      value: [
        { name: 'cache/one/dataset', bytes: 9 },
        { name: 'cache/two/manifest.json', bytes: 2 },
        { name: 'other/x', bytes: 1 },
      ],
    })
    expect(await store.list('cache/two')).toEqual({ ok: true, value: [{ name: 'cache/two/manifest.json', bytes: 2 }] })
    expect(await store.list('nobody')).toEqual({ ok: true, value: [] })
    await store.put('cache/one/dataset', chunks('new'), never)
    expect(await read('cache/one/dataset')).toBe('new')
    await store.remove('cache/one/dataset')
    expect(await store.remove('cache/one/dataset'), 'again').toEqual({ ok: true, value: null })
    expect(existsSync(join(dir, 'cache/one'))).toBe(false)
    expect(await read('cache/one/dataset')).toContain('is not there')
  })

  test('whoever gives the data fails half-way: nothing is there, not even a part or a folder', async () => {
    async function* broken(): AsyncGenerator<Buffer> {
      yield Buffer.from('half')
      throw new Error('redis hung up')
    }
    expect(await openDirectory(dir).put('cache/one/dataset', broken(), never)).toEqual({ ok: false, why: 'redis hung up' })
    expect(readdirSync(dir)).toEqual([])
  })

  test('called off half-way: nothing is there', async () => {
    const abort = new AbortController()
    async function* slow(): AsyncGenerator<Buffer> {
      yield Buffer.from('a')
      abort.abort(new Error('called off'))
      yield Buffer.from('b')
    }
    expect(await openDirectory(dir).put('cache/one/dataset', slow(), abort.signal)).toEqual({ ok: false, why: 'called off' })
    expect(readdirSync(dir)).toEqual([])
  })

  test('a writer was killed: its part is never listed, and goes after a day', async () => {
    mkdirSync(join(dir, 'cache/one'), { recursive: true })
    const [young, old] = [join(dir, 'cache/one/dataset.0a0b0c0d.part'), join(dir, 'cache/one/dataset.1a1b1c1d.part')]
    writeFileSync(young, 'half')
    writeFileSync(old, 'half')
    utimesSync(old, new Date(Date.now() - 25 * 3_600_000), new Date(Date.now() - 25 * 3_600_000))
    expect(await openDirectory(dir).list('')).toEqual({ ok: true, value: [] })
    expect([existsSync(young), existsSync(old)]).toEqual([true, false])
  })

  test('what is read is cut short meanwhile: an error, not an end', async () => {
    const store = openDirectory(dir)
    await store.put('cache/one/dataset', chunks('x'.repeat(1_000_000)), never)
    const got = await store.get('cache/one/dataset', never)
    if (!got.ok) throw new Error(got.why)
    truncateSync(join(dir, 'cache/one/dataset'), 500_000)
    const reading = (async () => {
      for await (const chunk of got.value) expect(chunk.length).toBeGreaterThan(0)
    })()
    await expect(reading).rejects.toThrow('it ends after 500000 of 1000000 bytes')
  })

  test('the disk is not mounted: said, and nothing is made in its place', async () => {
    const gone = join(dir, 'mnt')
    const store = openDirectory(gone)
    const why = `the directory ${gone} is not there (a disk that is not mounted?)`
    expect(await store.put('cache/one/dataset', chunks('x'), never)).toEqual({ ok: false, why })
    expect(await store.list('')).toEqual({ ok: false, why })
    expect(await store.get('cache/one/dataset', never)).toEqual({ ok: false, why })
    expect(existsSync(gone)).toBe(false)
  })

  test('a name that would lie inside of a file: said', async () => {
    writeFileSync(join(dir, 'cache'), 'no folder')
    expect(await openDirectory(dir).put('cache/one/dataset', chunks('x'), never)).toMatchObject({
      ok: false,
      why: expect.stringContaining('a part of that path is a file') as string,
    })
  })

  test.each(['', '..', '../x', 'a/../b', '/etc/passwd', 'a//b', 'a/', '.hidden', 'a b', 'a\nb', 'ä'])('%j is no name', (name) => {
    expect(isName(name)).toBe(false)
  })
})
