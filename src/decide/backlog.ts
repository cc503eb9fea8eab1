/**
 * How large the replication backlog should be: a member that was away for a minute is to continue instead of starting over, and a
 * former primary's diverged writes are to be in it. Sized from the highest write rate seen, only ever upward. Pure.
 */
import type { Action } from '../model/action.ts'
import { backlogForMs, backlogMinBytes, type Policy } from '../model/policy.ts'
import type { RedisFacts, View } from '../model/view.ts'
import { redisAnswers } from './situation.ts'

export interface BacklogAdvice {
  readonly text: string
  readonly warning: string | null
  readonly action: Action | null
}

const mib = 1_048_576
/** A little more is not worth a change: rates differ from minute to minute. */
const worthwhile = 1.25

export function adviseBacklog(view: View, policy: Policy): BacklogAdvice | null {
  const { backlog, facts } = view.redis
  if (backlog === null || facts === null || !redisAnswers(view)) return null
  const { sizeBytes, capBytes, bytesPerS } = backlog
  const ideal = Math.max(backlogMinBytes, (bytesPerS * backlogForMs) / 1000)
  const wanted = Math.ceil(Math.min(ideal, Math.max(backlogMinBytes, capBytes)) / mib) * mib
  const holdsS = bytesPerS > 0 ? Math.round(sizeBytes / bytesPerS) : null
  const text = `the backlog of ${inMib(sizeBytes)} MiB holds ${holdsS === null || holdsS > 3600 ? 'more than an hour' : `${holdsS} s of the highest write rate seen (${inMib(bytesPerS)} MiB/s)`}`
  const short = wanted > sizeBytes * worthwhile
  if (!short) return { text, warning: ideal > capBytes && ideal > sizeBytes * worthwhile ? `${text}; more would take too much memory` : null, action: null }
  const setIt = `repl-backlog-size ${inMib(wanted)}mb would hold ${backlogForMs / 1000} s`
  if (policy.external) return { text, warning: `${text}; ${setIt}, and is not Holdfast's to change (process: external)`, action: null }
  // Before 7.0 a change empties the backlog, which is what it is to prevent.
  if (Number(facts.version.split('.')[0]) < 7)
    return { text, warning: `${text}; ${setIt}: set it under redis: (before redis 7 it cannot be changed without emptying it)`, action: null }
  return { text, warning: null, action: facts.loading || facts.syncing ? null : { kind: 'grow-backlog', bytes: wanted } }
}

function inMib(bytes: number): string {
  const value = bytes / mib
  return value >= 10 ? String(Math.round(value)) : value.toFixed(1)
}

/** Without a backlog a primary counts no bytes: nobody could ever say what it has that another copy has not (INV-4, INV-6). */
export function countsBytes(facts: RedisFacts): boolean {
  return facts.supply === undefined || facts.supply.backlogFrom >= 0
}
