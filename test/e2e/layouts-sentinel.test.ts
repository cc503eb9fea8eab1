/**
 * Layouts of Sentinel mode beyond three equal hosts: a tree of replicas, redis and Sentinels that somebody else starts, five Sentinels of which two
 * stand on hosts without data, and a group of each mode on the same hosts. Each incident with two writing clients, the loss and the double-writer check.
 */
import { readFile, writeFile } from 'node:fs/promises'
import { describe, expect, test } from 'vitest'
import type { GroupStatus } from '../../src/cli/ask.ts'
import { describeVerdict } from '../../src/lab/double-writer.ts'
import { holdInquest } from '../../src/lab/inquest.ts'
import { playIncident, type Incident } from './partition.ts'
import { hostLines, poll, problems, rigFor, threeWithSentinels, type Rig } from './rig.ts'
import { superviseRedis, superviseSentinel } from './supervised.ts'

const members = ['red-a', 'red-b', 'red-c']
const ipOf = (host: string): string => `192.168.77.${host.charCodeAt(4) - 96}`

/** A crash, told at once. A wide limit: on a busy machine two members may split the votes once (0.5 s). The figure is the bench's. */
const crashMs = 1200
/** down_after, what a Sentinel needs to see it, an election, and the client's next try. */
const hostLostMs = 3000
/** Acknowledged on the wrong side before the lease ended. */
const ofOneLease = 1800

const crash: Incident = {
  name: 'redis of the primary is killed',
  twoWritersMs: 0,
  primary: 'moves',
  keptAtMost: 0,
  outageMs: crashMs,
  act: async (s) => {
    await s.killRedis(s.primary)
    await s.lasts(500)
  },
}

const handOver = (to?: string): Incident => ({
  name: `a switchover${to === undefined ? '' : ` to ${to}`}`,
  twoWritersMs: 0,
  primary: 'moves',
  keptAtMost: 0,
  outageMs: crashMs,
  act: async (s) => expect(await s.rig.cli('switchover', 'sessions', ...(to === undefined ? [] : ['--to', to]))).toMatchObject({ code: 0 }),
})

async function upstreamOf(rig: Rig, host: string): Promise<string | undefined> {
  return /master_host:(\S+)/.exec(await rig.redis(host, 'INFO', 'replication'))?.[1]
}

describe.skipIf(problems.length > 0)('a tree: red-c replicates from red-b', { timeout: 90_000 }, () => {
  const theRig = rigFor('lytree', threeWithSentinels().replace('red-b, red-c]', 'red-b, { host: red-c, replicate_from: red-b }]'))

  /** Well, and each follows whom it should: red-c red-b, unless one of the two serves. */
  async function inOrder(rig: Rig): Promise<GroupStatus & { readonly primary: string }> {
    const status = await rig.untilOk('sessions', 25_000)
    for (const host of members.filter((h) => h !== status.primary)) {
      const above = host === 'red-c' && status.primary !== 'red-b' ? 'red-b' : status.primary
      const follows = await poll(async () => ((await upstreamOf(rig, host)) === ipOf(above) ? true : undefined), { withinMs: 5000 })
      expect(follows, `${host} follows ${above}, and is at ${await upstreamOf(rig, host)}`).toBe(true)
    }
    return status
  }

  const played: readonly Incident[] = [
    crash,
    handOver('red-a'),
    {
      name: 'the host in the middle loses its power: what is below it follows the primary, and goes back when it returns',
      twoWritersMs: 0,
      primary: 'stays',
      keptAtMost: 0,
      outageMs: crashMs,
      act: async (s) => {
        await s.powerOff('red-b')
        const direct = await poll(async () => ((await upstreamOf(s.rig, 'red-c')) === ipOf(s.primary) ? true : undefined), { withinMs: 5000 })
        expect(direct, 'red-c follows the primary').toBe(true)
      },
    },
  ]

  test.each(played)('$name', async (incident) => {
    const rig = theRig()
    await inOrder(rig)
    await playIncident(rig, members, incident)
    await inOrder(rig)
  })

  test('no agent runs, and the primary dies: the Sentinels choose the one in the middle', async () => {
    const rig = theRig()
    expect((await inOrder(rig)).primary).toBe('red-a')
    for (const host of members) await rig.killAgent(host)
    await rig.lab.kill('red-a', 'redis')
    const promoted = await poll(
      async () => {
        for (const h of ['red-b', 'red-c']) if ((await rig.redis(h, 'ROLE')).startsWith('master')) return h
        return undefined
      },
      { withinMs: 30_000, everyMs: 100 },
    )
    expect(promoted, 'a Sentinel has promoted the middle one').toBe('red-b')
    for (const host of members) await rig.startAgent(host)
    expect((await inOrder(rig)).primary).toBe('red-b')
    await rig.expectNoBrokenRule()
  })

  test('the host of the primary is cut off, which is the middle: the tree is led back when it returns', async () => {
    const rig = theRig()
    await inOrder(rig)
    await playIncident(rig, members, {
      name: 'cut off',
      twoWritersMs: 0,
      primary: 'moves',
      keptAtMost: ofOneLease,
      outageMs: hostLostMs,
      act: async (s) => {
        await s.rig.lab.cut(s.primary)
        await s.lasts(hostLostMs)
      },
    })
    await inOrder(rig)
  })
})

