/** How far the members of a group are with what they fetch, for the eye and as JSON. Rates come from two looks. */
import { setTimeout as delay } from 'node:timers/promises'
import { stageOf, type StageName } from '../migrate/stage.ts'
import { OperatorError } from '../model/error.ts'
import type { RedisFacts } from '../model/view.ts'
import { statusOf, type Session } from './ask.ts'
import { sizeWords } from './backup-words.ts'
import { movingOf, type MoveStatus } from './migrate-found.ts'

const lookMs = 500
const arrived: readonly StageName[] = ['IN_SYNC', 'VERIFIED', 'ARMED', 'ROLLED_BACK']

export interface SyncLine {
  readonly words: string
  readonly members: readonly {
    readonly host: string
    readonly state: string
    readonly leftBytes: number | null
    readonly bytesPerS: number | null
    readonly etaS: number | null
    readonly behindBytes: number | null
  }[]
}

export interface SyncLook {
  readonly status: MoveStatus
  readonly stage: StageName
  readonly line: SyncLine
}

/** Look after look, the last one of a group that has all. Throws what keeps it from that for good, after the look at it. */
export async function* looksAtSync(session: Session, group: string, signal: AbortSignal): AsyncGenerator<SyncLook> {
  const progress = progressOf()
  for (;;) {
    const [found] = await statusOf(session, group)
    const status = movingOf(found, group)
    const { move, members } = status
    const chosen = whyNoneFollows(status)
    if (chosen !== null) throw new OperatorError('HF904', chosen, `one of the two; nothing goes on before. holdfast migrate status ${group}`)
    const stage = stageOf(move, { members, hasAddress: false, clientsLeft: null, arrivals: null, forMs: 0 })
    yield { status, stage, line: progress(status, performance.now()) }
    if (arrived.includes(stage)) return
    if (move.givenUp?.untilWallMs === null)
      throw new OperatorError('HF936', `the sync was given up: ${move.givenUp.why}`, `mend that, then the same command again; holdfast migrate status ${group}`)
    if (move.stage !== 'sync') throw new OperatorError('HF904', `the sync has ended: ${move.last}`, `holdfast migrate status ${group}`)
    await delay(lookMs, undefined, { signal })
  }
}

/** Waiting does not help: an operator chooses between two copies. null: nothing like that. */
export function whyNoneFollows({ because }: MoveStatus): string | null {
  return because?.startsWith('INV-1: ') === true ? because.slice('INV-1: '.length) : null
}

/** Rates come from two looks. */
export function progressOf(): (move: MoveStatus, nowMs: number) => SyncLine {
  const seen = new Map<string, { readonly leftBytes: number; readonly atMs: number }>()
  return (move, nowMs) => {
    const members = move.members.map(({ host, redis }) => {
      const leftBytes = redis?.syncing === true && redis.syncLeftBytes !== null && redis.syncLeftBytes >= 0 ? redis.syncLeftBytes : null
      const before = seen.get(host)
      if (leftBytes !== null && (before === undefined || before.leftBytes < leftBytes)) seen.set(host, { leftBytes, atMs: nowMs })
      const bytesPerS =
        leftBytes === null || before === undefined || nowMs - before.atMs < 1 || before.leftBytes < leftBytes
          ? null
          : ((before.leftBytes - leftBytes) * 1000) / (nowMs - before.atMs)
      const etaS = leftBytes === null || bytesPerS === null || bytesPerS <= 0 ? null : Math.ceil(leftBytes / bytesPerS)
      const sourceOffset = move.source?.facts?.offset ?? null
      const behindBytes = redis?.linkUp === true && sourceOffset !== null ? Math.max(0, sourceOffset - redis.offset) : null
      return { host, state: stateOf(redis, behindBytes), leftBytes, bytesPerS: bytesPerS === null ? null : Math.round(bytesPerS), etaS, behindBytes }
    })
    const words = members.map((m) => {
      const rate =
        m.leftBytes === null
          ? ''
          : `, ${sizeWords(m.leftBytes)} left${m.bytesPerS === null ? '' : ` at ${sizeWords(m.bytesPerS)}/s`}${m.etaS === null ? '' : `, about ${m.etaS} s`}`
      return `${m.host}: ${m.state}${rate}`
    })
    return { words: words.join(';  '), members }
  }
}

function stateOf(redis: RedisFacts | null, behindBytes: number | null): string {
  if (redis === null) return 'does not answer'
  const done = redis.progress === null ? '' : ` ${Math.round(redis.progress * 100)} %`
  if (redis.loading) return `loads${done}`
  if (redis.syncing) return `fetches${done}`
  if (!redis.linkUp) return redis.role === 'primary' ? 'serves' : 'connects'
  return behindBytes === null ? 'follows' : `follows, ${sizeWords(behindBytes)} behind`
}
