/** How a redis is reached over TLS: whom we trust, whose certificate it must be, and ours where it asks for one. One place for all who connect. */
import { isIP } from 'node:net'
import type { ConnectionOptions } from 'node:tls'
import type { SourceTls } from '../model/move.ts'

/** A certificate is for a name; of an address it need not say that it is its own name for SNI (RFC 6066). */
export function tlsOptions(host: string, { name, ca, cert, key }: SourceTls): ConnectionOptions {
  const servername = name ?? (isIP(host) === 0 ? host : undefined)
  return { ca, cert, key, ...(servername === undefined ? {} : { servername }) }
}
