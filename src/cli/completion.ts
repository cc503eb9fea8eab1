/**
 * `holdfast completion bash|zsh|fish`: a script made from the command tree, so it cannot fall behind it. Names of groups and
 * hosts are asked for while completing, through the hidden `__complete`. Must not know a single command by name.
 */
import { Argument } from '@commander-js/extra-typings'
import type { Command } from '@commander-js/extra-typings'
import { loadConfig } from '../config/load.ts'
import { configFileOf } from './check.ts'
import { bashScript, fishScript, zshScript } from './completion-scripts.ts'
import type { CommandShape, Completes, OptionShape } from './completion-scripts.ts'

export const shells = ['bash', 'zsh', 'fish'] as const

/** The parts of commander's Command that describe it; its own generic types differ from command to command. */
interface Described {
  readonly name: () => string
  readonly description: () => string
  readonly commands: readonly Described[]
  readonly options: readonly {
    readonly short?: string | undefined
    readonly long?: string | undefined
    readonly flags: string
    readonly description: string
    readonly hidden: boolean
    readonly argChoices?: readonly string[] | undefined
  }[]
  readonly registeredArguments: readonly { readonly name: () => string; readonly argChoices?: readonly string[] | undefined }[]
}

export function register(program: Command): void {
  program
    .command('completion')
    .description('print a completion script for a shell')
    .addArgument(new Argument('<shell>', 'the shell to complete in').choices(shells))
    .addHelpText('after', '\nbash:  source <(holdfast completion bash)\nzsh:   source <(holdfast completion zsh)\nfish:  holdfast completion fish | source')
    .action((shell) => {
      process.stdout.write(completionScript(program, shell))
    })
  program
    .command('__complete', { hidden: true })
    .addArgument(new Argument('<what>').choices(['groups', 'hosts'] as const))
    .action(async (what, _options, command) => {
      process.stdout.write(await completeNames(configFileOf(command), what))
    })
}

export function completionScript(program: unknown, shell: (typeof shells)[number]): string {
  const commands = shapesOf(program as Described, [])
  if (shell === 'bash') return bashScript(commands)
  return shell === 'zsh' ? zshScript(commands) : fishScript(commands)
}

/** A configuration that does not load completes nothing: an error message in the middle of a line helps nobody. */
async function completeNames(file: string, what: 'groups' | 'hosts'): Promise<string> {
  try {
    const { config } = await loadConfig(file)
    return Object.keys(config[what])
      .map((name) => `${name}\n`)
      .join('')
  } catch {
    return ''
  }
}

function shapesOf(command: Described, path: readonly string[]): readonly CommandShape[] {
  const children = command.commands.filter((child) => !isHidden(child))
  const options = command.options.filter((option) => !option.hidden).map(optionShape)
  return [
    {
      path,
      subcommands: children.map((child) => ({ name: child.name(), description: child.description() })),
      options: [...options, { names: ['-h', '--help'], description: 'display help', takesValue: false, value: { kind: 'nothing' } }],
      arguments: command.registeredArguments.map((argument) => completes(argument.name(), argument.argChoices)),
    },
    ...children.flatMap((child) => shapesOf(child, [...path, child.name()])),
  ]
}

function isHidden(command: Described): boolean {
  return '_hidden' in command && command._hidden === true
}

function optionShape(option: Described['options'][number]): OptionShape {
  const placeholder = /[<[]([^>\]]+)[>\]]/.exec(option.flags)?.[1]
  return {
    names: [option.short, option.long].filter((name) => name !== undefined),
    description: option.description,
    // An optional value ("--x [v]") may be left out, so the next word is not certainly its value.
    takesValue: /<[^>]+>/.test(option.flags),
    value: placeholder === undefined ? { kind: 'nothing' } : completes(placeholder, option.argChoices),
  }
}

/** What a placeholder stands for is in its name; that is a convention of all commands here. */
function completes(placeholder: string, choices: readonly string[] | undefined): Completes {
  if (choices !== undefined && choices.length > 0) return { kind: 'choices', choices }
  const name = placeholder
    .toLowerCase()
    .replace(/\.{3}$/, '')
    .replace(/s$/, '')
  if (name === 'group') return { kind: 'groups' }
  if (name === 'host' || name === 'member') return { kind: 'hosts' }
  return ['file', 'path', 'config', 'dir', 'directory'].includes(name) ? { kind: 'files' } : { kind: 'nothing' }
}
