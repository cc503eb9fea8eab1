/**
 * The process that feeds an older source on its way back (ADR 32), beside the loop of the group's holder: begun when this host serves, ended before its redis is anything
 * else. What it told stays known for as long as this agent lives: each pair of offsets is true for ever. Decides nothing.
 */
import type { Config, GroupConfig, MemberConfig } from '../model/config.ts'
import type { FeedJob, FeedLine, FeedSeen } from '../model/feed.ts'
import type { FeedOfMove } from '../model/move.ts'
import { listenIp, localIp } from '../model/local-address.ts'
import type { Phase, State } from '../model/state.ts'
import { monotonicMs } from './clock.ts'
import { startWorker, type Worker } from './worker.ts'

/** It tells something every second. */
const silentMs = 10_000
const againMs = 1000
/** Longest value that is held as text, some times over. */
const heapMb = 1024

export type FeedPlace = Pick<FeedJob, 'group' | 'redis' | 'listen'>
export type MovingState = Pick<State, 'move' | 'phase' | 'epoch' | 'lineage'>

export interface MoveFeed {
  /** null: this member does not hold the group. Begins and ends it; gives what is known of it. */
  readonly look: (state: MovingState | null) => FeedSeen | null
  readonly phaseIs: (phase: Phase) => void
  readonly close: () => void
}

export function feedPlaceOf(config: Config, group: GroupConfig, member: MemberConfig): FeedPlace {
  return {
    group: group.name,
    redis: { host: localIp(config, member.host), port: member.port, passwordFile: group.passwordFile ?? null },
    listen: { host: listenIp(config, member.host), port: group.migration?.feedPort ?? 0 },
  }
}

const stages: readonly string[] = ['moved', 'back-hold', 'back-fence', 'back-give']

export function openMoveFeed(place: FeedPlace, wake: () => void): MoveFeed {
  let worker: Worker | null = null
  /** Of which epoch of which move. */
  let key = ''
  let seen: FeedSeen | null = null
  let startMs = Number.NEGATIVE_INFINITY
  let troubleFromMs = 0

  function take(line: FeedLine): void {
    const before = seen
    if (line.t === 'failed') seen = { port: null, point: before?.point ?? null, anchor: before?.anchor ?? null, trouble: line.why }
    // Begun anew, it has translated nothing yet; what the one before it said stays true.
    else seen = { port: line.port, point: line.point ?? before?.point ?? null, anchor: line.anchor, trouble: line.trouble }
    if (seen.trouble === null || before === null || before.trouble === null) troubleFromMs = monotonicMs()
    if (seen.port !== before?.port || seen.trouble !== before?.trouble) wake()
  }

  function begin({ lineage }: MovingState, { version, anchors }: FeedOfMove): void {
    const job: FeedJob = { ...place, job: 'feed', oldVersion: version, lineage, anchors }
    const begun = startWorker(job, {
      nice: 0,
      idleDisk: false,
      silentMs,
      program: 'feed.js',
      heapMb,
      take: (line) => worker === begun && take(line as FeedLine),
    })
    worker = begun
    void begun.ended.then(({ stopped, how }) => {
      startMs = monotonicMs() + againMs
      if (worker !== begun) return
      worker = null
      const failed = seen?.port === null ? seen.trouble : null
      take({ t: 'failed', why: stopped ?? failed ?? `the process that feeds it ${how}` })
    })
  }

  function end(why: string): void {
    const ended = worker
    worker = null
    ended?.kill(why)
    if (seen !== null) seen = { ...seen, port: null, trouble: why }
  }

  return {
    look: (state) => {
      const move = state?.move ?? null
      if (state === null || move === null || move.wayBack !== 'feed' || move.feed === undefined || !stages.includes(move.stage)) {
        end('there is nothing to feed')
        seen = null
        return null
      }
      const now = `${move.id} ${move.feed.anchors[0]?.replid} ${state.epoch}`
      if (now !== key) {
        end('another epoch has begun')
        seen = null
        key = now
      }
      const serves = state.phase === 'primary' && (move.stage === 'moved' || move.stage === 'back-hold')
      if (serves && worker === null && monotonicMs() >= startMs) begin(state, move.feed)
      return seen === null || seen.trouble === null ? seen : { ...seen, troubleMs: monotonicMs() - troubleFromMs }
    },
    phaseIs: (phase) => {
      if (worker !== null && phase !== 'primary') end(`this host is ${phase}`)
    },
    close: () => end('its agent is being stopped'),
  }
}
