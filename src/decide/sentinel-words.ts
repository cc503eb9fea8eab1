/** What the Sentinels say, all together: who answers, whom they name, how many find the primary down, whether one of them leads. PURE. Judges nothing. */
import type { SentinelProbe } from '../model/sentinel.ts'
import type { View } from '../model/view.ts'

export function sentinelsOf(view: View): readonly SentinelProbe[] {
  return view.sentinels ?? []
}

/** Those whose last answer is about now. */
export function answering(view: View): readonly SentinelProbe[] {
  return sentinelsOf(view).filter((s) => s.reach === 'answers' && s.facts !== null)
}

/** Whom the Sentinels name, by the one that has heard of the latest failover. null: none answers, or none was ever told. */
export function namedBySentinels(view: View): { readonly host: string | null; readonly epoch: number; readonly by: string } | null {
  const known = answering(view).flatMap((s) => (s.facts === null ? [] : [{ host: s.facts.names, epoch: s.facts.configEpoch, by: s.host }]))
  return known.sort((a, b) => b.epoch - a.epoch)[0] ?? null
}

/** So many find the primary down that they name, which is this one. Not one in TILT: its word is of before. */
export function downCount(view: View, host: string): number {
  return answering(view).filter((s) => s.facts?.names === host && s.facts.down && !s.facts.tilt).length
}

export interface Leading {
  readonly by: string
  readonly to: string
  /** 0: not known. */
  readonly epoch: number
}

/** Each Sentinel that leads a failover and has chosen whom it is to promote. `silentMs`: one that has fallen silent may still be at it for so long. */
export function sentinelsLeading(view: View, silentMs = 0): readonly Leading[] {
  const leading: Leading[] = []
  for (const { host, reach, ageMs, facts, vote } of sentinelsOf(view)) {
    // By its own timeout, where that is longer than the configured one.
    const lastsMs = silentMs === 0 ? 0 : Math.max(silentMs, facts?.settings.failoverTimeoutMs ?? 0)
    if (reach !== 'answers' && (reach !== 'silent' || ageMs >= lastsMs)) continue
    const to = facts?.failover?.to ?? null
    // Forced by hand or voted for: it has given its own vote to itself in the epoch in which it leads.
    if (to !== null) leading.push({ by: host, to, epoch: vote?.to === leaderName(host) ? vote.epoch : 0 })
  }
  return leading
}

export function leaderName(host: string): string {
  return `sentinel:${host}`
}
