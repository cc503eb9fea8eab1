/** The configuration contract: what is accepted, what the defaults are, and that every problem is named at once and in its place. */
import { describe, expect, test } from 'vitest'
import { defaultPriority, defaults, derivedVrid } from '../../src/config/defaults.ts'
import { ConfigError, findGroup, loadConfig, parseConfig } from '../../src/config/load.ts'
import { nearest } from '../../src/config/problem.ts'
import { OperatorError } from '../../src/model/error.ts'
import { group, head, minimal, problems } from './config-texts.ts'

describe('a good configuration', () => {
  test('a minimal one is complete', () => {
    const { config, problems: found } = parseConfig(minimal, '/x/holdfast.yaml')
    expect(found).toEqual([])
    expect(config).toEqual({
      file: '/x/holdfast.yaml',
      api: { port: 8420, secretFile: '/etc/holdfast/secret' },
      paths: { state: '/var/lib/holdfast', run: '/run/holdfast', redisServer: 'redis-server', redisSentinel: 'redis-sentinel', keepalived: 'keepalived' },
      hosts: {
        a: { name: 'a', ip: '10.0.0.1', interface: 'eth0' },
        b: { name: 'b', ip: '10.0.0.2', interface: 'eth0' },
        c: { name: 'c', ip: '10.0.0.3', interface: 'eth0' },
        w: { name: 'w', ip: '10.0.0.9' },
      },
      groups: {
        g: {
          name: 'g',
          mode: 'vip',
          members: [
            { host: 'a', port: 6379, priority: 250, neverPrimary: false },
            { host: 'b', port: 6379, priority: 240, neverPrimary: false },
          ],
          checkIps: [],
          vip: { ip: '10.0.0.100', prefix: 24 },
          vrid: derivedVrid('g'),
          unicastPeer: false,
          port: 6379,
          process: 'direct',
          redis: [],
          durability: 'available',
          maxFullSyncs: 1,
          failover: { auto: true, hostLossMs: 150, unresponsiveMs: 3000, maxPauseMs: 1000 },
          salvage: { maxBytes: 8 * 1024 ** 3, maxAgeMs: 30 * 24 * 3_600_000 },
        },
      },
    })
  })

  test('every key of the contract is read', () => {
    const { config, problems: found } = parseConfig(
      `api: { port: 9000, secret_file: ./secret }
paths: { state: state, run: /r, redis_server: ./bin/redis-server, redis_sentinel: redis-sentinel, keepalived: keepalived }
${group(`
    mode: vip
    members: [a, { host: b, priority: 100, never_primary: yes, replicate_from: a, port: 6400 }]
    witness: w
    check_ips: [10.0.0.254]
    vip: 10.0.0.100/24
    vrid: 7
    unicast_peer: on
    port: 6380
    password_file: pw
    process: external
    redis_conf: redis.conf
    redis: { maxmemory: 1gb, appendonly: true, save: ["900 1", "300 10"], databases: 16, notify-keyspace-events: "" }
    durability: available
    failover: { auto: no, host_loss_ms: 300, unresponsive_ms: 500, max_pause_ms: 20 }
    salvage: { max_mib: 100, max_age_days: 7 }`)}`,
      '/x/holdfast.yaml',
    )
    expect(found).toEqual([])
    expect(config?.api).toEqual({ port: 9000, secretFile: '/x/secret' })
    expect(config?.paths).toMatchObject({ state: '/x/state', run: '/r', redisServer: '/x/bin/redis-server', keepalived: 'keepalived' })
    expect(config?.groups['g']).toMatchObject({
      members: [
        { host: 'a', port: 6380, priority: 250 },
        { host: 'b', port: 6400, priority: 100, neverPrimary: true, replicateFrom: 'a' },
      ],
      witness: 'w',
      checkIps: ['10.0.0.254'],
      vrid: 7,
      unicastPeer: true,
      passwordFile: '/x/pw',
      process: 'external',
      redisConf: '/x/redis.conf',
      redis: [
        ['maxmemory', '1gb'],
        ['appendonly', 'yes'],
        ['save', '900 1'],
        ['save', '300 10'],
        ['databases', '16'],
        ['notify-keyspace-events', ''],
      ],
      failover: { auto: false, hostLossMs: 300, unresponsiveMs: 500, maxPauseMs: 20 },
      salvage: { maxBytes: 100 * 1024 ** 2, maxAgeMs: 7 * 24 * 3_600_000 },
    })
  })

  test('a default priority steps aside for a written one', () => {
    const { config } = parseConfig(group('{ members: [a, { host: b, priority: 250 }, c], vip: 10.0.0.100/24 }'), '/x')
    expect(config?.groups['g']?.members.map((member) => member.priority)).toEqual([249, 250, 230])
  })

  test('what has no effect, or is open to everybody, or waits for a person, is a warning', () => {
    const { warnings } = parseConfig(group('{ members: [a, b], witness: w, check_ips: [10.0.0.254], vip: 10.0.0.100/24 }'), '/x/h.yaml')
    expect(warnings).toEqual([
      expect.stringContaining('/x/h.yaml:7:3: groups.g: no `password_file`'),
      expect.stringContaining('groups.g.check_ips: not asked: with a `witness` votes decide'),
    ])
    const safe = parseConfig(group('{ members: [a, b], password_file: p, check_ips: [10.0.0.254], durability: safe }'), '/x/h.yaml')
    expect(safe.warnings).toEqual([
      expect.stringContaining('groups.g.check_ips: not asked: with `durability: safe` votes decide'),
      expect.stringContaining('groups.g.durability: without a `witness` nobody is promoted when a host is lost'),
    ])
    const whole = parseConfig(group('{ members: [a, b], witness: w, password_file: p, durability: safe }'), '/x/h.yaml')
    expect([whole.problems, whole.warnings, whole.config?.groups['g']?.durability]).toEqual([[], [], 'safe'])
  })

  test('a block may be written once and used again', () => {
    const text = `${head}  g: { members: [a, b], vip: 10.0.0.100/24, failover: &f { host_loss_ms: 300 } }\n  h: { members: [a, b], vip: 10.0.0.101/24, port: 6380, failover: { <<: *f, auto: false } }\n`
    expect(parseConfig(text, '/x').config?.groups['h']?.failover).toMatchObject({ hostLossMs: 300, auto: false })
  })

  test('default priorities leave the skew below a fifth of an advert and never reach 255', () => {
    expect(defaultPriority(0)).toBeLessThan(255)
    expect((256 - defaultPriority(4)) / 256).toBeLessThan(0.2)
  })

  test('derived router ids are stable and in range', () => {
    expect([derivedVrid('sessions'), derivedVrid('g')]).toEqual([89, 28])
    for (let index = 0; index < 2000; index += 1) {
      expect(derivedVrid(`group-${index}`)).toBeGreaterThanOrEqual(1)
      expect(derivedVrid(`group-${index}`)).toBeLessThanOrEqual(255)
    }
  })
})

