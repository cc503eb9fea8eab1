/**
 * The redis that is being moved to a group, as one agent knows it: its record on disk, a connection while this member holds the group, and the
 * first look of a start. Decides nothing.
 */
import { readFileSync } from 'node:fs'
import { stat } from 'node:fs/promises'
import { removeDurably, writeDurably } from '../act/durable.ts'
import type { SourceAccess } from '../act/source.ts'
import type { Config } from '../model/config.ts'
import { isUnderWay, type Move, type SourceRecord } from '../model/move.ts'
import { done, failed, type Observed } from '../model/outcome.ts'
import { goAheadFile, redisLogFile, sourceFile } from '../model/paths.ts'
import type { RedisFacts, SourceProbe } from '../model/view.ts'
import { observeSource, type SourceObserver } from '../observe/source.ts'
import { observeCare, type CareObserver } from '../observe/source-care.ts'
import { factsFromInfo } from '../redis/info.ts'
import { openRedis, type RedisTarget } from '../redis/link.ts'
import { monotonicMs } from './clock.ts'

const lookDeadlineMs = 3000

export interface ProbeFor {
  readonly holds: boolean
  readonly asked: boolean
  readonly own: RedisFacts | null
}

export interface MoveSource {
  /**
   * undefined: nothing is being moved here, or another member sees to it. `asked`: an operator wants something of the move. How far the source is
   * behind is told from a look of now: with one that is a second old it was as far behind as clients write in a second, and was refused for it.
   * `own`: what was last seen of the redis of this host.
   */
  readonly probe: (move: Move | null, to: ProbeFor) => Promise<SourceProbe | undefined>
  readonly access: SourceAccess
  /** A connection for a start: is it there, may we in, what is it? */
  readonly look: (record: SourceRecord) => Promise<Observed<RedisFacts>>
  /** A move that is final needs no password of its source any more. */
  readonly forget: () => Promise<void>
  readonly close: () => void
}

/** Writes are held, or one of two is told to serve: every millisecond counts. */
const urgentStages: readonly Move['stage'][] = ['hold', 'fence', 'back-hold', 'back-fence', 'back-give']

export function openMoveSource(
  paths: Config['paths'],
  group: string,
  /** `ours`: its redis is started from here, and its log is where we put it. */
  { wake, serves, ours = false }: { readonly wake: () => void; readonly serves: () => boolean; readonly ours?: boolean },
): MoveSource {
  const file = sourceFile(paths, group)
  let record = readRecord(file)
  let open: { readonly key: string; readonly observer: SourceObserver } | null = null
  let care: CareObserver | null = null
  let pausedUntilMs = 0

  function observerOf(move: Move): SourceObserver | null {
    if (record === null || record.host !== move.source.host || record.port !== move.source.port) return null
    const key = JSON.stringify([record.host, record.port, record.user, record.password])
    if (open?.key !== key) {
      withoutCare()
      open?.observer.close()
      open = { key, observer: observeSource(targetOf(record), monotonicMs, wake) }
    }
    return open.observer
  }

  function withoutCare(): void {
    care?.close()
    care = null
  }

  /** Asked of while its redis here has not all, and is told of what it costs. */
  function careOf(move: Move, observer: SourceObserver, own: RedisFacts | null): Pick<SourceProbe, 'care'> {
    if (move.stage !== 'sync' || record === null || own === null || own.linkUp) {
      withoutCare()
      return {}
    }
    care ??= observeCare(targetOf(record), { link: observer.link, logFile: ours ? redisLogFile(paths, group) : null, clock: monotonicMs })
    return { care: care.probe(syncs(move, own)) }
  }

  function shut(): void {
    withoutCare()
    open?.observer.close()
    open = null
  }

  return {
    probe: async (move, { holds, asked, own }) => {
      const settles = move?.stage === 'aborted' && (record?.raised === true || record?.hold != null || record?.guard != null)
      if (move === null || !holds || (!isUnderWay(move) && !settles)) {
        shut()
        return undefined
      }
      const observer = observerOf(move)
      const goAhead = move.stage === 'sync' && (await isThere(goAheadFile(paths, group)))
      const held = record?.hold != null || monotonicMs() < pausedUntilMs
      const raised = record?.raised === true
      if (observer === null)
        return {
          facts: null,
          factsAgeMs: 0,
          trouble: `this host does not know how to enter ${move.source.host}:${move.source.port}: holdfast migrate start`,
          held,
          raised,
          goAhead,
        }
      const guarded = record?.guard == null ? {} : { guarded: true as const }
      return {
        ...(await observer.probe(asked || urgentStages.includes(move.stage), syncs(move, own))),
        held,
        raised,
        goAhead,
        ...guarded,
        ...careOf(move, observer, own),
      }
    },
    access: {
      serves,
      link: () => open?.observer.link() ?? null,
      record: () => record,
      keep: async (next) => {
        try {
          await writeDurably(file, JSON.stringify(next), 0o600)
          record = next
          return done
        } catch (error) {
          return failed(`cannot write ${file}: ${(error as Error).message}`)
        }
      },
      changed: () => {
        open?.observer.changed()
        care?.changed()
      },
      pausedForMs: (forMs) => {
        pausedUntilMs = forMs === null ? 0 : monotonicMs() + forMs
      },
    },
    look: async (wanted) => {
      const opened = await openRedis(targetOf(wanted), lookDeadlineMs, () => {})
      if (!opened.ok) return opened
      const answer = await opened.value.call(['INFO'], lookDeadlineMs)
      opened.value.close()
      if (!answer.ok) return answer
      const facts = factsFromInfo(typeof answer.value === 'string' ? answer.value : '')
      return facts === null ? { ok: false, why: 'what answers there is no redis' } : { ok: true, value: facts }
    },
    forget: async () => {
      shut()
      record = null
      try {
        await removeDurably(file)
      } catch {
        // What is left there is the password of a redis that nobody needs any more; the next move writes over it.
      }
    },
    close: shut,
  }
}

/** A sync from there is under way. */
function syncs(move: Move, own: RedisFacts | null): boolean {
  const { host, port } = move.source
  return move.stage === 'sync' && own !== null && !own.linkUp && own.upstream?.host === host && own.upstream.port === port
}

/** Asked each time: one that was taken away since is no go-ahead, and one that lies there before it is waited for is of another time. */
async function isThere(file: string): Promise<boolean> {
  return stat(file).then(
    () => true,
    () => false,
  )
}

function targetOf({ host, port, user, password }: SourceRecord): RedisTarget {
  return { host, port, password: password ?? undefined, ...(user === null ? {} : { user }) }
}

function readRecord(file: string): SourceRecord | null {
  try {
    return JSON.parse(readFileSync(file, 'utf8')) as SourceRecord
  } catch {
    // None, the usual case. It is written whole or not at all.
    return null
  }
}
