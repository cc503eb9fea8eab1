/** `holdfast migrate copy`: a redis that lets nobody follow it into a group, while it is in use. What it does is in ../move/copy.ts; here it is asked for, shown and ended. */
import type { Command } from '@commander-js/extra-typings'
import { InvalidArgumentError } from '@commander-js/extra-typings'
import { writeFile } from 'node:fs/promises'
import { hostname } from 'node:os'
import { copyPlanOf, isCopyId, type CopyPlan, type CopyWay } from '../migrate/copy-plan.ts'
import { patternsFor, type Tells } from '../migrate/events.ts'
import type { Instance, Source, Target } from '../migrate/facts.ts'
import { capabilitiesOf, isAtLeast, nameOf } from '../migrate/versions.ts'
import { OperatorError } from '../model/error.ts'
import { copyOf, type Copy, type EndFacts } from '../move/copy.ts'
import { askSource, type Asked } from '../move/copy-ask.ts'
import { listen, type Events } from '../move/copy-events.ts'
import { finish, type Finished } from '../move/copy-finish.ts'
import { governed, type Governor, type WantedPace } from '../move/governor.ts'
import { sealReport } from '../move/report-seal.ts'
import { paced } from '../replay/pace.ts'
import { groupOf, openSession, statusOf, type Session } from './ask.ts'
import { copyLine, drawCopyPlan, drawCopyReport, type CopyLine, type CopyReport } from './migrate-copy-draw.ts'
import { lookAtSource, lookAtTarget, nameSource, withoutPassword, type Endpoint } from './migrate-source.ts'
import { mayBeWritten, open, paceOf, probeOf } from './migrate-verify.ts'
import { openPrimary } from './salvage-open.ts'
import { version } from './version.ts'

const lookMs = 1000
const awayMs = 60_000

export interface CopyOptions {
  readonly pace: WantedPace
  readonly finish?: true
  readonly writersStopped?: true
  readonly maxPause: number
  readonly hold: number
  readonly report?: string
  readonly json?: true
  readonly accept: readonly string[]
}

export function registerCopy(migrate: Command): void {
  migrate
    .command('copy')
    .description('copy a redis that refuses PSYNC (a cloud) into a group while it is in use, compare until nothing differs, and prove it')
    .argument('<from>', 'redis://[USER@]HOST:PORT, rediss://…, or a group')
    .argument('<group>', 'where it is to go')
    .option('--source-password-file <file>', 'of the source')
    .option('--tls-ca <file>', 'who has signed the certificate of a rediss:// source')
    .option('--tls-cert <file>', 'our own certificate, where the source asks for one')
    .option('--tls-key <file>', 'its key')
    .option('--accept <id>', 'this limit or trap is known and may be so, e.g. L1; may be repeated, or L1,L2,…', collected, [] as readonly string[])
    .option('--overwrite <run-id>', 'what the group has may go: the run id of its primary. Also to go on with a copy that was broken off')
    .option('--logical', 'by elements also where DUMP would do')
    .option('--pace <pace>', "auto: by the source's 99th percentile, measured beside it; full; or so many keys a second", paceOf, 'auto' as WantedPace)
    .option('--finish', 'hold the writers of the source at the end, and prove that nothing differs')
    .option('--writers-stopped', 'with --finish: they are stopped, nothing need be held')
    .option('--max-pause <seconds>', 'for the last comparison writers are held no longer', secondsOf, 10)
    .option('--hold <seconds>', 'after a clean end writes to the source wait for so long: until the clients are pointed at the group', secondsOf, 300)
    .option('--dry-run', 'tell what would be done, and what it does not promise')
    .option('--report <file>', 'all of it, as JSON, sealed with the secret of the agents')
    .option('--json', 'machine-readable: a line a second, the report last')
    .action(async (from, group, options, command) => {
      const session = await openSession(command.optsWithGlobals() as unknown as { config: string })
      groupOf(session, group)
      if (options.writersStopped === true && options.finish !== true)
        throw new OperatorError('HF925', '--writers-stopped is about the end of a copy', 'add --finish', 2)
      if (options.report !== undefined) await mayBeWritten(options.report, 'HF923')
      const stop = new AbortController()
      const broken = (): void => stop.abort(new Error('broken off'))
      process.once('SIGINT', broken)
      process.once('SIGTERM', broken)
      try {
        const named = await nameSource(session, from, options)
        const look = { overMs: lookMs, signal: stop.signal }
        const [source, target] = await Promise.all([lookAtSource(named, look), lookAtTarget(session, group, named.endpoint, look)])
        const { dumps, setting, tells, tellsWhy } = await asked(named.endpoint)
        const way: CopyWay | null = options.logical === true ? 'logical' : null
        const wish = { accepted: options.accept, overwrite: options.overwrite ?? null, way }
        const plan = copyPlanOf(source, target, { dumps, tells, tellsWhy }, wish)
        const may = plan.red.length + plan.open.length === 0
        if (options.dryRun === true && options.json === true) process.stdout.write(`${JSON.stringify({ may, ...plan })}\n`)
        else if (options.json !== true) process.stdout.write(drawCopyPlan(source, target, plan, tellsWhy))
        if (options.dryRun === true) {
          if (!may) process.exitCode = 1
          return
        }
        refuse(plan, group)
        await run({ session, from, group, endpoint: named.endpoint, source, target, plan, tells, setting, options, stop: stop.signal })
      } catch (error) {
        if (stop.signal.aborted && !(error instanceof OperatorError && error.code === 'HF926'))
          throw new OperatorError('HF923', 'broken off', 'what was copied stays; the same command with --overwrite RUN_ID compares it, and copies what is left')
        throw error
      } finally {
        process.off('SIGINT', broken)
        process.off('SIGTERM', broken)
      }
    })
}

