/** A password of a running group while it is changed: what an agent says of it, and what it is asked. Plain JSON, across the wire. */
import type { GroupConfig } from './config.ts'

/** redis: with it clients, replicas and agents come to redis. sentinels: with it clients, agents and the other Sentinels come to a Sentinel. */
export const passwordKinds = ['redis', 'sentinels'] as const
export type PasswordOf = (typeof passwordKinds)[number]

/** Where it is asked for: on each of these hosts there is one that takes it. The others of the group only come with it. */
export function guardedHosts(group: GroupConfig, of: PasswordOf): readonly string[] {
  return of === 'redis' ? group.members.map((m) => m.host) : (group.sentinel?.hosts ?? [])
}

export function passwordFileOf(group: GroupConfig, of: PasswordOf): string | undefined {
  return of === 'redis' ? group.passwordFile : group.sentinel?.passwordFile
}

/**
 * none: one password is valid. offered: the new one is valid too, agent and replication still come with the old one. using: they come with the
 * new one, and the old one is still valid, for clients.
 */
export type PasswordStage = 'none' | 'offered' | 'using'

export interface PasswordChange {
  readonly stage: Exclude<PasswordStage, 'none'>
  readonly old: string
  readonly new: string
}

/** By ids (a hash with the secret): which password it is can be compared, and not be told from it. */
export interface PasswordWord {
  readonly stage: PasswordStage
  /** With which this host comes now. */
  readonly current: string
  readonly other: string | null
  /** Does the redis, or the Sentinel, here take them? null: there is none here, or it does not answer. */
  readonly takesCurrent: boolean | null
  readonly takesOther: boolean | null
  /** It lets in anybody: it was started without a password. */
  readonly isOpen: boolean
  /** Does the redis, or the Sentinel, here come to the others with the one in force? null: there is none here, or it does not answer. */
  readonly comes: boolean | null
}

export type PasswordStep = 'offer' | 'use' | 'finish'

export interface PasswordRequest {
  readonly step: PasswordStep
  readonly password: string
}

export interface PasswordAnswer {
  readonly ok: boolean
  readonly why: string
}
