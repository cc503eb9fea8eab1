/**
 * What the checks for contradictions are given, and what they give back. Must not check anything itself.
 */
import type { Completed } from './complete.ts'
import { nearest } from './problem.ts'
import type { Finding, KeyPath } from './problem.ts'

/** What the checks may know: the completed values, and what was really written. */
export interface Checked extends Completed {
  /** Whether the file has this key at all, right or wrong. */
  readonly has: (path: KeyPath) => boolean
  /** What kind of value was written there. */
  readonly kindOf: (path: KeyPath) => 'map' | 'list' | 'other'
  /** All host names in the file, those with problems included. */
  readonly hostNames: readonly string[]
  /** Where a directive of the `redis` key stands, in the operator's own spelling. */
  readonly redisPath: (group: string, directive: string) => KeyPath
}

export interface Findings {
  readonly problems: readonly Finding[]
  readonly warnings: readonly Finding[]
}

export function unknownHost(checked: Checked, path: KeyPath, name: string): Finding {
  const guess = nearest(name, checked.hostNames)
  const hint = guess === undefined ? '' : `; did you mean \`${guess}\`?`
  return { path, message: `there is no host \`${name}\`${hint}`, accepted: checked.hostNames.join(', ') || 'a name under `hosts`' }
}
