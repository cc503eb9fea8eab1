/** The durable state on a real disk: what is written is read again, and what cannot be trusted is never taken for a fresh start. */
import { mkdtempSync, chmodSync, readFileSync, rmSync, symlinkSync, writeFileSync, mkdirSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { Config } from '../../src/model/config.ts'
import { OperatorError } from '../../src/model/error.ts'
import { stateFile } from '../../src/model/paths.ts'
import { freshState, type LineageEntry } from '../../src/model/state.ts'
import { loadState, openStore, parseState, prepareStateDir, type Store } from '../../src/agent/store.ts'
import { entry, state } from './builders.ts'
import { openFilesOf } from './open-files.ts'

let dir: string
let paths: Config['paths']
let store: Store
beforeEach(() => {
  dir = mkdtempSync(`${tmpdir()}/holdfast-store-`)
  paths = { state: `${dir}/state`, run: `${dir}/run`, redisServer: '', redisSentinel: '', keepalived: '' }
  store = openStore(paths, 'sessions')
})
afterEach(async () => {
  await store.close()
  chmodSync(dir, 0o700)
  rmSync(dir, { recursive: true, force: true })
})

const file = () => stateFile(paths, 'sessions')

describe('on a good day', () => {
  test('no file: a member that never belonged to anything', async () => {
    await prepareStateDir(paths, ['sessions'])
    expect(loadState(paths, 'sessions', 'a')).toEqual(freshState('sessions', 'a'))
  })

  test('what was saved is loaded', async () => {
    await prepareStateDir(paths, ['sessions'])
    const saved = state('a', { epoch: 7, phase: 'handed', holder: 'b', gone: { epoch: 7, fresh: true, atMs: 1 } })
    expect(await store.save(saved)).toEqual({ done: true })
    expect(loadState(paths, 'sessions', 'a')).toEqual(saved)
  })
})

describe('a crash between the write and the rename', () => {
  test('the old state counts, and the next save replaces what was left behind', async () => {
    await prepareStateDir(paths, ['sessions'])
    await store.save(state('a', { epoch: 3 }))
    writeFileSync(`${file()}.new`, '{"format":1,"epo')
    expect(loadState(paths, 'sessions', 'a').epoch).toBe(3)
    await store.save(state('a', { epoch: 4 }))
    expect(loadState(paths, 'sessions', 'a').epoch).toBe(4)
  })
})

describe('a file that cannot be trusted is an error with a way out, never a fresh start', () => {
  const good = JSON.stringify(state('a', { epoch: 3 }))

  const withLineage = (...lineage: readonly LineageEntry[]) => JSON.stringify(state('a', { epoch: 3, lineage }))

  test('cut off anywhere', () => {
    for (let length = 0; length < good.length; length += 1) expect(() => parseState(good.slice(0, length), 'f')).toThrow(OperatorError)
    expect(parseState(good, 'f').epoch).toBe(3)
  })

  test.each([
    ['not JSON', 'hello', /not JSON/],
    ['null', 'null', /no format/],
    ['a list', '[]', /no format/],
    ['of a newer version', good.replace('"format":1', '"format":2'), /format 2; this version reads format 1/],
    ['an unknown phase', good.replace('"phase":"replica"', '"phase":"king"'), /fields are missing/],
    ['an epoch that is no number', good.replace('"epoch":3', '"epoch":"3"'), /fields are missing/],
    ['without its lineage', good.replace('"lineage":', '"lineag":'), /fields are missing/],
    ['an epoch in its lineage twice', withLineage(entry(1, 'a', 0), entry(1, 'b', 5)), /hold what cannot be/],
    ['a lineage that runs backwards', withLineage(entry(2, 'a', 9), entry(1, 'b', 5)), /hold what cannot be/],
    ['an epoch below one', withLineage(entry(0, 'a', 0)), /hold what cannot be/],
    ['an offset that is no number', withLineage({ ...entry(1, 'a', 0), startOffset: null } as never), /hold what cannot be/],
    ['an entry that continues nonsense', withLineage({ ...entry(1, 'a', 0), continues: { epoch: 'x' } } as never), /hold what cannot be/],
    ['an entry that is none', withLineage(null as never), /hold what cannot be/],
    ['a vote that is none', good.replace('"vote":null', '"vote":{"epoch":"3"}'), /hold what cannot be/],
    ['a pause that is none', good.replace(/"paused":\{[^}]*\}/, '"paused":null'), /hold what cannot be/],
    ['nothing (0 bytes)', '', /not JSON/],
    ['zeros, as a file system leaves them after a power cut', '\0'.repeat(500), /not JSON/],
  ])('%s', (_what, text, why) => {
    expect(() => parseState(text, '/x/state.json')).toThrow(why)
    expect(() => parseState(text, '/x/state.json')).toThrow(expect.objectContaining({ code: 'HF206' }))
  })

  test('of another host: it was copied', async () => {
    await prepareStateDir(paths, ['sessions'])
    await store.save(state('b', {}))
    expect(() => loadState(paths, 'sessions', 'a')).toThrow(/belongs to group sessions on b/)
  })

  test('with records ahead of it that cannot be read: what is in it may be of before', async () => {
    await prepareStateDir(paths, ['sessions'])
    await store.save(state('a', { epoch: 3 }))
    await store.close()
    symlinkSync(`${file()}.ahead`, `${file()}.ahead`)
    expect(() => loadState(paths, 'sessions', 'a')).toThrow(
      expect.objectContaining({ code: 'HF205', message: expect.stringMatching(/ahead.*ELOOP/) as string }),
    )
  })

  test('that is a directory', async () => {
    await prepareStateDir(paths, ['sessions'])
    mkdirSync(file())
    expect(() => loadState(paths, 'sessions', 'a')).toThrow(expect.objectContaining({ code: 'HF205' }))
  })
})

