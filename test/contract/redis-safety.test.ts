/**
 * The model of redis against redis itself: fences, wipes, pauses, processes that stand still, copies that break off, starts. As in
 * redis-history.test.ts, every contract is told once and runs against both.
 */
import { expect } from 'vitest'
import { redisContracts } from './redis-both.ts'
import { attached, caughtUp } from './redis-under-test.ts'
import { since } from './servers.ts'

const { contract, runAll } = redisContracts()

contract('a primary that restarts empty wipes the replica that is still its own', async (g) => {
  const a = await attached(g, 'b')
  const b = g.redis('b')
  await a.kill()
  await a.emptyDisk()
  await a.start('primary')
  await caughtUp(g, b, a)
  expect(await b.keys()).toEqual([])
  expect(await b.attempts()).toEqual(['full', 'full'])
})

contract('a primary that restarts empty does nothing to a replica that has let go', async (g) => {
  const a = await attached(g, 'b', 'c')
  const b = g.redis('b')
  const before = await b.facts()
  const keys = await b.keys()
  await a.kill()
  await a.emptyDisk()
  await b.replicaOf('nobody')
  await a.start('primary')
  await caughtUp(g, g.redis('c'), a)
  expect(await b.keys()).toEqual(keys)
  expect(await b.attempts()).toEqual(['full'])
  const after = await b.facts()
  expect([after.replid, after.offset]).toEqual([before.replid, before.offset])
})

contract('a primary that restarts empty and fenced wipes nobody', async (g) => {
  const a = await attached(g, 'b')
  const b = g.redis('b')
  const keys = await b.keys()
  await a.kill()
  await a.emptyDisk()
  await a.start('fenced')
  await g.until('b was turned away', async () => (await b.attempts()).includes('NOMASTERLINK'))
  expect(await b.attempts()).toEqual(['full', 'NOMASTERLINK'])
  expect(await b.keys()).toEqual(keys)
})

contract('a fenced primary takes no write and gives to nobody new', async (g) => {
  const a = await attached(g, 'b')
  const b = g.redis('b')
  const before = await a.facts()
  await a.replicaOf('nobody')
  const after = await a.facts()
  expect(await a.write()).toBe('READONLY')
  expect(after.role).toBe('replica')
  expect([after.replid, after.offset, after.replid2]).toEqual([before.replid, before.offset, before.replid2])
  expect(await a.psync(before.replid, before.offset + 1)).toBe('NOMASTERLINK')
  await b.replicaOf('nobody')
  await b.replicaOf(a)
  await g.until('b was turned away', async () => (await b.attempts()).includes('NOMASTERLINK'))
  expect(await b.keys()).toEqual(await a.keys())
})

// Up to 6.2 it lets them go, and they ask again in vain: nobody is filled from it either way.
contract(
  'a fenced primary keeps the replicas that it has, and they come along when it follows another',
  async (g) => {
    const a = await attached(g, 'b', 'c')
    const [b, c] = [g.redis('b'), g.redis('c')]
    await a.replicaOf('nobody')
    expect([(await b.facts()).linkUp, (await c.facts()).linkUp, (await a.facts()).followers.length]).toEqual([true, true, 2])
    await c.replicaOf(null)
    await c.write(2)
    await a.replicaOf(c)
    await caughtUp(g, a, c)
    await caughtUp(g, b, a)
    expect([await a.attempts(), await b.attempts()]).toEqual([['partial'], ['full', 'partial']])
  },
  since(7, 0),
)

contract('writes refused by min-replicas: reads and the stream go on', async (g) => {
  const a = await attached(g, 'b')
  const keys = await a.keys()
  await a.refuseWrites(true)
  expect(await a.write()).toBe('NOREPLICAS')
  expect(await a.keys()).toEqual(keys)
  const b = g.redis('b')
  await b.replicaOf('nobody')
  await b.replicaOf(a)
  await caughtUp(g, b, a)
  expect(await b.attempts()).toEqual(['full', 'partial'])
  await a.refuseWrites(false)
  expect(await a.write()).toBe('OK')
})

