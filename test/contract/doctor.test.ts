/** The doctor at a real redis of each version: what it is set to, how much is written to it, what has failed; and the command from end to end. */
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { Command } from '@commander-js/extra-typings'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { register } from '../../src/cli/doctor.ts'
import type { DoctorFinding } from '../../src/model/doctor.ts'
import { lookAtRedis } from '../../src/observe/redis-look.ts'
import { Redises, type RealRedis } from '../unit/real-redis.ts'
import { expectServers, servers, since } from './servers.ts'

expectServers()

const mib = 1024 ** 2
const installed = { name: 'installed', redisServer: 'redis-server' }

/** Before 6.2 an empty word on the command line, as for `save`, is none. */
describe.each([installed, ...servers.filter(since(6, 2))])('$name', ({ redisServer }) => {
  const redises = new Redises('127.0.0.1', redisServer)
  afterAll(() => redises.close())
  let redis: RealRedis
  beforeAll(async () => {
    const limits = ['--client-output-buffer-limit', 'replica 100mb 10mb 30']
    const sync = ['--repl-backlog-size', '3mb', '--repl-timeout', '45', '--repl-ping-replica-period', '7', '--tcp-backlog', '99']
    redis = await redises.start('--maxmemory', '200mb', '--maxclients', '321', ...limits, ...sync, '--appendonly', 'yes', '--appendfsync', 'always')
    // A backlog, without which a primary counts no bytes.
    const replica = await redises.start()
    await replica.call('REPLICAOF', '127.0.0.1', String(redis.port))
    await vi.waitFor(async () => expect((await replica.facts()).linkUp).toBe(true), { timeout: 10_000 })
  })

  test('what it is set to, and the rate of what is written meanwhile', async () => {
    const looking = lookAtRedis({ host: '127.0.0.1', port: redis.port, password: undefined }, 400)
    await new Promise((resolve) => setTimeout(resolve, 100))
    await redis.call('SET', 'k', 'v'.repeat(mib))
    const look = await looking
    if (!look.ok) throw new Error(look.why)
    expect(look.value).toMatchObject({
      role: 'primary',
      maxmemoryBytes: 200 * mib,
      maxclients: 321,
      backlogBytes: 3 * mib,
      replicaBuffer: { hardBytes: 100 * mib, softBytes: 10 * mib, softS: 30 },
      replTimeoutS: 45,
      replPingS: 7,
      tcpBacklog: 99,
      rdbChecksum: true,
      persistence: { save: [], aof: 'always' },
      failed: [],
      dir: `${redises.dir}/${redis.port}`,
    })
    expect(look.value.usedBytes).toBeGreaterThan(mib)
    // 1 MiB within the 400 ms that lie between the looks, however late they came.
    expect(look.value.bytesPerS * look.value.overS).toBeGreaterThan(mib)
    expect(look.value.bytesPerS * look.value.overS).toBeLessThan(1.1 * mib)
    expect(look.value.forkUs, 'the replica has cost it a fork').toBeGreaterThan(0)
    expect(look.value.process.openFiles).toBeGreaterThan(321)
  })

  test('a save that failed', async () => {
    await redis.call('CONFIG', 'SET', 'save', '3600 1')
    mkdirSync(`${redises.dir}/${redis.port}/dump.rdb`, { recursive: true })
    // In the place of its file stands a folder: it cannot be renamed over it.
    await redis.call('BGSAVE')
    await vi.waitFor(
      async () => {
        const look = await lookAtRedis({ host: '127.0.0.1', port: redis.port, password: undefined }, 1)
        expect(look).toMatchObject({ ok: true, value: { failed: ['save'], persistence: { save: [{ seconds: 3600, changes: 1 }] } } })
      },
      { timeout: 10_000 },
    )
  })
})

