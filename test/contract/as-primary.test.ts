/** Real redis-servers whose primary is played: what they are given is what they hold, and nobody else is given anything. */
import { readFileSync } from 'node:fs'
import { createConnection } from 'node:net'
import { afterEach, describe, expect, test } from 'vitest'
import { poll } from '../../src/lab/run.ts'
import { follow, openAsPrimary, RedisHungUp, type Answer, type AsPrimary, type PrimaryLimits } from '../../src/redis/as-primary.ts'
import { encode } from '../../src/redis/psync.ts'
import { openRaw } from '../../src/redis/raw.ts'
import type { Asked } from '../../src/redis/replica-talk.ts'
import { isHangUp } from '../../src/redis/throwaway.ts'
import { Redises, type RealRedis } from '../unit/real-redis.ts'
import { pieces } from '../unit/stored-backups.ts'
import { others } from './servers.ts'

const closers: (() => void | Promise<void>)[] = []
afterEach(async () => {
  for (const close of closers.splice(0).toReversed()) await close()
})

const replid = 'a'.repeat(40)
const offset = 1000
/** As a redis has it that comes to wait for its primary, which is nowhere yet. */
const waiting = ['--replicaof', '127.0.0.1', '1', '--repl-diskless-load', 'on-empty-db', '--replica-serve-stale-data', 'no']
const set = (key: string, value: string): Buffer => encode(['SET', key, value])
const bytesOf = (list: readonly Buffer[]): number => list.reduce((sum, one) => sum + one.length, 0)

function here(): Redises {
  const redises = new Redises()
  closers.push(() => redises.close())
  return redises
}

async function primary(asked: (what: Asked) => Answer | Promise<Answer>, limits?: PrimaryLimits): Promise<AsPrimary> {
  const opened = await openAsPrimary(asked, limits)
  closers.push(opened.close)
  return opened
}

async function attach(redis: RealRedis, to: Pick<AsPrimary, 'port' | 'token'>): Promise<void> {
  const opened = await openRaw({ host: '127.0.0.1', port: redis.port }, 5000)
  if (!opened.ok) throw new Error(opened.why)
  await follow(opened.value, to).finally(opened.value.close)
}

/** Of `keys` values of 1 KiB. */
async function rdbOf(redises: Redises, keys: number, program = 'redis-server'): Promise<Buffer> {
  const source = await redises.start({ program })
  await source.call('EVAL', `for i=1,${keys} do redis.call('SET','key:'..i,string.rep(string.char(i%250),20)..i) end`, '0')
  await source.call('SAVE')
  return readFileSync(`${redises.dir}/${source.port}/dump.rdb`)
}

async function* none(): AsyncGenerator<Buffer> {}
async function* of(list: readonly Buffer[]): AsyncGenerator<Buffer> {
  yield* list
}
const whole = (rdb: Buffer, after: AsyncIterable<Buffer> = none()): Answer => ({ full: { replid, offset, rdb: pieces(rdb), after } })

const hasEnded = async (it: () => boolean): Promise<boolean> =>
  (await poll(() => Promise.resolve(it() ? true : undefined), { withinMs: 5000, everyMs: 10 })) === true

