/** The stream as commands, the commands as items, the items by what may be done with them. Pure. */
import { describe, expect, test } from 'vitest'
import { classOf, itemsOf, natureOf, type Nature } from '../../src/salvage/classify.ts'
import { keysOf } from '../../src/salvage/keys.ts'
import { progressOf } from '../../src/salvage/progress.ts'
import { databaseAtEnd, isWrite, streamParser, type StreamCommand } from '../../src/salvage/stream.ts'
import type { ReplayLine } from '../../src/model/kept.ts'

const resp = (...words: readonly string[]) => `*${words.length}\r\n${words.map((w) => `$${w.length}\r\n${w}\r\n`).join('')}`
function commands(...lines: readonly string[]): readonly StreamCommand[] {
  return streamParser(100, 0).push(lines.map((line) => resp(...line.split(' '))).join(''))
}

describe('the stream', () => {
  const text = resp('SELECT', '3') + resp('set', 'k', 'a\r\n*1\r\n') + resp('MULTI') + resp('INCR', 'n') + resp('EXEC') + resp('PING')

  test('in any pieces, it gives the same commands', () => {
    const whole = streamParser(100, null).push(text)
    for (let cut = 0; cut <= text.length; cut += 1) {
      const parser = streamParser(100, null)
      expect([...parser.push(text.slice(0, cut)), ...parser.push(text.slice(cut))]).toEqual(whole)
      expect(parser.position()).toBe(100 + text.length)
    }
    expect(whole.map((c) => [c.name, c.database, c.transaction])).toEqual([
      ['SELECT', null, null],
      ['SET', 3, null],
      ['MULTI', 3, null],
      ['INCR', 3, whole[2]?.offset],
      ['EXEC', 3, whole[2]?.offset],
      ['PING', 3, null],
    ])
    expect(whole.filter(isWrite).map((c) => c.name)).toEqual(['SET', 'INCR'])
  })

  test.each(['x', '*0\r\n', '*1\r\n$-1\r\n', '*1\r\n$3\r\nabcd\r\n', '*99999999999\r\n', '\r\n', `*1\r\n$${'9'.repeat(20)}`])(
    'what is no command is not guessed: %j',
    (bad) => {
      const parser = streamParser(7, 0)
      expect(parser.push(resp('SET', 'a', '1') + bad + resp('SET', 'b', '1')).map((c) => c.args[0])).toEqual(['a'])
      expect(parser.broken()).toMatch(/^at offset/)
      expect(parser.push(resp('SET', 'c', '1'))).toEqual([])
    },
  )

  test('the database at the end: the last true SELECT, not one inside a value, not one of a torn beginning', () => {
    expect(databaseAtEnd(resp('SELECT', '2') + resp('SET', 'k', resp('SELECT', '7')))).toBe(2)
    expect(databaseAtEnd(`torn\r\n${resp('SELECT', '4')}${resp('DEL', 'k')}`)).toBe(4)
    expect(databaseAtEnd(resp('SET', 'k', resp('SELECT', '7')))).toBeNull()
    expect(databaseAtEnd('')).toBeNull()
  })
})

