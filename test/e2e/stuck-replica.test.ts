/**
 * Replicas whose link is up and which are no copy all the same: a stream that stands still, errors answered to it, settings that
 * send it astray. Each is named, is not promoted, and is well again by what the alarm says.
 */
import { mkdir } from 'node:fs/promises'
import { describe, expect, test } from 'vitest'
import type { GroupStatus } from '../../src/cli/ask.ts'
import type { Rig } from './rig.ts'
import { poll, problems, rigFor, twoHosts } from './rig.ts'

const ips: Readonly<Record<string, string>> = { 'red-a': '192.168.77.1', 'red-b': '192.168.77.2' }

describe.skipIf(problems.length > 0)('a stream that does not follow', { timeout: 90_000 }, () => {
  const theRig = rigFor('stuck', twoHosts())

  test('the network swallows one direction of one connection: the link is begun anew within seconds, and continues where it was', async () => {
    const rig = theRig()
    const { primary, replica } = await roles(rig)
    const writer = await rig.writer()
    const fulls = await counter(rig, primary, 'sync_full')
    const port = /addr=[\d.]+:(\d+)/.exec(await rig.redis(primary, 'CLIENT', 'LIST', 'TYPE', 'replica'))?.[1] ?? ''
    const atMs = performance.now()
    await nft(
      rig,
      replica,
      `add table ip swallow; add chain ip swallow in { type filter hook input priority 0 ; }; add rule ip swallow in ip saddr ${ips[primary]} tcp sport 6379 tcp dport ${port} drop`,
    )
    const cycled = async () => (await rig.journal(replica)).flatMap((l) => l.actions ?? []).filter((x) => x.action.kind === 'cycle-link').length
    expect(await poll(async () => ((await cycled()) > 0 ? true : undefined), { withinMs: 12_000 }), 'it is noticed').toBe(true)
    const after = await rig.untilOk()
    console.info(`swallowed stream: well again after ${((performance.now() - atMs) / 1000).toFixed(1)} s`)
    expect(after.primary).toBe(primary)
    expect(await counter(rig, primary, 'sync_full'), 'by a continuation').toBe(fulls)
    expect(await cycled()).toBe(1)
    await nft(rig, replica, 'delete table ip swallow')
    await rig.finishWithin(writer, 300)
    await rig.expectNoBrokenRule()
  })

  test('CLIENT PAUSE on the replica stops what it applies: a new link does not help for long, that is an alarm; it ends with the pause', async () => {
    const rig = theRig()
    const { primary, replica } = await roles(rig)
    const writer = await rig.writer()
    await rig.redis(replica, 'CLIENT', 'PAUSE', '60000', 'WRITE')
    const stuck = await rig.until(
      'the alarm is on the page',
      'sessions',
      (s) => member(s, replica).alarms.some((a) => a.includes('a new link did not help')),
      20_000,
    )
    expect(stuck).toMatchObject({ health: 'degraded', primary })
    expect(member(stuck, replica)).toMatchObject({ fit: false, why: expect.stringContaining('does not follow') })
    const dry = await rig.cli('switchover', 'sessions', '--to', replica, '--dry-run')
    expect(dry.stderr + dry.stdout).toContain('does not follow')
    await rig.redis(replica, 'CLIENT', 'UNPAUSE')
    await rig.untilOk()
    const events = await rig.cli('history', 'sessions', '--events')
    expect(events.stdout).toContain('a new link did not help')
    await rig.finishWithin(writer, 300)
    await rig.expectNoBrokenRule()
  })

  test('clients wrote to the replica, and a command of the primary fails there: not fit until it is filled anew', async () => {
    const rig = theRig()
    const { primary, replica } = await roles(rig)
    await rig.redis(replica, 'CONFIG', 'SET', 'replica-read-only', 'no')
    await rig.redis(replica, 'SET', 'queue', 'a string, written here')
    await rig.redis(primary, 'RPUSH', 'queue', 'job')
    const differs = await rig.until('it says so', 'sessions', (s) => member(s, replica).why.includes('data differ'), 5000)
    expect(differs.health).toBe('degraded')
    expect(differs.because).toContain(`holdfast reinit sessions ${replica}`)
    await rig.lab.kill(replica, 'redis')
    await rig.until(
      'a restart does not make it forget',
      'sessions',
      (s) => member(s, replica).state === 'streaming' && member(s, replica).why.includes('data differ'),
      10_000,
    )
    const refused = await rig.cli('switchover', 'sessions', '--to', replica)
    expect([refused.code, refused.stderr]).toEqual([1, expect.stringContaining('data differ')])
    expect((await rig.cli('reinit', 'sessions', replica, '--no-wait')).code).toBe(0)
    await rig.untilOk()
    expect(await rig.redis(replica, 'LRANGE', 'queue', '0', '-1')).toContain('job')
    await rig.expectNoBrokenRule()
  })
})

