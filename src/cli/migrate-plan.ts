/** `holdfast migrate plan`: everything that would stop a move or cost something, before anything is touched. It reads; it changes nothing anywhere. */
import type { Command } from '@commander-js/extra-typings'
import { InvalidArgumentError } from '@commander-js/extra-typings'
import { isTrap, planOf, type MigrationPlan } from '../migrate/plan.ts'
import type { Source, Target } from '../migrate/facts.ts'
import { groupOf, openSession } from './ask.ts'
import { drawPlan } from './migrate-draw.ts'
import { lookAtSource, lookAtTarget, nameSource } from './migrate-source.ts'

/** Long enough for a rate; the highest of the day only the operator knows. */
const defaultOverS = 5
const mostOverS = 3600

export function registerPlan(migrate: Command): void {
  migrate
    .command('plan')
    .description('what a move would meet: traps, differing settings, sizes, time; reads only')
    .argument('<from>', 'redis://[USER@]HOST:PORT, rediss://…, or a group')
    .argument('<group>', 'where it is to go')
    .option('--source-password-file <file>', 'of the source')
    .option('--tls-ca <file>', 'who has signed the certificate of a rediss:// source')
    .option('--tls-cert <file>', 'our own certificate, where the source asks for one')
    .option('--tls-key <file>', 'its key')
    .option('--accept <id>', 'this trap is known and may be so, e.g. P6; may be repeated', acceptedTrap, [] as readonly string[])
    .option('--overwrite <run-id>', 'what the target has may go: its run id, as the plan tells it')
    .option('--plain-way-back', 'after the cut-over a rediss:// source may follow the group without TLS')
    .option('--seconds <n>', 'over how long the rate of writes is measured', askedSeconds, defaultOverS)
    .option('--json', 'machine-readable')
    .action(async (from, group, options, command) => {
      const session = await openSession(command.optsWithGlobals() as unknown as { config: string })
      groupOf(session, group)
      const named = await nameSource(session, from, options)
      const look = { overMs: options.seconds * 1000, signal: new AbortController().signal }
      // Ten minutes without a word are taken for a command that hangs.
      if (options.json !== true && options.seconds > defaultOverS)
        process.stderr.write(`the rate of writes is measured for ${options.seconds} s; nothing is changed\n`)
      const [source, target] = await Promise.all([lookAtSource(named, look), lookAtTarget(session, group, named.endpoint, look)])
      const plan = planOf(source, target, {
        accepted: options.accept,
        overwrite: options.overwrite ?? null,
        plainWayBack: options.plainWayBack === true,
      })
      process.stdout.write(options.json === true ? `${JSON.stringify(planInJson(source, target, plan), null, 2)}\n` : drawPlan(source, target, plan))
      if (plan.stops.length > 0) process.exitCode = 1
    })
}

/** An option that may be repeated. */
export function acceptedTrap(id: string, before: readonly string[]): readonly string[] {
  if (!isTrap(id)) throw new InvalidArgumentError('a trap by its number: P1 to P17')
  return [...before, id]
}

export function askedSeconds(text: string): number {
  const value = Number(text)
  if (!Number.isFinite(value) || value <= 0 || value > mostOverS) throw new InvalidArgumentError(`a number of seconds up to ${mostOverS}`)
  return value
}

export function planInJson(source: Source, target: Target, plan: MigrationPlan): object {
  const brief = ({ redis }: Pick<Source, 'redis'>): object => {
    const { at, version, role, runId, usedBytes, keys, bytesPerS, clients } = redis
    return { at, product: version.product, version: version.text, role, runId, usedBytes, keys, bytesPerS, clients }
  }
  return {
    source: brief(source),
    target: {
      group: target.group,
      members: target.members.map(({ host, redis }) => ({ host, ...(redis.ok ? brief({ redis: redis.value }) : { why: redis.why }) })),
    },
    may: plan.stops.length === 0,
    ...plan,
  }
}
