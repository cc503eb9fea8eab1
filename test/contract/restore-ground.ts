/** A backup in a store, an order to restore it, and the command as an operator types it. Everything goes when the test ends. */
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Command } from '@commander-js/extra-typings'
import { afterEach, vi } from 'vitest'
import type { Manifest } from '../../src/backup/manifest.ts'
import { register } from '../../src/cli/restore.ts'
import type { RestoreOrder } from '../../src/dump/restore.ts'
import { take } from '../../src/dump/take.ts'
import { poll } from '../../src/lab/run.ts'
import { openRaw } from '../../src/redis/raw.ts'
import { openDirectory } from '../../src/store/directory.ts'
import { Redises, type RealRedis } from '../unit/real-redis.ts'
import { quietPort } from './redis-real.ts'

export const never = new AbortController().signal
export const key = Buffer.alloc(32, 5)
const closers: (() => void | Promise<void>)[] = []
/** When the test ends, the last one first. */
export function atEnd(close: () => void | Promise<void>): void {
  closers.push(close)
}
afterEach(async () => {
  for (const close of closers.splice(0).toReversed()) await close()
})

export function folder(): string {
  const dir = mkdtempSync(join(tmpdir(), 'holdfast-restore-'))
  atEnd(() => rmSync(dir, { recursive: true, force: true }))
  return dir
}

export interface Ground {
  readonly dir: string
  readonly store: ReturnType<typeof openDirectory>
  readonly manifest: Manifest
  readonly source: RealRedis
}

export const ids = { first: '20261121T181500Z-3f9a0b1c', second: '20261121T191500Z-3f9a0b1d' }

export async function taken(ground: Pick<Ground, 'store' | 'source'>, id: string): Promise<Manifest> {
  const told = await take({
    id,
    group: 'cache',
    reason: 'schedule',
    source: { host: 'redis-b', role: 'replica', why: 'a healthy replica' },
    target: { host: '127.0.0.1', port: ground.source.port, password: undefined },
    epoch: 1,
    store: ground.store,
    compression: 'gzip',
    key,
    bytesPerS: null,
    wallMs: Date.now,
    progress: () => undefined,
    signal: never,
  })
  if (!told.ok) throw new Error(told.why)
  return told.value
}

/** `keys` of 1 KiB that gzip cannot pack. */
export async function ground(keys = 5000): Promise<Ground> {
  const dir = folder()
  const store = openDirectory(join(dir, 'store'))
  mkdirSync(join(dir, 'store'))
  const redises = new Redises()
  atEnd(() => redises.close())
  const source = await redises.start()
  await source.call(
    'EVAL',
    `math.randomseed(7) for i=1,${keys} do local t={} for j=1,128 do t[j]=struct.pack('d',math.random()) end redis.call('SET','key:'..i,table.concat(t)) end`,
    '0',
  )
  return { dir, store, source, manifest: await taken({ store, source }, ids.first) }
}

export async function order(
  { dir, store, manifest }: Ground,
  more: Partial<RestoreOrder> = {},
): Promise<RestoreOrder & { readonly start: NonNullable<RestoreOrder['start']> }> {
  const to = more.dir ?? join(dir, 'restored', 'here')
  const port = await quietPort()
  const conf = `bind 127.0.0.1\nport ${port}\ndir ${to}\ndbfilename dump.rdb\nlogfile ${to}/redis.log\nappendonly no\nsave ""\n`
  const start = { redisServer: 'redis-server', host: '127.0.0.1', port, password: undefined }
  return { store, manifest, key, dir: to, conf, replay: null, progress: () => undefined, signal: never, ...more, start: more.start ?? start }
}

export async function ended(port: number): Promise<boolean> {
  return (await poll(async () => ((await openRaw({ host: '127.0.0.1', port }, 1000)).ok ? undefined : true), { withinMs: 5000, everyMs: 20 })) === true
}

/** Ends what runs there, when the test ends. */
export function endLater(pid: number): void {
  atEnd(async () => {
    try {
      process.kill(pid, 'SIGKILL')
    } catch {
      return
    }
    await poll(() => Promise.resolve(existsSync(`/proc/${pid}`) ? undefined : true), { withinMs: 5000, everyMs: 10 })
  })
}

/** As an operator types it; what it prints. */
export async function cli({ dir }: Pick<Ground, 'dir'>, words: readonly string[], backup: string | null = 'latest', untested = true): Promise<string> {
  writeFileSync(join(dir, 'secret'), '0123456789abcdef0123456789abcdef', { mode: 0o600 })
  writeFileSync(join(dir, 'key'), key.toString('hex'), { mode: 0o600 })
  writeFileSync(
    join(dir, 'h.yaml'),
    `api: { secret_file: secret }
paths: { state: ${dir}/state, run: ${dir}/run }
hosts: { a: { ip: 10.0.0.1 }, redis-b: { ip: 10.0.0.2 } }
groups:
  cache:
    members: [a, redis-b]
    password_file: nowhere
    redis: { maxmemory-policy: allkeys-lru, appendonly: "yes", tcp-backlog: "77" }
    backup: { directory: ${dir}/store, encryption_key_file: key }
`,
  )
  let output = ''
  const spy = vi.spyOn(process.stdout, 'write').mockImplementation((chunk) => {
    output += String(chunk)
    return true
  })
  try {
    const program = new Command('holdfast').exitOverride().option('--config <file>', 'the configuration')
    register(program as unknown as Command)
    const which = [...(backup === null ? [] : ['--backup', backup]), ...(untested ? ['--untested'] : [])]
    await program.parseAsync(['--config', join(dir, 'h.yaml'), 'restore', 'cache', ...which, ...words], { from: 'user' })
  } finally {
    spy.mockRestore()
  }
  return output
}
