/** Moments of real histories: over a failover, of keys whose time is over, from a redis whose times to live are relative. */
import { describe, expect, test } from 'vitest'
import { openMoment } from '../../src/dump/aside.ts'
import type { Moment } from '../../src/dump/moment.ts'
import { once } from '../../src/dump/paper.ts'
import { keyId } from '../../src/dump/seal.ts'
import { encodeSegment } from '../../src/dump/segment.ts'
import { putTimeline } from '../../src/dump/stream.ts'
import { dice } from '../sim/prng.ts'
import { caughtUp } from '../unit/real-redis.ts'
import { find, good, group, key, laid, linked, never, place, restored, step, told, truthOf, written, type Point } from './moments-ground.ts'
import { taken } from './restore-ground.ts'
import { servers } from './servers.ts'

test('a failover: before the fork, at it and after it; what the old primary wrote beyond it is in no moment of the new history', async () => {
  const { store, redises } = place()
  const [old, now] = [await redises.start(...told), await redises.start(...told)]
  const [a, b] = [await linked(old), await linked(now)]
  await written(a, [], 30)
  await now.call('REPLICAOF', '127.0.0.1', String(old.port))
  await expect.poll(async () => (await now.facts()).linkUp, { timeout: 5000 }).toBe(true)
  // From the replica, as backups are: its RDB names the database that the stream has selected.
  await step(a, [
    ['SELECT', '3'],
    ['SET', 'last', 'in database 3'],
  ])
  await caughtUp(old, now)
  const backups = [good(await taken({ store, source: now }, '20261121T181500Z-3f9a0b1c'))]
  const { replid: first, offset: from } = backups[0]?.manifest.position ?? { replid: '', offset: 0 }
  const points: Point[] = []
  await step(a, [
    ['SET', 'still', 'in database 3'],
    ['SELECT', '0'],
  ])
  await written(a, points, 60)
  await caughtUp(old, now)
  const fork = points.at(-1)?.offset ?? 0
  await now.call('REPLICAOF', 'NO', 'ONE')
  const diverged: Point[] = [...points]
  await written(a, diverged, 20, dice(4))
  await written(b, points, 60, dice(5))
  const second = (await now.facts()).replid
  const rolls = dice(6)
  await laid(old.port, { store, replid: first, parent: null, from: from + 1, to: diverged.at(-1)?.offset ?? 0, points: diverged, dice: rolls })
  await laid(now.port, { store, replid: second, parent: first, from: fork + 1, to: points.at(-1)?.offset ?? 0, points, dice: rolls, epoch: 2 })

  const at = points.findIndex(({ offset }) => offset === fork)
  for (const index of [0, at - 20, at - 1, at, at + 1, at + 20, points.length - 1]) {
    const point = points[index]
    const moment = await find(store, backups, { kind: 'offset', offset: point?.offset ?? 0 })
    expect(await restored(moment), `${index - at} steps from the fork`).toEqual({ truth: point?.truth, offset: point?.offset })
    const timed = await find(store, backups, { kind: 'time', wallMs: point?.wallMs ?? 0 })
    expect(timed.to, 'the same, by its time').toBe(point?.offset)
  }
  const lost = diverged.at(-1)
  const kept = await find(store, backups, { kind: 'offset', offset: lost?.offset ?? 0 }, first.slice(0, 6))
  expect(await restored(kept), 'on its own timeline it is there').toEqual({ truth: lost?.truth, offset: lost?.offset })
  const same = await find(store, backups, { kind: 'offset', offset: lost?.offset ?? 0 })
  expect((await restored(same)).truth).not.toBe(lost?.truth)
})

