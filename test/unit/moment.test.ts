/** The words of a moment: commands named by a pattern, bytes by when they came, cuts between whole commands, times to live as points in time. */
import { describe, expect, test } from 'vitest'
import { absolute } from '../../src/backup/absolute.ts'
import { cameAt, cameBy } from '../../src/backup/marks.ts'
import { fits, patternOf } from '../../src/backup/pattern.ts'
import { seeker } from '../../src/backup/seek.ts'

describe('a time to live that counts from now', () => {
  const atMs = 1_000_000
  test.each([
    ['EXPIRE k 10', [['PEXPIREAT', 'k', '1010000']]],
    ['PEXPIRE k 10', [['PEXPIREAT', 'k', '1000010']]],
    // It is over at once where the clock of the redis that is written to says so.
    ['EXPIRE k -1', [['PEXPIREAT', 'k', '999000']]],
    ['EXPIREAT k 1010', null],
    ['PEXPIREAT k 1010000', null],
    [
      'SETEX k 10 v',
      [
        ['SET', 'k', 'v'],
        ['PEXPIREAT', 'k', '1010000'],
      ],
    ],
    [
      'PSETEX k 10 v',
      [
        ['SET', 'k', 'v'],
        ['PEXPIREAT', 'k', '1000010'],
      ],
    ],
    ['SET k v', null],
    ['SET k v KEEPTTL', null],
    // A value may look like an option.
    ['SET k ex', null],
    ['SET ex px', null],
    [
      'SET k v EX 10',
      [
        ['SET', 'k', 'v'],
        ['PEXPIREAT', 'k', '1010000'],
      ],
    ],
    [
      'SET k v NX px 10 GET',
      [
        ['SET', 'k', 'v', 'NX', 'GET'],
        ['PEXPIREAT', 'k', '1000010'],
      ],
    ],
    ['SET k v PXAT 1010000', null],
    ['GETEX k', null],
    ['GETEX k PERSIST', null],
    ['GETEX k EX 10', [['PEXPIREAT', 'k', '1010000']]],
    ['GETEX k PXAT 10', null],
    ['RESTORE k 0 payload', null],
    ['RESTORE k 10 payload REPLACE', [['RESTORE', 'k', '1000010', 'payload', 'REPLACE', 'ABSTTL']]],
    ['RESTORE k 1010000 payload absttl', null],
    // What redis would refuse is not made into something that it takes.
    ['EXPIRE k ten', null],
    ['EXPIRE k', null],
    // Beyond what a number of JavaScript holds exactly.
    ['PEXPIRE k 9007199254740993', [['PEXPIREAT', 'k', '9007199255740993']]],
    ['HSET k EX 10', null],
  ] as const)('%s', (words, expected) => {
    const [name = '', ...args] = words.split(' ')
    expect(absolute({ name, args }, atMs)).toEqual(expected)
  })
})

describe('a command that is looked for', () => {
  const found = (wanted: string, ...words: readonly string[]): boolean => {
    const pattern = patternOf(wanted)
    if (pattern === null) throw new Error('no pattern')
    const [name = '', ...args] = words
    return fits(pattern)({ name, args })
  }
  test.each([
    ['flushall', ['FLUSHALL'], true],
    ['FLUSHALL', ['FLUSHALL', 'ASYNC'], true],
    ['FLUSHALL', ['FLUSHDB'], false],
    ['DEL user:*', ['DEL', 'cart:1', 'user:7'], true],
    ['DEL user:*', ['DEL', 'cart:1', 'a user:7'], false],
    ['DEL user:*', ['UNLINK', 'user:7'], false],
    ['HDEL cart:? item', ['HDEL', 'cart:1', 'item'], true],
    ['HDEL cart:? item', ['HDEL', 'cart:12', 'item'], false],
    ['DEL a.c', ['DEL', 'abc'], false],
    ['DEL a[b-d]c', ['DEL', 'acc'], true],
    ['DEL a[^b-d]c', ['DEL', 'acc'], false],
    ['DEL a\\*', ['DEL', 'ab'], false],
    ['DEL a\\*', ['DEL', 'a*'], true],
    ['DEL a[', ['DEL', 'a['], true],
    ['DEL a*z', ['DEL', 'a\n\r\nz'], true],
    // A name in another alphabet is its bytes.
    ['DEL schlüssel', ['DEL', Buffer.from('schlüssel').toString('latin1')], true],
  ] as const)('%s: %j is %s', (wanted, words, expected) => {
    expect(found(wanted, ...words)).toBe(expected)
  })
  test('no name, no command', () => {
    expect([patternOf(''), patternOf('  '), patternOf('*')]).toEqual([null, null, null])
  })
})

