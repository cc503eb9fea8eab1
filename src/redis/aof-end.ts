/**
 * The end of an AOF: where its last whole command ends, and whether what is behind that is what a crash leaves (the beginning of a command,
 * a transaction without its EXEC, zeros of blocks that were never written) or damage. PURE, and total: whatever the bytes are, it
 * answers. Nothing may be cut that could be a command, so in doubt it is damage.
 */
import { shown } from './words.ts'

export interface EndScan {
  /** Of the bytes given: so many are whole commands and whole transactions. */
  readonly wholeBytes: number
  readonly kind: 'whole' | 'torn' | 'damaged'
  /** What is behind them, in words; '' where nothing is. */
  readonly why: string
  /** Torn: what a cut takes away. The last one is usually not whole. */
  readonly commands: number
  readonly first: string
  readonly last: string
}

interface Parsed {
  /** Of its first word. */
  readonly nameFrom: number
  readonly nameTo: number
  /** Behind the command; null: it is not whole. */
  readonly end: number | null
}

const [star, dollar, hash, cr, lf] = [0x2a, 0x24, 0x23, 0x0d, 0x0a]
/** How MULTI, EXEC and DISCARD begin, in either case. */
const bounds: readonly number[] = [0x4d, 0x45, 0x44]
const maxWords = 1024 * 1024
const maxWordBytes = 512 * 1024 * 1024
/** Of a command's words, so many are shown. */
const shownWords = 8
const shownBytes = 60
/** A tail in which a command might begin at more places than this is not looked through any further: it is damage. */
const maxTries = 10_000
/** Of small commands, some 2 ms. */
const stepBytes = 256 * 1024
const stepZeros = 1024 * 1024
const stepTries = 100

/** `bytes`: from the beginning of a command to the end of the file. */
export function scanEnd(bytes: Uint8Array): EndScan {
  const steps = scanSteps(bytes)
  for (;;) {
    const step = steps.next()
    if (step.done === true) return step.value
  }
}

/** The same in steps of a few milliseconds: who has more to do lets that pass between them. */
export function* scanSteps(bytes: Uint8Array): Generator<void, EndScan> {
  const data = bytes.subarray(0, yield* lengthWithoutZeros(bytes))
  let at = 0
  let wholeBytes = 0
  let restFrom = 0
  let open: { commands: number; first: number; last: number } | null = null
  while (at < data.length) {
    if (at - restFrom > stepBytes) {
      yield
      restFrom = at
    }
    if (data[at] === hash) {
      const end = data.indexOf(lf, at)
      if (end < 0) break
      at = end + 1
      if (open === null) wholeBytes = at
      continue
    }
    const parsed = parseCommand(data, at)
    if (typeof parsed === 'string') return damaged(wholeBytes, `${parsed} at byte ${at} behind it`)
    if (parsed.end === null) {
      if (yield* hasCommandWithin(data, at + 1)) return damaged(wholeBytes, 'a command that is not whole, and whole ones behind it')
      const last = wordsAt(data, at) || 'the beginning of a command'
      const cut = { commands: (open?.commands ?? 0) + 1, first: open === null || open.commands === 0 ? last : wordsAt(data, open.first), last }
      return torn(bytes, data, wholeBytes, cut, 'a command that is not whole')
    }
    const name = bounds.includes((data[parsed.nameFrom] ?? 0) & 0xdf)
      ? text(data, parsed.nameFrom, Math.min(parsed.nameTo, parsed.nameFrom + 8)).toUpperCase()
      : ''
    if (name === 'MULTI' && open !== null) return damaged(wholeBytes, 'a transaction that does not end, and another one behind it')
    if (name === 'MULTI') open = { commands: 0, first: at, last: at }
    else if (name === 'EXEC' || name === 'DISCARD') open = null
    else if (open !== null) open = { commands: open.commands + 1, first: open.commands === 0 ? at : open.first, last: at }
    at = parsed.end
    if (open === null) wholeBytes = at
  }
  if (open !== null) {
    const shownAt = (from: number): string => (open?.commands === 0 ? '' : wordsAt(data, from))
    const cut = { commands: open.commands, first: shownAt(open.first), last: shownAt(open.last) }
    return torn(bytes, data, wholeBytes, cut, 'a transaction that does not end')
  }
  if (wholeBytes === bytes.length) return { wholeBytes, kind: 'whole', why: '', ...nothing }
  return torn(bytes, data, wholeBytes, nothing, data.length > wholeBytes ? 'a line that is not whole' : '')
}

