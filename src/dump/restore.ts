/**
 * A backup into a new redis: fetched once, written to its folder and loaded by redis at the same time. THE ORDER is what makes it safe to be
 * killed anywhere: all bytes proven → redis gets the last of them, and only then can come to serve → dump.rdb durable under its name → redis
 * takes writes, and is let go. So there is never a redis with unproven data, never half of a dump.rdb, no write that was confirmed and goes
 * with a redis that is ended, and whoever is killed before the end leaves nothing. That it is READ does not wait for the disk. It starts as
 * replica of nobody, so that it takes no writes yet and saves nothing over dump.rdb, and that what it holds can be counted before the first
 * key is removed because its time is over. With a moment the stream behind the backup is replayed in between, and redis itself then writes the
 * dump.rdb of that moment: the backup's own never comes to the disk.
 */
import { spawn } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { readFile, rm } from 'node:fs/promises'
import { judgeCounts, total, type CountVerdict } from '../backup/counts.ts'
import type { DatabaseCount, Manifest } from '../backup/manifest.ts'
import { OperatorError } from '../model/error.ts'
import { parseInfo } from '../redis/info.ts'
import { openRaw, RawError, type RawRedis, type RawTarget } from '../redis/raw.ts'
import { isHangUp, untilEnded, untilServes } from '../redis/throwaway.ts'
import type { Store } from '../store/store.ts'
import { collector } from './collect.ts'
import { feed, type Reader } from './feed.ts'
import { codeOf, FetchFailed, fetchRdb } from './fetch.ts'
import type { Chunks } from './measure.ts'
import { SegmentFailed } from './along.ts'
import { streamError, type Moment } from './moment.ts'
import { refusalOf } from './refusal.ts'
import { must, replay } from './replay.ts'
import { freeBytes, noSpace, openDir, socketName, type RestoreDir } from './restore-dir.ts'
import { databasesOf } from './seen.ts'

export interface RestoreOrder {
  readonly store: Store
  readonly manifest: Manifest
  readonly key: Buffer | null
  /** Absolute. Checked by `checkDir`. */
  readonly dir: string
  readonly conf: string
  /** null: only the files are written. */
  readonly start: { readonly redisServer: string; readonly host: string; readonly port: number; readonly password: string | undefined } | null
  /** What is replayed behind the backup. null: nothing, the backup is what is wanted. */
  readonly replay: Replayed | null
  /** Of the RDB. */
  readonly progress: (bytes: number) => void
  readonly signal: AbortSignal
}

export interface Replayed {
  readonly moment: Moment
  /** Of what it takes to write the files where no redis is to stay. */
  readonly redisServer: string
  readonly password: string | undefined
  /** Of the stream. */
  readonly progress: (bytes: number) => void
}

export interface Restored {
  readonly fetchMs: number
  /** Until it could be read. null: it was not started. */
  readonly servedMs: number | null
  /** Until the file was on the disk as well, and it takes writes. */
  readonly tookMs: number
  /** null: nothing was replayed. */
  readonly replayMs: number | null
  /** null: it was not started. `counts`: of the backup, before anything was replayed. */
  readonly served: { readonly pid: number; readonly databases: readonly DatabaseCount[]; readonly keys: number; readonly counts: CountVerdict } | null
}

/** Throws OperatorError, or the reason of `signal`; then nothing is left of it, and no redis runs. */
export async function restore(order: RestoreOrder): Promise<Restored> {
  const beganMs = performance.now()
  const sinceMs = (): number => performance.now() - beganMs
  const withRedis = order.start !== null || order.replay !== null
  const dir = await openDir(order.dir, order.conf, withRedis)
  let redis: Started | null = null
  try {
    let fetchMs = 0
    const fetched = fetchedFor(order, dir, () => {
      fetchMs = sinceMs()
    })
    if (!withRedis) {
      for await (const _ of fetched) order.signal.throwIfAborted()
      await dir.commit()
      return { fetchMs, servedMs: null, tookMs: sinceMs(), replayMs: null, served: null }
    }
    redis = await startRedis(order, dir)
    // Since 7.2 redis opens its file once more when it has read it, and would wait for another writer.
    await feed(dir.pipe, fetched, redis, order.signal, () => rm(dir.pipe))
    const { servedMs, replayMs, served } = await judged(order, redis, dir, sinceMs)
    await (order.start === null ? end(redis, dir) : redis.letGo())
    return order.start === null
      ? { fetchMs, servedMs: null, tookMs: sinceMs(), replayMs, served: null }
      : { fetchMs, servedMs, tookMs: sinceMs(), replayMs, served }
  } catch (error) {
    const said = (await redis?.lastWords(isHangUp(error) || error instanceof NotServed)) ?? ''
    const isFull = error instanceof NotSaved && (await wasFull(order, said))
    await redis?.kill()
    await dir.discard()
    order.signal.throwIfAborted()
    throw isFull ? noSpace(order.dir) : inWords(error as Error, order, said)
  }
}

