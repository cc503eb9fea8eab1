/** The writing client and its loss checker, against a real redis-server and against servers that misbehave. */
import type { ChildProcess } from 'node:child_process'
import { spawn, spawnSync } from 'node:child_process'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import type { Server, Socket } from 'node:net'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeAll, describe, expect, test } from 'vitest'
import { createAckLog } from '../../src/lab/ack-log.ts'
import { termsOf } from '../../src/lab/double-writer.ts'
import { verifyWrites } from '../../src/lab/read-back.ts'
import { findProcess, isAlive } from '../../src/lab/processes.ts'
import { createReplyReader, encodeCommand, type Reply } from '../../src/lab/resp.ts'
import { poll } from '../../src/lab/run.ts'
import { nowMs, startWriteLoop } from '../../src/lab/write-loop.ts'
import type { WriterHandle } from '../../src/lab/writer.ts'
import { startWriter } from '../../src/lab/writer.ts'

const cleanups: (() => Promise<void> | void)[] = []
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup()
})

/** The writer's process without the rest of the CLI. */
const entry = [
  process.execPath,
  '--import',
  import.meta.resolve('tsx'),
  '--input-type=module',
  '-e',
  `import { Command } from '@commander-js/extra-typings'
   import { register } from ${JSON.stringify(new URL('../../src/cli/lab.ts', import.meta.url).href)}
   const program = new Command('holdfast')
   register(program)
   await program.parseAsync(process.argv.slice(1), { from: 'user' })`,
  '--',
]

const redisMissing = spawnSync('redis-server', ['--version']).status !== 0
beforeAll(() => {
  if (redisMissing) console.warn('skipped: tests with a real redis-server, because it is not installed')
})

async function freePort(): Promise<number> {
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as { port: number }
  await new Promise((resolve) => server.close(resolve))
  return port
}

async function startRedis(port: number, password?: string): Promise<{ child: ChildProcess; dir: string }> {
  const dir = await mkdtemp(join(tmpdir(), 'hf-writer-'))
  const auth = password === undefined ? [] : ['--requirepass', password]
  const child = spawn('redis-server', ['--port', String(port), '--bind', '127.0.0.1', '--dir', dir, '--save', '', ...auth], {
    stdio: 'ignore',
  })
  cleanups.push(async () => {
    if (child.exitCode === null && child.signalCode === null) {
      child.kill('SIGKILL')
      await new Promise((resolve) => child.once('exit', resolve))
    }
    await rm(dir, { recursive: true, force: true })
  })
  const up = await poll(() => (cli(port, ['ping'], password).includes('PONG') ? true : undefined), { withinMs: 5000 })
  expect(up).toBe(true)
  return { child, dir }
}

function cli(port: number, args: readonly string[], password?: string): string {
  const auth = password === undefined ? [] : ['-a', password, '--no-auth-warning']
  return spawnSync('redis-cli', ['-p', String(port), ...auth, ...args], { encoding: 'utf8' }).stdout
}

async function writer(options: Parameters<typeof startWriter>[1]): Promise<WriterHandle> {
  const handle = await startWriter({ kind: 'local', entry }, options)
  cleanups.push(() => handle.close())
  return handle
}

