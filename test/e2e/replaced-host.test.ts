/**
 * The disks of a dead host are gone: another machine takes its place under its name, at its address or at another one, while clients write. Afterwards each
 * Sentinel knows the members and Sentinels that there are, and nobody else; the next crash and the next loss of a host are what they always were.
 */
import { readFile, rm, writeFile } from 'node:fs/promises'
import { describe, expect, test } from 'vitest'
import { problems, rigFor, threeWithSentinels, type Rig } from './rig.ts'

const hosts = ['red-a', 'red-b', 'red-c'] as const
/** That it goes on is told here; how soon, in sentinel.test.ts and sentinel-clients.test.ts. */
const goesOnWithinMs = 5000
const fields = (text: string): readonly Readonly<Record<string, string>>[] => {
  const found: Record<string, string>[] = []
  const words = text.split('\n')
  for (let i = 0; i + 1 < words.length; i += 2) {
    if (words[i] === 'name') found.push({})
    const last = found.at(-1)
    if (last !== undefined) last[words[i] ?? ''] = words[i + 1] ?? ''
  }
  return found
}

/** What one Sentinel names: the primary, and whom it knows beside it, by addresses. */
async function named(rig: Rig, host: string): Promise<Readonly<Record<string, readonly string[]>>> {
  const list = async (word: string): Promise<readonly string[]> =>
    fields(await rig.sentinel(host, 'SENTINEL', word, 'sessions'))
      .map((one) => `${one['ip']}:${one['port']}${/s_down|disconnected/.test(one['flags'] ?? '') ? ' down' : ''}`)
      .sort()
  const primary = (await rig.sentinel(host, 'SENTINEL', 'GET-MASTER-ADDR-BY-NAME', 'sessions')).split('\n').join(':')
  return { primary: [primary], replicas: await list('REPLICAS'), sentinels: await list('SENTINELS') }
}

async function expectExactly(rig: Rig, ips: Readonly<Record<string, string>>): Promise<void> {
  const { primary } = await rig.untilOk()
  for (const host of hosts) {
    expect(await named(rig, host), `what the Sentinel of ${host} knows`).toEqual({
      primary: [`${ips[primary]}:6379`],
      replicas: hosts
        .filter((h) => h !== primary)
        .map((h) => `${ips[h]}:6379`)
        .sort(),
      sentinels: hosts
        .filter((h) => h !== host)
        .map((h) => `${ips[h]}:26379`)
        .sort(),
    })
    expect(await rig.sentinel(host, 'SENTINEL', 'CKQUORUM', 'sessions')).toMatch(/^OK 3 usable Sentinels/)
  }
  const check = await rig.cli('sentinel', 'check', 'sessions')
  expect([check.code, check.stdout]).toEqual([0, expect.stringContaining('Clean')])
}

/** The primary, or one of its replicas. */
async function one(rig: Rig, isPrimary: boolean): Promise<string> {
  const { primary } = await rig.untilOk()
  return isPrimary ? primary : (hosts.find((h) => h !== primary) ?? '')
}

/** Off, and on again with nothing on its disks but what the operator brings: the configuration and the secret. */
async function replaced(rig: Rig, host: string, from: string, to: string): Promise<void> {
  await rig.lab.power(host, 'off')
  await rm(rig.file(host, 'state'), { recursive: true, force: true })
  await rig.lab.power(host, 'on')
  if (from === to) return
  const file = rig.file(host, 'holdfast.yaml')
  await writeFile(file, (await readFile(file, 'utf8')).replace(`ip: ${from},`, `ip: ${to},`))
  // The lab brings a machine up at the address that it was made with.
  const booted = rig.lab.record.plan.nodes.find((n) => n.name === host)?.ip ?? ''
  for (const words of [
    ['del', `${booted}/24`],
    ['add', `${to}/24`, 'brd', '+'],
  ])
    expect(await rig.lab.exec(host, ['ip', 'addr', ...words, 'dev', 'eth0'])).toMatchObject({ code: 0 })
}

describe.skipIf(problems.length > 0)('a host whose disks are gone is replaced', { timeout: 240_000 }, () => {
  const theRig = rigFor('hf-wd-rep', threeWithSentinels(), { agents: false })
  const ips: Record<string, string> = Object.fromEntries(hosts.map((host, i) => [host, `192.168.77.${i + 1}`]))
  const apply = (rig: Rig, ...args: string[]) => rig.lab.cli(['apply', ...args], { deadlineMs: 150_000 })

  test('by a machine of the same name and address, first in place of a replica, then of the primary', async () => {
    const rig = theRig()
    for (const host of hosts) await rig.startAgent(host)
    await rig.untilOk()
    await expectExactly(rig, ips)
    for (const wasPrimary of [false, true]) {
      const victim = await one(rig, wasPrimary)
      const writer = await rig.writer()
      await rig.incident(
        writer,
        `${victim} is set up anew`,
        { outageMs: wasPrimary ? goesOnWithinMs : 150, mayBeUnfelt: !wasPrimary, okWithinMs: 60_000 },
        async () => {
          await replaced(rig, victim, ips[victim] ?? '', ips[victim] ?? '')
          await rig.startAgent(victim)
        },
      )
      const applied = await apply(rig, '--yes')
      expect([applied.code, applied.stderr], applied.stdout).toEqual([0, ''])
      await expectExactly(rig, ips)
      const { primary: serving } = await rig.untilOk()
      await rig.incident(writer, 'redis is killed', { outageMs: goesOnWithinMs }, () => rig.lab.kill(serving, 'redis'))
      // Of a primary that lost its power: what it had acknowledged and not sent yet, a write per millisecond.
      expect((await rig.finish(writer)).lost).toBeLessThanOrEqual(wasPrimary ? 2 : 0)
      expect((await rig.untilOk()).primary).not.toBe(serving)
    }
    await rig.expectNoBrokenRule()
  })

  test('by a machine of the same name at another address, first in place of a replica, then of the primary', async () => {
    const rig = theRig()
    let last = 20
    for (const wasPrimary of [false, true]) {
      const victim = await one(rig, wasPrimary)
      const writer = await rig.writer()
      const [from, to] = [ips[victim] ?? '', `192.168.77.${++last}`]
      await rig.incident(writer, `${victim} moves`, { outageMs: wasPrimary ? goesOnWithinMs : 150, mayBeUnfelt: !wasPrimary, okWithinMs: null }, async () => {
        await replaced(rig, victim, from, to)
        await rig.startAgent(victim)
      })
      const file = rig.file('client', 'holdfast.yaml')
      await writeFile(file, (await readFile(file, 'utf8')).replace(`ip: ${from},`, `ip: ${to},`))
      expect((await apply(rig, '--dry-run')).stdout).toContain(`${victim} moves from ${from} to ${to}`)
      const applied = await apply(rig, '--yes')
      expect([applied.code, applied.stderr], applied.stdout).toEqual([0, ''])
      ips[victim] = to
      await expectExactly(rig, ips)
      const { primary: serving } = await rig.untilOk()
      await rig.incident(writer, 'redis is killed', { outageMs: goesOnWithinMs }, () => rig.lab.kill(serving, 'redis'))
      expect((await rig.finish(writer)).lost).toBeLessThanOrEqual(wasPrimary ? 2 : 0)
      expect((await rig.untilOk()).primary).not.toBe(serving)
    }
    await rig.expectNoBrokenRule()
  })
})
