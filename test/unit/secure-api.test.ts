/** What the agent's port gives to whom: nothing but a status code without the secret, and bounded patience with everybody. */
import { afterEach, describe, expect, test } from 'vitest'
import { request } from 'node:http'
import { callAgent } from '../../src/api/client.ts'
import { secureConnect } from '../../src/agent/secure.ts'
import type { Config } from '../../src/model/config.ts'
import type { Request } from '../../src/model/view.ts'
import { door, raw, recorder, surface, until, type OpenedDoor } from './wire.ts'

const opened: { close: () => unknown }[] = []
afterEach(async () => {
  for (const o of opened.splice(0)) await o.close()
})

async function open(...args: Parameters<typeof door>): Promise<OpenedDoor> {
  const d = await door(...args)
  opened.push(d)
  return d
}

function configFor(port: number): Config {
  return {
    file: '/etc/h.yaml',
    api: { port, secretFile: '/etc/secret' },
    paths: { state: '', run: '', redisServer: '', redisSentinel: '', keepalived: '' },
    hosts: { b: { name: 'b', ip: '127.0.0.1' } },
    groups: {},
  }
}

/** A request inside the secure link, as text; resolves with the whole answer when the other side is done. */
async function secureText(port: number, text: string | Buffer): Promise<string> {
  const socket = secureConnect('127.0.0.1', port, 'right', 'cli')
  let answer = ''
  socket.on('data', (chunk: Buffer) => (answer += chunk.toString('latin1')))
  socket.on('error', () => {})
  await new Promise((resolve) => socket.once('secureConnect', resolve))
  socket.write(text)
  await Promise.race([new Promise((resolve) => socket.once('close', resolve)), until('an answer', () => answer.includes('\r\n\r\n'))])
  socket.destroy()
  return answer
}

describe('without the secret', () => {
  test('health checks answer with a status and an empty body; everything else is 404', async () => {
    const { port } = await open('right')
    const get = (path: string, method = 'GET') =>
      new Promise<{ status: number; body: string }>((resolve, reject) => {
        const r = request({ host: '127.0.0.1', port, path, method, agent: false }, (response) => {
          let body = ''
          response.on('data', (chunk: Buffer) => (body += chunk.toString()))
          response.on('end', () => resolve({ status: response.statusCode ?? 0, body }))
        })
        r.on('error', reject)
        r.end(method === 'POST' ? '{}' : undefined)
      })
    expect(await get('/liveness')).toEqual({ status: 200, body: '' })
    expect(await get('/readiness')).toEqual({ status: 200, body: '' })
    for (const path of ['/', '/status', '/sessions/primary', '/groups/sessions/events', '/groups/sessions/explain', '/peer'])
      expect(await get(path)).toEqual({ status: 404, body: '' })
    expect(await get('/groups/sessions/requests', 'POST')).toEqual({ status: 404, body: '' })
    expect(await get('/groups/sessions/fault/crash', 'POST')).toEqual({ status: 404, body: '' })
  })

  test('a peer stream over plain HTTP is not one', async () => {
    let peers = 0
    const { port } = await open('right', () => {
      peers += 1
      return true
    })
    const client = raw(port, 'GET /peer HTTP/1.1\r\nHost: b\r\nConnection: Upgrade\r\nUpgrade: holdfast-peer\r\nx-holdfast-host: a\r\n\r\n')
    await until('an answer', () => client.received().length > 0 || client.closed())
    expect(client.received().toString()).not.toContain('101')
    expect(peers).toBe(0)
    client.socket.destroy()
  })

  test('a load balancer asks in HTTP/1.0 and names no host', async () => {
    const { port } = await open('right')
    const client = raw(port, 'GET /liveness HTTP/1.0\r\n\r\n')
    await client.ended
    expect(client.received().toString()).toMatch(/^HTTP\/1\.[01] 200/)
  })

  test('while the secret is changed both are let in, and no third', async () => {
    const { port } = await open(['the new one', 'the old one'])
    const ask = (secret: string) => callAgent(configFor(port), secret, 'b', { method: 'GET', path: '/status' })
    for (const secret of ['the new one', 'the old one']) await expect(ask(secret)).resolves.toMatchObject({ host: 'b' })
    await expect(ask('a third')).rejects.toMatchObject({ code: 'HF302' })
  })

  test('another secret: refused and reported, and the CLI says whose fault it is', async () => {
    const { port, complaints } = await open('right')
    await expect(callAgent(configFor(port), 'wrong', 'b', { method: 'GET', path: '/status' })).rejects.toMatchObject({ code: 'HF302' })
    await until('a report', () => complaints.length > 0)
    expect(complaints[0]).toMatch(/a connection was refused/)
    await expect(callAgent(configFor(port), 'right', 'b', { method: 'GET', path: '/status' })).resolves.toMatchObject({ host: 'b' })
  })

  test('the bytes of an honest request, recorded and sent again: refused, nothing is done twice', async () => {
    const asked: Request[] = []
    const snapshot = {} as ReturnType<ReturnType<typeof surface>['snapshot']>
    const { port, complaints } = await open(
      'right',
      undefined,
      surface({
        snapshot: () => snapshot,
        request: (_group, r) => {
          asked.push(r)
          return Promise.resolve({ id: r.id, ok: true, message: 'done' })
        },
      }),
    )
    const tap = await recorder(port)
    opened.push(tap)
    const body = { id: 'x1', kind: 'switchover', to: 'b', by: 'anna', dryRun: false }
    await callAgent(configFor(tap.port), 'right', 'b', { method: 'POST', path: '/groups/sessions/requests', body })
    expect(asked).toHaveLength(1)
    // the whole conversation of the client at once, then piece by piece as it came
    const pieces = tap.sent[0] ?? []
    const whole = raw(port, Buffer.concat(pieces))
    await whole.ended
    const again = raw(port)
    for (const piece of pieces) {
      again.socket.write(piece)
      await new Promise((resolve) => setTimeout(resolve, 20))
    }
    await again.ended
    expect(asked).toHaveLength(1)
    expect(complaints.length).toBeGreaterThanOrEqual(1)
  })

  test.each([
    ['noise', Buffer.from(Array.from({ length: 3000 }, (_, i) => (i * 7919) % 256))],
    ['a TLS record that is none', Buffer.concat([Buffer.from([0x16, 3, 1, 2, 0]), Buffer.alloc(512, 0xff)])],
    ['an endless header', Buffer.from(`GET / HTTP/1.1\r\nx: ${'y'.repeat(100_000)}`)],
    ['headers without end', Buffer.from(`GET / HTTP/1.1\r\n${'a: b\r\n'.repeat(20_000)}`)],
  ])('%s: closed, and the port lives on', async (_what, bytes) => {
    const { port } = await open('right')
    const client = raw(port, bytes)
    await client.ended
    expect(client.received().length).toBeLessThan(2000)
    await expect(callAgent(configFor(port), 'right', 'b', { method: 'GET', path: '/status' })).resolves.toBeDefined()
  })
})

