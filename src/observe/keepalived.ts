/**
 * keepalived as seen from outside: its process, what it tells through its fifo, the track file, and the VIP on this host's
 * own interface. The interface is the truth; VRRP words only wake the loop. Read-only.
 */
import { constants, open as openCallback, readFileSync } from 'node:fs'
import { Socket } from 'node:net'
import { networkInterfaces } from 'node:os'
import type { KeepalivedProbe } from '../model/view.ts'

export interface VrrpWord {
  readonly instance: string
  readonly state: KeepalivedProbe['vrrp']
}

const words = ['MASTER', 'BACKUP', 'FAULT', 'STOP'] as const

/** One line of the notify fifo: `INSTANCE "name" MASTER 250`. null for anything else (MASTER_RX_LOWER_PRI, GROUP …). */
export function parseFifoLine(line: string): VrrpWord | null {
  const match = /^INSTANCE "([^"]+)" (\S+)/.exec(line)
  const state = words.find((w) => w === match?.[2])
  const instance = match?.[1]
  return state === undefined || instance === undefined ? null : { instance, state }
}

/** A line longer than this is not keepalived's. */
const maxLineBytes = 4096

export interface FifoReader {
  readonly close: () => void
}

/** Opened for reading and writing, so that neither side ever blocks or sees an end of file when the other restarts. */
export function readFifo(file: string, heard: (word: VrrpWord) => void, failed: (why: string) => void): FifoReader {
  let socket: Socket | null = null
  let closed = false
  let rest = ''
  openCallback(file, constants.O_RDWR | constants.O_NONBLOCK, (error, fd) => {
    if (error !== null) {
      failed(`cannot read ${file}: ${error.message}`)
      return
    }
    socket = new Socket({ fd, readable: true, writable: false })
    if (closed) socket.destroy()
    socket.setEncoding('latin1')
    socket.on('error', (e) => failed(`${file}: ${e.message}`))
    socket.on('data', (chunk: string) => {
      const lines = (rest + chunk).split('\n')
      rest = (lines.pop() ?? '').slice(-maxLineBytes)
      for (const line of lines) {
        const word = parseFifoLine(line)
        if (word !== null) heard(word)
      }
    })
  })
  return {
    close: () => {
      closed = true
      socket?.destroy()
    },
  }
}

interface OwnAddresses {
  readonly atMs: number
  readonly addresses: ReadonlySet<string>
  /** By interface. */
  readonly macs: ReadonlyMap<string, string>
}

let seen: OwnAddresses = { atMs: Number.NEGATIVE_INFINITY, addresses: new Set(), macs: new Map() }

/** The interfaces of this host. Listing them is dear, so a list not older than `maxAgeMs` will do; all groups share it. */
export function ownAddresses(maxAgeMs: number): OwnAddresses {
  const nowMs = performance.now()
  if (nowMs - seen.atMs > maxAgeMs) {
    const addresses = new Set<string>()
    const macs = new Map<string, string>()
    for (const [name, list] of Object.entries(networkInterfaces())) {
      for (const { address } of list ?? []) addresses.add(address)
      if (list?.[0] !== undefined) macs.set(name, list[0].mac)
    }
    seen = { atMs: nowMs, addresses, macs }
  }
  return seen
}

/** "1" and nothing else, as keepalived reads it (weight 0 reverse). A missing file is a no. */
export function readAllowed(file: string): boolean {
  try {
    return readFileSync(file, 'utf8').trim() === '1'
  } catch {
    return false
  }
}
