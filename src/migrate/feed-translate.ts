/**
 * What a newer primary writes into its replication stream, in words that an older redis understands. PURE and deterministic: the same command is translated the
 * same way each time, so a feed that begins anew knows which bytes the old redis has. A primary writes a command down only when it has done something, so
 * conditions (NX, GT, IFEQ) are left out. What is not in these tables is never guessed: it is lost, and said to be.
 * Sources: what 7.0, 8.0, Valkey 8.0 and 8.1 send (test/contract/feed-words.test.ts), `since` and `history` of redis/src/commands.
 */
import { addBeyond, copyKey, moveElement, storeDifference, storeRange } from './feed-scripts.ts'
import { streamWords } from './feed-streams.ts'
import { rdbFormatOf } from './versions.ts'

/** One character per byte. */
export type Words = readonly string[]

export interface OldRedis {
  /** 600, 602, 700: major and minor. Of Valkey what it calls itself for old clients (702). */
  readonly version: number
  /** The format of the RDB that it reads: of what RESTORE brings. */
  readonly format: number
}

export interface Said {
  readonly words: readonly Words[]
  /** What the old redis is not told; null: nothing. */
  readonly lost: string | null
}

export interface FedCommand {
  /** In upper case. */
  readonly name: string
  readonly args: Words
}

/** null: it is older than 4.0, and would ask for a full sync whenever it is told to follow another. */
export function oldRedisFrom(text: string): OldRedis | null {
  const [major = 0, minor = 0] = text.split('.').map(Number)
  // Valkey calls itself 7.2.4 for old clients.
  const format = rdbFormatOf({ product: 'redis', text, major, minor, patch: 0 })
  return format === null || major < 4 ? null : { version: 100 * major + minor, format }
}

/** Known by every redis that can be fed, with all that they are sent with. */
const always: ReadonlySet<string> = new Set(
  (
    'PING SELECT MULTI EXEC DISCARD REPLCONF PUBLISH DEL RENAME RENAMENX MOVE EXPIRE PEXPIRE PERSIST SWAPDB UNLINK SORT SCRIPT ' +
    'SETNX SETEX PSETEX GETSET MSET MSETNX APPEND INCR INCRBY INCRBYFLOAT DECR DECRBY SETRANGE SETBIT BITFIELD ' +
    'LPUSH RPUSH LPUSHX RPUSHX LINSERT LSET LREM LTRIM RPOPLPUSH SADD SREM SPOP SMOVE SINTERSTORE SUNIONSTORE SDIFFSTORE ' +
    'ZINCRBY ZREM ZREMRANGEBYRANK ZREMRANGEBYSCORE ZREMRANGEBYLEX ZUNIONSTORE ZINTERSTORE HSET HMSET HSETNX HINCRBY HINCRBYFLOAT HDEL PFADD PFCOUNT PFMERGE'
  ).split(' '),
)
/** They say nothing of the data. HPERSIST: the end of that field was not told either. */
const nothingToSay: ReadonlySet<string> = new Set(['SPUBLISH', 'HPERSIST'])
const fieldEnds: ReadonlySet<string> = new Set(['HEXPIRE', 'HPEXPIRE', 'HEXPIREAT', 'HPEXPIREAT'])

const one = (...words: Words): Said => ({ words: [words], lost: null })
const both = (...words: readonly Words[]): Said => ({ words, lost: null })
const lost = (why: string): Said => ({ words: [], lost: why })
const nothing: Said = { words: [], lost: null }
const script = (text: string, keys: Words, args: Words = []): Said => one('EVAL', text, String(keys.length), ...keys, ...args)

export function translated(command: FedCommand, old: OldRedis): Said {
  const { name, args } = command
  if (always.has(name)) return one(name, ...args)
  const streams = streamWords(command, old)
  if (streams !== null) return streams
  const say = sayings[name]
  if (say !== undefined) return say(args, old)
  if (fieldEnds.has(name)) return old.version >= 704 ? one(name, ...args) : lost('the end of a single field (7.4)')
  if (nothingToSay.has(name)) return old.version >= (name === 'SPUBLISH' ? 700 : 704) ? one(name, ...args) : nothing
  return lost(name.includes('.') ? 'of a module' : 'it has no such command')
}

type Saying = (args: Words, old: OldRedis) => Said

