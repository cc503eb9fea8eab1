/** `holdfast password` and `holdfast secret`, once it is known what is to be changed: what stands against it, the plan, the question, the steps. */
import { confirm, isCancel } from '@clack/prompts'
import { OperatorError } from '../model/error.ts'
import { statusOf } from './ask.ts'
import { draw, lookAll, stepsFor, type Change, type Seen } from './password-look.ts'
import { carryOut, untilHeard } from './password-steps.ts'

export interface Wanted {
  readonly finishes: boolean
  readonly dryRun: boolean
  readonly yes: boolean
}

export async function runChange(change: Change, { finishes, dryRun, yes }: Wanted): Promise<void> {
  const { noun, whose, nextCommand, say } = change
  const seen = await lookAll(change)
  refuse(change, seen, finishes)
  for (const line of draw(change, seen, finishes)) say(line)
  const steps = stepsFor(change, seen, finishes)
  if (dryRun || steps.length === 0) return
  await wellEnough(change, finishes)
  await confirmed(change, yes, finishes)
  for (const step of steps) await carryOut(change, step)
  say(finishes ? `the old ${noun} of ${whose} is taken away` : `both ${noun}s of ${whose} are valid; ${nextCommand}`)
}

function refuse({ id, noun, guard, away, without }: Change, seen: readonly Seen[], finishes: boolean): void {
  const silent = seen.filter((s) => s.word === null && !without.includes(s.host))
  if (silent.length > 0)
    throw new OperatorError(
      'HF801',
      silent.map((s) => `${s.host} cannot be told: ${s.why}`).join('; '),
      `start its agent; or go on without (--without ${silent.map((s) => s.host).join(' ')}): ${away}`,
    )
  const strange = seen.filter((s) => s.word !== null && s.word.stage !== 'none' && s.word.current !== id && s.word.other !== id)
  if (strange.length > 0)
    throw new OperatorError(
      'HF801',
      `a change to another ${noun} is under way on ${strange.map((s) => s.host).join(', ')}`,
      `finish that one first, or go back with --new-file and the old ${noun}`,
    )
  const old = seen.filter((s) => s.word !== null && s.word.stage === 'using' && s.word.other === id)
  if (finishes && old.length > 0)
    throw new OperatorError(
      'HF801',
      `this is the old one on ${old.map((s) => s.host).join(', ')}, and --finish takes the old one away`,
      'name the new one: --new-file FILE (the hosts have it in their own file already)',
    )
  const unused = seen.filter((s) => s.word !== null && s.word.current !== id)
  if (finishes && unused.length > 0)
    throw new OperatorError(
      'HF801',
      `not in use yet on ${unused.map((s) => s.host).join(', ')}`,
      `first without --finish, with --new-file; both ${noun}s are valid then`,
    )
  const behind = seen.filter((s) => s.word?.comes === false)
  if (finishes && behind.length > 0)
    throw new OperatorError(
      'HF801',
      `${guard} of ${behind.map((s) => s.host).join(', ')} does not come with it yet`,
      'its agent sees to that within seconds; or run it without --finish, with --new-file: it does what is left',
    )
  const open = seen.filter((s) => s.word?.isOpen === true)
  if (!finishes && open.length > 0)
    throw new OperatorError(
      'HF801',
      `anybody is let in on ${open.map((s) => s.host).join(', ')}`,
      `first --finish, which asks for the ${noun} that is configured`,
    )
}

async function wellEnough(change: Change, finishes: boolean): Promise<void> {
  const { session, groups, noun, talk } = change
  for (const group of groups) {
    const [status] = await statusOf(session, group.name)
    if (status?.primary == null)
      throw new OperatorError('HF801', `${group.name} has no primary: ${status?.because ?? ''}`, `change the ${noun} when it serves again`)
    const { primary } = status
    const why = finishes && talk === 'Sentinels' ? await untilHeard(change, group, primary) : null
    if (why !== null) throw new OperatorError('HF801', why, `take the old ${noun} away when they are well again`)
  }
}

async function confirmed({ noun, whose }: Change, yes: boolean, finishes: boolean): Promise<void> {
  if (yes) return
  if (!process.stdin.isTTY) throw new OperatorError('HF802', `the ${noun} of ${whose} would be changed; it was not confirmed`, 'see --dry-run; then add --yes')
  const answer = await confirm({ message: finishes ? `Does everybody who needs it have the new ${noun}?` : 'Go on?', initialValue: false })
  if (isCancel(answer) || !answer) throw new OperatorError('HF802', 'broken off: nothing was changed', 'see --dry-run')
}