describe.each([{ name: 'the installed redis', redisServer: 'redis-server' }, ...others])('$name', ({ redisServer }) => {
  test('gets an RDB and the stream behind it; started again with what it saved, it asks for exactly what it lacks, and gets that', async () => {
    const redises = here()
    const rdb = await rdbOf(redises, 20_000, redisServer)
    const [first, second] = [[set('a', '1'), set('b', '2')], [set('c', '3')]]
    const asked: Asked[] = []
    const as = await primary((what) => {
      asked.push(what)
      return what.replid === replid ? { continue: of(second) } : whole(rdb, of(first))
    })
    const redis = await redises.start({ program: redisServer }, ...waiting)
    await attach(redis, as)
    const end = offset + bytesOf(first)
    await as.until(end)
    expect(as.acked()).toBe(end)
    expect([await redis.call('DBSIZE'), await redis.call('GET', 'key:20000'), await redis.call('GET', 'b')]).toEqual([20_002, expect.anything(), '2'])
    await redis.call('SAVE')
    await redis.call('REPLICAOF', 'NO', 'ONE')

    const again = await redises.start({ program: redisServer }, ...waiting, '--dir', `${redises.dir}/${redis.port}`)
    await attach(again, as)
    await as.until(end + bytesOf(second))
    expect([await again.call('DBSIZE'), await again.call('GET', 'c')]).toEqual([20_003, '3'])
    expect(asked).toEqual([
      { replid: '?', offset: -1 },
      { replid, offset: end + 1 },
    ])
  })

  test('an RDB whose proof fails at its end is never served; when it attaches again, it is asked for again', async () => {
    const redises = here()
    const rdb = await rdbOf(redises, 20_000, redisServer)
    let asks = 0
    const wrong = async function* (): AsyncGenerator<Buffer> {
      yield* pieces(rdb)
      throw new Error('SHA-256')
    }
    let goOn = (): void => undefined
    const mayGoOn = new Promise<void>((resolve) => {
      goOn = resolve
    })
    const as = await primary(async () => {
      asks += 1
      if (asks > 1) await mayGoOn
      return asks === 1 ? { full: { replid, offset, rdb: wrong(), after: none() } } : whole(rdb)
    })
    const redis = await redises.start({ program: redisServer }, ...waiting)
    await attach(redis, as)
    await expect(as.until(offset)).rejects.toThrow('SHA-256')
    expect(await hasEnded(() => asks === 2)).toBe(true)
    await expect(redis.call('DBSIZE')).rejects.toThrow('MASTERDOWN')
    goOn()
    await as.until(offset)
    expect(await redis.call('DBSIZE')).toBe(20_000)
  })
})

/** All that is said until the connection is over. */
const said = (port: number, ...commands: readonly (readonly string[])[]): Promise<string> =>
  new Promise((resolve) => {
    let text = ''
    const socket = createConnection({ host: '127.0.0.1', port }, () => socket.write(Buffer.concat(commands.map((words) => encode(words)))))
    socket.on('data', (chunk) => (text += String(chunk))).on('error', () => undefined)
    socket.once('close', () => resolve(text))
  })

test('of an RDB that is not proven neither the last piece nor the mark leaves this process', async () => {
  const wrong = async function* (): AsyncGenerator<Buffer> {
    yield* pieces(Buffer.from('first second third '), 7)
    throw new Error('SHA-256')
  }
  const as = await primary(() => ({ full: { replid, offset, rdb: wrong(), after: none() } }))
  const got = await said(as.port, ['AUTH', as.token], ['PSYNC', '?', '-1'])
  expect(got.replace(/EOF:[0-9a-f]{40}/, 'EOF:mark')).toBe(`+OK\r\n+FULLRESYNC ${replid} ${offset}\r\n$EOF:mark\r\nfirst second t`)
})

describe('whoever does not know the token', () => {
  test('is given nothing, and the owner hears nothing of it', async () => {
    const asked: Asked[] = []
    const as = await primary((what) => {
      asked.push(what)
      return { refuse: 'no' }
    })
    expect(await said(as.port, ['PSYNC', '?', '-1'])).toBe('')
    expect(await said(as.port, ['REPLCONF', 'capa', 'eof'], ['PSYNC', '?', '-1'])).toBe('')
    expect(await said(as.port, ['AUTH', 'f'.repeat(48)], ['PSYNC', '?', '-1'])).toBe('-WRONGPASS invalid password\r\n')
    expect(await said(as.port, ['AUTH', as.token], ['PSYNC', '?', '-1'])).toBe('+OK\r\n-NOMASTERLINK no\r\n')
    const redises = here()
    const redis = await redises.start(...waiting, '--logfile', 'redis.log')
    asked.length = 0
    await attach(redis, { port: as.port, token: 'wrong' })
    await expect.poll(() => readFileSync(`${redises.dir}/${redis.port}/redis.log`, 'latin1'), { timeout: 5000 }).toContain('Unable to AUTH to MASTER')
    expect(asked).toEqual([])
  })

  test('and whoever says nothing does not keep it', async () => {
    const as = await primary(() => ({ refuse: 'no' }), { greetingMs: 50, standstillMs: 1000 })
    expect(await said(as.port)).toBe('')
  })
})

