/** What an operator finds in a store after things have gone wrong, and what is thinned out then. */
import { randomBytes } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import { alarmsOf, type Catalog } from '../../src/backup/catalog.ts'
import { backupId, dataName, paperName, supersedes, type Said, type Tested } from '../../src/backup/manifest.ts'
import { readCatalog } from '../../src/dump/catalog.ts'
import { prove, putPaper } from '../../src/dump/paper.ts'
import { pruneStore, type PruneOptions, type Pruned } from '../../src/dump/prune.ts'
import type { Keep } from '../../src/model/config.ts'
import type { Store } from '../../src/store/store.ts'
import { layBackup, memoryStore, rdbOf, type MemoryStore } from './stored-backups.ts'

const signal = new AbortController().signal
const group = 'cache'
const hourMs = 3_600_000
const at = (iso: string): number => new Date(iso).getTime()
const now = at('2026-11-21T18:30:00Z')
const rdb = rdbOf(Buffer.alloc(100, 7))
const keepTwo: Keep = { hourly: 2, daily: 0, weekly: 0, monthly: 0 }

interface Wanted {
  readonly key?: Buffer
  readonly tested?: Partial<Said<Tested>> | null
}

/** The hour of its moment is its name here. */
async function lay(store: MemoryStore, iso: string, { key, tested = {} }: Wanted = {}): Promise<string> {
  const id = backupId(new Date(iso).toISOString(), randomBytes(4).toString('hex'))
  const manifest = await layBackup(store, { id, group, rdb, compression: 'gzip', key: key ?? null, atWallMs: at(iso) })
  if (tested !== null) await putPaper(store, group, 'tested', { ...goodTest(id, manifest.sha256, at(iso) + 60_000), ...tested }, key ?? null, signal)
  return id
}

function goodTest(id: string, manifestSha256: string, atWallMs: number): Said<Tested> {
  return { format: 1, id, manifestSha256, atWallMs, ok: true, fault: null, found: 'compared', loadMs: 10, fetchMs: 5, keys: 1000, serverVersion: '7.0.15' }
}

async function look(store: Store, key: Buffer | null = null): Promise<Catalog> {
  const read = await readCatalog(store, group, signal, key)
  if (!read.ok) throw new Error(read.why)
  return read.value
}

const states = ({ backups }: Catalog): readonly (readonly [string, string])[] => backups.map(({ manifest, state }) => [manifest.id, state])

