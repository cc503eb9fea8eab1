/** Actions in order, the first failure ends the list. The record is total by type: an action without an executor does not compile. */
import type { Action, ActionKind } from '../model/action.ts'
import { promoteWithinMs } from '../model/policy.ts'
import { done, waiting, type Outcome } from '../model/outcome.ts'
import { dropAddress, takeAddress } from './address.ts'
import { setReaderVip, setVip } from './keepalived.ts'
import { acceptConnections, refuseConnections } from './nftables.ts'
import { isSaving, keepDataset, keepWrites } from './keep.ts'
import { endOrphans, killRedis, sendClientsAway } from './ending.ts'
import { callHook } from './hook.ts'
import { growBacklog, openBacklog } from './backlog.ts'
import { mendAof } from './mend-aof.ts'
import { follow, pauseWrites, promote, resumeWrites, softFence, type RedisHands } from './redis.ts'
import { allowOrders, askVotes, setPriority, tellSentinels, type SentinelHands } from './sentinel.ts'
import { persist } from './persist.ts'
import { setAside } from './set-aside.ts'
import { followSource, orderSource, type SourceHands } from './source.ts'
import { settleAof, startRedis, wipeRedis } from './start.ts'
import { cycleLink, raiseReplicaBuffer } from './stream.ts'
import { requireReplica, waiveReplica } from './require-replica.ts'
import { fenceWrites, liftFence } from './write-fence.ts'

export interface Hands extends RedisHands, SentinelHands, SourceHands {
  /** How old the look is that is being acted on. */
  readonly lookAgeMs: () => number
  /** Called before and after each action; tests stop the agent there. */
  readonly step: (when: 'before' | 'after', kind: ActionKind) => void
  readonly pid: () => number | null
  readonly poke: (host: string) => void
  readonly vrrpYield: (yields: boolean) => Promise<Outcome>
}

type Executors = { readonly [K in ActionKind]: (action: Extract<Action, { kind: K }>, hands: Hands) => Outcome | Promise<Outcome> }

const executors: Executors = {
  vip: (action, hands) => setVip(hands.config.paths, hands.group.name, action.allowed),
  'reader-vip': (action, hands) => setReaderVip(hands.config.paths, hands.group.name, action.allowed),
  'drop-address': (_action, hands) => (hands.group.vip === undefined ? done : dropAddress(hands.group.vip.ip)),
  'take-address': (_action, hands) => takeAddress(hands),
  'vrrp-yield': (action, hands) => hands.vrrpYield(action.yields),
  'start-redis': (action, hands) => startRedis(hands, action.load),
  persist: (action, hands) => persist(hands, action),
  'settle-aof': (action, hands) => settleAof(hands, action.to),
  'mend-aof': (action, hands) => mendAof(hands, action.end),
  'set-aside': (action, hands) => setAside(hands, action.file, action.why),
  'kill-redis': (action) => killRedis(action.pid),
  'end-orphans': (action) => endOrphans(action.orphans),
  promote: (_action, hands) => promote(hands),
  follow: (action, hands) => follow(hands, action.host, action.port),
  'follow-source': (action, hands) => followSource(hands, action.host, action.port),
  source: (action, hands) => orderSource(hands, action.order),
  'call-hook': (action, hands) => callHook(hands, action.to),
  'soft-fence': (_action, hands) => softFence(hands),
  'pause-writes': (action, hands) => pauseWrites(hands, action.forMs),
  'resume-writes': (_action, hands) => resumeWrites(hands),
  'refuse-connections': (action, hands) => (hands.group.vip === undefined ? done : refuseConnections(hands.group, action.forMs)),
  'accept-connections': (_action, hands) => (hands.group.vip === undefined ? done : acceptConnections(hands.group)),
  'kill-clients': (_action, hands) => sendClientsAway(hands, () => isSaving(hands)),
  'keep-dataset': (action, hands) => keepDataset(hands, action.name, action.fork),
  'keep-writes': (action, hands) => keepWrites(hands, action.name, action.fork),
  'fence-writes': (action, hands) => fenceWrites(hands, action.runId),
  'open-backlog': (_action, hands) => openBacklog(hands),
  'require-replica': (action, hands) => requireReplica(hands, action.runId),
  'waive-replica': (action, hands) => waiveReplica(hands, action.runId),
  'grow-backlog': (action, hands) => growBacklog(hands, action.bytes),
  'cycle-link': (_action, hands) => cycleLink(hands),
  'raise-replica-buffer': (action, hands) => raiseReplicaBuffer(hands, action.bytes),
  'lift-fence': (_action, hands) => liftFence(hands),
  'wipe-redis': (_action, hands) => wipeRedis(hands, hands.pid()),
  'ask-votes': (action, hands) => askVotes(hands, action.epoch, action.to),
  'tell-sentinels': (action, hands) => tellSentinels(hands, action.sentinels, action.holder, action.epoch),
  'sentinel-orders': (action, hands) => allowOrders(hands, action.allowed),
  'replica-priority': (action, hands) => setPriority(hands, action.value),
  poke: (action, hands) => {
    hands.poke(action.host)
    return done
  },
}

export interface ActionResult {
  readonly action: Action
  readonly outcome: Outcome
  readonly tookMs: number
}

export async function carryOut(actions: readonly Action[], hands: Hands): Promise<readonly ActionResult[]> {
  const results: ActionResult[] = []
  for (const action of actions) {
    const startedMs = performance.now()
    const execute = executors[action.kind] as (action: Action, hands: Hands) => Outcome | Promise<Outcome>
    hands.step('before', action.kind)
    const outcome = isOutlived(action, hands.lookAgeMs()) ? waiting(outlived) : await execute(action, hands)
    hands.step('after', action.kind)
    results.push({ action, outcome, tookMs: performance.now() - startedMs })
    if (!outcome.done) break
  }
  return results
}

const outlived = 'the promotion was decided too long ago; it is decided anew'

/** Others may have been elected since, on votes that were free again (INV-3). */
function isOutlived(action: Action, lookAgeMs: number): boolean {
  return action.kind === 'promote' && lookAgeMs > promoteWithinMs
}
