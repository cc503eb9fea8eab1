/**
 * What is asked of, and told to, the Sentinels of a group, and what its redis lets them do. One idempotent executor each; the local Sentinel
 * as a process is act/sentinel-process.ts. Decides nothing.
 */
import { failed, type Outcome } from '../model/outcome.ts'
import { sentinelUser } from '../model/sentinel.ts'
import { sentinelUserRules } from '../render/sentinel-user.ts'
import { command, type Linked, type RedisHands } from './redis.ts'

/** The open connections to the group's Sentinels, and where their answers are kept (observe/sentinels.ts). */
export interface SentinelHands extends Linked {
  readonly sentinels: SentinelLinks | null
}

export interface SentinelLinks {
  readonly hosts: readonly string[]
}

export function askVotes(hands: SentinelHands, _epoch: number, _to: string): Promise<Outcome> {
  return Promise.resolve(failed(`no Sentinels (${hands.sentinels?.hosts.length ?? 0})`))
}

export function tellSentinels(hands: SentinelHands, _sentinels: readonly string[], _holder: string, _epoch: number): Promise<Outcome> {
  return Promise.resolve(failed(`no Sentinels (${hands.sentinels?.hosts.length ?? 0})`))
}

/** The whole user each time: it may be missing (an external redis, somebody's ACL DELUSER), or have another password. Who is logged in as it stays so. */
export async function allowOrders(hands: Pick<RedisHands, 'link' | 'sentinelKey' | 'settingsChanged'>, allowed: boolean): Promise<Outcome> {
  if (hands.sentinelKey === undefined) return failed('no Sentinels are configured, so none may give orders')
  const set = await command(hands, 'ACL', 'SETUSER', sentinelUser, ...sentinelUserRules(hands.sentinelKey, allowed))
  hands.settingsChanged()
  return set
}

export function setPriority(hands: Linked, value: number): Promise<Outcome> {
  return command(hands, 'CONFIG', 'SET', 'replica-priority', String(value))
}