/** Of a redis that was only to write its file. */
async function end(redis: Started, { log, socket }: RestoreDir): Promise<void> {
  await redis.kill()
  for (const file of [log, socket]) await rm(file, { force: true })
}

/** It ended, or never came to serve. */
class NotServed extends Error {}

/** redis was asked to write its file, and said no more than that it did not. */
class NotSaved extends Error {}

/** `said`: its log. That lies on the same disk, and may have had no room for it either; what redis had written of its file is away again. */
async function wasFull({ dir, manifest, replay: replayed }: RestoreOrder, said: string): Promise<boolean> {
  if (/No space left on device|Disk quota exceeded/.test(said)) return true
  const stream = replayed === null ? 0 : replayed.moment.to - manifest.position.offset
  return (await freeBytes(dir).catch(() => Number.POSITIVE_INFINITY)) < manifest.rdb.bytes + stream
}

/** Written down on its way, where it is what is wanted. */
async function* fetchedFor(
  { store, manifest, key, replay: replayed, signal, progress }: RestoreOrder,
  dir: RestoreDir,
  done: () => void,
): Chunks & AsyncGenerator<Buffer> {
  const collect = collector()
  let bytes = 0
  for await (const chunk of fetchRdb(store, manifest, key, signal)) {
    if (replayed === null) await dir.write(chunk)
    bytes += chunk.length
    progress(bytes)
    yield chunk
    collect(chunk.length)
  }
  done()
}

interface Started extends Reader {
  readonly pid: number
  /** `ended`: it is about to, so that is waited for. */
  readonly lastWords: (ended: boolean) => Promise<string>
  readonly kill: () => Promise<void>
  /** It stays when this process ends. */
  readonly letGo: () => Promise<void>
}

/**
 * Between the two, in a session of its own, so that Ctrl-C is not for it: a redis whose writer was killed looks at its file once more, which
 * is a pipe, and would wait for ever. Unless it is told to let go, it ends redis, and removes what is half.
 */
const keeper = [
  'umask 077; "$@" </dev/null >>redis.log 2>&1 & pid=$!; echo "$pid"; exec >/dev/null 2>&1',
  'read -r word; if [ "$word" = keep ]; then exit; fi',
  'kill -9 "$pid"; wait "$pid"',
  'if [ -e "$HOLDFAST_PART" ]; then rm -f dump.rdb "temp-$pid.rdb" redis.conf redis.log redis.sock "$HOLDFAST_PART"; if [ -n "$HOLDFAST_MADE" ]; then rmdir "$PWD"; fi; fi',
].join('\n')

async function startRedis({ start, replay: replayed }: RestoreOrder, dir: RestoreDir): Promise<Started> {
  const redisServer = (start ?? replayed)?.redisServer ?? ''
  // Nobody else is to find one that does not stay.
  const alone = start === null ? ['--port', '0', '--unixsocket', socketName, '--unixsocketperm', '700'] : []
  const child = spawn('sh', ['-c', keeper, 'sh', redisServer, dir.conf, '--replicaof', '127.0.0.1', '1', ...alone], {
    cwd: dir.path,
    detached: true,
    stdio: ['pipe', 'pipe', 'ignore'],
    env: { ...process.env, HOLDFAST_PART: dir.part, HOLDFAST_MADE: dir.isMade ? 'yes' : '' },
  })
  child.stdin.on('error', () => undefined) // It has ended: what it did is seen.
  const gone = new Promise<void>((resolve, reject) => child.once('exit', () => resolve()).once('error', reject))
  const pid = await new Promise<number>((resolve, reject) => {
    child.stdout.once('data', (line: Buffer) => resolve(Number(line.toString())))
    gone.then(() => reject(new Error('no redis was started')), reject)
  })
  const hasEnded = (): boolean => !runs(pid)
  return {
    pid,
    hasEnded,
    lastWords: async (ended) => {
      if (ended) await untilEnded(hasEnded)
      return readFile(dir.log, 'latin1').catch(() => '')
    },
    kill: async () => {
      child.stdin.end()
      await gone
    },
    letGo: async () => {
      child.stdin.end('keep\n')
      await gone
    },
  }
}

