/**
 * The shape of a configuration: which keys exist, and what one value may look like on its own. What several values mean
 * together is for `contradictions.ts`. Every key is optional here, so that one missing key does not hide the other
 * mistakes; what is required is checked there too. Must not fill in defaults.
 */
import * as z from 'zod'
import { ranges } from './defaults.ts'
import type { Range } from './defaults.ts'
import { savePointsIn, type Persistence, type SavePoint } from '../model/persistence.ts'
import { parseIpv4 } from './ipv4.ts'
import { nearest } from './problem.ts'
import type { Finding, KeyPath } from './problem.ts'
import { scheduleProblem } from './schedule.ts'

/** undefined: not acceptable. */
type Read<T> = (value: unknown) => T | undefined

function leaf<T>(accepted: string, read: Read<T>, explain?: (value: unknown) => string | undefined) {
  return z
    .unknown()
    .transform((value, context): T => {
      const result = read(value)
      if (result !== undefined) return result
      const message = explain?.(value) ?? (value === null ? 'is empty' : `cannot be ${show(value)}`)
      context.addIssue({ code: 'custom', message, params: { accepted } })
      return z.NEVER
    })
    .optional()
}

function show(value: unknown): string {
  const text = JSON.stringify(value) ?? String(value)
  return text.length > 60 ? `${text.slice(0, 57)}...` : text
}

function integer(range: Range, unit = '') {
  const accepted = `a whole number from ${range.min} to ${range.max}${unit}`
  return leaf(accepted, (value) => (typeof value === 'number' && Number.isInteger(value) && value >= range.min && value <= range.max ? value : undefined))
}

/** People write yes and no, and YAML 1.2 hands those over as text. */
function readTruth(value: unknown): boolean | undefined {
  const words: Readonly<Record<string, boolean>> = { yes: true, on: true, true: true, no: false, off: false, false: false }
  const word = String(value).toLowerCase()
  return (typeof value === 'boolean' || typeof value === 'string') && Object.hasOwn(words, word) ? words[word] : undefined
}

function truth() {
  return leaf('true or false', readTruth)
}

/** A host may be called `1`; YAML then makes it a number. */
function readName(value: unknown): string | undefined {
  if (typeof value === 'number') return String(value)
  return typeof value === 'string' && value !== '' ? value : undefined
}

