/** A way back, and the members that do not see to it: who knows of it, and who may be elected beside it (INV-3, INV-5). PURE. */
import type { Move } from '../model/move.ts'
import type { PeerProbe } from '../model/view.ts'
import type { Context } from './draft.ts'
import { memberOf } from './fitness.ts'
import { holdsLease } from './lease.ts'
import { wasRestarted } from './moving.ts'
import { heard, peerOf } from './situation.ts'

/** Whoever is silent for longer has found this member gone, if it could. */
const longGoneMs = 5000

/**
 * Who has not heard that the source is to serve may find this member gone, and be elected beside it (INV-3). One that was silent for long has
 * been, or is gone for good.
 */
export function isKnown({ state, view, policy }: Context, move: Move): boolean {
  const knows = (host: string) => {
    const word = heard(peerOf(view, host))
    const told = word?.move
    // Sentinels are told nothing of it: a redis that takes their orders would be promoted by them.
    return told !== undefined && told.epoch === move.epoch && told.rev >= move.rev && (policy.sentinel === null || word?.orders === false)
  }
  if (policy.quorum > 0) return 1 + view.peers.filter((p) => knows(p.host)).length >= policy.quorum
  const cannotServe = (peer: PeerProbe | undefined) => isLongGone(peer) && (policy.sentinel === null || peer === undefined || !isReached(peer))
  return policy.members.every(({ host }) => host === state.host || knows(host) || cannotServe(peerOf(view, host)))
}

/** Its agent cannot close the valve: as long as its redis answers, a Sentinel may promote it. */
function isReached({ redisReach }: PeerProbe): boolean {
  return redisReach !== 'refused' && redisReach !== 'silent'
}

/** Before this redis refuses writes, it can also be seen who may have been elected before its agent ended: that one does not replicate from here any more. */
export function listens(ctx: Context, move: Move): boolean {
  const { view, policy } = ctx
  const followers = view.redis.facts?.followers ?? []
  const mayServe = ({ host, agent, redisReach, silentMs }: PeerProbe) => {
    const member = memberOf(policy, host)
    const attached = followers.some((f) => f.ip === member?.ip && f.port === member.port && f.ackAgeS <= 1)
    return member !== undefined && agent === 'refused' && redisReach !== 'refused' && !attached && silentMs <= longGoneMs
  }
  return isKnown(ctx, move) && (policy.quorum > 0 || !view.peers.some(mayServe))
}

function isLongGone(peer: PeerProbe | undefined): boolean {
  return peer === undefined || peer.agent === 'refused' || (peer.agent === 'silent' && peer.silentMs > longGoneMs)
}

/** Where nobody votes a primary goes on serving while others are silent, and so does one that was one until just now. */
export function wouldServe(ctx: Context, move: Move): boolean {
  return ctx.policy.quorum === 0 && !wasRestarted(ctx, move) && holdsLease(ctx.state, ctx.view, ctx.policy)
}
