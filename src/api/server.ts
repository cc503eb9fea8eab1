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
const maxConnections = 256

export async function listen(options: Door): Promise<{ readonly close: () => Promise<void> }> {
  const open = new Set<Socket>()
  const secret = limited(createHttpServer({ maxHeaderSize: 8192 }, getRequestListener(agentRoutes(options.surface).fetch)))
  const plain = limited(createHttpServer({ maxHeaderSize: 8192 }, getRequestListener(publicRoutes(options.surface).fetch)))
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
    options.secret,
    (socket) => {
      socket.setNoDelay(true)
      secret.emit('connection', socket)
    },
    (why) => options.complain(`a connection was refused: ${why}`),
  )
  const server: Server = createServer((socket) => {
    open.add(socket)
    socket.once('close', () => open.delete(socket))
    socket.on('error', () => socket.destroy())
    if (open.size > maxConnections) {
      socket.destroy()
      return
    }
    socket.setNoDelay(true)
    const late = setTimeout(() => socket.destroy(), firstByteDeadlineMs)
    socket.once('close', () => clearTimeout(late))
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
    server.listen(options.port, '0.0.0.0', resolve)
  })
  return {
    close: () =>
      new Promise((resolve) => {
        for (const socket of open) socket.destroy()
        server.close(() => resolve())
      }),
  }
}

function limited(server: HttpServer): HttpServer {
  server.headersTimeout = 5000
  server.requestTimeout = 10_000
  server.keepAliveTimeout = 5000
  server.maxRequestsPerSocket = 1000
  return server
}
