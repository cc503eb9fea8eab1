/** `durability` is changed while redis runs: what `safe` had set in it is there, and is as the user had it when `safe` is not asked for any more. */
import { readFile, writeFile } from 'node:fs/promises'
import { describe, expect, test } from 'vitest'
import type { Rig } from './rig.ts'
import { poll, problems, rigFor, twoHosts } from './rig.ts'

const members = ['red-a', 'red-b'] as const
const own = ['0', '10', '0', '10']
const ours = ['1', '2', '1', '2']

describe.skipIf(problems.length > 0)('durability is changed while redis runs', { timeout: 60_000 }, () => {
  const theRig = rigFor('unsafe', twoHosts(['durability: safe']))

  test('redis was started with safe, is told it, and is as its user had it each time that it is not asked for any more', async () => {
    const rig = theRig()
    const { primary, epoch } = await rig.untilOk()
    const before = await runIds(rig)
    expect(await limits(rig)).toEqual(ours)
    for (const to of ['available', 'safe', 'available'] as const) {
      await change(rig, to)
      await untilLimits(rig, to === 'safe' ? ours : own)
    }
    expect(await rig.untilOk()).toMatchObject({ primary, epoch })
    expect(await runIds(rig), 'by CONFIG SET, not by a restart').toEqual(before)
    const writer = await rig.writer()
    await rig.incident(writer, 'the replica loses power', { outageMs: 500, mayBeUnfelt: true, okWithinMs: null }, async () => {
      await rig.lab.power(primary === 'red-a' ? 'red-b' : 'red-a', 'off')
      // Longer than redis would count a replica that is gone.
      await new Promise((resolve) => setTimeout(resolve, 4000))
    })
    await rig.finishWithin(writer, 500)
    await rig.expectNoBrokenRule()
  })
})

/** In the configuration of every host, the operator's among them; each agent is started anew to take it. */
async function change(rig: Rig, to: 'safe' | 'available'): Promise<void> {
  for (const host of ['client', ...members]) {
    const file = rig.file(host, 'holdfast.yaml')
    await writeFile(file, (await readFile(file, 'utf8')).replace(/durability: \w+/, `durability: ${to}`))
  }
  for (const host of members) {
    await rig.killAgent(host, 'SIGTERM')
    await rig.lab.start(host, 'agent')
  }
}

async function untilLimits(rig: Rig, wanted: readonly string[]): Promise<void> {
  await poll(async () => ((await limits(rig)).join() === wanted.join() ? true : undefined), { withinMs: 10_000, everyMs: 50 })
  expect(await limits(rig)).toEqual(wanted)
}

/** min-replicas-to-write and min-replicas-max-lag of one member, then of the other. */
async function limits(rig: Rig): Promise<readonly string[]> {
  const ask = (host: string) => ['to-write', 'max-lag'].map((name) => rig.redis(host, 'CONFIG', 'GET', `min-replicas-${name}`))
  return (await Promise.all(members.flatMap(ask))).map((answer) => answer.split(/\s+/)[1] ?? '')
}

function runIds(rig: Rig): Promise<readonly (string | undefined)[]> {
  return Promise.all(members.map(async (host) => /run_id:(\w+)/.exec(await rig.redis(host, 'INFO', 'server'))?.[1]))
}
