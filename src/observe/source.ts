/**
 * The redis that is being moved to a group: an open connection to it, and its INFO, asked at each look while that matters and once a second
 * otherwise. It reads; what is changed there act/source.ts changes.
 */
import type { Arrivals, RedisFacts, SourceProbe } from '../model/view.ts'
import { factsFromFields, parseInfo } from '../redis/info.ts'
import { openRedis, type RedisLink, type RedisTarget } from '../redis/link.ts'

const connectDeadlineMs = 1000
/** An INFO that has not come back after this long no longer holds up the cycle that asked. */
const answerDeadlineMs = 40
const infoDeadlineMs = 3000
const calmMs = 1000
const busyMs = 200
const retryMs = 250
/** JSON has no Infinity. */
const neverMs = 1e12

export interface SourceObserver {
  /** `urgent`: asks now, and waits for the answer for at most 40 ms. `runs`: a sync may be failing there again and again. Never throws. */
  readonly probe: (urgent: boolean, runs?: boolean) => Promise<Omit<SourceProbe, 'held' | 'raised' | 'goAhead'>>
  readonly link: () => RedisLink | null
  /** Something was changed there: what is known of it is of before. */
  readonly changed: () => void
  readonly close: () => void
}

export function observeSource(target: RedisTarget, clock: () => number, wake: () => void): SourceObserver {
  let link: RedisLink | null = null
  let facts: RedisFacts | null = null
  let factsAtMs = Number.NEGATIVE_INFINITY
  let trouble: string | null = 'it is being connected to'
  let triedMs = Number.NEGATIVE_INFINITY
  let asking: Promise<void> | null = null
  let changedMs = Number.NEGATIVE_INFINITY
  let taken: readonly Taken[] = []
  let closed = false

  async function look(): Promise<void> {
    link ??= await connect()
    if (link === null) return
    const askedMs = clock()
    const answer = await link.call(['INFO'], infoDeadlineMs)
    if (!answer.ok) {
      trouble = answer.why
      if (/no answer within/.test(answer.why)) link?.close()
      if (link?.isOpen() !== true) link = null
      return
    }
    const fields = parseInfo(typeof answer.value === 'string' ? answer.value : '')
    const seen = factsFromFields(fields)
    trouble = seen === null ? 'what answers there is no redis' : null
    if (seen === null) return
    if (askedMs < changedMs) return
    taken = withLook(taken, { runId: seen.runId, total: Number(fields.get('total_connections_received')), atMs: askedMs })
    facts = seen
    // What was true when it was asked, or later.
    factsAtMs = askedMs
  }

  async function connect(): Promise<RedisLink | null> {
    if (clock() - triedMs < retryMs) return null
    triedMs = clock()
    const opened = await openRedis(target, connectDeadlineMs, () => {
      link = null
      trouble = 'its connection has ended'
      wake()
    })
    if (closed && opened.ok) opened.value.close()
    // It is one of those that are counted.
    taken = []
    if (opened.ok && !closed) return opened.value
    trouble = opened.ok ? 'closed' : opened.why
    return null
  }

  function ask(): Promise<void> {
    asking ??= look()
      .catch((error: Error) => {
        trouble = error.message
      })
      .finally(() => {
        asking = null
        if (!closed && trouble !== null) setTimeout(wake, retryMs).unref()
      })
    return asking
  }

  return {
    probe: async (urgent, runs = false) => {
      const due = urgent || clock() - factsAtMs >= (runs ? busyMs : calmMs) || trouble !== null
      if (due) {
        const asked = ask()
        if (urgent) await Promise.race([asked, new Promise((resolve) => setTimeout(resolve, answerDeadlineMs))])
        else {
          const before = factsAtMs
          // Only for what was not known before: a connection that has ended has nothing new to say.
          void asked.then(() => !closed && factsAtMs > before && wake())
        }
      }
      const arrivals = arrivalsIn(taken)
      return { facts, factsAgeMs: Math.min(neverMs, Math.max(0, clock() - factsAtMs)), trouble, ...(arrivals === null ? {} : { arrivals }) }
    },
    link: () => link,
    changed: () => {
      changedMs = clock()
      factsAtMs = Number.NEGATIVE_INFINITY
    },
    close: () => {
      closed = true
      link?.close()
      link = null
    },
  }
}

/** How many connections it had taken when it was asked. */
interface Taken {
  readonly runId: string
  readonly total: number
  readonly atMs: number
}

/** So far back: the one before this is kept, so that a look a second spans all of it. */
const takenForMs = 10_000

/** As often as once in the fifth of a second. */
export function withLook(before: readonly Taken[], now: Taken): readonly Taken[] {
  if (!Number.isFinite(now.total)) return []
  const last = before.at(-1)
  if (last !== undefined && now.atMs - last.atMs < busyMs) return before
  const same = before.filter(({ runId, total }) => runId === now.runId && total <= now.total)
  const from = same.findLastIndex(({ atMs }) => now.atMs - atMs >= takenForMs)
  return [...same.slice(Math.max(0, from)), now]
}

export function arrivalsIn(taken: readonly Taken[]): Arrivals | null {
  const [first, last] = [taken.at(0), taken.at(-1)]
  if (first === undefined || last === undefined || last.atMs <= first.atMs) return null
  return { count: last.total - first.total, overMs: Math.round(last.atMs - first.atMs) }
}
