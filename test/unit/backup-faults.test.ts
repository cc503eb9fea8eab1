/** A thousand faults in stored backups of every kind, by a fixed seed: what verify reads finds each of them before anything is restored. */
import { createHash, randomBytes } from 'node:crypto'
import { expect, test } from 'vitest'
import { backupId, dataName, paperName } from '../../src/backup/manifest.ts'
import { readCatalog, readFolder } from '../../src/dump/catalog.ts'
import { fetchRdb, FetchFailed } from '../../src/dump/fetch.ts'
import { dice } from '../sim/prng.ts'
import { faults, type Victim } from './backup-faults.ts'
import { compressions, layBackup, memoryStore, rdbOf, type MemoryStore } from './stored-backups.ts'

const seed = 20261121
const key = randomBytes(32)
const signal = new AbortController().signal
const group = 'cache'

interface Stored {
  readonly store: MemoryStore
  readonly victims: readonly Victim[]
}

/** Two of each kind; whatever is done to one can be done with parts of its sibling. */
async function stored(rdb: () => Buffer): Promise<Stored> {
  const store = memoryStore()
  const victims: Victim[] = []
  for (const encrypted of [false, true])
    for (const compression of compressions) {
      const ids: string[] = []
      for (const second of [1, 2]) {
        const id = backupId(`2026-11-21T18:15:0${second}.000Z`, createHash('sha256').update(`${compression}${encrypted}`).digest('hex').slice(0, 8))
        await layBackup(store, { id, group, rdb: rdb(), compression, key: encrypted ? key : null })
        ids.push(id)
      }
      const [one = '', two = ''] = ids
      victims.push({ id: one, other: two, group, encrypted }, { id: two, other: one, group, encrypted })
    }
  return { store, victims }
}

/** As `backup verify --all` looks: what lies there, and then every byte of it. null: nothing is found. */
async function foundBy(store: MemoryStore, victim: Victim): Promise<string | null> {
  const read = await readCatalog(store, group, signal, key)
  if (!read.ok) throw new Error(read.why)
  const backup = read.value.backups.find(({ manifest }) => manifest.id === victim.id)
  if (backup === undefined) return read.value.others.find(({ id }) => id === victim.id)?.why ?? null
  try {
    for await (const chunk of fetchRdb(store, backup.manifest, backup.manifest.encryption === null ? null : key, signal)) void chunk
    return null
  } catch (error) {
    if (error instanceof FetchFailed && error.about !== 'key') return error.message
    throw error
  }
}

test('1,000 faults, none is missed', { timeout: 60_000 }, async () => {
  const roll = dice(seed)
  // Only what has several frames can lose one of them; reading megabytes for each flipped bit would take minutes.
  const [small, large] = [await stored(() => rdbOf(randomBytes(30_000))), await stored(() => rdbOf(randomBytes(2_300_000)))]
  for (const { store, victims } of [small, large]) for (const victim of victims) expect(await foundBy(store, victim)).toBeNull()
  const missed: string[] = []
  const lines: string[] = []
  let done = 0
  for (const [times, name, fault] of faults) {
    const { store, victims } = name.includes('frame') ? large : small
    for (let time = 0; time < times; time += 1) {
      const victim = roll.pick(victims)
      const before = new Map(store.objects)
      fault(store.objects, victim, roll)
      const changed = [...before].filter(([object, bytes]) => store.objects.get(object)?.equals(bytes) !== true)
      expect(changed, `${name}: it must change something`).not.toEqual([])
      const found = await foundBy(store, victim)
      if (found === null) missed.push(`${name} ${victim.id} ${victim.encrypted}`)
      for (const [object, bytes] of before) store.objects.set(object, bytes)
      done += 1
    }
    lines.push(`${times} × ${name}`)
  }
  console.log(`backup faults: ${done} injected (seed ${seed}), ${missed.length} missed\n  ${lines.join('\n  ')}`)
  expect(missed).toEqual([])
  expect(done).toBe(1000)
})

test('every single bit of a manifest, encrypted and not', { timeout: 60_000 }, async () => {
  const { store, victims } = await stored(() => rdbOf(randomBytes(1000)))
  for (const { id } of [victims[0], victims[6]].filter((victim) => victim !== undefined)) {
    const name = paperName(group, id, 'manifest')
    const whole = store.objects.get(name) ?? Buffer.alloc(0)
    for (let bit = 0; bit < whole.length * 8; bit += 1) {
      const bytes = Buffer.from(whole)
      bytes[bit >> 3] = (bytes[bit >> 3] ?? 0) ^ (1 << (bit & 7))
      store.objects.set(name, bytes)
      // Without the key: accidents are noticed by everybody.
      const read = await readFolderOf(store, id)
      expect(read, `bit ${bit}`).toBe(false)
    }
    store.objects.set(name, whole)
    expect(await readFolderOf(store, id)).toBe(true)
  }
})

async function readFolderOf(store: MemoryStore, id: string): Promise<boolean> {
  const read = await readFolder(store, group, id, { 'manifest.json': 1, dataset: store.objects.get(dataName(group, id))?.length ?? 0 }, null, signal)
  return read.ok && read.value?.manifest?.ok === true
}
