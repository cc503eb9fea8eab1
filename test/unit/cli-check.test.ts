/** check, render and completion as an operator meets them: what is printed, and the exit code. */
import { spawnSync } from 'node:child_process'
import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Command } from '@commander-js/extra-typings'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { register as registerCheck } from '../../src/cli/check.ts'
import { completionScript, register as registerCompletion, shells } from '../../src/cli/completion.ts'
import { register as registerRender } from '../../src/cli/render.ts'
import { register as registerSentinel } from '../../src/cli/sentinel.ts'
import { noRedis } from './real-redis.ts'

let dir = ''
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'holdfast-cli-'))
  await writeFile(join(dir, 'secret'), '0123456789abcdef')
  await writeFile(join(dir, 'pw'), 'hunter2\n')
  await chmod(join(dir, 'secret'), 0o600)
  await chmod(join(dir, 'pw'), 0o600)
  await writeFile(join(dir, 'user.conf'), 'slaveof 1.2.3.4 6379\nmaxclients 9\n')
  await writeFile(
    join(dir, 'h.yaml'),
    `api: { secret_file: secret }
hosts: { a: { ip: 10.0.0.1, interface: eth0 }, b: { ip: 10.0.0.2, interface: eth0 } }
groups:
  sessions: { members: [a, b], vip: 10.0.0.9/24, password_file: pw, redis_conf: user.conf }
  cache: { members: [b, a], port: 6380, password_file: pw }
`,
  )
  await writeFile(join(dir, 'bad.yaml'), 'api: { secret_file: nowhere }\nhosts: {}\ngroups: { g: { prot: 1 } }\n')
})
afterAll(() => rm(dir, { recursive: true }))

function newProgram(): Command {
  const program = new Command('holdfast').exitOverride()
  program.option('--config <file>', 'the configuration')
  registerCheck(program)
  registerRender(program)
  registerCompletion(program)
  return program
}

async function run(...args: string[]): Promise<string> {
  let output = ''
  const spy = vi.spyOn(process.stdout, 'write').mockImplementation((chunk) => {
    output += String(chunk)
    return true
  })
  try {
    await newProgram().parseAsync(['--config', join(dir, 'h.yaml'), ...args], { from: 'user' })
  } finally {
    spy.mockRestore()
  }
  return output
}

