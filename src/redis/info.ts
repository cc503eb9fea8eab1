/**
 * INFO in the words of `model/view`: one shape for redis 3.0 to 8 and Valkey. Parsing only; it speaks to nobody.
 * Field history: design facts A3.3. Before 4.0 there is no replication id and a replica's own offset is its slave_repl_offset.
 */
import type { Follower, RedisFacts } from '../model/view.ts'

/** Both clocks are read in whole seconds: a save that ended so soon after the start is not told from the start. */
const startS = 2

export type InfoFields = ReadonlyMap<string, string>

export function parseInfo(text: string): InfoFields {
  const fields = new Map<string, string>()
  for (let start = 0, end = 0; start < text.length; start = end + 1) {
    end = text.indexOf('\n', start)
    if (end < 0) end = text.length
    const colon = text.indexOf(':', start)
    if (colon < 0) break
    if (colon > start && colon < end && text[start] !== '#') fields.set(text.slice(start, colon), text.slice(colon + 1, end).trimEnd())
  }
  return fields
}

export function factsFromInfo(text: string): RedisFacts | null {
  return factsFromFields(parseInfo(text))
}

/** null when it was not an INFO answer (another program on the port). */
export function factsFromFields(fields: InfoFields): RedisFacts | null {
  const version = fields.get('redis_version')
  const runId = fields.get('run_id')
  if (version === undefined || runId === undefined) return null
  const num = (name: string, fallback: number) => number(fields.get(name), fallback)
  const role = fields.get('role') === 'master' ? 'primary' : 'replica'
  const replid = fields.get('master_replid') ?? ''
  const loading = fields.get('loading') === '1'
  const syncing = fields.get('master_sync_in_progress') === '1'
  const upstreamHost = fields.get('master_host')
  const linkUp = role === 'replica' && fields.get('master_link_status') === 'up'
  return {
    version,
    runId,
    pid: num('process_id', 0),
    configFile: fields.get('config_file') ?? '',
    role,
    loading,
    progress: progressOf(fields, loading, syncing),
    syncLeftBytes: syncing ? num('master_sync_left_bytes', -1) : null,
    ...forkedIn(fields, version),
    upstream: role === 'replica' && upstreamHost !== undefined ? { host: upstreamHost, port: num('master_port', 0) } : null,
    linkUp,
    syncing,
    linkDownS: role === 'primary' || linkUp ? null : num('master_link_down_since_seconds', 0),
    replid,
    offset: role === 'replica' && replid === '' ? num('slave_repl_offset', 0) : num('master_repl_offset', 0),
    replid2: secondId(fields.get('master_replid2')),
    secondOffset: num('second_repl_offset', -1),
    ...countsOf(fields),
    followers: followersOf(fields),
    goodFollowers: fields.has('min_slaves_good_slaves') ? num('min_slaves_good_slaves', 0) : null,
    unexpectedErrors: num('unexpected_error_replies', 0),
    aof: aofOf(fields),
    savedAtS: num('rdb_last_save_time', 0),
    saves: savesOf(fields),
    highestDb: highestDb(fields),
    supply: {
      backlogFrom: fields.get('repl_backlog_active') === '1' ? num('repl_backlog_first_byte_offset', -1) : -1,
      usedBytes: num('used_memory', 0),
      saving: fields.get('rdb_bgsave_in_progress') === '1',
      fullSyncs: num('sync_full', 0),
    },
  }
}

/**
 * A child has its parent's sockets open as well, and what the parent closes is closed for the client only when the child has ended. From 7.2 on redis tells the
 * client by itself (redis#11376); Valkey calls itself 7.2.4.
 */
function forkedIn(fields: InfoFields, version: string): Pick<RedisFacts, 'forked'> {
  const forked = ['rdb_bgsave_in_progress', 'aof_rewrite_in_progress', 'module_fork_in_progress'].some((name) => fields.get(name) === '1')
  const [major = 0, minor = 0] = version.split('.').map(Number)
  return forked ? { forked: { keepsClients: major < 7 || (major === 7 && minor < 2) } } : {}
}

function number(text: string | undefined, fallback: number): number {
  if (text === undefined || text === '') return fallback
  const value = Number(text)
  return Number.isFinite(value) ? value : fallback
}

/** redis writes forty zeros for "none". */
function secondId(id: string | undefined): string {
  return id === undefined || /^0+$/.test(id) ? '' : id
}

