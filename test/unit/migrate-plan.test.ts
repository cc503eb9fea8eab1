/**
 * The traps of a move, each as somebody met it: what is there, what the plan says of it. Nothing is green that was not seen, and nothing that is red can
 * be accepted.
 */
import { describe, expect, test } from 'vitest'
import { wayBackWarning } from '../../src/cli/migrate-begin.ts'
import { trapNames } from '../../src/migrate/check.ts'
import type { Source, Target, Wish } from '../../src/migrate/facts.ts'
import { planOf } from '../../src/migrate/plan.ts'
import { redis, source, target } from './migration-facts.ts'

const wish: Wish = { accepted: [], overwrite: null }
const plan = (from: Source, to: Target, more: Partial<Wish> = {}) => planOf(from, to, { ...wish, ...more })
const of = (id: string, from: Source, to: Target, more: Partial<Wish> = {}) => plan(from, to, more).traps.find((one) => one.id === id)
const fine = () => target('7.0.15')

test('what is in order may begin: every trap was looked for, and each is green', () => {
  const found = plan(source('7.0.15'), fine())
  expect(found.traps.map(({ id }) => id)).toEqual(Object.keys(trapNames))
  expect(found.traps.filter(({ level }) => level !== 'green')).toEqual([])
  expect([found.stops, found.fence, found.wayBack]).toEqual([[], 'CLIENT PAUSE WRITE', 'replica'])
})

describe('P1: what the replica cannot read empties it', () => {
  // Facts A3.1: 64 pairs were played; it works where the format of the primary is not above that of the replica.
  const versions = ['3.0.4', '3.2.4', '4.0.10', '5.0.14', '6.2.16', '7.0.15', '7.2.6', '7.4.1']
  test.each(versions.flatMap((from, i) => versions.map((to, j) => [from, to, i <= j || [from, to].every((v) => /^[56]\./.test(v))] as const)))(
    '%s → %s: %s',
    (from, to, works) => {
      expect(of('P1', source(from), target(to))?.level).toBe(works ? 'green' : 'red')
    },
  )

  test.each([
    ['7.0.15', 'valkey 8.1.1', 'green'],
    ['7.4.1', 'valkey 8.1.1', 'red'],
    ['8.0.2', 'valkey 9.0.0', 'red'],
    ['valkey 8.1.1', 'valkey 9.0.0', 'green'],
    ['valkey 9.0.0', '8.0.2', 'red'],
    ['valkey 8.0.1', '7.2.4', 'green'],
    ['valkey 8.0.1', '7.0.15', 'red'],
    ['9.9.9', '7.0.15', 'unseen'],
    ['7.0.15', '9.9.9', 'unseen'],
  ])('%s → %s: %s', (from, to, level) => {
    expect(of('P1', source(from), target(to))?.level).toBe(level)
  })

  test('what a server writes counts for more than what its version should write', () => {
    const told = source('9.9.9', { rdbFormat: { ok: true, value: 10 } })
    expect(of('P1', told, fine())?.level).toBe('green')
    expect(of('P1', source('7.0.15', { rdbFormat: { ok: true, value: 12 } }), fine())?.level).toBe('red')
  })
})

