/**
 * Backups by the agents of a pair: from the replica, by the schedule and when asked for, while hosts, agents and primaries are lost. What has
 * no manifest is no backup, and a failover does not wait for one.
 */
import { existsSync, mkdirSync, readdirSync, readFileSync, readlinkSync, renameSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { BackupStatus } from '../../src/cli/backup-status.ts'
import type { Manifest } from '../../src/backup/manifest.ts'
import type { Rig } from './rig.ts'
import { poll, problems, rigFor, twoHosts } from './rig.ts'

/** Of both hosts, as a disk of a third machine would be. */
const shared = join(tmpdir(), `hf-e2e-backups-${process.pid}`)
const keys = 4000
/** It sends its data as it saves them, and in µs for each key waits so long: some 10 s for what else takes some ms. */
const slow = ['CONFIG', 'SET', 'repl-diskless-sync', 'yes', 'rdb-key-save-delay', '2500'] as const
const quick = ['CONFIG', 'SET', 'repl-diskless-sync', 'no', 'rdb-key-save-delay', '0'] as const

function manifests(): readonly Manifest[] {
  const dir = join(shared, 'sessions')
  const ids = existsSync(dir) ? readdirSync(dir) : []
  const files = ids.map((id) => join(dir, id, 'manifest.json')).filter(existsSync)
  return files.map((file) => JSON.parse(readFileSync(file, 'utf8')) as Manifest)
}

function parts(): readonly string[] {
  return readdirSync(shared, { recursive: true })
    .map(String)
    .filter((name) => name.endsWith('.part'))
}

/** The processes that make backups on a host: all hosts of a lab see all processes, and each has a network of its own. */
async function workers(rig: Rig, host: string): Promise<readonly number[]> {
  const net = (await rig.lab.exec(host, ['readlink', '/proc/self/ns/net'])).stdout.trim()
  return readdirSync('/proc')
    .map(Number)
    .filter((pid) => {
      try {
        return (
          pid > 0 &&
          readlinkSync(`/proc/${pid}/ns/net`) === net &&
          readFileSync(`/proc/${pid}/cmdline`, 'utf8')
            .split('\0')
            .some((arg) => arg.endsWith('/backup.js'))
        )
      } catch {
        return false // it ended while we looked
      }
    })
}

async function forks(rig: Rig, host: string): Promise<number> {
  return Number(/total_forks:(\d+)/.exec(await rig.redis(host, 'INFO', 'stats'))?.[1])
}

async function until<T>(what: string, look: () => T | undefined | Promise<T | undefined>, withinMs = 20_000): Promise<T> {
  const found = await poll(async () => look(), { withinMs, everyMs: 50 })
  if (found === undefined) throw new Error(`not within ${withinMs} ms: ${what}`)
  return found
}

/** None is being made or tested. */
async function idle(rig: Rig): Promise<BackupStatus> {
  return until('no backup is under way', async () => {
    const { backup } = (await rig.status()) ?? {}
    return backup != null && backup.newest !== null && backup.running === null ? backup : undefined
  })
}

const otherOf = (host: string): string => (host === 'red-a' ? 'red-b' : 'red-a')

describe.skipIf(problems.length > 0)('backups of a pair', { timeout: 90_000 }, () => {
  beforeAll(() => mkdirSync(shared))
  afterAll(() => rmSync(shared, { recursive: true, force: true }))
  // By the schedule there is to be one a year: what is made in between is asked for, or made up for.
  const theRig = rigFor('backup', twoHosts([`backup: { directory: ${shared}, schedule: "0 0 1 1 *" }`]))

  test('one is due, and comes from the replica: the primary forks for none', async () => {
    const rig = theRig()
    const { primary } = await rig.untilOk()
    const before = await forks(rig, primary)
    await rig.redis(primary, 'EVAL', `for i = 1, ${keys} do redis.call('SET', 'k:' .. i, string.rep(i, 50)) end`, '0')
    const [first] = await until('the first backup', () => (manifests().length > 0 ? manifests() : undefined))
    expect(first?.source).toMatchObject({ host: otherOf(primary), role: 'replica' })
    expect(first?.reason).toBe('schedule')
    await idle(rig)
    const taken = await rig.cli('backup', 'take', 'sessions', '--reason', 'before the new release')
    expect(taken.stderr + taken.stdout).toContain(`from ${otherOf(primary)}`)
    expect(taken.code).toBe(0)
    expect(await forks(rig, primary), 'forks of the primary').toBe(before)
    const { newest, alarms } = await idle(rig)
    expect(newest).toMatchObject({ state: 'good', source: { host: otherOf(primary) } })
    expect(alarms).toEqual([])
    expect((await rig.cli('status', 'sessions')).stdout).toMatch(/backup: last good \d+ s ago \(\d+(\.\d)? m?s to restore\), next at \d{4}-01-01 00:00 UTC/)
    expect((await rig.cli('history', 'sessions', '--events')).stdout).toContain('backup-taken')
  })

  test('two at once are two', async () => {
    const rig = theRig()
    await rig.untilOk()
    await idle(rig)
    const before = manifests().length
    const both = await Promise.all(['red-a', 'red-b'].map((host) => rig.cli('backup', 'take', 'sessions', '--from', host, '--json')))
    expect(both.map(({ code }) => code)).toEqual([0, 0])
    expect(manifests()).toHaveLength(before + 2)
  })

  test('a store that is not mounted is told in words, and nothing is put where it should be', async () => {
    const rig = theRig()
    renameSync(shared, `${shared}-away`)
    const taken = await rig.cli('backup', 'take', 'sessions')
    expect(existsSync(shared)).toBe(false)
    renameSync(`${shared}-away`, shared)
    expect(taken.code).toBe(1)
    expect(taken.stderr).toMatch(/HF805.*is not there \(a disk that is not mounted\?\)/)
    expect((await rig.status())?.backup?.alarms).toMatchObject([{ text: expect.stringContaining('the last attempt'), grave: false }])
  })

  test('an agent that is killed takes its backup with it', async () => {
    const rig = theRig()
    const { primary } = await rig.untilOk()
    await idle(rig)
    const replica = otherOf(primary)
    const before = manifests().length
    await rig.redis(replica, ...slow)
    const asked = await rig.cli('backup', 'take', 'sessions', '--detach')
    expect(asked.code, asked.stderr).toBe(0)
    await until('it is under way', () => (parts().length > 0 ? true : undefined))
    expect(await workers(rig, replica)).toHaveLength(1)
    await rig.killAgent(replica)
    await until('nothing is left of it', async () => ((await workers(rig, replica)).length === 0 && parts().length === 0 ? true : undefined))
    expect(manifests()).toHaveLength(before)
    await rig.redis(replica, ...quick)
    await rig.lab.start(replica, 'agent')
    await rig.untilOk()
  })

  test('a failover calls it off, and does not wait for it', async () => {
    const rig = theRig()
    const { primary } = await rig.untilOk()
    await idle(rig)
    const replica = otherOf(primary)
    const before = manifests().length
    await rig.redis(replica, ...slow)
    const writer = await rig.writer()
    const taking = rig.cli('backup', 'take', 'sessions')
    await until('it is under way', () => (parts().length > 0 ? true : undefined))
    await rig.incident(writer, 'the primary is killed while its replica is backed up', { outageMs: 1000 }, () => rig.lab.kill(primary, 'redis'))
    const taken = await taking
    expect(taken.code).toBe(1)
    expect(taken.stderr).toContain('HF805')
    expect(taken.stderr).toContain('it was called off')
    expect(manifests()).toHaveLength(before)
    await rig.redis(replica, ...quick)
    await rig.finishWithin(writer, 1000)
    await rig.expectNoBrokenRule()
  })

  test('the host of the replica loses its power half-way: the primary makes it, and says why', async () => {
    const rig = theRig()
    const { primary } = await rig.untilOk()
    await idle(rig)
    const replica = otherOf(primary)
    await rig.redis(replica, ...slow)
    const begun = await rig.cli('backup', 'take', 'sessions', '--detach')
    expect(begun.code, begun.stderr).toBe(0)
    await until('the replica is at it', () => (parts().length > 0 ? true : undefined))
    // Not before: an agent that finds none is due to take one makes it itself, and has no hand free for whoever asks.
    for (const { id } of manifests()) rmSync(join(shared, 'sessions', id), { recursive: true })
    await rig.lab.power(replica, 'off')
    const [made] = await until('the primary has made it', () => (manifests().length > 0 ? manifests() : undefined), 40_000)
    expect(made?.source).toMatchObject({ host: primary, role: 'primary' })
    expect(made?.source.why).toMatch(new RegExp(`the primary itself, for no replica is fit: ${replica}: its agent is not heard`))
    await rig.expectNoBrokenRule()
  })
})
