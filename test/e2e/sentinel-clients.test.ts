/**
 * Clients that speak Sentinel, as applications use them: ioredis, @redis/client and Debian's python3-redis, each with its own default settings, beside
 * clients that know the address only. All of them through two crashes and a switchover: how long each was without an acknowledged write, and that
 * nothing acknowledged is gone. The loss of a host: fronts-sentinel.test.ts.
 */
import { afterAll, describe, expect, test } from 'vitest'
import { Application, applicationPrograms } from './applications.ts'
import { problems, rigFor, threeWithSentinels, type Rig } from './rig.ts'

describe.skipIf(problems.length > 0)('clients that ask the Sentinels', { timeout: 120_000 }, () => {
  const theRig = rigFor('sclients', threeWithSentinels())
  const applications: Application[] = []
  afterAll(() => {
    for (const application of applications) application.end()
  })

  const faults: readonly (readonly [string, number, (rig: Rig, primary: string) => Promise<unknown>])[] = [
    ['redis is killed', 1500, (rig, primary) => rig.lab.kill(primary, 'redis')],
    ['a switchover', 1500, (rig) => rig.cli('switchover', 'sessions')],
    ['redis is killed again', 1500, (rig, primary) => rig.lab.kill(primary, 'redis')],
  ]

  test('each goes on within a second and a half, beside a client of the address; nothing acknowledged is gone', async () => {
    const rig = theRig()
    await rig.untilOk('sessions', 25_000)
    for (const [name, argv] of applicationPrograms) applications.push(new Application(rig, name, argv))
    const writer = await rig.writer()
    for (const application of applications) await application.writes(0, 50)
    for (const [what, limitMs, act] of faults) {
      const { primary } = await rig.untilOk('sessions', 25_000)
      const sinceMs = Date.now()
      await rig.incident(writer, what, { outageMs: 400, mayBeUnfelt: true }, () => act(rig, primary))
      for (const application of applications) {
        await application.writes(sinceMs + 200, 100)
        const gap = application.gapMs(sinceMs)
        console.info(`${what}: ${application.name} ${gap} ms`)
        expect(gap, `${application.name}: ${what}`).toBeLessThanOrEqual(limitMs)
      }
    }
    for (const application of applications) application.end()
    const { primary } = await rig.untilOk('sessions', 25_000)
    for (const application of applications) expect(await application.gone(rig, primary), `acknowledged to ${application.name} and gone`).toBe(0)
    await rig.finishWithin(writer, 400)
    await rig.expectNoBrokenRule()
  })
})
