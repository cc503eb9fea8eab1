/**
 * What is asked of, and told to, the Sentinels of a group, and what its redis lets them do. One idempotent executor each; the local Sentinel
 * as a process is act/sentinel-process.ts. Decides nothing.
 */
import { failed, type Outcome } from '../model/outcome.ts'
import { command, type Linked } from './redis.ts'

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

export function allowOrders(hands: SentinelHands, _allowed: boolean): Promise<Outcome> {
  return Promise.resolve(failed(`no Sentinels (${hands.sentinels?.hosts.length ?? 0})`))
}

export function setPriority(hands: SentinelHands, value: number): Promise<Outcome> {
  return command(hands, 'CONFIG', 'SET', 'replica-priority', String(value))
}
