/**
 * Backup and restore beside what an operator would do by hand: `redis-cli --rdb` into `gzip -1`, and a redis-server that loads an RDB which
 * lies on its disk. On loopback and in a folder of its own, gone at the end. Turns alternate, so that what else the machine does falls on all.
 */
import { randomBytes } from 'node:crypto'
import { spawn, type ChildProcess } from 'node:child_process'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import type { TakeJob } from '../src/backup/job.ts'
import { backupId } from '../src/backup/manifest.ts'
import { hasZstd } from '../src/dump/zstd.ts'
import { openRaw, RawError, type RawRedis } from '../src/redis/raw.ts'
import { percentile } from './figures.ts'
import { peakRssMbOf } from './proc.ts'
import type { BackupKind, BackupResult } from './table.ts'

const rounds = 3
/** Half of each value can be packed. */
const small = { keys: 1_000_000, parts: 1 }
/** For how much memory it takes, whatever the size: one round. */
const large = { keys: 80_000, parts: 64 }

const filler = `
math.randomseed(tonumber(ARGV[3])) local pool = {}
for i = 1, 200 do local t = {} for j = 1, 64 do t[j] = struct.pack('d', math.random()) end pool[i] = table.concat(t)..string.rep('field:value,', 42) end
for i = 1, tonumber(ARGV[1]) do local t = {} for j = 1, tonumber(ARGV[2]) do t[j] = pool[math.random(200)] end
redis.call('SET', 'key:'..ARGV[3]..':'..i, table.concat(t)) end`

interface Ground {
  readonly dir: string
  readonly port: number
  readonly redis: RawRedis
  readonly signal: AbortSignal
  readonly children: Set<ChildProcess>
}

const kinds: readonly BackupKind[] = [...(hasZstd ? ['zstd' as const] : []), 'gzip', 'gzip, encrypted', 'as it is']
const compressions = { zstd: 'auto', gzip: 'gzip', 'gzip, encrypted': 'gzip', 'as it is': 'none' } as const

export async function measureBackup(full: boolean, say: (line: string) => void, signal: AbortSignal): Promise<BackupResult> {
  const dir = mkdtempSync(join(tmpdir(), 'holdfast-bench-backup-'))
  const children = new Set<ChildProcess>()
  try {
    const port = await freePort()
    const redis = await startRedis(dir, port, children, ['--save', '', '--repl-diskless-sync-delay', '0', '--lua-time-limit', '600000'])
    const ground: Ground = { dir, port, redis, signal, children }
    const size = full ? large : small
    for (let batch = 0; batch < 20; batch += 1) {
      signal.throwIfAborted()
      const filled = await redis.call('EVAL', filler, '0', String(size.keys / 20), String(size.parts), String(batch))
      if (filled instanceof RawError) throw new Error(filled.text)
    }
    say(`  ${size.keys} keys are there`)
    const result = await measured(ground, full ? 1 : rounds, full ? ['as it is'] : kinds, say)
    return { ...result, datasetMb: size.keys * size.parts * 1e-3 * 1.016 }
  } finally {
    for (const child of children) child.kill('SIGKILL')
    rmSync(dir, { recursive: true, force: true })
  }
}

async function measured(ground: Ground, times: number, of: readonly BackupKind[], say: (line: string) => void): Promise<Omit<BackupResult, 'datasetMb'>> {
  const byHandS: number[] = []
  const loadS: number[] = []
  const all = of.map((kind) => ({ kind, takeS: [] as number[], restoreS: [] as number[] }))
  const peaks = { takeMb: 0, restoreMb: 0 }
  let rdbMb = 0
  for (let round = 0; round < times; round += 1) {
    // gzip by hand of that much takes minutes, and says nothing about memory.
    if (of.length > 1) byHandS.push(await byHand(ground))
    for (const [index, { kind, takeS }] of all.entries()) {
      const { tookS, peakMb } = await take(ground, kind, index)
      takeS.push(tookS)
      peaks.takeMb = Math.max(peaks.takeMb, peakMb)
    }
    for (const [index, { kind, restoreS }] of all.entries()) {
      const { tookS, peakMb, dumpMb, itselfS } = await restore(ground, kind, index)
      restoreS.push(tookS)
      loadS.push(itselfS)
      peaks.restoreMb = Math.max(peaks.restoreMb, peakMb)
      rdbMb = dumpMb
    }
    say(
      `  round ${round + 1}: by hand ${byHandS.at(-1)?.toFixed(1) ?? '–'} s, load ${loadS.at(-1)?.toFixed(1)} s; ${all.map((a) => `${a.kind} ${a.takeS.at(-1)?.toFixed(1)} / ${a.restoreS.at(-1)?.toFixed(1)} s`).join('; ')}`,
    )
  }
  const [hand, load] = [percentile(byHandS, 50), percentile(loadS, 50)]
  return {
    rdbMb,
    byHandS,
    loadS,
    peaks,
    kinds: all.map((a) => ({ ...a, throughput: hand / percentile(a.takeS, 50), slowdown: percentile(a.restoreS, 50) / load })),
  }
}

