/** What is kept, as the agent gives it out: with and without manifests, in pages, with a journal that only one writer goes on with. */
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { keptStore, type KeptStore } from '../../src/agent/kept-store.ts'
import { agentRoutes } from '../../src/api/routes.ts'
import type { ReplayLine } from '../../src/model/kept.ts'
import { keptWrites } from './builders.ts'
import { surface } from './wire.ts'

let dir: string
let store: KeptStore
const manifest = keptWrites({ id: 'epoch-1-from-a-offset-40', fromOffset: 31, toOffset: 40, bytes: 10, commands: 1 })
const line = (what: ReplayLine['what'], items: readonly string[] = [], text = ''): ReplayLine => ({ atWallMs: 3, by: 'anna', run: 'r', what, items, text })

beforeEach(() => {
  dir = mkdtempSync(`${tmpdir()}/holdfast-kept-`)
  mkdirSync(`${dir}/sessions/kept`, { recursive: true })
  const file = (name: string, text: string) => writeFileSync(`${dir}/sessions/kept/${name}`, text)
  file(`${manifest.id}.json`, JSON.stringify(manifest))
  file(`${manifest.id}.resp`, '0123456789')
  file('epoch-3-from-a-offset-777.rdb', 'REDIS0010')
  file('epoch-4-from-a-offset-5.part', 'half')
  file('notes.txt', 'no copy')
  store = keptStore({ state: dir, run: dir, redisServer: '', redisSentinel: '', keepalived: '' }, 'sessions', 'a', () => {})
})
afterEach(() => rmSync(dir, { recursive: true, force: true }))

describe('the list', () => {
  test('has what has a manifest, and an RDB of an older version without one; nothing half made', async () => {
    const list = await store.list()
    expect(list.map((k) => [k.id, k.kind, k.epoch, k.bytes, k.toOffset, k.seenAtWallMs])).toEqual([
      [manifest.id, 'commands', 1, 10, 40, null],
      ['epoch-3-from-a-offset-777', 'dataset', 3, 9, 777, null],
    ])
  })

  test('a damaged manifest does not hide the dataset beside it', async () => {
    writeFileSync(`${dir}/sessions/kept/epoch-3-from-a-offset-777.json`, '{"format":1')
    expect((await store.list()).map((k) => k.id)).toContain('epoch-3-from-a-offset-777')
  })

  test('no folder yet: nothing is kept', async () => {
    rmSync(`${dir}/sessions`, { recursive: true })
    expect(await store.list()).toEqual([])
  })
})

describe('one copy', () => {
  test('in pages', async () => {
    expect(await store.page(manifest.id, 4, 3)).toEqual({ offset: 4, totalBytes: 10, base64: Buffer.from('456').toString('base64') })
    expect((await store.page(manifest.id, 100, 3))?.base64).toBe('')
  })

  test.each(['../state', '', '.', 'epoch-1-from-a-offset-40/../x', 'nothing'])('%j is none', async (id) => {
    expect(await store.page(id, 0, 10)).toBeNull()
    expect(await store.journal(id)).toBeNull()
    expect(await store.append(id, line('begin'), 0)).toBe('missing')
    expect(await store.seen(id, 'anna', 1)).toBe(false)
  })

  test('seen once: the first one counts, also for a copy that had no manifest', async () => {
    await store.seen('epoch-3-from-a-offset-777', 'anna', 5)
    await store.seen('epoch-3-from-a-offset-777', 'ben', 6)
    expect((await store.list()).find((k) => k.epoch === 3)).toMatchObject({ seenAtWallMs: 5, seenBy: 'anna', kind: 'dataset', bytes: 9 })
  })
})

describe('the journal', () => {
  test('of two writers one goes on, and the other is told', async () => {
    const answers = await Promise.all([store.append(manifest.id, line('begin'), 0), store.append(manifest.id, line('begin'), 0)])
    expect(answers.toSorted()).toEqual([1, 'overtaken'])
    expect(await store.append(manifest.id, line('applied', ['0', '1']), 1)).toBe(2)
    expect(await store.append(manifest.id, line('end', [], 'complete'), 2)).toBe(3)
    expect((await store.list())[0]?.replay).toEqual({ applied: 2, lastAtWallMs: 3, by: 'anna', complete: true })
  })

  test('half a line of a crash spoils neither the lines before nor those after', async () => {
    await store.append(manifest.id, line('begin'), 0)
    const file = `${dir}/sessions/kept/${manifest.id}.journal`
    writeFileSync(file, `${readFileSync(file, 'utf8')}{"atWallMs":4,"wh`)
    expect(await store.append(manifest.id, line('intent', ['7']), 1)).toBe(2)
    expect((await store.journal(manifest.id))?.map((l) => l.what)).toEqual(['begin', 'intent'])
  })
})

describe('over HTTP', () => {
  const app = () => agentRoutes(surface({ groups: () => ['sessions'], kept: (g) => (g === 'sessions' ? store : null) }))
  const post = (path: string, body: unknown) => app().request(path, { method: 'POST', body: JSON.stringify(body) })

  test('list, pages and journal; what does not exist is 404, what is no line is 400', async () => {
    expect(await (await app().request('/groups/sessions/kept')).json()).toMatchObject({ kept: [{ id: manifest.id }, {}] })
    expect((await app().request('/groups/other/kept')).status).toBe(404)
    expect((await app().request('/groups/sessions/kept/nothing/content')).status).toBe(404)
    expect(await (await app().request(`/groups/sessions/kept/${manifest.id}/content?offset=8&limit=1e9`)).json()).toMatchObject({
      base64: Buffer.from('89').toString('base64'),
    })
    expect((await app().request('/groups/sessions/kept/..%2F..%2Fstate/content')).status).toBe(404)
    const path = `/groups/sessions/kept/${manifest.id}/journal`
    for (const bad of [
      null,
      {},
      { line: line('begin') },
      { line: { ...line('begin'), what: 'x' }, expectLines: 0 },
      { line: { ...line('begin'), items: [7] }, expectLines: 0 },
    ])
      expect((await post(path, bad)).status).toBe(400)
    expect(await (await post(path, { line: line('begin'), expectLines: 0 })).json()).toEqual({ lines: 1 })
    expect(await (await post(path, { line: line('begin'), expectLines: 0 })).json()).toEqual({ lines: null })
    expect((await post(`/groups/sessions/kept/${manifest.id}/seen`, { by: 'anna', atWallMs: 9 })).status).toBe(200)
  })
})
