/** What a Sentinel answers, in plain words: SENTINEL MASTER, REPLICAS, SENTINELS, IS-MASTER-DOWN-BY-ADDR, INFO. Words only; it speaks to nobody. */
import type { SentinelSettings } from '../model/sentinel.ts'
import { parseInfo } from './info.ts'

export interface Address {
  readonly ip: string
  readonly port: number
}

export interface MasterReply {
  readonly address: Address
  readonly configEpoch: number
  readonly down: boolean
  /** It says of it no more than that it is a primary. */
  readonly plain: boolean
  readonly pendingPingMs: number
  readonly failover: boolean
  readonly settings: SentinelSettings
  readonly others: number
  readonly replicas: number
}

/** `leader` null: it votes for nobody, or has forgotten for whom (a restart, a reset); the epoch it has not forgotten. */
export interface VoteReply {
  readonly epoch: number
  readonly leader: string | null
  /** At this moment it finds the primary down itself. In TILT it finds nobody down. */
  readonly down: boolean
}

/** In epoch 0 a Sentinel tells its last vote and gives none; with `*` for a run id it would not tell. It knows the primary by the address that it names, and no other. */
export function voteQuestion(about: Address, epoch: number, runId: string): readonly string[] {
  return ['SENTINEL', 'IS-MASTER-DOWN-BY-ADDR', about.ip, String(about.port), String(epoch), runId]
}

/** null: it is no answer to SENTINEL MASTER. */
export function masterFrom(reply: unknown): MasterReply | null {
  const fields = fieldsOf(reply)
  const address = addressOf(fields)
  if (address === null) return null
  const flags = flagsOf(fields)
  const num = (name: string): number => Number(fields.get(name) ?? 0) || 0
  return {
    address,
    configEpoch: num('config-epoch'),
    down: flags.includes('s_down') || flags.includes('o_down'),
    plain: flags.join() === 'master',
    pendingPingMs: num('last-ping-sent'),
    failover: flags.includes('failover_in_progress'),
    settings: {
      quorum: num('quorum'),
      downAfterMs: num('down-after-milliseconds'),
      failoverTimeoutMs: num('failover-timeout'),
      parallelSyncs: num('parallel-syncs'),
    },
    others: num('num-other-sentinels'),
    replicas: num('num-slaves'),
  }
}

/** SENTINEL GET-MASTER-ADDR-BY-NAME. */
export function addressFrom(reply: unknown): Address | null {
  if (!Array.isArray(reply)) return null
  return addressOf(
    new Map([
      ['ip', String(reply[0])],
      ['port', String(reply[1])],
    ]),
  )
}

/** The replica that the Sentinel has selected for its failover; null: none. */
export function selectedFrom(replicas: unknown): Address | null {
  const selected = Array.isArray(replicas) ? replicas.map(fieldsOf).find((fields) => flagsOf(fields).includes('promoted')) : undefined
  return selected === undefined ? null : addressOf(selected)
}

/** The other Sentinels that this one knows. */
export function othersFrom(sentinels: unknown): readonly (Address & { readonly id: string })[] {
  if (!Array.isArray(sentinels)) return []
  return sentinels.map(fieldsOf).flatMap((fields) => {
    const [address, id] = [addressOf(fields), fields.get('runid') ?? '']
    return address === null || !isId(id) ? [] : [{ ...address, id }]
  })
}

/** SENTINEL REPLICAS. */
export function replicasFrom(replicas: unknown): readonly Address[] {
  return Array.isArray(replicas) ? replicas.map(fieldsOf).flatMap((fields) => addressOf(fields) ?? []) : []
}

/** null: no vote was ever given, or the Sentinel names another address than the one it was asked about. */
export function voteFrom(reply: unknown): VoteReply | null {
  if (!Array.isArray(reply) || reply.length !== 3) return null
  const [leader, epoch] = [String(reply[1]), Number(reply[2])]
  if (!Number.isSafeInteger(epoch) || epoch <= 0) return null
  return { epoch, leader: isId(leader) ? leader : null, down: Number(reply[0]) === 1 }
}

/** null: not told. */
export function tiltFrom(info: unknown): boolean | null {
  const tilt = typeof info === 'string' ? parseInfo(info).get('sentinel_tilt') : undefined
  return tilt === undefined ? null : tilt === '1'
}

/** The `why` of a refusal, for an operator. */
/** The Sentinel was made to forget the group (SENTINEL REMOVE), or never knew it. Valkey has the same words. */
export function isForgotten(why: string): boolean {
  return /No such master/i.test(why)
}

export function troubleFrom(why: string, group: string, port: number): string {
  if (/NOAUTH|WRONGPASS|invalid.*password/i.test(why)) return `the Sentinel refuses the password: ${why}`
  if (/NOPERM/.test(why)) return `the Sentinel does not let this user ask: ${why}`
  if (isForgotten(why)) return `the Sentinel does not watch ${group}`
  // The client library's own words for an answer that is no RESP are among these.
  if (/unknown command|RESP type|protocol error/i.test(why)) return `what answers on port ${port} is no Sentinel: another program has the port`
  return why
}

function isId(text: string): boolean {
  return /^[0-9a-f]{40}$/.test(text)
}

/** A flat list of names and values. */
export function fieldsOf(reply: unknown): ReadonlyMap<string, string> {
  const fields = new Map<string, string>()
  if (Array.isArray(reply)) for (let i = 0; i + 1 < reply.length; i += 2) fields.set(String(reply[i]), String(reply[i + 1]))
  return fields
}

export function flagsOf(fields: ReadonlyMap<string, string>): readonly string[] {
  return (fields.get('flags') ?? '').split(',')
}

function addressOf(fields: ReadonlyMap<string, string>): Address | null {
  const [ip, port] = [fields.get('ip') ?? '', Number(fields.get('port'))]
  return ip === '' || !Number.isInteger(port) || port <= 0 ? null : { ip, port }
}