describe.skipIf(problems.length > 0)('redis and Sentinels that somebody else starts', { timeout: 90_000 }, () => {
  const theRig = rigFor('lyext', threeWithSentinels(['process: external']), { agents: false })
  const backAfterS = '0.3'

  test('a running group is adopted as it is', async () => {
    const rig = theRig()
    for (const host of members) {
      const conf = host === 'red-a' ? [] : [`replicaof ${ipOf('red-a')} 6379`]
      await superviseRedis(rig, host, { conf, before: 'rm -f *.rdb', pauseS: backAfterS })
    }
    const watch = [
      'monitor sessions 192.168.77.1 6379 2',
      'down-after-milliseconds sessions 1000',
      'failover-timeout sessions 10000',
      'parallel-syncs sessions 1',
    ]
    for (const host of members) await superviseSentinel(rig, host, { conf: watch.map((words) => `sentinel ${words}`), pauseS: backAfterS })
    for (const host of members) await rig.startAgent(host)
    expect((await rig.untilOk('sessions', 25_000)).primary).toBe('red-a')
  })

  const played: readonly Incident[] = [
    { ...crash, name: `redis of the primary is killed, and back empty after ${backAfterS} s` },
    {
      name: 'a Sentinel is killed, and back: nobody notices; then redis of the primary is killed while another Sentinel is away',
      twoWritersMs: 0,
      primary: 'moves',
      keptAtMost: 0,
      outageMs: crashMs,
      act: async (s) => {
        const before = await Promise.all([s.there.stats(), s.here.stats()])
        await endSentinel(s.rig, s.primary)
        await s.lasts(1500)
        const after = await Promise.all([s.there.stats(), s.here.stats()])
        expect(after.map(({ errors }) => errors)).toEqual(before.map(({ errors }) => errors))
        await endSentinel(s.rig, s.replica)
        await s.killRedis(s.primary)
        await s.lasts(500)
      },
    },
    handOver(),
    {
      name: 'the host of the primary is cut off, a client with it: what it alone had is kept',
      twoWritersMs: 0,
      primary: 'moves',
      keptAtMost: ofOneLease,
      act: async (s) => {
        await s.split([s.primary, 'client2'], [...s.replicas, 'client'])
        await s.lasts(hostLostMs)
      },
    },
  ]
  test.each(played)('$name', async (incident) => void (await playIncident(theRig(), members, incident)))
})

