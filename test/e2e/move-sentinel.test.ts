/**
 * A running redis is moved to a group whose voters are real Sentinels (`mode: sentinel`): they watch nobody while it is received, whoever serves from the
 * cut-over on, and nobody again after the way back. In between the new primary is killed, and they elect as ever.
 */
import { describe, expect, test } from 'vitest'
import { OldRedis } from './moving.ts'
import { problems, rigFor, threeWithSentinels, type Rig } from './rig.ts'

const hosts = ['red-a', 'red-b', 'red-c']

const named = (rig: Rig): Promise<readonly string[]> =>
  Promise.all(hosts.map(async (host) => (await rig.sentinel(host, 'SENTINEL', 'GET-MASTER-ADDR-BY-NAME', 'sessions')).split('\n')[0] ?? ''))

/** Which take the old redis for a replica of the group. */
const listed = (rig: Rig): Promise<readonly boolean[]> =>
  Promise.all(hosts.map(async (host) => (await rig.sentinel(host, 'SENTINEL', 'REPLICAS', 'sessions')).includes(new OldRedis(rig).ip)))

/** Each with all the others and both replicas in its list. */
async function expectWatched(rig: Rig, primary: string): Promise<void> {
  const ip = `192.168.77.${hosts.indexOf(primary) + 1}`
  await expect.poll(() => named(rig), { timeout: 2000, interval: 50 }).toEqual([ip, ip, ip])
  for (const host of hosts)
    await expect.poll(() => rig.sentinel(host, 'SENTINEL', 'CKQUORUM', 'sessions'), { timeout: 8000, interval: 200 }).toMatch(/^OK 3 usable Sentinels/)
}

/** Whoever looks in the middle of a move is told of nothing that is to be repaired. */
async function expectCalm(rig: Rig): Promise<void> {
  expect((await rig.status())?.sentinels?.filter(({ ok }) => !ok)).toEqual([])
  expect(await rig.cli('sentinel', 'check', 'sessions')).toMatchObject({ code: 0 })
}

describe.skipIf(problems.length > 0)('a running redis is moved to a group with Sentinels', { timeout: 120_000 }, () => {
  const theRig = rigFor('movesent', threeWithSentinels(['migration: { awaits: true, hook: ./hook }']))

  test('they look away, watch the new primary at once, elect when it is killed, and look away again on the way back; nothing is lost', async () => {
    const rig = theRig()
    const old = new OldRedis(rig)
    await old.start()
    const writer = await rig.writer()
    await expect.poll(() => named(rig), { timeout: 5000 }).toEqual(['', '', ''])
    await rig.incident(writer, 'start', { outageMs: 300, okWithinMs: null, mayBeUnfelt: true }, () => old.startMove())
    expect([await old.writers(), await named(rig)]).toEqual([['old'], ['', '', '']])
    await expectCalm(rig)

    const moved = await rig.incident(writer, 'cut-over', { outageMs: 400, okWithinMs: 10_000, mayBeUnfelt: true }, () =>
      old.ok('cutover', 'sessions', '--unverified'),
    )
    await expectWatched(rig, moved?.primary ?? '')
    await old.untilStage(['DRAINED'])
    // To them it is a replica like any other: it must be none that they could promote.
    await expect.poll(() => listed(rig), { timeout: 5000 }).toEqual([true, true, true])
    expect(await old.ask('CONFIG', 'GET', 'replica-priority')).toBe('replica-priority\n0')
    await expectCalm(rig)
    const elected = await rig.incident(writer, 'kill -9', { outageMs: 400, okWithinMs: 15_000 }, () => rig.lab.kill(moved?.primary ?? '', 'redis'))
    expect(elected?.primary).not.toBe(moved?.primary)
    await expectWatched(rig, elected?.primary ?? '')

    await expect.poll(async () => (await rig.cli('migrate', 'rollback', 'sessions', '--dry-run')).code, { timeout: 15_000 }).toBe(0)
    await rig.incident(writer, 'way back', { outageMs: 400, okWithinMs: null, mayBeUnfelt: true }, () => old.ok('rollback', 'sessions'))
    await expect.poll(() => named(rig), { timeout: 2000, interval: 50 }).toEqual(['', '', ''])
    // For longer than they take to find a primary down that says it is a replica.
    await writer.steady({ acks: 4000, withinMs: 20_000 })
    expect([await old.writers(), await named(rig)]).toEqual([['old'], ['', '', '']])
    expect(await old.ask('CONFIG', 'GET', 'replica-priority')).toBe('replica-priority\n100')

    await expect.poll(async () => (await rig.cli('migrate', 'cutover', 'sessions', '--unverified', '--dry-run')).code, { timeout: 15_000 }).toBe(0)
    const again = await rig.incident(writer, 'cut-over again', { outageMs: 400, okWithinMs: 10_000, mayBeUnfelt: true }, () =>
      old.ok('cutover', 'sessions', '--unverified'),
    )
    await old.ok('commit', 'sessions')
    await expectWatched(rig, again?.primary ?? '')
    await expect.poll(() => listed(rig), { timeout: 5000 }).toEqual([false, false, false])
    await rig.finishWithin(writer, 400)
    expect(await old.writers()).toEqual([(await rig.untilOk()).primary])
    await rig.expectNoBrokenRule()
    await old.stop()
  })
})
