/**
 * Takes one backup: from a redis, through checksum, compression and encryption, into a store, its manifest last. Whatever happens on the
 * way, what is left has no manifest, and is none. Holds no more of it in memory than a few pieces.
 */
import { setTimeout as delay } from 'node:timers/promises'
import { dataName, paperName, type Compression, type Manifest, type Said, type Seen } from '../backup/manifest.ts'
import type { Observed } from '../model/outcome.ts'
import { openDataset } from '../redis/dataset.ts'
import type { RedisTarget } from '../redis/link.ts'
import type { Store } from '../store/store.ts'
import { measure, reported, watchRdb } from './measure.ts'
import { once, prove } from './paper.ts'
import { pack, throttled } from './pack.ts'
import { keyId } from './seal.ts'
import { seeSource } from './seen.ts'

export interface TakeOrder {
  readonly id: string
  readonly group: string
  readonly reason: string
  readonly source: Manifest['source']
  readonly target: RedisTarget
  /** The epoch whose history the source is in. */
  readonly epoch: number
  readonly store: Store
  readonly compression: Compression
  /** 32 bytes; null: it is not encrypted. */
  readonly key: Buffer | null
  /** Of the RDB, in a second; null: as fast as it goes. */
  readonly bytesPerS: number | null
  readonly wallMs: () => number
  /** `of`: null while redis does not say how large it will be. */
  readonly progress: (bytes: number, of: number | null) => void
  readonly signal: AbortSignal
}

/** A fork of many gigabytes may take that long to begin; and redis waits for others that want the same (repl-diskless-sync-delay). */
const limits = { answerMs: 5000, silentMs: 60_000 }

export async function take(order: TakeOrder): Promise<Observed<Manifest>> {
  const { id, group, store, signal, compression, key } = order
  const before = await seeSource(order.target)
  const asked: ReturnType<typeof seeSource>[] = []
  const opened = await openDataset(order.target, limits, () => {
    asked.push(seeSource(order.target))
  })
  const [after] = await Promise.all(asked)
  if (!opened.ok) return { ok: false, why: `${order.source.host} gives no dataset: ${opened.why}` }
  const dataset = opened.value
  const hangUp = (): void => dataset.close()
  signal.addEventListener('abort', hangUp)
  const atWallMs = order.wallMs()
  const [rdb, stored, watch] = [measure(), measure(), watchRdb()]
  try {
    const told = reported(dataset.chunks(), (bytes) => order.progress(bytes, dataset.bytes))
    const slowed = throttled(
      told,
      order.bytesPerS,
      () => performance.now(),
      (ms) => delay(ms, undefined, { signal }),
    )
    const packed = pack(rdb.through(watch.through(slowed)), compression, key)
    const put = await store.put(dataName(group, id), stored.through(packed), signal)
    if (!put.ok) return put
  } finally {
    signal.removeEventListener('abort', hangUp)
    dataset.close()
  }
  const header = watch.verdict()
  if (!header.ok) return forgotten(order, header.why)
  const said: Said<Manifest> = {
    format: 1,
    id,
    group,
    atWallMs,
    endedAtWallMs: order.wallMs(),
    reason: order.reason,
    source: order.source,
    server: { version: header.value.writtenBy, rdbFormat: header.value.format },
    position: { epoch: order.epoch, replid: dataset.replid, offset: dataset.offset },
    seen: { before: toldBy(before), after: toldBy(after) },
    rdb: { bytes: rdb.bytes(), sha256: rdb.sha256() },
    stored: { name: dataName(group, id), bytes: stored.bytes(), sha256: stored.sha256() },
    compression,
    encryption: key === null ? null : { cipher: 'aes-256-gcm', keyId: keyId(key) },
  }
  const { bytes, value } = prove('manifest', said, key)
  const committed = await store.put(paperName(group, id, 'manifest'), once(bytes), signal)
  return committed.ok ? { ok: true, value } : forgotten(order, committed.why)
}

function toldBy(seen: Observed<Seen> | undefined): Seen | null {
  return seen?.ok === true ? seen.value : null
}

async function forgotten({ store, group, id }: TakeOrder, why: string): Promise<Observed<never>> {
  await store.remove(dataName(group, id))
  return { ok: false, why }
}
