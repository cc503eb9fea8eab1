/**
 * The model of redis against redis itself: ids, offsets, who continues and who gets everything anew. Every contract is told once
 * and runs against both. The scenarios and the simulator believe the model; what it says wrong, they prove wrong.
 */
import { expect } from 'vitest'
import { redisContracts } from './redis-both.ts'
import { attached, caughtUp } from './redis-under-test.ts'

const { contract, runAll } = redisContracts()

contract('a promotion gives a new id, and the old one ends where the new one begins', async (g) => {
  const a = await attached(g, 'b')
  const b = g.redis('b')
  const before = await b.facts()
  await b.replicaOf(null)
  const after = await b.facts()
  expect(after.role).toBe('primary')
  expect(after.replid).not.toBe(before.replid)
  expect(after.replid2).toBe(before.replid)
  expect(after.secondOffset).toBe(before.offset + 1)
  expect(after.offset).toBe(before.offset)
  expect(await b.keys()).toEqual(await a.keys())
})

contract('a replica that follows its promoted sibling continues where it was', async (g) => {
  const a = await attached(g, 'b', 'c')
  const [b, c] = [g.redis('b'), g.redis('c')]
  await a.kill()
  await b.replicaOf(null)
  await b.write(3)
  await c.replicaOf(b)
  await caughtUp(g, c, b)
  expect(await c.attempts()).toEqual(['full', 'partial'])
  const [there, here] = [await b.facts(), await c.facts()]
  expect([here.replid2, here.secondOffset]).toEqual([there.replid2, there.secondOffset])
  expect(await c.keys()).toEqual(await b.keys())
})

contract('a replica that missed more than the backlog holds gets everything anew', async (g) => {
  const a = await attached(g, 'b', 'c')
  const [b, c] = [g.redis('b'), g.redis('c')]
  await a.kill()
  await b.replicaOf(null)
  await b.writeBeyondBacklog()
  await c.replicaOf(b)
  await caughtUp(g, c, b)
  expect(await c.attempts()).toEqual(['full', 'full'])
})

contract('a former primary with writes of its own gets everything anew, and loses them', async (g) => {
  const a = await attached(g, 'b')
  const b = g.redis('b')
  await b.replicaOf(null)
  await a.write(2)
  await b.write(3)
  await a.replicaOf(b)
  await caughtUp(g, a, b)
  expect(await a.attempts()).toEqual(['full'])
  expect(await a.keys()).toEqual(await b.keys())
})

contract('a former primary without writes of its own continues', async (g) => {
  const a = await attached(g, 'b')
  const b = g.redis('b')
  await a.replicaOf('nobody')
  await b.replicaOf(null)
  await b.write(3)
  await a.replicaOf(b)
  await caughtUp(g, a, b)
  expect(await a.attempts()).toEqual(['partial'])
})

contract('from the fork a former primary gives the diverged writes and no others', async (g) => {
  const a = await attached(g, 'b')
  const b = g.redis('b')
  const common = await a.keys()
  await b.replicaOf(null)
  await a.write(3)
  await a.refuseWrites(true)
  const { replid2, secondOffset } = await b.facts()
  expect(await a.psync(replid2, secondOffset)).toBe('CONTINUE')
  const diverged = (await a.keys()).filter((key) => !common.includes(key))
  expect([...(await a.streamFrom(replid2, secondOffset))].sort()).toEqual(diverged)
  expect(diverged).toHaveLength(3)
})

contract('one below a replica that is promoted continues and learns the new id', async (g) => {
  await attached(g, 'b', 'c')
  const [b, c] = [g.redis('b'), g.redis('c')]
  await c.replicaOf(b)
  await caughtUp(g, c, b)
  await b.replicaOf(null)
  await b.write(2)
  await caughtUp(g, c, b)
  expect(await c.attempts()).toEqual(['full', 'partial', 'partial'])
  expect((await c.facts()).replid2).toBe((await b.facts()).replid2)
})

contract('one below a replica whose upstream is promoted in its turn learns that id', async (g) => {
  const a = await attached(g, 'b', 'c')
  const [b, c] = [g.redis('b'), g.redis('c')]
  await c.replicaOf(b)
  await caughtUp(g, c, b)
  await a.replicaOf('nobody')
  await a.replicaOf(null)
  await a.write(2)
  await caughtUp(g, b, a)
  await caughtUp(g, c, b)
  expect((await c.facts()).replid).toBe((await a.facts()).replid)
  expect((await c.attempts()).filter((word) => word === 'full')).toHaveLength(1)
})

contract('one below a replica that lost its own upstream stays, and nobody new comes', async (g) => {
  const a = await attached(g, 'b', 'c')
  const [b, c] = [g.redis('b'), g.redis('c')]
  await c.replicaOf(b)
  await caughtUp(g, c, b)
  await a.kill()
  await g.until('b has lost a', async () => !(await b.facts()).linkUp)
  expect((await c.facts()).linkUp).toBe(true)
  const { replid, offset } = await b.facts()
  expect(await b.psync(replid, offset + 1)).toBe('NOMASTERLINK')
})

contract('one below a replica that gets everything anew gets everything anew', async (g) => {
  const a = await attached(g, 'b', 'c')
  const [b, c] = [g.redis('b'), g.redis('c')]
  await c.replicaOf(b)
  await caughtUp(g, c, b)
  await a.kill()
  await a.emptyDisk()
  await a.start('primary')
  await a.write(2)
  await caughtUp(g, b, a)
  await caughtUp(g, c, b)
  expect([await b.attempts(), (await c.attempts()).filter((word) => word !== 'NOMASTERLINK')]).toEqual([
    ['full', 'full'],
    ['full', 'partial', 'full'],
  ])
  expect(await c.keys()).toEqual(await a.keys())
})

contract('a replica remembers of its upstream where its own past ends, and nothing after a full copy', async (g) => {
  const a = await attached(g, 'b', 'c')
  const [b, c] = [g.redis('b'), g.redis('c')]
  await c.replicaOf('nobody')
  const behind = await c.facts()
  await a.write(2)
  await caughtUp(g, b, a)
  await b.replicaOf(null)
  await c.replicaOf(b)
  await caughtUp(g, c, b)
  const continued = await c.facts()
  expect(await c.attempts()).toEqual(['full', 'partial'])
  expect([continued.replid2, continued.secondOffset]).toEqual([behind.replid, behind.offset + 1])
  await a.write(1)
  await a.replicaOf(b)
  await caughtUp(g, a, b)
  const copied = await a.facts()
  expect([copied.replid2, copied.secondOffset]).toEqual(['', -1])
})

runAll()
