/**
 * Whether a server is the one that it was: its key against a file as OpenSSH writes it. Pure. Certificates of hosts (`@cert-authority`) are
 * not looked at: such a server is unknown here.
 */
import { createHash, createHmac } from 'node:crypto'

export interface HostKey {
  /** Name as OpenSSH writes it: `backup.example.net`, or `[backup.example.net]:2222`. */
  readonly host: string
  /** As it goes over the wire, its type in front. */
  readonly key: Buffer
}

export type Verdict = 'known' | 'unknown' | 'changed' | 'revoked'

export function hostName(host: string, port: number): string {
  return port === 22 ? host.toLowerCase() : `[${host.toLowerCase()}]:${port}`
}

export function judge(knownHosts: string, { host, key }: HostKey): Verdict {
  const lines = linesOf(knownHosts, host)
  const same = lines.filter((line) => line.key.equals(key))
  if (same.some(({ marker }) => marker === '@revoked')) return 'revoked'
  const plain = lines.filter(({ marker }) => marker === '')
  if (plain.some((line) => line.key.equals(key))) return 'known'
  return plain.length > 0 ? 'changed' : 'unknown'
}

/** Of the keys that are known: a server has several, and has to be asked for one of these. */
export function knownKinds(knownHosts: string, host: string): readonly string[] {
  return linesOf(knownHosts, host).flatMap(({ marker, key }) => (marker === '' ? [kindOf(key)] : []))
}

export function kindOf(key: Buffer): string {
  return key.subarray(4, 4 + key.readUInt32BE(0)).toString('latin1')
}

/** As `ssh-keygen -l` shows it. */
export function fingerprint(key: Buffer): string {
  return `SHA256:${createHash('sha256').update(key).digest('base64').replace(/=+$/, '')}`
}

interface Line {
  readonly marker: string
  readonly key: Buffer
}

function linesOf(text: string, host: string): readonly Line[] {
  return text.split('\n').flatMap((raw) => {
    const words = raw.trim().split(/\s+/)
    const marker = words[0]?.startsWith('@') === true ? (words.shift() ?? '') : ''
    const [names = '', , key = ''] = words
    if (names === '' || names.startsWith('#') || key === '' || !isNamed(names, host)) return []
    const bytes = Buffer.from(key, 'base64')
    // Whatever is no key says nothing about the host.
    return bytes.length > 4 && bytes.readUInt32BE(0) < bytes.length ? [{ marker, key: bytes }] : []
  })
}

function isNamed(names: string, host: string): boolean {
  if (names.startsWith('|1|')) {
    const [salt = '', hash = ''] = names.slice(3).split('|')
    return createHmac('sha1', Buffer.from(salt, 'base64')).update(host).digest('base64') === hash
  }
  const patterns = names.toLowerCase().split(',')
  const fits = (pattern: string): boolean => asRegExp(pattern).test(host)
  return !patterns.some((pattern) => pattern.startsWith('!') && fits(pattern.slice(1))) && patterns.some(fits)
}

function asRegExp(pattern: string): RegExp {
  const escaped = pattern.replace(/[.+^${}()|[\]\\]/g, '\\$&')
  return new RegExp(`^${escaped.replaceAll('*', '.*').replaceAll('?', '.')}$`)
}
