/**
 * The end of a copy: writers are held, what was told is copied, and all is compared until nothing differs, in a bounded time. Over it: the writers go on as if nothing
 * had been. Only what was compared while nobody could write counts as proven.
 */
import { setTimeout as delay } from 'node:timers/promises'
import { proofFor, type Proof } from '../migrate/copy-rounds.ts'
import { OperatorError } from '../model/error.ts'
import type { RawRedis } from '../redis/raw.ts'
import type { Copy, CopyOptions, Link } from './copy.ts'
import { changesOf, holdWriters, type Hold, type HoldWay } from './copy-hold.ts'
import { copyKeys } from './copy-keys.ts'
import { drain, round } from './copy-round.ts'
import { fullPace } from './governor.ts'
import { settle } from './settle.ts'
import { used, verify } from './verify.ts'

export interface Finished {
  readonly held: HoldWay
  readonly heldMs: number
  /** Writers stay held for so long from then on; null: until somebody takes it back. */
  readonly keptMs: number | null
  /** The command of the source that lets them go; null: nothing is held. */
  readonly undo: string | null
  readonly proof: Proof
  /** Compared while nobody could write. */
  readonly keys: number
  /** Looked through so often until nothing differed. */
  readonly attempts: number
  /** Found different while writers were held, and copied. */
  readonly repaired: number
  readonly unproven: readonly string[]
}

export interface FinishOptions extends Pick<CopyOptions, 'events' | 'signal' | 'tell'> {
  readonly pauses: boolean
  /** A script waits while writes are paused (6.2): values travel instead. */
  readonly scriptsWait: boolean
  /** All writes are told. */
  readonly tellsAll: boolean
  readonly stopped: boolean
  /** Keys that cannot be copied are left out of what is proven. */
  readonly leavesOut: boolean
  readonly maxPauseMs: number
  /** `touched`: also where all keys would fit into the pause. */
  readonly proofs?: 'touched'
  readonly keepMs: number
}

/** Of the time for which writers are held: so much is left to say that it holds on. */
const marginMs = 300
const mostAttempts = 5
const lookMs = 300

export async function finish(copy: Copy, options: FinishOptions): Promise<Finished> {
  const { events, pauses, stopped, maxPauseMs, scriptsWait, tellsAll } = options
  const { left, example } = leftOut(copy)
  if (left > 0 && !options.leavesOut)
    throw new OperatorError(
      'HF927',
      `${left} keys cannot be copied, ${example}`,
      'holdfast migrate copy … --report FILE names them; --accept L9 leaves them out',
    )
  // Without events all that was written since the last round differs: the nearer it is, the shorter they wait.
  if (!tellsAll || events.since() === null || !copy.isWhole(null)) await copy.round()
  // By whichever connections are opened now: to whoever serves at this moment.
  copy.close()
  return copy.withLink(
    async (link) => {
      await drain({ ...link.keys, events })
      const keys = await keysOf(link)
      const toldAll = tellsAll && copy.isWhole(link.host) && events.since() !== null
      const proof = options.proofs === 'touched' && toldAll ? 'touched' : proofFor(keys, perSOf(copy), stopped ? null : maxPauseMs, toldAll)
      if (proof === 'neither')
        throw new OperatorError(
          'HF926',
          `${keys} keys cannot be compared in ${maxPauseMs / 1000} s, and the source does not tell of all its writes: nobody was held up`,
          'a longer --max-pause; or notify-keyspace-events KA at the source; or stop the writers, and --writers-stopped',
        )
      const hold = await holdWriters({ source: link.keys.ends.source, pauses, maxMs: maxPauseMs, stopped })
      if (typeof hold === 'string')
        throw new OperatorError('HF925', `the source does not let its writers be held: ${hold}`, 'stop the writers, and run it again with --writers-stopped')
      return held(copy, link, hold, proof, options)
    },
    { plain: pauses && scriptsWait && !stopped },
  )
}

