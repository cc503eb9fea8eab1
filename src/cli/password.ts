/**
 * `holdfast password`: the password of a running group is changed in two steps, between which both are valid, so that clients get time. Nothing is
 * remembered here: what is left to do is what the agents say. What a host does in each step is agent/password-change.ts.
 */
import { confirm, isCancel } from '@clack/prompts'
import type { Command } from '@commander-js/extra-typings'
import { passwordId } from '../agent/password-change.ts'
import { readNewPassword, readPassword } from '../config/files.ts'
import { hostsOf, type GroupConfig } from '../model/config.ts'
import { OperatorError } from '../model/error.ts'
import type { PasswordAnswer, PasswordStep, PasswordWord } from '../model/password.ts'
import { ask, groupOf, openSession, statusOf, type Session } from './ask.ts'

interface Seen {
  readonly host: string
  readonly isMember: boolean
  /** null: it does not answer. */
  readonly word: PasswordWord | null
  readonly why: string
}

interface Change {
  readonly session: Session
  readonly group: GroupConfig
  readonly password: string
  /** Of the new password. */
  readonly id: string
  readonly without: readonly string[]
  readonly say: (text: string) => void
}

const settleWithinMs = 20_000
/** Longer than an agent waits before it starts anew. */
const lookAgainMs = 200

export function register(program: Command): void {
  program
    .command('password')
    .description('change the password of a running group: both are valid until --finish takes the old one away')
    .argument('<group>')
    .option('--new-file <file>', 'holds the new password on one line')
    .option('--finish', 'the clients have the new one: take the old one away')
    .option('--without <host...>', 'go on although the agents of these hosts do not answer; run it again when they are back')
    .option('--dry-run', 'say what would happen')
    .option('--yes', 'do not ask')
    .action(async (name, options, command) => {
      const session = await openSession(command.optsWithGlobals() as unknown as { config: string })
      const group = groupOf(session, name)
      const finishes = options.finish === true
      const password = await wantedPassword(group, options.newFile, finishes)
      const id = passwordId(session.secret, name, password)
      const change: Change = { session, group, password, id, without: options.without ?? [], say: (text) => void process.stdout.write(`${text}\n`) }
      const seen = await lookAll(change)
      refuse(change, seen, finishes)
      for (const line of draw(change, seen, finishes)) change.say(line)
      const steps = stepsFor(change, seen, finishes)
      if (options.dryRun === true || steps.length === 0) return
      await wellEnough(change)
      await confirmed(options.yes === true, finishes)
      for (const step of steps) await carryOut(change, step)
      change.say(
        finishes
          ? `the old password of ${name} is taken away`
          : `both passwords of ${name} are valid; give clients the new one, then: holdfast password ${name} --finish`,
      )
    })
}

/** After the first step, the password file of this host holds the new one. */
async function wantedPassword(group: GroupConfig, file: string | undefined, finishes: boolean): Promise<string> {
  if (group.passwordFile === undefined)
    throw new OperatorError(
      'HF801',
      `group ${group.name} has no password_file`,
      'a group that runs without a password cannot be given one: clients that do not know it would be shut out',
    )
  if (group.process === 'external')
    throw new OperatorError('HF801', `the redis of group ${group.name} is external`, 'the passwords in its redis.conf are yours to change')
  if (file !== undefined) return readNewPassword(file)
  if (!finishes) throw new OperatorError('HF801', 'which password?', 'name the file that holds the new one: --new-file FILE', 2)
  return (await readPassword(group)) ?? ''
}

function lookAll(change: Change): Promise<readonly Seen[]> {
  return Promise.all(hostsOf(change.group).map((host) => lookAt(change, host)))
}

async function lookAt({ session, group }: Change, host: string): Promise<Seen> {
  const isMember = group.members.some((m) => m.host === host)
  try {
    const { word } = (await ask(session, host, { method: 'GET', path: `/groups/${group.name}/password` })) as { word: PasswordWord | null }
    return { host, isMember, word, why: '' }
  } catch (error) {
    if (!(error instanceof OperatorError)) throw error
    return { host, isMember, word: null, why: error.message }
  }
}

function refuse({ id, without }: Change, seen: readonly Seen[], finishes: boolean): void {
  const silent = seen.filter((s) => s.word === null && !without.includes(s.host))
  if (silent.length > 0)
    throw new OperatorError(
      'HF801',
      silent.map((s) => `${s.host} cannot be told: ${s.why}`).join('; '),
      `start its agent; or go on without (--without ${silent.map((s) => s.host).join(' ')}): until this is run again, nobody can replicate from or to that host`,
    )
  const strange = seen.filter((s) => s.word !== null && s.word.stage !== 'none' && s.word.current !== id && s.word.other !== id)
  if (strange.length > 0)
    throw new OperatorError(
      'HF801',
      `a change to another password is under way on ${strange.map((s) => s.host).join(', ')}`,
      'finish that one first, or go back with --new-file and the old password',
    )
  const unused = seen.filter((s) => s.word !== null && s.word.current !== id)
  if (finishes && unused.length > 0)
    throw new OperatorError(
      'HF801',
      `not in use yet on ${unused.map((s) => s.host).join(', ')}`,
      'first without --finish, with --new-file; both passwords are valid then',
    )
}

/** It does not know the new one, is on the way to the other, or its redis does not take what it should. */
function needsOffer({ stage, current, takesCurrent, takesOther }: PasswordWord, id: string): boolean {
  const isOnTheWay = current === id ? stage !== 'offered' : stage === 'offered'
  return !isOnTheWay || takesCurrent === false || takesOther === false
}

