/**
 * The redis that an archiver reads: what it says of itself once a second, and its stream from one byte on. Never from one where a reader would count as a
 * replica that has the data: for the first seconds redis takes each for one, and would acknowledge writes that nobody else has.
 */
import type { StreamFacts } from '../backup/archiving.ts'
import type { RedisFacts } from '../model/view.ts'
import type { Observed } from '../model/outcome.ts'
import { factsFromInfo } from '../redis/info.ts'
import type { RedisTarget } from '../redis/link.ts'
import { attach, type Attached } from '../redis/psync.ts'
import { openRaw, type RawRedis } from '../redis/raw.ts'

const deadlineMs = 5000
/** It is looked at so often; a connection over which so many looks fail leads nowhere. */
const everyMs = 1000
const maxMissed = 5
/** A redis under load sends some hundred bytes at a time. Read one by one they cost more than all that is done with them, and beside a redis that wants the same cores. */
const gatherMs = 50
/** As much as one read gives: there is more. */
const fullReadBytes = 64 * 1024

export interface Looked extends StreamFacts {
  readonly version: string
}

/** `refused`: nothing is wrong with it, it is not to be read from as it is. */
export type Look = { readonly ok: true; readonly value: Looked } | { readonly ok: false; readonly why: string; readonly refused?: true }

export interface Eye {
  readonly look: () => Promise<Look>
  readonly close: () => void
}

/** Asks over one connection as long as that lasts. */
export function openEye(target: RedisTarget): Eye {
  let redis: RawRedis | null = null
  const close = (): void => {
    redis?.close()
    redis = null
  }
  return {
    close,
    look: async () => {
      try {
        if (redis === null) {
          const opened = await openRaw(target, deadlineMs)
          if (!opened.ok) return opened
          redis = opened.value
        }
        const info = await redis.call('INFO')
        const facts = Buffer.isBuffer(info) ? factsFromInfo(info.toString('latin1')) : null
        return facts === null ? { ok: false, why: 'it does not answer INFO' } : lookedAt(facts)
      } catch (error) {
        close()
        return { ok: false, why: (error as Error).message }
      }
    },
  }
}

function lookedAt(facts: RedisFacts): Look {
  const refused = (why: string): Look => ({ ok: false, why, refused: true })
  const { version, replid, offset, replid2, secondOffset } = facts
  if (replid === '') return refused(`redis ${version} has no replication id: its stream cannot be archived`)
  if (facts.loading) return { ok: false, why: 'it is loading its dataset' }
  if (facts.role === 'primary' && facts.goodFollowers !== null)
    return refused('it is a primary with min-replicas-to-write, and would take who reads from it for a replica that has its data')
  return { ok: true, value: { version, replid, offset, replid2, secondOffset, backlogFrom: facts.supply?.backlogFrom ?? -1 } }
}

/** Only where it still is what it was when it was looked at: between the two it may have been promoted, or given other data. */
export async function attachTo(target: RedisTarget, { replid }: Looked, as: string, from: number): Promise<Observed<Attached>> {
  const attached = await attach(target, as, from, deadlineMs)
  if (!attached.ok || attached.value.replid === replid) return attached
  attached.value.socket.destroy()
  return { ok: false, why: `it has become another history meanwhile (${attached.value.replid.slice(0, 8)})` }
}

/** Until its end is known: what it ended by. Looks at the redis meanwhile, at once and then every second. */
export async function readFrom({ socket, first }: Attached, eye: Eye, take: (chunk: Buffer) => void, signal: AbortSignal): Promise<string> {
  let why: string | null = null
  const end = (reason: string): void => {
    why ??= reason
    socket.destroy()
  }
  const calledOff = (): void => end('it was called off')
  let gathering: NodeJS.Timeout | undefined
  const gather = (chunk: Buffer): void => {
    clearTimeout(gathering)
    take(chunk)
    // Whoever has paused it has no room, and goes on by himself.
    if (chunk.length >= fullReadBytes || socket.readableLength > 0 || socket.isPaused()) return
    socket.pause()
    gathering = setTimeout(() => socket.resume(), gatherMs)
  }
  socket.on('error', ({ message }) => (why ??= message))
  socket.on('data', gather)
  const closed = new Promise<void>((resolve) => socket.once('close', () => resolve()))
  socket.setKeepAlive(true, 10_000)
  signal.addEventListener('abort', calledOff)
  if (signal.aborted) calledOff()
  let missed = 0
  let looks = false
  const look = async (): Promise<void> => {
    if (looks) return
    looks = true
    const seen = await eye.look()
    looks = false
    missed = seen.ok ? 0 : missed + 1
    if (seen.ok || socket.destroyed) return
    // What it says itself counts at once; that it says nothing, only when it goes on.
    if (seen.refused === true || missed >= maxMissed) end(seen.why)
  }
  void look()
  const timer = setInterval(() => void look(), everyMs)
  try {
    // In this order: whoever takes may say that it is enough.
    socket.resume()
    if (first.length > 0) take(first)
    await closed
    return why ?? 'redis hung up'
  } finally {
    clearInterval(timer)
    clearTimeout(gathering)
    signal.removeEventListener('abort', calledOff)
    socket.off('data', gather)
    socket.destroy()
  }
}
