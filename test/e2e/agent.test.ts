/** INV-7, the agent is not the service: killed, stopped, restarted or upgraded, alone or both at once, and keepalived as well. */
import { describe, expect, test } from 'vitest'
import type { GroupStatus } from '../../src/cli/ask.ts'
import type { Rig } from './rig.ts'
import { poll, problems, rigFor, twoHosts } from './rig.ts'

/** Nothing that a client could tell from a busy moment of this machine. */
const unseenMs = 100

describe.skipIf(problems.length > 0)('an agent or keepalived that goes', { timeout: 60_000 }, () => {
  const theRig = rigFor('agent', twoHosts())

  test('what tests wait for is what `holdfast status` says, and that of a host that is off is not waited for', async () => {
    const rig = theRig()
    const steady = (s: GroupStatus | null) => ({
      ...s,
      members: s?.members.map(({ host, role, state, fit, vip, agent }) => ({ host, role, state, fit, vip, agent })),
      address: null,
    })
    expect(steady(await rig.untilOk())).toEqual(steady(await rig.status()))
    await rig.lab.power('red-b', 'off')
    const fromMs = performance.now()
    const missed = await rig.until('it is missed', 'sessions', (s) => s.members.some((m) => m.host === 'red-b' && m.agent === 'down'))
    expect(performance.now() - fromMs, 'less than it waits for an agent that does not answer').toBeLessThan(2000)
    expect(steady(missed).members).toEqual(steady(await rig.status()).members)
    await rig.lab.power('red-b', 'on')
  })

  test('asked to end, the agent of a replica is gone at once: nothing that it listens to holds it', async () => {
    const rig = theRig()
    const { primary } = await rig.untilOk()
    const replica = primary === 'red-a' ? 'red-b' : 'red-a'
    const fromMs = performance.now()
    await rig.killAgent(replica, 'SIGTERM')
    expect(performance.now() - fromMs).toBeLessThan(2000)
    await rig.startAgent(replica)
    await rig.untilOk()
  })

  for (const signal of ['SIGKILL', 'SIGTERM'] as const) {
    test(`${signal} to the agent of the primary, and a new one: clients see nothing, redis and keepalived are adopted`, async () => {
      const rig = theRig()
      const before = await rig.untilOk()
      // Without what redis has forked for the full sync of the replica, which is gone in a moment.
      await expect.poll(async () => (await services(rig, before.primary)).redis.length, { timeout: 10_000 }).toBe(1)
      const running = await services(rig, before.primary)
      const writer = await rig.writer()
      const after = await rig.incident(writer, `${signal}, two seconds without an agent, a new one`, { outageMs: unseenMs, mayBeUnfelt: true }, async () => {
        await rig.killAgent(before.primary, signal)
        // The other agent must not take silence of an agent for the loss of a host.
        await new Promise((resolve) => setTimeout(resolve, 2000))
        await rig.startAgent(before.primary)
      })
      await rig.finishWithin(writer, unseenMs)
      expect(after).toMatchObject({ primary: before.primary, epoch: before.epoch })
      expect(await services(rig, before.primary), 'the same processes').toEqual(running)
      await rig.expectNoBrokenRule()
    })
  }

  test('both agents are killed and started again: clients see nothing', async () => {
    const rig = theRig()
    const before = await rig.untilOk()
    const writer = await rig.writer()
    const after = await rig.incident(writer, 'no agent anywhere for a second', { outageMs: unseenMs, mayBeUnfelt: true }, async () => {
      await Promise.all(['red-a', 'red-b'].map((host) => rig.killAgent(host)))
      await new Promise((resolve) => setTimeout(resolve, 1000))
      await Promise.all(['red-a', 'red-b'].map((host) => rig.startAgent(host)))
    })
    await rig.finishWithin(writer, unseenMs)
    expect(after).toMatchObject({ primary: before.primary, epoch: before.epoch })
  })

  test('an agent that stands still (SIGSTOP) for three seconds: clients see nothing, and it promotes nobody when it wakes', async () => {
    const rig = theRig()
    const before = await rig.untilOk()
    const writer = await rig.writer()
    for (const host of ['red-a', 'red-b']) {
      await rig.incident(writer, `the agent of ${host} stands still`, { outageMs: unseenMs, mayBeUnfelt: true }, async () => {
        await rig.lab.freeze(host, 'agent')
        await new Promise((resolve) => setTimeout(resolve, 3000))
        await rig.lab.thaw(host, 'agent')
      })
    }
    await rig.finishWithin(writer, unseenMs)
    expect(await rig.untilOk()).toMatchObject({ primary: before.primary, epoch: before.epoch })
  })

  test('redis crashes while no agent is there: the next agent finds it and the group recovers', async () => {
    const rig = theRig()
    const before = await rig.untilOk()
    const writer = await rig.writer()
    const after = await rig.incident(writer, 'the agent dies, then redis, then the agent comes back', { outageMs: 10_000 }, async () => {
      await rig.killAgent(before.primary)
      await rig.lab.kill(before.primary, 'redis')
      await new Promise((resolve) => setTimeout(resolve, 1000))
      await rig.startAgent(before.primary)
    })
    // The replica's agent hears from VRRP that the host lives, and must not guess; the outage ends with the agent's return.
    await rig.finishWithin(writer, 10_000)
    expect(after?.primary).not.toBe(before.primary)
    await rig.expectNoBrokenRule()
  })

  for (const where of ['primary', 'replica'] as const) {
    test(`keepalived of the ${where} is killed: started again, the address is where the primary is`, async () => {
      const rig = theRig()
      const before = await rig.untilOk()
      const host = where === 'primary' ? before.primary : before.primary === 'red-a' ? 'red-b' : 'red-a'
      const old = (await services(rig, host)).keepalived
      const writer = await rig.writer()
      await rig.incident(writer, `kill -9 of keepalived on the ${where}`, { outageMs: 3000, mayBeUnfelt: true }, async () => {
        await rig.lab.kill(host, 'keepalived')
        const again = await poll(
          async () => {
            const now = (await services(rig, host)).keepalived
            return now.length >= 2 && !now.some((pid) => old.includes(pid)) ? true : undefined
          },
          { withinMs: 10_000, everyMs: 50 },
        )
        expect(again, 'keepalived runs again').toBe(true)
      })
      await rig.finishWithin(writer, 3000)
      const after = await rig.untilOk()
      expect(after.vipHolder).toBe(after.primary)
      await rig.expectNoBrokenRule()
    })
  }

  test('keepalived is stopped in an orderly way (an operator, an update): the same', async () => {
    const rig = theRig()
    const before = await rig.untilOk()
    const writer = await rig.writer()
    const after = await rig.incident(writer, 'SIGTERM to keepalived', { outageMs: 3000 }, () =>
      rig.lab.kill(before.primary, 'keepalived', { signal: 'SIGTERM' }),
    )
    await rig.finishWithin(writer, 3000)
    expect(after?.vipHolder).toBe(after?.primary)
  })
})

async function services(rig: Rig, host: string): Promise<{ readonly redis: readonly number[]; readonly keepalived: readonly number[] }> {
  const processes = (await rig.lab.status()).find((h) => h.name === host)?.processes ?? []
  const named = (name: string) =>
    processes
      .filter((p) => p.name.startsWith(name))
      .map((p) => p.pid)
      .sort((x, y) => x - y)
  return { redis: named('redis-server'), keepalived: named('keepalived') }
}