/** These stand in files of keepalived and redis; a quote or a line break there would become a directive. */
function path() {
  return leaf('a path without spaces, quotes or control characters', (value) =>
    typeof value === 'string' && /^[^\s"'\\\p{Cc}]+$/u.test(value) ? value : undefined,
  )
}

function ipv4() {
  return leaf('an IPv4 address such as 192.168.100.201', (value) => (typeof value === 'string' && parseIpv4(value) !== undefined ? value : undefined))
}

function choice<const T extends string>(now: readonly T[], later: readonly string[]) {
  return leaf(
    now.join(', '),
    (value) => now.find((word) => word === value),
    (value) => (later.some((word) => word === value) ? `\`${String(value)}\` is not available in this version` : undefined),
  )
}

export interface VipText {
  readonly ip: string
  readonly prefix: number
}

function readVip(value: unknown): VipText | undefined {
  const parts = typeof value === 'string' ? /^([^/]+)\/(\d{1,2})$/.exec(value) : null
  const ip = parts?.[1] ?? ''
  const prefix = Number(parts?.[2])
  const valid = parseIpv4(ip) !== undefined && prefix >= ranges.prefix.min && prefix <= ranges.prefix.max
  return valid ? { ip, prefix } : undefined
}

function readEndpoint(value: unknown): string | undefined {
  if (typeof value !== 'string' || !URL.canParse(value)) return undefined
  const url = new URL(value)
  const bare = url.pathname === '/' && url.search === '' && url.hash === '' && url.username === '' && url.password === ''
  return bare && (url.protocol === 'https:' || url.protocol === 'http:') ? url.origin : undefined
}

/** One redis argument line, or several for a directive that may stand more than once. */
function readRedisValues(value: unknown): readonly string[] | undefined {
  const list: readonly unknown[] = Array.isArray(value) ? value : [value]
  const texts = list.map(readRedisText)
  return texts.length > 0 && texts.every((text) => text !== undefined) ? texts : undefined
}

function readRedisText(value: unknown): string | undefined {
  if (typeof value === 'boolean') return value ? 'yes' : 'no'
  // A larger number has lost digits on its way through YAML.
  if (typeof value === 'number') return Number.isFinite(value) && Math.abs(value) <= Number.MAX_SAFE_INTEGER ? String(value) : undefined
  return typeof value === 'string' && !/\p{Cc}/u.test(value) ? value : undefined
}

const memberKeys = z.strictObject({
  host: leaf('the name of a host', readName),
  priority: integer(ranges.priority),
  never_primary: truth(),
  replicate_from: leaf('the name of a host', readName),
  port: integer(ranges.port),
})

const member = z.preprocess((value) => (typeof value === 'string' || typeof value === 'number' ? { host: String(value) } : value), memberKeys.optional())

const host = z.strictObject({
  ip: ipv4(),
  // The kernel's own limit (IFNAMSIZ), and no character that keepalived or nft would read as syntax.
  interface: leaf('a network interface such as eth0', (value) => (typeof value === 'string' && /^[A-Za-z0-9_.@-]{1,15}$/.test(value) ? value : undefined)),
})

const failover = z.strictObject({
  auto: truth(),
  host_loss_ms: integer(ranges.hostLossMs, ' ms'),
  unresponsive_ms: integer(ranges.unresponsiveMs, ' ms'),
  max_pause_ms: integer(ranges.maxPauseMs, ' ms'),
})

const salvage = z.strictObject({
  max_mib: integer(ranges.salvageMaxMib, ' MiB'),
  max_age_days: integer(ranges.salvageMaxAgeDays, ' days'),
})

const sentinel = z.strictObject({
  port: integer(ranges.port),
  quorum: integer({ min: 1, max: ranges.sentinels.max }),
  down_after_ms: integer(ranges.downAfterMs, ' ms'),
  failover_timeout_ms: integer(ranges.failoverTimeoutMs, ' ms'),
  parallel_syncs: integer(ranges.parallelSyncs),
  password_file: path(),
  process: choice(['direct', 'external'], ['systemd']),
})

const s3 = z.strictObject({
  bucket: leaf('the name of a bucket: 3 to 63 lower-case letters, digits, dots and dashes', (value) =>
    typeof value === 'string' && /^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$/.test(value) ? value : undefined,
  ),
  // Each part becomes part of a name in the store.
  prefix: leaf('parts of letters, digits, `.`, `_` and `-`, separated by `/`', (value) => {
    if (typeof value !== 'string') return undefined
    const trimmed = value.replace(/^\/|\/$/g, '')
    return trimmed === '' || /^(?!\.)[\w.-]{1,128}(\/(?!\.)[\w.-]{1,128})*$/.test(trimmed) ? trimmed : undefined
  }),
  endpoint: leaf('https://HOST or https://HOST:PORT, without a path', readEndpoint),
  region: leaf('the name of a region such as eu-central-1', (value) => (typeof value === 'string' && /^[\w-]{1,64}$/.test(value) ? value : undefined)),
  credentials_file: path(),
})

const sftp = z.strictObject({
  host: leaf('a name or address of the server', (value) => (typeof value === 'string' && /^[A-Za-z0-9.:_-]{1,253}$/.test(value) ? value : undefined)),
  port: integer(ranges.port),
  user: leaf('the name of a user', (value) => (typeof value === 'string' && /^[^\s\p{Cc}]{1,64}$/u.test(value) ? value : undefined)),
  path: path(),
  key_file: path(),
  password_file: path(),
  known_hosts_file: path(),
})

const keep = z.strictObject({
  hourly: integer(ranges.keep),
  daily: integer(ranges.keep),
  weekly: integer(ranges.keep),
  monthly: integer(ranges.keep),
})

const stream = z.strictObject({
  keep_days: integer(ranges.streamKeepDays, ' days'),
  flush_ms: integer(ranges.streamFlushMs, ' ms'),
})

/** `true` is all of its defaults, `false` none of it. */
function expandStream(value: unknown): unknown {
  const wanted = readTruth(value)
  return wanted === undefined ? value : wanted ? {} : undefined
}

const backup = z.strictObject({
  directory: path(),
  s3: s3.optional(),
  sftp: sftp.optional(),
  schedule: leaf(
    "a cron expression of five fields in UTC, such as '0 * * * *', or false",
    (value) => (value === false ? value : typeof value === 'string' && scheduleProblem(value) === null ? value : undefined),
    (value) => (typeof value === 'string' ? (scheduleProblem(value) ?? undefined) : undefined),
  ),
  keep: keep.optional(),
  compression: leaf(
    'auto, gzip, none',
    (value) => (['auto', 'gzip', 'none'] as const).find((word) => word === value),
    (value) => (value === 'zstd' ? '`zstd` is what `auto` means where Node has it (22.15 and later): write auto' : undefined),
  ),
  encryption_key_file: path(),
  max_mib_per_s: integer(ranges.backupMaxMibPerS, ' MiB; 0: as fast as it goes'),
  test: truth(),
  stream: z.preprocess(expandStream, stream.optional()),
})

/** `rdb`, `aof` (every second), `aof-always`, `aof-no`, both (`rdb+aof`), or `none`. */
export interface RoleText {
  readonly rdb: boolean
  readonly aof: Persistence['aof']
}

const roleWords = 'none, rdb, aof-everysec, aof-always, aof-no, or rdb+aof-everysec and the like'

function readRole(value: unknown): RoleText | undefined {
  const parts = typeof value === 'string' ? /^(?:(none)|(rdb)|(rdb\+)?aof(?:-(always|everysec|no))?)$/.exec(value) : null
  if (parts === null) return undefined
  const isAof = parts[1] === undefined && parts[2] === undefined
  const sync = parts[4] === 'always' || parts[4] === 'no' ? parts[4] : 'everysec'
  return { rdb: parts[2] !== undefined || parts[3] !== undefined, aof: isAof ? sync : 'off' }
}

function readSave(value: unknown): SavePoint | undefined {
  const points = typeof value === 'string' && /^\d{1,9} \d{1,9}$/.test(value) ? savePointsIn(value) : []
  return points[0]
}

const persistence = z.strictObject({
  primary: leaf(roleWords, readRole),
  replica: leaf(roleWords, readRole),
  save: z.array(leaf('seconds and changes, such as `300 100`', readSave)).optional(),
  rewrite_percentage: integer(ranges.rewritePercentage, ' %'),
  rewrite_min_mib: integer(ranges.rewriteMinMib, ' MiB'),
})

/** One word stands for both roles, or for the wish that has a name of its own. */
function expandPersistence(value: unknown): unknown {
  if (value === 'replicas-aof') return { primary: 'none', replica: 'aof-everysec' }
  return readRole(value) === undefined ? value : { primary: value, replica: value }
}

const group = z.strictObject({
  mode: choice(['vip', 'sentinel'], ['cluster']),
  members: z.array(member).optional(),
  sentinels: z.array(leaf('the name of a host', readName)).optional(),
  sentinel: sentinel.optional(),
  witness: leaf('the name of a host', readName),
  check_ips: z.array(ipv4()).optional(),
  vip: leaf(`an IPv4 address and its network prefix, such as 192.168.100.123/24`, readVip),
  vrid: integer(ranges.vrid),
  reader_vip: leaf(`an IPv4 address and its network prefix, such as 192.168.100.124/24`, readVip),
  reader_vrid: integer(ranges.vrid),
  unicast_peer: truth(),
  port: integer(ranges.port),
  password_file: path(),
  process: choice(['direct', 'external'], ['systemd']),
  redis_conf: path(),
  redis: z.record(z.string(), leaf('text, a number, true, false, or a list of these; "" for an empty value', readRedisValues)).optional(),
  persistence: z.preprocess(expandPersistence, persistence.optional()),
  durability: choice(['available', 'safe'], []),
  max_full_syncs: integer(ranges.maxFullSyncs),
  failover: failover.optional(),
  salvage: salvage.optional(),
  backup: backup.optional(),
  migration: z.strictObject({ awaits: truth(), hook: path(), feed_port: integer(ranges.port) }).optional(),
})

const api = z.strictObject({ port: integer(ranges.port), secret_file: path() })

const paths = z.strictObject({ state: path(), run: path(), redis_server: path(), redis_sentinel: path(), keepalived: path() })

const root = z.strictObject({
  api: api.optional(),
  paths: paths.optional(),
  hosts: z.record(z.string(), host.optional()).optional(),
  groups: z.record(z.string(), group.optional()).optional(),
})

export type Draft = z.infer<typeof root>
export type DraftGroup = z.infer<typeof group>
export type DraftBackup = NonNullable<z.infer<typeof backup>>
export type DraftMember = NonNullable<z.infer<typeof member>>

/**
 * Reads what is right and reports what is not: each wrong value is taken out and the rest is read again, so that the
 * contradictions among the right ones are found in the same run. `data` is a plain copy that this may change.
 */
export function readShape(data: unknown): { draft: Draft; findings: readonly Finding[] } {
  let rest: unknown = structuredClone(data)
  const findings: Finding[] = []
  // Each round takes at least one value out; what is left after two has been wrong only in its parent.
  for (let round = 0; round < 8; round += 1) {
    const result = root.safeParse(rest)
    if (result.success) return { draft: result.data, findings }
    for (const issue of result.error.issues) {
      findings.push(...describe(issue))
      const paths = issue.code === 'unrecognized_keys' ? issue.keys.map((key) => [...issue.path, key]) : [issue.path]
      for (const at of paths) rest = without(rest, at as KeyPath)
    }
  }
  return { draft: {}, findings }
}

function describe(issue: z.core.$ZodIssue): readonly Finding[] {
  const path = issue.path as KeyPath
  if (issue.code === 'unrecognized_keys') {
    const accepted = keysAt(path)
    return issue.keys.map((key) => {
      const guess = nearest(key, accepted)
      return {
        path: [...path, key],
        message: `unknown key${guess === undefined ? '' : `; did you mean \`${guess}\`?`}`,
        accepted: accepted.join(', '),
        atKey: true,
      }
    })
  }
  if (issue.code === 'custom') return [{ path, message: issue.message, accepted: issue.params?.['accepted'] }]
  if (issue.code === 'invalid_type') {
    const inMembers = path[2] === 'members' && path.length === 4
    if (path.length === 3 && path[2] === 'persistence')
      return [{ path, message: 'is none of the words that there are', accepted: `replicas-aof, ${roleWords}; or { ${keysAt([...path, 0]).join(', ')} }` }]
    if (path[2] === 'backup' && path[3] === 'stream')
      return [{ path, message: 'is neither', accepted: `true, false, or { ${keysAt([...path, 0]).join(', ')} }` }]
    const accepted = inMembers ? `a host name, or { ${keysAt(path).join(', ')} }` : issue.expected === 'array' ? 'a list' : 'keys and values'
    return [{ path, message: path.length === 0 ? 'the file holds no configuration' : 'has the wrong shape', accepted }]
  }
  return [{ path, message: issue.message }]
}

/** The keys that the map at this path may have. */
function keysAt(path: KeyPath): readonly string[] {
  const [section, , key] = path
  if (section === undefined) return Object.keys(root.shape)
  if (section === 'api') return Object.keys(api.shape)
  if (section === 'paths') return Object.keys(paths.shape)
  if (section === 'hosts') return Object.keys(host.shape)
  if (key === undefined) return Object.keys(group.shape)
  const below = path[3]
  if (key === 'backup' && below !== undefined)
    return Object.keys({ s3, sftp, keep, stream }[below === 's3' || below === 'sftp' || below === 'stream' ? below : 'keep'].shape)
  const nested = { members: memberKeys, salvage, sentinel, persistence, failover, backup }
  return Object.keys(nested[key === 'members' || key === 'salvage' || key === 'sentinel' || key === 'persistence' || key === 'backup' ? key : 'failover'].shape)
}

/** A copy-free removal. List items become undefined, so that the places of the others stay true. */
function without(data: unknown, path: KeyPath): unknown {
  const last = path.at(-1)
  if (last === undefined) return {}
  let parent: unknown = data
  for (const part of path.slice(0, -1)) parent = isBag(parent) ? parent[String(part)] : undefined
  if (isBag(parent)) {
    if (Array.isArray(parent)) parent[Number(last)] = undefined
    else delete parent[String(last)]
  }
  return data
}

function isBag(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null
}