describe('what a command does when it is applied to other data, or twice', () => {
  test.each<[string, Nature]>([
    ['SET k v', 'idempotent'],
    ['SET k NX', 'idempotent'],
    ['SET k v PXAT 1700000000000', 'idempotent'],
    ['SET k v NX', 'other'],
    ['SET k v EX 10', 'other'],
    ['SETEX k 10 v', 'other'],
    ['DEL a b', 'idempotent'],
    ['HSET h f v', 'idempotent'],
    ['ZADD z 1 nx', 'idempotent'],
    ['ZADD z NX 1 m', 'other'],
    ['ZADD z INCR 1 m', 'other'],
    ['PEXPIREAT k 1700000000000', 'idempotent'],
    ['PEXPIREAT k 1700000000000 GT', 'other'],
    ['EXPIRE k 10', 'other'],
    ['RESTORE k 0 x REPLACE', 'idempotent'],
    ['RESTORE k 10 x REPLACE', 'other'],
    ['INCR n', 'counter'],
    ['HINCRBY h f 1', 'counter'],
    ['LPUSH l v', 'ordered'],
    ['XADD s 1-1 f v', 'ordered'],
    ['APPEND k v', 'ordered'],
    ['EVAL script 0', 'other'],
    ['FLUSHALL', 'other'],
    ['MOVE k 1', 'other'],
    ['JSON.SET k . 1', 'other'],
    ['SOMETHINGNEW k', 'other'],
  ])('%s: %s', (line, nature) => {
    expect(commands(line).map(natureOf)).toEqual([nature])
  })

  test.each([
    ['SET k v', ['k']],
    ['MSET a 1 b 2', ['a', 'b']],
    ['DEL a b', ['a', 'b']],
    ['RENAME a b', ['a', 'b']],
    ['ZUNIONSTORE d 2 x y WEIGHTS 1 2', ['d', 'x', 'y']],
    ['LMPOP 2 x y LEFT', ['x', 'y']],
    ['BITOP AND d x', ['d', 'x']],
    ['XGROUP CREATE s g 0', ['s']],
    ['EVAL s 1 k', null],
    ['FLUSHDB', null],
  ])('%s touches %j', (line, keys) => {
    expect(commands(line).map(keysOf)).toEqual([keys])
  })
})

describe('items', () => {
  const shape = (...lines: readonly string[]) =>
    itemsOf(commands(...lines)).map((i) => [i.keys.map((k) => `${k.database}:${k.key}`).join(' '), i.nature, i.commands.length])

  test('one for each key, with all that was done to it, in order', () => {
    expect(shape('SET a 1', 'INCR n', 'SET a 2', 'PING')).toEqual([
      ['0:a', 'idempotent', 2],
      ['0:n', 'counter', 1],
    ])
  })

  test('the worst command of a key speaks for it', () => {
    expect(shape('SET a 1', 'INCR a')).toEqual([['0:a', 'counter', 2]])
  })

  test('keys that one command or transaction ties together are one; the same name in another database is another key', () => {
    expect(shape('SET a 1', 'MSET a 2 b 1', 'SELECT 1', 'SET a 9')).toEqual([
      ['0:a 0:b', 'idempotent', 2],
      ['1:a', 'idempotent', 1],
    ])
    expect(shape('MULTI', 'SET x 1', 'INCR y', 'EXEC', 'SET z 1', 'DEL y')).toEqual([
      ['0:x 0:y', 'counter', 3],
      ['0:z', 'idempotent', 1],
    ])
  })

  test('a script or a flush may touch anything: all is one, and none of it safe', () => {
    expect(shape('SET a 1', 'FLUSHALL', 'SET b 1')).toEqual([['0:a 0:b', 'other', 3]])
  })

  test.each([1, 500])('a hundred thousand writes on %i keys take no time to speak of', (keys) => {
    const many = streamParser(0, 0).push(Array.from({ length: 100_000 }, (_, i) => resp('SET', `k${i % keys}`, 'v')).join(''))
    const startedMs = performance.now()
    expect(itemsOf(many)).toHaveLength(keys)
    expect(performance.now() - startedMs).toBeLessThan(3000)
  })

  test('only what is idempotent, on keys known to be untouched, is safe', () => {
    expect([
      classOf('idempotent', false),
      classOf('idempotent', true),
      classOf('idempotent', 'unknown'),
      classOf('counter', false),
      classOf('other', false),
      classOf('deletion', false),
    ]).toEqual(['safe', 'changed', 'unknown', 'counter', 'other', 'deletion'])
  })
})

describe('the journal of a replay', () => {
  const line = (what: ReplayLine['what'], items: readonly string[], before?: readonly string[]): ReplayLine => ({
    atWallMs: 1,
    by: 'anna',
    run: 'r',
    what,
    items,
    text: '',
    ...(before === undefined ? {} : { before }),
  })

  test('applied stays applied; what was begun and not ended is open, with its fingerprint; what was left alone is free again', () => {
    const progress = progressOf([line('begin', []), line('intent', ['1', '2', '3'], ['x', 'y', 'z']), line('applied', ['1']), line('not-applied', ['2'])])
    expect([...progress.applied]).toEqual(['1'])
    expect([...progress.open]).toEqual([['3', 'z']])
    expect(progress.lines).toBe(4)
  })
})