function collected(text: string, before: readonly string[]): readonly string[] {
  const ids = text.split(',').map((id) => id.trim())
  if (ids.some((id) => !isCopyId(id))) throw new InvalidArgumentError('a limit or trap by its number: L1 to L9, P2, P3, P12')
  return [...before, ...ids]
}

function secondsOf(text: string): number {
  const value = Number(text)
  if (!Number.isFinite(value) || value < 1 || value > 3600) throw new InvalidArgumentError('seconds, from 1 to 3600')
  return value
}

async function asked(endpoint: Endpoint): Promise<Asked> {
  const redis = await open(endpoint)
  try {
    return await askSource(redis, endpoint)
  } finally {
    redis.close()
  }
}

function refuse({ red, open: stops, limits }: CopyPlan, group: string): void {
  if (red.length > 0)
    throw new OperatorError(
      'HF921',
      red.map(({ id, name, measured }) => `${id} ${name}: ${measured}`).join('; '),
      red.map(({ fix }) => fix ?? '').join('; ') || `holdfast status ${group}`,
    )
  if (stops.length > 0)
    throw new OperatorError(
      'HF920',
      `nothing was copied: ${stops.map((id) => `${id}${limits.some((one) => one.id === id) ? '' : ' (a trap)'}`).join(', ')} to be accepted`,
      `--accept ${stops.join(',')}`,
    )
}

interface Order {
  readonly session: Session
  readonly from: string
  readonly group: string
  readonly endpoint: Endpoint
  readonly source: Source
  readonly target: Target
  readonly plan: CopyPlan
  readonly tells: Tells
  readonly setting: string | null
  readonly options: CopyOptions
  readonly stop: AbortSignal
}

async function run(order: Order): Promise<void> {
  const { endpoint, options, setting, stop } = order
  const beganMs = performance.now()
  let silent: string | null = null
  const said = (why: string | null): void => {
    silent = why
  }
  const events: Events = listen({ target: endpoint, patterns: patternsFor(setting), said })
  const line = copyLine(options.json === true, events.heard)
  const probe = options.pace === 'auto' ? await probeOf(endpoint) : null
  let governor: Governor | null = null
  let copy: Copy | null = null
  try {
    governor = await governed(options.pace, probe, stop)
    copy = begun(order, events, governor, line)
    await copy.untilNear()
    const finished = await ended(order, copy, events, line)
    line.end()
    const report = reportOf(order, { copy, events, silent, governor, finished, tookMs: Math.round(performance.now() - beganMs) })
    if (options.report !== undefined) await writeFile(options.report, `${JSON.stringify(sealReport(report, order.session.secret), null, 2)}\n`)
    process.stdout.write(options.json === true ? `${JSON.stringify({ report })}\n` : drawCopyReport(report))
    if (report.uncopied.length > 0) process.exitCode = 1
  } finally {
    line.end()
    governor?.end()
    copy?.close()
    events.close()
    probe?.close()
  }
}

