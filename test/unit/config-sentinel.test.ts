/** The configuration of Sentinels, of a reader_vip and of a trial on loopback addresses: what is meant by default, and what is refused or warned of. */
import { describe, expect, test } from 'vitest'
import { defaultSentinels, derivedVrid } from '../../src/config/defaults.ts'
import { parseConfig } from '../../src/config/load.ts'
import { group, head, minimal, problems } from './config-texts.ts'

describe('a good configuration', () => {
  test('mode: sentinel says little and means much', () => {
    const {
      config,
      problems: found,
      warnings,
    } = parseConfig(group('{ mode: sentinel, members: [a, b, c], vip: 10.0.0.100/24, durability: safe }'), '/x/h.yaml')
    expect(found).toEqual([])
    expect(warnings).toEqual([expect.stringContaining('groups.g: no `password_file`')])
    expect(config?.groups['g']).toMatchObject({
      mode: 'sentinel',
      sentinel: { hosts: ['a', 'b', 'c'], port: 26_379, quorum: 2, downAfterMs: 1000, failoverTimeoutMs: 10_000, parallelSyncs: 1, process: 'direct' },
      durability: 'safe',
    })
    expect(parseConfig(minimal, '/x').config?.groups['g']).not.toHaveProperty('sentinel')
  })

  test('every key of the Sentinels is read; those without data need no interface', () => {
    const { config, problems: found } = parseConfig(
      group(`
    mode: sentinel
    members: [a, b]
    sentinels: [a, b, w]
    sentinel: { port: 26380, quorum: 2, down_after_ms: 500, failover_timeout_ms: 20000, parallel_syncs: 2, password_file: spw, process: external }
    vip: 10.0.0.100/24
    reader_vip: 10.0.0.101/24
    reader_vrid: 9`),
      '/x/holdfast.yaml',
    )
    expect(found).toEqual([])
    expect(config?.groups['g']).toMatchObject({
      process: 'direct',
      sentinel: {
        hosts: ['a', 'b', 'w'],
        port: 26_380,
        quorum: 2,
        downAfterMs: 500,
        failoverTimeoutMs: 20_000,
        parallelSyncs: 2,
        passwordFile: '/x/spw',
        process: 'external',
      },
      readerVip: { ip: '10.0.0.101', prefix: 24, vrid: 9 },
    })
  })

  test('Sentinels do as redis does: started by the same hands, on an odd number of the members', () => {
    const { config } = parseConfig(group('{ mode: sentinel, members: [a, b, c], process: external }'), '/x')
    expect(config?.groups['g']?.sentinel?.process).toBe('external')
    expect([3, 4, 5].map((count) => defaultSentinels(['a', 'b', 'c', 'd', 'e'].slice(0, count)).length)).toEqual([3, 3, 5])
  })

  test('Sentinels that gain nothing, are nervous, or open to everybody, are warnings', () => {
    const four = parseConfig(
      group(
        '{ mode: sentinel, members: [a, b, c], password_file: p, sentinels: [a, b, c, w], sentinel: { quorum: 2, down_after_ms: 299 }, vip: 10.0.0.100/24 }',
      ),
      '/x/h.yaml',
    )
    expect(four.problems).toEqual([])
    expect(four.warnings).toEqual([
      expect.stringContaining('groups.g.sentinels: 4 Sentinels survive the loss of 1, as 3 do'),
      expect.stringContaining('groups.g.sentinel: no `sentinel: password_file`'),
      expect.stringContaining(
        'groups.g.sentinel.quorum: 2 of 4 find the primary down and begin; 3 votes are needed all the same. And a primary that loses sight of 2',
      ),
      expect.stringContaining('groups.g.sentinel.down_after_ms: below 300 ms'),
    ])
  })

  test('one machine may play all hosts on loopback addresses, and hears what that is worth', () => {
    const text =
      'hosts: { a: { ip: 127.0.0.1 }, b: { ip: 127.0.0.2 }, c: { ip: 127.0.0.3 } }\ngroups: { g: { mode: sentinel, members: [a, b, c], password_file: p, sentinel: { password_file: p } } }\n'
    const { problems: found, warnings } = parseConfig(text, '/x/h.yaml')
    expect(found).toEqual([])
    expect(warnings).toEqual([
      expect.stringContaining('/x/h.yaml:1:1: hosts: all hosts have loopback addresses: a trial on one machine'),
      expect.stringContaining('no `vip`, so no guard'),
    ])
  })

  test('without a vip nobody stops a cut-off primary whose agent is dead: that is said, and what helps', () => {
    const warned = (more: string) =>
      parseConfig(group(`{ mode: sentinel, members: [a, b, c], password_file: p, sentinel: { password_file: p }${more} }`), '/x').warnings
    expect(warned('')).toEqual([expect.stringMatching(/groups\.g: no `vip`, so no guard: .* give it a `vip`, or .* \(`durability: safe`\)/)])
    expect(warned(', durability: safe')).toEqual([expect.stringContaining('stops it where no replica is cut off together with it')])
    expect(warned(', vip: 10.0.0.100/24')).toEqual([])
    // No redis takes a Sentinel's orders then, nobody is promoted unasked.
    expect(warned(', failover: { auto: false }')).toEqual([])
  })

  test('the reader_vip has a router id of its own', () => {
    const { config, problems: found } = parseConfig(group('{ members: [a, b], vip: 10.0.0.100/24, reader_vip: 10.0.0.101/24 }'), '/x')
    expect(found).toEqual([])
    expect(config?.groups['g']?.readerVip).toEqual({ ip: '10.0.0.101', prefix: 24, vrid: derivedVrid('g:reader') })
    expect(derivedVrid('g:reader')).not.toBe(derivedVrid('g'))
  })
})

