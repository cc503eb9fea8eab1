/** `holdfast backup stream`, and what list, show, verify and prune say of the stream, on a machine without agents; and what the job of an agent sees. */
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { Command } from '@commander-js/extra-typings'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import type { ArchiveLine, JobLine } from '../../src/backup/job.ts'
import { timelineName } from '../../src/backup/stream.ts'
import { register as registerBackup } from '../../src/cli/backup.ts'
import { momentWords } from '../../src/cli/backup-words.ts'
import { runJob } from '../../src/dump/job.ts'
import { memoryStore, type MemoryStore } from './stored-backups.ts'
import { layGood, laySegment, layTimeline, type Place } from './stored-streams.ts'
import { hourMs, minuteMs } from './stream-stories.ts'

const key = Buffer.alloc(32, 0xab)
const [a, b] = ['a'.repeat(40), 'b'.repeat(40)]
let dir = ''
let nowMs = 0
/** Of the last error. */
let lastHint = ''

beforeEach(async () => {
  nowMs = Math.floor(Date.now() / 1000 - 1) * 1000
  dir = await mkdtemp(join(tmpdir(), 'holdfast-cli-stream-'))
  await mkdir(join(dir, 'store'))
  await writeFile(join(dir, 'key'), key.toString('hex'), { mode: 0o600 })
  await writeFile(join(dir, 'other'), 'cd'.repeat(32), { mode: 0o600 })
  const backup = (more: string) => `{ directory: store, keep: { hourly: 1, daily: 0 }, encryption_key_file: key${more} }`
  await writeFile(
    join(dir, 'h.yaml'),
    `api: { secret_file: secret }
hosts: { a: { ip: 10.0.0.1 }, b: { ip: 10.0.0.2 } }
groups:
  cache: { members: [a, b], backup: ${backup(', stream: { keep_days: 1 }')} }
`,
  )
  await writeFile(join(dir, 'off.yaml'), (await readFile(join(dir, 'h.yaml'), 'utf8')).replace('stream: { keep_days: 1 }', 'stream: false'))
})
afterEach(() => rm(dir, { recursive: true }))

const offset = (hoursAgo: number): number => 10_000 - Math.round(hoursAgo * 100)
const place = (replid: string, hoursAgo: number): Place => ({ replid, offset: offset(hoursAgo), atWallMs: nowMs - hoursAgo * hourMs })

/** Backups, and a segment per hour over a failover; without those that begin so many hours ago. */
async function laid(backups: readonly number[], missing: readonly number[] = []): Promise<readonly string[]> {
  const store = memoryStore()
  const ids: string[] = []
  for (const hours of backups) ids.push(await layGood(store, place(hours > 10 ? a : b, hours), key))
  for (let hours = 80; hours > 0; hours -= 1) if (!missing.includes(hours)) await laySegment(store, offset(hours), place(hours > 10 ? a : b, hours - 1), key)
  await laySegment(store, offset(10), place(a, 9), key)
  await layTimeline(store, place(a, 80), { by: key })
  await layTimeline(store, place(b, 10), { epoch: 2, parent: a, by: key })
  await written(store)
  return ids
}

async function written({ objects }: MemoryStore): Promise<void> {
  for (const [name, bytes] of objects) {
    await mkdir(dirname(join(dir, 'store', name)), { recursive: true })
    await writeFile(join(dir, 'store', name), bytes)
  }
}

async function run(...words: readonly string[]): Promise<string> {
  return runWith('h.yaml', ...words)
}

async function runWith(config: string, ...words: readonly string[]): Promise<string> {
  const program = new Command('holdfast').exitOverride().option('--config <file>', 'the configuration')
  registerBackup(program as unknown as Command)
  let output = ''
  const spy = vi.spyOn(process.stdout, 'write').mockImplementation((chunk) => {
    output += String(chunk)
    return true
  })
  try {
    await program.parseAsync(['--config', join(dir, config), 'backup', ...words], { from: 'user' })
  } catch (error) {
    const { code, message } = error as { readonly code: string; readonly message: string }
    lastHint = (error as { readonly hint?: string }).hint ?? ''
    return `${output}${code} ${message}`
  } finally {
    spy.mockRestore()
  }
  return output
}

const moment = (hoursAgo: number): string => momentWords(nowMs - hoursAgo * hourMs)
const segmentAt = (hoursAgo: number): string => {
  const digits = (value: number): string => String(value).padStart(16, '0')
  const replid = hoursAgo > 10 ? a : b
  return `cache.stream/${replid}/${digits(offset(hoursAgo) + 1)}-${digits(offset(hoursAgo - 1))}-${nowMs - (hoursAgo - 1) * hourMs}.segment`
}

