/** What a source lets a copy do, as far as only asking tells: the rest is looked at as for a plan. Changes nothing. */
import { patternsFor, tellsBy, tellsWords, type Tells } from '../migrate/events.ts'
import { RawError, type RawRedis, type RawTarget } from '../redis/raw.ts'
import { openTold } from '../redis/told.ts'

const toldMs = 5000

export interface Asked {
  readonly dumps: boolean
  /** As CONFIG tells it; null: it may not be asked. */
  readonly setting: string | null
  readonly tells: Tells
  readonly tellsWhy: string
}

/** `redis`: a connection to it; to listen takes one of its own. */
export async function askSource(redis: RawRedis, target: RawTarget): Promise<Asked> {
  const dumps = !((await redis.call('DUMP', 'holdfast:not there')) instanceof RawError)
  const events = await redis.call('CONFIG', 'GET', 'notify-keyspace-events')
  const value = Array.isArray(events) ? (events as readonly unknown[])[1] : undefined
  const setting = Buffer.isBuffer(value) ? value.toString() : null
  const tells = tellsBy(setting)
  const tried = await openTold(target, { patterns: patternsFor(setting), heard: () => undefined, lost: () => undefined }, toldMs)
  // A user of an ACL may read all keys, and still not be let in where they are told of.
  if (!tried.ok) return { dumps, setting, tells: 'nothing', tellsWhy: `the source does not let its writes be listened to (${tried.why})` }
  tried.value.close()
  return { dumps, setting, tells, tellsWhy: tellsWords(tells, events instanceof RawError ? events.text : 'it does not say') }
}
