/** The way of a redis to a source with TLS, byte by byte: what ends, hangs or is slow on one side, as the other one sees it. */
import { spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { connect, createServer as createPlain, type AddressInfo, type Server, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { createServer, type TLSSocket } from 'node:tls'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { openWay, type TlsWay } from '../../src/agent/tls-way.ts'
import { makeCertificates } from './certificates.ts'

const hasOpenssl = spawnSync('openssl', ['version']).status === 0
if (!hasOpenssl) console.warn('skipped: a way over TLS, because openssl is not installed')

describe.skipIf(!hasOpenssl)('a way over TLS', () => {
  const dir = mkdtempSync(`${tmpdir()}/holdfast-way-`)
  let files: { readonly ca: string; readonly cert: string; readonly key: string }
  const ends: (() => void)[] = []

  beforeAll(async () => {
    const its = await makeCertificates(dir, ['IP:127.0.0.1'])
    const [ca, cert, key] = [its.ca, its.server.cert, its.server.key].map((file) => readFileSync(file, 'utf8'))
    files = { ca: ca ?? '', cert: cert ?? '', key: key ?? '' }
  })
  afterEach(() => {
    for (const end of ends.splice(0)) end()
  })
  afterAll(() => rmSync(dir, { recursive: true, force: true }))

  async function listening(server: Server): Promise<number> {
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    ends.push(() => server.close())
    return (server.address() as AddressInfo).port
  }

  async function wayTo(
    port: number,
    more: { readonly wanted?: number; readonly may?: () => Promise<boolean>; readonly withinMs?: number } = {},
  ): Promise<TlsWay> {
    const opened = await openWay({ to: { host: '127.0.0.1', port, tls: { ca: files.ca } }, wanted: undefined, may: async () => true, ...more })
    if (!opened.ok) throw new Error(opened.why)
    ends.push(opened.value.close)
    return opened.value
  }

  /** A source; and redis, connected to it. */
  async function both(
    said: (source: TLSSocket) => void = () => undefined,
  ): Promise<{ readonly source: TLSSocket; readonly redis: Socket; readonly way: TlsWay }> {
    const server = createServer({ cert: files.cert, key: files.key })
    const connected = new Promise<TLSSocket>((resolve) =>
      server.once('secureConnection', (socket) => {
        socket.on('error', () => undefined)
        said(socket)
        resolve(socket)
      }),
    )
    const way = await wayTo(await listening(server))
    const redis = connect(way.port, '127.0.0.1')
    redis.on('error', () => undefined)
    ends.push(() => redis.destroy())
    return { source: await connected, redis, way }
  }

  const endOf = (socket: Socket): Promise<string> =>
    new Promise((resolve) => {
      socket.once('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? ''))
      socket.once('close', (broken) => broken || resolve('closed'))
      socket.resume()
    })

  test('words go both ways, and a source that ends after its last words has all of them heard', async () => {
    const { source, redis } = await both()
    redis.write('PSYNC ? -1\r\n')
    expect(String(await new Promise((resolve) => source.once('data', resolve)))).toBe('PSYNC ? -1\r\n')
    let heard = 0
    redis.on('data', (chunk: Buffer) => {
      heard += chunk.length
    })
    const ended = endOf(redis)
    source.end(Buffer.alloc(20_000_000))
    expect([await ended, heard]).toEqual(['closed', 20_000_000])
  })

  test('a source that is gone is gone for redis; one that is not who it says is a connection that is reset', async () => {
    const { source, redis } = await both()
    const ended = endOf(redis)
    source.destroy()
    expect(await ended).toBe('closed')
    const other = createPlain((socket) => void socket.on('error', () => undefined).end('-ERR\r\n'))
    const stranger = connect((await wayTo(await listening(other))).port, '127.0.0.1')
    expect(await endOf(stranger)).toBe('ECONNRESET')
  })

  test('what redis has left is left at the source', async () => {
    const { source, redis } = await both()
    const ended = endOf(source)
    redis.resetAndDestroy()
    expect(await ended).toBeTypeOf('string')
  })

  test('a redis that reads slowly slows the source down: nothing is heaped up here', async () => {
    const { source, redis } = await both()
    redis.pause()
    const sent = Buffer.alloc(1_000_000)
    let written = 0
    while (source.writableLength < 8_000_000 && written < 400_000_000) {
      source.write(sent)
      written += sent.length
      await new Promise((resolve) => setImmediate(resolve))
    }
    expect(written, 'what lies in the kernel and between').toBeLessThan(60_000_000)
    source.destroy()
  })

  test('a source that accepts and says nothing is given up', async () => {
    const mute = createPlain((socket) => void socket.on('error', () => undefined))
    const way = await wayTo(await listening(mute), { withinMs: 200 })
    expect(await endOf(connect(way.port, '127.0.0.1'))).toBe('ECONNRESET')
  })

  test('who may not is refused, and the source hears nothing of it', async () => {
    let calls = 0
    const server = createPlain(() => {
      calls += 1
    })
    const way = await wayTo(await listening(server), { may: async () => false })
    expect(await endOf(connect(way.port, '127.0.0.1'))).toBe('ECONNRESET')
    expect(calls).toBe(0)
  })

  test('its end is the end of all that it carries; the same port again, another where that is taken', async () => {
    const { source, redis, way } = await both()
    const ended = [endOf(redis), endOf(source)]
    way.close()
    expect((await Promise.all(ended)).length).toBe(2)
    expect(way.isOpen()).toBe(false)
    const again = await wayTo(1, { wanted: way.port })
    expect(again.port).toBe(way.port)
    expect((await wayTo(1, { wanted: way.port })).port).not.toBe(way.port)
  })
})
