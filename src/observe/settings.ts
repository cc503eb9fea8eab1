/**
 * What INFO does not tell of a redis: settings that must agree between primary and replica. Asked once per process and then once a
 * minute, beside the cycle, which never waits for it. Reads; judges nothing.
 */
import { aofSyncIn, savePointsIn, type RunningPersistence } from '../model/persistence.ts'
import { bufferIn } from '../model/replica-buffer.ts'
import type { RedisFacts, RedisSettings } from '../model/view.ts'
import type { RedisLink } from '../redis/link.ts'

const deadlineMs = 1000
/** Somebody may have changed them by CONFIG SET. */
const againMs = 60_000

/** Write commands that redis has had since 4.0 at the latest: one that is missing was renamed or switched off. */
const writeCommands = [
  ...['append', 'bitfield', 'bitop', 'decr', 'decrby', 'del', 'eval', 'evalsha', 'expire', 'expireat', 'flushall', 'flushdb', 'geoadd', 'getset', 'hdel'],
  ...['hincrby', 'hincrbyfloat', 'hmset', 'hset', 'hsetnx', 'incr', 'incrby', 'incrbyfloat', 'linsert', 'lpop', 'lpush', 'lpushx', 'lrem', 'lset', 'ltrim'],
  ...['move', 'mset', 'msetnx', 'multi', 'exec', 'persist', 'pexpire', 'pexpireat', 'pfadd', 'pfmerge', 'psetex', 'rename', 'renamenx', 'restore', 'rpop'],
  ...['rpoplpush', 'rpush', 'rpushx', 'sadd', 'sdiffstore', 'select', 'set', 'setbit', 'setex', 'setnx', 'setrange', 'sinterstore', 'smove', 'sort', 'spop'],
  ...[
    'srem',
    'sunionstore',
    'swapdb',
    'unlink',
    'zadd',
    'zincrby',
    'zinterstore',
    'zrem',
    'zremrangebylex',
    'zremrangebyrank',
    'zremrangebyscore',
    'zunionstore',
  ],
]

export interface SettingsReader {
  /** Asks if it is time to; returns at once. */
  readonly look: (link: RedisLink, facts: RedisFacts, nowMs: number) => void
  /** null: not of the process that runs now. */
  readonly of: (runId: string | undefined) => RedisSettings | null
  /** They were changed by us. */
  readonly forget: () => void
}

export function settingsReader(): SettingsReader {
  let known: RedisSettings | null = null
  let asked = { runId: '', atMs: Number.NEGATIVE_INFINITY }
  return {
    look: (link, facts, nowMs) => {
      if (facts.loading || (asked.runId === facts.runId && nowMs - asked.atMs < againMs)) return
      asked = { runId: facts.runId, atMs: nowMs }
      const missing = known?.runId === facts.runId ? known.missing : null
      void read(link, facts.runId, missing).then((found) => {
        if (found !== null) known = found
      })
    },
    of: (runId) => (known?.runId === runId ? known : null),
    forget: () => {
      asked = { ...asked, atMs: Number.NEGATIVE_INFINITY }
      known = known === null ? null : { ...known, replicaBuffer: null, persistence: null }
    },
  }
}

async function read(link: RedisLink, runId: string, missing: readonly string[] | null): Promise<RedisSettings | null> {
  const config = async (pattern: string) => {
    const answer = await link.call(['CONFIG', 'GET', pattern], deadlineMs)
    return answer.ok && Array.isArray(answer.value) ? answer.value.map(String) : null
  }
  // `replica-` from 5.0 on, `slave-` before.
  const [databases, readOnly, buffers] = [await config('databases'), await config('*e-read-only'), await config('client-output-buffer-limit')]
  const commands = missing ?? (await missingCommands(link))
  const count = Number(databases?.[1] ?? Number.NaN)
  if (!Number.isFinite(count) || commands === null) return null
  return {
    runId,
    databases: count,
    readOnly: readOnly === null || !readOnly.includes('no'),
    missing: commands,
    replicaBuffer: bufferIn(buffers?.[1] ?? ''),
    persistence: await persistenceOf(config),
  }
}

async function persistenceOf(config: (pattern: string) => Promise<readonly string[] | null>): Promise<RunningPersistence | null> {
  const names = ['save', 'appendonly', 'appendfsync', 'auto-aof-rewrite-percentage', 'auto-aof-rewrite-min-size']
  const [save, appendonly, appendfsync, percentage, minSize] = (await Promise.all(names.map(config))).map((answer) => answer?.[1])
  if (save === undefined || appendonly === undefined || appendfsync === undefined) return null
  return { save: savePointsIn(save), aof: aofSyncIn(appendonly, appendfsync), rewritePercentage: Number(percentage), rewriteMinBytes: Number(minSize) }
}

/** About 1 ms of redis' time. A renamed command keeps its place in COMMAND LIST, and is not known under its name. */
async function missingCommands(link: RedisLink): Promise<readonly string[] | null> {
  const answer = await link.call(['COMMAND', 'INFO', ...writeCommands], deadlineMs)
  if (!answer.ok || !Array.isArray(answer.value)) return null
  const found: readonly unknown[] = answer.value
  return writeCommands.filter((_, i) => found[i] == null)
}
