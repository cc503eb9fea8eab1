/**
 * Files as a crash, a disk or a hand leaves them, through the gate that they pass before a start: looked at, decided on, mended or moved, and
 * given to a real redis. What is asked each time: which data serve afterwards, and is every byte that was there still somewhere.
 */
import { spawnSync } from 'node:child_process'
import { copyFileSync, existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { afterEach, describe, expect, test } from 'vitest'
import type { GroupConfig } from '../../src/model/config.ts'
import type { PositionNote } from '../../src/model/disk.ts'
import { noRedis } from '../unit/real-redis.ts'
import { Member, type Call } from './member.ts'
import { others } from './servers.ts'

const aof: GroupConfig['redis'] = [
  ['appendonly', 'yes'],
  ['appendfsync', 'always'],
  ['save', ''],
]
const command = (...words: readonly string[]): string => [`*${words.length}`, ...words.flatMap((w) => [`$${w.length}`, w]), ''].join('\r\n')
const tenKeys = async (call: Call): Promise<void> => {
  for (let i = 1; i <= 10; i += 1) await call('SET', `k:${i}`, `value-${i}`)
}
const member = async (redis = aof, redisServer?: string): Promise<Member> => {
  const opened = await Member.open(redis, redisServer)
  members.push(opened)
  return opened
}
const members: Member[] = []
afterEach(async () => {
  for (const opened of members.splice(0)) await opened.close()
})
const torn = (file: string, change: (bytes: Buffer) => Buffer): Buffer => {
  const bytes = change(readFileSync(file))
  writeFileSync(file, bytes)
  return bytes
}
const flipped = (bytes: Buffer, at: number): Buffer => {
  const copy = Buffer.from(bytes)
  copy[at] = (copy[at] ?? 0) ^ 1
  return copy
}

describe.skipIf(noRedis)('power cut of all: the AOF is torn at its end', () => {
  test.each([
    ['in its last command', (b: Buffer) => b.subarray(0, -7), 9, /SET k:10/],
    ['with zeros where the last blocks were never written', (b: Buffer) => Buffer.concat([b.subarray(0, -12), Buffer.alloc(4096)]), 9, /SET k:10/],
    ['only by zeros', (b: Buffer) => Buffer.concat([b, Buffer.alloc(512)]), 10, /512 zero bytes/],
  ])('%s: that is cut off a copy, what was there is kept, and the rest serves', async (_what, tear, keys, said) => {
    const b = await member()
    await b.serveAndDie(tenKeys)
    const before = torn(b.last(), tear)
    await b.gate()
    expect(await b.call('DBSIZE')).toBe(keys)
    expect(b.starts, 'redis did not have to read it to find out').toBe(2)
    const [kept, ...more] = await b.kept()
    expect(more).toEqual([])
    const file = kept?.file ?? ''
    expect(readFileSync(`${file}/${b.last().split('/').at(-1) ?? ''}`).equals(before), 'the file as it was').toBe(true)
    expect(readFileSync(`${file}/cut`).equals(before.subarray(kept?.cut?.fromByte))).toBe(true)
    expect(kept).toMatchObject({ kind: 'aof', unreadable: true, why: expect.stringMatching(said) as string })
    expect(b.notes.join('\n')).toMatch(/was torn: .*redis-check-aof has cut it off a copy.*were kept as/)
    expect(await b.position(), 'and it does not pass for all that was acknowledged').toMatchObject({ kind: 'noted', epoch: 1, cut: true })
    expect(readdirSync(`${b.data}/appendonlydir`).filter((name) => name.endsWith('.mended'))).toEqual([])
    await b.die()
    await b.gate()
    expect([await b.call('DBSIZE'), (await b.kept()).length], 'nothing is left to cut').toEqual([keys, 1])
  })

  test('in a transaction: none of its commands is loaded, and all are kept', async () => {
    const b = await member()
    await b.serveAndDie(tenKeys, (call) => call('EVAL', "redis.call('set','t:1',1) redis.call('set','t:2',2) return 1", '0'))
    torn(b.last(), (bytes) => bytes.subarray(0, bytes.lastIndexOf('t:2')))
    await b.gate()
    expect(await b.call('DBSIZE')).toBe(10)
    expect((await b.kept())[0]).toMatchObject({
      commands: 2,
      cut: { first: expect.stringMatching(/set t:1/i) as string, last: expect.stringMatching(/set/i) as string },
    })
  })

  test('somewhere in 17 MB of which nothing was noted: redis refuses once, its own tool finds the place, and the rest is as ever', async () => {
    const b = await member()
    await b.serveAndDie(async (call) => {
      for (let i = 0; i < 17; i += 1) await call('SET', `big:${i}`, 'x'.repeat(1024 * 1024))
    })
    rmSync(`${b.root}/state/sessions/position.json`)
    torn(b.last(), (bytes) => bytes.subarray(0, -7))
    const again = await Member.open(aof)
    members.push(again)
    rmSync(again.root, { recursive: true })
    spawnSync('cp', ['-a', b.root, again.root])
    await again.gate()
    expect(await again.call('DBSIZE')).toBe(16)
    expect(again.starts).toBe(2)
    expect((await again.kept())[0]?.cut?.last).toMatch(/^SET big:16 /)
  })

  test('and `aof-load-truncated no` is configured: nothing is cut and nothing started; where another serves, it is kept aside', async () => {
    const b = await member([...aof, ['aof-load-truncated', 'no']])
    await b.serveAndDie(tenKeys)
    const before = torn(b.last(), (bytes) => bytes.subarray(0, -7))
    expect(await b.gate()).toMatch(/not started: .* is whole up to byte \d+ of \d+, .*not cut off, for `aof-load-truncated no` is configured/)
    expect(readFileSync(b.last()).equals(before)).toBe(true)
    await b.gate({ serves: true })
    expect(await b.call('DBSIZE')).toBe(0)
    expect((await b.kept()).map(({ kind, cut }) => [kind, cut])).toEqual([['aof', undefined]])
  })
})

describe.skipIf(noRedis)('an AOF that is damaged before its end', () => {
  const damage = (b: Buffer): Buffer => {
    const at = b.indexOf('k:5\r\n') - 4
    return Buffer.concat([b.subarray(0, at), Buffer.from('$x'), b.subarray(at + 2)])
  }

  test('nobody serves: redis is asked once, nothing is cut, and the place is told; mended by hand as the text says, it serves', async () => {
    const b = await member()
    await b.serveAndDie(tenKeys)
    const before = torn(b.last(), damage)
    const said = await b.gate()
    expect(said).toMatch(/not started: .*Bad file format.*incr\.aof is whole up to byte \d+ of \d+, and behind that is/)
    expect(said).toContain('redis-check-aof')
    expect([b.starts, readFileSync(b.last()).equals(before), await b.kept()]).toEqual([2, true, []])
    spawnSync('redis-check-aof', ['--fix', `${b.data}/appendonlydir/appendonly.aof.manifest`], { input: 'y\n' })
    await b.gate({ mended: true })
    expect(await b.call('DBSIZE')).toBe(4)
  })

  test('in a file that is not its last: redis by itself would cut it there, without a copy, and then serve the rest', async () => {
    const b = await member()
    await b.serveAndDie(tenKeys)
    const manifest = `${b.data}/appendonlydir/appendonly.aof.manifest`
    const next = b.last().replace('.1.incr', '.2.incr')
    copyFileSync(b.last(), next)
    writeFileSync(manifest, `${readFileSync(manifest, 'utf8')}file ${next.split('/').at(-1) ?? ''} seq 2 type i\n`)
    const first = b.last().replace('.2.incr', '.1.incr')
    const before = torn(first, (bytes) => bytes.subarray(0, -7))
    expect(await b.gate()).toMatch(/not started/)
    expect(readFileSync(first).equals(before)).toBe(true)
  })

  test('its manifest is gone: no empty one is begun over the files that are there', async () => {
    const b = await member()
    await b.serveAndDie(tenKeys)
    rmSync(`${b.data}/appendonlydir/appendonly.aof.manifest`)
    const before = readFileSync(b.last())
    expect(await b.gate()).toMatch(/not started: .*its manifest is missing, and .*incr\.aof lie there/)
    expect([b.starts, readFileSync(b.last()).equals(before)]).toEqual([1, true])
  })
})

describe.skipIf(noRedis)('an RDB that is damaged', () => {
  const rdb: GroupConfig['redis'] = [['save', '']]
  const saved = async (call: Call): Promise<void> => {
    await tenKeys(call)
    await call('SAVE')
  }

  test.each([
    ['a bit of a value', (b: Buffer) => flipped(b, b.indexOf('value-5') + 2), /checksum/],
    ['a bit of its checksum', (b: Buffer) => flipped(b, b.length - 3), /checksum/],
    ['a bit of its header', (b: Buffer) => flipped(b, b.indexOf('redis-bits') + 2), /checksum/],
    ['its version', (b: Buffer) => Buffer.concat([Buffer.from('REDIS0099'), b.subarray(9)]), /format version 99/],
  ])('%s, and nobody serves: redis is asked once, and nothing is begun over it', async (_what, damage, why) => {
    const b = await member(rdb)
    await b.serveAndDie(saved)
    const before = torn(`${b.data}/dump.rdb`, damage)
    expect(await b.gate()).toMatch(why)
    expect([b.starts, readFileSync(`${b.data}/dump.rdb`).equals(before)]).toEqual([2, true])
  })

  test('beside an AOF that has the data: it is kept before the next save is written over it', async () => {
    const b = await member()
    await b.serveAndDie(tenKeys)
    writeFileSync(`${b.data}/dump.rdb`, 'REDIS0010 and no more')
    await b.gate()
    expect(await b.call('DBSIZE')).toBe(10)
    expect(existsSync(`${b.data}/dump.rdb`)).toBe(false)
    expect((await b.kept()).map(({ kind, bytes }) => [kind, bytes])).toEqual([['dataset', 21]])
  })

  test('written without a checksum: it is loaded, and it is said that nothing was checked', async () => {
    const b = await member([...rdb, ['rdbchecksum', 'no']])
    await b.serveAndDie(saved)
    expect(await b.gate()).toMatch(/dump\.rdb, .*without a checksum: damage in it would not be noticed/)
    expect(await b.call('DBSIZE')).toBe(10)
  })
})

test.skipIf(noRedis)('all that was there is gone: it is started, for it harms nobody, but not without a word', async () => {
  const b = await member()
  await b.serveAndDie(tenKeys)
  rmSync(b.data, { recursive: true })
  await b.gate()
  expect(await b.call('DBSIZE')).toBe(0)
  expect(b.notes.join('\n')).toMatch(/its disk is empty, and had epoch 1, offset \d+ \d+ s ago: removed, or not mounted/)
})

describe.each(others)('$name', ({ redisServer }) => {
  test('a whole AOF is taken for one, and a torn one is cut', async () => {
    const b = await member(aof, redisServer)
    const rewritten = async (call: Call): Promise<void> => {
      await tenKeys(call)
      await call('BGREWRITEAOF')
    }
    await b.serveAndDie(rewritten, async (call) => {
      await call('SET', 'k:11', 'x')
      await call('SET', 'k:12', 'x')
    })
    await b.gate()
    expect([await b.call('DBSIZE'), await b.kept()]).toEqual([12, []])
    const { offset } = JSON.parse(readFileSync(`${b.root}/state/sessions/position.json`, 'utf8')) as PositionNote
    const written = offset + 2 * command('SET', 'k:11', 'x').length
    const at = await b.position()
    // Behind a rewrite redis says first which database it is.
    expect([written, written + command('SELECT', '0').length], 'exactly what came after the note').toContain(at.kind === 'noted' ? at.offset : at.kind)
    await b.die()
    torn(b.last(), (bytes) => bytes.subarray(0, -7))
    await b.gate()
    expect([await b.call('DBSIZE'), (await b.kept()).length]).toEqual([11, 1])
    expect(await b.position()).toMatchObject({ cut: true })
  })
})
