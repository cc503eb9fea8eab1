/**
 * Where keys that go into a running primary come from: a backup, or a moment, in a redis aside. What goes wrong before anything is written, in words.
 * Must not know what is done with them.
 */
import pc from 'picocolors'
import type { Backup } from '../backup/catalog.ts'
import { SegmentFailed } from '../dump/along.ts'
import { openBackup, openMoment } from '../dump/aside.ts'
import { codeOf, FetchFailed } from '../dump/fetch.ts'
import { reported, type Chunks } from '../dump/measure.ts'
import { streamError, type Moment } from '../dump/moment.ts'
import { isoWords } from '../dump/moment-words.ts'
import { databasesNeeded, memoryNeeded } from '../dump/needs.ts'
import { OperatorError, type ErrorCode } from '../model/error.ts'
import type { RawRedis } from '../redis/raw.ts'
import { NotLoaded, type Throwaway } from '../redis/throwaway.ts'
import { usedDatabases } from '../replay/keys.ts'
import { keyFor, type Vault } from './backup-open.ts'
import { progressLine } from './backup-words.ts'
import { streamBytes } from './restore-moment.ts'

/** A backup, or the one that a moment begins at. */
export interface Begun {
  readonly backup: Backup
  readonly moment: Moment | null
}

/** In a redis of its own. */
export interface Source {
  readonly id: string
  readonly aside: Throwaway
  /** Not in there any more, because their time was over. null: redis did not say. */
  readonly expired: number | null
}

/** Before anybody is asked and anything fetched. */
export function usable(vault: Vault, backup: Backup, say: (words: string) => void): Backup {
  keyFor(backup.manifest, vault)
  const { manifest, tested, state, wrong } = backup
  if (wrong !== null || tested?.fault === 'stored')
    throw new OperatorError('HF816', `${manifest.id}: ${wrong ?? tested?.found}`, `holdfast backup list ${manifest.group}`)
  if (state !== 'good') say(`${pc.yellow('!')} ${manifest.id} is ${state}${tested === null ? '' : `: ${tested.found}`}\n`)
  return backup
}

/** As many databases as the primary uses, at the least: what is there alone is looked for here, too. */
export async function databasesOf(live: RawRedis): Promise<number> {
  return Math.max(16, ...(await usedDatabases(live)).map((database) => database + 1))
}

/** Of memory, if all of the stream were new keys with small values. */
const perStreamByte = 4

export async function openSource(vault: Vault, { backup: { manifest }, moment }: Begun, live: RawRedis, prefix: string): Promise<Source> {
  const { config, store, signal } = vault
  const line = progressLine(`loading ${manifest.id}`, manifest.rdb.bytes)
  const told = (chunks: Chunks): Chunks => reported(chunks, line.tell)
  const databases = Math.max(await databasesOf(live), databasesNeeded(manifest))
  const capBytes = memoryNeeded(manifest) * 2
  const order = { store, manifest, key: keyFor(manifest, vault), redisServer: config.paths.redisServer, prefix, databases, told, signal }
  try {
    if (moment !== null) {
      const replaying = progressLine('replaying the stream', streamBytes(moment))
      try {
        const aside = await openMoment(moment, { ...order, capBytes: capBytes + streamBytes(moment) * perStreamByte }, replaying.tell)
        return { id: momentId(moment), aside, expired: null }
      } finally {
        replaying.end()
      }
    }
    const aside = await openBackup({ ...order, capBytes, more: [] })
    const expired = /rdb_last_load_keys_expired:(\d+)/.exec(String(await aside.redis.call('INFO', 'persistence')))?.[1]
    return { id: manifest.id, aside, expired: expired === undefined ? null : Number(expired) }
  } catch (error) {
    // Of a segment it says so itself.
    const isOfDataset = error instanceof FetchFailed && !(error instanceof SegmentFailed) && error.about === 'data'
    throw isOfDataset ? new FetchFailed('data', `${manifest.stored.name} in ${store.where}: ${error.message}`) : error
  } finally {
    line.end()
  }
}

export function momentId({ atWallMs, to }: Moment): string {
  return `${isoWords(atWallMs)} (offset ${to})`
}

/** What went wrong before anything was written, as an error with a hint; `code`: where it has none of its own. */
export async function inWords<T>({ signal, group }: Vault, code: ErrorCode, work: () => Promise<T>): Promise<T> {
  try {
    return await work()
  } catch (error) {
    if (error instanceof OperatorError) throw error
    const again = 'nothing was written; run the same command again'
    if (signal.aborted) throw new OperatorError(code, 'broken off', again)
    if (error instanceof SegmentFailed) throw streamError(error, { group: group.name })
    if (error instanceof FetchFailed) {
      const known = codeOf(error)
      throw new OperatorError(known.code, error.message, known.hint ?? `holdfast backup list ${group.name}`)
    }
    if (error instanceof NotLoaded)
      throw new OperatorError(
        code,
        `the redis-server here does not load it: ${error.message}`,
        'is there enough memory, and is it as new as the one that wrote it? Nothing was written',
      )
    throw new OperatorError(code, (error as Error).message, again)
  }
}