contract(
  'a pause holds writes back, and one that is given up has not taken place',
  async (g) => {
    const a = await attached(g, 'b')
    const b = g.redis('b')
    const [before, keys] = [await a.facts(), await a.keys()]
    await a.pauseWrites(60_000)
    expect(await a.write()).toBe('paused')
    expect((await a.facts()).offset).toBe(before.offset)
    expect((await b.facts()).linkUp).toBe(true)
    await a.pauseWrites(null)
    expect(await a.keys()).toEqual(keys)
    expect(await a.write()).toBe('OK')
    await caughtUp(g, b, a)
  },
  since(6, 2),
)

contract(
  'a paused primary can be fenced',
  async (g) => {
    const a = await attached(g, 'b')
    await a.pauseWrites(60_000)
    await a.replicaOf('nobody')
    expect(await a.write()).toBe('READONLY')
  },
  since(6, 2),
)

contract('one that stands still keeps its replica, and goes on', async (g) => {
  const a = await attached(g, 'b')
  const b = g.redis('b')
  await a.freeze()
  expect((await b.facts()).linkUp).toBe(true)
  await a.thaw()
  expect(await a.write()).toBe('OK')
  await caughtUp(g, b, a)
  expect(await b.attempts()).toEqual(['full'])
})

contract('one that stands still answers no client', async (g) => {
  const a = await attached(g)
  await a.freeze()
  expect(await a.write()).toBe('no answer')
  await a.thaw()
  expect(await a.write()).toBe('OK')
})

contract('a replica that stood still takes what it missed', async (g) => {
  const a = await attached(g, 'b')
  const b = g.redis('b')
  await b.freeze()
  expect(await a.write(3)).toBe('OK')
  await b.thaw()
  await caughtUp(g, b, a)
  expect(await b.attempts()).toEqual(['full'])
  expect(await b.keys()).toEqual(await a.keys())
})

contract(
  'while it reads its disk it is nobody, and takes no write',
  async (g) => {
    const a = await attached(g, 'b')
    await a.writeBeyondBacklog()
    const before = await a.facts()
    await a.save()
    for (const [born, reply] of [
      ['fenced', 'READONLY'],
      ['primary', 'LOADING'],
    ] as const) {
      await a.kill()
      await a.start(born, 'slowly')
      const during = await a.facts()
      expect([during.loading, during.replid === before.replid, during.replid2, during.offset]).toEqual([true, false, '', 0])
      expect(await a.write()).toBe(reply)
      await g.until('it is read', async () => !(await a.facts()).loading)
      const after = await a.facts()
      expect([born === 'fenced' ? after.replid : after.replid2, after.offset, after.keys]).toEqual([before.replid, before.offset, before.keys])
    }
  },
  since(7, 0),
)

contract('a full copy that breaks off before it is loaded has cost no data', async (g) => {
  await attached(g, 'b')
  const [b, c] = [g.redis('b'), g.redis('c')]
  await c.start('fenced')
  await c.replicaOf(null)
  await c.write(10)
  await c.giveSlowly()
  const [before, keys] = [await b.facts(), await b.keys()]
  await b.replicaOf(c)
  await g.until('the copy is on its way', async () => (await b.facts()).syncing)
  await c.kill()
  await g.until('it has ended', async () => !(await b.facts()).syncing)
  const after = await b.facts()
  expect([after.replid, after.offset, after.linkUp]).toEqual([before.replid, before.offset, false])
  expect(await b.keys()).toEqual(keys)
})

// Up to 6.2 the first byte of a full copy ends its own history, and it takes everything anew: more to send, nothing lost.
contract(
  'after a full copy that broke off it continues with its own',
  async (g) => {
    const a = await attached(g, 'b')
    const [b, c] = [g.redis('b'), g.redis('c')]
    await c.start('fenced')
    await c.replicaOf(null)
    await c.write(10)
    await c.giveSlowly()
    await b.replicaOf(c)
    await g.until('the copy is on its way', async () => (await b.facts()).syncing)
    await c.kill()
    await b.replicaOf(a)
    await caughtUp(g, b, a)
    expect(await b.attempts()).toEqual(['full', 'full', 'partial'])
  },
  since(7, 0),
)

runAll()
