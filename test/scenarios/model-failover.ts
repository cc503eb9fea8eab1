/** The failover that a Sentinel of the model world leads, step by step: elected, a replica selected, promoted, the others reconfigured. */
import { addressOf, type SeenRedis } from './model-seen.ts'
import type { ModelSentinel } from './model-sentinel.ts'

const electionMs = 10_000
const reconfMs = 10_000

export interface Failover {
  readonly epoch: number
  /** SENTINEL FAILOVER: nobody is asked. */
  readonly forced: boolean
  stage: 'wait' | 'select' | 'promote' | 'promoting' | 'reconfigure'
  sinceMs: number
  to: string | null
  promotedSinceMs: number | null
  ended: boolean
}

/** One step with each tick of its timer. */
export function stepFailover(s: ModelSentinel): void {
  const { failover } = s
  if (failover === null) return
  const tooLong = s.nowMs - failover.sinceMs > s.settings.failoverTimeoutMs
  switch (failover.stage) {
    case 'wait':
      wait(s, failover)
      break
    case 'select':
      select(s, failover)
      break
    case 'promote': {
      const chosen = s.replicas.get(failover.to ?? '')
      if (chosen !== undefined && s.order(chosen, null)) enter(s, failover, 'promoting')
      else if (tooLong) abort(s, '-failover-abort-slave-timeout')
      break
    }
    case 'promoting':
      if (tooLong) abort(s, '-failover-abort-slave-timeout')
      break
    case 'reconfigure':
      reconfigure(s, failover, tooLong)
      break
  }
}

function enter(s: ModelSentinel, failover: Failover, stage: Failover['stage']): void {
  failover.stage = stage
  failover.sinceMs = s.nowMs
}

function abort(s: ModelSentinel, why: string): void {
  s.failover = null
  s.all.tell(s, why)
}

function wait(s: ModelSentinel, failover: Failover): void {
  if (leader(s, failover.epoch) === s.id() || failover.forced) {
    s.all.tell(s, `+elected-leader ${failover.epoch}`)
    enter(s, failover, 'select')
  } else if (s.nowMs - s.failoverFromMs > Math.min(electionMs, s.settings.failoverTimeoutMs)) abort(s, '-failover-abort-not-elected')
}

/** Who has the votes of the majority of those that it knows, itself included, and no fewer than the quorum. */
function leader(s: ModelSentinel, epoch: number): string | null {
  const votes = new Map<string, number>()
  const count = (to: string) => votes.set(to, (votes.get(to) ?? 0) + 1)
  for (const { vote } of s.others.values()) if (vote !== null && vote.epoch === s.epoch) count(vote.to)
  const own = s.vote(epoch, most(votes) ?? s.id())
  if (own !== null && s.voteEpoch === epoch) count(own)
  const first = most(votes)
  const voters = s.others.size + 1
  const needed = Math.max(Math.floor(voters / 2) + 1, s.settings.quorum)
  return first !== null && (votes.get(first) ?? 0) >= needed ? first : null
}

function most(votes: ReadonlyMap<string, number>): string | null {
  let first: string | null = null
  for (const [to, count] of votes) if (first === null || count > (votes.get(first) ?? 0)) first = to
  return first
}

function select(s: ModelSentinel, failover: Failover): void {
  const chosen = selectReplica(s)
  if (chosen === null) {
    abort(s, '-failover-abort-no-good-slave')
    return
  }
  failover.to = chosen.host
  s.all.ballots.named(chosen.host)
  s.all.tell(s, `+selected-slave ${chosen.host}`)
  enter(s, failover, 'promote')
}

export function selectReplica(s: ModelSentinel): SeenRedis | null {
  const { nowMs, primary } = s
  const staleMs = primary.down ? 5 * s.pace.pingMs : 3 * s.pace.infoMs
  const maxLinkDownMs = (primary.down ? nowMs - primary.downSinceMs : 0) + 10 * s.settings.downAfterMs
  const fit = [...s.replicas.values()].filter(
    (r) =>
      !r.down &&
      r.link.wire !== null &&
      nowMs - r.link.availableMs <= 5 * s.pace.pingMs &&
      r.priority !== 0 &&
      nowMs - r.infoAtMs <= staleMs &&
      r.linkDownMs <= maxLinkDownMs,
  )
  fit.sort((a, b) => a.priority - b.priority || b.offset - a.offset || ((a.runId ?? '~') < (b.runId ?? '~') ? -1 : 1))
  return fit[0] ?? null
}

/** INFO says that the one that it selected is a primary; false: that is another's doing. */
export function seesPromoted(s: ModelSentinel, it: SeenRedis): boolean {
  const { failover } = s
  if (failover?.stage !== 'promoting' || failover.to !== it.host) return false
  s.configEpoch = failover.epoch
  failover.promotedSinceMs = s.nowMs
  enter(s, failover, 'reconfigure')
  s.all.tell(s, `+promoted-slave ${it.host} ${failover.epoch}`)
  s.publishSoon()
  return true
}

function reconfigure(s: ModelSentinel, failover: Failover, tooLong: boolean): void {
  const replicas = [...s.replicas.values()].filter((r) => r.host !== failover.to)
  let underWay = replicas.filter((r) => r.reconf === 'sent' || r.reconf === 'in progress').length
  for (const replica of replicas) {
    if (underWay >= s.settings.parallelSyncs) break
    if (replica.reconf === 'sent' && s.nowMs - replica.reconfSentMs > reconfMs) replica.reconf = 'done'
    if (replica.reconf !== 'no' || !s.order(replica, failover.to)) continue
    Object.assign(replica, { reconf: 'sent', reconfSentMs: s.nowMs })
    underWay += 1
  }
  if (s.replicas.get(failover.to ?? '')?.down === true) return
  const left = replicas.filter((r) => r.reconf !== 'done' && !r.down)
  if (tooLong) for (const replica of left) if (replica.reconf !== 'sent') s.order(replica, failover.to)
  if (left.length === 0 || tooLong) {
    s.all.tell(s, tooLong ? '+failover-end-for-timeout' : '+failover-end')
    failover.ended = true
  }
}

export function seesReconfigured(s: ModelSentinel, it: SeenRedis): void {
  const to = s.failover?.to
  if (it.reconf === 'sent' && to != null && it.upstream === addressOf(to)) it.reconf = 'in progress'
  if (it.reconf === 'in progress' && it.linkUp) it.reconf = 'done'
}
