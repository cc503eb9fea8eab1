/** A command that is looked for where something is missing, or where no backup may be used: what was not searched is told. */
import { describe, expect, test } from 'vitest'
import type { Backup, Catalog } from '../../src/backup/catalog.ts'
import { momentIn, momentJson, momentRows, type MomentOptions } from '../../src/cli/restore-moment.ts'
import { group, ping, secondMs, one, laid, begun, based, find, at, time, beforeLast, quiet, written } from './laid-moments.ts'
import type { Vault } from '../../src/cli/backup-open.ts'
import { memoryStore, type MemoryStore } from './stored-backups.ts'

describe('a segment is missing: what is not there was not searched, and a FLUSHALL may lie in it', () => {
  const iso = (second: number): string => new Date(second * secondMs).toISOString()
  async function holed(lost: number) {
    const { store, backups, ends } = await written()
    const name = [...store.objects.keys()].find((one) => one.includes(`-${String(ends[lost]).padStart(16, '0')}-`)) ?? ''
    expect(store.objects.delete(name)).toBe(true)
    const end = ends.at(-1) ?? 0
    const gap = { from: (ends[lost - 1] ?? 0) + 1, to: ends[lost] ?? 0, fromWallMs: lost * secondMs, toWallMs: (lost + 2) * secondMs }
    return { store, backups, ends, end, gap }
  }
  const from = async (store: MemoryStore, offset: number, second: number): Promise<Backup> => {
    const next = await based(store, { id: '20261121T191500Z-3f9a0b1c', atWallMs: second * secondMs })
    return { ...next, manifest: { ...next.manifest, position: { ...next.manifest.position, offset } } }
  }

  test('none was found: the gap, what lies unread behind it, and the last moment before it; no word of UNLINK', async () => {
    const { store, backups, end, gap } = await holed(3)
    const refusal = {
      code: 'HF833',
      message: `no FLUSHALL was found in the archived stream of cache, and it may lie where nothing could be searched: bytes ${gap.from} to ${gap.to}, ${iso(3)} to ${iso(5)}, are missing and were not searched, nor were bytes ${gap.to + 1} to ${end} behind them, for no usable backup lies before those`,
      hint: expect.stringMatching(new RegExp(`^--offset ${gap.from - 1} is the last moment before that; what can be searched is [^;]*$`)) as string,
    }
    await expect(find(store, backups, beforeLast('FLUSHALL'))).rejects.toMatchObject(refusal)
    expect((await find(store, backups, at(gap.from - 1))).to, 'and it is to be had').toBe(gap.from - 1)
  })

  test('a backup right behind it: what follows was searched; an untested one there is named', async () => {
    const { store, backups, gap } = await holed(3)
    const next = await from(store, gap.to, 4.5)
    await expect(find(store, [...backups, next], beforeLast('FLUSHALL'))).rejects.toMatchObject({
      message: expect.stringMatching(new RegExp(`: bytes ${gap.from} to ${gap.to}, ${iso(3)} to ${iso(4.5)}, are missing and were not searched$`)) as string,
    })
    const waiting: readonly Backup[] = [{ ...next, state: 'untested' }]
    await expect(find(store, backups, beforeLast('FLUSHALL'), null, null, waiting)).rejects.toMatchObject({
      hint: expect.stringContaining(`20261121T191500Z-3f9a0b1c (offset ${gap.to}) leads there, and is untested`) as string,
    })
  })

  test('an older one was found: a later one may lie in the gap behind it', async () => {
    const { store, backups, end, gap } = await holed(4)
    const moment = await find(store, backups, beforeLast('FLUSHALL'))
    expect(moment.unsearched).toEqual([{ ...gap, unreadTo: end }])
    expect(Object.fromEntries(momentRows(moment))).toMatchObject({
      gap: expect.stringMatching(new RegExp(`bytes ${gap.from} to ${gap.to}, .* are missing and were not searched, .*: a later one may lie there`)) as string,
    })
    expect(momentJson(moment)).toMatchObject({ unsearched: [{ from: gap.from, to: gap.to }] })
    expect((await find(store, backups, beforeLast('DEL user:*', 2))).unsearched, 'by then nothing was missing').toEqual([])
  })

  test('one that lies before what was found is of no interest', async () => {
    const { store, backups, gap } = await holed(1)
    const moment = await find(store, [...backups, await from(store, gap.to, 2)], beforeLast('FLUSHALL'))
    expect([moment.found?.words, moment.unsearched]).toEqual([['FLUSHALL'], []])
    expect(Object.fromEntries(momentRows(moment))).not.toHaveProperty('gap')
  })

  test('of many the last five are named, the first one says up to when all is there', async () => {
    const store = memoryStore()
    await begun(store, one, 101)
    const backups: Backup[] = [await based(store)]
    for (let n = 0; n < 7; n += 1) await laid(store, { from: 101 + n * 2 * ping.length, stream: ping, atMs: (n * 2 + 1) * secondMs })
    const refused = await find(store, backups, beforeLast('FLUSHALL')).catch((error: unknown) => error as { readonly message: string; readonly hint: string })
    expect(refused).toMatchObject({
      message: expect.stringContaining('1 older gap (holdfast backup stream cache); bytes 143 to 156, ') as string,
      hint: expect.stringMatching(/^--offset 114 is the last moment before the first of them; /) as string,
    })
  })
})

describe('a group that tests no backup', () => {
  const untested = async (store: MemoryStore): Promise<Backup> => ({ ...(await based(store)), state: 'untested' })
  const way = 'leads there, and is untested: holdfast backup test cache --untested tests it, --untested here begins at it as it is'

  test('what would lead there is named, and the two ways to it', async () => {
    const { store } = await quiet()
    const waiting = [await untested(store)]
    for (const wanted of [time('latest'), time(3), at(130), beforeLast('FLUSHALL')])
      await expect(find(store, [], wanted, null, null, waiting), JSON.stringify(wanted)).rejects.toMatchObject({
        code: 'HF831',
        hint: expect.stringContaining(`20261121T181500Z-3f9a0b1c (offset 100) ${way}`) as string,
      })
    await expect(find(store, [], time('latest'))).rejects.toMatchObject({ code: 'HF831', hint: expect.not.stringContaining('untested') as string })
  })

  test('nothing is archived but the name of the history: no word of an offset -1', async () => {
    const store = memoryStore()
    await begun(store, one, 101)
    await expect(find(store, [], time('latest'), null, null, [await untested(store)])).rejects.toMatchObject({
      message: 'there is no good backup in this history',
      hint: expect.stringContaining(way) as string,
    })
  })

  test('the command: nothing is said of them where they may be used, or where a backup is named', async () => {
    const { store } = await quiet()
    const vault = { store, group: { name: group }, key: null, signal: new AbortController().signal } as unknown as Vault
    const catalog: Catalog = { group, backups: [await untested(store)], others: [], files: [], broken: [], unread: [] } as unknown as Catalog
    const asked = (options: MomentOptions): Promise<unknown> => momentIn(vault, catalog, time('latest'), options)
    await expect(asked({})).rejects.toMatchObject({ code: 'HF831', hint: expect.stringContaining(way) as string })
    expect(await asked({ untested: true })).toMatchObject({ to: 142 })
    await expect(asked({ backup: '2026' })).rejects.toMatchObject({ code: 'HF815', message: '20261121T181500Z-3f9a0b1c is untested' })
  })
})
