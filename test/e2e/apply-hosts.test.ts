/**
 * Hosts come and go while a client writes, in Sentinel mode: one more is added, the primary is removed (it hands over first), a dead one is replaced by one that was
 * spare. After each the Sentinels know exactly who is configured, and in the end the loss of the primary's host is what it always was.
 */
import { readFile, writeFile } from 'node:fs/promises'
import { describe, expect, test } from 'vitest'
import { hostLines, problems, rigFor, type Rig } from './rig.ts'

const text = (hosts: readonly string[]): string => `    members: [${hosts.join(', ')}]\n    sentinels: [${hosts.join(', ')}]`
const first = ['red-a', 'red-b', 'red-c']
const yaml = `${hostLines(4)}
groups:
  sessions:
    mode: sentinel
${text(first)}
    vip: 192.168.77.9/24
    # For so long redis lists a replica whose host has vanished, and the command waits for that.
    redis: { repl-timeout: 15 }
`

async function consistOf(rig: Rig, hosts: readonly string[]): Promise<void> {
  const file = rig.file('client', 'holdfast.yaml')
  const before = await readFile(file, 'utf8')
  await writeFile(file, before.replace(/ {4}members: .*\n {4}sentinels: .*/, text(hosts)))
}

/** Of each Sentinel: how many other Sentinels and how many replicas it knows. */
async function known(rig: Rig, hosts: readonly string[]): Promise<readonly string[]> {
  return Promise.all(
    hosts.map(async (host) => {
      const words = (await rig.sentinel(host, 'SENTINEL', 'MASTER', 'sessions')).split('\n')
      const of = (name: string): string => words[words.indexOf(name) + 1] ?? '?'
      return `${of('num-other-sentinels')} ${of('num-slaves')}`
    }),
  )
}

describe.skipIf(problems.length > 0)('hosts of a running group come and go', { timeout: 240_000 }, () => {
  const theRig = rigFor('hf-ap-hosts', yaml)

  test('one is added, the primary leaves, a dead one is replaced, the primary is lost: 0 lost', async () => {
    const rig = theRig()
    const { primary: former } = await rig.untilOk()
    const writer = await rig.writer()

    const all = [...first, 'red-d']
    await consistOf(rig, all)
    expect((await rig.cli('apply', '--dry-run')).stdout).toContain('red-d is added as member and Sentinel')
    await rig.incident(writer, 'red-d is added', { outageMs: 150, mayBeUnfelt: true, okWithinMs: 30_000 }, async () => {
      expect((await rig.cli('apply', '--yes')).stderr).toBe('')
    })
    expect((await rig.status())?.members.map((m) => m.host)).toEqual(all)

    const three = all.filter((h) => h !== former)
    await consistOf(rig, three)
    expect((await rig.cli('apply', '--dry-run')).stdout).toContain(`${former} is its primary: it hands over first`)
    await rig.incident(writer, `the primary ${former} leaves`, { outageMs: 1000, okWithinMs: 30_000 }, async () => {
      const applied = await rig.cli('apply', '--yes')
      expect([applied.code, applied.stderr]).toEqual([0, ''])
      expect(applied.stdout.match(/^(\S+): taken up/m)?.[1], 'who leaves goes first').toBe(former)
    })
    expect(await known(rig, three), 'who has left is forgotten').toEqual(three.map(() => '2 2'))
    expect(await rig.redis(former, 'SET', 'x', '1'), 'what has left takes no writes').toMatch(/READONLY/)
    expect(await rig.redis(former, 'INFO', 'replication')).toContain('master_host:127.0.0.1')
    expect(await rig.sentinel(former, 'PING'), 'its Sentinel has ended').toMatch(/refused/)

    const { primary } = await rig.untilOk()
    const dead = three.find((h) => h !== primary) ?? ''
    await rig.lab.power(dead, 'off')
    await consistOf(rig, [...three, former])
    expect((await rig.cli('apply', '--yes')).stderr).toBe('')
    const end = [...three.filter((h) => h !== dead), former]
    await consistOf(rig, end)
    expect((await rig.cli('apply', '--yes')).stderr).toMatch(new RegExp(`HF801.*${dead}, so it cannot be told`))
    await rig.incident(writer, `${dead} is dead, and replaced by ${former}`, { outageMs: 150, mayBeUnfelt: true, okWithinMs: 30_000 }, async () => {
      const applied = await rig.lab.cli(['apply', '--yes', '--without', dead], { deadlineMs: 120_000 })
      expect([applied.code, applied.stderr], applied.stdout).toEqual([0, ''])
    })
    expect(await known(rig, end)).toEqual(end.map(() => '2 2'))

    const last = await rig.untilOk()
    await rig.incident(writer, `the host of the primary ${last.primary} is lost`, { outageMs: 5000, okWithinMs: null }, () =>
      rig.lab.power(last.primary, 'off'),
    )
    const report = await rig.finish(writer)
    // What the dead host had acknowledged and not sent yet, a write per millisecond.
    expect(report.lost).toBeLessThanOrEqual(2)
    await rig.expectNoBrokenRule()
  })
})