describe('what there is', () => {
  test('spans, gaps, what lies aside, and what would go', async () => {
    const [first = ''] = await laid([75, 70, 30, 20, 1], [60])
    const text = await run('stream', 'cache')
    expect(text).toContain(`restorable  any moment from ${moment(75)} to ${moment(60)}  from ${first}`)
    expect(text).toContain(`restorable  any moment from ${moment(30)} to ${moment(0)}`)
    expect(text).toContain(`gap  ${moment(60)} to ${moment(58)} (2 h 0 min): 100 bytes, offsets 4001 to 4100 of aaaaaaaa; restorable again from ${moment(30)}`)
    expect(text).toContain(`aside  aaaaaaaa offsets 9001 to 9100: another history left it there; 1 segment`)
    expect(text).toMatch(/bbbbbbbb .* redis-b .* aaaaaaaa at 9001/)
    expect(text).toMatch(/80 segments of cache, .* in directory /)
    expect(text).toMatch(/any moment of the last 1 d is kept; would go now: 31 segments \(.*\); a day from now: 18 segments/)
    expect(text).not.toContain('!')
    const json = JSON.parse(await run('stream', 'cache', '--json')) as { readonly spans: unknown[] }
    expect(json).toMatchObject({ gaps: [{ bytes: { from: 4001, to: 4100 } }], retention: { removed: { segments: 31 } }, alarms: [], branches: [{ replid: a }] })
    expect(json.spans).toHaveLength(2)
  })

  test('a line below the list, and how far one can go on from each', async () => {
    const [early = '', , late = ''] = await laid([75, 70, 30, 20, 1], [60])
    const list = await run('list', 'cache')
    expect(list).toContain(`stream: any moment from ${moment(30)} to ${moment(0)}; 1 gap, `)
    expect(list).toMatch(new RegExp(`${late}.*the stream begins at it`))
    expect(await run('show', 'cache', early)).toContain(`any moment from it to ${moment(60)} (offset 4000 of bbbbbbbb)`)
    expect(await run('show', 'cache', late)).toContain(`any moment from it to ${moment(0)} (offset 10000 of bbbbbbbb)`)
    expect(JSON.parse(await run('list', 'cache', '--json'))).toMatchObject({ stream: { segments: 80, spans: [{}, {}], gaps: [{}] }, alarms: [] })
  })

  test('where it was switched off, what is there is shown and left alone', async () => {
    await laid([75, 30, 1])
    const text = await runWith('off.yaml', 'stream', 'cache')
    expect(text).toContain(`any moment from ${moment(75)} to ${moment(0)}`)
    expect(text).toContain('the stream is not configured: nothing is archived, and what is there is left alone')
    expect(text).not.toContain('would go')
    expect(await runWith('off.yaml', 'list', 'cache')).not.toContain('the stream begins at it')
  })

  test('nothing at all', async () => {
    expect(await run('stream', 'cache')).toContain('! nothing of the stream is archived')
    expect(await runWith('off.yaml', 'stream', 'cache')).not.toContain('!')
  })
})

