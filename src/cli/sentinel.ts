/** `holdfast sentinel status|ckquorum|check|repair`: what the Sentinels of a group say, asked through the agents. They ask; the core judges. */
import type { Command } from '@commander-js/extra-typings'
import pc from 'picocolors'
import { hostsToSpare, mergePictures, sideBySide } from '../decide/sentinel-compare.ts'
import { findingsOf } from '../decide/sentinel-hygiene.ts'
import { OperatorError } from '../model/error.ts'
import { layoutOf, type SentinelLayout, type SentinelPicture } from '../model/sentinel-look.ts'
import { ask, askAll, groupOf, openSession, type Session } from './ask.ts'
import { drawFindings, drawSideBySide, votesTold } from './sentinel-draw.ts'
import { repairSentinels } from './sentinel-repair.ts'

/** A stranger is listened for, for as long as it may need to say who it is. */
const lookDeadlineMs = 10_000

export interface Looked {
  readonly layout: SentinelLayout
  /** Those of members first: who has no data does not see whom the primary feeds. */
  readonly pictures: readonly SentinelPicture[]
  readonly merged: SentinelPicture
  /** Agents that gave no look, and why. */
  readonly silent: readonly string[]
}

export function register(program: Command): void {
  const sentinel = program.command('sentinel').description('what the Sentinels of a group know: side by side, checked, repaired')

  sentinel
    .command('status')
    .description("every Sentinel's view side by side, disagreements marked")
    .argument('<group>')
    .option('--json', 'machine-readable')
    .action(async (group, options, command) => {
      const session = await openSession(command.optsWithGlobals() as unknown as { config: string })
      const looked = await lookAt(session, group)
      const told = votesTold(
        await askAll(
          session,
          looked.pictures.map((p) => p.asker),
        ),
        group,
      )
      const { rows, wrong } = sideBySide(looked.layout, looked.pictures)
      const result = { group, sentinels: rows.map((row) => ({ ...row, vote: told.get(row.host) ?? null })), wrong, silentAgents: looked.silent }
      process.stdout.write(options.json === true ? `${JSON.stringify(result, null, 2)}\n` : drawSideBySide(looked, rows, wrong, told))
      if (wrong.length > 0) process.exitCode = 1
    })

  sentinel
    .command('ckquorum')
    .description('can each Sentinel reach a quorum and a majority (SENTINEL CKQUORUM), and how many hosts may be lost')
    .argument('<group>')
    .option('--json', 'machine-readable')
    .action(async (group, options, command) => {
      const session = await openSession(command.optsWithGlobals() as unknown as { config: string })
      const { layout, merged } = await lookAt(session, group)
      const answers = merged.sentinels.map((s) => ({ host: s.host, ok: s.ckquorum?.ok === true, text: s.ckquorum?.text ?? s.trouble ?? 'no answer' }))
      const { spare, why } = hostsToSpare(layout, merged)
      const isOk = answers.length > 0 && answers.every((a) => a.ok)
      if (options.json === true) process.stdout.write(`${JSON.stringify({ group, ok: isOk, answers, hostsToSpare: spare, because: why })}\n`)
      else {
        const lines = answers.map((a) => `${a.host}: ${a.ok ? pc.green(a.text) : pc.red(a.text)}`)
        process.stdout.write(`${[...lines, spareWords(spare, why)].join('\n')}\n`)
      }
      if (!isOk) process.exitCode = 1
    })

  sentinel
    .command('check')
    .description('compare what each Sentinel knows with the configuration: stale and foreign entries, ids that are not unique, merged groups')
    .argument('<group>')
    .option('--json', 'machine-readable')
    .action(async (group, options, command) => {
      const session = await openSession(command.optsWithGlobals() as unknown as { config: string })
      const looked = await lookAt(session, group)
      const findings = findingsOf(looked.layout, looked.merged)
      process.stdout.write(options.json === true ? `${JSON.stringify({ group, findings }, null, 2)}\n` : drawFindings(looked, findings))
      if (findings.length > 0) process.exitCode = 1
    })

  sentinel
    .command('repair')
    .description('bring what check finds in order, one Sentinel at a time; run it again to do what is left')
    .argument('<group>')
    .option('--dry-run', 'say what would be done')
    .option('--yes', 'do not ask')
    .option('--json', 'machine-readable')
    .action(async (group, options, command) => {
      const session = await openSession(command.optsWithGlobals() as unknown as { config: string })
      await repairSentinels({
        session,
        group,
        dryRun: options.dryRun === true,
        yes: options.yes === true,
        json: options.json === true,
        look: () => lookAt(session, group),
      })
    })
}

async function lookAt(session: Session, name: string): Promise<Looked> {
  const group = groupOf(session, name)
  const layout = layoutOf(session.config, group)
  if (layout === null) throw new OperatorError('HF701', `${name} is in mode ${group.mode} and has no Sentinels`, `see: holdfast status ${name}`, 2)
  const hosts = [...new Set([...layout.members, ...layout.sentinels].map((at) => at.host))]
  const looks = await Promise.all(
    hosts.map(async (host): Promise<SentinelPicture | string> => {
      try {
        return (await ask(session, host, { method: 'GET', path: `/groups/${name}/sentinels`, deadlineMs: lookDeadlineMs })) as SentinelPicture
      } catch (error) {
        if (!(error instanceof OperatorError)) throw error
        return error.message
      }
    }),
  )
  const silent = looks.filter((look) => typeof look === 'string')
  const pictures = looks.filter((look) => typeof look !== 'string')
  const merged = mergePictures(layout, pictures)
  if (merged === null)
    throw new OperatorError('HF301', `no agent of ${name} could look at the Sentinels: ${silent[0] ?? ''}`, 'start the agents: holdfast agent')
  return { layout, pictures, merged, silent }
}

function spareWords(spare: number, why: string): string {
  if (spare < 0) return pc.red(`Nobody can be elected now: ${why}.`)
  if (spare === 0) return pc.yellow(`No further host may be lost: ${why}.`)
  return `${spare} more ${spare === 1 ? 'host' : 'hosts'} may be lost before nobody can be elected: ${why}.`
}
