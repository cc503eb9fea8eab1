/** Persistence that follows the role, on each server: what is set, what the file of the next start says meanwhile, and that all data are there at the next start. */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { mayPersist, persist } from '../../src/act/persist.ts'
import { appendonlyInFile } from '../../src/act/start.ts'
import type { RedisHands } from '../../src/act/redis.ts'
import { aofToDropFile, redisConfFile, redisDataDir } from '../../src/model/paths.ts'
import { groupConfig } from '../unit/builders.ts'
import { Redises, type RealRedis } from '../unit/real-redis.ts'
import { expectServers, servers, since } from './servers.ts'

/** root is refused nothing, so what a bad disk says is said here. */
const disk = vi.hoisted(() => ({ fails: false }))
vi.mock('node:fs/promises', async (load) => {
  const real = await load<typeof import('node:fs/promises')>()
  const isAof = (path: string): boolean => /\/appendonly(dir|\.aof)$/.test(path)
  const rm: typeof real.rm = (path, how) => (disk.fails && isAof(String(path)) ? Promise.reject(new Error('EIO: i/o error')) : real.rm(path, how))
  return { ...real, rm }
})

expectServers()

const aof = { save: [], aof: 'everysec' } as const
const none = { save: [], aof: 'off' } as const
const byRole = { primary: none, replica: aof, rewritePercentage: 50, rewriteMinBytes: 1_048_576 }

/** Before 6.2 an empty word on the command line, as for `save`, is none. */
describe.each([{ name: 'installed', redisServer: 'redis-server' }, ...servers.filter(since(6, 2))])('$name', ({ redisServer }) => {
  const redises = new Redises('127.0.0.1', redisServer)
  afterAll(() => redises.close())
  let redis: RealRedis
  let hands: RedisHands
  const notes: string[] = []
  const paths = { state: `${redises.dir}/group`, run: `${redises.dir}/run` }
  const dir = redisDataDir(paths, 'sessions')
  const file = (): unknown => appendonlyInFile(hands.config.paths, 'sessions')
  const order = { kind: 'persist', role: 'replica', drop: false } as const

  beforeAll(async () => {
    mkdirSync(dir, { recursive: true })
    redis = await redises.start('--dir', dir)
    await redis.call('SET', 'before', '1')
    const base = redises.hands(redis, notes)
    const group = groupConfig(['a', 'b'], { persistence: byRole })
    const [member] = group.members
    if (member === undefined) throw new Error('no member')
    const hosts = { a: { name: 'a', ip: '127.0.0.1' }, b: { name: 'b', ip: '127.0.0.2' } }
    hands = { ...base, group, member, config: { ...base.config, hosts, paths: { ...base.config.paths, ...paths, redisServer }, groups: { sessions: group } } }
  })

  const rewritten = async (): Promise<void> => {
    await vi.waitFor(
      async () => expect(String(await redis.call('INFO', 'persistence'))).toMatch(/aof_enabled:1\r\naof_rewrite_in_progress:0\r\naof_rewrite_scheduled:0/),
      { timeout: 5000 },
    )
  }

  test('turned on: the file says no until the AOF is whole', async () => {
    expect(await persist(hands, { ...order, ...aof })).toEqual({ done: true })
    expect(file(), 'it is being rewritten').toBe('no')
    await rewritten()
    await persist(hands, { ...order, ...aof })
    expect(file()).toBe('yes')
    expect(await redis.call('CONFIG', 'GET', 'auto-aof-rewrite-percentage')).toContain('50')
    expect(
      notes.filter((note) => note.includes('AOF is turned on')),
      'told once',
    ).toHaveLength(1)
  })

  test('turned off where another covers it: the file first, then what lies there', async () => {
    await persist(hands, { ...order, role: 'primary', ...none, drop: true })
    expect(file()).toBe('no')
    expect([existsSync(`${dir}/appendonlydir`), existsSync(`${dir}/appendonly.aof`)]).toEqual([false, false])
    expect(readFileSync(redisConfFile(hands.config.paths, 'sessions'), 'utf8')).toMatch(/^save ""$/m)
  })

  test('turned on again over nothing: what was written in between is in it, and a redis that is started from it has all', async () => {
    await redis.call('SET', 'between', '1')
    await persist(hands, { ...order, ...aof })
    await rewritten()
    await redis.call('SET', 'after', '1')
    await redis.call('SHUTDOWN', 'NOSAVE').catch(() => null)
    const next = await redises.start('--dir', dir, '--appendonly', 'yes')
    expect(await next.call('EXISTS', 'before', 'between', 'after')).toBe(3)
    redis = next
    hands = { ...hands, link: () => next.link }
  })

  test('an AOF that cannot be removed is told, known as left, and removed with the next try', async () => {
    const trial = { ...hands }
    const drop = { ...order, role: 'primary', ...none, drop: true } as const
    const isLeft = (): boolean => existsSync(aofToDropFile(hands.config.paths, 'sessions'))
    const lies = (): boolean => existsSync(`${dir}/appendonlydir`) || existsSync(`${dir}/appendonly.aof`)
    disk.fails = true
    expect(await persist(trial, drop)).toEqual({ done: true })
    disk.fails = false
    expect([isLeft(), lies(), file(), mayPersist(trial)]).toEqual([true, true, 'no', false])
    expect(notes.at(-1)).toMatch(/the AOF that was turned off could not be removed \(EIO.*tried again in a minute/)

    expect(await persist({ ...hands }, drop)).toEqual({ done: true })
    expect([isLeft(), lies()]).toEqual([false, false])
  })

  test('one that was to go and is had again is not removed', async () => {
    writeFileSync(aofToDropFile(hands.config.paths, 'sessions'), '')
    await persist(hands, { ...order, ...aof })
    expect(existsSync(aofToDropFile(hands.config.paths, 'sessions'))).toBe(false)
    await rewritten()
  })

  test('without cover it is turned off and stays where it is; saves are set beside it', async () => {
    await persist(hands, {
      ...order,
      save: [
        { seconds: 900, changes: 1 },
        { seconds: 60, changes: 5 },
      ],
      aof: 'off',
    })
    expect(await redis.call('CONFIG', 'GET', 'save')).toContain('900 1 60 5')
    expect(existsSync(`${dir}/appendonlydir`) || existsSync(`${dir}/appendonly.aof`)).toBe(true)
  })

  test('what redis refuses is said once, holds nothing else up, and is put off', async () => {
    const refusing = { ...hands, link: () => null }
    expect(await persist(refusing, { ...order, ...aof })).toEqual({ done: true })
    expect([mayPersist(refusing), mayPersist(hands)]).toEqual([false, true])
    expect(notes.at(-1)).toMatch(/CONFIG SET save "" was refused \(no connection to redis\); tried again in a minute/)
  })
})
