/** How fast: beside a plain loop of SCAN, DUMP and RESTORE with pages of the same size. Prints; HOLDFAST_COPY_KEYS=300000 is what docs/migration.md tells of. */
import { afterEach, describe, expect, test } from 'vitest'
import { RawError, type RawRedis, type RawReply } from '../../src/redis/raw.ts'
import { noRedis, Redises, type RealRedis } from '../unit/real-redis.ts'
import { crossing, expectSame, raw } from './copy-ground.ts'

const keys = Number(process.env['HOLDFAST_COPY_KEYS'] ?? 0)
let redises = new Redises()
const opened: RawRedis[] = []

afterEach(async () => {
  for (const one of opened.splice(0)) one.close()
  await redises.close()
  redises = new Redises()
})

describe.skipIf(noRedis || keys === 0)('keys a second', { timeout: 300_000 }, () => {
  test.each(['dump', 'logical'] as const)('%s', async (way) => {
    const a = await redises.start()
    await a.call('EVAL', "for i = 1, tonumber(ARGV[1]) do redis.call('SET', 'key:' .. i, string.rep('v', 100), 'PX', 9000000 + i) end", '0', String(keys))
    const plain: number[] = []
    const ours: number[] = []
    for (let round = 0; round < 3; round += 1) {
      plain.push(await loop(a, await redises.start()))
      const b = await redises.start()
      const { copy, close } = crossing({ from: { redis: a, modern: true }, to: () => ({ redis: b, modern: true }), way, setting: '' })
      await copy.round()
      ours.push(keys / ((copy.rounds[0]?.tookMs ?? 1) / 1000))
      await copy.round()
      const compared = copy.rounds[1]
      close()
      console.info(
        `${way}: ${Math.round(ours.at(-1) ?? 0)} keys/s; plain loop ${Math.round(plain.at(-1) ?? 0)}; a round that compares ${Math.round((compared?.keys ?? 0) / ((compared?.tookMs ?? 1) / 1000))}`,
      )
      if (round === 2) await expectSame({ redis: a, modern: true }, { redis: b, modern: true })
    }
    expect(Math.max(...ours)).toBeGreaterThan(0)
  })
})

async function loop(a: RealRedis, b: RealRedis): Promise<number> {
  const [source, target] = [await raw({ redis: a }), await raw({ redis: b })]
  opened.push(source, target)
  const beganMs = performance.now()
  let [cursor, done] = ['0', 0]
  do {
    const [next, names] = (await source.call('SCAN', cursor, 'COUNT', '500')) as readonly [Buffer, readonly Buffer[]]
    cursor = next.toString()
    const values = await source.pipeline(
      names.flatMap((key) => [
        ['DUMP', key],
        ['PTTL', key],
      ]),
    )
    const replies = await target.pipeline(names.map((key, i) => ['RESTORE', key, String(values[i * 2 + 1] as RawReply), values[i * 2] as Buffer, 'REPLACE']))
    if (replies.some((reply) => reply instanceof RawError)) throw new Error('refused')
    done += names.length
  } while (cursor !== '0')
  return done / ((performance.now() - beganMs) / 1000)
}
