/** A data directory as it is found: what its files say of themselves, and that no file, however broken, is more than an answer. */
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { observeDataDir } from '../../src/observe/data-dir.ts'
import { usualFiles } from '../../src/observe/redis-files.ts'
import { parseRdbHeader } from '../../src/redis/rdb-header.ts'

const id = 'bb69da072b798832a84d1ea2ea8fc1de9f16aa12'
const text = (value: string): Buffer => Buffer.concat([Buffer.from([value.length]), Buffer.from(value)])
const field = (name: string, value: string | Buffer): Buffer =>
  Buffer.concat([Buffer.from([0xfa]), text(name), typeof value === 'string' ? text(value) : value])
const int32 = (value: number): Buffer => {
  const bytes = Buffer.from([0xc2, 0, 0, 0, 0])
  bytes.writeInt32LE(value, 1)
  return bytes
}
const end = Buffer.concat([Buffer.from([0xff]), Buffer.alloc(8, 7)])
/** As redis 7.0.15 writes it. */
const head = (savedAtS = 1_700_000_000, magic = 'REDIS0010'): Buffer =>
  Buffer.concat([
    Buffer.from(magic),
    field('redis-ver', '7.0.15'),
    field('redis-bits', Buffer.from([0xc0, 64])),
    field('ctime', int32(savedAtS)),
    field('used-mem', int32(894256)),
  ])
const history = Buffer.concat([field('repl-stream-db', Buffer.from([0xc0, 0])), field('repl-id', id), field('repl-offset', '9007199254')])
const oneKey = Buffer.from([0xfe, 0, 0xfb, 1, 0, 0, 1, 0x78, 1, 0x79])
const whole = Buffer.concat([head(), history, field('aof-base', Buffer.from([0xc0, 0])), oneKey, end])

describe('the header of an RDB', () => {
  test('says who wrote it, when, and where it stands', () => {
    const header = parseRdbHeader(whole)
    expect(header).toMatchObject({
      ok: true,
      value: { format: 10, writtenBy: '7.0.15', savedAtS: 1_700_000_000, replid: id, offset: 9_007_199_254, empty: false },
    })
  })

  test('of a primary that never had a replica: no history; without data: empty', () => {
    expect(parseRdbHeader(Buffer.concat([head(), end]))).toMatchObject({ ok: true, value: { replid: '', offset: null, empty: true } })
  })

  test('of a newer redis or a Valkey: the format is told, the rest as far as it is known', () => {
    expect(parseRdbHeader(Buffer.concat([head(1, 'REDIS0099'), end]))).toMatchObject({ ok: true, value: { format: 99 } })
    expect(parseRdbHeader(Buffer.concat([head(1, 'VALKEY080'), end]))).toMatchObject({ ok: true, value: { format: 80 } })
  })

  test('an id that is none is no history', () => {
    expect(parseRdbHeader(Buffer.concat([head(), field('repl-id', 'x'.repeat(40)), end]))).toMatchObject({ value: { replid: '' } })
  })

  test('cut off anywhere before its data: an answer with a reason', () => {
    const until = whole.length - end.length - oneKey.length
    for (let length = 0; length <= until; length += 1) expect(parseRdbHeader(whole.subarray(0, length)), `${length} bytes`).toMatchObject({ ok: false })
  })

  test('whatever the bytes are, it answers', () => {
    fc.assert(fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => typeof parseRdbHeader(bytes).ok === 'boolean'))
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 100 }), (bytes) => typeof parseRdbHeader(Buffer.concat([head(), Buffer.from([0xfa]), bytes])).ok === 'boolean'),
    )
  })
})

