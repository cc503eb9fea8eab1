/** Makes the replication backlog larger. A redis that refuses is not asked again: a small backlog is no fault. */
import { done, type Outcome } from '../model/outcome.ts'
import { command, type RedisHands } from './redis.ts'

const refused = new WeakSet<RedisHands>()

export async function growBacklog(hands: RedisHands, bytes: number): Promise<Outcome> {
  const outcome = await command(hands, 'CONFIG', 'SET', 'repl-backlog-size', String(bytes))
  if (outcome.done) {
    hands.note(`the replication backlog was enlarged to ${bytes} bytes, for a minute of the highest write rate seen`)
    return done
  }
  refused.add(hands)
  hands.note(`the replication backlog could not be enlarged (${outcome.why}); it is left as it is`)
  return done
}

export function mayGrowBacklog(hands: RedisHands): boolean {
  return !refused.has(hands)
}
