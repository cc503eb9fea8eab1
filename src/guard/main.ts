/**
 * Started by the guard's script when the agent's beat is stale: `node guard.js PLAN`. Looks again and again for most of the second until
 * the script's next turn, so that a cut is not missed between two; ends as soon as the agent beats again.
 */
import { readFileSync } from 'node:fs'
import { staleAfterS, type GuardPlan } from '../model/guard.ts'
import { beatFile } from '../model/paths.ts'
import { guardGroup } from './guard.ts'

const lookForMs = 800
const lookEveryMs = 100

/** As the script finds it: both by the clock of /proc/uptime. */
function isStale(plan: GuardPlan): boolean {
  const uptimeS = Number.parseFloat(readFileSync('/proc/uptime', 'latin1'))
  try {
    return uptimeS - Number.parseFloat(readFileSync(beatFile(plan.paths), 'latin1')) > staleAfterS
  } catch {
    return true
  }
}

const plan = JSON.parse(readFileSync(process.argv[2] ?? '', 'utf8')) as GuardPlan
const untilMs = performance.now() + lookForMs
do {
  // One group that fails must not leave the others without a guard.
  await Promise.allSettled(plan.groups.map((group) => guardGroup(plan, group, () => isStale(plan))))
  await new Promise((resolve) => setTimeout(resolve, lookEveryMs))
} while (performance.now() < untilMs && isStale(plan))
process.exit(0)
