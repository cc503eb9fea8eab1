/**
 * Two redises are compared: as fast as it goes, beside a plain loop of SCAN and GET on both; and at the pace that the source's clients bear, with one of them beside
 * who says what he felt. On loopback, in a folder of its own, gone at the end.
 */
import { execFile, type ChildProcess } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { promisify } from 'node:util'
import { RawError, type RawRedis } from '../src/redis/raw.ts'
import { freePort, startRedis } from './backup.ts'
import type { VerifyResult } from './table.ts'

const keys = 500_000
const rounds = 3
const clientS = 8
const pageKeys = 100

const filler = `for i = tonumber(ARGV[1]), tonumber(ARGV[2]) do redis.call('SET', 'key:' .. i, string.rep(i % 10, 100)) end`

/** One read per millisecond, each on its own: what a client of the source feels. */
const client = `
const net = require('node:net')
const socket = net.connect({ port: Number(process.argv[1]), noDelay: true })
const took = []
let sent = 0
socket.on('data', () => { took.push(performance.now() - sent); setTimeout(ask, 1) })
const ask = () => { sent = performance.now(); socket.write('*2\\r\\n$3\\r\\nGET\\r\\n$5\\r\\nkey:7\\r\\n') }
ask()
setTimeout(() => { took.sort((a, b) => a - b); console.log(took[Math.ceil(took.length * 0.99) - 1]); process.exit() }, Number(process.argv[2]) * 1000)
`

interface Ground {
  readonly dir: string
  readonly primary: number
  readonly source: RawRedis
  readonly target: RawRedis
}

export async function measureVerify(say: (line: string) => void, signal: AbortSignal): Promise<VerifyResult> {
  const dir = mkdtempSync(join(tmpdir(), 'holdfast-bench-verify-'))
  const children = new Set<ChildProcess>()
  try {
    const [primary, replica] = [await freePort(), await freePort()]
    const [source, target] = [await started(dir, primary, children), await started(dir, replica, children)]
    for (let from = 1; from <= keys; from += 50_000) {
      const filled = await source.call('EVAL', filler, '0', String(from), String(from + 49_999))
      if (filled instanceof RawError) throw new Error(filled.text)
    }
    await target.call('REPLICAOF', '127.0.0.1', String(primary))
    while (!String(await target.call('INFO', 'replication')).includes('master_link_status:up')) await delay(50, undefined, { signal })
    writeConfig(dir, replica)
    const ground: Ground = { dir, primary, source, target }
    const result = { fullPerS: [] as number[], plainPerS: [] as number[], autoPerS: [] as number[], aloneP99Ms: [] as number[], autoP99Ms: [] as number[] }
    for (let round = 0; round < rounds; round += 1) {
      result.plainPerS.push(await plainly(ground, signal))
      result.fullPerS.push(await verified(ground, 'full'))
      result.aloneP99Ms.push(await felt(primary))
      const [p99Ms, perS] = await Promise.all([felt(primary), verified(ground, 'auto')])
      result.autoP99Ms.push(p99Ms)
      result.autoPerS.push(perS)
      say(
        `  round ${round + 1}: ${result.fullPerS.at(-1)?.toFixed(0)} keys/s, a plain loop ${result.plainPerS.at(-1)?.toFixed(0)}; p99 ${result.aloneP99Ms.at(-1)?.toFixed(2)} ms alone, ${p99Ms.toFixed(2)} beside ${perS.toFixed(0)} keys/s`,
      )
      signal.throwIfAborted()
    }
    return result
  } finally {
    for (const child of children) child.kill('SIGKILL')
    rmSync(dir, { recursive: true, force: true })
  }
}

async function started(dir: string, port: number, children: Set<ChildProcess>): Promise<RawRedis> {
  const own = join(dir, String(port))
  mkdirSync(own)
  return startRedis(own, port, children, ['--save', '', '--repl-diskless-sync-delay', '0', '--lua-time-limit', '600000'])
}

function writeConfig(dir: string, port: number): void {
  writeFileSync(join(dir, 'secret'), 'of the bench, on loopback\n', { mode: 0o600 })
  const lines = [
    'api: { secret_file: secret }',
    'hosts: { red-a: { ip: 127.0.0.1 }, red-b: { ip: 127.0.0.2 } }',
    'groups:',
    '  bench:',
    `    members: [{ host: red-a, port: ${port} }, { host: red-b, port: ${port} }]`,
  ]
  writeFileSync(join(dir, 'holdfast.yaml'), `${lines.join('\n')}\n`)
}

/** Keys of the source a second, by its own account: without the start of the command. */
async function verified({ dir, primary }: Ground, pace: string): Promise<number> {
  const words = [
    '--config',
    join(dir, 'holdfast.yaml'),
    'migrate',
    'verify',
    `redis://127.0.0.1:${primary}`,
    'bench',
    '--member',
    'red-a',
    '--pace',
    pace,
    '--json',
  ]
  const { stdout } = await promisify(execFile)(resolve('bin/holdfast'), words, { maxBuffer: 16 * 1024 * 1024 })
  const { keys: read, differ, tookMs } = JSON.parse(stdout) as { keys: number; differ: number; tookMs: number }
  if (read < keys || differ !== 0) throw new Error(`${read} keys read, ${differ} differ: that is no measurement`)
  return (read * 1000) / tookMs
}

/** What people write: each page by SCAN, its values by GET from both. Values only, and what differs in passing is told as different. */
async function plainly({ source, target }: Ground, signal: AbortSignal): Promise<number> {
  const beganMs = performance.now()
  let [read, cursor] = [0, '0']
  do {
    const page = (await source.call('SCAN', cursor, 'COUNT', String(pageKeys))) as readonly [Buffer, readonly Buffer[]]
    cursor = page[0].toString()
    const gets = page[1].map((key) => ['GET', key] as const)
    const [mine, theirs] = await Promise.all([source.pipeline(gets), target.pipeline(gets)])
    if (mine.some((value, i) => !Buffer.isBuffer(value) || !value.equals(theirs[i] as Buffer))) throw new Error('the plain loop found a difference')
    read += page[1].length
    signal.throwIfAborted()
  } while (cursor !== '0')
  return (read * 1000) / (performance.now() - beganMs)
}

async function felt(port: number): Promise<number> {
  const { stdout } = await promisify(execFile)(process.execPath, ['-e', client, String(port), String(clientS)])
  return Number(stdout)
}
