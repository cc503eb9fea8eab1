/** A group of real redises, a store in a folder, and archivers of its stream: in this process, or in one that can be killed. */
import { spawn, type ChildProcess } from 'node:child_process'
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { build } from 'esbuild'
import { expect } from 'vitest'
import { pathTo, runsOn, type Run } from '../../src/backup/chain.ts'
import type { Archived, ArchiveJob, ArchiveLine } from '../../src/backup/job.ts'
import { archive, type ArchiveOrder } from '../../src/dump/archive.ts'
import { readSegment } from '../../src/dump/segment.ts'
import { readStream, type StreamStored } from '../../src/dump/stream.ts'
import { poll } from '../../src/lab/run.ts'
import { fetchPiece } from '../../src/redis/psync.ts'
import { openDirectory } from '../../src/store/directory.ts'
import type { Store } from '../../src/store/store.ts'
import { Redises, type RealRedis } from '../unit/real-redis.ts'

export const key = Buffer.alloc(32, 5)
export const flushMs = 100
const never = new AbortController().signal

export interface Archiving {
  readonly lines: readonly ArchiveLine[]
  readonly now: () => Archived
  readonly attached: () => Promise<void>
  /** As its agent ends it. */
  readonly stop: () => Promise<void>
}

export class ArchiveGround {
  readonly redises: Redises
  readonly dir: string
  readonly store: Store
  readonly #running = new Set<() => Promise<void>>()
  #program: Promise<string> | null = null

  /** Of the installed redis-server and a directory, or of others. */
  constructor({ redisServer, store }: { readonly redisServer?: string; readonly store?: Store } = {}) {
    this.redises = new Redises('127.0.0.1', redisServer)
    this.dir = this.redises.dir
    mkdirSync(join(this.dir, 'store'))
    this.store = store ?? openDirectory(join(this.dir, 'store'))
  }

  primary(...more: readonly string[]): Promise<RealRedis> {
    return this.redises.start('--repl-backlog-size', '64mb', '--repl-ping-replica-period', '3600', ...more)
  }

  async replica(of: RealRedis, ...more: readonly string[]): Promise<RealRedis> {
    const redis = await this.primary(...more)
    await follow(redis, of)
    return redis
  }

  archiver(redis: RealRedis, more: Partial<ArchiveOrder> = {}): Archiving {
    const lines: ArchiveLine[] = []
    const abort = new AbortController()
    const ended = archive({
      ...{ group: 'cache', host: 'red-b', store: this.store, key, compression: 'gzip', flushMs, epoch: 1, lineage: [], signal: abort.signal },
      target: () => Promise.resolve({ ok: true, value: { host: '127.0.0.1', port: redis.port, password: undefined } }),
      bases: () => Promise.resolve({ ok: true, value: [] }),
      now: () => ({ nowMs: performance.now(), wallMs: Date.now() }),
      tell: (line) => lines.push(line),
      ...more,
    })
    const stop = async (): Promise<void> => {
      this.#running.delete(stop)
      abort.abort()
      await ended
    }
    this.#running.add(stop)
    return { lines, stop, now: () => lastOf(lines), attached: () => until(() => lines.length > 0 && lastOf(lines).isAttached) }
  }

