/** The renderers by property: what must hold for any input, where golden files show only one. */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { findGroup, parseConfig } from '../../src/config/load.ts'
import type { Config } from '../../src/model/config.ts'
import { advertMs, downIntervalMs, renderKeepalived, vrrpGroups } from '../../src/render/keepalived.ts'
import { leftOut, renderRedisConf } from '../../src/render/redis-conf.ts'
import { argsFor, managedDirectives, managedReason, nameFor, quoteWord, readConf, readVersion, splitWords } from '../../src/render/redis-directives.ts'

function configOf(group: string): Config {
  const { config, problems } = parseConfig(
    `hosts: { a: { ip: 10.0.0.1, interface: eth0 }, b: { ip: 10.0.0.2, interface: eth1 } }\ngroups: { g: { members: [a, b], vip: 10.0.0.9/24, ${group} } }\n`,
    '/etc/h.yaml',
  )
  if (config === undefined) throw new Error(JSON.stringify(problems))
  return config
}

function rendered(userConf: string, group = '', version = { major: 7, minor: 0 }) {
  const config = configOf(group)
  const found = findGroup(config, 'g')
  const member = found.members[0]
  if (member === undefined) throw new Error('the group has members')
  return renderRedisConf({ config, group: found, member, password: undefined, serverVersion: version, userConf })
}

test.each([
  ['Redis server v=6.2.16 sha=00000000:0 malloc=libc', { major: 6, minor: 2, valkey: false }],
  ['Valkey server v=8.1.1 sha=00000000:0', { major: 8, minor: 1, valkey: true }],
  ['keydb', null],
])('--version: %s', (text, version) => {
  expect(readVersion(text)).toEqual(version)
})

describe('redis.conf words', () => {
  test.each([
    ['save 900 1', ['save', '900', '1']],
    ['save ""', ['save', '']],
    [`requirepass "a \\"b\\" \\x41\\n"`, ['requirepass', 'a "b" A\n']],
    [`requirepass 'it\\'s "x" \\n'`, ['requirepass', `it's "x" \\n`]],
    ['a  b\tc # d', ['a', 'b', 'c', '#', 'd']],
  ])('%s', (line, words) => {
    expect(splitWords(line)).toEqual({ ok: true, words })
  })

  test.each(['a "b', "a 'b", 'a "b"c'])('unbalanced: %s', (line) => {
    expect(splitWords(line).ok).toBe(false)
  })

  test('what is quoted reads back as itself, as one word', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme' }), (word) => {
        expect(splitWords(`x ${quoteWord(word)}`)).toEqual({ ok: true, words: ['x', word] })
        expect(quoteWord(word)).not.toMatch(/[\n\r]/)
      }),
    )
  })

  test('a byte above 127 stays that byte', () => {
    const split = splitWords('x "\\xe9\\xFF"')
    expect(split.ok && split.words.map(quoteWord)).toEqual(['x', '"\\xe9\\xff"'])
  })

  test('lines keep their numbers; comments, blank lines and a byte order mark are nothing', () => {
    expect(readConf('\uFEFF# x\r\n\r\n  Save 1 2\r\nbad "\r\n')).toEqual({
      lines: [{ line: 3, directive: 'save', args: ['1', '2'] }],
      broken: [{ line: 4, why: 'the quotes are not balanced' }],
    })
  })

  test.each([
    [{ major: 4, minor: 0 }, 'replica-read-only', 'slave-read-only'],
    [{ major: 5, minor: 0 }, 'slave-read-only', 'replica-read-only'],
    [{ major: 3, minor: 0 }, 'min-replicas-to-write', 'min-slaves-to-write'],
    [{ major: 7, minor: 2 }, 'Maxmemory', 'maxmemory'],
  ])('%j speaks of %s as %s', (version, directive, expected) => {
    expect(nameFor(version, directive)).toBe(expected)
  })

  test('the class of an output buffer limit is named as the version names it', () => {
    expect(argsFor({ major: 4, minor: 0 }, 'client-output-buffer-limit', ['replica', '1mb'])).toEqual(['slave', '1mb'])
    expect(argsFor({ major: 7, minor: 0 }, 'client-output-buffer-limit', ['slave', '1mb'])).toEqual(['replica', '1mb'])
  })
})

