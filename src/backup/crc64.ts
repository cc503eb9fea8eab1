/**
 * The checksum at the end of an RDB (CRC-64 "Jones", reflected; redis' crc64.c names the polynomial 0xad93d23594c935a9 and the check
 * value). PURE. Eight bytes at a time, as two halves of 32 bits: numbers of 64 bits are some twenty times slower here.
 */

const [polyLow, polyHigh] = [0xac4bc9b5, 0x95ac9329]

/** Of slice k: what a byte is worth with k zero bytes behind it. */
const [low, high] = tables()

function tables(): readonly [Uint32Array, Uint32Array] {
  const [lows, highs] = [new Uint32Array(8 * 256), new Uint32Array(8 * 256)]
  for (let byte = 0; byte < 256; byte += 1) {
    let [l, h] = [byte, 0]
    for (let bit = 0; bit < 8; bit += 1) {
      const odd = l & 1
      l = (l >>> 1) | (h << 31)
      h >>>= 1
      if (odd === 1) {
        l ^= polyLow
        h ^= polyHigh
      }
    }
    lows[byte] = l
    highs[byte] = h
  }
  for (let at = 256; at < 8 * 256; at += 1) {
    const [l, h] = [lows[at - 256] ?? 0, highs[at - 256] ?? 0]
    lows[at] = ((l >>> 8) | (h << 24)) ^ (lows[l & 0xff] ?? 0)
    highs[at] = (h >>> 8) ^ (highs[l & 0xff] ?? 0)
  }
  return [lows, highs]
}

/** The first byte has seven behind it. */
function pick(table: Uint32Array, a: number, b: number): number {
  return (
    (table[0x700 | (a & 0xff)] ?? 0) ^
    (table[0x600 | ((a >>> 8) & 0xff)] ?? 0) ^
    (table[0x500 | ((a >>> 16) & 0xff)] ?? 0) ^
    (table[0x400 | (a >>> 24)] ?? 0) ^
    (table[0x300 | (b & 0xff)] ?? 0) ^
    (table[0x200 | ((b >>> 8) & 0xff)] ?? 0) ^
    (table[0x100 | ((b >>> 16) & 0xff)] ?? 0) ^
    (table[b >>> 24] ?? 0)
  )
}

export interface Crc64 {
  readonly update: (bytes: Uint8Array) => void
  /** As redis writes it: eight bytes, the lowest first. */
  readonly digest: () => Uint8Array
}

export function crc64(): Crc64 {
  let l = 0
  let h = 0
  return {
    update: (bytes) => {
      const whole = bytes.length - (bytes.length % 8)
      let at = 0
      const view = new DataView(bytes.buffer, bytes.byteOffset, whole)
      for (; at < whole; at += 8) {
        const a = l ^ view.getUint32(at, true)
        const b = h ^ view.getUint32(at + 4, true)
        l = pick(low, a, b)
        h = pick(high, a, b)
      }
      for (; at < bytes.length; at += 1) {
        const index = (l ^ (bytes[at] ?? 0)) & 0xff
        l = ((l >>> 8) | (h << 24)) ^ (low[index] ?? 0)
        h = (h >>> 8) ^ (high[index] ?? 0)
      }
    },
    digest: () => {
      const digest = new Uint8Array(8)
      const view = new DataView(digest.buffer)
      view.setUint32(0, l >>> 0, true)
      view.setUint32(4, h >>> 0, true)
      return digest
    },
  }
}
