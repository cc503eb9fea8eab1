/** `holdfast explain`: why things are as they are, and what would happen if the primary died now. */
import type { Command } from '@commander-js/extra-typings'
import pc from 'picocolors'
import type { Explanation } from '../decide/explain.ts'
import { OperatorError } from '../model/error.ts'
import { ask, groupOf, openSession } from './ask.ts'

export function register(program: Command): void {
  program
    .command('explain')
    .description('say what would happen if the primary died now, and by which rule')
    .argument('<group>')
    .option('--host <name>', 'as this host sees it (default: every host that answers)')
    .option('--json', 'machine-readable')
    .action(async (group, options, command) => {
      const session = await openSession(command.optsWithGlobals() as unknown as { config: string })
      const hosts = options.host === undefined ? groupOf(session, group).members.map((m) => m.host) : [options.host]
      const views: Explanation[] = []
      let why = ''
      for (const host of hosts) {
        try {
          views.push((await ask(session, host, { method: 'GET', path: `/groups/${group}/explain` })) as Explanation)
        } catch (error) {
          if (!(error instanceof OperatorError)) throw error
          why = `${host}: ${error.message}`
        }
      }
      if (views.length === 0) throw new OperatorError('HF301', `no agent could explain ${group} (${why})`, 'start the agents, or ask another host')
      process.stdout.write(options.json === true ? `${JSON.stringify({ group, views }, null, 2)}\n` : draw(views))
    })
}

function draw(views: readonly Explanation[]): string {
  const lead = views.find((v) => v.primary === v.asSeenBy) ?? views[0]
  if (lead === undefined) return ''
  const lines = [
    `${pc.bold(lead.group)}: ${lead.primary === null ? 'no primary' : `${lead.primary} is primary`}, epoch ${lead.epoch}`,
    '',
    `${pc.bold('If the primary died now:')} ${lead.wouldHappen}`,
    ...(lead.loss === undefined
      ? []
      : ['', `${pc.bold('Lost with one host:')} ${lead.loss.oneHost}`, `${pc.bold('Lost with all hosts at once:')} ${lead.loss.allHosts}`]),
    '',
  ]
  for (const m of lead.members)
    lines.push(
      `  ${m.host}: ${m.fit ? pc.green('fit') : pc.yellow('not fit')} — ${m.position}${m.lagBytes === null ? '' : `, ${m.lagBytes} bytes behind`}${m.why === '' ? '' : ` (${m.why})`}`,
    )
  lines.push('')
  for (const v of views) {
    lines.push(
      `${pc.bold(v.asSeenBy)} now: ${v.now.diagnosisWhy}${v.now.evidence === '' ? '' : ` (${v.now.evidence})`}`,
      `  rule ${v.now.rule}: ${v.now.ruleWhy}`,
      ...(v.address == null ? [] : [`  ${v.address}`]),
      ...(v.backlog === null ? [] : [`  ${v.backlog}`]),
    )
  }
  const warnings = [...new Set(views.flatMap((v) => v.warnings.map((w) => `${v.asSeenBy}: ${w}`)))]
  if (warnings.length > 0) lines.push('', ...warnings.map((w) => pc.yellow(`! ${w}`)))
  return `${lines.join('\n')}\n`
}
