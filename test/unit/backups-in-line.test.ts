/** A host with a hundred groups, all due at the same full hour: their backups stand in line, and one that fails is not in the way of the next. */
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { openBackups, type Backups } from '../../src/agent/backups.ts'
import { startJob, type JobEnd } from '../../src/agent/backup-process.ts'
import type { GroupLoop } from '../../src/agent/group.ts'
import type { Config, GroupConfig } from '../../src/model/config.ts'
import { peer, policy, primaryFacts, state, view, word } from './builders.ts'

vi.mock('../../src/agent/backup-process.ts', () => ({ startJob: vi.fn() }))

const names = Array.from({ length: 100 }, (_, n) => `g${n}`)
const groups = Object.fromEntries(
  names.map((name) => [
    name,
    { name, members: [{ host: 'a' }, { host: 'b' }], backup: { schedule: '0 * * * *', test: true, stream: null } } as unknown as GroupConfig,
  ]),
)
const config = { groups, paths: {}, hosts: { b: { ip: '10.0.0.2' } } } as unknown as Config
const seen = {
  state: state('b'),
  view: view('b', [peer(word('a', { phase: 'primary', redis: primaryFacts() }))]),
  policy: policy('a', 'b'),
  statement: word('b'),
}
const loop = { snapshot: () => seen, note: () => undefined } as unknown as GroupLoop

let running: { readonly group: string; readonly end: (end: JobEnd) => void }[]
let begun: string[]
let backups: Backups
beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] })
  running = []
  begun = []
  vi.mocked(startJob).mockImplementation(({ group }) => {
    begun.push(group)
    let end: (how: JobEnd) => void = () => undefined
    const ended = new Promise<JobEnd>((resolve) => {
      end = resolve
    })
    running.push({ group, end })
    return { progress: () => ({ phase: 'looking', bytes: 0, of: null, forMs: 0 }), ended, stop: () => undefined }
  })
  backups = openBackups(config, 'b', names, new Map(names.map((name) => [name, loop])))
})
afterEach(() => {
  backups.close()
  vi.useRealTimers()
})

test('the store is asked by one after the other, also where it answers nobody', async () => {
  vi.advanceTimersByTime(60_000)
  expect(begun, 'the others wait').toHaveLength(1)
  for (let n = 1; n < names.length; n += 1) {
    running.shift()?.end({ ok: false, why: 'the store is away' })
    await expect.poll(() => begun.length, { interval: 1 }).toBe(n + 1)
    expect(running).toHaveLength(1)
  }
  expect(new Set(begun).size, 'each of them, once').toBe(names.length)
})
