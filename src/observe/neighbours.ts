/**
 * Who answers for an address on this segment, from the kernel's neighbour table (/proc/net/arp; no process is started for it). The
 * table only knows whom this host has talked to, so a host that never does asks now and then with one datagram to the discard port.
 */
import { createSocket } from 'node:dgram'
import { readFileSync } from 'node:fs'

export interface Neighbour {
  readonly ip: string
  readonly mac: string
  readonly device: string
}

const discardPort = 9

/** Whole entries only: one that is being asked for has no hardware address yet. */
export function parseNeighbours(text: string): readonly Neighbour[] {
  return text
    .split('\n')
    .slice(1)
    .flatMap((line) => {
      const [ip, , flags, mac, , device] = line.split(/\s+/)
      if (ip === undefined || mac === undefined || device === undefined || (Number(flags) & 2) === 0) return []
      return [{ ip, mac, device }]
    })
}

let seen: { readonly atMs: number; readonly table: readonly Neighbour[] } = { atMs: Number.NEGATIVE_INFINITY, table: [] }

/** Shared by all groups of this host. */
export function neighbours(maxAgeMs: number): readonly Neighbour[] {
  const nowMs = performance.now()
  if (nowMs - seen.atMs <= maxAgeMs) return seen.table
  try {
    seen = { atMs: nowMs, table: parseNeighbours(readFileSync('/proc/net/arp', 'utf8')) }
  } catch {
    seen = { atMs: nowMs, table: [] } // no such table: nothing is known of neighbours
  }
  return seen.table
}

/** Makes the kernel ask for the address. What becomes of the datagram does not matter. */
export function askNeighbour(ip: string): void {
  const socket = createSocket('udp4')
  let open = true
  const end = () => {
    if (open) socket.close()
    open = false
  }
  socket.once('error', end)
  socket.unref()
  socket.send('', discardPort, ip, end)
}
