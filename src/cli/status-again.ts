/**
 * `holdfast __status`: what `holdfast status` would say, again and again, for the tests that wait until it says something. One question and one answer a line; ends with
 * its input. Besides, how old that is: an agent tells what it saw when it last looked.
 */
import { createInterface } from 'node:readline'
import type { Command } from '@commander-js/extra-typings'
import { identityOf } from '../config/identity.ts'
import { hostsOf } from '../model/config.ts'
import { OperatorError } from '../model/error.ts'
import { askAll, composeStatus, groupOf, openSession, type GroupStatus } from './ask.ts'

export interface Question {
  readonly group: string
  /** Known not to answer: they are not waited for. */
  readonly silent: readonly string[]
}

export interface Look {
  readonly status: GroupStatus
  /** When the agent whose own look is oldest began it; null: none has looked. */
  readonly seenAtWallMs: number | null
}

export function register(program: Command): void {
  program.command('__status', { hidden: true }).action(async (_, command) => {
    const { config } = command.optsWithGlobals() as unknown as { config: string }
    for await (const line of createInterface({ input: process.stdin, terminal: false })) {
      process.stdout.write(`${JSON.stringify(await look(config, JSON.parse(line) as Question))}\n`)
    }
  })
}

/** null: where the command would fail. The configuration is read each time, as it may have changed. */
async function look(configFile: string, { group: name, silent }: Question): Promise<Look | null> {
  try {
    const session = await openSession({ config: configFile })
    const group = groupOf(session, name)
    const answers = await askAll(session, hostsOf(group), silent)
    const ips = Object.fromEntries(Object.values(session.config.hosts).map((host) => [host.name, host.ip]))
    const seen = answers.flatMap((answer) => answer.groups.filter((g) => g.group === name).flatMap((g) => g.view?.nowWallMs ?? []))
    return { status: composeStatus(group, answers, ips, identityOf(session.text).groups[name]), seenAtWallMs: seen.length === 0 ? null : Math.min(...seen) }
  } catch (error) {
    if (error instanceof OperatorError) return null
    throw error
  }
}
