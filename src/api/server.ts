/**
 * The agent's one port. The first byte tells which face is meant: a TLS handshake leads to the routes and peer streams
 * behind the secret, anything else to the health checks. Limits on time, headers and connections are set here.
 */
import { createServer as createHttpServer, type IncomingMessage, type Server as HttpServer } from 'node:http'
import { createServer, type Server, type Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import { getRequestListener } from '@hono/node-server'
import { OperatorError } from '../model/error.ts'
import { peerProtocol } from '../agent/peers.ts'
import { secureAcceptor } from '../agent/secure.ts'
import type { Door } from '../agent/surface.ts'
import { agentRoutes, publicRoutes } from './routes.ts'

const tlsHandshakeByte = 0x16
const firstByteDeadlineMs = 2000
/** Connections that have not shown that they know the secret. The oldest gives way, so that idle ones keep nobody out. */
const maxStrangers = 256
/** A health check takes ms. The HTTP server's own deadlines do not run: it never listens, it is handed its connections. */
const strangerLifeMs = 8000
const tellRefusedEveryMs = 10_000

export async function listen(options: Door): Promise<{ readonly close: () => Promise<void> }> {
  const open = new Set<Socket>()
  const strangers = new Map<string, Socket>()
  const secret = limited(createHttpServer({ maxHeaderSize: 8192 }, getRequestListener(agentRoutes(options.surface).fetch)))
  // Load balancers ask in HTTP/1.0 and name no host (HAProxy's plain `option httpchk`). Who then asks for one himself answers 400, and every server is down.
  const healthChecks = getRequestListener(publicRoutes(options.surface).fetch, { hostname: 'localhost' })
  const plain = limited(createHttpServer({ maxHeaderSize: 8192, requireHostHeader: false }, healthChecks))
  secret.on('upgrade', (request: IncomingMessage, stream: Duplex) => {
    const host = request.headers['x-holdfast-host']
    if (request.headers.upgrade !== peerProtocol || typeof host !== 'string') {
      stream.destroy()
      return
    }
    stream.write(`HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: ${peerProtocol}\r\n\r\n`)
    if (!options.peer(host, stream)) stream.destroy()
  })
  const acceptor = secureAcceptor(
    options.secrets,
    (socket) => {
      strangers.delete(nameOf(socket))
      socket.setNoDelay(true)
      secret.emit('connection', socket)
    },
    tellRefusals(options.complain),
  )
  const server: Server = createServer((socket) => {
    open.add(socket)
    socket.once('close', () => open.delete(socket))
    socket.on('error', () => socket.destroy())
    const name = nameOf(socket)
    strangers.set(name, socket)
    const [oldest] = strangers
    if (strangers.size > maxStrangers && oldest !== undefined) {
      strangers.delete(oldest[0])
      oldest[1].destroy()
    }
    socket.setNoDelay(true)
    const late = setTimeout(() => socket.destroy(), firstByteDeadlineMs)
    const tooLate = setTimeout(() => strangers.has(name) && socket.destroy(), strangerLifeMs)
    socket.once('close', () => {
      strangers.delete(name)
      clearTimeout(late)
      clearTimeout(tooLate)
    })
    socket.once('readable', () => {
      clearTimeout(late)
      const first = socket.read(1) as Buffer | null
      if (first === null) return
      socket.unshift(first)
      if (first[0] === tlsHandshakeByte) acceptor.accept(socket)
      else plain.emit('connection', socket)
    })
  })
  await new Promise<void>((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) => {
      const taken = error.code === 'EADDRINUSE'
      reject(
        taken
          ? new OperatorError(
              'HF204',
              `port ${options.port} is taken by another program`,
              `see who has it (ss -ltnp 'sport = :${options.port}'), or set api.port`,
            )
          : new OperatorError('HF204', `cannot listen on port ${options.port}: ${error.message}`, 'set api.port to a port that this user may open'),
      )
    })
    server.listen(options.port, options.ip, resolve)
  })
  return {
    close: () =>
      new Promise((resolve) => {
        for (const socket of open) socket.destroy()
        server.close(() => resolve())
      }),
  }
}

/** A port scan must not fill the log: a line in ten seconds says as much as one for each connection. */
function tellRefusals(complain: (text: string) => void): (why: string) => void {
  let untold = 0
  let toldMs = Number.NEGATIVE_INFINITY
  return (why) => {
    untold += 1
    const nowMs = performance.now()
    if (nowMs - toldMs < tellRefusedEveryMs) return
    complain(untold === 1 ? `a connection was refused: ${why}` : `${untold} connections were refused, the last one: ${why}`)
    toldMs = nowMs
    untold = 0
  }
}

function nameOf(socket: Socket): string {
  return `${socket.remoteAddress ?? ''} ${socket.remotePort ?? 0}`
}

function limited(server: HttpServer): HttpServer {
  server.headersTimeout = 5000
  server.requestTimeout = 10_000
  server.keepAliveTimeout = 5000
  server.maxRequestsPerSocket = 1000
  return server
}