function begun({ session, group, endpoint, source, target, plan, stop }: Order, events: Events, governor: Governor, line: CopyLine): Copy {
  const primary = target.members.find(({ host }) => host === target.first)?.redis
  if (primary?.ok !== true) throw new OperatorError('HF921', `${group} has no primary`, `holdfast status ${group}`)
  return copyOf({
    openSource: () => open(endpoint),
    openTarget: async () => {
      const { host, target: at, live } = await openPrimary(session, group)
      try {
        const stillPrimary = async (): Promise<void> => {
          const now = (await statusOf(session, group))[0]?.primary
          if (now !== host) throw new Error(`${host} is not the primary any more: ${now ?? 'nobody is'}`)
        }
        const { after } = paced({ live, maxKeysPerS: null, stillPrimary, waits: line.waits, signal: stop })
        return { host, write: live, compare: await open(at), after }
      } catch (error) {
        live.close()
        throw error
      }
    },
    source: factsOf(source.redis),
    target: factsOf(primary.value),
    way: plan.way,
    events,
    governor,
    awayMs,
    tell: line.tell,
    waits: line.waits,
    signal: stop,
  })
}

function factsOf({ version, clock }: Instance): EndFacts {
  const absolute = isAtLeast(version, 7, 0)
  return { absolute, evalRo: absolute, memoryUsage: isAtLeast(version, 4, 0), aheadMs: clock.ok ? clock.value.aheadMs : 0 }
}

/** null: it is not asked for, and nobody is there to ask. */
async function ended(order: Order, copy: Copy, events: Events, line: CopyLine): Promise<Finished | null> {
  const { source, tells, options, stop } = order
  const isAsked = process.stdin.isTTY && options.json !== true
  if (options.finish !== true) {
    if (!isAsked) return null
    line.end()
    process.stderr.write(
      'as near as it becomes while it is written to; it goes on following. Enter ends it: writers are held for the last comparison. Ctrl-C leaves it\n',
    )
    await copy.follow(entered())
  }
  const { version } = source.redis
  const { pausesWrites: pauses, absoluteTtl } = capabilitiesOf(version)
  const how = {
    ...{ events, tell: line.tell, signal: stop, pauses, scriptsWait: !absoluteTtl, tellsAll: tells === 'all' },
    ...{ maxPauseMs: options.maxPause * 1000, keepMs: options.hold * 1000, leavesOut: options.accept.some((id) => id.toUpperCase() === 'L9') },
  }
  try {
    return await finish(copy, { ...how, stopped: options.writersStopped === true })
  } catch (error) {
    if (!(error instanceof OperatorError && error.code === 'HF925' && isAsked)) throw error
    line.end()
    process.stderr.write(`${error.message}. Stop the writers, and press enter\n`)
    await copy.follow(entered())
    return finish(copy, { ...how, stopped: true })
  }
}

function entered(): AbortSignal {
  const done = new AbortController()
  process.stdin.once('data', () => {
    done.abort()
    process.stdin.pause()
  })
  process.stdin.resume()
  return done.signal
}

interface Done {
  readonly copy: Copy
  readonly events: Events
  /** Why it does not tell any more; null: it does. */
  readonly silent: string | null
  readonly governor: Governor
  readonly finished: Finished | null
  readonly tookMs: number
}

function reportOf({ from, group, source, target, plan, tells }: Order, { copy, events, silent, governor, finished, tookMs }: Done): CopyReport {
  const primary = target.members.find(({ host }) => host === target.first)?.redis
  const runId = primary?.ok === true ? primary.value.runId : 'RUN_ID'
  return {
    what: 'holdfast migrate copy',
    holdfast: version,
    ranOn: hostname(),
    beganAt: new Date(Date.now() - tookMs).toISOString(),
    endedAt: new Date().toISOString(),
    from: withoutPassword(from),
    group,
    source: `${source.redis.at} ${nameOf(source.redis.version)}`,
    target: primary?.ok === true ? `${group}, ${nameOf(primary.value.version)}` : group,
    way: plan.way,
    wayWhy: plan.wayWhy,
    events: { tells, heard: events.heard(), silent },
    keys: copy.rounds.at(-1)?.keys ?? 0,
    rounds: copy.rounds,
    figures: copy.figures,
    uncopied: [...copy.uncopied.values()],
    p99Ms: governor.p99Ms(),
    tookMs,
    finished,
    again: finished === null ? `the same command with --finish --overwrite ${runId}` : null,
  }
}
