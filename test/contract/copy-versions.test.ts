/** Between other versions: values by DUMP where the target reads them, by their elements where it does not; writers held by what the source has for it. */
import { afterEach, describe, expect, test } from 'vitest'
import type { CopyWay } from '../../src/migrate/copy-plan.ts'
import { Redises } from '../unit/real-redis.ts'
import { cloudUser, crossing, expectSame, fill, write } from './copy-ground.ts'
import { expectServers, servers, since } from './servers.ts'

let redises = new Redises()
const closing: (() => Promise<void> | void)[] = []

afterEach(async () => {
  for (const close of closing.splice(0)) await close()
  await redises.close()
  redises = new Redises()
})

expectServers()

/** Of XPENDING how long ago each was delivered: it goes on. */
function withoutAges(reply: unknown): unknown {
  return Array.isArray(reply) ? reply.map((one: unknown) => (Array.isArray(one) && one.length === 4 ? [one[0], one[1], one[3]] : one)) : reply
}

const pairs: readonly (readonly [from: string, to: string, way: CopyWay, held: 'pause' | 'min-replicas'])[] = [
  ['redis-8.0', 'redis-7.0', 'logical', 'pause'],
  ['valkey-8.1', 'redis-7.0', 'logical', 'pause'],
  ['redis-7.0', 'redis-8.0', 'dump', 'pause'],
  ['redis-6.0', 'valkey-8.0', 'dump', 'min-replicas'],
  ['redis-8.0', 'redis-6.0', 'logical', 'pause'],
]

describe.skipIf(servers.length === 0)('from one version to another', { timeout: 90_000 }, () => {
  test.each(pairs)('%s → %s, %s: the same in the end', async (from, to, way, held) => {
    const [a, b] = [from, to].map((name) => servers.find((one) => one.name === name))
    if (a === undefined || b === undefined) return
    const [one, two] = [await redises.start({ program: a.redisServer }, '--notify-keyspace-events', 'KA'), await redises.start({ program: b.redisServer })]
    await fill(one, 500)
    const isModern = since(7, 0)
    const source = { redis: one, user: await cloudUser(one), modern: isModern(a) }
    const target = { redis: two, modern: isModern(b) }
    const writer = write(one, 3000)
    closing.push(writer.stop)
    const { copy, finish, close } = crossing({ from: source, to: () => target, way })
    closing.push(close)
    await copy.untilNear()
    // Held until somebody lets go: nothing is written any more.
    const done = await finish({ keepMs: 60_000 })
    expect(done).toMatchObject({ held, proof: 'all' })
    await expectSame(source, target)
    // What migrate verify does not look at: where groups stand, and what their consumers have not acknowledged.
    for (const words of [
      ['XPENDING', 'large:x', 'readers'],
      ['XPENDING', 'large:x', 'readers', '-', '+', '3'],
      ['TYPE', 'nothing in it'],
      ['XLEN', 'nothing in it'],
    ])
      expect(withoutAges(await two.call(...words)), words.join(' ')).toEqual(withoutAges(await one.call(...words)))
    expect(String(await two.call('XPENDING', 'large:x', 'readers'))).toBe('28,3-7,30-7,one,28')
    if (held === 'pause') await one.call('CLIENT', 'UNPAUSE')
    else expect(await one.call('CONFIG', 'GET', 'min-replicas-to-write')).toEqual(['min-replicas-to-write', '99'])
    console.info(`${from} → ${to}: ${JSON.stringify({ rounds: copy.rounds.map(({ differ }) => differ), heldMs: done.heldMs })}`)
  })

  test.each([
    ['what the target does not read as it is packed goes by its elements, key by key, and only a module reads what stays behind', 'dump', []],
    ['where DUMP is refused scripts do not ask for it either', 'logical', ['-dump']],
  ] as const)('%s', async (_name, way, rules) => {
    const [a, b] = ['redis-8.0', 'redis-7.0'].map((name) => servers.find((one) => one.name === name))
    if (a === undefined || b === undefined) return
    const [one, two] = [await redises.start({ program: a.redisServer }), await redises.start({ program: b.redisServer })]
    await one.call('SET', 'a', '1')
    await one.call('VADD', 'vectors', 'VALUES', '2', '0.1', '0.2', 'x')
    const [source, target] = [
      { redis: one, user: await cloudUser(one, ...rules), modern: true },
      { redis: two, modern: true },
    ]
    const { copy, finish, close } = crossing({ from: source, to: () => target, way, setting: null })
    closing.push(close)
    await copy.untilNear()
    expect(await two.call('GET', 'a')).toBe('1')
    expect([...copy.uncopied.values()]).toEqual([{ database: 0, key: 'vectors', why: expect.stringContaining('vectorset'), forGood: true }])
    await expect(finish()).rejects.toMatchObject({ code: 'HF927' })
    expect(await finish({ leavesOut: true })).toMatchObject({ keys: 2, proof: 'all' })
  })
})
