/** An old redis and a newer one that took over from it, and a feed between the two: what an agent does around them is not here. */
import { readFileSync } from 'node:fs'
import { oldRedisFrom } from '../../src/migrate/feed-translate.ts'
import { nothingUntold, type FeedLine, type FeedPoint, type FeedSeen } from '../../src/model/feed.ts'
import type { LineageEntry } from '../../src/model/state.ts'
import { feed } from '../../src/move/feed.ts'
import { caughtUp, type RealRedis } from '../unit/real-redis.ts'

export interface Fed {
  readonly old: RealRedis
  readonly now: RealRedis
  readonly seen: () => FeedSeen
  readonly anchors: readonly FeedPoint[]
  /** Until the old one has all that was written until now. */
  readonly told: () => Promise<FeedPoint>
  readonly close: () => Promise<void>
}

export async function until<T>(what: string, look: () => Promise<T | null | undefined | false>, ms = 15_000): Promise<T> {
  const endMs = performance.now() + ms
  for (;;) {
    const found = await look()
    if (found !== null && found !== undefined && found !== false) return found
    if (performance.now() > endMs) throw new Error(`not within ${ms} ms: ${what}`)
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
}

/** The old one refuses writes, the new one serves: as after a cut-over. */
export async function cutOver(old: RealRedis, now: RealRedis): Promise<FeedPoint> {
  await now.call('REPLICAOF', '127.0.0.1', String(old.port))
  await until('the new one follows', async () => (await now.facts()).linkUp)
  await caughtUp(old, now)
  await old.call('REPLICAOF', '127.0.0.1', '1')
  const { replid, offset } = await now.facts()
  await now.call('REPLICAOF', 'NO', 'ONE')
  return { replid, offset, fed: offset, database: null, untold: nothingUntold }
}

export async function openFeed(
  old: RealRedis,
  now: RealRedis,
  anchors: readonly FeedPoint[],
  lineage: readonly LineageEntry[] = [],
  token: string | null = null,
): Promise<Fed> {
  const off = new AbortController()
  let last: FeedSeen | null = null
  const tell = (line: FeedLine): void => {
    if (line.t === 'feed') last = line
  }
  const its = oldRedisFrom((await old.facts()).version)
  if (its === null) throw new Error('too old to be fed')
  const target = async () => ({ ok: true, value: { host: '127.0.0.1', port: now.port, password: undefined } }) as const
  const ended = feed({ target, door: { host: '127.0.0.1', port: 0, token }, old: its, anchors, lineage, tell, signal: off.signal })
  const seen = (): FeedSeen => {
    if (last === null) throw new Error('it has said nothing yet')
    return last
  }
  const port = await until('it listens', async () => last?.port)
  await old.call('REPLICAOF', '127.0.0.1', String(port))
  return {
    old,
    now,
    seen,
    anchors,
    told: () =>
      until('the old one has all', async () => {
        // Asked each time: its PING moves it as well.
        const { offset } = await now.facts()
        const { point } = seen()
        return point !== null && point.offset === offset && (await old.facts()).offset === point.fed && point
      }),
    close: async () => {
      off.abort()
      await ended
    },
  }
}

/** What a replica says of commands that it could not carry out. */
export function complaints(logFile: string): readonly string[] {
  return readFileSync(logFile, 'utf8')
    .split('\n')
    .filter((line) => /CRITICAL|sending an error|Bad data|Full resync/i.test(line))
}
