/**
 * Each trap that can be sprung with the servers at hand, sprung: first what the plan says of it, then what redis does to whoever does not listen. And that
 * what is read of a redis is what it is, on every version at hand.
 */
import { execFileSync, spawnSync } from 'node:child_process'
import { afterEach, describe, expect, test } from 'vitest'
import type { Instance, Source, Target } from '../../src/migrate/facts.ts'
import { planOf } from '../../src/migrate/plan.ts'
import { rdbFormatOf } from '../../src/migrate/versions.ts'
import { lookAt } from '../../src/move/look.ts'
import { noRedis, Redises, type RealRedis } from '../unit/real-redis.ts'
import { freePort } from '../unit/wire.ts'
import { expectServers, others, servers } from './servers.ts'

let redises: Redises | null = null
afterEach(async () => {
  await redises?.close()
  redises = null
})

const signal = new AbortController().signal
const hasOpenssl = spawnSync('openssl', ['version']).status === 0
if (!hasOpenssl) console.warn('skipped: a source that speaks TLS, because openssl is not installed')

function here(): Redises {
  redises ??= new Redises()
  return redises
}

async function seen(redis: RealRedis, more: { readonly user?: string; readonly password?: string } = {}): Promise<Instance> {
  const found = await lookAt({ host: '127.0.0.1', port: redis.port, ...more }, { overMs: 20, signal })
  if (!found.ok) throw new Error(found.why)
  return found.value
}

async function planned(from: RealRedis, to: RealRedis) {
  const source: Source = { redis: await seen(from), tls: false, user: null, hasPassword: false, backup: null }
  const target: Target = {
    group: 'sessions',
    unwell: null,
    externalSentinels: false,
    members: [{ host: 'red-a', redis: { ok: true, value: await seen(to) } }],
    first: 'red-a',
    hasPassword: false,
    samePassword: null,
  }
  return planOf(source, target, { accepted: [], overwrite: null })
}

async function levelOf(id: string, from: RealRedis, to: RealRedis): Promise<string | undefined> {
  return (await planned(from, to)).traps.find((one) => one.id === id)?.level
}

