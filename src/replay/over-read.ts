/**
 * The keys of a redis aside, in pieces of few bytes, beside what a primary has under the same names. Holds one piece at a time, however many
 * keys there are. Writes nothing.
 */
import { formatOfDump, payloadOf } from '../redis/dump-footer.ts'
import { RawError, type RawRedis, type RawReply, type Word } from '../redis/raw.ts'
import { sameStream, sameValue } from '../redis/same-value.ts'
import { good, scanned, select, usedDatabases } from './keys.ts'

/** Of values in one piece: the primary answers nobody else while it takes or gives them. */
const pieceBytes = 512 * 1024
/** Of one value: a larger one is compared bit by bit, and written alone. */
const largeBytes = 256 * 1024

export interface KeyAside {
  readonly key: Buffer
  /** As DUMP gives it; null: it is large, and fetched when it is written. */
  readonly dump: Buffer | null
  readonly type: string
  /** null: it lives on. */
  readonly expiresAtMs: number | null
}

export interface Piece {
  readonly database: number
  readonly keys: readonly KeyAside[]
  /** Named by SCAN, and not there any more: their time was over. */
  readonly expired: number
}

/** Aside, where nobody waits for it: a piece is put together where it lies. */
const gather = `local out, sum, now = {}, 0, nil
for i, key in ipairs(KEYS) do
  local bytes = redis.call('MEMORY', 'USAGE', key)
  if not bytes then out[i] = false else
    local at = -1
    if ARGV[1] == '1' then at = redis.call('PEXPIRETIME', key) else
      local t, left = redis.call('TIME'), redis.call('PTTL', key)
      if left >= 0 then at = t[1] * 1000 + math.floor(t[2] / 1000) + left end
    end
    if bytes > ${largeBytes} then out[i] = {redis.call('TYPE', key).ok, at} else
      local dump = redis.call('DUMP', key)
      if not dump then out[i] = false else
        out[i] = {redis.call('TYPE', key).ok, at, dump}
        sum = sum + #dump
      end
    end
  end
  if sum > ${pieceBytes} then break end
end
return out`

export async function* pieces(aside: RawRedis, signal: AbortSignal): AsyncGenerator<Piece, void, undefined> {
  const exact = await tellsExpiry(aside)
  for (const database of await usedDatabases(aside)) {
    await select([aside], database)
    for await (const page of scanned(aside, undefined, signal)) {
      for (let at = 0; at < page.length; ) {
        const names = page.slice(at)
        const found = good(await aside.call('EVAL', gather, String(names.length), ...names, exact ? '1' : '0')) as readonly (readonly RawReply[] | null)[]
        if (found.length === 0) throw new Error('the redis aside gives no keys')
        const keys = found.flatMap((one, index) => (one === null ? [] : [keyOf(names[index] ?? Buffer.alloc(0), one)]))
        yield { database, keys, expired: found.length - keys.length }
        at += found.length
      }
    }
  }
}

function keyOf(key: Buffer, [type, at, dump]: readonly RawReply[]): KeyAside {
  return { key, type: String(type), expiresAtMs: typeof at === 'number' && at >= 0 ? at : null, dump: Buffer.isBuffer(dump) ? dump : null }
}

/** PEXPIRETIME came with 7.0. */
async function tellsExpiry(redis: RawRedis): Promise<boolean> {
  return !((await redis.call('PEXPIRETIME', 'holdfast')) instanceof RawError)
}

export type Standing = 'same' | 'differs' | 'missing'

export interface Comparer {
  /** How each key of a piece stands in the primary, whose connection has chosen its database. */
  readonly compare: (piece: Piece) => Promise<readonly Standing[]>
}

export async function comparer(aside: RawRedis, live: RawRedis): Promise<Comparer> {
  const exact = await tellsExpiry(live)
  // Of a relative time, by when it is asked: two readings of one moment differ.
  const marginMs = exact && (await tellsExpiry(aside)) ? 0 : 1000
  const sides = { aside, live, exact, marginMs }
  return { compare: (piece) => compare(sides, piece) }
}

