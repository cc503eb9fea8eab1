/** What a redis gives to whoever asks for all of its data: an RDB that is whole, loads, and stands where redis said. */
import { spawn } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, describe, expect, test } from 'vitest'
import { crc64 } from '../../src/backup/crc64.ts'
import { poll } from '../../src/lab/run.ts'
import { openDataset, type Dataset } from '../../src/redis/dataset.ts'
import { openRaw, type RawRedis } from '../../src/redis/raw.ts'
import { parseRdbHeader, rdbHeaderBytes } from '../../src/redis/rdb-header.ts'
import { quietPort } from './redis-real.ts'
import { expectServers, others, since } from './servers.ts'

const closers: (() => void | Promise<void>)[] = []
afterEach(async () => {
  for (const close of closers.splice(0).toReversed()) await close()
})

interface Program {
  readonly program: string
  /** DEBUG DIGEST is locked since 7.0. */
  readonly debug: readonly string[]
}

interface Started {
  readonly redis: RawRedis
  readonly port: number
}

async function start({ program, debug }: Program, dir: string, ...more: readonly string[]): Promise<Started> {
  const port = await quietPort()
  const child = spawn(program, ['--port', String(port), '--bind', '127.0.0.1', '--dir', dir, '--save', '', ...debug, ...more], { stdio: 'ignore' })
  closers.push(async () => {
    const gone = new Promise((resolve) => child.once('exit', resolve))
    if (child.exitCode === null && child.kill('SIGKILL')) await gone
  })
  const opened = await poll(
    async () => {
      const tried = await openRaw({ host: '127.0.0.1', port }, 5000)
      if (!tried.ok) return undefined
      return String(await tried.value.call('PING')) === 'PONG' ? tried.value : undefined
    },
    { withinMs: 10_000, everyMs: 20 },
  )
  if (opened === undefined) throw new Error(`${program} did not start`)
  closers.push(() => opened.close())
  return { redis: opened, port }
}

function folder(): string {
  const dir = mkdtempSync(join(tmpdir(), 'holdfast-dataset-'))
  closers.push(() => rmSync(dir, { recursive: true, force: true }))
  return dir
}

async function read(dataset: Dataset): Promise<Buffer> {
  const chunks: Buffer[] = []
  for await (const chunk of dataset.chunks()) chunks.push(chunk)
  dataset.close()
  return Buffer.concat(chunks)
}

async function fill({ redis }: Started, keys: number): Promise<void> {
  await redis.call('EVAL', `for i=1,${keys} do redis.call('SET','key:'..i,string.rep('x',i%700)) redis.call('HSET','hash:'..(i%50),i,'v'..i) end`, '0')
}

const debug = ['--enable-debug-command', 'yes']
const programs = [
  { name: 'the installed redis', program: 'redis-server', debug },
  ...others.map((server) => ({ name: server.name, program: server.redisServer, debug: since(7, 0)(server) ? debug : [] })),
]

expectServers()

describe.each(programs)('$name', (program) => {
  test.each(['yes', 'no'])('its data as they are while it is written to, diskless: %s', async (diskless) => {
    const started = await start(program, folder(), '--repl-diskless-sync', diskless, '--repl-diskless-sync-delay', '0')
    await fill(started, 20_000)
    const opened = await openDataset({ host: '127.0.0.1', port: started.port, password: undefined }, { answerMs: 5000, silentMs: 15_000 })
    if (!opened.ok) throw new Error(opened.why)
    await started.redis.call('SET', 'written', 'after it began')
    const rdb = await read(opened.value)
    if (diskless === 'no') expect(opened.value.bytes).toBe(rdb.length)
    const header = parseRdbHeader(rdb.subarray(0, rdbHeaderBytes))
    expect(header).toMatchObject({ ok: true, value: { replid: opened.value.replid, offset: opened.value.offset } })
    const sum = crc64()
    sum.update(rdb.subarray(0, -8))
    expect(Buffer.from(sum.digest())).toEqual(rdb.subarray(-8))

    await started.redis.call('DEL', 'written')
    const copyDir = folder()
    writeFileSync(join(copyDir, 'dump.rdb'), rdb)
    const copy = await start(program, copyDir)
    expect(await copy.redis.call('DEBUG', 'DIGEST')).toEqual(await started.redis.call('DEBUG', 'DIGEST'))
  })
})
