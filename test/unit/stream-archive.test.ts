/** When the agent has the stream of its redis archived, when it ends that, and what it tells: with a process that only pretends to. */
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { careForStream, type StreamCare } from '../../src/agent/stream-archive.ts'
import type { GroupSnapshot } from '../../src/agent/group.ts'
import { startArchiver, type ArchiverEnd } from '../../src/agent/stream-process.ts'
import type { Base } from '../../src/backup/chain.ts'
import type { Archived, ArchiveJob, ArchiveLine } from '../../src/backup/job.ts'
import type { Statement } from '../../src/model/view.ts'
import { wellArchived } from './archived.ts'
import { facts, peer, policy, primaryFacts, state, view, word } from './builders.ts'

vi.mock('../../src/agent/stream-process.ts', () => ({ startArchiver: vi.fn() }))

interface Fake {
  readonly job: ArchiveJob
  readonly told: (line: Extract<ArchiveLine, { t: 'stream' }>) => void
  archived: Archived | null
  /** What it was ended by. */
  over: string | null
  readonly end: (end: ArchiverEnd) => void
}

let fakes: Fake[]
let heard: Statement[]
let own: Statement
let notes: string[]
let bases: readonly Base[] | null
let care: StreamCare
let isSafe: boolean

const replid = 'a'.repeat(40)
const primary = (more: Partial<Statement> = {}): Statement => word('a', { phase: 'primary', redis: primaryFacts({ replid, offset: 1300 }), ...more })
const replica = (host: string, more: Partial<Statement> = {}): Statement => word(host, { redis: facts({ replid, offset: 1200 }), ...more })
const well = (more: Partial<Archived> = {}): Archived => wellArchived(replid, more)

function snapshot(): GroupSnapshot {
  const { phase, epoch } = own
  return {
    state: state('c', { phase, epoch }),
    view: view(
      'c',
      heard.map((statement) => peer(statement)),
    ),
    decision: null,
    statement: { ...own, ...(care.archives() ? { archives: true as const } : {}) },
    policy: policy('a', 'b', 'c'),
    address: null,
    endedAtOnce: null,
  }
}

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval', 'performance', 'Date'] })
  vi.mocked(startArchiver).mockImplementation((job, told) => {
    let end: Fake['end'] = () => undefined
    const ended = new Promise<ArchiverEnd>((resolve) => {
      end = resolve
    })
    const fake: Fake = { job, told, archived: null, over: null, end }
    const over =
      (how: string) =>
      (why: string): void => {
        fake.over ??= `${how}: ${why}`
      }
    fakes.push(fake)
    return { archived: () => fake.archived, ended, stop: over('stopped'), kill: over('killed') }
  })
  fakes = []
  notes = []
  bases = null
  isSafe = false
  own = replica('c')
  heard = [primary(), replica('b')]
  begin()
})
afterEach(() => {
  care.close()
  vi.useRealTimers()
})

function begin(): void {
  const job = (source: ArchiveJob['source'], epoch: number): ArchiveJob => ({ job: 'archive', source, epoch }) as ArchiveJob
  care = careForStream({
    host: 'c',
    durability: isSafe ? 'safe' : 'available',
    snapshot,
    note: (kind, text) => notes.push(`${kind}: ${text}`),
    job,
    bases: () => bases,
  })
}

const last = (): Fake => {
  const fake = fakes.at(-1)
  if (fake === undefined) throw new Error('none was started')
  return fake
}
const pass = (seconds: number): void => void vi.advanceTimersByTime(seconds * 1000)
const ends = async (end: ArchiverEnd): Promise<void> => {
  last().end(end)
  await Promise.resolve()
  await Promise.resolve()
}

async function runs(): Promise<Fake> {
  pass(3)
  expect(fakes).toHaveLength(1)
  last().archived = well()
  return last()
}

describe('it is begun', () => {
  test('by whoever is chosen, a second later: what the others say is as old as that', () => {
    pass(1)
    expect(fakes).toHaveLength(0)
    pass(1)
    expect(fakes.map(({ job }) => [job.source.host, job.source.role, job.epoch])).toEqual([['c', 'replica', 1]])
    expect(care.archives()).toBe(true)
    pass(60)
    expect(fakes).toHaveLength(1)
  })

  test('not by anybody else, and not beside one who does already', () => {
    heard = [primary(), replica('b', { archives: true })]
    pass(60)
    expect(fakes).toHaveLength(0)
    expect(care.report()).toMatchObject({ host: 'b', running: null, alarms: [] })
  })

  test('again after a second, then two, and no more than a minute', async () => {
    await runs()
    const waits: number[] = []
    for (let n = 0; n < 9; n += 1) {
      await ends({ isWanted: false, why: 'the store is away' })
      const count = fakes.length
      let seconds = 0
      while (fakes.length === count && seconds < 100) {
        pass(1)
        seconds += 1
      }
      waits.push(seconds)
    }
    expect(waits).toEqual([1, 2, 4, 8, 16, 32, 60, 60, 60])
  })

  test('with the shortest wait, when it had gone well for a minute', async () => {
    await runs()
    for (let n = 0; n < 5; n += 1) {
      await ends({ isWanted: false, why: 'x' })
      pass(61)
    }
    pass(90)
    const count = fakes.length
    await ends({ isWanted: false, why: 'x' })
    pass(1)
    expect(fakes).toHaveLength(count + 1)
  })
})

