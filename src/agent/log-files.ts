/**
 * The event log (for people and `history`) and the journal (every new decision with its View, to replay it exactly).
 * Append-only JSON lines; a journal that has grown past its limit is renamed once and begun anew. Never on the fast path:
 * lines are written after the actions, and a full disk costs lines, not service.
 */
import { appendFile, readFile, rename, stat } from 'node:fs/promises'
import type { Event } from '../model/action.ts'

/** The agent's own log, for people and machines. */
export type Log = (level: 'info' | 'warn' | 'error', text: string, data?: object) => void

export interface LoggedEvent extends Event {
  readonly host: string
  readonly group: string
  readonly atWallMs: number
}

const maxFileBytes = 8 * 1024 * 1024
const complainAgainMs = 60_000

export interface LineFile {
  /** Queued; `settled` tells when all queued lines are on file. */
  readonly append: (value: object) => void
  readonly settled: () => Promise<void>
}

export function lineFile(file: string, complain: (why: string) => void): LineFile {
  let queue: Promise<void> = Promise.resolve()
  let pending: string[] = []
  let complainedMs = Number.NEGATIVE_INFINITY
  async function flush(): Promise<void> {
    const lines = pending
    pending = []
    if (lines.length === 0) return
    try {
      const size = await stat(file).then(
        (s) => s.size,
        () => 0,
      )
      if (size > maxFileBytes) await rename(file, `${file}.1`)
      await appendFile(file, lines.join(''), { mode: 0o640 })
    } catch (error) {
      const nowMs = performance.now()
      if (nowMs - complainedMs < complainAgainMs) return
      complainedMs = nowMs
      complain(`cannot write ${file}: ${(error as Error).message}`)
    }
  }
  return {
    append: (value) => {
      // Bounded: with a disk that hangs, new lines are worth less than memory.
      if (pending.length < 10_000) pending.push(`${JSON.stringify(value)}\n`)
      queue = queue.then(flush)
    },
    settled: () => queue,
  }
}

/** Newest last, both generations, unreadable lines left out. */
export async function readEvents(file: string, limit: number): Promise<readonly LoggedEvent[]> {
  const texts = await Promise.all([`${file}.1`, file].map((f) => readFile(f, 'utf8').catch(() => '')))
  const events: LoggedEvent[] = []
  for (const line of texts.join('').split('\n')) {
    if (line === '') continue
    try {
      events.push(JSON.parse(line) as LoggedEvent)
    } catch {
      // Half a line from a crash while it was being written.
    }
  }
  return events.slice(-limit)
}
