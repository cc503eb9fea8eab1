/** The simulator's own dice: xoshiro128** filled by splitmix32, so that a seed tells the same story on every machine and for ever. */
export interface Dice {
  /** 0 ≤ n < below. */
  readonly int: (below: number) => number
  /** true in one of so many. */
  readonly oneIn: (times: number) => boolean
  readonly pick: <T>(list: readonly T[]) => T
  /** By weight. */
  readonly draw: <T>(list: readonly (readonly [weight: number, value: T])[]) => T
}

export function dice(seed: number): Dice {
  let mix = seed >>> 0
  const splitmix = () => {
    mix = (mix + 0x9e3779b9) >>> 0
    let z = mix ^ (mix >>> 16)
    z = Math.imul(z, 0x21f0aaad)
    z ^= z >>> 15
    z = Math.imul(z, 0x735a2d97)
    return (z ^ (z >>> 15)) >>> 0
  }
  let [a, b, c, d] = [splitmix(), splitmix(), splitmix(), splitmix()]
  const next = () => {
    const product = Math.imul(b, 5)
    const result = Math.imul((product << 7) | (product >>> 25), 9) >>> 0
    const shifted = b << 9
    c ^= a
    d ^= b
    b ^= c
    a ^= d
    c ^= shifted
    d = (d << 11) | (d >>> 21)
    return result
  }
  const int = (below: number) => Math.floor((next() / 2 ** 32) * below)
  const pick = <T>(list: readonly T[]): T => list[int(list.length)] as T
  const draw = <T>(list: readonly (readonly [number, T])[]): T => {
    let at = int(list.reduce((sum, [weight]) => sum + weight, 0))
    for (const [weight, value] of list) {
      at -= weight
      if (at < 0) return value
    }
    return pick(list)[1]
  }
  return { int, oneIn: (times) => int(times) === 0, pick, draw }
}
