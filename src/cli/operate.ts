/** The verbs that change a running group: switchover, failover, pause, resume, reinit. They ask; the agents decide. */
import type { Command } from '@commander-js/extra-typings'
import pc from 'picocolors'
import { OperatorError } from '../model/error.ts'
import { ask, groupOf, openSession, refusal, send, statusOf, type GroupStatus, type Session } from './ask.ts'
import { SyncSpeed, drawGroup } from './status.ts'

type Globals = { readonly config: string }

export function register(program: Command): void {
  program
    .command('switchover')
    .description('move the primary to another host without losing a write; rolled back if it cannot be done in time')
    .argument('<group>')
    .option('--to <host>', 'the new primary (default: the best replica)')
    .option('--dry-run', 'check only, and say what would happen')
    .option('--json', 'machine-readable')
    .action(async (group, options, command) => {
      const session = await openSession(command.optsWithGlobals() as unknown as Globals)
      checkHost(session, group, options.to)
      const status = await one(session, group)
      if (status.primary === null)
        throw new OperatorError(
          'HF303',
          `${group} has no primary: ${status.because}`,
          'a switchover needs a primary that serves; see explain, or failover --force',
        )
      const dryRun = options.dryRun === true
      const result = await unlessCalledOff(group, dryRun, send(session, status.primary, group, { kind: 'switchover', to: options.to ?? null, dryRun }))
      if (result.ok || options.json === true) report(result.message, options.json === true, { group, from: status.primary, ok: result.ok })
      if (!result.ok) throw refusal(result, group)
    })

  program
    .command('failover')
    .description('promote a member although the primary does not co-operate: overrides the safety rules')
    .argument('<group>')
    .option('--to <host>', 'the new primary (default: the best replica that answers)')
    .option('--force', 'yes, override: writes that only the old primary has may be lost')
    .option('--dry-run', 'say what would happen')
    .option('--json', 'machine-readable')
    .action(async (group, options, command) => {
      const session = await openSession(command.optsWithGlobals() as unknown as Globals)
      checkHost(session, group, options.to)
      if (options.force !== true && options.dryRun !== true)
        throw new OperatorError(
          'HF303',
          'a failover overrides the rules that protect acknowledged writes',
          'say --force if you mean it; with a primary that serves, switchover loses nothing',
          2,
        )
      const target = options.to ?? (await bestTarget(session, group))
      const dryRun = options.dryRun === true
      const result = await unlessCalledOff(group, dryRun, send(session, target, group, { kind: 'failover', to: target, dryRun }))
      if (!result.ok && options.json === true) report(result.message, true, { group, to: target, ok: false })
      if (!result.ok) throw refusal(result, group)
      if (!dryRun) await untilServes(session, group, target, result.message)
      report(result.message, options.json === true, { group, to: target, ok: true })
    })

  for (const kind of ['pause', 'resume'] as const) {
    program
      .command(kind)
      .description(kind === 'pause' ? 'no automatic failover until resume (for maintenance)' : 'automatic failover again')
      .argument('<group>')
      .option('--json', 'machine-readable')
      .action(async (group, options, command) => {
        const session = await openSession(command.optsWithGlobals() as unknown as Globals)
        const hosts = groupOf(session, group).members.map((m) => m.host)
        const answers = await Promise.all(hosts.map((host) => tell(session, host, group, kind)))
        const told = answers.flatMap((a) => (a.refused === null ? [a.host] : []))
        const refused = answers.find((a) => a.refused !== null)?.refused ?? ''
        if (told.length === 0)
          throw new OperatorError('HF301', `no agent of ${group} could be told: ${refused}`, 'the agents of the group must run to be paused')
        const missed = hosts.length - told.length
        const word = `automatic failover of ${group} is ${kind === 'pause' ? 'paused' : 'on'} (told: ${told.join(', ')}${missed > 0 ? '; the others will hear of it from these' : ''})`
        const warnings = [...new Set(answers.flatMap((a) => a.warning))]
        report([word, ...warnings].join('\n'), options.json === true, { group, told, ok: true })
      })
  }

  program
    .command('reinit')
    .description("give a replica's data up and fetch them anew from the primary")
    .argument('<group>')
    .argument('<host>')
    .option('--dry-run', 'say what would happen')
    .option('--no-wait', 'do not wait until the full sync has ended')
    .option('--json', 'machine-readable')
    .action(async (group, host, options, command) => {
      const session = await openSession(command.optsWithGlobals() as unknown as Globals)
      checkHost(session, group, host)
      const result = await send(session, host, group, { kind: 'reinit', to: host, dryRun: options.dryRun === true })
      if (!result.ok) throw refusal(result, group)
      if (options.dryRun === true || !options.wait) report(result.message, options.json === true, { group, host, ok: true })
      else await waitForSync(session, group, host, options.json === true)
    })

  program
    .command('__fault', { hidden: true })
    .argument('<group>')
    .argument('<kind>')
    .action(async (group, kind, _options, command) => {
      const session = await openSession(command.optsWithGlobals() as unknown as Globals)
      const status = await one(session, group)
      if (status.primary === null) throw new OperatorError('HF303', `${group} has no primary`, status.because)
      const result = (await ask(session, status.primary, { method: 'POST', path: `/groups/${group}/fault/${kind}` })) as { ok: boolean; message: string }
      report(result.message, false, {})
      if (!result.ok) throw new OperatorError('HF303', result.message, 'see the log of the agent')
    })
}

