/** `holdfast migrate start`: the plan once more, the source made known to every host of the group, and the sync, with its progress until all have all. */
import type { Command } from '@commander-js/extra-typings'
import { InvalidArgumentError } from '@commander-js/extra-typings'
import { isTrap, planOf, type MigrationPlan } from '../migrate/plan.ts'
import { stageOf } from '../migrate/stage.ts'
import type { GroupConfig } from '../model/config.ts'
import { OperatorError } from '../model/error.ts'
import type { RedisFacts } from '../model/view.ts'
import { ask, groupOf, openSession, refusal, send, statusOf, type GroupStatus, type Session } from './ask.ts'
import type { MoveStatus } from './migrate-found.ts'
import { sizeWords, tookWords } from './backup-words.ts'
import { drawPlan } from './migrate-draw.ts'
import { addressOf, lookAtSource, lookAtTarget, nameSource, type Endpoint } from './migrate-source.ts'

const lookMs = 500

export function registerStart(migrate: Command): void {
  migrate
    .command('start')
    .description('have the group follow the redis that is to be moved; its clients notice nothing')
    .argument('<from>', 'redis://[USER@]HOST:PORT, or a group')
    .argument('<group>', 'where it is to go')
    .option('--source-password-file <file>', 'of the source')
    .option('--accept <id>', 'this trap is known and may be so, e.g. P6; may be repeated', collected, [] as readonly string[])
    .option('--overwrite <run-id>', 'what the target has may go (a copy is kept): its run id, as the plan tells it')
    .option('--load-scripts <dir>', 'scripts that are loaded before the cut-over')
    .option('--seconds <n>', 'over how long the rate of writes is measured', Number, 5)
    .option('--dry-run', 'the plan, and whether it would begin')
    .option('--no-wait', 'return as soon as it has begun')
    .option('--json', 'machine-readable, one line per look')
    .action(async (from, name, options, command) => {
      const session = await openSession(command.optsWithGlobals() as unknown as { config: string })
      const group = groupOf(session, name)
      const named = await nameSource(session, from, options)
      if ('tls' in named.endpoint && named.endpoint.tls !== undefined)
        throw new OperatorError(
          'HF904',
          'a source that speaks TLS can be planned and compared, and not be followed yet',
          'open a port without TLS for the time of the move, or a tunnel',
        )
      const plan = await planned(session, name, named, options)
      const stops = plan.stops.length > 0
      if (stops)
        throw new OperatorError(
          'HF904',
          `${plan.stops.join(', ')} ${plan.stops.length === 1 ? 'stands' : 'stand'} against it`,
          'the plan above says what to mend, or --accept',
        )
      const at = { host: await addressOf(named.endpoint.host), port: named.endpoint.port }
      const [status] = await statusOf(session, name)
      const holder = status === undefined ? null : (status.primary ?? status.move?.holder ?? founderOf(group, status))
      if (status === undefined || holder === null)
        throw new OperatorError('HF904', `${name} has no primary: ${status?.because ?? ''}`, `holdfast status ${name}`)
      if (options.dryRun === true) {
        process.stdout.write(`would begin: nothing stands against it; ${holder} would follow ${at.host}:${at.port}, the others ${holder}\n`)
        return
      }
      await makeKnown(
        session,
        name,
        group.members.map((m) => m.host),
        at,
        named.endpoint,
        plan,
      )
      const order = { verb: 'start', source: at, overwrite: options.overwrite ?? null } as const
      const result = await send(session, holder, name, { kind: 'move', to: null, dryRun: false, move: order })
      if (!result.ok) throw refusal(result, name)
      process.stderr.write(`${result.message}\n`)
      if (options.wait) await untilInSync(session, name, withoutPassword(from), options.json === true)
    })
}

/** Of a group that waits for its first data: whom an election would take. */
function founderOf(group: GroupConfig, { members }: GroupStatus): string | null {
  if (group.migration?.awaits !== true) return null
  const able = group.members.filter((m) => !m.neverPrimary && members.some((one) => one.host === m.host && one.agent === 'up'))
  return able.toSorted((a, b) => b.priority - a.priority || (a.host < b.host ? -1 : 1))[0]?.host ?? null
}

interface PlanOptions {
  readonly accept: readonly string[]
  readonly overwrite?: string | undefined
  readonly loadScripts?: string | undefined
  readonly seconds: number
}

async function planned(session: Session, group: string, named: Awaited<ReturnType<typeof nameSource>>, options: PlanOptions): Promise<MigrationPlan> {
  const look = { overMs: options.seconds * 1000, signal: new AbortController().signal }
  const [source, target] = await Promise.all([lookAtSource(named, look), lookAtTarget(session, group, named.endpoint, look)])
  const plan = planOf(source, target, { accepted: options.accept, overwrite: options.overwrite ?? null, loadsScripts: options.loadScripts !== undefined })
  if (plan.stops.length > 0) process.stdout.write(drawPlan(source, target, plan))
  return plan
}