async function byHand({ dir, port, children, signal }: Ground): Promise<number> {
  const file = join(dir, 'by-hand.gz')
  const beganMs = performance.now()
  await ended(spawned(children, 'sh', ['-c', `redis-cli -p ${port} --rdb - 2>/dev/null | gzip -1 > ${file} && sync ${file}`]), signal)
  const tookS = (performance.now() - beganMs) / 1000
  rmSync(file)
  return tookS
}

function configOf({ dir }: Ground, kind: BackupKind, index: number): { readonly store: string; readonly file: string; readonly keyFile: string | undefined } {
  const [store, keyFile] = [join(dir, `store-${index}`), join(dir, 'key')]
  mkdirSync(store, { recursive: true })
  writeFileSync(join(dir, 'secret'), randomBytes(32).toString('hex'), { mode: 0o600 })
  writeFileSync(keyFile, '5'.repeat(64), { mode: 0o600 })
  const file = join(dir, `h-${index}.yaml`)
  const encrypted = kind === 'gzip, encrypted'
  writeFileSync(
    file,
    `api: { secret_file: secret }
paths: { state: ${dir}/state, run: ${dir}/run }
hosts: { a: { ip: 127.0.0.1 }, b: { ip: 127.0.0.2 } }
groups:
  bench:
    members: [a, b]
    backup: { directory: ${store}${encrypted ? `, encryption_key_file: ${keyFile}` : ''} }
`,
  )
  return { store, file, keyFile: encrypted ? keyFile : undefined }
}

/** By the process that an agent starts for it. */
async function take(ground: Ground, kind: BackupKind, index: number): Promise<{ readonly tookS: number; readonly peakMb: number }> {
  const { store, keyFile } = configOf(ground, kind, index)
  rmSync(store, { recursive: true })
  mkdirSync(store)
  const job: TakeJob = {
    job: 'take',
    group: 'bench',
    backup: {
      store: { kind: 'directory', path: store },
      schedule: null,
      keep: { hourly: 1, daily: 0, weekly: 0, monthly: 0 },
      compression: compressions[kind],
      ...(keyFile === undefined ? {} : { encryptionKeyFile: keyFile }),
      maxBytesPerS: null,
      test: false,
      stream: null,
    },
    everyMs: null,
    id: backupId(new Date().toISOString(), randomBytes(4).toString('hex')),
    reason: 'the bench',
    source: { host: 'a', role: 'primary', why: 'the only one' },
    epoch: 1,
    redis: { host: '127.0.0.1', port: ground.port, passwordFile: null },
    redisServer: 'redis-server',
  }
  const beganMs = performance.now()
  const child = spawned(
    ground.children,
    process.execPath,
    ['--max-semi-space-size=2', '--max-old-space-size=96', '--expose-gc', resolve('dist/backup.js')],
    'pipe',
  )
  child.stdin?.write(`${JSON.stringify(job)}\n`)
  const peakMb = await peakUntil(child, ended(child, ground.signal))
  return { tookS: (performance.now() - beganMs) / 1000, peakMb }
}

interface RestoreRound {
  readonly tookS: number
  readonly itselfS: number
  readonly peakMb: number
  readonly dumpMb: number
}

