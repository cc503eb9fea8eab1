/**
 * Encrypts a stream, and opens it again: AES-256-GCM in frames, so that nothing of it has to be held in memory and nothing that was
 * changed, cut off or moved is ever handed on. Which frame is the last one is part of what is proven.
 *
 * A sealed stream: magic (8 bytes), salt (16), then frames of up to 1 MiB of data, each with its tag (16). Every stream has a key of its
 * own (HKDF-SHA-256 of the operator's key and the salt), so a frame's number can be its nonce.
 */
import { createCipheriv, createDecipheriv, createHash, hkdfSync, randomBytes } from 'node:crypto'

const magic = Buffer.from('HFSEAL1\n', 'latin1')
const saltBytes = 16
const tagBytes = 16
const frameBytes = 1024 * 1024
const cipher = 'aes-256-gcm'
export const keyBytes = 32

/** Something of it is not as it was written, or the key is another one. */
export class SealBroken extends Error {}

export type Chunks = AsyncIterable<Buffer>

/** By which a key can be told from another without saying anything about it. 16 hex digits. */
export function keyId(key: Buffer): string {
  return createHash('sha256').update('holdfast backup key\n').update(key).digest('hex').slice(0, 16)
}

export async function* seal(chunks: Chunks, key: Buffer): AsyncGenerator<Buffer, void, undefined> {
  const salt = randomBytes(saltBytes)
  const own = keyOf(key, salt)
  yield Buffer.concat([magic, salt])
  for await (const { frame, index, last } of frames(chunks, frameBytes)) {
    const encrypt = createCipheriv(cipher, own, nonceOf(index, last))
    yield Buffer.concat([encrypt.update(frame), encrypt.final(), encrypt.getAuthTag()])
  }
}

/** Throws SealBroken. What it has yielded before that is as it was written, and not all. */
export async function* unseal(chunks: Chunks, key: Buffer): AsyncGenerator<Buffer, void, undefined> {
  const headBytes = magic.length + saltBytes
  let own: Buffer | null = null
  for await (const { frame, index, last } of frames(
    afterHead(chunks, headBytes, (head) => (own = openHead(head, key))),
    frameBytes + tagBytes,
  )) {
    if (own === null || frame.length < tagBytes) throw new SealBroken('it ends in the middle of a frame')
    const decrypt = createDecipheriv(cipher, own, nonceOf(index, last))
    decrypt.setAuthTag(frame.subarray(-tagBytes))
    const data = decrypt.update(frame.subarray(0, -tagBytes))
    try {
      decrypt.final()
    } catch {
      throw new SealBroken(index === 0 ? 'it was written with another key, or changed' : `it was changed or cut off in frame ${index}`)
    }
    if (data.length > 0) yield data
  }
}

function openHead(head: Buffer, key: Buffer): Buffer {
  if (!head.subarray(0, magic.length).equals(magic)) throw new SealBroken('it is not encrypted, or not by Holdfast')
  return keyOf(key, head.subarray(magic.length))
}

function keyOf(key: Buffer, salt: Buffer): Buffer {
  return Buffer.from(hkdfSync('sha256', key, salt, 'holdfast backup', keyBytes))
}

/** That it is the last one stands in the nonce: a stream that was cut off between two frames does not open. */
function nonceOf(index: number, last: boolean): Buffer {
  const nonce = Buffer.alloc(12)
  nonce.writeUInt8(last ? 1 : 0, 3)
  nonce.writeBigUInt64BE(BigInt(index), 4)
  return nonce
}

async function* afterHead(chunks: Chunks, bytes: number, open: (head: Buffer) => void): AsyncGenerator<Buffer, void, undefined> {
  let head: Buffer | null = Buffer.alloc(0)
  for await (const chunk of chunks) {
    if (head === null) {
      yield chunk
      continue
    }
    head = Buffer.concat([head, chunk])
    if (head.length < bytes) continue
    open(head.subarray(0, bytes))
    yield head.subarray(bytes)
    head = null
  }
  if (head !== null) throw new SealBroken('it ends in the middle of its head')
}

interface Frame {
  readonly frame: Buffer
  readonly index: number
  readonly last: boolean
}

/** Cuts into pieces of `bytes`. There is always a last one; it may be shorter, or empty. */
async function* frames(chunks: Chunks, bytes: number): AsyncGenerator<Frame, void, undefined> {
  let pending: Buffer[] = []
  let length = 0
  let index = 0
  for await (const chunk of chunks) {
    pending.push(chunk)
    length += chunk.length
    if (length <= bytes) continue
    let whole = Buffer.concat(pending)
    for (; whole.length > bytes; index += 1) {
      yield { frame: whole.subarray(0, bytes), index, last: false }
      whole = whole.subarray(bytes)
    }
    pending = [whole]
    length = whole.length
  }
  yield { frame: Buffer.concat(pending), index, last: true }
}
