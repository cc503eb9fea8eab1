/** The relay of bytes: both ways, half-closed, against a slow reader, to nobody, to another one. Real sockets on this machine. */
import { connect, createServer, type Server, type Socket } from 'node:net'
import { once } from 'node:events'
import { afterEach, expect, test, vi } from 'vitest'
import { openRelay, type Relay } from '../../src/move/relay.ts'

const opened: (Server | Socket)[] = []
const relays: Relay[] = []
afterEach(() => {
  for (const relay of relays.splice(0)) {
    relay.aim('none')
    relay.silence()
  }
  for (const one of opened.splice(0)) 'destroy' in one ? one.destroy() : one.close()
})

async function server(handle: (socket: Socket) => void): Promise<number> {
  const its = createServer({ allowHalfOpen: true }, (socket) => {
    opened.push(socket)
    socket.on('error', () => undefined)
    handle(socket)
  })
  opened.push(its)
  its.listen(0, '127.0.0.1')
  await once(its, 'listening')
  const address = its.address()
  return typeof address === 'object' && address !== null ? address.port : 0
}

async function relayAt(): Promise<{ readonly relay: Relay; readonly port: number }> {
  const relay = openRelay(() => undefined)
  relays.push(relay)
  const port = await relay.listen('127.0.0.1', 0)
  if (!port.ok) throw new Error(port.why)
  return { relay, port: port.value }
}

function client(port: number): Socket & { readonly text: () => string } {
  const socket = connect({ host: '127.0.0.1', port, allowHalfOpen: true })
  opened.push(socket)
  let text = ''
  socket.on('error', () => undefined)
  socket.on('data', (data: Buffer) => (text += data.toString()))
  return Object.assign(socket, { text: () => text })
}

const to = (port: number): { host: string; port: number } => ({ host: '127.0.0.1', port })

test('both ways; who has ended its half still hears the other', async () => {
  const { relay, port } = await relayAt()
  relay.aim(
    to(
      await server((socket) => {
        let asked = ''
        socket.on('data', (data: Buffer) => (asked += data.toString()))
        socket.once('end', () => socket.end(`you said ${asked}`))
      }),
    ),
  )
  const one = client(port)
  one.end('PING')
  await once(one, 'close')
  expect(one.text()).toBe('you said PING')
  await vi.waitFor(() => expect(relay.open()).toEqual([]))
  expect(relay.counts()).toEqual({ taken: 1, failed: 0, replicas: 0 })
})

test('a reader that does not read holds the writer up, and not the memory of the relay', async () => {
  const { relay, port } = await relayAt()
  let slow: Socket | undefined
  relay.aim(
    to(
      await server((socket) => {
        slow = socket.pause()
      }),
    ),
  )
  const one = client(port)
  await vi.waitFor(() => expect(slow).toBeDefined())
  const bytes = 64 * 1024 * 1024
  one.write(Buffer.alloc(bytes))
  await new Promise((resolve) => setTimeout(resolve, 300))
  const held = relay.open()[0]?.bytesIn ?? 0
  expect(held).toBeGreaterThan(0)
  expect(held).toBeLessThan(bytes / 2)
  let read = 0
  slow?.on('data', (data: Buffer) => (read += data.length)).resume()
  await vi.waitFor(() => expect(read).toBe(bytes), 10_000)
})

test('another primary: who is connected is ended, and connects to the new one', async () => {
  const { relay, port } = await relayAt()
  relay.aim(to(await server((socket) => socket.write('a'))))
  const one = client(port)
  await vi.waitFor(() => expect(one.text()).toBe('a'))
  const same = relay.open()[0]?.seenAs
  expect(same).toMatch(/^127\.0\.0\.1:\d+$/)
  const closed = once(one, 'end')
  relay.aim(to(await server((socket) => socket.write('b'))))
  await closed
  const two = client(port)
  await vi.waitFor(() => expect(two.text()).toBe('b'))
})

test('aimed at the same one again, nobody is ended', async () => {
  const { relay, port } = await relayAt()
  const at = await server((socket) => socket.pipe(socket))
  relay.aim(to(at))
  const one = client(port)
  one.write('x')
  await vi.waitFor(() => expect(one.text()).toBe('x'))
  relay.aim(to(at))
  one.write('y')
  await vi.waitFor(() => expect(one.text()).toBe('xy'))
})

test('while there is no primary they wait, for a moment', async () => {
  const { relay, port } = await relayAt()
  relay.aim('wait')
  const one = client(port)
  one.write('x')
  await vi.waitFor(() => expect(relay.open()).toHaveLength(1))
  relay.aim(to(await server((socket) => socket.pipe(socket))))
  await vi.waitFor(() => expect(one.text()).toBe('x'))
  relay.aim('wait')
  const two = client(port)
  const began = performance.now()
  await once(two, 'end')
  expect(performance.now() - began).toBeGreaterThan(1500)
  expect(relay.counts()).toEqual({ taken: 2, failed: 1, replicas: 0 })
})

test('a primary that refuses, and none at all: the client is sent away', async () => {
  const { relay, port } = await relayAt()
  const gone = createServer().listen(0, '127.0.0.1')
  await once(gone, 'listening')
  const address = gone.address()
  await new Promise((resolve) => gone.close(resolve))
  relay.aim(to(typeof address === 'object' && address !== null ? address.port : 0))
  await once(client(port), 'end')
  relay.aim('none')
  await once(client(port), 'end')
  expect(relay.counts()).toEqual({ taken: 1, failed: 1, replicas: 0 })
})

test('a client that is gone while it waits leaves nothing', async () => {
  const { relay, port } = await relayAt()
  relay.aim(to(await server((socket) => socket.pipe(socket))))
  const one = client(port)
  one.write('x')
  await vi.waitFor(() => expect(one.text()).toBe('x'))
  one.resetAndDestroy()
  await vi.waitFor(() => expect(relay.open()).toEqual([]))
  expect(relay.lastUsedMs()).not.toBe(null)
})

test('many at once', async () => {
  const { relay, port } = await relayAt()
  relay.aim(to(await server((socket) => socket.pipe(socket))))
  const all = Array.from({ length: 500 }, () => client(port))
  for (const [i, one] of all.entries()) one.write(String(i))
  await vi.waitFor(() => expect(all.every((one, i) => one.text() === String(i))).toBe(true), 10_000)
  expect(relay.open()).toHaveLength(500)
})

test('a replica is sent away before its question has gone on, and is no use of the relay', async () => {
  const { relay, port } = await relayAt()
  let heard = ''
  relay.aim(
    to(
      await server((socket) => {
        socket.on('data', (data: Buffer) => {
          heard += data.toString()
          socket.write('+PONG\r\n')
        })
      }),
    ),
  )
  const one = client(port)
  one.write('*1\r\n$4\r\nPING\r\n')
  await vi.waitFor(() => expect(one.text()).toBe('+PONG\r\n'))
  one.write('*3\r\n$8\r\nREPLCONF\r\n$14\r\nlistening-port\r\n$4\r\n6379\r\n')
  await once(one, 'end')
  expect(heard).toBe('*1\r\n$4\r\nPING\r\n')
  expect(relay.counts()).toEqual({ taken: 1, failed: 0, replicas: 1 })
  expect(relay.lastUsedMs()).toBe(null)
})
