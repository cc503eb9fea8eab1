/** Which moments a store has, and what is in the way of the others. Papers and segments by hand: no redis is needed to find one. */
import { describe, expect, test } from 'vitest'
import type { Moment } from '../../src/dump/moment.ts'
import { key, ping, secondMs, one, two, laid, begun, based, find, wire, at, time, beforeLast, quiet, written } from './laid-moments.ts'
import { memoryStore, type MemoryStore } from './stored-backups.ts'

describe('by its time', () => {
  test('what had come by then; the byte after it proves that no other had', async () => {
    const { store, backups } = await quiet()
    const found = async (seconds: number | 'latest'): Promise<readonly number[]> => {
      const { to, atWallMs, commands } = await find(store, backups, time(seconds))
      return [to, atWallMs / secondMs, commands]
    }
    expect(await found(0), 'the backup itself').toEqual([100, 0, 0])
    expect(await found(0.9)).toEqual([100, 0, 0])
    expect(await found(1)).toEqual([114, 1, 1])
    expect(await found(2.5)).toEqual([128, 2, 2])
    expect(await found(3)).toEqual([142, 3, 3])
    expect(await found('latest')).toEqual([142, 3, 3])
  })

  test('within a segment its marks say it', async () => {
    const store = memoryStore()
    await begun(store, one, 101)
    await laid(store, {
      from: 101,
      stream: ping.repeat(3),
      atMs: 0,
      marks: [
        [114, 1000],
        [128, 2000],
        [142, 3000],
      ],
    })
    const backups = [await based(store)]
    expect((await find(store, backups, time(2.9))).to).toBe(128)
  })

  test('a clock that was set back within a segment: its name says 2 s, and nothing of after 3 s is taken in all the same', async () => {
    const store = memoryStore()
    await begun(store, one, 101)
    await laid(store, {
      from: 101,
      stream: ping + wire('FLUSHALL') + ping,
      atMs: 0,
      marks: [
        [114, 1000],
        [132, 5000],
        [146, 2000],
      ],
    })
    await laid(store, { from: 147, stream: ping, atMs: 6000 })
    const backups = [await based(store)]
    const { to, atWallMs } = await find(store, backups, time(3))
    expect([to, atWallMs]).toEqual([114, 1000])
    await expect(find(store, backups, beforeLast('FLUSHALL', 3)), 'not by then').rejects.toMatchObject({ code: 'HF833' })
    expect((await find(store, backups, time('latest'))).to).toBe(160)
  })

  test('after the end, or before the beginning: refused, for what came then is not known', async () => {
    const { store, backups } = await quiet()
    const spans = 'what can be restored is 1970-01-01T00:00:00.000Z (offset 100) to 1970-01-01T00:00:03.000Z (offset 142)'
    await expect(find(store, backups, time(3.001))).rejects.toMatchObject({
      code: 'HF832',
      message: expect.stringContaining('after the end') as string,
      hint: `nothing later than 1970-01-01T00:00:03.000Z (offset 142) is in the store; if nothing was written since, that is the state: --time latest; ${spans}`,
    })
    await expect(find(store, backups, at(143))).rejects.toMatchObject({ code: 'HF832', hint: spans })
    await expect(find(store, backups, time(-1))).rejects.toMatchObject({ code: 'HF832', message: expect.stringContaining('before all') as string })
    await expect(find(store, backups, at(99))).rejects.toMatchObject({
      code: 'HF831',
      message: expect.stringContaining('no backup lies before offset 99') as string,
    })
  })

  test('in a gap: refused; behind it only from the next backup on', async () => {
    const { store, segments, backups } = await quiet()
    store.objects.delete(segments[1]?.name ?? '')
    await expect(find(store, backups, time(1.5))).rejects.toMatchObject({ code: 'HF832', message: expect.stringContaining('in a gap') as string })
    await expect(find(store, backups, time(3))).rejects.toMatchObject({
      code: 'HF831',
      hint: expect.stringContaining('to 1970-01-01T00:00:01.000Z (offset 114)') as string,
    })
    expect((await find(store, backups, time(1))).to).toBe(114)
    // Two seconds later, when nothing of the gap is missing any more.
    const next = await based(store, { id: '20261121T191500Z-3f9a0b1c', atWallMs: 2 * secondMs })
    const later = [...backups, { ...next, manifest: { ...next.manifest, position: { ...next.manifest.position, offset: 128 } } }]
    const behindEnd = { ...next, manifest: { ...next.manifest, atWallMs: 9 * secondMs, position: { ...next.manifest.position, offset: 300 } } }
    await expect(find(store, [...backups, behindEnd], time(5)), 'a backup knows of more than the archive').rejects.toMatchObject({
      message: expect.stringContaining('lies in a gap') as string,
    })
    expect((await find(store, later, time(2.5))).to, 'nothing came between the backup and the next byte').toBe(128)
    expect((await find(store, later, at(142))).backup.manifest.id).toBe('20261121T191500Z-3f9a0b1c')
  })
})

