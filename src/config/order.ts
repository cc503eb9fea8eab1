/**
 * In which order the hosts take up another configuration. PURE. One rule matters: A PRIMARY'S LEASE IS OVER BEFORE ANYBODY MAY FIND IT DOWN,
 * also while some have the old value and some the new one. So a stricter value is taken up at the primary first, a laxer one there last; where
 * both come at once, first: its agent goes by the stricter of what it has and what each Sentinel says of itself (decide/sentinels.ts).
 */
import { hostsOf, type Config } from '../model/config.ts'
import type { Change } from './change.ts'

export interface Standing {
  readonly config: Config
  readonly changes: readonly Change[]
  /** Groups by name; null: it has none at this moment. */
  readonly primaries: Readonly<Record<string, string | null>>
  /** Who has yet to take it up. */
  readonly left: readonly string[]
}

/** The next host; null: groups that share hosts ask for opposite orders. Asked anew before each step: the primary may be another by then. */
export function nextHost(standing: Standing): string | null {
  const { left } = standing
  const waits = (host: string): boolean => before(standing).some(([first, second]) => second === host && first !== host && left.includes(first))
  return left.find((host) => !waits(host)) ?? null
}

/** Pairs of hosts of which the first takes it up before the second. */
function before({ config, changes, primaries }: Standing): readonly (readonly [string, string])[] {
  return Object.values(config.groups).flatMap((group) => {
    const primary = primaries[group.name] ?? null
    // WHO LEAVES GOES FIRST: one that still thinks itself a member, and is none to the others, could have itself elected.
    const leaving = changes.flatMap((c) => (c.group === group.name && c.host?.move === 'removed' ? [c.host.name] : []))
    const first = leaving.flatMap((host) => hostsOf(group).map((other) => [host, other] as const))
    const place = placeOf(changes, group.name)
    if (primary === null || place === 'any') return first
    const others = hostsOf(group).filter((host) => host !== primary)
    return [...first, ...others.map((host) => (place === 'first' ? ([primary, host] as const) : ([host, primary] as const)))]
  })
}

/**
 * Of the primary's agent. A host more or less counts too: with one more, more have to hear the primary, and those are there only when they
 * have all taken it up; with one less, fewer have to, and each of them is away for a moment when its turn comes.
 */
function placeOf(changes: readonly Change[], group: string): 'first' | 'last' | 'any' {
  const own = changes.filter((c) => c.group === group)
  if (own.some((c) => c.lease === 'stricter' || c.host?.move === 'removed')) return 'first'
  return own.some((c) => c.lease === 'laxer' || c.host?.move === 'added') ? 'last' : 'any'
}

/** Why in this order, for the plan. */
export function whyThisOrder(changes: readonly Change[], group: string): string {
  const place = placeOf(changes, group)
  if (place === 'any') return 'in any order, one host after the other'
  const isLease = changes.some((c) => c.group === group && c.lease !== undefined)
  const leaves = changes.some((c) => c.group === group && c.host?.move === 'removed') ? 'who leaves, then ' : ''
  if (place === 'first')
    return `${leaves}the primary's agent first: ${isLease ? 'its lease must be the short one before anybody can find it down that soon, or by that few' : 'fewer have to hear it from then on'}`
  return `the primary's agent last: ${isLease ? 'its lease stays the short one until nobody can find it down that soon, or by that few' : 'more have to hear it from then on'}`
}