async function held(copy: Copy, link: Link, hold: Hold, proof: Proof, options: FinishOptions): Promise<Finished> {
  const beganMs = performance.now()
  const over = hold.way === 'stopped' ? null : AbortSignal.timeout(Math.max(1, options.maxPauseMs - marginMs))
  const signal = over === null ? options.signal : AbortSignal.any([options.signal, over])
  let isKept = false
  try {
    const bound: Link = { ...link, keys: { ...link.keys, signal }, sides: { ...link.sides, signal } }
    const found = await untilSame(copy, bound, proof, { ...options, signal })
    if (typeof found === 'string') throw late(found, hold)
    isKept = await hold.keep(options.keepMs)
    if (!isKept) throw late('it took until the pause had ended', hold)
    return {
      held: hold.way,
      heldMs: Math.round(performance.now() - beganMs),
      keptMs: hold.way === 'pause' ? options.keepMs : null,
      undo: hold.undo,
      proof,
      ...found,
      unproven: [...found.unproven, ...unprovenOf(proof, link)],
    }
  } catch (error) {
    options.signal.throwIfAborted()
    if (over?.aborted === true) throw late(`it was not done after ${options.maxPauseMs / 1000} s`, hold)
    if (error instanceof OperatorError) throw error
    // While writers are held nothing is tried again.
    throw late((error as Error).message, hold)
  } finally {
    if (!isKept) await release(hold)
  }
}

async function release(hold: Hold): Promise<void> {
  try {
    await hold.release()
  } catch (error) {
    if (hold.way === 'min-replicas')
      throw new OperatorError(
        'HF926',
        `the writers of the source are still refused: ${(error as Error).message}`,
        'put min-replicas-to-write of the source back by hand, at once',
      )
  }
}

function late(why: string, { way }: Hold): OperatorError {
  const free = way === 'stopped' ? 'nothing was held' : 'the writers of the source go on'
  return new OperatorError(
    'HF926',
    `the last comparison was not clean: ${why}; ${free}, and nothing has changed for them`,
    'run it again with --overwrite RUN_ID: what is there is only compared; a longer --max-pause, or an hour of fewer writes',
  )
}

type Found = Pick<Finished, 'keys' | 'attempts' | 'repaired' | 'unproven'>

/** A string: why not. */
async function untilSame(copy: Copy, link: Link, proof: Proof, options: FinishOptions): Promise<Found | string> {
  const { events } = options
  const { source } = link.keys.ends
  if (options.stopped && (await isWritten(source, options.signal))) return 'somebody still writes to the source'
  const heard = await events.heardAll()
  await drain({ ...link.keys, events })
  if (!heard || !options.tellsAll) await round({ ...link.keys, sides: link.sides, governor: fullPace, events, tell: () => undefined })
  let [repaired, why] = [0, '']
  for (let attempts = 1; attempts <= mostAttempts; attempts += 1) {
    const before = await changesOf(source)
    const looked = proof === 'all' ? await compareAll(link, options) : await compareTouched(copy, link, options)
    if (typeof looked === 'string') return looked
    const found = { ...looked, wrong: looked.wrong.filter(({ database, key }) => copy.uncopied.get(`${database}:${key}`)?.forGood !== true) }
    const after = await changesOf(source)
    if (found.wrong.length === 0 && before === after)
      return { keys: found.keys, attempts, repaired, unproven: after === null ? ['that nobody wrote meanwhile: the source does not count its writes'] : [] }
    why =
      found.wrong.length === 0
        ? 'somebody wrote to the source meanwhile'
        : `${found.wrong.length} keys differed at the last look, ${nameOf(found.wrong[0])} for one`
    repaired += found.wrong.length
    for (const { database, key } of found.wrong) await copyKeys(link.keys, database, [Buffer.from(key, 'latin1')])
    await events.heardAll()
    await drain({ ...link.keys, events })
  }
  return why
}