test('a key whose time is over by now: it is in the moment as it was then, takes part in what was written, and goes when that redis takes writes', async () => {
  const { store, redises } = place()
  const source = await redises.start(...told)
  const link = await linked(source)
  await link.call('SET', 'base', 'x', 'PX', '400')
  const manifest = await taken({ store, source }, '20261121T181500Z-3f9a0b1c')
  await step(link, [
    ['SET', 'short', '41', 'PX', '400'],
    ['INCR', 'short'],
    ['COPY', 'short', 'copy'],
    ['PERSIST', 'copy'],
    ['APPEND', 'base', 'y'],
    ['COPY', 'base', 'of base'],
    ['PERSIST', 'of base'],
  ])
  const point: Point = { ...(await truthOf(link)), wallMs: 1000 }
  // Until redis itself says in the stream that they are gone.
  await expect.poll(() => link.call('EXISTS', 'short', 'base'), { timeout: 5000 }).toBe(0)
  await step(link, [['SET', 'end', '1']])
  const last: Point = { ...(await truthOf(link)), wallMs: 2000 }
  await laid(source.port, {
    store,
    replid: manifest.position.replid,
    parent: null,
    from: manifest.position.offset + 1,
    to: last.offset,
    points: [point, last],
    dice: dice(2),
  })
  const moment = await find(store, [good(manifest)], { kind: 'offset', offset: point.offset })
  const { counts, digest } = await frozen(moment)
  expect([counts, digest]).toEqual(['db0:keys=4,expires=2', point.truth.split(' ')[0]])
  const aside = await openMoment(
    moment,
    { store, key, redisServer: 'redis-server', prefix: 'holdfast-frozen-', databases: 16, capBytes: 0, told: (chunks) => chunks, signal: never },
    () => undefined,
  )
  try {
    expect([await aside.redis.call('MGET', 'short', 'base'), await aside.redis.call('MGET', 'copy', 'of base')]).toEqual([
      [null, null],
      [Buffer.from('42'), Buffer.from('xy')],
    ])
  } finally {
    await aside.close()
  }

  async function frozen(of: Moment): Promise<{ readonly counts: string; readonly digest: string }> {
    let counts = ''
    const { truth } = await restored(of, 'redis-server', async (redis) => {
      expect(String(await redis.call('INFO', 'replication')), 'a master would remove them').toContain('role:slave')
      counts = /db0:keys=\d+,expires=\d+/.exec(String(await redis.call('INFO', 'keyspace')))?.[0] ?? ''
      return { truth: String(await redis.call('DEBUG', 'DIGEST')), offset: 0 }
    })
    return { counts, digest: truth }
  }
})

describe('refused, and nothing is served:', () => {
  async function one(more: string, byOffset = 0) {
    const { store, redises } = place()
    const source = await redises.start(...told)
    const link = await linked(source)
    await link.call('SET', 'a', 'text')
    const manifest = await taken({ store, source }, '20261121T181500Z-3f9a0b1c')
    const { replid, offset } = manifest.position
    const stream = Buffer.from(more)
    const at: Point = { offset: offset + stream.length, truth: '', wallMs: 1000 }
    await putTimeline(
      store,
      { format: 1, group, replid, epoch: 1, from: offset + 1, parent: null, atWallMs: 1, host: 'redis-b', why: '', keyId: keyId(key) },
      key,
      never,
    )
    const { name, bytes } = await encodeSegment(
      { group, replid, from: offset + 1, to: at.offset, lastWallMs: 1000, host: 'redis-b', serverVersion: '7.0.15', marks: [[at.offset, 1000]] },
      stream,
      'none',
      key,
    )
    await store.put(name, once(bytes), never)
    const moment = await find(store, [good(manifest)], { kind: 'time', wallMs: 'latest' })
    const { backup } = moment
    return { ...moment, backup: { ...backup, manifest: { ...backup.manifest, position: { replid, offset: offset + byOffset, epoch: 1 } } } }
  }

  test('a command that redis answers with an error: it does not hold what the group held', async () => {
    const wrong = '*3\r\n$5\r\nLPUSH\r\n$1\r\na\r\n$1\r\nx\r\n'
    await expect(restored(await one(wrong))).rejects.toMatchObject({
      code: 'HF823',
      message: expect.stringContaining('answered 1 commands of the stream with an error') as string,
    })
  })

  test('a dataset that stands elsewhere than its manifest says', async () => {
    const moment = await one('*1\r\n$4\r\nPING\r\n*1\r\n$4\r\nPING\r\n', 14)
    await expect(restored(moment)).rejects.toThrow(/redis asked for [0-9a-f]{40} from \d+ on: the backup stands at [0-9a-f]{40}, offset \d+/)
  })
})

