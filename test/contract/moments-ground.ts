/**
 * A redis that is written to step by step, each step told by itself: its offset, a digest of all that it holds (DEBUG DIGEST) and of every time
 * to live. That is the truth that restored moments are held against: nothing of the code that archives, cuts or replays has a part in it.
 */
import { createHash } from 'node:crypto'
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import type { Backup } from '../../src/backup/catalog.ts'
import type { Manifest, Said, Tested } from '../../src/backup/manifest.ts'
import type { StoredSegment } from '../../src/backup/stream.ts'
import { openBackup } from '../../src/dump/aside.ts'
import { findMoment, type Moment, type Wanted } from '../../src/dump/moment.ts'
import { replay } from '../../src/dump/replay.ts'
import { prove, once } from '../../src/dump/paper.ts'
import { encodeSegment, type SegmentSaid } from '../../src/dump/segment.ts'
import { keyId } from '../../src/dump/seal.ts'
import { putTimeline } from '../../src/dump/stream.ts'
import { fetchPiece } from '../../src/redis/psync.ts'
import { openRaw, RawError, type RawRedis, type RawReply, type Word } from '../../src/redis/raw.ts'
import type { Store } from '../../src/store/store.ts'
import { openDirectory } from '../../src/store/directory.ts'
import { dice, type Dice } from '../sim/prng.ts'
import { Redises, type RealRedis } from '../unit/real-redis.ts'
import { atEnd, folder } from './restore-ground.ts'

export const never = new AbortController().signal
export const key = Buffer.alloc(32, 5)
export const group = 'cache'

export interface Point {
  readonly offset: number
  readonly truth: string
  readonly wallMs: number
}

const databases = [0, 3]
const ttls = `local t={} for _,k in ipairs(redis.call('KEYS','*')) do t[#t+1]=k..'='..redis.call('PEXPIRETIME',k) end table.sort(t) return redis.sha1hex(table.concat(t,','))`

/** At one moment: what it holds, and how long each key lives. */
export async function truthOf(redis: RawRedis): Promise<{ readonly truth: string; readonly offset: number }> {
  const replies = await redis.pipeline([
    ['MULTI'],
    ['DEBUG', 'DIGEST'],
    ...databases.flatMap((database): Word[][] => [
      ['SELECT', String(database)],
      ['EVAL', ttls, '0'],
    ]),
    ['SELECT', '0'],
    ['INFO', 'replication'],
    ['EXEC'],
  ])
  const all = replies.at(-1)
  if (!Array.isArray(all) || all.some((one: RawReply) => one instanceof RawError)) throw new Error(`no truth: ${JSON.stringify(replies)}`)
  const info = String(all.at(-1))
  const offset = Number(/^slave_repl_offset:(\d+)/m.exec(info)?.[1] ?? /^master_repl_offset:(\d+)/m.exec(info)?.[1])
  return { truth: all.slice(0, -1).map(String).join(' '), offset }
}

export async function opened(port: number): Promise<RawRedis> {
  const link = await openRaw({ host: '127.0.0.1', port }, 20_000)
  if (!link.ok) throw new Error(link.why)
  return link.value
}

/** One step is one command, one MULTI or one script: between two of them nothing changes. */
export async function step(redis: RawRedis, commands: readonly (readonly Word[])[]): Promise<void> {
  for (const reply of await redis.pipeline(commands)) if (reply instanceof RawError) throw new Error(`${reply.text}: ${JSON.stringify(commands)}`)
}

/** Of everything that redis has. No two steps in a row are alike. */
export function mixedStep(dice: Dice): Word[][] {
  const int = (below: number): string => String(dice.int(below))
  const name = (type: string): string => `${type}:${int(12)}`
  const value = (): Buffer => createHash('sha512').update(int(1e9)).digest()
  const steps: readonly (() => Word[][])[] = [
    () => [['SET', name('s'), value()]],
    () => [['SET', name('s'), value(), 'EX', String(1000 + dice.int(1e6))]],
    () => [['APPEND', name('s'), value()]],
    () => [['INCR', name('n')]],
    () => [['SETEX', name('s'), String(5000 + dice.int(1e6)), value()]],
    () => [['EXPIRE', name('h'), String(5000 + dice.int(1e6))]],
    () => [['GETEX', name('s'), 'PX', String(9_000_000 + dice.int(1e6))]],
    () => [['PERSIST', name('s')]],
    () => [['HSET', name('h'), int(20), value(), int(20), int(1e6)]],
    () => [['HINCRBY', name('hn'), int(5), int(100)]],
    () => [['LPUSH', name('l'), value(), int(100)]],
    () => [['RPOP', name('l')]],
    () => [['SADD', name('z'.repeat(2)), int(50), int(50), int(50)]],
    () => [['SPOP', name('zz'), '2']],
    () => [['ZADD', name('z'), int(1000), int(30), int(1000), int(30)]],
    () => [['ZUNIONSTORE', name('z'), '2', name('z'), name('z')]],
    () => [['XADD', name('x'), 'MAXLEN', '~', '50', '*', 'a', value()]],
    () => [['DEL', name(dice.pick(['s', 'h', 'l', 'z', 'x'] as const))]],
    () => [
      ['SELECT', '3'],
      ['SET', name('s'), value()],
      ['SELECT', '0'],
    ],
    () => [['MULTI'], ['SET', name('s'), int(1e6)], ['LPUSH', name('l'), int(9)], ['EXPIRE', name('l'), '100000'], ['EXEC']],
    () => [['MULTI'], ['INCR', name('n')], ['SELECT', '3'], ['INCR', name('n')], ['SELECT', '0'], ['EXEC']],
    () => [['EVAL', `for i=1,5 do redis.call('SET','s:'..i, ARGV[1]..i, 'EX', 7000) redis.call('SADD','zz:1',ARGV[1]..i) end`, '0', int(1e6)]],
    () => [['SETRANGE', name('b'), int(3000), value()]],
    () => [['PFADD', name('p'), value(), value()]],
  ]
  if (dice.oneIn(400)) return [['FLUSHDB']]
  return dice.oneIn(60) ? [['SET', 'big', Buffer.alloc(300_000, int(9))]] : dice.pick(steps)()
}