describe('check', () => {
  test('good: what would run where, and what of the user file is left out', async () => {
    const output = await run('check')
    expect(output).toContain('h.yaml: no problems')
    expect(output).toMatch(/sessions.*a.*10\.0\.0\.1:6379.*priority 250.*10\.0\.0\.9\/24 eth0/)
    expect(output).toContain('1 of its lines are left out')
    const { ok, members } = JSON.parse(await run('check', '--json'))
    expect([ok, members.length]).toEqual([true, 4])
  })

  test('where Sentinels run, with data and without', async () => {
    await writeFile(
      join(dir, 's.yaml'),
      `api: { secret_file: secret }
hosts: { a: { ip: 10.0.0.1 }, b: { ip: 10.0.0.2 }, w: { ip: 10.0.0.9 } }
groups: { cache: { mode: sentinel, members: [a, b], sentinels: [a, b, w], password_file: pw, sentinel: { password_file: pw } } }
`,
    )
    const output = await run('check', '--config', join(dir, 's.yaml'))
    expect(output).toMatch(/a .*10\.0\.0\.1:6379.*10\.0\.0\.1:26379, quorum 2 of 3, after 1000 ms/)
    expect(output).toMatch(/w .*no data.*10\.0\.0\.9:26379/)
    expect(await run('check')).not.toContain('sentinel')
  })

  const withRedis = (keys: string, paths = '') => `api: { secret_file: secret }
${paths}hosts: { a: { ip: 127.0.0.1 }, b: { ip: 127.0.0.2 } }
groups: { cache: { members: [a, b], password_file: pw${keys} } }
`

  test.skipIf(noRedis)('what redis itself would refuse: at its key with what was meant, beside all other problems, and as JSON', async () => {
    await writeFile(join(dir, 'r.yaml'), withRedis(', redis: { maxmemry: 1gb, maxmemory: lots }'))
    await expect(run('check', '--config', join(dir, 'r.yaml'))).rejects.toMatchObject({
      code: 'HF403',
      exitCode: 2,
      message: expect.stringMatching(/r\.yaml:3:\d+: groups\.cache\.redis\.maxmemry: .*did you mean `maxmemory`\?\n.*redis\.maxmemory: .*memory value/),
    })
    await writeFile(join(dir, 'r.yaml'), withRedis(", prot: 1, redis: { maxmemry: 1gb, dir: /x, save: '\"a' }"))
    const before = process.exitCode
    const { code, problems } = JSON.parse(await run('check', '--json', '--config', join(dir, 'r.yaml')))
    process.exitCode = before
    expect(code).toBe('HF102')
    expect(problems.map((problem: { path: string }) => problem.path)).toEqual(
      ['prot', 'redis.maxmemry', 'redis.dir', 'redis.save'].map((p) => `groups.cache.${p}`),
    )
  })

  test('without a redis-server nothing is wrong: it was not tried, and a machine that is one of the hosts lacks it', async () => {
    await writeFile(join(dir, 'r.yaml'), withRedis(', redis: { maxmemry: 1gb }', 'paths: { redis_server: /nowhere/redis-server }\n'))
    const lines = (await run('check', '--config', join(dir, 'r.yaml'))).split('\n').filter((line) => /^warning: .*nowhere/.test(line))
    expect(lines).toEqual([
      expect.stringContaining('redis.conf was not tried: /nowhere/redis-server is not on this machine'),
      expect.stringContaining('/nowhere/redis-server is not on this machine, which is a (redis-server)'),
      expect.stringContaining('/nowhere/redis-server is not on this machine, which is b (redis-server)'),
    ])
    await writeFile(join(dir, 'r.yaml'), withRedis('', 'paths: { redis_server: /nowhere/redis-server }\n').replaceAll('127.0.0', '203.0.113'))
    expect((await run('check', '--config', join(dir, 'r.yaml'))).match(/^warning: .*nowhere/gm), 'of other hosts nothing is known').toHaveLength(1)
  })

  test('bad: every problem as text with HF102, or as JSON with exit code 2', async () => {
    await expect(run('check', '--config', join(dir, 'bad.yaml'))).rejects.toMatchObject({
      code: 'HF102',
      exitCode: 2,
      message: expect.stringContaining('bad.yaml:3:16: groups.g.prot: unknown key'),
    })
    const before = process.exitCode
    const report = JSON.parse(await run('check', '--json', '--config', join(dir, 'bad.yaml')))
    expect(process.exitCode).toBe(2)
    process.exitCode = before
    expect(report).toMatchObject({ ok: false, code: 'HF102' })
    expect(report.problems.map((problem: { path: string }) => problem.path)).toEqual(['api.secret_file', 'groups.g', 'groups.g.prot'])
  })
})