/** A server that answers as `answer` says; null: not at all. */
async function fakeServer(answer: (command: readonly string[], socket: Socket) => string | null): Promise<{ port: number; server: Server }> {
  const sockets = new Set<Socket>()
  const server = createServer((socket) => {
    sockets.add(socket)
    socket.on('close', () => sockets.delete(socket))
    socket.on('error', () => socket.destroy())
    const reader = createReplyReader()
    socket.on('data', (chunk) => {
      for (const command of reader.push(chunk)) {
        const reply = answer(command as readonly string[], socket)
        if (reply !== null && !socket.destroyed) socket.write(reply)
      }
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  cleanups.push(async () => {
    for (const socket of sockets) socket.destroy()
    await new Promise((resolve) => server.close(resolve))
  })
  return { port: (server.address() as { port: number }).port, server }
}

function loopFor(port: number, commandTimeoutMs = 100, reconnectOnReadonly = false) {
  const log = createAckLog(nowMs(), 20)
  const loop = startWriteLoop(
    {
      host: '127.0.0.1',
      port,
      prefix: 't',
      intervalMs: 1,
      connectTimeoutMs: 200,
      commandTimeoutMs,
      reconnectOnReadonly,
    },
    log,
  )
  cleanups.push(() => loop.stop())
  return { log, loop }
}

test('replies are read however they are cut into packets', () => {
  const bytes = Buffer.from('+OK\r\n-ERR no\r\n:7\r\n$3\r\na\r\n\r\n*2\r\n$-1\r\n$1\r\nx\r\n')
  const whole = createReplyReader().push(bytes)
  const reader = createReplyReader()
  const single = [...bytes].flatMap((byte) => reader.push(Buffer.from([byte])))
  expect(whole).toEqual(['OK', { error: 'ERR no' }, 7, 'a\r\n', [null, 'x']] satisfies Reply[])
  expect(single).toEqual(whole)
  expect(encodeCommand(['GET', 'é'])).toBe('*2\r\n$3\r\nGET\r\n$2\r\né\r\n')
})

describe.skipIf(redisMissing)('the writer against a real redis', () => {
  test('writes, measures, verifies and cleans up', async () => {
    const port = await freePort()
    await startRedis(port)
    const handle = await writer({ host: '127.0.0.1', port })
    expect(await handle.steady({ acks: 200, withinMs: 5000 })).toBe(true)
    await handle.mark('quiet')
    expect(await handle.steady({ acks: 500, withinMs: 5000 })).toBe(true)
    const report = await handle.stop()
    expect(report.acked).toBeGreaterThanOrEqual(500)
    expect(report).toMatchObject({ indeterminate: 0, rejected: 0, errors: [], full: false })
    expect(report.marks).toHaveLength(1)
    expect(await handle.verify()).toMatchObject({ complete: true, acked: report.acked, checked: report.acked, lost: 0 })
    const history = await handle.history()
    expect(history).toHaveLength(report.acked)
    expect(history[0]?.[0]).toBe(1)
    expect(await handle.cleanup()).toEqual({ deleted: report.acked, why: null })
    expect(cli(port, ['dbsize']).trim()).toBe('0')
  })

  test('a lost write IS reported, with its mark', async () => {
    const port = await freePort()
    await startRedis(port)
    const handle = await writer({ host: '127.0.0.1', port, prefix: 'p' })
    expect(await handle.steady({ acks: 50, withinMs: 5000 })).toBe(true)
    await handle.mark('loss')
    const { sent } = await handle.stats()
    expect(await handle.steady({ acks: 100, withinMs: 5000 })).toBe(true)
    expect((await handle.stats()).sent).toBeGreaterThanOrEqual(sent + 100)
    await handle.stop()
    cli(port, ['del', 'p:7', `p:${sent + 50}`])
    cli(port, ['set', `p:${sent + 60}`, 'somebody else'])
    const verified = await handle.verify()
    expect(verified).toMatchObject({ complete: true, lost: 3, lostByMark: { '-1': 1, 0: 2 } })
    expect(verified.firstLost?.seq).toBe(7)
    expect(verified.lastLost?.seq).toBe(sent + 60)
    expect(verified.lostRuns.map(([first, last]) => [first, last])).toEqual([
      [7, 7],
      [sent + 50, sent + 50],
      [sent + 60, sent + 60],
    ])
  })

  test('a redis killed and restarted empty: errors, an outage, what is lost, and who acknowledged what', async () => {
    const port = await freePort()
    const { child } = await startRedis(port)
    const runId = () => /run_id:(\w+)/.exec(cli(port, ['info', 'server']))?.[1]
    const first = runId()
    const handle = await writer({ host: '127.0.0.1', port, identify: true })
    expect(await handle.steady({ acks: 100, withinMs: 5000 })).toBe(true)
    await handle.mark('crash')
    const before = await handle.stats()
    child.kill('SIGKILL')
    await new Promise((resolve) => child.once('exit', resolve))
    await startRedis(port)
    expect(await handle.steady({ acks: 100, withinMs: 5000 })).toBe(true)
    const report = await handle.stop()
    expect(report.errors.map((error) => error.kind)).toContain('ECONNREFUSED')
    expect(report.marks[0]?.longestOutage.lengthMs).toBeGreaterThan(5)
    expect(report.longestOutage.open).toBe(false)
    const verified = await handle.verify()
    const terms = termsOf([{ client: 'x', prefix: handle.prefix, acks: await handle.history(), lostRuns: [] }])
    expect(terms.map((term) => term.runId)).toEqual([first, runId()])
    expect(terms[0]?.replid).toMatch(/^[0-9a-f]{40}$/)
    expect(verified.lost).toBeGreaterThanOrEqual(before.acked)
    expect(verified.lost).toBeLessThan(report.acked)
  })

  test('a password, and one that is wrong', async () => {
    const port = await freePort()
    const { dir } = await startRedis(port, 'let me in')
    await writeFile(join(dir, 'right'), 'let me in\n')
    await writeFile(join(dir, 'wrong'), 'guess\n')
    const right = await writer({ host: '127.0.0.1', port, passwordFile: join(dir, 'right') })
    expect(await right.steady({ acks: 20, withinMs: 5000 })).toBe(true)
    expect((await right.verify()).lost).toBe(0)
    const wrong = await writer({ host: '127.0.0.1', port, passwordFile: join(dir, 'wrong') })
    expect(await wrong.steady({ acks: 1, withinMs: 300 })).toBe(false)
    expect((await wrong.stop()).errors.map((error) => error.kind)).toEqual(['WRONGPASS'])
  })

  test('costs little: below half a core and 150 MB at full rate', async () => {
    const port = await freePort()
    await startRedis(port)
    const startMs = performance.now()
    const handle = await writer({ host: '127.0.0.1', port })
    expect(await handle.steady({ acks: 3000, withinMs: 15_000 })).toBe(true)
    const stat = spawnSync('cat', [`/proc/${handle.pid}/statm`, `/proc/${handle.pid}/stat`], { encoding: 'utf8' }).stdout
    const [statm = '', line = ''] = stat.split('\n')
    expect(Number(statm.split(' ')[1]) * 4096).toBeLessThan(150e6)
    // Start-up (a compiler, in development) is in it: a guard against a writer that spins, no more.
    const [user = 0, system = 0] = line.split(') ')[1]?.split(' ').slice(11, 13).map(Number) ?? []
    expect((user + system) * 10).toBeLessThan((performance.now() - startMs) / 2)
  })
})

describe('the writer against servers that misbehave', () => {
  test('dropped replies: timeout, indeterminate, reconnect', async () => {
    let count = 0
    const { port } = await fakeServer(() => {
      count += 1
      return count === 10 ? null : '+OK\r\n'
    })
    const { log, loop } = loopFor(port, 100)
    await poll(() => (log.ackedCount() > 50 ? true : undefined), { withinMs: 3000 })
    await loop.stop()
    const report = log.report(nowMs())
    expect(report.indeterminate).toBe(1)
    expect(report.errors).toMatchObject([{ kind: 'timeout', count: 1 }])
    expect(log.fateOf(10)).toBe('indeterminate')
    expect(report.longestOutage.lengthMs).toBeGreaterThan(95)
    expect(report.longestOutage.lengthMs).toBeLessThan(400)
  })

  test('a steady past does not count: a server that falls silent is noticed at once', async () => {
    let silent = false
    const { port } = await fakeServer(() => (silent ? null : '+OK\r\n'))
    const handle = await writer({ host: '127.0.0.1', port, commandTimeoutMs: 300 })
    expect(await handle.steady({ acks: 100, withinMs: 5000 })).toBe(true)
    silent = true
    expect(await handle.steady({ acks: 20, withinMs: 60 })).toBe(false)
  })

  test('nobody listens: refused, again and again, without spinning', async () => {
    const { log, loop } = loopFor(await freePort())
    await poll(() => (log.errorCount() > 20 ? true : undefined), { withinMs: 3000 })
    await loop.stop()
    const report = log.report(nowMs())
    expect(report).toMatchObject({ sent: 0, acked: 0, errors: [{ kind: 'ECONNREFUSED' }] })
    expect(report.longestOutage.open).toBe(true)
    expect(report.errors[0]?.count).toBeLessThanOrEqual((report.endMs - report.startMs) / 1 + 1)
  })

  test('READONLY keeps the connection unless told otherwise', async () => {
    let connections = 0
    const known = new WeakSet<Socket>()
    const { port } = await fakeServer((_, socket) => {
      if (!known.has(socket)) connections += 1
      known.add(socket)
      return "-READONLY You can't write against a read only replica.\r\n"
    })
    const keep = loopFor(port)
    await poll(() => (keep.log.errorCount() > 10 ? true : undefined), { withinMs: 3000 })
    await keep.loop.stop()
    expect(connections).toBe(1)
    const report = keep.log.report(nowMs())
    expect(report.rejected).toBe(report.sent)
    expect(report.errors).toMatchObject([{ kind: 'READONLY', count: report.rejected }])
    const change = loopFor(port, 100, true)
    await poll(() => (connections > 5 ? true : undefined), { withinMs: 3000 })
    await change.loop.stop()
    expect(connections).toBeGreaterThan(5)
  })

  test('a closed connection in the middle of a write', async () => {
    let count = 0
    const { port } = await fakeServer((_, socket) => {
      count += 1
      if (count === 5) socket.destroy()
      return '+OK\r\n'
    })
    const { log, loop } = loopFor(port)
    await poll(() => (log.ackedCount() > 20 ? true : undefined), { withinMs: 3000 })
    await loop.stop()
    expect(log.fateOf(5)).toBe('indeterminate')
    expect(log.report(nowMs()).errors).toHaveLength(1)
  })

  test('a server that speaks something else is an error, not an acknowledgement', async () => {
    const { port } = await fakeServer(() => 'HTTP/1.1 400 Bad Request\r\n\r\n')
    const { log, loop } = loopFor(port)
    await poll(() => (log.errorCount() > 2 ? true : undefined), { withinMs: 3000 })
    await loop.stop()
    expect(log.ackedCount()).toBe(0)
    expect(log.report(nowMs()).errors[0]?.kind).toMatch(/^protocol: /)
  })

  test('stop waits for the answer under way, but not for ever', async () => {
    const { port } = await fakeServer(() => null)
    const { log, loop } = loopFor(port, 150)
    await poll(() => (log.sent() === 1 ? true : undefined), { withinMs: 3000 })
    await loop.stop()
    expect(log.report(nowMs())).toMatchObject({ sent: 1, acked: 0, indeterminate: 1 })
  })

  test('what cannot be read back is not called safe', async () => {
    const { port, server } = await fakeServer(() => '+OK\r\n')
    const { log, loop } = loopFor(port)
    await poll(() => (log.ackedCount() > 5 ? true : undefined), { withinMs: 3000 })
    await loop.stop()
    server.close()
    const verified = await verifyWrites(log, { host: '127.0.0.1', port, prefix: 't', withinMs: 300 })
    expect(verified).toMatchObject({ complete: false, checked: 0 })
    expect(verified.why).toContain('not finished within 300 ms')
  })

  test('the writer ends when its controller is gone, and says when it dies', async () => {
    const { port } = await fakeServer(() => '+OK\r\n')
    const handle = await startWriter({ kind: 'local', entry }, { host: '127.0.0.1', port })
    process.kill(handle.pid, 'SIGKILL')
    await expect(poll(async () => void (await handle.stats()), { withinMs: 3000 })).rejects.toThrow(/the writing client: it ended/)
    await handle.close()
    const orphan = await startWriter({ kind: 'local', entry }, { host: '127.0.0.1', port })
    await orphan.close()
    expect(isAlive({ pid: orphan.pid, startTicks: findProcess(orphan.pid)?.startTicks ?? -1 })).toBe(false)
    await expect(startWriter({ kind: 'local', entry: [process.execPath, '-e', 'process.exit(3)'] }, { host: '127.0.0.1', port })).rejects.toThrow(/exit code 3/)
  })
})
