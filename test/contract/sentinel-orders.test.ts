/** The valve (ADR 20): what a real Sentinel can do to a redis that takes no orders, and to one that takes them. */
import { readFileSync } from 'node:fs'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { allowOrders, setPriority } from '../../src/act/sentinel.ts'
import { monotonicMs } from '../../src/agent/clock.ts'
import { sentinelLogFile } from '../../src/model/paths.ts'
import { sentinelUser } from '../../src/model/sentinel.ts'
import type { RedisFacts } from '../../src/model/view.ts'
import { observeRedis, type RedisObserver } from '../../src/observe/redis.ts'
import { readProcess } from '../../src/observe/process.ts'
import { factsFromInfo } from '../../src/redis/info.ts'
import { passwordHash } from '../../src/redis/sentinel-id.ts'
import { Redises, type RealRedis } from '../unit/real-redis.ts'
import { asks, ground, keeper, master, pidOf, until, userPassword, type Ground, type Kept } from './sentinel-ground.ts'

const key = passwordHash(userPassword)
const port = (redis: RealRedis): string => String(redis.port)

let redises: Redises
let one: Ground | null = null
let kept: Kept | null = null
let observer: RedisObserver | null = null

beforeEach(() => {
  redises = new Redises()
  ;[one, kept, observer] = [null, null, null]
})

afterEach(async () => {
  observer?.close()
  kept?.close()
  const pid = one === null ? 0 : await pidOf(asks(one.sentinel.port))
  if (pid > 0) process.kill(pid, 'SIGKILL')
  await until('it is gone', () => readProcess(pid) === null)
  await redises.close()
})

async function orders(redis: RealRedis, allowed: boolean): Promise<void> {
  const outcome = await allowOrders({ ...redises.hands(redis), sentinelKeys: [key] }, allowed)
  if (!outcome.done) throw new Error(outcome.why)
}

/** By a connection of its own: an order that is carried out ends those that are open, the agent's too. */
async function factsOf(redis: RealRedis): Promise<RedisFacts | null> {
  const answer = await asks(redis.port)('INFO')
  return answer.ok ? factsFromInfo(String(answer.value)) : null
}

/** A Sentinel over a primary that takes its orders; its log, to wait for what it says. */
async function sentinelOver(primary: RealRedis, replicas: readonly RealRedis[]): Promise<{ ask: ReturnType<typeof asks>; log: () => string }> {
  await orders(primary, true)
  one = await ground(redises.dir, primary.port)
  const { config, sentinel } = one
  kept = keeper(one)
  const ask = asks(sentinel.port)
  await until('it sees every replica', async () => (await master(ask))['num-slaves'] === String(replicas.length))
  return { ask, log: () => readFileSync(sentinelLogFile(config.paths, 'sessions'), 'utf8') }
}

async function replicaOf(primary: RealRedis, ...more: readonly string[]): Promise<RealRedis> {
  const replica = await redises.start(...more)
  await orders(replica, false)
  await replica.call('REPLICAOF', '127.0.0.1', port(primary))
  await until('it follows', async () => (await replica.facts()).linkUp)
  return replica
}

test('closed: a replica that Sentinel selects stays a replica, and nothing of the order is carried out; open: it is promoted', async () => {
  const a = await redises.start()
  const b = await replicaOf(a)
  const { ask, log } = await sentinelOver(a, [b])
  await until('FAILOVER is taken', async () => (await ask('SENTINEL', 'FAILOVER', 'sessions')).ok)
  await until('it gives up', () => log().includes('-failover-abort-slave-timeout'))
  expect([(await a.facts()).role, (await b.facts()).role, (await b.facts()).linkUp]).toEqual(['primary', 'replica', true])
  // The order came, and was refused as a whole: SLAVEOF by the ACL, and so the transaction it was in, which ends connections too.
  expect(b.link.isOpen()).toBe(true)
  const refused = JSON.stringify(await b.call('ACL', 'LOG'))
  expect(refused).toContain('"slaveof"')
  expect(refused).toContain(sentinelUser)
  expect(String(await b.call('INFO', 'errorstats'))).toContain('errorstat_EXECABORT')

  await orders(b, true)
  await until('FAILOVER is taken', async () => (await ask('SENTINEL', 'FAILOVER', 'sessions')).ok)
  await until('it is promoted', async () => (await factsOf(b))?.role === 'primary')
  await until("and connections are ended with it, the agent's too", () => !b.link.isOpen())
})

