/**
 * What the stream archive costs the redis that it reads from, and how far it lags: writers on a primary as fast as they can, with and without an archiver at its
 * replica, in turns; then single writes, each until it lies in the store. On loopback, in a folder of its own, gone at the end.
 */
import { execFile, type ChildProcess } from 'node:child_process'
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { promisify } from 'node:util'
import type { ArchiveJob } from '../src/backup/job.ts'
import { parseSegmentName, streamFolder } from '../src/backup/stream.ts'
import { parseInfo } from '../src/redis/info.ts'
import type { RawRedis } from '../src/redis/raw.ts'
import { freePort, spawned, startRedis } from './backup.ts'
import { percentile } from './figures.ts'
import { peakRssMbOf } from './proc.ts'
import type { ArchiveResult } from './table.ts'

const pairs = 5
const roundS = 4
/**
 * One after the other, and sixteen at a time; all on the same cores, and as on two hosts: primary and writers on one core, the replica and its archiver on
 * another. What the first costs more than the second is what the archiver computes, and no redis waits for that where it has cores of its own.
 */
const cases = [
  { depth: 1, apart: false },
  { depth: 16, apart: false },
  { depth: 1, apart: true },
] as const
const coresOf = { primary: '0', replica: '1' } as const
const writes = 1000
const flushMs = 500

interface Ground {
  readonly dir: string
  readonly primary: { readonly port: number; readonly redis: RawRedis }
  readonly replica: { readonly port: number; readonly redis: RawRedis }
  readonly children: Set<ChildProcess>
  readonly signal: AbortSignal
}

export async function measureArchive(say: (line: string) => void, signal: AbortSignal): Promise<ArchiveResult> {
  const dir = mkdtempSync(join(tmpdir(), 'holdfast-bench-archive-'))
  const children = new Set<ChildProcess>()
  try {
    const [primary, replica] = [await started(dir, children), await started(dir, children)]
    await replica.redis.call('REPLICAOF', '127.0.0.1', String(primary.port))
    while (!(await info(replica.redis)).includes('master_link_status:up')) await delay(50)
    const ground: Ground = { dir, primary, replica, children, signal }
    let peakMb = 0
    const measuredCases: { depth: number; apart: boolean; without: number[]; with: number[] }[] = cases.map((one) => ({ ...one, without: [], with: [] }))
    for (const measured of measuredCases) {
      const { apart } = measured
      for (const [name, { redis }] of [['primary', primary] as const, ['replica', replica] as const])
        if (apart) await pin(Number(parseInfo(String(await redis.call('INFO', 'server'))).get('process_id')), coresOf[name])
      for (let pair = 0; pair < pairs; pair += 1) {
        // Which of the two comes first changes: what the machine does besides falls on both.
        for (const archives of pair % 2 === 0 ? [false, true] : [true, false]) {
          const archiver = archives ? await archiverOf(ground, apart) : null
          measured[archives ? 'with' : 'without'].push(await perSecond(ground, measured))
          if (archiver !== null) peakMb = Math.max(peakMb, await archiver.stop())
          signal.throwIfAborted()
        }
        say(
          `  -P ${measured.depth}${apart ? ', on cores of their own' : ''}, pair ${pair + 1}: ${measured.without.at(-1)?.toFixed(0)} without, ${measured.with.at(-1)?.toFixed(0)} with an archiver`,
        )
      }
    }
    const archiver = await archiverOf(ground, false)
    const lagMs = await lagOf(ground)
    peakMb = Math.max(peakMb, await archiver.stop())
    return { cases: measuredCases.map((one) => ({ ...one, ratio: percentile(one.with, 50) / percentile(one.without, 50) })), lagMs, flushMs, peakMb }
  } finally {
    for (const child of children) child.kill('SIGKILL')
    rmSync(dir, { recursive: true, force: true })
  }
}

async function started(dir: string, children: Set<ChildProcess>): Promise<Ground['primary']> {
  const port = await freePort()
  const own = join(dir, String(port))
  mkdirSync(own)
  return { port, redis: await startRedis(own, port, children, ['--save', '', '--repl-diskless-sync-delay', '0', '--repl-backlog-size', '256mb']) }
}

async function info(redis: RawRedis): Promise<string> {
  return String(await redis.call('INFO', 'replication'))
}

