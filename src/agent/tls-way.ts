/**
 * The way of this host's redis to a source that speaks TLS: a door on 127.0.0.1 through which each connection is carried there, as it is. `tls-replication`
 * of redis is one switch for both of its sides, so it is left alone. Must not know whom it carries, nor what a move is.
 */
import { createServer, type Server, type Socket } from 'node:net'
import { connect, type TLSSocket } from 'node:tls'
import type { SourceTls } from '../model/move.ts'
import type { Observed } from '../model/outcome.ts'
import { tlsOptions } from '../redis/tls.ts'

/** Redis itself waits for an answer for `repl-timeout`, and tries once a second where it is refused. */
const connectDeadlineMs = 5000
const keepAliveMs = 10_000
/**
 * Ports that only root may take. While the agent is away nobody else is to answer there: redis would tell him the password of the source, and follow him.
 * Nor does the kernel give them to whoever calls out.
 */
const [firstPort, lastPort] = [600, 1023]
const tries = 20

export interface TlsWay {
  readonly port: number
  readonly isOpen: () => boolean
  /** Closes with all that it carries. */
  readonly close: () => void
}

export interface WayOptions {
  readonly to: { readonly host: string; readonly port: number; readonly tls: SourceTls }
  /** What redis knows already; taken by another: some other one. */
  readonly wanted: number | undefined
  /** Asked for each connection, with the port from which it comes: is that redis, and was it looked at what answers there now? */
  readonly may: (fromPort: number, toPort: number) => Promise<boolean>
  /** The source must have answered by then. */
  readonly withinMs?: number
}

export async function openWay({ to, wanted, may, withinMs = connectDeadlineMs }: WayOptions): Promise<Observed<TlsWay>> {
  const carried = new Set<Socket>()
  const server = createServer({ noDelay: true }, (near) => void admit(near).catch(() => near.destroy()))
  async function admit(near: Socket): Promise<void> {
    carried.add(near)
    near.on('error', () => undefined)
    near.once('close', () => carried.delete(near))
    const isLet = near.remotePort !== undefined && near.localPort !== undefined && (await may(near.remotePort, near.localPort))
    if (near.destroyed) return
    const far = isLet && server.listening ? farOf(to) : null
    if (far === null) near.resetAndDestroy()
    else carry(near, far, { carried, withinMs })
  }
  const any = Array.from({ length: tries }, () => firstPort + Math.floor(Math.random() * (lastPort - firstPort + 1)))
  let why = ''
  // Who is not root gets what there is.
  for (const port of [...(wanted === undefined ? [] : [wanted]), ...any, 0]) {
    const listening = await listen(server, port)
    if (listening.ok) return { ok: true, value: wayOf(server, listening.value, carried) }
    why = listening.why
  }
  return { ok: false, why: `no port on 127.0.0.1 for the way over TLS: ${why}` }
}

function wayOf(server: Server, port: number, carried: ReadonlySet<Socket>): TlsWay {
  // Without descriptors it accepts nobody for a while: redis tries again.
  server.on('error', () => undefined)
  return {
    port,
    isOpen: () => server.listening,
    close: () => {
      server.close()
      for (const socket of carried) socket.destroy()
    },
  }
}

/** null: certificates that are none. */
function farOf({ host, port, tls }: WayOptions['to']): TLSSocket | null {
  try {
    const far = connect({ host, port, ...tlsOptions(host, tls) })
    far.setNoDelay(true)
    far.setKeepAlive(true, keepAliveMs)
    return far
  } catch {
    return null
  }
}

/**
 * `pipe` waits where the other side is slower. Redis notices a source that dies, or that ends the connection after its last words, as if it were connected to
 * it; of one that is silent it thinks by its own `repl-timeout`. What redis has left nobody needs at the other end.
 */
function carry(near: Socket, far: TLSSocket, { carried, withinMs }: { readonly carried: Set<Socket>; readonly withinMs: number }): void {
  const late = setTimeout(() => far.destroy(new Error('no answer')), withinMs)
  far.once('secureConnect', () => clearTimeout(late))
  carried.add(far)
  far.on('error', () => undefined)
  far.once('close', () => carried.delete(far))
  near.once('close', () => far.destroy())
  far.once('close', (broken) => {
    clearTimeout(late)
    if (broken) near.resetAndDestroy()
  })
  near.pipe(far).pipe(near)
}

function listen(server: Server, port: number): Promise<Observed<number>> {
  return new Promise((resolve) => {
    const refused = (error: Error): void => resolve({ ok: false, why: error.message })
    server.once('error', refused)
    server.listen({ host: '127.0.0.1', port }, () => {
      server.off('error', refused)
      const at = server.address()
      resolve({ ok: true, value: typeof at === 'object' && at !== null ? at.port : port })
    })
  })
}