/** An agent ends what it was asked to do whether or not anybody waits for it: whoever presses Ctrl-C is told so. */
async function unlessCalledOff<T>(group: string, dryRun: boolean, asked: Promise<T>): Promise<T> {
  const leave = (): void => {
    process.stderr.write(dryRun ? '' : `\nit was asked for and is not called off by this: see holdfast status ${group}\n`)
    process.exit(130)
  }
  process.once('SIGINT', leave)
  try {
    return await asked
  } finally {
    process.off('SIGINT', leave)
  }
}

const promotedWithinMs = 20_000

/** The answer to a forced failover is that the agent has decided; 0 is for what is done. */
async function untilServes(session: Session, group: string, target: string, message: string): Promise<void> {
  const endMs = performance.now() + promotedWithinMs
  for (;;) {
    const status = await one(session, group)
    if (status.primary === target) return
    if (performance.now() > endMs)
      throw new OperatorError(
        'HF304',
        `${message}, and it does not serve after ${promotedWithinMs / 1000} s: ${status.because}`,
        `see: holdfast explain ${group}`,
      )
    await new Promise((resolve) => setTimeout(resolve, 100))
  }
}

/** A member that is cut off is not waited for long: it hears of it from the others as soon as it can. */
const tellDeadlineMs = 3000

async function tell(
  session: Session,
  host: string,
  group: string,
  kind: 'pause' | 'resume',
): Promise<{ readonly host: string; readonly refused: string | null; readonly warning: readonly string[] }> {
  try {
    const result = await send(session, host, group, { kind, to: null, dryRun: false }, tellDeadlineMs)
    return { host, refused: result.ok ? null : result.message, warning: result.message.split('; ').slice(1) }
  } catch (error) {
    if (!(error instanceof OperatorError)) throw error
    return { host, refused: error.message, warning: [] }
  }
}

function report(message: string, json: boolean, data: object): void {
  process.stdout.write(json ? `${JSON.stringify({ ...data, message })}\n` : `${message}\n`)
}

async function one(session: Session, group: string): Promise<GroupStatus> {
  const [status] = await statusOf(session, group)
  if (status === undefined) throw new OperatorError('HF104', `no group ${group}`, '', 2)
  if (status.members.every((m) => m.agent === 'down'))
    throw new OperatorError('HF301', `no agent of ${group} answers`, `start them: holdfast agent --host ${status.members[0]?.host ?? 'NAME'}`)
  return status
}

function checkHost(session: Session, group: string, host: string | undefined): void {
  const hosts = groupOf(session, group).members.map((m) => m.host)
  if (host !== undefined && !hosts.includes(host)) throw new OperatorError('HF104', `${host} is not a member of ${group}`, `members: ${hosts.join(', ')}`, 2)
}

/** Most data first; the agents' own fitness words are not asked, because overriding them is what this is for. */
async function bestTarget(session: Session, group: string): Promise<string> {
  const status = await one(session, group)
  const candidates = status.members.filter((m) => m.host !== status.primary && m.agent === 'up' && m.offset !== null && m.state !== 'redis down')
  const [best] = candidates.sort((a, b) => Number(b.fit) - Number(a.fit) || (b.offset ?? 0) - (a.offset ?? 0))
  if (best === undefined) throw new OperatorError('HF303', `no member of ${group} could be promoted: ${status.because}`, 'name one with --to')
  return best.host
}

const syncDeadlineMs = 24 * 3_600_000

async function waitForSync(session: Session, group: string, host: string, json: boolean): Promise<void> {
  const speed = new SyncSpeed()
  const startedMs = performance.now()
  let line = ''
  for (;;) {
    const status = await one(session, group)
    const member = status.members.find((m) => m.host === host)
    if (member?.state === 'streaming' && member.fit) break
    if (performance.now() - startedMs > syncDeadlineMs) throw new OperatorError('HF304', `${host} is not filled after a day`, drawGroup(status, speed))
    const eta = member?.syncLeftBytes == null ? null : speed.etaS(host, member.syncLeftBytes, performance.now())
    const next = `${host}: ${member?.state ?? 'unknown'}${member?.syncPercent == null ? '' : ` ${member.syncPercent} %`}${eta === null ? '' : `, about ${eta} s`}`
    if (!json && next !== line) process.stderr.write(process.stderr.isTTY ? `\r\x1b[K${next}` : `${next}\n`)
    line = next
    await new Promise((resolve) => setTimeout(resolve, 250))
  }
  if (!json && process.stderr.isTTY) process.stderr.write('\r\x1b[K')
  report(`${host} was filled anew in ${((performance.now() - startedMs) / 1000).toFixed(1)} s and ${pc.green('streams')}`, json, {
    group,
    host,
    ok: true,
    tookMs: Math.round(performance.now() - startedMs),
  })
}
