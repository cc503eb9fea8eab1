/**
 * A redis of 6.0 is moved to a group that it could not follow, and is fed until there is a way back: with every kind of write, while agents, feeds, redises and
 * connections end; then back, with all of it, and once more for good.
 */
import { readdir, readFile, readlink, writeFile } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { describe, expect, test } from 'vitest'
import { commands } from '../contract/feed-commands.ts'
import { servers } from '../contract/servers.ts'
import { OldRedis } from './moving.ts'
import { problems, rigFor, twoHosts, vip, type Rig } from './rig.ts'

const server6 = servers.find(({ version }) => version.startsWith('6.0.'))

describe.skipIf(problems.length > 0 || server6 === undefined)('a source that is older than the group', { timeout: 120_000 }, () => {
  const theRig = rigFor('feedm', twoHosts(['migration: { awaits: true, hook: ./hook }']))
  const otherOf = (host: string): string => (host === 'red-a' ? 'red-b' : 'red-a')

  async function ready(rig: Rig, verb: 'cutover' | 'rollback', ...words: readonly string[]): Promise<void> {
    await expect.poll(async () => (await rig.cli('migrate', verb, 'sessions', '--dry-run', ...words)).stderr, { timeout: 20_000, interval: 200 }).toBe('')
  }

  /** In the order in which clients would say them; nobody waits for what is not there. */
  async function sayAll(rig: Rig, round: number): Promise<void> {
    const file = join(rig.base, `commands-${round}`)
    const lines = commands.filter(([name]) => !/^(SELECT|SWAPDB|FLUSHDB|B[LRZ].*)$/.test(name ?? ''))
    await writeFile(file, `${lines.map((words) => words.join(' ')).join('\n')}\nSET end:${round} x EX ${5000 + round}\n`)
    await rig.lab.exec('client', ['sh', '-c', `redis-cli -h ${vip} < ${file}`])
  }

  const behind = async (old: OldRedis): Promise<string> => {
    const { source } = await old.shown()
    const { feed, facts } = source ?? {}
    return feed === undefined
      ? 'no feed'
      : `${feed.trouble} ${feed.point === null || facts == null ? 'nothing' : feed.point.fed - facts.offset} ${feed.point?.untold.count}`
  }
  const fed = (old: OldRedis) => expect.poll(() => behind(old), { timeout: 20_000, interval: 200 }).toBe('null 0 0')

  test('it is fed with every kind of write, whatever ends meanwhile, and goes back with all of it', async () => {
    const rig = theRig()
    const old = new OldRedis(rig)
    await old.start({ program: server6?.redisServer ?? '' })
    await old.ask('MSET', 'before', '1', 'kept', '2')
    expect((await rig.cli('migrate', 'plan', old.url, 'sessions', '--seconds', '0.3')).stdout).toContain('the old primary is fed until the move is committed')
    await old.startMove('--accept', 'P4')
    await ready(rig, 'cutover', '--unverified')
    const writer = await rig.writer({ intervalMs: 10 })
    await old.ok('cutover', 'sessions', '--unverified')
    await rig.untilOk()
    await fed(old)
    await sayAll(rig, 1)
    const first = (await old.shown()).holder
    const pids = await feedPids()
    expect(pids).toHaveLength(1)
    for (const pid of pids) process.kill(pid, 'SIGKILL')
    await sayAll(rig, 2)
    await fed(old)
    await rig.killAgent(first)
    await sayAll(rig, 3)
    expect(await feedPids()).toEqual([])
    await rig.startAgent(first)
    await fed(old)
    await old.ask('CLIENT', 'KILL', 'TYPE', 'master')
    await sayAll(rig, 4)
    await fed(old)
    await rig.lab.kill(first, 'redis')
    await rig.until('another serves', 'sessions', (s) => s.health === 'ok' && s.primary === otherOf(first))
    await sayAll(rig, 5)
    await fed(old)
    expect((await rig.cli('migrate', 'status', 'sessions')).stdout).toMatch(/the source is fed, \d+ bytes behind: holdfast migrate rollback loses nothing/)
    await writer.mark('the way back')
    await ready(rig, 'rollback')
    await old.ok('rollback', 'sessions')
    expect(await old.writers()).toEqual(['old'])
    expect((await old.shown()).move.heldMs).toBeLessThan(1000)
    const ends = await Promise.all([1, 2, 3, 4, 5].map(async (round) => Number(await old.ask('PTTL', `end:${round}`))))
    for (const [index, end] of ends.entries()) expect(5_001_000 + index * 1000 - end, `end:${index + 1}`).toBeLessThan(120_000)
    expect(ends.every((end) => end > 0)).toBe(true)
    await ready(rig, 'cutover', '--unverified')
    const verified = await rig.cli('migrate', 'verify', old.url, 'sessions', '--pace', 'full')
    expect([verified.code, verified.stderr], verified.stdout).toEqual([0, expect.anything()])
    const report = await rig.finish(writer)
    expect(report.lost, JSON.stringify(report.marks)).toBe(0)
    expect(await feedPids()).toEqual([])
    await rig.expectNoBrokenRule()
  })

  test('what could not be told to it is named, and is given up only by somebody who says so; commit ends the feed', async () => {
    const rig = theRig()
    const old = new OldRedis(rig)
    await ready(rig, 'cutover', '--unverified')
    await old.ok('cutover', 'sessions', '--unverified')
    const { primary } = await rig.untilOk()
    await fed(old)
    await rig.redis(primary, 'SET', 'kept', 'changed')
    await fed(old)
    const verified = await rig.cli('migrate', 'verify', old.url, 'sessions', '--pace', 'full')
    expect([verified.code, verified.stderr], verified.stdout).toEqual([0, expect.anything()])
    await rig.redis(primary, 'FUNCTION', 'LOAD', "#!lua name=lib\nredis.register_function('f', function() return 1 end)")
    await rig.redis(primary, 'SET', 'since', '1', 'EX', '1000')
    await expect.poll(() => behind(old), { timeout: 10_000 }).toBe('null 0 1')
    expect((await rig.cli('migrate', 'status', 'sessions')).stdout).toContain('loses 1 writes that could not be told to it: FUNCTION LOAD: a function (7.0)')
    const refused = await rig.cli('migrate', 'rollback', 'sessions')
    expect([refused.code, refused.stderr]).toEqual([1, expect.stringMatching(/1 writes could not be told to the old redis.*FUNCTION LOAD.*--accept-loss/)])
    await old.ok('rollback', 'sessions', '--accept-loss')
    expect([await old.writers(), await old.ask('GET', 'since')]).toEqual([['old'], '1'])
    await ready(rig, 'cutover', '--unverified')
    await old.ok('cutover', 'sessions', '--unverified')
    await rig.untilOk()
    await fed(old)
    await old.ok('commit', 'sessions')
    await expect.poll(() => feedPids(), { timeout: 5000 }).toEqual([])
    expect(await readFile(join(rig.base, 'old.conf'), 'utf8'), 'nothing to come back to').toMatch(/^replicaof 127\.0\.0\.1 1$/m)
    expect(await old.isWritable()).toBe(false)
    await rig.expectNoBrokenRule()
    await old.stop()
  })
})

/** Of the bundle that is tested here, and of nobody else's. */
async function feedPids(): Promise<readonly number[]> {
  const program = resolve('dist/feed.js')
  const all = (await readdir('/proc')).filter((name) => /^\d+$/.test(name))
  const found = await Promise.all(
    all.map(async (pid) => {
      const words = (await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')).split('\0')
      const exe = await readlink(`/proc/${pid}/exe`).catch(() => '')
      return words.includes(program) && exe === process.execPath ? [Number(pid)] : []
    }),
  )
  return found.flat()
}
