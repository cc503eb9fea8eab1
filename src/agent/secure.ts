/**
 * TLS with the shared secret as its key (TLS-PSK): both sides prove that they know it, and OpenSSL sees to encryption,
 * integrity and replay (docs/adr/0003). TLS 1.2 because Node offers the PSK callback for it only.
 */
import { createHash } from 'node:crypto'
import { connect, createServer, type TLSSocket } from 'node:tls'
import type { Socket } from 'node:net'

const ciphers = 'ECDHE-PSK-CHACHA20-POLY1305:DHE-PSK-AES256-GCM-SHA384'
const options = { ciphers, minVersion: 'TLSv1.2', maxVersion: 'TLSv1.2' } as const
const handshakeDeadlineMs = 2000

function keyOf(secret: string): Buffer {
  return createHash('sha256').update(`holdfast psk 1\0${secret}`).digest()
}

/**
 * Which secret is meant, while it is changed and two are valid. It goes over the wire in clear: enough to tell two from each other, and no help to anybody who
 * guesses.
 */
export function secretHint(secret: string): string {
  return createHash('sha256').update(`holdfast psk hint 1\0${secret}`).digest('hex').slice(0, 4)
}

export interface SecureAcceptor {
  /** Takes over a plain socket whose first byte looks like TLS. */
  readonly accept: (socket: Socket) => void
}

/** `secrets`: all that are valid; who says nothing of which one it has comes with the first. */
export function secureAcceptor(secrets: readonly [string, ...string[]], accepted: (socket: TLSSocket) => void, refused: (why: string) => void): SecureAcceptor {
  const first = keyOf(secrets[0])
  const keys = new Map(secrets.map((secret) => [secretHint(secret), keyOf(secret)]))
  const pskCallback = (_socket: TLSSocket, identity: string): Buffer => keys.get(identity.slice(identity.indexOf('#') + 1)) ?? first
  const server = createServer({ ...options, handshakeTimeout: handshakeDeadlineMs, pskCallback }, accepted)
  server.on('tlsClientError', (error) => refused(error.message))
  return { accept: (socket) => server.emit('connection', socket) }
}

export function secureConnect(host: string, port: number, secret: string, identity: string): TLSSocket {
  const psk = keyOf(secret)
  return connect({
    host,
    port,
    ...options,
    // There is no certificate: whoever finishes the handshake knows the secret.
    checkServerIdentity: () => undefined,
    pskCallback: () => ({ psk, identity: `${identity}#${secretHint(secret)}` }),
  })
}

/** Did the handshake fail because the secrets differ? OpenSSL then cannot decrypt the other's Finished message. */
export function isWrongSecret(error: NodeJS.ErrnoException): boolean {
  return /BAD_RECORD_MAC|DECRYPT|bad record mac|decryption failed/i.test(`${error.code ?? ''} ${error.message}`)
}
