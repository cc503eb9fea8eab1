/** The rhythm of a loop: what is far off shares a wake-up with the agent, what is urgent waits for nobody, and nothing is forgotten. */
import { afterEach, expect, test } from 'vitest'
import { monotonicMs } from '../../src/agent/clock.ts'
import { takeTurns, type Turns } from '../../src/agent/turns.ts'
import { until } from './wire.ts'

const started: Turns[] = []
afterEach(async () => {
  for (const turns of started.splice(0)) await turns.stop()
})

/** Its cycles take no time, and schedule the next one themselves where `againInMs` says so. */
function loop(againInMs?: number): { readonly turns: Turns; readonly begunMs: number[] } {
  const begunMs: number[] = []
  const turns = takeTurns(
    () => {
      begunMs.push(monotonicMs())
      if (againInMs !== undefined) turns.schedule(monotonicMs() + againInMs)
      return Promise.resolve()
    },
    () => {},
  )
  started.push(turns)
  return { turns, begunMs }
}

test('a calm cycle begins when the agent is awake anyway, and not long before it is due', async () => {
  const { turns, begunMs } = loop()
  const fromMs = monotonicMs()
  turns.schedule(fromMs + 400)
  expect(turns.awake()).toBe(false)
  await until('it begins', () => turns.awake(), 1000)
  expect(begunMs).toHaveLength(1)
  // At 430 ms it would begin by itself, and `awake` would never have been true.
  expect((begunMs[0] ?? 0) - fromMs).toBeGreaterThanOrEqual(369)
  expect(turns.awake(), 'once').toBe(false)
})

test('where the agent is busy with others, it begins by itself', async () => {
  const { turns, begunMs } = loop()
  const fromMs = monotonicMs()
  turns.schedule(fromMs + 250)
  await until('it begins', () => begunMs.length === 1, 600)
  expect((begunMs[0] ?? 0) - fromMs).toBeGreaterThanOrEqual(279)
})

test('an urgent one has a timer to the millisecond, and no wake-up begins it early', async () => {
  const { turns, begunMs } = loop()
  const fromMs = monotonicMs()
  turns.schedule(fromMs + 100)
  await until('it begins', () => {
    expect(turns.awake()).toBe(false)
    return begunMs.length === 1
  })
  expect((begunMs[0] ?? 0) - fromMs).toBeGreaterThanOrEqual(98)
})

test('woken meanwhile, it does not begin a second time when it was due', async () => {
  const { turns, begunMs } = loop(300)
  turns.schedule(monotonicMs() + 210)
  turns.wake()
  await new Promise((resolve) => setTimeout(resolve, 250))
  expect(turns.awake()).toBe(false)
  expect(begunMs).toHaveLength(1)
})

test('one that was stopped is not begun by a wake-up', async () => {
  const { turns, begunMs } = loop()
  turns.schedule(monotonicMs() + 210)
  await turns.stop()
  await new Promise((resolve) => setTimeout(resolve, 230))
  expect(turns.awake()).toBe(false)
  expect(begunMs).toEqual([])
})