type Cut = Pick<EndScan, 'commands' | 'first' | 'last'>
const nothing: Cut = { commands: 0, first: '', last: '' }

function torn(bytes: Uint8Array, data: Uint8Array, wholeBytes: number, cut: Cut, what: string): EndScan {
  const zeros = bytes.length - data.length
  const why = [what, zeros > 0 ? `${zeros} zero bytes` : ''].filter((part) => part !== '').join(' and ')
  return { wholeBytes, kind: 'torn', why, ...cut }
}

function damaged(wholeBytes: number, why: string): EndScan {
  return { wholeBytes, kind: 'damaged', why, ...nothing }
}

function* lengthWithoutZeros(bytes: Uint8Array): Generator<void, number> {
  let end = bytes.length
  while (end > 0 && bytes[end - 1] === 0) {
    end -= 1
    if (end % stepZeros === 0) yield
  }
  return end
}

/** A number that was damaged swallows what follows it: then this is no tail. */
function* hasCommandWithin(data: Uint8Array, from: number): Generator<void, boolean> {
  let tries = 0
  let restFrom = from
  let restTries = 0
  for (let at = data.indexOf(star, from); at >= 0; at = data.indexOf(star, at + 1)) {
    if (at - restFrom > stepBytes || tries - restTries >= stepTries) {
      yield
      restFrom = at
      restTries = tries
    }
    if (data[at - 1] !== lf || data[at - 2] !== cr) continue
    const parsed = parseCommand(data, at)
    tries += 1
    if (tries > maxTries || (typeof parsed !== 'string' && parsed.end !== null)) return true
  }
  return false
}

function wordsAt(data: Uint8Array, at: number): string {
  const words: string[] = []
  parseCommand(data, at, words)
  return shown(words)
}

function wordAt(data: Uint8Array, from: number, length: number): string {
  const begin = text(data, from, Math.min(data.length, from + Math.min(length, shownBytes)))
  return length > shownBytes ? `${begin}… (${length} bytes)` : begin
}

/** A text: why it is no command. `words`: filled with what is there of it. Millions pass here, of which a few are shown. */
function parseCommand(data: Uint8Array, start: number, words?: string[]): Parsed | string {
  let nameFrom = 0
  let nameTo = 0
  const cut = (): Parsed => ({ nameFrom, nameTo, end: null })
  const count = numberAt(data, start, star)
  if (count === null) return cut()
  if (typeof count === 'string') return count
  if (count.value < 1 || count.value > maxWords) return `a command of ${count.value} words`
  let at = count.end
  for (let index = 0; index < count.value; index += 1) {
    const length = numberAt(data, at, dollar)
    if (length === null) return cut()
    if (typeof length === 'string') return length
    if (length.value > maxWordBytes) return `a word of ${length.value} bytes`
    const end = length.end + length.value
    if (index === 0) {
      nameFrom = length.end
      nameTo = end
    }
    if (words !== undefined && words.length < shownWords) words.push(wordAt(data, length.end, length.value))
    if ((end < data.length && data[end] !== cr) || (end + 1 < data.length && data[end + 1] !== lf)) return 'a word that does not end where it says'
    if (end + 2 > data.length) return cut()
    at = end + 2
  }
  return { nameFrom, nameTo, end: at }
}

/** null: it is not whole. */
function numberAt(data: Uint8Array, at: number, mark: number): { readonly value: number; readonly end: number } | string | null {
  if (at >= data.length) return null
  if (data[at] !== mark) return `${JSON.stringify(text(data, at, at + 8))} where ${String.fromCharCode(mark)} was to come`
  let value = 0
  for (let digit = at + 1; digit < at + 12; digit += 1) {
    const byte = data[digit]
    if (byte === undefined) return null
    if (byte === cr && digit > at + 1) {
      const after = data[digit + 1]
      return after === undefined ? null : after === lf ? { value, end: digit + 2 } : 'a number that does not end'
    }
    if (byte < 0x30 || byte > 0x39) return 'other bytes where a number was to come'
    value = value * 10 + byte - 0x30
  }
  return 'a number without an end'
}

function text(data: Uint8Array, from: number, to: number): string {
  return String.fromCharCode(...data.subarray(from, to))
}
