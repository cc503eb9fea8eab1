/**
 * The restore test: a backup is fetched, proven and loaded by a real redis-server of its own, its keys are counted, and a sample compared
 * with the redis that it was taken from. That redis takes part as `replica of nobody`: what it loads is then exactly what is in there, also
 * keys whose time is over. Only what speaks of the backup itself makes it bad; what this machine lacks (memory, a redis that is new
 * enough, a module, the key, the store) is told, and says nothing about it.
 */
import { judgeCounts, total, type CountVerdict } from '../backup/counts.ts'
import { supersedes, type Manifest, type Said, type Tested } from '../backup/manifest.ts'
import type { Observed } from '../model/outcome.ts'
import { parseInfo, type InfoFields } from '../redis/info.ts'
import type { RedisTarget } from '../redis/link.ts'
import { openRaw, type RawRedis } from '../redis/raw.ts'
import { availableBytes, NotLoaded, type Throwaway } from '../redis/throwaway.ts'
import type { Store } from '../store/store.ts'
import { openBackup } from './aside.ts'
import { FetchFailed } from './fetch.ts'
import { reported, type Chunks } from './measure.ts'
import { putPaper } from './paper.ts'
import { rdbFormatOf } from './reads.ts'
import { judgeSample, takeSample, type SampleVerdict } from './sample.ts'
import { databasesOf, see } from './seen.ts'
import { databasesNeeded, memoryNeeded, mib } from './needs.ts'
import { refusalOf } from './refusal.ts'

export interface TrialOrder {
  readonly store: Store
  readonly manifest: Manifest
  readonly key: Buffer | null
  readonly redisServer: string
  /** The redis that it was taken from, right after; null: it is not at hand, or has gone on too far. */
  readonly source: RedisTarget | null
  readonly wallMs: () => number
  /** Of the RDB. */
  readonly progress: (bytes: number, of: number) => void
  readonly signal: AbortSignal
}

const sourceDeadlineMs = 10_000

/** Not ok: it could not be tested here, and why; that says nothing about the backup. Throws only the reason of `signal`. */
export async function tryBackup(order: TrialOrder): Promise<Observed<Said<Tested>>> {
  const { manifest, signal } = order
  const needs = memoryNeeded(manifest)
  const has = await availableBytes()
  // The same data are probably served here as well, and a save of theirs copies pages meanwhile.
  const reserve = needs / 2
  if (has < needs + reserve)
    return { ok: false, why: `it needs about ${mib(needs)} of memory and ${mib(reserve)} to spare, and ${mib(has)} are available here` }
  const beganMs = performance.now()
  let fetchMs = 0
  const told = async function* (chunks: Chunks): AsyncGenerator<Buffer, void, undefined> {
    yield* reported(chunks, (bytes) => order.progress(bytes, manifest.rdb.bytes))
    fetchMs = performance.now() - beganMs
  }
  const said = (fault: Tested['fault'], found: string, keys = 0, serverVersion = '', loadMs = 0): Observed<Said<Tested>> => ({
    ok: true,
    value: {
      format: 1,
      id: manifest.id,
      manifestSha256: manifest.sha256,
      atWallMs: order.wallMs(),
      ok: fault === null,
      fault,
      found,
      loadMs: Math.round(loadMs),
      fetchMs: Math.round(fetchMs),
      keys,
      serverVersion,
    },
  })
  try {
    const aside = await loadAside(order, told, Math.min(has, needs * 2))
    try {
      const loadMs = performance.now() - beganMs
      const fields = await infoOf(aside.redis)
      const loaded = databasesOf(fields)
      const serverVersion = fields.get('redis_version') ?? ''
      const counts = judgeCounts(manifest, loaded)
      const sample = await sampled(order, aside.redis, serverVersion)
      const fault = counts.found === 'wrong' || sample?.wrong === true ? 'differs' : null
      return said(fault, inWords(serverVersion, counts, sample, total(loaded)), total(loaded), serverVersion, loadMs)
    } finally {
      await aside.close()
    }
  } catch (error) {
    signal.throwIfAborted()
    if (error instanceof FetchFailed) return error.about === 'data' ? said('stored', error.message) : { ok: false, why: error.message }
    if (!(error instanceof NotLoaded)) return { ok: false, why: `the redis that was to load it: ${(error as Error).message}` }
    const refusal = refusalOf(error.output, manifest)
    if (!refusal.ofBackup) return { ok: false, why: refusal.newer ? `${refusal.why}${await readsUpTo(order.redisServer)}` : refusal.why }
    return said('refused', `redis-server does not load it: ${refusal.why}`)
  }
}

/** A good result is not replaced by one that says less; then the earlier one is the answer. */
export async function recordTested(
  store: Store,
  manifest: Manifest,
  earlier: Tested | null,
  said: Said<Tested>,
  key: Buffer | null,
  signal: AbortSignal,
): Promise<Observed<Tested>> {
  if (earlier !== null && !supersedes(said, earlier)) return { ok: true, value: earlier }
  return putPaper(store, manifest.group, 'tested', said, manifest.encryption === null ? null : key, signal)
}

function loadAside(order: TrialOrder, told: (chunks: Chunks) => Chunks, capBytes: number): Promise<Throwaway> {
  const databases = databasesNeeded(order.manifest)
  return openBackup({ ...order, told, capBytes, databases, prefix: 'holdfast-restore-test-', more: ['--replicaof', '127.0.0.1', '1'] })
}

async function sampled({ source, manifest, signal, wallMs }: TrialOrder, loaded: RawRedis, version: string): Promise<SampleVerdict | null> {
  if (source === null) return null
  const opened = await openRaw(source, sourceDeadlineMs)
  if (!opened.ok) return { wrong: false, words: `its source could not be asked for a sample (${opened.why})` }
  try {
    const fields = await infoOf(opened.value)
    const databases = databasesOf(fields)
    if (databases.length === 0) return null
    const fieldsExpire = [...fields].some(([name, value]) => /^db\d+$/.test(name) && /subexpiry=[1-9]/.test(value))
    const sides = { source: opened.value, loaded, sameVersion: fields.get('redis_version') === version, fieldsExpire }
    const sample = await takeSample(sides, databases, signal)
    const now = await see(opened.value)
    const uptimeMs = Number(fields.get('uptime_in_seconds') ?? 0) * 1000
    return judgeSample(sample, manifest, now.ok ? now.value : null, { uptimeMs, sinceMs: wallMs() - manifest.atWallMs })
  } catch (error) {
    signal.throwIfAborted()
    return { wrong: false, words: `its source could not be asked for a whole sample (${(error as Error).message})` }
  } finally {
    opened.value.close()
  }
}

async function infoOf(redis: RawRedis): Promise<InfoFields> {
  return parseInfo(String(await redis.call('INFO', 'all')))
}

function inWords(version: string, counts: CountVerdict, sample: SampleVerdict | null, keys: number): string {
  const loaded = `redis-server ${version} loaded it: ${counts.words}`
  const empty = keys === 0 && counts.found !== 'wrong' ? ' (it is empty)' : ''
  return `${loaded}${empty}; ${sample === null ? 'no sample was compared' : sample.words}`
}

async function readsUpTo(redisServer: string): Promise<string> {
  const reads = await rdbFormatOf(redisServer)
  return reads.ok ? `, this redis-server ${reads.value.version} reads up to ${reads.value.format}` : ''
}
