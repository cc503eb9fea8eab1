/** Two small cures of a replication stream: a new link, and a larger buffer for those that fetch everything. Decides nothing. */
import { done, type Outcome } from '../model/outcome.ts'
import { command, type RedisHands } from './redis.ts'

/** redis connects again within a second, and continues where it was. */
export function cycleLink(hands: RedisHands): Promise<Outcome> {
  return command(hands, 'CLIENT', 'KILL', 'TYPE', 'master')
}

const refused = new WeakSet<RedisHands>()

/** A redis that refuses is not asked again. `slave` is understood by every version, `replica` from 5.0 on. */
export async function raiseReplicaBuffer(hands: RedisHands, bytes: number): Promise<Outcome> {
  const outcome = await command(hands, 'CONFIG', 'SET', 'client-output-buffer-limit', `slave ${bytes} ${bytes} 60`)
  hands.settingsChanged()
  if (outcome.done) {
    hands.note(`client-output-buffer-limit of replicas was raised to ${bytes} bytes: a full sync was ended by it again and again`)
    return done
  }
  refused.add(hands)
  hands.note(`client-output-buffer-limit could not be raised (${outcome.why}); it is left as it is`)
  return done
}

export function mayRaiseBuffer(hands: RedisHands): boolean {
  return !refused.has(hands)
}
