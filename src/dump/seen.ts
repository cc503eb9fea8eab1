/** What a redis says of itself beside a snapshot (INFO): how many keys, where its stream stands, and which of its commands were called how often. */
import type { DatabaseCount, Seen } from '../backup/manifest.ts'
import type { Observed } from '../model/outcome.ts'
import { parseInfo, type InfoFields } from '../redis/info.ts'
import type { RedisTarget } from '../redis/link.ts'
import { openRaw, RawError, type RawRedis } from '../redis/raw.ts'

const deadlineMs = 5000
/** A manifest stays a small paper. */
const maxDatabases = 200

export async function seeSource(target: RedisTarget): Promise<Observed<Seen>> {
  const opened = await openRaw(target, deadlineMs)
  if (!opened.ok) return opened
  try {
    return await see(opened.value)
  } finally {
    opened.value.close()
  }
}

export async function see(redis: RawRedis): Promise<Observed<Seen>> {
  try {
    const info = await redis.call('INFO', 'all')
    if (!Buffer.isBuffer(info)) return { ok: false, why: info instanceof RawError ? info.text : 'it does not answer INFO' }
    const seen = seenOf(parseInfo(info.toString('latin1')))
    return seen.databases.length > maxDatabases ? { ok: false, why: `it has keys in more than ${maxDatabases} databases` } : { ok: true, value: seen }
  } catch (error) {
    return { ok: false, why: (error as Error).message }
  }
}

export function seenOf(fields: InfoFields): Seen {
  const number = (name: string): number => Number(fields.get(name) ?? 0)
  const old = Number((fields.get('redis_version') ?? '').split('.')[0]) < 7
  const calls = (names: ReadonlySet<string>, orModule: boolean): number => {
    let sum = 0
    for (const [field, value] of fields) {
      if (!field.startsWith('cmdstat_')) continue
      const name = field.slice('cmdstat_'.length).toLowerCase()
      if (names.has(name) || (orModule && name.includes('.'))) sum += Number(/calls=(\d+)/.exec(value)?.[1] ?? 0)
    }
    return sum
  }
  return {
    runId: fields.get('run_id') ?? '',
    replid: fields.get('master_replid') ?? '',
    offset: number('master_repl_offset'),
    counting: fields.get('repl_backlog_active') === '1',
    databases: databasesOf(fields),
    usedBytes: number('used_memory'),
    dropped: number('expired_keys') + number('evicted_keys'),
    // What a module's command does is not known. A script may go as one command into the stream until 7.0.
    sweeps: calls(new Set([...sweeping, ...(old ? ['eval', 'evalsha'] : [])]), true),
    moves: calls(moving, false),
  }
}

const sweeping = ['flushall', 'flushdb', 'swapdb', 'debug', 'cluster|flushslots', 'cluster|flushslot']
const moving = new Set(['rename', 'renamenx', 'move', 'restore', 'restore-asking', 'persist', 'getex'])

export function databasesOf(fields: InfoFields): readonly DatabaseCount[] {
  return [...fields].flatMap(([name, value]) => {
    const database = /^db(\d+)$/.exec(name)?.[1]
    const counts = /keys=(\d+),expires=(\d+)/.exec(value)
    return database === undefined || counts === null ? [] : [{ database: Number(database), keys: Number(counts[1]), expires: Number(counts[2]) }]
  })
}
