/**
 * The secret that the agents have in common is changed while a client writes; Sentinels come to redis with what is made of it. Each host has its own file with it, as
 * real hosts have. Nobody fails over, no Sentinel loses a redis from sight, nothing is lost; and whatever dies in the middle comes back able to talk to the others.
 */
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { sentinelUser } from '../../src/model/sentinel.ts'
import { passwordHash, sentinelUserPassword } from '../../src/redis/sentinel-id.ts'
import { foundDown } from './found-down.ts'
import { problems, rigFor, threeWithSentinels, type Rig } from './rig.ts'
import { killAgentDuring } from './two-step.ts'

const hosts = ['red-a', 'red-b', 'red-c'] as const
/** That it goes on is told here; how soon, in sentinel.test.ts and sentinel-clients.test.ts. */
const goesOnWithinMs = 5000
const words = { first: 'the first secret of all', second: 'the second secret of all', third: 'the third secret of all', short: 'short' }
type Word = keyof typeof words

/** Before the agents are started. */
async function ownSecretFiles(rig: Rig): Promise<void> {
  for (const node of [...hosts, 'client']) {
    const file = rig.file(node, 'holdfast.yaml')
    await writeFile(file, (await readFile(file, 'utf8')).replace(/secret_file: .*/, 'secret_file: own.secret'))
    await bring(rig, node, 'first')
  }
  for (const host of hosts) await rig.startAgent(host)
}

async function bring(rig: Rig, node: string, word: Word): Promise<void> {
  await writeFile(rig.file(node, 'own.secret'), `${words[word]}\n`, { mode: 0o600 })
}

/** Of which secrets the passwords are made with which Sentinels may come to the redis of each host. */
async function letIn(rig: Rig): Promise<readonly string[]> {
  const all = Object.entries(words).map(([word, secret]) => [word, passwordHash(sentinelUserPassword(secret, 'sessions'))] as const)
  return Promise.all(
    hosts.map(async (host) => {
      const told = await rig.redis(host, 'ACL', 'GETUSER', sentinelUser)
      return all.flatMap(([word, hash]) => (told.includes(hash) ? [word] : [])).join(' ')
    }),
  )
}

/** Of which secret the password is made with which the Sentinel of each host comes, by its own file. */
async function comesWith(rig: Rig): Promise<readonly string[]> {
  return Promise.all(
    hosts.map(async (host) => {
      const text = await readFile(rig.file(host, 'state', 'sessions', 'sentinel', 'sentinel.conf'), 'utf8')
      return Object.entries(words)
        .flatMap(([word, secret]) => (text.includes(`auth-pass sessions ${sentinelUserPassword(secret, 'sessions')}`) ? [word] : []))
        .join(' ')
    }),
  )
}

describe.skipIf(problems.length > 0)("the agents' secret", { timeout: 180_000 }, () => {
  const theRig = rigFor('hf-wd-se', `${threeWithSentinels()}api:\n  secret_file: first\n`, { agents: false, files: words })
  const change = (rig: Rig, ...args: string[]) => rig.lab.cli(['secret', ...args, '--yes'], { deadlineMs: 90_000 })

  test('both are valid until the operator says that everybody has the new one; what dies in between comes back with both', async () => {
    const rig = theRig()
    await ownSecretFiles(rig)
    const { primary, epoch } = await rig.untilOk()
    const second = join(rig.base, 'second')
    const writer = await rig.writer()
    const beganMs = Date.now()
    expect((await change(rig)).stderr).toMatch(/HF801 which secret/)
    expect((await change(rig, '--new-file', join(rig.base, 'short'))).stderr).toMatch(/HF103.*can be guessed/)
    expect((await change(rig, '--new-file', second, '--dry-run')).stdout).toContain('every agent lets in whoever has the new one')
    expect((await change(rig, '--finish', '--new-file', second)).stderr, 'not before it was given').toMatch(/HF801 not in use yet on red-a, red-b, red-c/)
    expect([await letIn(rig), await comesWith(rig)], 'nothing has changed').toEqual([hosts.map(() => 'first'), hosts.map(() => 'first')])

    const given = await change(rig, '--new-file', second)
    expect([given.code, given.stderr]).toEqual([0, ''])
    expect([await letIn(rig), await comesWith(rig)]).toEqual([hosts.map(() => 'first second'), hosts.map(() => 'second')])
    expect(await readFile(rig.file('red-b', 'own.secret'), 'utf8')).toBe(`${words.second}\n`)
    expect(await rig.untilOk(), 'asked with the old one').toMatchObject({ primary, epoch, bothSecrets: hosts })
    expect((await change(rig, '--new-file', join(rig.base, 'third'))).stderr).toMatch(/HF801 a change to another secret is under way/)
    expect([(await writer.stats()).errors, await foundDown(rig, { hosts, sinceMs: beganMs })], 'nobody has noticed').toEqual([0, []])
    await rig.incident(writer, 'redis is killed in between', { outageMs: goesOnWithinMs }, () => rig.lab.kill(primary, 'redis'))
    expect(await letIn(rig), 'a redis that is started meanwhile').toEqual(hosts.map(() => 'first second'))

    const between = await rig.untilOk()
    const finishesMs = Date.now()
    const finished = await change(rig, '--finish', '--new-file', second)
    expect([finished.code, finished.stderr]).toEqual([0, ''])
    expect((await rig.cli('status')).stderr, 'the old one is refused').toMatch(/HF302/)
    await bring(rig, 'client', 'second')
    expect(await letIn(rig)).toEqual(hosts.map(() => 'second'))
    expect(await rig.untilOk()).toMatchObject({ primary: between.primary, epoch: between.epoch, bothSecrets: [] })
    expect(await foundDown(rig, { hosts, sinceMs: finishesMs })).toEqual([])
    await rig.incident(writer, 'redis is killed afterwards', { outageMs: goesOnWithinMs }, () => rig.lab.kill(between.primary, 'redis'))
    await rig.finishWithin(writer, goesOnWithinMs)
    await rig.expectNoBrokenRule()
  })

  test('an agent that is killed between any two steps comes back with what it remembers; the old secret can be gone back to', async () => {
    const rig = theRig()
    const { primary, epoch } = await rig.untilOk()
    const writer = await rig.writer()
    const beganMs = Date.now()
    const third = join(rig.base, 'third')
    await killAgentDuring(rig, primary, () => change(rig, '--new-file', third))
    const again = await change(rig, '--new-file', third)
    expect([again.code, again.stderr]).toEqual([0, ''])
    expect(await comesWith(rig)).toEqual(hosts.map(() => 'third'))
    for (const finish of [[], ['--finish']]) {
      const back = await change(rig, '--new-file', join(rig.base, 'second'), ...finish)
      expect([back.code, back.stderr]).toEqual([0, ''])
    }
    expect([await letIn(rig), await comesWith(rig)]).toEqual([hosts.map(() => 'second'), hosts.map(() => 'second')])
    expect(await rig.untilOk()).toMatchObject({ primary, epoch })
    const report = await rig.finish(writer)
    expect([report.lost, report.errorKinds, await foundDown(rig, { hosts, sinceMs: beganMs })]).toEqual([0, [], []])
    await rig.expectNoBrokenRule()
  })
})