describe('what lies there', () => {
  test('youngest first, each with what its test has shown', async () => {
    const store = memoryStore()
    const good = await lay(store, '2026-11-21T16:00:00Z')
    const bad = await lay(store, '2026-11-21T17:00:00Z', { tested: { ok: false, fault: 'refused', found: 'redis does not load it' } })
    const fresh = await lay(store, '2026-11-21T18:00:00Z', { tested: null })
    expect(states(await look(store))).toEqual([
      [fresh, 'untested'],
      [bad, 'bad'],
      [good, 'good'],
    ])
  })

  test('a test result of other bytes, one that was changed, one of a keyed backup that the key does not prove: none makes it good, and none makes it go', async () => {
    const [store, key] = [memoryStore(), randomBytes(32)]
    const other = await lay(store, '2026-11-21T15:00:00Z', { tested: { manifestSha256: 'a'.repeat(64) } })
    const changed = await lay(store, '2026-11-21T16:00:00Z')
    const name = paperName(group, changed, 'tested')
    store.objects.set(name, Buffer.from(String(store.objects.get(name)).replace('"keys": 1000', '"keys": 9000')))
    const forged = await lay(store, '2026-11-21T17:00:00Z', { key, tested: null })
    const { manifest } = (await look(store, key)).backups.find((backup) => backup.manifest.id === forged) ?? {}
    store.objects.set(paperName(group, forged, 'tested'), prove('tested', goodTest(forged, manifest?.sha256 ?? '', now), null).bytes)
    const last = await lay(store, '2026-11-21T18:00:00Z')
    const catalog = await look(store, key)
    expect(states(catalog)).toEqual([
      [last, 'good'],
      [forged, 'untested'],
      [changed, 'untested'],
      [other, 'untested'],
    ])
    expect(catalog.backups.slice(1).map(({ unclear }) => unclear)).toEqual([
      'its test result does not count (it is of another backup, or was written without the key): test it again',
      'its test result does not count (it was changed: its checksum is not that of its bytes): test it again',
      'its test result does not count (it is of other bytes): test it again',
    ])
    const pruned = await thinned(store, { keep: { ...keepTwo, hourly: 1 }, wallMs: now, key })
    expect(pruned.every(({ step }) => step === 'leave')).toBe(true)
  })

  test('a manifest that is broken, of a newer Holdfast, of another group or of another backup is shown, not counted, and never removed', async () => {
    const store = memoryStore()
    const last = await lay(store, '2026-11-21T18:00:00Z')
    const [broken, newer, foreign, moved] = [1, 2, 3, 4].map((day) => `2026010${day}T000000Z-00000000`) as [string, string, string, string]
    const whole = String(store.objects.get(paperName(group, last, 'manifest')))
    store.objects.set(paperName(group, broken, 'manifest'), Buffer.from(whole.slice(0, 200)))
    store.objects.set(paperName(group, newer, 'manifest'), Buffer.from('{ "format": 2, "id": "whatever a later Holdfast writes" }'))
    const strange = await layBackup(store, { id: foreign, group: 'cart', rdb, compression: 'none', key: null })
    store.objects.set(paperName(group, foreign, 'manifest'), prove('manifest', strange, null).bytes)
    store.objects.set(paperName(group, moved, 'manifest'), Buffer.from(whole))
    store.objects.set(`${group}/notes.txt`, Buffer.from('of an operator'))
    store.objects.set(`${group}/20260105T000000Z-00000000/dump.rdb`, Buffer.from('of an operator'))
    const { backups, others } = await look(store)
    expect(backups.map(({ manifest }) => manifest.id)).toEqual([last])
    expect(Object.fromEntries(others.map(({ id, kind, why }) => [id, `${kind}: ${why}`]))).toEqual({
      [broken]: 'broken: its manifest: it does not end as Holdfast writes it',
      [newer]: 'newer: its manifest: it has format 2, of a newer Holdfast',
      [foreign]: expect.stringContaining('foreign: it is of the group cart'),
      [moved]: `broken: its manifest is that of ${last}`,
      'notes.txt': 'foreign: it is not of Holdfast',
      '20260105T000000Z-00000000': 'foreign: dump.rdb is not of Holdfast',
    })
    const before = new Map(store.objects)
    for (const wallMs of [now, now + 25 * hourMs]) await thinned(store, { keep: keepTwo, wallMs, phases: 'at-once' })
    expect(store.objects).toEqual(before)
  })

  test('its dataset is gone, or shorter than it was written: bad at once, whatever its test has said', async () => {
    const store = memoryStore()
    const [gone, short] = [await lay(store, '2026-11-21T16:00:00Z'), await lay(store, '2026-11-21T17:00:00Z')]
    store.objects.delete(dataName(group, gone))
    store.objects.set(dataName(group, short), Buffer.alloc(3))
    expect((await look(store)).backups.map(({ state, wrong }) => [state, wrong])).toEqual([
      ['bad', expect.stringMatching(/^its dataset has 3 bytes, and \d+ were written$/)],
      ['bad', 'its dataset is not there'],
    ])
  })

  test('a store that answers for some names and not for others is not read at all', async () => {
    const store = memoryStore()
    await lay(store, '2026-11-21T16:00:00Z')
    const ill: Store = { ...store, get: (name, asked) => (name.includes('tested') ? Promise.resolve({ ok: false, why: 'HTTP 503' }) : store.get(name, asked)) }
    expect(await readCatalog(ill, group, signal, null)).toEqual({ ok: false, why: expect.stringContaining('HTTP 503') })
  })

  test('one that another host removes while it is read is simply not there', async () => {
    const store = memoryStore()
    const [going, stays] = [await lay(store, '2026-11-21T16:00:00Z'), await lay(store, '2026-11-21T17:00:00Z')]
    const racing: Store = {
      ...store,
      get: (name, asked) => {
        if (name.includes(going)) store.objects.delete(paperName(group, going, 'manifest'))
        return store.get(name, asked)
      },
    }
    expect(states(await look(racing))).toEqual([[stays, 'good']])
  })

  test('a later test by a redis that is too old does not undo a good one; damaged bytes do', () => {
    const said = goodTest('20261121T160000Z-00000000', 'a'.repeat(64), now)
    const good = prove('tested', said, null).value
    expect(supersedes({ ...said, ok: false, fault: 'refused' }, good)).toBe(false)
    expect(supersedes({ ...said, ok: false, fault: 'stored' }, good)).toBe(true)
    expect(supersedes({ ...said, ok: false, fault: 'refused' }, null)).toBe(true)
    expect(supersedes(said, prove('tested', { ...said, ok: false, fault: 'refused' }, null).value)).toBe(true)
  })

  test('alarms: old, bad, shrunk, not encrypted, not tested', async () => {
    const store = memoryStore()
    const full = await lay(store, '2026-11-21T10:00:00Z')
    const last = await lay(store, '2026-11-21T11:00:00Z', { tested: { keys: 3 } })
    const bad = await lay(store, '2026-11-21T12:00:00Z', { tested: { ok: false, fault: 'stored', found: 'changed' } })
    const waiting = await lay(store, '2026-11-21T13:00:00Z', { tested: null })
    expect(alarmsOf(await look(store), { dueEveryMs: hourMs, encrypted: true }, now)).toEqual([
      'the last good backup is 7 hours old',
      `1 of 4 bad: ${bad}`,
      `1 not tested an hour after they were taken: ${waiting}`,
      `${last} has 3 keys, the one before it 1000: if that is an accident, hold ${full}`,
      expect.stringMatching(/^a key is configured, and 4 are not encrypted/),
    ])
    expect(alarmsOf(await look(memoryStore()), { dueEveryMs: hourMs, encrypted: false }, now)).toEqual(['there is no backup'])
  })
})

