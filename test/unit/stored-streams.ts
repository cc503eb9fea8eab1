/** Archived streams in a store, for tests: good backups, segments and timelines of which only the places and the times matter. */
import { backupId } from '../../src/backup/manifest.ts'
import { encodeSegment } from '../../src/dump/segment.ts'
import { keyId } from '../../src/dump/seal.ts'
import { putPaper } from '../../src/dump/paper.ts'
import { putTimeline } from '../../src/dump/stream.ts'
import { layBackup, rdbOf, type MemoryStore } from './stored-backups.ts'

const group = 'cache'
const signal = new AbortController().signal

export interface Place {
  readonly replid: string
  readonly offset: number
  readonly atWallMs: number
}

export async function layGood(store: MemoryStore, { replid, offset, atWallMs }: Place, by: Buffer | null): Promise<string> {
  const id = backupId(new Date(atWallMs).toISOString(), '00000000')
  const { sha256 } = await layBackup(store, {
    ...{ id, group, rdb: rdbOf(Buffer.alloc(100)), compression: 'gzip', key: by, atWallMs },
    position: { epoch: 1, replid, offset },
  })
  const words = { found: '', loadMs: 1, fetchMs: 1, keys: 5, serverVersion: '7.0.15' }
  await putPaper(store, group, 'tested', { format: 1, id, manifestSha256: sha256, atWallMs, ok: true, fault: null, ...words }, by, signal)
  return id
}

/** From the byte behind `from` to that at `to`. */
export async function laySegment(store: MemoryStore, from: number, { replid, offset: to, atWallMs }: Place, by: Buffer | null): Promise<string> {
  const said = { replid, from: from + 1, to, lastWallMs: atWallMs, group, host: 'b', serverVersion: '7.0.15', marks: [[to, atWallMs]] as const }
  const { name, bytes } = await encodeSegment(said, Buffer.alloc(to - from, 'x'), 'gzip', by)
  store.objects.set(name, bytes)
  return name
}

export async function layTimeline(
  store: MemoryStore,
  { replid, offset, atWallMs }: Place,
  { epoch = 1, parent = null, by = null }: { readonly epoch?: number; readonly parent?: string | null; readonly by?: Buffer | null },
): Promise<void> {
  const told = { format: 1, group, replid, epoch, host: 'redis-b', why: 'it began', keyId: by === null ? null : keyId(by) } as const
  await putTimeline(store, { ...told, from: offset + 1, parent: parent === null ? null : { replid: parent }, atWallMs }, by, signal)
}