describe('render', () => {
  test('all files of all hosts, with the password masked', async () => {
    const output = await run('render', '--redis-version', '7.0')
    expect(output.match(/^# === /gm)).toHaveLength(8)
    expect(output).toContain("note: line 1: `slaveof` is Holdfast's to decide")
    expect(output).not.toContain('hunter2')
    expect(output).toContain('********')
  })

  test('one kind, host and group', async () => {
    const output = await run('render', 'redis', '--host', 'b', '--group', 'sessions', '--redis-version', '4.0', '--with-passwords')
    expect(output.match(/^# === /gm)).toHaveLength(1)
    expect(output).toContain('requirepass hunter2')
    expect(output).toContain('slaveof 127.0.0.1 1')
    expect(await run('render', 'nftables', '--group', 'cache')).toBe('')
  })

  test('haproxy: only if asked for, of one group, with the password as bytes', async () => {
    expect(await run('render', '--redis-version', '7.0')).not.toContain('frontend')
    const output = await run('render', 'haproxy', 'sessions', '--write-port', '7000')
    expect(output).toMatch(/frontend sessions_writes\n {4}bind :7000\n[^]*frontend sessions_reads\n {4}bind :7001\n/)
    expect(output).toContain('send-binary ********')
    expect(output).not.toContain('cache')
    const auth = Buffer.from('*2\r\n$4\r\nAUTH\r\n$7\r\nhunter2\r\n').toString('hex')
    expect(await run('render', 'haproxy', 'sessions', '--with-passwords')).toContain(`send-binary ${auth}`)
    await expect(run('render', 'haproxy', 'sesions')).rejects.toMatchObject({ hint: expect.stringContaining('did you mean `sessions`?') })
  })

  test('an unknown name is refused with the names there are', async () => {
    await expect(run('render', '--host', 'c')).rejects.toMatchObject({ code: 'HF104', hint: expect.stringContaining('a, b') })
    await expect(run('render', '--group', 'sesions')).rejects.toMatchObject({ hint: expect.stringContaining('did you mean `sessions`?') })
  })
})

describe('completion', () => {
  test('names come from the configuration, and nothing at all from a wrong one', async () => {
    expect(await run('__complete', 'groups')).toBe('sessions\ncache\n')
    expect(await run('__complete', 'hosts')).toBe('a\nb\n')
    expect(await run('__complete', 'hosts', '--config', join(dir, 'nowhere.yaml'))).toBe('')
  })

  /** What bash would offer after these words; `holdfast` is a stand-in that knows two groups. */
  function offered(...words: string[]): string[] {
    const program = newProgram()
    registerSentinel(program)
    const lab = program.command('lab').description('hosts made of namespaces')
    lab.command('up').argument('<file>')
    lab.command('kill').argument('<host>').option('--signal <name>', 'which signal')
    program.command('switchover').argument('<group>').option('--to <host>', 'the new primary')
    const script = `${completionScript(program, 'bash')}
holdfast() { echo "$2"-1 "$2"-2 "$4"; }
COMP_WORDS=(holdfast ${words.map((word) => `'${word}'`).join(' ')}); COMP_CWORD=${words.length}
_holdfast; printf '%s\\n' "\${COMPREPLY[@]}"`
    const { stdout, stderr } = spawnSync('bash', ['-c', script], { encoding: 'utf8', timeout: 5000 })
    expect(stderr).toBe('')
    return stdout.split('\n').filter((word) => word !== '')
  }

  test.each([
    [['che'], ['check']],
    [['re'], ['render']],
    [[''], ['check', 'render', 'completion', 'sentinel', 'lab', 'switchover']],
    [
      ['lab', ''],
      ['up', 'kill'],
    ],
    [
      ['lab', 'kill', ''],
      ['hosts-1', 'hosts-2'],
    ],
    [
      ['sentinel', ''],
      ['status', 'ckquorum', 'check', 'repair'],
    ],
    [
      ['sentinel', 'repair', ''],
      ['groups-1', 'groups-2'],
    ],
    [['sentinel', 'repair', 'groups-1', '--dr'], ['--dry-run']],
    [['lab', 'kill', '--signal', ''], []],
    [
      ['lab', 'kill', '--signal', 'lab', ''],
      ['hosts-1', 'hosts-2'],
    ],
    [
      ['switchover', ''],
      ['groups-1', 'groups-2'],
    ],
    [
      ['switchover', 'groups-1', '--to', ''],
      ['hosts-1', 'hosts-2'],
    ],
    [['switchover', 'groups-1', ''], []],
    [['switchover', '--t'], ['--to']],
    [
      ['--config', '/x.yaml', 'switchover', ''],
      ['groups-1', 'groups-2', '/x.yaml'],
    ],
    [['render', 'k'], ['keepalived']],
    [
      ['completion', ''],
      ['bash', 'zsh', 'fish'],
    ],
    [
      ['check', '--'],
      ['--json', '--help', '--config'],
    ],
  ])('%j → %j', (words, expected) => {
    expect(offered(...words)).toEqual(expected)
  })

  test.each(shells)('%s: hidden commands stay hidden', (shell) => {
    expect(completionScript(newProgram(), shell)).not.toContain("'__complete'")
  })

  for (const shell of shells) {
    const missing = spawnSync(shell, ['-c', 'true']).error !== undefined
    test.skipIf(missing)(`${shell} accepts its script${missing ? ` (skipped: ${shell} is not installed)` : ''}`, () => {
      const check = spawnSync(shell, ['-n'], { input: completionScript(newProgram(), shell), encoding: 'utf8', timeout: 5000 })
      expect([check.status, check.stderr]).toEqual([0, ''])
    })
  }
})
