/**
 * Under which address a host's own programs listen, and are reached from the host itself. Elsewhere that is every address, and 127.0.0.1. Where one machine
 * plays all hosts, each at a loopback address of its own, it is that address alone: at 127.0.0.1 three redises would want one port, and
 * each agent would take the first one for its own. PURE.
 */
import { assert } from './assert.ts'
import type { Config } from './config.ts'

export function isLoopback(ip: string): boolean {
  return ip.startsWith('127.')
}

/** Where whoever is on the host itself finds its redis and its Sentinel. */
export function localIp(config: Config, host: string): string {
  const ip = ipOf(config, host)
  return isLoopback(ip) ? ip : '127.0.0.1'
}

/** The address that its agent and its redis listen at. */
export function listenIp(config: Config, host: string): string {
  const ip = ipOf(config, host)
  return isLoopback(ip) ? ip : '0.0.0.0'
}

function ipOf(config: Config, host: string): string {
  const ip = config.hosts[host]?.ip
  assert(ip !== undefined, `host ${host} is in the configuration`)
  return ip
}
