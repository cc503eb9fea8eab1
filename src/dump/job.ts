/**
 * One job of the process that makes backups: look at the store; or take a backup, restore it in a test, thin the store out; or test one; or archive a stream. Tells what it
 * does. Knows nothing of the process that it runs in (main.ts), nor of agents: what it needs is in its order.
 */
import { alarmsOf, baseOf, type Catalog } from '../backup/catalog.ts'
import { coverageOf, streamAlarms } from '../backup/coverage.ts'
import { glanceOf, type Glance } from '../backup/due.ts'
import type { Base } from '../backup/chain.ts'
import type { ArchiveJob, ArchiveLine, Job, JobBase, JobLine, TakeJob, TestJob } from '../backup/job.ts'
import type { Manifest, Tested } from '../backup/manifest.ts'
import { readBackupKey } from '../config/backup-files.ts'
import { readPassword } from '../config/files.ts'
import type { Observed } from '../model/outcome.ts'
import type { RedisTarget } from '../redis/link.ts'
import { openStore } from '../store/open.ts'
import type { Store } from '../store/store.ts'
import { archive } from './archive.ts'
import { readCatalog } from './catalog.ts'
import { collector } from './collect.ts'
import { compressionHere } from './pack.ts'
import { pruneStore, type PruneResult } from './prune.ts'
import { readStream, unprovenIn, type StreamStored } from './stream.ts'
import { take } from './take.ts'
import { recordTested, tryBackup } from './trial.ts'

export type Tell = (line: JobLine | ArchiveLine) => void

const progressEveryMs = 250

export async function runJob(job: Job | ArchiveJob, tell: Tell, signal: AbortSignal): Promise<void> {
  const opened = await openStore(job.backup.store)
  if (!opened.ok) {
    tell({ t: 'failed', why: opened.why })
    return
  }
  const store = opened.value
  try {
    const key = await keyOf(job)
    const bench: Bench = { store, key, tell, signal }
    if (job.job === 'archive') await archiveStream(job, bench)
    else tell(job.job === 'look' ? await look(job, bench) : job.job === 'take' ? await takeAndTest(job, bench) : await testAgain(job, bench))
  } catch (error) {
    // What ends it, ends it in the middle of anything: its reason says more than where.
    tell({ t: 'failed', why: signal.aborted ? String(signal.reason) : (error as Error).message })
  } finally {
    await store.close()
  }
}

interface Bench {
  readonly store: Store
  readonly key: Observed<Buffer | null>
  readonly tell: Tell
  readonly signal: AbortSignal
}

async function look(job: Job, bench: Bench): Promise<JobLine> {
  const catalog = await catalogOf(job, bench)
  if (!catalog.ok) return failed(`${bench.store.where}: ${catalog.why}`)
  const stream = await streamOf(job, bench)
  return stream.ok ? { t: 'done', glance: seenNow(job, catalog.value, stream.value, bench), text: '' } : failed(`${bench.store.where}: ${stream.why}`)
}

async function takeAndTest(job: TakeJob, bench: Bench): Promise<JobLine> {
  const { store, key, tell, signal } = bench
  if (!key.ok) return failed(key.why)
  const told = await targetOf(job)
  if (!told.ok) return failed(told.why)
  const target = told.value
  const { id, group, reason, source, epoch, backup } = job
  tell({ t: 'phase', phase: 'taking' })
  const order = { id, group, reason, source, epoch, target, store, signal, compression: compressionHere(backup.compression), bytesPerS: backup.maxBytesPerS }
  const taken = await take({ ...order, key: key.value, wallMs: Date.now, progress: paced(tell) })
  signal.throwIfAborted()
  if (!taken.ok) return failed(taken.why)
  if (backup.test) await test(job, bench, taken.value, { source: target, earlier: null })
  return thinOut(job, bench, inWords(taken.value))
}

async function testAgain(job: TestJob, bench: Bench): Promise<JobLine> {
  const catalog = await catalogOf(job, bench)
  if (!catalog.ok) return failed(`${bench.store.where}: ${catalog.why}`)
  const found = catalog.value.backups.find(({ manifest }) => manifest.id === job.id)
  if (found === undefined) return failed(`${job.id} is not there any more`)
  await test(job, bench, found.manifest, { source: null, earlier: found.tested })
  return thinOut(job, bench, `${job.id} was tested`)
}

interface Before {
  /** That it was taken from, to compare with; null: too long ago. */
  readonly source: RedisTarget | null
  /** What an earlier test found: a redis of today that cannot load it takes nothing away from that. */
  readonly earlier: Tested | null
}

async function test(job: TakeJob | TestJob, { store, key, tell, signal }: Bench, manifest: Manifest, { source, earlier }: Before): Promise<void> {
  if (!key.ok) throw new Error(key.why)
  tell({ t: 'phase', phase: 'testing' })
  const order = { store, manifest, key: key.value, redisServer: job.redisServer, source, wallMs: Date.now, progress: paced(tell), signal }
  const tested = await tryBackup(order)
  if (!tested.ok) throw new Error(tested.why)
  const recorded = await recordTested(store, manifest, earlier, tested.value, key.value, signal)
  if (!recorded.ok) throw new Error(`${manifest.id} is taken and tested; the result could not be written: ${recorded.why}`)
}

