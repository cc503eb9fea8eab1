/** Which keys a write command touches, without asking a redis. PURE. null: it cannot be said (a script, a whole database). */
import type { StreamCommand } from './stream.ts'

/** Where the keys stand among the arguments: all of them, every second one, the first two, a number first. */
const everyArg: ReadonlySet<string> = new Set(['DEL', 'UNLINK', 'PFMERGE', 'SINTERSTORE', 'SUNIONSTORE', 'SDIFFSTORE', 'TOUCH'])
const pairs: ReadonlySet<string> = new Set(['MSET', 'MSETNX'])
const firstTwo: ReadonlySet<string> = new Set([
  'RENAME',
  'RENAMENX',
  'RPOPLPUSH',
  'LMOVE',
  'BRPOPLPUSH',
  'BLMOVE',
  'SMOVE',
  'COPY',
  'GEOSEARCHSTORE',
  'ZRANGESTORE',
])
/** DESTINATION NUMKEYS KEY … */
const counted: ReadonlySet<string> = new Set(['ZUNIONSTORE', 'ZINTERSTORE', 'ZDIFFSTORE'])
/** NUMKEYS KEY … */
const countedFirst: ReadonlySet<string> = new Set(['LMPOP', 'ZMPOP'])
const afterFirst: ReadonlySet<string> = new Set(['XGROUP', 'BITOP'])
const unknowable: ReadonlySet<string> = new Set(
  'EVAL EVALSHA EVAL_RO EVALSHA_RO FCALL SCRIPT FUNCTION FLUSHDB FLUSHALL SWAPDB MOVE MIGRATE SORT GEORADIUS GEORADIUSBYMEMBER DEBUG'.split(' '),
)

export function keysOf(command: StreamCommand): readonly string[] | null {
  const { name, args } = command
  if (unknowable.has(name) || name.includes('.')) return null
  if (everyArg.has(name)) return args
  if (pairs.has(name)) return args.filter((_, index) => index % 2 === 0)
  if (firstTwo.has(name)) return args.slice(0, 2)
  if (counted.has(name)) return [args[0] ?? '', ...args.slice(2, 2 + Number(args[1] ?? 0))]
  if (countedFirst.has(name)) return args.slice(1, 1 + Number(args[0] ?? 0))
  if (afterFirst.has(name)) return args.slice(1, name === 'BITOP' ? undefined : 2)
  return args.slice(0, 1)
}
