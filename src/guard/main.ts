/**
 * Started by the guard's script when the agent's beat is stale: `node guard.js PLAN`. Looks again and again for most of the second until
 * the script's next turn, so that a cut is not missed between two; ends as soon as the agent beats again.
 */
import { readFileSync } from 'node:fs'
import type { GuardPlan } from '../model/guard.ts'
import { beatFile } from '../model/paths.ts'
import { guardGroup } from './guard.ts'

const lookForMs = 800
const lookEveryMs = 100

function beatOf(plan: GuardPlan): string {
  try {
    return readFileSync(beatFile(plan.paths), 'latin1')
  } catch {
    return ''
  }
}

const plan = JSON.parse(readFileSync(process.argv[2] ?? '', 'utf8')) as GuardPlan
const stale = beatOf(plan)
const untilMs = performance.now() + lookForMs
do {
  // One group that fails must not leave the others without a guard.
  await Promise.allSettled(plan.groups.map((group) => guardGroup(plan, group)))
  await new Promise((resolve) => setTimeout(resolve, lookEveryMs))
} while (performance.now() < untilMs && beatOf(plan) === stale)
process.exit(0)
