/**
 * `holdfast drill …`: asks for a typed confirmation before a real group is hurt, runs the drill (src/lab/drill.ts) and
 * prints its report. A lab is there to be broken and asks nothing.
 */
import { isCancel, text } from '@clack/prompts'
import type { Command } from '@commander-js/extra-typings'
import { Argument, InvalidArgumentError } from '@commander-js/extra-typings'
import { loadConfig } from '../config/load.ts'
import { formatReport } from '../lab/drill-report.ts'
import type { DrillFault, DrillRig } from '../lab/drill-rig.ts'
import { drillFaults, labRig, realRig } from '../lab/drill-rig.ts'
import { runDrill } from '../lab/drill.ts'
import { openLab } from '../lab/lab.ts'
import { OperatorError } from '../model/error.ts'

const defaultConfig = '/etc/holdfast/holdfast.yaml'

export function register(program: Command): void {
  program
    .command('drill')
    .description('break or switch the primary while a client writes, and report the outage and what is lost')
    .addArgument(new Argument('<fault>', 'what happens to the primary').choices(drillFaults))
    .argument('<group>')
    .option('--lab <name>', 'in this lab; without it, the real group of the configuration')
    .option('--rounds <count>', 'how many times in a row', roundCount, 1)
    .option('--yes-i-mean <group>', 'confirm, in a script, that this real group may be hurt')
    .option('--json', 'print the report as JSON')
    .action(async (fault, group, options, command) => {
      // With --json, standard output is the report and nothing else.
      const progress = (line: string): void => {
        const stream = options.json === true ? process.stderr : process.stdout
        stream.write(`${line}\n`)
      }
      const { config } = command.optsWithGlobals() as { config?: string }
      const rig = await rigFor(group, options.lab, config ?? defaultConfig, progress)
      if (options.lab === undefined && fault !== 'switchover') await confirm(fault, group, options.yesIMean)
      const report = await interruptible((signal) => runDrill(rig, { group, fault, rounds: options.rounds, progress, signal }))
      process.stdout.write(`${options.json === true ? JSON.stringify(report) : formatReport(report)}\n`)
      if (!report.passed) {
        throw new OperatorError('HF505', report.problems.join('; '), `See holdfast history ${group} and the agents' logs.`)
      }
    })
}

async function rigFor(group: string, lab: string | undefined, config: string, progress: (line: string) => void): Promise<DrillRig> {
  if (lab !== undefined) return labRig(await openLab(lab), group)
  return realRig((await loadConfig(config)).config, group, progress)
}

async function confirm(fault: DrillFault, group: string, given: string | undefined): Promise<void> {
  const what = `A ${fault} drill breaks the primary of the REAL group ${group}; clients will see it.`
  if (given === group) return
  if (given !== undefined || !process.stdin.isTTY) {
    throw new OperatorError('HF504', `${what} It was not confirmed.`, `Add --yes-i-mean ${group}, or use a lab: --lab NAME`)
  }
  const typed = await text({ message: `${what} Type the group's name to go on:` })
  if (isCancel(typed) || typed !== group) {
    throw new OperatorError('HF504', 'the name was not typed: nothing was done', 'To try it without harm, use a lab: --lab NAME')
  }
}

/** Ctrl-C ends the drill, but only after its fault is undone and its keys are removed. */
async function interruptible<T>(work: (signal: AbortSignal) => Promise<T>): Promise<T> {
  const interrupt = new AbortController()
  const abort = (): void => interrupt.abort()
  process.on('SIGINT', abort)
  process.on('SIGTERM', abort)
  try {
    return await work(interrupt.signal)
  } finally {
    process.off('SIGINT', abort)
    process.off('SIGTERM', abort)
  }
}

function roundCount(value: string): number {
  const count = Number(value)
  if (!Number.isInteger(count) || count < 1 || count > 1000) throw new InvalidArgumentError('Use a whole number from 1 to 1000.')
  return count
}
