/**
 * The sync of a move, and the source that pays for it: a save there that fails, a window, a buffer that is too small for what is written meanwhile, and
 * clients that feel more than was allowed. Each is told and answered, and the source takes writes all the time.
 */
import { mkdir, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import type { SyncCost } from '../../src/cli/migrate-care.ts'
import { OldRedis, type Shown } from './moving.ts'
import { problems, rigFor, twoHosts, type Rig } from './rig.ts'

const keys = 8000
const filler = `for i = 1, ${keys} do redis.call('SET', 'key:' .. i, string.rep('x', 1000)) end`
const flood = `for i = 1, 100 do redis.call('SET', 'flood:' .. i, string.rep('y', 10000)) end`
/** Some 60 ms on any machine. */
const busy = `local from = redis.call('TIME') repeat local now = redis.call('TIME') until (now[1] - from[1]) * 1000000 + now[2] - from[2] > 60000 return 1`

describe.skipIf(problems.length > 0)('the sync of a move', { timeout: 60_000 }, () => {
  const theRig = rigFor('synm', twoHosts(['migration: { awaits: true }']))
  const cost = async (old: OldRedis): Promise<SyncCost> => ((await old.shown()) as Shown & { readonly sync: SyncCost }).sync
  const events = async (rig: Rig): Promise<string> => (await rig.cli('history', 'sessions', '--events')).stdout
  const field = async (old: OldRedis, section: string, name: string): Promise<string> =>
    new RegExp(`^${name}:(\\S*)`, 'm').exec(await old.ask('INFO', section))?.[1] ?? ''
  const limit = async (old: OldRedis, name: string): Promise<string> => (await old.ask('CONFIG', 'GET', name)).split('\n').slice(1).join(' ')

  /** A new history: nothing of what was received can go on with it, and all is sent anew. What the source needs for a key makes it last. */
  async function anew(old: OldRedis, saveDelayUs: number): Promise<readonly string[]> {
    await old.ok('abort', 'sessions')
    await expect.poll(() => field(old, 'replication', 'connected_slaves'), { timeout: 5000 }).toBe('0')
    expect(await old.ask('DEBUG', 'CHANGE-REPL-ID')).toBe('OK')
    expect(await old.ask('CONFIG', 'SET', 'rdb-key-save-delay', String(saveDelayUs))).toBe('OK')
    const { holder } = await old.shown()
    const run = /run_id:(\S+)/.exec(await old.rig.redis(holder, 'INFO', 'server'))?.[1] ?? ''
    return ['--overwrite', run]
  }

  function clock(wallMs: number): string {
    return new Date(wallMs).toISOString().slice(11, 19)
  }

  test('a save of the source that fails: given up and told, and it never refuses a write', async () => {
    const old = new OldRedis(theRig())
    const gone = join(old.rig.base, 'gone')
    await mkdir(gone)
    await old.start({ lines: ['enable-debug-command yes', 'enable-protected-configs yes', 'repl-diskless-sync no', 'repl-backlog-size 1mb'] })
    await old.ask('EVAL', filler, '0')
    await old.ask('CONFIG', 'SET', 'save', '3600 100000')
    expect(await old.ask('CONFIG', 'SET', 'dir', gone)).toBe('OK')
    await rm(gone, { recursive: true })
    const writes: string[] = []
    let ends = false
    const writing = (async () => {
      while (!ends) writes.push(await old.ask('SET', 'w', '1'))
    })()
    const start = await old.rig.cli('migrate', ...old.startWords())
    expect([start.code === 0, start.stderr]).toEqual([false, expect.stringMatching(/HF936 the sync was given up: the save of \S+ for it has failed/)])
    expect(await field(old, 'persistence', 'rdb_last_bgsave_status')).toBe('err')
    await expect.poll(() => field(old, 'replication', 'connected_slaves'), { timeout: 5000 }).toBe('0')
    expect(await cost(old)).toMatchObject({ givenUp: { times: 1, again: false }, guarded: true })
    expect(await events(old.rig)).toMatch(/the sync was given up: the save of/)
    expect(await limit(old, 'stop-writes-on-bgsave-error')).toBe('no')
    ends = true
    await writing
    expect(new Set(writes), 'not one was refused').toEqual(new Set(['OK']))
    expect(await old.ask('CONFIG', 'SET', 'dir', old.rig.base)).toBe('OK')
    await old.ask('BGSAVE')
    await expect.poll(() => limit(old, 'stop-writes-on-bgsave-error'), { timeout: 8000, message: 'as it was' }).toBe('yes')
  })

  test('a window that is not open yet: nothing begins before it, and it is told until when; begun in it, it goes on', async () => {
    const old = new OldRedis(theRig())
    await old.ask('CONFIG', 'SET', 'repl-diskless-sync', 'yes')
    await old.ask('CONFIG', 'SET', 'repl-diskless-sync-delay', '0')
    await old.ask('CONFIG', 'SET', 'rdb-key-save-delay', '400')
    const before = await field(old, 'stats', 'sync_full')
    const refused = await old.rig.cli('migrate', ...old.startWords('--window', '01:00-05:00'))
    expect([refused.code === 0, refused.stderr]).toEqual([false, expect.stringMatching(/with its zone/)])
    const opensMs = 6000
    const openedAtMs = Math.floor((Date.now() + opensMs) / 1000) * 1000
    await old.startMove('--no-wait', '--window', `${clock(openedAtMs)}-${clock(openedAtMs + 2000)}Z`)
    expect(await cost(old)).toMatchObject({ beginsAt: expect.any(String) as string, givenUp: null })
    expect((await old.rig.cli('migrate', 'status', 'sessions')).stdout).toMatch(/sync {8}begins .* \(window /)
    while (Date.now() < openedAtMs - 300) {
      expect(await field(old, 'stats', 'sync_full')).toBe(before)
      await new Promise((resolve) => setTimeout(resolve, 200))
    }
    await expect.poll(() => field(old, 'stats', 'sync_full'), { timeout: 5000, interval: 50 }).toBe(String(Number(before) + 1))
    const { holder } = await old.shown()
    const linked = async (host: string) => /master_link_status:(\w+)/.exec(await old.rig.redis(host, 'INFO', 'replication'))?.[1]
    await expect.poll(() => linked(holder), { timeout: 15_000, message: 'longer than its window' }).toBe('up')
    expect(Date.now()).toBeGreaterThan(openedAtMs + 2000)
    expect(await old.shown()).toMatchObject({ stage: 'SYNCING' })
    const other = holder === 'red-a' ? 'red-b' : 'red-a'
    await new Promise((resolve) => setTimeout(resolve, 1500))
    expect(await linked(other), 'the window is over: the member below waits for the next one').toBe('down')
    await old.startMove('--window', 'off')
    await old.untilStage(['IN_SYNC'])
    expect(await field(old, 'stats', 'sync_full')).toBe(String(Number(before) + 1))
  })

  test('more is written than its buffer takes: it is made larger, the sync arrives, and it is put back', async () => {
    const old = new OldRedis(theRig())
    const overwrite = await anew(old, 250)
    const was = await limit(old, 'client-output-buffer-limit')
    await old.startMove('--no-wait', ...overwrite)
    // Somebody's own tool puts its settings in order.
    await expect.poll(() => field(old, 'replication', 'connected_slaves'), { timeout: 8000, interval: 50 }).toBe('1')
    await old.ask('CONFIG', 'SET', 'repl-backlog-size', '1mb')
    await old.ask('CONFIG', 'SET', 'client-output-buffer-limit', 'replica 2mb 2mb 1')
    const ends = join(old.rig.base, 'flood.ends')
    const line = `while [ ! -e ${ends} ]; do redis-cli -h ${old.ip} -r 20 -i 0.01 EVAL "${flood}" 0 > /dev/null; done`
    const writer = old.rig.lab.exec('client', ['sh', '-c', line], { deadlineMs: 60_000 })
    await expect
      .poll(() => events(old.rig), { timeout: 20_000, interval: 300 })
      .toMatch(/full syncs of \S+ have begun and none has arrived: .* it is raised to \d+ bytes/)
    await writeFile(ends, '')
    expect((await writer).code).toBe(0)
    await old.untilStage(['IN_SYNC'], 25_000)
    const raised = Number(/slave (\d+) \1 0/.exec(await limit(old, 'client-output-buffer-limit'))?.[1])
    expect(raised, 'by what was written meanwhile, and not less than redis allows anyway').toBeGreaterThanOrEqual(268_435_456)
    await old.ok('abort', 'sessions')
    await expect.poll(() => limit(old, 'client-output-buffer-limit'), { timeout: 5000 }).toBe(was)
  })

  test('its clients feel more than was allowed: given up, told, and tried again when it is quiet', async () => {
    const old = new OldRedis(theRig())
    const overwrite = await anew(old, 1200)
    await old.startMove('--no-wait', '--max-p99', '30', ...overwrite)
    await expect.poll(() => field(old, 'replication', 'connected_slaves'), { timeout: 8000, interval: 50 }).toBe('1')
    const slow = old.rig.lab.exec('client', ['redis-cli', '-h', old.ip, '-r', '110', 'EVAL', busy, '0'])
    await expect.poll(async () => (await cost(old)).givenUp, { timeout: 15_000, interval: 200 }).not.toBe(null)
    expect(await cost(old)).toMatchObject({
      maxP99Ms: 30,
      beginsAt: expect.any(String) as string,
      givenUp: { times: 1, again: true, why: expect.stringMatching(/feels \d+ ms/) as string },
    })
    await expect.poll(() => field(old, 'replication', 'connected_slaves'), { timeout: 5000 }).toBe('0')
    expect(await events(old.rig)).toMatch(
      /the sync was given up: a client of \S+ feels \d+ ms .* before the sync [\d.]+ ms\), and 30 ms are allowed.* it is tried again in \d+ s/,
    )
    expect((await slow).code).toBe(0)
    await old.ask('CONFIG', 'SET', 'rdb-key-save-delay', '0')
    await old.untilStage(['IN_SYNC'], 30_000)
    expect(await cost(old)).toMatchObject({ givenUp: null })
    await old.stop()
  })
})
