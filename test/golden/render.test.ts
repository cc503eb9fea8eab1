/**
 * What is written to disk, word for word (expected/), and then read by the real programs: a golden file proves that nothing
 * changed, not that it works. UPDATE_GOLDEN=1 rewrites expected/; read the difference before committing it.
 */
import { spawn, spawnSync } from 'node:child_process'
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { connect, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { findGroup, parseConfig } from '../../src/config/load.ts'
import type { Config } from '../../src/model/config.ts'
import { groupRunDir, redisDataDir } from '../../src/model/paths.ts'
import { renderGuardScript } from '../../src/render/guard.ts'
import { renderHaproxy } from '../../src/render/haproxy.ts'
import { renderKeepalived } from '../../src/render/keepalived.ts'
import { renderNftables } from '../../src/render/nftables.ts'
import { passwordHash, sentinelUserPassword } from '../../src/redis/sentinel-id.ts'
import { renderRedisConf } from '../../src/render/redis-conf.ts'
import type { RedisConf } from '../../src/render/redis-conf.ts'
import { renderSentinelConf, type SentinelConfInput } from '../../src/render/sentinel-conf.ts'

const expectedDir = new URL('./expected/', import.meta.url)
const password = 'p"w d\\'

const userConf = `# a redis.conf of ten years
include /etc/redis/common.conf
bind 127.0.0.1 ::1
port 6379
protected-mode no
slaveof 10.0.0.1 6379
slave-serve-stale-data yes
slave-lazy-flush yes
min-slaves-to-write 0
client-output-buffer-limit slave 512mb 128mb 60
rename-command CONFIG ""
save 60 10000
maxclients 5000
proc-title-template "{title} it's {listen-addr}"
hz "12
`

function configIn(dir: string, port: number): Config {
  const { config, problems } = parseConfig(
    `paths: { state: ${dir}/state, run: ${dir}/run }
hosts:
  redis-a: { ip: 192.168.100.201, interface: eth0 }
  redis-b: { ip: 192.168.100.202, interface: eth0 }
  redis-c: { ip: 192.168.100.203 }
groups:
  sessions:
    members: [redis-a, redis-b, { host: redis-c, never_primary: true }]
    vip: 192.168.100.123/24
    port: ${port}
    password_file: /etc/holdfast/sessions.password
    redis_conf: /etc/redis/redis.conf
    redis: { maxmemory: 100mb, appendonly: yes, save: ["900 1", "300 10"], notify-keyspace-events: "" }
  cache-2:
    members: [redis-b, redis-a]
    vip: 192.168.100.124/24
    port: ${port + 1}
    unicast_peer: true
    redis: { save: "" }
    failover: { host_loss_ms: 1000 }
`,
    '/etc/holdfast/holdfast.yaml',
  )
  if (config === undefined) throw new Error(JSON.stringify(problems))
  return config
}

function redisConf(config: Config, major: number, minor: number, text = userConf): RedisConf {
  const group = findGroup(config, 'sessions')
  const member = group.members[0]
  if (member === undefined) throw new Error('the group has members')
  return renderRedisConf({ config, group, member, password, serverVersion: { major, minor }, userConf: text })
}

const fixed = configIn('/tmp/holdfast-golden', 6379)

/** What the usual group does not have. */
function special(group: string): Config {
  const { config, problems } = parseConfig(
    `paths: { state: /tmp/holdfast-golden/state, run: /tmp/holdfast-golden/run }
hosts:
  redis-a: { ip: 192.168.100.201, interface: eth0 }
  redis-b: { ip: 192.168.100.202, interface: eth0 }
groups:
  sessions: { members: [redis-a, redis-b], vip: 192.168.100.123/24, ${group} }
  cache: { members: [redis-a, redis-b], vip: 192.168.100.124/24, port: 6380 }
`,
    '/etc/holdfast/holdfast.yaml',
  )
  if (config === undefined) throw new Error(JSON.stringify(problems))
  return config
}

const guarded = special('check_ips: [192.168.100.1]')

/** Three Sentinels, one on a host without data. */
function withSentinels(ip = '192.168.100.203'): Config {
  const group = findGroup(fixed, 'sessions')
  const sentinel = {
    ...{ hosts: ['redis-a', 'redis-b', 'redis-w'], port: 26_379, quorum: 2, downAfterMs: 1000, failoverTimeoutMs: 10_000, parallelSyncs: 1 },
    process: 'direct',
  } as const
  const hosts = { ...fixed.hosts, 'redis-w': { name: 'redis-w', ip } }
  return { ...fixed, hosts, groups: { sessions: { ...group, mode: 'sentinel', sentinel } } }
}

const userPassword = sentinelUserPassword('a secret of the installation', 'sessions')

function sentinelConf(config: Config, more: Partial<SentinelConfInput> = {}): string {
  return renderSentinelConf({ config, group: findGroup(config, 'sessions'), host: 'redis-w', userPassword, password: undefined, watched: null, ...more })
}

function redisOfSentinels(major: number): RedisConf {
  const config = withSentinels()
  const group = findGroup(config, 'sessions')
  const member = group.members[0]
  if (member === undefined) throw new Error('the group has members')
  const userText = 'user reader on nopass ~* +@read\nuser holdfast-sentinel on nopass +@all\nreplica-priority 3\n'
  return renderRedisConf({
    config,
    group,
    member,
    password,
    serverVersion: { major, minor: 0 },
    userConf: userText,
    sentinelKeys: [passwordHash(userPassword)],
  })
}

/** Reads are answered where no primary may be, too. */
const reading = special('reader_vip: 192.168.100.125/24, unicast_peer: true, durability: safe')

const files: readonly (readonly [string, () => string])[] = [
  ['redis-7.0.conf', () => redisConf(fixed, 7, 0).text],
  ['redis-7.0.notes', () => `${redisConf(fixed, 7, 0).notes.join('\n')}\n`],
  ['redis-4.0.conf', () => redisConf(fixed, 4, 0).text],
  ['redis-3.0.conf', () => redisConf(fixed, 3, 0).text],
  ['keepalived-redis-a.conf', () => renderKeepalived(fixed, 'redis-a')],
  ['keepalived-redis-c.conf', () => renderKeepalived(fixed, 'redis-c')],
  ['keepalived-guarded.conf', () => renderKeepalived(guarded, 'redis-a')],
  ['keepalived-reader.conf', () => renderKeepalived(reading, 'redis-a')],
  ['nftables-reader.conf', () => renderNftables(findGroup(reading, 'sessions'), 'eth0')],
  ['haproxy.cfg', () => renderHaproxy({ config: fixed, group: findGroup(fixed, 'sessions'), auth: '2a', writePort: 6379, readPort: 6380 })],
  ['guard.sh', () => renderGuardScript(guarded, '/usr/bin/node /opt/holdfast/dist/guard.js')],
  ['redis-safe-7.0.conf', () => redisConf(special('durability: safe'), 7, 0).text],
  ['redis-safe-4.0.conf', () => redisConf(special('durability: safe, redis: { min-replicas-to-write: 1 }'), 4, 0, 'min-slaves-max-lag 5').text],
  ['sentinel.conf', () => sentinelConf(withSentinels())],
  ['sentinel-later.conf', () => sentinelConf(withSentinels('127.0.0.3'), { password: 's3ntinel', watched: { host: 'redis-b', epoch: 7 } })],
  ['redis-sentinel-7.0.conf', () => redisOfSentinels(7).text],
  ['redis-sentinel-7.0.notes', () => `${redisOfSentinels(7).notes.join('\n')}\n`],
  ['nftables-cache-2.conf', () => renderNftables(findGroup(fixed, 'cache-2'), 'eth0')],
  ['nftables-any-interface.conf', () => renderNftables(findGroup(fixed, 'cache-2'))],
]

describe('golden files', () => {
  test.each(files)('%s', async (name, render) => {
    const file = new URL(name, expectedDir)
    if (process.env['UPDATE_GOLDEN'] === '1') await writeFile(file, render())
    expect(render()).toBe(await readFile(file, 'utf8'))
  })
})

let dir = ''
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'holdfast-golden-'))
})
afterAll(() => rm(dir, { recursive: true, force: true }))