describe('verify --stream', () => {
  test('all of it, and the last two hours', async () => {
    await laid([75, 1])
    expect(await run('verify', 'cache', '--stream')).toMatch(/^81 good, 0 bad, no gap; /)
    expect(await run('verify', 'cache', '--stream', '--since', '150h')).toMatch(/^81 good/)
    expect(await run('verify', 'cache', '--stream', '--since', `${new Date(nowMs - 90 * minuteMs).toISOString().slice(0, 16)}Z`)).toMatch(/^2 good/)
  })

  test('what is damaged is named, with exit code 1; nothing is written down', async () => {
    await laid([75, 1], [60])
    const name = segmentAt(40)
    const file = join(dir, 'store', name)
    const bytes = await readFile(file)
    bytes[bytes.length - 1] = (bytes.at(-1) ?? 0) ^ 1
    await writeFile(file, bytes)
    await writeFile(join(dir, 'store', timelineName('cache', a)), '{}')
    const text = await run('verify', 'cache', '--stream')
    expect(text).toContain(`${timelineName('cache', a)}  BAD  it does not end as Holdfast writes it`)
    expect(text).toMatch(/HF835 1 of 11 bad: see above/)
    await layTimelineAgain()
    const again = await run('verify', 'cache', '--stream')
    expect(again).toContain(`${name}  BAD  it has other bytes than were stored (SHA-256)`)
    expect(again).toContain(`gap  100 bytes, offsets 4001 to 4100 of aaaaaaaa, ${moment(60)} to ${moment(58)}; restorable again from ${moment(1)}`)
    expect(again).toContain(`HF835 1 of 80 bad: ${name}`)
    expect(JSON.parse((await run('verify', 'cache', '--stream', '--json')).replace(/HF835.*/, ''))).toMatchObject({ good: 79, damaged: [{ name }], gaps: [{}] })
  })

  test('a gap alone: exit code 1 as well, and nothing where it lies before what was asked for', async () => {
    await laid([75, 1])
    await rm(join(dir, 'store', segmentAt(40)))
    const text = await run('verify', 'cache', '--stream')
    expect(text).toContain(`gap  100 bytes, offsets 6001 to 6100 of aaaaaaaa, ${moment(40)} to ${moment(38)}; restorable again from ${moment(1)}`)
    expect(text).toContain('80 good, 0 bad, 1 gap')
    expect(text).toContain('HF835 1 gap: no moment within can be restored')
    expect(lastHint).toContain('--since 1d looks at no more than the last day')
    expect(await run('verify', 'cache', '--stream', '--since', '90m')).toMatch(/^2 good, 0 bad, no gap; [^\n]*\n$/)
  })

  test('a gap, and no good backup behind it: one is to be taken now; the history is that of the bytes', async () => {
    await laid([75])
    await rm(join(dir, 'store', segmentAt(5)))
    const text = await run('verify', 'cache', '--stream')
    expect(text).toContain(`gap  100 bytes, offsets 9501 to 9600 of bbbbbbbb, ${moment(5)} to ${moment(3)}; no good backup lies behind it`)
    expect(text).toContain('HF835 1 gap')
    expect(lastHint).toBe('take a backup now, for without one nothing behind the last gap can be restored: holdfast backup take cache')
  })

  test('another key, none, both ways at once, no moment, nothing there', async () => {
    expect(await run('verify', 'cache', '--stream')).toBe('HF836 nothing is archived of the stream of cache')
    await laid([75, 1])
    expect(await run('verify', 'cache', '--stream', '--key-file', join(dir, 'other'))).toMatch(
      /^cache\.stream\/\S+ and 80 more {2}not known {2}it is encrypted with the key .*\n0 good, .*\nHF813 81 could not be looked at: it is encrypted with the key/,
    )
    expect(await run('verify', 'cache', '--stream', '--all')).toBe('HF812 say which: backups, or --stream')
    expect(await run('verify', 'cache', '--all', '--since', '2h')).toBe('HF812 --since is of --stream')
    expect(await run('verify', 'cache', '--stream', '--since', 'noon')).toMatch(/^HF836 --since takes/)
  })

  async function layTimelineAgain(): Promise<void> {
    const store = memoryStore()
    await layTimeline(store, place(a, 80), { by: key })
    await written(store)
  }
})

test('prune shows what goes of the stream, and with --yes it goes', async () => {
  await laid([75, 70, 50, 1])
  expect(await run('prune', 'cache')).toMatch(/stream: would go now: 30 segments \(.*\)\nnothing was changed/)
  expect(await run('prune', 'cache', '--yes')).toMatch(/stream: removed: 30 segments/)
  expect(await run('stream', 'cache')).toContain(`any moment from ${moment(50)} to`)
})

test('what an agent sees when it looks: from when to when any moment can be restored, how many gaps, and what is wrong', async () => {
  await laid([75, 70, 1], [60, 5])
  // Nothing has come for an hour: whoever archives tells it every second, and a look is told for a quarter of an hour after it was over.
  const late = (await readdir(join(dir, 'store', 'cache.stream', b))).filter((name) => name.includes(`-${nowMs}.segment`))
  expect(late).toHaveLength(1)
  for (const name of late) await rm(join(dir, 'store', 'cache.stream', b, name))
  const lines: (JobLine | ArchiveLine)[] = []
  const keep = { hourly: 24, daily: 30, weekly: 0, monthly: 0 }
  const store = { kind: 'directory', path: join(dir, 'store') } as const
  const backup = { store, schedule: null, keep, compression: 'gzip', encryptionKeyFile: join(dir, 'key'), maxBytesPerS: null, test: true } as const
  const looked = async (stream: { readonly keepMs: number; readonly flushMs: number } | null): Promise<JobLine | ArchiveLine | undefined> => {
    await runJob({ job: 'look', group: 'cache', backup: { ...backup, stream }, everyMs: hourMs }, (line) => lines.push(line), new AbortController().signal)
    return lines.at(-1)
  }
  expect(await looked({ keepMs: hourMs, flushMs: 500 })).toMatchObject({
    t: 'done',
    glance: {
      stream: { fromWallMs: nowMs - hourMs, toWallMs: nowMs - hourMs, gaps: 2 },
      alarms: [
        'the stream has a gap of 2 h, 2 days ago: 100 bytes are missing, nothing up to the next one can be restored',
        'the stream has a gap of 2 h, 3 h ago: 100 bytes are missing, it can be restored again from 2 h later on',
      ],
    },
  })
  expect(await looked(null)).toMatchObject({ t: 'done', glance: { stream: null, alarms: [] } })
})
