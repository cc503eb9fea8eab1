/** Histories of which segments, papers and backups were laid by hand, for tests that look for a moment in them. */
import type { Backup } from '../../src/backup/catalog.ts'
import { patternOf } from '../../src/backup/pattern.ts'
import type { StoredSegment } from '../../src/backup/stream.ts'
import { findMoment, type Moment, type Wanted } from '../../src/dump/moment.ts'
import { encodeSegment, type SegmentSaid } from '../../src/dump/segment.ts'
import { keyId } from '../../src/dump/seal.ts'
import { putTimeline } from '../../src/dump/stream.ts'
import { layBackup, memoryStore, rdbOf, type MemoryStore } from './stored-backups.ts'

export const never = new AbortController().signal
export const key = Buffer.alloc(32, 7)
export const [one, two] = ['a'.repeat(40), 'b'.repeat(40)]
export const group = 'cache'
/** Of redis' PING; one of them came each second, the first byte of the archive is at offset 101. */
export const ping = '*1\r\n$4\r\nPING\r\n'
export const secondMs = 1000

interface Laid {
  readonly from: number
  readonly stream: string
  readonly replid?: string
  readonly atMs: number
  readonly by?: Buffer | null
  readonly marks?: SegmentSaid['marks']
}

export async function laid(store: MemoryStore, { from, stream, replid = one, atMs, by = null, marks }: Laid): Promise<StoredSegment> {
  const to = from + stream.length - 1
  const said: SegmentSaid = {
    group,
    replid,
    from,
    to,
    lastWallMs: marks?.at(-1)?.[1] ?? atMs,
    host: 'red-b',
    serverVersion: '7.0.15',
    marks: marks ?? [[to, atMs]],
  }
  const { name, bytes } = await encodeSegment(said, Buffer.from(stream, 'latin1'), 'gzip', by)
  store.objects.set(name, bytes)
  return { ...said, name, bytes: bytes.length }
}

export async function begun(store: MemoryStore, replid: string, from: number, parent: string | null = null, by: Buffer | null = null): Promise<void> {
  await putTimeline(
    store,
    {
      format: 1,
      group,
      replid,
      epoch: parent === null ? 1 : 2,
      from,
      parent: parent === null ? null : { replid: parent },
      atWallMs: 1,
      host: 'red-b',
      why: 'a test',
      keyId: by === null ? null : keyId(by),
    },
    by,
    never,
  )
}

/** At offset 100 of the first history, and the second 0. */
export async function based(store: MemoryStore, more: { readonly id?: string; readonly key?: Buffer; readonly atWallMs?: number } = {}): Promise<Backup> {
  const manifest = await layBackup(store, {
    id: more.id ?? '20261121T181500Z-3f9a0b1c',
    group,
    rdb: rdbOf(),
    compression: 'gzip',
    key: more.key ?? null,
    atWallMs: more.atWallMs ?? 0,
  })
  return { manifest, tested: null, condemned: null, held: null, state: 'good', wrong: null, unclear: null, byKey: true, bytes: 0 }
}

export const wire = (...words: readonly string[]): string => `*${words.length}\r\n${words.map((word) => `$${word.length}\r\n${word}\r\n`).join('')}`

export function find(
  store: MemoryStore,
  backups: readonly Backup[],
  wanted: Wanted,
  by: Buffer | null = null,
  timeline: string | null = null,
  waiting: readonly Backup[] = [],
): Promise<Moment> {
  return findMoment({ store, group, key: by, backups, waiting, wanted, timeline, progress: () => undefined, signal: never })
}
export const at = (offset: number): Wanted => ({ kind: 'offset', offset })
export const time = (seconds: number | 'latest'): Wanted => ({ kind: 'time', wallMs: seconds === 'latest' ? seconds : seconds * secondMs })
export const beforeLast = (words: string, seconds: number | 'latest' = 'latest'): Wanted => ({
  kind: 'before',
  pattern: patternOf(words) ?? { name: '', globs: [] },
  by: seconds === 'latest' ? seconds : seconds * secondMs,
})

/** Three segments of a PING each, of the seconds 1 to 3. */
export async function quiet(): Promise<{ readonly store: MemoryStore; readonly segments: readonly StoredSegment[]; readonly backups: readonly Backup[] }> {
  const store = memoryStore()
  await begun(store, one, 101)
  const segments: StoredSegment[] = []
  for (let second = 1; second <= 3; second += 1)
    segments.push(await laid(store, { from: 101 + (second - 1) * ping.length, stream: ping, atMs: second * secondMs }))
  return { store, segments, backups: [await based(store)] }
}

/** A segment for each command, of the seconds 1 to 6; one is a FLUSHALL. */
export async function written() {
  const store = memoryStore()
  await begun(store, one, 101)
  const parts = [wire('SET', 'user:1', 'x'), wire('DEL', 'user:1'), wire('SELECT', '0'), wire('flushall'), ping, wire('UNLINK', 'b')]
  let from = 101
  for (const [index, stream] of parts.entries()) {
    await laid(store, { from, stream, atMs: (index + 1) * secondMs })
    from += stream.length
  }
  return { store, backups: [await based(store)], ends: parts.map((_, index) => 100 + parts.slice(0, index + 1).join('').length) }
}