/** A step at all hosts before the next one at any: whoever is asked to take the new one must be able to. */
function stepsFor({ id }: Change, seen: readonly Seen[], finishes: boolean): readonly PasswordStep[] {
  const known = seen.flatMap((s) => (s.word === null ? [] : [{ ...s.word, isMember: s.isMember }]))
  const old = known.filter((w) => w.current !== id)
  if (finishes) return known.some((w) => w.stage !== 'none') ? ['finish'] : []
  const unoffered = known.some((w) => needsOffer(w, id))
  return [...(unoffered ? (['offer'] as const) : []), ...(old.length > 0 ? (['use'] as const) : [])]
}

function draw(change: Change, seen: readonly Seen[], finishes: boolean): readonly string[] {
  const { id } = change
  const words = seen.map(({ host, word, why }) => {
    if (word === null) return `${host}: does not answer (${why})`
    const now =
      word.current === id ? 'comes with the new one' : word.other === id ? 'comes with the old one; the new one is valid too' : 'knows only the old one'
    return `${host}: ${now}${word.stage === 'using' && word.current === id ? '; the old one is still valid' : ''}`
  })
  const plan: Record<PasswordStep, string> = {
    offer: 'then: every redis takes the new password beside the old one (ACL SETUSER); nobody is disconnected',
    use: 'then: agents and replication come with the new one (masterauth), and it stands in the password files; the old one stays valid for clients',
    finish: 'then: the old one is refused to whoever connects from now on (requirepass); connections that are open stay so',
  }
  const steps = stepsFor(change, seen, finishes)
  return [...words, ...steps.map((step) => plan[step]), ...(steps.length === 0 ? ['nothing is left to do'] : [])]
}

async function wellEnough({ session, group }: Change): Promise<void> {
  const [status] = await statusOf(session, group.name)
  if (status?.primary == null)
    throw new OperatorError('HF801', `${group.name} has no primary: ${status?.because ?? ''}`, 'change its password when it serves again')
}

async function confirmed(yes: boolean, finishes: boolean): Promise<void> {
  if (yes) return
  if (!process.stdin.isTTY)
    throw new OperatorError('HF802', 'the password of a running group would be changed; it was not confirmed', 'see --dry-run; then add --yes')
  const answer = await confirm({ message: finishes ? 'Do all clients have the new one?' : 'Go on?', initialValue: false })
  if (isCancel(answer) || !answer) throw new OperatorError('HF802', 'broken off: nothing was changed', 'see --dry-run')
}

/** One host after the other: each agent starts anew after its step. */
async function carryOut(change: Change, step: PasswordStep): Promise<void> {
  const { session, group, password, without, say } = change
  const done: string[] = []
  const seen = await lookAll(change)
  for (const host of hostsOf(group)) {
    const word = seen.find((s) => s.host === host)?.word ?? null
    if (isThereAlready(change, step, word) || (word === null && without.includes(host))) continue
    const stop = (why: string): OperatorError =>
      new OperatorError(
        'HF803',
        `${step}: ${host}: ${why}; done: ${done.join(', ') || 'none'}`,
        'the group serves; mend this, then run the same command again: it does what is left',
      )
    try {
      const answer = (await ask(session, host, {
        method: 'POST',
        path: `/groups/${group.name}/password`,
        body: { step, password },
        deadlineMs: 10_000,
      })) as PasswordAnswer
      if (!answer.ok) throw stop(answer.why)
      const why = await untilSettled(change, host, step)
      if (why !== null) throw stop(why)
      done.push(host)
    } catch (error) {
      if (!(error instanceof OperatorError) || error.code === 'HF803') throw error
      if (!without.includes(host)) throw stop(error.message)
    }
  }
  say(`${step}: ${done.join(', ')}`)
}

function isThereAlready({ id }: Change, step: PasswordStep, word: PasswordWord | null): boolean {
  if (word === null) return false
  if (step === 'finish') return word.stage === 'none'
  return step === 'offer' ? !needsOffer(word, id) : word.current === id
}

/** null: the agent runs anew, its redis takes what it should, and no replication is broken. */
async function untilSettled(change: Change, host: string, step: PasswordStep): Promise<string | null> {
  const { id, group, session, without } = change
  const deadlineMs = performance.now() + settleWithinMs
  let why = 'no answer'
  while (performance.now() < deadlineMs) {
    // Also the answer of the agent that is about to start anew would do: what it says comes from the disk and from redis.
    await new Promise((resolve) => setTimeout(resolve, lookAgainMs))
    const { word, isMember, why: silence } = await lookAt(change, host)
    if (word === null) {
      why = silence
      continue
    }
    const takes = !isMember || (word.takesCurrent === true && word.takesOther !== false)
    const isThere = step === 'offer' ? word.current === id || word.other === id : word.current === id && (step === 'use' || word.stage === 'none')
    if (!isThere) why = `it is at ${word.stage}`
    else if (!takes) why = 'its redis does not take the password'
    else {
      const [status] = await statusOf(session, group.name)
      const broken = status?.members.find((m) => m.role === 'none' && !without.includes(m.host))
      if (broken === undefined && status?.primary != null) return null
      why = broken === undefined ? 'the group has no primary' : `${broken.host}: ${broken.state}`
    }
  }
  return `not within ${settleWithinMs / 1000} s: ${why}`
}
