/** Keeps the writers of a source from writing for the last comparison, by whatever it lets us. Each way ends by itself, or is taken back here. */
import { RawError, type RawRedis } from '../redis/raw.ts'
import { listOf, textOf } from './digest.ts'

export type HoldWay = 'pause' | 'min-replicas' | 'stopped'

export interface Hold {
  readonly way: HoldWay
  /** After it: a pause ends so, also where nobody is left to end it; the others do not end. null: the operator's affair. */
  readonly endsMs: number | null
  /** Keeps it for so long from now; false: it had ended before that. */
  readonly keep: (ms: number) => Promise<boolean>
  readonly release: () => Promise<void>
  /** The same as a command of the source; null: nothing is held. */
  readonly undo: string | null
}

export interface HoldOptions {
  readonly source: RawRedis
  /** `CLIENT PAUSE … WRITE` (6.2). */
  readonly pauses: boolean
  readonly maxMs: number
  /** The operator says so: nothing is held. */
  readonly stopped: boolean
}

/** A string: why it cannot be held. */
export async function holdWriters({ source, pauses, maxMs, stopped }: HoldOptions): Promise<Hold | string> {
  if (stopped) return { way: 'stopped', endsMs: null, keep: () => Promise.resolve(true), release: () => Promise.resolve(), undo: null }
  const refused: string[] = []
  if (pauses) {
    const endsMs = performance.now() + maxMs
    const answer = await source.call('CLIENT', 'PAUSE', String(maxMs), 'WRITE')
    if (!(answer instanceof RawError)) return paused(source, endsMs)
    refused.push(`CLIENT PAUSE: ${answer.text}`)
  } else refused.push('CLIENT PAUSE … WRITE came with 6.2')
  const fenced = await fence(source)
  if (typeof fenced !== 'string') return fenced
  return [...refused, fenced].join('; ')
}

function paused(source: RawRedis, endsMs: number): Hold {
  return {
    way: 'pause',
    endsMs,
    keep: async (ms) => {
      const answer = await source.call('CLIENT', 'PAUSE', String(ms), 'WRITE')
      return !(answer instanceof RawError) && performance.now() < endsMs
    },
    release: async () => void (await source.call('CLIENT', 'UNPAUSE')),
    undo: 'CLIENT UNPAUSE',
  }
}

/** No redis has so many replicas: every write is refused. */
const never = '99'

async function fence(source: RawRedis): Promise<Hold | string> {
  // Until 5.0 they are called otherwise.
  for (const [count, lag] of [
    ['min-replicas-to-write', 'min-replicas-max-lag'],
    ['min-slaves-to-write', 'min-slaves-max-lag'],
  ] as const) {
    const was = await source.call('CONFIG', 'GET', count)
    if (was instanceof RawError) return `CONFIG: ${was.text}`
    const before = textOf(listOf(was)[1] ?? '')
    if (before === '') continue
    const lagIs = textOf(listOf(await source.call('CONFIG', 'GET', lag))[1] ?? '')
    if (lagIs === '0') return `${lag} is 0, so ${count} holds nobody`
    if (before === never) return `${count} is ${never} already: it was set so before, and would not be put back`
    const answer = await source.call('CONFIG', 'SET', count, never)
    if (answer instanceof RawError) return `CONFIG SET: ${answer.text}`
    return {
      way: 'min-replicas',
      endsMs: null,
      keep: () => Promise.resolve(true),
      undo: `CONFIG SET ${count} ${before}`,
      release: async () => {
        const back = await source.call('CONFIG', 'SET', count, before)
        if (back instanceof RawError) throw new Error(`${count} is ${never} and was ${before}: ${back.text}`)
      },
    }
  }
  return 'it has no min-replicas-to-write'
}

/** How much has been written, as the source counts it; null: it does not say. A save begins to count anew. */
export async function changesOf(source: RawRedis): Promise<string | null> {
  const info = await source.call('INFO', 'persistence')
  const text = String(info)
  const [changes, savedAt] = [/^rdb_changes_since_last_save:(\d+)/m.exec(text)?.[1], /^rdb_last_save_time:(\d+)/m.exec(text)?.[1]]
  return info instanceof RawError || changes === undefined || savedAt === undefined ? null : `${savedAt} ${changes}`
}
