/**
 * Full syncs: two members that need one take turns, and one that its source's output buffer ends again and again is not left to
 * itself. The source saves slowly (rdb-key-save-delay), so that what takes minutes with a large dataset takes seconds here.
 */
import { mkdir, rm } from 'node:fs/promises'
import { describe, expect, test } from 'vitest'
import type { Rig } from './rig.ts'
import { hostLines, poll, problems, rigFor, twoHosts } from './rig.ts'

describe.skipIf(problems.length > 0)('two members lose their disks at once', { timeout: 90_000 }, () => {
  const yaml = `${hostLines(3)}\ngroups:\n  sessions:\n    members: [red-a, red-b, red-c]\n    vip: 192.168.77.9/24\n`
  const theRig = rigFor('turns', yaml)

  test('they are filled one after the other; the one that waits says for whom', async () => {
    const rig = theRig()
    const { primary } = await rig.untilOk()
    await fill(rig, primary, 100_000, 500)
    await rig.untilOk()
    const writer = await rig.writer()
    await rig.redis(primary, 'CONFIG', 'SET', 'rdb-key-save-delay', '20')
    const others = ['red-a', 'red-b', 'red-c'].filter((h) => h !== primary)
    for (const host of others) await rig.lab.freeze(host, 'redis')
    for (const host of others) {
      await rm(rig.file(host, 'state', 'sessions', 'data'), { recursive: true })
      await mkdir(rig.file(host, 'state', 'sessions', 'data'))
    }
    await Promise.all(others.map((host) => rig.lab.kill(host, 'redis')))
    let most = 0
    let said = ''
    const done = await poll(
      async () => {
        const followers = await rig.redis(primary, 'INFO', 'replication')
        most = Math.max(most, followers.match(/state=(wait_bgsave|send_bulk)/g)?.length ?? 0)
        const status = (await rig.look())?.status
        said = status?.members.map((m) => m.why).find((w) => w.includes('waits for the full sync of')) ?? said
        return status?.health === 'ok' ? true : undefined
      },
      { withinMs: 40_000, everyMs: 20 },
    )
    expect(done, 'all are well again').toBe(true)
    expect(most, 'full syncs at one time').toBe(1)
    expect(said).toMatch(/waits for the full sync of red-/)
    for (const host of others) expect(Number(await rig.redis(host, 'DBSIZE'))).toBeGreaterThan(100_000)
    await rig.finishWithin(writer, 1000)
    await rig.expectNoBrokenRule()
  })
})

/** Small limits and a slow save make the same loop that gigabytes make with redis' own. */
const tight = [
  'process: direct',
  'redis: { client-output-buffer-limit: "replica 1mb 1mb 60", repl-backlog-size: 1mb, maxmemory: 200mb, maxmemory-policy: allkeys-lru }',
]

describe.skipIf(problems.length > 0)('a full sync that the output buffer ends', { timeout: 240_000 }, () => {
  const theRig = rigFor('buffer', twoHosts(tight))

  test('again and again: it is named, the buffer is made large enough, and the replica catches up', async () => {
    const rig = theRig()
    const { primary } = await rig.untilOk()
    const replica = primary === 'red-a' ? 'red-b' : 'red-a'
    await fill(rig, primary, 60_000, 1000)
    await rig.untilOk()
    await rig.redis(primary, 'CONFIG', 'SET', 'rdb-key-save-delay', '100')
    const fulls = await counter(rig, primary, 'sync_full')
    const churn = await startChurn(rig, primary)
    try {
      expect((await rig.cli('reinit', 'sessions', replica, '--no-wait')).code).toBe(0)
      const alarmed = await rig.until(
        'the loop is named',
        'sessions',
        (s) => s.members.some((m) => m.alarms.some((a) => a.includes('again and again'))),
        // Three saves of 60 MB, slowed down on purpose: half a minute, and on a machine whose disk is busy much more.
        120_000,
      )
      expect(alarmed.health).toBe('degraded')
      const caughtUp = await rig.until(
        'it caught up',
        'sessions',
        (s) => s.members.every((m) => m.role === 'primary' || (m.fit && m.state === 'streaming' && m.alarms.length === 0)),
        80_000,
      )
      expect(caughtUp.primary).toBe(primary)
    } finally {
      await rig.lab.exec(primary, ['sh', '-c', `kill ${churn}`])
    }
    const begun = (await counter(rig, primary, 'sync_full')) - fulls
    const limit = /slave (\d+) /.exec(await rig.redis(primary, 'CONFIG', 'GET', 'client-output-buffer-limit'))?.[1]
    console.info(`buffer loop: ended after ${begun} full syncs, limit now ${limit}`)
    expect(begun, 'there was a loop').toBeGreaterThanOrEqual(3)
    expect(begun, 'and it was ended').toBeLessThanOrEqual(8)
    expect(Number(limit)).toBeGreaterThan(1_048_576)
    const events = await rig.cli('history', 'sessions', '--events')
    expect(events.stdout).toMatch(/client-output-buffer-limit of replicas was raised/)
    await rig.untilOk()
    await rig.expectNoBrokenRule()
  })
})

async function fill(rig: Rig, host: string, keys: number, bytes: number): Promise<void> {
  // Not compressible, or the save would be of a few bytes.
  const script = `local v = '' for i = 1, ${bytes} do v = v .. string.char(math.random(32, 126)) end for i = tonumber(ARGV[1]), tonumber(ARGV[2]) do redis.call('set', 'filled:' .. i, v) end return 1`
  for (let from = 1; from <= keys; from += 10_000) expect(await rig.redis(host, 'EVAL', script, '0', String(from), String(from + 9999))).toMatch(/1/)
}

/** Some 20 MB a second, into the same keys: they cost no memory but that of the buffer. Returns the process to end. */
async function startChurn(rig: Rig, host: string): Promise<string> {
  const script = `local v = string.rep('x', 10000) for i = 1, 400 do redis.call('set', 'churned:' .. i, v) end return 1`
  const loop = `(while :; do redis-cli EVAL "${script}" 0; sleep 0.2; done) >/dev/null 2>&1 & echo $!`
  const started = await rig.lab.exec(host, ['sh', '-c', loop])
  return started.stdout.trim()
}

async function counter(rig: Rig, host: string, name: string): Promise<number> {
  return Number(new RegExp(`${name}:(\\d+)`).exec(await rig.redis(host, 'INFO', 'stats'))?.[1] ?? Number.NaN)
}
