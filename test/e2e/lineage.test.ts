/** A member with data of another life refuses to follow; the operator names the true data, and it does, after a copy was kept. */
import { mkdir, rm } from 'node:fs/promises'
import { describe, expect, test } from 'vitest'
import type { LineageTree } from '../../src/cli/lineage-tree.ts'
import { countIn, keptFiles } from './evidence.ts'
import { poll, problems, rigFor, twoHosts, vip } from './rig.ts'

describe.skipIf(problems.length > 0)('lineage', { timeout: 90_000 }, () => {
  const theRig = rigFor('s-lineage', twoHosts())

  test('one line while all agree; a silent member is named; accept needs a reason and a member', async () => {
    const rig = theRig()
    const { primary } = await rig.untilOk()
    const tree = JSON.parse((await rig.cli('lineage', 'sessions', '--json')).stdout) as LineageTree
    expect([tree.epoch, tree.forks, tree.nodes.map((n) => [n.epoch, n.holder, n.believedBy])]).toEqual([1, [], [[1, primary, ['red-a', 'red-b']]]])
    const refused = async (...words: string[]) => {
      const { code, stderr } = await rig.cli('lineage', 'sessions', ...words)
      return `${code} ${/HF\d+/.exec(stderr)?.[0] ?? ''}`
    }
    expect(await refused('accept', primary)).toBe('2 HF303')
    expect(await refused('accept', 'red-z', '--reason', 'x')).toBe('2 HF104')
    expect(await refused('except', primary)).toBe('2 HF303')
    const dry = await rig.cli('lineage', 'sessions', 'accept', primary, '--reason', 'try', '--dry-run')
    expect([dry.code, dry.stdout]).toEqual([0, expect.stringContaining('would be the accepted ones')])
  })

  test('a member that comes with data of another life: refused, then accepted; clients of the primary notice nothing', async () => {
    const rig = theRig()
    const { primary, epoch } = await rig.untilOk()
    const other = primary === 'red-a' ? 'red-b' : 'red-a'
    await rig.killAgent(other)
    await rig.lab.kill(other, 'redis')
    await rm(rig.file(other, 'state', 'sessions', 'data'), { recursive: true })
    await mkdir(rig.file(other, 'state', 'sessions', 'data'))
    await rig.lab.exec(other, ['sh', '-c', `redis-server ${rig.file(other, 'run', 'sessions', 'redis.conf')} >/dev/null 2>&1 &`])
    expect(await poll(async () => ((await rig.redis(other, 'REPLICAOF', 'NO', 'ONE')) === 'OK' ? true : undefined), { withinMs: 5000 })).toBe(true)
    await rig.redis(other, 'EVAL', "for i = 1, 50 do redis.call('set', 'foreign:' .. i, i) end", '0')
    await rm(rig.file(other, 'state', 'sessions', 'state.json'))
    await rig.startAgent(other)
    await rig.until('it refuses and says so', 'sessions', (s) => s.health === 'degraded', 5000)
    await new Promise((resolve) => setTimeout(resolve, 1000))
    expect(await rig.redis(other, 'DBSIZE'), 'nothing was given up').toMatch(/50$/)
    const silent = await rig.cli('lineage', 'sessions')
    expect(silent.stdout).toMatch(new RegExp(`${other} holds 50 keys of a history that the group does not know`))
    const writer = await rig.writer()
    await writer.mark('accept')
    const accepted = await rig.cli('lineage', 'sessions', 'accept', primary, '--reason', 'ticket 4711')
    expect(accepted.code, accepted.stderr).toBe(0)
    const after = await rig.untilOk()
    expect(after).toMatchObject({ primary, epoch: epoch + 1 })
    await rig.finishWithin(writer, 300)
    const files = await keptFiles(rig, other)
    expect(files).toHaveLength(1)
    expect(await countIn(rig, files[0] ?? '', 'foreign', 1, 50)).toBe(50)
    expect(await rig.redisAt('client', vip, 'EXISTS', 'foreign:1')).toMatch(/0$/)
    const tree = JSON.parse((await rig.cli('lineage', 'sessions', '--json')).stdout) as LineageTree
    expect(tree.nodes.at(-1)).toMatchObject({ source: 'forced', accepted: true, why: expect.stringContaining('ticket 4711') as string })
    expect((await rig.cli('history', 'sessions')).stdout).toContain('ticket 4711')
    expect((await rig.cli('history', 'sessions', '--events')).stdout).toMatch(/accepted: .*ticket 4711/)
    await rig.expectNoBrokenRule()
    const first = await rig.killAgent(other).then(() => rig.cli('lineage', 'sessions'))
    expect(first.stdout, 'who is silent is named').toMatch(new RegExp(`${other}: not asked: HF301`))
    await rig.startAgent(other)
  })
})
