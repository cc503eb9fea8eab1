/**
 * Sentinel mode with everything that may stand in front of it: the address, the reader address, a real HAProxy, and clients that ask the Sentinels, all at
 * the same time; and without any address, where HAProxy is all there is. Each incident with two writing clients, the loss and the double-writer check.
 */
import { afterEach, describe, expect, test } from 'vitest'
import { Application, applicationPrograms } from './applications.ts'
import { haproxyProblems, startHaproxy, wellServers } from './haproxy.ts'
import { playIncident, type Incident } from './partition.ts'
import { holders, readerVip, readsThrough, settled, type Reads } from './reads.ts'
import { hostLines, poll, problems, rigFor, type Rig } from './rig.ts'

const members = ['red-a', 'red-b', 'red-c']
const balancer = '192.168.77.4'
const throughHaproxy = { host: balancer, port: 6379 }
const missing = [...problems, ...haproxyProblems]

function three(...addresses: readonly string[]): string {
  return `${hostLines(3)}
  red-h: { ip: ${balancer} }
groups:
  sessions:
    mode: sentinel
    members: [red-a, red-b, red-c]
${addresses.map((line) => `    ${line}\n`).join('')}`
}

/** A crash, two of HAProxy's questions, and what a new connection needs. A wide limit: on a busy machine the votes may be split once (0.5 s). */
const noticedMs = 1200
/** down_after, what a Sentinel needs to see it, an election, and the client's next try. */
const hostLostMs = 3000
/** Acknowledged on the wrong side before the lease ended. */
const ofOneLease = 1800

const running: Application[] = []
afterEach(() => {
  for (const application of running.splice(0)) application.end()
})

/** `playIncident` beside an application that asks the Sentinels: it goes on as well, and loses nothing. */
async function playBeside(rig: Rig, incident: Incident, appLimitMs: number, program = 'ioredis'): Promise<void> {
  const [name, argv] = applicationPrograms.find(([known]) => known === program) ?? ['', null]
  if (argv === null) return void (await playIncident(rig, members, incident))
  const application = new Application(rig, name, argv)
  running.push(application)
  await application.writes(0, 50)
  let sinceMs = 0
  const killedAtMs: number[] = []
  await playIncident(rig, members, {
    ...incident,
    act: async (stage) => {
      sinceMs = Date.now()
      const killRedis: typeof stage.killRedis = async (host) => {
        killedAtMs.push(Date.now())
        await stage.killRedis(host)
      }
      await incident.act({ ...stage, killRedis })
    },
  })
  await application.writes(Date.now(), 50)
  const toMs = Date.now()
  const gapMs = application.gap(sinceMs).ms
  application.end()
  const primary = (await rig.status())?.primary ?? ''
  console.info(`${incident.name}: ${name} by the Sentinels, ${gapMs} ms`)
  expect(gapMs, `${name}: ${incident.name}`).toBeLessThanOrEqual(appLimitMs)
  expect(
    await application.gone(
      rig,
      primary,
      killedAtMs.map((fromMs) => ({ fromMs, toMs })),
    ),
    `acknowledged to ${name} and gone`,
  ).toBe(0)
}

/** Nobody but the primary is well for writes, and each fit replica is for reads, by HAProxy's own account. */
async function haproxyAgrees(rig: Rig): Promise<void> {
  let said: readonly string[] = []
  const agrees = await poll(
    async () => {
      const { primary } = await rig.untilOk('sessions', 25_000)
      said = [...(await wellServers(rig))].sort()
      const replicas = members.filter((host) => host !== primary)
      const wanted = [`sessions_primary ${primary}`, `sessions_primary_by_redis ${primary}`, ...replicas.map((host) => `sessions_replicas ${host}`)]
      return JSON.stringify(said) === JSON.stringify(wanted) ? true : undefined
    },
    { withinMs: 5000 },
  )
  expect(agrees, `HAProxy says: ${said.join(', ')}`).toBe(true)
}