const incidents: readonly (readonly [id: string, what: string, from: Source, to: Target, level: string, words: RegExp])[] = [
  [
    'P2',
    'SELECT 20 fails on the replica, and the next SET lands in database 0',
    source('7.0.15', { highestDb: 20 }, { databases: '32' }),
    fine(),
    'red',
    /keys in database 20/,
  ],
  ['P2', 'no key there yet, but it may be used at any time', source('7.0.15', {}, { databases: '32' }), fine(), 'red', /one SELECT above is enough/],
  ['P2', 'more than enough', source('7.0.15'), target('7.0.15', {}, { databases: '64' }), 'green', /64 databases/],
  [
    'P3',
    '71 % of the keys are dropped 1.5 s after the promotion',
    source('7.0.15'),
    target('7.0.15', {}, { maxmemory: '2000000000' }),
    'red',
    /maxmemory is 1.9 GiB/,
  ],
  [
    'P3',
    'enough for today, and not for what the source may grow to',
    source('7.0.15'),
    target('7.0.15', {}, { maxmemory: '3000000000' }),
    'yellow',
    /that of the source not limited/,
  ],
  ['P3', 'a machine that is too small', source('7.0.15'), target('7.0.15', { machineBytes: 2e9 }), 'red', /its machine has/],
  ['P3', 'another policy', source('7.0.15', {}, { 'maxmemory-policy': 'allkeys-lru' }), fine(), 'yellow', /noeviction, that of the source allkeys-lru/],
  [
    'P4',
    'FLUSHALL is renamed on the replica: it keeps what its primary has dropped',
    source('7.0.15', { calls: { ok: true, value: new Map([['flushall', 1]]) } }),
    target('7.0.15', { commands: { ok: true, value: new Set(['get', 'set', 'del']) } }),
    'red',
    /does not know flushall, which the stream of the source has/,
  ],
  [
    'P4',
    'a command that nobody has used',
    source('7.0.15'),
    target('7.0.15', { commands: { ok: true, value: new Set(['get', 'set', 'del', 'flushall', 'evalsha']) } }),
    'yellow',
    /do not agree on xadd, which INFO commandstats/,
  ],
  [
    'P4',
    'with subcommands, as 7.0 counts them',
    source('7.0.15', { calls: { ok: true, value: new Map([['xadd|x', 1]]) } }),
    target('7.0.15', { commands: { ok: true, value: new Set(['get']) } }),
    'red',
    /xadd/,
  ],
  [
    'P4',
    'the words of HTTP, which only old versions list',
    source('6.0.16', { commands: { ok: true, value: new Set(['get', 'set', 'host:', 'post']) } }),
    fine(),
    'green',
    /it knows all/,
  ],
  ['P4', 'what is asked for cannot be seen', source('7.0.15', { calls: { ok: false, why: 'NOPERM' } }), fine(), 'unseen', /NOPERM/],
  [
    'P5',
    'a module is missing',
    source('7.0.15', { modules: { ok: true, value: ['bf', 'ReJSON'] } }),
    target('7.0.15', { modules: { ok: true, value: ['bf'] } }),
    'red',
    /lacks ReJSON/,
  ],
  ['P6', 'a password that the group does not ask for', { ...source('7.0.15'), hasPassword: true }, fine(), 'yellow', /the group has none/],
  [
    'P6',
    'users that are not there: ACLs are not replicated',
    source('7.0.15', { users: { ok: true, value: ['user default on', 'user app on'] } }),
    target('7.0.15', { users: { ok: true, value: ['user default on'] } }),
    'yellow',
    /red-a: users app are not known to it; red-b/,
  ],
  [
    'P7',
    'EVALSHA, and scripts that no RDB has',
    source('7.0.15', { calls: { ok: true, value: new Map([['evalsha', 7]]) } }),
    fine(),
    'yellow',
    /7 calls by EVALSHA/,
  ],
  [
    'P7',
    'between versions that hand scripts to replicas',
    source('5.0.14', { calls: { ok: true, value: new Map([['evalsha', 7]]) } }),
    target('6.2.16'),
    'green',
    /hand scripts/,
  ],
  ['P7', 'functions, and a target that has none', source('7.0.15', { functions: { ok: true, value: 2 } }), target('6.2.16'), 'red', /2 libraries/],
  [
    'P8',
    'who listens for events hears nothing any more',
    source('7.0.15', {}, { 'notify-keyspace-events': 'KEA' }),
    fine(),
    'yellow',
    /notify-keyspace-events KEA → ""/,
  ],
  [
    'P8',
    'settings that may not be asked for',
    source('7.0.15', { settings: { ok: false, why: 'unknown command CONFIG' } }),
    fine(),
    'unseen',
    /unknown command CONFIG/,
  ],
  ['P9', 'its last save failed', source('7.0.15', { failed: ['save'] }), fine(), 'red', /it failed: save/],
  ['P9', 'a fork that holds everybody up', source('7.0.15', { forkUs: 800_000 }), fine(), 'yellow', /800 ms/],
  ['P9', 'no room for what is copied', source('7.0.15', { rssBytes: 12e9 }), fine(), 'yellow', /half of that again/],
  ['P10', 'a machine without room for the buffers', source('7.0.15', { bytesPerS: 40_000_000, rssBytes: 15e9 }), fine(), 'yellow', /its machine has/],
  ['P11', 'a cluster', source('7.0.15', { isCluster: true }), fine(), 'red', /node of a cluster/],
  ['P11', 'a replica', source('7.0.15', { role: 'replica', upstream: { host: '10.9.9.9', port: 6379 } }), fine(), 'red', /replica of 10\.9\.9\.9/],
  [
    'P11',
    'one that refuses writes by our hand: there is no primary to name',
    source('7.0.15', { role: 'replica', upstream: { host: '127.0.0.1', port: 1 } }),
    fine(),
    'red',
    /replica of nobody: Holdfast made it refuse writes/,
  ],
  ['P11', 'a circle', source('7.0.15', { role: 'replica', upstream: { host: '10.0.1.0', port: 6379 } }), fine(), 'red', /where it is to go/],
  ['P11', 'a member of the group', source('7.0.15', { runId: '1'.repeat(40) }), fine(), 'red', /itself a member/],
  ['P11', 'a group whose Sentinels are external', source('7.0.15'), { ...fine(), externalSentinels: true }, 'red', /take it for down/],
  ['P11', 'Sentinels', source('7.0.15', { watchedBySentinels: { ok: true, value: true } }), fine(), 'yellow', /Sentinels watch/],
  [
    'P12',
    'clocks, before times to live were points in time',
    source('6.2.16', { clock: { ok: true, value: { aheadMs: 900, withinMs: 1 } } }),
    target('6.2.16'),
    'red',
    /differ by 899 ms/,
  ],
  ['P12', 'clocks, since', source('7.0.15', { clock: { ok: true, value: { aheadMs: 900, withinMs: 1 } } }), fine(), 'yellow', /differ by 899 ms/],
  ['P13', 'TLS on both sides', { ...source('7.0.15'), tls: true }, target('7.0.15', {}, { 'tls-replication': 'yes' }), 'red', /its own agent/],
  ['P15', 'a cloud', source('7.0.15', { psync: { may: false, why: "ERR unknown command 'PSYNC'" } }), fine(), 'red', /unknown command/],
  ['P16', 'no backup', { ...source('7.0.15'), backup: null }, fine(), 'yellow', /no backup/],
  ['P17', 'data on the target', source('7.0.15'), target('7.0.15', { keys: 5 }), 'red', /red-a has 5 keys/],
  [
    'P17',
    'what it received from that source before',
    source('7.0.15', { replid: 'c'.repeat(40) }),
    target('7.0.15', { keys: 5, role: 'replica', replid: 'c'.repeat(40) }),
    'green',
    /red-a has 5 keys, which it received/,
  ],
  ['P17', 'a group that is not well', source('7.0.15'), { ...fine(), unwell: 'red-b is down' }, 'red', /red-b is down/],
  [
    'P4',
    'a command that redis itself sends is missing: expiry comes as DEL',
    source('7.0.15'),
    target('7.0.15', { commands: { ok: true, value: new Set(['get', 'set', 'flushall', 'evalsha', 'xadd']) } }),
    'red',
    /does not know del/,
  ],
  [
    'P4',
    'renamed on the source: its stream has the other name',
    source('7.0.15', { renamed: ['flushall'], calls: { ok: true, value: new Map([['flushall', 1]]) } }),
    target('7.0.15'),
    'red',
    /has renamed flushall/,
  ],
  [
    'P2',
    'how many the source may use is not told',
    source('7.0.15', { settings: { ok: false, why: 'NOPERM' } }),
    fine(),
    'unseen',
    /it uses database 0 only, and may use more/,
  ],
  [
    'P3',
    'the limits of the source are not told, and the target drops keys',
    source('7.0.15', { settings: { ok: false, why: 'NOPERM' } }),
    target('7.0.15', {}, { maxmemory: '9000000000', 'maxmemory-policy': 'allkeys-lru' }),
    'unseen',
    /maxmemory-policy` of the source/,
  ],
  ['P3', 'the memory of the machine is not told', source('7.0.15'), target('7.0.15', { machineBytes: 0 }), 'unseen', /memory of its machine/],
  ['P6', 'another password', { ...source('7.0.15'), hasPassword: true }, { ...fine(), hasPassword: true, samePassword: false }, 'yellow', /another password/],
  [
    'P6',
    'a user of the same name behind another door',
    source('7.0.15', { users: { ok: true, value: ['user app on #aaa ~* +@all'] } }),
    target('7.0.15', { users: { ok: true, value: ['user app off ~* -@all'] } }),
    'yellow',
    /have another password there, or other rights/,
  ],
  [
    'P7',
    'whether there are functions is not told',
    source('7.0.15', { functions: { ok: false, why: 'NOPERM' } }),
    target('6.2.16'),
    'unseen',
    /whether the source has functions/,
  ],
  [
    'P7',
    'before 4.0 scripts are in no RDB either',
    source('3.2.4', { calls: { ok: true, value: new Map([['evalsha', 7]]) } }),
    target('3.2.4'),
    'yellow',
    /7 calls by EVALSHA/,
  ],
  [
    'P8',
    'on the second member alone',
    source('7.0.15', {}, { timeout: '300' }),
    { ...fine(), members: [...target('7.0.15', {}, { timeout: '300' }).members.slice(0, 1), ...fine().members.slice(1)] },
    'yellow',
    /^red-b: timeout 300 → 0$/,
  ],
  ['P11', 'who is connected is not told', source('7.0.15', { watchedBySentinels: { ok: false, why: 'NOPERM' } }), fine(), 'unseen', /whether Sentinels watch/],
  [
    'P12',
    'a clock that was read over a slow wire',
    source('6.2.16', { clock: { ok: true, value: { aheadMs: 99, withinMs: 3000 } } }),
    target('6.2.16'),
    'unseen',
    /known to 3001/,
  ],
  ['P13', 'TLS on the other side', source('7.0.15'), target('7.0.15', {}, { 'tls-replication': 'yes' }), 'red', /reached without TLS/],
  ['P15', 'an ACL that may not be asked', source('7.0.15', { psync: { may: null, why: 'NOPERM' } }), fine(), 'unseen', /NOPERM/],
  [
    'P3',
    'one member is too small for later, and the other does not answer: both are told',
    source('7.0.15'),
    {
      ...fine(),
      members: [...target('7.0.15', {}, { maxmemory: '3000000000' }).members.slice(0, 1), { host: 'red-b', redis: { ok: false, why: 'ECONNREFUSED' } }],
    },
    'yellow',
    /red-a: .*; red-b was not seen/,
  ],
]

test.each(incidents)('%s, %s', (id, _what, from, to, level, words) => {
  const found = of(id, from, to)
  expect([found?.level, found?.measured]).toEqual([level, expect.stringMatching(words)])
  expect(found?.why.length).toBeGreaterThan(20)
  if (level === 'red' || level === 'yellow') expect(found?.fix, 'what mends it').not.toBeNull()
})

test('yellow and what was not seen may be accepted, each by its number; red never', () => {
  const from = { ...source('7.0.15', { highestDb: 20, calls: { ok: false, why: 'NOPERM' } }), backup: null }
  expect(plan(from, fine()).stops).toEqual(['P2', 'P4', 'P7', 'P16'])
  const some = plan(from, fine(), { accepted: ['p16', 'P7', 'P4', 'P2', 'P1'] })
  expect([some.stops, some.needless]).toEqual([['P2'], ['P2', 'P1']])
})

test('the one whose data may go is named by its run id: nobody else is emptied by it', () => {
  expect(of('P17', source('7.0.15'), target('7.0.15', { keys: 5 }), { overwrite: '1'.repeat(40) })?.level).toBe('green')
  expect(of('P17', source('7.0.15'), target('7.0.15', { keys: 5 }), { overwrite: '2'.repeat(40) })?.level).toBe('red')
})

test('a member that does not answer is not taken for good by any trap that is about it', () => {
  const gone: Target = {
    ...fine(),
    members: fine().members.map((m) => (m.host === 'red-b' ? { host: 'red-b', redis: { ok: false, why: 'ECONNREFUSED' } } : m)),
  }
  const levels = plan(source('7.0.15'), gone)
    .traps.filter(({ level }) => level !== 'green')
    .map(({ id, level }) => `${id} ${level}`)
  expect(levels).toEqual(['P1 unseen', 'P2 unseen', 'P3 unseen', 'P4 unseen', 'P5 unseen', 'P8 unseen', 'P12 unseen', 'P13 unseen', 'P17 red'])
})

describe('the way back', () => {
  test.each([
    ['7.0.15', '7.0.15', 'replica'],
    ['7.0.15', '7.4.1', 'feed'],
    ['6.0.16', '7.0.15', 'feed'],
    ['4.0.14', '7.0.15', 'feed'],
    ['3.2.13', '7.0.15', 'fenced copy'],
    ['5.0.14', '6.2.16', 'replica'],
    ['7.0.15', 'valkey 8.1.1', 'feed'],
  ])('%s → %s: a %s', (from, to, back) => {
    const found = plan(source(from), target(to))
    expect([found.wayBack, wayBackWarning(found)?.includes('no way back') === true], 'it is told before where there is none').toEqual([
      back,
      back === 'fenced copy',
    ])
  })
})

test('sizes: what is too small for the first sync is raised, under names that this version takes, and nothing that is large enough', () => {
  const { sizing } = plan(source('4.0.10', { bytesPerS: 10_000_000, usedBytes: 4e9 }), target('7.0.15'))
  // 4 GB twice at 100 MB/s, and three times the rate that was seen.
  expect([sizing.firstSyncS, sizing.bytesPerS]).toEqual([81, 30_000_000])
  expect(sizing.raises?.map(({ name, to }) => `${name} ${to}`)).toEqual([
    'repl-backlog-size 3015704576',
    'client-output-buffer-limit slave 4860149760 4860149760 0',
    'repl-timeout 162',
    'repl-diskless-sync-delay 0',
    'repl-backlog-ttl 0',
  ])
  const large = {
    'repl-backlog-size': '4000000000',
    'client-output-buffer-limit': 'slave 0 0 0',
    'repl-timeout': '600',
    'repl-diskless-sync': 'no',
    'repl-backlog-ttl': '0',
  }
  expect(plan(source('4.0.10', {}, large), target('7.0.15')).sizing.raises).toEqual([])
})

test('settings: one table, old names told from new ones', () => {
  const from = source('3.2.4', {}, { 'hash-max-ziplist-entries': '64', timeout: '300' })
  const told = redis('7.0.15').settings
  const now = new Map(told.ok ? told.value : [])
  now.delete('hash-max-ziplist-entries')
  now.set('hash-max-listpack-entries', '512')
  const found = plan(from, target('7.0.15', { settings: { ok: true, value: now } }))
  expect(found.settings?.map(({ name, source: was, target: is, felt }) => [name, was, is, felt])).toEqual([
    ['timeout', '300', '0', true],
    ['hash-max-listpack-entries', '64', '512', false],
  ])
  expect(redis('7.0.15').version.major).toBe(7)
})
