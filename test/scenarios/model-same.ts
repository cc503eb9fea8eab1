/** Is it the same? As the real loop finds out by comparing JSON, without writing any. */
import type { State } from '../../src/model/state.ts'
import type { Statement } from '../../src/model/view.ts'

/** What the loop asks before it makes a state durable. */
export function sameState(a: State, b: State): boolean {
  if (a === b) return true
  for (const key in a) if (!same(a[key as keyof State], b[key as keyof State])) return false
  return true
}

/** What makes a statement no news: all is as it was but the numbers that move all the time. */
export function saysTheSame(a: Statement, b: Statement): boolean {
  for (const key in a) if (key !== 'redis' && !same(a[key as keyof Statement], b[key as keyof Statement])) return false
  const [x, y] = [a.redis, b.redis]
  if (x === y || x === null || y === null) return x === y
  return (
    x.runId === y.runId &&
    x.role === y.role &&
    x.loading === y.loading &&
    x.linkUp === y.linkUp &&
    x.syncing === y.syncing &&
    x.replid === y.replid &&
    same(x.upstream, y.upstream)
  )
}

function same(a: unknown, b: unknown): boolean {
  if (a === b) return true
  if (typeof a !== 'object' || typeof b !== 'object' || a === null || b === null) return false
  for (const key in a) if (!same(a[key as keyof typeof a], b[key as keyof typeof b])) return false
  for (const key in b) if (!(key in a)) return false
  return true
}
