/** What a crash leaves at the end of an AOF, and what it does not: only what cannot be a command may ever be cut. */
import fc from 'fast-check'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { describe, expect, test, vi } from 'vitest'
import { lookAtEnd } from '../../src/observe/aof-end.ts'
import { scanEnd } from '../../src/redis/aof-end.ts'

const command = (...words: readonly string[]): Buffer =>
  Buffer.concat([Buffer.from(`*${words.length}\r\n`), ...words.map((word) => Buffer.from(`$${Buffer.byteLength(word)}\r\n${word}\r\n`))])
const set = (key: number): Buffer => command('SET', `k:${key}`, `value-${key}`)
const five = Buffer.concat([set(1), set(2), set(3), set(4), set(5)])
const zeros = (count: number): Buffer => Buffer.alloc(count)
const all = (...parts: readonly Buffer[]): Buffer => Buffer.concat(parts)

test('cut off after any byte: whole up to the last command that is, and the rest is torn', () => {
  for (let length = 0; length <= five.length; length += 1) {
    const scan = scanEnd(five.subarray(0, length))
    const whole = Math.floor(length / set(1).length) * set(1).length
    expect([scan.wholeBytes, scan.kind], `${length} bytes`).toEqual([whole, length === whole ? 'whole' : 'torn'])
  }
})

describe('what a crash leaves is torn', () => {
  test.each([
    ['zeros of blocks that were never written', all(five, zeros(4096)), five.length, '4096 zero bytes', 0],
    [
      'a command and zeros in the middle of its value',
      all(five, set(6).subarray(0, -5), zeros(100)),
      five.length,
      'a command that is not whole and 100 zero bytes',
      1,
    ],
    ['a transaction without its end', all(five, command('MULTI'), set(6), set(7)), five.length, 'a transaction that does not end', 2],
    ['a transaction that is torn within', all(five, command('MULTI'), set(6), set(7).subarray(0, 9)), five.length, 'a command that is not whole', 2],
    ['a time stamp', all(five, Buffer.from('#TS:16282')), five.length, 'a line that is not whole', 0],
  ])('%s', (_what, bytes, wholeBytes, why, commands) => {
    expect(scanEnd(bytes)).toMatchObject({ kind: 'torn', wholeBytes, why, commands })
  })

  test('a transaction with its end, and time stamps, are whole', () => {
    const bytes = all(Buffer.from('#TS:1628217470\r\n'), set(1), command('multi'), set(2), command('exec'), command('MULTI'), command('DISCARD'), set(3))
    expect(scanEnd(bytes)).toMatchObject({ kind: 'whole', wholeBytes: bytes.length })
  })

  test('it is told in words, without the whole of a long value', () => {
    const { first, last } = scanEnd(all(command('MULTI'), set(1), command('SET', 'big', 'x'.repeat(9999)).subarray(0, 5000)))
    expect(first).toBe('SET k:1 value-1')
    expect(last).toMatch(/^SET big "x{60}… \(9999 bytes\)"$/)
  })
})

describe('what is no torn end is damage: nothing may be cut', () => {
  const at = set(1).length * 2
  const changed = (offset: number, text: string): Buffer => all(five.subarray(0, at + offset), Buffer.from(text), five.subarray(at + offset + text.length))
  test.each([
    ['garbage, and whole commands behind it', changed(4, '\x00\x01\x02'), at],
    [
      'a length that swallows the next commands',
      all(five.subarray(0, at), Buffer.from('*3\r\n$3\r\nSET\r\n$3\r\nk:3\r\n$70000\r\nvalue-3\r\n'), set(4), set(5)),
      at,
    ],
    ['more words than there are', changed(1, '9'), at],
    ['zeros, and whole commands behind them', all(set(1), zeros(100), set(2)), set(1).length],
    ['a transaction without an end, and another one behind it', all(set(1), command('MULTI'), set(2), command('MULTI'), set(3)), set(1).length],
    ['another file', Buffer.from('hello, I am no AOF'), 0],
    ['a line instead of a command', all(set(1), Buffer.from('PING\r\n')), set(1).length],
  ])('%s', (_what, bytes, wholeBytes) => {
    expect(scanEnd(bytes)).toMatchObject({ kind: 'damaged', wholeBytes })
  })

  test('whatever one byte is changed to: it is never cut before the command that it is in, nor with a whole one behind it', () => {
    fc.assert(
      fc.property(fc.nat(five.length - 1), fc.integer({ min: 1, max: 255 }), (place, change) => {
        const bytes = Buffer.from(five)
        bytes[place] = (bytes[place] ?? 0) ^ change
        const scan = scanEnd(bytes)
        const before = Math.floor(place / set(1).length) * set(1).length
        expect(scan.wholeBytes).toBeGreaterThanOrEqual(before)
        if (scan.kind === 'torn') expect(before, 'only the last command').toBe(set(1).length * 4)
      }),
      { numRuns: 2000 },
    )
  })

  test('whatever the bytes are, it answers', () => {
    fc.assert(fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => scanEnd(bytes).wholeBytes <= bytes.length))
  })
})

describe('a long end is looked through in steps, for the agent has one thread', () => {
  const mib = 1024 * 1024
  const many = all(
    command('MULTI'),
    Buffer.from(
      set(1)
        .toString()
        .repeat(Math.floor((4 * mib) / set(1).length)),
    ),
  )
  test.each([
    ['a transaction that does not end', many, { commands: Math.floor((4 * mib) / set(1).length), first: 'SET k:1 value-1', last: 'SET k:1 value-1' }, 16],
    ['zeros', all(five, zeros(8 * mib)), { commands: 0, why: `${8 * mib} zero bytes` }, 7],
    ['a value in which commands seem to begin', command('SET', 'k', '\r\n*x'.repeat(mib / 2)).subarray(0, -9), { kind: 'damaged' }, 50],
  ])('%s', async (_what, bytes, said, steps) => {
    const dir = mkdtempSync(`${tmpdir()}/holdfast-end-`)
    const rests = vi.spyOn(globalThis, 'setImmediate')
    try {
      writeFileSync(`${dir}/a`, bytes)
      const end = await lookAtEnd(
        dir,
        { ok: true, base: '', bytes: bytes.length, changedAtMs: 0, empty: false, last: { file: 'a', bytes: bytes.length } },
        null,
      )
      if ('kind' in said) expect([end, scanEnd(bytes).kind]).toEqual([null, said.kind])
      else expect(end).toMatchObject({ kind: 'torn', ...said })
      expect(rests.mock.calls.length).toBeGreaterThanOrEqual(steps)
    } finally {
      rests.mockRestore()
      rmSync(dir, { recursive: true })
    }
  })
})