describe('bad luck', () => {
  /** Without an end. */
  async function* endless(seen: { bytes: number; isOver: boolean }): AsyncGenerator<Buffer> {
    const piece = Buffer.concat(Array.from({ length: 100 }, (_, i) => set(`k${i}`, 'x'.repeat(600))))
    try {
      for (;;) {
        seen.bytes += piece.length
        yield piece
      }
    } finally {
      seen.isOver = true
    }
  }

  async function streaming(limits?: PrimaryLimits) {
    const redises = here()
    const rdb = await rdbOf(redises, 10)
    const seen = { bytes: 0, isOver: false }
    const then = (): AsyncIterable<Buffer> => endless(seen)
    const as = await primary(({ offset: wanted }) => (wanted < 0 ? whole(rdb, then()) : { refuse: 'once is enough' }), limits)
    const redis = await redises.start(...waiting)
    const pid = Number(/process_id:(\d+)/.exec(String(await redis.call('INFO', 'server')))?.[1])
    await attach(redis, as)
    await as.until(offset)
    return { as, redis, pid, seen }
  }

  test('redis is killed in the middle: that is told as a hang-up, and the source is let go', async () => {
    const { as, pid, seen } = await streaming()
    const never = as.until(Number.MAX_SAFE_INTEGER)
    process.kill(pid, 'SIGKILL')
    const why: unknown = await never.catch((error: unknown) => error)
    expect(why).toBeInstanceOf(RedisHungUp)
    expect(isHangUp(why)).toBe(true)
    expect(await hasEnded(() => seen.isOver)).toBe(true)
  })

  test('redis stands still: no more is read from the source than fits between the two, and nobody waits for ever', async () => {
    const { as, pid, seen } = await streaming({ greetingMs: 5000, standstillMs: 1000 })
    process.kill(pid, 'SIGSTOP')
    await expect(as.until(Number.MAX_SAFE_INTEGER)).rejects.toThrow(/redis has read (and applied )?nothing for 1 s/)
    const then = seen.bytes
    expect(await hasEnded(() => seen.isOver)).toBe(true)
    expect(seen.bytes).toBe(then)
  })

  test('it applies less than it was given: said in time', async () => {
    const redises = here()
    const rdb = await rdbOf(redises, 10)
    const half = set('k', 'value').subarray(0, -3)
    const as = await primary(() => whole(rdb, of([half])), { greetingMs: 5000, standstillMs: 2500 })
    await attach(await redises.start(...waiting), as)
    await expect(as.until(offset + half.length)).rejects.toThrow('redis has read and applied nothing for 2.5 s')
  })

  test('no redis comes: said in time', async () => {
    const as = await primary(() => ({ refuse: 'no' }), { greetingMs: 50, standstillMs: 50 })
    await expect(as.until(1)).rejects.toThrow('redis has not attached for 0.05 s')
  })

  test('the owner closes it: whoever waits hears so, the source is let go, and redis finds nobody', async () => {
    const { as, redis, seen } = await streaming()
    const never = expect(as.until(Number.MAX_SAFE_INTEGER)).rejects.toThrow('closed')
    await as.close()
    await never
    expect(await hasEnded(() => seen.isOver)).toBe(true)
    await expect.poll(async () => String(await redis.call('INFO', 'replication')), { timeout: 5000 }).toContain('master_link_status:down')
  })
})
