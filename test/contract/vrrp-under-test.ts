/**
 * What a contract may do to the keepaliveds of three hosts and see of them: the steps and words that the VRRP model and real
 * keepalived have in common. `high` has the highest priority, then `mid`, then `low`. Times are compared with bounds, never exactly.
 */
import { advertMs, downIntervalMs } from '../../src/render/keepalived.ts'

export type VrrpHostName = 'high' | 'mid' | 'low'
export const vrrpHosts: readonly VrrpHostName[] = ['high', 'mid', 'low']
/** Far apart, so that the skew that orders them is longer than what a busy machine adds. */
export const priorities: Readonly<Record<VrrpHostName, number>> = { high: 220, mid: 120, low: 60 }
export const hostLossMs = 300

/** From the last advert until this host takes over. */
export function downMs(host: VrrpHostName): number {
  return downIntervalMs(hostLossMs, priorities[host])
}

/** From the word of a holder that gives the address up. */
export function skewMs(host: VrrpHostName): number {
  return downMs(host) - 3 * advertMs(hostLossMs)
}

export interface VrrpUnderTest {
  /** keepalived comes up; its host may not hold the address before it is allowed. */
  readonly start: (host: VrrpHostName) => Promise<void>
  readonly allow: (host: VrrpHostName, allowed: boolean) => Promise<void>
  /** The track file is gone, or says nothing. */
  readonly allowNobodyKnows: (host: VrrpHostName, how: 'missing' | 'empty') => Promise<void>
  readonly yield: (host: VrrpHostName, yields: boolean) => Promise<void>
  /** kill -9 of all of it. */
  readonly kill: (host: VrrpHostName) => Promise<void>
  readonly freeze: (host: VrrpHostName) => Promise<void>
  readonly thaw: (host: VrrpHostName) => Promise<void>
  readonly cut: (host: VrrpHostName) => Promise<void>
  /** What `from` says does not reach `to`. */
  readonly deafen: (from: VrrpHostName, to: VrrpHostName) => Promise<void>
  readonly heal: () => Promise<void>
  readonly state: (host: VrrpHostName) => 'MASTER' | 'BACKUP' | 'FAULT' | 'STOP' | null
  /** Who has the address on its interface. */
  readonly holders: () => Promise<readonly VrrpHostName[]>
  readonly nowMs: () => number
  readonly until: (what: string, isSo: () => boolean | Promise<boolean>) => Promise<void>
  /** Time goes by. Only to see that something does NOT happen in it. */
  readonly pass: (ms: number) => Promise<void>
  /** As before the first contract: nothing runs, nobody has the address. */
  readonly reset: () => Promise<void>
  readonly close: () => Promise<void>
}

/** All run, all are allowed, and `high` has the address. */
export async function settled(v: VrrpUnderTest): Promise<void> {
  for (const host of vrrpHosts) await v.start(host)
  for (const host of vrrpHosts) await v.allow(host, true)
  await v.until('high is MASTER, the others wait', () => v.state('high') === 'MASTER' && v.state('mid') === 'BACKUP' && v.state('low') === 'BACKUP')
  await v.until('high has the address', async () => (await v.holders()).join() === 'high')
}

/** How long `act` takes to bring it about. */
export async function took(v: VrrpUnderTest, what: string, act: () => Promise<void>, isSo: () => boolean | Promise<boolean>): Promise<number> {
  const startMs = v.nowMs()
  await act()
  await v.until(what, isSo)
  return v.nowMs() - startMs
}
