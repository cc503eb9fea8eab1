/** `persistence` of a group: the words, what they come to, what contradicts them, and what redis gets. */
import { describe, expect, test } from 'vitest'
import { changesBetween } from '../../src/config/change.ts'
import { parseConfig } from '../../src/config/load.ts'
import { restartExposures } from '../../src/config/restart.ts'
import type { Config, GroupConfig } from '../../src/model/config.ts'
import { renderRedisConf, wantsAof } from '../../src/render/redis-conf.ts'

function read(lines: readonly string[]): ReturnType<typeof parseConfig> {
  const head = [
    'api: { secret_file: /s }',
    'hosts: { a: { ip: 10.0.0.1, interface: eth0 }, b: { ip: 10.0.0.2, interface: eth0 } }',
    'groups:',
    '  g:',
    '    members: [a, b]',
  ]
  return parseConfig([...head, ...lines.map((line) => `    ${line}`)].join('\n'), '/h.yaml')
}
function config(...lines: readonly string[]): Config {
  const { config: found, problems } = read(lines)
  if (found === undefined) throw new Error(JSON.stringify(problems))
  return found
}
function group(...lines: readonly string[]): GroupConfig {
  const found = config(...lines).groups['g']
  if (found === undefined) throw new Error('no group')
  return found
}
const problemsOf = (...lines: readonly string[]): readonly string[] => read(lines).problems.map((p) => `${p.path}: ${p.message} (${p.accepted ?? ''})`)

const usual = [
  { seconds: 3600, changes: 1 },
  { seconds: 300, changes: 100 },
  { seconds: 60, changes: 10_000 },
]
const none = { save: [], aof: 'off' }

describe('the words', () => {
  test.each([
    ['none', none, none],
    ['rdb', { save: usual, aof: 'off' }, { save: usual, aof: 'off' }],
    ['aof', { save: [], aof: 'everysec' }, { save: [], aof: 'everysec' }],
    ['aof-everysec', { save: [], aof: 'everysec' }, { save: [], aof: 'everysec' }],
    ['aof-always', { save: [], aof: 'always' }, { save: [], aof: 'always' }],
    ['rdb+aof-no', { save: usual, aof: 'no' }, { save: usual, aof: 'no' }],
    ['replicas-aof', none, { save: [], aof: 'everysec' }],
    ['{ primary: none, replica: rdb+aof }', none, { save: usual, aof: 'everysec' }],
    ['{ primary: rdb, replica: aof, save: ["900 1"] }', { save: [{ seconds: 900, changes: 1 }], aof: 'off' }, { save: [], aof: 'everysec' }],
  ])('%s', (text, primary, replica) => {
    expect(group(`persistence: ${text}`).persistence).toEqual({ primary, replica, rewritePercentage: 100, rewriteMinBytes: 64 * 1024 ** 2 })
  })

  test('thresholds; and absent there is no policy', () => {
    expect(group('persistence: { primary: aof, replica: aof, rewrite_percentage: 50, rewrite_min_mib: 8 }').persistence).toMatchObject({
      rewritePercentage: 50,
      rewriteMinBytes: 8 * 1024 ** 2,
    })
    expect(group().persistence).toBeUndefined()
  })
})

