/**
 * Every server that script/servers has fetched (docs/servers.md) under the same three incidents: redis is killed, the primary is handed over
 * and back, the primary's host loses its power and returns. What a server cannot do is refused in words. The limits of outages are wide here:
 * the goals are measured elsewhere, and what counts is that nothing is lost and everybody comes back.
 */
import { mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { afterAll, describe, expect, test } from 'vitest'
import { others, expectServers, servers, since, type Server } from '../contract/servers.ts'
import { hostLines, poll, problems, rigFor, threeWithSentinels, twoHosts, type Rig } from './rig.ts'

expectServers()

/** CLIENT PAUSE … WRITE. */
const pausesWrites = since(6, 2)
/** Channels and subcommands in ACL rules. */
const sentinelLimits = since(6, 2)

function withServer(server: Server, yaml: string): string {
  return `paths: { redis_server: ${server.redisServer}, redis_sentinel: ${server.redisSentinel} }\n${yaml}`
}

const three = `${hostLines(3)}
groups:
  sessions:
    members: [red-a, red-b, red-c]
    vip: 192.168.77.9/24
`

/** A test that ran against the installed redis would prove nothing. */
async function expectRuns(rig: Rig, server: Server, host: string, port = '6379'): Promise<void> {
  const told = await rig.redis(host, '-p', port, 'INFO', 'server')
  expect(/valkey_version:(\S+)/.exec(told)?.[1] ?? /redis_version:(\S+)/.exec(told)?.[1]).toBe(server.version)
}

async function killed(rig: Rig, outageMs: number): Promise<void> {
  const { primary } = await rig.untilOk('sessions', 25_000)
  const writer = await rig.writer()
  const after = await rig.incident(writer, 'kill -9', { outageMs }, () => rig.lab.kill(primary, 'redis'))
  await rig.finishWithin(writer, outageMs)
  expect(after?.primary).not.toBe(primary)
}

async function switchovers(rig: Rig): Promise<void> {
  const outageMs = 1000
  const writer = await rig.writer()
  for (const label of ['switchover', 'and back']) {
    const { primary } = await rig.untilOk()
    const after = await rig.incident(writer, label, { outageMs, mayBeUnfelt: true }, async () =>
      expect(await rig.cli('switchover', 'sessions')).toMatchObject({ code: 0 }),
    )
    expect(after?.primary).not.toBe(primary)
  }
  await rig.finishWithin(writer, outageMs)
}

async function hostLost(rig: Rig, outageMs: number): Promise<void> {
  const { primary } = await rig.untilOk()
  const writer = await rig.writer()
  await rig.incident(writer, 'power off', { outageMs, okWithinMs: null }, () => rig.lab.power(primary, 'off'))
  await rig.lab.power(primary, 'on')
  const after = await rig.untilOk('sessions', 30_000)
  expect(after.primary).not.toBe(primary)
  await rig.finishWithin(writer, outageMs)
}

for (const server of others) {
  describe.skipIf(problems.length > 0)(`${server.name}, three hosts, mode: vip`, { timeout: 90_000 }, () => {
    const theRig = rigFor(`ve-${server.name.replaceAll('.', '-')}`, withServer(server, three))

    test('redis is killed', async () => {
      const rig = theRig()
      const { primary } = await rig.untilOk('sessions', 25_000)
      await expectRuns(rig, server, primary)
      await killed(rig, 1000)
      await rig.expectNoBrokenRule()
    })

    test.runIf(pausesWrites(server))('the primary is handed over, and back', async () => {
      const rig = theRig()
      await switchovers(rig)
      await rig.expectNoBrokenRule()
    })

    test.runIf(!pausesWrites(server))('a switchover is refused: writes could be lost', async () => {
      const rig = theRig()
      const { primary } = await rig.untilOk()
      const refused = await rig.cli('switchover', 'sessions')
      expect(refused).toMatchObject({ code: 1, stderr: expect.stringContaining('cannot pause writes alone (CLIENT PAUSE … WRITE came with 6.2)') })
      expect((await rig.untilOk()).primary).toBe(primary)
    })

    test('the host of the primary loses its power, and returns', async () => {
      const rig = theRig()
      await hostLost(rig, 1500)
      await rig.expectNoBrokenRule()
    })
  })

  describe.skipIf(problems.length > 0 || !sentinelLimits(server))(`${server.name}, three hosts, mode: sentinel`, { timeout: 90_000 }, () => {
    const theRig = rigFor(`ve-s-${server.name.replaceAll('.', '-')}`, withServer(server, threeWithSentinels()))

    test('redis is killed', async () => {
      const rig = theRig()
      const { primary } = await rig.untilOk('sessions', 25_000)
      await expectRuns(rig, server, primary)
      await expectRuns(rig, server, primary, '26379')
      await killed(rig, 1000)
      await rig.expectNoBrokenRule()
    })

    test('the primary is handed over, and back', async () => {
      const rig = theRig()
      await switchovers(rig)
      await rig.expectNoBrokenRule()
    })

    test('the host of the primary loses its power, and returns', async () => {
      const rig = theRig()
      // A client whose host is gone sends its write again after 0.2, 0.6, 1.5 and 3.3 s: who serves 1.6 s after the loss is found by the last of these.
      await hostLost(rig, 3600)
      await rig.expectNoBrokenRule()
    })
  })

  describe.skipIf(problems.length > 0 || sentinelLimits(server))(`${server.name}, mode: sentinel`, () => {
    const theRig = rigFor(`ve-s-${server.name.replaceAll('.', '-')}`, withServer(server, threeWithSentinels()))

    test('is refused: what a Sentinel may do could not be limited', async () => {
      const rig = theRig()
      const said = await poll(
        async () => {
          const log = (await rig.cli('history', 'sessions', '--events')).stdout
          return log.includes('cannot limit what a Sentinel may do (6.2 can)') ? true : undefined
        },
        { withinMs: 15_000, everyMs: 200 },
      )
      expect(said).toBe(true)
      expect(await rig.writable()).toEqual([])
    })
  })
}

const old = servers.find((s) => s.name === 'redis-7.0')

for (const newer of servers.filter((s) => old !== undefined && since(8, 0)(s))) {
  describe.skipIf(problems.length > 0)(`from ${old?.name} to ${newer.name}, one host after the other`, { timeout: 90_000 }, () => {
    const dir = mkdtempSync(`${tmpdir()}/hf-e2e-versions-`)
    afterAll(() => rmSync(dir, { recursive: true, force: true }))
    const upgraded: string[] = []
    /** One configuration for all hosts, as everywhere: which program that is differs from host to host while a group is upgraded. */
    const install = (): void => {
      const cases = upgraded.map((host) => `case "$1" in */${host}/*) exec ${newer.redisServer} "$@" ;; esac\n`).join('')
      writeFileSync(`${dir}/redis-server.new`, `#!/bin/sh\n${cases}exec ${old?.redisServer} "$@"\n`, { mode: 0o755 })
      renameSync(`${dir}/redis-server.new`, `${dir}/redis-server`)
    }
    install()
    const theRig = rigFor(`ve-m-${newer.name.replaceAll('.', '-')}`, `paths: { redis_server: ${dir}/redis-server }\n${twoHosts()}`)

    async function upgrade(rig: Rig, host: string): Promise<void> {
      upgraded.push(host)
      install()
      await rig.lab.kill(host, 'redis')
      await rig.untilOk()
      await expectRuns(rig, newer, host)
    }

    test('the replica, a switchover, the old primary: nothing is lost; a full copy that could not be read is refused', async () => {
      const rig = theRig()
      const { primary } = await rig.untilOk()
      const replica = primary === 'red-a' ? 'red-b' : 'red-a'
      await expectRuns(rig, old ?? newer, primary)
      const writer = await rig.writer()
      await upgrade(rig, replica)
      /** Its replica is then the older one: as good a successor, and an alarm until it is upgraded. */
      const toNewer = async (label: string): Promise<void> => {
        await rig.incident(writer, label, { outageMs: 1000, mayBeUnfelt: true, okWithinMs: null }, async () =>
          expect(await rig.cli('switchover', 'sessions', '--to', replica)).toMatchObject({ code: 0 }),
        )
        const status = await rig.until('the older one is named', 'sessions', (s) => s.because.includes(`upgrade redis on ${primary}`))
        expect(status).toMatchObject({ primary: replica, health: 'degraded' })
        expect(status.members.find((m) => m.host === primary)).toMatchObject({ fit: true, state: 'streaming' })
      }
      await toNewer('switchover to the newer one')
      const refused = await rig.cli('reinit', 'sessions', primary)
      expect(refused).toMatchObject({ code: 1, stderr: expect.stringContaining('cannot read a full copy') })
      await rig.incident(writer, 'and back to the older one, which has everything by its stream', { outageMs: 1000, mayBeUnfelt: true }, async () =>
        expect(await rig.cli('switchover', 'sessions', '--to', primary)).toMatchObject({ code: 0 }),
      )
      await toNewer('to the newer one again')
      await upgrade(rig, primary)
      await rig.finishWithin(writer, 1000)
      await rig.expectNoBrokenRule()
    })
  })
}
