/**
 * Redis lives and answers nobody: stopped, asleep, or lost in a script. After unresponsive_ms it is killed, so that it can
 * acknowledge nothing any more, and then it is a crash. With nobody to take over, a slow answer is better than none.
 */
import { describe, expect, test } from 'vitest'
import type { Rig } from './rig.ts'
import { poll, problems, rigFor, twoHosts } from './rig.ts'

const unresponsiveMs = 600
const outageMs = unresponsiveMs + 1000

describe.skipIf(problems.length > 0)('a redis that hangs', { timeout: 60_000 }, () => {
  const theRig = rigFor(
    'hang',
    twoHosts([
      `failover: { unresponsive_ms: ${unresponsiveMs} }`,
      // After 200 ms redis itself says -BUSY instead of nothing: neither is an answer that serves anybody.
      'redis: { enable-debug-command: "yes", busy-reply-threshold: 200 }',
    ]),
  )

  const hangs: readonly (readonly [string, (rig: Rig, host: string) => Promise<unknown>])[] = [
    ['SIGSTOP', (rig, host) => rig.lab.freeze(host, 'redis')],
    ['DEBUG SLEEP 20', (rig, host) => inBackground(rig, host, ['DEBUG', 'SLEEP', '20'])],
    ['an endless script', (rig, host) => inBackground(rig, host, ['EVAL', 'while true do end', '0'])],
    // One that has written cannot be ended by SCRIPT KILL; only the process can.
    ['an endless script that has written', (rig, host) => inBackground(rig, host, ['EVAL', 'redis.call("set", "x", "1") while true do end', '0'])],
  ]

  test.each(hangs)('%s: killed in time, the replica takes over, nothing is lost', async (name, hang) => {
    const rig = theRig()
    const before = await rig.untilOk()
    const pid = (await rig.lab.status()).find((h) => h.name === before.primary)?.processes.find((p) => p.name === 'redis-server')?.pid
    const writer = await rig.writer()
    const after = await rig.incident(writer, name, { outageMs }, () => hang(rig, before.primary))
    const report = await rig.finishWithin(writer, outageMs)
    expect(after?.primary).not.toBe(before.primary)
    expect(after?.epoch).toBe(before.epoch + 1)
    expect(report.marks[0]?.longestOutage.lengthMs, 'not shot before its time').toBeGreaterThan(unresponsiveMs - 100)
    const now = (await rig.lab.status()).find((h) => h.name === before.primary)?.processes.map((p) => p.pid)
    expect(now, 'the process that hung is dead: it can acknowledge nothing').not.toContain(pid)
    await rig.expectNoBrokenRule()
  })

  test('shorter than unresponsive_ms: nobody is killed, nobody promoted', async () => {
    const rig = theRig()
    const before = await rig.untilOk()
    const writer = await rig.writer()
    const after = await rig.incident(writer, 'DEBUG SLEEP 0.3', { outageMs }, () => inBackground(rig, before.primary, ['DEBUG', 'SLEEP', '0.3']))
    await rig.finishWithin(writer, unresponsiveMs)
    expect(after).toMatchObject({ primary: before.primary, epoch: before.epoch })
  })

  test('the replica hangs: clients notice nothing, and it is back when it answers again', async () => {
    const rig = theRig()
    const before = await rig.untilOk()
    const replica = before.primary === 'red-a' ? 'red-b' : 'red-a'
    const writer = await rig.writer()
    const after = await rig.incident(writer, 'SIGSTOP of the replica for a second', { outageMs: 100, mayBeUnfelt: true }, async () => {
      await rig.lab.freeze(replica, 'redis')
      await rig.until('the replica is not counted on', 'sessions', (s) => s.health === 'degraded', 5000)
      await rig.lab.thaw(replica, 'redis')
    })
    await rig.finishWithin(writer, 100)
    expect(after).toMatchObject({ primary: before.primary, epoch: before.epoch })
  })

  test('no fit successor: it is not killed, and serves on when it wakes up', async () => {
    const rig = theRig()
    const before = await rig.untilOk()
    const replica = before.primary === 'red-a' ? 'red-b' : 'red-a'
    await rig.lab.freeze(replica, 'redis')
    await rig.until('the replica is not counted on', 'sessions', (s) => s.health === 'degraded', 5000)
    const pid = await rig.redis(before.primary, 'INFO', 'server').then((text) => /process_id:(\d+)/.exec(text)?.[1])
    const writer = await rig.writer()
    await rig.incident(writer, 'DEBUG SLEEP 2 with a dead-tired replica', { outageMs: 2500, okWithinMs: null }, () =>
      inBackground(rig, before.primary, ['DEBUG', 'SLEEP', '2']),
    )
    expect(await rig.redis(before.primary, 'INFO', 'server').then((text) => /process_id:(\d+)/.exec(text)?.[1]), 'the same process').toBe(pid)
    const why = await poll(async () => (await rig.journal(before.primary)).findLast((line) => line.because?.includes('no member is fit to take over')), {
      withinMs: 2000,
    })
    expect(why?.rule).toMatch(/i-hang → end-hang/)
    await rig.finishWithin(writer, 2500)
    await rig.lab.thaw(replica, 'redis')
    expect(await rig.untilOk()).toMatchObject({ primary: before.primary, epoch: before.epoch })
  })
})

/** Sent and not waited for: the answer does not come, or comes too late. */
function inBackground(rig: Rig, host: string, command: readonly string[]): Promise<unknown> {
  const words = command.map((word) => `'${word}'`).join(' ')
  return rig.lab.exec(host, ['sh', '-c', `timeout 30 redis-cli ${words} >/dev/null 2>&1 &`])
}
