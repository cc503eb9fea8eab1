/**
 * Whether two redises hold the same under one key, each in the database that its connection has chosen. For where DUMP does not say so:
 * hashes and sets are dumped in the order of their tables, which differs between processes, and DUMP differs between versions. A value is
 * read piece by piece, so that neither redis is held up by a large one, and none is ever in memory here as a whole.
 */
import { RawError, type RawRedis, type RawReply, type Word } from './raw.ts'

const pieceElements = 500
const pieceBytes = 512 * 1024

/** Never so of a type that is not one of the five: of a stream see sameStream. */
export async function sameValue(a: RawRedis, b: RawRedis, key: Buffer): Promise<boolean> {
  const [type, other] = await both(a, b, ['TYPE', key])
  const sizer = sizers[String(type)]
  if (type !== other || sizer === undefined) return false
  const [size, otherSize] = await both(a, b, [sizer, key])
  if (typeof size !== 'number' || size !== otherSize) return false
  if (type === 'string') return sameRange(a, b, ['GETRANGE', key], size, pieceBytes)
  if (type === 'list') return sameRange(a, b, ['LRANGE', key], size, pieceElements)
  return sameElements(a, b, String(type), key)
}

const sizers: Readonly<Record<string, Word>> = { string: 'STRLEN', list: 'LLEN', hash: 'HLEN', set: 'SCARD', zset: 'ZCARD' }

/**
 * Of other versions: entries and groups, not what each consumer has pending. `names`: of the groups no more than which there are, for whoever compares while they are
 * read from: where a group stands moves without anything being written.
 */
export async function sameStream(a: RawRedis, b: RawRedis, key: Buffer, groupsBy: 'standing' | 'names' = 'standing'): Promise<boolean> {
  const [length, other] = await both(a, b, ['XLEN', key])
  if (typeof length !== 'number' || length !== other) return false
  const groups = (reply: RawReply): string =>
    JSON.stringify(Array.isArray(reply) ? reply.map((group) => flat(group).slice(0, groupsBy === 'names' ? 2 : 8)).sort() : String(reply))
  const [mine, theirs] = await both(a, b, ['XINFO', 'GROUPS', key])
  if (groups(mine) !== groups(theirs)) return false
  for (let from = '-'; ; ) {
    const [left, right] = await both(a, b, ['XRANGE', key, from, '+', 'COUNT', String(pieceElements)])
    if (!Array.isArray(left) || !same(left, right)) return false
    const last = (left.at(-1) as readonly RawReply[] | undefined)?.[0]
    if (left.length < pieceElements || last === undefined) return true
    // It is read twice: before 6.2 a range has no open end.
    from = String(last)
  }
}

function both(a: RawRedis, b: RawRedis, words: readonly Word[]): Promise<readonly [RawReply, RawReply]> {
  return Promise.all([a.call(...words), b.call(...words)])
}

async function sameRange(a: RawRedis, b: RawRedis, words: readonly Word[], size: number, step: number): Promise<boolean> {
  for (let at = 0; at < size; at += step) {
    const [left, right] = await both(a, b, [...words, String(at), String(at + step - 1)])
    if (!same(left, right)) return false
  }
  return true
}

/** As many on both sides, and each of the one is in the other. */
async function sameElements(a: RawRedis, b: RawRedis, type: string, key: Buffer): Promise<boolean> {
  const word = type === 'hash' ? 'HSCAN' : type === 'set' ? 'SSCAN' : 'ZSCAN'
  let cursor = '0'
  do {
    const page = await a.call(word, key, cursor, 'COUNT', String(pieceElements))
    if (!Array.isArray(page)) return false
    cursor = String(page[0])
    const elements = (page[1] ?? []) as readonly Buffer[]
    for (let at = 0; at < elements.length; at += pieceElements) if (!(await areIn(b, type, key, elements.slice(at, at + pieceElements)))) return false
  } while (cursor !== '0')
  return true
}

async function areIn(b: RawRedis, type: string, key: Buffer, elements: readonly Buffer[]): Promise<boolean> {
  if (elements.length === 0) return true
  if (type === 'set') return (await b.pipeline(elements.map((element) => ['SISMEMBER', key, element]))).every((reply) => reply === 1)
  const [names, values] = [elements.filter((_, at) => at % 2 === 0), elements.filter((_, at) => at % 2 === 1)]
  if (type === 'hash') return same(values, await b.call('HMGET', key, ...names))
  const scores = await b.pipeline(names.map((name) => ['ZSCORE', key, name]))
  // Versions write one number in more than one way.
  return scores.every((score, at) => Buffer.isBuffer(score) && (score.equals(values[at] ?? score) || Number(score) === Number(values[at])))
}

/** What is refused is equal to nothing. */
function same(a: RawReply, b: RawReply): boolean {
  if (Buffer.isBuffer(a)) return Buffer.isBuffer(b) && a.equals(b)
  if (Array.isArray(a)) return Array.isArray(b) && a.length === b.length && a.every((one, at) => same(one as RawReply, b[at] as RawReply))
  return a === b && !(a instanceof RawError)
}

function flat(reply: RawReply): readonly string[] {
  if (Array.isArray(reply)) return reply.flatMap((one) => flat(one as RawReply))
  // As latin1: two names that are no text are not one.
  return [Buffer.isBuffer(reply) ? reply.toString('latin1') : String(reply)]
}
