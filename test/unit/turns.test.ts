/** The rhythm of a loop: what is far off shares a wake-up with the agent, what is urgent waits for nobody, and nothing is forgotten. */
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { monotonicMs } from '../../src/agent/clock.ts'
import { takeTurns, type Turns } from '../../src/agent/turns.ts'

beforeEach(() => {
  vi.useFakeTimers()
})
afterEach(() => {
  vi.useRealTimers()
})

/** Its cycles take no time, and schedule the next one themselves where `againInMs` says so. */
function loop(againInMs?: number): { readonly turns: Turns; readonly begunMs: number[] } {
  const begunMs: number[] = []
  const fromMs = monotonicMs()
  const turns = takeTurns(
    () => {
      begunMs.push(Math.round(monotonicMs() - fromMs))
      if (againInMs !== undefined) turns.schedule(monotonicMs() + againInMs)
      return Promise.resolve()
    },
    () => {},
  )
  return { turns, begunMs }
}

test('a calm cycle begins when the agent is awake anyway, a little before it is due or after', async () => {
  const { turns, begunMs } = loop()
  turns.schedule(monotonicMs() + 400)
  expect(turns.awake()).toBe(false)
  await vi.advanceTimersByTimeAsync(369)
  expect(turns.awake()).toBe(false)
  await vi.advanceTimersByTimeAsync(50)
  expect(turns.awake()).toBe(true)
  await vi.advanceTimersByTimeAsync(1)
  expect(turns.awake(), 'once').toBe(false)
  expect(begunMs).toEqual([419])
})

test('where the agent has no time for it, it begins by itself soon after', async () => {
  const { turns, begunMs } = loop()
  turns.schedule(monotonicMs() + 400)
  await vi.advanceTimersByTimeAsync(1000)
  expect(begunMs).toEqual([430])
})

test('an urgent one has a timer to the millisecond, and no wake-up begins it early', async () => {
  const { turns, begunMs } = loop()
  turns.schedule(monotonicMs() + 100)
  await vi.advanceTimersByTimeAsync(99)
  expect(turns.awake()).toBe(false)
  await vi.advanceTimersByTimeAsync(1)
  expect(begunMs).toEqual([100])
})

test('woken meanwhile, it does not begin a second time when it was due', async () => {
  const { turns, begunMs } = loop(300)
  turns.schedule(monotonicMs() + 210)
  turns.wake()
  await vi.advanceTimersByTimeAsync(250)
  expect(turns.awake()).toBe(false)
  expect(begunMs).toEqual([0])
})

test('one that was stopped is not begun by a wake-up', async () => {
  const { turns, begunMs } = loop()
  turns.schedule(monotonicMs() + 210)
  await turns.stop()
  await vi.advanceTimersByTimeAsync(1000)
  expect(turns.awake()).toBe(false)
  expect(begunMs).toEqual([])
})

test('one that is due now waits for no timer, and one that was stopped is not begun', async () => {
  vi.useRealTimers()
  const { turns, begunMs } = loop()
  turns.schedule(monotonicMs())
  await new Promise((resolve) => setImmediate(resolve))
  expect(begunMs).toHaveLength(1)
  turns.schedule(monotonicMs())
  await turns.stop()
  await new Promise((resolve) => setTimeout(resolve, 5))
  expect(begunMs).toHaveLength(1)
})
