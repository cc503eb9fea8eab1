/** A primary without a replica, restarted from its disk: redis would count none of its writes, and its old replica could pass for as good. */
import { describe, expect, test } from 'vitest'
import { poll, problems, rigFor, twoHosts, vip } from './rig.ts'

describe.skipIf(problems.length > 0)('a primary that crashed and serves alone', { timeout: 90_000 }, () => {
  const theRig = rigFor('alone', twoHosts())

  test('crashes again as the old replica comes back: what it acknowledged still serves', async () => {
    const rig = theRig()
    const { primary } = await rig.untilOk()
    const replica = primary === 'red-a' ? 'red-b' : 'red-a'
    await rig.redisAt('client', vip, 'SET', 'before', '1')
    await rig.redis(replica, 'SAVE')
    await rig.lab.power(replica, 'off')
    await rig.redis(primary, 'SAVE')
    await rig.lab.kill(primary, 'redis')
    const alone = await poll(async () => ((await rig.redisAt('client', vip, 'SET', 'acknowledged', '1')) === 'OK' ? true : undefined), { withinMs: 15_000 })
    expect(alone, 'it serves again, alone').toBe(true)
    const info = await rig.redis(primary, 'INFO')
    expect(info).toMatch(/repl_backlog_active:1/)
    expect(info, 'and nothing was saved for that').toMatch(/total_forks:0/)
    expect(await rig.redis(primary, 'CONFIG', 'GET', 'repl-diskless-sync')).toMatch(/no$/)
    await rig.redis(primary, 'SAVE')
    await rig.lab.power(replica, 'on')
    await rig.lab.kill(primary, 'redis')
    await rig.untilOk('sessions', 60_000)
    expect(await rig.redisAt('client', vip, 'GET', 'acknowledged')).toBe('1')
    await rig.expectNoBrokenRule()
  })
})