/** As an operator types it, then the same file by redis-server alone: both read what was just written. */
async function restore(ground: Ground, kind: BackupKind, index: number): Promise<RestoreRound> {
  const { file } = configOf(ground, kind, index)
  const to = join(ground.dir, 'restored')
  const port = await freePort()
  const beganMs = performance.now()
  const words = [
    resolve('dist/main.js'),
    '--config',
    file,
    'restore',
    'bench',
    '--backup',
    'latest',
    '--untested',
    '--to',
    to,
    '--port',
    String(port),
    '--json',
  ]
  const child = spawned(ground.children, process.execPath, ['--max-semi-space-size=2', ...words])
  const end = ended(child, ground.signal)
  // Until it serves, as a client sees it; that the file is on the disk as well is waited for afterwards.
  const [peakMb, redis] = await Promise.all([peakUntil(child, end), untilServes(port, () => child.exitCode !== null && child.exitCode !== 0)])
  const tookS = (redis.atMs - beganMs) / 1000
  redis.link.close()
  await shutDown(port)
  const dumpMb = statSync(join(to, 'dump.rdb')).size / 1e6
  const alone = await freePort()
  const againMs = performance.now()
  ;(await startRedis(to, alone, ground.children, ['--save', ''])).close()
  const itselfS = (performance.now() - againMs) / 1000
  await shutDown(alone)
  rmSync(to, { recursive: true })
  return { tookS, itselfS, peakMb, dumpMb }
}

export async function startRedis(dir: string, port: number, children: Set<ChildProcess>, more: readonly string[]): Promise<RawRedis> {
  const child = spawned(children, 'redis-server', ['--port', String(port), '--bind', '127.0.0.1', '--dir', dir, '--logfile', join(dir, `${port}.log`), ...more])
  return (await untilServes(port, () => child.exitCode !== null)).link
}

async function untilServes(port: number, hasEnded: () => boolean = () => false): Promise<{ readonly link: RawRedis; readonly atMs: number }> {
  for (;;) {
    const opened = await openRaw({ host: '127.0.0.1', port }, 600_000)
    if (opened.ok) {
      if (typeof (await opened.value.call('DBSIZE').catch(() => null)) === 'number') return { link: opened.value, atMs: performance.now() }
      opened.value.close()
    }
    if (hasEnded()) throw new Error('redis-server has ended')
    await delay(5)
  }
}

async function shutDown(port: number): Promise<void> {
  const opened = await openRaw({ host: '127.0.0.1', port }, 10_000)
  if (opened.ok) await opened.value.call('SHUTDOWN', 'NOSAVE').catch(() => null)
}

export function spawned(children: Set<ChildProcess>, program: string, args: readonly string[], stdin: 'pipe' | 'ignore' = 'ignore'): ChildProcess {
  const child = spawn(program, args, { stdio: [stdin, 'ignore', 'inherit'] })
  children.add(child)
  child.once('exit', () => children.delete(child))
  return child
}

async function ended(child: ChildProcess, signal: AbortSignal): Promise<void> {
  const stop = (): void => void child.kill('SIGKILL')
  signal.addEventListener('abort', stop)
  const code = await new Promise<number | null>((done, failed) => child.once('exit', done).once('error', failed))
  signal.removeEventListener('abort', stop)
  signal.throwIfAborted()
  if (code !== 0) throw new Error(`${child.spawnargs.slice(0, 3).join(' ')} ended with ${code}`)
}

async function peakUntil(child: ChildProcess, end: Promise<void>): Promise<number> {
  let peakMb = 0
  let over = false
  const look = async (): Promise<void> => {
    while (!over) {
      try {
        peakMb = Math.max(peakMb, peakRssMbOf(readFileSync(`/proc/${child.pid}/status`, 'utf8')))
      } catch {
        return
      }
      await delay(20)
    }
  }
  const looking = look()
  await end.finally(() => {
    over = true
  })
  await looking
  return peakMb
}

export async function freePort(): Promise<number> {
  const server = createServer()
  await new Promise<void>((listening, failed) => server.once('error', failed).listen(0, '127.0.0.1', listening))
  const address = server.address()
  await new Promise((closed) => server.close(closed))
  return typeof address === 'object' && address !== null ? address.port : 0
}
