/** `holdfast backup take`: one backup now, by the agent of the member that is best read from. It asks; the agents choose, and make it. */
import type { Command } from '@commander-js/extra-typings'
import type { BackupReport, EndedBackup, RunningBackup, TakeAnswer } from '../backup/report.ts'
import { OperatorError } from '../model/error.ts'
import { ask, groupOf, openSession, type Session } from './ask.ts'
import { sizeWords, spanWords } from './backup-words.ts'
import { overLine } from './one-line.ts'
import { operator } from './salvage-open.ts'

const lookEveryMs = 500
/** An agent that is started anew is back by then, and has ended what it was making. */
const silentMs = 20_000
/** Where nobody watches. */
const lineEveryMs = 10_000

export function registerTake(backup: Command): void {
  backup
    .command('take')
    .description('take a backup now, from the best replica, and restore it in a test')
    .argument('<group>')
    .option('--from <host>', 'from this member, the primary too')
    .option('--reason <text>', 'why, for whoever reads its manifest', 'asked for')
    .option('--detach', 'do not wait until it is done')
    .option('--json', 'machine-readable')
    .action(async (group, options, command) => {
      const session = await openSession(command.optsWithGlobals() as unknown as { config: string })
      const host = options.from ?? (await chosenHost(session, group))
      checkMember(session, group, host)
      const begun = await begin({ session, group, host, isShown: options.json !== true }, options.from ?? null, options.reason)
      const { id, why } = begun
      if (options.detach === true) return tell(options.json === true, { group, host, id, why, detached: true }, `${id} is being taken from ${host}: ${why}`)
      const ended = await untilEnded(begun)
      if (options.json === true) process.stdout.write(`${JSON.stringify({ group, host, ...ended, why })}\n`)
      else if (ended.ok) process.stdout.write(`${ended.text}\n`)
      if (!ended.ok) throw notTaken(group, ended)
    })
}

/** As `backup take` does, for who needs one before something else. The answer: its id. */
export async function takeNow(session: Session, group: string, reason: string): Promise<string> {
  const begun = await begin({ session, group, host: await chosenHost(session, group), isShown: true }, null, reason)
  const ended = await untilEnded(begun)
  if (!ended.ok) throw notTaken(group, ended)
  return begun.id
}

function notTaken(group: string, { text }: EndedBackup): OperatorError {
  return new OperatorError('HF805', text, `see: holdfast status ${group}, and holdfast history ${group} --events`)
}

async function begin(at: Omit<Waited, 'id' | 'why'>, from: string | null, reason: string): Promise<Waited> {
  const { session, group, host } = at
  const body = { from, reason: reason === '' ? 'asked for' : reason, by: operator() }
  const begun = (await ask(session, host, { method: 'POST', path: `/groups/${group}/backup/take`, body })) as TakeAnswer
  if (!begun.ok) throw new OperatorError('HF804', begun.why, `see: holdfast status ${group}`)
  return { ...at, id: begun.id, why: begun.why }
}

function tell(json: boolean, data: object, text: string): void {
  process.stdout.write(json ? `${JSON.stringify(data)}\n` : `${text}\n`)
}

function checkMember(session: Session, group: string, host: string): void {
  const config = groupOf(session, group)
  if (config.backup === undefined)
    throw new OperatorError('HF811', `${group} has no backup section in ${session.config.file}`, 'add one: where they go is enough, see docs/backup.md', 2)
  const hosts = config.members.map((member) => member.host)
  if (!hosts.includes(host)) throw new OperatorError('HF104', `${host} is not a member of ${group}`, `members: ${hosts.join(', ')}`, 2)
}