export interface Laid {
  readonly store: Store
  readonly replid: string
  readonly parent: string | null
  readonly from: number
  readonly to: number
  readonly points: readonly Point[]
  readonly dice: Dice
  readonly serverVersion?: string
  readonly epoch?: number
}

/** The bytes that this redis still has, as an archiver would have put them: cut anywhere, now and then some of them twice. */
export async function laid(
  port: number,
  { store, replid, parent, from, to, points, dice, serverVersion = '7.0.15', epoch = 1 }: Laid,
): Promise<readonly StoredSegment[]> {
  const bytes = await fetchPiece({ host: '127.0.0.1', port, password: undefined }, { replid, from, to }, { deadlineMs: 20_000, maxBytes: 1e9 })
  if (!bytes.ok) throw new Error(bytes.why)
  const wallMs = (offset: number): number => points.find((point) => point.offset >= offset)?.wallMs ?? points.at(-1)?.wallMs ?? 0
  const timeline = {
    format: 1,
    group,
    replid,
    epoch,
    from,
    parent: parent === null ? null : { replid: parent },
    atWallMs: epoch,
    host: 'redis-b',
    why: 'a test',
    keyId: keyId(key),
  } as const
  const put = await putTimeline(store, timeline, key, never)
  if (!put.ok) throw new Error(put.why)
  const segments: StoredSegment[] = []
  for (let at = from; at <= to; ) {
    const last = Math.min(to, at + dice.int(Math.max(2, Math.floor((to - from) / 12))))
    const first = dice.oneIn(4) ? Math.max(from, at - dice.int(500)) : at
    const within = points.filter((point) => point.offset >= first && point.offset < last).map((point) => [point.offset, point.wallMs] as const)
    const said: SegmentSaid = {
      group,
      replid,
      from: first,
      to: last,
      lastWallMs: wallMs(last),
      host: 'redis-b',
      serverVersion,
      marks: [...within, [last, wallMs(last)]],
    }
    const { name, bytes: object } = await encodeSegment(said, bytes.value.subarray(first - from, last - from + 1), dice.oneIn(2) ? 'none' : 'gzip', key)
    await store.put(name, once(object), never)
    segments.push({ ...said, name, bytes: object.length })
    at = last + 1
  }
  return segments
}

/** As its test would leave it. */
export function good(manifest: Manifest, keys = 0): Backup {
  const said: Said<Tested> = {
    format: 1,
    id: manifest.id,
    manifestSha256: manifest.sha256,
    atWallMs: manifest.atWallMs,
    ok: true,
    fault: null,
    found: '',
    loadMs: 10,
    fetchMs: 1,
    keys,
    serverVersion: '7.0.15',
  }
  return { manifest, tested: prove('tested', said, key).value, condemned: null, held: null, state: 'good', wrong: null, unclear: null, byKey: true, bytes: 0 }
}

/** While it is still a replica, as the stream has left it. */
export async function restored(
  moment: Moment,
  redisServer = 'redis-server',
  ask: (redis: RawRedis) => ReturnType<typeof truthOf> = truthOf,
): Promise<{ readonly truth: string; readonly offset: number }> {
  const { store } = moment.archive
  const aside = await openBackup({
    store,
    manifest: moment.backup.manifest,
    key,
    redisServer,
    prefix: 'holdfast-cuts-',
    databases: 16,
    capBytes: 0,
    more: ['--replicaof', '127.0.0.1', '1', ...(redisServer === 'redis-server' ? ['--enable-debug-command', 'yes'] : [])],
    told: (chunks) => chunks,
    signal: never,
  })
  try {
    return await replay(
      aside.redis,
      moment,
      () => undefined,
      never,
      () => ask(aside.redis),
    )
  } finally {
    await aside.close()
  }
}

export interface Place {
  readonly dir: string
  readonly store: Store
  readonly redises: Redises
}

export function place(): Place {
  const dir = folder()
  mkdirSync(join(dir, 'store'))
  const redises = new Redises()
  atEnd(() => redises.close())
  return { dir, store: openDirectory(join(dir, 'store')), redises }
}

export const told = ['--enable-debug-command', 'yes', '--repl-backlog-size', '64mb', '--repl-ping-replica-period', '3600']

export function find(store: Store, backups: readonly Backup[], wanted: Wanted, timeline: string | null = null): Promise<Moment> {
  return findMoment({ store, group, key, backups, waiting: [], wanted, timeline, progress: () => undefined, signal: never })
}

export async function linked(redis: RealRedis): Promise<RawRedis> {
  const link = await opened(redis.port)
  atEnd(link.close)
  return link
}

/** So many steps, each told; when: a second for each. */
export async function written(link: RawRedis, points: Point[], count: number, rolls = dice(3)): Promise<void> {
  for (let done = 0; done < count; done += 1) {
    await step(link, mixedStep(rolls))
    const now = await truthOf(link)
    if (now.offset > (points.at(-1)?.offset ?? 0)) points.push({ ...now, wallMs: ((points.at(-1)?.wallMs ?? 0) / 1000 + 1) * 1000 })
  }
}
