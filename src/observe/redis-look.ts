/**
 * A redis as `holdfast doctor` sees it: two INFO answers and what it is set to. Asks a running redis and reads; sets nothing, and closes its
 * connection. Judged in doctor/.
 */
import type { RedisLook } from '../model/doctor.ts'
import { aofSyncIn, savePointsIn } from '../model/persistence.ts'
import { bufferIn } from '../model/replica-buffer.ts'
import type { Observed } from '../model/outcome.ts'
import { factsFromFields, failedIn, parseInfo, type InfoFields } from '../redis/info.ts'
import { openRedis, type RedisLink, type RedisTarget } from '../redis/link.ts'
import { observeProcess } from './machine.ts'

const deadlineMs = 2000

/** `overMs`: between the two looks, for the rate of writes. */
export async function lookAtRedis(target: RedisTarget, overMs: number): Promise<Observed<RedisLook>> {
  const opened = await openRedis(target, deadlineMs, () => {})
  if (!opened.ok) return { ok: false, why: `redis at ${target.host}:${target.port}: ${opened.why}` }
  try {
    return await look(opened.value, overMs)
  } finally {
    opened.value.close()
  }
}

async function look(link: RedisLink, overMs: number): Promise<Observed<RedisLook>> {
  const first = await info(link)
  const settings = await readSettings(link)
  await new Promise((resolve) => setTimeout(resolve, overMs))
  const second = await info(link)
  if (!first.ok) return first
  if (!second.ok) return second
  if (!settings.ok) return settings
  const [{ fields: before, facts: was, atMs: fromMs }, { fields: now, facts, atMs }] = [first.value, second.value]
  const overS = Math.max(0.001, (atMs - fromMs) / 1000)
  const grew = was.replid === facts.replid && was.runId === facts.runId ? Math.max(0, facts.offset - was.offset) : 0
  const num = (name: string) => Number(now.get(name) ?? 0) || 0
  return {
    ok: true,
    value: {
      ...settings.value,
      version: facts.version,
      role: facts.role,
      process: await observeProcess(facts.pid),
      usedBytes: num('used_memory'),
      maxmemoryBytes: num('maxmemory'),
      connectedClients: num('connected_clients'),
      bytesPerS: Math.round(grew / overS),
      overS,
      failed: failedIn(now),
      forkUs: Math.max(Number(before.get('latest_fork_usec') ?? 0), num('latest_fork_usec')),
      copiedBytes: Math.max(num('rdb_last_cow_size'), num('aof_last_cow_size')),
    },
  }
}

interface Told {
  readonly fields: InfoFields
  readonly facts: NonNullable<ReturnType<typeof factsFromFields>>
  readonly atMs: number
}

async function info(link: RedisLink): Promise<Observed<Told>> {
  const answer = await link.call(['INFO'], deadlineMs)
  if (!answer.ok) return answer
  const fields = parseInfo(String(answer.value))
  const facts = factsFromFields(fields)
  return facts === null ? { ok: false, why: 'what answers there is not redis' } : { ok: true, value: { fields, facts, atMs: performance.now() } }
}

type Settings = Pick<
  RedisLook,
  'maxclients' | 'backlogBytes' | 'replicaBuffer' | 'replTimeoutS' | 'replPingS' | 'tcpBacklog' | 'rdbChecksum' | 'persistence' | 'dir'
>

/** `repl-ping-slave-period` before 5.0. */
async function readSettings(link: RedisLink): Promise<Observed<Settings>> {
  const names = ['maxclients', 'repl-backlog-size', 'client-output-buffer-limit', 'repl-timeout', 'repl-ping-*-period', 'tcp-backlog'] as const
  const more = ['rdbchecksum', 'save', 'appendonly', 'appendfsync', 'dir'] as const
  const all = [...names, ...more]
  const answered = await link.callAll(
    all.map((name) => ['CONFIG', 'GET', name]),
    deadlineMs,
  )
  if (!answered.ok) return answered
  const values = new Map<string, string>()
  for (const [i, answer] of answered.value.entries()) {
    if (!answer.ok) return { ok: false, why: `CONFIG GET ${all[i] ?? ''}: ${answer.why}` }
    if (Array.isArray(answer.value)) values.set(all[i] ?? '', String(answer.value[1] ?? ''))
  }
  const num = (name: (typeof names)[number]) => Number(values.get(name) ?? 0) || 0
  return {
    ok: true,
    value: {
      maxclients: num('maxclients'),
      backlogBytes: num('repl-backlog-size'),
      replicaBuffer: bufferIn(values.get('client-output-buffer-limit') ?? ''),
      replTimeoutS: num('repl-timeout'),
      replPingS: num('repl-ping-*-period'),
      tcpBacklog: num('tcp-backlog'),
      rdbChecksum: values.get('rdbchecksum') !== 'no',
      persistence: { save: savePointsIn(values.get('save') ?? ''), aof: aofSyncIn(values.get('appendonly') ?? '', values.get('appendfsync') ?? '') },
      dir: values.get('dir') ?? '',
    },
  }
}
