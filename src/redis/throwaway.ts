/**
 * A redis of its own for one RDB: a folder of its own, a unix socket and no network, capped in memory, nothing saved. It goes with this
 * process, however this process ends. Must not know whose RDB it is, nor what is asked of it.
 */
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { openRaw, RawError, type RawRedis, type RawTarget } from './raw.ts'
import { shortLived, type ShortLived } from './short-lived.ts'

const startDeadlineMs = 10 * 60_000
const callDeadlineMs = 60_000
/** It closes its file before it writes why, and ends. */
const lastWordsMs = 5000
/** What a redis needs to begin with. */
export const leastRedisBytes = 512 * 1024 * 1024

export interface Throwaway {
  readonly redis: RawRedis
  readonly close: () => Promise<void>
}

/** Where its RDB goes, before it is there. */
export interface Aside {
  readonly file: string
  readonly start: () => void
  readonly hasEnded: () => boolean
}

export interface ThrowawayOrder {
  readonly redisServer: string
  /** Of the name of its folder. */
  readonly prefix: string
  readonly databases: number
  readonly capBytes: number
  readonly low: boolean
  /** Directives beside those. */
  readonly more: readonly string[]
  /** Writes the RDB to the file, and starts redis: then it is read from there, be it a file or a pipe. */
  readonly fill: (aside: Aside) => Promise<void>
  /** Ends the wait for it. */
  readonly signal?: AbortSignal
}

/** It ended, or did not come to serve. `output`: what it said. */
export class NotLoaded extends Error {
  readonly output: string
  constructor(message: string, output: string) {
    super(message)
    this.name = 'NotLoaded'
    this.output = output
  }
}

/** Throws NotLoaded where redis has ended, the reason of `signal`, and else what `fill` throws. */
export async function openThrowaway(order: ThrowawayOrder): Promise<Throwaway> {
  const conf = (dir: string) => ['--port', '0', '--unixsocket', join(dir, 'sock'), '--unixsocketperm', '700', '--dir', dir, '--dbfilename', 'kept.rdb']
  const more = ['--save', '', '--appendonly', 'no', '--databases', String(order.databases), ...order.more]
  // Before the file is fetched: whoever is killed while it is leaves no half of a dataset behind.
  const aside = shortLived(order.prefix, (dir) => [order.redisServer, ...conf(dir), ...more], { capKiB: Math.floor(order.capBytes / 1024), low: order.low })
  try {
    await order.fill({ file: join(aside.dir, 'kept.rdb'), start: aside.start, hasEnded: aside.hasEnded })
    const redis = await untilServes({ path: join(aside.dir, 'sock') }, aside.hasEnded, order.signal)
    if (redis === null) throw notLoaded(aside)
    return {
      redis,
      close: async () => {
        redis.close()
        await aside.close()
      },
    }
  } catch (error) {
    // Why it ended counts for more than that nobody reads on.
    const found = isHangUp(error) && (await untilEnded(aside.hasEnded)) ? notLoaded(aside) : error
    await aside.close()
    throw found
  }
}

/** Of a redis that is about to end: then it has said why. false: it has not, in time. */
export async function untilEnded(hasEnded: () => boolean): Promise<boolean> {
  const endMs = performance.now() + lastWordsMs
  while (!hasEnded() && performance.now() < endMs) await new Promise((resolve) => setTimeout(resolve, 5))
  return hasEnded()
}

/** It reads no more from what is written to it. */
export function isHangUp(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'EPIPE'
}

function notLoaded(aside: ShortLived): NotLoaded {
  const output = aside.output()
  return new NotLoaded(output.trimEnd().split('\n').at(-1) ?? '', output)
}

/** Until it has read its data and answers; null: it has ended before, or does not come to. */
export async function untilServes(target: RawTarget, hasEnded: () => boolean, signal?: AbortSignal): Promise<RawRedis | null> {
  const endMs = performance.now() + startDeadlineMs
  for (;;) {
    signal?.throwIfAborted()
    const opened = await openRaw(target, callDeadlineMs)
    if (opened.ok) {
      const answer = await opened.value.call('DBSIZE').catch(() => null)
      if (answer !== null && !(answer instanceof RawError)) return opened.value
      opened.value.close()
    }
    if (hasEnded() || performance.now() > endMs) return null
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
}

/** Of memory, that programs may still take. */
export async function availableBytes(): Promise<number> {
  const text = await readFile('/proc/meminfo', 'utf8').catch(() => '')
  return Number(/MemAvailable:\s+(\d+) kB/.exec(text)?.[1] ?? 0) * 1024
}