/** A network namespace of the test's own, so that the machine's addresses and firewall are never touched. */
function inNamespace(script: string): { status: number | null; output: string } {
  const run = spawnSync('unshare', ['--net', 'sh', '-c', script], { encoding: 'utf8', timeout: 10_000 })
  return { status: run.status, output: `${run.stdout}${run.stderr}` }
}

function has(program: string): boolean {
  return spawnSync('sh', ['-c', `command -v ${program}`]).status === 0
}

const noNamespace = spawnSync('unshare', ['--net', 'true']).status === 0 ? '' : 'network namespaces are not permitted here'
function missing(...programs: string[]): string {
  return programs
    .filter((program) => !has(program))
    .map((program) => `${program} is not installed`)
    .join(', ')
}
function title(name: string, reason: string): string {
  return reason === '' ? name : `${name} (skipped: ${reason})`
}

const noKeepalived = missing('keepalived', 'ip') || noNamespace
describe.skipIf(noKeepalived !== '')(title('keepalived reads it', noKeepalived), () => {
  async function verdict(text: string): Promise<{ status: number | null; output: string }> {
    const file = join(dir, 'keepalived.conf')
    await writeFile(file, text)
    // keepalived writes to where its track files and fifo are to be, even for a test.
    await mkdir(join(dir, 'run', 'sessions'), { recursive: true })
    await mkdir(join(dir, 'run', 'cache-2'), { recursive: true })
    return inNamespace(`ip link add eth0 type veth peer name far && ip link set eth0 up && keepalived -t -f ${file}`)
  }

  test('multicast and unicast instances, without a complaint', async () => {
    expect(await verdict(renderKeepalived(configIn(dir, 6379), 'redis-a'))).toEqual({
      status: 0,
      output: expect.not.stringMatching(/error|unknown|invalid|ignor/i),
    })
  })

  test('and the guard, which it may run as root', async () => {
    const text = renderKeepalived(guarded, 'redis-a').replaceAll('/tmp/holdfast-golden', dir)
    expect(await verdict(text)).toEqual({ status: 0, output: expect.not.stringMatching(/error|unknown|invalid|ignor|unsafe|disabl/i) })
  })

  test('and a second address of a group', async () => {
    const text = renderKeepalived(reading, 'redis-a').replaceAll('/tmp/holdfast-golden', dir)
    expect(await verdict(text)).toEqual({ status: 0, output: expect.not.stringMatching(/error|unknown|invalid|ignor/i) })
  })

  test('and would complain about a wrong one', async () => {
    const { status, output } = await verdict(renderKeepalived(configIn(dir, 6379), 'redis-a').replace('track_file {', 'track_fille {'))
    expect(output).toContain('track_fille')
    expect(status).not.toBe(0)
  })
})

