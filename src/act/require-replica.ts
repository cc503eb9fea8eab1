/**
 * `durability: safe` in a redis that runs: it takes writes only while a replica acknowledges them, and when that is not asked for any more,
 * it is as its user had it. Never undoes a write fence, which stands in the same values (write-fence.ts). Decides nothing.
 */
import { done, failed, waiting, type Outcome } from '../model/outcome.ts'
import { forgetOwn, readLimits, rememberOwn, safeRecord, safeValues, setLimits } from './min-replicas.ts'
import { command, type RedisHands } from './redis.ts'
import { fenceWrites, writeFence } from './write-fence.ts'

export async function requireReplica(hands: RedisHands, runId: string): Promise<Outcome> {
  const now = await readLimits(hands)
  if (now === null) return failed('redis does not tell its min-replicas values, so durability: safe cannot be kept (is CONFIG renamed?)')
  const ours = safeValues(now)
  await rememberOwn(hands, runId, now, ours)
  return setLimits(hands, now.names, ours)
}

/** Each value goes back if what stands there is still ours; what somebody has set since stays. Also half done: it can be done again. */
export async function waiveReplica(hands: RedisHands, runId: string): Promise<Outcome> {
  const record = safeRecord(hands)
  try {
    if (record === null) return done
    // Another process has its own values.
    if (record.runId !== null && record.runId !== runId) {
      await forgetOwn(hands)
      return done
    }
    const now = await readLimits(hands)
    if (now === null) return failed('redis does not tell its min-replicas values, so those of durability: safe stay (is CONFIG renamed?)')
    // The number first: without it the lag says nothing.
    for (const [name, key] of [['to-write', 'toWrite'] as const, ['max-lag', 'maxLag'] as const]) {
      if (now[key] !== record.ours[key] || now[key] === record.own[key]) continue
      const set = await command(hands, 'CONFIG', 'SET', `${now.names}-${name}`, record.own[key])
      if (!set.done) return set
    }
    // The guard's is on disk before it is in redis: whatever was just undone is set again.
    if (writeFence(hands.config.paths, hands.group.name, true) !== null) {
      const fenced = await fenceWrites(hands, runId)
      return fenced.done ? waiting('the guard has fenced this redis meanwhile: the limits of durability: safe go when that is over') : fenced
    }
    await forgetOwn(hands)
    hands.note(`durability is not safe any more: min-replicas-to-write ${record.own.toWrite} and min-replicas-max-lag ${record.own.maxLag}, as before it`)
    return done
  } catch (error) {
    return failed(`cannot put the min-replicas values back: ${(error as Error).message}`)
  }
}
