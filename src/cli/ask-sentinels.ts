/** How the Sentinels of a group are, as `status` tells it: of the looks of its agents. */
import type { GroupConfig } from '../model/config.ts'
import type { SentinelProbe } from '../model/sentinel.ts'
import type { View } from '../model/view.ts'

export interface SentinelStatus {
  readonly host: string
  /** It answers, names the primary, and is set as configured. */
  readonly ok: boolean
  /** Whom it names; null: nobody, or not known. */
  readonly names: string | null
  readonly epoch: number | null
  /** What is wrong with it; '' for nothing. */
  readonly why: string
  readonly seenBy: string
}

interface Looked {
  readonly member: { readonly host: string }
  readonly own: { readonly view: View | null } | null
}

/** `receives`: another redis has the clients of the group, and its Sentinels watch nobody. */
export function sentinelsOf(group: GroupConfig, found: readonly Looked[], primary: string | null, receives: boolean): readonly SentinelStatus[] | null {
  const { sentinel } = group
  if (sentinel === undefined) return null
  const looks = found.flatMap(({ member, own }) => (own?.view?.sentinels === undefined ? [] : [{ host: member.host, sentinels: own.view.sentinels }]))
  const look = looks.find((l) => l.host === primary) ?? looks[0]
  return sentinel.hosts.map((host) => {
    const probe = look?.sentinels.find((s) => s.host === host)
    const why = probe === undefined ? 'no agent that was asked has looked' : receives && probe.reach === 'forgot' ? '' : whyNotWell(group, probe, primary)
    return { host, ok: why === '', names: probe?.facts?.names ?? null, epoch: probe?.facts?.configEpoch ?? null, why, seenBy: look?.host ?? '' }
  })
}

function whyNotWell(group: GroupConfig, { reach, trouble, facts }: SentinelProbe, primary: string | null): string {
  const { sentinel } = group
  if (reach !== 'answers' || facts === null || sentinel === undefined) return trouble ?? (reach === 'refused' ? 'it does not run' : 'it does not answer')
  if (facts.names !== primary) return `it names ${facts.names ?? facts.address}`
  if (facts.down) return 'it finds the primary down'
  if (facts.tilt) return 'it is in TILT mode: its clock jumped or it stood still, and it takes part in nothing'
  const wanted = {
    quorum: sentinel.quorum,
    downAfterMs: sentinel.downAfterMs,
    failoverTimeoutMs: sentinel.failoverTimeoutMs,
    parallelSyncs: sentinel.parallelSyncs,
  }
  const differs = Object.entries(wanted).filter(([key, value]) => facts.settings[key as keyof typeof wanted] !== value)
  if (differs.length > 0)
    return `it is set otherwise than configured: ${differs.map(([key]) => `${key} ${facts.settings[key as keyof typeof wanted]}`).join(', ')}`
  return facts.others < sentinel.hosts.length - 1 ? `it knows ${facts.others} of ${sentinel.hosts.length - 1} others` : ''
}