/** As an agent starts it, at low priority. Until it is attached. */
async function archiverOf({ dir, replica, children }: Ground, apart: boolean): Promise<{ readonly stop: () => Promise<number> }> {
  rmSync(join(dir, 'store'), { recursive: true, force: true })
  mkdirSync(join(dir, 'store'))
  const options = ['--max-semi-space-size=2', '--max-old-space-size=96', '--expose-gc']
  const child = spawned(
    children,
    'nice',
    ['-n', '5', ...(apart ? ['taskset', '-c', coresOf.replica] : []), process.execPath, ...options, resolve('dist/backup.js')],
    'pipe',
  )
  const job: ArchiveJob = {
    ...{ job: 'archive', group: 'bench', everyMs: null, epoch: 1, redis: { host: '127.0.0.1', port: replica.port, passwordFile: null } },
    source: { host: 'b', role: 'replica', why: 'the only one' },
    backup: {
      ...{ store: { kind: 'directory', path: join(dir, 'store') }, schedule: null, keep: { hourly: 1, daily: 0, weekly: 0, monthly: 0 } },
      ...{ compression: 'gzip', maxBytesPerS: null, test: false, stream: { keepMs: 86_400_000, flushMs } },
    },
  }
  child.stdin?.write(`${JSON.stringify(job)}\n`)
  const gone = new Promise<void>((done) => child.once('exit', () => done()))
  while (!(await info(replica.redis)).includes('port=65536')) {
    if (child.exitCode !== null) throw new Error('the archiver has ended')
    await delay(20)
  }
  return {
    stop: async () => {
      const peakMb = peakRssMbOf(readFileSync(`/proc/${child.pid}/status`, 'utf8'))
      child.stdin?.end()
      await gone
      return peakMb
    },
  }
}

async function pin(pid: number, core: string): Promise<void> {
  await promisify(execFile)('taskset', ['-a', '-c', '-p', core, String(pid)])
}

async function perSecond({ primary, signal }: Ground, { depth, apart }: { readonly depth: number; readonly apart: boolean }): Promise<number> {
  const words = [
    ...(apart ? ['taskset', '-c', coresOf.primary] : []),
    'redis-benchmark',
    '-p',
    String(primary.port),
    '-t',
    'set',
    '-c',
    '50',
    '-P',
    String(depth),
    '-d',
    '100',
    '-r',
    '100000',
    '--csv',
  ]
  // As many as take about so long: how fast this machine is, is not known before.
  const first = await requests([...words, '-n', String(20_000 * depth)], signal)
  return requests([...words, '-n', String(Math.ceil(first * roundS))], signal)
}

async function requests([program = '', ...words]: readonly string[], signal: AbortSignal): Promise<number> {
  const { stdout } = await promisify(execFile)(program, words, { signal })
  const found = /^"SET","([\d.]+)"/m.exec(stdout)?.[1]
  if (found === undefined) throw new Error(`redis-benchmark: ${stdout.slice(0, 200)}`)
  return Number(found)
}

/** From a write until a segment with it lies in the store under its name. */
async function lagOf({ dir, primary, signal }: Ground): Promise<readonly number[]> {
  const waiting: { readonly offset: number; readonly atMs: number }[] = []
  const lags: number[] = []
  const look = (): void => {
    const end = endOf(join(dir, 'store'))
    for (; waiting[0] !== undefined && waiting[0].offset <= end; waiting.shift()) lags.push(performance.now() - waiting[0].atMs)
  }
  for (let i = 0; i < writes; i += 1) {
    signal.throwIfAborted()
    const atMs = performance.now()
    const [, told] = await primary.redis.pipeline([
      ['SET', `lag:${i}`, 'x'.repeat(100)],
      ['INFO', 'replication'],
    ])
    waiting.push({ offset: Number(parseInfo(String(told)).get('master_repl_offset')), atMs })
    await delay(5 + Math.random() * 20)
    look()
  }
  for (const endMs = performance.now() + 10_000; waiting.length > 0 && performance.now() < endMs; await delay(2)) look()
  if (waiting.length > 0) throw new Error(`${waiting.length} writes were not in the store after 10 s`)
  return lags
}

function endOf(store: string): number {
  const folder = streamFolder('bench')
  const names = (readdirSync(store, { recursive: true }) as string[]).filter((name) => name.startsWith(folder))
  return Math.max(-1, ...names.map((name) => parseSegmentName('bench', name)?.to ?? -1))
}