describe.skipIf(missing.length > 0)('an address, a reader address, HAProxy and Sentinel clients in front of one group', { timeout: 90_000 }, () => {
  const theRig = rigFor('lyfront', three('vip: 192.168.77.9/24', `reader_vip: ${readerVip}/24`))
  const through = { here: throughHaproxy }

  test('it begins: reads come from a replica, HAProxy finds each where it is', async () => {
    const rig = theRig()
    await settled(rig)
    await startHaproxy(rig)
    await haproxyAgrees(rig)
  })

  test('redis of the primary is killed: each kind of client goes on', async () => {
    const rig = theRig()
    await settled(rig)
    const reads: Reads[] = []
    const act: Incident['act'] = async (s) => void reads.push(await readsThrough(rig, 2000, () => s.killRedis(s.primary)))
    await playBeside(rig, { name: 'kill -9 of the primary', twoWritersMs: 0, primary: 'moves', keptAtMost: 0, outageMs: noticedMs, through, act }, 1500)
    expect(reads[0]?.longestGapMs).toBeLessThan(1000)
    expect(reads[0]?.last).toBe('slave')
    const { reader } = await settled(rig)
    expect(await holders(rig)).toEqual([reader])
    await haproxyAgrees(rig)
  })

  test('a switchover to the replica that has the reader address: reads move out of its way', async () => {
    const rig = theRig()
    const { reader } = await settled(rig)
    const reads: Reads[] = []
    const handOver = async (): Promise<void> => expect(await rig.cli('switchover', 'sessions', '--to', reader)).toMatchObject({ code: 0 })
    const act: Incident['act'] = async () => void reads.push(await readsThrough(rig, 1500, handOver))
    await playBeside(rig, { name: 'switchover to the reader', twoWritersMs: 0, primary: 'moves', keptAtMost: 0, outageMs: noticedMs, through, act }, 1500)
    expect(reads[0]?.longestGapMs).toBeLessThan(500)
    expect(reads[0]?.last).toBe('slave')
    expect((await settled(rig)).primary).toBe(reader)
  })

  test('the replica that has the reader address gets nothing more of the stream: reads leave it while it is behind, never for one that is not well', async () => {
    const rig = theRig()
    const { primary, reader, third } = await settled(rig)
    const ip = `192.168.77.${members.indexOf(primary) + 1}`
    const behind = `table ip t_behind { chain in { type filter hook input priority 0; ip saddr ${ip} tcp sport 6379 drop; }; }`
    const leftMs: number[] = []
    const act: Incident['act'] = async () => {
      const startedMs = Date.now()
      await nft(rig, reader, behind)
      const left = await poll(async () => ((await holders(rig)).includes(reader) ? undefined : true), { withinMs: 10_000, everyMs: 50 })
      expect(left, 'the address leaves a replica that is behind').toBe(true)
      leftMs.push(Date.now() - startedMs)
      expect(await holders(rig)).toEqual([third])
      // Its redis still takes the link for up: it must not get the address back for that.
      await new Promise((resolve) => setTimeout(resolve, 1500))
      expect(await holders(rig)).toEqual([third])
      await nft(rig, reader, 'table ip t_behind; delete table ip t_behind')
    }
    await playIncident(rig, members, { name: 'the reader is behind', twoWritersMs: 0, primary: 'stays', keptAtMost: 0, outageMs: noticedMs, through, act })
    console.info(`reads left the replica that was behind after ${leftMs.join()} ms`)
    expect(await holders(rig)).toHaveLength(1)
  })

  test('redis of the replica that has the reader address is killed, then its host is cut off: reads go on, and after the heal there are two addresses again', async () => {
    const rig = theRig()
    const first = await settled(rig)
    const reads: Reads[] = []
    const act: Incident['act'] = async () => {
      reads.push(await readsThrough(rig, 2000, () => rig.lab.kill(first.reader, 'redis')))
      const { reader } = await settled(rig)
      reads.push(await readsThrough(rig, 3000, () => rig.lab.cut(reader)))
    }
    await playIncident(rig, members, { name: 'the reader dies', twoWritersMs: 0, primary: 'stays', keptAtMost: 0, outageMs: noticedMs, through, act })
    for (const { longestGapMs, last } of reads) {
      expect(longestGapMs).toBeLessThan(1500)
      expect(last).toBe('slave')
    }
    const two = await poll(async () => ((await holders(rig)).length === 1 ? true : undefined), { withinMs: 5000 })
    expect(two, 'on one host').toBe(true)
    const { primary, reader } = await settled(rig)
    expect(await holders(rig)).toEqual([reader])
    expect((await rig.status())?.vipHolder).toBe(primary)
  })

  test('the primary is cut off on the side of HAProxy and its client: nothing is acknowledged there once the others may choose', async () => {
    const rig = theRig()
    await settled(rig)
    const through = { there: throughHaproxy }
    const act: Incident['act'] = async (s) => {
      await s.split([s.primary, 'red-h', 'client'], [...s.replicas, 'client2'])
      await s.lasts(hostLostMs)
    }
    await playIncident(rig, members, { name: 'cut off with HAProxy', twoWritersMs: 0, primary: 'moves', keptAtMost: ofOneLease, through, act })
    await settled(rig)
    await haproxyAgrees(rig)
  })
})

describe.skipIf(missing.length > 0)('no address at all: HAProxy and Sentinel clients', { timeout: 90_000 }, () => {
  const theRig = rigFor('lybare', three())
  const through = { there: throughHaproxy, here: throughHaproxy }

  const incidents: readonly (readonly [Incident, appLimitMs: number, program: string])[] = [
    [
      {
        name: 'redis of the primary is killed',
        twoWritersMs: 0,
        primary: 'moves',
        keptAtMost: 0,
        outageMs: noticedMs,
        through,
        act: async (s) => {
          await s.killRedis(s.primary)
          await s.lasts(1000)
        },
      },
      1500,
      'ioredis',
    ],
    [
      {
        name: 'a switchover',
        twoWritersMs: 0,
        primary: 'moves',
        keptAtMost: 0,
        outageMs: noticedMs,
        through,
        act: async (s) => expect(await s.rig.cli('switchover', 'sessions')).toMatchObject({ code: 0 }),
      },
      1500,
      'ioredis',
    ],
    [
      {
        name: 'the host of the primary is cut off from everyone',
        twoWritersMs: 0,
        primary: 'moves',
        // The last answer of each client may have left the host before the copy for the replicas did (double-writer.ts, Death).
        keptAtMost: 2,
        outageMs: hostLostMs,
        through,
        act: async (s) => {
          await s.rig.lab.cut(s.primary)
          await s.lasts(hostLostMs)
        },
      },
      hostLostMs,
      // ioredis has no time limit of its own by default, and waits for TCP.
      'python3-redis',
    ],
  ]

  test.each(incidents)('$name', async (incident, appLimitMs, program) => {
    const rig = theRig()
    await rig.untilOk('sessions', 25_000)
    if ((await wellServers(rig)).length === 0) await startHaproxy(rig)
    await haproxyAgrees(rig)
    await playBeside(rig, incident, appLimitMs, program)
  })
})

async function nft(rig: Rig, host: string, rules: string): Promise<void> {
  expect(await rig.lab.exec(host, ['nft', '-f', '-'], { input: `${rules}\n` })).toMatchObject({ code: 0 })
}
