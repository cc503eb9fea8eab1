/** How the digests of two redises are made, so that they can be compared. */
import { RawError, type RawRedis } from '../redis/raw.ts'
import type { Digester, DigesterOptions, Way } from './digest.ts'
import { plainDigester } from './digest-plain.ts'
import { scriptDigester } from './digest-script.ts'

/** What a server lets us do. `hasMemoryUsage`: from 4.0 on, unless an ACL forbids it. */
export interface Ways {
  readonly way: Way
  readonly hasMemoryUsage: boolean
  /** DUMP is refused: what only a module reads is not compared. */
  readonly noDump?: true
}

const nowhere = 'holdfast:not there'

/** What the scripts call, on a key that is not there: no answer is an error but that of an ACL. */
const calls = ["'TYPE'", "'GETRANGE'", "'MGET'", "'LLEN'", "'HGETALL'", "'SMEMBERS'", "'LRANGE'", "'ZRANGE'", "'PTTL'", "'SCAN'"] as const
const more: Readonly<Record<string, string>> = { "'GETRANGE'": ', 0, 0', "'LRANGE'": ', 0, 0', "'ZRANGE'": ', 0, 0' }
const tried = `local key = '${nowhere}'
${calls.map((name) => (name === "'SCAN'" ? `redis.call('SCAN', '0', 'COUNT', 1)` : `redis.call(${name}, key${more[name] ?? ''})`)).join('\n')}
return 1`

/** May scripts run here that only read, and how? From 7.0 on such that they also run while writes are paused (`since`: the version has the command). */
export async function waysOf(redis: RawRedis, since: { readonly evalRo: boolean; readonly memoryUsage: boolean }): Promise<Ways> {
  const usage = since.memoryUsage ? await redis.call('MEMORY', 'USAGE', nowhere) : new RawError('before 4.0')
  const hasMemoryUsage = !(usage instanceof RawError)
  const command = since.evalRo ? 'EVAL_RO' : 'EVAL'
  const mayRun = !((await redis.call(command, tried, '0')) instanceof RawError)
  const noDump = (await redis.call('DUMP', nowhere)) instanceof RawError
  // Without it there is no telling what is large.
  const way = mayRun && (hasMemoryUsage || !since.memoryUsage) ? (since.evalRo ? 'eval-ro' : 'eval') : 'plain'
  return { way, hasMemoryUsage, ...(noDump ? { noDump } : {}) }
}

/** Two that are compared both have scripts, or none of them: what they answer is made in another way. */
export function digester(redis: RawRedis, way: Way, options: DigesterOptions): Digester {
  return way === 'plain' ? plainDigester(redis, options) : scriptDigester(redis, way === 'eval-ro', options)
}
