/** The budget of what is kept: seen and old or too much goes, unseen never; and the backlog that is to hold a minute of writes. */
import { existsSync, mkdirSync, mkdtempSync, rmSync, utimesSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { describe, expect, onTestFinished, test } from 'vitest'
import { keptStore } from '../../src/agent/kept-store.ts'
import { tidyKept } from '../../src/agent/kept-budget.ts'
import { adviseBacklog } from '../../src/decide/backlog.ts'
import { decide } from '../../src/decide/decide.ts'
import { writeMeter } from '../../src/observe/write-meter.ts'
import { parseInfo } from '../../src/redis/info.ts'
import type { KeptEntry } from '../../src/model/kept.ts'
import { tidy } from '../../src/salvage/budget.ts'
import { facts, policy, primaryFacts, probe, state, view } from './builders.ts'

const dayMs = 86_400_000
const nowMs = 100 * dayMs
const limits = { maxBytes: 1000, maxAgeMs: 30 * dayMs, graceMs: dayMs }

function kept(id: string, ageDays: number, more: Partial<KeptEntry> = {}): KeptEntry {
  return {
    format: 1,
    id,
    group: 'sessions',
    host: 'a',
    kind: 'dataset',
    epoch: 1,
    replid: '',
    fromOffset: null,
    toOffset: null,
    bytes: 100,
    commands: null,
    keys: null,
    databases: null,
    startDatabase: null,
    forkedAtWallMs: null,
    keptAtWallMs: nowMs - ageDays * dayMs,
    sha256: null,
    why: '',
    seenAtWallMs: nowMs - 2 * dayMs,
    seenBy: 'anna',
    replay: null,
    ...more,
  }
}
const unseen = { seenAtWallMs: null, seenBy: null }
const replayed = { replay: { applied: 1, lastAtWallMs: nowMs - 2 * dayMs, by: 'anna', complete: true } }
const ids = (...list: readonly KeptEntry[]) => tidy(list, limits, nowMs).remove.map((r) => r.id)

describe('what is kept', () => {
  test('old and seen goes; young, or looked at a moment ago, stays', () => {
    expect(ids(kept('old', 31), kept('young', 29), kept('looked', 31, { seenAtWallMs: nowMs - 1000 }))).toEqual(['old'])
  })

  test('too much: those that were replayed first, then the oldest, and no more than needed', () => {
    expect(ids(kept('a', 9, { bytes: 600 }), kept('b', 8, { bytes: 600 }), kept('c', 7, { bytes: 300, ...replayed }))).toEqual(['c', 'a'])
    expect(ids(kept('a', 9, { bytes: 600 }), kept('c', 7, { bytes: 600, ...replayed }))).toEqual(['c'])
  })

  test('unseen is never removed, however old and large: it is an alarm', () => {
    const result = tidy([kept('new', 1, { bytes: 5000, ...unseen }), kept('old', 99, unseen)], limits, nowMs)
    expect(result.remove).toEqual([])
    expect(result.alarm).toMatch(/nobody has looked at it: new, old.*salvage list sessions/)
    expect(tidy([kept('fine', 1, unseen)], limits, nowMs).alarm).toBeNull()
  })

  test('a replay that is under way keeps its file', () => {
    expect(ids(kept('x', 99, { replay: { applied: 1, lastAtWallMs: nowMs - 1000, by: 'anna', complete: false } }))).toEqual([])
  })

  test('on disk: the copy and its manifest go, the journal stays, it is told; half a capture of yesterday goes', async () => {
    const dir = mkdtempSync(`${tmpdir()}/holdfast-budget-`)
    onTestFinished(() => rmSync(dir, { recursive: true, force: true }))
    const folder = `${dir}/sessions/kept`
    mkdirSync(folder, { recursive: true })
    const store = keptStore({ state: dir, run: dir, redisServer: '', redisSentinel: '', keepalived: '' }, 'sessions', 'a', () => {})
    for (const [name, ageDays] of [
      ['epoch-1-from-a-offset-1.rdb', 40],
      ['epoch-2-from-a-offset-1.rdb', 40],
      ['x.part', 2],
      ['y.part', 0],
    ] as const) {
      writeFileSync(`${folder}/${name}`, 'x')
      utimesSync(`${folder}/${name}`, new Date(nowMs - ageDays * dayMs), new Date(nowMs - ageDays * dayMs))
    }
    await store.seen('epoch-1-from-a-offset-1', 'anna', nowMs - 2 * dayMs)
    await store.append('epoch-1-from-a-offset-1', { atWallMs: 1, by: 'anna', run: 'r', what: 'begin', items: [], text: '' }, 0)
    const told: string[] = []
    const alarm = await tidyKept(folder, store, limits, nowMs, (kind, text) => told.push(`${kind} ${text}`))
    expect(alarm).toMatch(/epoch-2-from-a-offset-1/)
    expect(told.join()).toMatch(/^kept epoch-1-from-a-offset-1 was removed: .*seen by anna/)
    const left = (name: string) => existsSync(`${folder}/${name}`)
    expect(['epoch-1-from-a-offset-1.rdb', 'epoch-1-from-a-offset-1.json', 'x.part'].filter(left)).toEqual([])
    expect(['epoch-1-from-a-offset-1.journal', 'epoch-2-from-a-offset-1.rdb', 'y.part'].filter((n) => !left(n))).toEqual([])
  })
})

const mib = 1_048_576
const withBacklog = (sizeMib: number, mibPerS: number, capMib: number, version = '7.0.15') =>
  view('a', [], { redis: probe({ facts: primaryFacts({ version }), backlog: { sizeBytes: sizeMib * mib, capBytes: capMib * mib, bytesPerS: mibPerS * mib } }) })

describe('the backlog', () => {
  test.each<[string, number, number, number, number | null]>([
    ['holds a minute already', 64, 1, 1000, null],
    ['a minute of the highest rate', 64, 2, 1000, 120],
    ['no more than the memory allows', 64, 10, 200, 200],
    ['never smaller', 64, 0, 8, null],
    ['a little more is not worth it', 64, 1.1, 1000, null],
    ['the least', 0, 0, 1000, 1],
  ])('%s', (_what, size, rate, cap, wanted) => {
    const action = adviseBacklog(withBacklog(size, rate, cap), policy())?.action ?? null
    expect(action).toEqual(wanted === null ? null : { kind: 'grow-backlog', bytes: wanted * mib })
  })

  test('is decided in a calm cycle, not for an external redis, not where it would empty it; and then it is said', () => {
    const kinds = (v: ReturnType<typeof withBacklog>, p = policy()) => decide(state('a', { phase: 'primary' }), v, p).actions.map((a) => a.kind)
    expect(kinds(withBacklog(64, 2, 1000))).toContain('grow-backlog')
    expect(kinds(withBacklog(64, 2, 1000), { ...policy(), external: true })).not.toContain('grow-backlog')
    expect(kinds(withBacklog(64, 2, 1000, '6.2.7'))).not.toContain('grow-backlog')
    expect(adviseBacklog(withBacklog(64, 2, 1000), { ...policy(), external: true })?.warning).toMatch(/32 s.*120mb.*external/)
    expect(adviseBacklog(withBacklog(64, 2, 1000, '6.2.7'), policy())?.warning).toMatch(/before redis 7/)
  })

  test('the rate: the highest over a second or more, of one history, not that of a replica that catches up', () => {
    const info = 'repl_backlog_size:1048576\r\nmaxmemory:0\r\ntotal_system_memory:32000000\r\n'
    const meter = writeMeter()
    const saw = (offset: number, atMs: number, more = {}) => meter.saw(facts({ offset, ...more }), parseInfo(info), atMs)
    saw(0, 0)
    meter.saw(facts({ offset: 900 }), parseInfo(info.replace('1048576', '2097152')), 100) // too soon to say, but its size is seen at once
    expect(meter.backlog()).toMatchObject({ sizeBytes: 2_097_152, bytesPerS: 0 })
    saw(2000, 2000)
    expect(meter.backlog()).toEqual({ sizeBytes: 1_048_576, capBytes: 1_000_000, bytesPerS: 1000 })
    saw(2500, 3000)
    saw(900_000, 4000, { replid: 'other' })
    saw(900_100, 5000, { replid: 'other' })
    saw(900_200, 6000, { replid: 'other', linkUp: false })
    saw(9_900_000, 7000, { replid: 'other' })
    saw(9_900_100, 8000, { replid: 'other' })
    expect(meter.backlog()?.bytesPerS).toBe(1000)
  })
})