describe.skipIf(problems.length > 0)('settings that lead the stream astray', { timeout: 60_000 }, () => {
  const theRig = rigFor('astray', twoHosts(['process: external']), { agents: false })

  test('fewer databases and a renamed command are alarms at once; the first write that goes wrong makes the replica unfit', async () => {
    const rig = theRig()
    await start(rig, 'red-a', ['--databases', '32'])
    await start(rig, 'red-b', ['--databases', '16', '--rename-command', 'FLUSHALL', 'XFLUSHALL'])
    await rig.redis('red-a', 'SET', 'x', '1')
    await rig.redis('red-b', 'REPLICAOF', '192.168.77.1', '6379')
    for (const host of ['red-a', 'red-b']) await rig.startAgent(host)
    const named = await rig.until('both are named', 'sessions', (s) => s.health !== 'down' && member(s, 'red-b').alarms.length === 2, 15_000)
    expect(named).toMatchObject({ health: 'degraded', primary: 'red-a' })
    expect(member(named, 'red-b').alarms).toEqual([expect.stringContaining('16 databases, its primary 32'), expect.stringContaining('flushall')])
    expect(member(named, 'red-b').fit, 'nothing has gone wrong yet').toBe(true)

    await rig.redis('red-a', '-n', '20', 'SET', 'x', 'of database 20')
    const wrong = await rig.until('it went wrong', 'sessions', (s) => !member(s, 'red-b').fit, 5000)
    expect(await rig.redis('red-b', 'GET', 'x'), 'redis itself: in database 0 now').toBe('of database 20')
    expect(wrong.because).toMatch(/data differ|database 20/)
    await rig.expectNoBrokenRule()
  })

  async function start(rig: Rig, host: string, args: readonly string[]): Promise<void> {
    const dir = rig.file(host, 'own-redis')
    await mkdir(dir, { recursive: true })
    const usual = ['--port', '6379', '--protected-mode', 'no', '--dir', dir, '--save', '', '--repl-diskless-sync', 'no', '--daemonize', 'yes']
    expect((await rig.lab.exec(host, ['redis-server', ...usual, ...args])).code).toBe(0)
    expect(await poll(async () => ((await rig.redis(host, 'PING')) === 'PONG' ? true : undefined), { withinMs: 5000 })).toBe(true)
  }
})

function member(status: GroupStatus, host: string): GroupStatus['members'][number] {
  const found = status.members.find((m) => m.host === host)
  if (found === undefined) throw new Error(`no ${host} in the status`)
  return found
}

async function roles(rig: Rig): Promise<{ readonly primary: string; readonly replica: string }> {
  const { primary } = await rig.untilOk()
  return { primary, replica: primary === 'red-a' ? 'red-b' : 'red-a' }
}

async function counter(rig: Rig, host: string, name: string): Promise<number> {
  return Number(new RegExp(`${name}:(\\d+)`).exec(await rig.redis(host, 'INFO', 'stats'))?.[1] ?? Number.NaN)
}

async function nft(rig: Rig, host: string, rules: string): Promise<void> {
  const done = await rig.lab.exec(host, ['nft', rules])
  expect(done.code, done.stderr).toBe(0)
}
