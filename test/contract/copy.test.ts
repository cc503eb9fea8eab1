/** A redis that refuses PSYNC is copied into another while it is written to: real servers, every type, and what goes wrong on the way. In the end nothing differs, proven. */
import { afterEach, describe, expect, test } from 'vitest'
import { noRedis, Redises } from '../unit/real-redis.ts'
import { cloudUser, crossing, expectSame, fill, write, type Crossing, type Writer } from './copy-ground.ts'

let redises = new Redises()
const crossings: Crossing[] = []
const writers: Writer[] = []

afterEach(async () => {
  for (const one of writers.splice(0)) await one.stop()
  for (const one of crossings.splice(0)) one.close()
  await redises.close()
  redises = new Redises()
})

const begin = (...args: Parameters<typeof crossing>): Crossing => {
  const one = crossing(...args)
  crossings.push(one)
  return one
}

const busy = (...args: Parameters<typeof write>): Writer => {
  const one = write(...args)
  writers.push(one)
  return one
}

describe.skipIf(noRedis)('while it is written to', { timeout: 120_000 }, () => {
  test.each([
    ['by DUMP, with events', 'dump', 'KA', []],
    ['by DUMP, with the other kind of events', 'dump', 'EA', []],
    ['by DUMP, in rounds', 'dump', '', ['-config']],
    ['by DUMP, where no script may run', 'dump', 'KA', ['-eval', '-eval_ro', '-evalsha', '-evalsha_ro']],
    ['by elements, DUMP is refused', 'logical', 'KA', ['-dump']],
    ['by elements, in rounds, neither DUMP nor scripts nor MEMORY', 'logical', '', ['-dump', '-memory', '-@scripting', '-config']],
  ] as const)('%s: writers are held for a moment, and nothing differs', async (_name, way, setting, rules) => {
    const [a, b] = [await redises.start('--notify-keyspace-events', setting), await redises.start()]
    await fill(a, 1000)
    const from = { redis: a, user: await cloudUser(a, ...rules), modern: true }
    const to = { redis: b, modern: true }
    const writer = busy(a)
    const { copy, events, finish } = begin({ from, to: () => to, way, setting: rules.some((rule) => rule === '-config') ? null : setting })
    await copy.untilNear()
    if (setting !== '') expect(events.heard()).toBeGreaterThan(0)
    const before = writer.done()
    const done = await finish()
    expect(done).toMatchObject({ held: 'pause', proof: 'all' })
    expect(before).toBeGreaterThan(500)
    expect([...copy.uncopied.values()].filter(({ forGood }) => forGood)).toEqual([])
    await a.call('CLIENT', 'UNPAUSE')
    await writer.stop()
    const more = await copyMore(copy, finish)
    console.info(
      `${_name}: ${JSON.stringify({ rounds: copy.rounds.map(({ differ }) => differ), ...copy.figures, heldMs: done.heldMs, repaired: done.repaired, attempts: done.attempts })}; again ${more.heldMs} ms`,
    )
    expect(await expectSame(from, to)).toBeGreaterThan(3500)
  })
})

test.skipIf(noRedis).each(['dump', 'logical'] as const)(
  'values of a megabyte, by %s: a few at a time, for all that is written waits for each replica in memory',
  async (way) => {
    const [a, b] = [await redises.start(), await redises.start()]
    for (let i = 0; i < 30; i += 1) await a.call('SET', `k:${i}`, String(i).repeat(900_000 / String(i).length))
    const [from, to] = [
      { redis: a, modern: true },
      { redis: b, modern: true },
    ]
    const { copy, mostAtOnce } = begin({ from, to: () => to, way, setting: '' })
    await copy.round()
    expect(mostAtOnce()).toBeLessThan(3 * 1024 * 1024)
    await expectSame(from, to)
  },
)

/** What was written after the hold had ended. */
async function copyMore({ untilNear }: Crossing['copy'], finish: Crossing['finish']) {
  await untilNear()
  return finish({ stopped: true })
}