describe('the command', () => {
  const redises = new Redises()
  const dir = mkdtempSync(`${tmpdir()}/holdfast-doctor-`)
  let redis: RealRedis
  beforeAll(async () => {
    redis = await redises.start('--requirepass', 'right', '--rdbchecksum', 'no')
    writeFileSync(`${dir}/secret`, '0123456789abcdef')
    chmodSync(`${dir}/secret`, 0o600)
    config('right')
  })
  afterAll(async () => {
    await redises.close()
    rmSync(dir, { recursive: true })
  })

  function config(password: string): void {
    writeFileSync(`${dir}/password`, password)
    chmodSync(`${dir}/password`, 0o600)
    writeFileSync(
      `${dir}/h.yaml`,
      `api: { port: 1, secret_file: secret }
paths: { state: state, run: run }
hosts: { a: { ip: 127.0.0.1 }, b: { ip: 127.0.0.2 }, c: { ip: 127.0.0.3 }, far: { ip: 127.0.0.4 } }
groups:
  g: { members: [a, b], port: ${redis.port}, password_file: password, process: external }
  other: { members: [b, c], port: 2 }
`,
    )
  }

  async function doctor(...words: readonly string[]): Promise<{ readonly code: number; readonly out: string }> {
    const program = new Command('holdfast').exitOverride()
    program.option('--config <file>', 'the configuration')
    register(program as unknown as Command)
    let out = ''
    const write = vi.spyOn(process.stdout, 'write').mockImplementation((text) => {
      out += String(text)
      return true
    })
    const before = process.exitCode
    process.exitCode = 0
    try {
      await program.parseAsync(['--config', `${dir}/h.yaml`, 'doctor', '--seconds', '0.05', ...words], { from: 'user' })
      return { code: Number(process.exitCode), out }
    } finally {
      process.exitCode = before
      write.mockRestore()
    }
  }
  const findingsOf = (out: string): readonly DoctorFinding[] => (JSON.parse(out) as { findings: readonly DoctorFinding[] }).findings

  test('something is red: exit code 1, what it is and what mends it; the disk is measured when that is asked for', async () => {
    const { code, out } = await doctor('--host', 'a', '--probe-disk')
    expect(code).toBe(1)
    expect(out).toMatch(/red +g: .*rdbchecksum.*: rdbchecksum no\n +without it a flipped bit.*\n +→ take `rdbchecksum no` out/)
    expect(out).toMatch(/g: .*disk speed.*: .*\/s to disk, fsync/)
  })

  test('as JSON; nothing was written unasked, and the agent that is not there is no failure', async () => {
    const findings = findingsOf((await doctor('--host', 'a', '--json')).out)
    expect(findings.find((f) => f.check === 'disk speed')).toMatchObject({ level: 'unseen', measured: expect.stringContaining('--probe-disk') })
    expect(findings.find((f) => f.check === 'backlog')?.measured).toContain('was not reached')
  })

  test('a wrong password, a redis that does not run: not seen, with the reason, and the rest is judged', async () => {
    config('wrong')
    const refused = findingsOf((await doctor('g', '--host', 'a', '--json')).out)
    expect(refused.find((f) => f.check === 'redis')).toMatchObject({ level: 'unseen', group: 'g', measured: expect.stringContaining('WRONGPASS') })
    expect(refused.some((f) => f.check === 'overcommit' && f.level !== 'unseen')).toBe(true)
    config('right')
    const down = findingsOf((await doctor('other', '--host', 'b', '--json')).out)
    expect(down.find((f) => f.check === 'redis')).toMatchObject({ level: 'unseen', group: 'other', measured: expect.stringContaining('ECONNREFUSED') })
    expect(down.find((f) => f.check === 'disk space')?.level).not.toBe('unseen')
  })

  test('a password file that this user may not read', async () => {
    rmSync(`${dir}/password`)
    const findings = findingsOf((await doctor('g', '--host', 'a', '--json')).out)
    expect(findings.find((f) => f.check === 'redis')?.measured).toContain('password of group g cannot be read')
    config('right')
  })

  test('a host that is not in the configuration, and one that is another machine', async () => {
    await expect(doctor('--host', 'z')).rejects.toMatchObject({ code: 'HF104', exitCode: 2 })
    writeFileSync(
      `${dir}/h.yaml`,
      'api: { secret_file: secret }\nhosts: { a: { ip: 198.51.100.1, interface: e }, b: { ip: 198.51.100.2, interface: e } }\ngroups: { g: { members: [a, b] } }\n',
    )
    await expect(doctor('--host', 'a')).rejects.toMatchObject({ code: 'HF104', hint: expect.stringContaining('run it on a') })
    await expect(doctor()).rejects.toMatchObject({ code: 'HF104' })
    config('right')
  })
})
