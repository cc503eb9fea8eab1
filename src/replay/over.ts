/**
 * All that a redis aside holds into a running primary, as ordinary commands: keys that differ are written whole, those that only the
 * primary has are removed. To its replicas it is a stream like every other, so nothing is resynced. Each step may be the last one, and all
 * of it may be done again: what is there already is left. Must not know where the one aside has its data from.
 */
import { randomUUID } from 'node:crypto'
import { OperatorError } from '../model/error.ts'
import { RawError, type RawRedis, type RawReply, type Word } from '../redis/raw.ts'
import type { ItemKey } from '../salvage/classify.ts'
import { takesNothing } from './apply.ts'
import { good, scanned, select, usedDatabases } from './keys.ts'
import { comparer, pieces, type KeyAside, type Piece, type Standing } from './over-read.ts'
import type { Pace } from './pace.ts'

export interface Tally {
  readonly same: number
  readonly differs: number
  readonly missing: number
  /** In the primary alone. */
  readonly alone: number
  /** Their time was over before they were looked at. */
  readonly expired: number
}

export interface Step {
  readonly what: 'comparing' | 'removing' | 'writing' | 'checking'
  readonly done: number
  readonly of: number
}

interface Sides {
  readonly aside: RawRedis
  readonly live: RawRedis
  readonly tell: (step: Step) => void
  readonly signal: AbortSignal
}

export interface OverOrder extends Sides {
  /** What only the primary has stays. */
  readonly keepOthers: boolean
  readonly pace: Pace
  /** What has been done so far: told on the way, so that it is known however this ends. */
  readonly done: Done
}

/** Libraries of functions (7.0 and later) lie in an RDB as keys do. `unknown`: the primary has no functions. */
export type FunctionsStand = 'same' | 'differ' | 'none' | 'unknown'

export interface Done {
  written: number
  writtenBytes: number
  removed: number
  same: number
  expired: number
  functions: FunctionsStand
  /** Values that redis did not take. */
  refused: number
  readonly examples: { readonly key: ItemKey; readonly why: string }[]
}

export function nothingDone(): Done {
  return { written: 0, writtenBytes: 0, removed: 0, same: 0, expired: 0, functions: 'none', refused: 0, examples: [] }
}

const shownRefused = 20

/** How the one aside and the primary differ; writes nothing. */
export async function survey(sides: Sides, what: 'comparing' | 'checking'): Promise<Tally> {
  const tally = { same: 0, differs: 0, missing: 0, alone: 0, expired: 0 }
  await eachPiece(sides, what, (piece, standings) => {
    for (const standing of standings) tally[standing] += 1
    tally.expired += piece.expired
    return Promise.resolve()
  })
  await eachAlone(sides, (keys) => {
    tally.alone += keys.length
    return Promise.resolve()
  })
  return tally
}

/** Throws where the primary takes no more, and the reason of `signal`; `done` then says how far it came. */
export async function writeOver(order: OverOrder): Promise<void> {
  const { keepOthers, done, pace, live } = order
  // Who is being filled at this moment would have all of it waiting for him in the primary's memory.
  await pace.settled()
  // Before anything is written: a primary that is as large as its maxmemory would evict what has just been restored.
  if (!keepOthers) {
    const of = await keysIn(live)
    let looked = 0
    await eachAlone(
      order,
      async (keys) => {
        const removed = good(await live.call('UNLINK', ...keys))
        done.removed += typeof removed === 'number' ? removed : 0
        await pace.after(
          keys.length,
          keys.reduce((sum, key) => sum + key.length, 0),
        )
      },
      (keys) => {
        looked += keys
        order.tell({ what: 'removing', done: looked, of })
      },
    )
  }
  done.functions = await writeFunctions(order)
  await eachPiece(order, 'writing', (piece, standings) => writePiece(order, piece, standings))
}

export async function keysIn(redis: RawRedis): Promise<number> {
  return [...String(good(await redis.call('INFO', 'keyspace'))).matchAll(/^db\d+:keys=(\d+)/gm)].reduce((sum, [, keys]) => sum + Number(keys), 0)
}

/** In bytes; 0: none. */
export async function memoryLimitOf(redis: RawRedis): Promise<number> {
  return Number(/^maxmemory:(\d+)/m.exec(String(good(await redis.call('INFO', 'memory'))))?.[1] ?? 0)
}

async function eachPiece(
  { aside, live, tell, signal }: Sides,
  what: Step['what'],
  use: (piece: Piece, standings: readonly Standing[]) => Promise<void>,
): Promise<void> {
  const { compare } = await comparer(aside, live)
  const of = await keysIn(aside)
  let [done, database] = [0, -1]
  for await (const piece of pieces(aside, signal)) {
    if (piece.database !== database) await select([live], piece.database)
    database = piece.database
    await use(piece, await compare(piece))
    signal.throwIfAborted()
    done += piece.keys.length + piece.expired
    tell({ what, done: Math.min(done, of), of })
  }
}

/** Keys that the primary has and the one aside has not, page by page; `looked`: so many keys of the primary were looked at. */
async function eachAlone({ aside, live, signal }: Sides, use: (keys: readonly Buffer[]) => Promise<void>, looked?: (keys: number) => void): Promise<void> {
  for (const database of await usedDatabases(live)) {
    await select([aside, live], database)
    for await (const page of scanned(live, undefined, signal)) {
      if (page.length === 0) continue
      const all = good(await aside.call('EXISTS', ...page))
      const there = all === page.length ? [] : await aside.pipeline(page.map((key) => ['EXISTS', key]))
      const alone = page.filter((_, index) => there[index] === 0)
      if (alone.length > 0) await use(alone)
      looked?.(page.length)
    }
  }
}

