/** The operator's other verbs: pause and resume, a switchover under pause, a replica filled anew. */
import { describe, expect, test } from 'vitest'
import { poll, problems, rigFor, twoHosts, vip } from './rig.ts'

describe.skipIf(problems.length > 0)('an operator', { timeout: 60_000 }, () => {
  const theRig = rigFor('operate', twoHosts())

  test('pauses; the primary crashes and nobody is promoted; resumes, and the group recovers with nothing lost', async () => {
    const rig = theRig()
    const before = await rig.untilOk()
    expect(await rig.cli('pause', 'sessions')).toMatchObject({ code: 0 })
    await rig.until('both know of the pause', 'sessions', (s) => s.paused, 5000)
    const writer = await rig.writer()
    await writer.mark('kill -9 under pause')
    await rig.lab.kill(before.primary, 'redis')
    await rig.until('the group is down', 'sessions', (s) => s.health === 'down', 5000)
    // Long enough for a failover that must not come: it takes some 20 ms when it may.
    await new Promise((resolve) => setTimeout(resolve, 1500))
    expect(await rig.writable()).toEqual([])
    expect((await rig.status())?.epoch).toBe(before.epoch)
    expect((await rig.status())?.because).toMatch(/paused/)
    expect((await rig.cli('status')).stdout).toMatch(/paused/)
    expect(await rig.cli('resume', 'sessions')).toMatchObject({ code: 0 })
    const after = await rig.untilOk()
    expect(await writer.steady({ acks: 200, withinMs: 10_000 })).toBe(true)
    // The replica was connected until the crash, so it has everything; restarted in place, the old disk would not.
    const report = await rig.finish(writer)
    expect(report.lost).toBe(0)
    expect(report.marks[0]?.longestOutage.lengthMs).toBeLessThan(15_000)
    expect(after.paused).toBe(false)
    expect(await rig.writable()).toEqual([after.primary])
    await rig.expectNoBrokenRule()
  })

  test('switches over by hand under pause; the pause outlives it and the agents', async () => {
    const rig = theRig()
    const before = await rig.untilOk()
    expect(await rig.cli('pause', 'sessions')).toMatchObject({ code: 0 })
    const writer = await rig.writer()
    const after = await rig.incident(writer, 'switchover under pause', { outageMs: 1000, mayBeUnfelt: true }, async () => {
      expect(await rig.cli('switchover', 'sessions')).toMatchObject({ code: 0 })
    })
    await rig.finishWithin(writer, 1000)
    expect(after).toMatchObject({ paused: true, epoch: before.epoch + 1 })
    for (const host of ['red-a', 'red-b']) {
      await rig.killAgent(host)
      await rig.startAgent(host)
    }
    expect(await rig.untilOk()).toMatchObject({ paused: true, primary: after?.primary })
    expect(await rig.cli('resume', 'sessions')).toMatchObject({ code: 0 })
    expect(await rig.until('resumed everywhere', 'sessions', (s) => !s.paused && s.health === 'ok', 5000)).toBeTruthy()
  })

  test('pauses while a member is cut off: is answered soon, and that member hears of it at the heal', async () => {
    const rig = theRig()
    const { primary } = await rig.untilOk()
    const replica = primary === 'red-a' ? 'red-b' : 'red-a'
    // Its redis too: cut off alone it would promote itself.
    await rig.lab.power(replica, 'off')
    const startedMs = performance.now()
    const paused = await rig.cli('pause', 'sessions')
    expect([paused.code, paused.stdout]).toEqual([0, expect.stringContaining(`told: ${primary}; the others will hear of it`)])
    expect(performance.now() - startedMs).toBeLessThan(6000)
    await rig.lab.power(replica, 'on')
    expect(await rig.untilOk()).toMatchObject({ paused: true })
    expect(await rig.cli('resume', 'sessions')).toMatchObject({ code: 0 })
  })

  test('fills a replica anew: clients notice nothing, progress is shown; the primary is refused', async () => {
    const rig = theRig()
    const before = await rig.untilOk()
    const replica = before.primary === 'red-a' ? 'red-b' : 'red-a'
    // Some megabytes, so that the copy takes long enough to be seen.
    await rig.redisAt('client', vip, 'EVAL', "for i = 1, 3000 do redis.call('set', 'big:' .. i, string.rep('x', 20000)) end return 1", '0')
    const runId = /run_id:(\w+)/.exec(await rig.redis(replica, 'INFO', 'server'))?.[1]
    const writer = await rig.writer()
    const after = await rig.incident(writer, 'reinit of the replica', { outageMs: 300, mayBeUnfelt: true }, async () => {
      const refused = await rig.cli('reinit', 'sessions', before.primary)
      expect(refused.code).toBe(1)
      expect(refused.stderr).toMatch(/HF303/)
      const dry = await rig.cli('reinit', 'sessions', replica, '--dry-run')
      expect(dry).toMatchObject({ code: 0, stdout: expect.stringContaining('would give up the data') as unknown })
      const done = await rig.cli('reinit', 'sessions', replica)
      expect(done, done.stderr).toMatchObject({ code: 0, stdout: expect.stringMatching(/filled anew in .* s/) as unknown })
      expect(done.stderr, 'what it was doing meanwhile').toMatch(/full sync|loading|redis down|not answering|link down|starting/)
    })
    await rig.finishWithin(writer, 300)
    expect(after).toMatchObject({ primary: before.primary, epoch: before.epoch })
    expect(/run_id:(\w+)/.exec(await rig.redis(replica, 'INFO', 'server'))?.[1], 'another process').not.toBe(runId)
    const sizes = await poll(
      async () => {
        const [a, b] = await Promise.all(['red-a', 'red-b'].map((host) => rig.redis(host, 'DBSIZE')))
        return a === b ? Number(a) : undefined
      },
      { withinMs: 5000 },
    )
    expect(sizes).toBeGreaterThanOrEqual(3000)
    await rig.redisAt('client', vip, 'FLUSHALL')
  })

  test('forces a failover while the primary serves: one primary afterwards, the other one follows', async () => {
    const rig = theRig()
    const before = await rig.untilOk()
    const target = before.primary === 'red-a' ? 'red-b' : 'red-a'
    expect(await rig.cli('failover', 'sessions'), 'not without the word').toMatchObject({ code: 2 })
    const writer = await rig.writer()
    const after = await rig.incident(writer, 'failover --force', { outageMs: 2000, mayBeUnfelt: true }, async () => {
      expect(await rig.cli('failover', 'sessions', '--to', target, '--force')).toMatchObject({ code: 0 })
    })
    const report = await rig.finish(writer)
    // "writes that only the old primary has may be lost": those of the moment in which both had the role.
    console.info(`${report.lost} given up by force`)
    expect(report.lost).toBeLessThan(200)
    expect(report.marks[0]?.longestOutage.lengthMs).toBeLessThan(2000)
    expect(after?.primary).toBe(target)
    expect(await rig.writable()).toEqual([target])
    await rig.expectNoBrokenRule()
  })
})
