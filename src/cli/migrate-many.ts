/**
 * `holdfast migrate many`: a list of redises, each to a group of its own, so many at a time, and one table of how far they are. Each is what the
 * single commands do; all plans come first, and nothing begins where something stands against one of them.
 */
import type { Command } from '@commander-js/extra-typings'
import { InvalidArgumentError } from '@commander-js/extra-typings'
import { readFile } from 'node:fs/promises'
import { dirname, resolve } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import Table from 'cli-table3'
import pc from 'picocolors'
import { parseList, type Listed } from '../migrate/list.ts'
import { OperatorError } from '../model/error.ts'
import type { Move, SourceAt } from '../model/move.ts'
import type { SyncTerms } from '../model/sync-terms.ts'
import { groupOf, openSession, refusal, send, statusOf, type Session } from './ask.ts'
import { askedP99, askedWindow, termsOf } from './migrate-care.ts'
import { beginMove, prepareMove, standing, wayBackWarning, type Ready } from './migrate-begin.ts'
import { holderOf } from './migrate-orders.ts'
import { acceptedTrap, askedSeconds } from './migrate-plan.ts'
import { looksAtSync } from './migrate-progress.ts'
import { addressOf, nameSource, withoutPassword } from './migrate-source.ts'
import { prove } from './migrate-verify.ts'

const lookMs = 500
const mostAtOnce = 16

interface Row {
  readonly move: Listed
  stage: string
  words: string
  failed: boolean
}

export function registerMany(migrate: Command): void {
  migrate
    .command('many')
    .description('a list of redises, each to its group: synced so many at a time, proven, and cut over one after the other')
    .argument('<file>', 'a line each: redis://[USER@]HOST:PORT GROUP [PASSWORD_FILE] [tls-ca=FILE] [tls-cert=FILE tls-key=FILE] [plain-way-back]')
    .option('--at-once <n>', 'so many full syncs at a time', atOnce, 2)
    .option('--accept <id>', 'this trap is known and may be so, for all of them; may be repeated', acceptedTrap, [] as readonly string[])
    .option('--seconds <n>', 'over how long each rate of writes is measured', askedSeconds, 5)
    .option('--window <from-to>', 'full syncs begin only then, e.g. 01:00-05:00+02:00', askedWindow)
    .option('--max-p99 <ms>', 'a sync beside which a client of its source feels more is given up and tried again later', askedP99)
    .option('--verify', 'compare each as soon as it is in sync')
    .option('--cutover', 'then cut over, one after the other; the first that cannot be ends it')
    .option('--dry-run', 'only the plans')
    .option('--json', 'machine-readable, a line a look')
    .action(async (file, options, command) => {
      const session = await openSession(command.optsWithGlobals() as unknown as { config: string })
      const moves = await listOf(session, file)
      const rows = moves.map((move): Row => ({ move, stage: 'PLAN', words: '', failed: false }))
      const show = tableOf(rows, options.json === true)
      const ready = await plans(session, rows, dirname(resolve(file)), options)
      if (ready === null) {
        show.end()
        throw new OperatorError('HF904', 'not all of them may begin, so none was begun', 'holdfast migrate plan FROM GROUP tells it of each')
      }
      for (const one of ready) {
        const warned = one === 'moved' ? null : wayBackWarning(one.plan)
        if (one !== 'moved' && warned !== null) process.stderr.write(`${one.group.name}: ${warned}\n`)
      }
      if (options.dryRun === true) return show.end()
      const stop = new AbortController()
      const leave = (): void => stop.abort(new Error('broken off'))
      process.once('SIGINT', leave)
      const watching = show.follow(stop.signal)
      try {
        await inTurn(options.atOnce, rows, async (row, at) => {
          const its = ready[at]
          if (its !== undefined && its !== 'moved')
            await syncOne(session, row, its, {
              verifies: options.verify === true || options.cutover === true,
              terms: termsOf(options),
              signal: stop.signal,
            })
        })
        if (options.cutover === true && !rows.some((row) => row.failed)) await cutOverAll(session, rows, stop.signal)
      } finally {
        const broken = stop.signal.aborted
        stop.abort()
        await watching
        process.off('SIGINT', leave)
        show.end()
        if (broken) process.stderr.write('\nwhat has begun goes on without this command; the same command goes on where it is\n')
      }
      if (rows.some((row) => row.failed)) process.exitCode = 1
    })
}

function atOnce(text: string): number {
  const value = Number(text)
  if (!Number.isInteger(value) || value < 1 || value > mostAtOnce) throw new InvalidArgumentError(`1 to ${mostAtOnce}`)
  return value
}

async function listOf(session: Session, file: string): Promise<readonly Listed[]> {
  const text = await readFile(file, 'utf8').catch((error: Error) => {
    throw new OperatorError('HF904', `the list cannot be read: ${error.message}`, 'name another file', 2)
  })
  const { moves, problems } = parseList(text)
  if (problems.length > 0) throw new OperatorError('HF904', `${file}: ${problems.join('; ')}`, 'mend the list', 2)
  for (const { group } of moves) groupOf(session, group)
  return moves
}