describe('what is refused, each at its place and once', () => {
  test.each([
    ['persistence: sometimes', ['groups.g.persistence: is none of the words that there are']],
    ['persistence: { primary: aof-sometimes, replica: none }', ['groups.g.persistence.primary: cannot be "aof-sometimes"']],
    ['persistence: { primary: none, replicas: aof }', ['unknown key; did you mean `replica`?', '`replica` is missing']],
    ['persistence: { primary: aof }', ['`replica` is missing']],
    ['persistence: { primary: rdb, replica: aof, save: ["often"] }', ['cannot be "often"']],
    ['persistence: { primary: rdb, replica: aof, save: ["0 0"] }', ['cannot be "0 0"']],
    ['persistence: { primary: rdb, replica: aof, save: [] }', ['groups.g.persistence.save: is empty']],
    ['persistence: { primary: none, replica: aof, save: ["900 1"] }', ['has no effect: neither role saves an RDB']],
    ['persistence: { primary: aof, replica: aof, rewrite_min_mib: 0 }', ['rewrite_min_mib: cannot be 0']],
  ])('%s', (line, expected) => {
    const found = problemsOf(line)
    expect(found).toHaveLength(expected.length)
    for (const text of expected) expect(found.join('\n')).toContain(text)
  })

  test('the same in `redis`: one of the two, with a hint', () => {
    const found = problemsOf('persistence: replicas-aof', 'redis: { appendonly: "yes", save: ["900 1", "300 10"], appendfsync: always, maxmemory: 1gb }')
    expect(found.filter((text) => text.includes('is what `persistence` of the group decides')).length).toBeGreaterThanOrEqual(3)
    expect(found.join('\n')).toMatch(/groups\.g\.redis\.appendonly: .*\(either `persistence`, or this for all members alike\)/)
    expect(found.join('\n')).not.toContain('maxmemory')
  })
})

describe('what redis gets', () => {
  const rendered = (of: GroupConfig, more: object = {}) => {
    const all = config('persistence: replicas-aof')
    const [member] = of.members
    if (member === undefined) throw new Error('no member')
    return renderRedisConf({ config: all, group: of, member, password: undefined, serverVersion: { major: 7, minor: 0 }, ...more })
  }
  const linesOf = (text: string): readonly string[] => text.split('\n').filter((line) => /^(save|append|auto-aof)/.test(line))

  test('is born with what a replica has: that is what it is born as', () => {
    expect(linesOf(rendered(group('persistence: replicas-aof')).text)).toEqual([
      'save ""',
      'appendonly yes',
      'appendfsync everysec',
      'auto-aof-rewrite-percentage 100',
      'auto-aof-rewrite-min-size 67108864',
    ])
    expect(wantsAof(group('persistence: replicas-aof'), undefined)).toBe(true)
    expect(wantsAof(group('persistence: { primary: aof, replica: rdb }'), 'appendonly yes')).toBe(false)
  })

  test('of a redis that runs: what it has now, and a start that loads an RDB says no', () => {
    const both = group('persistence: rdb+aof-always')
    expect(linesOf(rendered(both, { persistence: { save: [{ seconds: 60, changes: 2 }], aof: 'off' } }).text).slice(0, 2)).toEqual([
      'save 60 2',
      'appendonly no',
    ])
    expect(linesOf(rendered(both, { load: 'rdb' }).text).at(-1)).toBe('appendonly no')
  })

  test("the user's own lines are left out, each with a note", () => {
    const { text, notes } = rendered(group('persistence: aof', 'redis_conf: /r.conf'), { userConf: 'save 1 1\nappendonly no\nmaxclients 9\n' })
    expect(linesOf(text)).not.toContain('save 1 1')
    expect(text).toContain('maxclients 9')
    expect(notes).toEqual([
      'line 1: `save` is replaced by the `persistence` key of the group; left out',
      'line 2: `appendonly` is replaced by the `persistence` key of the group; left out',
    ])
  })
})

test('apply: the agents take it up without a restart of redis', () => {
  const [change] = changesBetween(config(), config('persistence: replicas-aof'))
  expect(change).toMatchObject({ needs: 'agent', what: expect.stringContaining('persistence none → '), why: expect.stringContaining('cost a fork') })
})

test('check warns where a power cut of all leaves nothing, and only there', () => {
  expect(restartExposures(group('persistence: none'), 'save 1 1')).toEqual([expect.stringMatching(/no persistence.*power cut of all.*replicas-aof/)])
  expect(restartExposures(group('persistence: replicas-aof'), 'save ""')).toEqual([])
})
