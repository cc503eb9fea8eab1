/** What is archived has no backup to begin at: whoever archives knows it, and has one taken, once. */
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { openBackups, type Backups } from '../../src/agent/backups.ts'
import { startJob, type JobEnd } from '../../src/agent/backup-process.ts'
import type { GroupLoop } from '../../src/agent/group.ts'
import { startArchiver } from '../../src/agent/stream-process.ts'
import type { Base } from '../../src/backup/chain.ts'
import type { Glance, Seen } from '../../src/backup/due.ts'
import type { Job } from '../../src/backup/job.ts'
import type { Config, GroupConfig } from '../../src/model/config.ts'
import { wellArchived } from './archived.ts'
import { facts, peer, policy, primaryFacts, state, view, word } from './builders.ts'

vi.mock('../../src/agent/backup-process.ts', () => ({ startJob: vi.fn() }))
vi.mock('../../src/agent/stream-process.ts', () => ({ startArchiver: vi.fn() }))

const replid = 'a'.repeat(40)
const group = {
  name: 'g',
  durability: 'available',
  members: [{ host: 'a' }, { host: 'b', port: 6379 }, { host: 'c' }],
  backup: { schedule: '0 0 1 1 *', test: true, stream: { keepMs: 1, flushMs: 500 } },
} as unknown as GroupConfig
const config = { groups: { g: group }, paths: {}, hosts: { b: { ip: '10.0.0.2' } } } as unknown as Config
/** `c` would take the next backup by the schedule; `b` archives. */
const seen = {
  state: state('b'),
  view: view('b', [peer(word('a', { phase: 'primary', redis: primaryFacts({ replid }) })), peer(word('c', { redis: facts({ replid }) }))]),
  policy: policy('a', 'b', 'c'),
  statement: word('b', { archives: true, redis: facts({ replid }) }),
}
const loop = { snapshot: () => seen, note: () => undefined } as unknown as GroupLoop

let backups: Backups
let jobs: { readonly job: Job; readonly end: (end: JobEnd) => void }[]
let stored: Base[]
let copy: Seen | null

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval', 'performance', 'Date'] })
  jobs = []
  stored = []
  copy = null
  vi.mocked(startJob).mockImplementation((job) => {
    let end: (how: JobEnd) => void = () => undefined
    const ended = new Promise<JobEnd>((resolve) => {
      end = resolve
    })
    jobs.push({ job, end })
    return { progress: () => ({ phase: 'looking', bytes: 0, of: null, forMs: 0 }), ended, stop: () => undefined }
  })
  const archived = wellArchived(replid)
  vi.mocked(startArchiver).mockReturnValue({ archived: () => archived, ended: new Promise(() => undefined), stop: () => undefined, kill: () => undefined })
  backups = openBackups(config, 'b', ['g'], new Map([['g', loop]]))
})
afterEach(() => {
  backups.close()
  vi.useRealTimers()
})

const base = (offset: number): Base => ({ id: `at-${offset}`, replid, offset, atWallMs: Date.now(), state: 'good' })

function glance(): Glance {
  const newest = stored[0] === undefined ? null : ({ ...stored[0], source: { host: 'b' } } as unknown as Seen)
  return { atWallMs: Date.now(), newest, lastGood: newest, newestCopy: copy, bases: stored, count: stored.length, alarms: [], stream: null }
}

/** What was begun meanwhile; each look is answered at once. */
async function within(seconds: number): Promise<readonly string[]> {
  const begun: string[] = []
  for (let n = 0; n < seconds; n += 1) {
    vi.advanceTimersByTime(1000)
    for (const { job, end } of jobs.splice(0)) {
      if (job.job === 'take') begun.push(`${job.source.host}, for ${job.source.why}: ${job.reason}`)
      if (job.job === 'take') taken = end
      else end({ ok: true, glance: glance(), text: '' })
      for (let turn = 0; turn < 5; turn += 1) await Promise.resolve()
    }
  }
  return begun
}

let taken: (end: JobEnd) => void = () => undefined
async function itEnds(offset: number | null): Promise<void> {
  if (offset !== null) stored.unshift(base(offset))
  taken(offset === null ? { ok: false, why: 'the store is full' } : { ok: true, glance: glance(), text: '' })
  for (let turn = 0; turn < 5; turn += 1) await Promise.resolve()
}

test('it is taken at once by whoever archives, though another takes those of the schedule; and then no other', async () => {
  expect(await within(10)).toEqual(['b, for it archives the stream: stream'])
  await itEnds(700)
  expect(await within(3600)).toEqual([])
})

test('one that failed is tried again after the same waits as every backup', async () => {
  expect(await within(10)).toEqual(['b, for it archives the stream: stream'])
  await itEnds(null)
  expect(await within(290)).toEqual([])
  expect(await within(30)).toEqual(['b, for it archives the stream: stream'])
})

test('one that is none to begin at all the same is not followed by another at once', async () => {
  expect(await within(10)).toEqual(['b, for it archives the stream: stream'])
  await itEnds(300)
  expect(await within(290)).toEqual([])
  expect(await within(30)).toEqual(['b, for it archives the stream: stream'])
})

test('nothing is taken where there is one', async () => {
  stored = [base(499)]
  expect(await within(3600)).toEqual([])
})

test('a copy of what is there, taken before a restore over the group, that does not restore: whoever asked for it is told', async () => {
  stored = [base(499)]
  await within(10)
  const asked = backups.of('g')?.take({ from: 'b', reason: 'before the restore of x over the group', by: 'anna' })
  const id = asked?.ok === true ? asked.id : ''
  await within(1)
  copy = { id, state: 'bad', found: 'Short read' } as unknown as Seen
  await itEnds(499)
  expect(backups.of('g')?.report().ended).toMatchObject({ id, ok: false, text: expect.stringContaining('it does not restore: Short read') as string })
})
