/**
 * What a redis lets Sentinels do, in a group that has them: the rights of their ACL user, and whether they may select it. Asked just before
 * an INFO, on the same connection, so that the answer is there with it. Reads; judges nothing.
 */
import { sentinelUser } from '../model/sentinel.ts'
import type { Fact, RedisProbe } from '../model/view.ts'
import type { RedisLink } from '../redis/link.ts'

const deadlineMs = 1000
/** Somebody may have changed it by ACL SETUSER. */
const againMs = 5000

type SentinelMay = NonNullable<RedisProbe['sentinelMay']>

export interface OrdersReader {
  /** Asks if it is time to; returns at once. A new connection may be to a new process. */
  readonly look: (link: RedisLink, nowMs: number) => void
  readonly now: () => SentinelMay
  /** They were changed by us. */
  readonly forget: () => void
}

/** `keys`: the SHA-256 of each password that Sentinels may have. */
export function ordersReader(keys: readonly string[]): OrdersReader {
  let asked: { link: RedisLink | null; atMs: number } = { link: null, atMs: Number.NEGATIVE_INFINITY }
  let orders: Fact = 'unknown'
  let priority: number | null = null
  return {
    look: (link, nowMs) => {
      if (asked.link === link && nowMs - asked.atMs < againMs) return
      if (asked.link !== link) {
        orders = 'unknown'
        priority = null
      }
      const question = { link, atMs: nowMs }
      asked = question
      void link.call(['ACL', 'GETUSER', sentinelUser], deadlineMs).then((answer) => {
        // What was asked before a change is not what is so after it.
        if (asked === question) orders = answer.ok ? ordersIn(answer.value, keys) : 'unknown'
      })
      // A primary does not tell it in INFO, and is a replica soon enough.
      void link.call(['CONFIG', 'GET', 'replica-priority'], deadlineMs).then((answer) => {
        const told = answer.ok && Array.isArray(answer.value) ? Number(answer.value[1]) : Number.NaN
        if (asked === question && Number.isInteger(told)) priority = told
      })
    },
    now: () => ({ orders, priority }),
    forget: () => {
      asked = { link: null, atMs: Number.NEGATIVE_INFINITY }
      orders = 'unknown'
      priority = null
    },
  }
}

/** unknown: there is no such user, one of our Sentinels cannot be it, or somebody else can. */
export function ordersIn(answer: unknown, keys: readonly string[]): Fact {
  if (!Array.isArray(answer)) return 'unknown'
  const fields: readonly unknown[] = answer
  const told = (name: string): unknown => {
    const at = fields.indexOf(name)
    return at < 0 ? undefined : fields[at + 1]
  }
  const [flags, passwords, commands] = [told('flags'), told('passwords'), told('commands')]
  if (!Array.isArray(flags) || !flags.includes('on') || !Array.isArray(passwords)) return 'unknown'
  if (passwords.length !== keys.length || !keys.every((key) => passwords.includes(key))) return 'unknown'
  let may = { slaveof: false, replicaof: false }
  for (const word of String(commands ?? '').split(' ')) {
    const allowed = word.startsWith('+')
    const name = word.slice(1)
    // A category that holds them: redis itself tells categories only where somebody gave them.
    if (['@all', '@admin', '@slow', '@dangerous'].includes(name)) may = { slaveof: allowed, replicaof: allowed }
    else if (name === 'slaveof' || name === 'replicaof') may = { ...may, [name]: allowed }
  }
  return may.slaveof || may.replicaof
}