/** What an operator types who has read no plan. Is its link up in time? */
async function followed(to: RealRedis, from: RealRedis, withinMs = 3000): Promise<boolean> {
  await to.call('REPLICAOF', '127.0.0.1', String(from.port))
  for (const endMs = performance.now() + withinMs; performance.now() < endMs; ) {
    const told = String(await to.call('INFO', 'replication').catch(() => ''))
    if (told.includes('master_link_status:up')) return true
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
  return false
}

const real = describe.skipIf(noRedis)

real('sprung on the installed redis', () => {
  test('P2: a replica with fewer databases puts what is written into database 20 into database 0, its link up', async () => {
    const [from, to] = [await here().start('--databases', '32'), await here().start()]
    expect(await levelOf('P2', from, to)).toBe('red')
    expect(await followed(to, from)).toBe(true)
    await from.call('SELECT', '20')
    await from.call('SET', 'of-20', '1')
    await from.call('WAIT', '1', '1000')
    expect([await to.call('GET', 'of-20'), String(await to.call('INFO', 'replication'))]).toEqual(['1', expect.stringContaining('master_link_status:up')])
  })

  test('P4: FLUSHALL is renamed on the replica: it keeps what its primary has not', async () => {
    const [from, to] = [await here().start(), await here().start('--rename-command', 'FLUSHALL', '')]
    for (let i = 0; i < 100; i += 1) await from.call('SET', `k${i}`, '1')
    expect(await levelOf('P4', from, to), 'nobody has used it').toBe('yellow')
    expect(await followed(to, from)).toBe(true)
    await from.call('FLUSHALL')
    await from.call('WAIT', '1', '1000')
    expect(await levelOf('P4', from, to), 'it is used').toBe('red')
    expect([await from.call('DBSIZE'), await to.call('DBSIZE')]).toEqual([0, 100])
  })

  test('P4: under another name it is as far away: on the replica what comes as FLUSHALL is left out, from the source it comes as a word that nobody else knows', async () => {
    const [plain, renamed] = [await here().start(), await here().start('--rename-command', 'FLUSHALL', 'sekrit')]
    await plain.call('SET', 'k', '1')
    await plain.call('FLUSHALL')
    expect(await levelOf('P4', plain, renamed)).toBe('red')
    await plain.call('SET', 'k', '1')
    expect(await followed(renamed, plain)).toBe(true)
    await plain.call('FLUSHALL')
    await plain.call('WAIT', '1', '1000')
    expect([await plain.call('DBSIZE'), await renamed.call('DBSIZE')]).toEqual([0, 1])

    const [other, target] = [await here().start('--rename-command', 'FLUSHALL', 'sekrit'), await here().start()]
    await other.call('SET', 'k', '1')
    expect(await followed(target, other)).toBe(true)
    await other.call('sekrit')
    await other.call('WAIT', '1', '1000')
    expect([await other.call('DBSIZE'), await target.call('DBSIZE')]).toEqual([0, 1])
    expect(await levelOf('P4', other, target)).toBe('red')
  })

  test('P3: with less memory it keeps all as a replica, and drops most of it as soon as it is the primary', async () => {
    const [from, to] = [await here().start(), await here().start('--maxmemory', '4mb', '--maxmemory-policy', 'allkeys-random')]
    for (let i = 0; i < 300; i += 1) await from.call('SET', `k${i}`, 'x'.repeat(30_000))
    expect(await levelOf('P3', from, to)).toBe('red')
    expect(await followed(to, from)).toBe(true)
    expect(await to.call('DBSIZE')).toBe(300)
    await to.call('REPLICAOF', 'NO', 'ONE')
    await to.call('SET', 'new', '1')
    expect(Number(await to.call('DBSIZE'))).toBeLessThan(200)
  })

  test('P15: whoever may not read the stream is told before, by name; nothing was begun by asking', async () => {
    const from = await here().start()
    await from.call('ACL', 'SETUSER', 'mover', 'on', '>secret', '+@all', '-psync', '~*', '&*')
    await from.call('ACL', 'SETUSER', 'reader', 'on', '>secret', '-@all', '+psync', '+replconf', '+ping', '+info', '+time')
    const denied = await seen(from, { user: 'mover', password: 'secret' })
    expect(denied.psync).toMatchObject({ may: false, why: expect.stringContaining('psync') })
    const allowed = await seen(from, { user: 'reader', password: 'secret' })
    expect([allowed.psync.may, allowed.settings.ok, allowed.commands.ok], 'not asked is not refused').toEqual([null, false, false])
    await from.call('ACL', 'SETUSER', 'reader', '+acl')
    expect((await seen(from, { user: 'reader', password: 'secret' })).psync.may).toBe(true)
    const renamed = await here().start('--rename-command', 'PSYNC', '')
    expect((await seen(renamed)).psync).toMatchObject({ may: false, why: expect.stringMatching(/unknown command/i) })
    expect([
      String(await from.call('INFO', 'stats')).match(/sync_full:\d+/)?.[0],
      String(await from.call('INFO', 'stats')).match(/total_forks:\d+/)?.[0],
    ]).toEqual(['sync_full:0', 'total_forks:0'])
    expect(await lookAt({ host: '127.0.0.1', port: from.port, user: 'mover', password: 'wrong' }, { overMs: 20, signal })).toMatchObject({
      ok: false,
      why: expect.stringContaining('WRONGPASS'),
    })
  })

  test.skipIf(!hasOpenssl)('a source that speaks TLS: looked at by its certificate; one that nobody vouches for is refused', async () => {
    const dir = here().dir
    const openssl = (...words: readonly string[]): void => void execFileSync('openssl', words, { cwd: dir, stdio: 'ignore' })
    openssl(
      'req',
      '-x509',
      '-newkey',
      'rsa:2048',
      '-nodes',
      '-keyout',
      'key.pem',
      '-out',
      'cert.pem',
      '-days',
      '1',
      '-subj',
      '/CN=redis',
      '-addext',
      'subjectAltName=IP:127.0.0.1',
    )
    const port = await freePort()
    const files = [
      '--tls-cert-file',
      `${dir}/cert.pem`,
      '--tls-key-file',
      `${dir}/key.pem`,
      '--tls-ca-cert-file',
      `${dir}/cert.pem`,
      '--tls-auth-clients',
      'no',
    ]
    await here().start('--tls-port', String(port), ...files)
    const ca = execFileSync('cat', [`${dir}/cert.pem`], { encoding: 'utf8' })
    expect(await lookAt({ host: '127.0.0.1', port, tls: { ca } }, { overMs: 20, signal })).toMatchObject({ ok: true, value: { role: 'primary' } })
    expect(await lookAt({ host: '127.0.0.1', port, tls: {} }, { overMs: 20, signal })).toMatchObject({
      ok: false,
      why: expect.stringMatching(/self.signed|certificate/),
    })
    expect(await lookAt({ host: '127.0.0.1', port }, { overMs: 20, signal }), 'without TLS').toMatchObject({ ok: false })
  })

  test('a source that hangs up on who is silent is looked at for longer than that; nobody there; Ctrl-C', async () => {
    const impatient = await here().start('--timeout', '2')
    const found = await lookAt({ host: '127.0.0.1', port: impatient.port }, { overMs: 4500, signal })
    expect(found.ok, found.ok ? '' : found.why).toBe(true)
    const from = await here().start()
    expect(await lookAt({ host: '127.0.0.1', port: 9 }, { overMs: 20, signal })).toMatchObject({ ok: false, why: expect.stringContaining('ECONNREFUSED') })
    const stop = new AbortController()
    setTimeout(() => stop.abort(new Error('Ctrl-C')), 100)
    await expect(lookAt({ host: '127.0.0.1', port: from.port }, { overMs: 60_000, signal: stop.signal })).rejects.toThrow('Ctrl-C')
  })
})

expectServers()
describe.each(others)('$name', ({ redisServer, version }) => {
  test('what is read of it is what it is: its version, its commands, the format that it writes', async () => {
    const redis = await here().start({ program: redisServer })
    await redis.call('SET', 'a', 'b')
    const found = await seen(redis)
    expect([found.version.text, found.keys, found.highestDb, found.psync.may, found.settings.ok, found.modules.ok, found.clock.ok]).toEqual([
      version,
      1,
      0,
      true,
      true,
      true,
      true,
    ])
    expect(found.commands).toMatchObject({ ok: true, value: expect.toSatisfy((has: ReadonlySet<string>) => has.has('get') && has.has('set')) as unknown })
    expect(found.rdbFormat, 'as in the table').toEqual({ ok: true, value: rdbFormatOf(found.version) })
    await redis.call('ACL', 'SETUSER', 'mover', 'on', '>secret', '+@all', '-psync', '~*')
    expect((await seen(redis, { user: 'mover', password: 'secret' })).psync.may).toBe(false)
  })
})

const every = servers.map(({ name, redisServer }) => ({ name, redisServer }))
const pairs = every.flatMap((from) => every.filter((to) => to !== from).map((to) => ({ from, to })))
describe.skipIf(pairs.length === 0)('P1: what the plan says of each pair is what comes of it', () => {
  test.each(pairs)('$from.name → $to.name', async ({ from, to }) => {
    const [source, target] = [await here().start({ program: from.redisServer }), await here().start({ program: to.redisServer })]
    await source.call('SET', 'a', 'b')
    await target.call('SET', 'of its own', '1')
    const level = await levelOf('P1', source, target)
    expect(level).toMatch(/^(green|red)$/)
    const works = await followed(target, source, level === 'green' ? 5000 : 1500)
    expect(works).toBe(level === 'green')
    // The accident: what it had of its own is gone, whether it could read what came or not.
    expect(await target.call('DBSIZE')).toBe(works ? 1 : 0)
  })
})
