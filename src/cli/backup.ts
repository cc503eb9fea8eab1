/** `holdfast backup …`: the command group. What each does is in a file of its own. */
import type { Command } from '@commander-js/extra-typings'
import { registerCheck } from './backup-check.ts'
import { registerList } from './backup-list.ts'
import { registerPrune } from './backup-prune.ts'
import { registerStream } from './backup-stream.ts'
import { registerTake } from './backup-take.ts'

export function register(program: Command): void {
  const backup = program.command('backup').description('backups of a group: take one, see what there is, prove that it restores') as unknown as Command
  registerTake(backup)
  registerList(backup)
  registerStream(backup)
  registerCheck(backup)
  registerPrune(backup)
}