/** Each row: what is wrong, the text, and all that must be said about it. */
const wrong: readonly (readonly [string, string, readonly string[]])[] = [
  ['unknown key', group('{ members: [a, b], prot: 6379 }'), ['7 «prot» groups.g.prot: unknown key; did you mean `port`?']],
  ['camel case key', `api: { secretFile: x }\n${minimal}`, ['1 «secretFile» api.secretFile: unknown key; did you mean `secret_file`?']],
  ['the password itself', group('{ members: [a, b], password: hunter2 }'), ['7 «password» groups.g.password: unknown key; did you mean `password_file`?']],
  ['doubled key', group('{ members: [a, b], port: 1, port: 2 }'), ['7 «port» : the key `port` stands twice; which one counts would be a guess']],
  ['no list', group('{ members: a }'), ['7 «a» groups.g.members: has the wrong shape']],
  ['one member', group('{ members: [a] }'), ['7 «members» groups.g.members: 1 member']],
  ['no members', group('{ vip: 10.0.0.100/24 }'), ['7 «g» groups.g: `members` is missing']],
  ['member twice', group('{ members: [a, a] }'), ['7 «a» groups.g.members[1]: host `a` is a member already']],
  ['unknown member', group('{ members: [a, redis-b] }'), ['7 «redis-b» groups.g.members[1]: there is no host `redis-b`']],
  ['member without host', group('{ members: [a, b, { priority: 3 }] }'), ['7 «{» groups.g.members[2]: `host` is missing']],
  ['unknown witness', group('{ members: [a, b], witness: x }'), ['7 «x» groups.g.witness: there is no host `x`']],
  ['witness is a member', group('{ members: [a, b], witness: b }'), ['7 «b» groups.g.witness: `b` is a member too; it would vote about itself']],
  [
    'equal priorities',
    group('{ members: [{ host: a, priority: 5 }, { host: b, priority: 5 }] }'),
    ['7 «5» groups.g.members[1].priority: priority 5 is also that of `a`'],
  ],
  [
    'nobody may be primary',
    group('{ members: [{ host: a, never_primary: true }, { host: b, never_primary: true }] }'),
    ['7 «members» groups.g.members: every member is `never_primary`, so nobody can serve'],
  ],
  [
    'replicates from itself',
    group('{ members: [a, { host: b, replicate_from: b }] }'),
    ['7 «b» groups.g.members[1].replicate_from: a member cannot replicate from itself'],
  ],
  [
    'replicates from a stranger',
    group('{ members: [a, { host: b, replicate_from: c }] }'),
    ['7 «c» groups.g.members[1].replicate_from: `c` is not a member of this group'],
  ],
  [
    'replicates in a circle',
    group('{ members: [a, { host: b, replicate_from: c }, { host: c, replicate_from: b }] }'),
    ['7 «c» groups.g.members[1].replicate_from: replicates in a circle: b → c → b'],
  ],
  ['vip without interface', group('{ members: [a, w], vip: 10.0.0.100/24 }'), ['5 «w» hosts.w: `interface` is missing; this host may hold the vip of `g`']],
  [
    'vip outside the network',
    group('{ members: [a, b], vip: 10.0.1.100/24 }'),
    [
      '7 «10.0.1.100/24» groups.g.vip: 10.0.1.100 is outside the network of host `a` (10.0.0.1/24)',
      '7 «10.0.1.100/24» groups.g.vip: 10.0.1.100 is outside the network of host `b` (10.0.0.2/24)',
    ],
  ],
  ['vip is a host', group('{ members: [a, b], vip: 10.0.0.3/24 }'), ['7 «10.0.0.3/24» groups.g.vip: 10.0.0.3 is the own ip of host `c`']],
  ['vip is the network', group('{ members: [a, b], vip: 10.0.0.0/24 }'), ['7 «10.0.0.0/24» groups.g.vip: 10.0.0.0 is the address of the network itself']],
  [
    'vip is the broadcast',
    group('{ members: [a, b], vip: 10.0.0.255/24 }'),
    ['7 «10.0.0.255/24» groups.g.vip: 10.0.0.255 is the broadcast address of 10.0.0.0/24'],
  ],
  ['vip without prefix', group('{ members: [a, b], vip: 10.0.0.100 }'), ['7 «10.0.0.100» groups.g.vip: cannot be "10.0.0.100"']],
  [
    'member port off the vip',
    group('{ members: [a, { host: b, port: 7000 }], vip: 10.0.0.100/24 }'),
    ['7 «7000» groups.g.members[1].port: port 7000 is not the port of the vip (6379)'],
  ],
  ['port out of range', group('{ members: [a, b], port: 65536 }'), ['7 «65536» groups.g.port: cannot be 65536']],
  ['port is the api', group('{ members: [a, b], port: 8420 }'), ["7 «8420» groups.g.port: port 8420 on `a`, `b` is the agent's own (`api: port`)"]],
  ['host loss too short', group('{ members: [a, b], failover: { host_loss_ms: 59 } }'), ['7 «59» groups.g.failover.host_loss_ms: cannot be 59']],
  [
    'later modes',
    group('{ members: [a, b], mode: cluster, process: systemd, durability: certain }'),
    [
      '7 «cluster» groups.g.mode: `cluster` is not available in this version',
      '7 «systemd» groups.g.process: `systemd` is not available in this version',
      '7 «certain» groups.g.durability: cannot be "certain"',
    ],
  ],
  [
    'check_ips that prove nothing',
    group('{ members: [a, b], vip: 10.0.0.100/24, check_ips: [10.0.0.1, 10.0.0.100] }'),
    [
      '7 «check_ips» groups.g.check_ips: 10.0.0.1 is the ip of the member `a`',
      '7 «check_ips» groups.g.check_ips: 10.0.0.100 is the vip, which is on this very host when it matters',
    ],
  ],
  [
    'safe, and a limit that is off or can never be met',
    group('{ members: [a, b], durability: safe, redis: { min-replicas-to-write: 2, min-slaves-max-lag: 0 } }'),
    [
      '7 «2» groups.g.redis.min-replicas-to-write: 2 with `durability: safe`',
      '7 «0» groups.g.redis.min-slaves-max-lag: 0 switches off what `durability: safe` needs',
    ],
  ],
  [
    'managed directive',
    group('{ members: [a, b], redis: { slaveof: no one } }'),
    ["7 «slaveof» groups.g.redis.slaveof: is Holdfast's to decide: who follows whom is decided while running; use `replicate_from` of a member for a cascade"],
  ],
  [
    'managed directive in capitals, twice',
    group('{ members: [a, b], redis: { PORT: [1, 2] } }'),
    ["7 «PORT» groups.g.redis.PORT: is Holdfast's to decide: use `port` of the group or of the member"],
  ],
  [
    'directive with a line break',
    group('{ members: [a, b], redis: { maxmemory: "1gb\\nport 1" } }'),
    ['7 «"» groups.g.redis.maxmemory: cannot be "1gb\\nport 1"'],
  ],
  ['unbalanced quotes', group(`{ members: [a, b], redis: { save: '"900 1' } }`), ["7 «'» groups.g.redis.save: the quotes are not balanced"]],
  [
    'bad names',
    `hosts: { -a: { ip: 10.0.0.1 } }\ngroups: { "a b": { members: [-a, -a] } }\n`,
    ['1 «-a» hosts.-a: is not usable as a name', '2 «"» groups.a b: is not usable as a name', '2 «-a» groups.a b.members[1]: host `-a` is a member already'],
  ],
  [
    'two hosts, one ip',
    `hosts: { a: { ip: 10.0.0.1 }, b: { ip: 10.0.0.1 } }\ngroups: { g: { members: [a, b] } }\n`,
    ['1 «10.0.0.1» hosts.b.ip: 10.0.0.1 is also the ip of host `a`'],
  ],
  [
    'loopback host',
    `hosts: { a: { ip: 127.0.0.1 }, b: { ip: 10.0.0.1 } }\ngroups: { g: { members: [a, b] } }\n`,
    ['1 «127.0.0.1» hosts.a.ip: 127.0.0.1 is a loopback address, which other hosts cannot reach'],
  ],
  ['bad ip', `hosts: { a: { ip: 10.0.0.01 }, b: { ip: 10.0.0.1 } }\ngroups: { g: { members: [a, b] } }\n`, ['1 «10.0.0.01» hosts.a.ip: cannot be "10.0.0.01"']],
  ['no ip', `hosts: { a: { interface: eth0 }, b: { ip: 10.0.0.1 } }\ngroups: { g: { members: [a, b] } }\n`, ['1 «a» hosts.a: `ip` is missing']],
  ['nothing', '', ['1 «» : the file holds no configuration']],
  ['no sections', 'api: { port: 1 }\n', ['1 «api» hosts: is missing', '1 «api» groups: is missing']],
  [
    'a feed at the port of redis',
    `${head}  g: { members: [a, b], migration: { feed_port: 6379 } }\n`,
    ['7 «6379» groups.g.migration.feed_port: port 6379 on `a`, `b` is also that of the redis'],
  ],
  [
    'two groups, one vip, one port, one table',
    `${head}  a-b: { members: [a, b], vip: 10.0.0.100/24, vrid: 3 }\n  a_b: { members: [b, c], vip: 10.0.0.100/24, vrid: 3 }\n`,
    [
      '8 «a_b» groups.a_b: port 6379 on `b` is also that of group `a-b`',
      '8 «a_b» groups.a_b: differs from group `a-b` only in `-` and `_`',
      '8 «10.0.0.100/24» groups.a_b.vip: 10.0.0.100 is also the vip of group `a-b`',
      '8 «vrid» groups.a_b.vrid: the VRRP router id 3 is also that of group `a-b`',
    ],
  ],
]