describe('it is ended', () => {
  test.each(['promoting', 'primary', 'fenced', 'handed'] as const)('within the very call that says: %s', async (phase) => {
    const fake = await runs()
    care.phaseIs('replica')
    expect(fake.over).toBeNull()
    care.phaseIs(phase)
    expect(fake.over).toBe(`killed: c is ${phase}`)
  })

  test('by the primary, when it gives its office away', async () => {
    own = primary({ host: 'c' })
    heard = [replica('a', { answering: false }), replica('b', { answering: false })]
    pass(20)
    expect(last().job.source).toMatchObject({ role: 'primary' })
    care.phaseIs('primary')
    expect(last().over).toBeNull()
    care.phaseIs('handing')
    expect(last().over).toBe('killed: c is handing')
  })

  test.each<[string, () => void, string]>([
    ['when a failover is under way', () => (heard = [primary(), replica('b', { phase: 'promoting', epoch: 2 })]), 'a failover is under way (b)'],
    ['when its redis stops', () => (own = replica('c', { answering: false, redis: null })), 'its redis does not answer'],
    ['when its redis was promoted by hand', () => (own = replica('c', { redis: primaryFacts({ replid }) })), 'it is replica, and follows nobody'],
    [
      'when the failover was over before anybody looked: another history has begun',
      () => {
        own = replica('c', { epoch: 2, holder: 'b' })
        heard = [primary({ epoch: 2, host: 'b', holder: 'b' })]
      },
      'epoch 2 has begun',
    ],
  ])('%s, within a second', async (_name, happens, why) => {
    const fake = await runs()
    happens()
    pass(1)
    expect(fake.over).toBe(`stopped: ${why}`)
  })

  test('not for one that is only better, and not for a moment in which it is not fit itself', async () => {
    const fake = await runs()
    const [b] = policy('b').members
    heard = [
      primary({
        redis: primaryFacts({ replid, offset: 100_000_000, followers: [{ ip: b?.ip ?? '', port: 6379, online: true, offset: 100_000_000, ackAgeS: 0 }] }),
      }),
      replica('b'),
    ]
    pass(8)
    heard = [primary(), replica('b')]
    pass(60)
    expect(fake.over).toBeNull()
  })

  test('for another, when it is not fit for ten seconds and more', async () => {
    const fake = await runs()
    own = replica('c', { redis: facts({ replid, followers: [{ ip: policy('b').members[0]?.ip ?? '', port: 6379, online: false, offset: 0, ackAgeS: 0 }] }) })
    pass(10)
    expect(fake.over).toBeNull()
    pass(2)
    expect(fake.over).toBe('stopped: b archives it')
  })

  test('with its agent, that does not wait for it', async () => {
    const fake = await runs()
    care.close()
    expect(fake.over).toBe('stopped: its agent is being stopped')
  })

  test('and is begun anew at once, where it was ended for the sake of a promotion that is over', async () => {
    await runs()
    heard = [primary({ gone: 1 }), replica('b')]
    pass(1)
    heard = [primary(), replica('b')]
    await ends({ isWanted: true, why: 'x' })
    expect(fakes).toHaveLength(2)
  })
})

describe('it tells', () => {
  test('where it stands, and how far that is behind what the primary has written', async () => {
    await runs()
    bases = [{ id: 'x', replid, offset: 600, atWallMs: 77, state: 'good' }]
    expect(care.report()).toMatchObject({ host: 'c', running: { source: 'c', role: 'replica', stored: 1000, lagBytes: 300, sinceWallMs: 77 }, alarms: [] })
  })

  test('nothing of a moment while nobody has looked into the store', async () => {
    await runs()
    expect(care.report().running?.sinceWallMs).toBeNull()
    expect(care.noBase()).toBeNull()
  })

  test('that a backup is missing, and since when', async () => {
    await runs()
    bases = []
    pass(1)
    const { sinceWallMs } = care.noBase() ?? { sinceWallMs: 0 }
    pass(5)
    expect(care.noBase()).toEqual({ why: 'what is archived without a gap begins at offset 500, and there is no backup', sinceWallMs })
    expect(care.report().alarms).toMatchObject([{ grave: false, text: expect.stringContaining('no moment of it can be restored') as string }])
    bases = [{ id: 'x', replid, offset: 499, atWallMs: 77, state: 'untested' }]
    expect(care.noBase()).toBeNull()
  })

  test('gaps and beginnings as events, and a failure that lasts once', async () => {
    const fake = await runs()
    fake.told({ t: 'stream', what: 'forked', text: 'history b begins' })
    fake.told({ t: 'stream', what: 'gap', text: '12 bytes are missing' })
    expect(notes).toEqual(['stream-began: history b begins', 'stream-gap: 12 bytes are missing'])
    expect(care.report().gaps).toBe(1)
    fake.archived = well({ isAttached: false, trouble: 'redis hangs up: NOAUTH' })
    pass(120)
    expect(notes).toHaveLength(3)
    fake.archived = well()
    pass(1)
    expect(care.report().alarms).toEqual([])
    fake.archived = well({ isAttached: false, trouble: 'redis hangs up: NOAUTH' })
    pass(120)
    expect(notes).toHaveLength(4)
    notes.pop()
    expect(notes.slice(2)).toEqual(['stream-failed: the stream is not archived: redis hangs up: NOAUTH'])
    expect(care.report().alarms).toMatchObject([
      { grave: true, text: expect.stringMatching(/nothing has been archived for .*: redis hangs up: NOAUTH/) as string },
    ])
  })

  test('that nobody may, and why: from everybody', () => {
    care.close()
    isSafe = true
    begin()
    heard = [primary({ redis: primaryFacts({ replid }) }), replica('b', { answering: false })]
    own = replica('c', { answering: false })
    pass(60)
    expect(fakes).toHaveLength(0)
    expect(care.report()).toMatchObject({ host: null, alarms: [{ grave: true, text: expect.stringContaining('with durability: safe') as string }] })
  })
})
