/**
 * Times to live that count from "now", as points in time. PURE. redis before 7.0 sends them to its replicas as they were asked for; replayed a
 * day later they would begin a day later. What they become is understood by every redis since 6.0: its SET has no point in time, so that is
 * a command of its own behind it. Nobody else reads that redis meanwhile, and no cut lies between the two.
 */

export interface Words {
  /** In upper case. */
  readonly name: string
  /** Without the name. */
  readonly args: readonly string[]
}

type Command = readonly string[]

const perUnitMs: Readonly<Record<string, number>> = { EX: 1000, PX: 1 }

/** What is sent instead of it, when it came at `wallMs`. null: it stays as it is. */
export function absolute({ name, args }: Words, wallMs: number): readonly Command[] | null {
  const [key = '', second = '', third = ''] = args
  switch (name) {
    case 'EXPIRE':
    case 'PEXPIRE': {
      const atMs = pointIn(second, name === 'EXPIRE' ? 1000 : 1, wallMs)
      return atMs === null ? null : [['PEXPIREAT', key, atMs, ...args.slice(2)]]
    }
    case 'SETEX':
    case 'PSETEX': {
      const atMs = pointIn(second, name === 'SETEX' ? 1000 : 1, wallMs)
      return atMs === null
        ? null
        : [
            ['SET', key, third],
            ['PEXPIREAT', key, atMs],
          ]
    }
    case 'SET':
      return withOption(['SET', key, second], args.slice(2), wallMs)
    case 'GETEX':
      // It reads, and nobody reads its answer: what is left of it is the time.
      return withOption(null, args.slice(1), wallMs, key)
    case 'RESTORE':
    case 'RESTORE-ASKING': {
      const options = args.slice(3).map((word) => word.toUpperCase())
      const atMs = second === '0' || options.includes('ABSTTL') ? null : pointIn(second, 1, wallMs)
      return atMs === null ? null : [[name, key, atMs, ...args.slice(2), 'ABSTTL']]
    }
    default:
      return null
  }
}

/** Without its EX or PX. */
function withOption(command: Command | null, options: readonly string[], wallMs: number, key = command?.[1] ?? ''): readonly Command[] | null {
  const at = options.findIndex((word) => perUnitMs[word.toUpperCase()] !== undefined)
  const atMs = at < 0 ? null : pointIn(options[at + 1] ?? '', perUnitMs[options[at]?.toUpperCase() ?? ''] ?? 1, wallMs)
  if (atMs === null) return null
  const rest = options.filter((_, index) => index !== at && index !== at + 1)
  return [...(command === null ? [] : [[...command, ...rest]]), ['PEXPIREAT', key, atMs]]
}

/** null: it is none that redis would have taken. */
function pointIn(span: string, unitMs: number, wallMs: number): string | null {
  return /^-?\d{1,18}$/.test(span) ? String(BigInt(span) * BigInt(unitMs) + BigInt(wallMs)) : null
}
