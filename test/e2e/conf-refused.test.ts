/**
 * Somebody writes a directive that no redis can start with. Everything serves, and the next crash would be for good. Whoever uses `check` or
 * `apply` is told before anything changes; whoever edits the files by hand is told by the agents, and reads the cause where he looks first.
 */
import { readFile, writeFile } from 'node:fs/promises'
import { describe, expect, test } from 'vitest'
import { problems, rigFor, twoHosts, type Rig } from './rig.ts'

const hosts = ['red-a', 'red-b'] as const
const wrong = '    redis: { maxmemry: 1gb, maxmemory: lots }\n'

async function write(rig: Rig, host: string): Promise<void> {
  const file = rig.file(host, 'holdfast.yaml')
  await writeFile(file, (await readFile(file, 'utf8')).replace(/( {4}vip: .*\n)/, `$1${wrong}`))
}

async function mend(rig: Rig, host: string): Promise<void> {
  const file = rig.file(host, 'holdfast.yaml')
  await writeFile(file, (await readFile(file, 'utf8')).replace(wrong, ''))
}

async function restartAgents(rig: Rig): Promise<void> {
  for (const host of hosts) {
    await rig.killAgent(host, 'SIGTERM')
    await rig.startAgent(host)
  }
}

describe.skipIf(problems.length > 0)('a redis.conf that redis refuses', { timeout: 120_000 }, () => {
  const theRig = rigFor('tc-conf', twoHosts())

  test('apply: each host tries it first; all mistakes are told with key and host, and nothing changes anywhere', async () => {
    const rig = theRig()
    await rig.untilOk()
    const before = await Promise.all(hosts.map((host) => readFile(rig.file(host, 'holdfast.yaml'), 'utf8')))
    await write(rig, 'client')
    for (const words of [['check'], ['apply', '--dry-run'], ['apply', '--yes']]) {
      const { code, stderr } = await rig.cli(...words)
      expect([words, code]).toEqual([words, words[0] === 'check' ? 2 : 1])
      expect(stderr).toMatch(/^HF403/)
      expect(stderr).toMatch(/groups\.sessions\.redis\.maxmemry: .*did you mean `maxmemory`\?/)
      expect(stderr).toMatch(/groups\.sessions\.redis\.maxmemory: .*`maxmemory lots`: argument must be a memory value/)
      for (const host of words[0] === 'apply' ? hosts : []) expect(stderr).toContain(`${host}: `)
    }
    expect(await Promise.all(hosts.map((host) => readFile(rig.file(host, 'holdfast.yaml'), 'utf8')))).toEqual(before)
    await mend(rig, 'client')
    expect((await rig.cli('apply', '--yes')).stdout).toContain('every agent runs with this configuration')
    await rig.untilOk()
  })

  test('by hand: the agents say it while all still serve, and the member whose redis died has the cause in its row', async () => {
    const rig = theRig()
    const { primary } = await rig.untilOk()
    const replica = hosts.find((host) => host !== primary) ?? 'red-b'
    const writer = await rig.writer()
    await rig.incident(writer, 'agents take up what no redis starts with', { outageMs: 100, mayBeUnfelt: true, okWithinMs: null }, async () => {
      for (const host of [...hosts, 'client']) await write(rig, host)
      await restartAgents(rig)
      const told = await rig.until('both say it', 'sessions', (s) => s.members.every((m) => m.alarms.some((a) => a.startsWith('HF403'))))
      expect(told).toMatchObject({ primary, health: 'degraded', because: expect.stringMatching(/red-a: HF403 .*maxmemry.*maxmemory lots/) })
    })
    expect(await rig.agentLog(replica)).toMatch(/HF403 redis does not start with this configuration: groups\.sessions\.redis\.maxmemry/)

    await rig.incident(writer, 'the redis of the replica ends', { outageMs: 100, mayBeUnfelt: true, okWithinMs: null }, async () => {
      await rig.lab.kill(replica, 'redis')
      const down = await rig.until('it is down', 'sessions', (s) => s.members.some((m) => m.host === replica && m.state === 'redis down'))
      expect(down.members.find((m) => m.host === replica)?.why).toMatch(/^HF403 .*maxmemry/)
      const row = (await rig.cli('status')).stdout.split('\n').find((line) => line.includes(replica) && line.includes('redis down'))
      expect(row).toMatch(/no: HF403 .*did you mean `maxmemory`\?/)
    })
    for (const host of [...hosts, 'client']) await mend(rig, host)
    await restartAgents(rig)
    expect(await rig.untilOk()).toMatchObject({ primary })
    await rig.finishWithin(writer, 100)
    await rig.expectNoBrokenRule()
  })
})