describe('by its marks', () => {
  const marks = [
    [10, 1000],
    [20, 2000],
    [30, 3000],
  ] as const
  test('what had come by a moment is the last byte that no later one precedes', () => {
    expect([999, 1000, 1999, 2000, 9999].map((wallMs) => cameBy(marks, 30, wallMs))).toEqual([null, 10, 10, 20, 30])
    expect(cameBy(marks, 15, 9999), 'beyond a fork the bytes are of another history').toBe(15)
    expect(cameBy(marks, 15, 1500)).toBe(10)
  })
  test('a clock that was set back brings nothing in that came behind something later', () => {
    expect(
      cameBy(
        [
          [10, 1000],
          [20, 5000],
          [30, 1500],
        ],
        30,
        2000,
      ),
    ).toBe(10)
  })
  test('when a byte was there', () => {
    expect([1, 10, 11, 30, 31].map((offset) => cameAt(marks, offset))).toEqual([1000, 1000, 2000, 3000, null])
  })
})

const wire = (...words: readonly string[]): string => `*${words.length}\r\n${words.map((word) => `$${word.length}\r\n${word}\r\n`).join('')}`

describe('a history may end', () => {
  const commands = [wire('SELECT', '0'), wire('SET', 'a', '1'), wire('MULTI'), wire('SET', 'b', '2'), wire('FLUSHALL'), wire('EXEC'), wire('SET', 'c', '3')]
  const ends = commands.map((_, index) => 100 + commands.slice(0, index + 1).join('').length)
  const whole = commands.join('')

  test('behind each whole command, and nowhere within a MULTI', () => {
    const cuts = Array.from({ length: whole.length + 1 }, (_, bytes) => {
      const seek = seeker(101, null)
      seek.push(whole.slice(0, bytes))
      return seek.cut()
    })
    const [select, set, , , , exec, last] = ends
    expect([...new Set(cuts)]).toEqual([100, select, set, exec, last])
    expect(cuts.every((cut, bytes) => cut <= 100 + bytes)).toBe(true)
  })

  test('the same, whatever pieces it comes in', () => {
    const seek = seeker(101, patternOf('flushall'))
    for (const char of whole) seek.push(char)
    expect([seek.cut(), seek.commands(), seek.matches().length, seek.broken()]).toEqual([ends.at(-1), 7, 1, null])
  })

  test('before a command: before the MULTI that it is part of', () => {
    const seek = seeker(101, patternOf('FLUSHALL'))
    seek.push(whole)
    expect(seek.matches()).toEqual([{ before: ends[1], to: ends[4], commands: 2, words: ['FLUSHALL'] }])
  })

  test('of a MULTI that never ended nothing was done', () => {
    const seek = seeker(101, patternOf('FLUSHALL'))
    seek.push(commands.slice(0, 5).join(''))
    expect([seek.matches(), seek.cut()]).toEqual([[], ends[1]])
  })

  test('the last six are told', () => {
    const seek = seeker(1, patternOf('DEL'))
    for (let count = 0; count < 9; count += 1) seek.push(wire('DEL', String(count)))
    expect(seek.matches().map(({ words }) => words[1])).toEqual(['3', '4', '5', '6', '7', '8'])
  })

  test('what names a database, or counts from now, is known', () => {
    const seek = seeker(1, null)
    seek.push(wire('SELECT', '3') + wire('MOVE', '9', '5') + wire('SET', 'a', '70') + wire('COPY', 'a', 'b', 'DB', '4'))
    expect([seek.database(), seek.isRelative()]).toEqual([5, false])
    seek.push(wire('SWAPDB', '0', '11') + wire('expire', 'a', '7'))
    expect([seek.database(), seek.isRelative()]).toEqual([11, true])
  })
})
