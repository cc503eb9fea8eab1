/** Certificates as an operator has them: an authority, one for a server at an address, one for a client. Made by openssl, for a day. */
import { execFile } from 'node:child_process'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'

export interface Certificates {
  readonly ca: string
  readonly server: { readonly cert: string; readonly key: string }
  readonly client: { readonly cert: string; readonly key: string }
}

/** `names`: `IP:…` or `DNS:…`. `days: 0` is over a moment later. */
export async function makeCertificates(dir: string, names: readonly string[], { prefix = '', days = 1 } = {}): Promise<Certificates> {
  const at = (name: string): string => join(dir, `${prefix}${name}`)
  const openssl = async (...words: readonly string[]): Promise<unknown> => promisify(execFile)('openssl', [...words])
  const fresh = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes']
  await openssl('req', '-x509', ...fresh, '-keyout', at('ca.key'), '-out', at('ca.pem'), '-days', '1', '-subj', '/CN=authority')
  await writeFile(at('names'), `subjectAltName=${names.join(',')}\n`)
  for (const who of ['server', 'client']) {
    await openssl('req', ...fresh, '-keyout', at(`${who}.key`), '-out', at(`${who}.csr`), '-subj', `/CN=${who}`)
    const signed = [
      '-CA',
      at('ca.pem'),
      '-CAkey',
      at('ca.key'),
      '-CAcreateserial',
      '-days',
      String(days),
      ...(who === 'server' ? ['-extfile', at('names')] : []),
    ]
    await openssl('x509', '-req', '-in', at(`${who}.csr`), '-out', at(`${who}.pem`), ...signed)
  }
  const pair = (who: string) => ({ cert: at(`${who}.pem`), key: at(`${who}.key`) })
  return { ca: at('ca.pem'), server: pair('server'), client: pair('client') }
}
