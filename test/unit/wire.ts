/** Real sockets on loopback for tests of the agent's port: a free port, an agent's door, raw bytes, a proxy that records them. */
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import { listen } from '../../src/api/server.ts'
import type { AgentSurface } from '../../src/agent/surface.ts'

export async function freePort(): Promise<number> {
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  await new Promise((resolve) => server.close(resolve))
  return port
}

/** Becomes true, or an error says what did not. Polls, because what is waited for happens on the other side of a socket. */
export async function until(what: string, isSo: () => boolean, limitMs = 5000): Promise<void> {
  const endMs = performance.now() + limitMs
  while (!isSo()) {
    if (performance.now() > endMs) throw new Error(`not within ${limitMs} ms: ${what}`)
    await new Promise((resolve) => setTimeout(resolve, 2))
  }
}

export function surface(more: Partial<AgentSurface> = {}): AgentSurface {
  return {
    host: 'b',
    version: '0.0.0',
    groups: () => [],
    config: {
      running: () => ({ hash: 'h', groups: {}, file: '/h.yaml', text: '', problem: null }),
      offer: () => Promise.resolve({ ok: true, why: '', warnings: [] }),
    },
    passwords: () => null,
    secret: { isChanging: false, word: () => Promise.resolve(null), step: () => Promise.resolve({ ok: false, why: '' }) },
    snapshot: () => null,
    cannotStart: () => null,
    request: (_group, request) => Promise.resolve({ id: request.id, ok: true, message: 'done' }),
    events: () => Promise.resolve([]),
    kept: () => null,
    source: () => null,
    redis: () => null,
    sentinels: () => null,
    backups: () => null,
    fault: (_group, kind) => Promise.resolve({ id: kind, ok: true, message: 'done' }),
    ...more,
  }
}

export interface OpenedDoor {
  readonly port: number
  readonly complaints: string[]
  readonly close: () => Promise<void>
}

export async function door(
  secret: string | readonly [string, ...string[]],
  peer: (host: string, stream: Duplex) => boolean = () => false,
  given: AgentSurface = surface(),
): Promise<OpenedDoor> {
  const port = await freePort()
  const complaints: string[] = []
  const opened = await listen({
    ip: '127.0.0.1',
    port,
    secrets: typeof secret === 'string' ? [secret] : secret,
    surface: given,
    peer,
    complain: (text) => complaints.push(text),
  })
  return { port, complaints, close: opened.close }
}

export interface RawClient {
  readonly socket: Socket
  readonly received: () => Buffer
  readonly closed: () => boolean
  readonly ended: Promise<void>
}

export function raw(port: number, first?: string | Buffer): RawClient {
  const socket = connect(port, '127.0.0.1')
  const chunks: Buffer[] = []
  let closed = false
  socket.on('data', (chunk: Buffer) => chunks.push(chunk))
  socket.on('error', () => {})
  const ended = new Promise<void>((resolve) => {
    socket.once('close', () => {
      closed = true
      resolve()
    })
  })
  if (first !== undefined) socket.write(first)
  return { socket, received: () => Buffer.concat(chunks), closed: () => closed, ended }
}

export interface Recorder {
  readonly port: number
  readonly sent: readonly Buffer[][]
  readonly connections: () => number
  /** What is open now carries nothing any more and stays open, as after a cut of some seconds; new connections are well. */
  readonly deafen: () => void
  readonly close: () => void
}

/** Passes everything on, and keeps what each client sent. */
export async function recorder(toPort: number): Promise<Recorder> {
  const sent: Buffer[][] = []
  const sockets = new Set<Socket>()
  let generation = 0
  const server: Server = createServer((client) => {
    const own: Buffer[] = []
    const born = generation
    sent.push(own)
    const onward = connect(toPort, '127.0.0.1')
    for (const s of [client, onward]) {
      sockets.add(s)
      s.on('error', () => {})
    }
    client.on('data', (chunk: Buffer) => {
      own.push(chunk)
      if (born === generation) onward.write(chunk)
    })
    onward.on('data', (chunk: Buffer) => {
      if (born === generation) client.write(chunk)
    })
    client.on('close', () => born === generation && onward.destroy())
    onward.on('close', () => born === generation && client.destroy())
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return {
    port: (server.address() as AddressInfo).port,
    sent,
    connections: () => sent.length,
    deafen: () => {
      generation += 1
    },
    close: () => {
      for (const s of sockets) s.destroy()
      server.close()
    },
  }
}
