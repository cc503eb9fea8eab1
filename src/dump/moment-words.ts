/** Why a moment cannot be had, what was not searched for it, and which moments there are: in words. What is found is moment.ts. */
import { baseOf, type Backup } from '../backup/catalog.ts'
import { chainTo, isOnPath, type Base, type Leg, type Run } from '../backup/chain.ts'
import type { Hole } from '../backup/holes.ts'
import type { Pattern } from '../backup/pattern.ts'
import { OperatorError } from '../model/error.ts'

/** One way through the histories, and what there is of it. */
export interface Way {
  readonly group: string
  readonly replid: string
  readonly legs: readonly Leg[]
  readonly runs: readonly Run[]
  /** Those that may be used. */
  readonly bases: readonly Base[]
  /** Those that could be, once they are tested, or if their operator says so. */
  readonly waiting: readonly Backup[]
}

export function noChain(way: Way, why: string, to: number): OperatorError {
  return new OperatorError('HF831', why, joined(untestedWords(way, to), `what can be restored is ${spans(way)}`))
}

export function outside(way: Way, why: string): OperatorError {
  return new OperatorError('HF832', why, `what can be restored is ${spans(way)}`)
}

/** Where nothing was written since, `status` tells a later time than the last byte has: both are true, and the one who asks has to be told so. */
export function afterEnd(way: Way, why: string, end: { readonly offset: number; readonly wallMs: number }): OperatorError {
  const isThere = !('why' in chainTo(way.legs, way.runs, way.bases, end.offset))
  const latest = `nothing later than ${isoWords(end.wallMs)} (offset ${end.offset}) is in the store; if nothing was written since, that is the state: --time latest`
  return new OperatorError('HF832', why, joined(isThere ? latest : '', `what can be restored is ${spans(way)}`))
}

/** `by`: until then. `holes`: what was not searched. */
export function noSuch(way: Way, pattern: Pattern, by: number | 'latest', holes: readonly Hole[]): OperatorError {
  const words = [pattern.name, ...pattern.globs].join(' ')
  const until = by === 'latest' ? '' : ` before ${isoWords(by)}`
  const searched = `what can be searched is ${spans(way)}`
  const [first] = holes
  if (first === undefined)
    return new OperatorError('HF833', `no ${words} is in the archived stream of ${way.group}${until}`, `${searched}; in redis' stream DEL may be UNLINK`)
  const untested = untestedWords(way, Math.max(...holes.map(({ unreadTo }) => unreadTo)))
  return new OperatorError(
    'HF833',
    `no ${words} was found in the archived stream of ${way.group}${until}, and it may lie where nothing could be searched: ${holesWords(holes, way.group)}`,
    joined(`--offset ${first.from - 1} is the last moment before ${holes.length === 1 ? 'that' : 'the first of them'}`, untested, searched),
  )
}

const shownHoles = 5

/** The last ones: what is looked for came lately, as a rule. */
export function holesWords(holes: readonly Hole[], group: string): string {
  const left = holes.length - shownHoles
  const words = holes.slice(-shownHoles).map(holeWords)
  return [...(left > 0 ? [`${left} older ${left === 1 ? 'gap' : 'gaps'} (holdfast backup stream ${group})`] : []), ...words].join('; ')
}

function holeWords({ from, to, fromWallMs, toWallMs, unreadTo }: Hole): string {
  const missing = `bytes ${from} to ${to}, ${isoWords(fromWallMs)} to ${isoWords(toWallMs)}, are missing and were not searched`
  return unreadTo > to ? `${missing}, nor were bytes ${to + 1} to ${unreadTo} behind them, for no usable backup lies before those` : missing
}

/** A group that tests no backup has no good one: without this its operator would believe that nothing can be restored. */
function untestedWords({ group, legs, runs, bases, waiting }: Way, to: number): string {
  const known = new Set(bases.map(({ id }) => id))
  const untested = waiting.map(baseOf).filter((base) => base.state === 'untested' && !known.has(base.id) && isOnPath(legs, base))
  const last = runs.at(-1)?.to ?? -1
  const chain = chainTo(legs, runs, untested, to < 0 ? Math.max(last, ...untested.map(({ offset }) => offset)) : to)
  if ('why' in chain) return ''
  return `${chain.base.id} (offset ${chain.base.offset}) leads there, and is untested: holdfast backup test ${group} --untested tests it, --untested here begins at it as it is`
}

function joined(...words: readonly string[]): string {
  return words.filter((text) => text !== '').join('; ')
}

/** From the first backup of each stretch to its end. */
function spans({ runs, bases, replid }: Way): string {
  const words = runs.flatMap((run) => {
    const [first] = bases.filter(({ offset }) => run.from <= offset + 1 && offset <= run.to).sort((a, b) => a.offset - b.offset)
    return first === undefined
      ? []
      : [`${isoWords(first.atWallMs)} (offset ${first.offset}) to ${isoWords(Math.max(first.atWallMs, run.lastWallMs))} (offset ${run.to})`]
  })
  return words.length === 0 ? `nothing: no good backup and stream belong together (timeline ${replid.slice(0, 8)})` : words.join(', ')
}

/** As --time takes it. */
export function isoWords(wallMs: number): string {
  return new Date(wallMs).toISOString()
}
