/** The hours in which a sync may begin: what is one, when it is open, when it opens next. */
import { describe, expect, test } from 'vitest'
import { isOpen, isWindow, opensNext, parseWindow, type SyncWindow } from '../../src/model/sync-terms.ts'

const noon = Date.UTC(2026, 0, 15, 12)
const hour = 3_600_000

function windowOf(text: string): SyncWindow {
  const found = parseWindow(text)
  if (found === null) throw new Error(text)
  return found
}

describe('a window', () => {
  test.each([
    ['11:00-13:00Z', true, 23 * hour],
    ['11:00-12:00Z', false, 23 * hour],
    ['12:00-12:00:01Z', true, 24 * hour],
    ['13:00-15:00+02:00', true, 23 * hour],
    ['01:00-05:00Z', false, 13 * hour],
    ['22:00-04:00Z', false, 10 * hour],
    ['22:00-14:00-01:30', true, 11.5 * hour],
    ['12:00:30-12:01Z', false, 30_000],
  ])('%s: open at noon %s', (text, open, nextMs) => {
    const window = windowOf(text)
    expect([isOpen(window, noon), opensNext(window, noon) - noon]).toEqual([open, nextMs])
    expect([isOpen(window, opensNext(window, noon)), isWindow(window)]).toEqual([true, true])
  })

  test.each(['01:00-05:00', '1:00-5:00Z', '25:00-05:00Z', '01:60-05:00Z', '01:00-01:00Z', '01:00-05:00+2', '', 'off'])('%j is none', (text) => {
    expect(parseWindow(text)).toBe(null)
  })

  test('over HTTP: its numbers are those of its words', () => {
    expect(isWindow({ ...windowOf('01:00-05:00Z'), toS: 5 })).toBe(false)
  })
})
