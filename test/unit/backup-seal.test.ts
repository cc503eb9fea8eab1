import { randomBytes } from 'node:crypto'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { SealBroken, keyId, seal, unseal } from '../../src/dump/seal.ts'

const mib = 1024 * 1024
const key = Buffer.alloc(32, 7)

async function* pieces(data: Buffer, bytes: number): AsyncGenerator<Buffer> {
  for (let at = 0; at < data.length; at += bytes) yield data.subarray(at, at + bytes)
}

async function all(chunks: AsyncIterable<Buffer>): Promise<Buffer> {
  const read: Buffer[] = []
  for await (const chunk of chunks) read.push(chunk)
  return Buffer.concat(read)
}

const sealed = (data: Buffer): Promise<Buffer> => all(seal(pieces(data, 300_000), key))
const opened = (data: Buffer, by = key, bytes = 70_000): Promise<Buffer> => all(unseal(pieces(data, bytes), by))

describe('an encrypted stream', () => {
  test.each([0, 1, mib - 1, mib, mib + 1, 2 * mib, 3 * mib + 17])('%i bytes come back', async (bytes) => {
    const data = randomBytes(bytes)
    expect((await opened(await sealed(data))).equals(data)).toBe(true)
  })

  test('in whatever pieces it comes', async () => {
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ maxLength: 5000 }), fc.integer({ min: 1, max: 700 }), fc.integer({ min: 1, max: 700 }), async (bytes, a, b) => {
        const data = Buffer.from(bytes)
        return (await opened(await all(seal(pieces(data, a), key)), key, b)).equals(data)
      }),
    )
  })

  test('two of the same data have nothing in common', async () => {
    const [a, b] = await Promise.all([sealed(Buffer.alloc(100)), sealed(Buffer.alloc(100))])
    expect(a.subarray(8).equals(b.subarray(8))).toBe(false)
  })

  test('one bit is another: found, wherever it is', async () => {
    const whole = await sealed(randomBytes(2 * mib + 5000))
    await fc.assert(
      fc.asyncProperty(fc.nat(whole.length * 8 - 1), async (bit) => {
        const changed = Buffer.from(whole)
        changed.writeUInt8(changed.readUInt8(bit >> 3) ^ (1 << (bit & 7)), bit >> 3)
        await expect(opened(changed, key, mib)).rejects.toThrow(SealBroken)
      }),
      { numRuns: 60 },
    )
  })

  test('it was cut off, also between two frames, also before all of them: found', async () => {
    const whole = await sealed(randomBytes(3 * mib))
    const frame = mib + 16
    for (const at of [0, 7, 23, 24, 24 + 15, 24 + frame, 24 + 2 * frame, 24 + 2 * frame + 9, whole.length - 1])
      await expect(opened(whole.subarray(0, at), key, mib), `cut at ${at}`).rejects.toThrow(SealBroken)
  })

  test('two frames changed places, one is there twice, something stands behind the last: found', async () => {
    const whole = await sealed(randomBytes(3 * mib))
    const [head, frame] = [whole.subarray(0, 24), mib + 16]
    const [a, b, c] = [0, 1, 2].map((n) => whole.subarray(24 + n * frame, 24 + (n + 1) * frame)) as [Buffer, Buffer, Buffer]
    for (const order of [
      [b, a, c],
      [a, a, b, c],
      [a, b, c, c],
      [a, b, c, Buffer.from('x')],
    ])
      await expect(opened(Buffer.concat([head, ...order]), key, mib)).rejects.toThrow(SealBroken)
  })

  test('the wrong key opens nothing, and is told from the right one', async () => {
    const other = Buffer.alloc(32, 8)
    await expect(opened(await sealed(Buffer.from('secret')), other)).rejects.toThrow('another key')
    expect(keyId(other)).not.toBe(keyId(key))
    expect(keyId(key)).toMatch(/^[0-9a-f]{16}$/)
  })

  test('what is not encrypted is not taken for it', async () => {
    await expect(opened(Buffer.from('REDIS0011 and more of the same'))).rejects.toThrow('not encrypted')
  })
})