/** Each with the version that brought it, or what is new in it. */
const sayings: Readonly<Record<string, Saying>> = {
  SET: ([key = '', value = '', ...options], old) => set(key, value, options, old),
  MSETEX: msetex,
  GETDEL: ([key = '']) => one('DEL', key),
  DELEX: ([key = '']) => one('DEL', key),
  DELIFEQ: ([key = '']) => one('DEL', key),
  EXPIREAT: (args, old) => one('EXPIREAT', ...args.slice(0, old.version >= 700 ? undefined : 2)),
  PEXPIREAT: (args, old) => one('PEXPIREAT', ...args.slice(0, old.version >= 700 ? undefined : 2)),
  FLUSHALL: (args, old) => flush('FLUSHALL', args, old),
  FLUSHDB: (args, old) => flush('FLUSHDB', args, old),
  RESTORE: restore,
  COPY: copy,
  BITOP: (args) => (/^(and|or|xor|not)$/i.test(args[0] ?? '') ? one('BITOP', ...args) : lost(`BITOP ${args[0] ?? ''} (8.2)`)),
  LPOP: ([key = '', count], old) => (count === undefined || old.version >= 602 ? popped('LPOP', key, count) : one('LTRIM', key, count, '-1')),
  RPOP: ([key = '', count], old) =>
    count === undefined || old.version >= 602 ? popped('RPOP', key, count) : one('LTRIM', key, '0', String(-1 - Number(count))),
  LMOVE: lmove,
  BLMOVE: lmove,
  BRPOPLPUSH: ([from = '', to = '']) => one('RPOPLPUSH', from, to),
  ZADD: zadd,
  ZPOPMIN: ([key = '', count = '1'], old) => (old.version >= 500 ? one('ZPOPMIN', key, count) : ranks(key, Number(count), false)),
  ZPOPMAX: ([key = '', count = '1'], old) => (old.version >= 500 ? one('ZPOPMAX', key, count) : ranks(key, Number(count), true)),
  ZRANGESTORE: zrangestore,
  ZDIFFSTORE: (args, old) => {
    const [to = '', count = '0', ...keys] = args
    return old.version >= 602 ? one('ZDIFFSTORE', ...args) : script(storeDifference, [to, ...keys.slice(0, Number(count))])
  },
  GEOADD: (args, old) => (old.version >= 602 || !/^(nx|xx|ch)$/i.test(args[1] ?? '') ? one('GEOADD', ...args) : lost('GEOADD NX, XX or CH (6.2)')),
  GEORADIUS: (args, old) => georadius('GEORADIUS', args, old),
  GEORADIUSBYMEMBER: (args, old) => georadius('GEORADIUSBYMEMBER', args, old),
  GEOSEARCHSTORE: geosearchstore,
  HSETEX: hsetex,
  HGETDEL: ([key = '', , , ...fields]) => one('HDEL', key, ...fields),
  FUNCTION: (args, old) => {
    if (old.version >= 700) return one('FUNCTION', ...args)
    // What was never told needs no end.
    return /^(delete|flush)$/i.test(args[0] ?? '') ? nothing : lost('a function (7.0)')
  },
  EVAL: () => lost('a script as a whole: what it calls may be newer'),
  EVALSHA: () => lost('a script as a whole: what it calls may be newer'),
}

const wordless: ReadonlySet<string> = new Set(['NX', 'XX', 'GET'])
const withWord: ReadonlySet<string> = new Set(['IFEQ', 'IFNE', 'IFDEQ', 'IFDNE'])
const points: Readonly<Record<string, string>> = { EXAT: 'EXPIREAT', PXAT: 'PEXPIREAT' }

/** An end and its value go together, or a reader of the old redis would see the one without the other: the feed puts them into a MULTI. */
function set(key: string, value: string, options: Words, old: OldRedis): Said {
  const kept: string[] = []
  let end: Words | null = null
  for (let at = 0; at < options.length; at += 1) {
    const word = (options[at] ?? '').toUpperCase()
    const next = options[at + 1] ?? ''
    if (wordless.has(word)) continue
    if (withWord.has(word)) at += 1
    else if (word === 'KEEPTTL') {
      if (old.version < 600) return lost('SET … KEEPTTL (6.0)')
      kept.push(word)
    } else if (word === 'EX' || word === 'PX') {
      kept.push(word, next)
      at += 1
    } else if (points[word] !== undefined) {
      if (old.version >= 602) kept.push(word, next)
      else end = [points[word], key, next]
      at += 1
    } else return lost(`SET … ${word}`)
  }
  const plain = ['SET', key, value, ...kept]
  return end === null ? both(plain) : both(plain, end)
}

/** 8.4: NUMKEYS, keys and values, then options that count for each of them. */
function msetex([count = '0', ...rest]: Words, old: OldRedis): Said {
  const pairs = 2 * Number(count)
  const each = Array.from({ length: Number(count) }, (_, at) => set(rest[2 * at] ?? '', rest[2 * at + 1] ?? '', rest.slice(pairs), old))
  return { words: each.flatMap(({ words }) => words), lost: each.find((said) => said.lost !== null)?.lost ?? null }
}

function flush(name: string, args: Words, old: OldRedis): Said {
  return one(name, ...args.filter((word) => old.version >= 602 || word.toUpperCase() !== 'SYNC'))
}

function restore([key = '', end = '0', payload = '', ...options]: Words, old: OldRedis): Said {
  const format = payload.charCodeAt(payload.length - 10) + 256 * payload.charCodeAt(payload.length - 9)
  if (!(format <= old.format)) return lost(`RESTORE of format ${format}`)
  if (old.version >= 500) return one('RESTORE', key, end, payload, ...options)
  const absolute = options.some((word) => word.toUpperCase() === 'ABSTTL') && end !== '0'
  const plain = ['RESTORE', key, absolute ? '0' : end, payload, 'REPLACE']
  return absolute ? both(plain, ['PEXPIREAT', key, end]) : both(plain)
}