/** Each row: what is wrong, the text, and all that must be said about it. */
const wrong: readonly (readonly [string, string, readonly string[]])[] = [
  [
    'keys of another mode',
    group('{ members: [a, b, c], sentinels: [a, b, c], sentinel: { quorum: 2 } }'),
    ['7 «sentinels» groups.g.sentinels: has a meaning only in `mode: sentinel`', '7 «sentinel» groups.g.sentinel: has a meaning only in `mode: sentinel`'],
  ],
  [
    'a witness beside Sentinels',
    group('{ mode: sentinel, members: [a, b, c], witness: w, check_ips: [10.0.0.254] }'),
    [
      '7 «witness» groups.g.witness: is for `mode: vip`: here the Sentinels vote',
      '7 «check_ips» groups.g.check_ips: is for `mode: vip`: here the Sentinels vote',
    ],
  ],
  [
    'Sentinels on two members only',
    group('{ mode: sentinel, members: [a, b] }'),
    ['7 «g» groups.g: 1 Sentinel (by default on the 2 members, of an even number on all but the last): the loss of one host leaves no majority'],
  ],
  [
    'two Sentinels',
    group('{ mode: sentinel, members: [a, b], sentinels: [a, b] }'),
    ['7 «sentinels» groups.g.sentinels: 2 Sentinels: the loss of one host leaves no majority'],
  ],
  [
    'Sentinels twice on a host, on an unknown one, on none',
    group('{ mode: sentinel, members: [a, b], sentinels: [a, a, x, {}] }'),
    [
      '7 «a» groups.g.sentinels[1]: host `a` has a Sentinel already: two on one host are lost together',
      '7 «x» groups.g.sentinels[2]: there is no host `x`',
      '7 «{» groups.g.sentinels[3]: cannot be {}',
    ],
  ],
  [
    'a quorum of all',
    group('{ mode: sentinel, members: [a, b, c], sentinel: { quorum: 3 } }'),
    ['7 «3» groups.g.sentinel.quorum: all 3 Sentinels: the loss of one host would end automatic failover'],
  ],
  [
    'a quorum of more than there are',
    group('{ mode: sentinel, members: [a, b, c], sentinel: { quorum: 4 } }'),
    ['7 «4» groups.g.sentinel.quorum: 4 of 3 Sentinels can never agree'],
  ],
  [
    'a quorum of one',
    group('{ mode: sentinel, members: [a, b, c], sentinel: { quorum: 1 } }'),
    ['7 «1» groups.g.sentinel.quorum: 1 Sentinel alone could find the primary down, so the primary must stop as soon as it loses sight of any one of them'],
  ],
  [
    'unknown and impossible values of a Sentinel',
    group(
      '{ mode: sentinel, members: [a, b, c], sentinel: { down_after: 9, down_after_ms: 199, parallel_syncs: 5, failover_timeout_ms: 999, process: systemd } }',
    ),
    [
      '7 «down_after» groups.g.sentinel.down_after: unknown key; did you mean `down_after_ms`?',
      '7 «199» groups.g.sentinel.down_after_ms: cannot be 199',
      '7 «5» groups.g.sentinel.parallel_syncs: cannot be 5',
      '7 «999» groups.g.sentinel.failover_timeout_ms: cannot be 999',
      '7 «systemd» groups.g.sentinel.process: `systemd` is not available in this version',
    ],
  ],
  [
    'two groups, one Sentinel port',
    `${head}  g: { mode: sentinel, members: [a, b, c] }\n  h: { mode: sentinel, members: [a, b], port: 6380, sentinels: [a, b, w] }\n`,
    ['8 «h» groups.h: port 26379 on `a`, `b` is also that of the Sentinel of group `g`'],
  ],
  [
    'a Sentinel on the port of redis, and on that of the agent',
    `${head}  g: { mode: sentinel, members: [a, b, c], sentinel: { port: 6379 } }\n  h: { mode: sentinel, members: [a, b, c], port: 6380, sentinel: { port: 8420 } }\n`,
    [
      '7 «6379» groups.g.sentinel.port: port 6379 on `a`, `b`, `c` is also that of the redis',
      "8 «8420» groups.h.sentinel.port: port 8420 on `a`, `b`, `c` is the agent's own (`api: port`)",
    ],
  ],
  [
    'redis on the port of the Sentinel of another group',
    `${head}  g: { mode: sentinel, members: [a, b, c] }\n  h: { members: [b, c], port: 26379 }\n`,
    ['8 «26379» groups.h.port: port 26379 on `b`, `c` is also that of the Sentinel of group `g`'],
  ],
  [
    'a reader_vip on a host without interface, and where a member listens elsewhere',
    group('{ members: [a, b, { host: w, never_primary: true, port: 7000 }], vip: 10.0.0.100/24, reader_vip: 10.0.0.101/24 }'),
    [
      '5 «w» hosts.w: `interface` is missing; this host may hold the reader_vip of `g`',
      '7 «7000» groups.g.members[2].port: port 7000 is not the port of the reader_vip (6379)',
    ],
  ],
  [
    'a reader_vip that is the vip, with its router id',
    group('{ members: [a, b], vip: 10.0.0.100/24, vrid: 7, reader_vip: 10.0.0.100/24, reader_vrid: 7 }'),
    [
      '7 «10.0.0.100/24» groups.g.reader_vip: 10.0.0.100 is also the vip of group `g`',
      '7 «reader_vrid» groups.g.reader_vrid: the VRRP router id 7 of the reader_vip is also that of group `g`',
    ],
  ],
  [
    'a vip on loopback',
    `hosts: { a: { ip: 127.0.0.1, interface: lo }, b: { ip: 127.0.0.2, interface: lo } }\ngroups: { g: { members: [a, b], vip: 127.0.0.100/8 } }\n`,
    ['2 «127.0.0.100/8» groups.g.vip: its members have loopback addresses, where VRRP does not run'],
  ],
]

test.each(wrong)('wrong: %s', (_name, text, expected) => {
  expect(problems(text)).toEqual(expected)
  expect(parseConfig(text, '/x').config).toBeUndefined()
})
