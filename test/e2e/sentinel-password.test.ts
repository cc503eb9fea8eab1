/**
 * The Sentinels' own password is changed while clients write and ask them. Each host has its own file with it, as real hosts have. No Sentinel is without the
 * others for longer than a moment, nobody fails over, nothing is lost; and whatever dies in the middle comes back able to talk to the others.
 */
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import { Application, clientScript } from './applications.ts'
import { foundDown } from './found-down.ts'
import { poll, problems, rigFor, threeWithSentinels, type Rig } from './rig.ts'
import { killAgentDuring, ownPasswordFiles } from './two-step.ts'

const hosts = ['red-a', 'red-b', 'red-c'] as const
/** That it goes on is told here; how soon, in sentinel.test.ts and sentinel-clients.test.ts. */
const goesOnWithinMs = 5000
/** No Sentinel loses another from sight, whatever is done to their password. */
const sentinels = { hosts, sinceMs: 0, kind: 'sentinel' }

async function asked(rig: Rig, host: string, password: string, ...args: string[]): Promise<string> {
  return rig.sentinel(host, '-a', password, '--no-auth-warning', ...args)
}

/** Which Sentinels take it, in the order of the hosts: `y` or `n`. */
async function taken(rig: Rig, password: string): Promise<string> {
  const answers = await Promise.all(hosts.map((host) => asked(rig, host, password, 'PING')))
  return answers.map((a) => (a === 'PONG' ? 'y' : /WRONGPASS|NOAUTH/.test(a) ? 'n' : a)).join('')
}

/** Each Sentinel reaches a quorum, with all three. */
async function untilWhole(rig: Rig, password: string): Promise<void> {
  let last: readonly string[] = []
  const whole = await poll(
    async () => {
      last = await Promise.all(hosts.map((host) => asked(rig, host, password, 'SENTINEL', 'CKQUORUM', 'sessions')))
      return last.every((answer) => answer.startsWith('OK 3 usable Sentinels')) ? true : undefined
    },
    { withinMs: 5000, everyMs: 50 },
  )
  if (whole === undefined) throw new Error(`the Sentinels are not whole: ${last.join('; ')}`)
}

async function killSentinel(rig: Rig, host: string, password: string): Promise<void> {
  process.kill(Number(/process_id:(\d+)/.exec(await asked(rig, host, password, 'INFO', 'server'))?.[1]), 'SIGKILL')
}

