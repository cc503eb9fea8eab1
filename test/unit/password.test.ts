/** The password of a running group on one host, with a real redis: what is remembered, what redis takes, what a redis that starts meanwhile is given. */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { stat } from 'node:fs/promises'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { passwordKeeper, passwordsOf } from '../../src/agent/password-change.ts'
import type { PasswordKeeper } from '../../src/agent/two-step.ts'
import { parseConfig } from '../../src/config/load.ts'
import type { Config, GroupConfig } from '../../src/model/config.ts'
import type { PasswordStep } from '../../src/model/password.ts'
import { passwordChangeFile } from '../../src/model/paths.ts'
import { openRedis } from '../../src/redis/link.ts'
import { renderRedisConf } from '../../src/render/redis-conf.ts'
import { groupConfig } from './builders.ts'
import { noRedis, Redises, type RealRedis } from './real-redis.ts'

describe.skipIf(noRedis)('the password of a running group, on one host', () => {
  let redises: Redises
  let redis: RealRedis
  let group: GroupConfig
  let paths: Config['paths']
  let file = ''
  beforeEach(async () => {
    redises = new Redises()
    redis = await redises.start('--requirepass', 'one', '--masterauth', 'one')
    paths = { state: `${redises.dir}/state`, run: `${redises.dir}/run`, redisServer: 'redis-server', redisSentinel: '', keepalived: '' }
    mkdirSync(`${paths.state}/sessions`, { recursive: true })
    file = `${redises.dir}/password`
    writeFileSync(file, 'one\n', { mode: 0o600 })
    group = groupConfig(['a', 'b', 'c'], { passwordFile: file })
  })
  afterEach(() => redises.close())

  const keeper = (of = group, port = redis.port): Promise<PasswordKeeper> =>
    passwordKeeper({ paths, group: of, of: 'redis', at: port === 0 ? null : { host: '127.0.0.1', port }, secret: 'the secret of all', changed: () => {} })
  /** Each step by an agent of its own, as it starts anew after each. */
  const step = (what: PasswordStep, password: string) => keeper().then((k) => k.step({ step: what, password }))
  const taken = async (): Promise<string> => {
    const tried = ['one', 'two'].map(async (password) => {
      const opened = await openRedis({ host: '127.0.0.1', port: redis.port, password }, 1000, () => {})
      if (opened.ok) opened.value.close()
      return opened.ok ? password : ''
    })
    return (await Promise.all(tried)).join(' ').trim()
  }
  const masterauth = async () => ((await redis.call('CONFIG', 'GET', 'masterauth')) as string[])[1]

  test('offered: both are taken; in use: agents and replication come with the new one; finished: the old one is refused', async () => {
    expect(await step('offer', 'two')).toEqual({ ok: true, why: '' })
    expect([await taken(), await masterauth(), readFileSync(file, 'utf8')]).toEqual(['one two', 'one', 'one\n'])
    expect(await passwordsOf(paths, group, 'redis')).toEqual({ current: 'one', other: 'two' })
    expect((await keeper()).isChanging).toBe(true)
    expect((await stat(passwordChangeFile(paths, 'sessions', 'redis'))).mode & 0o777).toBe(0o600)
    expect(await step('use', 'two')).toEqual({ ok: true, why: '' })
    expect([await taken(), await masterauth(), readFileSync(file, 'utf8')]).toEqual(['one two', 'two', 'two\n'])
    expect(await passwordsOf(paths, group, 'redis')).toEqual({ current: 'two', other: 'one' })
    expect(await step('finish', 'two')).toEqual({ ok: true, why: '' })
    expect(await taken()).toBe('two')
    expect(await passwordsOf(paths, group, 'redis')).toEqual({ current: 'two' })
    for (const what of ['offer', 'use', 'finish'] as const) expect(await step(what, 'two'), 'once more').toEqual({ ok: true, why: '' })
    expect(await redis.call('PING'), 'who was connected all the time').toBe('PONG')
  })

  test('a redis that is started in between is given both; finished, it takes only the new one, although its requirepass is that already', async () => {
    await step('offer', 'two')
    await step('use', 'two')
    const { current, other } = await passwordsOf(paths, group, 'redis')
    const config = parseConfig(
      'hosts: { a: { ip: 10.0.0.1 }, b: { ip: 10.0.0.2 }, c: { ip: 10.0.0.3 } }\ngroups: { sessions: { members: [a, b, c] } }\n',
      '/x.yaml',
    ).config as Config
    const member = group.members[0] as GroupConfig['members'][number]
    const render = (major: number, minor: number) =>
      renderRedisConf({ config, group, member, password: current, otherPassword: other, serverVersion: { major, minor } }).text.split('\n')
    expect(render(6, 0)).toContain('user default on >two >one ~* +@all')
    const both = 'user default on >two >one ~* &* +@all'
    expect(render(7, 0)).toContain(both)
    redis = await redises.start('--requirepass', 'two', '--masterauth', 'two', ...both.split(' ').map((word, i) => (i === 0 ? '--user' : word)))
    expect(await taken()).toBe('one two')
    expect(await step('finish', 'two')).toEqual({ ok: true, why: '' })
    expect(await taken()).toBe('two')
  })

  test.each(['offer', 'use'] as const)('gone back to the old one after: %s', async (last) => {
    await step('offer', 'two')
    if (last === 'use') await step('use', 'two')
    const inUse = { current: last === 'use' ? 'two' : 'one', other: last === 'use' ? 'one' : 'two' }
    expect(await step('offer', 'one')).toEqual({ ok: true, why: '' })
    expect(await passwordsOf(paths, group, 'redis'), 'what agent and replication came with stays so').toEqual(inUse)
    for (const what of ['offer', 'use', 'finish'] as const) expect(await step(what, 'one')).toEqual({ ok: true, why: '' })
    expect([await taken(), await masterauth(), readFileSync(file, 'utf8')]).toEqual(['one', 'one', 'one\n'])
  })

  test('out of turn, of another change, or no password: refused, and redis is as it was', async () => {
    expect(await step('use', 'two')).toMatchObject({ ok: false, why: expect.stringContaining('not offered') })
    expect(await step('finish', 'two')).toMatchObject({ ok: false, why: expect.stringContaining('not offered') })
    expect(await step('offer', 'two\nrename-command CONFIG ""')).toMatchObject({ ok: false })
    await step('offer', 'two')
    expect(await step('offer', 'three')).toMatchObject({ ok: false, why: expect.stringContaining('under way') })
    expect(await step('finish', 'two')).toMatchObject({ ok: false, why: expect.stringContaining('not in use') })
    expect(await taken()).toBe('one two')
    expect(await (await keeper({ ...group, process: 'external' })).step({ step: 'use', password: 'two' })).toMatchObject({ ok: false })
  })

  test('killed between what it remembers and the file: what it remembers counts', async () => {
    await step('offer', 'two')
    await step('use', 'two')
    writeFileSync(file, 'one\n')
    expect(await passwordsOf(paths, group, 'redis')).toEqual({ current: 'two', other: 'one' })
    expect(await (await keeper()).word()).toMatchObject({ stage: 'using', takesCurrent: true, takesOther: true })
  })

  test('killed between the file and redis: replication still comes with the old one, which is told, and the same step again mends it', async () => {
    await step('offer', 'two')
    writeFileSync(passwordChangeFile(paths, 'sessions', 'redis'), JSON.stringify({ stage: 'using', old: 'one', new: 'two' }))
    writeFileSync(file, 'two\n')
    expect(await (await keeper()).word()).toMatchObject({ stage: 'using', comes: false })
    expect(await step('use', 'two')).toEqual({ ok: true, why: '' })
    expect([await masterauth(), (await (await keeper()).word())?.comes]).toEqual(['two', true])
  })

  test('its redis does not run: nothing is remembered that redis has not agreed to', async () => {
    const away = await keeper(group, 1)
    expect(await away.step({ step: 'offer', password: 'two' })).toMatchObject({ ok: false, why: expect.stringContaining('cannot be told') })
    expect(await passwordsOf(paths, group, 'redis')).toEqual({ current: 'one' })
  })

  test('a host without data only has the file', async () => {
    for (const what of ['offer', 'use', 'finish'] as const)
      expect(await (await keeper(group, 0)).step({ step: what, password: 'two' })).toMatchObject({ ok: true })
    expect([readFileSync(file, 'utf8'), await taken()]).toEqual(['two\n', 'one'])
  })
})
