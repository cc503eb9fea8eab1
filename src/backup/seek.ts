/**
 * Reads a history command by command, for the last moment at which it may end: behind a whole command, and not within a MULTI, whose commands
 * redis keeps back until EXEC. Finds commands on the way, and times to live that count from "now". PURE: text in; a byte is one character.
 */
import { streamParser } from '../salvage/stream.ts'
import { absolute } from './absolute.ts'
import { fits, type Pattern } from './pattern.ts'

export interface Match {
  /** The last byte before it, or before the MULTI that it is part of: where a history without it ends. */
  readonly before: number
  /** Of its last byte. */
  readonly to: number
  /** Whole commands up to `before`. */
  readonly commands: number
  /** Name and arguments, one character per byte; of many only the first. */
  readonly words: readonly string[]
}

export interface Seeker {
  /** What follows what was given before. */
  readonly push: (latin1: string) => void
  /** Offset of the last byte that may be the last. */
  readonly cut: () => number
  /** Whole commands up to there. */
  readonly commands: () => number
  /** The last few, in order. */
  readonly matches: () => readonly Match[]
  /** The highest that is named. */
  readonly database: () => number
  /** Something in it counts its time to live from the moment at which it came. */
  readonly isRelative: () => boolean
  /** Why it is no stream of redis'. null: it is one. */
  readonly broken: () => string | null
}

/** The last one, and five before it. */
const mostMatches = 6
const mostWords = 8

/** `from`: of the first byte; a command begins there. */
export function seeker(from: number, pattern: Pattern | null): Seeker {
  const parser = streamParser(from, null)
  const isWanted = pattern === null ? (): boolean => false : fits(pattern)
  let cut = from - 1
  let commands = 0
  let open = 0
  let matches: readonly Match[] = []
  let inside: Match[] = []
  let relative = false
  let database = 0
  return {
    push: (latin1) => {
      const whole = parser.push(latin1)
      whole.forEach((command, index) => {
        const { name, args, offset, transaction } = command
        const to = (whole[index + 1]?.offset ?? parser.position()) - 1
        database = Math.max(database, ...databasesNamed(command))
        relative ||= absolute(command, 0) !== null
        if (isWanted(command)) inside.push({ before: (transaction ?? offset) - 1, to, commands, words: [name, ...args.slice(0, mostWords)] })
        open += 1
        // An EXEC that never came: none of it was done.
        if (name === 'MULTI' || (transaction !== null && name !== 'EXEC' && name !== 'DISCARD')) return
        if (inside.length > 0 && name !== 'DISCARD') matches = [...matches, ...inside].slice(-mostMatches)
        inside = []
        commands += open
        open = 0
        cut = to
      })
    },
    cut: () => cut,
    commands: () => commands,
    matches: () => matches,
    database: () => database,
    isRelative: () => relative,
    broken: parser.broken,
  }
}

function databasesNamed({ name, args }: { readonly name: string; readonly args: readonly string[] }): readonly number[] {
  if (name === 'SELECT' || name === 'SWAPDB') return args.map(Number).filter(Number.isSafeInteger)
  if (name === 'MOVE') return [Number(args[1])].filter(Number.isSafeInteger)
  if (name !== 'COPY') return []
  const at = args.findIndex((word, index) => index > 1 && word.toUpperCase() === 'DB')
  return at < 0 ? [] : [Number(args[at + 1])].filter(Number.isSafeInteger)
}
