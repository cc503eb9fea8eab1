/**
 * A redis that lets nobody follow it is copied into another that serves a group, while it is in use: all keys once; then, for as long as is asked, what it tells of its
 * writes and rounds of comparison whose differences are copied again. Whatever is lost on the way (either end, what was told) costs a round, never the truth: a round
 * begins anew, and what is there already is only compared. Whether it is the same in the end: copy-finish.ts.
 */
import { setTimeout as delay } from 'node:timers/promises'
import type { CopyWay } from '../migrate/copy-plan.ts'
import { isNear, type RoundFound } from '../migrate/copy-rounds.ts'
import { OperatorError } from '../model/error.ts'
import { parseInfo } from '../redis/info.ts'
import { RawError, type RawRedis } from '../redis/raw.ts'
import type { Events } from './copy-events.ts'
import { drain, round } from './copy-round.ts'
import type { CopyFigures, Ends, KeysOptions, Uncopied } from './copy-words.ts'
import { digester, waysOf, type Ways } from './digester.ts'
import type { Governor } from './governor.ts'
import type { Sides } from './settle.ts'
import { used } from './verify.ts'

export interface Target {
  readonly host: string
  /** What is compared has a connection of its own. */
  readonly write: RawRedis
  readonly compare: RawRedis
  readonly after: Ends['after']
}

export interface EndFacts {
  /** Points in time (7.0). */
  readonly absolute: boolean
  readonly evalRo: boolean
  readonly memoryUsage: boolean
  readonly aheadMs: number
}

export interface CopyOptions {
  /** Each throws where it is not reached; then it is tried again for a while. */
  readonly openSource: () => Promise<RawRedis>
  /** Whoever serves the group at this moment. */
  readonly openTarget: () => Promise<Target>
  readonly source: EndFacts
  readonly target: EndFacts
  readonly way: CopyWay
  readonly events: Events
  readonly governor: Governor
  /** How long either end may be away. */
  readonly awayMs: number
  readonly tell: (step: CopyStep) => void
  /** Why it waits; null: it goes on. */
  readonly waits: (why: string | null) => void
  readonly signal: AbortSignal
}

export interface CopyStep {
  readonly phase: 'copying' | 'comparing' | 'following' | 'proving'
  readonly round: number
  readonly done: number
  readonly of: number
}

export interface Link {
  readonly host: string
  readonly keys: KeysOptions
  readonly sides: Sides
  readonly close: () => void
}

export interface Copy {
  readonly figures: CopyFigures
  readonly rounds: readonly RoundFound[]
  readonly uncopied: ReadonlyMap<string, Uncopied>
  /** Until another round would find as much again. */
  readonly untilNear: () => Promise<void>
  /** Until `stop`. */
  readonly follow: (stop: AbortSignal) => Promise<void>
  readonly round: () => Promise<void>
  /** All keys were equal or copied since the mark of the events, by connections that were not lost since, to this host (null: whoever it was). */
  readonly isWhole: (host: string | null) => boolean
  /** Does something with both ends, and does it again where one was lost. `plain`: no script may run (EVAL waits where writes are paused). */
  readonly withLink: <T>(use: (link: Link) => Promise<T>, how?: { readonly plain: boolean }) => Promise<T>
  readonly close: () => void
}

const retryMs = 300
const restMs = 1000
const listenMs = 30
const roundEveryMs = 60_000