async function writePiece({ aside, live, pace, done }: OverOrder, { database, keys, expired }: Piece, standings: readonly Standing[]): Promise<void> {
  const wanted = keys.filter((_, index) => standings[index] !== 'same')
  done.same += keys.length - wanted.length
  done.expired += expired
  const small = wanted.filter(({ dump }) => dump !== null)
  await restore({ live, pace, done, database }, small)
  for (const one of wanted) {
    if (one.dump !== null) continue
    const dump = await aside.call('DUMP', one.key)
    // Its time was over between the two.
    if (Buffer.isBuffer(dump)) await restore({ live, pace, done, database }, [{ ...one, dump }])
    else done.expired += 1
  }
}

interface Target extends Pick<OverOrder, 'live' | 'pace' | 'done'> {
  readonly database: number
}

async function restore({ live, pace, done, database }: Target, some: readonly KeyAside[]): Promise<void> {
  if (some.length === 0) return
  const replies = await live.pipeline(some.map(restoreWords))
  let stopped: RawError | null = null
  let bytes = 0
  for (const [index, { key, dump }] of some.entries()) {
    const reply = replies[index] ?? null
    if (!(reply instanceof RawError)) {
      done.written += 1
      bytes += key.length + (dump?.length ?? 0)
    } else if (takesNothing.test(reply.text)) stopped ??= reply
    else {
      done.refused += 1
      if (done.examples.length < shownRefused) done.examples.push({ key: { database, key: key.toString('latin1') }, why: reply.text })
    }
  }
  done.writtenBytes += bytes
  if (stopped !== null) throw new Error(`the primary refuses writes: ${stopped.text}`)
  await pace.after(some.length, bytes)
}

function restoreWords({ key, dump, expiresAtMs }: KeyAside): readonly Word[] {
  const value = dump ?? Buffer.alloc(0)
  return expiresAtMs === null ? ['RESTORE', key, '0', value, 'REPLACE'] : ['RESTORE', key, String(expiresAtMs), value, 'REPLACE', 'ABSTTL']
}

/** The answer: how they stood. */
async function writeFunctions({ aside, live, keepOthers }: OverOrder): Promise<FunctionsStand> {
  const stand = await functionsStand(aside, live, keepOthers)
  if (stand !== 'differ') return stand
  const dump = good(await aside.call('FUNCTION', 'DUMP'))
  if (!Buffer.isBuffer(dump)) throw new Error('the redis aside does not give its functions')
  good(await live.call('FUNCTION', 'RESTORE', dump, keepOthers ? 'REPLACE' : 'FLUSH'))
  return stand
}

export async function functionsStand(aside: RawRedis, live: RawRedis, keepOthers: boolean): Promise<FunctionsStand> {
  const [wanted, has] = [(await librariesIn(aside)) ?? [], await librariesIn(live)]
  if (has === null) return wanted.length === 0 ? 'none' : 'unknown'
  if (wanted.some((code) => !has.includes(code))) return 'differ'
  if (!keepOthers && has.length > wanted.length) return 'differ'
  return wanted.length === 0 ? 'none' : 'same'
}

/** The code of each. null: this redis has no functions. */
async function librariesIn(redis: RawRedis): Promise<readonly string[] | null> {
  const listed = await redis.call('FUNCTION', 'LIST', 'WITHCODE')
  if (!Array.isArray(listed)) return null
  return (listed as readonly (readonly RawReply[])[]).map((library) => String(library[library.findIndex((word) => String(word) === 'library_code') + 1]))
}

/** Nothing of any kind lies in it. */
export async function isEmpty(redis: RawRedis): Promise<boolean> {
  return (await keysIn(redis)) === 0 && ((await librariesIn(redis)) ?? []).length === 0
}

/**
 * Whether that primary would take what the one aside gives, asked of the primary itself: a value whose time has been over for long is read
 * and judged as every other, and not kept. Throws with what it said.
 */
export async function wouldTake(aside: RawRedis, live: RawRedis): Promise<void> {
  const name = `holdfast:probe:${randomUUID()}`
  await select([aside, live], 0)
  const [dump] = (
    await aside.pipeline([
      ['SET', name, 'x'],
      ['DUMP', name],
      ['DEL', name],
    ])
  ).slice(1)
  if (!Buffer.isBuffer(dump)) throw new Error('the redis aside does not give its keys')
  const said = await live.call('RESTORE', name, '1', dump, 'REPLACE', 'ABSTTL')
  if (said instanceof RawError)
    throw new OperatorError(
      'HF839',
      `the primary does not take it: ${said.text}`,
      /payload version/.test(said.text)
        ? 'its redis is older than the redis-server here, and values cannot be handed over: run it where the redis-server is as old as the primary, or set paths.redis_server'
        : 'see: holdfast status',
    )
  for (const database of await usedDatabases(aside))
    if ((await live.call('SELECT', String(database))) instanceof RawError)
      throw new OperatorError(
        'HF839',
        `the backup has keys in database ${database}, and the primary has no such database`,
        'set databases in its redis.conf first',
      )
}
