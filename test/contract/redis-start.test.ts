/**
 * The model of redis against redis itself: what a redis knows of its history after a restart, and before it has
 * a replica. As in redis-history.test.ts, every contract is told once and runs against both.
 */
import { expect } from 'vitest'
import { redisContracts } from './redis-both.ts'
import { attached, caughtUp } from './redis-under-test.ts'
import { since } from './servers.ts'

const { contract, runAll } = redisContracts()

contract('a replica restarted from its disk continues', async (g) => {
  const a = await attached(g, 'b')
  const b = g.redis('b')
  await b.save()
  const before = await b.facts()
  await b.kill()
  await a.write(2)
  await b.start('fenced')
  const { replid, offset, role, linkUp } = await b.facts()
  expect({ replid, offset, role, linkUp }).toEqual({ replid: before.replid, offset: before.offset, role: 'replica', linkUp: false })
  await b.replicaOf(a)
  await caughtUp(g, b, a)
  expect(await b.attempts()).toEqual(['full', 'partial'])
})

contract('a primary restarted fenced from its disk keeps its id', async (g) => {
  const a = await attached(g, 'b')
  const before = await a.facts()
  await a.save()
  await a.kill()
  await a.start('fenced')
  const after = await a.facts()
  expect({ replid: after.replid, offset: after.offset, keys: after.keys }).toEqual({ replid: before.replid, offset: before.offset, keys: before.keys })
})

// Up to 6.2 only a replica keeps the id of its disk; Holdfast starts no other (INV-2).
contract(
  'a primary restarted as a primary takes a new id and remembers its own',
  async (g) => {
    const a = await attached(g, 'b')
    const b = g.redis('b')
    const before = await a.facts()
    await a.save()
    await a.kill()
    await a.start('primary')
    const after = await a.facts()
    expect(after.replid).not.toBe(before.replid)
    expect(after.replid2).toBe(before.replid)
    expect(after.secondOffset).toBe(before.offset + 1)
    expect(after.offset).toBe(before.offset)
    await caughtUp(g, b, a)
    expect(await b.attempts()).toEqual(['full', 'partial'])
  },
  since(7, 0),
)

contract('one restarted from nothing knows no history', async (g) => {
  const a = await attached(g, 'b')
  const before = await a.facts()
  await a.kill()
  await a.emptyDisk()
  for (const born of ['fenced', 'primary'] as const) {
    await a.start(born)
    const { replid, replid2, secondOffset, offset, keys, role } = await a.facts()
    expect({ replid2, secondOffset, offset, keys, role }).toEqual({
      replid2: '',
      secondOffset: -1,
      offset: 0,
      keys: 0,
      role: born === 'fenced' ? 'replica' : 'primary',
    })
    expect(replid).not.toBe(before.replid)
    await a.kill()
  }
})

contract('a primary without replicas takes a new id when the first attaches', async (g) => {
  const a = g.redis('a')
  await a.start('fenced')
  await a.replicaOf(null)
  await a.write(3)
  const before = await a.facts()
  const b = g.redis('b')
  await b.start('fenced')
  await b.replicaOf(a)
  await caughtUp(g, b, a)
  const after = await a.facts()
  expect(after.replid).not.toBe(before.replid)
  expect(after.replid2).toBe('')
})

contract('one restarted fenced, promoted and attached: everybody gets everything anew, under another new id', async (g) => {
  const a = await attached(g, 'b')
  const b = g.redis('b')
  await a.save()
  await b.save()
  const before = await a.facts()
  for (const redis of [a, b]) await redis.kill()
  for (const redis of [a, b]) await redis.start('fenced')
  await a.replicaOf(null)
  const promoted = await a.facts()
  expect([promoted.replid2, promoted.secondOffset, promoted.offset]).toEqual([before.replid, before.offset + 1, before.offset])
  await a.write(3)
  expect((await a.facts()).offset).toBe(before.offset)
  await b.replicaOf(a)
  await caughtUp(g, b, a)
  const after = await a.facts()
  expect(await b.attempts()).toEqual(['full', 'full'])
  expect([after.replid === promoted.replid, after.replid2, after.secondOffset, after.offset]).toEqual([false, '', -1, before.offset])
  expect(await b.keys()).toEqual(await a.keys())
})

contract('a replica of nobody that was never attached saves no id', async (g) => {
  const a = g.redis('a')
  await a.start('fenced')
  const before = await a.facts()
  await a.save()
  await a.kill()
  await a.start('fenced')
  expect((await a.facts()).replid).not.toBe(before.replid)
})

contract('what a replica restarted from its disk has is the backlog of who follows it', async (g) => {
  const a = await attached(g, 'b')
  const b = g.redis('b')
  await b.save()
  await b.kill()
  await b.start('fenced')
  await b.replicaOf(a)
  await caughtUp(g, b, a)
  const middle = await b.facts()
  await a.write(2)
  await caughtUp(g, b, a)
  expect(await b.psync(middle.replid, middle.offset + 1)).toBe('CONTINUE')
  expect(await b.psync(middle.replid, middle.offset - 5)).toBe('FULLRESYNC')
})

contract('one that never had a replica counts no bytes', async (g) => {
  const a = g.redis('a')
  await a.start('fenced')
  await a.replicaOf(null)
  await a.write(3)
  expect((await a.facts()).offset).toBe(0)
})

contract('one restarted fenced and promoted saves no id before it has a replica again', async (g) => {
  const a = await attached(g, 'b')
  const b = g.redis('b')
  await b.kill()
  await a.save()
  await a.kill()
  await a.start('fenced')
  const before = await a.facts()
  await a.replicaOf(null)
  await a.write(3)
  const promoted = await a.facts()
  await a.save()
  await a.kill()
  await a.start('fenced')
  const after = await a.facts()
  expect([promoted.replid, promoted.replid2, before.replid].includes(after.replid)).toBe(false)
  expect([after.replid2, after.offset, after.keys]).toEqual(['', 0, before.keys + 3])
})

contract('a primary that never had a replica saves no id', async (g) => {
  const a = g.redis('a')
  await a.start('fenced')
  await a.replicaOf(null)
  await a.write(3)
  const before = await a.facts()
  await a.save()
  await a.kill()
  await a.start('fenced')
  const after = await a.facts()
  expect([after.keys, after.offset, after.replid === before.replid, after.replid2]).toEqual([3, 0, false, ''])
})

runAll()
