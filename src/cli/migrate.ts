/** `holdfast migrate …`: the command group. What each does is in a file of its own. */
import type { Command } from '@commander-js/extra-typings'
import { registerCopy } from './migrate-copy.ts'
import { registerMany } from './migrate-many.ts'
import { registerPlan } from './migrate-plan.ts'
import { registerMoveOrders } from './migrate-orders.ts'
import { registerRelay } from './migrate-relay.ts'
import { registerStart } from './migrate-start.ts'
import { registerMoveStatus } from './migrate-status.ts'
import { registerVerify } from './migrate-verify.ts'

export function register(program: Command): void {
  const migrate = program.command('migrate').description('move a running redis to a group, with proof and a way back') as unknown as Command
  registerPlan(migrate)
  registerStart(migrate)
  registerMoveStatus(migrate)
  registerVerify(migrate)
  registerMoveOrders(migrate)
  registerMany(migrate)
  registerCopy(migrate)
  registerRelay(migrate)
}
