/** The executors of `src/act/` over the model world: what an action does to the redis, the keepalived and the peers of its host. */
import type { Action, ActionKind } from '../../src/model/action.ts'
import type { View } from '../../src/model/view.ts'
import { promoteWithinMs } from '../../src/model/policy.ts'
import { keysFrom, keysOf } from './model-log.ts'
import { nobody, nothing } from './model-redis.ts'
import type { World } from './world.ts'

export interface ActMemory {
  /** Since when a copy of this name is being made. */
  readonly keeping: Map<string, number>
  readonly started: (pid: number) => void
  fence: View['redis']['fence']
}

const needsLink: readonly ActionKind[] = [
  'promote',
  'follow',
  'follow-source',
  'soft-fence',
  'pause-writes',
  'resume-writes',
  'kill-clients',
  'open-backlog',
  'keep-dataset',
  'keep-writes',
  'fence-writes',
  'lift-fence',
  'cycle-link',
  'require-replica',
  'sentinel-orders',
  'replica-priority',
]

export const outlived = 'promote: decided too long ago'

export function isOutlived(action: Action, lookAgeMs: number): boolean {
  return action.kind === 'promote' && lookAgeMs > promoteWithinMs
}

/** null: done. */
export function perform(world: World, host: string, memory: ActMemory, action: Action): string | null {
  const redis = world.redis(host)
  const keepalived = world.vrrp.hosts.get(host)
  if (needsLink.includes(action.kind) && !redis.answers(world.nowMs)) return `${action.kind}: no connection to redis`
  if (['promote', 'follow', 'follow-source', 'soft-fence'].includes(action.kind) && redis.loading(world.nowMs))
    return `${action.kind}: LOADING Redis is loading the dataset in memory`
  switch (action.kind) {
    case 'vip':
      if (keepalived !== undefined) keepalived.allowed = action.allowed
      break
    case 'reader-vip':
      // No host of the model world has a reader address.
      break
    case 'drop-address':
      if (keepalived !== undefined) keepalived.strayFromMs = null
      break
    case 'take-address':
      if (keepalived?.vipSinceMs === null) keepalived.strayFromMs ??= world.nowMs
      break
    case 'vrrp-yield':
      if (keepalived !== undefined) keepalived.yields = action.yields
      break
    case 'start-redis':
      redis.start(world.nowMs, 'fenced')
      memory.started(redis.pid)
      break
    case 'kill-redis':
      if (redis.running && redis.pid === action.pid) redis.die()
      break
    case 'promote':
      redis.replicaOf(null, world.nowMs)
      break
    case 'follow':
      redis.replicaOf({ host: action.host, port: action.port }, world.nowMs)
      break
    case 'follow-source': {
      const source = world.agent(host).source
      // On disk before what a sync needs is raised there.
      if (source !== null) source.raised = true
      redis.replicaOf({ host: action.host, port: action.port }, world.nowMs)
      break
    }
    case 'call-hook':
      if (world.moved !== null) world.moved.clients = action.to
      break
    case 'soft-fence':
      redis.replicaOf(nobody, world.nowMs)
      break
    case 'pause-writes':
      redis.pausedUntilMs = world.nowMs + action.forMs
      break
    case 'resume-writes':
      redis.pausedUntilMs = 0
      break
    case 'open-backlog':
      redis.makeBacklog()
      break
    case 'keep-dataset': {
      // A background save: asked for again until it is there.
      const since = memory.keeping.get(action.name)
      if (since === undefined || world.nowMs - since < 20) {
        memory.keeping.set(action.name, since ?? world.nowMs)
        return `keep-dataset: ${action.name} is being kept`
      }
      memory.keeping.delete(action.name)
      world.kept.push({ host, name: action.name, log: redis.log, fromAt: 0, keys: keysOf(redis.log) })
      break
    }
    case 'fence-writes':
      memory.fence = { runId: action.runId, inForce: true }
      redis.refusesWrites = true
      break
    case 'cycle-link':
      redis.cycleLink(world.nowMs)
      break
    case 'lift-fence':
      memory.fence = null
      redis.refusesWrites = false
      break
    case 'require-replica':
      redis.needsReplica = true
      break
    case 'waive-replica':
      redis.needsReplica = false
      break
    case 'keep-writes':
      if (redis.role !== 'primary') return 'keep-writes: NOMASTERLINK'
      world.kept.push({ host, name: action.name, log: redis.log, fromAt: action.fork.fromOffset ?? 0, keys: keysFrom(redis.log, action.fork.fromOffset ?? 0) })
      break
    case 'wipe-redis':
      redis.die()
      redis.disk = nothing
      redis.start(world.nowMs, 'fenced')
      memory.started(redis.pid)
      break
    case 'ask-votes':
      world.sentinels?.askVotes(host, action.epoch, action.to)
      break
    case 'tell-sentinels':
      for (const sentinel of action.sentinels) world.sentinels?.tellWho(host, sentinel, action.holder, action.epoch)
      break
    case 'sentinel-orders':
      redis.orders = action.allowed
      break
    case 'replica-priority':
      redis.priority = action.value
      break
    case 'poke':
      world.send(host, action.host, { t: 'poke' })
      break
    case 'source':
    // Asked over a connection, and waited for: model-agent.ts.
    case 'refuse-connections':
    case 'accept-connections':
    case 'kill-clients':
    case 'persist':
    case 'grow-backlog':
    case 'raise-replica-buffer':
      break
  }
  world.changed()
  return null
}