const noNft = missing('nft') || noNamespace
describe.skipIf(noNft !== '')(title('nft reads it', noNft), () => {
  test('twice, and the second time replaces the first', async () => {
    const file = join(dir, 'nftables.conf')
    await writeFile(file, renderNftables(findGroup(fixed, 'cache-2'), 'eth0'))
    const { status, output } = inNamespace(`nft -c -f ${file} && nft -f ${file} && nft -f ${file} && nft list ruleset`)
    expect(output.match(/fib daddr/g)).toHaveLength(1)
    expect(output).toContain('fib daddr type != local')
    expect(status).toBe(0)
  })

  test('for two addresses', async () => {
    const file = join(dir, 'nftables.conf')
    await writeFile(file, renderNftables(findGroup(reading, 'sessions'), 'eth0'))
    const { status, output } = inNamespace(`nft -f ${file} && nft list ruleset`)
    expect([status, output.match(/fib daddr/g)?.length]).toEqual([0, 2])
  })
})

const noHaproxy = missing('haproxy')
describe.skipIf(noHaproxy !== '')(title('haproxy reads it', noHaproxy), () => {
  test.each(['direct', 'external'] as const)('process: %s, without a warning', async (kind) => {
    const file = join(dir, 'haproxy.cfg')
    const group = { ...findGroup(fixed, 'sessions'), process: kind }
    const text = renderHaproxy({ config: fixed, group, auth: '2a320d0a', writePort: 6379, readPort: 6380 })
    expect(text.includes('by_redis'), 'only a redis that is born fenced is asked itself').toBe(kind === 'direct')
    await writeFile(file, text)
    const { status, stdout, stderr } = spawnSync('haproxy', ['-c', '-f', file], { encoding: 'utf8' })
    expect([status, `${stdout}${stderr}`.trim()]).toEqual([0, 'Configuration file is valid'])
  })
})

