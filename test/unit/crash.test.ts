/**
 * The observer beside a real redis-server on loopback: a crash is seen at once, silence is measured, and a refusal of any
 * kind is never mistaken for a hang, because a hang ends in a kill.
 */
import { execFileSync, spawn, type ChildProcess } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { monotonicMs } from '../../src/agent/clock.ts'
import { observeRedis, type RedisObserver } from '../../src/observe/redis.ts'
import { openRedis } from '../../src/redis/link.ts'
import { freePort, until } from './wire.ts'

const version = (() => {
  try {
    return execFileSync('redis-server', ['--version'], { encoding: 'utf8' })
  } catch {
    return ''
  }
})()

let dir: string
let port: number
let server: ChildProcess | null = null
let observer: RedisObserver | null = null
let wakes: number[] = []

beforeEach(async () => {
  dir = mkdtempSync(`${tmpdir()}/holdfast-crash-`)
  port = await freePort()
  wakes = []
})
afterEach(async () => {
  observer?.close()
  observer = null
  await end()
  rmSync(dir, { recursive: true, force: true })
})

async function end(): Promise<void> {
  const child = server
  server = null
  if (child === null || child.exitCode !== null || child.signalCode !== null) return
  const gone = new Promise((resolve) => child.once('exit', resolve))
  child.kill('SIGKILL')
  await gone
}

async function start(...more: string[]): Promise<ChildProcess> {
  const child = spawn('redis-server', ['--port', String(port), '--bind', '127.0.0.1', '--dir', dir, '--save', '', '--enable-debug-command', 'yes', ...more], {
    stdio: 'ignore',
  })
  server = child
  const endMs = performance.now() + 5000
  for (;;) {
    const link = await openRedis({ host: '127.0.0.1', port, password: more.includes('--requirepass') ? 'right' : undefined }, 200, () => {})
    if (link.ok) {
      link.value.close()
      return child
    }
    if (performance.now() > endMs) throw new Error(`redis does not start: ${link.why}`)
    await new Promise((resolve) => setTimeout(resolve, 10))
  }
}

function observe(password?: string): RedisObserver {
  observer = observeRedis({ host: '127.0.0.1', port, password }, monotonicMs, () => wakes.push(monotonicMs()))
  return observer
}

type Probe = Awaited<ReturnType<RedisObserver['probe']>>

async function look(o: RedisObserver): Promise<Probe> {
  return o.probe(monotonicMs())
}

