/**
 * The Sentinels of a group, each watched by itself (sentinel-watch.ts), in the names of the configuration. Read-only: votes are asked
 * for, and news told, by act/sentinel.ts over the same connections, and what is answered there is kept here.
 */
import type { SentinelFacts, SentinelProbe, SentinelVote } from '../model/sentinel.ts'
import { sentinelTarget } from '../redis/link.ts'
import { candidateId } from '../redis/sentinel-id.ts'
import type { SentinelLinks } from '../redis/sentinel-link.ts'
import type { Address } from '../redis/sentinel-replies.ts'
import { clamp, pacesOf, roundsOf, type SentinelPace } from './sentinel-pace.ts'
import { isSame } from './sentinel-poll.ts'
import type { SeenFacts, SentinelSeen } from './sentinel-seen.ts'
import { watchSentinel } from './sentinel-watch.ts'

export interface SentinelsToObserve {
  readonly group: string
  /** The host of this agent. */
  readonly self: string
  /** The password is the Sentinels' own. */
  readonly targets: readonly { readonly host: string; readonly ip: string; readonly port: number; readonly password?: string | undefined }[]
  readonly members: readonly { readonly host: string; readonly ip: string; readonly port: number }[]
  readonly downAfterMs: number
  readonly clock: () => number
  /** What the agent needs them for at this moment. */
  readonly pace: () => SentinelPace
  /** Something of substance is not what it was. */
  readonly wake: () => void
}

export interface SentinelObserver {
  /** What is known now. Never waits. */
  readonly probe: () => readonly SentinelProbe[]
  readonly links: SentinelLinks
  /** The agent is awake anyway: whoever it is time to ask is asked. To be called some twenty times a second. */
  readonly awake: () => void
  readonly close: () => void
}

export function observeSentinels(order: SentinelsToObserve): SentinelObserver {
  const { group, self, targets, members, downAfterMs, clock } = order
  const paces = pacesOf(downAfterMs)
  const rounds = roundsOf(paces)
  const watches = targets.map(({ host, ip, port, password }) => ({
    host,
    watch: watchSentinel({
      group,
      host,
      target: sentinelTarget({ host: ip, port }, password),
      askerId: candidateId(group, self),
      lateMs: paces.lateMs,
      silentMs: clamp(downAfterMs / 2, 100, 500),
      clock,
      changed: order.wake,
    }),
  }))
  const candidates = new Map([...members, ...targets, { host: self }].map(({ host }) => [candidateId(group, host), host]))

  function voterOf(runId: string | null): string {
    if (runId === null) return '?'
    const agent = candidates.get(runId)
    if (agent !== undefined) return agent
    const sentinel = watches.find(({ watch }) => watch.seen().facts?.id === runId)
    return sentinel === undefined ? '?' : `sentinel:${sentinel.host}`
  }

  function voteOf({ vote }: SentinelSeen, nowMs: number): SentinelVote | null {
    if (vote === null) return null
    const before = vote.before === null ? {} : { before: { epoch: vote.before.epoch, to: voterOf(vote.before.leader), ageMs: nowMs - vote.before.seenMs } }
    return { epoch: vote.epoch, to: voterOf(vote.leader), ageMs: nowMs - vote.seenMs, ...(vote.down ? { down: true } : {}), ...before }
  }

  function memberAt(address: Address): string | null {
    return members.find((member) => isSame(member, address))?.host ?? null
  }

  function factsOf({ serves, failover, ...facts }: SeenFacts): SentinelFacts {
    const address = `${serves.ip}:${serves.port}`
    const to = failover?.to ?? null
    return {
      ...facts,
      names: memberAt(serves),
      address,
      failover: failover === null ? null : { to: to === null ? null : (memberAt(to) ?? `${to.ip}:${to.port}`) },
    }
  }

  return {
    probe: () => {
      const nowMs = clock()
      return watches.map(({ host, watch }) => {
        const seen = watch.seen()
        const { reach, trouble, facts, sentMs } = seen
        return {
          host,
          reach,
          trouble,
          facts: facts === null ? null : factsOf(facts),
          ageMs: facts === null ? Number.MAX_SAFE_INTEGER : nowMs - sentMs,
          vote: voteOf(seen, nowMs),
        }
      })
    },
    links: {
      group,
      hosts: targets.map(({ host }) => host),
      all: () => watches.map(({ watch }) => watch.link()),
      member: (host) => members.find((member) => member.host === host) ?? null,
    },
    awake: () => {
      const nowMs = clock()
      // Where one of them is not calm, all are asked: what it has begun to see comes to the others.
      if (!rounds.isDue(nowMs, watches.every(({ watch }) => watch.isCalm(nowMs)) ? order.pace() : 'alert')) return
      for (const { watch } of watches) watch.ask()
    },
    close: () => {
      for (const { watch } of watches) watch.close()
    },
  }
}
