/** What is said of a redis that its supervisor restarts: read from its file, and from the process that runs. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { parseConfig } from '../../src/config/load.ts'
import { comesBackWith, isBornFenced, restartExposures } from '../../src/config/restart.ts'
import { explainGroup } from '../../src/decide/explain.ts'
import type { GroupConfig } from '../../src/model/config.ts'
import { observeBirth } from '../../src/observe/birth.ts'
import type { RedisLink } from '../../src/redis/link.ts'
import { facts, policy, probe, state, view } from './builders.ts'

function group(lines: readonly string[]): GroupConfig {
  const yaml = [
    'api: { secret_file: /s }',
    'hosts: { a: { ip: 10.0.0.1, interface: eth0 }, b: { ip: 10.0.0.2, interface: eth0 } }',
    'groups:',
    '  g:',
    '    members: [a, b]',
    ...lines.map((line) => `    ${line}`),
  ].join('\n')
  const found = parseConfig(yaml, '/h.yaml').config?.groups['g']
  if (found === undefined) throw new Error('no group')
  return found
}

describe('born fenced', () => {
  test.each([
    ['', false],
    ['replicaof 127.0.0.1 1', true],
    ['slaveof 127.0.0.1 1\nsave ""', true],
    ['replicaof 127.0.0.1 1\nreplicaof no one', false],
    ['replicaof 10.0.0.1 6379', false],
    ['# replicaof 127.0.0.1 1', false],
    ['replicaof 127.0.0.1 1\ninclude /etc/redis/more.conf', 'unknown'],
    ['include /etc/redis/more.conf\nreplicaof 127.0.0.1 1', true],
  ])('%j → %s: the last line rules', (conf, expected) => {
    expect(isBornFenced(conf)).toBe(expected)
  })

  test.each([
    ['', 'its last snapshot'],
    ['save ""', 'nothing'],
    ['save 900 1\nsave ""', 'nothing'],
    ['save ""\nsave 900 1', 'its last snapshot'],
    ['save ""\nappendonly yes', 'its append-only file'],
    ['appendonly yes\nappendonly no\nsave ""', 'nothing'],
  ])('%j comes back with %s', (conf, expected) => {
    expect(comesBackWith(conf)).toBe(expected)
  })
})

describe('check says where a restart exposes a group, and what closes it', () => {
  test('external, its file is not named: what may happen, what closes it, how check could know more', () => {
    const [only, ...rest] = restartExposures(group(['process: external']), undefined)
    expect(rest).toEqual([])
    expect(only).toMatch(/groups\.g: process: external.*restarts at once.*kept as a copy.*replicaof 127\.0\.0\.1 1.*RestartSec=5.*redis_conf/)
  })

  test('external, no persistence, no fence: it comes back with nothing', () => {
    const found = restartExposures(group(['process: external', 'redis_conf: /etc/redis/redis.conf']), 'save ""\nrepl-diskless-sync no')
    expect(found).toEqual([expect.stringMatching(/\/etc\/redis\/redis\.conf has no `replicaof 127\.0\.0\.1 1`.*answers clients with nothing.*RestartSec=5/)])
  })

  test('external, another file after its last line: not known', () => {
    expect(restartExposures(group(['process: external']), 'repl-diskless-sync no\nreplicaof 127.0.0.1 1\ninclude /x')[0]).toContain('includes another file')
  })

  test('external, fenced by its file: nothing to say but what redis 7 does with diskless syncs', () => {
    expect(restartExposures(group(['process: external']), 'replicaof 127.0.0.1 1\nrepl-diskless-sync no')).toEqual([])
    expect(restartExposures(group(['process: external']), 'replicaof 127.0.0.1 1')).toEqual([expect.stringContaining('repl-diskless-sync no')])
  })

  test('direct: born fenced by Holdfast; only a power cut of all is exposed, and only without persistence', () => {
    expect(restartExposures(group([]), undefined)).toEqual([])
    expect(restartExposures(group(['redis: { save: "", appendonly: "yes" }']), undefined)).toEqual([])
    expect(restartExposures(group(['redis: { save: "" }']), undefined)).toEqual([expect.stringMatching(/no persistence.*power cut of all/)])
    expect(restartExposures(group(['redis_conf: /r.conf']), 'save ""')).toHaveLength(1)
  })
})

describe('explain says it of the redis that runs', () => {
  const warnings = (bornFenced: boolean | 'unknown', configFile: string) =>
    explainGroup(state('b'), view('b', [], { redis: probe({ facts: facts({ configFile }), bornFenced }) }), { ...policy(), external: true }).warnings.join('\n')

  test('fenced by its file: no warning of the race; otherwise it names the file', () => {
    expect(warnings(true, '/etc/redis.conf')).not.toContain('races')
    expect(warnings(false, '/etc/redis.conf')).toMatch(/races.*replicaof 127\.0\.0\.1 1` in \/etc\/redis\.conf closes that/)
    expect(warnings('unknown', '')).toContain('started without one')
  })

  test('the agent reads the file that the process was started from, anew for each process', async () => {
    const dir = await mkdtemp(join(tmpdir(), 'holdfast-birth-'))
    try {
      const file = join(dir, 'redis.conf')
      await writeFile(file, 'replicaof 127.0.0.1 1\n')
      const answers: Readonly<Record<string, string>> = { dir: '/data', dbfilename: 'own.rdb', appenddirname: 'own-aof', appendfilename: 'own.aof' }
      const call = (words: readonly string[]) => Promise.resolve({ ok: true, value: [words[2], answers[words[2] ?? '']] } as const)
      const link = { call } as unknown as RedisLink
      const birth = observeBirth()
      expect(birth.fenced()).toBe('unknown')
      await birth.saw(facts({ runId: 'one', configFile: file }), link)
      expect(birth.fenced()).toBe(true)
      expect(birth.files()).toEqual({ dir: '/data', rdb: 'own.rdb', aofDir: 'own-aof', aof: 'own.aof' })
      await writeFile(file, 'save ""\n')
      await birth.saw(facts({ runId: 'two', configFile: file }), link)
      expect(birth.fenced()).toBe(false)
      expect(birth.files(), 'somebody may have written to it before it was seen: its files tell nothing').toBeNull()
      await birth.saw(facts({ runId: 'three', configFile: join(dir, 'gone') }), link)
      expect([birth.fenced(), birth.files()]).toEqual(['unknown', null])
      await birth.saw(facts({ runId: 'four', configFile: '' }), link)
      expect([birth.fenced(), birth.files()]).toEqual([false, null])
    } finally {
      await rm(dir, { recursive: true })
    }
  })
})