describe.skipIf(problems.length > 0)("the Sentinels' own password", { timeout: 180_000 }, () => {
  const files = Object.fromEntries(['first', 'second', 'third'].map((word) => [word, `${word}\n`]))
  const theRig = rigFor('hf-wd-sp', threeWithSentinels(['sentinel:', '  password_file: first']), { agents: false, files: { ...files, spaced: 'a b\n' } })
  const change = (rig: Rig, ...args: string[]) => rig.lab.cli(['password', 'sessions', '--of', 'sentinels', ...args, '--yes'], { deadlineMs: 90_000 })
  const applications: Application[] = []
  const application = (rig: Rig, name: string, sentinelPassword: string): Application => {
    const one = new Application(rig, name, [process.execPath, clientScript('with-ioredis.mjs')], { SENTINEL_PASSWORD: sentinelPassword })
    applications.push(one)
    return one
  }
  afterAll(() => {
    for (const one of applications) one.end()
  })

  test('both are valid until the operator says that the clients have the new one; a Sentinel that dies in between comes back with both', async () => {
    const rig = theRig()
    await ownPasswordFiles(rig)
    const { primary, epoch } = await rig.untilOk()
    await untilWhole(rig, 'first')
    const second = join(rig.base, 'second')
    const writer = await rig.writer()
    const old = application(rig, 'old', 'first')
    await old.writes(0, 50)
    expect((await change(rig, '--new-file', second, '--dry-run')).stdout).toContain('every Sentinel takes the new password beside the old one')
    expect(await taken(rig, 'second'), 'a dry run changes nothing').toBe('nnn')
    expect((await change(rig, '--finish', '--new-file', second)).stderr, 'not before it was given').toMatch(/HF801.*not in use yet/)
    expect((await change(rig, '--new-file', join(rig.base, 'spaced'))).stderr).toMatch(/HF103.*a space or a quote/)

    const given = await change(rig, '--new-file', second)
    expect([given.code, given.stderr]).toEqual([0, ''])
    expect([await taken(rig, 'first'), await taken(rig, 'second')]).toEqual(['yyy', 'yyy'])
    expect(await rig.untilOk()).toMatchObject({ primary, epoch, bothPasswords: { redis: [], sentinels: hosts } })
    expect(await readFile(rig.file('red-b', 'own.password'), 'utf8')).toBe('second\n')
    expect((await change(rig, '--new-file', join(rig.base, 'third'))).stderr).toMatch(/HF801.*another password is under way/)
    expect((await writer.stats()).errors, 'clients of the address have not noticed').toBe(0)

    await killSentinel(rig, 'red-b', 'second')
    await untilWhole(rig, 'first')
    expect([await taken(rig, 'first'), await taken(rig, 'second')], 'its file has both').toEqual(['yyy', 'yyy'])
    const crashMs = Date.now()
    await rig.incident(writer, 'redis is killed in between', { outageMs: goesOnWithinMs }, () => rig.lab.kill(primary, 'redis'))
    await old.writes(crashMs + 200, 100)
    expect(old.gap(crashMs).ms, 'a client with the old one asks the Sentinels again').toBeLessThanOrEqual(goesOnWithinMs)

    const between = await rig.untilOk()
    expect((await change(rig, '--finish')).stderr, 'the file of the client still holds the old one').toMatch(/HF801 this is the old one on red-a, red-b, red-c/)
    const finished = await change(rig, '--finish', '--new-file', second)
    expect([finished.code, finished.stderr]).toEqual([0, ''])
    expect([await taken(rig, 'first'), await taken(rig, 'second')]).toEqual(['nnn', 'yyy'])
    const finishedMs = Date.now()
    await old.writes(finishedMs, 100)
    expect(await rig.untilOk()).toMatchObject({ primary: between.primary, epoch: between.epoch, bothPasswords: { redis: [], sentinels: [] } })
    old.end()
    await killSentinel(rig, 'red-c', 'second')
    await untilWhole(rig, 'second')
    expect([await taken(rig, 'first'), await taken(rig, 'second')], 'its file has the new one').toEqual(['nnn', 'yyy'])

    const next = application(rig, 'next', 'second')
    await next.writes(0, 50)
    const againMs = Date.now()
    await rig.incident(writer, 'redis is killed afterwards', { outageMs: goesOnWithinMs }, () => rig.lab.kill(between.primary, 'redis'))
    await next.writes(againMs + 200, 100)
    expect(next.gap(againMs).ms).toBeLessThanOrEqual(goesOnWithinMs)
    next.end()
    const last = await rig.untilOk()
    for (const one of applications) expect(await one.gone(rig, last.primary), `acknowledged to ${one.name} and gone`).toBe(0)
    await rig.finishWithin(writer, goesOnWithinMs)
    expect(await foundDown(rig, sentinels)).toEqual([])
    await rig.expectNoBrokenRule()
  })

  test('an agent that is killed between any two steps comes back with what it remembers; the old password can be gone back to', async () => {
    const rig = theRig()
    const { primary, epoch } = await rig.untilOk()
    const writer = await rig.writer()
    const third = join(rig.base, 'third')
    await killAgentDuring(rig, primary, () => change(rig, '--new-file', third))
    const again = await change(rig, '--new-file', third)
    expect([again.code, again.stderr]).toEqual([0, ''])
    expect([await taken(rig, 'second'), await taken(rig, 'third')]).toEqual(['yyy', 'yyy'])
    for (const finish of [[], ['--finish']]) {
      const back = await change(rig, '--new-file', join(rig.base, 'second'), ...finish)
      expect([back.code, back.stderr]).toEqual([0, ''])
    }
    expect([await taken(rig, 'second'), await taken(rig, 'third')]).toEqual(['yyy', 'nnn'])
    expect(await rig.untilOk()).toMatchObject({ primary, epoch })
    await untilWhole(rig, 'second')
    const report = await rig.finish(writer)
    expect([report.lost, report.errorKinds]).toEqual([0, []])
    expect(await foundDown(rig, sentinels)).toEqual([])
    await rig.expectNoBrokenRule()
  })

  test('a host that is down keeps the command from going on unless it is named, and catches up when it is back', async () => {
    const rig = theRig()
    const { primary } = await rig.untilOk()
    const writer = await rig.writer()
    const away = hosts.find((h) => h !== primary) ?? 'red-a'
    const third = join(rig.base, 'third')
    await rig.lab.power(away, 'off')
    expect((await change(rig, '--new-file', third)).stderr).toMatch(new RegExp(`HF801.*${away} cannot be told`))
    for (const finish of [[], ['--finish']]) {
      const done = await change(rig, '--new-file', third, '--without', away, ...finish)
      expect([done.code, done.stderr]).toEqual([0, ''])
    }
    await rig.lab.power(away, 'on')
    await rig.startAgent(away)
    await rig.until('its redis follows, and its Sentinel is told to have another password', 'sessions', (s) =>
      (s.sentinels ?? []).some((one) => one.host === away && !one.ok && /password/.test(one.why)),
    )
    for (const finish of [[], ['--finish']]) {
      const done = await change(rig, '--new-file', third, ...finish)
      expect([done.code, done.stderr]).toEqual([0, ''])
    }
    await rig.untilOk()
    await untilWhole(rig, 'third')
    expect([await taken(rig, 'second'), await taken(rig, 'third')]).toEqual(['nnn', 'yyy'])
    const report = await rig.finish(writer)
    expect([report.lost, report.errorKinds]).toEqual([0, []])
    await rig.expectNoBrokenRule()
  })
})