/** One that has ended, and was not asked for its result yet, is there as a zombie. */
function runs(pid: number): boolean {
  try {
    return !/^\d+ \(.*\) [ZX]/.test(readFileSync(`/proc/${pid}/stat`, 'latin1'))
  } catch {
    return false
  }
}

interface Judged {
  readonly servedMs: number
  readonly replayMs: number | null
  readonly served: NonNullable<Restored['served']>
}

/** Counted, replayed, durable: then it takes writes. */
async function judged(order: RestoreOrder, redis: Started, dir: RestoreDir, sinceMs: () => number): Promise<Judged> {
  const { manifest, signal, start, replay: replayed } = order
  // A path of any length: that of a socket has a limit.
  const at = start === null ? { path: `/proc/${redis.pid}/cwd/${socketName}` } : { host: start.host, port: start.port }
  const target = { ...at, password: (start ?? replayed)?.password }
  const link = await untilServes(target, redis.hasEnded, signal)
  if (link === null) throw new NotServed('it does not come to serve')
  try {
    const loaded = await databasesIn(link)
    const counts = judgeCounts(manifest, loaded)
    const beganMs = sinceMs()
    const found = (databases: readonly DatabaseCount[]): Judged => ({
      servedMs: sinceMs(),
      replayMs: replayed === null ? null : sinceMs() - beganMs,
      served: { pid: redis.pid, databases, keys: total(databases), counts },
    })
    if (replayed !== null)
      return await replay(link, replayed.moment, replayed.progress, signal, async () => {
        const all = found(await databasesIn(link))
        await saved(target, signal)
        await dir.adopt()
        return all
      })
    const all = found(loaded)
    await dir.commit()
    await must(link, 'REPLICAOF', 'NO', 'ONE')
    return all
  } finally {
    link.close()
  }
}

async function databasesIn(link: RawRedis): Promise<readonly DatabaseCount[]> {
  return databasesOf(parseInfo(String(await must(link, 'INFO', 'all'))))
}

/** Of the largest dataset on the slowest disk. */
const saveDeadlineMs = 12 * 3600_000

/** It answers nobody meanwhile; nobody asks it anything yet. No fork: its memory is not needed twice. */
async function saved(target: RawTarget, signal: AbortSignal): Promise<void> {
  const opened = await openRaw(target, saveDeadlineMs)
  if (!opened.ok) throw new Error(opened.why)
  const stop = (): void => opened.value.close()
  signal.addEventListener('abort', stop)
  try {
    signal.throwIfAborted()
    const answer = await opened.value.call('SAVE')
    if (answer instanceof RawError) throw new NotSaved(`redis refuses SAVE: ${answer.text}`)
  } finally {
    signal.removeEventListener('abort', stop)
    opened.value.close()
  }
}

function inWords(error: Error, { store, manifest, dir, start, replay: replayed }: RestoreOrder, said: string): Error {
  if (error instanceof OperatorError) return error
  if (error instanceof SegmentFailed) return streamError(error, manifest)
  const again = `run the same command again; nothing is left in ${dir}`
  if (error instanceof FetchFailed) {
    const { code, hint } = codeOf(error)
    if (error.about !== 'data') return new OperatorError(code, error.message, hint ?? again)
    return new OperatorError(code, `${manifest.stored.name} in ${store.where}: ${error.message}`, `use another one: holdfast backup list ${manifest.group}`)
  }
  if (!isHangUp(error) && !(error instanceof NotServed)) return new OperatorError('HF824', `the restore stopped: ${error.message}`, again)
  const { why, newer } = refusalOf(said, manifest)
  return new OperatorError(
    'HF823',
    `${(start ?? replayed)?.redisServer ?? 'redis-server'} does not load ${manifest.id}: ${why}`,
    newer
      ? 'install a redis-server at least as new as the one that wrote it, or name it as paths.redis_server'
      : 'mend that and run the same command again; --no-start only writes the files',
  )
}
