/**
 * What the agent sees and counts, in the text format of Prometheus. Names end in their unit or in `_total`; totals begin anew with the
 * agent, or with redis where it is redis that counts. Without the secret, as the health checks: nothing here names a key, a client or a password.
 */
import type { AgentSurface } from '../agent/surface.ts'
import type { GroupSnapshot } from '../agent/group.ts'
import { addressWords, wrongWords, type AddressReport } from '../model/address.ts'
import { statementStaleMs } from '../model/policy.ts'
import type { Follower, RedisFacts } from '../model/view.ts'

type Sample = readonly [labels: Readonly<Record<string, string>>, value: number]

interface Metric {
  readonly name: string
  readonly type: 'gauge' | 'counter'
  readonly help: string
  readonly samples: (seen: GroupSnapshot) => readonly Sample[]
}

const vip = (samples: (report: AddressReport) => readonly Sample[]) => (seen: GroupSnapshot) => (seen.address == null ? [] : samples(seen.address))

const metrics: readonly Metric[] = [
  {
    name: 'holdfast_vip_state',
    type: 'gauge',
    help: 'Who holds the address, as this agent sees it: 1 for the word that applies.',
    samples: vip((r) => addressWords.map((state) => [{ state }, state === r.word ? 1 : 0])),
  },
  {
    name: 'holdfast_vip_incidents_total',
    type: 'counter',
    help: 'How often the address was wrong for longer than the grace time.',
    samples: vip((r) => wrongWords.map((state) => [{ state }, r.incidents[state]])),
  },
  {
    name: 'holdfast_vip_wrong_seconds_total',
    type: 'counter',
    help: 'For how long in all, the present incident included.',
    samples: vip((r) => [[{}, r.wrongMs / 1000]]),
  },
  {
    name: 'holdfast_vip_repairs_total',
    type: 'counter',
    help: 'Addresses taken off this host or given back by it, and restarts of a keepalived that had died.',
    samples: vip((r) => Object.entries(r.repairs).map(([repair, count]) => [{ repair }, count])),
  },
  {
    name: 'holdfast_replica_connected',
    type: 'gauge',
    help: 'Seen from the redis that it replicates from: 1 while it is sent the stream, 0 while it is absent or in a full sync.',
    samples: (seen) => [...followersOf(seen).map(({ name, online }): Sample => [{ replica: name }, online ? 1 : 0]), ...absentOf(seen)],
  },
  {
    name: 'holdfast_replica_lag_bytes',
    type: 'gauge',
    help: 'What it had not acknowledged when it last did, which it does once a second.',
    samples: (seen) => followersOf(seen).flatMap(({ name, online, lagBytes }) => (online ? [[{ replica: name }, lagBytes] as const] : [])),
  },
  {
    name: 'holdfast_replica_ack_age_seconds',
    type: 'gauge',
    help: 'Since its last acknowledgement, in whole seconds as redis counts them.',
    samples: (seen) => followersOf(seen).flatMap(({ name, online, ackAgeS }) => (online ? [[{ replica: name }, ackAgeS] as const] : [])),
  },
  {
    name: 'holdfast_link_up',
    type: 'gauge',
    help: 'Of a redis that is a replica: is its link to the one that it replicates from up? A link that is up is no copy: see the lag.',
    samples: (seen) => factsOf(seen).flatMap((facts) => (facts.role === 'replica' ? [[{}, facts.linkUp ? 1 : 0] as const] : [])),
  },
  {
    name: 'holdfast_full_syncs_total',
    type: 'counter',
    help: 'Full syncs that replicas have asked of this redis since it was started.',
    samples: (seen) => factsOf(seen).flatMap((facts) => (facts.supply?.fullSyncs === undefined ? [] : [[{}, facts.supply.fullSyncs] as const])),
  },
]

export function metricsText(agent: AgentSurface): string {
  const lines: string[] = []
  const seen = agent.groups().flatMap((group) => {
    const snapshot = agent.snapshot(group)
    return snapshot === null ? [] : [{ group, snapshot }]
  })
  for (const metric of metrics) {
    const samples = seen.flatMap(({ group, snapshot }) => metric.samples(snapshot).map(([labels, value]) => ({ labels: { group, ...labels }, value })))
    if (samples.length === 0) continue
    lines.push(`# HELP ${metric.name} ${metric.help}`, `# TYPE ${metric.name} ${metric.type}`)
    for (const { labels, value } of samples) {
      const text = Object.entries(labels).map(([key, label]) => `${key}="${label}"`)
      lines.push(`${metric.name}{${text.join(',')}} ${value}`)
    }
  }
  return lines.map((line) => `${line}\n`).join('')
}

/** What redis said last, unless that is too old to be told as if it were so now. */
function factsOf({ view }: GroupSnapshot): readonly RedisFacts[] {
  if (view === null || view.redis.facts === null || view.redis.process === false || view.redis.factsAgeMs > statementStaleMs) return []
  return [view.redis.facts]
}

function followersOf(seen: GroupSnapshot): readonly (Follower & { readonly name: string; readonly lagBytes: number })[] {
  return factsOf(seen).flatMap((facts) =>
    facts.followers.map((f) => ({
      ...f,
      name: seen.policy.members.find((m) => m.ip === f.ip && m.port === f.port)?.host ?? `${f.ip}:${f.port}`,
      lagBytes: Math.max(0, facts.offset - f.offset),
    })),
  )
}

/** Members that should replicate from this primary and do not: said, because an alarm on a value that is missing is easily forgotten. */
function absentOf(seen: GroupSnapshot): readonly Sample[] {
  const { state, policy } = seen
  if (state.phase !== 'primary' || factsOf(seen).length === 0) return []
  const here = followersOf(seen).map(({ name }) => name)
  const expected = policy.members.filter((m) => m.host !== state.host && (m.replicateFrom === null || m.replicateFrom === state.host))
  return expected.filter((m) => !here.includes(m.host)).map((m) => [{ replica: m.host }, 0])
}
