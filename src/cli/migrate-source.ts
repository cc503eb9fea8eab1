/** The redis that is to be moved, as the operator names it: an address, or a group of the configuration. Asks redis and agents; judges nothing. */
import { lookup } from 'node:dns/promises'
import { readFile } from 'node:fs/promises'
import { isIP } from 'node:net'
import { readPassword } from '../config/files.ts'
import type { Source, Target } from '../migrate/facts.ts'
import { OperatorError } from '../model/error.ts'
import { lookAt, type LookOptions } from '../move/look.ts'
import type { RawTarget } from '../redis/raw.ts'
import { groupOf, statusOf, type Session } from './ask.ts'
import { unreached } from './migrate-unreached.ts'

export type Endpoint = RawTarget & { readonly host: string; readonly port: number }

export interface SourceOptions {
  readonly sourcePasswordFile?: string | undefined
  readonly tlsCa?: string | undefined
  readonly tlsCert?: string | undefined
  readonly tlsKey?: string | undefined
}

export interface Named {
  readonly endpoint: Endpoint
  readonly backup: Source['backup']
}

/** `redis://[USER[:PASSWORD]@]HOST[:PORT]`, `rediss://…` with TLS, or the name of a group. */
export async function nameSource(session: Session, from: string, options: SourceOptions): Promise<Named> {
  if (/^rediss?:\/\//i.test(from)) return { endpoint: await fromUrl(from, options), backup: null }
  if (from.includes('://'))
    throw new OperatorError('HF901', `${from.split('://')[0]}:// is no address of a redis`, 'redis://HOST:PORT, rediss://HOST:PORT, or the name of a group', 2)
  if (session.config.groups[from] === undefined && /[:/]/.test(from))
    throw new OperatorError('HF901', `${from} is no group, and no address either`, `redis://${from.replace(/^rediss?:\/*/i, '')}, or the name of a group`, 2)
  const { sourcePasswordFile, tlsCa, tlsCert, tlsKey } = options
  if ((sourcePasswordFile ?? tlsCa ?? tlsCert ?? tlsKey) !== undefined)
    throw new OperatorError(
      'HF901',
      'the password and the certificates of a group are those of its configuration',
      'leave out --source-password-file and --tls-…: they are of redis:// and rediss://',
      2,
    )
  const group = groupOf(session, from)
  const [status] = await statusOf(session, from)
  const member = group.members.find(({ host }) => host === status?.primary)
  if (member === undefined) throw new OperatorError('HF901', `${from} has no primary: ${status?.because ?? ''}`, `holdfast status ${from}: it must serve`)
  const password = await readPassword(group)
  const good = status?.backup?.lastGood ?? null
  return {
    endpoint: { host: session.config.hosts[member.host]?.ip ?? '', port: member.port, password },
    backup: good === null ? null : { id: good.id, ageMs: Math.max(0, Date.now() - good.atWallMs) },
  }
}

/** As INFO of a replica tells it: names are looked up here, once, and mean the same on every host from then on. */
export async function addressOf(host: string): Promise<string> {
  if (isIP(host) !== 0) return host
  try {
    return (await lookup(host)).address
  } catch (error) {
    throw new OperatorError('HF901', `${host} is no address: ${(error as Error).message}`, 'redis://IP:PORT', 2)
  }
}

/** What is told is copied into tickets. */
export function withoutPassword(from: string): string {
  return from.replace(/^(rediss?:\/\/[^:@/]*):[^/]*@/i, '$1@')
}

async function fromUrl(text: string, { sourcePasswordFile, tlsCa, tlsCert, tlsKey }: SourceOptions): Promise<Endpoint> {
  const wrong = (why: string, hint: string): OperatorError => new OperatorError('HF901', why, hint, 2)
  let url: URL
  try {
    url = new URL(text)
  } catch {
    throw wrong('that is no address of a redis', 'redis://HOST:PORT, or redis://USER@HOST:PORT with --source-password-file')
  }
  const host = url.hostname.replace(/^\[|\]$/g, '')
  if (host === '') throw wrong('the address names no host', 'redis://HOST:PORT')
  if (!/^\/?(0)?$/.test(url.pathname)) throw wrong(`a redis is moved whole: ${url.pathname} names one of its databases`, `redis://${url.host}`)
  if (url.password !== '' && sourcePasswordFile !== undefined)
    throw wrong('a password in the address and one in a file', 'keep the file: what is in the address is in the list of processes')
  const hasTls = url.protocol === 'rediss:'
  if (!hasTls && (tlsCa ?? tlsCert ?? tlsKey) !== undefined) throw wrong('--tls-ca, --tls-cert and --tls-key are of rediss://', `rediss://${url.host}`)
  const password = sourcePasswordFile === undefined ? decodeURIComponent(url.password) : (await fileOf(sourcePasswordFile, 'password')).trim()
  // It would go in as `default`, and say that it is somebody else.
  if (url.username !== '' && password === '')
    throw wrong(`${decodeURIComponent(url.username)} is a user, and there is no password`, '--source-password-file FILE')
  // Half of the two would be found out only where the source asks for it, or never.
  if ((tlsCert === undefined) !== (tlsKey === undefined)) throw wrong('a certificate of ours and its key belong together', '--tls-cert FILE --tls-key FILE')
  const [ca, cert, key] = await Promise.all([tlsCa, tlsCert, tlsKey].map(async (file) => (file === undefined ? undefined : fileOf(file, 'certificate'))))
  return {
    host,
    port: url.port === '' ? 6379 : Number(url.port),
    ...(password === '' ? {} : { password }),
    ...(url.username === '' ? {} : { user: decodeURIComponent(url.username) }),
    ...(hasTls ? { tls: { ca, cert, key } } : {}),
  }
}

async function fileOf(file: string, what: 'password' | 'certificate'): Promise<string> {
  const text = await readFile(file, 'utf8').catch((error: Error) => {
    throw new OperatorError('HF901', `the ${what} cannot be read: ${error.message}`, 'name another file', 2)
  })
  // Node leaves an authority that is none out without a word.
  if (what === 'certificate' && !text.includes('-----BEGIN '))
    throw new OperatorError('HF901', `${file} is no PEM file`, 'a certificate or key that begins with -----BEGIN', 2)
  return text
}

export async function lookAtSource({ endpoint, backup }: Named, options: LookOptions): Promise<Source> {
  const redis = await lookAt(endpoint, options)
  if (!redis.ok) throw unreached(endpoint, redis.why)
  return {
    redis: redis.value,
    tls: 'tls' in endpoint && endpoint.tls !== undefined,
    user: endpoint.user ?? null,
    hasPassword: endpoint.password !== undefined,
    backup,
  }
}

/** Every member of the group, as the agents and its redis tell. */
/** `of`: the source, for what both have of their own. */
export async function lookAtTarget(session: Session, name: string, of: Endpoint, options: LookOptions): Promise<Target> {
  const group = groupOf(session, name)
  const [status] = await statusOf(session, name)
  const password = await readPassword(group)
  const members = await Promise.all(
    group.members.map(async ({ host, port }) => ({ host, redis: await lookAt({ host: session.config.hosts[host]?.ip ?? '', port, password }, options) })),
  )
  const move = status?.move ?? null
  // Called off, or about to begin anew: it does not serve, and that is as it should be.
  const awaits = group.migration?.awaits === true && move === null && status?.epoch === 0 && status.members.every((m) => m.agent === 'up')
  const receives = awaits || (move !== null && status?.primary === null && (move.move.stage === 'sync' || move.move.stage === 'aborted'))
  const unwell = status === undefined ? 'nobody tells of it' : status.health === 'ok' || receives ? null : status.because
  const samePassword = password === undefined || of.password === undefined ? null : password === of.password
  return {
    group: name,
    unwell,
    externalSentinels: group.sentinel?.process === 'external',
    members,
    first: status?.primary ?? (receives ? (move?.holder ?? members[0]?.host ?? null) : null),
    hasPassword: password !== undefined,
    samePassword,
  }
}
