/** The command tree. Each command's file is loaded only when it may be needed, so that `--version` and completion stay quick. */
import { Command } from '@commander-js/extra-typings'
import { version } from './version.ts'

type Registrar = { readonly register: (program: Command) => void }

const files: Record<string, () => Promise<Registrar>> = {
  agent: () => import('./agent.ts'),
  status: () => import('./status.ts'),
  'status-again': () => import('./status-again.ts'),
  operate: () => import('./operate.ts'),
  apply: () => import('./apply.ts'),
  password: () => import('./password.ts'),
  secret: () => import('./secret.ts'),
  history: () => import('./history.ts'),
  explain: () => import('./explain.ts'),
  lineage: () => import('./lineage.ts'),
  salvage: () => import('./salvage.ts'),
  sentinel: () => import('./sentinel.ts'),
  backup: () => import('./backup.ts'),
  restore: () => import('./restore.ts'),
  migrate: () => import('./migrate.ts'),
  adopt: () => import('./adopt.ts'),
  check: () => import('./check.ts'),
  doctor: () => import('./doctor.ts'),
  render: () => import('./render.ts'),
  drill: () => import('./drill.ts'),
  lab: () => import('./lab.ts'),
  completion: () => import('./completion.ts'),
}
const fileOf: Record<string, string> = {
  switchover: 'operate',
  failover: 'operate',
  pause: 'operate',
  resume: 'operate',
  reinit: 'operate',
  __fault: 'operate',
  __status: 'status-again',
  __writer: 'lab',
  __complete: 'completion',
}

export async function buildProgram(argv: readonly string[]): Promise<Command> {
  const program = new Command('holdfast')
    .description('one address for Redis that survives crashes, hangs, host loss and switchovers')
    .version(version)
    .option('--config <file>', 'the configuration', '/etc/holdfast/holdfast.yaml')
    .exitOverride()
    .showHelpAfterError('(holdfast COMMAND --help says more)')
    .configureHelp({ sortSubcommands: false }) as unknown as Command
  const word = argv.find((a, i) => !a.startsWith('-') && argv[i - 1] !== '--config')
  const wanted = word === undefined ? undefined : (fileOf[word] ?? (word in files ? word : undefined))
  // Completion and help speak of all commands; a plain command needs only its own file.
  const all = wanted === undefined || wanted === 'completion' || word === 'help'
  if (argv.includes('--version') || argv.includes('-V')) return program
  for (const [name, load] of Object.entries(files)) {
    if (all || name === wanted) (await load()).register(program)
  }
  for (const command of program.commands) command.exitOverride()
  return program
}
