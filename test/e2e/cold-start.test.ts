/**
 * INV-8: all hosts lose their power (every process at once, /run is gone, no FIN leaves) and come back in any order, some never, some
 * with an empty disk. The most advanced data serve, empty ones never; and where that cannot be known the group waits, says for whom,
 * and does what the operator says.
 */
import { rm } from 'node:fs/promises'
import { describe, expect, test } from 'vitest'
import type { Rig } from './rig.ts'
import { hostLines, pairAndWitness, problems, rigFor, twoHosts, vip } from './rig.ts'

/** Longer than any wait after which a member that may might promote itself. */
const outlastMs = 4500

interface Dark {
  readonly primary: string
  /** Has what every disk has, but not `newest`. */
  readonly behind: string
}

/** Every disk has `precious`; one replica is lost earlier, and `newest` is on the disks of the others only. Then everything goes dark. */
async function goDark(rig: Rig, hosts: readonly string[], members: readonly string[], label: string): Promise<Dark> {
  const { primary } = await rig.untilOk('sessions', 25_000)
  const behind = members.find((host) => host !== primary) ?? ''
  await rig.redisAt('client', vip, 'SET', 'precious', label)
  expect(await rig.redisAt('client', vip, 'WAIT', String(members.length - 1), '3000')).toMatch(new RegExp(String(members.length - 1)))
  for (const host of members) await rig.redis(host, 'SAVE')
  await rig.lab.power(behind, 'off')
  await rig.until('it is missed', 'sessions', (s) => s.health === 'degraded', 10_000)
  await rig.redisAt('client', vip, 'SET', 'newest', label)
  if (members.length > 2) await rig.redisAt('client', vip, 'WAIT', '1', '3000')
  for (const host of members) if (host !== behind) await rig.redis(host, 'SAVE')
  await Promise.all(hosts.filter((host) => host !== behind).map((host) => rig.lab.power(host, 'off')))
  return { primary, behind }
}

/** Nobody serves, not even after a while; and `status` says for whom the group waits. */
async function expectWaitsFor(rig: Rig, host: string): Promise<void> {
  await new Promise((resolve) => setTimeout(resolve, outlastMs))
  const waiting = await rig.until(`waits for ${host}`, 'sessions', (s) => s.health === 'down' && s.because.includes(host), 10_000)
  expect(waiting.primary).toBeNull()
  expect(await rig.writable()).toEqual([])
  expect((await rig.cli('explain', 'sessions')).stdout, 'explain says it too').toContain(host)
}

async function expectNewest(rig: Rig, label: string): Promise<void> {
  await rig.untilOk('sessions', 25_000)
  for (const key of ['precious', 'newest']) expect(await rig.redisAt('client', vip, 'GET', key)).toBe(label)
  await rig.expectNoBrokenRule()
}

async function powerOn(rig: Rig, ...hosts: readonly string[]): Promise<void> {
  for (const host of hosts) await rig.lab.power(host, 'on')
}

describe.skipIf(problems.length > 0)('a power cut of two members', { timeout: 90_000 }, () => {
  const theRig = rigFor('cold2', twoHosts())
  const members = ['red-a', 'red-b']

  test('the one that is behind comes back first: it waits for the other, which serves', async () => {
    const rig = theRig()
    const { primary, behind } = await goDark(rig, members, members, 'one')
    await powerOn(rig, behind)
    await expectWaitsFor(rig, primary)
    await powerOn(rig, primary)
    await expectNewest(rig, 'one')
  })

  test('the one that is ahead comes back first, then the other', async () => {
    const rig = theRig()
    const { primary, behind } = await goDark(rig, members, members, 'two')
    await powerOn(rig, primary, behind)
    await expectNewest(rig, 'two')
  })

  test('the one that is ahead comes back with an empty disk: the other serves what it has, the empty one never does', async () => {
    const rig = theRig()
    const { primary, behind } = await goDark(rig, members, members, 'three')
    await rm(rig.file(primary, 'state', 'sessions', 'data'), { recursive: true })
    await powerOn(rig, primary)
    await expectWaitsFor(rig, behind)
    await powerOn(rig, behind)
    expect(await rig.untilOk('sessions', 25_000)).toMatchObject({ primary: behind })
    expect(await rig.redisAt('client', vip, 'GET', 'precious')).toBe('three')
    await rig.expectNoBrokenRule()
  })

  test('the one that is ahead does not come back: the operator decides, and its writes are kept when it does come', async () => {
    const rig = theRig()
    const { primary, behind } = await goDark(rig, members, members, 'four')
    await powerOn(rig, behind)
    await expectWaitsFor(rig, primary)
    expect(await rig.cli('failover', 'sessions', '--to', behind, '--force')).toMatchObject({ code: 0 })
    await rig.until('it serves', 'sessions', (s) => s.primary === behind && s.vipHolder === behind, 10_000)
    expect(await rig.redisAt('client', vip, 'GET', 'precious')).toBe('four')
    expect(await rig.redisAt('client', vip, 'GET', 'newest')).not.toBe('four')
    const startedAtMs = Date.now()
    await powerOn(rig, primary)
    expect(await rig.untilOk('sessions', 25_000)).toMatchObject({ primary: behind })
    const { kept } = JSON.parse((await rig.cli('salvage', 'list', 'sessions', '--json')).stdout) as {
      kept: { id: string; host: string; keptAtWallMs: number }[]
    }
    const copy = kept.find((k) => k.host === primary && k.keptAtWallMs >= startedAtMs)
    expect(copy, 'what only it had is kept').toBeDefined()
    expect((await rig.cli('salvage', 'show', 'sessions', `${primary}/${copy?.id ?? ''}`, '--keys')).stdout).toContain('newest')
    await rig.expectNoBrokenRule()
  })
})