/** Whom the agents name. They may differ for a moment: then the one that is asked says so. */
export async function chosenHost(session: Session, group: string): Promise<string> {
  const { members } = groupOf(session, group)
  for (const { host } of members.slice(0, 1)) checkMember(session, group, host)
  const reports = await Promise.all(
    members.map(async ({ host }): Promise<BackupReport | string> => {
      try {
        return (await ask(session, host, { method: 'GET', path: `/groups/${group}/backup` })) as BackupReport
      } catch (error) {
        if (!(error instanceof OperatorError)) throw error
        return `${host}: ${error.message}`
      }
    }),
  )
  const heard = reports.filter((report) => typeof report !== 'string')
  const named = heard.find(({ now }) => now.host !== null)?.now.host
  if (named != null) return named
  if (heard.length === 0) throw new OperatorError('HF301', `no agent of ${group} tells of backups: ${reports.join('; ')}`, 'start them with this configuration')
  throw new OperatorError('HF804', heard[0]?.now.why ?? '', `see: holdfast status ${group}`)
}

interface Waited {
  readonly session: Session
  readonly group: string
  readonly host: string
  readonly id: string
  /** Why from there. */
  readonly why: string
  readonly isShown: boolean
}

async function untilEnded(waited: Waited): Promise<EndedBackup> {
  const { session, group, host, id, isShown } = waited
  const path = `/groups/${group}/backup`
  let isCalledOff = false
  const callOff = (): void => {
    // Who asks again does not want to wait for the answer.
    if (isCalledOff) process.exit(130)
    isCalledOff = true
    void ask(session, host, { method: 'POST', path: `${path}/stop`, body: { id, by: operator() } }).catch(() => undefined)
  }
  process.on('SIGINT', callOff)
  const line = progress(isShown)
  let heardMs = performance.now()
  try {
    for (;;) {
      const report = await reportOf(session, host, path)
      if (report !== null) heardMs = performance.now()
      else if (performance.now() - heardMs > silentMs)
        throw new OperatorError('HF805', `the agent of ${host} does not answer any more`, `if it has ended, there is no ${id}; see: holdfast status ${group}`)
      if (report?.running?.id === id) line.show(report.running)
      else if (report?.ended?.id === id) return report.ended
      else if (report !== null)
        throw new OperatorError('HF805', `the agent of ${host} was started anew meanwhile: there is no ${id}`, 'run the same command again')
      await new Promise((resolve) => setTimeout(resolve, lookEveryMs))
    }
  } finally {
    line.end()
    process.off('SIGINT', callOff)
  }
}

async function reportOf(session: Session, host: string, path: string): Promise<BackupReport | null> {
  try {
    return (await ask(session, host, { method: 'GET', path })) as BackupReport
  } catch (error) {
    if (!(error instanceof OperatorError)) throw error
    return null
  }
}

function progress(isShown: boolean): { readonly show: (running: RunningBackup) => void; readonly end: () => void } {
  const isTty = process.stderr.isTTY
  let [phase, toldMs] = ['', Number.NEGATIVE_INFINITY]
  return {
    show: (running) => {
      if (!isShown) return
      const nowMs = performance.now()
      if (!isTty && running.phase === phase && nowMs - toldMs < lineEveryMs) return
      phase = running.phase
      toldMs = nowMs
      process.stderr.write(isTty ? overLine(progressWords(running), process.stderr.columns) : `${progressWords(running)}\n`)
    },
    end: () => {
      if (isShown && isTty) process.stderr.write('\r\x1b[K')
    },
  }
}

/** Redis does not always say how much there is to come: then it is as much as last time. */
export function progressWords({ phase, id, source, bytes, of, about, forMs }: RunningBackup): string {
  const head = phase === 'thinning out' ? `${id} is there; thinning the store out` : `${phase} ${id}${phase === 'taking' ? ` from ${source}` : ''}`
  if (bytes === 0) return head
  const all = of ?? (phase === 'taking' ? about : null)
  const perS = (bytes / Math.max(1, forMs)) * 1000
  const left = all === null || all <= bytes ? '' : `, ${of === null ? 'about ' : ''}${spanWords(((all - bytes) / perS) * 1000)} left`
  // Of last time's size, once there is more, nothing can be said.
  const whole = all === null || all < bytes ? '' : ` of ${of === null ? 'about ' : ''}${sizeWords(all)}`
  return `${head}: ${sizeWords(bytes)}${whole}, ${sizeWords(perS)}/s${left}`
}
