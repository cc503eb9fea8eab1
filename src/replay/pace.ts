/**
 * How fast a primary may be written to from here: its replicas must have what was written before there is more, so that none of them ever
 * falls so far behind that the primary drops it (client-output-buffer-limit), which would cost a full resync. Asks the primary alone.
 */
import { followersOf, parseInfo } from '../redis/info.ts'
import type { Follower } from '../model/view.ts'
import type { RawRedis } from '../redis/raw.ts'
import { good } from './keys.ts'

/** On the way to the replicas at the most, besides what clients write: an eighth of the least limit that redis has by default (64 MiB). */
const windowBytes = 8 * 1024 * 1024
const waitMs = '500'
const lookEveryMs = 250
/** Of a replica that takes nothing at all. */
const stuckMs = 60_000
/** Of one that is filled: while it is, all that is written waits for it in the primary's memory. */
const filledMs = 3_600_000

export interface PaceOptions {
  readonly live: RawRedis
  /** null: as fast as the replicas take it. */
  readonly maxKeysPerS: number | null
  /** Throws where that primary is not the one of the group any more. Asked when a replica is away. */
  readonly stillPrimary: () => Promise<void>
  /** Why it waits; null: it goes on. */
  readonly waits: (why: string | null) => void
  readonly signal: AbortSignal
}

export interface Pace {
  /** Returns when more may be written. */
  readonly after: (keys: number, bytes: number) => Promise<void>
  /** Waits until every replica that streams has all of it. The answer: how many those are. */
  readonly settled: () => Promise<number>
}

export function paced(options: PaceOptions): Pace {
  const { maxKeysPerS, signal } = options
  const beganMs = performance.now()
  let [written, inWindow, most] = [0, 0, 0]
  const settled = async (): Promise<number> => {
    const online = await untilReplicasHave(options)
    if (online < most) await options.stillPrimary()
    most = Math.max(most, online)
    inWindow = 0
    return online
  }
  return {
    settled,
    after: async (keys, bytes) => {
      written += keys
      inWindow += bytes
      if (inWindow >= windowBytes) await settled()
      const earlyMs = maxKeysPerS === null ? 0 : beganMs + (written / maxKeysPerS) * 1000 - performance.now()
      if (earlyMs > 1) await sleep(earlyMs, signal)
    },
  }
}

export async function replicasOf(live: RawRedis): Promise<readonly Follower[]> {
  return followersOf(parseInfo(String(good(await live.call('INFO', 'replication')))))
}

async function untilReplicasHave({ live, waits, signal }: PaceOptions): Promise<number> {
  let [seen, movedMs] = ['', performance.now()]
  const beganMs = movedMs
  try {
    for (;;) {
      signal.throwIfAborted()
      const followers = await replicasOf(live)
      const online = followers.filter((one) => one.online)
      const isFilling = online.length < followers.length
      if (!isFilling && online.length === 0) return 0
      const reached = isFilling ? 0 : good(await live.call('WAIT', String(online.length), waitMs))
      if (!isFilling && typeof reached === 'number' && reached >= online.length) return online.length
      waits(isFilling ? 'a replica is being filled' : 'a replica is behind')
      const now = followers.map(({ ip, port, offset }) => `${ip}:${port} ${offset}`).join(', ')
      if (now !== seen) [seen, movedMs] = [now, performance.now()]
      if (performance.now() - (isFilling ? beganMs + filledMs - stuckMs : movedMs) > stuckMs) throw new Error(`a replica takes nothing any more: ${now}`)
      await sleep(lookEveryMs, signal)
    }
  } finally {
    waits(null)
  }
}

async function sleep(ms: number, signal: AbortSignal): Promise<void> {
  await new Promise<void>((resolve) => {
    const done = (): void => {
      clearTimeout(timer)
      signal.removeEventListener('abort', done)
      resolve()
    }
    const timer = setTimeout(done, ms)
    signal.addEventListener('abort', done)
  })
  signal.throwIfAborted()
}
