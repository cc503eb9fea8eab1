/**
 * What a drill is run on: a lab, where it makes the faults itself, or a real group, where the agents make them on request
 * (`__fault`) and losing a host is left to the operator's hands. The drill (drill.ts) cannot tell the two apart.
 */
import type { Config } from '../model/config.ts'
import { OperatorError } from '../model/error.ts'
import type { Outcome } from '../model/outcome.ts'
import { done, failed } from '../model/outcome.ts'
import { ownEntry } from './entry.ts'
import type { Lab } from './lab.ts'
import type { RunResult } from './run.ts'
import { run } from './run.ts'
import type { WriterHandle } from './writer.ts'
import { startWriter } from './writer.ts'

export const drillFaults = ['crash', 'hang', 'host-loss', 'switchover'] as const
export type DrillFault = (typeof drillFaults)[number]

export interface DrillLimits {
  /** Until the group is healthy before a round. */
  readonly healthyWithinMs: number
  /** From the fault until writes flow again. */
  readonly recoverWithinMs: number
  /** From there until the group is redundant again. */
  readonly redundantWithinMs: number
  /** Acknowledged writes in a row that count as a steady flow. */
  readonly steadyAcks: number
  readonly verifyWithinMs: number
  readonly pollEveryMs: number
  /** No command is started for so long after the fault: on a small machine its start would be measured as an outage. */
  readonly quietMs: number
}

export interface DrillRig {
  /** For the report: "lab NAME" or "the real group". */
  readonly place: string
  readonly limits: DrillLimits
  readonly startWriter: () => Promise<WriterHandle>
  readonly cli: (argv: readonly string[]) => Promise<RunResult>
  readonly inject: (fault: DrillFault, primary: string) => Promise<Outcome>
  /** Ends what the fault would leave behind. Called once the group has recovered, or has failed to. */
  readonly undo: (fault: DrillFault, primary: string) => Promise<Outcome>
}

export const defaultLimits: DrillLimits = {
  healthyWithinMs: 60_000,
  recoverWithinMs: 60_000,
  redundantWithinMs: 60_000,
  steadyAcks: 500,
  verifyWithinMs: 30_000,
  pollEveryMs: 200,
  quietMs: 1000,
}
/** A person has to walk to the machine and back. */
const byHandWithinMs = 600_000
const cliWithinMs = 60_000

export function labRig(lab: Lab, group: string): DrillRig {
  const found = lab.record.groups.find((candidate) => candidate.name === group)
  if (found === undefined)
    throw unknownGroup(
      group,
      lab.record.groups.map((candidate) => candidate.name),
    )
  const address = addressOf(group, found.vip, found.port, found.passwordFile)
  return {
    place: `lab ${lab.record.name}`,
    limits: defaultLimits,
    startWriter: () => startWriter({ kind: 'lab', lab }, address),
    cli: (argv) => lab.cli(argv, { deadlineMs: cliWithinMs }),
    inject: async (fault, primary) => {
      if (fault === 'switchover') return switchover(lab.cli, group)
      if (fault === 'crash') await lab.kill(primary, 'redis', { group })
      else if (fault === 'hang') await lab.freeze(primary, 'redis', { group })
      else await lab.cut(primary)
      return done
    },
    undo: async (fault, primary) => {
      if (fault === 'host-loss') await lab.heal(primary)
      if (fault === 'hang') await thawIfThere(lab, primary, group)
      return done
    },
  }
}

export function realRig(config: Config, group: string, say: (line: string) => void): DrillRig {
  const found = config.groups[group]
  if (found === undefined) throw unknownGroup(group, Object.keys(config.groups))
  const address = addressOf(group, found.vip?.ip ?? null, found.port, found.passwordFile ?? null)
  const cli = (argv: readonly string[]): Promise<RunResult> => run([...ownEntry(), '--config', config.file, ...argv], { deadlineMs: cliWithinMs })
  return {
    place: 'the real group',
    limits: { ...defaultLimits, recoverWithinMs: byHandWithinMs, redundantWithinMs: byHandWithinMs },
    startWriter: () => startWriter({ kind: 'local' }, address),
    cli,
    inject: async (fault, primary) => {
      if (fault === 'switchover') return switchover(cli, group)
      if (fault === 'host-loss') {
        say(`Cut ${primary} off NOW (network or power). I am measuring, for at most ${byHandWithinMs / 60_000} minutes.`)
        return done
      }
      return outcomeOf(await cli(['__fault', group, fault]))
    },
    undo: async (fault, primary) => {
      if (fault === 'host-loss') say(`Writes flow again. Bring ${primary} back now; I wait until the group is redundant.`)
      return done
    },
  }
}

/** The agent may have killed the frozen redis, and started another, long ago: SIGCONT does no harm then, and nothing is no error. */
async function thawIfThere(lab: Lab, host: string, group: string): Promise<void> {
  try {
    await lab.thaw(host, 'redis', { group })
  } catch (error) {
    if (!(error instanceof OperatorError) || error.code !== 'HF503') throw error
  }
}

async function switchover(cli: (argv: readonly string[]) => Promise<RunResult>, group: string): Promise<Outcome> {
  return outcomeOf(await cli(['switchover', group]))
}

function outcomeOf(result: RunResult): Outcome {
  if (result.code === 0) return done
  return failed((result.stderr.trim() || result.stdout.trim() || `exit code ${result.code}`).slice(0, 1000))
}

function addressOf(group: string, vip: string | null, port: number, passwordFile: string | null) {
  if (vip !== null) return { host: vip, port, ...(passwordFile === null ? {} : { passwordFile }) }
  throw new OperatorError('HF104', `the group ${group} has no vip, so there is no address to write through`, 'Give the group a vip in the configuration.', 2)
}

function unknownGroup(group: string, known: readonly string[]): OperatorError {
  return new OperatorError('HF104', `there is no group ${group}`, `The configuration has: ${known.join(', ')}`, 2)
}
