/** Why a server is not reached, in words. `server`: what it is called there, such as `s3.example.net:443`. */

const untrusted: ReadonlySet<string> = new Set([
  'DEPTH_ZERO_SELF_SIGNED_CERT',
  'SELF_SIGNED_CERT_IN_CHAIN',
  'UNABLE_TO_GET_ISSUER_CERT',
  'UNABLE_TO_GET_ISSUER_CERT_LOCALLY',
  'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
])

/** null: it is something else. */
export function networkWords(thrown: unknown, server: string): string | null {
  const { code, message } = thrown as NodeJS.ErrnoException
  if (code === undefined) return null
  if (code === 'ECONNREFUSED') return `${server} refuses connections: does it run, and is the port right?`
  if (code === 'ENOTFOUND' || code === 'EAI_AGAIN') return `the name of ${server} cannot be resolved (${code})`
  if (code === 'EHOSTUNREACH' || code === 'ENETUNREACH') return `there is no way to ${server} (${code})`
  if (code === 'ETIMEDOUT') return `${server} does not answer: no connection in time (a firewall?)`
  if (code === 'ECONNRESET' || code === 'EPIPE' || code === 'ECONNABORTED') return `the connection to ${server} broke in the middle (${code})`
  if (untrusted.has(code)) {
    return `the certificate of ${server} is of nobody whom this machine trusts (${code}): put its issuer into a file that NODE_EXTRA_CA_CERTS names in the environment of the agent`
  }
  if (code === 'CERT_HAS_EXPIRED' || code === 'CERT_NOT_YET_VALID')
    return `the certificate of ${server} is not valid now (${code}); is the clock of this machine right?`
  if (code === 'ERR_TLS_CERT_ALTNAME_INVALID') return `the certificate of ${server} is of another name: ${message}`
  if (code === 'EPROTO' || code.startsWith('ERR_SSL_')) return `${server} does not speak TLS as this machine does (${code}): is it http, not https?`
  return null
}