/** Whoever holds the group later must be able to act for the source as well: all are asked, and all must be let in. */
async function makeKnown(
  session: Session,
  group: string,
  hosts: readonly string[],
  at: { readonly host: string; readonly port: number },
  { password, user }: Endpoint,
  plan: MigrationPlan,
): Promise<void> {
  const record = { ...at, user: user ?? null, password: password ?? null, raises: plan.sizing.raises ?? [] }
  const failed = await Promise.all(
    hosts.map(async (host) => {
      try {
        const known = (await ask(session, host, { method: 'POST', path: `/groups/${group}/source`, body: record })) as {
          readonly ok: boolean
          readonly why?: string
        }
        return known.ok ? null : `${host}: ${known.why ?? ''}`
      } catch (error) {
        if (!(error instanceof OperatorError)) throw error
        return `${host}: ${error.message}`
      }
    }),
  )
  const words = failed.filter((why) => why !== null)
  if (words.length > 0)
    throw new OperatorError('HF906', words.join('; '), 'every member must reach the source: after a failover it is the new primary that acts for it')
}

/** What is told is copied into tickets. */
function withoutPassword(from: string): string {
  return from.replace(/^(rediss?:\/\/[^:@/]*):[^/]*@/i, '$1@')
}

/** Ctrl-C ends the looking only. */
async function untilInSync(session: Session, group: string, from: string, json: boolean): Promise<void> {
  const leave = (): void => {
    process.stderr.write(`\nit goes on without this command: holdfast migrate status ${group} (--watch)\n`)
    process.exit(130)
  }
  process.once('SIGINT', leave)
  const startedMs = performance.now()
  const speed = progressOf()
  try {
    for (;;) {
      const [status] = await statusOf(session, group)
      const move = status?.move ?? null
      if (status === undefined || move === null) throw new OperatorError('HF905', `${group} knows of no move any more`, `holdfast history ${group}`)
      const stage = stageOf(move.move, { members: move.members, hasAddress: false, clientsLeft: null })
      const line = speed(move, performance.now())
      if (json) process.stdout.write(`${JSON.stringify({ stage, ...line })}\n`)
      else tell(`${stage}  ${line.words}`)
      if (stage === 'IN_SYNC' || stage === 'VERIFIED' || stage === 'ARMED') break
      if (move.move.stage !== 'sync') throw new OperatorError('HF904', `the sync has ended: ${move.move.last}`, `holdfast migrate status ${group}`)
      await new Promise((resolve) => setTimeout(resolve, lookMs))
    }
  } finally {
    process.off('SIGINT', leave)
  }
  if (!json) process.stderr.write(`\nin sync after ${tookWords(performance.now() - startedMs)}; prove it next: holdfast migrate verify ${from} ${group}\n`)
}

let told = ''
function tell(line: string): void {
  if (line === told) return
  told = line
  process.stderr.write(process.stderr.isTTY ? `\r\x1b[K${line}` : `${line}\n`)
}

export interface SyncLine {
  readonly words: string
  readonly members: readonly {
    readonly host: string
    readonly state: string
    readonly leftBytes: number | null
    readonly bytesPerS: number | null
    readonly etaS: number | null
    readonly behindBytes: number | null
  }[]
}

/** Rates come from two looks. */
export function progressOf(): (move: MoveStatus, nowMs: number) => SyncLine {
  const seen = new Map<string, { readonly leftBytes: number; readonly atMs: number }>()
  return (move, nowMs) => {
    const members = move.members.map(({ host, redis }) => {
      const leftBytes = redis?.syncing === true && redis.syncLeftBytes !== null && redis.syncLeftBytes >= 0 ? redis.syncLeftBytes : null
      const before = seen.get(host)
      if (leftBytes !== null && (before === undefined || before.leftBytes < leftBytes)) seen.set(host, { leftBytes, atMs: nowMs })
      const bytesPerS =
        leftBytes === null || before === undefined || nowMs - before.atMs < 1 || before.leftBytes < leftBytes
          ? null
          : ((before.leftBytes - leftBytes) * 1000) / (nowMs - before.atMs)
      const etaS = leftBytes === null || bytesPerS === null || bytesPerS <= 0 ? null : Math.ceil(leftBytes / bytesPerS)
      const sourceOffset = move.source?.facts?.offset ?? null
      const behindBytes = redis?.linkUp === true && sourceOffset !== null ? Math.max(0, sourceOffset - redis.offset) : null
      return { host, state: stateOf(redis, behindBytes), leftBytes, bytesPerS: bytesPerS === null ? null : Math.round(bytesPerS), etaS, behindBytes }
    })
    const words = members.map((m) => {
      const rate =
        m.leftBytes === null
          ? ''
          : `, ${sizeWords(m.leftBytes)} left${m.bytesPerS === null ? '' : ` at ${sizeWords(m.bytesPerS)}/s`}${m.etaS === null ? '' : `, about ${m.etaS} s`}`
      return `${m.host}: ${m.state}${rate}`
    })
    return { words: words.join(';  '), members }
  }
}

function stateOf(redis: RedisFacts | null, behindBytes: number | null): string {
  if (redis === null) return 'does not answer'
  const done = redis.progress === null ? '' : ` ${Math.round(redis.progress * 100)} %`
  if (redis.loading) return `loads${done}`
  if (redis.syncing) return `fetches${done}`
  if (!redis.linkUp) return redis.role === 'primary' ? 'serves' : 'connects'
  return behindBytes === null ? 'follows' : `follows, ${sizeWords(behindBytes)} behind`
}

function collected(id: string, before: readonly string[]): readonly string[] {
  if (!isTrap(id)) throw new InvalidArgumentError('a trap by its number: P1 to P17')
  return [...before, id]
}

export function movingOf(status: GroupStatus | undefined, group: string): MoveStatus {
  const move = status?.move ?? null
  if (move === null) throw new OperatorError('HF905', `nothing is being moved to ${group}`, `holdfast migrate start redis://HOST:PORT ${group}`)
  return move
}
