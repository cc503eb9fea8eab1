/**
 * What a contract may do to three Sentinels and the three redis that they watch, and see of them: the steps and words that the model and real ones
 * have in common. a is the primary, b and c follow. Times are compared with bounds, never exactly: each Sentinel throws dice.
 */
import { hosts, type Host } from './sentinels-real.ts'

export { hosts, type Host }
export const downAfterMs = 1000
export const failoverTimeoutMs = 3000
/** From one turn of a Sentinel's timer to the next, at most. */
export const turnMs = 100

export interface Told {
  readonly atMs: number
  readonly by: Host
  /** As redis calls it, and of whom: `+sdown a`. */
  readonly what: string
}

export interface SentinelsUnderTest {
  readonly crash: (redis: Host) => Promise<void>
  /** It starts again without data, as the primary that it was. */
  readonly restart: (redis: Host) => Promise<void>
  /** `null`: REPLICAOF NO ONE; `nobody`: 127.0.0.1 1. */
  readonly follow: (redis: Host, whom: Host | 'nobody' | null) => Promise<void>
  /** CLIENT PAUSE … WRITE. */
  readonly pause: (redis: Host, forMs: number) => Promise<void>
  readonly priority: (redis: Host, value: number) => Promise<void>
  /** Orders of Sentinels are taken there. */
  readonly valve: (redis: Host, open: boolean) => Promise<void>
  readonly role: (redis: Host) => Promise<string>
  readonly kill: (sentinel: Host) => Promise<void>
  readonly start: (sentinel: Host) => Promise<void>
  readonly freeze: (sentinel: Host) => Promise<void>
  readonly thaw: (sentinel: Host) => Promise<void>
  /** IS-MASTER-DOWN-BY-ADDR: does it find it down, and whom did it vote for last. */
  readonly ask: (sentinel: Host, about: Host, epoch: number, candidate: string) => Promise<{ readonly down: boolean; readonly vote: string }>
  /** PUBLISH of a hello, as this other Sentinel. */
  readonly hello: (sentinel: Host, from: Host, names: Host, epoch: number) => Promise<void>
  readonly failover: (sentinel: Host) => Promise<void>
  readonly reset: (sentinel: Host) => Promise<void>
  /** SENTINEL DEBUG PING-PERIOD … INFO-PERIOD …, of all. */
  readonly pace: (pingMs: number, infoMs: number) => Promise<void>
  /** GET-MASTER-ADDR-BY-NAME, the epoch of it, and how many other Sentinels and replicas it knows. */
  readonly facts: (sentinel: Host) => Promise<{ readonly names: Host; readonly epoch: number; readonly others: number; readonly replicas: number }>
  readonly told: () => readonly Told[]
  readonly nowMs: () => number
  readonly until: (what: string, isSo: () => boolean | Promise<boolean>, limitMs?: number) => Promise<void>
  /** Time goes by. Only to see that something does NOT happen in it. */
  readonly pass: (ms: number) => Promise<void>
  readonly close: () => Promise<void>
}

export async function names(s: SentinelsUnderTest): Promise<readonly Host[]> {
  return Promise.all(hosts.map(async (host) => (await s.facts(host)).names))
}

/** `BY what`, in order, since a moment. */
export function toldSince(s: SentinelsUnderTest, sinceMs: number, what: RegExp): readonly Told[] {
  return s.told().filter((t) => t.atMs >= sinceMs && what.test(t.what))
}

/** How long after that moment it was said first. */
export function firstMs(s: SentinelsUnderTest, sinceMs: number, what: RegExp): number {
  return (toldSince(s, sinceMs, what)[0]?.atMs ?? Number.POSITIVE_INFINITY) - sinceMs
}
