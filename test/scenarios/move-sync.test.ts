/** When the full syncs of a move begin, whoever dies meanwhile. The clock of this world stands at 22:13:20 when it begins. */
import { expect, test } from 'vitest'
import { parseWindow } from '../../src/model/sync-terms.ts'
import { before, finish, follow } from './move-steps.ts'

const source = { host: 'ip-s', port: 6379 }
const opensMs = 20_000

test.each([
  ['nobody', () => {}],
  ['the agent of the holder', (w: ReturnType<typeof before>) => w.killAgent('a')],
  ['the redis of the holder', (w: ReturnType<typeof before>) => w.crash('a')],
])('%s dies before the window of a move: no full sync begins before it opens, and all of them in it', (_who, kill) => {
  const w = before()
  const window = parseWindow('22:13:40-22:23:40Z')
  w.move('a', { verb: 'start', source, overwrite: null, terms: { window } })
  w.run(2000)
  kill(w)
  w.run(1000)
  w.startAgent('a')
  w.runUntil(opensMs - 200, () => {
    expect(w.hosts.filter((h) => w.redis(h).linkUp)).toEqual([])
    return false
  })
  w.until('all follow', () => follow(w), 8000)
  expect(w.state('b').move?.terms?.window).toEqual(window)
  expect(finish(w)).toBe('a')
})