/** null: something stands against one of them, and its row says what. */
async function plans(
  session: Session,
  rows: readonly Row[],
  folder: string,
  options: { readonly accept: readonly string[]; readonly seconds: number },
): Promise<readonly (Ready | 'moved')[] | null> {
  const ready = await Promise.all(
    rows.map(async (row): Promise<Ready | 'moved' | null> => {
      const { from, group, passwordFile, tls, plainWayBack } = row.move
      try {
        const file = passwordFile === null ? {} : { sourcePasswordFile: resolve(folder, passwordFile) }
        const certificates = Object.fromEntries(Object.entries(tls).map(([name, path]) => [name, resolve(folder, path)]))
        const { endpoint } = await nameSource(session, from, { ...file, ...certificates })
        const at = { host: await addressOf(endpoint.host), port: endpoint.port }
        const [status] = await statusOf(session, group)
        const prepared = await prepareMove(session, from, group, { accept: options.accept, seconds: options.seconds, plainWayBack, ...file, ...certificates })
        const ended = endedAs(status?.move?.move ?? null, at, 'stops' in prepared ? prepared.stops : [])
        if (ended !== null) Object.assign(row, { stage: ended, words: status?.move?.move.last ?? '' })
        if (ended !== null) return 'moved'
        if ('ready' in prepared) return prepared.ready
        failRow(row, standing(prepared.stops).message)
      } catch (error) {
        failRow(row, wordsOf(error))
      }
      return null
    }),
  )
  const all = ready.filter((one) => one !== null)
  return all.length === rows.length ? all : null
}

/**
 * Cut over by the same list before: it is passed over, or a list that was broken off half-way could never come to its end. One that is final is begun
 * anew where its source has become a primary again since. null: it is still to be moved.
 */
export function endedAs(move: Pick<Move, 'stage' | 'source'> | null, at: SourceAt, stops: readonly string[]): 'MOVED' | 'DONE' | null {
  if (move === null || move.source.host !== at.host || move.source.port !== at.port) return null
  if (move.stage === 'moved') return 'MOVED'
  return move.stage === 'done' && stops.includes('P11') ? 'DONE' : null
}

function failRow(row: Row, why: string): void {
  Object.assign(row, { stage: 'FAILED', words: why, failed: true })
}

function wordsOf(error: unknown): string {
  return error instanceof OperatorError ? `${error.code} ${error.message}` : (error as Error).message
}

/** The next one begins when one of them has ended, well or not. */
async function inTurn(most: number, rows: readonly Row[], run: (row: Row, at: number) => Promise<void>): Promise<void> {
  let next = 0
  const lane = async (): Promise<void> => {
    for (let at = next++; at < rows.length; at = next++) {
      const row = rows[at]
      if (row !== undefined) await run(row, at)
    }
  }
  await Promise.all(Array.from({ length: Math.min(most, rows.length) }, lane))
}

async function syncOne(
  session: Session,
  row: Row,
  ready: Ready,
  { verifies, terms, signal }: { readonly verifies: boolean; readonly terms: Partial<SyncTerms>; readonly signal: AbortSignal },
): Promise<void> {
  const { group } = row.move
  try {
    if (signal.aborted) return
    row.words = await beginMove(session, ready, terms)
    for await (const { stage, line } of looksAtSync(session, group, signal)) Object.assign(row, { stage, words: line.words })
    if (!verifies || row.stage === 'VERIFIED') return
    Object.assign(row, { stage: 'VERIFYING', words: '' })
    const { proven, words } = await prove(session, group, ready.from, { pace: 'auto', signal })
    if (proven) Object.assign(row, { stage: 'VERIFIED', words })
    else failRow(row, words)
  } catch (error) {
    if (!signal.aborted) failRow(row, wordsOf(error))
  }
}

/** One at a time: each holds the writes of its clients for a moment, and an operator can look at each. */
async function cutOverAll(session: Session, rows: readonly Row[], signal: AbortSignal): Promise<void> {
  for (const row of rows) {
    if (signal.aborted) return
    if (row.stage === 'MOVED' || row.stage === 'DONE') continue
    const { group } = row.move
    try {
      const result = await send(session, await holderOf(session, group), group, {
        kind: 'move',
        to: null,
        dryRun: false,
        move: { verb: 'cutover', unverified: false },
      })
      if (!result.ok) throw refusal(result, group)
      Object.assign(row, { stage: 'MOVED', words: result.message })
    } catch (error) {
      failRow(row, wordsOf(error))
      return
    }
  }
}

/** Where nobody sees the table: a line at each change, so that a comparison of an hour is not an hour of silence. */
export function changedLines(rows: readonly Pick<Row, 'move' | 'stage' | 'words'>[], told: Map<string, string>): string {
  const changed = rows.filter(({ move, stage }) => told.get(move.group) !== stage)
  for (const { move, stage } of changed) told.set(move.group, stage)
  return changed.map(({ move, stage, words }) => `${move.group}  ${stage}${words === '' ? '' : `  ${words}`}\n`).join('')
}

interface Shown {
  readonly follow: (signal: AbortSignal) => Promise<void>
  /** As it is at the end. */
  readonly end: () => void
}

function tableOf(rows: readonly Row[], json: boolean): Shown {
  const asJson = (): string => `${JSON.stringify({ moves: rows.map(({ move, stage, words, failed }) => ({ group: move.group, stage, words, failed })) })}\n`
  const drawn = (): string => {
    const table = new Table({ head: ['group', 'from', 'stage', 'how far'], style: { head: [], border: [] }, wordWrap: true })
    for (const { move, stage, words, failed } of rows) table.push([move.group, withoutPassword(move.from), failed ? pc.red(stage) : stage, words])
    return `${table.toString()}\n`
  }
  const isWatched = process.stdout.isTTY && !json
  return {
    follow: async (signal) => {
      const told = new Map<string, string>()
      while (!signal.aborted) {
        if (json) process.stdout.write(asJson())
        else if (isWatched) process.stdout.write(`\x1b[H\x1b[2J${drawn()}${pc.dim('Ctrl-C ends the looking; what has begun goes on')}\n`)
        else process.stderr.write(changedLines(rows, told))
        await delay(lookMs, undefined, { signal }).catch(() => undefined)
      }
    },
    end: () => void process.stdout.write(json ? asJson() : `${isWatched ? '\x1b[H\x1b[2J' : ''}${drawn()}`),
  }
}
