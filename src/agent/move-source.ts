/**
 * The redis that is being moved to a group, as one agent knows it: its record on disk, a connection while this member holds the group, and the
 * first look of a start. Decides nothing.
 */
import { readFileSync } from 'node:fs'
import { stat } from 'node:fs/promises'
import { removeDurably, writeDurably } from '../act/durable.ts'
import { readyIp } from '../act/ready-ip.ts'
import type { SourceAccess } from '../act/source.ts'
import type { Config } from '../model/config.ts'
import { mayBeFollowed } from '../decide/moving.ts'
import { isUnderWay, type Move, type SourceRecord } from '../model/move.ts'
import { done, failed, type Observed, type Outcome } from '../model/outcome.ts'
import { goAheadFile, redisLogFile, sourceFile } from '../model/paths.ts'
import type { Phase } from '../model/state.ts'
import type { RedisFacts, RedisProbe, SourceProbe } from '../model/view.ts'
import { callerOf, userOf } from '../observe/local-caller.ts'
import { observeSource, type SourceObserver } from '../observe/source.ts'
import { observeCare, type CareObserver } from '../observe/source-care.ts'
import { factsFromInfo } from '../redis/info.ts'
import { openRedis, type RedisTarget } from '../redis/link.ts'
import { monotonicMs } from './clock.ts'
import { openMoveFeed, type FeedPlace, type MovingState } from './move-feed.ts'
import { openWay, type TlsWay } from './tls-way.ts'

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
  readonly probe: (state: MovingState, to: ProbeFor) => Promise<SourceProbe | undefined>
  /** Told in each cycle BEFORE anything is done by it: what may not be attached to the redis of this host any more is ended within this call. */
  readonly phaseIs: (phase: Phase) => void
  /** What the redis of this host tells of itself, with the source's own address where it follows it through this agent. */
  readonly told: <T extends Pick<RedisProbe, 'facts'>>(redis: T) => T
  readonly access: SourceAccess
  /** A connection for a start: is it there, may we in, what is it? */
  readonly look: (record: SourceRecord) => Promise<Observed<RedisFacts>>
  /** A move that is final needs no password of its source any more. */
  readonly forget: () => Promise<void>
  readonly close: () => void
}

/** Writes are held, or one of two is told to serve: every millisecond counts. */
const urgentStages: readonly Move['stage'][] = ['hold', 'fence', 'back-hold', 'back-fence', 'back-give']

/** In these the redis of this host follows the source. */
const followingStages: readonly Move['stage'][] = ['sync', 'hold', 'fence']