function copy(args: Words, old: OldRedis): Said {
  if (old.version >= 602) return one('COPY', ...args)
  const [from = '', to = '', ...options] = args
  const at = options.findIndex((word) => word.toUpperCase() === 'DB')
  return script(copyKey, [from, to], [at < 0 ? '' : (options[at + 1] ?? '')])
}

function popped(name: string, key: string, count: string | undefined): Said {
  return one(name, key, ...(count === undefined ? [] : [count]))
}

function lmove([from = '', to = '', takes = '', puts = '']: Words, old: OldRedis): Said {
  const [left, right] = [/^left$/i.test(takes), /^right$/i.test(puts)]
  if (old.version >= 602) return one('LMOVE', from, to, takes, puts)
  return !left && !right ? one('RPOPLPUSH', from, to) : script(moveElement, [from, to], [left ? 'LPOP' : 'RPOP', right ? 'RPUSH' : 'LPUSH'])
}

function zadd(args: Words, old: OldRedis): Said {
  const [key = '', ...rest] = args
  const flags: string[] = []
  while (/^(nx|xx|gt|lt|ch|incr)$/i.test(rest[0] ?? '')) flags.push((rest.shift() ?? '').toUpperCase())
  const beyond = flags.find((word) => word === 'GT' || word === 'LT')
  if (old.version >= 602 || beyond === undefined) return one('ZADD', ...args)
  // Of one member it is known that it was beyond.
  if (rest.length === 2) return one('ZADD', key, ...flags.filter((word) => word !== beyond), ...rest)
  return script(addBeyond, [key], [beyond, flags.includes('XX') ? 'XX' : '', ...rest])
}

function ranks(key: string, count: number, highest: boolean): Said {
  if (!(count > 0)) return nothing
  return highest ? one('ZREMRANGEBYRANK', key, String(-count), '-1') : one('ZREMRANGEBYRANK', key, '0', String(count - 1))
}

function zrangestore(args: Words, old: OldRedis): Said {
  if (old.version >= 602) return one('ZRANGESTORE', ...args)
  const [to = '', from = '', first = '', last = '', ...options] = args
  const upper = options.map((word) => word.toUpperCase())
  const by = upper.includes('BYSCORE') ? 'BYSCORE' : upper.includes('BYLEX') ? 'BYLEX' : ''
  const limit = upper.indexOf('LIMIT')
  const command = `Z${upper.includes('REV') ? 'REV' : ''}RANGE${by}`
  return script(storeRange, [to, from], [command, first, last, ...(limit < 0 ? [] : ['LIMIT', ...options.slice(limit + 1, limit + 3)])])
}

/** ANY (6.2): which ones it takes is up to each server. Units in capital letters: 7.0. */
function georadius(name: string, args: Words, old: OldRedis): Said {
  const own = name === 'GEORADIUS' ? 5 : 4
  if (old.version < 602 && args.slice(own).some((word) => word.toUpperCase() === 'ANY')) return lost(`${name} … ANY (6.2)`)
  return one(name, ...args.map((word, at) => (at === own - 1 ? word.toLowerCase() : word)))
}

function geosearchstore(args: Words, old: OldRedis): Said {
  if (old.version >= 700) return one('GEOSEARCHSTORE', ...args)
  if (old.version >= 602) return one('GEOSEARCHSTORE', ...args.map((word) => (/^(m|km|ft|mi)$/i.test(word) ? word.toLowerCase() : word)))
  const [to = '', from = '', ...words] = args
  const upper = words.map((word) => word.toUpperCase())
  const behind = (word: string, count: number): Words | null =>
    upper.includes(word) ? words.slice(upper.indexOf(word) + 1, upper.indexOf(word) + 1 + count) : null
  const [point, member, radius] = [behind('FROMLONLAT', 2), behind('FROMMEMBER', 1), behind('BYRADIUS', 2)]
  const where = point ?? member
  if (where === null || radius === null || upper.includes('ANY')) return lost('GEOSEARCHSTORE BYBOX, BYPOLYGON or ANY (6.2)')
  const count = behind('COUNT', 1)
  const order = upper.find((word) => word === 'ASC' || word === 'DESC')
  return georadius(
    point === null ? 'GEORADIUSBYMEMBER' : 'GEORADIUS',
    [
      from,
      ...where,
      ...radius,
      ...(count === null ? [] : ['COUNT', ...count]),
      ...(order === undefined ? [] : [order]),
      upper.includes('STOREDIST') ? 'STOREDIST' : 'STORE',
      to,
    ],
    old,
  )
}

/** 8.0. The values are told; an end of its own no older field has. KEEPTTL: there is none to keep. */
function hsetex([key = '', ...rest]: Words): Said {
  const at = rest.findIndex((word) => word.toUpperCase() === 'FIELDS')
  const ends = rest.slice(0, at).some((word) => /^(ex|px|exat|pxat)$/i.test(word))
  return { words: [['HSET', key, ...rest.slice(at + 2)]], lost: ends ? 'the end of a single field (7.4)' : null }
}
