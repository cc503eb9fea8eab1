/** What the event log is told of alarms that last. */
import { expect, test } from 'vitest'
import { alarmNews } from '../../src/agent/news.ts'

test('two that take turns are told once each, for as long as they last', () => {
  const isNews = alarmNews()
  const told: string[] = []
  for (let nowMs = 0; nowMs < 600_000; nowMs += 400) for (const text of ['a', 'b']) if (isNews(text, nowMs)) told.push(`${nowMs} ${text}`)
  expect(told).toEqual(['0 a', '0 b'])
})

test('one that was over is told when it begins again', () => {
  const isNews = alarmNews()
  expect([0, 59_000, 118_000, 178_000].map((nowMs) => isNews('a', nowMs))).toEqual([true, false, false, true])
})

test('alarms that never come twice, with an offset in their words, do not fill the memory nor push out one that lasts', () => {
  const isNews = alarmNews()
  const again: number[] = []
  for (let i = 0; i < 1000; i += 1) {
    for (const end of ['here', 'there']) isNews(`offset ${i} ${end}`, i)
    if (isNews('it lasts', i)) again.push(i)
  }
  expect(again).toEqual([0])
})
