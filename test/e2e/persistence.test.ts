/**
 * `persistence: replicas-aof`: what is written to disk follows the role through a switchover, a failover and a rejoin, without a restart and in nobody's way; and
 * after a power cut of all hosts there is what `explain` promised.
 */
import { existsSync } from 'node:fs'
import { readFile, writeFile } from 'node:fs/promises'
import { describe, expect, test } from 'vitest'
import type { Explanation } from '../../src/decide/explain.ts'
import type { DoctorFinding } from '../../src/model/doctor.ts'
import type { Rig } from './rig.ts'
import { entry, poll, problems, rigFor, twoHosts } from './rig.ts'

/** Writes come once a millisecond: of two seconds of them and what was under way. */
const promisedLost = 2200

describe.skipIf(problems.length > 0)('an AOF on replicas only', { timeout: 90_000 }, () => {
  const theRig = rigFor('persist', twoHosts())

  test('applied to a group that serves: set in each redis, none is restarted, no client notices', async () => {
    const rig = theRig()
    const { primary } = await rig.untilOk()
    const before = await Promise.all(['red-a', 'red-b'].map((host) => runId(rig, host)))
    const file = rig.file('client', 'holdfast.yaml')
    const text = await readFile(file, 'utf8')
    await writeFile(file, text.replace(/^( +)(vip: .*)$/m, '$1$2\n$1persistence: replicas-aof'))
    const writer = await rig.writer()
    await rig.incident(writer, 'apply', { outageMs: 500, mayBeUnfelt: true }, async () => {
      const applied = await rig.cli('apply', '--yes')
      expect(applied.stdout).toMatch(/persistence none → .*without a restart/s)
    })
    await untilByRole(rig, primary)
    expect(await Promise.all(['red-a', 'red-b'].map((host) => runId(rig, host)))).toEqual(before)
    const { errorKinds } = await rig.finishWithin(writer, 500)
    expect(errorKinds).toEqual([])
  })

  test('it follows the roles; a power cut of all costs no more than explain said', async () => {
    const rig = theRig()
    const { primary: first } = await rig.untilOk()
    await untilByRole(rig, first)
    const second = other(first)
    const { allHosts } = await promised(rig, first)
    expect(allHosts).toMatch(
      new RegExp(`^up to 2 s of writes, and what had not reached it: ${second} is \\d+ bytes behind now: the disk of ${second} would serve \\(AOF`),
    )

    const writer = await rig.writer()
    await rig.incident(writer, 'switchover', { outageMs: 1000, mayBeUnfelt: true }, async () => {
      expect(await rig.cli('switchover', 'sessions')).toMatchObject({ code: 0 })
    })
    await untilByRole(rig, second)
    const pids = await Promise.all([first, second].map((host) => runId(rig, host)))

    await rig.incident(writer, 'crash', { outageMs: 1000 }, () => rig.lab.kill(second, 'redis'))
    await untilByRole(rig, first)
    expect(await runId(rig, first), 'no restart for it').toBe(pids[0])
    await rig.finishWithin(writer, 1000)

    const more = await rig.writer()
    await more.mark('power cut')
    await Promise.all([first, second].map((host) => rig.lab.power(host, 'off')))
    await Promise.all([first, second].map((host) => rig.lab.power(host, 'on')))
    const after = await rig.untilOk('sessions', 25_000)
    expect(after.primary, 'the one whose disk has the data').toBe(second)
    expect(await more.steady({ acks: 200, withinMs: 10_000 })).toBe(true)
    const report = await rig.finish(more)
    expect(report.lost).toBeLessThanOrEqual(promisedLost)
    await untilByRole(rig, second)
    await rig.expectNoBrokenRule()
  })

  test('doctor, on a host of the group: knows which one it is, asks redis and its agent, and finds it as its role is to be', async () => {
    const rig = theRig()
    const { primary } = await rig.untilOk()
    await untilByRole(rig, primary)
    for (const host of ['red-a', 'red-b']) {
      const asked = await rig.lab.exec(host, [...entry, '--config', rig.file(host, 'holdfast.yaml'), 'doctor', 'sessions', '--probe-disk', '--json'], {
        deadlineMs: 20_000,
      })
      const told = JSON.parse(asked.stdout) as { host: string; findings: readonly DoctorFinding[] }
      expect(told.host).toBe(host)
      const of = (check: string) => told.findings.find((f) => f.check === check)
      expect(of('persistence')).toMatchObject({
        level: 'green',
        measured: host === primary ? 'as primary it has nothing on its disk' : 'as replica it has an AOF (everysec)',
      })
      expect(of('backlog')?.measured, 'the agent was asked').toMatch(/written now, .* at the most/)
      expect(of('disk speed')?.level).not.toBe('unseen')
      expect(asked.code).toBe(told.findings.some((f) => f.level === 'red') ? 1 : 0)
    }
  })

  test('the last one that is left keeps its AOF, although it is primary: it is the only disk of the group', async () => {
    const rig = theRig()
    const { primary } = await rig.untilOk()
    const survivor = other(primary)
    const writer = await rig.writer()
    await rig.lab.power(primary, 'off')
    expect(await rig.until('it serves alone', 'sessions', (s) => s.primary === survivor)).toMatchObject({ health: 'degraded' })
    expect(await writer.steady({ acks: 500, withinMs: 10_000 })).toBe(true)
    expect((await rig.cli('explain', 'sessions', '--host', survivor)).stdout).toMatch(
      /persistence: as primary it is to have nothing on its disk and has an AOF \(everysec\): it keeps that until another member has/,
    )
    await rig.lab.power(survivor, 'off')
    await Promise.all([primary, survivor].map((host) => rig.lab.power(host, 'on')))
    expect(await rig.untilOk('sessions', 25_000)).toMatchObject({ primary: survivor })
    const report = await rig.finish(writer)
    expect(report.lost).toBeLessThanOrEqual(promisedLost)
    await untilByRole(rig, survivor)
    await rig.expectNoBrokenRule()
  })
})

