/**
 * The papers beside a dataset (manifest, test result, mark, hold), and of the stream (timelines, heads of segments): written so that a single changed bit is noticed, and read as bytes
 * that nobody vouches for. Each is JSON for people, and ends with two lines about all that is before them: an HMAC with a key that is
 * derived from the operator's (null where nothing is encrypted), and a SHA-256. What one of them says is not judged here.
 */
import { createHash, createHmac, hkdfSync, timingSafeEqual } from 'node:crypto'
import * as z from 'zod'
import {
  dataName,
  isBackupId,
  paperName,
  type Condemned,
  type Hold,
  type Manifest,
  type Paper,
  type Proof,
  type Said,
  type Tested,
} from '../backup/manifest.ts'
import type { SegmentHead, Timeline } from '../backup/stream.ts'
import type { Observed } from '../model/outcome.ts'
import type { Store } from '../store/store.ts'
import { keyBytes } from './seal.ts'

export interface Papers {
  readonly manifest: Manifest
  readonly tested: Tested
  readonly condemned: Condemned
  readonly held: Hold
  readonly timeline: Timeline
  readonly segment: SegmentHead
}
export type Kind = keyof Papers

/** `newer`: it is whole, and a later version of Holdfast wrote it. */
export type Read<T> = { readonly ok: true; readonly value: T; readonly byKey: boolean } | { readonly ok: false; readonly why: string; readonly newer: boolean }

/** Far more than one of them has; a manifest counts the keys of each database. */
const maxBytes = 8 * 1024 * 1024

export function prove<P extends Kind>(paper: P, said: Said<Papers[P]>, key: Buffer | null): { readonly bytes: Buffer; readonly value: Papers[P] } {
  const body = pairsOnALine(JSON.stringify(said, null, 2)).slice(0, -2)
  const hmac = key === null ? null : hmacOf(paper, body, key)
  const summed = `${body},\n  "hmac": ${JSON.stringify(hmac)}`
  const sha256 = createHash('sha256').update(summed).digest('hex')
  return { bytes: Buffer.from(`${summed},\n  "sha256": "${sha256}"\n}\n`), value: { ...said, hmac, sha256 } as Papers[P] }
}

export async function putPaper<P extends Paper>(
  store: Store,
  group: string,
  paper: P,
  said: Said<Papers[P]> & { readonly id: string },
  key: Buffer | null,
  signal: AbortSignal,
): Promise<Observed<Papers[P]>> {
  const { bytes, value } = prove(paper, said, key)
  const put = await store.put(paperName(group, said.id, paper), once(bytes), signal)
  return put.ok ? { ok: true, value } : put
}

/** `key`: null where there is none, or it is not the one that this was written with; then `byKey` is false. */
export function readPaper<P extends Kind>(paper: P, bytes: Buffer, key: Buffer | null): Read<Papers[P]> {
  const broken = (why: string): Read<never> => ({ ok: false, why, newer: false })
  const text = utf8(bytes)
  const end = text === null ? null : /^([^]*),\n {2}"hmac": (null|"[0-9a-f]{64}"),\n {2}"sha256": "([0-9a-f]{64})"\n\}\n$/.exec(text)
  const json = text === null ? undefined : parsed(text)
  const format = z.object({ format: z.int().min(2) }).safeParse(json)
  if (text === null || end === null) return format.success ? newer(format.data.format) : broken('it does not end as Holdfast writes it')
  const summed = text.slice(0, text.lastIndexOf(',\n  "sha256": "'))
  if (createHash('sha256').update(summed).digest('hex') !== end[3]) return broken('it was changed: its checksum is not that of its bytes')
  if (format.success) return newer(format.data.format)
  const said = shapes[paper].safeParse(json)
  if (!said.success) return broken(`it is not as Holdfast writes it: ${said.error.issues[0]?.path.join('.')}: ${said.error.issues[0]?.message}`)
  const value = said.data as unknown as Papers[P]
  if (value.hmac === null || key === null) return { ok: true, value, byKey: false }
  const right = timingSafeEqual(Buffer.from(hmacOf(paper, end[1] ?? '', key), 'hex'), Buffer.from(value.hmac, 'hex'))
  return right ? { ok: true, value, byKey: true } : broken('somebody without the key has changed it')
}

function newer(format: number): Read<never> {
  return { ok: false, why: `it has format ${format}, of a newer Holdfast`, newer: true }
}

/** A segment has thousands of them. No line ends within a word of JSON: what is written there stays as it is. */
function pairsOnALine(json: string): string {
  return json.replaceAll(/\[\n +(\d+),\n +(\d+)\n +\]/g, '[$1, $2]')
}