describe('a wrong configuration', () => {
  test.each(wrong)('%s', (_name, text, expected) => {
    expect(problems(text)).toEqual(expected)
  })

  test('every row of the table yields no config', () => {
    for (const [, text] of wrong) expect(parseConfig(text, '/x').config).toBeUndefined()
  })

  test('a syntax error has its place', () => {
    expect(problems('hosts:\n  a: [1, 2\ngroups: {}\n')[0]).toMatch(/^[23] «.*» : this is not YAML: /)
  })

  test('derived router ids that meet ask for an explicit one, and offer a free one', () => {
    const seen = new Map<number, string>()
    let pair: [string, string] | undefined
    for (let index = 0; pair === undefined; index += 1) {
      const name = `g${index}`
      const other = seen.get(derivedVrid(name))
      if (other !== undefined) pair = [other, name]
      seen.set(derivedVrid(name), name)
    }
    const text = `${head}  ${pair[0]}: { members: [a, b], vip: 10.0.0.100/24 }\n  ${pair[1]}: { members: [a, b], vip: 10.0.0.101/24, port: 6380 }\n`
    const found = parseConfig(text, '/x').problems
    expect(found).toHaveLength(1)
    expect(found[0]).toMatchObject({ line: 8, column: 3, accepted: 'an explicit `vrid` for one of them, such as `vrid: 1`' })
    expect(found[0]?.message).toContain('(derived from the name) is also that of')
  })

  test('shape, contradiction and doubled key are found in one run, in the order of the file', () => {
    const all = problems(
      `api: { prt: 1 }\n${head}  g: { members: [a, x], witness: a, port: yes, vip: 10.9.0.100/24, redis: { dir: / }, mode: vip, mode: vip }\n`,
    )
    expect(all.map((line) => line.split(' ')[2])).toEqual([
      'api.prt:',
      'groups.g.members[1]:',
      'groups.g.witness:',
      'groups.g.port:',
      'groups.g.vip:',
      'groups.g.redis.dir:',
      ':',
    ])
  })

  test('the error carries code, exit code, every place and the data', async () => {
    const error = await loadConfig('/nowhere/holdfast.yaml').catch((caught: unknown) => caught)
    expect(error).toBeInstanceOf(OperatorError)
    expect(error).toMatchObject({ code: 'HF101', exitCode: 2 })
    const many = new ConfigError('/x', parseConfig(group('{ members: [a], prot: 1 }'), '/x').problems)
    expect(many).toMatchObject({ code: 'HF102', exitCode: 2 })
    expect(many.message).toContain('/x: 2 problems\n  /x:7:8: groups.g.members: 1 member (accepted: 2 to 5 hosts)\n  /x:7:')
  })

  test('aliases that multiply are refused, not expanded', () => {
    const bomb = `a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n${Array.from({ length: 9 }, (_, index) => `a${index + 1}: &a${index + 1} [${Array(10).fill(`*a${index}`).join(', ')}]`).join('\n')}\n`
    expect(problems(bomb)[0]).toContain('this is not YAML')
  })
})

describe('names', () => {
  test.each([
    ['prot', 'port'],
    ['hostLossMs', 'host_loss_ms'],
    ['check-ips', 'check_ips'],
    ['memebrs', 'members'],
    ['zzz', undefined],
  ])('%s → %s', (word, expected) => {
    expect(nearest(word, ['port', 'host_loss_ms', 'check_ips', 'members'])).toBe(expected)
  })

  test('a name that every object has is not a group', () => {
    const { config } = parseConfig(minimal, '/x')
    if (config === undefined) throw new Error('the minimal configuration is good')
    expect(() => findGroup(config, 'constructor')).toThrow(expect.objectContaining({ code: 'HF104' }))
    expect(findGroup(config, 'g').name).toBe('g')
  })

  test('the default pause is below any common client timeout', () => {
    expect(defaults.maxPauseMs).toBeLessThan(2000)
  })
})