async function lookUntil(o: RedisObserver, what: string, isSo: (p: Probe) => boolean, limitMs = 5000): Promise<Probe> {
  const endMs = performance.now() + limitMs
  for (;;) {
    const p = await look(o)
    if (isSo(p)) return p
    if (performance.now() > endMs) throw new Error(`not within ${limitMs} ms: ${what}; last: ${JSON.stringify({ ...p, facts: null })}`)
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
}

describe.skipIf(version === '')(`a real redis (${version.slice(0, 22) || 'SKIPPED: redis-server is not installed'})`, () => {
  test('answers: its facts, its process', async () => {
    const child = await start()
    const p = await lookUntil(observe(), 'facts', (x) => x.facts !== null)
    expect(p).toMatchObject({ process: true, pid: child.pid, unansweredMs: 0, trouble: null, busy: false, facts: { role: 'primary', keys: 0 } })
  })

  test('killed: the loop is woken within milliseconds, and the process is known to be gone', async () => {
    const child = await start()
    const o = observe()
    await lookUntil(o, 'facts', (x) => x.facts !== null)
    wakes = []
    const killedMs = monotonicMs()
    child.kill('SIGKILL')
    await until('a wake', () => wakes.length > 0)
    // generous for a busy machine; it is about 1 ms
    expect((wakes[0] ?? 0) - killedMs).toBeLessThan(200)
    const p = await look(o)
    expect(p.process).toBe(false)
    expect(p.unansweredMs).toBe(0)
    expect(p.factsAgeMs).toBe(Number.MAX_SAFE_INTEGER)
    expect(p.facts).not.toBeNull()
    // another process on the same port is seen as itself
    const runId = p.facts?.runId
    const second = await start()
    expect((await lookUntil(o, 'the new one', (x) => x.facts?.runId !== runId && x.process === true)).pid).toBe(second.pid)
  })

  test('stopped: it lives, and the silence grows until it answers again', async () => {
    const child = await start()
    const o = observe()
    await lookUntil(o, 'facts', (x) => x.facts !== null)
    child.kill('SIGSTOP')
    const p = await lookUntil(o, 'silence of half a second', (x) => x.unansweredMs > 500)
    expect(p).toMatchObject({ process: true, pid: child.pid, trouble: null })
    expect(p.factsAgeMs).toBeGreaterThan(400)
    child.kill('SIGCONT')
    const answered = await lookUntil(o, 'an answer', (x) => x.unansweredMs === 0)
    expect(answered.factsAgeMs).toBeLessThan(200)
    expect(answered.askedAgeMs, 'what it tells may be of the time when it was asked').toBeGreaterThan(400)
    expect((await lookUntil(o, 'a look of now', (x) => x.askedAgeMs < 200)).askedAgeMs).toBeGreaterThanOrEqual(0)
  })

  test('an agent that starts beside a stopped redis measures its silence as well', async () => {
    const child = await start()
    child.kill('SIGSTOP')
    const p = await lookUntil(observe(), 'silence', (x) => x.unansweredMs > 500)
    expect(p.process).not.toBe(false)
    expect(p.facts).toBeNull()
  })

  test('an endless script: -BUSY is no answer, the silence grows', async () => {
    await start()
    const o = observe()
    await lookUntil(o, 'facts', (x) => x.facts !== null)
    const other = await openRedis({ host: '127.0.0.1', port, password: undefined }, 500, () => {})
    if (!other.ok) throw new Error(other.why)
    await other.value.call(['CONFIG', 'SET', 'busy-reply-threshold', '50'], 1000)
    void other.value.call(['EVAL', 'while true do end', '0'], 10_000)
    const p = await lookUntil(o, '-BUSY for a while', (x) => x.busy && x.unansweredMs > 300)
    expect(p.process).toBe(true)
    other.value.close()
  })

  test.each([
    ['none', undefined],
    ['a wrong one', 'wrong'],
  ])('a password is wanted and %s is given: trouble, and never a hang', async (_what, password) => {
    await start('--requirepass', 'right')
    const o = observe(password)
    await lookUntil(o, 'trouble', (x) => x.trouble !== null)
    const sinceMs = performance.now()
    while (performance.now() - sinceMs < 1500) {
      const p = await look(o)
      expect(p.unansweredMs).toBeLessThan(500)
      expect(p.process).not.toBe(false)
      await new Promise((resolve) => setTimeout(resolve, 20))
    }
    expect((await lookUntil(o, 'trouble', (x) => x.trouble !== null)).trouble).toMatch(/password|NOAUTH|WRONGPASS/i)
  })

  test('nobody listens: dead', async () => {
    const p = await lookUntil(observe(), 'no process', (x) => x.process === false)
    expect(p).toMatchObject({ pid: null, facts: null, unansweredMs: 0 })
  })
})

describe('another program on the port', () => {
  test.each([
    ['answers like a web server', 'HTTP/1.1 400 Bad Request\r\n\r\n'],
    ['answers +OK to everything', '+OK\r\n'],
    ['answers with an error', '-ERR what\r\n'],
  ])('%s: trouble, not a hang, and no facts', async (_what, reply) => {
    const other = createServer((s) => {
      s.on('error', () => {})
      s.on('data', () => s.write(reply))
    })
    await new Promise<void>((resolve) => other.listen(port, '127.0.0.1', resolve))
    try {
      const o = observe()
      await lookUntil(o, 'trouble', (x) => x.trouble !== null)
      const sinceMs = performance.now()
      while (performance.now() - sinceMs < 600) {
        const p = await look(o)
        expect(p.facts).toBeNull()
        expect(p.unansweredMs).toBeLessThan(400)
        await new Promise((resolve) => setTimeout(resolve, 20))
      }
    } finally {
      observer?.close()
      other.close()
    }
  })
})
