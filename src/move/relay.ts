/**
 * A plain TCP relay: connections that come here are handed on to one redis, byte for byte, both ways, each end closed when the other is. Of what
 * they carry it knows one thing: that a replica asks for data. It is sent away, and keeps what it has. When it is aimed at another redis, or at none, all that are open are ended: their clients connect anew.
 */
import { connect, createServer, type Server, type Socket } from 'node:net'
import { asksForData } from '../migrate/relay.ts'
import type { Observed } from '../model/outcome.ts'

/** In which the primary has to take a connection; and for so long one waits while there is no primary. A client is never left hanging. */
const connectMs = 2000
const keepAliveMs = 5000
/** PING, a password and where it listens come before a replica asks. */
const handshakeBytes = 2048

export interface Aim {
  readonly host: string
  readonly port: number
}

export interface Forwarded {
  readonly client: string
  readonly sinceMs: number
  /** Where it comes from, as the primary sees it; null: it is not connected yet. */
  readonly seenAs: string | null
  readonly bytesIn: number
  readonly bytesOut: number
}

export interface Relay {
  /** Of the address where it listens, or why it cannot. */
  readonly listen: (host: string, port: number) => Promise<Observed<number>>
  readonly silence: () => void
  /** 'none': whoever comes is sent away; 'wait': they wait for a moment. */
  readonly aim: (at: Aim | 'wait' | 'none') => void
  readonly open: () => readonly Forwarded[]
  /** Ever since it began. */
  readonly counts: () => { readonly taken: number; readonly failed: number; readonly replicas: number }
  /** Monotonic: when somebody was there last. */
  readonly lastUsedMs: () => number | null
}

interface Pair {
  readonly client: Socket
  readonly name: string
  readonly sinceMs: number
  out: Socket | null
  late: NodeJS.Timeout | null
  isReplica: boolean
}

export function openRelay(changed: () => void): Relay {
  const pairs = new Set<Pair>()
  let at: Aim | 'wait' | 'none' = 'none'
  let server: Server | null = null
  let taken = 0
  let failed = 0
  let replicas = 0
  let lastUsedMs: number | null = null

  function end(pair: Pair): void {
    if (!pairs.delete(pair)) return
    if (pair.late !== null) clearTimeout(pair.late)
    pair.client.destroy()
    pair.out?.destroy()
    if (!pair.isReplica) lastUsedMs = performance.now()
    changed()
  }

  function fail(pair: Pair): void {
    if (pairs.has(pair)) failed += 1
    end(pair)
  }

  function take(client: Socket): void {
    client.on('error', () => client.destroy())
    if (at === 'none') {
      client.destroy()
      return
    }
    const pair: Pair = {
      client,
      name: `${client.remoteAddress ?? ''}:${client.remotePort ?? ''}`,
      sinceMs: performance.now(),
      out: null,
      late: null,
      isReplica: false,
    }
    pairs.add(pair)
    taken += 1
    client.once('close', () => end(pair))
    pair.late = setTimeout(() => fail(pair), connectMs)
    if (at !== 'wait') join(pair, at)
    changed()
  }

  function join(pair: Pair, { host, port }: Aim): void {
    const out = connect({ host, port, noDelay: true, keepAlive: true, keepAliveInitialDelay: keepAliveMs, allowHalfOpen: true })
    pair.out = out
    out.on('error', () => fail(pair))
    out.once('close', () => end(pair))
    out.once('connect', () => {
      if (pair.late !== null) clearTimeout(pair.late)
      sendReplicasAway(pair)
      // `pipe` waits for the slower side, and hands on the end of each direction by itself.
      pair.client.pipe(out)
      out.pipe(pair.client)
      changed()
    })
  }

  /** Before a byte of what it asks has gone on. Only at the beginning: later such words may be somebody's data. */
  function sendReplicasAway(pair: Pair): void {
    let seenBytes = 0
    const look = (chunk: Buffer): void => {
      seenBytes += chunk.length
      if (asksForData(chunk.toString('latin1', 0, handshakeBytes))) {
        pair.isReplica = true
        replicas += 1
        end(pair)
      }
      if (seenBytes > handshakeBytes) pair.client.off('data', look)
    }
    pair.client.on('data', look)
  }

  return {
    listen: (host, port) =>
      new Promise((resolve) => {
        const opened = createServer({ allowHalfOpen: true, pauseOnConnect: true, noDelay: true, keepAlive: true, keepAliveInitialDelay: keepAliveMs }, take)
        opened.once('error', (error) => resolve({ ok: false, why: error.message }))
        opened.listen({ host, port, backlog: 4096 }, () => {
          server = opened
          const address = opened.address()
          resolve({ ok: true, value: typeof address === 'object' && address !== null ? address.port : port })
        })
      }),
    silence: () => {
      server?.close()
      server = null
    },
    aim: (next) => {
      if (same(at, next)) return
      const waited = at === 'wait'
      at = next
      for (const pair of [...pairs]) {
        if (waited && typeof next === 'object') join(pair, next)
        else end(pair)
      }
    },
    open: () =>
      [...pairs].map(({ name, sinceMs, out, client }) => ({
        client: name,
        sinceMs,
        seenAs: out?.localPort === undefined ? null : `${out.localAddress ?? ''}:${out.localPort}`,
        bytesIn: client.bytesRead,
        bytesOut: client.bytesWritten,
      })),
    counts: () => ({ taken, failed, replicas }),
    lastUsedMs: () => (pairs.size > 0 ? performance.now() : lastUsedMs),
  }
}

function same(a: Aim | 'wait' | 'none', b: Aim | 'wait' | 'none'): boolean {
  return typeof a === 'object' && typeof b === 'object' ? a.host === b.host && a.port === b.port : a === b
}
