/** The password of a running group while it is changed: what an agent says of it, and what it is asked. Plain JSON, across the wire. */

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
  /** With which it comes to redis now. */
  readonly current: string
  readonly other: string | null
  /** Does the redis here take them? null: there is none here, or it does not answer. */
  readonly takesCurrent: boolean | null
  readonly takesOther: boolean | null
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
