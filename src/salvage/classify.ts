/**
 * Kept writes as items that can be replayed on their own, and what may be done with each. PURE. An item is all that was done to a
 * set of keys which one command or transaction ties together; items share no key, so their order does not matter.
 */
import { isWrite, type StreamCommand } from './stream.ts'
import { keysOf } from './keys.ts'

/**
 * By what a second application, or one onto other data, would do. From harmless to unknowable. `deletion`: a key is missing in a kept
 * dataset that was there at the fork; no command says whether it was deleted, expired or evicted.
 */
export const natures = ['idempotent', 'counter', 'ordered', 'other', 'deletion'] as const
export type Nature = (typeof natures)[number]

/** safe: idempotent, on keys that the accepted history has not touched since the fork. Everything else is the operator's to decide. */
export const itemClasses = ['safe', 'changed', 'unknown', 'counter', 'ordered', 'other', 'deletion'] as const
export type ItemClass = (typeof itemClasses)[number]

export const classWords: Readonly<Record<ItemClass, string>> = {
  safe: 'sets and deletes on keys that nobody has touched since: the same however often they are applied',
  changed: 'keys that have been written since the histories parted: the newer value would be overwritten',
  unknown: 'it cannot be said whether the keys were written since the histories parted',
  counter: 'counters: they add to what is there now',
  ordered: 'lists, streams and appends: what is there now decides what they do',
  other: 'scripts, conditions, whole databases: what they do depends on everything',
  deletion: 'keys that were deleted, expired or evicted there, and that nobody has written here since: they would be deleted here',
}

export interface ItemKey {
  readonly database: number
  /** One character per byte. */
  readonly key: string
}

export interface Item {
  readonly number: number
  readonly keys: readonly ItemKey[]
  readonly commands: readonly StreamCommand[]
  readonly nature: Nature
}

const idempotent: ReadonlySet<string> = new Set(
  'DEL UNLINK MSET HSET HMSET HDEL SADD SREM ZREM PERSIST PFADD SETBIT SETRANGE GETDEL GEOADD ZADD SET EXPIREAT PEXPIREAT RESTORE'.split(' '),
)
/** Of an idempotent command: with one of these words it looks at what is there, or counts from now. */
const conditions: Readonly<Record<string, readonly string[]>> = {
  SET: ['NX', 'XX', 'GET', 'EX', 'PX'],
  ZADD: ['NX', 'XX', 'GT', 'LT', 'INCR'],
  GEOADD: ['NX', 'XX'],
  EXPIREAT: ['NX', 'XX', 'GT', 'LT'],
  PEXPIREAT: ['NX', 'XX', 'GT', 'LT'],
}
const counters: ReadonlySet<string> = new Set('INCR INCRBY INCRBYFLOAT DECR DECRBY HINCRBY HINCRBYFLOAT ZINCRBY'.split(' '))
const ordered: ReadonlySet<string> = new Set(
  'LPUSH RPUSH LPUSHX RPUSHX LPOP RPOP LREM LTRIM LSET LINSERT RPOPLPUSH LMOVE LMPOP APPEND XADD XDEL XTRIM XACK XCLAIM XSETID XGROUP ZPOPMIN ZPOPMAX SPOP'.split(
    ' ',
  ),
)

export function natureOf(command: StreamCommand): Nature {
  const { name, args } = command
  if (keysOf(command) === null) return 'other'
  if (counters.has(name)) return 'counter'
  if (ordered.has(name)) return 'ordered'
  if (!idempotent.has(name)) return 'other'
  // Options stand behind the key; for SET behind the value, which may be the same word.
  const options = args.slice(name === 'SET' || name.endsWith('EXPIREAT') ? 2 : 1).map((a) => a.toUpperCase())
  const upTo = name === 'ZADD' || name === 'GEOADD' ? options.findIndex((o) => /^[-+]?[\d.]|^[-+]?INF$/.test(o)) : options.length
  if ((conditions[name] ?? []).some((word) => options.slice(0, upTo < 0 ? options.length : upTo).includes(word))) return 'other'
  if (name === 'RESTORE') return options.includes('REPLACE') && (options.includes('ABSTTL') || args[1] === '0') ? 'idempotent' : 'other'
  return 'idempotent'
}

/** Numbered by their first command. What touches nobody knows which keys ties everything together. */
export function itemsOf(commands: readonly StreamCommand[]): readonly Item[] {
  const writes = commands.filter(isWrite)
  const groups = new Map<string, number>()
  const parent: number[] = []
  const rootOf = (n: number): number => {
    let at = n
    while (parent[at] !== at) {
      parent[at] = parent[parent[at] ?? at] ?? at
      at = parent[at] ?? at
    }
    return at
  }
  const tie = (a: number, b: number): void => {
    const [x, y] = [rootOf(a), rootOf(b)]
    parent[Math.max(x, y)] = Math.min(x, y)
  }
  writes.forEach((command, index) => {
    parent.push(index)
    const keys = keysOf(command)
    const marks = (keys ?? []).map((key) => `k${command.database ?? 0}:${key}`)
    if (command.transaction !== null) marks.push(`t${command.transaction}`)
    for (const mark of marks) {
      const known = groups.get(mark)
      if (known === undefined) groups.set(mark, index)
      else tie(known, index)
    }
  })
  if (writes.some((c) => keysOf(c) === null)) writes.forEach((_, index) => tie(0, index))
  const members = new Map<number, StreamCommand[]>()
  writes.forEach((command, index) => {
    const root = rootOf(index)
    const list = members.get(root)
    if (list === undefined) members.set(root, [command])
    else list.push(command)
  })
  return [...members.values()].map((list, number) => ({ number, commands: list, keys: keysIn(list), nature: worst(list) }))
}

function keysIn(commands: readonly StreamCommand[]): readonly ItemKey[] {
  const keys = new Map<string, ItemKey>()
  for (const c of commands) for (const key of keysOf(c) ?? []) keys.set(`${c.database ?? 0}:${key}`, { database: c.database ?? 0, key })
  return [...keys.values()]
}

function worst(commands: readonly StreamCommand[]): Nature {
  return natures[Math.max(0, ...commands.map((c) => natures.indexOf(natureOf(c))))] ?? 'other'
}

/** `touched`: did the accepted history write one of its keys since the fork? */
export function classOf(nature: Nature, touched: boolean | 'unknown'): ItemClass {
  if (nature !== 'idempotent') return nature
  return touched === 'unknown' ? 'unknown' : touched ? 'changed' : 'safe'
}
