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
    const leases = changes.filter((c) => c.group === group.name && c.lease !== undefined)
    if (primary === null || leases.length === 0) return first
    const isFirst = leases.some((c) => c.lease === 'stricter')
    const others = hostsOf(group).filter((host) => host !== primary)
    return [...first, ...others.map((host) => (isFirst ? ([primary, host] as const) : ([host, primary] as const)))]
  })
}

/** Why in this order, for the plan. */
export function whyThisOrder(changes: readonly Change[], group: string): string {
  const leases = changes.filter((c) => c.group === group && c.lease !== undefined)
  if (leases.length === 0) return 'in any order, one host after the other'
  return leases.some((c) => c.lease === 'stricter')
    ? "the primary's agent first: its lease must be the short one before anybody can find it down that soon, or by that few"
    : "the primary's agent last: its lease stays the short one until nobody can find it down that soon, or by that few"
}
