/**
 * Sentinel mode (ADR 0020) with real redis, real Sentinels and keepalived: the primary is lost, handed over, failed over by hand, and lost
 * while no agent runs. Each time: what clients of the address felt, when the Sentinels told theirs, and that nothing acknowledged is gone.
 */
import { describe, expect, test } from 'vitest'
import type { GroupStatus } from '../../src/cli/ask.ts'
import { poll, problems, rigFor, threeWithSentinels, type Rig } from './rig.ts'

const hosts = ['red-a', 'red-b', 'red-c']

/** How long after `sinceMs` each Sentinel told its clients. */
async function toldAfterMs(rig: Rig, sinceMs: number, withinMs: number): Promise<readonly number[]> {
  const all = await poll(
    async () => {
      const at = await Promise.all(hosts.map((h) => rig.switchedAt(h, sinceMs)))
      return at.every((ms) => ms !== null) ? at.map((ms) => (ms ?? 0) - sinceMs) : undefined
    },
    { withinMs, everyMs: 50 },
  )
  expect(all, `every Sentinel told its clients within ${withinMs} ms`).toBeDefined()
  return all ?? []
}

async function expectAgreed(rig: Rig, status: GroupStatus): Promise<void> {
  const ip = `192.168.77.${hosts.indexOf(status.primary ?? '') + 1}`
  for (const host of hosts) {
    expect(await rig.sentinel(host, 'SENTINEL', 'GET-MASTER-ADDR-BY-NAME', 'sessions'), `the Sentinel of ${host} names ${status.primary}`).toBe(`${ip}\n6379`)
    expect(await rig.sentinel(host, 'SENTINEL', 'CKQUORUM', 'sessions')).toMatch(/^OK 3 usable Sentinels/)
  }
  expect(status.vipHolder).toBe(status.primary)
  expect(await rig.writable()).toEqual([status.primary])
}

/** When the events of a kind were written on a host, since a moment. */
async function eventAt(rig: Rig, host: string, kind: string, sinceMs: number): Promise<number | undefined> {
  const shown = JSON.parse((await rig.cli('history', 'sessions', '--events', '--json')).stdout) as {
    events: { host: string; kind: string; atWallMs: number }[]
  }
  return shown.events.find((e) => e.host === host && e.kind === kind && e.atWallMs >= sinceMs)?.atWallMs
}

