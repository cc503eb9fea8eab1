/**
 * `holdfast password`: a password of a running group, that of redis or that of its Sentinels, is changed in two steps, between which both are valid, so
 * that clients get time. What is left to do is what the agents say (password-look.ts); the steps are password-steps.ts.
 */
import { Option, type Command } from '@commander-js/extra-typings'
import { notOurs, passwordId } from '../agent/password-change.ts'
import { readNewPassword, readPassword, readSentinelPassword } from '../config/files.ts'
import { hostsOf, type Config, type GroupConfig } from '../model/config.ts'
import { OperatorError } from '../model/error.ts'
import { guardedHosts, passwordFileOf, passwordKinds, type PasswordOf } from '../model/password.ts'
import { askAll, groupOf, openSession, type Session } from './ask.ts'
import type { Subject } from './password-look.ts'
import { runChange } from './password-run.ts'

export function register(program: Command): void {
  program
    .command('password')
    .description('change a password of a running group: both are valid until --finish takes the old one away')
    .argument('<group>')
    .addOption(new Option('--of <whom>', "of redis, or the Sentinels' own").choices(passwordKinds).default('redis' as const))
    .option('--new-file <file>', 'holds the new password on one line')
    .option('--finish', 'the clients have the new one: take the old one away')
    .option('--without <host...>', 'go on although the agents of these hosts do not answer; run it again when they are back')
    .option('--dry-run', 'say what would happen')
    .option('--yes', 'do not ask')
    .action(async (name, options, command) => {
      const session = await openSession(command.optsWithGlobals() as unknown as { config: string })
      const group = groupOf(session, name)
      const { of, newFile, without = [] } = options
      const wanted = { finishes: options.finish === true, dryRun: options.dryRun === true, yes: options.yes === true }
      refuseFile(session.config, group, of)
      const password = await wantedPassword(group, of, newFile, wanted.finishes)
      await refuseWhileSecretChanges(session, group)
      const say = (text: string): void => void process.stdout.write(`${text}\n`)
      await runChange({ ...subjectOf(group, of), session, password, id: passwordId(session.secret, name, password), without, say }, wanted)
    })
}

function subjectOf(group: GroupConfig, of: PasswordOf): Subject {
  const { name } = group
  return {
    noun: 'password',
    path: `/groups/${name}/passwords/${of}`,
    hosts: hostsOf(group),
    groups: [group],
    guarded: guardedHosts(group, of),
    ...(of === 'redis' ? ofRedis(name) : ofSentinels(name)),
  }
}

type Words = Pick<Subject, 'whose' | 'guard' | 'talk' | 'plans' | 'away' | 'nextCommand'>

function ofRedis(name: string): Words {
  return {
    whose: name,
    guard: 'the redis',
    talk: null,
    plans: {
      offer: 'then: every redis takes the new password beside the old one (ACL SETUSER); nobody is disconnected',
      use: 'then: agents and replication come with the new one (masterauth), and it stands in the password files; the old one stays valid for clients',
      finish: 'then: the old one is refused to whoever connects from now on (requirepass); connections that are open stay so',
    },
    away: 'until this is run again, nobody can replicate from or to that host',
    nextCommand: `give clients the new one, then: holdfast password ${name} --finish`,
  }
}

function ofSentinels(name: string): Words {
  return {
    whose: `the Sentinels of ${name}`,
    guard: 'the Sentinel',
    talk: 'Sentinels',
    plans: {
      offer: 'then: every Sentinel takes the new password beside the old one (ACL SETUSER); nobody is disconnected',
      use: 'then: agents and Sentinels come to each other with the new one (sentinel-pass), and it stands in the password files; the old one stays valid for clients',
      finish: 'then: every Sentinel refuses the old one to whoever connects from now on; connections that are open stay so',
    },
    away: 'until this is run again, the Sentinel of that host is not heard by the others, and counts for nobody',
    nextCommand: `give clients the new one, then: holdfast password ${name} --of sentinels --finish`,
  }
}

function refuseFile(config: Config, group: GroupConfig, of: PasswordOf): void {
  const { name } = group
  if (of === 'sentinels' && group.sentinel === undefined)
    throw new OperatorError('HF801', `group ${name} has no Sentinels`, 'only a group with mode: sentinel has', 2)
  const file = passwordFileOf(group, of)
  if (file === undefined)
    throw new OperatorError(
      'HF801',
      of === 'redis' ? `group ${name} has no password_file` : `the Sentinels of group ${name} have no password_file`,
      'those that run without a password cannot be given one: clients that do not know it would be shut out',
    )
  const theirs = notOurs(group, of)
  if (theirs !== null) throw new OperatorError('HF801', `${name}: ${theirs}`, 'change them there, host by host')
  const uses = Object.values(config.groups).flatMap((g) => passwordKinds.flatMap((kind) => (passwordFileOf(g, kind) === file ? [`${g.name} (${kind})`] : [])))
  if (uses.length > 1)
    throw new OperatorError(
      'HF801',
      `${file} holds the password of more than one: ${uses.join(', ')}`,
      'with the one, that of the others would change in it and not where it is asked for: on each host, copy it, name the copy in the configuration, and start the agent again; then change one after the other',
    )
}

/** After the first step, the password file of this host holds the new one. */
async function wantedPassword(group: GroupConfig, of: PasswordOf, file: string | undefined, finishes: boolean): Promise<string> {
  if (file !== undefined) return readNewPassword(file, of)
  if (!finishes) throw new OperatorError('HF801', 'which password?', 'name the file that holds the new one: --new-file FILE', 2)
  return (await (of === 'redis' ? readPassword(group) : readSentinelPassword(group))) ?? ''
}

/** The ids by which passwords are compared are made with it. */
async function refuseWhileSecretChanges(session: Session, group: GroupConfig): Promise<void> {
  const changing = (await askAll(session, hostsOf(group))).filter((a) => a.secretChanging === true)
  if (changing.length > 0)
    throw new OperatorError(
      'HF801',
      `the secret of the agents is being changed on ${changing.map((a) => a.host).join(', ')}`,
      'first: holdfast secret --finish',
    )
}
