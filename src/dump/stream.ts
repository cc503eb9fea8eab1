/**
 * What lies in a store of the stream of a group: listed once, of the papers only the timelines read (a segment says by its name what it
 * holds). What is not understood is told, and never counted. A store that cannot be read in part is not read at all: what is not seen must not look like a gap.
 */
import type { Said } from '../backup/manifest.ts'
import { parseSegmentName, streamFolder, timelineName, type StoredSegment, type Timeline } from '../backup/stream.ts'
import type { Observed } from '../model/outcome.ts'
import type { Store } from '../store/store.ts'
import { allOf, once, prove, readPaper, type Read } from './paper.ts'
import { readEach } from './read-each.ts'
import { keyId } from './seal.ts'

/** A name below the folder of the stream that does not count. */
export interface BrokenName {
  readonly name: string
  readonly why: string
  /** It is whole, and a later version of Holdfast wrote it. */
  readonly newer: boolean
}

export interface StreamStored {
  readonly timelines: readonly Timeline[]
  /** Of these timelines, and sorted by name: in the order of their offsets. */
  readonly segments: readonly StoredSegment[]
  readonly broken: readonly BrokenName[]
}

/** `key`: of the configuration; a timeline that another one proves is read, and not proven by it. */
export async function readStream(store: Store, group: string, key: Buffer | null, signal: AbortSignal): Promise<Observed<StreamStored>> {
  const listed = await store.list(streamFolder(group), signal)
  if (!listed.ok) return listed
  const segments: StoredSegment[] = []
  const broken: BrokenName[] = []
  const papers = new Set<string>()
  // There may be a hundred thousand, of a few histories: each is as small as it can be.
  const replids = new Map<string, string>()
  const sameFor = (replid: string): string => {
    if (!replids.has(replid)) replids.set(replid, replid)
    return replids.get(replid) ?? replid
  }
  for (const { name, bytes } of listed.value) {
    if (!name.startsWith(`${streamFolder(group)}/`)) continue
    const segment = parseSegmentName(group, name)
    const replid = replidOf(group, name)
    if (segment !== null) segments.push({ replid: sameFor(segment.replid), from: segment.from, to: segment.to, lastWallMs: segment.lastWallMs, name, bytes })
    else if (replid !== null) papers.add(replid)
    else broken.push({ name, why: 'it is not of Holdfast', newer: false })
  }
  for (const { replid } of segments) papers.add(replid)
  const read = await readEach([...papers], (replid) => timelineOf(store, group, replid, key, signal), signal)
  if (!read.ok) return read
  const timelines = read.value.flatMap((one) => ('timeline' in one ? [one.timeline] : []))
  broken.push(...read.value.flatMap((one) => ('broken' in one ? [one.broken] : [])))
  const known = new Set(timelines.map(({ replid }) => replid))
  return { ok: true, value: { timelines, segments: segments.filter(({ replid }) => known.has(replid)), broken } }
}

/** How many histories are not proven by this key. null: there is none to prove them. */
export function unprovenIn({ timelines }: StreamStored, key: Buffer | null): number | null {
  return key === null ? null : timelines.filter((timeline) => timeline.keyId !== keyId(key)).length
}

/** Never over one that is there: a timeline is not changed. */
export async function putTimeline(store: Store, said: Said<Timeline>, key: Buffer | null, signal: AbortSignal): Promise<Observed<Timeline>> {
  const { bytes, value } = prove('timeline', said, key)
  const put = await store.put(timelineName(said.group, said.replid), once(bytes), signal)
  return put.ok ? { ok: true, value } : put
}

function replidOf(group: string, name: string): string | null {
  const replid = /([0-9a-f]{40})\/timeline\.json$/.exec(name)?.[1]
  return replid !== undefined && name === timelineName(group, replid) ? replid : null
}

type One = { readonly timeline: Timeline } | { readonly broken: BrokenName }

async function timelineOf(store: Store, group: string, replid: string, key: Buffer | null, signal: AbortSignal): Promise<Observed<One | null>> {
  const name = timelineName(group, replid)
  const got = await store.get(name, signal)
  const bytes = got.ok ? await allOf(got.value).catch((error: Error) => error.message) : got.why
  if (typeof bytes === 'string') {
    const now = await store.list(`${streamFolder(group)}/${replid}`, signal)
    // Somebody removes all of it at this moment.
    if (now.ok && now.value.length === 0) return { ok: true, value: null }
    const gone = now.ok && !now.value.some((object) => object.name === name)
    const missing = { name, why: 'it is not there: nobody knows where this history comes from', newer: false }
    return gone ? { ok: true, value: { broken: missing } } : { ok: false, why: `${name}: ${bytes}` }
  }
  const read = readTimeline(bytes, group, replid, key)
  return { ok: true, value: read.ok ? { timeline: read.value } : { broken: { name, why: read.why, newer: read.newer } } }
}

/** Which key it was written with, it says itself. */
function readTimeline(bytes: Buffer, group: string, replid: string, key: Buffer | null): Read<Timeline> {
  const open = readPaper('timeline', bytes, null)
  const ours = key !== null && open.ok && open.value.keyId === keyId(key)
  const read = ours ? readPaper('timeline', bytes, key) : open
  if (!read.ok) return read
  if (read.value.group !== group) return { ok: false, why: `it is of the group ${read.value.group}`, newer: false }
  return read.value.replid === replid ? read : { ok: false, why: `it is that of ${read.value.replid}`, newer: false }
}
