/**
 * Every server that script/servers has fetched (docs/servers.md) under the same three incidents: redis is killed, the primary is handed over
 * and back, the primary's host loses its power and returns. What a server cannot do is refused in words.
 */
import { describe, expect, test } from 'vitest'
import { sayIfNone, servers, since, type Server } from '../contract/servers.ts'
import { hostLines, problems, rigFor, type Rig } from './rig.ts'

sayIfNone()

const pausesWrites = since(6, 2)

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

async function switchovers(rig: Rig): Promise<void> {
  const writer = await rig.writer()
  for (const label of ['switchover', 'and back']) {
    const { primary } = await rig.untilOk()
    const after = await rig.incident(writer, label, { outageMs: 100, mayBeUnfelt: true }, async () =>
      expect(await rig.cli('switchover', 'sessions')).toMatchObject({ code: 0 }),
    )
    expect(after?.primary).not.toBe(primary)
  }
  await rig.finishWithin(writer, 100)
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

for (const server of servers) {
  describe.skipIf(problems.length > 0)(`${server.name}, three hosts, mode: vip`, { timeout: 90_000 }, () => {
    const theRig = rigFor(`ve-${server.name.replaceAll('.', '-')}`, withServer(server, three))

    test('redis is killed', async () => {
      const rig = theRig()
      const { primary } = await rig.untilOk('sessions', 25_000)
      await expectRuns(rig, server, primary)
      const writer = await rig.writer()
      const after = await rig.incident(writer, 'kill -9', { outageMs: 200 }, () => rig.lab.kill(primary, 'redis'))
      await rig.finishWithin(writer, 200)
      expect(after?.primary).not.toBe(primary)
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
}
