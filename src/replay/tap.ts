/**
 * What the accepted history has written since the fork: its own stream, read as a replica would, from the fork on and further for
 * as long as the replay goes. Where the backlog does not reach back to the fork, nothing is known, and that is said.
 */
import type { Observed } from '../model/outcome.ts'
import { attach } from '../redis/psync.ts'
import type { RedisTarget } from '../redis/link.ts'
import { isWrite, streamParser } from '../salvage/stream.ts'
import { keysOf } from '../salvage/keys.ts'

export interface Tap {
  /** Reads on until all up to this offset was seen. false: the stream is lost, nothing is known any more. */
  readonly upTo: (offset: number, deadlineMs: number) => Promise<boolean>
  /** In any database: which one was selected at the fork need not be known then. */
  readonly touched: (key: string) => boolean
  readonly close: () => void
}

const attachDeadlineMs = 5000
/** Names only; a million of them are some 100 MB, and then it is simpler to say that everything was touched. */
const maxKeys = 1_000_000

export async function openTap(target: RedisTarget, replid: string, from: number): Promise<Observed<Tap>> {
  const attached = await attach(target, replid, from, attachDeadlineMs)
  if (!attached.ok) return attached
  const { socket, first } = attached.value
  const parser = streamParser(from, null)
  const keys = new Set<string>()
  let everything = false
  let lost = false
  let waiting: (() => void) | null = null
  const take = (chunk: Buffer): void => {
    for (const command of parser.push(chunk.toString('latin1'))) {
      const touched = isWrite(command) ? keysOf(command) : []
      if (touched === null) everything = true
      else for (const key of touched) keys.add(key)
    }
    everything ||= keys.size > maxKeys
    lost ||= parser.broken() !== null
    waiting?.()
  }
  take(first)
  socket.on('data', take)
  socket.on('close', () => {
    lost = true
    waiting?.()
  })
  socket.resume()
  return {
    ok: true,
    value: {
      upTo: async (offset, deadlineMs) => {
        const endMs = performance.now() + deadlineMs
        while (!lost && parser.position() <= offset && performance.now() < endMs) {
          await new Promise<void>((resolve) => {
            const timer = setTimeout(resolve, Math.max(1, endMs - performance.now()))
            waiting = () => {
              clearTimeout(timer)
              resolve()
            }
          })
          waiting = null
        }
        return !lost && parser.position() > offset
      },
      touched: (key) => everything || keys.has(key),
      close: () => socket.destroy(),
    },
  }
}
