/**
 * `holdfast secret`: the secret that all agents have in common is changed while they run, in two steps, between which both are valid: the agents go over first, then
 * whoever asks them gets time. What a host does in each step is agent/secret-change.ts.
 */
import type { Command } from '@commander-js/extra-typings'
import { secretId } from '../agent/password-change.ts'
import { readNewSecret } from '../config/files.ts'
import { hostsOf, type Config } from '../model/config.ts'
import { OperatorError } from '../model/error.ts'
import { openSession } from './ask.ts'
import type { Subject } from './password-look.ts'
import { runChange } from './password-run.ts'

export function register(program: Command): void {
  program
    .command('secret')
    .description('change the secret that all agents have in common: both are valid until --finish takes the old one away')
    .option('--new-file <file>', 'holds the new secret')
    .option('--finish', 'whoever asks the agents has the new one: take the old one away')
    .option('--without <host...>', 'go on although the agents of these hosts do not answer')
    .option('--dry-run', 'say what would happen')
    .option('--yes', 'do not ask')
    .action(async (options, command) => {
      const before = await openSession(command.optsWithGlobals() as unknown as { config: string })
      const { newFile, without = [] } = options
      const wanted = { finishes: options.finish === true, dryRun: options.dryRun === true, yes: options.yes === true }
      if (newFile === undefined && !wanted.finishes)
        throw new OperatorError('HF801', 'which secret?', 'name the file that holds the new one: --new-file FILE (openssl rand -hex 32)', 2)
      // After the first step, the secret file of a host holds the new one.
      const secret = newFile === undefined ? before.secret : await readNewSecret(newFile)
      // Who has the new one already, or only it, is asked with it.
      const session = { ...before, secret, otherSecret: before.secret }
      const say = (text: string): void => void process.stdout.write(`${text}\n`)
      await runChange({ ...subjectOf(before.config), session, password: secret, id: secretId(secret), without, say }, wanted)
    })
}

function subjectOf(config: Config): Subject {
  const groups = Object.values(config.groups)
  const hosts = [...new Set(groups.flatMap(hostsOf))]
  return {
    noun: 'secret',
    whose: 'the agents',
    path: '/secret',
    hosts,
    groups,
    guarded: hosts,
    guard: 'what runs',
    talk: 'agents',
    plans: {
      offer:
        'then: every agent lets in whoever has the new one beside those who have the old one, and so does every redis with the Sentinels, whose password is made of it',
      use: 'then: the agents, and the Sentinels of their hosts, come with the new one, and it stands in the secret files; the old one stays valid for whoever asks the agents',
      finish: 'then: the old one is refused',
    },
    away: 'their agents will not be heard by the others until the new one is in their secret file and they have been started again',
    nextCommand: `bring the new one to every machine from which the agents are asked (${config.api.secretFile}), then: holdfast secret --finish`,
  }
}
