/** A segment while it grows: since when something waits to be put. By that an operator judges what would be lost now. */
import { expect, test } from 'vitest'
import { Held } from '../../src/dump/archive-held.ts'

const ping = '*1\r\n$4\r\nPING\r\n'
const write = '*3\r\n$3\r\nSET\r\n$1\r\na\r\n$1\r\nb\r\n'
const at = (second: number) => ({ nowMs: second * 1000, wallMs: 1_000_000 + second * 1000 })
const begun = (): Held => new Held({ replid: 'a'.repeat(40), from: 101, serverVersion: '7.0.15', timeline: null }, at(0))
const since = (held: Held): number | null => {
  const waits = held.waitingSinceWallMs()
  return waits === null ? null : (waits - 1_000_000) / 1000
}

test('nobody wrote for 40 seconds: the write behind them has waited since it came, and not since the first PING', () => {
  const held = begun()
  for (let second = 0; second <= 40; second += 10) held.append(Buffer.from(ping), at(second))
  expect(since(held)).toBeNull()
  held.append(Buffer.from(write), at(44))
  expect(since(held)).toBe(44)
  held.append(Buffer.from(ping + write), at(45))
  expect(since(held), 'the first one waits').toBe(44)
  expect(held.facts(45_000).restAgeMs, 'it is put at once: the PINGs are as old').toBe(45_000)
  held.put(held.part('rest').to)
  expect(since(held)).toBeNull()
})

test('what came while a part was put waits since then; PINGs do not', () => {
  const held = begun()
  held.append(Buffer.from(write), at(1))
  const first = held.part('rest')
  held.append(Buffer.from(ping), at(2))
  expect(since(held), 'it is not put yet').toBe(1)
  held.put(first.to)
  expect(since(held)).toBeNull()
  const second = held.part('rest')
  held.append(Buffer.from(ping), at(10))
  held.append(Buffer.from(write), at(30))
  expect(since(held)).toBe(30)
  held.put(second.to)
  expect(since(held), 'it does not jump back to the PING before it').toBe(30)
  const third = held.part('rest')
  held.append(Buffer.from(write), at(31))
  held.put(third.to)
  expect(since(held)).toBe(31)
})

test('a store that fails: what waited goes on waiting', () => {
  const held = begun()
  held.append(Buffer.from(write), at(1))
  held.part('rest')
  held.append(Buffer.from(write), at(5))
  held.part('rest')
  expect(since(held)).toBe(1)
})