const noRedis = missing('redis-server')
describe.skipIf(noRedis !== '')(title('redis starts from it', noRedis), () => {
  test('born fenced: a replica of nobody that takes no write, with a password of odd characters', async () => {
    const port = await freePort()
    const config = configIn(dir, port)
    await mkdir(redisDataDir(config.paths, 'sessions'), { recursive: true })
    await mkdir(groupRunDir(config.paths, 'sessions'), { recursive: true })
    const file = join(groupRunDir(config.paths, 'sessions'), 'redis.conf')
    await writeFile(file, redisConf(config, 7, 0, 'maxclients 123\nslave-priority 7\nreplicaof no one\nsave 1 1\n').text)
    const server = spawn('redis-server', [file], { stdio: 'ignore' })
    const exited = new Promise((resolve) => server.once('exit', resolve))
    try {
      const answer = await ask(port, [
        ['AUTH', password],
        ['ROLE'],
        ['SET', 'k', 'v'],
        ['CONFIG', 'GET', 'save'],
        ['CONFIG', 'GET', 'masterauth'],
        ['CONFIG', 'GET', 'maxclients'],
        ['CONFIG', 'GET', 'replica-priority'],
        ['CONFIG', 'GET', 'notify-keyspace-events'],
        ['QUIT'],
      ])
      expect(answer).toMatch(/^\+OK\r\n\*5\r\n\$5\r\nslave\r\n\$9\r\n127\.0\.0\.1\r\n:1\r\n/)
      expect(answer).toContain('-READONLY ')
      expect(answer).toContain('900 1 300 10\r\n')
      expect(answer).toContain(`masterauth\r\n$${password.length}\r\n${password}\r\n`)
      expect(answer).toContain('maxclients\r\n$3\r\n123\r\n')
      expect(answer).toContain('replica-priority\r\n$1\r\n6\r\n')
      expect(answer).toContain('notify-keyspace-events\r\n$0\r\n')
    } finally {
      server.kill('SIGTERM')
      await exited
    }
  })
})

function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer()
    server.once('error', reject)
    server.listen(0, '127.0.0.1', () => {
      const address = server.address()
      server.close(() => resolve(typeof address === 'object' && address !== null ? address.port : 0))
    })
  })
}

/** The raw answers, once redis listens; it has five seconds for that. */
async function ask(port: number, commands: readonly (readonly string[])[]): Promise<string> {
  const request = commands.map((words) => `*${words.length}\r\n${words.map((word) => `$${Buffer.byteLength(word)}\r\n${word}\r\n`).join('')}`).join('')
  for (let attempt = 0; attempt < 100; attempt += 1) {
    const answer = await new Promise<string | undefined>((resolve) => {
      let text = ''
      const socket = connect(port, '127.0.0.1', () => socket.write(request))
      socket.setTimeout(5000, () => socket.destroy())
      socket.on('data', (data) => {
        text += data.toString()
      })
      socket.on('error', () => resolve(undefined))
      socket.on('close', () => resolve(text === '' ? undefined : text))
    })
    if (answer !== undefined) return answer
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
  throw new Error('redis did not answer within 5 s')
}