interface Sides {
  readonly aside: RawRedis
  readonly live: RawRedis
  readonly exact: boolean
  readonly marginMs: number
}

async function compare(sides: Sides, { keys }: Piece): Promise<readonly Standing[]> {
  const usages = await sides.live.pipeline(keys.map(({ key }) => ['MEMORY', 'USAGE', key]))
  const standings: Standing[] = keys.map(() => 'missing')
  let [batch, sum]: [number[], number] = [[], 0]
  const take = async (): Promise<void> => {
    const found = await compareSome(
      sides,
      batch.map((index) => ({ one: keys[index] as KeyAside, bytes: Number(usages[index]) })),
    )
    for (const [at, index] of batch.entries()) standings[index] = found[at] ?? 'missing'
    ;[batch, sum] = [[], 0]
  }
  for (const [index, usage] of usages.entries()) {
    if (usage === null) continue
    // What the primary does not tell (an ACL) is an error of the first DUMP as well.
    const bytes = typeof usage === 'number' && usage <= largeBytes ? usage : 0
    if (batch.length > 0 && sum + bytes > pieceBytes) await take()
    batch.push(index)
    sum += bytes
  }
  if (batch.length > 0) await take()
  return standings
}

async function compareSome(
  { aside, live, exact, marginMs }: Sides,
  some: readonly { readonly one: KeyAside; readonly bytes: number }[],
): Promise<readonly Standing[]> {
  const words = some.flatMap(({ one, bytes }): (readonly Word[])[] => [
    [exact ? 'PEXPIRETIME' : 'PTTL', one.key],
    // Asked for something small: what comes is not looked at.
    one.dump === null || bytes > largeBytes ? ['EXISTS', one.key] : ['DUMP', one.key],
  ])
  const [time, ...replies] = await live.pipeline([['TIME'], ...words])
  const [seconds, micros] = Array.isArray(time) ? time.map(Number) : []
  const nowMs = exact ? 0 : (seconds ?? 0) * 1000 + Math.floor((micros ?? 0) / 1000)
  return Promise.all(
    some.map(async ({ one }, index): Promise<Standing> => {
      const [left, dump] = [good(replies[index * 2] ?? null), good(replies[index * 2 + 1] ?? null)]
      if (left === -2 || dump === null || dump === 0) return 'missing'
      const expiresAtMs = typeof left === 'number' && left >= 0 ? nowMs + left : null
      if ((expiresAtMs === null) !== (one.expiresAtMs === null)) return 'differs'
      if (Math.abs((expiresAtMs ?? 0) - (one.expiresAtMs ?? 0)) > marginMs) return 'differs'
      return (await isSame(aside, live, one, Buffer.isBuffer(dump) ? dump : null)) ? 'same' : 'differs'
    }),
  )
}

async function isSame(aside: RawRedis, live: RawRedis, { key, dump, type }: KeyAside, theirs: Buffer | null): Promise<boolean> {
  if (type !== 'stream') {
    if (dump !== null && theirs !== null && (samePayload(dump, theirs) || (isPlain(dump) && isPlain(theirs)))) return samePayload(dump, theirs)
    return sameValue(aside, live, key)
  }
  // Of a stream only DUMP tells all: what each consumer has pending.
  const [a, b] = [dump ?? (await aside.call('DUMP', key)), theirs ?? (await live.call('DUMP', key))]
  if (!Buffer.isBuffer(a) || !Buffer.isBuffer(b)) return false
  return samePayload(a, b) || (formatOfDump(a) !== formatOfDump(b) && (await sameStream(aside, live, key)))
}

/** A string that is not packed: one value has one such form, in every version. Both need not be asked for it again. */
function isPlain(dump: Buffer): boolean {
  return dump[0] === 0 && dump[1] !== 0xc3
}

function samePayload(a: Buffer, b: Buffer): boolean {
  return payloadOf(a).equals(payloadOf(b))
}
