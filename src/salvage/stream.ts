/**
 * A piece of a replication stream, command by command. PURE: text in, commands out; a byte is one character (latin1), so that
 * nothing is lost of a binary key. Strict: what is not a whole, well-formed command is never guessed.
 */

export interface StreamCommand {
  /** In upper case. */
  readonly name: string
  /** Without the name; one character per byte. */
  readonly args: readonly string[]
  /** null: selected before the piece begins, and not known. */
  readonly database: number | null
  /** Of its first byte in the history. */
  readonly offset: number
  /** Commands of one MULTI carry the same number; null: alone. */
  readonly transaction: number | null
}

export interface StreamParser {
  /** The commands that are whole now. None any more once `broken` says why. */
  readonly push: (latin1: string) => readonly StreamCommand[]
  /** Offset of the first byte that is not part of a whole command yet. */
  readonly position: () => number
  readonly database: () => number | null
  readonly broken: () => string | null
}

const maxArgs = 1024 * 1024
const maxArgBytes = 512 * 1024 * 1024

export function streamParser(startOffset: number, startDatabase: number | null): StreamParser {
  let pending = ''
  let position = startOffset
  let database = startDatabase
  let transaction: number | null = null
  let broken: string | null = null

  function take(args: readonly string[], bytes: number): StreamCommand {
    const [first = '', ...rest] = args
    const name = first.toUpperCase()
    const command: StreamCommand = { name, args: rest, database, offset: position, transaction }
    position += bytes
    if (name === 'SELECT') database = Number(rest[0] ?? Number.NaN)
    if (name === 'MULTI') transaction = command.offset
    if (name === 'EXEC' || name === 'DISCARD') transaction = null
    return command
  }

  return {
    push: (latin1) => {
      if (broken !== null) return []
      pending = pending === '' ? latin1 : pending + latin1
      const commands: StreamCommand[] = []
      let at = 0
      for (;;) {
        const parsed = parseCommand(pending, at)
        if (parsed === 'more') break
        if (typeof parsed === 'string') {
          broken = `at offset ${position}: ${parsed}`
          break
        }
        commands.push(take(parsed.args, parsed.end - at))
        at = parsed.end
      }
      pending = pending.slice(at)
      return commands
    },
    position: () => position,
    database: () => database,
    broken: () => broken,
  }
}

type Parsed = { readonly args: readonly string[]; readonly end: number }

/** 'more': not whole yet. Any other text: why it is no command. */
function parseCommand(text: string, start: number): Parsed | string {
  if (start >= text.length) return 'more'
  const head = lineAt(text, start, '*')
  if (typeof head === 'string') return head
  if (head.value < 1 || head.value > maxArgs) return `a command of ${head.value} words`
  const args: string[] = []
  let at = head.end
  for (let index = 0; index < head.value; index += 1) {
    const length = lineAt(text, at, '$')
    if (typeof length === 'string') return length
    if (length.value < 0 || length.value > maxArgBytes) return `a word of ${length.value} bytes`
    const end = length.end + length.value
    if (text.length < end + 2) return 'more'
    if (text[end] !== '\r' || text[end + 1] !== '\n') return 'a word that does not end where it says'
    args.push(text.slice(length.end, end))
    at = end + 2
  }
  return { args, end: at }
}

function lineAt(text: string, at: number, mark: '*' | '$'): { readonly value: number; readonly end: number } | string {
  if (at >= text.length) return 'more'
  if (text[at] !== mark) return `${JSON.stringify(text.slice(at, at + 8))} where ${mark} was to come`
  const end = text.indexOf('\r\n', at)
  if (end < 0) return text.length - at > 16 ? 'a number without an end' : 'more'
  const digits = text.slice(at + 1, end)
  return /^\d{1,10}$/.test(digits) ? { value: Number(digits), end: end + 2 } : `${JSON.stringify(digits.slice(0, 16))} for a number`
}

/** Commands that redis puts into the stream for itself; they change no data. */
const housekeeping: ReadonlySet<string> = new Set(['PING', 'SELECT', 'MULTI', 'EXEC', 'DISCARD', 'REPLCONF', 'PUBLISH', 'SPUBLISH'])

export function isWrite(command: StreamCommand): boolean {
  return !housekeeping.has(command.name)
}

/**
 * The database that is selected where a piece of the stream ends: the last SELECT in it that stands at the beginning of a command.
 * A value may contain the same bytes; only from a true beginning do all commands come out whole, up to the very end.
 */
export function databaseAtEnd(latin1: string): number | null {
  const mark = '*2\r\n$6\r\nSELECT\r\n$'
  let at = latin1.length
  for (let tries = 0; tries < 1000; tries += 1) {
    at = Math.max(latin1.lastIndexOf(mark, at - 1), latin1.lastIndexOf(mark.replace('SELECT', 'select'), at - 1))
    if (at < 0) return null
    const parser = streamParser(0, null)
    parser.push(latin1.slice(at))
    if (parser.broken() === null && parser.position() === latin1.length - at) return parser.database()
    if (at === 0) return null
  }
  return null
}