describe('redis.conf', () => {
  test('BORN FENCED whatever the user wrote: the last word on replication is "nobody"', () => {
    const line = fc.oneof(
      fc.constantFrom(
        'replicaof no one',
        'slaveof no one',
        'SlaveOf 10.0.0.1 6379',
        'include /x',
        '"replicaof" no one',
        'replica-read-only no',
        "'slaveof' 10.0.0.1 1",
        'rename-command REPLICAOF x',
        'bind 127.0.0.1',
        'port 0',
      ),
      fc.string(),
    )
    fc.assert(
      fc.property(fc.array(line), fc.constantFrom(3, 4, 5, 6, 7), (lines, major) => {
        const { text } = rendered(lines.join('\n'), '', { major, minor: 0 })
        const words = readConf(text).lines.map((one) => [one.directive, ...one.args].join(' '))
        const old = major < 5
        expect(words.at(-1)).toBe(`${old ? 'slaveof' : 'replicaof'} 127.0.0.1 1`)
        expect(words.filter((word) => /^(replicaof|slaveof|include|rename-command) /.test(word))).toHaveLength(1)
        expect(words.filter((word) => /^(port|bind) /.test(word))).toEqual(['port 6379', 'bind 0.0.0.0'])
        expect(words).toContain(old ? 'slave-read-only yes' : 'replica-read-only yes')
      }),
    )
  })

  test('each managed directive in a user file is left out with its line and its reason', () => {
    const names = Object.keys(managedDirectives)
    const notes = leftOut(findGroup(configOf(''), 'g'), names.map((name) => `${name} x`).join('\n'))
    expect(notes).toEqual(names.map((name, index) => `line ${index + 1}: \`${name}\` is Holdfast's to decide; left out (${managedReason(name)})`))
  })

  test('a user line that says what Holdfast says anyway makes no note', () => {
    expect(rendered('daemonize no\nprotected-mode no\n').notes).toEqual([])
  })

  test("the backlog is the user's to choose, and 64 MB otherwise", () => {
    expect(rendered('').text).toContain('\nrepl-backlog-size 64mb\n')
    expect(rendered('repl-backlog-size 1gb').text).not.toContain('64mb')
    expect(rendered('', 'redis: { repl-backlog-size: 2gb }').text).toMatch(/^repl-backlog-size 2gb$/m)
    expect(rendered('', 'redis: { repl-backlog-size: 2gb }').text.match(/repl-backlog-size/g)).toHaveLength(1)
  })

  test('the `redis` key replaces the user file, line by line; output buffer limits add up', () => {
    const { text, notes } = rendered('save 1 1\nclient-output-buffer-limit normal 0 0 0\n', 'redis: { save: "", client-output-buffer-limit: pubsub 1mb 1mb 1 }')
    expect(text).toContain('\nsave ""\n')
    expect(text).not.toContain('save 1 1')
    expect(text.match(/^client-output-buffer-limit/gm)).toHaveLength(2)
    expect(notes).toEqual(['line 1: `save` is replaced by the `redis` key of the group; left out'])
  })

  test('nobody can lock the agent out by an ACL', () => {
    const { text, notes } = rendered('user default off\nuser app on >x ~* +@all\naclfile /etc/acl\n')
    expect(text).toContain('\nuser app on >x ~* +@all\n')
    expect(text).not.toMatch(/user default|aclfile/)
    expect(notes).toHaveLength(2)
  })

  test('no password, no password lines; old versions get no directive they do not know', () => {
    expect(rendered('').text).not.toMatch(/requirepass|masterauth/)
    expect(rendered('', '', { major: 3, minor: 0 }).text).not.toMatch(/protected-mode|announce/)
    expect(rendered('', '', { major: 3, minor: 2 }).text).toContain('protected-mode no')
  })
})

describe('keepalived.conf', () => {
  test.each([
    [150, 50],
    [60, 20],
    [100, 30],
    [1000, 330],
    [60_000, 20_000],
  ])('host loss after %i ms is an advert every %i ms', (hostLossMs, expected) => {
    expect(advertMs(hostLossMs)).toBe(expected)
  })

  test('the backup with the higher priority is the first to take over', () => {
    expect(downIntervalMs(150, 250)).toBeCloseTo(151.2, 1)
    expect(downIntervalMs(150, 240)).toBeGreaterThan(downIntervalMs(150, 250))
  })

  test('a host that may not hold the vip has no instance', () => {
    const { config } = parseConfig(
      'hosts: { a: { ip: 10.0.0.1, interface: eth0 }, b: { ip: 10.0.0.2 } }\ngroups: { g: { members: [a, { host: b, never_primary: true }], vip: 10.0.0.9/24, unicast_peer: true } }\n',
      '/x',
    )
    if (config === undefined) throw new Error('good')
    expect(vrrpGroups(config, 'a').map((group) => group.name)).toEqual(['g'])
    expect(vrrpGroups(config, 'b')).toEqual([])
    expect(renderKeepalived(config, 'b')).not.toContain('vrrp_instance')
    expect(renderKeepalived(config, 'a')).not.toContain('10.0.0.2')
  })

  test('a host that yields gives way to any advert, and does not announce its address again', () => {
    const yielding = renderKeepalived(configOf(''), 'b', { yielding: new Set(['g']), resuming: new Set() })
    expect(yielding).toMatch(/priority 1$/m)
    expect(yielding).not.toContain('garp_master_refresh')
    expect(renderKeepalived(configOf(''), 'b')).toContain('garp_master_refresh 1')
  })

  test('a keepalived that died where the address belongs comes back as its owner: at once, and with the leave that stands in the file', () => {
    const resuming = renderKeepalived(configOf(''), 'b', { yielding: new Set(), resuming: new Set(['g']) })
    expect(resuming).toMatch(/state MASTER\n {4}interface/)
    expect(resuming).toMatch(/priority 255$/m)
    expect(resuming).not.toContain('init_file')
    expect(resuming).toContain('weight 0 reverse')
  })

  test('never realtime, never preempting, always closed by default', () => {
    const text = renderKeepalived(configOf(''), 'b')
    expect(text).not.toMatch(/rt_priority|state MASTER/)
    expect(text).toContain('nopreempt')
    expect(text.match(/weight 0 reverse/g)).toHaveLength(2)
    expect(text).toContain('init_file 0 overwrite')
    expect(text).toContain('interface eth1')
  })
})
