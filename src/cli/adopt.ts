/** `holdfast adopt …`: the command group. What each does is in a file of its own. */
import type { Command } from '@commander-js/extra-typings'
import { registerLook } from './adopt-look.ts'
import { registerPropose } from './adopt-propose.ts'

export function register(program: Command): void {
  const adopt = program.command('adopt').description('take over a running master and its replica in place, without restarting redis') as unknown as Command
  registerLook(adopt)
  registerPropose(adopt)
}
