/** A stored backup, or a moment, in a redis of its own, to look into it: loaded while it is fetched, and proven before that redis can serve. */
import { rm } from 'node:fs/promises'
import type { Manifest } from '../backup/manifest.ts'
import { leastRedisBytes, openThrowaway, type Throwaway } from '../redis/throwaway.ts'
import type { Store } from '../store/store.ts'
import { feed, makePipe } from './feed.ts'
import { fetchRdb } from './fetch.ts'
import type { Chunks } from './measure.ts'
import type { Moment } from './moment.ts'
import { replay } from './replay.ts'

export interface AsideOrder {
  readonly store: Store
  readonly manifest: Manifest
  readonly key: Buffer | null
  readonly redisServer: string
  readonly prefix: string
  readonly databases: number
  readonly capBytes: number
  /** Directives beside those. */
  readonly more: readonly string[]
  readonly told: (chunks: Chunks) => Chunks
  readonly signal: AbortSignal
}

/** Throws FetchFailed, NotLoaded, or the reason of `signal`. */
export function openBackup({ store, manifest, key, told, signal, ...order }: AsideOrder): Promise<Throwaway> {
  return openThrowaway({
    ...order,
    signal,
    capBytes: Math.max(leastRedisBytes, order.capBytes),
    low: true,
    more: ['--rdbchecksum', 'yes', ...order.more],
    fill: async (aside) => {
      await makePipe(aside.file)
      aside.start()
      // Since 7.2 redis opens its file once more when it has read it, and would wait for another writer.
      await feed(aside.file, told(fetchRdb(store, manifest, key, signal)), aside, signal, () => rm(aside.file))
    },
  })
}

/** `order`: of its backup. `progress`: of the stream. Throws what `openBackup` and `replay` throw. */
export async function openMoment(moment: Moment, order: Omit<AsideOrder, 'manifest' | 'more'>, progress: (bytes: number) => void): Promise<Throwaway> {
  const { manifest } = moment.backup
  const databases = Math.max(order.databases, moment.databases)
  const aside = await openBackup({ ...order, databases, manifest, more: ['--replicaof', '127.0.0.1', '1'] })
  try {
    await replay(aside.redis, moment, progress, order.signal, () => Promise.resolve())
    return aside
  } catch (error) {
    await aside.close()
    throw error
  }
}
