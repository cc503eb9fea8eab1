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

type BackupReport = ReturnType<NonNullable<ReturnType<AgentSurface['backups']>>['report']>

/** What the store holds is known to the agent that looks into it, and told by that one alone. */
type OfBackup = Omit<Metric, 'samples' | 'type'> & { readonly type?: Metric['type']; readonly value: (report: BackupReport) => number | null | undefined }

const backupMetrics: readonly OfBackup[] = [
  {
    name: 'holdfast_backup_last_good_timestamp_seconds',
    help: 'The moment that the last good backup holds: the last one that a redis-server has loaded in a test.',
    value: ({ glance }) => (glance?.lastGood == null ? null : glance.lastGood.atWallMs / 1000),
  },
  { name: 'holdfast_backup_bytes', help: 'Of the last backup, as it lies in the store.', value: ({ glance }) => glance?.newest?.storedBytes },
  {
    name: 'holdfast_backup_duration_seconds',
    help: 'From asking redis for the last backup until it lay in the store.',
    value: ({ glance }) => (glance?.newest == null ? null : glance.newest.tookMs / 1000),
  },
  {
    name: 'holdfast_backup_restore_test_seconds',
    help: 'What restoring the last good backup took in its test.',
    value: ({ glance }) => (glance?.lastGood?.restoreMs == null ? null : glance.lastGood.restoreMs / 1000),
  },
  {
    name: 'holdfast_backup_last_attempt_ok',
    help: '1: the last backup that this agent began succeeded.',
    value: ({ last }) => (last === null ? null : last.why === null ? 1 : 0),
  },
  { name: 'holdfast_backup_running', help: '1 while this agent makes or tests one.', value: ({ running }) => (running === null ? 0 : 1) },
  {
    name: 'holdfast_backup_alarm',
    help: 'What is wrong with the backups, as far as this agent is to know: the number of alarms that status shows.',
    value: ({ alarms }) => alarms.length,
  },
  {
    name: 'holdfast_stream_running',
    help: '1 while this agent archives the stream of the group, and redis sends it.',
    value: ({ stream }) => (stream === null ? null : stream.running?.isAttached === true ? 1 : 0),
  },
  {
    name: 'holdfast_stream_archived_timestamp_seconds',
    help: 'Until when all that had been written lies in the store, from the agent that archives it.',
    value: ({ stream }) => (stream?.running?.storedWallMs == null ? null : stream.running.storedWallMs / 1000),
  },
  {
    name: 'holdfast_stream_lag_bytes',
    help: 'What the group has written and the store does not have, from the agent that archives it.',
    value: ({ stream }) => stream?.running?.lagBytes,
  },
  {
    name: 'holdfast_stream_gaps_total',
    type: 'counter',
    help: 'How often something was missing where this agent was to go on with the archive.',
    value: ({ stream }) => stream?.gaps,
  },
]

function backupLines(agent: AgentSurface): readonly string[] {
  const reports = agent.groups().flatMap((group) => {
    const report = agent.backups(group)?.report()
    return report === undefined ? [] : [{ group, report }]
  })
  return backupMetrics.flatMap(({ name, help, type = 'gauge', value }) => {
    const samples = reports.flatMap(({ group, report }) => {
      const number = value(report)
      return number == null ? [] : [`${name}{group="${group}"} ${number}`]
    })
    return samples.length === 0 ? [] : [`# HELP ${name} ${help}`, `# TYPE ${name} ${type}`, ...samples]
  })
}

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
  return [...lines, ...backupLines(agent)].map((line) => `${line}\n`).join('')
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
