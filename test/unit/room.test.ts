/** A hundred groups of a host are due at the same full hour: one after the other, and none is forgotten. */
import { expect, test } from 'vitest'
import { roomFor } from '../../src/agent/room.ts'

test('one at a time, in the order in which they came; who asks twice stands in line once', async () => {
  const room = roomFor(1)
  const done: string[] = []
  const work = (name: string) => {
    const begin = (): void => {
      if (!room.enter(begin)) return
      done.push(name)
      setImmediate(room.leave)
    }
    return begin
  }
  const [a, b, c] = [work('a'), work('b'), work('c')]
  for (const begin of [a, b, c, b, c]) begin()
  expect(done, 'the others wait').toEqual(['a'])
  await expect.poll(() => done).toEqual(['a', 'b', 'c'])
  expect(
    room.enter(() => undefined),
    'and then there is room again',
  ).toBe(true)
})
