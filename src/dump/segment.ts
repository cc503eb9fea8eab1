/**
 * A piece of the archived stream as an object of a store: a line that says what it is, its head, proven as every paper is, and the stream's
 * bytes, packed as those of a backup. What is read back is proven to the last bit before anybody has one byte of it. Whole in memory: it is small.
 */
import { createHash } from 'node:crypto'
import type { Compression, Said } from '../backup/manifest.ts'
import { segmentName, type SegmentHead, type StoredSegment } from '../backup/stream.ts'
import type { Store } from '../store/store.ts'
import { FetchFailed, inWords, keyFor, readableHere } from './fetch.ts'
import { measure } from './measure.ts'
import { pack, unpack } from './pack.ts'
import { allOf, once, prove, readPaper } from './paper.ts'
import { keyId } from './seal.ts'

/** Of the stream, in one object. */
export const segmentBytes = 8 * 1024 * 1024
/** What has to be held to read one; far more than any has. */
const maxObjectBytes = 4 * segmentBytes
const magic = 'HFSEG1\n'
const collectFromBytes = 512 * 1024
/** Of the head, in decimal, as many digits as here, and a line feed. */
const lengthDigits = 8
const fixedBytes = magic.length + lengthDigits + 1

export type SegmentSaid = Omit<Said<SegmentHead>, 'format' | 'sha256Stream' | 'stored' | 'compression' | 'encryption'>

export interface EncodedSegment {
  readonly name: string
  readonly bytes: Buffer
}

export interface ReadSegment {
  readonly head: SegmentHead
  readonly bytes: Buffer
  /** Nobody without the key can have made it. */
  readonly byKey: boolean
}

/** `key`: null where it is not to be encrypted. In pieces: whole it would lie in memory once more. */
export async function packSegment(
  said: SegmentSaid,
  stream: readonly Buffer[],
  compression: Compression,
  key: Buffer | null,
): Promise<{ readonly name: string; readonly chunks: readonly Buffer[] }> {
  const [raw, stored] = [measure(), measure()]
  const packed: Buffer[] = []
  for await (const chunk of stored.through(pack(raw.through(each(stream)), compression, key))) {
    packed.push(chunk)
    // A frame that is sealed leaves three times its size behind.
    if (chunk.length >= collectFromBytes) globalThis.gc?.()
  }
  const head: Said<SegmentHead> = {
    format: 1,
    ...said,
    sha256Stream: raw.sha256(),
    stored: { bytes: stored.bytes(), sha256: stored.sha256() },
    compression,
    encryption: key === null ? null : { cipher: 'aes-256-gcm', keyId: keyId(key) },
  }
  const { bytes } = prove('segment', head, key)
  const front = `${magic}${String(bytes.length).padStart(lengthDigits, '0')}\n`
  return { name: segmentName(said.group, said), chunks: [Buffer.from(front, 'latin1'), bytes, ...packed] }
}

export async function encodeSegment(said: SegmentSaid, stream: Buffer, compression: Compression, key: Buffer | null): Promise<EncodedSegment> {
  const { name, chunks } = await packSegment(said, [stream], compression, key)
  return { name, bytes: Buffer.concat(chunks) }
}

export async function* each(chunks: readonly Buffer[]): AsyncGenerator<Buffer, void, undefined> {
  yield* chunks
}

/** Throws FetchFailed; where `signal` ends it, its reason. */
export async function readSegment(store: Store, group: string, stored: StoredSegment, key: Buffer | null, signal: AbortSignal): Promise<ReadSegment> {
  const got = await store.get(stored.name, signal)
  signal.throwIfAborted()
  if (!got.ok) throw new FetchFailed('store', `${store.where}: ${got.why}`)
  const object = await allOf(got.value, maxObjectBytes).catch((error: Error) => {
    signal.throwIfAborted()
    throw new FetchFailed('store', `${store.where}: reading it stopped: ${error.message}`)
  })
  return decodeSegment(object, group, stored.name, key)
}

/** Of what lies under this name. Throws FetchFailed. */
async function decodeSegment(object: Buffer, group: string, name: string, key: Buffer | null): Promise<ReadSegment> {
  const front = /^HFSEG1\n(\d{8})\n$/.exec(object.toString('latin1', 0, fixedBytes))
  if (front === null) throw new FetchFailed('data', 'it does not begin as a segment does')
  const headEnd = fixedBytes + Number(front[1])
  const paper = object.subarray(fixedBytes, headEnd)
  // Which key it was written with, it says itself.
  const told = headOf(paper, null).value
  const opener = keyFor(told, key)
  const { value: head, byKey } = opener === null ? { value: told, byKey: false } : headOf(paper, opener)
  if (head.group !== group) throw new FetchFailed('data', `it is of the group ${head.group}`)
  if (segmentName(group, head) !== name) throw new FetchFailed('data', `it is another one: ${segmentName(group, head)}`)
  const packed = object.subarray(headEnd)
  if (packed.length !== head.stored.bytes) throw new FetchFailed('data', `it has ${packed.length} of its ${head.stored.bytes} bytes`)
  if (sha256(packed) !== head.stored.sha256) throw new FetchFailed('data', 'it has other bytes than were stored (SHA-256)')
  readableHere(head)
  const wanted = head.to - head.from + 1
  const bytes = await allOf(unpack(once(packed), head.compression, opener), wanted).catch((error: Error) => {
    const known = inWords(error)
    throw known instanceof FetchFailed ? known : new FetchFailed('data', `what is stored does not unpack to ${wanted} bytes: ${error.message}`)
  })
  if (bytes.length !== wanted) throw new FetchFailed('data', `it unpacks to ${bytes.length} bytes, and has ${wanted}`)
  if (sha256(bytes) !== head.sha256Stream) throw new FetchFailed('data', 'what it unpacks to is not what redis sent (SHA-256)')
  return { head, bytes, byKey }
}

function headOf(paper: Buffer, key: Buffer | null): { readonly value: SegmentHead; readonly byKey: boolean } {
  const head = readPaper('segment', paper, key)
  if (!head.ok) throw new FetchFailed('data', `its head: ${head.why}`)
  return head
}

function sha256(bytes: Buffer): string {
  return createHash('sha256').update(bytes).digest('hex')
}