describe.skipIf(problems.length > 0)('three members with their Sentinels', { timeout: 90_000 }, () => {
  const theRig = rigFor('sentinel', threeWithSentinels())

  test('it begins: one primary, elected by the Sentinels, which all name it', async () => {
    const rig = theRig()
    const status = await rig.untilOk('sessions', 25_000)
    await expectAgreed(rig, status)
    await rig.expectNoBrokenRule()
  })

  test.each([1, 2, 3])('redis is killed: told to the Sentinels at once, not waited for (round %i)', async () => {
    const rig = theRig()
    const before = await rig.untilOk('sessions', 25_000)
    const writer = await rig.writer()
    let killedMs = 0
    const after = await rig.incident(writer, 'kill -9', { outageMs: 400 }, async () => {
      killedMs = Date.now()
      await rig.lab.kill(before.primary, 'redis')
    })
    const told = await toldAfterMs(rig, killedMs, 1500)
    console.info(`the Sentinels told their clients after ${told.join(', ')} ms`)
    await rig.finishWithin(writer, 400)
    expect(after?.primary).not.toBe(before.primary)
    if (after !== null) await expectAgreed(rig, after)
    await rig.expectNoBrokenRule()
  })

  test('a switchover, there and back: nothing lost, every Sentinel agrees', async () => {
    const rig = theRig()
    const before = await rig.untilOk('sessions', 25_000)
    const writer = await rig.writer()
    for (let round = 1; round <= 4; round += 1) {
      const after = await rig.incident(writer, `switchover ${round}`, { outageMs: 200, mayBeUnfelt: true }, async () =>
        expect(await rig.cli('switchover', 'sessions')).toMatchObject({ code: 0 }),
      )
      if (after !== null) await expectAgreed(rig, after)
    }
    // A wide limit for a busy machine; the figure is the bench's.
    await rig.finishWithin(writer, 200)
    expect((await rig.untilOk()).epoch).toBeGreaterThan(before.epoch)
    await rig.expectNoBrokenRule()
  })

  test('SENTINEL FAILOVER by hand: the old primary stops before the new one begins, the address follows within 100 ms', async () => {
    const rig = theRig()
    const before = await rig.untilOk('sessions', 25_000)
    const writer = await rig.writer()
    const sinceMs = Date.now()
    const after = await rig.incident(writer, 'SENTINEL FAILOVER', { outageMs: 1000 }, async () =>
      expect(await rig.sentinel('red-a', 'SENTINEL', 'FAILOVER', 'sessions')).toBe('OK'),
    )
    expect(after?.primary).not.toBe(before.primary)
    if (after?.primary == null) return
    const promotedMs = (await rig.loggedAt(after.primary, 'redis.log', 'MASTER MODE enabled')).find((ms) => ms >= sinceMs) ?? Number.NaN
    const cameMs = (await eventAt(rig, after.primary, 'vip-up', sinceMs)) ?? Number.NaN
    console.info(`the address came ${cameMs - promotedMs} ms after redis was promoted`)
    expect(cameMs - promotedMs).toBeLessThanOrEqual(100)
    await rig.finishWithin(writer, 1000)
    await expectAgreed(rig, after)
    await rig.expectNoBrokenRule()
  })

  test('no agent runs at all, and redis is killed: the Sentinels act as they always did, and the agents take up what they did', async () => {
    const rig = theRig()
    const before = await rig.untilOk('sessions', 25_000)
    for (const host of hosts) await rig.killAgent(host)
    await rig.lab.kill(before.primary, 'redis')
    const others = hosts.filter((h) => h !== before.primary)
    const promoted = await poll(
      async () => {
        for (const h of others) if ((await rig.redis(h, 'ROLE')).startsWith('master')) return h
        return undefined
      },
      { withinMs: 30_000, everyMs: 100 },
    )
    expect(promoted, 'a Sentinel has promoted a replica by itself').toBeDefined()
    for (const host of hosts) await rig.startAgent(host)
    const after = await rig.untilOk('sessions', 30_000)
    expect(after.primary).toBe(promoted)
    expect(after.epoch).toBeGreaterThan(before.epoch)
    await expectAgreed(rig, after)
    await rig.expectNoBrokenRule()
  })

  test('the address is never where no Sentinel chose: the host of the primary loses its power, a client watches', async () => {
    const rig = theRig()
    const before = await rig.untilOk('sessions', 25_000)
    const writer = await rig.writer()
    const sinceMs = Date.now()
    await rig.incident(writer, 'power off', { outageMs: 3000, okWithinMs: null }, () => rig.lab.power(before.primary, 'off'))
    const serves = await rig.until('another serves', 'sessions', (s) => s.primary !== null && s.primary !== before.primary)
    const cameMs = (await eventAt(rig, serves.primary ?? '', 'vip-up', sinceMs)) ?? Number.NaN
    const promotedMs = (await eventAt(rig, serves.primary ?? '', 'promoted', sinceMs)) ?? Number.NaN
    for (const host of hosts)
      if (host !== serves.primary && host !== before.primary) expect(await eventAt(rig, host, 'vip-up', sinceMs), `the address was on ${host}`).toBeUndefined()
    expect(cameMs - promotedMs).toBeLessThanOrEqual(100)
    await rig.lab.power(before.primary, 'on')
    await rig.untilOk('sessions', 30_000)
    await rig.finishWithin(writer, 3000)
    await rig.expectNoBrokenRule()
  })
})
