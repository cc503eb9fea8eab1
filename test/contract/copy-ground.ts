/** Two real servers between which is copied, as `migrate copy` does it without its agents: the source lets nobody follow it. */
import { expect } from 'vitest'
import type { CopyWay } from '../../src/migrate/copy-plan.ts'
import { patternsFor, tellsBy } from '../../src/migrate/events.ts'
import { copyOf, type Copy, type CopyStep } from '../../src/move/copy.ts'
import { listen, type Events } from '../../src/move/copy-events.ts'
import { finish, type Finished, type FinishOptions } from '../../src/move/copy-finish.ts'
import { digester, waysOf } from '../../src/move/digester.ts'
import { fullPace } from '../../src/move/governor.ts'
import { verify } from '../../src/move/verify.ts'
import { openRaw, type RawRedis } from '../../src/redis/raw.ts'
import { paced } from '../../src/replay/pace.ts'
import type { RealRedis } from '../unit/real-redis.ts'

export interface Door {
  readonly redis: RealRedis
  readonly user?: string
  /** 7.0 and later: points in time, and scripts that only read. */
  readonly modern: boolean
}

const password = 'pw'

/** A user of a cloud: no replication, and what else is taken from it. */
export async function cloudUser(redis: RealRedis, ...rules: readonly string[]): Promise<string> {
  await redis.call('ACL', 'SETUSER', 'mover', 'on', `>${password}`, '~*', '+@all', '-psync', '-sync', '-replconf', ...rules)
  // Before 6.2 there was no such rule.
  await redis.call('ACL', 'SETUSER', 'mover', '&*').catch(() => undefined)
  return 'mover'
}

export async function raw({ redis, user }: Pick<Door, 'redis' | 'user'>): Promise<RawRedis> {
  const opened = await openRaw({ host: '127.0.0.1', port: redis.port, ...(user === undefined ? {} : { user, password }) }, 10_000)
  if (!opened.ok) throw new Error(opened.why)
  return opened.value
}

export interface Crossing {
  readonly copy: Copy
  readonly events: Events
  readonly steps: CopyStep[]
  /** Bytes that went to the target before it was waited for. */
  readonly mostAtOnce: () => number
  readonly finish: (more?: Partial<FinishOptions>) => Promise<Finished>
  readonly broken: AbortController
  readonly close: () => void
}

export interface CrossingOptions {
  readonly from: Door
  /** Asked at every opening: another one may serve by then. */
  readonly to: () => Door
  readonly way?: CopyWay
  /** As CONFIG tells it; null: it may not be asked. */
  readonly setting?: string | null
  readonly awayMs?: number
  readonly step?: (step: CopyStep) => void
}

export function crossing({ from, to, way = 'dump', setting = 'KA', awayMs = 20_000, step }: CrossingOptions): Crossing {
  const broken = new AbortController()
  const steps: CopyStep[] = []
  const at = { host: '127.0.0.1', port: from.redis.port, ...(from.user === undefined ? {} : { user: from.user, password }) }
  const events = listen({ target: at, patterns: patternsFor(setting), said: () => undefined })
  const facts = ({ modern }: Door) => ({ absolute: modern, evalRo: modern, memoryUsage: true, aheadMs: 0 })
  const tell = (one: CopyStep): void => {
    steps.push(one)
    step?.(one)
  }
  let most = 0
  const copy = copyOf({
    openSource: () => raw(from),
    openTarget: async () => {
      const write = await raw(to())
      const { after } = paced({ live: write, maxKeysPerS: null, stillPrimary: async () => {}, waits: () => {}, signal: broken.signal })
      const counted = (keys: number, bytes: number): Promise<void> => {
        most = Math.max(most, bytes)
        return after(keys, bytes)
      }
      return { host: String(to().redis.port), write, compare: await raw(to()), after: counted }
    },
    ...{ source: facts(from), target: facts(to()), way, events, governor: fullPace, awayMs, tell, waits: () => undefined, signal: broken.signal },
  })
  return {
    copy,
    events,
    steps,
    mostAtOnce: () => most,
    broken,
    finish: (more = {}) =>
      finish(copy, {
        ...{ events, signal: broken.signal, tell, pauses: from.modern, scriptsWait: !from.modern, tellsAll: tellsBy(setting) === 'all' },
        ...{ stopped: false, leavesOut: false, maxPauseMs: 8000, keepMs: 300, ...more },
      }),
    close: () => {
      copy.close()
      events.close()
    },
  }
}

/** By the comparison that stands behind `migrate verify`, with users who may do everything. */
export async function expectSame(a: Door, b: Door): Promise<number> {
  const [source, target] = [await raw({ redis: a.redis }), await raw({ redis: b.redis })]
  try {
    const ways = await Promise.all([source, target].map((redis, i) => waysOf(redis, { evalRo: (i === 0 ? a : b).modern, memoryUsage: true })))
    const absolute = a.modern && b.modern
    const side = (redis: RawRedis, i: number) => ({
      redis,
      digests: digester(redis, ways[i]?.way ?? 'plain', { absolute, hasMemoryUsage: true }),
      aheadMs: 0,
    })
    const found = await verify({
      sides: { source: side(source, 0), target: side(target, 1), absolute, follows: false, signal: new AbortController().signal },
      ...{ pageKeys: () => 200, took: () => undefined, ahead: 1, pause: async () => {}, progress: () => {} },
    })
    expect([found.differences.slice(0, 10), found.unsettled.slice(0, 10)], 'migrate verify').toEqual([[], []])
    return found.asked
  } finally {
    source.close()
    target.close()
  }
}

