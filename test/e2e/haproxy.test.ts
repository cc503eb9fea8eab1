/** A real HAProxy with the rendered configuration, in front of a group without an address: what its clients see of each incident. */
import { describe, expect, test } from 'vitest'
import { haproxyProblems, startHaproxy, wellServers } from './haproxy.ts'
import type { Rig } from './rig.ts'
import { hostLines, poll, problems, rigFor } from './rig.ts'

const balancer = '192.168.77.3'
const password = 'p"w d\\ #'
const behindHaproxy = `${hostLines(2)}
  red-h: { ip: ${balancer} }
groups:
  sessions:
    members: [red-a, red-b]
    witness: red-h
    password_file: password
`

/** Two of its questions, and what a new connection needs. */
const noticedMs = 600

/** Who answers a new connection at this port of HAProxy. */
async function roleAt(rig: Rig, port: number): Promise<string> {
  const auth = ['-a', password, '--no-auth-warning']
  const { stdout } = await rig.lab.exec('client', ['redis-cli', '-h', balancer, '-p', String(port), ...auth, 'ROLE'], { deadlineMs: 5000 })
  return stdout.split('\n')[0] ?? ''
}

const through = { host: balancer, port: 6379 }

describe.skipIf(problems.length > 0 || haproxyProblems.length > 0)(
  `HAProxy in front of the group${haproxyProblems.map((why) => ` (skipped: ${why})`).join('')}`,
  { timeout: 90_000 },
  () => {
    const theRig = rigFor('haproxy', behindHaproxy, { files: { password } })

    test('writes go to the primary, reads to the replica', async () => {
      const rig = theRig()
      await rig.untilOk()
      await startHaproxy(rig)
      const both = await poll(async () => ((await roleAt(rig, 6379)) === 'master' && (await roleAt(rig, 6380)) === 'slave' ? true : undefined), {
        withinMs: 5000,
      })
      expect(both, 'each to its own').toBe(true)
      const { primary } = await rig.untilOk()
      const replica = primary === 'red-a' ? 'red-b' : 'red-a'
      const asked = [`sessions_primary ${primary}`, `sessions_primary_by_redis ${primary}`, `sessions_replicas ${replica}`]
      expect([...(await wellServers(rig))].sort(), 'the agents are asked, and redis is').toEqual(asked)
    })

    test('redis of the primary is killed: the client is at the new one after a question or two', async () => {
      const rig = theRig()
      const { primary } = await rig.untilOk()
      const writer = await rig.writer(through)
      const after = await rig.incident(writer, 'kill -9 behind HAProxy', { outageMs: noticedMs }, () => rig.lab.kill(primary, 'redis'))
      expect(after?.primary).not.toBe(primary)
      await rig.finishWithin(writer, noticedMs)
      await rig.expectNoBrokenRule()
    })

    test('a switchover', async () => {
      const rig = theRig()
      const { primary } = await rig.untilOk()
      const writer = await rig.writer(through)
      const after = await rig.incident(writer, 'switchover behind HAProxy', { outageMs: noticedMs }, async () => {
        expect(await rig.cli('switchover', 'sessions')).toMatchObject({ code: 0 })
      })
      expect(after?.primary).not.toBe(primary)
      await rig.finishWithin(writer, noticedMs)
    })

    test('the agent of the primary is killed: redis is asked itself, and writes go on', async () => {
      const rig = theRig()
      const { primary, epoch } = await rig.untilOk()
      const writer = await rig.writer(through)
      await rig.incident(writer, 'agent killed behind HAProxy', { outageMs: noticedMs, okWithinMs: null, mayBeUnfelt: true }, () => rig.killAgent(primary))
      expect(await roleAt(rig, 6379)).toBe('master')
      await rig.startAgent(primary)
      expect(await rig.untilOk()).toMatchObject({ primary, epoch })
      await rig.finishWithin(writer, noticedMs)
    })

    test('the host of the primary is cut off: connections that hang are ended as soon as its agent is silent', async () => {
      const rig = theRig()
      const { primary } = await rig.untilOk()
      const writer = await rig.writer(through)
      const cutOffMs = 2500
      const after = await rig.incident(writer, 'host cut off behind HAProxy', { outageMs: cutOffMs, okWithinMs: null }, () => rig.lab.cut(primary))
      expect(after).toBeNull()
      await rig.lab.heal(primary)
      expect((await rig.untilOk()).primary).not.toBe(primary)
      await rig.finishWithin(writer, cutOffMs)
    })
  },
)