describe.skipIf(!servers.some(({ name }) => name === 'redis-6.0'))('a redis that counts times to live from now', () => {
  const six = servers.find(({ name }) => name === 'redis-6.0')?.redisServer ?? ''
  test.each([
    ['6.0 itself', six],
    ['the installed one', 'redis-server'],
  ])('an hour ago: replayed into %s they are over when they were to be, and the rest is what it was', async (_, redisServer) => {
    const { store, redises } = place()
    const source = await redises.start({ program: six }, '--repl-backlog-size', '64mb', '--repl-ping-replica-period', '3600')
    const link = await linked(source)
    await link.call('SET', 'before', '1', 'EX', '9000')
    const manifest = await taken({ store, source }, '20261121T181500Z-3f9a0b1c')
    const payload = (await link.call('DUMP', 'before')) as Buffer
    const hourMs = 3_600_000
    const agoMs = Date.now() - hourMs
    await step(link, [
      ['SETEX', 'a', '9000', 'va'],
      ['PSETEX', 'b', '9000000', 'vb'],
      ['set', 'c', 'vc', 'ex', '9000', 'nx'],
      ['SET', 'd', 'vd'],
      ['expire', 'd', '9000'],
      ['SET', 'e', 'EX', 'PX', '9000000'],
      ['RESTORE', 'f', '9000000', payload],
      ['MULTI'],
      ['SET', 'g', 'vg', 'EX', '9000'],
      ['PEXPIRE', 'g', '9000000'],
      ['EXEC'],
      ['EVAL', "redis.call('SET','h','vh','EX',9000)", '0'],
      ['SET', 'i', 'for ever'],
      ['SET', 'over', '1', 'EX', '1800'],
    ])
    const offset = Number(/master_repl_offset:(\d+)/.exec(String(await link.call('INFO', 'replication')))?.[1])
    const points = [{ offset, truth: '', wallMs: agoMs }]
    await laid(source.port, {
      store,
      replid: manifest.position.replid,
      parent: null,
      from: manifest.position.offset + 1,
      to: offset,
      points,
      dice: dice(2),
      serverVersion: '6.0.16',
    })
    const moment = await find(store, [good(manifest)], { kind: 'time', wallMs: 'latest' })
    expect(moment).toMatchObject({ isRelative: true, to: offset })
    let sent = 0
    await restored(moment, redisServer, async (redis) => {
      const said = String(await redis.call('INFO', 'replication'))
      sent = Number(/slave_repl_offset:(\d+)/.exec(said)?.[1])
      expect(said).toContain('role:slave')
      expect(said, 'its offset is none of that history').not.toContain(`master_replid:${manifest.position.replid}`)
      expect(String(await redis.call('INFO', 'keyspace'))).toContain('db0:keys=11,expires=10')
      for (const name of ['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h']) {
        const leftMs = Number(await redis.call('PTTL', name))
        expect(Math.abs(leftMs - (9_000_000 - hourMs)), `${name}: ${leftMs}`).toBeLessThan(5000)
      }
      expect(Math.abs(Number(await redis.call('PTTL', 'before')) - 9_000_000), 'of the backup: as it was').toBeLessThan(5000)
      expect([await redis.call('MGET', 'a', 'e', 'g', 'over'), await redis.call('PTTL', 'i')]).toEqual([
        ['va', 'EX', 'vg', null].map((text) => (text === null ? null : Buffer.from(text))),
        -1,
      ])
      return { truth: '', offset: 0 }
    })
    expect(sent, 'other bytes than are archived').not.toBe(offset)
  })
})