interface Run {
  readonly keep: Keep
  readonly wallMs: number
  readonly key?: Buffer
  readonly phases?: PruneOptions['phases']
  readonly dryRun?: boolean
}

async function thinned(store: Store, { keep, wallMs, key, phases = 'both', dryRun = false }: Run): Promise<readonly Pruned[]> {
  const result = await pruneStore(store, await look(store, key ?? null), keep, 48 * hourMs, wallMs, { dryRun, phases, key: key ?? null, signal, stream: null })
  if (!result.ok) throw new Error(result.why)
  return result.value.all
}

const steps = (pruned: readonly Pruned[]): readonly string[] => pruned.map(({ step }) => step)

describe('thinning out', () => {
  const hours = ['14', '15', '16', '17', '18'].map((hour) => `2026-11-21T${hour}:00:00Z`)
  const five = async (more: Wanted = {}): Promise<MemoryStore> => {
    const store = memoryStore()
    for (const hour of hours) await lay(store, hour, more)
    return store
  }

  test('a dry run changes nothing; marked today, removed tomorrow, and not an hour earlier', async () => {
    const store = await five()
    const before = new Map(store.objects)
    const plan = await thinned(store, { keep: keepTwo, wallMs: now, dryRun: true })
    expect(steps(plan)).toEqual(['leave', 'leave', 'condemn', 'condemn', 'condemn'])
    expect(store.objects).toEqual(before)
    expect(steps(await thinned(store, { keep: keepTwo, wallMs: now }))).toEqual(steps(plan))
    expect(steps(await thinned(store, { keep: keepTwo, wallMs: now + 23 * hourMs }))).toEqual(['leave', 'leave', 'wait', 'wait', 'wait'])
    expect(steps(await thinned(store, { keep: keepTwo, wallMs: now + 24 * hourMs }))).toEqual(['leave', 'leave', 'remove', 'remove', 'remove'])
    expect([...store.objects.keys()].filter((name) => /T1[456]/.test(name))).toEqual([])
    expect((await look(store)).backups).toHaveLength(2)
  })

  test('two hosts at once: the second renews no mark, and stumbles over nothing that is gone', async () => {
    const store = await five()
    const seen = await look(store)
    await thinned(store, { keep: keepTwo, wallMs: now })
    await thinned(store, { keep: keepTwo, wallMs: now + 23 * hourMs })
    const catalog = await look(store)
    expect(catalog.backups.at(-1)?.condemned?.atWallMs).toBe(now)
    const both = await Promise.all(
      [1, 2].map(() => pruneStore(store, catalog, keepTwo, 48 * hourMs, now + 25 * hourMs, { dryRun: false, phases: 'both', key: null, signal, stream: null })),
    )
    expect(both.map((result) => result.ok && result.value.all.every(({ failed }) => failed === null))).toEqual([true, true])
    expect((await look(store)).backups).toHaveLength(2)
    expect(seen.backups).toHaveLength(5)
  })

  test('the policy asks for it again, or somebody holds it: its mark is taken away', async () => {
    const store = await five()
    await thinned(store, { keep: keepTwo, wallMs: now })
    const [, , third, fourth] = (await look(store)).backups
    const id = fourth?.manifest.id ?? ''
    await putPaper(store, group, 'held', { format: 1, id, atWallMs: now, by: 'anna', reason: 'audit' }, null, signal)
    const pruned = await thinned(store, { keep: { ...keepTwo, hourly: 3 }, wallMs: now + 25 * hourMs })
    expect(steps(pruned)).toEqual(['leave', 'leave', 'pardon', 'pardon', 'remove'])
    expect(pruned[3]?.why).toBe('held by anna: audit')
    expect((await look(store)).backups.find(({ manifest }) => manifest.id === third?.manifest.id)?.condemned).toBeNull()
  })

  test('held after the verdict, and before its removal: it stays', async () => {
    const store = await five()
    await thinned(store, { keep: keepTwo, wallMs: now })
    const catalog = await look(store)
    const id = catalog.backups[4]?.manifest.id ?? ''
    await putPaper(store, group, 'held', { format: 1, id, atWallMs: now, by: 'anna', reason: 'audit' }, null, signal)
    const result = await pruneStore(store, catalog, keepTwo, 48 * hourMs, now + 25 * hourMs, { dryRun: false, phases: 'both', key: null, signal, stream: null })
    expect(result.ok && result.value.all.at(-1)?.failed).toBe('it is held since a moment ago')
    expect((await look(store)).backups.map(({ manifest }) => manifest.id)).toContain(id)
  })

  test('the last good one turns out to be damaged between the verdict and the first removal: nothing is removed', async () => {
    const store = await five()
    await thinned(store, { keep: keepTwo, wallMs: now })
    const catalog = await look(store)
    const { id = '', sha256 = '' } = catalog.backups[0]?.manifest ?? {}
    await putPaper(store, group, 'tested', { ...goodTest(id, sha256, now), ok: false, fault: 'stored', found: 'changed' }, null, signal)
    const before = new Map(store.objects)
    const result = await pruneStore(store, catalog, keepTwo, 48 * hourMs, now + 25 * hourMs, { dryRun: false, phases: 'both', key: null, signal, stream: null })
    expect(result).toEqual({ ok: false, why: `nothing more is removed: the last good backup, ${id}, is not good any more` })
    expect(store.objects).toEqual(before)
  })

  test('killed in the middle of a removal: what is left is no backup, and the next run ends it', async () => {
    const store = await five()
    await thinned(store, { keep: keepTwo, wallMs: now })
    let removals = 0
    const dying: Store = {
      ...store,
      remove: (name) => {
        removals += 1
        return removals > 1 ? Promise.resolve({ ok: false, why: 'killed' }) : store.remove(name)
      },
    }
    await thinned(dying, { keep: keepTwo, wallMs: now + 25 * hourMs })
    const half = await look(store)
    expect([half.backups.length, half.others.map(({ kind }) => kind)]).toEqual([4, ['leftover']])
    const pruned = await thinned(store, { keep: keepTwo, wallMs: now + 25 * hourMs })
    expect(steps(pruned)).toEqual(['leave', 'leave', 'remove', 'remove', 'remove'])
    expect((await look(store)).others).toEqual([])
  })

  test('an upload that ended early: marked after a day, removed after another; one that ends meanwhile is a backup', async () => {
    const store = memoryStore()
    await lay(store, '2026-11-21T18:00:00Z')
    const [dead, slow] = ['20261120T000000Z-00000001', '20261120T000000Z-00000002']
    for (const id of [dead, slow]) store.objects.set(dataName(group, id), Buffer.alloc(10))
    store.objects.set(dataName(group, '20261121T180000Z-00000003'), Buffer.alloc(10))
    const first = await thinned(store, { keep: keepTwo, wallMs: now, phases: 'at-once' })
    expect(first.slice(1).map(({ id, step }) => [id, step])).toEqual([
      ['20261121T180000Z-00000003', 'leave'],
      [slow, 'condemn'],
      [dead, 'condemn'],
    ])
    const catalog = await look(store)
    await layBackup(store, { id: slow, group, rdb, compression: 'none', key: null, atWallMs: at('2026-11-20T00:00:00Z') })
    const result = await pruneStore(store, catalog, keepTwo, 48 * hourMs, now + 24 * hourMs, { dryRun: false, phases: 'both', key: null, signal, stream: null })
    expect(result.ok && result.value.all.slice(2).map(({ id, step, failed }) => [id, step, failed])).toEqual([
      [slow, 'remove', 'its upload has ended a moment ago'],
      [dead, 'remove', null],
    ])
    expect((await look(store)).backups.map(({ manifest }) => manifest.id)).toContain(slow)
  })

  test('encrypted, and the key is not here: nothing is marked, nothing goes, and an alarm says so', async () => {
    const key = randomBytes(32)
    const store = await five({ key })
    const before = new Map(store.objects)
    const without = await pruneStore(store, await look(store), keepTwo, 48 * hourMs, now, { dryRun: false, phases: 'both', key: null, signal, stream: null })
    expect(without).toMatchObject({ ok: false, why: expect.stringContaining('is not its key') as string })
    const strange = await look(store, randomBytes(32))
    expect(alarmsOf(strange, { dueEveryMs: hourMs, encrypted: true }, now).join()).toContain('5 of 5 are encrypted, and the key at hand, if any, is not theirs')
    expect(store.objects).toEqual(before)
    await thinned(store, { keep: keepTwo, wallMs: now, key })
    expect(steps(await thinned(store, { keep: keepTwo, wallMs: now + 24 * hourMs, key }))).toEqual(['leave', 'leave', 'remove', 'remove', 'remove'])
  })

  test('a mark from a clock that was a year ahead counts from today', async () => {
    const store = await five()
    await thinned(store, { keep: keepTwo, wallMs: now, phases: 'mark' })
    const id = (await look(store)).backups[4]?.manifest.id ?? ''
    await putPaper(store, group, 'condemned', { format: 1, id, atWallMs: now + 365 * 24 * hourMs, why: '' }, null, signal)
    expect(steps(await thinned(store, { keep: keepTwo, wallMs: now + hourMs }))).toEqual(['leave', 'leave', 'wait', 'wait', 'condemn'])
    expect(steps(await thinned(store, { keep: keepTwo, wallMs: now + 24 * hourMs }))).toEqual(['leave', 'leave', 'remove', 'remove', 'wait'])
  })
})
