/**
 * The language of redis.conf: words and quotes of a line, the names a server version speaks, and which directives are
 * Holdfast's to decide. PURE. Must not know a group: `redis-conf.ts` writes the file, `config/` refuses what is managed.
 * The rules are redis' own (`sdssplitargs`): a line splits at white space, '#' opens a comment only at the start.
 */

export interface ServerVersion {
  readonly major: number
  readonly minor: number
  readonly valkey?: boolean
}

/** What `--version` answers; null: no version is in it. */
export function readVersion(text: string): ServerVersion | null {
  const found = /\bv=(\d{1,3})\.(\d{1,3})/.exec(text)
  return found === null ? null : { major: Number(found[1]), minor: Number(found[2]), valkey: text.startsWith('Valkey') }
}

export type Words = { readonly ok: true; readonly words: readonly string[] } | { readonly ok: false; readonly why: string }

export interface ConfLine {
  /** 1-based line in the user's file. */
  readonly line: number
  /** The directive as the user wrote it, in lower case. */
  readonly directive: string
  readonly args: readonly string[]
}

export interface ConfFile {
  readonly lines: readonly ConfLine[]
  readonly broken: readonly { readonly line: number; readonly why: string }[]
}

const escapes: Readonly<Record<string, string>> = { n: '\n', r: '\r', t: '\t', b: '\b', a: '\u0007' }

/** Splits as redis does. An unbalanced quote is an error there and here: the rest of the line would be guesswork. */
export function splitWords(line: string): Words {
  const words: string[] = []
  let at = 0
  while (at < line.length) {
    if (isSpace(line[at])) {
      at += 1
      continue
    }
    const word = readWord(line, at)
    if (word === undefined) return { ok: false, why: 'the quotes are not balanced' }
    words.push(word.text)
    at = word.end
  }
  return { ok: true, words }
}

function readWord(line: string, start: number): { text: string; end: number } | undefined {
  let text = ''
  let at = start
  while (at < line.length && !isSpace(line[at])) {
    const char = line[at] ?? ''
    if (char !== '"' && char !== "'") {
      text += char
      at += 1
      continue
    }
    const inner = readQuoted(line, at + 1, char)
    if (inner === undefined || (inner.end < line.length && !isSpace(line[inner.end]))) return undefined
    return { text: text + inner.text, end: inner.end }
  }
  return { text, end: at }
}

function readQuoted(line: string, start: number, quote: string): { text: string; end: number } | undefined {
  let text = ''
  for (let at = start; at < line.length; at += 1) {
    const char = line[at] ?? ''
    if (char === quote) return { text, end: at + 1 }
    const next = line[at + 1]
    if (char !== '\\' || next === undefined) text += char
    else if (quote === "'") {
      text += next === "'" ? "'" : '\\'
      if (next === "'") at += 1
    } else {
      const hex = /^x([0-9a-fA-F]{2})/.exec(line.slice(at + 1, at + 4))?.[1]
      text += hex === undefined ? (escapes[next] ?? next) : byte(Number.parseInt(hex, 16))
      at += hex === undefined ? 1 : 3
    }
  }
  return undefined
}

/**
 * A byte above 127 is no character of a JavaScript string that goes out as UTF-8. It travels as a private-use character,
 * so that `quoteWord` writes the same byte again.
 */
function byte(value: number): string {
  return String.fromCharCode(value < 0x80 ? value : 0xf700 + value)
}

function isSpace(char: string | undefined): boolean {
  return char === ' ' || char === '\t' || char === '\n' || char === '\r' || char === '\v' || char === '\f'
}

/** One argument, quoted when redis would otherwise read it as something else. */
export function quoteWord(word: string): string {
  if (/^[A-Za-z0-9_./:@%+,*~&><=^$!?()[\]{}|;-]+$/.test(word)) return word
  const inner = [...word].map((char) => {
    if (char === '"' || char === '\\') return `\\${char}`
    const code = char.codePointAt(0) ?? 0
    if (code >= 0xf780 && code <= 0xf7ff) return `\\x${(code - 0xf700).toString(16)}`
    return code < 32 || code === 127 ? `\\x${code.toString(16).padStart(2, '0')}` : char
  })
  return `"${inner.join('')}"`
}

export function readConf(text: string): ConfFile {
  const lines: ConfLine[] = []
  const broken: { line: number; why: string }[] = []
  for (const [index, raw] of text
    .replace(/^\uFEFF/, '')
    .split('\n')
    .entries()) {
    const trimmed = raw.trim()
    if (trimmed === '' || trimmed.startsWith('#')) continue
    const split = splitWords(trimmed)
    if (!split.ok) broken.push({ line: index + 1, why: split.why })
    else lines.push({ line: index + 1, directive: (split.words[0] ?? '').toLowerCase(), args: split.words.slice(1) })
  }
  return { lines, broken }
}

