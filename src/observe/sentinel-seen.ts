/** What is known of one Sentinel at one moment, and what of it is of substance. No IO. */
import type { SentinelFacts, SentinelProbe } from '../model/sentinel.ts'
import type { Address } from '../redis/sentinel-replies.ts'
import type { Answer } from './sentinel-poll.ts'
import type { HeardVote } from './sentinel-votes.ts'

/** With addresses and run ids, not yet in the names of the configuration. */
export interface SentinelSeen {
  readonly reach: SentinelProbe['reach']
  readonly trouble: string | null
  readonly facts: SeenFacts | null
  /** When the question was sent to which `facts` is the answer. */
  readonly sentMs: number
  readonly vote: HeardVote | null
}

export type SeenFacts = Omit<SentinelFacts, 'names' | 'address' | 'failover'> & {
  readonly serves: Address
  readonly failover: { readonly to: Address | null } | null
}

export function factsOf(answer: Answer, id: string, tilt: boolean): SeenFacts {
  const { configEpoch, down, pendingPingMs, settings, others, replicas } = answer
  return {
    id,
    serves: answer.serves,
    configEpoch,
    down,
    pendingPingMs,
    failover: answer.failover ? { to: answer.selected ?? null } : null,
    tilt,
    settings,
    others,
    replicas,
  }
}

/** All but ages. */
export function substanceOf({ reach, trouble, facts, vote }: SentinelSeen): string {
  return JSON.stringify([reach, trouble, facts === null ? null : { ...facts, pendingPingMs: 0 }, vote])
}
