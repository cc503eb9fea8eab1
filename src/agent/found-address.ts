/**
 * Is the address of a group on this host before the group has begun? Somebody else has put it there, and clients use it: a keepalived that begins now takes it
 * off. Asked by vrrp.ts until the group serves, here or elsewhere (ADR 30).
 */
import type { Config } from '../model/config.ts'
import { ownAddresses } from '../observe/keepalived.ts'
import type { GroupLoop } from './group.ts'
import { loadState } from './store.ts'

const seenAgeMs = 50

export function foundAddress(config: Config, host: string, names: readonly string[], loops: ReadonlyMap<string, GroupLoop>): (name: string) => boolean {
  const states = names.map((name) => loadState(config.paths, name, host))
  // A group that has served before needs its address at once, whatever is found of another.
  if (states.some(({ epoch }) => epoch > 0)) return () => false
  return (name) => {
    const ip = config.groups[name]?.vip?.ip
    return ip !== undefined && isBeginning(loops.get(name), host) && ownAddresses(seenAgeMs).addresses.has(ip)
  }
}

/** Nobody has held the group yet; or this member has just been chosen and was not seen to serve: keepalived would begin as any other, and listen first. */
function isBeginning(loop: Pick<GroupLoop, 'snapshot' | 'hasAddress'> | undefined, host: string): boolean {
  const state = loop?.snapshot().state
  if (loop === undefined || state === undefined || state.epoch === 0) return true
  return state.holder === host && (state.phase === 'promoting' || state.phase === 'primary') && !loop.hasAddress()
}
