/** What redis could not read is moved aside, listed with its reason, counted in the budget, and never removed unseen. */
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { afterEach, beforeEach, expect, test } from 'vitest'
import type { RedisHands } from '../../src/act/redis.ts'
import { setAside } from '../../src/act/set-aside.ts'
import { tidyKept } from '../../src/agent/kept-budget.ts'
import { keptStore, type KeptStore } from '../../src/agent/kept-store.ts'
import { howToLook } from '../../src/salvage/look.ts'

const dayMs = 86_400_000
let dir: string
let data: string
let folder: string
let store: KeptStore
let hands: RedisHands
let notes: string[]

beforeEach(() => {
  dir = mkdtempSync(`${tmpdir()}/holdfast-aside-`)
  const paths = { state: dir, run: dir, redisServer: '', redisSentinel: '', keepalived: '' }
  data = `${dir}/sessions/data`
  folder = `${dir}/sessions/kept`
  mkdirSync(`${data}/appendonlydir`, { recursive: true })
  writeFileSync(`${data}/appendonlydir/appendonly.aof.manifest`, 'file torn')
  writeFileSync(`${data}/appendonlydir/appendonly.aof.1.base.rdb`, 'REDIS0010')
  store = keptStore(paths, 'sessions', 'a', () => {})
  notes = []
  const plain = { config: { paths }, group: { name: 'sessions' }, member: { host: 'a' }, diskChanged: () => {}, note: (text: string) => notes.push(text) }
  hands = plain as unknown as RedisHands
})
afterEach(() => rmSync(dir, { recursive: true, force: true }))

test('an AOF is listed: what, why, how much, when, where', async () => {
  expect(await setAside(hands, 'aof', 'its manifest is torn or no manifest')).toEqual({ done: true })
  expect(readdirSync(data)).toEqual([])
  const [entry, ...others] = await store.list()
  expect(others).toEqual([])
  expect(entry).toMatchObject({
    kind: 'aof',
    unreadable: true,
    bytes: 18,
    why: 'redis cannot read it: its manifest is torn or no manifest',
    seenAtWallMs: null,
  })
  expect(Math.abs((entry?.keptAtWallMs ?? 0) - Date.now())).toBeLessThan(60_000)
  expect(entry?.file).toBe(`${folder}/${entry?.id}.aof`)
  expect(readdirSync(entry?.file ?? '').sort()).toEqual(['appendonly.aof.1.base.rdb', 'appendonly.aof.manifest'])
  expect(notes.join()).toContain(entry?.file)
  expect(await store.page(entry?.id ?? '', 0, 10), 'a folder has no pages').toBeNull()
})

test('the AOF of an older redis beside it is moved as well, or it would be loaded next', async () => {
  writeFileSync(`${data}/appendonly.aof`, 'old')
  await setAside(hands, 'aof', 'torn')
  expect(readdirSync(data)).toEqual([])
  const list = await store.list()
  expect(list.map((k) => [k.kind, k.bytes]).toSorted()).toEqual([
    ['aof', 18],
    ['aof', 3],
  ])
  const old = list.find((k) => k.bytes === 3)
  expect(howToLook(old ?? failWith('listed')).join('\n')).toContain(`cp -r ${old?.file} /tmp/look/appendonly.aof`)
})

test('an RDB goes the same way, and may be tried in a newer redis', async () => {
  writeFileSync(`${data}/dump.rdb`, 'REDIS0099')
  await setAside(hands, 'rdb', 'format 99')
  const [entry] = await store.list()
  expect(entry).toMatchObject({ kind: 'dataset', unreadable: true, bytes: 9, why: 'redis cannot read it: format 99' })
  expect(howToLook(entry ?? failWith('listed')).join('\n')).toMatch(/redis-check-rdb[\s\S]*salvage replay sessions/)
})

test('its manifest is lost: still listed, and still not readable', async () => {
  await setAside(hands, 'aof', 'torn')
  for (const name of readdirSync(folder).filter((n) => n.endsWith('.json'))) rmSync(`${folder}/${name}`)
  expect(await store.list()).toMatchObject([{ kind: 'aof', unreadable: true, bytes: 18, why: 'redis could not read it; its manifest is lost' }])
})

test('the budget counts it: unseen it is an alarm and stays, seen it goes, whole', async () => {
  await setAside(hands, 'aof', 'torn')
  const [{ id = '' } = {}] = await store.list()
  const limits = { maxBytes: 10, maxAgeMs: 30 * dayMs, graceMs: dayMs }
  const told: string[] = []
  const look = (nowMs: number) => tidyKept(folder, store, limits, nowMs, (kind, text) => told.push(`${kind} ${text}`))
  expect(await look(Date.now() + 90 * dayMs)).toMatch(new RegExp(`nobody has looked at it: ${id}`))
  expect(existsSync(`${folder}/${id}.aof`)).toBe(true)
  await store.seen(id, 'anna', Date.now())
  expect(await look(Date.now() + 2 * dayMs)).toBeNull()
  expect(told.join()).toMatch(/was removed: .*seen by anna/)
  expect(readdirSync(folder)).toEqual([])
})

function failWith(what: string): never {
  throw new Error(`not ${what}`)
}