describe('a data directory', () => {
  let dir: string
  beforeEach(() => {
    dir = mkdtempSync(`${tmpdir()}/holdfast-data-`)
    mkdirSync(`${dir}/appendonlydir`)
  })
  afterEach(() => rmSync(dir, { recursive: true, force: true }))
  const put = (name: string, bytes: Buffer | string): void => writeFileSync(`${dir}/${name}`, bytes)
  const manifest = 'file appendonly.aof.2.base.rdb seq 2 type b\nfile appendonly.aof.1.incr.aof seq 1 type h\nfile appendonly.aof.2.incr.aof seq 2 type i\n'
  const putAof = (base: Buffer = Buffer.concat([head(5), field('aof-base', Buffer.from([0xc0, 1])), end]), more = 'x'.repeat(50)): void => {
    put('appendonlydir/appendonly.aof.manifest', manifest)
    put('appendonlydir/appendonly.aof.2.base.rdb', base)
    put('appendonlydir/appendonly.aof.2.incr.aof', more)
  }

  test('that is empty, or not there', async () => {
    expect(await observeDataDir(usualFiles(dir))).toEqual({ rdb: null, aof: null })
    expect(await observeDataDir(usualFiles(`${dir}/nowhere`))).toEqual({ rdb: null, aof: null })
  })

  test('with an RDB', async () => {
    put('dump.rdb', whole)
    expect(await observeDataDir(usualFiles(dir))).toMatchObject({ rdb: { ok: true, bytes: whole.length, replid: id }, aof: null })
  })

  test.each([
    ['empty', Buffer.alloc(0), /0 bytes/],
    ['something else', Buffer.from('hello, I am no dataset'), /no RDB/],
    ['cut off in its data', whole.subarray(0, whole.length - 12), /torn/],
    ['cut off in its header', whole.subarray(0, 40), /header/],
  ])('whose RDB is %s', async (_what, bytes, why) => {
    put('dump.rdb', bytes)
    expect((await observeDataDir(usualFiles(dir))).rdb).toMatchObject({ ok: false, why: expect.stringMatching(why) as string })
  })

  test('whose RDB is a directory', async () => {
    mkdirSync(`${dir}/dump.rdb`)
    const { rdb } = await observeDataDir(usualFiles(dir))
    expect(rdb).toMatchObject({ ok: false })
    expect(rdb, 'that is no fault of the host').not.toHaveProperty('host')
  })

  test.each(['dump.rdb', 'appendonly.aof', 'appendonlydir/appendonly.aof.2.incr.aof', 'appendonlydir/appendonly.aof.manifest'])(
    'whose %s the host fails to read: that is told from a file that is bad',
    async (name) => {
      // What a bad sector answers, the memory of a process does at address 0.
      symlinkSync('/proc/self/mem', `${dir}/${name}`)
      const { rdb, aof } = await observeDataDir(usualFiles(dir))
      expect(name === 'dump.rdb' ? rdb : aof).toMatchObject({ ok: false, host: true, why: expect.stringMatching(/EIO/) as string })
    },
  )

  test('with an AOF in parts: what is history does not count, and its base is its identity', async () => {
    putAof()
    const { aof } = await observeDataDir(usualFiles(dir))
    expect(aof).toMatchObject({ ok: true, empty: false, base: expect.stringContaining('ctime=5') as string })
    putAof(undefined, '')
    expect((await observeDataDir(usualFiles(dir))).aof).toMatchObject({ ok: true, empty: true })
  })

  test('with a folder for an AOF and no manifest in it: redis would begin an empty one, so there is none', async () => {
    put('appendonlydir/temp-appendonly.aof.incr', 'x')
    expect((await observeDataDir(usualFiles(dir))).aof).toBeNull()
  })

  test('with an AOF in parts: the last file is the one that a crash tears', async () => {
    putAof()
    expect((await observeDataDir(usualFiles(dir))).aof).toMatchObject({ last: { file: 'appendonlydir/appendonly.aof.2.incr.aof', bytes: 50 } })
  })

  test('with a manifest of redis 8, which has offsets in it', async () => {
    putAof()
    put('appendonlydir/appendonly.aof.manifest', manifest.replaceAll(/type i\n/g, 'type i startoffset 338 endoffset 400\n'))
    expect((await observeDataDir(usualFiles(dir))).aof).toMatchObject({ ok: true, empty: false })
  })

  test('with data for an AOF and no manifest: redis would begin an empty one over them, so they are one that it cannot read', async () => {
    putAof()
    rmSync(`${dir}/appendonlydir/appendonly.aof.manifest`)
    expect((await observeDataDir(usualFiles(dir))).aof).toMatchObject({
      ok: false,
      bytes: 50,
      why: expect.stringMatching(/manifest is missing.*2\.incr\.aof/) as string,
    })
    put('appendonlydir/appendonly.aof.2.incr.aof', '')
    expect((await observeDataDir(usualFiles(dir))).aof, 'a start that was cut short leaves files without data').toBeNull()
  })

  test('whose RDB has no checksum', async () => {
    put('dump.rdb', Buffer.concat([whole.subarray(0, -8), Buffer.alloc(8)]))
    expect((await observeDataDir(usualFiles(dir))).rdb).toMatchObject({ ok: true, summed: false })
  })

  test('that is a file system of its own', async () => {
    expect(await observeDataDir(usualFiles('/proc'))).toMatchObject({ mount: true })
    expect(await observeDataDir(usualFiles(dir))).not.toHaveProperty('mount')
  })

  test.each([
    ['a manifest that is none', () => put('appendonlydir/appendonly.aof.manifest', 'file ../../etc/passwd seq 1 type b\n'), /manifest/],
    ['an empty manifest', () => put('appendonlydir/appendonly.aof.manifest', ''), /manifest/],
    ['a base that is missing', () => rmSync(`${dir}/appendonlydir/appendonly.aof.2.base.rdb`), /missing/],
    ['a torn base', () => put('appendonlydir/appendonly.aof.2.base.rdb', whole.subarray(0, whole.length - 3)), /torn/],
  ])('whose AOF has %s', async (_what, damage, why) => {
    putAof()
    damage()
    expect((await observeDataDir(usualFiles(dir))).aof).toMatchObject({ ok: false, why: expect.stringMatching(why) as string })
  })

  test('with the one file of redis before 7', async () => {
    put('appendonly.aof', '*1\r\n')
    expect((await observeDataDir(usualFiles(dir))).aof).toMatchObject({ ok: true, bytes: 4, empty: false })
  })
})
