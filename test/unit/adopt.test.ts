/** Old pairs as people have set them up: what is dangerous in them, the configuration that would look after them, and what is no pair at all. */
import { readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { adoptionOf, type Adoption } from '../../src/adopt/adoption.ts'
import { accidents, type FindingName } from '../../src/adopt/finding.ts'
import { isHostFound, type HostFound } from '../../src/adopt/found.ts'
import type { PairWish } from '../../src/adopt/pair.ts'
import { parseConfig } from '../../src/config/parse.ts'
import { debianBackup, debianMaster, debianScripts, holding, master, notifyScript, replica, twoVips } from './old-pairs.ts'

function judged(found: readonly HostFound[], wish: PairWish = {}) {
  return adoptionOf(found, { name: 'sessions', etc: '/etc/holdfast', ...wish })
}

function adopted(found: readonly HostFound[], wish: PairWish = {}): Adoption {
  const it = judged(found, wish)
  if (!it.ok) throw new Error(`${it.code} ${it.why}`)
  return it.adoption
}

function refused(found: readonly HostFound[], wish: PairWish = {}): string {
  const it = judged(found, wish)
  return it.ok ? 'it is a pair' : `${it.code} ${it.why}`
}

/** By name, with its level. */
function named({ findings }: Adoption): readonly string[] {
  return [...new Set(findings.map(({ name, level }) => `${level} ${name}`))]
}

function said({ findings }: Adoption, name: FindingName): string {
  return findings
    .filter((one) => one.name === name)
    .map(({ host, found }) => `${host ?? 'pair'}: ${found}`)
    .join('\n')
}

const vip = '192.168.100.123'
const debian = (more: Parameters<typeof master>[0] = {}, its: Parameters<typeof replica>[0] = {}): readonly HostFound[] => [
  holding(master({ keepalived: debianMaster, texts: debianScripts, ...more }), vip),
  replica({ keepalived: debianBackup, ...its }),
]

describe('the recipe of redis 3.0 with one script for each state', () => {
  test('a supervisor that restarts the master empty, scripts that promote and follow at every transition, a host that floats back: each by name, with its figure', () => {
    const it = adopted(debian({ set: { save: '', appendonly: 'no' }, conf: 'save ""' }))
    expect(named(it)).toEqual(
      expect.arrayContaining(['red restarts-empty', 'red promotes-always', 'red follows-always', 'red follows-at-start', 'red floats-back']),
    )
    expect(named(it)).toEqual(expect.arrayContaining(['red both-state-master', 'yellow auth-pass-long', 'yellow password-in-script', 'yellow check-slow']))
    expect(said(it, 'restarts-empty')).toBe(
      'redis-a: save "" and appendonly no; redis-server.service starts it again (Restart=always, after 100ms); redis-b follows it',
    )
    // 2 s × 3, the skew of an advert of 3 s, and the sleeps of the slowest script of the other.
    expect(said(it, 'check-slow')).toMatch(/every 2 s × 3, advert_int 3: about \d+(\.\d)? s/)
    expect(it.stops).toEqual([])
  })

  test('the script of the other host was not read: it is said, and not taken for harmless', () => {
    expect(said(adopted(debian()), 'not-seen')).toContain('redis-b: notify_master /etc/keepalived/scripts/redis_master.sh')
  })

  test('the proposal has its addresses, vrid and files, no password, and the configuration takes it', () => {
    const secret = 'correct horse'
    const own = { passwords: { own: secret, masterauth: secret } }
    const { yaml, findings, takeover } = adopted(debian(own, own))
    expect(yaml).toContain('  redis-a: { ip: 192.168.100.201, interface: eth0 }')
    for (const line of [
      `vip: ${vip}/32`,
      'vrid: 51',
      'process: external',
      'password_file: /etc/holdfast/sessions.password',
      'redis_conf: /etc/redis/redis.conf',
    ])
      expect(yaml).toContain(line)
    expect(JSON.stringify([yaml, findings, takeover])).not.toContain(secret)
    expect(takeover.steps.flatMap(({ type }) => type)).toContainEqual(
      expect.stringMatching(/^REDISCLI_AUTH="\$\(cat \/etc\/holdfast\/\S+\)" redis-cli -p 6379 --rdb /),
    )
    const { config, problems } = parseConfig(yaml, '/etc/holdfast/holdfast.yaml')
    expect(problems).toEqual([])
    expect(config?.groups['sessions']).toMatchObject({ process: 'external', vrid: 51, vip: { ip: vip, prefix: 32 }, unicastPeer: false })
  })

  test('the steps: the old keepalived ends on the replica first, by a signal that runs no script, and only then are agents started', () => {
    const { takeover } = adopted(debian())
    const at = (pattern: RegExp, on: string) => takeover.steps.findIndex((step) => step.on === on && pattern.test(step.type.join('\n')))
    const order = [at(/SIGKILL/, 'redis-b'), at(/SIGKILL/, 'redis-a'), at(/holdfast agent/, 'redis-b'), at(/holdfast agent/, 'redis-a')]
    expect(order.every((one) => one >= 0)).toBe(true)
    expect(order).toEqual([...order].sort((one, two) => one - two))
    expect(takeover.wayBack.map(({ what }) => what).join('\n')).toContain('take out of keepalived.conf what makes redis a replica')
  })
})

describe('single mistakes in an old keepalived', () => {
  const plain = (state: string, priority: number, more = '', vrid = 51): string =>
    `vrrp_script chk { script "redis-cli ping"\n interval 1\n}\nvrrp_instance r {\n state ${state}\n interface eth0\n virtual_router_id ${vrid}\n priority ${priority}\n nopreempt\n virtual_ipaddress {\n ${vip}/24\n }\n ${more}\n}\n`
  const check = 'track_script {\n chk\n }'
  const pair = (one: string, two: string, texts = {}): Adoption =>
    adopted([holding(master({ keepalived: one, texts }), vip, 24), replica({ keepalived: two, texts })])

  test('nopreempt on both BACKUP, a check that asks redis: only that it takes its time', () => {
    expect(named(pair(plain('BACKUP', 110, check), plain('BACKUP', 100, check)))).toEqual(['yellow check-slow'])
  })

  const second = `}\nvrrp_instance web {\n interface eth0\n virtual_router_id 51\n virtual_ipaddress {\n 192.168.100.5\n }`
  const cases: readonly (readonly [name: string, it: () => Adoption])[] = [
    ['red vrids-differ', () => pair(plain('BACKUP', 110, check, 51), plain('BACKUP', 100, check, 52))],
    [
      'red vrid-twice',
      () =>
        adopted([holding(master({ keepalived: plain('BACKUP', 110, check + second) }), vip, 24), replica({ keepalived: plain('BACKUP', 100, check) })], {
          vip,
        }),
    ],
    ['yellow priorities-equal', () => pair(plain('BACKUP', 100, check), plain('BACKUP', 100, check))],
    ['red no-check', () => pair(plain('BACKUP', 110), plain('BACKUP', 100, check))],
    // On MASTER nopreempt does nothing.
    ['red floats-back', () => pair(plain('MASTER', 110, check), plain('BACKUP', 100, check))],
    [
      'yellow script-starts-redis',
      () => pair(plain('BACKUP', 110, `${check}\n notify_fault /f.sh`), plain('BACKUP', 100, check), { '/f.sh': 'systemctl restart redis-server' }),
    ],
    ['unseen not-seen', () => pair(plain('BACKUP', 110, `${check}\n @redis-a priority 50`), plain('BACKUP', 100, check))],
    [
      'yellow promotes-always',
      () =>
        pair(plain('BACKUP', 110, `${check}\n notify_master /m.sh`), plain('BACKUP', 100, check), {
          '/m.sh': 'redis-cli info | grep -q master_link_status:up && redis-cli slaveof no one',
        }),
    ],
  ]
  test.each(cases)('%s', (name, it) => {
    expect(named(it())).toContain(name)
  })

  test('redis must listen for clients, for the other host and for its agent', () => {
    const bound = (bind: string): string => {
      const [a, b] = debian({ set: { bind } })
      return a === undefined || b === undefined ? '' : said(adopted([a, b]), 'listens-elsewhere')
    }
    expect(bound('192.168.100.201 192.168.100.123')).toBe('redis-a: bind 192.168.100.201 192.168.100.123: not 127.0.0.1')
    expect(bound('127.0.0.1 192.168.100.201')).toContain('not 192.168.100.123')
    for (const every of ['', '* -::*', '0.0.0.0', '127.0.0.1 192.168.100.201 192.168.100.123 -::1']) expect(bound(every)).toBe('')
  })

  test('protected mode counts where nobody has said who may come in', () => {
    const open = { redis: { replicas: [] }, set: { bind: '', 'protected-mode': 'yes' } }
    const its = replica({ redis: { upstream: { host: '192.168.100.201', port: 6379 } } })
    expect(adopted([master(open), its]).stops.map(({ name }) => name)).toEqual(['protected-mode'])
    const own = { own: 'x', masterauth: 'x' }
    expect(adopted([master({ ...open, passwords: own }), { ...its, passwords: own }]).stops).toEqual([])
  })
})

describe('two instances, nopreempt, unicast, a check by process', () => {
  const found = (): readonly HostFound[] => {
    const on = (one: HostFound, ip: string): HostFound => ({ ...one, addresses: [{ interface: 'ens192', ip, prefix: 24 }] })
    const backup = twoVips
      .replace('priority 150', 'priority 140')
      .replace('priority 100', 'priority 110')
      .replace('unicast_src_ip 10.1.0.11', 'unicast_src_ip 10.1.0.12')
      .replace('\n    10.1.0.12\n', '\n    10.1.0.11\n')
    const texts = { '/opt/redis/notify.sh': notifyScript }
    const its = { upstream: { host: '10.1.0.20', port: 6379 } }
    return [
      holding(on(master({ keepalived: twoVips, texts }), '10.1.0.11'), '10.1.0.20', 24),
      holding(on(replica({ keepalived: backup, texts, redis: its }), '10.1.0.12'), '10.1.0.21', 24),
    ]
  }

  test('the address for writes is the one that is on the master and whose script speaks of redis; the other is not forgotten', () => {
    const it = adopted(found())
    expect(it.pair.vip).toMatchObject({ ip: '10.1.0.20', prefix: 24 })
    expect(said(it, 'more-addresses')).toBe('pair: 10.1.0.21')
    expect(it.yaml).toContain('unicast_peer: true')
    expect(it.takeover.steps.some(({ what }) => what.includes('take the instance redis_write out'))).toBe(true)
    expect(named(it)).toEqual(expect.arrayContaining(['yellow check-blind', 'red follows-at-start']))
    expect(named(it)).not.toContain('red floats-back')
  })

  test('as the reader address it is in the proposal, with its own vrid', () => {
    const it = adopted(found(), { readerVip: '10.1.0.21' })
    expect(it.yaml).toMatch(/reader_vip: 10\.1\.0\.21\/24\n {4}reader_vrid: 61/)
    expect(parseConfig(it.yaml, '/holdfast.yaml').problems).toEqual([])
    expect(it.findings.map(({ name }) => name)).not.toContain('more-addresses')
  })

  test('no script speaks of redis: which one is meant is asked', () => {
    const mute = found().map((one) => ({
      ...one,
      scripts: [],
      keepalivedConf: one.keepalivedConf && { ...one.keepalivedConf, nodes: one.keepalivedConf.nodes.map(withoutScripts) },
    }))
    expect(refused(mute)).toBe('HF915 keepalived has 10.1.0.20, 10.1.0.21, and which of them leads clients to the master is not plain')
    expect(adopted(mute, { vip: '10.1.0.20' }).pair.vip?.ip).toBe('10.1.0.20')
  })

  test('with a weight that is too small for the distance of the priorities the check moves nothing', () => {
    const weak = found().map((one, i) =>
      i === 0 && one.keepalivedConf ? { ...one, keepalivedConf: { ...one.keepalivedConf, nodes: reweighed(one.keepalivedConf.nodes, '-5') } } : one,
    )
    expect(said(adopted(weak), 'check-weak')).toBe('pair: check_redis: with weight -5 redis-a is left with 145, and redis-b has 140')
    expect(said(adopted(found()), 'check-weak')).toBe('')
  })
})

type Nodes = NonNullable<HostFound['keepalivedConf']>['nodes']

function withoutScripts(node: Nodes[number]): Nodes[number] {
  return { ...node, children: node.children.filter(({ words }) => !/^(notify|track_script)/.test(words[0] ?? '')) }
}

function reweighed(nodes: Nodes, weight: string): Nodes {
  return nodes.map(({ words, children, line }) => ({ line, words: words[0] === 'weight' ? ['weight', weight] : words, children: reweighed(children, weight) }))
}

describe('a pair without keepalived, in order', () => {
  test('nothing is found, nothing stops, and there is no step about keepalived', () => {
    const it = adopted([replica(), master()])
    expect(it.findings).toEqual([])
    expect(it.pair.primary.name).toBe('redis-a')
    expect(it.yaml).not.toContain('vip')
    expect(JSON.stringify(it.takeover)).not.toContain('keepalived')
    expect(parseConfig(it.yaml, '/holdfast.yaml').problems).toEqual([])
  })

  const spoilt: readonly (readonly [name: string, found: readonly HostFound[], stops: boolean])[] = [
    ['red restarts-empty', [master({ set: { save: '', appendonly: 'no' }, conf: '' }), replica()], false],
    ['yellow restarts-old', [master({ set: { appendonly: 'no' }, conf: '' }), replica()], false],
    ['red replica-writable', [master(), replica({ set: { 'replica-read-only': 'no' } })], false],
    ['red replica-writable', [master(), replica({ redis: { settings: null }, conf: 'replicaof 127.0.0.1 1\nslave-read-only no' })], true],
    ['yellow stale-refused', [master(), replica({ set: { 'replica-serve-stale-data': 'no' } })], false],
    ['yellow no-min-replicas', [master({ set: { 'min-replicas-to-write': '0' } }), replica()], false],
    ['red wrong-role-at-start', [master({ conf: 'slaveof 192.168.100.202 6379' }), replica()], false],
    ['red wrong-role-at-start', [master(), replica({ conf: 'appendonly yes' })], false],
    ['red renamed-needed', [master({ redis: { lacking: ['CONFIG'] } }), replica()], true],
    ['red renames-differ', [master({ conf: 'replicaof 127.0.0.1 1\nrename-command FLUSHALL ""' }), replica()], false],
    ['red watched-by-sentinels', [master({ redis: { watchedBySentinels: true } }), replica()], true],
    ['unseen not-seen', [master({ redis: { watchedBySentinels: null } }), replica()], false],
    ['red listens-elsewhere', [master({ set: { bind: '127.0.0.1 192.168.100.201' } }), replica({ set: { bind: '127.0.0.1' } })], true],
    ['red link-down', [master(), replica({ redis: { linkUp: false } })], true],
    ['red link-down', [master(), replica({ redis: { syncing: true } })], true],
    ['red too-old', [master({ redis: { version: '3.0.4', replid: '' } }), replica()], true],
    ['yellow no-switchover', [master({ redis: { version: '6.0.16' } }), replica()], false],
    ['yellow diskless-sync', [master({ redis: { version: '7.0.15' }, set: { 'repl-diskless-sync': 'yes' } }), replica()], false],
    ['yellow small-backlog', [master({ set: { 'repl-backlog-size': '1048576' } }), replica()], false],
    ['yellow cron', [master({ cron: ['/etc/crontab: * * * * * root /opt/redis-watchdog.sh'] }), replica()], false],
    [
      'yellow more-replicas',
      [
        master({
          redis: {
            replicas: [
              { ip: '192.168.100.202', port: 6379 },
              { ip: '192.168.100.207', port: 6379 },
            ],
          },
        }),
        replica(),
      ],
      false,
    ],
    ['red passwords-differ', [master({ passwords: { own: 'one', masterauth: 'two' } }), replica({ passwords: { own: 'two', masterauth: 'one' } })], true],
    ['red masterauth-missing', [master({ passwords: { own: 'x', masterauth: null } }), replica({ passwords: { own: 'x', masterauth: 'x' } })], false],
  ]
  test.each(spoilt)('%s (%#)', (name, found, stops) => {
    const it = adopted(found)
    expect(named(it)).toContain(name)
    expect(it.stops.length > 0).toBe(stops)
    for (const { accident } of it.findings) expect(accident.length).toBeGreaterThan(20)
  })

  test('a password that differs stands in no finding', () => {
    const it = adopted([
      master({ passwords: { own: 'first-secret', masterauth: null } }),
      replica({ passwords: { own: 'second-secret', masterauth: 'third-secret' } }),
    ])
    expect(JSON.stringify([it.findings, it.yaml, it.takeover])).not.toMatch(/(first|second|third)-secret/)
  })
})

describe('what is no pair', () => {
  const cases: readonly (readonly [why: RegExp, found: readonly HostFound[]])[] = [
    [/^HF914 a pair is two hosts/, [master()]],
    [/^HF914 a pair is two hosts/, [master(), replica(), replica({ host: 'redis-c' })]],
    [
      /^HF914 both are masters: redis-a has 1200 keys at offset 5000, redis-b 7 at 5000/,
      [master(), replica({ redis: { role: 'primary', upstream: null, keys: 7 } })],
    ],
    [
      /^HF914 neither is the master: redis-a follows 192.168.100.202:6379/,
      [master({ redis: { role: 'replica', upstream: { host: '192.168.100.202', port: 6379 } } }), replica()],
    ],
    [/^HF914 redis-b follows 192.168.100.9:6379, which is not redis-a/, [master(), replica({ redis: { upstream: { host: '192.168.100.9', port: 6379 } } })]],
    [/^HF914 redis-b follows 192.168.100.201:6380/, [master(), replica({ redis: { upstream: { host: '192.168.100.201', port: 6380 } } })]],
    [/^HF914 both files are of redis-a/, [master(), replica({ host: 'redis-a' })]],
    [/^HF914 both files are of redis\b/, [master({ host: 'redis.a.example' }), replica({ host: 'redis.b.example' })]],
    [/^HF914 both files are of one redis/, [master(), replica({ redis: { runId: 'a'.repeat(40) } })]],
    [/^HF914 redis-a listens on port 6380/, [master({ redis: { port: 6380 } }), replica()]],
    [/^HF914 the redis of redis-b is of a cluster/, [master(), replica({ redis: { isCluster: true } })]],
    [
      /^HF913 \/etc\/keepalived\/keepalived.conf of redis-b has no vrrp_instance/,
      [master({ keepalived: debianMaster }), replica({ keepalived: 'global_defs {\n}\n' })],
    ],
  ]
  test.each(cases)('%s', (why, found) => {
    expect(refused(found)).toMatch(why)
  })

  test('a replica that follows by name is known by what the master lists', () => {
    const byName = replica({ redis: { upstream: { host: 'redis-a.example', port: 6379 } } })
    expect(adopted([master(), byName]).pair.replica.name).toBe('redis-b')
    expect(refused([master({ redis: { replicas: [] } }), byName])).toMatch(/^HF914/)
  })

  test('the address is on the replica, on both, or nowhere: nothing begins', () => {
    const [a, b] = debian()
    if (a === undefined || b === undefined) throw new Error('no pair')
    const bare = { ...a, addresses: a.addresses.slice(0, 1) }
    expect(said(adopted([bare, b]), 'address-elsewhere')).toBe('pair: 192.168.100.123 was on neither host')
    expect(said(adopted([bare, holding(b, vip)]), 'address-elsewhere')).toContain('was on redis-b, and redis-a is the master')
    const both = adopted([a, holding(b, vip)])
    expect(both.stops.map(({ name }) => name)).toEqual(['address-elsewhere'])
  })

  test('a file of another shape is not taken for what look writes', () => {
    expect(isHostFound(JSON.parse(JSON.stringify(master())))).toBe(true)
    for (const other of [null, 3, {}, { ...master(), format: 2 }, { ...master(), redis: {} }]) expect(isHostFound(other)).toBe(false)
  })
})

test('docs/adopt.md has a row for every name, and for no other', () => {
  const doc = readFileSync(new URL('../../docs/adopt.md', import.meta.url), 'utf8')
  const rows = [...doc.matchAll(/^\| ([a-z-]+) \| (?:red|yellow|unseen)/gm)].map(([, name]) => name ?? '')
  expect([...rows].sort()).toEqual(Object.keys(accidents).sort())
})