/** What is told at the end is what lay there before: what goes is never what counts. */
async function thinOut(job: TakeJob | TestJob, bench: Bench, text: string): Promise<JobLine> {
  const { store, key, tell, signal } = bench
  tell({ t: 'phase', phase: 'thinning out' })
  const catalog = await catalogOf(job, bench)
  if (!catalog.ok) return failed(`${text}; the store cannot be read any more: ${catalog.why}`)
  const found = await streamOf(job, bench)
  if (!found.ok) return failed(`${text}; the stream cannot be read: ${found.why}`)
  const everyMs = job.everyMs ?? Number.POSITIVE_INFINITY
  const stream = found.value === null || job.backup.stream === null ? null : { stored: found.value, keepMs: job.backup.stream.keepMs }
  const options = { dryRun: false, phases: 'both', key: key.ok ? key.value : null, signal, stream } as const
  const pruned = await pruneStore(store, catalog.value, job.backup.keep, everyMs, Date.now(), options)
  const troubles = pruned.ok ? troublesOf(pruned.value) : [pruned.why]
  return { t: 'done', glance: seenNow(job, catalog.value, found.value, bench), text: [text, ...troubles.slice(0, 3)].join('; ') }
}

function troublesOf({ all, alarm, stream }: PruneResult): readonly string[] {
  const kept = all.flatMap(({ id, failed: why }) => (why === null ? [] : [`${id} could not be removed: ${why}`]))
  return stream === null || stream.why === null || stream.why === alarm ? kept : [...kept, stream.why]
}

/** Ends when it is called off, and not before; then it puts what it has. */
async function archiveStream(job: ArchiveJob, bench: Bench): Promise<void> {
  const { store, key, tell, signal } = bench
  const { group, source, epoch, backup, lineage = [] } = job
  const { stream, compression } = backup
  if (!key.ok || stream === null) {
    tell(failed(key.ok ? 'no stream is configured' : key.why))
    return
  }
  const bases = async (): Promise<Observed<readonly Base[]>> => {
    const catalog = await catalogOf(job, bench)
    return catalog.ok ? { ok: true, value: catalog.value.backups.filter(({ condemned }) => condemned === null).map(baseOf) } : catalog
  }
  const now = (): { nowMs: number; wallMs: number } => ({ nowMs: performance.now(), wallMs: Date.now() })
  const order = { group, host: source.host, store, key: key.value, compression: compressionHere(compression), flushMs: stream.flushMs, epoch, lineage }
  await archive({ ...order, target: () => targetOf(job), bases, now, tell, signal })
}

async function targetOf({ group, redis: { host, port, passwordFile } }: Pick<ArchiveJob | TakeJob, 'group' | 'redis'>): Promise<Observed<RedisTarget>> {
  try {
    return { ok: true, value: { host, port, password: passwordFile === null ? undefined : await readPassword({ name: group, passwordFile }) } }
  } catch (error) {
    return { ok: false, why: (error as Error).message }
  }
}

function inWords({ id, source, rdb, stored }: Manifest): string {
  return `${id} from ${source.host} (${source.why}): ${rdb.bytes} bytes, ${stored.bytes} in the store`
}

function seenNow({ backup, everyMs }: Job, catalog: Catalog, stream: StreamStored | null, { key }: Bench): Glance {
  const nowWallMs = Date.now()
  const expected = { dueEveryMs: everyMs ?? Number.POSITIVE_INFINITY, encrypted: backup.encryptionKeyFile !== undefined }
  const alarms = alarmsOf(catalog, expected, nowWallMs)
  if (stream === null) return glanceOf(catalog.backups, alarms, nowWallMs)
  const coverage = coverageOf(stream, catalog.backups.map(baseOf))
  const last = coverage.spans.at(-1)
  const seen = last === undefined ? null : { fromWallMs: last.fromWallMs, toWallMs: last.toWallMs, gaps: coverage.gaps.length }
  // How late it is, whoever archives tells every second; what was seen here is told for a quarter of an hour.
  const ofStream = streamAlarms(coverage, stream.broken, false, nowWallMs, unprovenIn(stream, key.ok ? key.value : null))
  return glanceOf(catalog.backups, [...alarms, ...ofStream], nowWallMs, seen)
}

function failed(why: string): { readonly t: 'failed'; readonly why: string } {
  return { t: 'failed', why }
}

function keyOf({ backup }: JobBase): Promise<Observed<Buffer | null>> {
  return backup.encryptionKeyFile === undefined ? Promise.resolve({ ok: true, value: null }) : readBackupKey(backup.encryptionKeyFile)
}

/** Without its key a store is listed all the same: what is missing then is the proof. */
function catalogOf({ group }: JobBase, { store, key, signal }: Bench): Promise<Observed<Catalog>> {
  return readCatalog(store, group, signal, key.ok ? key.value : null)
}

/** null: none is configured. Whatever lies there then is left alone. */
function streamOf({ group, backup }: Job, { store, key, signal }: Bench): Promise<Observed<StreamStored | null>> {
  return backup.stream === null ? Promise.resolve({ ok: true, value: null }) : readStream(store, group, key.ok ? key.value : null, signal)
}

/** Told as often as anybody reads it. */
function paced(tell: Tell): (bytes: number, of: number | null) => void {
  let toldMs = Number.NEGATIVE_INFINITY
  const collect = collector()
  let passed = 0
  return (bytes, of) => {
    collect(Math.max(0, bytes - passed))
    passed = bytes
    const nowMs = performance.now()
    if (nowMs - toldMs < progressEveryMs) return
    toldMs = nowMs
    tell({ t: 'progress', bytes, of })
  }
}
