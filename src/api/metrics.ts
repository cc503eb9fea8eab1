/**
 * What the agent counts, in the text format of Prometheus. Names end in their unit or in `_total`; totals begin anew with the agent.
 * Without the secret, as the health checks: nothing here names a key, a client or a password.
 */
import type { AgentSurface } from '../agent/surface.ts'
import { addressWords, wrongWords, type AddressReport } from '../model/address.ts'

interface Metric {
  readonly name: string
  readonly type: 'gauge' | 'counter'
  readonly help: string
  readonly samples: (report: AddressReport) => readonly (readonly [labels: Readonly<Record<string, string>>, value: number])[]
}

const vipMetrics: readonly Metric[] = [
  {
    name: 'holdfast_vip_state',
    type: 'gauge',
    help: 'Who holds the address, as this agent sees it: 1 for the word that applies.',
    samples: (r) => addressWords.map((state) => [{ state }, state === r.word ? 1 : 0]),
  },
  {
    name: 'holdfast_vip_incidents_total',
    type: 'counter',
    help: 'How often the address was wrong for longer than the grace time.',
    samples: (r) => wrongWords.map((state) => [{ state }, r.incidents[state]]),
  },
  {
    name: 'holdfast_vip_wrong_seconds_total',
    type: 'counter',
    help: 'For how long in all, the present incident included.',
    samples: (r) => [[{}, r.wrongMs / 1000]],
  },
  {
    name: 'holdfast_vip_repairs_total',
    type: 'counter',
    help: 'Addresses taken off this host or given back by it, and restarts of a keepalived that had died.',
    samples: (r) => Object.entries(r.repairs).map(([repair, count]) => [{ repair }, count]),
  },
]

export function metricsText(agent: AgentSurface): string {
  const lines: string[] = []
  const reports = agent.groups().flatMap((group) => {
    const report = agent.snapshot(group)?.address
    return report == null ? [] : [{ group, report }]
  })
  for (const metric of reports.length === 0 ? [] : vipMetrics) {
    lines.push(`# HELP ${metric.name} ${metric.help}`, `# TYPE ${metric.name} ${metric.type}`)
    for (const { group, report } of reports) {
      for (const [labels, value] of metric.samples(report)) {
        const text = Object.entries({ group, ...labels }).map(([key, label]) => `${key}="${label}"`)
        lines.push(`${metric.name}{${text.join(',')}} ${value}`)
      }
    }
  }
  return lines.map((line) => `${line}\n`).join('')
}
