/** A running installation is given another configuration: what differs, who takes it up when, and what each host makes of the file. */
import { chmod, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { ownConfig } from '../../src/agent/own-config.ts'
import { configStatus } from '../../src/cli/same-config.ts'
import { changesBetween } from '../../src/config/change.ts'
import { identityOf, withOwnKeys } from '../../src/config/identity.ts'
import { loadConfig, parseConfig } from '../../src/config/load.ts'
import { nextHost } from '../../src/config/order.ts'
import { holdsLease } from '../../src/decide/lease.ts'
import type { Config } from '../../src/model/config.ts'
import { group, head } from './config-texts.ts'
import { noRedis } from './real-redis.ts'
import { peer, primaryFacts, probe, sentinel, sentinelPolicy, state, view, word } from './builders.ts'

function parsed(text: string): Config {
  const { config, problems } = parseConfig(text, '/x/holdfast.yaml')
  expect(problems).toEqual([])
  return config as Config
}
const three = (keys: string): Config => parsed(group(`{ mode: sentinel, members: [a, b, c]${keys} }`))
const changes = (from: string, to: string) => changesBetween(three(from), three(to))

describe('what differs', () => {
  test('each change in words, with what takes it up', () => {
    const found = changes(
      ', sentinel: { down_after_ms: 1000 }, redis: { maxmemory: 1gb }',
      ', sentinel: { down_after_ms: 500 }, redis: { maxmemory: 2gb }, port: 6380',
    )
    expect(found.map((c) => [c.what.split(' ')[0], c.needs, c.lease])).toEqual([
      ['port', 'refused', undefined],
      ['redis', 'redis restart', undefined],
      ['sentinel.down_after_ms', 'agent', 'stricter'],
      ['a:', 'refused', undefined],
      ['b:', 'refused', undefined],
      ['c:', 'refused', undefined],
    ])
    expect(found[2]?.what).toBe('sentinel.down_after_ms 1000 → 500')
  })

  test('Sentinels may be given a password, which whoever has none takes; another file, or none, is refused', () => {
    const file = (name: string): string => `, sentinel: { password_file: ${name} }`
    const given = changes('', file('pw'))
    expect(given).toMatchObject([{ what: 'sentinel.password_file none → /x/pw', needs: 'agent', why: expect.stringContaining('--of sentinels --finish') }])
    expect(changes(file('pw'), file('other'))).toMatchObject([{ needs: 'refused', why: expect.stringContaining('--of sentinels') }])
    expect(changes(file('pw'), '')).toMatchObject([{ needs: 'refused' }])
  })

  test('every key of a group is known to it: one that nobody listed would be taken up unsaid', () => {
    const before = three('')
    const one = before.groups['g']
    if (one === undefined) throw new Error('no group')
    const asked = [...Object.keys(one), 'witness', 'passwordFile', 'redisConf', 'readerVip', 'vip'].filter((key) => key !== 'name')
    const other = (key: string): unknown =>
      key === 'members'
        ? one.members.slice(1)
        : key === 'sentinel'
          ? { ...one.sentinel, quorum: 3 }
          : key === 'failover'
            ? { ...one.failover, auto: false }
            : `other ${key}`
    const silent = asked.filter((key) => changesBetween(before, { ...before, groups: { g: { ...one, [key]: other(key) } } }).length === 0)
    expect(silent).toEqual([])
  })

  test('the same by meaning is no difference: a default written out, comments, order, what is a host’s own', () => {
    const plain = `${head}  g: { members: [a, b], vip: 10.0.0.100/24 }\n`
    const wordy = `# ours\napi: { port: 8420, secret_file: elsewhere }\npaths: { state: /s }\n${head}  g: { vip: 10.0.0.100/24, members: [a, b], port: 6379 } # cache\n`
    expect(identityOf(plain)).toEqual(identityOf(wordy))
    expect(identityOf(plain).hash).not.toBe(identityOf(plain.replace('10.0.0.2', '10.0.0.7')).hash)
  })

  test('of what has many keys those that differ are shown', () => {
    const of = (more: string): Config =>
      parsed(`${head}  g: { members: [a, b], vip: 10.0.0.100/24, backup: { directory: /a/long/path/to/the/backups/of/this/group${more} } }\n`)
    expect(changesBetween(of(''), of(', test: false, keep: { daily: 7 }')).map((c) => c.what)).toEqual(['backup: keep: daily 30 → 7, test true → false'])
  })

  test('status: who runs with what, and whether the file here is yet to be applied', () => {
    const answer = (host: string, hash: string) => ({ host, ok: true, why: '', groups: [], config: { hash, groups: { g: hash }, problem: null } })
    expect(configStatus('g', [answer('a', '1'), answer('b', '1')], '1')).toMatchObject({ why: '', unapplied: false })
    expect(configStatus('g', [answer('a', '1'), answer('b', '1')], '2')).toMatchObject({ why: '', unapplied: true })
    expect(configStatus('g', [answer('a', '1'), answer('b', '2')], '2').why).toContain('a 1; b 2 (as in the file here)')
  })
})

describe('the order of the hosts', () => {
  const order = (from: string, to: string, primary: string | null) => {
    const config = three(to)
    const found = changes(from, to)
    const done: string[] = []
    for (let left = ['a', 'b', 'c']; left.length > 0; left = left.filter((h) => !done.includes(h))) {
      const next = nextHost({ config, changes: found, primaries: { g: primary }, left })
      if (next === null) return null
      done.push(next)
    }
    return done.join('')
  }
  test.each([
    ['down_after_ms down: the primary first', ', sentinel: { down_after_ms: 500 }', 'bac'],
    ['down_after_ms up: the primary last', ', sentinel: { down_after_ms: 2000 }', 'acb'],
    ['one of each: the primary first, whose agent goes by the stricter of both', ', sentinel: { down_after_ms: 500 }, failover: { host_loss_ms: 300 }', 'bac'],
    ['nothing about the lease: as they stand', ', sentinel: { parallel_syncs: 2 }', 'abc'],
  ])('%s', (_what, to, expected) => {
    expect(order('', to, 'b')).toBe(expected)
  })

  test('who leaves goes before all others, whatever the lease asks for', () => {
    const four = (keys: string): Config =>
      parsed(`${head.replace('groups:', '  d: { ip: 10.0.0.4, interface: eth0 }\ngroups:')}  g: { mode: sentinel, ${keys} }\n`)
    const from = four('members: [a, b, c, d], sentinels: [a, b, c, d]')
    const to = four('members: [a, b, c], sentinels: [a, b, c]')
    const found = changesBetween(from, to)
    expect(found.map((c) => [c.what, c.needs])).toEqual([
      ['sentinel.quorum 3 → 2', 'agent'],
      ['d, member and Sentinel, is removed', 'agent'],
    ])
    const next = (left: readonly string[]) => nextHost({ config: to, changes: found, primaries: { g: 'b' }, left })
    expect([next(['a', 'b', 'c', 'd']), next(['a', 'b', 'c']), next(['a', 'c'])]).toEqual(['d', 'b', 'a'])
    expect(changesBetween(to, from).map((c) => c.host?.move)).toEqual([undefined, 'added'])
  })

  test('mode vip: with one voter more the primary takes it up last, with one less right after who leaves: those who are to hear it must be there', () => {
    const of = (members: string): Config => parsed(`${head}  g: { members: [${members}], witness: w, vip: 10.0.0.100/24 }\n`)
    const next = (from: Config, to: Config, left: readonly string[]) => nextHost({ config: to, changes: changesBetween(from, to), primaries: { g: 'a' }, left })
    const [two, three] = [of('a, b'), of('a, b, c')]
    expect([next(two, three, ['a', 'b', 'c', 'w']), next(two, three, ['a', 'c']), next(two, three, ['a'])]).toEqual(['b', 'c', 'a'])
    expect([next(three, two, ['a', 'b', 'w', 'c']), next(three, two, ['b', 'w', 'a'])]).toEqual(['c', 'a'])
  })

  test('two hosts at once: refused, for two majorities would have nobody in common; a name must stay under hosts until its host has left', () => {
    const more = (members: string, hosts = head): Config => parsed(`${hosts}  g: { members: [${members}], vip: 10.0.0.100/24 }\n`)
    expect(changesBetween(more('a, b'), more('b, c')).flatMap((c) => (c.host === undefined ? [] : [c.needs]))).toEqual(['refused', 'refused'])
    const gone = changesBetween(more('a, b, c'), more('a, b', head.replace(/ {2}c: .*\n/, '')))
    expect(gone.map((c) => [c.needs, c.why])).toEqual([['refused', expect.stringContaining('leave its name under `hosts`')]])
    const moved = changesBetween(more('a, b'), more('a, b', head.replace('10.0.0.2', '10.0.0.7')))
    expect(moved).toMatchObject([{ what: 'b moves from 10.0.0.2 to 10.0.0.7', needs: 'agent', host: { name: 'b', move: 'moved' } }])
  })

  test('two groups that ask for opposite orders have none', () => {
    const text = (ms: number): string =>
      group(`{ mode: sentinel, members: [a, b, c], sentinel: { down_after_ms: ${ms} } }`) +
      `  k: { mode: sentinel, members: [a, b, c], port: 6380, sentinel: { port: 26380, down_after_ms: ${ms} } }\n`
    const [from, to] = [parsed(text(1000)), parsed(text(500))]
    expect(nextHost({ config: to, changes: changesBetween(from, to), primaries: { g: 'a', k: 'b' }, left: ['a', 'b', 'c'] })).toBeNull()
  })
})

describe('while two values are in force, the lease of the primary goes by the smaller', () => {
  const holds = (ageMs: number, settings: readonly Partial<{ downAfterMs: number; quorum: number }>[]): boolean => {
    const base = { quorum: 2, downAfterMs: 1000, failoverTimeoutMs: 10_000, parallelSyncs: 1 }
    const sentinels = ['a', 'b', 'c'].map((host, i) => sentinel(host, { settings: { ...base, ...settings[i] } }, { ageMs }))
    const seen = view('a', [peer(word('b')), peer(word('c'))], { sentinels, redis: probe({ facts: primaryFacts() }) })
    return holdsLease(state('a', { phase: 'primary', servingRunId: 'run-1' }), seen, sentinelPolicy())
  }
  test('Sentinels that still find it down after 500 ms bind for 400 ms, although the agent has 1000 already', () => {
    expect(holds(399, [{ downAfterMs: 500 }, { downAfterMs: 500 }])).toBe(true)
    expect(holds(401, [{ downAfterMs: 500 }, { downAfterMs: 500 }])).toBe(false)
    expect(holds(401, [{ downAfterMs: 500 }])).toBe(true)
  })
  test('Sentinels with a longer time bind no longer than the agent is configured to count on', () => {
    const longer = { downAfterMs: 9000 }
    expect(holds(799, [longer, longer, longer])).toBe(true)
    expect(holds(801, [longer, longer, longer])).toBe(false)
  })
  test('a Sentinel that fell silent while it leads a failover is at it for as long as it is set to, not as this agent is configured', () => {
    const settings = { quorum: 2, downAfterMs: 1000, failoverTimeoutMs: 60_000, parallelSyncs: 1 }
    const leading = sentinel('c', { failover: { to: 'b' }, settings }, { reach: 'silent', ageMs: 20_000 })
    const seen = (sentinels: readonly ReturnType<typeof sentinel>[]) => view('a', [peer(word('b'))], { sentinels, redis: probe({ facts: primaryFacts() }) })
    const serving = state('a', { phase: 'primary', servingRunId: 'run-1' })
    expect(holdsLease(serving, seen([sentinel('a'), sentinel('b'), leading]), sentinelPolicy())).toBe(false)
    expect(holdsLease(serving, seen([sentinel('a'), sentinel('b'), { ...leading, ageMs: 60_001 }]), sentinelPolicy())).toBe(true)
  })

  test('one Sentinel that goes by a smaller quorum begins with fewer: more must stand behind the primary', () => {
    const sentinels = [sentinel('a'), sentinel('b')]
    const seen = view('a', [peer(word('b')), peer(word('c'))], { sentinels, redis: probe({ facts: primaryFacts() }) })
    const serving = state('a', { phase: 'primary', servingRunId: 'run-1' })
    const alone = { quorum: 1, downAfterMs: 1000, failoverTimeoutMs: 10_000, parallelSyncs: 1 }
    expect(holdsLease(serving, seen, sentinelPolicy())).toBe(true)
    expect(holdsLease(serving, { ...seen, sentinels: [sentinel('a'), sentinel('b', { settings: alone })] }, sentinelPolicy())).toBe(false)
  })
})

describe.skipIf(noRedis)('an agent is offered another configuration', () => {
  let dir = ''
  const file = (): string => join(dir, 'holdfast.yaml')
  const own = (): string => `api: { secret_file: secret }\npaths:\n  state: ${dir}/state # here\n${group('{ members: [a, b], vip: 10.0.0.100/24 }')}`
  beforeAll(async () => {
    dir = await mkdtemp(join(tmpdir(), 'holdfast-own-'))
    await writeFile(join(dir, 'secret'), '0123456789abcdef')
    await chmod(join(dir, 'secret'), 0o600)
  })
  afterAll(() => rm(dir, { recursive: true }))

  async function agent() {
    await writeFile(file(), own())
    await chmod(file(), 0o604)
    const { config, text } = await loadConfig(file())
    let changed: () => void = () => {}
    const told = new Promise<void>((resolve) => {
      changed = resolve
    })
    return { told, own: ownConfig({ config, text, host: 'a', problem: null, changed, leave: () => Promise.resolve(null) }) }
  }

  test('it is written with what is this host’s own, the old one is kept, and only then it starts anew', async () => {
    const { own: mine, told } = await agent()
    const { hash, text } = mine.running()
    const offered = group('{ members: [a, b], vip: 10.0.0.100/24, failover: { auto: false } } # new')
    expect(await mine.offer({ text: offered, from: hash, dryRun: true })).toMatchObject({ ok: true })
    expect(await readFile(file(), 'utf8')).toBe(own())
    expect(await mine.offer({ text: offered, from: hash, dryRun: false })).toMatchObject({ ok: true })
    await told
    const now = await loadConfig(file())
    expect([now.config.groups['g']?.failover.auto, now.config.paths.state]).toEqual([false, join(dir, 'state')])
    expect(now.text).toContain('# new')
    expect((await stat(file())).mode & 0o777, 'who may read it').toBe(0o604)
    const [kept] = await readdir(join(dir, 'state', 'config-history'))
    expect(await readFile(join(dir, 'state', 'config-history', kept ?? ''), 'utf8')).toBe(text)
  })

  test('a group that it has no part in any more is left before anything is written; if that fails, nothing is, and the agent goes on', async () => {
    await writeFile(file(), own().replace('[a, b]', '[a, b, c]'))
    const { config, text } = await loadConfig(file())
    const left: string[] = []
    let anew = 0
    const mine = (why: string | null) =>
      ownConfig({
        ...{
          config,
          text,
          host: 'a',
          problem: null,
          changed: () => {
            anew += 1
          },
        },
        leave: async (name) => {
          left.push(`${name}, with ${(await loadConfig(file())).config.groups['g']?.members.length} members`)
          return why
        },
      })
    const offered = { text: own().replace('[a, b]', '[b, c]'), from: mine(null).running().hash }
    expect(await mine('it serves').offer({ ...offered, dryRun: false })).toMatchObject({ ok: false, why: 'it cannot leave g: it serves' })
    expect((await loadConfig(file())).config.groups['g']?.members).toHaveLength(3)
    expect(await mine(null).offer({ ...offered, dryRun: true })).toMatchObject({ ok: true })
    expect(await mine(null).offer({ ...offered, dryRun: false })).toMatchObject({ ok: true })
    expect(left).toEqual(['g, with 3 members', 'g, with 3 members'])
    expect((await loadConfig(file())).config.groups['g']?.members.map((m) => m.host)).toEqual(['b', 'c'])
    await expect.poll(() => anew).toBe(2)
  })

  test.each([
    ['of another operator, who was first', (h: string) => ({ from: `${h}x`, text: own() }), /by now/],
    [
      'that names a file that is not here',
      (h: string) => ({ from: h, text: own().replace('members:', 'password_file: nowhere, members:') }),
      /nowhere does not exist/,
    ],
    [
      'with which no redis starts',
      (h: string) => ({ from: h, text: own().replace('members:', 'redis: { maxmemry: 1gb }, members:') }),
      /groups\.g\.redis\.maxmemry: redis \S+ does not start/,
      'HF403',
    ],
    ['with a mistake', (h: string) => ({ from: h, text: own().replace('members:', 'membres:') }), /membres/],
    [
      'without this host',
      (h: string) => ({ from: h, text: own().replace('  a: { ip: 10.0.0.1, interface: eth0 }\n', '').replace('[a, b]', '[b, c]') }),
      /no host a/,
    ],
  ])('one %s is refused, and nothing is written', async (_what, offer, why, code?: string) => {
    const { own: mine } = await agent()
    for (const dryRun of [true, false]) {
      const answer = await mine.offer({ ...offer(mine.running().hash), dryRun })
      expect([answer.ok, answer.why]).toEqual([false, expect.stringMatching(why)])
      if (code !== undefined) expect(answer.code).toBe(code)
    }
    expect(await readFile(file(), 'utf8')).toBe(own())
  })

  test('where nothing is a host’s own, the file is the operator’s to the letter', () => {
    const text = `hosts:   { }\n# a comment\n`
    expect(withOwnKeys(text, 'hosts: {}\n')).toBe(text)
    expect(withOwnKeys('api: { secret_file: x }\nhosts: {}\n', 'hosts: {}\n')).not.toContain('api')
  })
})