export function openMoveSource(
  paths: Config['paths'],
  group: string,
  /** `ours`: its redis is started from here, and its log is where we put it. */
  {
    wake,
    serves,
    ours = false,
    feeds = null,
  }: { readonly wake: () => void; readonly serves: () => boolean; readonly ours?: boolean; readonly feeds?: FeedPlace | null },
): MoveSource {
  const file = sourceFile(paths, group)
  let record = readRecord(file)
  let open: { readonly as: SourceRecord; readonly observer: SourceObserver } | null = null
  let care: CareObserver | null = null
  let pausedUntilMs = 0
  let way: { readonly as: SourceRecord; readonly through: TlsWay } | null = null
  let wayWhy = 'it is about to be opened'
  let mayCarry = false
  let ownPid = 0
  const feed = feeds === null ? null : openMoveFeed(feeds, wake)

  function observerOf(move: Move): SourceObserver | null {
    if (record === null || record.host !== move.source.host || record.port !== move.source.port) return null
    const isSame = open !== null && leadsTheSame(open.as, record) && open.as.user === record.user && open.as.password === record.password
    if (open === null || !isSame) {
      withoutCare()
      open?.observer.close()
      open = { as: record, observer: observeSource(targetOf(record), monotonicMs, wake) }
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

  async function keep(next: SourceRecord): Promise<Outcome> {
    try {
      await writeDurably(file, JSON.stringify(next), 0o600)
      record = next
      return done
    } catch (error) {
      return failed(`cannot write ${file}: ${(error as Error).message}`)
    }
  }

  /** Open for as long as it is needed. Its port is on disk BEFORE redis is told of it: after a restart it is known whom redis calls. */
  async function keepWay(needed: boolean): Promise<void> {
    const as = record
    if (way !== null && (!needed || as === null || !leadsTheSame(way.as, as) || !way.through.isOpen())) shutWay()
    if (way !== null || !needed || as?.tls === undefined) return
    const opened = await openWay({ to: { host: as.host, port: as.port, tls: as.tls }, wanted: as.wayPort, may })
    if (!opened.ok) {
      wayWhy = opened.why
      return
    }
    way = { as, through: opened.value }
    // Somebody may have told of the source anew meanwhile.
    const kept = opened.value.port === record?.wayPort ? done : await keep({ ...(record ?? as), wayPort: opened.value.port })
    if (kept.done) return
    wayWhy = kept.why
    shutWay()
  }

  /** Redis, or who can do what it can: another user of this host must not enter the source by our certificate. */
  async function may(fromPort: number, toPort: number): Promise<boolean> {
    const caller = await callerOf(fromPort, toPort)
    const isOurs = caller === process.getuid?.() || (ownPid > 0 && caller === (await userOf(ownPid)))
    return caller !== null && isOurs && mayCarry
  }

  function shutWay(): void {
    mayCarry = false
    way?.through.close()
    way = null
  }

  function shut(): void {
    shutWay()
    withoutCare()
    open?.observer.close()
    open = null
  }

  return {
    phaseIs: (phase) => feed?.phaseIs(phase),
    probe: async (state, { holds, asked, own }) => {
      const { move } = state
      const fed = feed?.look(holds ? state : null) ?? null
      const settles = move?.stage === 'aborted' && (record?.raised === true || record?.hold != null || record?.guard != null)
      if (move === null || !holds || (!isUnderWay(move) && !settles)) {
        shut()
        return undefined
      }
      if (followingStages.includes(move.stage)) readyIp()
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
          goAheadFile: goAheadFile(paths, group),
        }
      await keepWay(record?.tls !== undefined && followingStages.includes(move.stage))
      const seen = await observer.probe(asked || isUrgent(move, own), syncs(move, own))
      // Redis calls by itself, once a second: it is let through to what was looked at, and to nothing else (INV-1).
      ownPid = own?.pid ?? ownPid
      mayCarry = seen.trouble === null && seen.facts !== null && mayBeFollowed(move, own, seen.facts)
      const guarded = record?.guard == null ? {} : { guarded: true as const }
      return {
        ...seen,
        held,
        raised,
        goAhead,
        goAheadFile: goAheadFile(paths, group),
        ...guarded,
        ...careOf(move, observer, own),
        ...(fed === null ? {} : { feed: fed }),
      }
    },
    told: (redis) => {
      const { facts } = redis
      if (record?.tls === undefined || facts?.upstream?.host !== '127.0.0.1' || facts.upstream.port !== record.wayPort) return redis
      return { ...redis, facts: { ...facts, upstream: { host: record.host, port: record.port } } }
    },
    access: {
      serves,
      link: () => open?.observer.link() ?? null,
      record: () => record,
      keep,
      entrance: () => {
        if (record === null) return { ok: false, why: 'how it is entered is not known to this host' }
        if (record.tls === undefined) return { ok: true, value: { host: record.host, port: record.port } }
        return way === null ? { ok: false, why: wayWhy } : { ok: true, value: { host: '127.0.0.1', port: way.through.port } }
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
    close: () => {
      shut()
      feed?.close()
    },
  }
}

/** Also where it is about to be followed: what answers there now may be another process than a moment ago (INV-1). */
function isUrgent(move: Move, own: RedisFacts | null): boolean {
  return urgentStages.includes(move.stage) || (move.stage === 'sync' && own !== null && !isAttached(move, own))
}

/** A sync from there is under way. */
function syncs(move: Move, own: RedisFacts | null): boolean {
  return move.stage === 'sync' && own !== null && !own.linkUp && isAttached(move, own)
}

function isAttached({ source }: Move, own: RedisFacts): boolean {
  return own.upstream?.host === source.host && own.upstream.port === source.port
}

/** Asked each time: one that was taken away since is no go-ahead, and one that lies there before it is waited for is of another time. */
async function isThere(file: string): Promise<boolean> {
  return stat(file).then(
    () => true,
    () => false,
  )
}

/** Asked in each cycle: what is compared may be the authorities of a whole distribution. */
function leadsTheSame(one: SourceRecord, other: SourceRecord): boolean {
  const [a, b] = [one.tls, other.tls]
  const same = a?.name === b?.name && a?.ca === b?.ca && a?.cert === b?.cert && a?.key === b?.key
  return one.host === other.host && one.port === other.port && (a === undefined) === (b === undefined) && same
}

function targetOf({ host, port, user, password, tls }: SourceRecord): RedisTarget {
  return { host, port, password: password ?? undefined, ...(user === null ? {} : { user }), ...(tls === undefined ? {} : { tls }) }
}

function readRecord(file: string): SourceRecord | null {
  try {
    return JSON.parse(readFileSync(file, 'utf8')) as SourceRecord
  } catch {
    // None, the usual case. It is written whole or not at all.
    return null
  }
}
