/** How the digests of two redises are made, so that they can be compared. */
import { RawError, type RawRedis } from '../redis/raw.ts'
import type { Digester, DigesterOptions, Way } from './digest.ts'
import { plainDigester } from './digest-plain.ts'
import { scriptDigester } from './digest-script.ts'

/** May scripts be run here, and how? From 7.0 on such that they also run while writes are paused. */
export async function wayOf(redis: RawRedis): Promise<Way> {
  if (!((await redis.call('EVAL_RO', 'return 1', '0')) instanceof RawError)) return 'eval-ro'
  return (await redis.call('EVAL', 'return 1', '0')) instanceof RawError ? 'plain' : 'eval'
}

/** Two that are compared both have scripts, or none of them: what they answer is made in another way. */
export function digester(redis: RawRedis, way: Way, options: DigesterOptions): Digester {
  return way === 'plain' ? plainDigester(redis, options) : scriptDigester(redis, way === 'eval-ro', options)
}
