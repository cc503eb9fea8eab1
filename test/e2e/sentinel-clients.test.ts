/**
 * Clients that speak Sentinel, as applications use them: ioredis, @redis/client and Debian's python3-redis, each with its own default settings, beside
 * clients that know the address only. All of them through two crashes and a switchover: how long each was without an acknowledged write, and that
 * nothing acknowledged is gone. The loss of a host: fronts-sentinel.test.ts.
 */
import { afterAll, describe, expect, test } from 'vitest'
import { Application, applicationPrograms, type Kill } from './applications.ts'
import { problems, rigFor, threeWithSentinels, type Rig } from './rig.ts'

describe.skipIf(problems.length > 0)('clients that ask the Sentinels', { timeout: 120_000 }, () => {
  const theRig = rigFor('sclients', threeWithSentinels())
  const applications: Application[] = []
  afterAll(() => {
    for (const application of applications) application.end()
  })

  /** What the Sentinels themselves may take; and each client its own habits: @redis/client waits a whole second between two questions. */
  const answerMs = 1500
  const limitMs = (name: string): number => answerMs + (name === '@redis/client' ? 1000 : 0)
  const crash = (rig: Rig, primary: string): Promise<unknown> => rig.lab.kill(primary, 'redis')
  const faults: readonly (readonly [string, (rig: Rig, primary: string) => Promise<unknown>])[] = [
    ['redis is killed', crash],
    ['a switchover', (rig) => rig.cli('switchover', 'sessions')],
    ['redis is killed again', crash],
  ]

  test('the Sentinels answer within a second and a half, each client goes on, beside a client of the address; nothing acknowledged is gone', async () => {
    const rig = theRig()
    await rig.untilOk('sessions', 25_000)
    for (const [name, argv] of applicationPrograms) applications.push(new Application(rig, name, argv))
    const writer = await rig.writer()
    for (const application of applications) await application.writes(0, 50)
    const kills: Kill[] = []
    for (const [what, act] of faults) {
      const { primary } = await rig.untilOk('sessions', 25_000)
      const sinceMs = Date.now()
      await rig.incident(writer, what, { outageMs: 400, mayBeUnfelt: true }, () => act(rig, primary))
      const answers = await Promise.all(['red-a', 'red-b', 'red-c'].map((host) => rig.switchedAt(host, sinceMs)))
      const told = answers.map((ms) => (ms === null ? null : ms - sinceMs))
      console.info(`${what}: told by the Sentinels after ${told.join(', ')} ms`)
      // A client asks one after the other: two that know are enough.
      expect(told.filter((ms) => ms !== null && ms <= answerMs).length, `the Sentinels: ${what}`).toBeGreaterThanOrEqual(2)
      for (const application of applications) {
        await application.writes(sinceMs + 200, 100)
        const gapMs = application.gap(sinceMs).ms
        console.info(`${what}: ${application.name} ${gapMs} ms`)
        expect(gapMs, `${application.name}: ${what}`).toBeLessThanOrEqual(limitMs(application.name))
      }
      if (act === crash) kills.push({ fromMs: sinceMs, toMs: Date.now() })
    }
    for (const application of applications) application.end()
    const { primary } = await rig.untilOk('sessions', 25_000)
    for (const application of applications) expect(await application.gone(rig, primary, kills), `acknowledged to ${application.name} and gone`).toBe(0)
    await rig.finishWithin(writer, 400)
    await rig.expectNoBrokenRule()
  })
})
