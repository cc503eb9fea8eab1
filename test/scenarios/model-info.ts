/** What a Sentinel of the model world makes of the INFO of a redis, and the orders that it gives to one that is not what it should be. */
import { seesPromoted, seesReconfigured } from './model-failover.ts'
import { addressOf, freshRedis, publishMs, type RedisInfo, type SeenRedis } from './model-seen.ts'
import type { ModelSentinel } from './model-sentinel.ts'

export function readInfo(s: ModelSentinel, it: SeenRedis, redis: RedisInfo): void {
  const { nowMs } = s
  if (it.runId !== null && it.runId !== redis.runId) s.all.tell(s, `+reboot ${it.host}`)
  it.runId = redis.runId
  it.linkDownMs = redis.linkDownMs
  if (it === s.primary) {
    for (const replica of redis.replicas) if (!s.replicas.has(replica)) s.replicas.set(replica, freshRedis(replica, 'replica', nowMs))
  }
  if (redis.role === 'replica') {
    if (it.upstream !== redis.upstream) Object.assign(it, { upstream: redis.upstream, upstreamSinceMs: nowMs })
    Object.assign(it, { linkUp: redis.linkUp, priority: redis.priority, offset: redis.offset })
  }
  it.infoAtMs = nowMs
  if (it.role !== redis.role) {
    Object.assign(it, { role: redis.role, roleSinceMs: nowMs })
    if (redis.role === 'replica') it.upstreamSinceMs = nowMs
  }
  if (s.tiltSinceMs !== null || it === s.primary) return
  if (it.role === 'primary') {
    if (!seesPromoted(s, it)) convert(s, it)
  } else {
    if (it.upstream !== addressOf(s.primary.host)) fix(s, it)
    seesReconfigured(s, it)
  }
}

function looksSane({ primary, nowMs, pace }: ModelSentinel): boolean {
  return primary.role === 'primary' && !primary.down && nowMs - primary.infoAtMs < 2 * pace.infoMs
}

function convert(s: ModelSentinel, it: SeenRedis): void {
  const waitMs = 4 * publishMs
  if (s.failover?.to === it.host || !looksSane(s) || s.nowMs - it.downSinceMs <= waitMs || s.nowMs - it.roleSinceMs <= waitMs) return
  if (s.order(it, s.primary.host)) s.all.tell(s, `+convert-to-slave ${it.host}`)
}

function fix(s: ModelSentinel, it: SeenRedis): void {
  const waitMs = s.settings.failoverTimeoutMs
  if (!looksSane(s) || s.nowMs - it.downSinceMs <= waitMs || s.nowMs - it.upstreamSinceMs <= waitMs) return
  if (s.order(it, s.primary.host)) s.all.tell(s, `+fix-slave-config ${it.host}`)
}