test('priority 0: no Sentinel selects it; another priority, and it does', async () => {
  const a = await redises.start()
  const b = await replicaOf(a, '--replica-priority', '0')
  await orders(b, true)
  const { ask } = await sentinelOver(a, [b])
  await until('its INFO was read', async () => JSON.stringify(await ask('SENTINEL', 'REPLICAS', 'sessions')).includes('"slave-priority","0"'))
  const refused = await ask('SENTINEL', 'FAILOVER', 'sessions')
  expect(refused.ok === false && refused.why).toContain('NOGOODSLAVE')
  expect(await setPriority(redises.hands(b), 10)).toEqual({ done: true })
  // A Sentinel reads INFO every ten seconds.
  await until('FAILOVER is taken', async () => (await ask('SENTINEL', 'FAILOVER', 'sessions')).ok)
  await until('it is promoted', async () => (await factsOf(b))?.role === 'primary')
})

test('closed: what Sentinel would set right (+convert-to-slave, +fix-slave-config) stays as Holdfast has it; open: it is set right', async () => {
  const a = await redises.start()
  const fenced = await replicaOf(a)
  const other = await replicaOf(a)
  const { log } = await sentinelOver(a, [fenced, other])
  await fenced.call('REPLICAOF', '127.0.0.1', '1')
  await other.call('REPLICAOF', 'NO', 'ONE')
  await until('Sentinel has tried both', () => log().includes('+fix-slave-config') && log().includes(`+convert-to-slave slave 127.0.0.1:${port(other)}`))
  await until('both orders were refused', async () => {
    const logs = await Promise.all([fenced, other].map(async (redis) => JSON.stringify(await redis.call('ACL', 'LOG'))))
    return logs.every((text) => text.includes('"slaveof"'))
  })
  expect([(await fenced.facts()).upstream, (await other.facts()).role]).toEqual([{ host: '127.0.0.1', port: 1 }, 'primary'])
  await orders(fenced, true)
  await orders(other, true)
  await until('both follow', async () => (await factsOf(fenced))?.linkUp === true && (await factsOf(other))?.linkUp === true)
})

test('what the agent sees of it: unknown without the user or with a password of somebody else, else as it was set last', async () => {
  const a = await redises.start()
  const b = await redises.start('--replica-priority', '0')
  const seen = observeRedis({ host: '127.0.0.1', port: b.port, password: undefined, sentinelKeys: [key] }, monotonicMs, () => {})
  observer = seen
  const may = async () => (await seen.probe(monotonicMs())).sentinelMay
  const set = async (allowed: boolean): Promise<void> => {
    await allowOrders({ link: seen.link, sentinelKeys: [key], settingsChanged: seen.settingsChanged }, allowed)
  }
  expect(await may()).toEqual({ orders: 'unknown', priority: 0 })
  // Seen by the very next look after each change: nobody decides by what was so before.
  await set(false)
  expect(await may()).toEqual({ orders: false, priority: 0 })
  await set(true)
  expect(await may()).toEqual({ orders: true, priority: 0 })
  await b.call('REPLICAOF', '127.0.0.1', port(a))
  expect(await may()).toEqual({ orders: true, priority: 0 })
  await b.call('ACL', 'SETUSER', sentinelUser, 'resetpass', '>theirs')
  await until('it is read again', async () => (await may())?.orders === 'unknown')
  await set(false)
  expect((await may())?.orders).toBe(false)
})