/** Old name → name since 5.0. `slaveof` and the rest of the family are old spellings of one directive each. */
const newNames: Readonly<Record<string, string>> = {
  slaveof: 'replicaof',
  'slave-announce-ip': 'replica-announce-ip',
  'slave-announce-port': 'replica-announce-port',
  'slave-ignore-maxmemory': 'replica-ignore-maxmemory',
  'slave-lazy-flush': 'replica-lazy-flush',
  'slave-priority': 'replica-priority',
  'slave-read-only': 'replica-read-only',
  'slave-serve-stale-data': 'replica-serve-stale-data',
  'min-slaves-to-write': 'min-replicas-to-write',
  'min-slaves-max-lag': 'min-replicas-max-lag',
  'cluster-slave-validity-factor': 'cluster-replica-validity-factor',
  'cluster-slave-no-failover': 'cluster-replica-no-failover',
}

const oldNames: Readonly<Record<string, string>> = Object.fromEntries(Object.entries(newNames).map(([old, now]) => [now, old]))

/** Since Valkey 8.0. There was never a third name for these in redis. */
const primaryNames: Readonly<Record<string, string>> = { masterauth: 'primaryauth', masteruser: 'primaryuser' }

/** The modern name of a directive in redis: the key under which two spellings meet. */
export function modernName(directive: string): string {
  const lower = directive.toLowerCase()
  const ofPrimary = Object.entries(primaryNames).find(([, name]) => name === lower)
  if (ofPrimary !== undefined) return ofPrimary[0]
  return Object.hasOwn(newNames, lower) ? (newNames[lower] ?? lower) : lower
}

/** The name this server understands: `slave-*` before 5.0, `replica-*` from then on; `primary*` where it speaks so. */
export function nameFor(version: ServerVersion, directive: string): string {
  const modern = modernName(directive)
  if (version.valkey === true && version.major >= 8 && Object.hasOwn(primaryNames, modern)) return primaryNames[modern] ?? modern
  return version.major < 5 && Object.hasOwn(oldNames, modern) ? (oldNames[modern] ?? modern) : modern
}

/** Arguments that carry the word too: `client-output-buffer-limit replica …` is `slave` before 5.0. */
export function argsFor(version: ServerVersion, directive: string, args: readonly string[]): readonly string[] {
  if (modernName(directive) !== 'client-output-buffer-limit') return args
  const [from, to] = version.major < 5 ? ['replica', 'slave'] : ['slave', 'replica']
  return args.map((arg) => (arg.toLowerCase() === from ? to : arg))
}

/**
 * Modern name → why it is Holdfast's to decide, or which key to use instead. The accidents behind them: a second
 * address or port that fencing does not cover, a role that nobody decided, a file the agent cannot find, a command the
 * agent needs and cannot call.
 */
export const managedDirectives: Readonly<Record<string, string>> = {
  aclfile: 'an ACL file replaces the password that agents and replicas use; give users as `user` directives instead',
  appenddirname: 'the append-only file keeps its usual name in the data directory of the group',
  appendfilename: 'the append-only file keeps its usual name in the data directory of the group',
  bind: 'redis must answer at the VIP and to the other hosts; limit access with a firewall',
  'bind-source-addr': 'replicas connect from the ip of their host; use `hosts: NAME: ip`',
  'cluster-config-file': 'cluster mode is not available in this version',
  'cluster-enabled': 'cluster mode is not available in this version',
  daemonize: 'the agent starts redis and watches its process; use `process`',
  dbfilename: 'the agent judges the data before redis starts and must find it; the name stays dump.rdb',
  dir: 'the data lives below the state directory; use `paths: state`',
  include: 'a file read in could undo the fence; name the file in `redis_conf` or put its directives there',
  logfile: 'the log stands in the state directory of the group; use `paths: state`',
  masterauth: 'use `password_file`',
  masteruser: 'replicas sign in with the password of the group; use `password_file`',
  pidfile: 'the agent knows the process; there is no pid file',
  port: 'use `port` of the group or of the member',
  'protected-mode': 'it would refuse the other hosts; use `password_file`',
  'rename-command': 'the agent needs CONFIG, REPLICAOF, CLIENT and others by their own names',
  'repl-backlog-ttl': 'the backlog must outlive a failover, so that replicas need no full copy',
  'repl-diskless-sync-delay': 'waiting for more replicas only lengthens the time without a copy',
  'replica-announce-ip': 'use `hosts: NAME: ip`',
  'replica-announce-port': 'use `port` of the group or of the member',
  'replica-priority': 'use `priority` or `never_primary` of the member',
  'replica-read-only': 'a replica that takes writes has data that no other member has',
  'replica-serve-stale-data': 'a fenced member must still answer the agent and readers',
  replicaof: 'who follows whom is decided while running; use `replicate_from` of a member for a cascade',
  requirepass: 'use `password_file`',
  supervised: 'the agent starts redis and watches its process; use `process`',
  'tls-cluster': 'cluster mode is not available in this version',
  'tls-replication': 'replication uses the plain port in this version',
}

/** Why this directive is managed, whatever spelling was used. */
export function managedReason(directive: string): string | undefined {
  const modern = modernName(directive)
  return Object.hasOwn(managedDirectives, modern) ? managedDirectives[modern] : undefined
}