/** Of its own for each kind: a paper of one kind is none of another. */
function hmacOf(paper: Kind, body: string, key: Buffer): string {
  const own = Buffer.from(hkdfSync('sha256', key, '', `holdfast backup ${paper}`, keyBytes))
  return createHmac('sha256', own).update(body).digest('hex')
}

function utf8(bytes: Buffer): string | null {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes)
  } catch {
    return null
  }
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

const count = z.int().min(0)
const words = z.string().max(4000)
const sha256 = z.string().regex(/^[0-9a-f]{64}$/)
const id = z.string().refine(isBackupId, 'no id of a backup')
const proof = { hmac: sha256.nullable(), sha256 } satisfies Readonly<Record<keyof Proof, unknown>>

const databases = z.array(z.object({ database: count, keys: count, expires: count })).max(100_000)
const replid = z.string().regex(/^[0-9a-f]{40}$/)
const keyId = z.string().regex(/^[0-9a-f]{16}$/)
const encryption = z.object({ cipher: z.literal('aes-256-gcm'), keyId }).nullable()
const group = z.string().min(1).max(128)
const seen = z
  .object({ runId: words, replid: words, offset: count, counting: z.boolean(), databases, usedBytes: count, dropped: count, sweeps: count, moves: count })
  .nullable()

const manifest = z
  .object({
    format: z.literal(1),
    id,
    group,
    atWallMs: count,
    endedAtWallMs: count,
    reason: words,
    source: z.object({ host: words, role: z.enum(['primary', 'replica']), why: words }),
    server: z.object({ version: words, rdbFormat: count }),
    position: z.object({ epoch: count, replid, offset: count }),
    seen: z.object({ before: seen, after: seen }),
    rdb: z.object({ bytes: count, sha256 }),
    stored: z.object({ name: words, bytes: count, sha256 }),
    compression: z.enum(['none', 'gzip', 'zstd']),
    encryption,
    ...proof,
  })
  .refine((said) => said.stored.name === dataName(said.group, said.id), 'its dataset lies elsewhere')
  .refine((said) => (said.encryption === null) === (said.hmac === null), 'encrypted, and not proven by the key')

const timeline = z
  .object({
    format: z.literal(1),
    group,
    replid,
    epoch: count,
    from: count,
    parent: z.object({ replid }).nullable(),
    atWallMs: count,
    host: words,
    why: words,
    keyId: keyId.nullable(),
    ...proof,
  })
  .refine((said) => (said.keyId === null) === (said.hmac === null), 'it names a key, and is not proven by it')
  .refine((said) => said.parent?.replid !== said.replid, 'it is its own parent')

const segment = z
  .object({
    format: z.literal(1),
    group,
    replid,
    from: count,
    to: count,
    lastWallMs: count,
    host: words,
    serverVersion: words,
    marks: z.array(z.tuple([count, count])).min(1),
    sha256Stream: sha256,
    stored: z.object({ bytes: count, sha256 }),
    compression: z.enum(['none', 'gzip', 'zstd']),
    encryption,
    ...proof,
  })
  .refine((said) => (said.encryption === null) === (said.hmac === null), 'encrypted, and not proven by the key')
  .refine(({ from, to }) => to >= from, 'it ends before it begins')
  .refine(({ from, marks }) => marks.every(([offset], i) => offset >= from && offset > (marks[i - 1]?.[0] ?? -1)), 'its marks are not in order')
  .refine(({ to, lastWallMs, marks }) => marks.at(-1)?.[0] === to && marks.at(-1)?.[1] === lastWallMs, 'its last mark is not of its last byte')

const shapes: Readonly<Record<Kind, z.ZodType>> = {
  manifest,
  tested: z.object({
    format: z.literal(1),
    id,
    manifestSha256: sha256,
    atWallMs: count,
    ok: z.boolean(),
    fault: z.enum(['stored', 'refused', 'differs']).nullable(),
    found: words,
    loadMs: z.number().min(0),
    fetchMs: z.number().min(0),
    keys: count,
    serverVersion: words,
    ...proof,
  }),
  condemned: z.object({ format: z.literal(1), id, atWallMs: count, why: words, ...proof }),
  held: z.object({ format: z.literal(1), id, atWallMs: count, by: words, reason: words, ...proof }),
  timeline,
  segment,
}

/** Throws where there is more: without `limit`, where it is larger than any paper. */
export async function allOf(chunks: AsyncIterable<Buffer>, limit = maxBytes): Promise<Buffer> {
  const pieces: Buffer[] = []
  let bytes = 0
  for await (const piece of chunks) {
    pieces.push(piece)
    bytes += piece.length
    if (bytes > limit) throw new Error(`it has more than ${limit} bytes`)
  }
  return Buffer.concat(pieces)
}

export async function* once(bytes: Buffer): AsyncGenerator<Buffer, void, undefined> {
  yield bytes
}