test('there is no stream, or no such timeline', async () => {
  const store = memoryStore()
  const backups = [await based(store)]
  await expect(find(store, backups, time('latest'))).rejects.toMatchObject({
    code: 'HF831',
    message: expect.stringContaining('no stream of cache is archived') as string,
  })
  await begun(store, one, 101)
  await expect(find(store, backups, time('latest'), null, 'cc')).rejects.toMatchObject({ code: 'HF832', hint: 'there are: aaaaaaaa' })
})

describe('a command', () => {
  test('its moment is that before it; when it came is told', async () => {
    const { store, backups, ends } = await written()
    const moment = await find(store, backups, beforeLast('FLUSHALL'))
    expect(moment).toMatchObject({ to: ends[2], commands: 3, found: { words: ['FLUSHALL'], to: ends[3], atWallMs: 4000 }, earlier: [] })
    expect(await find(store, backups, beforeLast('DEL user:*', 2))).toMatchObject({ to: ends[0], found: { words: ['DEL', 'user:1'], atWallMs: 2000 } })
  })

  test('none, or none by then', async () => {
    const { store, backups } = await written()
    await expect(find(store, backups, beforeLast('FLUSHDB'))).rejects.toMatchObject({
      code: 'HF833',
      hint: expect.stringContaining('DEL may be UNLINK') as string,
    })
    await expect(find(store, backups, beforeLast('FLUSHALL', 3))).rejects.toMatchObject({
      code: 'HF833',
      message: expect.stringContaining('before 1970-01-01T00:00:03.000Z') as string,
    })
  })

  test('an older backup is gone back to, if it came before the last one; a backup that is not good is no beginning', async () => {
    const { store, backups, ends } = await written()
    const last = await based(store, { id: '20261121T191500Z-3f9a0b1c', atWallMs: 5000 })
    const both = [{ ...last, manifest: { ...last.manifest, position: { ...last.manifest.position, offset: ends[4] ?? 0 } } }, ...backups]
    const moment = await find(store, both, beforeLast('FLUSHALL'))
    expect([moment.backup.manifest.id, moment.to]).toEqual(['20261121T181500Z-3f9a0b1c', ends[2]])
    await expect(find(store, both.slice(0, 1), beforeLast('FLUSHALL'))).rejects.toMatchObject({ code: 'HF833' })
  })
})

