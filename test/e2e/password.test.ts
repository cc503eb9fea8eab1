/**
 * The password of a running group is changed while a client writes with the old one. Each host has its own password file, as real hosts have.
 * Nothing is lost, nobody who is connected is disconnected, replication goes on; and whatever dies in the middle comes back able to talk to the others.
 */
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { problems, rigFor, threeWithSentinels, type Rig } from './rig.ts'
import { ownPasswordFiles } from './two-step.ts'

const hosts = ['red-a', 'red-b', 'red-c'] as const

async function login(rig: Rig, host: string, password: string): Promise<string> {
  const result = await rig.lab.exec(host, ['redis-cli', '-a', password, '--no-auth-warning', 'PING'], { deadlineMs: 5000 })
  return `${result.stdout}${result.stderr}`.trim()
}

/** Who takes it, in the order of the hosts: `y` or `n`. */
async function taken(rig: Rig, password: string): Promise<string> {
  const answers = await Promise.all(hosts.map((host) => login(rig, host, password)))
  return answers.map((a) => (a === 'PONG' ? 'y' : /WRONGPASS|NOAUTH/.test(a) ? 'n' : a)).join('')
}

describe.skipIf(problems.length > 0)('the password of a running group', { timeout: 120_000 }, () => {
  const theRig = rigFor('hf-ap-pw', threeWithSentinels(['password_file: first']), {
    agents: false,
    files: { first: 'first\n', second: 'second\n', third: 'third\n' },
  })
  const change = (rig: Rig, ...args: string[]) => rig.cli('password', 'sessions', ...args, '--yes')

  test('both are valid until the operator says that the clients have the new one; who is connected stays connected', async () => {
    const rig = theRig()
    await ownPasswordFiles(rig)
    const { primary, epoch } = await rig.untilOk()
    const replica = hosts.find((h) => h !== primary) ?? 'red-a'
    const file = join(rig.base, 'second')
    const writer = await rig.writer({ passwordFile: join(rig.base, 'first') })
    expect((await rig.cli('password', 'sessions', '--new-file', file, '--dry-run')).stdout).toContain('red-a: knows only the old one')
    expect(await taken(rig, 'second'), 'a dry run changes nothing').toBe('nnn')
    expect((await change(rig, '--finish', '--new-file', file)).stderr, 'not before it was given').toMatch(/HF801.*not in use yet on red-a, red-b, red-c/)

    const given = await change(rig, '--new-file', file)
    expect([given.code, given.stderr]).toEqual([0, ''])
    expect([await taken(rig, 'first'), await taken(rig, 'second')]).toEqual(['yyy', 'yyy'])
    expect((await rig.untilOk()).bothPasswords).toEqual({ redis: hosts, sentinels: [] })
    expect(await readFile(rig.file(replica, 'own.password'), 'utf8')).toBe('second\n')
    await rig.lab.kill(replica, 'redis')
    await rig.untilOk()
    expect([await taken(rig, 'first'), await taken(rig, 'second')], 'a redis that is started meanwhile takes both').toEqual(['yyy', 'yyy'])
    expect((await change(rig, '--new-file', join(rig.base, 'third'))).stderr).toMatch(/HF801.*another password is under way/)

    const finished = await change(rig, '--finish', '--new-file', file)
    expect([finished.code, finished.stderr]).toEqual([0, ''])
    expect([await taken(rig, 'first'), await taken(rig, 'second')]).toEqual(['nnn', 'yyy'])
    expect(await writer.steady({ acks: 500, withinMs: 5000 }), 'a client that came with the old one writes on').toBe(true)
    expect(await rig.untilOk()).toMatchObject({ primary, epoch })
    const stats = await writer.stats()
    expect(stats.errors, 'nobody was disconnected').toBe(0)
    await writer.stop()
    await writer.close()

    const next = await rig.writer({ passwordFile: file })
    await rig.incident(next, 'the primary crashes', { outageMs: 1000 }, () => rig.lab.kill(primary, 'redis'))
    const report = await rig.finish(next)
    expect(report.lost).toBe(0)
    expect([await taken(rig, 'first'), await taken(rig, 'second')]).toEqual(['nnn', 'yyy'])
    await rig.expectNoBrokenRule()
  })

  test('a host that is down keeps the command from going on unless it is named, and catches up when it is back', async () => {
    const rig = theRig()
    const { primary } = await rig.untilOk()
    const away = hosts.find((h) => h !== primary) ?? 'red-a'
    const file = join(rig.base, 'third')
    await rig.lab.power(away, 'off')
    expect((await change(rig, '--new-file', file)).stderr).toMatch(new RegExp(`HF801.*${away} cannot be told`))
    for (const finish of [[], ['--finish']]) {
      const done = await change(rig, '--new-file', file, '--without', away, ...finish)
      expect([done.code, done.stderr]).toEqual([0, ''])
    }
    await rig.lab.power(away, 'on')
    await rig.startAgent(away)
    await rig.until('it is there, and cannot replicate', 'sessions', (s) => s.members.find((m) => m.host === away)?.agent === 'up')
    for (const finish of [[], ['--finish']]) {
      const done = await change(rig, '--new-file', file, ...finish)
      expect([done.code, done.stderr]).toEqual([0, ''])
    }
    await rig.untilOk()
    expect([await taken(rig, 'second'), await taken(rig, 'third')]).toEqual(['nnn', 'yyy'])
  })

  test('an agent that is killed between any two steps comes back with what it remembers; the old password can be gone back to', async () => {
    const rig = theRig()
    const { primary, epoch } = await rig.untilOk()
    const writer = await rig.writer({ passwordFile: join(rig.base, 'third') })
    const given = change(rig, '--new-file', join(rig.base, 'second'))
    await new Promise((resolve) => setTimeout(resolve, 900))
    await rig.killAgent(primary)
    await rig.startAgent(primary)
    await given
    const again = await change(rig, '--new-file', join(rig.base, 'second'))
    expect([again.code, again.stderr]).toEqual([0, ''])
    expect([await taken(rig, 'third'), await taken(rig, 'second')]).toEqual(['yyy', 'yyy'])
    for (const finish of [[], ['--finish']]) {
      const back = await change(rig, '--new-file', join(rig.base, 'third'), ...finish)
      expect([back.code, back.stderr]).toEqual([0, ''])
    }
    expect([await taken(rig, 'third'), await taken(rig, 'second')]).toEqual(['yyy', 'nnn'])
    expect(await rig.untilOk()).toMatchObject({ primary, epoch })
    const report = await rig.finish(writer)
    expect([report.lost, report.errorKinds]).toEqual([0, []])
    await rig.expectNoBrokenRule()
  })
})
