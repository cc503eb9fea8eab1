/** How the `sentinel` commands show what was found. Draws; judges nothing. */
import Table from 'cli-table3'
import pc from 'picocolors'
import { columns, type SentinelRow } from '../decide/sentinel-compare.ts'
import type { SentinelFinding } from '../model/sentinel-look.ts'
import type { SentinelVote } from '../model/sentinel.ts'
import type { AgentAnswer } from './ask.ts'
import type { Looked } from './sentinel.ts'

/** The newest vote of each Sentinel that an agent was told. */
export function votesTold(answers: readonly AgentAnswer[], group: string): ReadonlyMap<string, SentinelVote> {
  const votes = new Map<string, SentinelVote>()
  for (const answer of answers) {
    for (const { host, vote } of answer.groups.find((g) => g.group === group)?.view?.sentinels ?? []) {
      if (vote !== null && vote.epoch > (votes.get(host)?.epoch ?? 0)) votes.set(host, vote)
    }
  }
  return votes
}

export function drawSideBySide(looked: Looked, rows: readonly SentinelRow[], wrong: readonly string[], votes: ReadonlyMap<string, SentinelVote>): string {
  const { group } = looked.layout
  const table = new Table({ head: ['', ...rows.map((r) => (r.answers ? r.host : pc.red(`! ${r.host}`)))], style: { head: [], border: [] } })
  for (const [key, name] of columns) {
    table.push([name, ...rows.map(({ values, differs }) => (values === null ? '' : differs.includes(key) ? pc.red(`! ${values[key]}`) : values[key]))])
    if (key === 'epoch') table.push(['last vote', ...rows.map(({ host }) => voteText(votes.get(host)))])
  }
  table.push(
    ['runs since', ...rows.map(({ uptimeS }) => (uptimeS === null ? '' : ageText(uptimeS)))],
    ['answered in', ...rows.map(({ answers, tookMs }) => (answers ? `${tookMs} ms` : ''))],
    ['asked by', ...rows.map(({ seenBy, unheardBy }) => (unheardBy.length === 0 ? seenBy : pc.red(`! ${seenBy}, not ${unheardBy.join(', ')}`)))],
  )
  const end =
    wrong.length === 0
      ? pc.green('Every Sentinel answers, and they agree.')
      : `${pc.red('Of the Sentinels,')} ${wrong.join('; ')}.\n→ holdfast sentinel check ${group} says what is wrong, and what repair would do`
  return `${table.toString()}\n${silentAgents(looked)}${end}\n`
}

function voteText(vote: SentinelVote | undefined): string {
  return vote === undefined ? '' : `${vote.to} in ${vote.epoch}`
}

function ageText(seconds: number): string {
  const [days, hours, minutes] = [Math.floor(seconds / 86_400), Math.floor(seconds / 3600) % 24, Math.floor(seconds / 60) % 60]
  return days > 0 ? `${days} d ${hours} h` : hours > 0 ? `${hours} h ${minutes} min` : minutes > 0 ? `${minutes} min` : `${seconds} s`
}

export function silentAgents({ silent }: Looked): string {
  return silent.map((why) => `${pc.yellow('!')} ${why}\n`).join('')
}

export function drawFindings(looked: Looked, findings: readonly SentinelFinding[]): string {
  const { group, sentinels } = looked.layout
  if (findings.length === 0)
    return `${silentAgents(looked)}${pc.green('Clean')}: what the ${sentinels.length} Sentinels of ${group} know is what is configured.\n`
  const lines = findings.flatMap((f) => [
    `${pc.red(`! ${f.name}`)}  ${f.words}`,
    `  ${f.repair === null ? pc.yellow('by hand:') : pc.dim('repair:')} ${f.remedy}`,
  ])
  const mendable = findings.some((f) => f.repair !== null)
  return `${silentAgents(looked)}${lines.join('\n')}\n${mendable ? `→ holdfast sentinel repair ${group} --dry-run\n` : ''}`
}