describe('what is damaged or missing is found before a redis is started', () => {
  test('a flipped bit: the segment is named', async () => {
    const { store, segments, backups } = await quiet()
    const name = segments[1]?.name ?? ''
    const bytes = store.objects.get(name) ?? Buffer.alloc(0)
    bytes[bytes.length - 3] = (bytes.at(-3) ?? 0) ^ 1
    await expect(find(store, backups, at(142))).rejects.toMatchObject({
      code: 'HF834',
      message: expect.stringContaining(name) as string,
      hint: expect.stringContaining('--offset 114 is the last moment before it') as string,
    })
    expect((await find(store, backups, at(114))).to, 'what lies before it is not touched').toBe(114)
    // Somebody else has archived the same bytes.
    await laid(store, { from: 108, stream: ping.repeat(3).slice(7, 30), atMs: 2500 })
    expect((await find(store, backups, at(142))).commands).toBe(3)
  })

  test('small segments are put together while they are read: what was there goes on', async () => {
    const { store, segments, backups } = await quiet()
    const get = store.get
    const merging: MemoryStore = {
      ...store,
      get: async (name, signal) => {
        if (name === segments[0]?.name) {
          await laid(store, { from: 101, stream: ping.repeat(3), atMs: 3 * secondMs })
          for (const { name: gone } of segments.slice(1)) store.objects.delete(gone)
        }
        return get(name, signal)
      },
    }
    expect((await find(merging, backups, at(142))).commands).toBe(3)
    const losing: MemoryStore = {
      ...store,
      get: (name, signal) => {
        if (name === segments[0]?.name)
          for (const object of store.objects.keys()) if (object.endsWith('.segment') && object !== name) store.objects.delete(object)
        return get(name, signal)
      },
    }
    await laid(store, { from: 115, stream: ping.repeat(2), atMs: 3 * secondMs })
    for (const object of store.objects.keys()) if (object.includes(`${'0'.repeat(13)}101-${'0'.repeat(13)}142`)) store.objects.delete(object)
    await expect(find(losing, backups, at(142))).rejects.toMatchObject({
      code: 'HF834',
      message: expect.stringContaining('no segment holds the byte at offset 115') as string,
    })
  })

  test('the store fails: that is no damage', async () => {
    const { store, segments, backups } = await quiet()
    const failing: MemoryStore = {
      ...store,
      get: (name, signal) => (name === segments[1]?.name ? Promise.resolve({ ok: false, why: 'ECONNRESET' }) : store.get(name, signal)),
      list: (under, signal) => store.list(under, signal),
    }
    await expect(find(failing, backups, at(142))).rejects.toMatchObject({ code: 'HF814', message: expect.stringContaining('ECONNRESET') as string })
  })

  test('whole, and no stream of redis: that is told as well', async () => {
    const { store, backups } = await quiet()
    await laid(store, { from: 143, stream: 'SET a b\r\n', atMs: 4 * secondMs })
    await expect(find(store, backups, time('latest'))).rejects.toMatchObject({
      code: 'HF834',
      message: expect.stringContaining('no stream of redis') as string,
    })
  })

  test('an encrypted backup: a segment that is not was written by somebody else', async () => {
    const store = memoryStore()
    await begun(store, one, 101, null, key)
    await laid(store, { from: 101, stream: ping, atMs: 1000, by: key })
    await laid(store, { from: 115, stream: wire('FLUSHALL'), atMs: 2000 })
    const backups = [await based(store, { key })]
    expect((await find(store, backups, time(1), key)).to).toBe(114)
    await expect(find(store, backups, time('latest'), key)).rejects.toMatchObject({
      code: 'HF834',
      message: expect.stringContaining('it is not encrypted, and the backup is') as string,
    })
    await expect(find(store, backups, time('latest'), null)).rejects.toMatchObject({ code: 'HF813' })
  })
})

test('after a failover the paper of the new history is damaged, or gone: the old one is not taken for all there is', async () => {
  const { store, backups } = await quiet()
  await begun(store, two, 129, one)
  await laid(store, { from: 129, stream: wire('SET', 'a', '1'), replid: two, atMs: 2500 })
  const paper = [...store.objects.keys()].find((name) => name.endsWith(`${two}/timeline.json`)) ?? ''
  const refusal = { code: 'HF834', message: expect.stringContaining(paper) as string, hint: expect.stringContaining(`--timeline ${one.slice(0, 8)}`) as string }
  store.objects.set(paper, Buffer.concat([store.objects.get(paper) ?? Buffer.alloc(0), Buffer.from('x')]))
  await expect(find(store, backups, time('latest'))).rejects.toMatchObject(refusal)
  store.objects.delete(paper)
  await expect(find(store, backups, time('latest'))).rejects.toMatchObject(refusal)
  await expect(find(store, backups, beforeLast('PING'))).rejects.toMatchObject(refusal)
  expect((await find(store, backups, time('latest'), null, one)).to, 'named, it is what is wanted').toBe(142)
})

test('a fork: what the old primary wrote beyond it is only on its own timeline', async () => {
  const { store, backups } = await quiet()
  await begun(store, two, 129, one)
  await laid(store, { from: 129, stream: wire('SET', 'a', '1'), replid: two, atMs: 2500 })
  const moment = await find(store, backups, time('latest'))
  expect([moment.to, moment.segments, moment.archive.legs.map(({ replid, to }) => [replid, to])]).toEqual([
    155,
    3,
    [
      [one, 128],
      [two, Number.POSITIVE_INFINITY],
    ],
  ])
  expect((await find(store, backups, time('latest'), null, 'aaa')).to).toBe(142)
})

test('an encrypted backup: who says where a history left another must have the key, or bytes of two histories would follow each other', async () => {
  const forked = async (by: Buffer | null): Promise<Moment> => {
    const store = memoryStore()
    await begun(store, one, 101, null, key)
    await laid(store, { from: 101, stream: ping.repeat(3), atMs: 1000, by: key })
    await begun(store, two, 129, one, by)
    await laid(store, { from: 129, stream: wire('SET', 'a', '1'), replid: two, atMs: 2500, by: key })
    return find(store, [await based(store, { key })], time('latest'), key)
  }
  expect((await forked(key)).to).toBe(155)
  await expect(forked(null)).rejects.toMatchObject({ code: 'HF834', message: expect.stringContaining('bbbb/timeline.json: it is not proven') as string })
})
