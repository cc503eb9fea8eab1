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
import type { Trap } from '../migrate/check.ts'
import { parseList, type Listed } from '../migrate/list.ts'
import { OperatorError } from '../model/error.ts'
import type { Move, SourceAt } from '../model/move.ts'
import type { SyncTerms } from '../model/sync-terms.ts'
import type { WantedPace } from '../move/governor.ts'
import { groupOf, openSession, refusal, send, statusOf, type Session } from './ask.ts'
import { keysWords } from './backup-words.ts'
import { askedP99, askedWindow, termsOf } from './migrate-care.ts'
import { beginMove, prepareMove, wayBackWarning, type Ready } from './migrate-begin.ts'
import { holderOf } from './migrate-orders.ts'
import { acceptedTrap, askedSeconds } from './migrate-plan.ts'
import { looksAtSync } from './migrate-progress.ts'
import { addressOf, nameSource, withoutPassword } from './migrate-source.ts'
import { paceOf, prove } from './migrate-verify.ts'

const lookMs = 500
const mostAtOnce = 16

interface Row {
  readonly move: Listed
  stage: string
  words: string
  /** Of the comparison, 0 to 1; null: none is under way. */
  compared: number | null
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
    .option('--verify', 'compare each when it is in sync; as many at a time as syncs')
    .option('--pace <pace>', "of the comparison: auto, by the source's 99th percentile; full; or so many keys a second", paceOf, 'auto' as WantedPace)
    .option('--cutover', 'compare what has no proof yet, then cut over, one after the other; the first that cannot be ends it')
    .option('--dry-run', 'only the plans')
    .option('--json', 'machine-readable, a line a look')
    .action(async (file, options, command) => {
      const session = await openSession(command.optsWithGlobals() as unknown as { config: string })
      const moves = await listOf(session, file)
      const rows = moves.map((move): Row => ({ move, stage: 'PLAN', words: '', compared: null, failed: false }))
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
        const how = { pace: options.pace, terms: termsOf(options), signal: stop.signal }
        // A proof is not a sync: the next sync does not wait for it.
        const [syncs, proofs] = [lanes(options.atOnce), lanes(options.atOnce)]
        const proves = options.verify === true || options.cutover === true
        await Promise.all(
          rows.map(async (row, at) => {
            const its = ready[at]
            if (its === undefined || its === 'moved') return
            const synced = await syncs(() => syncOne(session, row, its, how))
            if (synced && proves) await proofs(() => proveOne(session, row, its, how))
          }),
        )
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
        const ended = endedAs(status?.move?.move ?? null, at, 'against' in prepared ? prepared.against.map(({ id }) => id) : [])
        if (ended !== null) Object.assign(row, { stage: ended, words: status?.move?.move.last ?? '' })
        if (ended !== null) return 'moved'
        if ('ready' in prepared) return prepared.ready
        failRow(row, againstWords(prepared.against))
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

/** What stands against it in one line: what was seen, once, and what may be accepted. */
export function againstWords(traps: readonly Pick<Trap, 'id' | 'name' | 'level' | 'measured'>[]): string {
  const seen = [...new Set(traps.map(({ measured }) => measured))].map((measured) => {
    const its = traps.filter((trap) => trap.measured === measured)
    return `${its.map(({ id, name }) => `${id} ${name}`).join(', ')}: ${measured}`
  })
  const mayBe = traps.filter(({ level }) => level === 'yellow').map(({ id }) => `--accept ${id}`)
  return [...seen, ...(mayBe.length === 0 ? [] : [mayBe.join(' ')])].join('; ')
}

function failRow(row: Row, why: string): void {
  Object.assign(row, { stage: 'FAILED', words: why, failed: true })
}

function wordsOf(error: unknown): string {
  return error instanceof OperatorError ? `${error.code} ${error.message}` : (error as Error).message
}

/** So many at a time, in their order: the next one begins when one of them has ended, well or not. */
function lanes(most: number): <T>(run: () => Promise<T>) => Promise<T> {
  const waiting: (() => void)[] = []
  let free = most
  return async (run) => {
    if (free > 0) free -= 1
    else await new Promise<void>((resolve) => waiting.push(resolve))
    try {
      return await run()
    } finally {
      const next = waiting.shift()
      if (next === undefined) free += 1
      else next()
    }
  }
}

interface How {
  readonly pace: WantedPace
  readonly terms: Partial<SyncTerms>
  readonly signal: AbortSignal
}

/** false: it is not in sync, and its row says why. */
async function syncOne(session: Session, row: Row, ready: Ready, { terms, signal }: How): Promise<boolean> {
  const { group } = row.move
  try {
    if (signal.aborted) return false
    row.words = await beginMove(session, ready, terms)
    for await (const { stage, line } of looksAtSync(session, group, signal)) Object.assign(row, { stage, words: line.words })
    return true
  } catch (error) {
    if (!signal.aborted) failRow(row, wordsOf(error))
    return false
  }
}

async function proveOne(session: Session, row: Row, { from }: Ready, { pace, signal }: How): Promise<void> {
  if (signal.aborted || row.stage === 'VERIFIED') return
  const { group } = row.move
  const beganMs = performance.now()
  const progress = (done: number, of: number): void => {
    const most = Math.max(done, of)
    Object.assign(row, { words: keysWords(done, most, performance.now() - beganMs), compared: done / Math.max(1, most) })
  }
  try {
    Object.assign(row, { stage: 'VERIFYING', words: '' })
    const { proven, words } = await prove(session, group, from, { pace, signal, progress })
    if (proven) Object.assign(row, { stage: 'VERIFIED', words })
    else failRow(row, words)
  } catch (error) {
    if (!signal.aborted) failRow(row, wordsOf(error))
  } finally {
    row.compared = null
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

/** Where nobody sees the table: a line at each change, and at each tenth of a comparison, so that one of an hour is not an hour of silence. */
export function changedLines(rows: readonly Pick<Row, 'move' | 'stage' | 'words' | 'compared'>[], told: Map<string, string>): string {
  const standOf = ({ stage, compared }: Pick<Row, 'stage' | 'compared'>): string => `${stage} ${Math.floor((compared ?? 0) * 10)}`
  const changed = rows.filter((row) => told.get(row.move.group) !== standOf(row))
  for (const row of changed) told.set(row.move.group, standOf(row))
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
