/**
 * What a contract may do to redises and see of them: the steps and the words that the model world and real redis-servers have
 * in common. Whoever writes a contract cannot tell which of the two it runs against. Words and relations, never absolute offsets.
 */
import type { RedisFacts } from '../../src/model/view.ts'

export type Reply = 'OK' | 'READONLY' | 'NOREPLICAS' | 'LOADING' | 'paused' | 'no answer'
/** How a replica fared at its upstream, in order; a refusal that repeats itself is told once. */
export type Attempt = 'full' | 'partial' | 'NOMASTERLINK'
export type PsyncAnswer = 'CONTINUE' | 'FULLRESYNC' | 'NOMASTERLINK'

export interface RedisUnderTest {
  readonly name: string
  /**
   * `fenced`: as Holdfast starts it, a replica of nobody. `primary`: as a supervisor does. Comes back when the dataset is read;
   * `slowly`: as soon as it answers, in the middle of reading.
   */
  readonly start: (born: 'fenced' | 'primary', how?: 'slowly') => Promise<void>
  /** kill -9, and it is gone. */
  readonly kill: () => Promise<void>
  /** What the next start finds: what is in memory now, or nothing at all. */
  readonly save: () => Promise<void>
  readonly emptyDisk: () => Promise<void>
  /** null: of no one (a primary). `nobody`: the soft fence, 127.0.0.1 port 1. */
  readonly replicaOf: (upstream: RedisUnderTest | 'nobody' | null) => Promise<void>
  /** A client's SETs of new keys, one after the other; the answer to the last. A client that gets none hangs up soon. */
  readonly write: (count?: number) => Promise<Reply>
  /** So many writes that a replica which is not attached now has missed more than the backlog holds. */
  readonly writeBeyondBacklog: () => Promise<void>
  /** To the least that redis takes: 16 kB. */
  readonly shrinkBacklog: () => Promise<void>
  readonly facts: () => Promise<RedisFacts>
  readonly keys: () => Promise<readonly string[]>
  readonly attempts: () => Promise<readonly Attempt[]>
  /** What a replica that has this id up to (not including) this offset would be told. */
  readonly psync: (replid: string, from: number) => Promise<PsyncAnswer>
  /** The keys in the stream from that offset to its end, as a capture reads them. */
  readonly streamFrom: (replid: string, from: number) => Promise<readonly string[]>
  /** min-replicas-to-write above what there can be. */
  readonly refuseWrites: (refuses: boolean) => Promise<void>
  /** CLIENT PAUSE … WRITE; null: CLIENT UNPAUSE. */
  readonly pauseWrites: (ms: number | null) => Promise<void>
  readonly freeze: () => Promise<void>
  readonly thaw: () => Promise<void>
  /** So long that a primary pings its replicas more than once; nobody writes. */
  readonly idle: () => Promise<void>
  /** From now on a full copy from here takes its time, so that something can happen meanwhile. */
  readonly giveSlowly: () => Promise<void>
}

export interface RedisGroup {
  readonly redis: (name: 'a' | 'b' | 'c') => RedisUnderTest
  readonly until: (what: string, isSo: () => Promise<boolean>) => Promise<void>
  readonly close: () => Promise<void>
}

/** Has all that its upstream has, and its link is up. */
export async function caughtUp(group: RedisGroup, replica: RedisUnderTest, upstream: RedisUnderTest): Promise<void> {
  await group.until(`${replica.name} has all that ${upstream.name} has`, async () => {
    const [r, u] = [await replica.facts(), await upstream.facts()]
    return r.linkUp && !r.loading && r.replid === u.replid && r.offset === u.offset
  })
}

/** A primary `a` with `keys` writes and the replicas named, all attached and equal. */
export async function attached(group: RedisGroup, ...replicas: readonly ('b' | 'c')[]): Promise<RedisUnderTest> {
  const a = group.redis('a')
  await a.start('fenced')
  await a.replicaOf(null)
  for (const name of replicas) {
    const replica = group.redis(name)
    await replica.start('fenced')
    await replica.replicaOf(a)
    await caughtUp(group, replica, a)
  }
  await a.write(5)
  for (const name of replicas) await caughtUp(group, group.redis(name), a)
  return a
}