describe('a state file of an earlier version', () => {
  test('is read, and what it does not know has its first value', () => {
    const { votesHeard: _none, vote: _neither, writesHeldSinceMs: _nor, ...old } = state('a', { epoch: 3 })
    expect(parseState(JSON.stringify(old), 'f')).toMatchObject({ epoch: 3, votesHeard: [], vote: null, writesHeldSinceMs: null })
  })
})

describe('a disk that does not take it', () => {
  test('the folder is gone: an outcome, no exception', async () => {
    const outcome = await store.save(state('a'))
    expect(outcome.done).toBe(false)
    expect(!outcome.done && outcome.why).toContain(file())
  })

  test('neither the new file can be opened nor what goes ahead of it: the old state is untouched', async () => {
    await prepareStateDir(paths, ['sessions'])
    await store.save(state('a', { epoch: 3 }))
    await store.close()
    mkdirSync(`${file()}.new`)
    mkdirSync(`${file()}.ahead`)
    const other = openStore(paths, 'sessions')
    expect((await other.save(state('a', { epoch: 4 }))).done).toBe(false)
    expect(JSON.parse(readFileSync(file(), 'utf8'))).toMatchObject({ epoch: 3 })
    expect(loadState(paths, 'sessions', 'a').epoch).toBe(3)
  })

  test('the state directory cannot be made: HF205', async () => {
    writeFileSync(`${dir}/state`, 'a file in its place')
    await expect(prepareStateDir(paths, ['sessions'])).rejects.toThrow(expect.objectContaining({ code: 'HF205' }))
  })
})

test('nothing stays open, whether it was written or not', async () => {
  await prepareStateDir(paths, ['sessions'])
  mkdirSync(`${file()}.ahead`) // nothing goes ahead: each of them is for the file
  for (let epoch = 1; epoch < 10; epoch += 1) await store.save(state('a', { epoch }))
  mkdirSync(`${file()}.new`)
  for (let epoch = 10; epoch < 20; epoch += 1) await store.save(state('a', { epoch }))
  await expect.poll(() => openFilesOf(dir)).toBe(0)
  expect(loadState(paths, 'sessions', 'a').epoch).toBe(9)
})