/** Every type, small and large, with and without an end, in several databases, names and values that are no text. */
export async function fill(redis: RealRedis, each: number): Promise<void> {
  const script = `
for i = 1, tonumber(ARGV[1]) do
  redis.call('SET', 's:' .. i, string.rep(i, 20))
  redis.call('SET', 't:' .. i, i, 'PX', 3600000 + i)
  for j = 1, 6 do redis.call('HSET', 'h:' .. i, 'f' .. j, i * j) redis.call('SADD', 'e:' .. i, 'm' .. j, i + j) redis.call('RPUSH', 'l:' .. i, i + j) redis.call('ZADD', 'z:' .. i, i / 7 + j, 'm' .. j) end
  if i % 10 == 0 then redis.call('XADD', 'x:' .. i, i .. '-1', 'a', i, 'b', '') redis.call('PEXPIRE', 'h:' .. i, 7200000) end
end
for j = 1, 3000 do redis.call('HSET', 'large:h', 'f' .. j, j) redis.call('SADD', 'large:e', 'm' .. j) redis.call('ZADD', 'large:z', j / 3, 'm' .. j) redis.call('RPUSH', 'large:l', j) redis.call('XADD', 'large:x', j .. '-7', 'n', j) end
redis.call('SET', 'large:s', string.rep('x', 700000)) redis.call('PEXPIRE', 'large:h', 9000000)
redis.call('SET', 'empty', '') redis.call('ZADD', 'inf', '-inf', 'a', '+inf', 'b', '0.1', 'c') redis.call('PFADD', 'hll', 'a', 'b', 'c') redis.call('SETBIT', 'bits', 100000, 1)
redis.call('SET', 'key \\255\\0 of bytes\\r\\n', '\\0\\255')
redis.call('XGROUP', 'CREATE', 'nothing in it', 'g', '$', 'MKSTREAM')
for _, n in ipairs({1, 7, 15}) do redis.call('SELECT', n) redis.call('SET', 'in ' .. n, 'x') redis.call('SADD', 'of ' .. n, 'a', 'b') end`
  await redis.call('EVAL', script, '0', String(each))
  // Five MiB each.
  for (let i = 0; i < 50; i += 1) {
    const parts = Array.from({ length: 100 }, (_, n) => `${i}:${n}:${'y'.repeat(1000)}`)
    await redis.call('RPUSH', 'huge:l', ...parts)
    await redis.call('HMSET', 'huge:h', ...parts.flatMap((part, n) => [`${i}:${n}`, part]))
  }
  await redis.call('XGROUP', 'CREATE', 'large:x', 'readers', '0')
  await redis.call('XREADGROUP', 'GROUP', 'readers', 'one', 'COUNT', '30', 'STREAMS', 'large:x', '>')
  await redis.call('XACK', 'large:x', 'readers', '1-7', '2-7')
}

export interface Writer {
  readonly done: () => number
  readonly stop: () => Promise<void>
}

/** Some thousand writes a second: sets, counters, deletes, ends, renames, elements, in two databases. It goes on where the source is away for a while. */
export function write(redis: RealRedis, perS = 4000): Writer {
  let [goesOn, done, seed] = [true, 0, 7]
  const random = (below: number): number => {
    seed = (seed * 1103515245 + 12345) % 2147483648
    return seed % below
  }
  const one = (): readonly string[] => {
    const n = String(random(1500))
    const kinds: readonly (readonly string[])[] = [
      ['SET', `s:${n}`, `new ${done}`],
      ['SET', `w:${n}`, `${done}`, 'PX', '800'],
      ['INCR', `c:${n}`],
      ['DEL', `t:${n}`],
      ['HSET', `h:${n}`, 'f1', `${done}`],
      ['RENAME', `s:${n}`, `r:${n}`],
      ['RPUSH', `l:${n}`, `${done}`],
      ['LTRIM', `l:${n}`, '0', '20'],
      ['ZINCRBY', `z:${n}`, '0.25', 'm1'],
      ['PEXPIRE', `e:${n}`, '700'],
      ['PERSIST', `h:${n}`],
      ['XADD', `x:${n}`, 'MAXLEN', '50', '*', 'a', '1'],
      ['APPEND', `w:${n}`, 'x'],
      ['UNLINK', `r:${n}`],
      ['HSET', 'large:h', `f${n}`, `${done}`],
    ]
    return kinds[random(kinds.length)] ?? []
  }
  const loop = (async () => {
    let connection: RawRedis | null = null
    while (goesOn) {
      try {
        connection ??= await raw({ redis })
        const beganMs = performance.now()
        const some = Array.from({ length: 40 }, one)
        await connection.pipeline([['SELECT', done % 7 === 0 ? '7' : '0'], ...some])
        done += some.length
        await new Promise((resolve) => setTimeout(resolve, Math.max(0, 40_000 / perS - (performance.now() - beganMs))))
      } catch {
        connection = null
        await new Promise((resolve) => setTimeout(resolve, 50))
      }
    }
    connection?.close()
  })()
  return {
    done: () => done,
    stop: async () => {
      goesOn = false
      await loop
    },
  }
}