export function copyOf(options: CopyOptions): Copy {
  const { events, governor, signal, tell, waits } = options
  const figures: CopyFigures = { copied: 0, bytes: 0, removed: 0, repaired: 0, told: 0, lost: 0 }
  const uncopied = new Map<string, Uncopied>()
  const rounds: RoundFound[] = []
  const seen: Seen = { runId: null, keys: 0 }
  let [link, isPlain, wholeAt, movedMs]: [Link | null, boolean, string | null, number] = [null, false, null, performance.now()]

  const close = (): void => {
    link?.close()
    link = null
  }

  async function withLink<T>(use: (link: Link) => Promise<T>, { plain } = { plain: false }): Promise<T> {
    movedMs = performance.now()
    if (plain !== isPlain) close()
    isPlain = plain
    for (;;) {
      try {
        link ??= await linked(options, figures, uncopied, seen, plain)
        waits(null)
        return await use(link)
      } catch (error) {
        close()
        wholeAt = null
        signal.throwIfAborted()
        if (error instanceof OperatorError && error.code.startsWith('HF92')) throw error
        const why = (error as Error).message
        if (/^(NOPERM|NOAUTH|WRONGPASS)/.test(why))
          throw new OperatorError('HF922', `it may not be read: ${why}`, 'docs/migration.md has the commands that its user needs')
        if (performance.now() - movedMs > options.awayMs)
          throw new OperatorError('HF923', why, 'what was copied stays, and is only compared when the same command is run again with --overwrite RUN_ID')
        figures.lost += 1
        waits(why)
        await delay(retryMs, undefined, { signal })
      }
    }
  }

  const once = (): Promise<void> =>
    withLink(async ({ host, keys, sides }) => {
      const isFirst = rounds.length === 0
      events.mark()
      wholeAt = null
      const found = await round({
        ...keys,
        sides,
        governor,
        events,
        tell: (done, of) => {
          movedMs = performance.now()
          seen.keys = Math.max(done, of)
          tell({ phase: isFirst ? 'copying' : 'comparing', round: rounds.length, done, of })
        },
      })
      rounds.push(found)
      wholeAt = host
    })

  async function follow(stop: AbortSignal): Promise<void> {
    let roundMs = performance.now()
    while (!stop.aborted) {
      signal.throwIfAborted()
      const forMs = performance.now() - roundMs
      // What was not told, only a round finds; and what was told for an hour is more than a short proof can look at.
      if (forMs > roundEveryMs || (forMs > restMs && events.since() === null)) {
        await once()
        roundMs = performance.now()
        continue
      }
      await withLink(({ keys }) => drain({ ...keys, events }))
      tell({ phase: 'following', round: rounds.length, done: rounds.at(-1)?.keys ?? 0, of: rounds.at(-1)?.keys ?? 0 })
      await delay(listenMs, undefined, { signal })
    }
  }

  return {
    figures,
    rounds,
    uncopied,
    follow,
    withLink,
    close,
    round: once,
    isWhole: (host) => wholeAt !== null && (host === null || host === wholeAt),
    untilNear: async () => {
      await once()
      do await once()
      while (!isNear(rounds.slice(1)))
    },
  }
}

interface Seen {
  runId: string | null
  keys: number
}

async function linked(options: CopyOptions, figures: CopyFigures, uncopied: Map<string, Uncopied>, seen: Seen, plain: boolean): Promise<Link> {
  const { source, target, way, signal } = options
  const opened: RawRedis[] = []
  const close = (): void => {
    for (const redis of opened) redis.close()
  }
  try {
    for (let i = 0; i < 2; i += 1) opened.push(await options.openSource())
    const [read, compare] = opened as [RawRedis, RawRedis]
    await hasItsData(read, seen)
    const to = await options.openTarget()
    opened.push(to.write, to.compare)
    const [mine, theirs] = [await waysOf(compare, source), await waysOf(to.compare, target)]
    const absolute = source.absolute && target.absolute
    const isPlain = plain || mine.way === 'plain' || theirs.way === 'plain'
    const side = (redis: RawRedis, { way: its, ...more }: Ways, { aheadMs }: EndFacts): Sides['source'] => ({
      redis,
      digests: digester(redis, isPlain ? 'plain' : its, { absolute, ...more }),
      aheadMs,
    })
    return {
      host: to.host,
      keys: {
        ends: { source: read, target: to.write, after: to.after },
        way,
        absolute: source.absolute,
        hasMemoryUsage: mine.hasMemoryUsage,
        figures,
        uncopied,
        signal,
      },
      sides: { source: side(compare, mine, source), target: side(to.compare, theirs, target), absolute, follows: false, signal },
      close,
    }
  } catch (error) {
    close()
    throw error
  }
}

/**
 * A source that was started anew without its data would have the group emptied, key by key: what was copied may be all that there is. So it is asked first, whenever it
 * is another process than before.
 */
async function hasItsData(source: RawRedis, seen: Seen): Promise<void> {
  const info = await source.call('INFO')
  if (info instanceof RawError) throw new Error(info.text)
  const fields = parseInfo(String(info))
  if (fields.get('loading') === '1') throw new Error('the source reads its data')
  const runId = fields.get('run_id') ?? ''
  const keys = [...(await used(source)).values()].reduce((sum, one) => sum + one.keys, 0)
  if (seen.runId !== null && seen.runId !== runId && keys < seen.keys / 2)
    throw new OperatorError(
      'HF924',
      `the source was started anew and has ${keys} keys; it had ${seen.keys}. Nothing was removed from the group`,
      'if its data come back, run the same command again with --overwrite RUN_ID; if they do not, the group has what was copied: run nothing',
    )
  seen.runId = runId
}