  /** As an agent starts it: a process of its own. */
  async process(redis: RealRedis): Promise<{ readonly child: ChildProcess; readonly lines: ArchiveLine[] }> {
    this.#program ??= this.#built()
    const child = spawn(process.execPath, ['--expose-gc', await this.#program], { stdio: ['pipe', 'pipe', 'inherit'] })
    const lines: ArchiveLine[] = []
    createInterface({ input: child.stdout }).on('line', (line) => lines.push(JSON.parse(line) as ArchiveLine))
    const keep = { hourly: 24, daily: 30, weekly: 0, monthly: 0 }
    const job: ArchiveJob = {
      ...{ job: 'archive', group: 'cache', everyMs: null, epoch: 1, redis: { host: '127.0.0.1', port: redis.port, passwordFile: null } },
      backup: {
        ...{ store: { kind: 'directory', path: join(this.dir, 'store') }, schedule: null, keep, compression: 'gzip', maxBytesPerS: null, test: true },
        stream: { keepMs: 86_400_000, flushMs },
      },
      source: { host: 'red-b', role: 'replica', why: 'the only one' },
    }
    child.stdin.write(`${JSON.stringify(job)}\n`)
    const stop = (): Promise<void> => ended(child, 'SIGKILL')
    this.#running.add(stop)
    child.once('exit', () => this.#running.delete(stop))
    return { child, lines }
  }

  async stream(by: Buffer | null = key): Promise<StreamStored> {
    const read = await readStream(this.store, 'cache', by, never)
    if (!read.ok) throw new Error(read.why)
    expect(read.value.broken).toEqual([])
    return read.value
  }

  /** What can be restored without a gap, on the way to this redis' history. */
  async runs(redis: RealRedis, by: Buffer | null = key): Promise<readonly Run[]> {
    const { timelines, segments } = await this.stream(by)
    return runsOn(pathTo(timelines, (await redis.facts()).replid), segments)
  }

  /** Of a run, as a restore would read it: every segment proven, and where two overlap the same bytes in both. */
  async bytesOf({ from, to, segments }: Run, path: readonly { readonly replid: string; readonly to: number }[], by: Buffer | null = key): Promise<Buffer> {
    const whole = Buffer.alloc(to - from + 1)
    let filled = from - 1
    for (const segment of segments) {
      const { bytes } = await readSegment(this.store, 'cache', segment, by, never)
      const end = Math.min(segment.to, path.find(({ replid }) => replid === segment.replid)?.to ?? segment.to, to)
      for (let offset = Math.max(segment.from, from); offset <= Math.min(end, filled); offset += 1)
        if (whole[offset - from] !== bytes[offset - segment.from]) throw new Error(`two have other bytes at ${offset}`)
      bytes.copy(whole, Math.max(0, segment.from - from), Math.max(0, from - segment.from), end - segment.from + 1)
      filled = Math.max(filled, end)
    }
    return whole
  }

  /** All that lies in the store on the way to this redis is one run, is what that redis itself has sent, and reaches to its last byte. */
  async expectWhole(redis: RealRedis, by: Buffer | null = key): Promise<Run> {
    const { offset, replid } = await redis.facts()
    await poll(async () => ((await this.runs(redis, by)).at(-1)?.to ?? 0) >= offset || undefined, { withinMs: 5000, everyMs: 20 })
    const { run, bytes } = await this.#read(redis, by)
    const { from, to } = run
    const sent = await fetchPiece({ host: '127.0.0.1', port: redis.port, password: undefined }, { replid, from, to }, { deadlineMs: 5000, maxBytes: 1e9 })
    if (!sent.ok) throw new Error(sent.why)
    expect(bytes.equals(sent.value), 'the bytes that redis sent').toBe(true)
    return run
  }

  /** Small segments go while somebody reads: what was listed before that is looked for once more. */
  async #read(redis: RealRedis, by: Buffer | null): Promise<{ readonly run: Run; readonly bytes: Buffer }> {
    for (;;) {
      const { timelines, segments } = await this.stream(by)
      const path = pathTo(timelines, (await redis.facts()).replid)
      const runs = runsOn(path, segments)
      expect(runs, 'no gap').toHaveLength(1)
      const [run] = runs as [Run]
      const bytes = await this.bytesOf(run, path, by).catch(async (error: Error) => {
        const names = new Set((await this.stream(by)).segments.map(({ name }) => name))
        if (run.segments.every(({ name }) => names.has(name))) throw error
        return null
      })
      if (bytes !== null) return { run, bytes }
    }
  }

  async close(): Promise<void> {
    await Promise.all([...this.#running].map((stop) => stop()))
    await this.redises.close()
  }

  async #built(): Promise<string> {
    const outdir = join(this.dir, 'built')
    await build({
      ...{
        entryPoints: { backup: 'src/dump/main.ts' },
        outdir,
        outExtension: { '.js': '.mjs' },
        bundle: true,
        splitting: true,
        format: 'esm',
        platform: 'node',
      },
      banner: {
        js: "import { createRequire as hereRequire } from 'node:module'; const require = hereRequire(import.meta.url), __dirname = import.meta.dirname;",
      },
      external: ['*.node'],
      logLevel: 'error',
    })
    return join(outdir, 'backup.mjs')
  }
}

export function lastOf(lines: readonly ArchiveLine[]): Archived {
  const last = lines.findLast((line) => line.t === 'archived')
  if (last === undefined) throw new Error(`nothing was told of the archive: ${JSON.stringify(lines)}`)
  return last
}

export async function ended(child: ChildProcess, signal: NodeJS.Signals): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const gone = new Promise<void>((resolve) => child.once('exit', () => resolve()))
  child.kill(signal)
  await gone
}

export async function follow(redis: RealRedis, of: RealRedis): Promise<void> {
  await redis.call('REPLICAOF', '127.0.0.1', String(of.port))
  await until(async () => (await redis.facts()).linkUp)
}

export async function caughtUp(redis: RealRedis, of: RealRedis): Promise<void> {
  const { offset } = await of.facts()
  await until(async () => (await redis.facts()).offset >= offset)
}

/** Up to which offset this redis has heard of whoever reads from it and says to listen at this port. */
export async function acknowledgedBy(redis: RealRedis, port: string): Promise<string | undefined> {
  return new RegExp(`port=${port},state=\\w+,offset=(\\d+)`).exec(String(await redis.call('INFO', 'replication')))?.[1]
}

export async function until(is: () => Promise<boolean> | boolean, withinMs = 5000): Promise<void> {
  const came = await poll(async () => (await is()) || undefined, { withinMs, everyMs: 5 })
  expect(came, 'it came in time').toBe(true)
}

/** Writes so many values of a kilobyte, as fast as redis takes them from a script: each is a command in the stream. */
export function write(redis: RealRedis, values: number, name = 'k'): Promise<unknown> {
  return redis.call('EVAL', "for i = 1, ARGV[1] do redis.call('SET', ARGV[2] .. i, string.rep(redis.sha1hex(ARGV[2] .. i), 25)) end", '0', String(values), name)
}
