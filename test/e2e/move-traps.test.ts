/**
 * What goes wrong during a move, one after the other in one lab: words that mean nothing, doors, limits, a source that comes back empty, processes that
 * die, a hook that is not there, fails or hangs, a source that somebody starts again, an old redis that cannot read the new one.
 */
import { readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { servers } from '../contract/servers.ts'
import { OldRedis } from './moving.ts'
import { entry, poll, problems, rigFor, twoHosts, type Rig } from './rig.ts'

const password = 'of-old'
const own = [
  'requirepass of-old',
  'user mover on >of-mover ~* &* +@all',
  'repl-timeout 7',
  'repl-backlog-size 32768',
  'repl-diskless-sync-delay 3',
  'client-output-buffer-limit replica 32mb 8mb 30',
  'min-replicas-max-lag 7',
]
const limitNames = ['repl-timeout', 'repl-backlog-size', 'repl-diskless-sync-delay', 'repl-backlog-ttl', 'client-output-buffer-limit', 'min-replicas-to-write']
const server6 = servers.find(({ version }) => version.startsWith('6.0.'))

describe.skipIf(problems.length > 0)('a move, and what goes wrong', { timeout: 60_000 }, () => {
  let before = ''
  const theRig = rigFor('mtrap', twoHosts(['migration: { awaits: true, hook: ./hook }']), {
    files: { 'old.password': `${password}\n`, 'mover.password': 'of-mover\n', 'wrong.password': 'wrong\n' },
  })
  const oldOf = (rig: Rig): OldRedis => new OldRedis(rig, ['-a', password, '--no-auth-warning'])
  const withFile = (rig: Rig, file = 'old'): readonly string[] => ['--source-password-file', join(rig.base, `${file}.password`)]
  const limits = async (old: OldRedis): Promise<string> => (await Promise.all(limitNames.map((name) => old.ask('CONFIG', 'GET', name)))).join('\n')
  const otherOf = (host: string): string => (host === 'red-a' ? 'red-b' : 'red-a')
  const events = async (rig: Rig): Promise<string> => (await rig.cli('history', 'sessions', '--events')).stdout
  const untilEvent = (rig: Rig, words: RegExp, timeout = 15_000) => expect.poll(() => events(rig), { timeout, interval: 300 }).toMatch(words)

  async function refused(rig: Rig, words: RegExp, ...argv: readonly string[]): Promise<void> {
    const result = await rig.cli('migrate', ...argv)
    expect([result.code === 0, result.stderr], argv.join(' ')).toEqual([false, expect.stringMatching(words)])
    expect(result.stderr, 'a hint').toMatch(/→|error:/)
  }

  async function ready(rig: Rig, verb: 'cutover' | 'rollback'): Promise<void> {
    const words = verb === 'cutover' ? ['--unverified'] : []
    await expect.poll(async () => (await rig.cli('migrate', verb, 'sessions', '--dry-run', ...words)).stderr, { timeout: 15_000, interval: 200 }).toBe('')
  }

  test('before there is a move: every command says so, and what is no time, no source, no door is told', async () => {
    const rig = theRig()
    const old = oldOf(rig)
    await old.start({ lines: own })
    await old.ask('SET', 'a', '1')
    await Promise.all([
      ...['status', 'cutover', 'rollback', 'commit', 'abort'].map((verb) => refused(rig, /^HF905 /, verb, 'sessions')),
      refused(rig, /^HF905 /, 'arm', 'sessions', '--off'),
      refused(rig, /^HF904 .*until a time, or until a file/, 'arm', 'sessions'),
      refused(rig, /a time with its zone/, 'arm', 'sessions', '--at', '5'),
      refused(rig, /^HF904 .*over already/, 'arm', 'sessions', '--at', '2020-01-01T00:00:00Z'),
      refused(rig, /a duration/, 'arm', 'sessions', '--on-file', '--within', '99999999999h'),
      refused(rig, /^HF104 /, 'status', 'nobody'),
    ])
    await refused(rig, /^HF902 /, ...old.startWords())
    await refused(rig, /^HF90[12] /, ...old.startWords(...withFile(rig, 'wrong')))
    expect(await old.ask('INFO', 'replication')).toContain('connected_slaves:0')
  })

  test('Ctrl-C ends the looking; a user of an ACL; limits raised, and put back by abort; begun again', async () => {
    const rig = theRig()
    const old = oldOf(rig)
    before = await limits(old)
    const url = old.url.replace('//', '//mover@')
    const words = ['start', url, ...old.startWords(...withFile(rig, 'mover')).slice(2)]
    const command = [...entry, '--config', rig.file('client', 'holdfast.yaml'), 'migrate', ...words].join(' ')
    const out = join(rig.base, 'start.out')
    const untilBegun = `${command} > ${out} 2>&1 & pid=$!; until grep -q 'is being moved to' ${out}; do kill -0 $pid || exit 1; sleep 0.02; done; kill -INT $pid; wait $pid`
    const left = await rig.lab.exec('client', ['sh', '-c', untilBegun])
    expect([left.code, await readFile(out, 'utf8')]).toEqual([
      130,
      expect.stringContaining('it goes on without this command: holdfast migrate status sessions'),
    ])
    await old.untilStage(['IN_SYNC'])
    expect(await limits(old), 'raised').not.toBe(before)
    const status = await rig.cli('status', 'sessions')
    expect(status.stdout).toMatch(/it does not serve: \S+ is being moved here/)
    await old.ok('abort', 'sessions')
    await expect.poll(() => limits(old), { timeout: 5000 }).toBe(before)
    expect(await old.writers()).toEqual(['old'])
    expect((await old.shown()).stage).toBe('ABORTED')
    expect((await rig.cli('migrate', 'status', 'sessions')).stdout).toContain('none is needed: the source serves')
    await expect.poll(async () => old.ask('INFO', 'replication'), { timeout: 5000 }).toContain('connected_slaves:0')
    await old.startMove(...withFile(rig))
    expect((await old.shown()).stage).toBe('IN_SYNC')
    expect(await old.startMove(...withFile(rig)), 'asked twice').toMatch(/is being moved here already[^]*holdfast migrate verify redis:\/\/\S+ sessions/)
  })

  test('not without proof, a member, or the source; postponed, over, called off; by a file that is there now, not one that was; the hook is missing', async () => {
    const rig = theRig()
    const old = oldOf(rig)
    const { holder } = await old.shown()
    const other = otherOf(holder)
    expect(await limits(old), 'raised').not.toBe(before)
    await refused(rig, /has not been compared[^]*see: holdfast migrate status sessions/, 'cutover', 'sessions')
    await refused(rig, /has not been compared/, 'arm', 'sessions', '--on-file')
    await rig.lab.kill(other, 'redis', { signal: 'SIGSTOP' })
    await expect
      .poll(async () => (await rig.cli('migrate', 'cutover', 'sessions', '--unverified', '--dry-run')).stderr, { timeout: 8000 })
      .toMatch(new RegExp(`the redis of ${other} does not answer`))
    await old.ok('arm', 'sessions', '--at', new Date(Date.now() + 1500).toISOString(), '--within', '1s', '--unverified')
    expect(await old.shown()).toMatchObject({ move: { armed: { onFile: false } } })
    await expect.poll(async () => (await old.shown()).move.last, { timeout: 8000 }).toContain('time for the postponed cut-over is over')
    await rig.lab.kill(other, 'redis', { signal: 'SIGCONT' })
    const pid = Number(/process_id:(\d+)/.exec(await old.ask('INFO', 'server'))?.[1])
    await ready(rig, 'cutover')
    process.kill(pid, 'SIGSTOP')
    try {
      await expect.poll(async () => (await rig.cli('migrate', 'cutover', 'sessions', '--unverified', '--dry-run')).stderr, { timeout: 8000 }).toMatch(/^HF303 /)
    } finally {
      process.kill(pid, 'SIGCONT')
    }
    expect(await old.writers()).toEqual(['old'])
    await ready(rig, 'cutover')
    await rm(join(rig.base, 'hook'))
    const told = await old.ok('arm', 'sessions', '--on-file', '--unverified')
    const file = /touch (\S+)/.exec(told)?.[1] ?? ''
    await old.ok('arm', 'sessions', '--off')
    const goAhead = rig.file(holder, 'state', 'sessions', file.split('/').at(-1) ?? '')
    await writeFile(goAhead, '')
    await new Promise((resolve) => setTimeout(resolve, 1200))
    expect((await old.shown()).move.stage, 'nothing is postponed any more').toBe('sync')
    await refused(rig, /the go-ahead file lies on red-. already/, 'arm', 'sessions', '--on-file', '--unverified')
    await rm(goAhead)
    await old.ok('arm', 'sessions', '--on-file', '--unverified')
    await writeFile(goAhead, '')
    await old.untilStage(['MOVED', 'DRAINED'])
    expect(await old.writers()).toEqual([holder])
    await expect.poll(() => limits(old), { timeout: 5000 }).toBe(before)
    await untilEvent(rig, /hook to-group sessions .* has failed: .*ENOENT/)
    expect(await old.ask('INFO', 'replication')).toMatch(/master_port:6379/)
    await rig.untilOk()
    expect(await readFile(join(rig.base, 'old.conf'), 'utf8'), 'a restart does not make it a primary').toMatch(/^replicaof 192\.168\.77\./m)
  })

  test('a failover while it is moved; the way back from the new primary, with a hook that hangs; the old one remembers that it serves', async () => {
    const rig = theRig()
    const old = oldOf(rig)
    const { holder } = await old.shown()
    await rig.lab.exec('client2', ['ip', 'addr', 'del', '192.168.77.9/24', 'dev', 'eth0'])
    await writeFile(join(rig.base, 'hook'), '#!/bin/sh\nsleep 60\n', { mode: 0o755 })
    await rig.redis(holder, 'SET', 'written', 'since')
    await rig.lab.kill(holder, 'redis')
    const { primary } = await rig.until('another serves', 'sessions', (s) => s.health === 'ok' && s.primary !== holder)
    await ready(rig, 'rollback')
    await old.ok('rollback', 'sessions')
    expect(await old.writers()).toEqual(['old'])
    expect([await old.ask('GET', 'written'), (await old.shown()).holder]).toEqual(['since', primary])
    await expect.poll(() => readFile(join(rig.base, 'old.conf'), 'utf8'), { timeout: 5000 }).not.toMatch(/^replicaof/m)
    await ready(rig, 'cutover')
  })

  test('the redis of the holder dies during the sync, and during the cut-over, and the hook fails: one writer, and the same command brings it to its end', async () => {
    const rig = theRig()
    const old = oldOf(rig)
    const { holder } = await old.shown()
    await rig.lab.kill(holder, 'redis')
    expect(await old.writers()).toEqual(['old'])
    await ready(rig, 'cutover')
    await writeFile(join(rig.base, 'hook'), '#!/bin/sh\necho no; exit 3\n', { mode: 0o755 })
    const asked = rig.cli('migrate', 'cutover', 'sessions', '--unverified')
    const beganMs = Date.now()
    await poll(async () => ((await rig.journal(holder, 'sessions', beganMs)).some((l) => l.next?.move?.stage === 'hold') ? true : undefined), {
      withinMs: 4000,
      everyMs: 2,
    })
    await new Promise((resolve) => setTimeout(resolve, Math.random() * 30))
    await rig.lab.kill(holder, 'redis')
    await asked
    await expect.poll(() => old.writers(), { timeout: 15_000 }).toHaveLength(1)
    const moved = (await old.shown()).move.stage === 'moved'
    expect((await old.writers())[0] === 'old', `moved: ${moved}`).toBe(!moved)
    if (!moved) await ready(rig, 'cutover')
    await old.ok('cutover', 'sessions', '--unverified')
    await rig.untilOk()
    expect(await old.ask('GET', 'written')).toBe('since')
    await untilEvent(rig, /hook to-group sessions \S+ has failed: it ended with 3: no/)
    await untilEvent(rig, /hook to-source sessions \S+ has failed: not within 10000 ms/)
  })

  test('somebody starts the old one as a primary after the cut-over: it is fenced again, an alarm says it, and there is no way back any more', async () => {
    const rig = theRig()
    const old = oldOf(rig)
    await expect.poll(async () => (await old.shown()).move.settled, { timeout: 10_000 }).toBe(true)
    await old.ask('REPLICAOF', 'NO', 'ONE')
    await untilEvent(rig, /had become a primary again: it is made a replica of nobody/)
    expect(await old.isWritable()).toBe(false)
    expect(await old.shown()).toMatchObject({ move: { wayBack: 'copy' } })
    await refused(rig, /keeps what it had/, 'rollback', 'sessions')
    await refused(rig, /roll it back first/, 'abort', 'sessions')
    await old.ok('commit', 'sessions')
    expect(await old.ok('commit', 'sessions')).toContain('committed already')
    expect(await readFile(join(rig.base, 'old.conf'), 'utf8')).toMatch(/^replicaof 127\.0\.0\.1 1$/m)
    await old.stop()
  })

  test.skipIf(server6 === undefined)('a redis of 6.0 that comes back empty: nothing is given up to it; then on to a cut-over that refuses writes', async () => {
    const rig = theRig()
    const old = oldOf(rig)
    const { primary } = await rig.untilOk()
    // It could not read one of the other version.
    await rm(join(rig.base, 'dump.rdb'), { force: true })
    await old.start({ lines: own.filter((line) => !line.includes('user mover')), program: server6?.redisServer ?? '' })
    await old.ask('MSET', 'six', '1', 'b', '2', 'c', '3')
    await refused(rig, /P17/, ...old.startWords(...withFile(rig)))
    const runId = /run_id:(\w+)/.exec(await rig.redis(primary, 'INFO', 'server'))?.[1] ?? ''
    await old.startMove(...withFile(rig), '--accept', 'P4', '--overwrite', runId)
    expect(await rig.redis(primary, 'MGET', 'six', 'written')).toBe('1')
    const before = await old.ask('CONFIG', 'GET', 'min-replicas-*')
    const pid = Number(/process_id:(\d+)/.exec(await old.ask('INFO', 'server'))?.[1])
    process.kill(pid, 'SIGKILL')
    await rm(join(rig.base, 'dump.rdb'), { force: true })
    await old.start({ lines: own.filter((line) => !line.includes('user mover')), program: server6?.redisServer ?? '' })
    await untilEvent(rig, /INV-1: .* was restarted with another history/)
    expect(await Promise.all(['red-a', 'red-b'].map((host) => rig.redis(host, 'GET', 'six'))), 'the copies are here').toEqual(['1', '1'])
    await old.ok('abort', 'sessions')
    await refused(rig, /P17/, ...old.startWords(...withFile(rig)))
    await old.startMove(...withFile(rig), '--accept', 'P4', '--overwrite', /run_id:(\w+)/.exec(await rig.redis(primary, 'INFO', 'server'))?.[1] ?? '')
    expect((await rig.cli('salvage', 'list', 'sessions')).stdout, 'a copy is kept').toContain(primary)
    const shown = (await rig.cli('migrate', 'status', 'sessions')).stdout
    expect(shown).toContain('what is written is translated for the source, which is older')
    await ready(rig, 'cutover')
    const writer = await rig.writer({ host: old.ip, passwordFile: join(rig.base, 'old.password') })
    await writer.mark('cut-over')
    await old.ok('cutover', 'sessions', '--unverified')
    expect(await old.ask('CONFIG', 'GET', 'min-replicas-*'), 'its own values').toBe(before)
    expect(await old.isWritable()).toBe(false)
    const acked = (await writer.stats()).acked
    expect(Number(await rig.redis(primary, 'DBSIZE')), 'what was acknowledged is here').toBeGreaterThanOrEqual(acked)
    await ready(rig, 'rollback')
    await old.ok('rollback', 'sessions')
    const ackedThen = (await writer.stats()).acked
    expect(Number(await old.ask('DBSIZE')), 'what was acknowledged is there again').toBeGreaterThanOrEqual(ackedThen)
    await rig.expectNoBrokenRule()
    await old.stop()
  })
})