describe.skipIf(problems.length > 0)('a power cut of two members and their witness', { timeout: 90_000 }, () => {
  const theRig = rigFor('coldw', pairAndWitness)
  const members = ['red-a', 'red-b']
  const hosts = [...members, 'red-w']

  test('witness and the one that is behind are a majority, and still wait for the data of the other', async () => {
    const rig = theRig()
    const { primary, behind } = await goDark(rig, hosts, members, 'one')
    await powerOn(rig, 'red-w', behind)
    await expectWaitsFor(rig, primary)
    await powerOn(rig, primary)
    await expectNewest(rig, 'one')
  })

  test('the witness never comes back: both members are enough', async () => {
    const rig = theRig()
    const { primary, behind } = await goDark(rig, hosts, members, 'two')
    await powerOn(rig, behind, primary)
    await rig.until('it serves', 'sessions', (s) => s.primary === primary && s.vipHolder === primary, 20_000)
    expect(await rig.redisAt('client', vip, 'GET', 'newest')).toBe('two')
    await powerOn(rig, 'red-w')
    await expectNewest(rig, 'two')
  })

  test('the one that is ahead never comes back: `lineage accept` names the data of the other the true ones', async () => {
    const rig = theRig()
    const { primary, behind } = await goDark(rig, hosts, members, 'three')
    await powerOn(rig, behind, 'red-w')
    await expectWaitsFor(rig, primary)
    expect(await rig.cli('lineage', 'sessions', 'accept', behind, '--reason', 'the other machine is burnt')).toMatchObject({ code: 0 })
    await rig.until('it serves', 'sessions', (s) => s.primary === behind && s.vipHolder === behind, 10_000)
    expect(await rig.redisAt('client', vip, 'GET', 'precious')).toBe('three')
    await powerOn(rig, primary)
    expect(await rig.untilOk('sessions', 25_000)).toMatchObject({ primary: behind })
    await rig.expectNoBrokenRule()
  })
})

describe.skipIf(problems.length > 0)('a power cut of three members', { timeout: 90_000 }, () => {
  const theRig = rigFor('cold3', [hostLines(3), 'groups:', '  sessions:', '    members: [red-a, red-b, red-c]', `    vip: ${vip}/24`, ''].join('\n'))
  const members = ['red-a', 'red-b', 'red-c']
  const third = (dark: Dark): string => members.find((host) => host !== dark.primary && host !== dark.behind) ?? ''

  test('the one that is behind comes first, then one that is ahead: they wait for the third', async () => {
    const rig = theRig()
    const dark = await goDark(rig, members, members, 'one')
    await powerOn(rig, dark.behind, third(dark))
    await expectWaitsFor(rig, dark.primary)
    await powerOn(rig, dark.primary)
    await expectNewest(rig, 'one')
  })

  test('the old primary comes back empty, the other two with their data: the newer of the two serves', async () => {
    const rig = theRig()
    const dark = await goDark(rig, members, members, 'two')
    await rm(rig.file(dark.primary, 'state', 'sessions', 'data'), { recursive: true })
    await powerOn(rig, dark.primary, dark.behind, third(dark))
    await expectNewest(rig, 'two')
    expect((await rig.untilOk()).primary).toBe(third(dark))
  })

  test('all at once', async () => {
    const rig = theRig()
    await goDark(rig, members, members, 'three')
    await Promise.all(members.map((host) => rig.lab.power(host, 'on')))
    await expectNewest(rig, 'three')
  })
})