/** Of writers that were said to be stopped: a comparison beside one that is not would take long, and come to nothing. */
async function isWritten(source: RawRedis, signal: AbortSignal): Promise<boolean> {
  const before = await changesOf(source)
  await delay(lookMs, undefined, { signal })
  return before !== (await changesOf(source))
}

interface Compared {
  readonly keys: number
  readonly wrong: readonly { readonly database: number; readonly key: string }[]
}

async function compareAll({ sides }: Link, { tell }: FinishOptions): Promise<Compared> {
  const progress = (done: number, of: number): void => tell({ phase: 'proving', round: 0, done, of })
  const { pageKeys, took, pause } = fullPace
  const { asked, differences, unsettled } = await verify({ sides, pageKeys, took, ahead: 1, pause, progress })
  return { keys: asked, wrong: [...differences, ...unsettled] }
}

/** What a round has found equal, and nobody has touched since, is equal. */
async function compareTouched({ uncopied }: Copy, link: Link, { events }: FinishOptions): Promise<Compared | string> {
  const { sides } = link
  const touched = events.since()
  if (touched === null) return 'what the source tells was lost on the way'
  const flushed = await looksFlushed(link)
  if (flushed !== null) return flushed
  // Written to while it was read, and not copied since.
  const wrong: { database: number; key: string }[] = [...uncopied.values()].filter(({ forGood }) => !forGood)
  let keys = 0
  for (const [database, names] of touched) {
    for (const { redis } of [sides.source, sides.target]) await redis.call('SELECT', String(database))
    const { differ, unsettled } = await settle(
      sides,
      [...names].map((name) => Buffer.from(name, 'latin1')),
    )
    keys += names.size
    for (const key of [...differ.map((one) => one.key), ...unsettled]) wrong.push({ database, key: key.toString('latin1') })
  }
  return { keys, wrong }
}

/** FLUSHALL, FLUSHDB and SWAPDB are told by nothing. A key that has expired may still be counted by one of the two. */
async function looksFlushed({ sides: { source, target } }: Link): Promise<string | null> {
  const [mine, theirs] = [await used(source.redis), await used(target.redis)]
  for (const database of new Set([...mine.keys(), ...theirs.keys()])) {
    const [a, b] = [mine.get(database) ?? { keys: 0, expires: 0 }, theirs.get(database) ?? { keys: 0, expires: 0 }]
    if (Math.abs(a.keys - b.keys) > Math.max(a.expires, b.expires))
      return `database ${database} has ${a.keys} keys at the source and ${b.keys} in the group: was it flushed, or swapped?`
  }
  return null
}

async function keysOf({ sides: { source } }: Link): Promise<number> {
  return [...(await used(source.redis)).values()].reduce((sum, { keys }) => sum + keys, 0)
}

function leftOut({ uncopied }: Copy): { readonly left: number; readonly example: string } {
  const all = [...uncopied.values()].filter(({ forGood }) => forGood)
  return { left: all.length, example: `${nameOf(all[0])}: ${all[0]?.why ?? ''}` }
}

/** As fast as a round was at least: it went by the pace. */
function perSOf({ rounds }: Copy): number | null {
  const perS = Math.max(0, ...rounds.slice(1).map(({ keys, tookMs }) => (keys * 1000) / Math.max(1, tookMs)))
  return perS > 40_000 ? perS : null
}

function unprovenOf(proof: Proof, { sides: { absolute } }: Link): readonly string[] {
  return [
    ...(proof === 'touched'
      ? [
          'keys that nobody touched since the last round were compared in that round and not in the end; of FLUSHDB and SWAPDB since then only the number of keys tells',
        ]
      : []),
    ...(absolute ? [] : ['times to live to the millisecond: before 7.0 they are durations, and a second is allowed']),
    'where the groups of streams stand (their names are compared), and times to live of single hash fields (7.4)',
  ]
}

function nameOf(one: { readonly database: number; readonly key: string } | undefined): string {
  return one === undefined ? '' : `${JSON.stringify(one.key)} in database ${one.database}`
}
