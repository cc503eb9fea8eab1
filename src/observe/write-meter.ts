/** The write rate of a redis, from how its replication offset grows between two looks, and what its backlog is. Measures; judges nothing. */
import type { RedisFacts, RedisProbe } from '../model/view.ts'
import type { InfoFields } from '../redis/info.ts'

/** Over less than this a single burst would count for a minute of it. */
const windowMs = 1000
/** Of the memory that redis may use, or of the host's where it may use all. */
const shareOfMaxmemory = 1 / 8
const shareOfHost = 1 / 32

export interface WriteMeter {
  readonly saw: (facts: RedisFacts, info: InfoFields, atMs: number) => void
  readonly backlog: () => RedisProbe['backlog']
}

export function writeMeter(): WriteMeter {
  let last: { readonly replid: string; readonly runId: string; readonly offset: number; readonly atMs: number } | null = null
  let bytesPerS = 0
  let known: RedisProbe['backlog'] = null
  return {
    saw: (facts, info, atMs) => {
      // A replica that catches up receives faster than anybody writes.
      const steady = !facts.loading && !facts.syncing && (facts.role === 'primary' || facts.linkUp)
      const { replid, runId, offset } = facts
      // It may have been changed a moment ago, by us.
      const size = Number(info.get('repl_backlog_size') ?? Number.NaN)
      if (known !== null && size >= 0) known = { ...known, sizeBytes: size }
      if (last !== null && atMs - last.atMs < windowMs && steady) return
      if (last !== null && steady && last.replid === replid && last.runId === runId && offset >= last.offset) {
        bytesPerS = Math.max(bytesPerS, ((offset - last.offset) / (atMs - last.atMs)) * 1000)
      }
      last = steady ? { replid, runId, offset, atMs } : null
      known = backlogIn(info, bytesPerS)
    },
    backlog: () => known,
  }
}

function backlogIn(fields: InfoFields, bytesPerS: number): RedisProbe['backlog'] {
  const [size, max, host] = ['repl_backlog_size', 'maxmemory', 'total_system_memory'].map((name) => Number(fields.get(name) ?? Number.NaN))
  if (size === undefined || max === undefined || host === undefined || !(size >= 0)) return null
  const cap = max > 0 ? max * shareOfMaxmemory : host * shareOfHost
  return Number.isFinite(cap) ? { sizeBytes: size, capBytes: Math.floor(cap), bytesPerS: Math.round(bytesPerS) } : null
}