function progressOf(fields: InfoFields, loading: boolean, syncing: boolean): number | null {
  if (loading) return number(fields.get('loading_loaded_perc'), 0) / 100
  if (!syncing) return null
  const perc = fields.get('master_sync_perc')
  if (perc !== undefined) return Math.max(0, number(perc, 0) / 100)
  return 0
}

function aofOf(fields: InfoFields): NonNullable<RedisFacts['aof']> | null {
  const enabled = fields.get('aof_enabled')
  if (enabled === undefined) return null
  const rewriting =
    ['aof_rewrite_in_progress', 'aof_rewrite_scheduled'].some((name) => fields.get(name) === '1') || fields.get('aof_last_bgrewrite_status') === 'err'
  return {
    enabled: enabled === '1',
    rewriting,
    writeOk: fields.get('aof_last_write_status') === 'ok',
    bytes: number(fields.get('aof_current_size'), 0),
    generation: `${fields.get('aof_rewrites') ?? ''}:${fields.get('aof_base_size') ?? ''}`,
  }
}

/**
 * A redis that has only been started says that it saved at that moment. Nor does the duration of the last save tell one on disk: that of a full sync without a disk
 * counts there too. Before redis 7.0 it does not say what time it has: then it is that of this host.
 */
function savesOf(fields: InfoFields): NonNullable<RedisFacts['saves']> {
  const nowS = Math.floor(number(fields.get('server_time_usec'), Date.now() * 1000) / 1e6)
  const ageS = nowS - number(fields.get('rdb_last_save_time'), 0)
  const isOfThisProcess = ageS >= 0 && ageS < number(fields.get('uptime_in_seconds'), 0) - startS
  return {
    ok: fields.get('rdb_last_bgsave_status') === 'ok',
    ageS: isOfThisProcess ? ageS : null,
    changes: number(fields.get('rdb_changes_since_last_save'), Number.MAX_SAFE_INTEGER),
  }
}

function countsOf(fields: InfoFields): { readonly keys: number; readonly counts: string } {
  let keys = 0
  const counts: string[] = []
  for (const [name, value] of fields) {
    if (!isDb(name)) continue
    const [own, ending] = [/^keys=(\d+)/, /,expires=(\d+)/].map((pattern) => number(pattern.exec(value)?.[1], 0))
    keys += own ?? 0
    counts.push(`${name.slice(2)}:${own}/${ending}`)
  }
  return { keys, counts: counts.join(' ') }
}

function highestDb(fields: InfoFields): number {
  let highest = -1
  for (const name of fields.keys()) if (isDb(name)) highest = Math.max(highest, Number(name.slice(2)))
  return highest
}

/** Asked of all of some two hundred names, several times a second. */
function isDb(name: string): boolean {
  return name.startsWith('db') && /^db\d+$/.test(name)
}

/**
 * What somebody says of himself who reads the stream and is no redis. Not 0: a Sentinel that looks just then would list him as a replica, and for ever; of a
 * port that cannot be it takes no notice.
 */
export const noReplicaPort = 65_536

export function followersOf(fields: InfoFields): Follower[] {
  const followers: Follower[] = []
  for (const [name, value] of fields) {
    if (!name.startsWith('slave') || !/^slave\d+$/.test(name)) continue
    const parts = new Map(value.split(',').map((pair) => pair.split('=') as [string, string]))
    const port = number(parts.get('port'), 0)
    // Somebody who reads the stream and is no redis: a capture, a replay, somebody's `redis-cli --rdb`.
    if (port < 1 || port >= noReplicaPort) continue
    followers.push({
      ip: parts.get('ip') ?? '',
      port,
      online: parts.get('state') === 'online',
      offset: number(parts.get('offset'), 0),
      ackAgeS: number(parts.get('lag'), 0),
    })
  }
  return followers
}

/** What redis says has failed the last time that it was tried. */
export function failedIn(fields: InfoFields): readonly ('save' | 'AOF write' | 'AOF rewrite')[] {
  return (
    [
      ['save', 'rdb_last_bgsave_status'],
      ['AOF write', 'aof_last_write_status'],
      ['AOF rewrite', 'aof_last_bgrewrite_status'],
    ] as const
  ).flatMap(([what, name]) => (fields.get(name) === 'err' ? [what] : []))
}
