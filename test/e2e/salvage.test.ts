/**
 * Both sides of a partition accept writes; at the heal the newer epoch rules. What the former primary acknowledged alone is kept
 * exactly, from its stream, before it follows: compared with the writer's own log of acknowledgements, one by one.
 */
import { describe, expect, test } from 'vitest'
import type { WriterHandle } from '../../src/lab/writer.ts'
import { commandsIn, keptFiles } from './evidence.ts'
import type { Rig } from './rig.ts'
import { poll, problems, rigFor, twoHosts, vip } from './rig.ts'

describe.skipIf(problems.length > 0)('a former primary that still runs', { timeout: 120_000 }, () => {
  const theRig = rigFor('s-salvage', twoHosts())

  test('every acknowledged write that is gone is kept, and none more; no fence stays behind', async () => {
    const rig = theRig()
    const { before, writer, prefix } = await partition(rig)
    await rig.lab.heal()
    const after = await rig.untilOk()
    expect(after.primary).not.toBe(before.primary)
    const lost = await lostOf(rig, writer, prefix)
    expect(lost.size, 'the partition cost something, or this test proves nothing').toBeGreaterThan(100)
    const files = await keptFiles(rig, before.primary)
    expect(files.map((f) => f.replace(/.*\./, ''))).toEqual(['resp'])
    const { kept, commands } = await commandsIn(files[0] ?? '')
    const keys = commands.filter((c) => c.args[0]?.startsWith(`${prefix}:`)).map((c) => c.args[0] ?? '')
    expect(keys, 'each once').toHaveLength(new Set(keys).size)
    const acked = new Set((await writer.history()).map(([seq]) => `${prefix}:${seq}`))
    expect(
      [...lost].filter((key) => !keys.includes(key)),
      'acknowledged, gone, and not kept',
    ).toEqual([])
    expect(
      keys.filter((key) => acked.has(key) && !lost.has(key)),
      'kept although it is not gone',
    ).toEqual([])
    expect(commands.filter((c) => c.name === 'INCR' && c.args[0] === 'dark:counter')).toHaveLength(3)
    expect(kept).toMatchObject({ kind: 'commands', commands: commands.length, toOffset: (kept.fromOffset ?? 0) + kept.bytes - 1 })
    await expectUnfenced(rig)
    await rig.expectNoBrokenRule()
    await writer.cleanup()
    await writer.close()
  })

  const points = [
    'fenced/saved',
    'fenced/after:fence-writes',
    'fenced/after:kill-clients',
    'replica/saved',
    'replica/before:keep-writes',
    'replica/after:keep-writes',
    'replica/after:follow',
  ]
  test.each(points)('its agent dies at %s and comes back: all is kept, the fence goes', async (label) => {
    const rig = theRig()
    await rig.untilOk()
    const { before, writer, prefix } = await partition(rig, label)
    const earlier = await keptFiles(rig, before.primary)
    await rig.lab.heal()
    const died = await rig.untilAgentIsGone(before.primary, 8000).then(
      () => true,
      () => false,
    )
    if (!died) await rig.killAgent(before.primary)
    await rig.startAgent(before.primary)
    const after = await rig.untilOk()
    expect(died, 'the agent came by that point').toBe(true)
    expect(after.primary).not.toBe(before.primary)
    const files = (await keptFiles(rig, before.primary)).filter((f) => !earlier.includes(f))
    const keys = (await Promise.all(files.map((f) => commandsIn(f)))).flatMap(({ commands }) => commands.map((c) => c.args[0] ?? ''))
    const lost = await lostOf(rig, writer, prefix)
    expect([...lost].filter((key) => !keys.includes(key))).toEqual([])
    expect(keys, 'nothing is kept twice').toHaveLength(new Set(keys).size + 2)
    await expectUnfenced(rig)
    await rig.expectNoBrokenRule()
    await writer.cleanup()
    await writer.close()
  })
})

/** The replica is cut off and promotes itself; clients go on with the old primary, and somebody writes to the new one. */
async function partition(rig: Rig, crashAt?: string) {
  const before = await rig.untilOk()
  const replica = before.primary === 'red-a' ? 'red-b' : 'red-a'
  if (crashAt !== undefined) {
    await rig.killAgent(before.primary)
    await rig.startAgent(before.primary, { HOLDFAST_CRASH_AT: crashAt })
    await rig.untilOk()
  }
  const prefix = `p${Date.now().toString(36)}`
  const writer = await rig.writer({ prefix })
  await rig.lab.cut(replica)
  const promoted = await poll(async () => ((await rig.redis(replica, 'ROLE')).startsWith('master') ? true : undefined), { withinMs: 8000 })
  expect(promoted, 'the other side serves too').toBe(true)
  expect(await rig.redis(replica, 'SET', 'bright:1', '1')).toBe('OK')
  await writer.steady({ acks: 300, withinMs: 5000 })
  for (let i = 0; i < 3; i += 1) await rig.redis(before.primary, 'INCR', 'dark:counter')
  return { before, replica, writer, prefix }
}

/** Keys of acknowledged writes that the address does not have. */
async function lostOf(rig: Rig, writer: WriterHandle, prefix: string): Promise<ReadonlySet<string>> {
  await writer.stop()
  const acked = (await writer.history()).map(([seq]) => seq)
  const last = acked.at(-1)
  const script = `local gone = {} for i = 1, tonumber(ARGV[1]) do if redis.call('exists', '${prefix}:' .. i) == 0 then gone[#gone + 1] = i end end return table.concat(gone, ' ')`
  const gone = new Set((await rig.redisAt('client', vip, 'EVAL_RO', script, '0', String(last))).split(' ').map(Number))
  return new Set(acked.filter((seq) => gone.has(seq)).map((seq) => `${prefix}:${seq}`))
}

async function expectUnfenced(rig: Rig): Promise<void> {
  const lifted = await poll(
    async () => {
      for (const host of ['red-a', 'red-b']) if (!/\b0$/.test((await rig.redis(host, 'CONFIG', 'GET', 'min-replicas-to-write')).trim())) return undefined
      return true
    },
    { withinMs: 3000 },
  )
  expect(lifted, 'no fence stays behind').toBe(true)
}
