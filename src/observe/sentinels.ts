/** Stand-in. */
import type { SentinelLinks } from '../act/sentinel.ts'
import type { GroupConfig } from '../model/config.ts'
import type { SentinelProbe } from '../model/sentinel.ts'

export interface SentinelTarget {
  readonly host: string
  readonly ip: string
  readonly port: number
  readonly password?: string
}

export interface SentinelObserver {
  readonly probe: () => readonly SentinelProbe[]
  readonly links: SentinelLinks
  readonly close: () => void
}

export function observeSentinels(_options: {
  readonly group: GroupConfig['name']
  readonly self: string
  readonly targets: readonly SentinelTarget[]
  readonly members: readonly { readonly host: string; readonly ip: string; readonly port: number }[]
  readonly downAfterMs: number
  readonly clock: () => number
  readonly wake: () => void
}): SentinelObserver {
  return { probe: () => [], links: { hosts: [] }, close: () => {} }
}