describe('with the secret', () => {
  test('a body above the limit is refused, whether it says so or not', async () => {
    const { port } = await open('right')
    expect(
      await secureText(
        port,
        `POST /groups/s/requests HTTP/1.1\r\nHost: b\r\nContent-Type: application/json\r\nContent-Length: 20000\r\n\r\n${'x'.repeat(20_000)}`,
      ),
    ).toMatch(/^HTTP\/1\.1 413/)
    const chunk = `1000\r\n${'x'.repeat(4096)}\r\n`
    expect(await secureText(port, `POST /groups/s/requests HTTP/1.1\r\nHost: b\r\nTransfer-Encoding: chunked\r\n\r\n${chunk.repeat(6)}0\r\n\r\n`)).toMatch(
      /^HTTP\/1\.1 413/,
    )
  })

  test('a header above the limit is refused', async () => {
    const { port } = await open('right')
    expect(await secureText(port, `GET /status HTTP/1.1\r\nHost: b\r\nx: ${'y'.repeat(9000)}\r\n\r\n`)).toMatch(/^HTTP\/1\.1 431/)
  })

  test('an unknown host gets no stream', async () => {
    const { port } = await open('right', (host) => host === 'a')
    const answer = await secureText(port, 'GET /peer HTTP/1.1\r\nHost: b\r\nConnection: Upgrade\r\nUpgrade: other\r\nx-holdfast-host: a\r\n\r\n').catch(
      () => 'closed',
    )
    expect(answer).not.toContain('101')
  })

  test('nobody listens: HF301; a deadline: HF304', async () => {
    const { port, close } = await door('right')
    await close()
    await expect(callAgent(configFor(port), 'right', 'b', { method: 'GET', path: '/status' })).rejects.toMatchObject({ code: 'HF301' })
    const slow = await open('right', undefined, surface({ groups: () => ['s'], events: () => new Promise(() => {}) }))
    await expect(callAgent(configFor(slow.port), 'right', 'b', { method: 'GET', path: '/groups/s/events', deadlineMs: 100 })).rejects.toMatchObject({
      code: 'HF304',
    })
  })
})

describe('300 connections that say nothing', () => {
  test('are limited, and those that know the secret still get in', async () => {
    const { port } = await open('right')
    const idle = Array.from({ length: 300 }, () => raw(port))
    await until('some are closed at once', () => idle.filter((c) => c.closed()).length >= 44, 1500)
    await expect(callAgent(configFor(port), 'right', 'b', { method: 'GET', path: '/status' })).resolves.toBeDefined()
    await until('all are closed for their silence', () => idle.every((c) => c.closed()), 6000)
  })

  test('or that begin a request and do not end it', async () => {
    const { port } = await open('right')
    const idle = Array.from({ length: 300 }, () => raw(port, 'GET /live'))
    await until('some are closed at once', () => idle.filter((c) => c.closed()).length >= 44, 1500)
    await expect(callAgent(configFor(port), 'right', 'b', { method: 'GET', path: '/status' })).resolves.toBeDefined()
    await until('all are closed in the end', () => idle.every((c) => c.closed()), 12_000)
  })
})
