/** What a sync costs the source, and what stands in its way: asked once a second while one is under way or about to begin. It reads. */
import { bufferIn } from '../model/replica-buffer.ts'
import type { SourceCare } from '../model/view.ts'
import { parseInfo } from '../redis/info.ts'
import type { RedisLink, RedisTarget } from '../redis/link.ts'
import { followLog } from './redis-log.ts'
import { feelSource } from './source-feel.ts'

const everyMs = 1000
const askMs = 3000

export interface CareObserver {
  /** `runs`: a sync is under way. Never waits. */
  readonly probe: (runs: boolean) => SourceCare
  /** Something was changed there. */
  readonly changed: () => void
  readonly close: () => void
}

type Asked = Pick<SourceCare, 'forkMs' | 'buffer' | 'timeoutS' | 'overflows'>
const nothing: Asked = { forkMs: null, buffer: null, timeoutS: null, overflows: null }

export function observeCare(
  target: RedisTarget,
  { link, logFile, clock }: { readonly link: () => RedisLink | null; readonly logFile: string | null; readonly clock: () => number },
): CareObserver {
  const feel = feelSource(target, clock)
  const log = followLog(logFile)
  let asked: Asked = nothing
  let atMs = Number.NEGATIVE_INFINITY
  let p99BeforeMs: number | null = null
  let overflowsBefore: number | null = null
  let asking = false
  let changes = 0

  async function look(): Promise<void> {
    const before = changes
    const [seen] = await Promise.all([ask(link()), log.look()])
    if (before !== changes) return
    overflowsBefore ??= seen.overflows
    asked = { ...seen, overflows: seen.overflows === null ? null : seen.overflows - (overflowsBefore ?? 0) }
  }

  return {
    probe: (runs) => {
      const nowMs = clock()
      if (!asking && nowMs - atMs >= everyMs) {
        asking = true
        atMs = nowMs
        void look()
          .catch(() => undefined)
          .finally(() => {
            asking = false
          })
      }
      const p99Ms = feel.p99Ms()
      if (!runs) p99BeforeMs = p99Ms ?? p99BeforeMs
      return { p99BeforeMs, p99Ms, ...asked, said: log.said() }
    },
    changed: () => {
      changes += 1
      asked = nothing
      atMs = Number.NEGATIVE_INFINITY
    },
    close: () => feel.close(),
  }
}

async function ask(link: RedisLink | null): Promise<Asked> {
  if (link === null) return nothing
  const answers = await link.callAll(
    [['INFO'], ['CONFIG', 'GET', 'client-output-buffer-limit'], ['CONFIG', 'GET', 'repl-timeout'], ['CLIENT', 'LIST', 'TYPE', 'slave']],
    askMs,
  )
  if (!answers.ok) return nothing
  const [info, limits, timeout, replicas] = answers.value.map((answer) => (answer.ok ? answer.value : null))
  const fields = parseInfo(String(info ?? ''))
  const number = (name: string): number | null => (fields.has(name) ? Number(fields.get(name)) : null)
  const limit = bufferIn(settingIn(limits))
  const forkUs = number('latest_fork_usec')
  const seconds = settingIn(timeout)
  return {
    forkMs: forkUs === null ? null : forkUs / 1000,
    buffer:
      limit === null
        ? null
        : { limitBytes: lowest(limit, number('repl_backlog_size') ?? 0), usedBytes: mostOf(String(replicas ?? '')), roomBytes: room(number) },
    timeoutS: seconds === '' ? null : Number(seconds),
    overflows: number('client_output_buffer_limit_disconnections'),
  }
}

function settingIn(answer: unknown): string {
  return Array.isArray(answer) ? String(answer[1] ?? '') : ''
}

/** A limit below the backlog is not applied from 7.0 on, and makes no difference to speak of before. */
function lowest({ hardBytes, softBytes }: { readonly hardBytes: number; readonly softBytes: number }, backlogBytes: number): number {
  const limits = [hardBytes, softBytes].filter((bytes) => bytes > 0)
  return limits.length === 0 ? 0 : Math.max(backlogBytes, Math.min(...limits))
}

function room(number: (name: string) => number | null): number | null {
  const [machine, taken] = [number('total_system_memory'), number('used_memory_rss')]
  return machine === null || taken === null || machine === 0 ? null : Math.max(0, machine - taken)
}

/** Of the replica with the fullest buffer. Before 5.0 they are not told apart from clients, and nothing is asked. */
function mostOf(list: string): number {
  return Math.max(0, ...[...list.matchAll(/\bomem=(\d+)/g)].map((found) => Number(found[1])))
}