describe.skipIf(problems.length > 0)('five Sentinels, two of them on hosts without data', { timeout: 90_000 }, () => {
  const theRig = rigFor(
    'lyfive',
    `${hostLines(5)}
groups:
  sessions:
    mode: sentinel
    members: [red-a, red-b, red-c]
    sentinels: [red-a, red-b, red-c, red-d, red-e]
    sentinel: { quorum: 3 }
    vip: 192.168.77.9/24
`,
  )
  const voters = ['red-d', 'red-e']

  const ofThree: readonly Incident[] = [
    {
      ...crash,
      name: 'both hosts without data lose their power, then redis of the primary dies: the three that are left are enough',
      act: async (s) => {
        for (const host of voters) await s.powerOff(host)
        await s.lasts(1500)
        await crash.act(s)
      },
    },
    {
      name: 'the host of the primary is lost too: two of five elect nobody; one comes back, and they do',
      twoWritersMs: 0,
      primary: 'moves',
      keptAtMost: ofOneLease,
      act: async (s) => {
        await s.split([s.primary], [...s.replicas, 'client', 'client2'], ['red-d'], ['red-e'])
        await s.lasts(1500)
        await s.nobodyWrites(1500)
        await s.regroup([s.primary, 'red-e'], [...s.replicas, 'red-d', 'client', 'client2'])
        await s.lasts(hostLostMs)
      },
    },
  ]
  test.each(ofThree)('quorum 3: $name', async (incident) => void (await playIncident(theRig(), members, incident)))

  test('the quorum is made 2 while clients write', async () => {
    const rig = theRig()
    const incident: Incident = {
      name: 'apply',
      twoWritersMs: 0,
      primary: 'stays',
      keptAtMost: 0,
      outageMs: 200,
      act: async () => {
        const file = rig.file('client', 'holdfast.yaml')
        await writeFile(file, (await readFile(file, 'utf8')).replace('quorum: 3', 'quorum: 2'))
        expect(await rig.cli('apply', '--yes')).toMatchObject({ code: 0 })
      },
    }
    await playIncident(rig, members, incident)
    for (const host of [...members, ...voters]) expect(await rig.sentinel(host, 'SENTINEL', 'MASTER', 'sessions')).toMatch(/quorum\n2\n/)
  })

  const ofTwo: readonly Incident[] = [
    {
      name: 'two Sentinels alone cannot hear the primary, which is enough to begin: the others vote, and there is never more than one writer',
      twoWritersMs: 0,
      primary: 'either',
      keptAtMost: ofOneLease,
      act: async (s) => {
        for (const host of voters) await s.rig.lab.isolate(s.primary, host)
        await s.lasts(hostLostMs)
      },
    },
    {
      name: 'both hosts without data are lost: they are a quorum, so the primary waits for one of them',
      twoWritersMs: 0,
      primary: 'either',
      keptAtMost: ofOneLease,
      act: async (s) => {
        for (const host of voters) await s.powerOff(host)
        await s.lasts(1500)
        await s.nobodyWrites(1000)
      },
    },
  ]
  test.each(ofTwo)('quorum 2: $name', async (incident) => void (await playIncident(theRig(), members, incident)))
})

describe.skipIf(problems.length > 0)('a group of each mode on the same three hosts', { timeout: 90_000 }, () => {
  const groups = ['sessions', 'carts']
  const theRig = rigFor(
    'lyboth',
    `${threeWithSentinels()}  carts:
    members: [red-a, red-b, red-c]
    port: 6380
    vip: 192.168.77.10/24
`,
  )

  test('the host on which both have their primary loses its power: both fail over, each by its own rule', async () => {
    const rig = theRig()
    for (const group of groups) expect((await rig.untilOk(group, 25_000)).primary).toBe('red-a')
    const writers = await Promise.all(groups.map((group) => rig.writer({ group, identify: true, commandTimeoutMs: 1000, connectTimeoutMs: 1000 })))
    await rig.lab.power('red-a', 'off')
    for (const writer of writers) expect(await writer.steady({ acks: 200, withinMs: 10_000 })).toBe(true)
    for (const group of groups) await rig.until('another serves', group, (s) => s.primary !== null && s.primary !== 'red-a' && s.vipHolder === s.primary)
    await rig.lab.power('red-a', 'on')
    for (const [i, group] of groups.entries()) {
      const after = await rig.untilOk(group, 25_000)
      expect(after.primary).not.toBe('red-a')
      const writer = writers[i]
      if (writer === undefined) continue
      const found = await holdInquest(rig.lab, group, [{ name: group, writer }])
      const outageMs = found.reports[0]?.longestOutage.lengthMs ?? Number.NaN
      console.info(`${group}: ${describeVerdict(found)}; outage ${outageMs.toFixed(0)} ms`)
      expect(found).toMatchObject({ incomplete: [], rejectedPresent: 0, lost: 0, overlapMs: 0 })
      expect(outageMs).toBeLessThanOrEqual(group === 'sessions' ? hostLostMs : 2000)
      await rig.expectNoBrokenRule(group)
    }
  })
})

/** The Sentinel of a host is killed; whoever keeps it running has it back. */
async function endSentinel(rig: Rig, host: string): Promise<void> {
  const pid = /process_id:(\d+)/.exec(await rig.sentinel(host, 'INFO', 'server'))?.[1]
  expect(pid, `the Sentinel of ${host} runs`).toBeDefined()
  process.kill(Number(pid), 'SIGKILL')
}
