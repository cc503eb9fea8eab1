/** `holdfast migrate arm|cutover|rollback|commit|abort`: each asks the agent that holds the group, and tells what came of it. Decides nothing. */
import type { Command } from '@commander-js/extra-typings'
import { InvalidArgumentError } from '@commander-js/extra-typings'
import { OperatorError } from '../model/error.ts'
import type { AskedOrder } from '../model/move.ts'
import { goAheadFile } from '../model/paths.ts'
import { groupOf, openSession, refusal, send, statusOf, type Session } from './ask.ts'
import { movingOf, unheard, type MoveStatus } from './migrate-found.ts'
import { clientsLeft, leftWords } from './migrate-status.ts'

interface Common {
  readonly dryRun?: boolean | undefined
  readonly json?: boolean | undefined
}

export function registerMoveOrders(migrate: Command): void {
  migrate
    .command('arm')
    .description('postpone the cut-over: until a time, or until a file is laid; or call that off')
    .argument('<group>')
    .option('--at <time>', 'from then on, e.g. 2026-03-01T03:00:00Z', time)
    .option('--on-file', 'as soon as the go-ahead file lies on the host that holds the group (its path is told)')
    .option('--within <duration>', 'not later than so long after, e.g. 30m; then it is given up', duration)
    .option('--off', 'call a postponed cut-over off')
    .option('--unverified', 'although it was not compared')
    .option('--dry-run', 'only say what would happen')
    .option('--json', 'machine-readable')
    .action(async (group, options, command) => {
      const ways = [options.at !== undefined, options.onFile === true, options.off === true].filter(Boolean).length
      if (ways !== 1) throw new OperatorError('HF904', 'a cut-over is postponed until a time, or until a file is laid', '--at TIME, --on-file, or --off', 2)
      const startedWallMs = Date.now()
      const from = options.at ?? startedWallMs
      const untilWallMs = options.within === undefined ? null : from + options.within
      // Of what is over already the cut-over would be done at once, at an hour that nobody has chosen.
      if (from < startedWallMs || (untilWallMs !== null && untilWallMs < startedWallMs))
        throw new OperatorError('HF904', 'that time is over already', 'name a later one', 2)
      const armed = options.off === true ? null : { fromWallMs: options.at ?? null, onFile: options.onFile === true, untilWallMs }
      const at = await order(command.optsWithGlobals() as unknown as { config: string }, group, options, {
        verb: 'arm',
        armed,
        unverified: options.unverified === true,
      })
      if (options.onFile === true && options.json !== true) process.stdout.write(`lay the file on ${at.holder}: touch ${at.goAhead}\n`)
    })
  migrate
    .command('cutover')
    .description('hold the writes, compare, and have the group serve; given up with nothing changed if it cannot be done in time')
    .argument('<group>')
    .option('--unverified', 'although it was not compared')
    .option('--dry-run', 'only say whether it could be done now')
    .option('--json', 'machine-readable')
    .action(async (group, options, command) => {
      await order(command.optsWithGlobals() as unknown as { config: string }, group, options, { verb: 'cutover', unverified: options.unverified === true })
    })
  migrate
    .command('rollback')
    .description('have the source serve again, with all that was written since')
    .argument('<group>')
    .option('--accept-loss', 'without the writes that could not be told to an older source (migrate status names them)')
    .option('--dry-run', 'only say what would happen')
    .option('--json', 'machine-readable')
    .action(async (group, options, command) => {
      const asked = { verb: 'rollback', acceptLoss: options.acceptLoss === true } as const
      await order(command.optsWithGlobals() as unknown as { config: string }, group, options, asked)
    })
  plain(migrate, 'commit', 'the move is final: the source is no way back any more')
  plain(migrate, 'abort', 'call a move off before its cut-over: the source goes on as if nothing had been')
}

function plain(migrate: Command, verb: 'commit' | 'abort', description: string): void {
  migrate
    .command(verb)
    .description(description)
    .argument('<group>')
    .option('--dry-run', 'only say what would happen')
    .option('--json', 'machine-readable')
    .action(async (group, options, command) => {
      await order(command.optsWithGlobals() as unknown as { config: string }, group, options, { verb })
    })
}

async function order(
  globals: { readonly config: string },
  name: string,
  { dryRun, json }: Common,
  asked: AskedOrder,
): Promise<{ readonly holder: string; readonly goAhead: string }> {
  const session = await openSession(globals)
  groupOf(session, name)
  const { holder, move } = await heardHolder(session, name)
  if (asked.verb === 'commit') await warnOfThoseLeft(session, name, move)
  const leave = (): void => {
    process.stderr.write(`\nit was asked for and is not called off by this: holdfast migrate status ${name}\n`)
    process.exit(130)
  }
  process.once('SIGINT', leave)
  try {
    const result = await send(session, holder, name, { kind: 'move', to: null, dryRun: dryRun === true, move: asked })
    if (result.ok || json === true)
      process.stdout.write(json === true ? `${JSON.stringify({ group: name, ok: result.ok, message: result.message })}\n` : `${result.message}\n`)
    if (!result.ok) throw refusal(result, name, 'migrate status')
  } finally {
    process.off('SIGINT', leave)
  }
  return { holder, goAhead: move.source?.goAheadFile ?? goAheadFile(session.config.paths, name) }
}

/** Whose agent is asked: it sees to the move. */
export async function holderOf(session: Session, name: string): Promise<string> {
  return (await heardHolder(session, name)).holder
}

/** They are refused until somebody leads them to the group, and a final move is no reason to stop looking. */
async function warnOfThoseLeft(session: Session, name: string, move: MoveStatus): Promise<void> {
  const left = (await clientsLeft(session, name, move)) ?? []
  if (left.length > 0 || (move.source?.arrivals?.count ?? 0) > 0) process.stderr.write(`the old redis: ${leftWords('MOVED', left, move.source)}\n`)
}

async function heardHolder(session: Session, name: string): Promise<{ readonly holder: string; readonly move: MoveStatus }> {
  const [status] = await statusOf(session, name)
  const move = movingOf(status, name)
  const { holder } = move
  if (holder !== null && status?.members.find((m) => m.host === holder)?.agent === 'up') return { holder, move }
  throw new OperatorError('HF301', unheard({ holder }), `start it again; whoever serves goes on serving meanwhile. holdfast migrate status ${name}`)
}

function time(text: string): number {
  const value = Date.parse(text)
  // Without a zone it is that of whoever types it; "5" is a day in 2001.
  if (!/^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}(:\d{2}(\.\d+)?)?(Z|[+-]\d{2}:\d{2})$/.test(text) || !Number.isFinite(value))
    throw new InvalidArgumentError('a time with its zone, e.g. 2026-03-01T03:00:00Z')
  return value
}

function duration(text: string): number {
  const found = /^(\d{1,5})(s|m|h)$/.exec(text)
  if (found === null) throw new InvalidArgumentError('a duration: 30s, 10m, 2h')
  return Number(found[1]) * { s: 1000, m: 60_000, h: 3_600_000 }[found[2] as 's' | 'm' | 'h']
}