describe.skipIf(problems.length > 0)('Sentinels without a password are given one', { timeout: 180_000 }, () => {
  const theRig = rigFor('hf-wd-sg', threeWithSentinels(), { files: { first: 'first\n', second: 'second\n' } })
  const applications: Application[] = []
  afterAll(() => {
    for (const one of applications) one.end()
  })

  test('they come to each other with it first, and ask for it in the end; nobody is shut out who has it by then', async () => {
    const rig = theRig()
    const { primary, epoch } = await rig.untilOk('sessions', 25_000)
    const writer = await rig.writer()
    const one = new Application(rig, 'given', [process.execPath, clientScript('with-ioredis.mjs')], { SENTINEL_PASSWORD: 'first' })
    applications.push(one)
    await one.writes(0, 50)
    for (const node of [...hosts, 'client']) await writeFile(rig.file(node, 'own.password'), 'first\n', { mode: 0o600 })
    const file = rig.file('client', 'holdfast.yaml')
    await writeFile(file, (await readFile(file, 'utf8')).replace(/^( +)mode: sentinel$/m, '$1mode: sentinel\n$1sentinel: { password_file: own.password }'))
    const beganMs = Date.now()
    expect((await rig.cli('apply', '--dry-run')).stdout).toMatch(/it is asked for only after `holdfast password sessions --of sentinels --finish`/)
    const applied = await rig.lab.cli(['apply', '--yes'], { deadlineMs: 90_000 })
    expect([applied.code, applied.stderr], applied.stdout).toEqual([0, ''])
    for (const host of hosts) expect(await rig.sentinel(host, 'PING'), 'anybody is let in').toBe('PONG')
    const change = (...args: string[]) => rig.lab.cli(['password', 'sessions', '--of', 'sentinels', ...args, '--yes'], { deadlineMs: 90_000 })
    expect((await change('--new-file', join(rig.base, 'second'))).stderr).toMatch(/HF801 anybody is let in on red-a, red-b, red-c/)
    await killSentinel(rig, 'red-b', 'first')
    await untilWhole(rig, 'first')

    const finished = await change('--finish')
    expect([finished.code, finished.stderr]).toEqual([0, ''])
    expect(await taken(rig, 'first')).toBe('yyy')
    for (const host of hosts) expect(await rig.sentinel(host, 'PING')).toMatch(/NOAUTH/)
    await killSentinel(rig, 'red-c', 'first')
    await untilWhole(rig, 'first')
    for (const host of hosts) expect(await rig.sentinel(host, 'PING'), 'its file has it').toMatch(/NOAUTH/)
    expect(await rig.untilOk()).toMatchObject({ primary, epoch })
    expect((await writer.stats()).errors).toBe(0)
    const crashMs = Date.now()
    await rig.incident(writer, 'redis is killed', { outageMs: goesOnWithinMs }, () => rig.lab.kill(primary, 'redis'))
    await one.writes(crashMs + 200, 100)
    expect(one.gap(beganMs).ms, 'a client that had it from the beginning').toBeLessThanOrEqual(goesOnWithinMs)
    one.end()
    expect(await one.gone(rig, (await rig.untilOk()).primary)).toBe(0)
    await rig.finishWithin(writer, goesOnWithinMs)
    expect(await foundDown(rig, sentinels)).toEqual([])
    await rig.expectNoBrokenRule()
  })
})