function other(host: string): string {
  return host === 'red-a' ? 'red-b' : 'red-a'
}

/** The primary has none and the replica has one that is whole; and the file of the next start says yes only where there is an AOF. */
async function untilByRole(rig: Rig, primary: string): Promise<void> {
  const look = async (host: string) => {
    const info = await rig.redis(host, 'INFO', 'persistence')
    const conf = await readFile(rig.file(host, 'run', 'sessions', 'redis.conf'), 'utf8')
    return {
      enabled: /aof_enabled:1/.test(info),
      rewritten: /aof_rewrite_in_progress:0/.test(info) && /aof_rewrite_scheduled:0/.test(info),
      file: conf.split('\n').findLast((line) => line.startsWith('appendonly ')) ?? '',
      isThere: existsSync(rig.file(host, 'state', 'sessions', 'data', 'appendonlydir')),
    }
  }
  let seen: unknown = null
  const found = await poll(
    async () => {
      const [is, was] = [await look(primary), await look(other(primary))]
      seen = { primary, is, was }
      expect(is.file === 'appendonly yes' && !is.isThere, `never over nothing: ${JSON.stringify(is)}`).toBe(false)
      return !is.enabled && is.file === 'appendonly no' && !is.isThere && was.enabled && was.rewritten && was.file === 'appendonly yes' ? true : undefined
    },
    { withinMs: 10_000, everyMs: 100 },
  )
  expect(found, JSON.stringify(seen)).toBe(true)
}

async function promised(rig: Rig, primary: string): Promise<NonNullable<Explanation['loss']>> {
  const { views } = JSON.parse((await rig.cli('explain', 'sessions', '--json')).stdout) as { views: readonly Explanation[] }
  const loss = views.find((v) => v.asSeenBy === primary)?.loss
  if (loss === undefined) throw new Error('it explains no loss')
  return loss
}

async function runId(rig: Rig, host: string): Promise<string> {
  return /run_id:(\w+)/.exec(await rig.redis(host, 'INFO', 'server'))?.[1] ?? ''
}
